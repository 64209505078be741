//! One object of a remote store: its version, its first bytes, ranges of it. Every answer carries the version of the object that
//! it is of, and is thrown away where that is not the one expected.

use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::{StreamExt, TryStreamExt};
use object_store::{GetOptions, GetRange, GetResult, ObjectMeta, ObjectStore};

use super::chunk_store::{ROOT_DOCUMENTS, stands_beside};
use super::cloud::Stores;
use super::url::RemoteUrl;
use super::{ObjectVersion, over_the_end, too_large};
use crate::{Error, Result};

/// Bytes read when an object is opened, local or remote: its version comes with them.
pub(super) const FIRST: u64 = 64 * 1024;
/// Largest request, bytes; longer ranges are fetched in parts.
const PART: u64 = 8 * 1024 * 1024;
/// Parts of one range under way at once.
const PARALLEL: usize = 4;

/// An object of a remote store.
#[derive(Debug, Clone)]
pub(super) struct RemoteObject {
    location: Arc<str>,
    key: object_store::path::Path,
    client: Arc<dyn ObjectStore>,
    stores: Arc<Stores>,
    /// Set where the location is a chunk store: the name of the document in it that is opened in its place.
    document: Option<&'static str>,
}

impl RemoteObject {
    /// The object at a URL, or the root document of a chunk store that is known to be there. Nothing is asked of the store yet.
    pub(super) fn new(stores: &Arc<Stores>, url: &RemoteUrl) -> Result<RemoteObject> {
        let location = url.location();
        if url.key.is_empty() {
            return Err(Error::User(format!("{location}: names a store, not an object in it")));
        }
        let (client, document) = (stores.client(url)?, stores.document(&location));
        let object = RemoteObject { location: location.into(), key: url.path()?, client, stores: stores.clone(), document: None };
        document.map_or(Ok(object.clone()), |name| object.document_of(name))
    }

    fn document_of(&self, name: &'static str) -> Result<RemoteObject> {
        let key = object_store::path::Path::parse(format!("{}/{name}", self.key)).map_err(|e| Error::Internal(e.to_string()))?;
        Ok(RemoteObject { key, document: Some(name), ..self.clone() })
    }

