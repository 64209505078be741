//! The store in a folder: redb, one file, one table. Opening reads a few pages, however many records there are; a process that was
//! killed leaves the last commit that was whole.
//!
//! redb checks its pages only when it repairs, so each value carries a checksum of its own: a damaged one is an error, never
//! another value.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use redb::{Database, DatabaseError, ReadableDatabase, StorageError, TableDefinition};

use super::{Batch, CatalogStore, Visit};
use crate::{Error, Result};

const RECORDS: TableDefinition<&[u8], &[u8]> = TableDefinition::new("records");
const FILE: &str = "records.redb";
/// Files of the stores that earlier versions kept.
const EARLIER: [&str; 3] = ["conf", "db", "records"];

/// Pages of the store kept in memory.
const CACHE_BYTES: usize = 64 << 20;
/// Bytes of a value's CRC-32C, which follow it.
const CRC: usize = 4;

/// How long to wait for another holder of the folder's lock.
const LOCK_TRIES: u32 = 20;
const LOCK_WAIT: Duration = Duration::from_millis(25);

/// Keeps records in a folder of its own.
pub struct DiskStore {
    path: PathBuf,
    database: Database,
}

impl DiskStore {
    /// Opens or makes the store in `folder`. A folder that another process has open: [`Error::Resources`]; a store that is
    /// damaged, or was made by an earlier version: [`Error::Data`].
    pub fn open(folder: &Path) -> Result<DiskStore> {
        let failed = |error: std::io::Error| Error::Io { object: folder.display().to_string(), reason: error.to_string() };
        std::fs::create_dir_all(folder).map_err(failed)?;
        let path = folder.join(FILE);
        if !path.exists() && EARLIER.iter().any(|name| folder.join(name).exists()) {
            return Err(Error::data(folder.display().to_string(), "the catalog's store was made by an earlier version"));
        }
        let mut tries = 0;
        loop {
            // Some damage makes redb panic instead of returning an error.
            let opened = catch_unwind(AssertUnwindSafe(|| Database::builder().set_cache_size(CACHE_BYTES).create(&path)));
            let error = match opened {
                Ok(Ok(database)) => {
                    let store = DiskStore { path, database };
                    // A table that is there can be read from before the first commit.
                    store.commit_all(std::iter::empty())?;
                    return Ok(store);
                }
                Ok(Err(error)) => error,
                Err(_) => return Err(damaged(&path, "it is damaged")),
            };
            match error {
                // A store that this process has just dropped lets go of its lock a moment later.
                DatabaseError::DatabaseAlreadyOpen if tries < LOCK_TRIES => std::thread::sleep(LOCK_WAIT),
                DatabaseError::DatabaseAlreadyOpen => {
                    return Err(Error::Resources(format!("data directory {} is in use by another server", folder.display())));
                }
                DatabaseError::Storage(error) => return Err(storage_error(&path, error)),
                other => return Err(damaged(&path, other)),
            }
            tries += 1;
        }
    }

    /// Runs one operation; what redb panics on in a damaged store becomes an error.
    fn guarded<T>(&self, work: impl FnOnce() -> std::result::Result<T, Failed>) -> Result<T> {
        match catch_unwind(AssertUnwindSafe(work)) {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(Failed::Ours(error))) => Err(error),
            Ok(Err(Failed::Store(redb::Error::Io(error)))) => Err(storage_error(&self.path, StorageError::Io(error))),
            Ok(Err(Failed::Store(error))) => Err(damaged(&self.path, error)),
            Err(_) => Err(damaged(&self.path, "it is damaged")),
        }
    }

    /// A value without its checksum.
    fn checked<'a>(&self, key: &[u8], stored: &'a [u8]) -> Result<&'a [u8]> {
        let Some((value, crc)) = stored.split_last_chunk::<CRC>() else { return Err(damaged(&self.path, "a value is cut off")) };
        match u32::from_le_bytes(*crc) == crc32c::crc32c(value) {
            true => Ok(value),
            false => Err(damaged(&self.path, format!("the value of {} is damaged", String::from_utf8_lossy(key)))),
        }
    }

    fn commit_all(&self, changes: impl Iterator<Item = (Vec<u8>, Option<Vec<u8>>)>) -> Result<()> {
        self.guarded(|| {
            let mut writing = self.database.begin_write()?;
            // After a crash a catalog should open as quickly as ever.
            writing.set_quick_repair(true);
            {
                let mut table = writing.open_table(RECORDS)?;
                for (key, value) in changes {
                    match value {
                        Some(mut value) => {
                            let crc = crc32c::crc32c(&value);
                            value.extend_from_slice(&crc.to_le_bytes());
                            table.insert(key.as_slice(), value.as_slice())?;
                        }
                        None => {
                            table.remove(key.as_slice())?;
                        }
                    }
                }
            }
            writing.commit()?;
            Ok(())
        })
    }
}

