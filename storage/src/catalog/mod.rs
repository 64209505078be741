//! The catalog: cubes made of granules, in an embedded store. Everything in it can be derived again from the files and
//! from the `CREATE CUBE` statements, which are kept beside it as plain text.

mod cube;

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use cube::{AxisFromFilename, Cube, CubeDefinition, CubeVariable, Overlap, Piece};

use crate::array::{ArrayMetadata, Attributes, ChunkManifest};
use crate::format::Refused;
use crate::object::{ObjectVersion, Objects};
use crate::{Error, Result};

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
    /// Its arrays.
    pub arrays: Vec<ArrayMetadata>,
    /// What is not read in it.
    pub refused: Vec<Refused>,
    /// Attributes of its root.
    pub attributes: Attributes,
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

/// Cubes, granules and manifests.
pub struct Catalog {}

fn not_built<T>() -> Result<T> {
    Err(Error::Internal("catalog: not built yet".into()))
}

impl Catalog {
    /// Opens or makes the catalog.
    pub async fn open(_location: CatalogLocation, _objects: Objects) -> Result<Catalog> {
        Ok(Catalog {})
    }

    /// All cubes, by name.
    pub fn cubes(&self) -> Vec<Arc<Cube>> {
        vec![]
    }

    /// A cube by name.
    pub fn cube(&self, _name: &str) -> Option<Arc<Cube>> {
        None
    }

    /// Indexes the sources and commits the cube in one atomic step.
    pub async fn create_cube(&self, _definition: CubeDefinition, _mode: CreateMode, _progress: &dyn Progress) -> Result<CreateReport> {
        not_built()
    }

    /// Adds new files, reads changed ones again, forgets removed ones.
    pub async fn refresh_cube(&self, _name: &str, _progress: &dyn Progress) -> Result<RefreshReport> {
        not_built()
    }

    /// Forgets a cube; false when there was none.
    pub fn drop_cube(&self, _name: &str) -> Result<bool> {
        not_built()
    }

    /// The granules of a cube.
    pub fn granules(&self, _cube: &str) -> Result<Vec<Arc<Granule>>> {
        not_built()
    }

    /// A granule by number.
    pub fn granule(&self, _id: GranuleId) -> Result<Arc<Granule>> {
        not_built()
    }

    /// The chunk references of an array, loaded on demand.
    pub fn manifest(&self, _granule: GranuleId, _array: u32) -> Result<Arc<ChunkManifest>> {
        not_built()
    }

    /// Makes cubes of files and folders as `graticule serve PATH` does.
    pub async fn serve_paths(&self, _paths: &[String], _progress: &dyn Progress) -> Result<CreateReport> {
        not_built()
    }
}
