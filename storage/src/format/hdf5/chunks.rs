//! Where the cells of a data set lie: its layout and chunk index to a [`ChunkManifest`]
//! (file format specification, IV.A.2.i and appendices A to D).

use bytes::Bytes;
use hdf5_reader::btree_v1::{self, BTreeV1Key};
use hdf5_reader::chunk_index::{self, ChunkEntry};
use hdf5_reader::extensible_array::collect_extensible_array_chunk_entries_storage;
use hdf5_reader::fixed_array::collect_fixed_array_chunk_entries_storage;
use hdf5_reader::io::Cursor;
use hdf5_reader::messages::dataspace::UNLIMITED;
use hdf5_reader::messages::layout::{self, ChunkIndexing, DataLayout};

use super::Parsed;
use super::dataset::Dataset;
use super::file::File;
use crate::array::{ChunkGrid, ChunkManifest, ChunkRef, EdgeChunks};
use crate::codec::Codec;

/// A data set of more chunks than this is refused.
pub(super) const MOST_CHUNKS: u64 = 50_000_000;
/// Grids of up to this many chunks have an entry for each, stored or not.
const SMALL_GRID: u64 = 1 << 16;
/// Contiguous data are cut into pieces of at most this many bytes.
pub(super) const PIECE: u64 = 1 << 20;

/// A data layout message, checked against its data set.
pub(super) struct Layout {
    layout: DataLayout,
    /// Chunks that reach over the data set's end are stored without any filter.
    bare_edges: bool,
    /// Bytes of a whole data set.
    bytes: u64,
}

/// Where an array's cells are.
#[derive(Debug)]
pub(super) struct Place {
    /// See `ArrayMetadata::chunk_shape`.
    pub chunk_shape: Vec<u64>,
    /// See `ArrayMetadata::edge`.
    pub edge: EdgeChunks,
    /// The pipeline, where it applies: to chunks only.
    pub codecs: Vec<Codec>,
    /// References to all chunks.
    pub manifest: ChunkManifest,
}

impl Place {
    /// True when the stored bytes of an array of this shape follow each other in one object, from the first cell to the last.
    pub(super) fn is_one_run(&self, shape: &[u64]) -> bool {
        let cut = self.chunk_shape.iter().position(|&side| side > 1).unwrap_or(shape.len());
        let whole_rows = self.chunk_shape.iter().zip(shape).skip(cut + 1).all(|(side, n)| side >= n);
        let follows = |pair: &[ChunkRef]| match pair {
            [ChunkRef::Stored { object: a, offset, length, .. }, ChunkRef::Stored { object: b, offset: next, .. }] => {
                a == b && offset.checked_add(*length) == Some(*next)
            }
            _ => false,
        };
        whole_rows && self.edge == EdgeChunks::Clipped && self.manifest.chunks.windows(2).all(follows)
    }
}

impl Layout {
    /// Parses a data layout message.
    pub(super) fn parse(file: &File, body: &[u8], dataset: &Dataset, element: u32) -> Parsed<Layout> {
        let version = body.first().copied().unwrap_or(0);
        let layout = match version {
            1 | 2 => Self::old(file, body)?,
            _ => layout::parse(&mut Cursor::new(body), file.offset_size, file.length_size, body.len())?.layout,
        };
        let bare_edges = version >= 4 && matches!(layout, DataLayout::Chunked { .. }) && body.get(2).is_some_and(|flags| flags & 1 != 0);
        let bytes = dataset.shape.iter().try_fold(u64::from(element), |n, &d| n.checked_mul(d)).ok_or("more bytes than 64 bits count")?;
        Ok(Layout { layout, bare_edges, bytes })
    }
}

impl Layout {
    /// True for data in chunks, which can grow.
    pub(super) fn is_chunked(&self) -> bool {
        matches!(self.layout, DataLayout::Chunked { .. })
    }

