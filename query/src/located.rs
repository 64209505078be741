//! Predicates on coordinates of two dimensions and more (`lat(y, x)`, `lon(y, x)` of curvilinear grids and swaths): which
//! cells they can hold for, from a small index of the lowest and highest coordinate in blocks of cells.
//!
//! The index of a variable is made when it is first asked for, by reading the variable once, and kept for as long as the cube
//! stays as it is. A predicate leaves the view with the smallest box of positions that holds all cells for which it is true,
//! and with the blocks inside that box that hold none marked, so that tiles of such blocks are not read.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, UInt64Array};
use datafusion::arrow::compute;
use datafusion::arrow::datatypes::{DataType, Float64Type};
use datafusion::catalog::Session;
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::{Column, DFSchema, ScalarValue};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, utils::conjunction};
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use futures::{StreamExt, TryStreamExt, stream};
use graticule_storage::array::{AxisRole, Extent};
use graticule_storage::catalog::{Cube, CubeVariable};
use graticule_storage::convention::cf::coordinates::role;
use graticule_storage::read::TileRequest;

use crate::dense::program::{Cells, Program, Step};
use crate::dense::source::{Reading, Source};
use crate::dense::stream::on_cpu;
use crate::dense::supply::Supply;
use crate::dense::tiles::{TileGrid, TileRef};
use crate::view::{CubeColumn, View};

/// Blocks of one variable at most.
const BLOCKS: u64 = 1 << 14;
/// Cells of a coordinate variable above which no index of it is made: reading it would take longer than most queries.
const CELLS: u64 = 1 << 28;
/// Tiles fetched at once.
const AHEAD: usize = 4;

/// True for latitudes, longitudes and projected coordinates along two axes or more.
pub(crate) fn is_located(variable: &CubeVariable) -> bool {
    let role = || role(variable.name.rsplit('.').next().unwrap_or_default(), &variable.attributes);
    variable.axes.len() > 1
        && variable.time.is_none()
        && matches!(role(), AxisRole::Latitude | AxisRole::Longitude | AxisRole::X | AxisRole::Y)
}

/// Indices that were made so far.
#[derive(Debug, Default)]
pub(crate) struct Located {
    made: parking_lot::Mutex<HashMap<(String, u64, usize), Arc<BlockRanges>>>,
}

/// What the values in one block are.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Range {
    low: f64,
    high: f64,
    /// True where a cell has no value.
    missing: bool,
}

impl Range {
    const NOTHING: Range = Range { low: f64::INFINITY, high: f64::NEG_INFINITY, missing: false };

    fn join(&mut self, other: Range) {
        self.low = self.low.min(other.low);
        self.high = self.high.max(other.high);
        self.missing |= other.missing;
    }

    fn has_values(&self) -> bool {
        self.low <= self.high
    }
}

/// The ranges of a variable's values in blocks of the cube's index space.
#[derive(Debug)]
struct BlockRanges {
    blocks: Blocks,
    ranges: Vec<Range>,
}

/// A grid of boxes along some axes of a cube.
#[derive(Debug, Clone, PartialEq)]
struct Blocks {
    /// Positions in the grid, rising.
    axes: Vec<usize>,
    /// Cells of a block along each of them.
    size: Vec<u64>,
    /// Blocks along each of them.
    count: Vec<u64>,
}

impl Blocks {
    /// Blocks of 16 cells along the last two axes and one along others, larger ones where that makes too many.
    fn new(axes: &[usize], lengths: &[u64]) -> Blocks {
        let plane = axes.len().saturating_sub(2);
        let mut size: Vec<u64> = (0..axes.len()).map(|d| if d < plane { 1 } else { 16 }).collect();
        let count = |size: &[u64]| -> Vec<u64> { lengths.iter().zip(size).map(|(n, s)| n.div_ceil(*s)).collect() };
        while count(&size).iter().fold(1u64, |n, c| n.saturating_mul(*c)) > BLOCKS {
            let counts = count(&size);
            match (0..size.len()).max_by_key(|&d| counts[d]) {
                Some(longest) => size[longest] *= 2,
                None => break,
            }
        }
        Blocks { axes: axes.to_vec(), count: count(&size), size }
    }

