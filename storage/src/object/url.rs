//! URLs of remote objects: which store, which key, and the one way to write them.

use object_store::path::Path;
use url::Url;

use crate::{Error, Result};

/// Schemes of remote objects, as messages name them.
pub(super) const SCHEMES: &str = "s3://, gs://, az://, abfs://, http:// and https://";

/// A place in a remote store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RemoteUrl {
    /// The store: `s3://bucket`, `http://host:8000`.
    pub(super) store: String,
    /// The key in it, not percent-encoded, without a slash in front or behind; empty for the whole store.
    pub(super) key: String,
    /// True where it was written with a slash at its end: it can only be a folder.
    pub(super) folder: bool,
}

impl RemoteUrl {
    /// Understands a URL of one of [`SCHEMES`]. Keys of buckets are taken literally; of `http` URLs they are percent-decoded.
    /// They may hold wildcards. Queries, fragments and passwords in `http` URLs are refused.
    pub(super) fn parse(scheme: &str, location: &str) -> Result<RemoteUrl> {
        let wrong = |what: &str| Error::User(format!("{location}: {what}"));
        let rest = location.split_once("://").map_or("", |(_, rest)| rest);
        if matches!(scheme, "http" | "https") {
            return Self::parse_http(location);
        }
        let scheme = match scheme {
            "s3" | "s3a" => "s3",
            "gs" | "gcs" => "gs",
            "az" | "azure" => "az",
            "abfs" | "abfss" => scheme,
            _ => {
                let feature = format!("scheme {scheme}:// (local paths, file://, {SCHEMES} are read)");
                return Err(Error::unsupported(location, feature));
            }
        };
        let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() || bucket.chars().any(|c| c.is_whitespace() || "?#*[]\\".contains(c)) {
            return Err(wrong("the URL names no bucket or container"));
        }
        let folder = key.is_empty() || key.ends_with('/');
        let key = key.trim_end_matches('/');
        if key.split('/').any(|part| part == "." || part == "..") || key.starts_with('/') || key.contains("//") {
            return Err(wrong("a key with empty parts, `.` or `..` is not read"));
        }
        if key.contains(['\0', '\n', '\r']) {
            return Err(wrong("a key with control characters is not read"));
        }
        Ok(RemoteUrl { store: format!("{scheme}://{bucket}"), key: key.into(), folder })
    }

    fn parse_http(location: &str) -> Result<RemoteUrl> {
        let wrong = |what: &str| Error::User(format!("{location}: {what}"));
        // A question mark is a wildcard to people who write patterns and a query to servers: neither works over HTTP.
        let url = Url::parse(location).map_err(|e| wrong(&format!("not a URL: {e}")))?;
        if url.query().is_some() || url.fragment().is_some() {
            return Err(Error::unsupported(location, "URL with a query or fragment (`?`, `#`); name the file itself"));
        }
        if url.password().is_some() || !url.username().is_empty() {
            return Err(Error::unsupported(location, "URL with a user name or password"));
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(wrong("the URL names no server"));
        }
        let path = Path::from_url_path(url.path()).map_err(|e| wrong(&format!("not a path: {e}")))?;
        let folder = url.path().ends_with('/');
        Ok(RemoteUrl { store: url[..url::Position::BeforePath].to_owned(), key: path.to_string(), folder })
    }

    /// True for stores that cannot list what they hold.
    pub(super) fn is_http(&self) -> bool {
        self.store.starts_with("http")
    }

    /// The key as the object stores know it.
    pub(super) fn path(&self) -> Result<Path> {
        Path::parse(&self.key).map_err(|e| Error::User(format!("{}: not a key: {e}", self.location())))
    }

    /// Another key of the same store.
    pub(super) fn with_key(&self, key: &str) -> RemoteUrl {
        RemoteUrl { store: self.store.clone(), key: key.to_owned(), folder: false }
    }

    /// The one way to write it.
    pub(super) fn location(&self) -> String {
        if !self.is_http() {
            return if self.key.is_empty() { self.store.clone() } else { format!("{}/{}", self.store, self.key) };
        }
        match Url::parse(&self.store) {
            Ok(mut url) => {
                if let Ok(mut parts) = url.path_segments_mut() {
                    parts.clear().extend(self.key.split('/'));
                }
                url.into()
            }
            Err(_) => format!("{}/{}", self.store, self.key),
        }
    }

    /// True where this lies at or below `root`.
    pub(super) fn is_under(&self, root: &RemoteUrl) -> bool {
        let below = |rest: &str| rest.is_empty() || rest.starts_with('/');
        self.store == root.store && (root.key.is_empty() || self.key.strip_prefix(root.key.as_str()).is_some_and(below))
    }

    /// The folder above the first part with a wildcard; itself where there is none.
    pub(super) fn above_wildcards(&self) -> RemoteUrl {
        if !self.has_wildcard() {
            return self.clone();
        }
        let parts: Vec<&str> = self.key.split('/').take_while(|part| !has_wildcard(part)).collect();
        self.with_key(&parts.join("/"))
    }

    /// True where some part of the key has a wildcard.
    pub(super) fn has_wildcard(&self) -> bool {
        has_wildcard(&self.key)
    }
}

/// True for text with one of the wildcards of glob patterns.
pub(super) fn has_wildcard(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(location: &str) -> Result<RemoteUrl> {
        RemoteUrl::parse(location.split_once("://").unwrap().0, location)
    }

    #[test]
    fn urls_have_one_form() {
        for (written, store, key, location) in [
            ("s3://b/a/x y%20.nc", "s3://b", "a/x y%20.nc", "s3://b/a/x y%20.nc"),
            ("s3a://b/a/", "s3://b", "a", "s3://b/a"),
            ("gs://b", "gs://b", "", "gs://b"),
            ("http://h:81/a/../b%20c.nc", "http://h:81", "b c.nc", "http://h:81/b%20c.nc"),
            ("https://h/", "https://h", "", "https://h/"),
            ("abfs://c@acc.dfs.core.windows.net/k", "abfs://c@acc.dfs.core.windows.net", "k", "abfs://c@acc.dfs.core.windows.net/k"),
        ] {
            let url = parse(written).unwrap();
            assert_eq!((url.store.as_str(), url.key.as_str(), url.location().as_str()), (store, key, location), "{written}");
            if !key.is_empty() {
                assert_eq!(parse(&url.location()).unwrap(), RemoteUrl { folder: false, ..url }, "{written}");
            }
        }
    }

    #[test]
    fn odd_urls_are_refused() {
        for wrong in ["s3:///a", "s3://", "s3://b/a/../c", "s3://b//a", "s3://b/a\n", "http://h/x?sig=1", "http://u:p@h/x"] {
            assert!(matches!(parse(wrong), Err(Error::User(_) | Error::Unsupported { .. })), "{wrong}");
        }
        assert!(parse("ftp://h/x").unwrap_err().to_string().contains("s3://"));
    }

    #[test]
    fn roots_are_prefixes_of_whole_parts() {
        let under = |a: &str, b: &str| parse(a).unwrap().is_under(&parse(b).unwrap());
        assert!(under("s3://b/a/x.nc", "s3://b/a") && under("s3://b/a", "s3://b/a/") && under("s3://b/a", "s3://b"));
        assert!(!under("s3://b/ab", "s3://b/a") && !under("s3://c/a", "s3://b") && !under("gs://b/a", "s3://b"));
        assert!(!under("http://h/a/../c", "http://h/a") && !under("https://h/a", "http://h/a"));
        assert_eq!(parse("s3://b/a/b*/c.nc").unwrap().above_wildcards().key, "a");
    }
}
