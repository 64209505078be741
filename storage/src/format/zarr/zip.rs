//! A store in a ZIP file: the directory by the crate zip, each member's bytes by its local header.

use std::io::{self, Read, Seek, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};

use futures::{StreamExt, TryStreamExt};
use tokio::runtime::Handle;
use zip::{CompressionMethod, ZipArchive};

use super::flat::{Flat, Place};
use super::hierarchy::is_document;
use crate::object::ObjectReader;
use crate::{Error, Result};

/// Bytes of a local header before the name (APPNOTE 4.3.7).
const LOCAL_HEADER: u64 = 30;
/// Members of an archive.
const MEMBERS: usize = 20_000_000;
/// Local headers read with one call.
const BATCH: usize = 4096;
/// Calls under way at once.
const PARALLEL: usize = 4;

/// A member as the directory tells it.
struct Member {
    name: String,
    header: u64,
    length: u64,
    /// Deflated, stored, or why it is not read.
    deflated: std::result::Result<bool, String>,
}

/// The store in an archive; `None` for an archive without one.
pub(super) async fn open(object: &ObjectReader) -> Result<Option<Flat>> {
    let reader = Blocking { object: object.clone(), runtime: Handle::current(), at: 0 };
    let location = object.location().to_owned();
    let members = tokio::task::spawn_blocking(move || {
        catch_unwind(AssertUnwindSafe(|| directory(reader))).unwrap_or_else(|_| Err("its directory cannot be read".into()))
    });
    let members = members.await.map_err(|e| Error::Internal(format!("indexing {location}: {e}")))?;
    let members = members.map_err(|what| Error::data(location.as_str(), format!("ZIP archive: {what}")))?;
    // The store often lies in a folder of the archive, which is then a group.
    if !members.iter().any(|m| is_document(&m.name)) {
        return Ok(None);
    }
    let mut flat = Flat::default();
    let (mut keys, mut wanted) = (Vec::new(), Vec::new());
    for member in members {
        let key = member.name;
        match member.deflated {
            Ok(deflated) => {
                let header = member.header..member.header.saturating_add(LOCAL_HEADER);
                if header.end > object.size() {
                    flat.refused.push((key, format!("its header would lie at {} of {} bytes", member.header, object.size())));
                    continue;
                }
                keys.push((key, member.length, deflated));
                wanted.push(header);
            }
            Err(why) => flat.refused.push((key, why)),
        }
    }
    let batches = futures::stream::iter(wanted.chunks(BATCH).map(<[_]>::to_vec).collect::<Vec<_>>());
    let headers = batches.map(|batch| {
        let object = object.clone();
        async move { object.objects().read_ranges(object.location(), object.version(), &batch).await }
    });
    let headers: Vec<bytes::Bytes> = headers.buffered(PARALLEL).try_concat().await?;
    for (((key, length, deflated), at), header) in keys.into_iter().zip(wanted).zip(headers) {
        let number = |i: usize| header.get(i..i + 2).map_or(0, |b| u64::from(b[0]) | u64::from(b[1]) << 8);
        let start = at.end + number(26) + number(28);
        let end = start.checked_add(length).filter(|&end| end <= object.size() && header.starts_with(b"PK\x03\x04"));
        match end {
            Some(end) => drop(flat.places.insert(key, Place::Range { object: 0, range: start..end, deflated })),
            None => flat.refused.push((key, format!("its {length} bytes at {start} are not in the archive of {} bytes", object.size()))),
        }
    }
    Ok(Some(flat))
}

/// The members that are files.
fn directory(reader: Blocking) -> std::result::Result<Vec<Member>, String> {
    let archive = ZipArchive::new(reader).map_err(|e| e.to_string())?;
    if archive.len() > MEMBERS {
        return Err(format!("{} members (at most {MEMBERS})", archive.len()));
    }
    let mut members = Vec::with_capacity(archive.len().min(1 << 16));
    for i in 0..archive.len() {
        let entry = archive.by_index_data(i).map_err(|e| e.to_string())?;
        let name = entry.name().map_err(|e| e.to_string())?.into_owned();
        if entry.is_dir() {
            continue;
        }
        let deflated = match entry.compression() {
            _ if entry.encrypted() => Err("encrypted member of a ZIP archive".into()),
            CompressionMethod::Stored => Ok(false),
            CompressionMethod::Deflated => Ok(true),
            other => Err(format!("ZIP compression {other}")),
        };
        members.push(Member { name, header: entry.header_start(), length: entry.compressed_size(), deflated });
    }
    Ok(members)
}

/// Reads an object where blocking is allowed.
struct Blocking {
    object: ObjectReader,
    runtime: Handle,
    at: u64,
}

impl Read for Blocking {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let end = self.at.saturating_add(buffer.len() as u64).min(self.object.size());
        if end <= self.at {
            return Ok(0);
        }
        let bytes = self.runtime.block_on(self.object.read(self.at..end)).map_err(|e| io::Error::other(e.to_string()))?;
        let room = buffer.get_mut(..bytes.len()).ok_or_else(|| io::Error::other("a read gave too many bytes"))?;
        room.copy_from_slice(&bytes);
        self.at = end;
        Ok(bytes.len())
    }
}

impl Seek for Blocking {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.object.size().checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "a place before the begin"))?;
        Ok(self.at)
    }
}