    fn len(&self) -> usize {
        self.count.iter().product::<u64>() as usize
    }

    /// The numbers of the blocks that meet an extent of the whole grid.
    fn meeting(&self, extent: &Extent) -> Vec<usize> {
        let mut numbers = vec![0usize];
        for ((&axis, &size), &count) in self.axes.iter().zip(&self.size).zip(&self.count) {
            let Some(range) = extent.ranges().get(axis).filter(|r| r.start < r.end) else { return Vec::new() };
            let along = range.start / size..(range.end - 1) / size + 1;
            numbers = numbers.iter().flat_map(|&n| along.clone().map(move |i| n * count as usize + i as usize)).collect();
        }
        numbers
    }

    /// Where a block lies, other axes whole.
    fn extent(&self, mut number: usize, cube: &Cube) -> Extent {
        let mut ranges: Vec<_> = cube.grid.shape().into_iter().map(|n| 0..n).collect();
        for ((&axis, &size), &count) in self.axes.iter().zip(&self.size).zip(&self.count).rev() {
            let at = (number as u64 % count) * size;
            number /= count as usize;
            ranges[axis] = at..(at + size).min(ranges[axis].end);
        }
        Extent::new(ranges)
    }
}

/// Blocks of cube space of which some hold no cell that is wanted.
#[derive(Debug, Clone)]
pub(crate) struct Within {
    blocks: Blocks,
    wanted: Vec<bool>,
}

impl Within {
    /// False for an extent of cube space in which no cell is wanted.
    pub fn meets(&self, extent: &Extent) -> bool {
        self.blocks.meeting(extent).into_iter().any(|n| self.wanted.get(n).copied().unwrap_or(true))
    }

    /// True for an axis along which tiles should not be larger than chunks.
    pub fn cuts(&self, axis: usize) -> bool {
        self.blocks.axes.contains(&axis)
    }
}

impl Located {
    /// The view without the positions, and with the blocks marked, at which no cell meets all of `predicates` that are about
    /// such coordinates; the same view where none is.
    pub async fn narrow(&self, view: View, supply: &Arc<dyn Supply>, predicates: &[&Expr], state: &dyn Session) -> Result<View> {
        let cube = view.cube.clone();
        let mut used: Vec<usize> = Vec::new();
        let mut about: Vec<Expr> = Vec::new();
        for &predicate in predicates {
            let names: Vec<&str> = predicate.column_refs().into_iter().map(|c| c.name.as_str()).collect();
            let located = |name: &str| cube.variable(name).filter(|&v| is_located(&cube.variables[v]));
            let variables: Vec<usize> = names.iter().filter_map(|name| located(name)).collect();
            if variables.is_empty() || names.iter().any(|name| located(name).is_none() && cube.grid.position(name).is_none()) {
                continue;
            }
            used.extend(variables);
            about.push(predicate.clone());
        }
        used.sort_unstable();
        used.dedup();
        let Some(predicate) = conjunction(about).filter(|_| view.cells() > 0) else { return Ok(view) };
        let mut axes: Vec<usize> = used.iter().flat_map(|&v| cube.variables[v].axes.clone()).collect();
        axes.sort_unstable();
        axes.dedup();
        // Axes of the predicate that no such variable has would have to be gone through one position at a time.
        let free = |name: &str| cube.grid.position(name).is_some_and(|a| !axes.contains(&a));
        if predicate.column_refs().iter().any(|c| free(&c.name)) {
            return Ok(view);
        }
        let mut indices = HashMap::new();
        for &v in &used {
            match self.index(&cube, v, supply).await? {
                Some(ranges) => indices.insert(v, ranges),
                None => return Ok(view),
            };
        }
        let lengths: Vec<u64> = axes.iter().map(|&a| cube.grid.axes[a].len()).collect();
        let blocks = Blocks::new(&axes, &lengths);
        let schema = view.schema(&view.columns());
        let predicate = crate::table::unqualify(predicate)?;
        let physical = state.create_physical_expr(predicate.clone(), &DFSchema::try_from(schema.as_ref().clone())?)?;
        let statistics = Statistics::new(&cube, &blocks, &indices);
        let wanted = PruningPredicateBuilder::new().with_file_schema(schema).try_build(physical)?.prune(&statistics)?;
        let view = cropped(view, &blocks, &wanted)?.with_within(Within { blocks, wanted });
        let view = tightened(view, supply, &axes, &used, predicate, state).await?;
        Ok(view)
    }

