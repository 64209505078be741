//! Bytes for hdf5-reader: a synchronous view of an [`ObjectReader`], and the bounds under which headers are read.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hdf5_reader::error::{Error as ReaderError, Result as ReaderResult};
use hdf5_reader::storage::{DynStorage, Storage, StorageBuffer};
use parking_lot::Mutex;
use tokio::runtime::Handle;

use super::family::{Neighbour, Neighbours};
use super::{Parsed, Reason};
use crate::object::{ObjectReader, VersionedObject};
use crate::{Error, Result};

/// An object as hdf5-reader's storage, and what it names; blocks the calling thread, which must not be one of the runtime's own.
#[derive(Clone)]
pub(super) struct ObjectStorage {
    object: ObjectReader,
    runtime: Handle,
    failure: Arc<Mutex<Option<Error>>>,
}

impl ObjectStorage {
    /// Reads `object` on `runtime`.
    pub(super) fn new(object: ObjectReader, runtime: Handle) -> Self {
        ObjectStorage { object, runtime, failure: Arc::default() }
    }

    /// Set when reading itself failed (network, permission, changed file), which is no fault of the file's content: the
    /// whole indexing fails then, instead of refusing the object whose header could not be fetched.
    pub(super) fn failure(&self) -> Arc<Mutex<Option<Error>>> {
        self.failure.clone()
    }

    fn fetch(&self, offset: u64, end: u64) -> Result<bytes::Bytes> {
        self.runtime.block_on(self.object.read(offset..end))
    }
}

impl Neighbours for ObjectStorage {
    fn location(&self) -> &str {
        self.object.location()
    }

    fn open(&self, name: &str) -> Parsed<Option<Neighbour>> {
        let location = self.object.resolve(name);
        let object = match self.runtime.block_on(self.object.objects().open(&location)) {
            Ok(object) => object,
            Err(Error::NotFound(_)) => return Ok(None),
            Err(error) => return Err(Reason(error.to_string())),
        };
        let named = VersionedObject { location: object.location().into(), version: object.version().clone() };
        let opened = Arc::new(ObjectStorage { object, runtime: self.runtime.clone(), failure: self.failure.clone() });
        Ok(Some(Neighbour { storage: opened.clone(), object: named, neighbours: opened }))
    }
}

impl Storage for ObjectStorage {
    fn len(&self) -> u64 {
        self.object.size()
    }

    fn read_range(&self, offset: u64, len: usize) -> ReaderResult<StorageBuffer> {
        if self.failure.lock().is_some() {
            return Err(ReaderError::Other("reading failed before".into()));
        }
        let end = inside(self.len(), offset, len)?;
        match self.fetch(offset, end) {
            Ok(bytes) if bytes.len() == len => StorageBuffer::from_shared_owner(Arc::new(bytes), 0, len),
            Ok(bytes) => Err(ReaderError::UnexpectedEof { offset, needed: len as u64, available: bytes.len() as u64 }),
            Err(error) => {
                let what = error.to_string();
                self.failure.lock().get_or_insert(error);
                Err(ReaderError::Other(what))
            }
        }
    }
}

/// The part of a storage behind its user block, addressed from 0 as HDF5 addresses are, with a limit on how much is read
/// in all: structures that refer to each other in circles end in an error instead of reading for ever.
pub(super) struct Bounded {
    inner: DynStorage,
    base: u64,
    left: AtomicU64,
}

impl Bounded {
    /// Behind `base` bytes of user block.
    pub(super) fn new(inner: DynStorage, base: u64) -> Self {
        let left = inner.len().saturating_mul(4).saturating_add(64 << 20);
        Bounded { inner, base, left: AtomicU64::new(left) }
    }
}

/// What one read costs at least, in bytes of the limit.
const READ_COST: u64 = 64;

impl Storage for Bounded {
    fn len(&self) -> u64 {
        self.inner.len().saturating_sub(self.base)
    }

    fn read_range(&self, offset: u64, len: usize) -> ReaderResult<StorageBuffer> {
        inside(self.len(), offset, len)?;
        let cost = (len as u64).saturating_add(READ_COST);
        self.left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(cost))
            .map_err(|_| ReaderError::ResourceLimit("headers refer to more bytes than the file can hold".into()))?;
        self.inner.read_range(offset + self.base, len)
    }
}

/// The end of `len` bytes at `offset`, when they lie inside `total` bytes.
fn inside(total: u64, offset: u64, len: usize) -> ReaderResult<u64> {
    match offset.checked_add(len as u64) {
        Some(end) if end <= total => Ok(end),
        _ => Err(ReaderError::UnexpectedEof { offset, needed: len as u64, available: total.saturating_sub(offset) }),
    }
}
