//! Folders that are one data set: chunk stores. What tells them is a document in the folder; the folder's location stands for
//! that document wherever one object is meant (its version, its reader), and for the folder where keys are looked up below it.

use std::path::Path;

/// Names of root documents, most telling first: Zarr v3, Zarr v2 (consolidated, group, array), Icechunk 2 and 1.
pub(super) const ROOT_DOCUMENTS: [&str; 6] = ["zarr.json", ".zmetadata", ".zgroup", ".zarray", "repo", "refs/branch.main/ref.json"];

/// What must stand beside a root document whose name alone says too little.
pub(super) fn stands_beside(document: &str) -> Option<&'static str> {
    matches!(document, "repo" | "refs/branch.main/ref.json").then_some("snapshots")
}

/// The name of the root document of a local folder; `None` for a folder that is no chunk store.
pub(super) fn root_document(folder: &Path) -> Option<&'static str> {
    let is_root = |name: &&str| folder.join(name).is_file() && stands_beside(name).is_none_or(|beside| folder.join(beside).is_dir());
    ROOT_DOCUMENTS.into_iter().find(is_root)
}