    /// The name of the document that stands for the folder that the location names.
    pub(super) fn document(&self) -> Option<&'static str> {
        self.document
    }

    /// Where nothing lies at the key: the root document of the chunk store whose folder the location may be.
    pub(super) async fn chunk_store(&self) -> Result<Option<RemoteObject>> {
        if self.document.is_some() {
            return Ok(None);
        }
        let mut looks = Vec::with_capacity(ROOT_DOCUMENTS.len());
        for name in ROOT_DOCUMENTS {
            // What only a listing tells cannot be told over HTTP.
            if stands_beside(name).is_none() || !self.location.starts_with("http") {
                looks.push(self.root_document(name));
            }
        }
        let found: Vec<Option<RemoteObject>> = futures::future::try_join_all(looks).await?;
        let found = found.into_iter().flatten().next();
        if let Some(name) = found.as_ref().and_then(|o| o.document) {
            self.stores.found_document(&self.location, name);
        }
        Ok(found)
    }

    /// The root document of this name, where it is one.
    async fn root_document(&self, name: &'static str) -> Result<Option<RemoteObject>> {
        let object = self.document_of(name)?;
        match object.version().await {
            Ok(_) => {}
            Err(Error::NotFound(_)) => return Ok(None),
            Err(error) => return Err(error),
        }
        if let Some(beside) = stands_beside(name) {
            let folder = object_store::path::Path::parse(format!("{}/{beside}", self.key)).map_err(|e| Error::Internal(e.to_string()))?;
            if self.client.list(Some(&folder)).next().await.is_none_or(|first| first.is_err()) {
                return Ok(None);
            }
        }
        Ok(Some(object))
    }

    /// Its URL.
    pub(super) fn location(&self) -> &str {
        &self.location
    }

    /// Its version now.
    pub(super) async fn version(&self) -> Result<ObjectVersion> {
        let options = GetOptions { head: true, ..GetOptions::default() };
        let found = self.client.get_opts(&self.key, options).await.map_err(|e| failed(&self.location, e))?;
        let version = version_of(&found.meta);
        self.stores.told(&self.location, &version);
        Ok(version)
    }

    /// Refuses an object that is not `expected` any more. What the store told within the last seconds counts.
    pub(super) async fn check(&self, expected: &ObjectVersion) -> Result<()> {
        if self.stores.fresh(&self.location).as_ref() == Some(expected) {
            return Ok(());
        }
        expected.check(&self.location, &self.version().await?)
    }

    /// Its version and its first bytes, in one request where the object is not empty.
    pub(super) async fn open(&self) -> Result<(ObjectVersion, Bytes)> {
        let options = GetOptions { range: Some(GetRange::Bounded(0..FIRST)), ..GetOptions::default() };
        let found = match self.client.get_opts(&self.key, options).await {
            Ok(found) => found,
            Err(error @ (object_store::Error::NotFound { .. } | object_store::Error::PermissionDenied { .. })) => {
                return Err(failed(&self.location, error));
            }
            // No range of an empty object can be given.
            Err(error) => {
                let version = self.version().await?;
                return if version.size == 0 { Ok((version, Bytes::new())) } else { Err(failed(&self.location, error)) };
            }
        };
        let version = version_of(&found.meta);
        self.stores.told(&self.location, &version);
        let bytes = found.bytes().await.map_err(|e| failed(&self.location, e))?;
        Ok((version, bytes))
    }

    /// All bytes and their version, in one request; refused where there are more than `limit`.
    pub(super) async fn whole(&self, limit: u64) -> Result<(Bytes, ObjectVersion)> {
        let found = self.client.get_opts(&self.key, GetOptions::default()).await.map_err(|e| failed(&self.location, e))?;
        let version = version_of(&found.meta);
        too_large(&self.location, version.size, limit)?;
        self.stores.told(&self.location, &version);
        let bytes = found.bytes().await.map_err(|e| failed(&self.location, e))?;
        if bytes.len() as u64 != version.size {
            return Err(over_the_end(&self.location, &(0..version.size), bytes.len() as u64));
        }
        Ok((bytes, version))
    }

    /// Ranges (each inside `expected.size`, not empty) of the version `expected`.
    pub(super) async fn get(&self, expected: &ObjectVersion, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let mut answers = Vec::with_capacity(ranges.len());
        for range in ranges {
            let parts: Vec<Range<u64>> = (range.start..range.end).step_by(PART as usize).map(|s| s..range.end.min(s + PART)).collect();
            let mut parts: Vec<Bytes> =
                futures::stream::iter(parts).map(|part| self.get_part(expected, part)).buffered(PARALLEL).try_collect().await?;
            answers.push(match parts.len() {
                1 => parts.pop().unwrap_or_default(),
                _ => {
                    let mut joined = BytesMut::with_capacity(parts.iter().map(Bytes::len).sum());
                    parts.iter().for_each(|part| joined.extend_from_slice(part));
                    joined.freeze()
                }
            });
        }
        Ok(answers)
    }

    async fn get_part(&self, expected: &ObjectVersion, range: Range<u64>) -> Result<Bytes> {
        match self.try_part(expected, &range).await {
            Ok(bytes) => Ok(bytes),
            Err(Tried::Other(error)) => Err(error),
            // Anything may come of a range of an object that is shorter now: the reason is told, not the effect.
            Err(Tried::Store(error)) => {
                if let Ok(now) = self.version().await {
                    expected.check(&self.location, &now)?;
                }
                Err(failed(&self.location, error))
            }
        }
    }

    async fn try_part(&self, expected: &ObjectVersion, range: &Range<u64>) -> Result<Bytes, Tried> {
        let options = GetOptions { range: Some(GetRange::Bounded(range.clone())), ..GetOptions::default() };
        let found: GetResult = self.client.get_opts(&self.key, options).await.map_err(Tried::Store)?;
        let version = version_of(&found.meta);
        expected.check(&self.location, &version).map_err(Tried::Other)?;
        self.stores.told(&self.location, &version);
        let bytes = found.bytes().await.map_err(Tried::Store)?;
        let wanted = range.end.saturating_sub(range.start);
        if bytes.len() as u64 != wanted {
            return Err(Tried::Other(over_the_end(&self.location, range, range.start.saturating_add(bytes.len() as u64))));
        }
        Ok(bytes)
    }
}

