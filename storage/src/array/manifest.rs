//! Where the bytes of each chunk lie. One manifest an array; chunks in C order of the chunk grid.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Where one chunk's bytes are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChunkRef {
    /// Never written: its cells have the fill value.
    Missing,
    /// A byte range of the granule's object number `object`.
    Stored {
        /// Index into the granule's list of objects (0 for a format of one file).
        object: u32,
        /// First byte.
        offset: u64,
        /// Bytes as stored.
        length: u64,
        /// Bit i set: codec i of the array (encoding order) was not applied to this chunk.
        skip: u32,
    },
    /// The stored bytes themselves, kept in the index: compact data sets, small texts.
    Inline(Bytes),
}

/// The chunk references of an array, in C order of its chunk grid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct ChunkManifest {
    /// One entry a chunk.
    pub chunks: Vec<ChunkRef>,
}

impl ChunkManifest {
    /// The entry of a chunk, by its C-order number.
    pub fn get(&self, chunk: u64) -> &ChunkRef {
        self.chunks.get(chunk as usize).unwrap_or(&ChunkRef::Missing)
    }

    /// Bytes stored in objects, over all chunks.
    pub fn stored_bytes(&self) -> u64 {
        self.chunks.iter().map(|c| if let ChunkRef::Stored { length, .. } = c { *length } else { 0 }).sum()
    }
}