    /// Versions 1 and 2, which libhdf5 reads alike: five reserved bytes in both, no address before compact data
    /// (hdf5-reader 0.12.1 has it otherwise).
    fn old(file: &File, body: &[u8]) -> Parsed<DataLayout> {
        let mut cursor = Cursor::new(body);
        cursor.skip(1)?;
        let (rank, class) = (cursor.read_u8()?, cursor.read_u8()?);
        cursor.skip(5)?;
        let address = if class == 0 { 0 } else { cursor.read_offset(file.offset_size)? };
        let mut dims = (0..rank).map(|_| cursor.read_u32_le()).collect::<Result<Vec<_>, _>>()?;
        match class {
            0 => {
                let length = cursor.read_u32_le()?;
                let data = usize::try_from(length).ok().map(|n| cursor.read_bytes(n)).transpose()?.unwrap_or_default();
                Ok(DataLayout::Compact { data: data.to_vec() })
            }
            1 => Ok(DataLayout::Contiguous { address, size: 0 }),
            2 => {
                let element_size = dims.pop().ok_or("chunks without dimensions")?;
                Ok(DataLayout::Chunked { address, dims, element_size, chunk_indexing: None })
            }
            class => Err(format!("data layout of class {class}").into()),
        }
    }
}

/// Finds all chunks of a data set.
///
/// A chunked array has the shape `logical`, which may be longer than what is stored along unlimited dimensions.
pub(super) fn place(file: &File, dataset: &Dataset, logical: &[u64], layout: Layout, codecs: &[Codec], element: u32) -> Parsed<Place> {
    let shape = &dataset.shape;
    let whole = |chunk: ChunkRef| Place {
        chunk_shape: shape.iter().map(|&n| n.max(1)).collect(),
        edge: EdgeChunks::Clipped,
        codecs: Vec::new(),
        manifest: ChunkManifest::new(if layout.bytes == 0 { Vec::new() } else { vec![chunk] }),
    };
    match &layout.layout {
        DataLayout::Compact { data } => {
            let cells = usize::try_from(layout.bytes).ok().and_then(|n| data.get(..n));
            let cells = cells.ok_or_else(|| format!("compact data of {} bytes, expected {}", data.len(), layout.bytes))?;
            file.charge(layout.bytes)?;
            Ok(whole(ChunkRef::Inline(Bytes::copy_from_slice(cells))))
        }
        DataLayout::Contiguous { address, .. } if file.nowhere(*address) || layout.bytes == 0 => Ok(whole(ChunkRef::Missing)),
        DataLayout::Contiguous { address, .. } => contiguous(file, shape, *address, layout.bytes, element),
        DataLayout::Chunked { address, dims, chunk_indexing, .. } => {
            let mut chunk: Vec<u64> = dims.iter().map(|&d| u64::from(d)).collect();
            // Version 4 and 5 messages list the element's size as one more dimension.
            if chunk.len() == shape.len() + 1 {
                chunk.pop();
            }
            let index = Index { address: *address, indexing: chunk_indexing.as_ref(), bare_edges: layout.bare_edges };
            chunked(file, dataset, logical, chunk, index, codecs, element)
        }
    }
}

/// Cuts contiguous data along the leading axes into pieces of about [`PIECE`] bytes.
fn contiguous(file: &File, shape: &[u64], address: u64, bytes: u64, element: u32) -> Parsed<Place> {
    let start = address.checked_add(file.base).ok_or("address beyond 64 bits")?;
    inside(file, start, bytes)?;
    let mut chunk_shape = vec![1u64; shape.len()];
    let mut piece = u64::from(element);
    for (side, &n) in chunk_shape.iter_mut().zip(shape).rev() {
        *side = n.min((PIECE / piece).max(1));
        piece *= *side;
        if *side < n {
            break;
        }
    }
    let grid = ChunkGrid::new(shape, &chunk_shape);
    reserve(file, grid.len())?;
    // Pieces follow each other without gaps; only the one cut axis can leave a shorter piece at its end.
    let cut = chunk_shape.iter().position(|&side| side > 1).unwrap_or(shape.len().saturating_sub(1));
    let (side, n) = (chunk_shape.get(cut).copied().unwrap_or(1), shape.get(cut).copied().unwrap_or(1));
    let row = piece / side;
    let along = n.div_ceil(side);
    let mut offset = start;
    let chunks = (0..grid.len())
        .map(|i| {
            let cells = if i % along == along - 1 { n - side * (along - 1) } else { side };
            let reference = ChunkRef::Stored { object: file.number, offset, length: cells * row, skip: 0 };
            offset += cells * row;
            reference
        })
        .collect();
    Ok(Place { chunk_shape, edge: EdgeChunks::Clipped, codecs: Vec::new(), manifest: ChunkManifest::new(chunks) })
}

