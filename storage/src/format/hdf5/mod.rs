//! HDF5 and netCDF-4: headers to array metadata and chunk manifests. Nothing is decoded here but attributes and small texts.
//!
//! `source` bytes · `family` the files of a granule · `file` superblock and shared things · `header` messages of one object ·
//! `links` children of a group · `walk` the tree of objects · `datatype`, `leaf`, `value`, `attribute`, `heap` types and values ·
//! `dataset` · `data`, `chunks`, `filter`, `external`, `virtual_set`, `selection`, `text` its cells · `dimensions` their names ·
//! `hdfeos`, `structure_metadata` HDF-EOS5.
//! Structure blocks (B-trees, heaps, chunk indexes) are read by the crate hdf5-reader.

mod attribute;
mod chunks;
mod data;
mod dataset;
mod datatype;
mod dimensions;
mod external;
mod family;
mod file;
mod filter;
mod hdfeos;
mod header;
mod heap;
mod leaf;
mod links;
mod selection;
mod source;
mod structure_metadata;
#[cfg(test)]
mod tests;
mod text;
mod value;
mod virtual_set;
mod walk;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;

use async_trait::async_trait;
use hdf5_reader::storage::DynStorage;
use hdf5_reader::superblock::HDF5_MAGIC;

use super::{Format, IndexedGranule};
use crate::object::ObjectReader;
use crate::{Error, Result};

/// HDF5 files of every superblock version, and netCDF-4 files, which are HDF5 files with marks.
#[derive(Debug, Clone, Copy)]
pub struct Hdf5;

/// User blocks above this size are not looked behind when no format knows the first bytes of an object.
const LARGEST_USER_BLOCK: u64 = 64 << 20;

impl Hdf5 {
    /// True when the HDF5 signature stands behind a user block of 4 KiB or more, where [`Format::detect`] does not see it.
    pub(super) async fn behind_user_block(object: &ObjectReader) -> Result<bool> {
        let mut at = super::HEAD;
        while at <= LARGEST_USER_BLOCK && at + HDF5_MAGIC.len() as u64 <= object.size() {
            if object.read(at..at + HDF5_MAGIC.len() as u64).await?.as_ref() == HDF5_MAGIC {
                return Ok(true);
            }
            at *= 2;
        }
        Ok(false)
    }
}

#[async_trait]
impl Format for Hdf5 {
    fn name(&self) -> &'static str {
        "HDF5 / netCDF-4"
    }

    fn detect(&self, head: &[u8]) -> bool {
        // File format specification, III.A: at 0, 512, 1024, 2048, ...
        [0, 512, 1024, 2048].iter().any(|&at: &usize| head.get(at..at + HDF5_MAGIC.len()) == Some(&HDF5_MAGIC))
    }

    async fn index(&self, object: &ObjectReader) -> Result<IndexedGranule> {
        let bridge = Arc::new(source::ObjectStorage::new(object.clone(), tokio::runtime::Handle::current()));
        let failure = bridge.failure();
        let location = object.location().to_string();
        // hdf5-reader reads synchronously: it gets a thread of its own that waits for ranged reads.
        let parsed = tokio::task::spawn_blocking(move || parse(&location, bridge.clone(), Some(bridge))).await;
        if let Some(error) = failure.lock().take() {
            return Err(error);
        }
        parsed.map_err(|e| Error::Internal(format!("indexing {}: {e}", object.location())))?
    }
}

/// Indexes the HDF5 file behind `storage`; `location` names it in errors, `neighbours` opens the files that it names. Never panics.
fn parse(location: &str, storage: DynStorage, neighbours: Option<Arc<dyn family::Neighbours>>) -> Result<IndexedGranule> {
    guarded(|| {
        let family = Rc::new(family::Family::default());
        let own = neighbours.as_ref().map_or(location, |n| n.location()).to_string();
        let file = Rc::new(file::File::open(storage, 0, neighbours, family.clone())?);
        family.own(&own, &file);
        walk::index(&file)
    })
    .map_err(|Reason(what)| Error::data(location, what))
}

/// Why an object of a file is not read, in one line.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Reason(String);

/// What parsing one object gives: itself, or why not.
type Parsed<T> = std::result::Result<T, Reason>;

impl From<hdf5_reader::error::Error> for Reason {
    fn from(e: hdf5_reader::error::Error) -> Self {
        Reason(e.to_string())
    }
}

impl From<String> for Reason {
    fn from(s: String) -> Self {
        Reason(s)
    }
}

impl From<&str> for Reason {
    fn from(s: &str) -> Self {
        Reason(s.into())
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Reason {
    /// The reason with the place in front: `place: reason`.
    fn at(self, place: &str) -> Self {
        Reason(format!("{place}: {}", self.0))
    }
}

/// Runs `f`; a panic inside it (hdf5-reader on bytes that it did not expect) becomes a reason.
fn guarded<T>(f: impl FnOnce() -> Parsed<T>) -> Parsed<T> {
    catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|panic| {
        let what = panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(|s| s.to_string()));
        Err(Reason(format!("its structure cannot be read ({})", what.unwrap_or_default())))
    })
}
