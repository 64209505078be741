//! One object in its store: the seam behind which stores of other schemes will stand. Here: regular local files.

use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use object_store::local::LocalFileSystem;
use object_store::{GetOptions, GetRange, ObjectMeta, ObjectStore};

use super::location::{is_a_folder, location, system_error};
use super::{ObjectVersion, over_the_end};
use crate::{Error, Result};

static LOCAL: LazyLock<Arc<dyn ObjectStore>> = LazyLock::new(|| Arc::new(LocalFileSystem::new()));

/// An object that may be read.
#[derive(Debug, Clone)]
pub(super) struct Opened {
    location: Arc<str>,
    store: Arc<dyn ObjectStore>,
    key: object_store::path::Path,
}

impl Opened {
    /// The regular file at a canonical path. Pipes and devices are refused before anything opens them, which could block.
    pub(super) fn local(canonical: &Path) -> Result<Opened> {
        let name = location(canonical)?;
        let metadata = std::fs::metadata(canonical).map_err(|e| system_error(&name, &e))?;
        if metadata.is_dir() {
            return Err(is_a_folder(&name));
        }
        if !metadata.is_file() {
            return Err(Error::unsupported(name, "kind of file: a pipe, socket or device (regular files are read)"));
        }
        let key = object_store::path::Path::from_absolute_path(canonical)
            .map_err(|e| Error::unsupported(name.as_str(), format!("file name: {e}")))?;
        Ok(Opened { location: name.into(), store: Arc::clone(&LOCAL), key })
    }

    /// Canonical path or URL.
    pub(super) fn location(&self) -> &str {
        &self.location
    }

    /// Its version now.
    pub(super) async fn version(&self) -> Result<ObjectVersion> {
        let options = GetOptions { head: true, ..Default::default() };
        let head = self.store.get_opts(&self.key, options).await.map_err(|e| self.failed(e))?;
        Ok(version(&head.meta))
    }

    /// One request for one range (not empty, inside `expected.size`) of the version `expected`.
    pub(super) async fn get(&self, expected: &ObjectVersion, range: Range<u64>) -> Result<Bytes> {
        let options = GetOptions { range: Some(GetRange::Bounded(range.clone())), ..Default::default() };
        let answer = match self.store.get_opts(&self.key, options).await {
            Ok(answer) => answer,
            // A range that the object no longer has: tell what became of it.
            Err(e) => {
                expected.check(&self.location, &self.version().await?)?;
                return Err(self.failed(e));
            }
        };
        expected.check(&self.location, &version(&answer.meta))?;
        let bytes = match answer.bytes().await {
            Ok(bytes) => bytes,
            Err(e) => {
                expected.check(&self.location, &self.version().await?)?;
                return Err(self.failed(e));
            }
        };
        if bytes.len() as u64 != range.end.saturating_sub(range.start) {
            return Err(over_the_end(&self.location, &range, range.start.saturating_add(bytes.len() as u64)));
        }
        Ok(bytes)
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

fn version(meta: &ObjectMeta) -> ObjectVersion {
    ObjectVersion { size: meta.size, modified_micros: meta.last_modified.timestamp_micros(), etag: meta.e_tag.clone() }
}