/// A chunk index as the layout message tells of it.
struct Index<'a> {
    address: u64,
    indexing: Option<&'a ChunkIndexing>,
    bare_edges: bool,
}

fn chunked(
    file: &File,
    dataset: &Dataset,
    logical: &[u64],
    chunk: Vec<u64>,
    index: Index<'_>,
    codecs: &[Codec],
    element: u32,
) -> Parsed<Place> {
    let shape = &dataset.shape;
    if chunk.len() != shape.len() || chunk.contains(&0) || shape.is_empty() {
        return Err(format!("chunks of shape {chunk:?} for a data set of shape {shape:?}").into());
    }
    let full = chunk.iter().try_fold(u64::from(element), |n, &d| n.checked_mul(d)).filter(|&n| n <= u64::from(u32::MAX));
    let full = full.ok_or_else(|| format!("chunks of shape {chunk:?} and {element} bytes a cell, more than 4 GiB each"))?;
    let grid = ChunkGrid::new(logical, &chunk);
    let total = grid.len();
    if total > MOST_CHUNKS {
        return Err(format!("{total} chunks of shape {chunk:?} in a data set of shape {logical:?}; at most {MOST_CHUNKS} are read").into());
    }
    let entries =
        if shape.contains(&0) || file.nowhere(index.address) { Vec::new() } else { entries(file, dataset, &chunk, &index, full, element)? };
    let all_filters = if codecs.len() >= 32 { u32::MAX } else { (1u32 << codecs.len()) - 1 };

    let counts = grid.counts();
    let mut found = Vec::with_capacity(entries.len());
    for entry in entries {
        if file.nowhere(entry.address) {
            continue;
        }
        let at = entry.offsets.get(..shape.len()).ok_or("chunk index of another rank than the data set")?;
        if at.iter().zip(&chunk).any(|(o, c)| o % c != 0) {
            return Err(format!("chunk at cell {at:?}, which is not a corner of the grid of {chunk:?} chunks").into());
        }
        // Left over from before the data set shrank.
        if at.iter().zip(shape).any(|(o, n)| o >= n) {
            continue;
        }
        let partial = at.iter().zip(&chunk).zip(shape).any(|((o, c), n)| o.saturating_add(*c) > *n);
        let (mut skip, mut length) = (entry.filter_mask & all_filters, if entry.size == 0 { full } else { entry.size });
        if index.bare_edges && partial {
            (skip, length) = (all_filters, full);
        }
        if skip == all_filters && length != full {
            return Err(format!("unfiltered chunk at cell {at:?} of {length} bytes, expected {full}").into());
        }
        let offset = entry.address.checked_add(file.base).ok_or("chunk address beyond 64 bits")?;
        inside(file, offset, length)?;
        let number = counts.iter().zip(at.iter().zip(&chunk)).fold(0, |n, (count, (o, c))| n * count + o / c);
        found.push((number, ChunkRef::Stored { object: file.number, offset, length, skip }));
    }
    // A small grid is written out; of a large one, what follows the last stored chunk is left off: it is missing all the same.
    let last = found.iter().map(|(n, _)| n + 1).max().unwrap_or(0);
    let slots = if total <= SMALL_GRID { total } else { last };
    reserve(file, slots)?;
    let mut chunks = vec![ChunkRef::Missing; usize::try_from(slots).map_err(|_| "chunks do not fit in memory")?];
    for (number, reference) in found {
        let slot = usize::try_from(number).ok().and_then(|n| chunks.get_mut(n)).ok_or("chunk outside the grid")?;
        if *slot != ChunkRef::Missing {
            return Err(format!("chunk {number} stands twice in the chunk index").into());
        }
        *slot = reference;
    }
    Ok(Place { chunk_shape: chunk, edge: EdgeChunks::Padded, codecs: codecs.to_vec(), manifest: ChunkManifest::new(chunks) })
}

