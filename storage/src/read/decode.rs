//! Sync: fetched chunks to the columns of a tile.

use std::time::Instant;

use arrow::array::ArrayRef;
use bytes::Bytes;

use super::Tile;
use super::cache::ChunkCache;
use super::chunk;
use super::column::{Cells, Column};
use super::fetch::{ChunkBytes, Fetched};
use super::plan::{ColumnPlan, Part};
use crate::array::DataType;
use crate::{Error, Result};

/// Decodes on the calling thread and keeps decoded chunks in the cache.
pub(super) fn tile(fetched: Fetched, cache: Option<&ChunkCache>) -> Result<Tile> {
    let begin = Instant::now();
    let Fetched { extent, columns, mut metrics } = fetched;
    let columns = columns.into_iter().map(|(plan, chunks)| column(plan, chunks, cache)).collect::<Result<Vec<_>>>()?;
    metrics.decode_nanos = begin.elapsed().as_nanos() as u64;
    Ok(Tile { extent, columns, metrics })
}

/// One column out of its chunks.
pub(super) fn column(plan: ColumnPlan, chunks: Vec<ChunkBytes>, cache: Option<&ChunkCache>) -> Result<ArrayRef> {
    let axes = plan.axes.as_slice();
    let mut column = Column::new(plan.decoded, plan.cells, plan.in_order(), plan.covered());
    for (part, bytes) in plan.parts.iter().zip(chunks) {
        let (granule, array) = (&part.source.granule, part.source.metadata());
        match bytes {
            ChunkBytes::Stored { bytes, .. } if array.data_type == DataType::Text => {
                let texts = chunk::texts(granule, array, &bytes, part.decoded_len)?;
                column.add(Cells::Texts(&texts), &part.encoding, &part.copy)?;
            }
            ChunkBytes::Missing => column.add(Cells::Same(&chunk::fill_cell(array)), &part.encoding, &part.copy)?,
            bytes => column.add(Cells::Stored(&cells(part, bytes, cache)?), &part.encoding, &part.copy)?,
        }
    }
    if axes.iter().any(|a| a.len == 0) {
        return column.finish(&[], plan.time);
    }
    column.finish(axes, plan.time)
}

/// The cells of a stored chunk, native byte order.
pub(super) fn cells(part: &Part, bytes: ChunkBytes, cache: Option<&ChunkCache>) -> Result<Bytes> {
    let (bytes, skip, range) = match bytes {
        ChunkBytes::Decoded(bytes) => return Ok(bytes),
        ChunkBytes::Stored { bytes, skip, range } => (bytes, skip, range),
        ChunkBytes::Missing => return Err(Error::Internal("a missing chunk has no bytes".into())),
    };
    let (granule, array) = (&part.source.granule, part.source.metadata());
    let decoded = Bytes::from(chunk::decode(granule, array, &bytes, skip, part.decoded_len, range.as_ref())?);
    if let Some(cache) = cache {
        cache.insert(part.key(), &decoded);
    }
    Ok(decoded)
}
