//! The storage room: files in place become an index, and the index becomes tiles.
//!
//! * [`mod@array`]: the words everybody uses: extents, axes, grids, array metadata, chunk manifests.
//! * [`object`]: where bytes lie: roots, locations, versions, ranged reads.
//! * [`mod@format`]: one file format each, headers only: bytes to [`array::ArrayMetadata`] and chunk references.
//! * [`convention`]: what attributes mean: CF and GeoKeys to axes, packing, missing values, CRS.
//! * [`codec`]: one codec a file: stored bytes to cells.
//! * [`catalog`]: cubes made of granules, kept in an embedded store; everything in it can be derived again.
//! * [`inspect`]: what is in a file, for people and programs.
//! * [`read`]: extents of cubes to tiles: ranged reads, decoding, the cache of decoded chunks.
//!
//! This room knows nothing of plans, SQL or sockets.

pub mod array;
pub mod catalog;
pub mod codec;
pub mod convention;
mod error;
pub mod format;
pub mod inspect;
pub mod object;
#[cfg(test)]
mod oracles;
pub mod read;

pub use error::{Error, Result};
