//! From a path, URL or glob pattern to the files and chunk stores that it names.

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use glob::{MatchOptions, glob_with};

use super::chunk_store::root_document;
use super::location::{Roots, local_path, location, system_error};
use crate::{Error, Result};

/// As a shell matches: `*` stops at `/` and skips hidden names; `**` crosses folders.
const MATCH: MatchOptions = MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };

/// The canonical folder or file that a root names; of a glob pattern, the folder above its first wildcard.
pub(super) fn root_of(root: &str) -> Result<PathBuf> {
    let path = local_path(root)?;
    let named = if is_pattern(&path) { above_wildcards(&path) } else { path };
    named.canonicalize().map_err(|e| system_error(&named.to_string_lossy(), &e))
}

/// Canonical locations of the files that `pattern` names; see [`super::Objects::list`].
pub(super) fn list(pattern: &str, roots: &Roots) -> Result<Vec<String>> {
    let path = local_path(pattern)?;
    let mut found = BTreeSet::new();
    if is_pattern(&path) {
        let (folder, folders_only) = (roots.resolve(&above_wildcards(&path))?, matches(pattern, &path, roots, &mut found)?);
        if found.is_empty() {
            let hint = if folders_only { " (it matches folders; end it in /** for the files in them)" } else { "" };
            return Err(Error::NotFound(format!("{pattern}: no file under {} matches this pattern{hint}", folder.display())));
        }
    } else {
        let canonical = roots.resolve(&path)?;
        let metadata = std::fs::metadata(&canonical).map_err(|e| system_error(pattern, &e))?;
        if metadata.is_dir() && root_document(&canonical).is_none() {
            below(&canonical, roots, &mut HashSet::new(), &mut found)?;
            if found.is_empty() {
                return Err(Error::NotFound(format!("{pattern}: the folder holds no files")));
            }
        } else {
            found.insert(location(&canonical)?);
        }
    }
    Ok(found.into_iter().collect())
}

/// Adds the files that match; true when folders matched but no files.
fn matches(pattern: &str, path: &Path, roots: &Roots, found: &mut BTreeSet<String>) -> Result<bool> {
    let mut folders = false;
    // Nothing outside the roots is even looked at.
    roots.resolve(&above_wildcards(path))?;
    let entries = glob_with(&location(path)?, MATCH).map_err(|e| Error::User(format!("{pattern}: not a glob pattern: {e}")))?;
    for entry in entries {
        let entry = entry.map_err(|e| system_error(&e.path().to_string_lossy(), e.error()))?;
        let canonical = roots.resolve(&entry)?;
        if canonical.is_file() || root_document(&canonical).is_some() {
            found.insert(location(&canonical)?);
        } else {
            folders |= canonical.is_dir();
        }
    }
    Ok(folders && found.is_empty())
}

/// Adds every regular file below a folder. Links are followed, each folder once.
fn below(folder: &Path, roots: &Roots, seen: &mut HashSet<PathBuf>, found: &mut BTreeSet<String>) -> Result<()> {
    let mut waiting = vec![folder.to_path_buf()];
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
            let canonical = roots.resolve(&entry.path())?;
            if canonical.is_dir() && root_document(&canonical).is_none() {
                waiting.push(canonical);
            } else if canonical.is_file() || canonical.is_dir() {
                found.insert(location(&canonical)?);
            }
        }
    }
    Ok(())
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
