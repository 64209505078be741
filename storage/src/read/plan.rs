//! From a tile request to the chunks that it needs and where their cells go. No file is touched here.

use std::ops::Range;
use std::sync::Arc;

use super::TileRequest;
use super::cache::ChunkKey;
use super::chunk::{self, name};
use super::column::BroadcastAxis;
use super::copy::{Copy, strides};
use crate::array::{ArrayMetadata, ChunkKeys, ChunkManifest, ChunkRef, DataType, Encoding, Extent, Scalar, TimeUnit};
use crate::catalog::{Catalog, ChunkOf, ChunkPage, Cube, Granule, GranuleId, Piece, StatisticsStore};
use crate::{Error, Result};

/// Most cells of one variable in one tile.
const CELLS: u64 = 1 << 31;

/// What reading needs of the catalog. The catalog is the one implementation outside of tests.
pub(super) trait Index: Send + Sync {
    /// A granule by number.
    fn granule(&self, id: GranuleId) -> Result<Arc<Granule>>;
    /// The page of an array's chunk references that has those of `chunk` (C-order number).
    fn page(&self, granule: GranuleId, array: u32, chunk: u64) -> Result<ChunkPage>;
    /// What is known of values in chunks, where that is kept.
    fn statistics(&self) -> Option<&StatisticsStore> {
        None
    }
}

impl Index for Catalog {
    fn granule(&self, id: GranuleId) -> Result<Arc<Granule>> {
        Catalog::granule(self, id)
    }

    fn page(&self, granule: GranuleId, array: u32, chunk: u64) -> Result<ChunkPage> {
        Catalog::chunk_page(self, granule, array, chunk)
    }

    fn statistics(&self) -> Option<&StatisticsStore> {
        Some(Catalog::statistics(self))
    }
}

/// The chunk references of one array, of which only the pages that are asked for are loaded.
pub(super) struct References<'a> {
    load: Box<dyn Fn(u64) -> Result<ChunkPage> + 'a>,
    /// The page in use, and its rule of keys.
    page: Option<(ChunkPage, Option<Arc<ChunkKeys>>)>,
}

impl<'a> References<'a> {
    /// Those of an array in an index.
    pub(super) fn of(index: &'a dyn Index, granule: GranuleId, array: u32) -> Self {
        References { load: Box::new(move |chunk| index.page(granule, array, chunk)), page: None }
    }

    /// Those of a manifest.
    pub(super) fn whole(manifest: &Arc<ChunkManifest>) -> Self {
        let manifest = Arc::clone(manifest);
        References { load: Box::new(move |_| Ok(ChunkPage { chunks: 0..u64::MAX, manifest: Arc::clone(&manifest) })), page: None }
    }

    /// The reference of a chunk, and the rule from which it was made, where there is one.
    pub(super) fn get(&mut self, chunk: u64) -> Result<(ChunkRef, Option<Arc<ChunkKeys>>)> {
        if !self.page.as_ref().is_some_and(|(page, _)| page.chunks.contains(&chunk)) {
            let page = (self.load)(chunk)?;
            let keys = page.manifest.keys.clone().map(Arc::new);
            self.page = Some((page, keys));
        }
        match &self.page {
            Some((page, keys)) => Ok((page.manifest.get(chunk.saturating_sub(page.chunks.start)), keys.clone())),
            None => Err(Error::Internal("a chunk without its page".into())),
        }
    }
}

/// One array of one granule.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub(super) granule: Arc<Granule>,
    pub(super) array: u32,
}

impl Source {
    pub(super) fn new(granule: Arc<Granule>, array: u32) -> Result<Source> {
        match granule.arrays.get(array as usize) {
            Some(_) => Ok(Source { granule, array }),
            None => Err(Error::Internal(format!("{}: there is no array {array}", granule.location))),
        }
    }

    /// What the array is.
    pub(super) fn metadata(&self) -> &ArrayMetadata {
        // `new` has checked the number.
        &self.granule.arrays[self.array as usize]
    }
}

/// The part of a chunk that a column needs.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) source: Source,
    /// C-order number of the chunk.
    pub(super) chunk: u64,
    pub(super) reference: ChunkRef,
    /// The rule from which the reference was made, where there is one.
    pub(super) keys: Option<Arc<ChunkKeys>>,
    /// Bytes of the decoded chunk; cells of it for [`DataType::Text`].
    pub(super) decoded_len: usize,
    pub(super) encoding: Arc<Encoding>,
    /// From the decoded chunk to the variable's own cells.
    pub(super) copy: Copy,
    /// True when all of the chunk's cells that lie inside the array are copied.
    pub(super) whole: bool,
}

