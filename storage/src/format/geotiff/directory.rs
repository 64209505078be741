//! TIFF structure: the header, the chain of directories (classic and BigTIFF) and their entries. No meaning is known here.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::field::{Field, tag, type_size};
use super::source::Source;
use crate::array::ByteOrder;
use crate::format::Refused;
use crate::{Error, Result};

/// Directories that are followed; libtiff's own limit.
const MOST_DIRECTORIES: usize = 65_535;

/// Entries of one directory; more are taken for damage, as libtiff does.
const MOST_ENTRIES: u64 = 65_535;

/// The first bytes of a TIFF file.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Header {
    pub(super) order: ByteOrder,
    /// BigTIFF: counts and offsets of 8 bytes.
    pub(super) big: bool,
    first: u64,
}

impl Header {
    /// Reads the header at the start of `head`; `None` when these are not the first bytes of a TIFF file.
    pub(super) fn read(head: &[u8]) -> Option<Header> {
        let order = match head.get(..2)? {
            b"II" => ByteOrder::Little,
            b"MM" => ByteOrder::Big,
            _ => return None,
        };
        match (integer(head, 2, 2, order)?, head) {
            (42, _) => Some(Header { order, big: false, first: integer(head, 4, 4, order)? }),
            (43, _) if integer(head, 4, 2, order)? == 8 && integer(head, 6, 2, order)? == 0 => {
                Some(Header { order, big: true, first: integer(head, 8, 8, order)? })
            }
            _ => None,
        }
    }
}

/// The integer of `length` bytes at `at`.
fn integer(bytes: &[u8], at: usize, length: usize, order: ByteOrder) -> Option<u64> {
    let value = bytes.get(at..at.checked_add(length)?)?;
    let add = |v: u64, b: &u8| v << 8 | u64::from(*b);
    Some(match order {
        ByteOrder::Little => value.iter().rev().fold(0, add),
        ByteOrder::Big => value.iter().fold(0, add),
    })
}

/// One image file directory.
#[derive(Debug)]
pub(super) struct Directory {
    /// Where it begins in the object.
    pub(super) at: u64,
    fields: BTreeMap<u16, Result<Field>>,
}

impl Directory {
    /// The values of a tag; an error when the entry is there but cannot be read.
    pub(super) fn field(&self, tag: u16) -> Result<Option<&Field>> {
        match self.fields.get(&tag) {
            None => Ok(None),
            Some(Ok(field)) => Ok(Some(field)),
            Some(Err(e)) => Err(e.clone()),
        }
    }

    /// The non-negative integers of a tag.
    pub(super) fn unsigned(&self, object: &str, tag: u16) -> Result<Option<Vec<u64>>> {
        let Some(field) = self.field(tag)? else { return Ok(None) };
        field.unsigned().map(Some).ok_or_else(|| {
            Error::data(object, format!("{}: expected integers of 0 or more, found field type {}", tag::name(tag), field.field_type))
        })
    }

    /// The first non-negative integer of a tag.
    pub(super) fn first(&self, object: &str, tag: u16) -> Result<Option<u64>> {
        Ok(self.unsigned(object, tag)?.and_then(|v| v.first().copied()))
    }

    /// True when the tag is there, readable or not.
    pub(super) fn has(&self, tag: u16) -> bool {
        self.fields.contains_key(&tag)
    }

    /// What could not be read, tag by tag.
    pub(super) fn damaged(&self) -> impl Iterator<Item = (u16, &Error)> {
        self.fields.iter().filter_map(|(t, f)| f.as_ref().err().map(|e| (*t, e)))
    }
}

/// Everything that the directories of a file say.
#[derive(Debug)]
pub(super) struct Directories {
    /// The file's chain, in its order.
    pub(super) main: Vec<Directory>,
    /// The first directory's SubIFDs.
    pub(super) sub: Vec<Directory>,
    /// Directories that could not be reached.
    pub(super) refused: Vec<Refused>,
}

