//! Async: the bytes of the chunks of a tile, from the cache or from their objects. Nothing is decoded here.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};

use super::cache::ChunkCache;
use super::chunk::name;
use super::plan::{ColumnPlan, Part};
use super::{Extent, TileMetrics};
use crate::array::ChunkRef;
use crate::catalog::{Granule, GranuleId};
use crate::object::Objects;
use crate::{Error, Result};

/// Objects read at once for one tile.
const PARALLEL: usize = 16;

/// The bytes of one chunk.
#[derive(Debug, Clone)]
pub(super) enum ChunkBytes {
    /// Decoded already.
    Decoded(Bytes),
    /// As stored, codecs applied.
    Stored { bytes: Bytes, skip: u32, range: Option<Range<u64>> },
    /// Never written.
    Missing,
}

/// The bytes of a tile's chunks, not yet decoded.
#[derive(Debug)]
pub struct Fetched {
    pub(super) extent: Extent,
    pub(super) columns: Vec<(ColumnPlan, Vec<ChunkBytes>)>,
    pub(super) metrics: TileMetrics,
}

/// Fetches what the plans need and the cache does not hold.
pub(super) async fn fetch(objects: &Objects, cache: Option<&ChunkCache>, extent: Extent, plans: Vec<ColumnPlan>) -> Result<Fetched> {
    let begin = Instant::now();
    let mut metrics = TileMetrics::default();
    let mut columns: Vec<(ColumnPlan, Vec<ChunkBytes>)> = Vec::with_capacity(plans.len());
    let mut wanted: BTreeMap<GranuleId, Wanted> = BTreeMap::new();
    let mut fetched = HashSet::new();
    for (c, plan) in plans.into_iter().enumerate() {
        let mut chunks = Vec::with_capacity(plan.parts.len());
        for (p, part) in plan.parts.iter().enumerate() {
            chunks.push(match (&part.reference, cache.and_then(|cache| cache.get(&part.key()))) {
                (ChunkRef::Missing, _) => ChunkBytes::Missing,
                (_, Some(decoded)) => {
                    metrics.chunks_cached += 1;
                    of_granule(&mut wanted, part);
                    ChunkBytes::Decoded(decoded)
                }
                (ChunkRef::Inline(bytes), None) => ChunkBytes::Stored { bytes: bytes.clone(), skip: 0, range: None },
                (ChunkRef::Stored { skip, .. }, None) => {
                    metrics.chunks_read += 1;
                    let range = part.range()?.unwrap_or_default();
                    // Bands that lie interleaved in the same bytes fetch them once.
                    if fetched.insert((part.source.granule.id, range.start)) {
                        metrics.bytes_read += range.end - range.start;
                    }
                    let of_granule = of_granule(&mut wanted, part);
                    of_granule.ranges.push(range.clone());
                    of_granule.places.push((c, p));
                    ChunkBytes::Stored { bytes: Bytes::new(), skip: *skip, range: Some(range) }
                }
            });
        }
        columns.push((plan, chunks));
    }
    let read = futures::stream::iter(wanted.into_values().map(|w| async move {
        let bytes = read(objects, &w).await?;
        Ok::<_, Error>((w.places, bytes))
    }));
    let mut read = read.buffer_unordered(PARALLEL);
    while let Some((places, answers)) = read.try_next().await? {
        for ((c, p), answer) in places.into_iter().zip(answers) {
            if let Some(ChunkBytes::Stored { bytes, .. }) = columns.get_mut(c).and_then(|(_, chunks)| chunks.get_mut(p)) {
                *bytes = answer;
            }
        }
    }
    drop(read);
    metrics.fetch_nanos = begin.elapsed().as_nanos() as u64;
    Ok(Fetched { extent, columns, metrics })
}

/// What is wanted of one granule.
struct Wanted {
    granule: Arc<Granule>,
    /// The array in messages.
    name: String,
    ranges: Vec<Range<u64>>,
    /// Column and part of each range.
    places: Vec<(usize, usize)>,
}

fn of_granule<'a>(wanted: &'a mut BTreeMap<GranuleId, Wanted>, part: &Part) -> &'a mut Wanted {
    let granule = &part.source.granule;
    wanted.entry(granule.id).or_insert_with(|| Wanted {
        granule: Arc::clone(granule),
        name: name(granule, part.source.metadata()),
        ranges: Vec::new(),
        places: Vec::new(),
    })
}

/// One object's ranges. A granule whose chunks are all decoded is still checked: cells of a file that changed are an
/// error, whether they are remembered or not.
async fn read(objects: &Objects, wanted: &Wanted) -> Result<Vec<Bytes>> {
    objects.read_ranges(&wanted.granule.location, &wanted.granule.version, &wanted.ranges).await.map_err(|e| match e {
        Error::Data { range, what, .. } => Error::Data { object: wanted.name.clone(), range, what },
        other => other,
    })
}