impl Part {
    pub(super) fn key(&self) -> ChunkKey {
        ChunkKey { granule: self.source.granule.id, array: self.source.array, chunk: self.chunk }
    }

    /// Under which its statistics are kept.
    pub(super) fn chunk_of(&self) -> ChunkOf {
        ChunkOf { granule: self.source.granule.id, array: self.source.array, chunk: self.chunk }
    }

    /// In which of the granule's objects its bytes lie, and where; `None` when they lie nowhere or in an object of their own.
    pub(super) fn range(&self) -> Result<Option<(u32, Range<u64>)>> {
        let ChunkRef::Stored { object, offset, length, .. } = self.reference else { return Ok(None) };
        let (granule, array) = (&self.source.granule, self.source.metadata());
        let Some((location, version)) = granule.object(object) else {
            return Err(Error::Internal(format!("{}: the granule has no object {object}", name(granule, array))));
        };
        match offset.checked_add(length) {
            Some(end) if end <= version.size => Ok(Some((object, offset..end))),
            end => {
                let file = if object == 0 { "the file" } else { location };
                let what = format!("chunk {} reaches over the end of {file}, which has {} bytes", self.chunk, version.size);
                Err(Error::data_at(name(granule, array), offset..end.unwrap_or(u64::MAX), what))
            }
        }
    }
}

/// How one column of a tile is made.
#[derive(Debug, Clone)]
pub(super) struct ColumnPlan {
    pub(super) decoded: DataType,
    pub(super) time: Option<TimeUnit>,
    /// Cells on the variable's own axes.
    pub(super) cells: usize,
    /// The tile's axes; those that are not `own` are broadcast.
    pub(super) axes: Vec<BroadcastAxis>,
    pub(super) parts: Vec<Part>,
    /// The column of the same request that masks this one: NULL there is NULL here.
    pub(super) masked_by: Option<usize>,
    /// A mask: cells that no part writes are not NULL.
    pub(super) is_mask: bool,
}

impl ColumnPlan {
    /// An empty plan of a mask of this column.
    pub(super) fn mask(&self) -> ColumnPlan {
        let axes = self.axes.clone();
        ColumnPlan { decoded: DataType::UInt16, time: None, cells: self.cells, axes, parts: Vec::new(), masked_by: None, is_mask: true }
    }

    /// True when the two read the same cells of the same arrays into the same places.
    fn reads_the_same(&self, other: &ColumnPlan) -> bool {
        let same = |a: &Part, b: &Part| a.key() == b.key() && a.copy == b.copy;
        self.cells == other.cells
            && self.axes == other.axes
            && self.parts.len() == other.parts.len()
            && self.parts.iter().zip(&other.parts).all(|(a, b)| same(a, b))
    }

    /// True when the parts fill the column from its first cell to its last, in order.
    pub(super) fn in_order(&self) -> bool {
        let mut end = 0;
        self.parts.iter().all(|part| {
            let follows = part.copy.to() >= end && part.copy.fills_consecutive_cells();
            end = part.copy.to() + part.copy.cells();
            follows
        })
    }

    /// True when every cell is written by some part.
    pub(super) fn covered(&self) -> bool {
        self.is_mask || self.parts.iter().map(|p| p.copy.cells()).sum::<usize>() == self.cells
    }
}

/// The encoding by which an array that masks another is NULL where it masks: where its cell is 0.
pub(super) fn mask_encoding(mask: &ArrayMetadata) -> Arc<Encoding> {
    Arc::new(Encoding { decoded: DataType::UInt16, missing: vec![Scalar::Int(0)], ..Encoding::identity(mask.data_type) })
}

/// Plans every column of a request, in its order; the masks of those that have one follow.
pub(super) fn plan(index: &dyn Index, cube: &Cube, request: &TileRequest) -> Result<Vec<ColumnPlan>> {
    let extent = &request.extent;
    let inside = extent.ndim() == cube.grid.axes.len()
        && extent.ranges().iter().zip(&cube.grid.axes).all(|(r, axis)| r.start <= r.end && r.end <= axis.len());
    if !inside {
        return Err(Error::Internal(format!("extent {extent} lies outside of cube {}, {}", cube.name, cube.grid.extent())));
    }
    if extent.cells() > CELLS {
        return Err(Error::Resources(format!("a tile of {} cells is too large (at most {CELLS})", extent.cells())));
    }
    let (mut columns, mut masks) = (Vec::new(), Vec::new());
    for &variable in &request.variables {
        let (column, mask) = plan_variable(index, cube, extent, variable)?;
        columns.push(column);
        masks.push(mask);
    }
    for (column, mask) in masks.into_iter().enumerate().filter_map(|(i, mask)| Some((i, mask?))) {
        // Bands share their mask.
        let known = columns.iter().position(|c: &ColumnPlan| c.is_mask && c.reads_the_same(&mask));
        let number = known.unwrap_or(columns.len());
        if known.is_none() {
            columns.push(mask);
        }
        if let Some(column) = columns.get_mut(column) {
            column.masked_by = Some(number);
        }
    }
    Ok(columns)
}