/// All chunks that an index names.
fn entries(file: &File, dataset: &Dataset, chunk: &[u64], index: &Index<'_>, full: u64, element: u32) -> Parsed<Vec<ChunkEntry>> {
    let (storage, o, l) = (file.storage.as_ref(), file.offset_size, file.length_size);
    let rank = dataset.shape.len() as u32;
    let sides = chunk.iter().map(|&c| u32::try_from(c)).collect::<Result<Vec<_>, _>>().map_err(|_| "chunk side beyond 32 bits")?;
    // Fixed arrays and implicit indexes number the chunks of the data set at its largest.
    let largest: &[u64] = match &dataset.max {
        Some(max)
            if max.len() == dataset.shape.len() && !max.contains(&UNLIMITED) && max.iter().zip(&dataset.shape).all(|(m, n)| m >= n) =>
        {
            max
        }
        _ => &dataset.shape,
    };
    let most = ChunkGrid::new(largest, chunk).len();
    Ok(match index.indexing {
        None => {
            let leaves = btree_v1::collect_btree_v1_leaves_storage(storage, index.address, o, l, Some(rank), &sides, None)?;
            let entry = |(key, address)| match key {
                BTreeV1Key::RawData { chunk_size, filter_mask, offsets } => {
                    Ok(ChunkEntry { address, size: chunk_size.into(), filter_mask, offsets })
                }
                BTreeV1Key::Group { .. } => Err("chunk index is the B-tree of a group".into()),
            };
            leaves.into_iter().map(entry).collect::<Parsed<Vec<_>>>()?
        }
        Some(ChunkIndexing::SingleChunk { filtered_size, filters }) => {
            vec![chunk_index::single_chunk_entry(index.address, *filtered_size, *filters, dataset.shape.len())]
        }
        Some(ChunkIndexing::BTreeV2) => chunk_index::collect_v2_chunk_entries_storage(storage, index.address, o, l, rank, &sides, None)?,
        Some(ChunkIndexing::Implicit) => {
            if most > MOST_CHUNKS || most.checked_mul(full).is_none_or(|bytes| bytes > storage.len()) {
                return Err(format!("implicit index of {most} chunks of {full} bytes in a file of {} bytes", storage.len()).into());
            }
            chunk_index::collect_implicit_chunk_entries(index.address, largest, &sides, element as usize, None, storage.len())?
        }
        Some(ChunkIndexing::FixedArray { .. }) => {
            collect_fixed_array_chunk_entries_storage(storage, index.address, o, l, largest, &sides, None)?
        }
        Some(ChunkIndexing::ExtensibleArray { .. }) => {
            let (shape, max) = (&dataset.shape, dataset.max.as_deref());
            collect_extensible_array_chunk_entries_storage(storage, index.address, o, l, shape, max, &sides, None)?
        }
    })
}

/// Checks that bytes lie inside the object.
fn inside(file: &File, offset: u64, length: u64) -> Parsed<()> {
    let size = file.storage.len().saturating_add(file.base);
    match offset.checked_add(length) {
        Some(end) if end <= size => Ok(()),
        _ => Err(format!("data at bytes {offset}..{}, outside the object of {size} bytes", offset.saturating_add(length)).into()),
    }
}

/// Accounts for the references to `slots` chunks.
pub(super) fn reserve(file: &File, slots: u64) -> Parsed<()> {
    if slots > MOST_CHUNKS {
        return Err(format!("{slots} chunks; at most {MOST_CHUNKS} are read").into());
    }
    file.charge(slots.saturating_mul(size_of::<ChunkRef>() as u64))
}
