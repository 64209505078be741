//! From what people write to canonical paths, and whether these lie under an allowed root.

use std::io;
use std::path::{Path, PathBuf};

use url::Url;

use super::url::RemoteUrl;
use crate::{Error, Result};

/// Where objects may be read.
#[derive(Debug, Clone)]
pub(super) enum Roots {
    /// Everywhere.
    Anywhere,
    /// Under these canonical paths and URLs only.
    Under(Vec<PathBuf>, Vec<RemoteUrl>),
}

/// What a location names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// An absolute path on this machine; links and `..` are not resolved yet.
    Local(PathBuf),
    /// An object, folder or pattern in a remote store.
    Remote(RemoteUrl),
}

impl Place {
    /// Understands a path or URL, with or without wildcards.
    pub(super) fn parse(location: &str) -> Result<Place> {
        match scheme(location) {
            Some(scheme) if scheme != "file" => RemoteUrl::parse(&scheme, location).map(Place::Remote),
            _ => local_path(location).map(Place::Local),
        }
    }
}

impl Roots {
    pub(super) fn none() -> Roots {
        Roots::Under(Vec::new(), Vec::new())
    }

    pub(super) fn anywhere() -> Roots {
        Roots::Anywhere
    }

    /// Adds a canonical path.
    pub(super) fn add(&mut self, root: PathBuf) {
        if let Roots::Under(roots, _) = self
            && !roots.contains(&root)
        {
            roots.push(root);
            roots.sort();
        }
    }

    /// Adds a URL: all that lies at or below it.
    pub(super) fn add_remote(&mut self, root: RemoteUrl) {
        if let Roots::Under(_, roots) = self
            && !roots.contains(&root)
        {
            roots.push(root);
        }
    }

    /// Refuses a URL that is under no root.
    pub(super) fn check_remote(&self, url: &RemoteUrl) -> Result<()> {
        match self {
            Roots::Under(_, roots) if !roots.iter().any(|root| url.is_under(root)) => {
                let above = url.key.rsplit_once('/').map_or("", |(above, _)| above);
                Err(Error::Forbidden { object: url.location(), reason: self.allowed(&url.with_key(above).location()) })
            }
            _ => Ok(()),
        }
    }

    /// The canonical form of an absolute path, when it lies under a root. What lies outside is forbidden whether it
    /// exists or not, so that nothing can be learned about it.
    pub(super) fn resolve(&self, path: &Path) -> Result<PathBuf> {
        match path.canonicalize() {
            Ok(canonical) => {
                self.check(&canonical)?;
                Ok(canonical)
            }
            Err(e) => {
                let above = path.ancestors().skip(1).find_map(|a| a.canonicalize().ok());
                self.check(&above.unwrap_or_else(|| PathBuf::from("/"))).map_err(|_| self.forbidden(path))?;
                Err(system_error(&path.to_string_lossy(), &e))
            }
        }
    }

    /// Refuses a canonical path that is under no root.
    pub(super) fn check(&self, canonical: &Path) -> Result<()> {
        match self {
            Roots::Anywhere => Ok(()),
            Roots::Under(roots, _) if roots.iter().any(|root| canonical.starts_with(root)) => Ok(()),
            Roots::Under(..) => Err(self.forbidden(canonical)),
        }
    }

    fn forbidden(&self, path: &Path) -> Error {
        let folder = path.parent().unwrap_or(path).display();
        Error::Forbidden { object: path.display().to_string(), reason: self.allowed(&folder.to_string()) }
    }

    /// What may be read, and how `folder` would be added.
    fn allowed(&self, folder: &str) -> String {
        let mut names = Vec::new();
        if let Roots::Under(paths, urls) = self {
            names.extend(paths.iter().map(|r| r.display().to_string()));
            names.extend(urls.iter().map(RemoteUrl::location));
        }
        let allowed = match names.is_empty() {
            true => "no folder is allowed yet".to_owned(),
            false => format!("only objects under {} may be read", names.join(", ")),
        };
        format!("{allowed}; start the server with --root {folder} to add one")
    }
}

/// The absolute path that a path or `file://` URL (no other) names; links and `..` are not resolved yet.
pub(super) fn local_path(location: &str) -> Result<PathBuf> {
    if location.is_empty() {
        return Err(Error::User("an empty path names no file".into()));
    }
    if location.contains('\0') {
        return Err(Error::User(format!("{location:?}: a path cannot hold a NUL character")));
    }
    if scheme(location).is_some() {
        let url = Url::parse(location).map_err(|e| Error::User(format!("{location}: not a URL: {e}")))?;
        return url.to_file_path().map_err(|()| Error::User(format!("{location}: a file:// URL names an absolute path on this machine")));
    }
    std::path::absolute(location).map_err(|e| system_error(location, &e))
}

