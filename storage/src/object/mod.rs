//! Where bytes lie: allowed roots, locations, versions, ranged reads over object_store. No format is known here.
//!
//! A location is the canonical absolute path of a local file or the URL of a remote object (`s3://`, `gs://`, `az://`, `http(s)://`).

mod chunk_store;
mod cloud;
mod list;
mod location;
mod ranges;
mod reader;
mod remote;
mod remote_list;
mod store;
mod url;

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};
use cloud::Stores;
use location::{Place, Roots};
pub use reader::ObjectReader;
use remote::RemoteObject;
use store::{LocalFile, Opened};

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

/// An object that a path, URL or pattern names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Canonical path or URL.
    pub location: String,
    /// Its version, where finding it told it.
    pub version: Option<ObjectVersion>,
}

/// Allowed roots and the object stores behind them. Cheap to clone; clones share their roots and connections.
#[derive(Debug, Clone)]
pub struct Objects {
    roots: Arc<RwLock<Roots>>,
    stores: Arc<Stores>,
    /// An object whose blocks are at hand (see [`Objects::through`]).
    header: Option<ObjectReader>,
}

/// Reads through a header's blocks: at most this many ranges, and bytes in all.
const THROUGH: (usize, u64) = (16, 1 << 20);

impl Objects {
    /// Only objects under `roots` may be opened: paths or `file://` URLs of folders or files that exist, or URLs of remote stores
    /// (everything at or below them); an empty list allows none. Of a glob pattern, the folder above its first wildcard becomes the
    /// root. Symbolic links and `..` are resolved, here and in everything that is compared with a root.
    pub fn new(roots: &[String]) -> Result<Objects> {
        let objects = Objects::under(Roots::none());
        for root in roots {
            objects.allow(root)?;
        }
        Ok(objects)
    }

    /// Every object may be opened: for `inspect` and tests.
    pub fn anywhere() -> Objects {
        Objects::under(Roots::anywhere())
    }

    fn under(roots: Roots) -> Objects {
        Objects { roots: Arc::new(RwLock::new(roots)), stores: Arc::default(), header: None }
    }

    /// Adds a root, for all clones.
    pub fn allow(&self, root: &str) -> Result<()> {
        match Place::parse(root)? {
            Place::Local(_) => {
                let path = list::root_of(root)?;
                self.roots.write().add(path);
            }
            Place::Remote(url) => self.roots.write().add_remote(url.above_wildcards()),
        }
        Ok(())
    }

    /// Canonical locations of the files and chunk stores (folders that are one data set: Zarr) that a path, URL or glob pattern
    /// (`/data/*.nc`, `s3://bucket/**/*.tif`) names; a folder names every file and chunk store below it. Names that begin with a dot
    /// are skipped. Sorted, without repeats. HTTP servers cannot be listed: a URL of one names itself, unseen.
    ///
    /// Errors: [`Error::NotFound`] when nothing matches, [`Error::Forbidden`] for a place (or a link that leads) outside
    /// the roots, and for a store that refuses access.
    pub async fn list(&self, pattern: &str) -> Result<Vec<String>> {
        Ok(self.list_versions(pattern).await?.into_iter().map(|listed| listed.location).collect())
    }

    /// As [`Objects::list`], with the versions that listing told.
    pub async fn list_versions(&self, pattern: &str) -> Result<Vec<Listed>> {
        let roots = self.roots.read().clone();
        match Place::parse(pattern)? {
            Place::Local(_) => {
                let pattern = pattern.to_string();
                blocking(move || list::list(&pattern, &roots)).await
            }
            Place::Remote(url) => {
                roots.check_remote(&url.above_wildcards())?;
                remote_list::list(&url, &self.stores).await
            }
        }
    }

    /// Size, modification time and tag, without reading.
    pub async fn version(&self, location: &str) -> Result<ObjectVersion> {
        let opened = self.opened(location)?;
        match opened.version().await {
            Err(Error::NotFound(why)) => match opened.chunk_store().await? {
                Some(document) => document.version().await,
                None => Err(Error::NotFound(why)),
            },
            other => other,
        }
    }

    /// A reader for headers. The location of a chunk store stands for its root document, here and in
    /// [`Objects::version`] and [`Objects::read_ranges`].
    pub async fn open(&self, location: &str) -> Result<ObjectReader> {
        let opened = self.opened(location)?;
        let (opened, (version, first)) = match opened.open().await {
            Ok(found) => (opened, found),
            Err(Error::NotFound(why)) => {
                let document = opened.chunk_store().await?.ok_or(Error::NotFound(why))?;
                let found = document.open().await?;
                (document, found)
            }
            Err(error) => return Err(error),
        };
        Ok(ObjectReader::new(opened, version, first, Objects { header: None, ..self.clone() }))
    }

    /// The same, but few and small ranges of the reader's object are read through its blocks: coordinates often lie beside headers.
    pub fn through(&self, reader: &ObjectReader) -> Objects {
        Objects { header: Some(reader.clone()), ..self.clone() }
    }

