//! The words that every room shares: what an array is, where its chunks lie, what its axes mean. No file is opened here.

mod attributes;
mod axis;
mod calendar;
mod chunk_grid;
mod data_type;
mod encoding;
mod extent;
mod grid;
mod manifest;
mod metadata;
mod shard;

pub(crate) use attributes::float_to_json;
pub use attributes::{AttributeValue, Attributes};
pub use axis::{Axis, AxisRole, Coordinates, TimeUnit};
pub use calendar::{Calendar, DateTime};
pub use chunk_grid::ChunkGrid;
pub use data_type::{ByteOrder, DataType};
pub use encoding::{Encoding, Scalar, value_type};
pub use extent::Extent;
pub use grid::Grid;
pub use manifest::{ChunkKeys, ChunkManifest, ChunkRef, KeyEncoding};
pub use metadata::{ArrayMetadata, EdgeChunks};
pub use shard::Shard;
