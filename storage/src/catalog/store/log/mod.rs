//! The store in a folder: one file that only grows (`records`, see `batch`), and the places of all keys in memory. Opening reads
//! keys, never values; what is overwritten is dropped by writing the file anew once that is most of it.
//!
//! A batch counts when it is on disk whole. What a process that was killed left unfinished at the file's end is cut off; damage
//! anywhere else is an error.

mod batch;

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};

use self::batch::{HEAD, Head, SEAL};
use super::{Batch, CatalogStore, Visit};
use crate::{Error, Result};

/// Begins the file; its last byte is the version.
const MAGIC: &[u8; 16] = b"graticule log  \x01";
const RECORDS: &str = "records";
/// Files of the store that earlier versions kept.
const EARLIER: [&str; 2] = ["conf", "db"];

/// Bytes written at once.
const PIECE: usize = 4 << 20;
/// Overwritten bytes below which the file is left as it is.
const WASTE: u64 = 8 << 20;

/// How long to wait for another holder of the folder's lock.
const LOCK_TRIES: u32 = 20;
const LOCK_WAIT: Duration = Duration::from_millis(25);

/// Keeps records in a folder of its own.
#[derive(Debug)]
pub struct LogStore {
    folder: PathBuf,
    contents: RwLock<Contents>,
    /// Held by the one who writes.
    writer: Mutex<()>,
    /// Open for as long as the store is, for its lock.
    _lock: File,
}

/// The file, and what is where in it.
#[derive(Debug)]
struct Contents {
    file: Arc<File>,
    places: BTreeMap<Box<[u8]>, Place>,
    /// Where the next batch begins.
    end: u64,
    /// Bytes of the values that count, and of their entries in an index.
    live: u64,
}

/// Where a value lies.
#[derive(Debug, Clone, Copy)]
struct Place {
    offset: u64,
    length: u32,
    crc: u32,
}

/// Why a file does not open.
enum Failed {
    Io(io::Error),
    Damaged(String),
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Failed::Io(error)
    }
}

impl LogStore {
    /// Opens or makes the store in `folder`. A folder that another process has open: [`Error::Resources`]; a store that is
    /// damaged, or was made by an earlier version: [`Error::Data`].
    pub fn open(folder: &Path) -> Result<LogStore> {
        let failed = |error: io::Error| Error::Io { object: folder.display().to_string(), reason: error.to_string() };
        std::fs::create_dir_all(folder).map_err(failed)?;
        let path = folder.join(RECORDS);
        if !path.exists() && EARLIER.iter().any(|name| folder.join(name).exists()) {
            return Err(Error::data(folder.display().to_string(), "the catalog's store was made by an earlier version"));
        }
        let lock = Self::lock(folder)?;
        let contents = Contents::open(&path).map_err(|error| match error {
            Failed::Io(error) => failed(error),
            Failed::Damaged(what) => Error::data(path.display().to_string(), format!("the catalog's store does not open: {what}")),
        })?;
        Ok(LogStore { folder: folder.to_owned(), contents: RwLock::new(contents), writer: Mutex::new(()), _lock: lock })
    }

    fn lock(folder: &Path) -> Result<File> {
        let failed = |error: io::Error| Error::Io { object: folder.display().to_string(), reason: error.to_string() };
        let file = File::options().create(true).truncate(false).write(true).open(folder.join("lock")).map_err(failed)?;
        for attempt in 0..=LOCK_TRIES {
            match file.try_lock() {
                Ok(()) => break,
                Err(std::fs::TryLockError::Error(error)) => return Err(failed(error)),
                Err(std::fs::TryLockError::WouldBlock) if attempt < LOCK_TRIES => std::thread::sleep(LOCK_WAIT),
                Err(std::fs::TryLockError::WouldBlock) => {
                    return Err(Error::Resources(format!("data directory {} is in use by another server", folder.display())));
                }
            }
        }
        Ok(file)
    }

    fn failed(&self, error: io::Error) -> Error {
        Error::Io { object: self.folder.join(RECORDS).display().to_string(), reason: error.to_string() }
    }

    fn read(&self, file: &File, place: Place) -> Result<Vec<u8>> {
        let mut value = vec![0; place.length as usize];
        file.read_exact_at(&mut value, place.offset).map_err(|e| self.failed(e))?;
        if crc32c::crc32c(&value) != place.crc {
            let range = place.offset..place.offset + u64::from(place.length);
            return Err(Error::data_at(self.folder.join(RECORDS).display().to_string(), range, "the catalog's store is damaged"));
        }
        Ok(value)
    }

