//! One n-D variable of a granule, as its format describes it.

use serde::{Deserialize, Serialize};

use super::{Attributes, ByteOrder, ChunkGrid, DataType, Scalar};
use crate::codec::Codec;

/// Whether the chunks at an array's end are stored whole or cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum EdgeChunks {
    /// Stored with the full chunk shape; cells past the array's end hold anything (HDF5 chunks, TIFF tiles).
    Padded,
    /// Stored with just the cells inside the array (contiguous data, TIFF strips).
    Clipped,
}

/// Everything about an array but its chunk references and its values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ArrayMetadata {
    /// Path in the granule, from the root group: `/air`, `/band_1`.
    pub path: String,
    /// Names of its dimensions, slowest first, without group path: `time`, `lat`, `lon`.
    pub dimensions: Vec<String>,
    /// Cells along each dimension.
    pub shape: Vec<u64>,
    /// Stored type of a cell.
    pub data_type: DataType,
    /// Byte order of stored cells.
    pub byte_order: ByteOrder,
    /// Shape of a chunk; equal to `shape` for an array in one piece.
    pub chunk_shape: Vec<u64>,
    /// How chunks at the end are stored.
    pub edge: EdgeChunks,
    /// In encoding order: decoding runs them backwards. Bit i of a chunk's `skip` leaves codec i out.
    pub codecs: Vec<Codec>,
    /// The value of cells in chunks that were never written, as stored; `None`: zero.
    pub fill_value: Option<Scalar>,
    /// Attributes as in the file.
    pub attributes: Attributes,
}

impl ArrayMetadata {
    /// The grid of its chunks.
    pub fn chunk_grid(&self) -> ChunkGrid {
        ChunkGrid::new(&self.shape, &self.chunk_shape)
    }

    /// The last part of its path: the variable's name. Empty for the one array that a Zarr store may be (`/`).
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    /// The group that it stands in: `/` or `/a/b`.
    pub fn group(&self) -> &str {
        match self.path.rfind('/') {
            Some(0) | None => "/",
            Some(i) => &self.path[..i],
        }
    }
}
