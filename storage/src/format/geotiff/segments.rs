//! Where the strips or tiles of one directory lie, as one chunk list a plane.

use std::collections::BTreeSet;

use super::directory::Directory;
use super::field::tag;
use super::layout::Layout;
use crate::array::{ChunkManifest, ChunkRef, EdgeChunks};
use crate::codec::largest_ratio;
use crate::{Error, Result};

/// Uncompressed rows that follow one another are cut into chunks of about this many bytes, whatever the strips are.
const CHUNK_BYTES: u64 = 1 << 20;

/// The chunks of all planes: one of chunky images, one a band of others.
#[derive(Debug)]
pub(super) struct Segments {
    /// Rows and columns of a chunk.
    pub(super) chunk_shape: Vec<u64>,
    /// Tiles are stored whole, strips are cut at the image's end.
    pub(super) edge: EdgeChunks,
    /// Chunks of each plane.
    pub(super) planes: Vec<ChunkManifest>,
}

/// An error when no segment can be whole: a header that claims more samples than its bytes can ever hold is refused as one, not
/// once for each of up to 65,535 bands.
fn plausible(object: &str, layout: &Layout, counts: &[u64]) -> Result<()> {
    let (rows, longest) = (layout.grid().0, counts.iter().copied().max().unwrap_or(0));
    let (Some(ratio), Some(needed)) =
        (largest_ratio(&layout.coding.codecs), layout.stored_bytes(layout.stored_rows(rows.saturating_sub(1))))
    else {
        return Ok(());
    };
    let most = longest.saturating_mul(ratio as u64);
    if longest > 0 && needed > most {
        let what = "SamplesPerPixel and the size of the image";
        return Err(Error::data(
            object,
            format!("{what} want segments of {needed} bytes, and the longest, of {longest}, holds at most {most}"),
        ));
    }
    Ok(())
}

/// Reads the offsets and byte counts of a directory of an object of `size` bytes. Every range lies inside the object; a
/// segment that was never written (byte count 0) is [`ChunkRef::Missing`].
pub(super) fn read(object: &str, size: u64, directory: &Directory, layout: &Layout) -> Result<Segments> {
    let (along_rows, along_columns) = layout.grid();
    let in_a_plane = along_rows.checked_mul(along_columns);
    let total = in_a_plane.and_then(|n| n.checked_mul(layout.planes()));
    let (Some(in_a_plane), Some(total)) = (in_a_plane, total) else {
        return Err(Error::data(object, format!("{along_rows} x {along_columns} segments of each plane are too many")));
    };
    // Some writers give tiles the tags of strips; libtiff reads both.
    let (offsets_tag, counts_tag) = if directory.has(tag::TILE_OFFSETS) {
        (tag::TILE_OFFSETS, tag::TILE_BYTE_COUNTS)
    } else {
        (tag::STRIP_OFFSETS, tag::STRIP_BYTE_COUNTS)
    };
    let offsets = directory.unsigned(object, offsets_tag)?.unwrap_or_default();
    if (offsets.len() as u64) < total {
        let what = format!("{}: expected {total} values, found {}", tag::name(offsets_tag), offsets.len());
        return Err(Error::data(object, what));
    }
    let counts = directory.unsigned(object, counts_tag)?.unwrap_or_default();
    plausible(object, layout, &counts)?;
    let places =
        if (counts.len() as u64) < total && !layout.coding.uncompressed { offsets.iter().copied().collect() } else { BTreeSet::new() };
    let lengths = Lengths { object, size, counts, places, name: if layout.tiled { "tile" } else { "strip" } };
    let mut chunks = Vec::with_capacity(total as usize);
    for (i, &offset) in offsets.iter().take(total as usize).enumerate() {
        let row = (i as u64 % in_a_plane) / along_columns;
        let decoded = layout.stored_bytes(layout.stored_rows(row)).unwrap_or(u64::MAX);
        chunks.push(lengths.chunk(i, offset, decoded, layout, total)?);
    }
    let mut planes: Vec<ChunkManifest> =
        chunks.chunks(in_a_plane.max(1) as usize).map(|plane| ChunkManifest::new(plane.to_vec())).collect();
    drop(chunks);
    let edge = if layout.tiled { EdgeChunks::Padded } else { EdgeChunks::Clipped };
    let mut chunk_shape = vec![layout.segment_height, layout.segment_width];
    if layout.rows_are_apart()
        && !layout.tiled
        && let Some(starts) = planes.iter().map(contiguous).collect::<Option<Vec<u64>>>()
        && let Some(row_bytes) = layout.stored_bytes(1).filter(|&n| n > 0)
    {
        let rows = (CHUNK_BYTES / row_bytes).clamp(1, layout.height);
        chunk_shape = vec![rows, layout.width];
        planes = starts.into_iter().map(|start| recut(start, row_bytes, rows, layout.height)).collect();
    }
    Ok(Segments { chunk_shape, edge, planes })
}

