//! Object headers, versions 1 and 2, as a list of messages. A message is parsed only when somebody asks for it, so that one
//! that is not understood does not hide the others (file format specification, IV.A.1).

use std::collections::{HashSet, VecDeque};

use hdf5_reader::checksum::jenkins_lookup3;
use hdf5_reader::io::Cursor;
use hdf5_reader::messages::shared::{self, SharedMessage};
use hdf5_reader::messages::{MSG_CONTINUATION, MSG_FILE_SPACE_INFO, MSG_NIL};

use super::Parsed;
use super::file::File;

/// A header is at most this long, over all its blocks. libhdf5 writes messages of at most 64 KiB.
const LONGEST: u64 = 64 << 20;
/// A header is cut into at most this many blocks.
const MOST_BLOCKS: usize = 4096;

/// One message.
pub(super) struct Message {
    /// Type of the message (`hdf5_reader::messages::MSG_*`).
    pub kind: u16,
    /// Creation order, where the object tracks that of its attributes.
    pub order: Option<u16>,
    /// Its bytes.
    pub body: Body,
}

/// Where a message's bytes are.
pub(super) enum Body {
    /// In this header.
    Here(Vec<u8>),
    /// In another one, or in the heap of shared messages.
    Shared(SharedMessage),
}

/// The messages of one object, in the order in which they are stored.
pub(super) struct Header {
    /// All messages but padding and continuations.
    pub messages: Vec<Message>,
}

/// How messages are framed.
#[derive(Clone, Copy)]
enum Framing {
    V1,
    V2 { ordered: bool },
}

impl Header {
    /// Reads the header at `address`.
    pub(super) fn read(file: &File, address: u64) -> Parsed<Header> {
        let mut reading = Reading { file, messages: Vec::new(), blocks: VecDeque::new(), length: 0 };
        let framing = if file.storage.read_range(address, 4)?.as_ref() == b"OHDR" {
            reading.first_v2(address)?
        } else {
            reading.first_v1(address)?
        };
        let mut seen = HashSet::new();
        while let Some((at, length)) = reading.blocks.pop_front() {
            if !seen.insert(at) || seen.len() > MOST_BLOCKS {
                return Err("its blocks continue in a circle".into());
            }
            reading.continuation(at, length, framing)?;
        }
        Ok(Header { messages: reading.messages })
    }

    /// The first message of a type.
    pub(super) fn find(&self, kind: u16) -> Option<&Message> {
        self.messages.iter().find(|m| m.kind == kind)
    }

    /// True when it has a message of this type.
    pub(super) fn has(&self, kind: u16) -> bool {
        self.find(kind).is_some()
    }
}

struct Reading<'a> {
    file: &'a File,
    messages: Vec<Message>,
    blocks: VecDeque<(u64, u64)>,
    length: u64,
}

