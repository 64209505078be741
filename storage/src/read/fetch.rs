//! Async: the bytes of the chunks of a tile, from the cache or from their objects. Nothing is decoded here.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};

use super::cache::ChunkCache;
use super::chunk::name;
use super::keyed::WantedKeys;
use super::plan::{ColumnPlan, Part};
use super::{Extent, TileMetrics};
use crate::array::ChunkRef;
use crate::catalog::{Granule, GranuleId};
use crate::object::{ObjectVersion, Objects};
use crate::{Error, Result};

/// Objects read at once for one tile.
const PARALLEL: usize = 16;

/// The bytes of one chunk.
#[derive(Debug, Clone)]
pub(super) enum ChunkBytes {
    /// Decoded already.
    Decoded(Bytes),
    /// As stored, codecs applied.
    Stored {
        bytes: Bytes,
        skip: u32,
        /// Object of the granule and place in it, where known.
        range: Option<(u32, Range<u64>)>,
        /// Of an object of its own: the state of it that was read.
        version: Option<Arc<ObjectVersion>>,
    },
    /// Never written.
    Missing,
}

/// Column and part that bytes are for.
pub(super) type Place = (usize, usize);

/// The bytes of a tile's chunks, not yet decoded.
#[derive(Debug)]
pub struct Fetched {
    pub(super) extent: Extent,
    pub(super) columns: Vec<(ColumnPlan, Vec<ChunkBytes>)>,
    pub(super) metrics: TileMetrics,
}

impl Fetched {
    /// What the fetched chunks will be decoded to, bytes.
    pub(super) fn bytes_to_decode(&self) -> u64 {
        let parts = self.columns.iter().flat_map(|(plan, chunks)| plan.parts.iter().zip(chunks));
        parts.filter(|(_, chunk)| matches!(chunk, ChunkBytes::Stored { .. })).map(|(part, _)| part.decoded_len as u64).sum()
    }
}

/// Fetches what the plans need and the cache does not hold.
pub(super) async fn fetch(objects: &Objects, cache: Option<&ChunkCache>, extent: Extent, plans: Vec<ColumnPlan>) -> Result<Fetched> {
    let begin = Instant::now();
    let mut metrics = TileMetrics::default();
    let mut columns: Vec<(ColumnPlan, Vec<ChunkBytes>)> = Vec::with_capacity(plans.len());
    let mut wanted: BTreeMap<(GranuleId, u32), Wanted> = BTreeMap::new();
    let mut keyed = WantedKeys::default();
    let mut fetched = HashSet::new();
    for (c, plan) in plans.into_iter().enumerate() {
        let mut chunks = Vec::with_capacity(plan.parts.len());
        for (p, part) in plan.parts.iter().enumerate() {
            chunks.push(match (&part.reference, cache.and_then(|cache| cache.get(&part.key()))) {
                (ChunkRef::Missing, _) => ChunkBytes::Missing,
                (ChunkRef::Key { key, inner }, decoded) => {
                    // The keys hold as long as the metadata are what they were.
                    of_object(&mut wanted, part, part.keys.as_ref().map_or(0, |keys| keys.document));
                    keyed.add(part, key, *inner, decoded, (c, p));
                    ChunkBytes::Missing
                }
                (ChunkRef::Inline(bytes), _) => ChunkBytes::Stored { bytes: bytes.clone(), skip: 0, range: None, version: None },
                (ChunkRef::Stored { object, .. }, Some(decoded)) => {
                    metrics.chunks_cached += 1;
                    of_object(&mut wanted, part, *object);
                    ChunkBytes::Decoded(decoded.bytes)
                }
                (ChunkRef::Stored { skip, .. }, None) => {
                    metrics.chunks_read += 1;
                    let (object, range) = part.range()?.unwrap_or_default();
                    // Bands that lie interleaved in the same bytes fetch them once.
                    if fetched.insert((part.source.granule.id, object, range.start)) {
                        metrics.bytes_read += range.end - range.start;
                    }
                    let of_object = of_object(&mut wanted, part, object);
                    of_object.ranges.push(range.clone());
                    of_object.places.push((c, p));
                    ChunkBytes::Stored { bytes: Bytes::new(), skip: *skip, range: Some((object, range)), version: None }
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
        for (place, answer) in places.into_iter().zip(answers) {
            if let Some(ChunkBytes::Stored { bytes, .. }) = chunk_at(&mut columns, place) {
                *bytes = answer;
            }
        }
    }
    drop(read);
    for (place, bytes) in keyed.read(objects, cache, &mut metrics).await? {
        if let Some(chunk) = chunk_at(&mut columns, place) {
            *chunk = bytes;
        }
    }
    metrics.fetch_nanos = begin.elapsed().as_nanos() as u64;
    Ok(Fetched { extent, columns, metrics })
}

fn chunk_at(columns: &mut [(ColumnPlan, Vec<ChunkBytes>)], (column, part): Place) -> Option<&mut ChunkBytes> {
    columns.get_mut(column).and_then(|(_, chunks)| chunks.get_mut(part))
}

/// What is wanted of one object of a granule.
struct Wanted {
    granule: Arc<Granule>,
    object: u32,
    /// The array in messages.
    name: String,
    ranges: Vec<Range<u64>>,
    /// Column and part of each range.
    places: Vec<Place>,
}

fn of_object<'a>(wanted: &'a mut BTreeMap<(GranuleId, u32), Wanted>, part: &Part, object: u32) -> &'a mut Wanted {
    let granule = &part.source.granule;
    wanted.entry((granule.id, object)).or_insert_with(|| Wanted {
        granule: Arc::clone(granule),
        object,
        name: name(granule, part.source.metadata()),
        ranges: Vec::new(),
        places: Vec::new(),
    })
}

/// One object's ranges. An object whose chunks are all decoded is still checked: cells of a file that changed are an
/// error, whether they are remembered or not.
async fn read(objects: &Objects, wanted: &Wanted) -> Result<Vec<Bytes>> {
    let Some((location, version)) = wanted.granule.object(wanted.object) else {
        return Err(Error::Internal(format!("{}: the granule has no object {}", wanted.name, wanted.object)));
    };
    objects.read_ranges(location, version, &wanted.ranges).await.map_err(|e| match e {
        Error::Data { range, what, .. } if wanted.object == 0 => Error::Data { object: wanted.name.clone(), range, what },
        Error::Data { object, range, what } => Error::Data { object: wanted.name.clone(), range, what: format!("{object}: {what}") },
        other => other,
    })
}