/// How a request failed.
enum Tried {
    Store(object_store::Error),
    Other(Error),
}

/// The version of an object as its store tells it. Times count whole seconds, as HTTP headers do, and tags stand without their
/// quotes: listings and headers of one store differ in both.
pub(super) fn version_of(meta: &ObjectMeta) -> ObjectVersion {
    ObjectVersion {
        size: meta.size,
        modified_micros: meta.last_modified.timestamp().saturating_mul(1_000_000),
        etag: meta.e_tag.as_ref().map(|tag| tag.trim_matches('"').to_owned()),
    }
}

/// What a store said about a location, in our words and in one line.
pub(super) fn failed(location: &str, error: object_store::Error) -> Error {
    use object_store::Error as Store;
    match &error {
        Store::NotFound { .. } => Error::NotFound(format!("{location}: no such object")),
        Store::PermissionDenied { .. } | Store::Unauthenticated { .. } => refused(location, &error),
        Store::NotSupported { .. } => {
            Error::unsupported(location, format!("server: it does not answer requests for a range of bytes ({})", cause(&error)))
        }
        _ => {
            let text = one_line(&error.to_string());
            // Listings do not tell these apart.
            let status = |code: u16| text.contains(&format!("status code: {code}"));
            if status(401) || status(403) {
                return refused(location, &error);
            }
            if status(404) {
                return Error::NotFound(format!("{location}: no such bucket or container{}", said(&error)));
            }
            // Without credentials the clients ask a service that only machines of the provider have.
            if ["169.254.169.254", "169.254.170.2", "metadata.google.internal"].iter().any(|host| text.contains(host)) {
                return Error::Forbidden {
                    object: location.into(),
                    reason: format!("no credentials were found; {}", credentials(location)),
                };
            }
            let cause = cause(&error);
            let more = if text.contains(&cause) { String::new() } else { format!(": {cause}") };
            Error::Io { object: location.into(), reason: format!("{text}{more}") }
        }
    }
}

fn refused(location: &str, error: &object_store::Error) -> Error {
    let reason = format!("the store refuses access{}; {}", said(error), credentials(location));
    Error::Forbidden { object: location.into(), reason }
}

/// Where the credentials of a location's store come from.
fn credentials(location: &str) -> &'static str {
    match location.split(':').next() {
        Some("s3") => {
            "credentials are read from AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, the region from AWS_REGION; \
             AWS_SKIP_SIGNATURE=true reads public buckets without any"
        }
        Some("gs") => {
            "credentials are read from GOOGLE_APPLICATION_CREDENTIALS; GOOGLE_SKIP_SIGNATURE=true reads public buckets without any"
        }
        Some("az" | "abfs" | "abfss") => {
            "credentials are read from AZURE_STORAGE_ACCOUNT_NAME, AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_TOKEN; \
             AZURE_SKIP_SIGNATURE=true reads public containers without any"
        }
        _ => "the server wants to know who asks, which is not supported over HTTP",
    }
}

/// The code and message of a store's answer in XML, where it has them.
fn said(error: &object_store::Error) -> String {
    let text = cause(error);
    let tag = |name: &str| {
        let after = text.split_once(&format!("<{name}>"))?.1;
        after.split_once(&format!("</{name}>")).map(|(inner, _)| one_line(inner))
    };
    match (tag("Code"), tag("Message")) {
        (Some(code), Some(message)) => format!(" ({code}: {})", message.trim_end_matches('.')),
        (Some(code), None) => format!(" ({code})"),
        _ => String::new(),
    }
}

/// The innermost reason.
fn cause(error: &object_store::Error) -> String {
    let mut cause: &(dyn std::error::Error + 'static) = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    one_line(&cause.to_string())
}

fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let mut line = words.join(" ");
    if line.chars().count() > 600 {
        line = line.chars().take(600).chain("...".chars()).collect();
    }
    line
}
