//! One object in its store, local or remote: what readers ask of it. Here: regular local files; see `remote` for the others.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;

use super::location::{is_a_folder, location, system_error};
use super::remote::{FIRST, RemoteObject};
use super::{ObjectVersion, over_the_end, too_large};
use crate::{Error, Result};

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

    /// Proves that the object can be opened; its version and its first bytes.
    pub(super) async fn open(&self) -> Result<(ObjectVersion, Bytes)> {
        match self {
            Opened::Local(file) => file.open().await,
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
    /// Set where the location is a folder: the name of the document in it that is opened in its place.
    document: Option<&'static str>,
}

impl LocalFile {
    /// The regular file at a canonical path. Pipes and devices are refused before anything opens them, which could block.
    pub(super) fn new(canonical: &Path) -> Result<LocalFile> {
        let name = location(canonical)?;
        regular_file(canonical, &name)?;
        Ok(LocalFile { location: name.into(), path: Arc::new(canonical.to_path_buf()), document: None })
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

    /// Its version and its first bytes, in one go: small files are read whole.
    async fn open(&self) -> Result<(ObjectVersion, Bytes)> {
        self.blocking(|file| {
            let mut opened = file.opened()?;
            let version = file.version_of(&opened)?;
            let first = file.read_at(&mut opened, 0..version.size.min(FIRST))?;
            Ok((version, first))
        })
        .await
    }

    /// Ranges of the version `expected`, which is checked before and after.
    async fn get(&self, expected: &ObjectVersion, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let (expected, ranges) = (expected.clone(), ranges.to_vec());
        self.blocking(move |file| {
            let mut opened = file.opened()?;
            expected.check(&file.location, &file.version_of(&opened)?)?;
            let answers = ranges.iter().map(|range| file.read_at(&mut opened, range.clone())).collect::<Result<Vec<_>>>();
            expected.check(&file.location, &file.version()?)?;
            answers
        })
        .await
    }

    /// Runs file system work where it may block.
    async fn blocking<T: Send + 'static>(&self, work: impl FnOnce(&LocalFile) -> Result<T> + Send + 'static) -> Result<T> {
        let file = self.clone();
        super::blocking(move || work(&file)).await
    }

    fn opened(&self) -> Result<File> {
        File::open(self.path.as_path()).map_err(|e| system_error(&self.location, &e))
    }

    fn version_of(&self, opened: &File) -> Result<ObjectVersion> {
        let metadata = opened.metadata().map_err(|e| system_error(&self.location, &e))?;
        version_of(&metadata).ok_or_else(|| Error::unsupported(self.location.as_ref(), "file system: it tells no time of change"))
    }

    fn read_at(&self, opened: &mut File, range: Range<u64>) -> Result<Bytes> {
        let length = range.end.saturating_sub(range.start);
        let mut bytes = Vec::new();
        let room = usize::try_from(length).ok().and_then(|n| bytes.try_reserve_exact(n).ok());
        room.ok_or_else(|| Error::Resources(format!("{}: no memory for {length} bytes", self.location)))?;
        let read = opened.seek(SeekFrom::Start(range.start)).and_then(|_| opened.take(length).read_to_end(&mut bytes));
        match read {
            Ok(n) if n as u64 == length => Ok(bytes.into()),
            Ok(n) => Err(over_the_end(&self.location, &range, range.start.saturating_add(n as u64))),
            Err(e) => Err(system_error(&self.location, &e)),
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