impl Reading<'_> {
    fn take(&mut self, length: u64) -> Parsed<usize> {
        self.length = self.length.saturating_add(length);
        if self.length > LONGEST {
            return Err(format!("longer than {LONGEST} bytes").into());
        }
        usize::try_from(length).map_err(|_| "length does not fit in memory".into())
    }

    fn first_v1(&mut self, address: u64) -> Parsed<Framing> {
        let prefix = self.file.storage.read_range(address, 16)?;
        let mut cursor = Cursor::new(&prefix);
        match cursor.read_u8()? {
            1 => {}
            version => return Err(format!("version {version}, expected 1 or the signature OHDR").into()),
        }
        cursor.skip(7)?;
        let length = u64::from(cursor.read_u32_le()?);
        let length = self.take(length)?;
        let block = self.file.storage.read_range(address.saturating_add(16), length)?;
        self.block(&block, Framing::V1)?;
        Ok(Framing::V1)
    }

    fn first_v2(&mut self, address: u64) -> Parsed<Framing> {
        let start = self.file.storage.read_range(address, 6)?;
        let (version, flags) = (start[4], start[5]);
        if version != 2 {
            return Err(format!("version {version}, expected 2").into());
        }
        let width = 1usize << (flags & 3);
        let skipped = if flags & 0x20 != 0 { 16 } else { 0 } + if flags & 0x10 != 0 { 4 } else { 0 };
        let prefix = 6 + skipped + width;
        let start = self.file.storage.read_range(address, prefix)?;
        let mut cursor = Cursor::new(&start);
        cursor.skip(6 + skipped)?;
        let length = cursor.read_uvar(width)?;
        let total = self.take(length.saturating_add(prefix as u64 + 4))?;
        let block = self.file.storage.read_range(address, total)?;
        let framing = Framing::V2 { ordered: flags & 4 != 0 };
        self.block(checked(&block)?.get(prefix..).unwrap_or_default(), framing)?;
        Ok(framing)
    }

    fn continuation(&mut self, at: u64, length: u64, framing: Framing) -> Parsed<()> {
        let length = self.take(length)?;
        let block = self.file.storage.read_range(at, length)?;
        match framing {
            Framing::V1 => self.block(&block, framing),
            Framing::V2 { .. } => {
                let block = checked(&block)?;
                match block.strip_prefix(b"OCHK") {
                    Some(block) => self.block(block, framing),
                    None => Err("continuation block: signature OCHK expected".into()),
                }
            }
        }
    }

    /// Splits one block into messages.
    fn block(&mut self, block: &[u8], framing: Framing) -> Parsed<()> {
        let envelope = match framing {
            Framing::V1 => 8,
            Framing::V2 { ordered } => 4 + if ordered { 2 } else { 0 },
        };
        let mut cursor = Cursor::new(block);
        // Fewer bytes than an envelope at the end are a gap.
        while cursor.remaining() >= envelope {
            let (kind, length, flags, order);
            match framing {
                Framing::V1 => {
                    kind = cursor.read_u16_le()?;
                    length = cursor.read_u16_le()?;
                    flags = cursor.read_u8()?;
                    cursor.skip(3)?;
                    order = None;
                }
                Framing::V2 { ordered } => {
                    kind = u16::from(cursor.read_u8()?);
                    length = cursor.read_u16_le()?;
                    flags = cursor.read_u8()?;
                    order = if ordered { Some(cursor.read_u16_le()?) } else { None };
                }
            }
            let body = cursor.read_bytes(usize::from(length))?;
            self.message(kind, flags, order, body)?;
        }
        Ok(())
    }

    fn message(&mut self, kind: u16, flags: u8, order: Option<u16>, body: &[u8]) -> Parsed<()> {
        const SHARED: u8 = 0x02;
        const FAIL_IF_UNKNOWN: u8 = 0x80;
        let (offset_size, length_size) = (self.file.offset_size, self.file.length_size);
        if kind == MSG_NIL {
            return Ok(());
        }
        if kind == MSG_CONTINUATION {
            let mut cursor = Cursor::new(body);
            self.blocks.push_back((cursor.read_offset(offset_size)?, cursor.read_length(length_size)?));
            return Ok(());
        }
        if flags & FAIL_IF_UNKNOWN != 0 && kind > MSG_FILE_SPACE_INFO {
            return Err(format!("message of type {kind}, which its writer says must be understood").into());
        }
        let body = if flags & SHARED != 0 { Body::Shared(shared(self.file, body, kind)?) } else { Body::Here(body.to_vec()) };
        self.messages.push(Message { kind, order, body });
        Ok(())
    }
}

/// Where a shared message is (file format specification, IV.A.2, "shared message").
pub(super) fn shared(file: &File, body: &[u8], kind: u16) -> Parsed<SharedMessage> {
    let mut cursor = Cursor::new(body);
    if body.first() == Some(&1) {
        // Version 1 has a whole symbol table entry: libhdf5 skips the offset of a name before the address (hdf5-reader does not).
        cursor.skip(8 + usize::from(file.length_size))?;
        return Ok(SharedMessage::SharedInOhdr { message_type: kind, address: cursor.read_offset(file.offset_size)? });
    }
    Ok(shared::parse(&mut cursor, kind, file.offset_size, file.length_size, body.len())?)
}

/// A version 2 block without its checksum, when that is right.
fn checked(block: &[u8]) -> Parsed<&[u8]> {
    let (content, sum) = block.split_last_chunk::<4>().ok_or("block shorter than its checksum")?;
    let (expected, found) = (u32::from_le_bytes(*sum), jenkins_lookup3(content));
    if expected != found {
        return Err(format!("checksum {expected:#010x} expected, {found:#010x} found").into());
    }
    Ok(content)
}
