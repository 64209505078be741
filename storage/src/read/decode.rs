//! Sync: fetched chunks to the columns of a tile.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{ArrayRef, make_array};
use arrow::buffer::NullBuffer;
use bytes::Bytes;

use super::Tile;
use super::cache::ChunkCache;
use super::chunk;
use super::column::{Cells, Column};
use super::fetch::{ChunkBytes, Fetched};
use super::plan::{ColumnPlan, Part};
use super::summary;
use crate::array::DataType;
use crate::catalog::{GranuleId, StatisticsStore};
use crate::codec::{Codec, recycled};
use crate::{Error, Result};

/// Chunks of several interleaved bands, or of records with several members, decoded up to the step that takes one: by granule,
/// object and first byte; with the codecs that were undone.
type Interleaved = HashMap<(GranuleId, u32, u64), (Vec<Codec>, Vec<u8>)>;

/// Decodes on the calling thread and keeps decoded chunks in the cache.
///
/// What whole chunks come to is noted in `store`; true beside the tile when that should be written.
pub(super) fn tile(fetched: Fetched, cache: Option<&ChunkCache>, store: Option<&StatisticsStore>) -> Result<(Tile, bool)> {
    let begin = Instant::now();
    let Fetched { extent, columns, mut metrics } = fetched;
    let mut interleaved = (columns.len() > 1).then(Interleaved::new);
    let masks: Vec<(bool, Option<usize>)> = columns.iter().map(|(plan, _)| (plan.is_mask, plan.masked_by)).collect();
    let (mut plans, mut values) = (Vec::with_capacity(columns.len()), Vec::with_capacity(columns.len()));
    for (plan, chunks) in columns {
        values.push(column(&plan, chunks, cache, interleaved.as_mut())?);
        plans.push(plan);
    }
    let columns = masked(values, &masks)?;
    let due = match store {
        Some(store) => {
            let plans = plans.iter().filter(|plan| !plan.is_mask);
            summary::note(&plans.zip(&columns).collect::<Vec<_>>(), store)?
        }
        None => false,
    };
    metrics.decode_nanos = begin.elapsed().as_nanos() as u64;
    Ok((Tile { extent, columns, metrics }, due))
}

/// Makes cells NULL where the mask of their column is, and leaves the masks out. `masks`: whether a column is one, and the number
/// of the one that it has.
fn masked(columns: Vec<ArrayRef>, masks: &[(bool, Option<usize>)]) -> Result<Vec<ArrayRef>> {
    let mut values = Vec::with_capacity(columns.len());
    for (column, (is_mask, mask)) in columns.iter().zip(masks) {
        let hidden = mask.and_then(|mask| columns.get(mask)).and_then(|mask| mask.nulls());
        match hidden {
            _ if *is_mask => {}
            None => values.push(Arc::clone(column)),
            Some(hidden) => {
                let nulls = NullBuffer::union(column.nulls(), Some(hidden));
                let data = column.to_data().into_builder().nulls(nulls).build();
                values.push(make_array(data.map_err(|e| Error::Internal(format!("a mask does not fit its column: {e}")))?));
            }
        }
    }
    Ok(values)
}

/// One column out of its chunks. `interleaved`: what columns of the same bytes share.
pub(super) fn column(
    plan: &ColumnPlan,
    chunks: Vec<ChunkBytes>,
    cache: Option<&ChunkCache>,
    mut interleaved: Option<&mut Interleaved>,
) -> Result<ArrayRef> {
    let axes = plan.axes.as_slice();
    let mut column = Column::new(plan.decoded, plan.cells, plan.in_order(), plan.covered());
    for (part, bytes) in plan.parts.iter().zip(chunks) {
        let (granule, array) = (&part.source.granule, part.source.metadata());
        match bytes {
            ChunkBytes::Stored { bytes, skip, .. } if array.data_type == DataType::Text => {
                let texts = chunk::texts(granule, array, &bytes, skip, part.decoded_len)?;
                column.add(Cells::Texts(&texts), &part.encoding, &part.copy)?;
            }
            ChunkBytes::Missing => column.add(Cells::Same(&chunk::fill_cell(array)), &part.encoding, &part.copy)?,
            bytes => {
                let cells = cells(part, bytes, cache, interleaved.as_deref_mut())?;
                column.add(Cells::Stored(&cells), &part.encoding, &part.copy)?;
            }
        }
    }
    if axes.iter().any(|a| a.len == 0) {
        return column.finish(&[], plan.time);
    }
    column.finish(axes, plan.time)
}

/// The cells of a stored chunk, native byte order.
pub(super) fn cells(part: &Part, bytes: ChunkBytes, cache: Option<&ChunkCache>, interleaved: Option<&mut Interleaved>) -> Result<Bytes> {
    let (bytes, skip, range, version) = match bytes {
        ChunkBytes::Decoded(bytes) => return Ok(bytes),
        ChunkBytes::Stored { bytes, skip, range, version } => (bytes, skip, range, version),
        ChunkBytes::Missing => return Err(Error::Internal("a missing chunk has no bytes".into())),
    };
    let chunk = chunk::Stored {
        granule: &part.source.granule,
        array: part.source.metadata(),
        range: range.as_ref().map(|(_, range)| range),
        decoded_len: part.decoded_len,
    };
    let shared = match (interleaved, chunk.array.codecs.split_first(), &range) {
        // Alone, taking one band or member costs nothing to share.
        (Some(all), Some((Codec::Interleave { .. } | Codec::Field { .. }, rest)), Some((object, range)))
            if skip & 1 == 0 && !rest.is_empty() =>
        {
            Some((all, rest, (chunk.granule.id, *object, range.start)))
        }
        _ => None,
    };
    let decoded = match shared {
        None => chunk.decode(&bytes, skip)?,
        Some((all, rest, key)) => {
            let (undone, every_band) = match all.entry(key) {
                std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
                std::collections::hash_map::Entry::Vacant(new) => new.insert((rest.to_vec(), chunk.decode_every_band(&bytes, skip)?)),
            };
            match undone == rest {
                true => chunk.take_band(every_band)?,
                false => chunk.decode(&bytes, skip)?,
            }
        }
    };
    let decoded = recycled(decoded);
    if let Some(cache) = cache {
        cache.insert(part.key(), &decoded, version);
    }
    Ok(decoded)
}
