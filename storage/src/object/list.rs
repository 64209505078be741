//! From a path, URL or glob pattern to the files and chunk stores that it names.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use glob::{MatchOptions, glob_with};

use super::chunk_store::root_document;
use super::location::{Roots, local_path, location, system_error};
use super::store::version_of;
use super::{Listed, ObjectVersion};
use crate::{Error, Result};

/// As a shell matches: `*` stops at `/` and skips hidden names; `**` crosses folders.
pub(super) const MATCH: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };

/// The canonical folder or file that a root names; of a glob pattern, the folder above its first wildcard.
pub(super) fn root_of(root: &str) -> Result<PathBuf> {
    let path = local_path(root)?;
    let named = if is_pattern(&path) { above_wildcards(&path) } else { path };
    named.canonicalize().map_err(|e| system_error(&named.to_string_lossy(), &e))
}

/// Canonical locations and versions of the files that `pattern` names, sorted; see [`super::Objects::list`].
pub(super) fn list(pattern: &str, roots: &Roots) -> Result<Vec<Listed>> {
    let path = local_path(pattern)?;
    let mut found = Found { roots, files: BTreeMap::new(), folders: HashMap::new() };
    if is_pattern(&path) {
        let (folder, folders_only) = (roots.resolve(&above_wildcards(&path))?, found.matches(pattern, &path)?);
        if found.files.is_empty() {
            let hint = if folders_only { " (it matches folders; end it in /** for the files in them)" } else { "" };
            return Err(Error::NotFound(format!("{pattern}: no file under {} matches this pattern{hint}", folder.display())));
        }
    } else {
        let canonical = roots.resolve(&path)?;
        let metadata = std::fs::metadata(&canonical).map_err(|e| system_error(pattern, &e))?;
        if metadata.is_dir() && root_document(&canonical).is_none() {
            found.below(&canonical)?;
            if found.files.is_empty() {
                return Err(Error::NotFound(format!("{pattern}: the folder holds no files")));
            }
        } else {
            let location = location(&canonical)?;
            // A pipe or device is listed, so that opening it can say what it is; a chunk store's version is that of a document in it.
            found.files.insert(location, version_of(&metadata).filter(|_| metadata.is_file()));
        }
    }
    Ok(found.files.into_iter().map(|(location, version)| Listed { location, version }).collect())
}

/// Files found so far.
struct Found<'a> {
    roots: &'a Roots,
    files: BTreeMap<String, Option<ObjectVersion>>,
    /// Canonical forms of the folders above the files, each made once.
    folders: HashMap<PathBuf, PathBuf>,
}

impl Found<'_> {
    /// Adds the files that match; true when folders matched but no files.
    fn matches(&mut self, pattern: &str, path: &Path) -> Result<bool> {
        let mut folders = false;
        // Nothing outside the roots is even looked at.
        self.roots.resolve(&above_wildcards(path))?;
        let entries = glob_with(&location(path)?, MATCH).map_err(|e| Error::User(format!("{pattern}: not a glob pattern: {e}")))?;
        for entry in entries {
            let entry = entry.map_err(|e| system_error(&e.path().to_string_lossy(), e.error()))?;
            let metadata = match entry.symlink_metadata() {
                Ok(metadata) => metadata,
                // One that went in the meantime does not match any more.
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
                Err(e) => return Err(system_error(&entry.to_string_lossy(), &e)),
            };
            let canonical = match (metadata.is_symlink(), entry.parent(), entry.file_name()) {
                (false, Some(folder), Some(name)) => self.folder(folder)?.join(name),
                _ => self.roots.resolve(&entry)?,
            };
            folders |= self.add(&canonical, metadata)?.is_some();
        }
        Ok(folders && self.files.is_empty())
    }

    /// Adds every regular file below a canonical folder. Links are followed, each folder once.
    fn below(&mut self, folder: &Path) -> Result<()> {
        let (mut waiting, mut seen) = (vec![folder.to_path_buf()], HashSet::new());
        while let Some(folder) = waiting.pop() {
            if !seen.insert(folder.clone()) {
                continue;
            }
            let failed = |e: &std::io::Error| system_error(&folder.to_string_lossy(), e);
            for entry in std::fs::read_dir(&folder).map_err(|e| failed(&e))? {
                let entry = entry.map_err(|e| failed(&e))?;
                if entry.file_name().as_encoded_bytes().starts_with(b".") {
                    continue;
                }
                let metadata = match entry.metadata() {
                    Ok(metadata) => metadata,
                    Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
                    Err(e) => return Err(system_error(&entry.path().to_string_lossy(), &e)),
                };
                let canonical = if metadata.is_symlink() { self.roots.resolve(&entry.path())? } else { entry.path() };
                waiting.extend(self.add(&canonical, metadata)?);
            }
        }
        Ok(())
    }

    /// The canonical form of a folder, which must lie under a root.
    fn folder(&mut self, folder: &Path) -> Result<&Path> {
        match self.folders.entry(folder.to_path_buf()) {
            Entry::Occupied(known) => Ok(known.into_mut()),
            Entry::Vacant(new) => Ok(new.insert(self.roots.resolve(folder)?)),
        }
    }

    /// Adds a regular file or chunk store by its canonical path; gives any other folder back. `metadata` may be that of a link to it.
    fn add(&mut self, canonical: &Path, metadata: std::fs::Metadata) -> Result<Option<PathBuf>> {
        self.roots.check(canonical)?;
        let metadata = match metadata.is_symlink() {
            true => std::fs::metadata(canonical).map_err(|e| system_error(&canonical.to_string_lossy(), &e))?,
            false => metadata,
        };
        if metadata.is_file() {
            self.files.insert(location(canonical)?, version_of(&metadata));
        }
        if metadata.is_dir() && root_document(canonical).is_some() {
            self.files.insert(location(canonical)?, None);
            return Ok(None);
        }
        Ok(metadata.is_dir().then(|| canonical.to_path_buf()))
    }
}

/// Names of the folders in a folder, but for hidden ones; sorted.
pub(super) fn folders(path: &Path, roots: &Roots) -> Result<Vec<String>> {
    let canonical = roots.resolve(path)?;
    let failed = |e: &std::io::Error| system_error(&path.to_string_lossy(), e);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&canonical).map_err(|e| failed(&e))? {
        let entry = entry.map_err(|e| failed(&e))?;
        let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        if hidden || !entry.path().is_dir() {
            continue;
        }
        roots.resolve(&entry.path())?;
        names.push(location(Path::new(&entry.file_name()))?);
    }
    names.sort_unstable();
    Ok(names)
}

/// True for a path with wildcards that is not itself the name of something.
fn is_pattern(path: &Path) -> bool {
    has_wildcard(path.as_os_str().as_encoded_bytes()) && path.symlink_metadata().is_err()
}

fn has_wildcard(name: &[u8]) -> bool {
    name.iter().any(|c| b"*?[".contains(c))
}

/// The folder above the first component with a wildcard.
fn above_wildcards(path: &Path) -> PathBuf {
    path.components().take_while(|c| !has_wildcard(c.as_os_str().as_encoded_bytes())).collect()
}