/// Reads the chain of directories and the first one's SubIFDs. A chain that breaks or loops ends there, with a refusal;
/// only a file without any directory is an error.
pub(super) async fn read_all(source: &dyn Source, header: Header) -> Result<Directories> {
    let mut reader = Reader { source, header, budget: source.size().saturating_add(1 << 20) };
    let mut all = Directories { main: Vec::new(), sub: Vec::new(), refused: Vec::new() };
    let mut seen = BTreeSet::new();
    let mut next = header.first;
    while next != 0 {
        let broken = if !seen.insert(next) {
            Err(Error::data(source.location(), format!("the directory at byte {next} follows itself: the chain loops")))
        } else if seen.len() > MOST_DIRECTORIES {
            Err(Error::data(source.location(), format!("more than {MOST_DIRECTORIES} directories")))
        } else {
            reader.directory(next).await
        };
        match broken {
            Ok((directory, following)) => {
                all.main.push(directory);
                next = following;
            }
            Err(e) if all.main.is_empty() => return Err(e),
            Err(e) => {
                all.refused.push(Refused { path: format!("/directory_{}", all.main.len() + 1), reason: e.to_string() });
                break;
            }
        }
    }
    let Some(first) = all.main.first() else {
        return Err(Error::data_at(source.location(), 4..8, "expected the position of a directory, found 0"));
    };
    let sub = first.unsigned(source.location(), tag::SUB_IFDS).unwrap_or_default().unwrap_or_default();
    for (i, at) in sub.into_iter().filter(|&at| at != 0).take(MOST_DIRECTORIES).enumerate() {
        if !seen.insert(at) {
            continue;
        }
        match reader.directory(at).await {
            Ok((directory, _)) => all.sub.push(directory),
            Err(e) => all.refused.push(Refused { path: format!("/sub_directory_{}", i + 1), reason: e.to_string() }),
        }
    }
    Ok(all)
}

struct Reader<'a> {
    source: &'a dyn Source,
    header: Header,
    /// Bytes that may still be read: entries that share their values cannot make a file larger than it is.
    budget: u64,
}

impl Reader<'_> {
    async fn read(&mut self, range: Range<u64>, what: &str) -> Result<bytes::Bytes> {
        let (object, size) = (self.source.location(), self.source.size());
        if range.end > size {
            return Err(Error::data_at(object, range, format!("{what} reaches over the object's end at byte {size}")));
        }
        let length = range.end.saturating_sub(range.start);
        self.budget = self.budget.checked_sub(length).ok_or_else(|| {
            Error::data_at(object, range.clone(), format!("{what}: the directories claim more bytes than the object has ({size})"))
        })?;
        if length == 0 { Ok(bytes::Bytes::new()) } else { self.source.read(range).await }
    }

    /// The directory at byte `at`, and where the next one is (0: nowhere).
    async fn directory(&mut self, at: u64) -> Result<(Directory, u64)> {
        let Header { order, big, .. } = self.header;
        let (count_size, entry_size, offset_size) = if big { (8, 20, 8) } else { (2, 12, 4) };
        let object = self.source.location();
        let overflow = || Error::data(object, format!("directory at byte {at}: its end is beyond 2^64"));
        let start = at.checked_add(count_size).ok_or_else(overflow)?;
        let head = self.read(at..start, "directory").await?;
        let count = integer(&head, 0, head.len(), order).unwrap_or(0);
        if count == 0 || count > MOST_ENTRIES {
            return Err(Error::data_at(object, at..start, format!("directory: expected 1 to {MOST_ENTRIES} entries, found {count}")));
        }
        let end = start.checked_add(count * entry_size).ok_or_else(overflow)?;
        let entries = self.read(start..end, "directory").await?;
        let mut fields = BTreeMap::new();
        for entry in entries.chunks_exact(entry_size as usize) {
            let number = |at, length| integer(entry, at, length, order).unwrap_or(0);
            let tag = number(0, 2) as u16;
            // The first of several entries counts, as in libtiff.
            if !tag::READ.contains(&tag) || fields.contains_key(&tag) {
                continue;
            }
            let field_type = number(2, 2) as u16;
            let values = number(4, offset_size as usize);
            let at_value = 4 + offset_size as usize;
            let inline = entry.get(at_value..).unwrap_or_default();
            let place = number(at_value, offset_size as usize);
            fields.insert(tag, self.field(tag, field_type, values, inline, place).await);
        }
        // libtiff takes a directory at the file's very end, without the position of the next, for the last one.
        let next = match end.checked_add(offset_size) {
            Some(stop) if stop <= self.source.size() => {
                let bytes = self.read(end..stop, "directory").await?;
                integer(&bytes, 0, bytes.len(), order).unwrap_or(0)
            }
            _ => 0,
        };
        Ok((Directory { at, fields }, next))
    }

    async fn field(&mut self, tag: u16, field_type: u16, count: u64, inline: &[u8], place: u64) -> Result<Field> {
        let order = self.header.order;
        let (object, name) = (self.source.location(), tag::name(tag));
        let size = type_size(field_type).ok_or_else(|| Error::data(object, format!("{name}: unknown field type {field_type}")))?;
        let length = count.checked_mul(size).ok_or_else(|| Error::data(object, format!("{name}: {count} values are too many")))?;
        let bytes = match inline.get(..usize::try_from(length).unwrap_or(usize::MAX)) {
            Some(value) => bytes::Bytes::copy_from_slice(value),
            None => {
                let end = place.checked_add(length);
                let end = end.ok_or_else(|| Error::data(object, format!("{name}: its {length} bytes end beyond 2^64")))?;
                self.read(place..end, &name).await?
            }
        };
        Ok(Field { field_type, bytes, order })
    }
}