    /// Writes the file anew, without what does not count any more.
    fn compact(&self) -> Result<()> {
        let (beside, path) = (self.folder.join(format!("{RECORDS}.new")), self.folder.join(RECORDS));
        let (file, places) = {
            let contents = self.contents.read();
            (contents.file.clone(), contents.places.clone())
        };
        let mut new = Contents::make(&beside).map_err(|e| self.failed(e))?;
        let mut entries: Vec<(Vec<u8>, Option<Vec<u8>>)> = Vec::new();
        let mut held = 0;
        for (key, place) in places {
            let value = self.read(&file, place)?;
            held += value.len();
            entries.push((key.into(), Some(value)));
            if held >= 16 * PIECE {
                new.append(std::mem::take(&mut entries)).map_err(|e| self.failed(e))?;
                held = 0;
            }
        }
        new.append(entries).map_err(|e| self.failed(e))?;
        std::fs::rename(&beside, &path).and_then(|()| sync_folder(&self.folder)).map_err(|e| self.failed(e))?;
        *self.contents.write() = new;
        Ok(())
    }
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

impl Contents {
    /// An empty file in the place of any other.
    fn make(path: &Path) -> io::Result<Contents> {
        let file = File::options().read(true).write(true).create(true).truncate(true).open(path)?;
        file.write_all_at(MAGIC, 0)?;
        file.sync_all()?;
        path.parent().map_or(Ok(()), sync_folder)?;
        Ok(Contents { file: Arc::new(file), places: BTreeMap::new(), end: MAGIC.len() as u64, live: 0 })
    }

    fn open(path: &Path) -> Result<Contents, Failed> {
        let file = match File::options().read(true).write(true).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::make(path)?),
            Err(error) => return Err(error.into()),
        };
        let length = file.metadata()?.len();
        let mut begin = vec![0; MAGIC.len().min(length as usize)];
        file.read_exact_at(&mut begin, 0)?;
        if begin.len() < MAGIC.len() && MAGIC.starts_with(&begin) {
            return Ok(Self::make(path)?);
        }
        if begin != MAGIC {
            return Err(Failed::Damaged("it does not begin as a store of this version does".into()));
        }
        let mut contents = Contents { file: Arc::new(file), places: BTreeMap::new(), end: MAGIC.len() as u64, live: 0 };
        while contents.end < length {
            if !contents.read_batch(length)? {
                // A file that ends with a seal was written to its end: what does not read in it is damaged, not unfinished.
                let mut last = vec![0; SEAL as usize];
                contents.file.read_exact_at(&mut last, length - SEAL)?;
                if batch::is_seal(&last) {
                    return Err(Failed::Damaged(format!("the batch at byte {} is damaged", contents.end)));
                }
                contents.file.set_len(contents.end)?;
                contents.file.sync_all()?;
                break;
            }
        }
        Ok(contents)
    }

    /// Takes in the batch at the end of what is known; false where there is none that is whole.
    fn read_batch(&mut self, length: u64) -> io::Result<bool> {
        let mut head = vec![0; HEAD as usize];
        if length - self.end < HEAD {
            return Ok(false);
        }
        self.file.read_exact_at(&mut head, self.end)?;
        let Some(head) = Head::of_bytes(&head) else { return Ok(false) };
        let Some(end) = head.body().and_then(|n| n.checked_add(self.end)).filter(|end| *end <= length) else { return Ok(false) };
        let mut index = vec![0; head.index as usize];
        self.file.read_exact_at(&mut index, self.end + HEAD)?;
        let Some(changes) = batch::changes(&index).filter(|_| head.fits(&index)) else { return Ok(false) };
        let values: u64 = changes.iter().filter_map(|(_, value)| value.as_ref()).map(|(n, _)| u64::from(*n)).sum();
        if values != head.values {
            return Ok(false);
        }
        let mut seal = vec![0; SEAL.min(length - end) as usize];
        self.file.read_exact_at(&mut seal, end)?;
        if seal != head.seal() {
            // Not sealed: its values may not all have come to the disk.
            if !self.values_are_whole(self.end + HEAD + u64::from(head.index), &changes)? {
                return Ok(false);
            }
            self.file.write_all_at(&head.seal(), end)?;
            self.file.sync_all()?;
        }
        self.take_in(self.end + HEAD + u64::from(head.index), changes);
        self.end = end + SEAL;
        Ok(true)
    }

    fn values_are_whole(&self, mut offset: u64, changes: &[batch::Change]) -> io::Result<bool> {
        for &(length, crc) in changes.iter().filter_map(|(_, value)| value.as_ref()) {
            let mut value = vec![0; length as usize];
            self.file.read_exact_at(&mut value, offset)?;
            if crc32c::crc32c(&value) != crc {
                return Ok(false);
            }
            offset += u64::from(length);
        }
        Ok(true)
    }

    fn take_in(&mut self, mut offset: u64, changes: Vec<batch::Change>) {
        let cost = |key: &[u8], place: &Place| key.len() as u64 + u64::from(place.length) + 8;
        for (key, value) in changes {
            let before = match value {
                Some((length, crc)) => {
                    let place = Place { offset, length, crc };
                    offset += u64::from(length);
                    self.live += cost(&key, &place);
                    let bytes = key.len() as u64;
                    self.places.insert(key, place).map(|p| bytes + u64::from(p.length) + 8)
                }
                None => self.places.remove(&key).map(|p| cost(&key, &p)),
            };
            self.live = self.live.saturating_sub(before.unwrap_or(0));
        }
    }

    /// Appends a batch; it counts from then on.
    fn append(&mut self, entries: Vec<(Vec<u8>, Option<Vec<u8>>)>) -> io::Result<()> {
        let (changes, at, end) = write(&self.file, self.end, entries)?;
        self.take_in(at, changes);
        self.end = end;
        Ok(())
    }
}

