//! The store in a folder: sled, one tree, one log.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Batch, CatalogStore, Visit};
use crate::{Error, Result};

/// Pages of the store kept in memory.
const CACHE_BYTES: u64 = 64 << 20;

/// How long to wait for another holder of the folder's lock.
const LOCK_TRIES: u32 = 20;
const LOCK_WAIT: Duration = Duration::from_millis(25);

/// Keeps records in a folder of its own.
#[derive(Debug)]
pub struct SledStore {
    folder: PathBuf,
    database: sled::Db,
}

impl SledStore {
    /// Opens or makes the store in `folder`. A folder that another process has open: [`Error::Resources`]; a store that is
    /// damaged: [`Error::Data`].
    pub fn open(folder: &Path) -> Result<SledStore> {
        // A store that this process has just dropped lets go of its lock a moment later.
        for _ in 0..LOCK_TRIES {
            match Self::open_once(folder) {
                Err(Error::Resources(_)) => std::thread::sleep(LOCK_WAIT),
                opened => return opened,
            }
        }
        Self::open_once(folder)
    }

    fn open_once(folder: &Path) -> Result<SledStore> {
        let config = sled::Config::new().path(folder).cache_capacity(CACHE_BYTES).flush_every_ms(None);
        // Some damage makes sled panic instead of returning an error.
        let opened = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| config.open()));
        match opened {
            Ok(Ok(database)) => Ok(SledStore { folder: folder.to_owned(), database }),
            Ok(Err(sled::Error::Io(error))) => Err(io_error(folder, &error)),
            Ok(Err(error)) => Err(Error::data(folder.display().to_string(), format!("the catalog's store does not open: {error}"))),
            Err(_) => Err(Error::data(folder.display().to_string(), "the catalog's store does not open: it is damaged")),
        }
    }

    fn failed(&self, error: sled::Error) -> Error {
        match error {
            sled::Error::Io(error) => io_error(&self.folder, &error),
            error => Error::data(self.folder.display().to_string(), format!("the catalog's store: {error}")),
        }
    }
}

fn io_error(folder: &Path, error: &std::io::Error) -> Error {
    let text = error.to_string();
    if text.contains("could not acquire lock") {
        return Error::Resources(format!("data directory {} is in use by another server", folder.display()));
    }
    if matches!(error.kind(), std::io::ErrorKind::InvalidData | std::io::ErrorKind::UnexpectedEof) {
        return Error::data(folder.display().to_string(), format!("the catalog's store: {text}"));
    }
    Error::Io { object: folder.display().to_string(), reason: text }
}

impl SledStore {
    /// Runs one operation; what sled panics on in a damaged store becomes an error.
    fn guarded<T>(&self, work: impl FnOnce(&sled::Db) -> Result<T>) -> Result<T> {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(&self.database)))
            .unwrap_or_else(|_| Err(Error::data(self.folder.display().to_string(), "the catalog's store is damaged")))
    }
}

impl CatalogStore for SledStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.guarded(|database| Ok(database.get(key).map_err(|e| self.failed(e))?.map(|value| value.to_vec())))
    }

    fn scan(&self, prefix: &[u8], visit: Visit<'_>) -> Result<()> {
        self.guarded(|database| {
            for entry in database.scan_prefix(prefix) {
                let (key, value) = entry.map_err(|e| self.failed(e))?;
                visit(&key, &value)?;
            }
            Ok(())
        })
    }

    fn commit(&self, batch: Batch) -> Result<()> {
        let mut changes = sled::Batch::default();
        for (key, value) in batch.into_changes() {
            match value {
                Some(value) => changes.insert(key, value),
                None => changes.remove(key),
            }
        }
        self.guarded(|database| {
            database.apply_batch(changes).map_err(|e| self.failed(e))?;
            database.flush().map_err(|e| self.failed(e))?;
            Ok(())
        })
    }
}
