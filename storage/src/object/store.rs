//! One object in its store, local or remote: what readers ask of it. Here: regular local files; see `remote` for the others.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;

use super::location::{is_a_folder, location, system_error};
use super::remote::RemoteObject;
use super::{ObjectVersion, over_the_end, too_large};
use crate::{Error, Result};

static LOCAL: LazyLock<Arc<dyn ObjectStore>> = LazyLock::new(|| Arc::new(LocalFileSystem::new()));

/// An object that may be read.
#[derive(Debug, Clone)]
pub(super) enum Opened {
    /// A regular file of this machine.
    Local(LocalFile),
    /// An object of a remote store.
    Remote(RemoteObject),
}

impl Opened {
    /// Canonical path or URL.
    pub(super) fn location(&self) -> &str {
        match self {
            Opened::Local(file) => &file.location,
            Opened::Remote(object) => object.location(),
        }
    }

    /// The name of the document that stands for the folder that the location names.
    pub(super) fn document(&self) -> Option<&'static str> {
        match self {
            Opened::Local(file) => file.document,
            Opened::Remote(object) => object.document(),
        }
    }

    /// True where each request has a price.
    pub(super) fn is_remote(&self) -> bool {
        matches!(self, Opened::Remote(_))
    }

    /// Its version now.
    pub(super) async fn version(&self) -> Result<ObjectVersion> {
        match self {
            Opened::Local(file) => file.version(),
            Opened::Remote(object) => object.version().await,
        }
    }

    /// Refuses an object that is not `expected` any more, without reading it.
    pub(super) async fn check(&self, expected: &ObjectVersion) -> Result<()> {
        match self {
            Opened::Local(file) => expected.check(&file.location, &file.version()?),
            Opened::Remote(object) => object.check(expected).await,
        }
    }

    /// Proves that the object can be opened; its version and, of a remote one, the bytes that came with it.
    pub(super) async fn open(&self) -> Result<(ObjectVersion, Bytes)> {
        match self {
            Opened::Local(file) => Ok((file.probe().await?, Bytes::new())),
            Opened::Remote(object) => object.open().await,
        }
    }

    /// All bytes and their version; refused where there are more than `limit`.
    pub(super) async fn whole(&self, limit: u64) -> Result<(Bytes, ObjectVersion)> {
        let file = match self {
            Opened::Local(file) => file,
            Opened::Remote(object) => return object.whole(limit).await,
        };
        let version = file.version()?;
        too_large(&file.location, version.size, limit)?;
        if version.size == 0 {
            return Ok((Bytes::new(), version));
        }
        let mut whole = file.get(&version, &[0..version.size]).await?;
        Ok((whole.pop().unwrap_or_default(), version))
    }

    /// Where nothing lies at a remote location: the root document of the chunk store whose folder it may be. Local ones are
    /// found by looking.
    pub(super) async fn chunk_store(&self) -> Result<Option<Opened>> {
        match self {
            Opened::Local(_) => Ok(None),
            Opened::Remote(object) => Ok(object.chunk_store().await?.map(Opened::Remote)),
        }
    }

    /// Ranges (each inside `expected.size`, not empty) of the version `expected`.
    pub(super) async fn get(&self, expected: &ObjectVersion, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        match self {
            Opened::Local(file) => file.get(expected, ranges).await,
            Opened::Remote(object) => object.get(expected, ranges).await,
        }
    }
}

/// A regular file of this machine.
#[derive(Debug, Clone)]
pub(super) struct LocalFile {
    location: Arc<str>,
    path: Arc<PathBuf>,
    store: Arc<dyn ObjectStore>,
    key: object_store::path::Path,
    /// Set where the location is a folder: the name of the document in it that is opened in its place.
    document: Option<&'static str>,
}

impl LocalFile {
    /// The regular file at a canonical path. Pipes and devices are refused before anything opens them, which could block.
    pub(super) fn new(canonical: &Path) -> Result<LocalFile> {
        let name = location(canonical)?;
        regular_file(canonical, &name)?;
        let key = object_store::path::Path::from_absolute_path(canonical)
            .map_err(|e| Error::unsupported(name.as_str(), format!("file name: {e}")))?;
        Ok(LocalFile { location: name.into(), path: Arc::new(canonical.to_path_buf()), store: Arc::clone(&LOCAL), key, document: None })
    }

    /// Makes this object, a folder's root document, stand for the folder.
    pub(super) fn document_of(self, folder: &Path, name: &'static str) -> Result<LocalFile> {
        Ok(LocalFile { location: location(folder)?.into(), document: Some(name), ..self })
    }

    /// Its version now. One call to the system, without a thread of its own: it is asked for with every read.
    fn version(&self) -> Result<ObjectVersion> {
        let metadata = regular_file(&self.path, &self.location)?;
        version_of(&metadata).ok_or_else(|| Error::unsupported(self.location.as_ref(), "file system: it tells no time of change"))
    }

    /// Proves that the object can be opened and gives its version.
    async fn probe(&self) -> Result<ObjectVersion> {
        let options = object_store::GetOptions { head: true, ..Default::default() };
        self.store.get_opts(&self.key, options).await.map_err(|e| self.failed(e))?;
        self.version()
    }

    /// Ranges of the version `expected`, which is checked before and after.
    async fn get(&self, expected: &ObjectVersion, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        expected.check(&self.location, &self.version()?)?;
        let answers = self.store.get_ranges(&self.key, ranges).await;
        expected.check(&self.location, &self.version()?)?;
        let answers = answers.map_err(|e| self.failed(e))?;
        for (i, range) in ranges.iter().enumerate() {
            let length = answers.get(i).map_or(0, |bytes| bytes.len() as u64);
            if length != range.end.saturating_sub(range.start) {
                return Err(over_the_end(&self.location, range, range.start.saturating_add(length)));
            }
        }
        Ok(answers)
    }

    fn failed(&self, e: object_store::Error) -> Error {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&e);
        while let Some(inner) = cause {
            if let Some(io) = inner.downcast_ref::<std::io::Error>() {
                return system_error(&self.location, io);
            }
            cause = inner.source();
        }
        match e {
            object_store::Error::NotFound { .. } => Error::NotFound(format!("{}: no such file", self.location)),
            other => Error::Io { object: self.location.to_string(), reason: other.to_string() },
        }
    }
}

/// The version of a regular file; `None` where the system tells no time of change.
pub(super) fn version_of(metadata: &std::fs::Metadata) -> Option<ObjectVersion> {
    let modified = metadata.modified().ok()?;
    Some(ObjectVersion { size: metadata.len(), modified_micros: micros(modified), etag: tag(metadata) })
}

fn regular_file(path: &Path, name: &str) -> Result<std::fs::Metadata> {
    let metadata = std::fs::metadata(path).map_err(|e| system_error(name, &e))?;
    if metadata.is_dir() {
        return Err(is_a_folder(name));
    }
    if !metadata.is_file() {
        return Err(Error::unsupported(name, "kind of file: a pipe, socket or device (regular files are read)"));
    }
    Ok(metadata)
}

/// Microseconds since 1970-01-01T00:00Z; saturates.
fn micros(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_micros()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_micros()).map_or(i64::MIN, |n| -n),
    }
}

/// Tells a file from another one of the same name, size and time.
#[cfg(unix)]
fn tag(metadata: &std::fs::Metadata) -> Option<String> {
    Some(format!("{:x}", std::os::unix::fs::MetadataExt::ino(metadata)))
}

#[cfg(not(unix))]
fn tag(_: &std::fs::Metadata) -> Option<String> {
    None
}