/// One variable, and the mask of those of its pieces that have one.
fn plan_variable(index: &dyn Index, cube: &Cube, extent: &Extent, number: usize) -> Result<(ColumnPlan, Option<ColumnPlan>)> {
    let Some(variable) = cube.variables.get(number) else {
        return Err(Error::Internal(format!("cube {} has no variable {number}", cube.name)));
    };
    let own = extent.project(&variable.axes);
    let to_shape: Vec<usize> = own.shape().into_iter().map(|n| n as usize).collect();
    let axes = extent.shape().into_iter().enumerate();
    let axes = axes.map(|(d, n)| BroadcastAxis { len: n as usize, own: variable.axes.contains(&d) }).collect();
    let cells = to_shape.iter().product();
    let mut column =
        ColumnPlan { decoded: variable.decoded, time: variable.time, cells, axes, parts: Vec::new(), masked_by: None, is_mask: false };
    if extent.is_empty() {
        column.cells = 0;
        return Ok((column, None));
    }
    let mut mask: Option<ColumnPlan> = None;
    let to_strides = strides(&to_shape);
    for piece in variable.pieces_meeting(&own) {
        let Some(meeting) = piece.extent.intersection(&own) else { continue };
        if piece.encoding.time != variable.time {
            return Err(Error::Internal(format!("variable {} of cube {}: pieces of different kinds of time", variable.name, cube.name)));
        }
        let source = Source::new(index.granule(piece.granule)?, piece.array)?;
        let mut references = References::of(index, piece.granule, piece.array);
        let aligned = align(&source, piece)?;
        // Into the array's own index space.
        let wanted: Vec<Range<u64>> = (aligned.iter().enumerate())
            .map(|(dimension, axis)| match axis {
                Some(axis) => {
                    let (r, begin, offset) = (meeting.range(*axis), piece.extent.range(*axis).start, offset(piece, *axis));
                    r.start - begin + offset..r.end - begin + offset
                }
                None => 0..source.metadata().shape.get(dimension).copied().unwrap_or(1),
            })
            .collect();
        let strides: Vec<usize> = aligned.iter().map(|axis| axis.map_or(0, |a| to_strides[a])).collect();
        let to = meeting.origin().iter().zip(own.ranges()).zip(&to_strides).map(|((o, r), s)| (o - r.start) as usize * s).sum();
        parts(&source, &mut references, &piece.encoding, &wanted, &strides, to, &mut column.parts)?;
        if let Some(number) = piece.encoding.mask {
            let array = Source::new(Arc::clone(&source.granule), number)?;
            let mut references = References::of(index, piece.granule, number);
            let mask = mask.get_or_insert_with(|| column.mask());
            mask_parts(&source, &array, &mut references, &wanted, &strides, to, mask)?;
        }
    }
    Ok((column, mask))
}

/// Adds the parts of a mask for the cells of `masked` that `wanted` names; see [`parts`].
pub(super) fn mask_parts(
    masked: &Source,
    mask: &Source,
    references: &mut References<'_>,
    wanted: &[Range<u64>],
    to_strides: &[usize],
    to: usize,
    column: &mut ColumnPlan,
) -> Result<()> {
    let (array, of) = (mask.metadata(), masked.metadata());
    if array.shape != of.shape || !matches!(array.data_type, DataType::UInt8 | DataType::UInt16) {
        let what = format!("the mask {} of {} {:?} does not fit it", array.path, array.data_type.name(), array.shape);
        return Err(Error::data(name(&masked.granule, of), what));
    }
    parts(mask, references, &mask_encoding(array), wanted, to_strides, to, &mut column.parts)
}

