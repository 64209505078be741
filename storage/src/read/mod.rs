//! Reading: extents of cubes to tiles. Fetching is async, decoding is sync, and no function exists in both.

use std::sync::Arc;

use arrow::array::ArrayRef;

use crate::array::{Encoding, Extent};
use crate::catalog::{Catalog, Cube};
use crate::format::IndexedArray;
use crate::object::{ObjectVersion, Objects};
use crate::{Error, Result};

fn not_built<T>() -> Result<T> {
    Err(Error::Internal("reading: not built yet".into()))
}

/// How reading is set up.
#[derive(Debug, Clone, Copy)]
pub struct ReadSettings {
    /// Bound of the cache of decoded chunks, bytes.
    pub cache_bytes: u64,
    /// CPU threads.
    pub threads: usize,
}

/// What to read: an extent in the cube's axes, and variables by number.
#[derive(Debug, Clone, PartialEq)]
pub struct TileRequest {
    /// Cells wanted, in the cube's axes.
    pub extent: Extent,
    /// Numbers of [`Cube::variables`].
    pub variables: Vec<usize>,
}

/// What a tile cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TileMetrics {
    /// Chunks fetched and decoded.
    pub chunks_read: u64,
    /// Chunks found decoded in the cache.
    pub chunks_cached: u64,
    /// Bytes fetched.
    pub bytes_read: u64,
    /// Time to fetch.
    pub fetch_nanos: u64,
    /// Time to decode and copy.
    pub decode_nanos: u64,
}

/// The cells of one extent: one array a requested variable, C order, NULL where missing.
#[derive(Debug, Clone)]
pub struct Tile {
    /// Which cells, in the cube's axes.
    pub extent: Extent,
    /// `extent.cells()` long each; variables on fewer axes are broadcast.
    pub columns: Vec<ArrayRef>,
    /// What it cost.
    pub metrics: TileMetrics,
}

/// What requests would read, from the index alone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Estimate {
    /// Chunks that are stored.
    pub chunks: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// The bytes of a tile's chunks, not yet decoded.
pub struct Fetched {}

/// Reads tiles of cubes. Cheap to clone.
#[derive(Clone)]
pub struct Reader {}

impl Reader {
    /// A reader with its own cache and CPU threads.
    pub fn new(_objects: Objects, _catalog: Arc<Catalog>, _settings: ReadSettings) -> Result<Reader> {
        Ok(Reader {})
    }

    /// Fetches every chunk that the request needs and that is not decoded in the cache.
    pub async fn fetch(&self, _cube: &Arc<Cube>, _request: TileRequest) -> Result<Fetched> {
        not_built()
    }

    /// Decodes on the calling thread; crops and applies the encoding while copying into the tile.
    pub fn decode(&self, _fetched: Fetched) -> Result<Tile> {
        not_built()
    }

    /// The CPU threads on which decoding and what follows should run.
    pub fn cpu(&self) -> &Arc<rayon::ThreadPool> {
        unimplemented!()
    }

    /// Bytes in the cache of decoded chunks.
    pub fn cache_used(&self) -> u64 {
        0
    }

    /// From the index alone: chunks and stored bytes that these requests would read.
    pub fn estimate(&self, _cube: &Cube, _requests: &[TileRequest]) -> Result<Estimate> {
        not_built()
    }
}

/// Stored values of a whole array in native byte order; refused when they would take more than `limit` bytes.
pub async fn read_whole(
    _objects: &Objects,
    _location: &str,
    _version: &ObjectVersion,
    _array: &IndexedArray,
    _limit: u64,
) -> Result<Vec<u8>> {
    not_built()
}

/// Stored cells in native byte order to values; NULL where missing.
pub fn decode_cells(_stored: &[u8], _encoding: &Encoding) -> Result<ArrayRef> {
    not_built()
}