    /// The index of a variable; `None` for one that is too large.
    async fn index(&self, cube: &Arc<Cube>, variable: usize, supply: &Arc<dyn Supply>) -> Result<Option<Arc<BlockRanges>>> {
        let key = (cube.name.clone(), cube.generation, variable);
        if let Some(made) = self.made.lock().get(&key) {
            return Ok(Some(made.clone()));
        }
        let axes = &cube.variables[variable].axes;
        let lengths: Vec<u64> = axes.iter().map(|&a| cube.grid.axes[a].len()).collect();
        if lengths.iter().fold(1u64, |n, l| n.saturating_mul(*l)) > CELLS {
            return Ok(None);
        }
        let made = Arc::new(BlockRanges::read(cube, variable, Blocks::new(axes, &lengths), supply).await?);
        let mut kept = self.made.lock();
        // Of a cube that changed only the newest index is of use.
        kept.retain(|(name, generation, _), _| *name != cube.name || *generation == cube.generation);
        kept.insert(key, made.clone());
        Ok(Some(made))
    }
}

impl BlockRanges {
    async fn read(cube: &Arc<Cube>, variable: usize, blocks: Blocks, supply: &Arc<dyn Supply>) -> Result<BlockRanges> {
        let view = one_plane(View::whole(cube.clone()), &blocks.axes)?;
        let program = Program::read(&view, vec![CubeColumn::Variable(variable)]);
        let of = blocks.clone();
        let tiles = each_tile(view, supply, program, move |tile, cells| {
            let values = compute::cast(cells.batch.column(0), &DataType::Float64)?;
            Ok(of.ranges_in(tile, values.as_primitive::<Float64Type>()))
        });
        let mut ranges = vec![Range::NOTHING; blocks.len()];
        for (number, range) in tiles.await?.into_iter().flatten() {
            if let Some(known) = ranges.get_mut(number) {
                known.join(range);
            }
        }
        Ok(BlockRanges { blocks, ranges })
    }

    fn over(&self, extent: &Extent) -> Range {
        let mut all = Range::NOTHING;
        for range in self.blocks.meeting(extent).into_iter().filter_map(|n| self.ranges.get(n)) {
            all.join(*range);
        }
        all
    }
}

impl Blocks {
    /// What a tile of this variable alone (C order, other axes one cell long) adds to each block that it meets.
    fn ranges_in(&self, tile: &TileRef<'_>, values: &Float64Array) -> Vec<(usize, Range)> {
        let extent = tile.cube_extent();
        let mut found: HashMap<usize, Range> = HashMap::new();
        let starts: Vec<u64> = self.axes.iter().map(|&a| extent.ranges()[a].start).collect();
        let lengths: Vec<u64> = self.axes.iter().map(|&a| extent.ranges()[a].end - extent.ranges()[a].start).collect();
        let width = lengths.last().copied().unwrap_or(1).max(1);
        let last = self.axes.len().saturating_sub(1);
        for (row, from) in (0..values.len()).step_by(width as usize).enumerate() {
            let (mut rest, mut number, mut stride) = (row as u64, 0u64, self.count[last]);
            for d in (0..last).rev() {
                number += (starts[d] + rest % lengths[d]) / self.size[d] * stride;
                stride *= self.count[d];
                rest /= lengths[d];
            }
            for x in 0..width.min((values.len() - from) as u64) {
                let i = from + x as usize;
                let range = found.entry((number + (starts[last] + x) / self.size[last]) as usize).or_insert(Range::NOTHING);
                match values.is_valid(i).then(|| values.value(i)).filter(|v| !v.is_nan()) {
                    Some(v) => range.join(Range { low: v, high: v, missing: false }),
                    None => range.missing = true,
                }
            }
        }
        found.into_iter().collect()
    }
}