/// Writes a batch at `at` and waits until it is on disk. Gives its changes, where its values begin, and where it ends. What a
/// failure leaves behind is cut off.
fn write(file: &File, at: u64, entries: Vec<(Vec<u8>, Option<Vec<u8>>)>) -> io::Result<(Vec<batch::Change>, u64, u64)> {
    let mut index = Vec::new();
    let fits = entries.iter().all(|(key, value)| batch::put_change(&mut index, key, value.as_deref()));
    let values = entries.iter().filter_map(|(_, value)| value.as_ref()).map(|v| v.len() as u64).sum();
    let (Some(head), Some(changes)) = (Head::new(&index, values).filter(|_| fits), batch::changes(&index)) else {
        return Err(io::Error::other("a change of the catalog is too large for one batch"));
    };
    let begin = at + HEAD + index.len() as u64;
    let all = || -> io::Result<u64> {
        let mut piece = head.to_bytes();
        piece.extend_from_slice(&index);
        let mut to = at;
        for (_, value) in &entries {
            if piece.len() >= PIECE {
                file.write_all_at(&piece, to)?;
                to += piece.len() as u64;
                piece.clear();
            }
            piece.extend_from_slice(value.as_deref().unwrap_or_default());
        }
        file.write_all_at(&piece, to)?;
        file.sync_data()?;
        Ok(to + piece.len() as u64)
    };
    let end = all().inspect_err(|_| {
        // Where this fails as well, opening cuts it off.
        let _ = file.set_len(at);
    })?;
    // On disk already: should the seal not come there, the next one to open checks the values.
    file.write_all_at(&head.seal(), end)?;
    Ok((changes, begin, end + SEAL))
}

impl CatalogStore for LogStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let found = {
            let contents = self.contents.read();
            contents.places.get(key).map(|place| (contents.file.clone(), *place))
        };
        found.map(|(file, place)| self.read(&file, place)).transpose()
    }

    fn scan(&self, prefix: &[u8], visit: Visit<'_>) -> Result<()> {
        let (file, found) = {
            let contents = self.contents.read();
            let from = contents.places.range::<[u8], _>((std::ops::Bound::Included(prefix), std::ops::Bound::Unbounded));
            let found: Vec<(Box<[u8]>, Place)> =
                from.take_while(|(key, _)| key.starts_with(prefix)).map(|(key, place)| (key.clone(), *place)).collect();
            (contents.file.clone(), found)
        };
        found.into_iter().try_for_each(|(key, place)| visit(&key, &self.read(&file, place)?))
    }

    fn commit(&self, batch: Batch) -> Result<()> {
        let _writing = self.writer.lock();
        let entries: Vec<_> = batch.into_changes().collect();
        if entries.is_empty() {
            return Ok(());
        }
        let (file, end) = {
            let contents = self.contents.read();
            (contents.file.clone(), contents.end)
        };
        let (changes, at, end) = write(&file, end, entries).map_err(|e| self.failed(e))?;
        let wasted = {
            let mut contents = self.contents.write();
            contents.take_in(at, changes);
            contents.end = end;
            end.saturating_sub(contents.live)
        };
        if wasted > WASTE && wasted > end / 2 {
            // The change is on disk; a file that stays larger than need be does no harm.
            if let Err(error) = self.compact() {
                tracing::warn!("the catalog's store could not be made smaller: {error}");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