/// The location that `name` means in the object at `base`; see [`super::ObjectReader::resolve`].
pub(super) fn relative_to(base: &str, name: &str) -> String {
    if scheme(name).is_some() {
        return name.into();
    }
    let Some(scheme) = scheme(base) else {
        return Path::new(base).parent().unwrap_or(Path::new("/")).join(name).to_string_lossy().into_owned();
    };
    if scheme.starts_with("http") {
        let encoded = name.replace('%', "%25").replace('?', "%3F").replace('#', "%23");
        return Url::parse(base).and_then(|base| base.join(&encoded)).map_or_else(|_| name.into(), String::from);
    }
    // Keys of buckets are literal.
    let key_at = base.find("://").map_or(0, |at| at + 3);
    let (store, key) = base.split_at(base[key_at..].find('/').map_or(base.len(), |at| key_at + at));
    let mut parts: Vec<&str> = if name.starts_with('/') { Vec::new() } else { key.split('/').collect() };
    parts.pop();
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.retain(|part| !part.is_empty());
    format!("{store}/{}", parts.join("/"))
}

/// The location of the object with this key below a folder or prefix.
pub(super) fn below(location: &str, key: &str) -> String {
    match scheme(location) {
        Some(scheme) if scheme.starts_with("http") => relative_to(&format!("{}/", location.trim_end_matches('/')), key),
        _ => format!("{}/{key}", location.trim_end_matches('/')),
    }
}

/// The scheme of a URL; `None` for a path.
fn scheme(location: &str) -> Option<String> {
    let (scheme, _) = location.split_once("://")?;
    let mut chars = scheme.chars();
    let is_scheme = chars.next()?.is_ascii_alphabetic() && chars.all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    is_scheme.then(|| scheme.to_ascii_lowercase())
}

/// The location of a canonical path.
pub(super) fn location(path: &Path) -> Result<String> {
    match path.to_str() {
        Some(text) => Ok(text.to_string()),
        None => Err(Error::unsupported(path.to_string_lossy(), "file name that is not UTF-8")),
    }
}

/// What the operating system said about a path, in our words.
pub(super) fn system_error(location: &str, e: &io::Error) -> Error {
    match e.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Error::NotFound(format!("{location}: no such file or folder")),
        io::ErrorKind::PermissionDenied => Error::Forbidden {
            object: location.into(),
            reason: "permission denied: the user that runs this program may not read it".into(),
        },
        io::ErrorKind::IsADirectory => is_a_folder(location),
        _ => Error::Io { object: location.into(), reason: e.to_string() },
    }
}

/// The error for a folder where a file is needed.
pub(super) fn is_a_folder(location: &str) -> Error {
    Error::User(format!("{location}: is a folder, not a file"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_an_object_are_relative_to_its_folder() {
        for (base, name, means) in [
            ("/data/a/x.nc", "y.nc", "/data/a/y.nc"),
            ("/data/a/x.nc", "/other/y.nc", "/other/y.nc"),
            ("/data/a/x.nc", "s3://b/k.nc", "s3://b/k.nc"),
            ("/data/a/x.nc", "../y.nc", "/data/a/../y.nc"),
            ("s3://b/a/x.json", "y 1%.nc", "s3://b/a/y 1%.nc"),
            ("s3://b/a/x.json", "../../../y.nc", "s3://b/y.nc"),
            ("s3://b/x.json", "./y.nc", "s3://b/y.nc"),
            ("http://h/a/x.json", "y 1%.nc", "http://h/a/y%201%25.nc"),
            ("http://h/a/x.json", "../y.nc", "http://h/y.nc"),
        ] {
            assert_eq!(relative_to(base, name), means, "{base} {name}");
        }
        assert_eq!(below("/data/a.zarr", "t 2/c/0"), "/data/a.zarr/t 2/c/0");
        assert_eq!(below("s3://b/a.zarr/", "t/.zarray"), "s3://b/a.zarr/t/.zarray");
        assert_eq!(below("https://h/a.zarr", "t 2/c/0"), "https://h/a.zarr/t%202/c/0");
    }
}