    /// All bytes of an object as it is now, and its version; `None` when there is no such object.
    ///
    /// Errors: [`Error::Forbidden`] outside of the roots; [`Error::Changed`] when it changes while it is read;
    /// [`Error::Resources`] when it has more than `limit` bytes.
    pub async fn read_all(&self, location: &str, limit: u64) -> Result<Option<(Bytes, ObjectVersion)>> {
        if_there(async { self.opened(location)?.whole(limit).await }.await)
    }

    /// The one name of a place: links and `..` resolved, URLs in their one form. A local place must be there.
    pub fn canonical(&self, location: &str) -> Result<String> {
        match Place::parse(location)? {
            Place::Local(path) => location::location(&self.roots.read().resolve(&path)?),
            Place::Remote(url) => Ok(url.location()),
        }
    }

    /// Names of the folders directly below a folder; hidden ones are left out. Sorted. Refused over HTTP, where nothing is listed.
    pub async fn folders(&self, location: &str) -> Result<Vec<String>> {
        let roots = self.roots.read().clone();
        match Place::parse(location)? {
            Place::Local(path) => blocking(move || list::folders(&path, &roots)).await,
            Place::Remote(url) => {
                roots.check_remote(&url)?;
                remote_list::folders(&url, &self.stores).await
            }
        }
    }

    /// As [`Objects::version`]; `None` when there is no such object. A chunk store that is not known yet is none either.
    pub async fn version_if_there(&self, location: &str) -> Result<Option<ObjectVersion>> {
        if_there(async { self.opened(location)?.version().await }.await)
    }

    /// Ranges of one object, in the order given: near ones are fetched in one request, requests run in parallel, and each
    /// is checked against the version that was indexed. Without ranges, only the version is checked.
    ///
    /// Errors: [`Error::Changed`], [`Error::NotFound`], [`Error::Forbidden`]; [`Error::Data`] for a range that reaches
    /// over the object's end.
    pub async fn read_ranges(&self, location: &str, expected: &ObjectVersion, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        for range in ranges {
            if range.start > range.end || range.end > expected.size {
                return Err(over_the_end(location, range, expected.size));
            }
        }
        if let Some(header) = self.header.as_ref().filter(|h| h.location() == location && h.version() == expected) {
            let bytes = ranges.iter().fold(0u64, |n, r| n.saturating_add(r.end - r.start));
            if ranges.len() <= THROUGH.0 && bytes <= THROUGH.1 {
                return header.read_all(ranges).await;
            }
        }
        let opened = self.opened(location)?;
        match read_opened(&opened, expected, ranges).await {
            Err(Error::NotFound(why)) => match opened.chunk_store().await? {
                Some(document) => read_opened(&document, expected, ranges).await,
                None => Err(Error::NotFound(why)),
            },
            other => other,
        }
    }

    /// Checks the location against the roots and finds its store.
    fn opened(&self, location: &str) -> Result<Opened> {
        match Place::parse(location)? {
            Place::Local(path) => {
                let roots = self.roots.read();
                let canonical = roots.resolve(&path)?;
                let document = canonical.is_dir().then(|| chunk_store::root_document(&canonical)).flatten();
                Ok(Opened::Local(match document {
                    None => LocalFile::new(&canonical)?,
                    Some(name) => LocalFile::new(&roots.resolve(&canonical.join(name))?)?.document_of(&canonical, name)?,
                }))
            }
            Place::Remote(url) => {
                self.roots.read().check_remote(&url)?;
                Ok(Opened::Remote(RemoteObject::new(&self.stores, &url)?))
            }
        }
    }
}

/// The location of the object with this key below a folder or prefix: of the chunk `t2m/c/0/1` of the store `/data/a.zarr`.
pub fn below(location: &str, key: &str) -> String {
    location::below(location, key)
}

async fn read_opened(opened: &Opened, expected: &ObjectVersion, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
    if ranges.iter().all(Range::is_empty) {
        opened.check(expected).await?;
    }
    ranges::read(opened, expected, ranges).await
}

/// `None` for an object that is not there.
fn if_there<T>(found: Result<T>) -> Result<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(Error::NotFound(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Refuses an object of more than `limit` bytes.
fn too_large(location: &str, size: u64, limit: u64) -> Result<()> {
    if size <= limit {
        return Ok(());
    }
    Err(Error::Resources(format!("{location}: {size} bytes are too many to read at once (at most {limit})")))
}

/// The error for a range that is not in the object.
fn over_the_end(location: &str, range: &Range<u64>, size: u64) -> Error {
    Error::data_at(location, range.clone(), format!("the range reaches over the end of the object, which has {size} bytes"))
}

/// Runs file system work where it may block.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(e) => Err(Error::Internal(format!("work on files stopped: {e}"))),
    }
}

#[cfg(test)]
mod remote_tests;
#[cfg(test)]
mod tests;