/// What decides how many bytes a segment has.
struct Lengths<'a> {
    object: &'a str,
    size: u64,
    counts: Vec<u64>,
    /// All offsets, to find where a compressed segment without byte count must end; empty where none is.
    places: BTreeSet<u64>,
    name: &'static str,
}

impl Lengths<'_> {
    /// Segment `i` of `total`, which holds `decoded` bytes once decoded.
    fn chunk(&self, i: usize, offset: u64, decoded: u64, layout: &Layout, total: u64) -> Result<ChunkRef> {
        let named = |what: String| format!("{} {i}: {what}", self.name);
        let length = match (offset, self.counts.get(i).copied()) {
            // Whatever its length is said to be: the header stands there.
            (0, _) => return Ok(ChunkRef::Missing),
            // A single segment without its length: libtiff works it out as well.
            (_, Some(0)) if !(layout.coding.uncompressed && total == 1) => return Ok(ChunkRef::Missing),
            (_, Some(n)) if !layout.coding.uncompressed => n,
            (_, Some(n)) if n >= decoded || total == 1 => decoded,
            (_, Some(n)) => return Err(Error::data(self.object, named(format!("expected {decoded} bytes, found {n}")))),
            (_, None) if layout.coding.uncompressed => decoded,
            (_, None) => {
                let next = self.places.range(offset.saturating_add(1)..).next().copied().unwrap_or(self.size);
                next.min(self.size).saturating_sub(offset)
            }
        };
        let end = offset.checked_add(length).filter(|&end| end <= self.size && length > 0);
        if end.is_none() {
            let range = offset..offset.saturating_add(length);
            let what = named(format!("reaches over the object's end at byte {}", self.size));
            return Err(Error::data_at(self.object, range, what));
        }
        Ok(ChunkRef::Stored { object: 0, offset, length, skip: 0 })
    }
}

/// The first byte of a plane whose chunks follow one another without a gap.
fn contiguous(plane: &ChunkManifest) -> Option<u64> {
    let mut start = None;
    let mut expected = None;
    for chunk in &plane.chunks {
        let ChunkRef::Stored { offset, length, .. } = chunk else { return None };
        if expected.is_some_and(|e| e != *offset) {
            return None;
        }
        start = start.or(Some(*offset));
        expected = offset.checked_add(*length);
    }
    start
}

/// A plane of `height` rows from byte `start` on, in chunks of `rows` rows.
fn recut(start: u64, row_bytes: u64, rows: u64, height: u64) -> ChunkManifest {
    let chunk = |i: u64| ChunkRef::Stored {
        object: 0,
        offset: start + i * rows * row_bytes,
        length: rows.min(height - i * rows) * row_bytes,
        skip: 0,
    };
    ChunkManifest::new((0..height.div_ceil(rows)).map(chunk).collect())
}
