//! What the catalog takes and gives: granules, modes, reports, progress.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::array::{ArrayMetadata, Attributes, ChunkManifest};
use crate::format::Refused;
use crate::object::{ObjectVersion, VersionedObject};

/// Number of a granule; never used twice in one catalog.
pub type GranuleId = u64;

/// One indexed data set as found in storage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Granule {
    /// Its number.
    pub id: GranuleId,
    /// Canonical path or URL.
    pub location: String,
    /// The version that was indexed.
    pub version: ObjectVersion,
    /// `netcdf4`, `hdf5`, `geotiff` ...
    pub format: String,
    /// Its arrays; granules of one cube share those that are alike.
    pub arrays: Vec<Arc<ArrayMetadata>>,
    /// What is not read in it.
    pub refused: Vec<Refused>,
    /// Attributes of its root.
    pub attributes: Arc<Attributes>,
    /// Objects beside its own, as they were when they were indexed.
    pub objects: Vec<VersionedObject>,
}

impl Granule {
    /// Location and version of an object by its number in chunk references: 0 is the granule's own.
    pub fn object(&self, number: u32) -> Option<(&str, &ObjectVersion)> {
        match number.checked_sub(1) {
            None => Some((&self.location, &self.version)),
            Some(further) => self.objects.get(further as usize).map(|o| (o.location.as_str(), &o.version)),
        }
    }
}

/// Chunk references of a part of an array.
#[derive(Debug, Clone)]
pub struct ChunkPage {
    /// Which chunks, by C-order number.
    pub chunks: Range<u64>,
    /// Their references, counted from the first of them; a rule of keys counts from the array's first chunk, which then is the
    /// page's, too.
    pub manifest: Arc<ChunkManifest>,
}

/// Where the catalog is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CatalogLocation {
    /// Nowhere: it goes with the process.
    Memory,
    /// In a folder.
    Folder(PathBuf),
}

/// What to do when a cube of that name exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CreateMode {
    /// An error.
    New,
    /// `IF NOT EXISTS`: leave it.
    IfAbsent,
    /// `OR REPLACE`.
    OrReplace,
}

/// Told how long work goes on.
pub trait Progress: Send + Sync {
    /// Work of `total` steps begins.
    fn start(&self, what: &str, total: u64);
    /// `n` more steps are done.
    fn advance(&self, n: u64);
    /// The work is over.
    fn finish(&self);
}

/// Tells nobody.
pub struct NoProgress;

impl Progress for NoProgress {
    fn start(&self, _: &str, _: u64) {}
    fn advance(&self, _: u64) {}
    fn finish(&self) {}
}

/// What `CREATE CUBE` did.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CreateReport {
    /// The cubes made: the main one first, then tables of variables on other axes.
    pub cubes: Vec<String>,
    /// Granules indexed.
    pub granules: u64,
    /// Files and arrays that were left out.
    pub skipped: Vec<Refused>,
    /// What had to be guessed.
    pub warnings: Vec<String>,
}

/// What `REFRESH CUBE` did: counts of granules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RefreshReport {
    /// New.
    pub added: u64,
    /// Read again because they changed.
    pub changed: u64,
    /// Forgotten because they are gone.
    pub removed: u64,
    /// Left as they were.
    pub unchanged: u64,
}