/// The view with one position along every axis that is not among `axes`.
fn one_plane(mut view: View, axes: &[usize]) -> Result<View> {
    for axis in (0..view.axes.len()).filter(|a| !axes.contains(a)) {
        if view.axes[axis].len() > 1 {
            view = view.select(axis, &[0], None, false)?;
        }
    }
    Ok(view)
}

/// Reads the tiles of a view, those that it wants, and works on each on the CPU threads.
async fn each_tile<T: Send + 'static>(
    view: View,
    supply: &Arc<dyn Supply>,
    program: Program,
    work: impl Fn(&TileRef<'_>, Cells) -> Result<T> + Send + Sync + 'static,
) -> Result<Vec<T>> {
    let tiles = Arc::new(TileGrid::new(&view, &program.variables()));
    let variables = program.variables();
    let shared = Arc::new((Arc::new(view), program, work));
    stream::iter(0..tiles.len())
        .map(|number| {
            let (tiles, shared, variables, supply) = (tiles.clone(), shared.clone(), variables.clone(), supply.clone());
            async move {
                let extent = tiles.tile(number).cube_extent();
                if !shared.0.wants(&extent) {
                    return Ok(None);
                }
                let fetched = supply.fetch(&shared.0.cube, TileRequest { extent, variables }).await?;
                on_cpu(supply.reader(), move || {
                    let tile = tiles.tile(number);
                    let (view, program, work) = shared.as_ref();
                    let read = fetched()?;
                    let (reading, variables) = (Reading::new(view, program, &tile), program.variables());
                    let source = Source::new(view.clone(), Arc::default(), &reading, &variables, read)?;
                    let cells = program.run(&source, tile.view_extent().ranges())?;
                    work(&tile, cells).map(Some)
                })
                .await
            }
        })
        .buffered(AHEAD)
        .try_filter_map(|found| async move { Ok(found) })
        .try_collect()
        .await
}

/// The view without the positions in whose blocks nothing is wanted.
fn cropped(mut view: View, blocks: &Blocks, wanted: &[bool]) -> Result<View> {
    for (d, (&axis, &size)) in blocks.axes.iter().zip(&blocks.size).enumerate() {
        let inner: usize = blocks.count[d + 1..].iter().product::<u64>() as usize;
        let count = blocks.count[d] as usize;
        let mut along = vec![false; count];
        for (number, _) in wanted.iter().enumerate().filter(|(_, wanted)| **wanted) {
            along[number / inner % count] = true;
        }
        let keep: BooleanArray =
            view.axes[axis].runs.iter().cloned().flatten().map(|p| Some(along.get((p / size) as usize).copied().unwrap_or(true))).collect();
        if keep.false_count() > 0 {
            view = view.restrict(axis, &keep)?;
        }
    }
    Ok(view)
}

