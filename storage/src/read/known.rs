//! What statistics say about a box of a variable, chunk by chunk, and reading chunks for their statistics alone. Nothing is
//! decoded for the former.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use super::plan::{self, Index, References, Source};
use super::{Reader, TileRequest};
use crate::array::{ChunkGrid, ChunkRef, Extent};
use crate::catalog::{ChunkOf, ChunkStatistics, Cube, StatisticsStore};
use crate::{Error, Result};

/// A chunk that a box meets.
#[derive(Debug, Clone, PartialEq)]
pub struct KnownChunk {
    /// Its cells inside the box: in the variable's own axes, in the cube's index space.
    pub extent: Extent,
    /// True when these are all its cells.
    pub whole: bool,
    /// Which chunk.
    pub chunk: ChunkOf,
    /// Of all its cells; `None` where nothing is known.
    pub statistics: Option<ChunkStatistics>,
}

impl Reader {
    /// The chunks that a box (in the cube's axes) of a variable meets, with what is known of them. Cells of the box in none of
    /// them have no value.
    pub fn known(&self, cube: &Cube, variable: usize, extent: &Extent) -> Result<Vec<KnownChunk>> {
        let Some(store) = self.inner.index.statistics() else { return Ok(Vec::new()) };
        known(&*self.inner.index, store, cube, variable, extent)
    }

    /// Checks that the objects of these chunks are as they were indexed, as reading them would.
    pub async fn check_unchanged(&self, chunks: &[ChunkOf]) -> Result<()> {
        let index = &*self.inner.index;
        let mut wanted = BTreeSet::new();
        for of_array in chunks.chunk_by(|a, b| (a.granule, a.array) == (b.granule, b.array)) {
            let Some(first) = of_array.first() else { continue };
            let mut references = References::of(index, first.granule, first.array);
            for chunk in of_array {
                match references.get(chunk.chunk)? {
                    (ChunkRef::Stored { object, .. }, _) => wanted.insert((chunk.granule, object)),
                    (ChunkRef::Key { .. }, keys) => wanted.insert((chunk.granule, keys.map_or(0, |keys| keys.document))),
                    (ChunkRef::Missing | ChunkRef::Inline(_), _) => false,
                };
            }
        }
        for (id, object) in wanted {
            let granule = index.granule(id)?;
            if let Some((location, version)) = granule.object(object) {
                self.inner.objects.read_ranges(location, version, &[]).await?;
            }
        }
        Ok(())
    }

    /// True for a chunk whose version the index knows: what is known of it holds until the granule is indexed again.
    pub(super) fn lasts(&self, chunk: &KnownChunk) -> Result<bool> {
        let ChunkOf { granule, array, chunk } = chunk.chunk;
        Ok(!matches!(References::of(&*self.inner.index, granule, array).get(chunk)?.0, ChunkRef::Key { .. }))
    }

    /// Reads a whole chunk of a variable, so that its statistics are known. Gives the stored bytes read.
    pub(super) async fn learn(&self, cube: &Arc<Cube>, variable: usize, chunk: &KnownChunk) -> Result<u64> {
        let axes = cube.variables.get(variable).map(|v| v.axes.as_slice()).unwrap_or_default();
        // Of axes that the variable lacks one position will do.
        let along = |axis: usize| match axes.iter().position(|own| *own == axis) {
            Some(own) => chunk.extent.range(own),
            None => 0..cube.grid.axes.get(axis).map_or(0, |a| a.len().min(1)),
        };
        let extent = Extent::new((0..cube.grid.axes.len()).map(along).collect());
        let fetched = self.fetch(cube, TileRequest { extent, variables: vec![variable] }).await?;
        let (reader, (sender, receiver)) = (self.clone(), tokio::sync::oneshot::channel());
        self.cpu().spawn(move || {
            let decode = std::panic::AssertUnwindSafe(|| reader.decode(fetched));
            let decoded = std::panic::catch_unwind(decode).unwrap_or_else(|_| Err(Error::Internal("decoding a chunk panicked".into())));
            // The receiver is gone when nobody waits any more.
            let _ = sender.send(decoded.map(|tile| tile.metrics.bytes_read));
        });
        receiver.await.map_err(|_| Error::Internal("decoding a chunk was dropped".into()))?
    }

    /// Writes what was learnt and is not written yet.
    pub fn keep_statistics(&self) -> Result<()> {
        self.inner.index.statistics().map_or(Ok(()), StatisticsStore::write)
    }
}

fn known(index: &dyn Index, store: &StatisticsStore, cube: &Cube, variable: usize, extent: &Extent) -> Result<Vec<KnownChunk>> {
    let Some(variable) = cube.variables.get(variable) else {
        return Err(Error::Internal(format!("cube {} has no variable {variable}", cube.name)));
    };
    let own = extent.project(&variable.axes);
    let mut chunks: Vec<(ChunkOf, Extent, bool)> = Vec::new();
    for piece in variable.pieces_meeting(&own) {
        let Some(meeting) = piece.extent.intersection(&own) else { continue };
        let source = Source::new(index.granule(piece.granule)?, piece.array)?;
        let array = source.metadata();
        let counts = ChunkGrid::new(&array.shape, &array.chunk_shape).counts();
        // Number of the chunk so far, its cells, whether these are all; one dimension after the other.
        let mut found: Vec<(u64, Vec<Range<u64>>, bool)> = vec![(0, meeting.ranges().to_vec(), true)];
        for (d, axis) in plan::align(&source, piece)?.into_iter().enumerate() {
            let (shape, side) = (array.shape.get(d).copied().unwrap_or(1), array.chunk_shape.get(d).copied().unwrap_or(1).max(1));
            let Some(axis) = axis else { continue };
            // What lies at the begin of the piece, in the array; added before it is taken away again, since it may be less.
            let (begin, offset) = (piece.extent.range(axis).start, plan::offset(piece, axis));
            let wanted = meeting.range(axis);
            let (from, to) = (wanted.start - begin + offset, wanted.end - begin + offset);
            let along: Vec<(u64, Range<u64>, bool)> = (from / side..to.div_ceil(side))
                .map(|i| {
                    let (start, end) = (from.max(i * side), to.min((i + 1).saturating_mul(side)));
                    let whole = start == i * side && end == shape.min((i + 1).saturating_mul(side));
                    (i, start + begin - offset..end + begin - offset, whole)
                })
                .collect();
            let count = counts.get(d).copied().unwrap_or(1);
            let mut more = Vec::with_capacity(found.len() * along.len());
            for (number, ranges, whole) in &found {
                for (i, range, all) in &along {
                    let mut ranges = ranges.clone();
                    if let Some(slot) = ranges.get_mut(axis) {
                        *slot = range.clone();
                    }
                    more.push((number * count + i, ranges, *whole && *all));
                }
            }
            found = more;
        }
        let of = |chunk| ChunkOf { granule: piece.granule, array: piece.array, chunk };
        chunks.extend(found.into_iter().map(|(number, ranges, whole)| (of(number), Extent::new(ranges), whole)));
    }
    let statistics = store.get(&chunks.iter().map(|(chunk, ..)| *chunk).collect::<Vec<_>>());
    let known = |((chunk, extent, whole), statistics)| KnownChunk { extent, whole, chunk, statistics };
    Ok(chunks.into_iter().zip(statistics).map(known).collect())
}
