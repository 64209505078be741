//! Where bytes lie: allowed roots, locations, versions, ranged reads over object_store. No format is known here.
//!
//! A location is the canonical absolute path of a local file; later also the URL of a remote object (see `store`).

mod chunk_store;
mod list;
mod location;
mod ranges;
mod reader;
mod store;

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};
use location::Roots;
pub use reader::ObjectReader;
use store::Opened;

/// What tells one state of an object from the next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectVersion {
    /// Bytes.
    pub size: u64,
    /// Modification time, microseconds since 1970-01-01T00:00Z.
    pub modified_micros: i64,
    /// The store's tag, where it gives one.
    pub etag: Option<String>,
}

/// An object and the state of it that was indexed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionedObject {
    /// Canonical path or URL.
    pub location: String,
    /// Its version when it was indexed.
    pub version: ObjectVersion,
}

impl ObjectVersion {
    /// Refuses `found` unless it is this version, naming the mark that differs.
    fn check(&self, location: &str, found: &ObjectVersion) -> Result<()> {
        let what = if self.size != found.size {
            format!("its size was {} bytes and is {} bytes now", self.size, found.size)
        } else if self.modified_micros != found.modified_micros {
            let time = |micros| match chrono::DateTime::from_timestamp_micros(micros) {
                Some(t) => t.naive_utc().format("%Y-%m-%dT%H:%M:%S%.f").to_string(),
                None => format!("{micros} µs since 1970"),
            };
            format!("its modification time was {} and is {} now", time(self.modified_micros), time(found.modified_micros))
        } else if self.etag != found.etag {
            let tag = |t: &Option<String>| t.clone().unwrap_or_else(|| "none".into());
            format!("its tag was {} and is {} now (another file of the same size and time)", tag(&self.etag), tag(&found.etag))
        } else {
            return Ok(());
        };
        Err(Error::Changed { object: location.into(), what })
    }
}

/// Allowed roots and the object stores behind them. Cheap to clone; clones share their roots.
#[derive(Debug, Clone)]
pub struct Objects {
    roots: Arc<RwLock<Roots>>,
}

impl Objects {
    /// Only objects under `roots` (paths or `file://` URLs of folders or files that exist) may be opened; an empty list
    /// allows none. Of a glob pattern, the folder above its first wildcard becomes the root. Symbolic links and `..` are
    /// resolved, here and in everything that is compared with a root.
    pub fn new(roots: &[String]) -> Result<Objects> {
        let objects = Objects { roots: Arc::new(RwLock::new(Roots::none())) };
        for root in roots {
            objects.allow(root)?;
        }
        Ok(objects)
    }

    /// Every object may be opened: for `inspect` and tests.
    pub fn anywhere() -> Objects {
        Objects { roots: Arc::new(RwLock::new(Roots::anywhere())) }
    }

    /// Adds a root, for all clones.
    pub fn allow(&self, root: &str) -> Result<()> {
        let path = list::root_of(root)?;
        self.roots.write().add(path);
        Ok(())
    }

    /// Canonical locations of the files and chunk stores (folders that are one data set: Zarr) that a path, `file://` URL or glob pattern (`/data/*.nc`, `/data/**/*.tif`) names;
    /// a folder names every file and chunk store below it. Names that begin with a dot are skipped. Sorted, without repeats.
    ///
    /// Errors: [`Error::NotFound`] when nothing matches, [`Error::Forbidden`] for a place (or a link that leads) outside
    /// the roots.
    pub async fn list(&self, pattern: &str) -> Result<Vec<String>> {
        let (pattern, roots) = (pattern.to_string(), self.roots.read().clone());
        blocking(move || list::list(&pattern, &roots)).await
    }

    /// Size, modification time and tag, without reading.
    pub async fn version(&self, location: &str) -> Result<ObjectVersion> {
        self.opened(location)?.version()
    }

    /// A reader for headers. The location of a chunk store stands for its root document, here and in
    /// [`Objects::version`] and [`Objects::read_ranges`].
    pub async fn open(&self, location: &str) -> Result<ObjectReader> {
        let opened = self.opened(location)?;
        let version = opened.probe().await?;
        Ok(ObjectReader::new(opened, version, self.clone()))
    }

    /// All bytes of an object as it is now, and its version; `None` when there is no such object.
    ///
    /// Errors: [`Error::Forbidden`] outside of the roots; [`Error::Changed`] when it changes while it is read;
    /// [`Error::Resources`] when it has more than `limit` bytes.
    pub async fn read_all(&self, location: &str, limit: u64) -> Result<Option<(Bytes, ObjectVersion)>> {
        let Some(version) = self.version_if_there(location).await? else { return Ok(None) };
        if version.size > limit {
            return Err(Error::Resources(format!("{location}: {} bytes are too many to read at once (at most {limit})", version.size)));
        }
        let whole = 0..version.size;
        match self.read_ranges(location, &version, &[whole]).await {
            Ok(mut bytes) => Ok(bytes.pop().map(|bytes| (bytes, version))),
            Err(Error::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// As [`Objects::version`]; `None` when there is no such object.
    pub async fn version_if_there(&self, location: &str) -> Result<Option<ObjectVersion>> {
        match self.version(location).await {
            Ok(version) => Ok(Some(version)),
            Err(Error::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Ranges of one object, in the order given: near ones are fetched in one request, requests run in parallel, and each
    /// is checked against the version that was indexed. Without ranges, only the version is checked.
    ///
    /// Errors: [`Error::Changed`], [`Error::NotFound`], [`Error::Forbidden`]; [`Error::Data`] for a range that reaches
    /// over the object's end.
    pub async fn read_ranges(&self, location: &str, expected: &ObjectVersion, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let opened = self.opened(location)?;
        for range in ranges {
            if range.start > range.end || range.end > expected.size {
                return Err(over_the_end(location, range, expected.size));
            }
        }
        if ranges.iter().all(Range::is_empty) {
            expected.check(location, &opened.version()?)?;
        }
        ranges::read(&opened, expected, ranges).await
    }

    /// Checks the location against the roots and finds its store.
    fn opened(&self, location: &str) -> Result<Opened> {
        let path = location::local_path(location)?;
        let roots = self.roots.read();
        let canonical = roots.resolve(&path)?;
        match chunk_store::root_document(&canonical) {
            None => Opened::local(&canonical),
            Some(name) => Opened::local(&roots.resolve(&canonical.join(name))?)?.document_of(&canonical, name),
        }
    }
}

/// The location of the object with this key below a folder or prefix: of the chunk `t2m/c/0/1` of the store `/data/a.zarr`.
pub fn below(location: &str, key: &str) -> String {
    location::below(location, key)
}

/// The error for a range that is not in the object.
fn over_the_end(location: &str, range: &Range<u64>, size: u64) -> Error {
    Error::data_at(location, range.clone(), format!("the range reaches over the end of the object, which has {size} bytes"))
}

/// Runs file system work where it may block.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(e) => Err(Error::Internal(format!("listing files: {e}"))),
    }
}

#[cfg(test)]
mod tests;