/// The view with just the positions at which the predicate holds for some cell: the coordinates in the wanted blocks are read.
async fn tightened(
    view: View,
    supply: &Arc<dyn Supply>,
    axes: &[usize],
    used: &[usize],
    predicate: Expr,
    state: &dyn Session,
) -> Result<View> {
    if view.cells() == 0 {
        return Ok(view);
    }
    let columns: Vec<CubeColumn> = axes.iter().map(|&a| CubeColumn::Axis(a)).chain(used.iter().map(|&v| CubeColumn::Variable(v))).collect();
    let plane = one_plane(view.clone(), axes)?;
    let mut program = Program::read(&plane, columns);
    let read = DFSchema::try_from(program.read_schema.as_ref().clone())?;
    program.steps.push(Step::Mask(state.create_physical_expr(predicate, &read)?));
    let along = axes.to_vec();
    let found = each_tile(plane, supply, program, move |tile, cells| {
        let extent = tile.view_extent();
        let lengths: Vec<usize> = extent.ranges().iter().map(|r| (r.end - r.start) as usize).collect();
        let mut seen: Vec<Vec<bool>> = along.iter().map(|&a| vec![false; lengths[a]]).collect();
        for cell in cells.mask.iter().flat_map(|mask| mask.set_indices()) {
            let mut rest = cell;
            for axis in (0..lengths.len()).rev() {
                if let Some(d) = along.iter().position(|&a| a == axis) {
                    seen[d][rest % lengths[axis]] = true;
                }
                rest /= lengths[axis];
            }
        }
        Ok(along.iter().zip(seen).map(|(&a, seen)| (extent.ranges()[a].start, seen)).collect::<Vec<_>>())
    })
    .await?;
    let mut view = view;
    for (d, &axis) in axes.iter().enumerate() {
        let mut keep = vec![false; view.axes[axis].len() as usize];
        for (start, seen) in found.iter().filter_map(|tile| tile.get(d)) {
            for (i, _) in seen.iter().enumerate().filter(|(_, seen)| **seen) {
                keep[*start as usize + i] = true;
            }
        }
        view = view.restrict(axis, &BooleanArray::from(keep))?;
    }
    Ok(view)
}

/// What the pruning predicate asks: one container a block.
struct Statistics {
    columns: HashMap<String, [ArrayRef; 3]>,
    count: usize,
}

impl Statistics {
    fn new(cube: &Cube, blocks: &Blocks, indices: &HashMap<usize, Arc<BlockRanges>>) -> Statistics {
        let extents: Vec<Extent> = (0..blocks.len()).map(|n| blocks.extent(n, cube)).collect();
        let columns = indices.iter().map(|(&v, index)| {
            let ranges: Vec<Range> = extents.iter().map(|e| index.over(e)).collect();
            let of = |value: fn(&Range) -> f64| -> ArrayRef {
                let values: ArrayRef = Arc::new(ranges.iter().map(|r| r.has_values().then(|| value(r))).collect::<Float64Array>());
                compute::cast(&values, &cube.variables[v].arrow_type()).unwrap_or(values)
            };
            // Of the two rows that every block is said to have, as many are missing as say that all, some or none are.
            let missing = ranges.iter().map(|r| if !r.has_values() { 2 } else { u64::from(r.missing) });
            let missing: ArrayRef = Arc::new(UInt64Array::from_iter_values(missing));
            (cube.variables[v].name.clone(), [of(|r| r.low), of(|r| r.high), missing])
        });
        Statistics { columns: columns.collect(), count: extents.len() }
    }

    fn column(&self, column: &Column, which: usize) -> Option<ArrayRef> {
        self.columns.get(&column.name)?.get(which).cloned()
    }
}

impl PruningStatistics for Statistics {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.column(column, 0)
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.column(column, 1)
    }

    fn num_containers(&self) -> usize {
        self.count
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        self.column(column, 2)
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        Some(Arc::new(UInt64Array::from(vec![2; self.count])))
    }

    fn contained(&self, _: &Column, _: &std::collections::HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_grow_until_they_are_few() {
        let small = Blocks::new(&[1, 2], &[100, 40]);
        assert_eq!((small.size.clone(), small.count.clone()), (vec![16, 16], vec![7, 3]));
        let large = Blocks::new(&[0, 1, 2], &[100_000, 300, 300]);
        assert!(large.len() as u64 <= BLOCKS && large.size[0] >= 8, "{large:?}");
        let extent = Extent::new(vec![0..5, 15..17, 33..34]);
        assert_eq!(small.meeting(&extent), [2, 5]);
        assert_eq!(small.meeting(&Extent::new(vec![0..5, 15..15, 0..40])), [] as [usize; 0]);
    }

    #[test]
    fn ranges_tell_values_from_missing_ones() {
        let mut range = Range::NOTHING;
        assert!(!range.has_values());
        range.join(Range { low: 3.0, high: 3.0, missing: false });
        range.join(Range { missing: true, ..Range::NOTHING });
        assert_eq!(range, Range { low: 3.0, high: 3.0, missing: true });
    }
}