/// What ends an operation early.
enum Failed {
    Store(redb::Error),
    Ours(Error),
}

impl<E: Into<redb::Error>> From<E> for Failed {
    fn from(error: E) -> Self {
        Failed::Store(error.into())
    }
}

fn damaged(path: &Path, what: impl std::fmt::Display) -> Error {
    Error::data(path.display().to_string(), format!("the catalog's store: {what}"))
}

fn storage_error(path: &Path, error: StorageError) -> Error {
    use std::io::ErrorKind::{InvalidData, UnexpectedEof};
    match error {
        StorageError::Io(error) if !matches!(error.kind(), InvalidData | UnexpectedEof) => {
            Error::Io { object: path.display().to_string(), reason: error.to_string() }
        }
        other => damaged(path, other),
    }
}

impl CatalogStore for DiskStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.guarded(|| {
            let found = self.database.begin_read()?.open_table(RECORDS)?.get(key)?;
            found.map(|stored| self.checked(key, stored.value()).map(<[u8]>::to_vec)).transpose().map_err(Failed::Ours)
        })
    }

    fn scan(&self, prefix: &[u8], visit: Visit<'_>) -> Result<()> {
        self.guarded(|| {
            let table = self.database.begin_read()?.open_table(RECORDS)?;
            for entry in table.range(prefix..)? {
                let (key, stored) = entry?;
                if !key.value().starts_with(prefix) {
                    break;
                }
                let value = self.checked(key.value(), stored.value()).map_err(Failed::Ours)?;
                visit(key.value(), value).map_err(Failed::Ours)?;
            }
            Ok(())
        })
    }

    fn commit(&self, batch: Batch) -> Result<()> {
        self.commit_all(batch.into_changes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(entries: &[(&str, &[u8])]) -> Batch {
        let mut batch = Batch::default();
        entries.iter().for_each(|(key, value)| batch.put(*key, *value));
        batch
    }

    #[test]
    fn damage_is_an_error_and_never_another_value() {
        let folder = tempfile::tempdir().unwrap();
        let store = DiskStore::open(folder.path()).unwrap();
        let large = [7u8; 9_000];
        store.commit(batch(&[("a", b"first"), ("b", &large)])).unwrap();
        drop(store);
        let file = folder.path().join(FILE);
        let whole = std::fs::read(&file).unwrap();
        let mut noticed = 0;
        for at in (0..whole.len()).step_by(whole.len() / 400 + 1).chain((0..400).filter(|at| *at < whole.len())) {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x10;
            std::fs::write(&file, bytes).unwrap();
            let read = DiskStore::open(folder.path()).and_then(|store| Ok((store.get(b"a")?, store.get(b"b")?)));
            match read {
                // What is not used may be damaged; a page that lost a key is found by who looks for it.
                Ok((a, b)) => assert!(a.is_none_or(|a| a == b"first") && b.is_none_or(|b| b == large), "byte {at}"),
                Err(Error::Data { .. }) => noticed += 1,
                Err(other) => panic!("byte {at}: {other}"),
            }
        }
        assert!(noticed > 20, "{noticed}");
        for length in [0, 1, 100, whole.len() / 2, whole.len() - 1] {
            std::fs::write(&file, &whole[..length]).unwrap();
            let read = DiskStore::open(folder.path()).and_then(|store| store.get(b"a"));
            assert!(
                matches!(&read, Err(Error::Data { .. }))
                    || matches!(&read, Ok(None) if length == 0)
                    || matches!(&read, Ok(Some(v)) if v == b"first"),
                "{length}: {read:?}"
            );
        }
    }

    #[test]
    fn the_store_of_an_earlier_version_is_not_taken_for_an_empty_one() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("db"), [0; 64]).unwrap();
        assert!(matches!(DiskStore::open(folder.path()), Err(Error::Data { what, .. }) if what.contains("earlier version")));
    }

    #[test]
    fn what_is_overwritten_again_and_again_does_not_fill_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let store = DiskStore::open(folder.path()).unwrap();
        for round in 0..40u8 {
            store.commit(batch(&[("large", &vec![round; 1 << 20])])).unwrap();
        }
        assert_eq!(store.get(b"large").unwrap(), Some(vec![39; 1 << 20]));
        let bytes = std::fs::metadata(folder.path().join(FILE)).unwrap().len();
        assert!(bytes < 16 << 20, "{bytes} bytes");
    }
}