/// Adds a part for every chunk of an array that meets `wanted` (in the array's index space). The cell at the begin of
/// `wanted` goes to position `to` of the column, a step along dimension d moves `to_strides[d]` cells there.
pub(super) fn parts(
    source: &Source,
    references: &mut References<'_>,
    encoding: &Arc<Encoding>,
    wanted: &[Range<u64>],
    to_strides: &[usize],
    to: usize,
    parts: &mut Vec<Part>,
) -> Result<()> {
    let array = source.metadata();
    let grid = array.chunk_grid();
    let counts = grid.counts();
    let side = |d: usize| array.chunk_shape.get(d).copied().unwrap_or(1).max(1);
    let whole = array.data_type == encoding.stored || array.data_type.size() == encoding.stored.size();
    if wanted.len() != array.shape.len() || array.chunk_shape.len() != array.shape.len() || !whole {
        return Err(Error::Internal(format!("{}: the index does not fit together", name(&source.granule, array))));
    }
    let first: Vec<u64> = wanted.iter().enumerate().map(|(d, r)| r.start / side(d)).collect();
    let last: Vec<u64> = wanted.iter().enumerate().map(|(d, r)| r.end.saturating_sub(1) / side(d)).collect();
    let mut at = first.clone();
    loop {
        let stored = chunk::stored_shape(array, &at);
        let decoded_len = chunk::decoded_len(&source.granule, array, &stored)?;
        let decoded_len = if array.data_type == DataType::Text { stored.iter().product::<u64>() as usize } else { decoded_len };
        let stored: Vec<usize> = stored.into_iter().map(|n| n as usize).collect();
        let from_strides = strides(&stored);
        let (mut shape, mut from, mut target, mut all) = (Vec::with_capacity(at.len()), 0, to, true);
        for (d, r) in wanted.iter().enumerate() {
            let begin = at[d] * side(d);
            let (start, end) = (r.start.max(begin), r.end.min(begin + side(d)));
            shape.push((end - start) as usize);
            all &= start == begin && end == array.shape[d].min(begin + side(d));
            from += (start - begin) as usize * from_strides[d];
            target += (start - r.start) as usize * to_strides[d];
        }
        let chunk = counts.iter().zip(&at).fold(0u64, |n, (c, i)| n * c + i);
        let (reference, keys) = references.get(chunk)?;
        parts.push(Part {
            source: source.clone(),
            chunk,
            reference,
            decoded_len,
            keys,
            encoding: Arc::clone(encoding),
            copy: Copy::new(&shape, &from_strides, to_strides, from, target),
            whole: all,
        });
        // The next chunk in C order.
        let mut d = at.len();
        loop {
            if d == 0 {
                return Ok(());
            }
            d -= 1;
            if at[d] < last[d] {
                at[d] += 1;
                break;
            }
            at[d] = first[d];
        }
    }
}

/// The cell of the array, along an axis of the variable, that lies at the piece's begin.
pub(super) fn offset(piece: &Piece, axis: usize) -> u64 {
    piece.offset.get(axis).copied().unwrap_or(0)
}

/// For each dimension of a piece's array, the axis of the variable that it lies on; `None` for a dimension of one cell that
/// the variable lacks. An axis that the file lacks has chunks of one cell. Where several ways fit, they name the same cells.
pub(super) fn align(source: &Source, piece: &Piece) -> Result<Vec<Option<usize>>> {
    fn search(array: &ArrayMetadata, piece: &Piece, dimensions: usize, axes: usize, found: &mut Vec<Option<usize>>) -> bool {
        let fits = |d: usize, a: usize| {
            let (shape, side) = (array.shape[d], array.chunk_shape[d].max(1));
            let (length, chunk) = (piece.extent.range(a), piece.chunk_shape.get(a).copied().unwrap_or(1).max(1));
            offset(piece, a).checked_add(length.end.saturating_sub(length.start)).is_some_and(|end| end <= shape)
                && side.min(shape.max(1)) == chunk.min(shape.max(1))
        };
        let lacking = |a: usize| {
            let r = piece.extent.range(a);
            r.end - r.start == 1 && offset(piece, a) == 0 && piece.chunk_shape.get(a).is_none_or(|&c| c <= 1)
        };
        if dimensions == 0 {
            return (0..axes).all(lacking);
        }
        let d = dimensions - 1;
        if axes > 0 && fits(d, axes - 1) {
            found[d] = Some(axes - 1);
            if search(array, piece, d, axes - 1, found) {
                return true;
            }
        }
        if axes > 0 && lacking(axes - 1) && search(array, piece, dimensions, axes - 1, found) {
            return true;
        }
        found[d] = None;
        array.shape[d] == 1 && search(array, piece, d, axes, found)
    }
    let array = source.metadata();
    let mut found = vec![None; array.shape.len()];
    if array.chunk_shape.len() == array.shape.len() && search(array, piece, array.shape.len(), piece.extent.ndim(), &mut found) {
        return Ok(found);
    }
    let what = format!("shape {:?} does not fit its place {} in the cube", array.shape, piece.extent);
    Err(Error::Internal(format!("{}: {what}", name(&source.granule, array))))
}
