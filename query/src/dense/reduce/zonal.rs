//! Reductions by zones: the cells of a tile go to the groups of all geometries that they belong to, none to several.
//!
//! A group is a geometry's key (slowest) and what the other keys say, which are functions of one axis each. Where aggregates
//! only want values of cells, runs of cells are added where they lie; where they want something of the pair of a cell and a
//! geometry (its fraction, a column of the geometry's), cells are gathered, once for each geometry.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Float64Array, RecordBatch, RecordBatchOptions, UInt32Array};
use datafusion::arrow::buffer::BooleanBuffer;
use datafusion::arrow::compute;
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::exec_err;
use datafusion::error::Result;
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::PhysicalExpr;

use super::kernel::{CellMap, RunTo};
use super::{Accumulators, Aggregate, take};
use crate::dense::program::Cells;
use crate::geometry::zones::Zones;

/// Cells that are gathered at a time.
const GATHERED: usize = 1 << 20;

/// What a pair of a cell and a geometry has beside the cell's own columns.
#[derive(Debug, Clone)]
pub(crate) enum PairValue {
    /// How much of the cell the geometry covers.
    Weight,
    /// A column of the table of geometries.
    Column(ArrayRef),
}

/// The zones of a reduction.
#[derive(Debug, Clone)]
pub(crate) struct Zonal {
    /// The cells of each geometry, at positions of the view.
    pub zones: Zones,
    /// The horizontal axes, y first.
    pub axes: [usize; 2],
    /// By row of the table of geometries the number of its key.
    pub numbers: Vec<u32>,
    /// The values of the keys, one array a key, one value a number.
    pub values: Vec<ArrayRef>,
    /// Where each key stands among all keys of GROUP BY.
    pub places: Vec<usize>,
    /// Numbers of keys; one where no key is of geometries.
    pub count: usize,
    /// What aggregates want of pairs: values of [`PairColumn`]s.
    pub pairs: Vec<PairValue>,
    /// What EXPLAIN says.
    pub name: String,
}

impl Zonal {
    /// True when a cell of a box of view space belongs to some geometry.
    pub fn meets(&self, view: &[Range<u64>]) -> bool {
        let [y, x] = self.axes;
        match (view.get(y), view.get(x)) {
            (Some(rows), Some(columns)) => self.zones.meets(rows.clone(), columns.clone()),
            _ => false,
        }
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.zones.bytes() + self.numbers.capacity() * 4
    }

    /// Adds the cells of a tile over `view`. `along`: what each position along each axis adds to the number of a group, of which
    /// there are `others` for each geometry's key.
    pub fn update(
        &self,
        view: &[Range<u64>],
        cells: &Cells,
        along: &[Vec<u32>],
        others: usize,
        aggregates: &[Aggregate],
        into: &mut Accumulators,
    ) -> Result<()> {
        let tile = Tile::new(view, self.axes, along);
        let in_place = self.pairs.is_empty() && tile.strides[1] == 1;
        let [y, x] = self.axes;
        let columns = view[x].start as u32..view[x].end as u32;
        let one_group = along[x].iter().all(|v| *v == along[x].first().copied().unwrap_or(0));
        let mut runs: Vec<RunTo> = Vec::new();
        let mut gathered = Gathered::default();
        for row in view[y].clone() {
            let at = (row - view[y].start) as usize;
            for run in self.zones.row(row as usize, columns.clone()) {
                let (from, to) = (run.from.max(columns.start) - columns.start, run.to.min(columns.end) - columns.start);
                let base = self.numbers[run.zone as usize] * others as u32 + along[y][at];
                let start = at * tile.strides[0] + from as usize * tile.strides[1];
                let target = if one_group {
                    RunTo::all(start, to - from, base + along[x][from as usize])
                } else {
                    RunTo::each(start, to - from, base, from)
                };
                if in_place {
                    runs.push(target);
                    continue;
                }
                for &(offset, more) in &tile.outer {
                    gathered.add(RunTo { base: target.base + more, ..target }, offset, tile.strides[1], (run.zone, run.weight));
                    if gathered.cells.len() >= GATHERED {
                        self.add_gathered(std::mem::take(&mut gathered), cells, &along[x], aggregates, into)?;
                    }
                }
            }
        }
        if in_place {
            return into.update(aggregates, cells, &CellMap::of_runs(tile.outer, runs, along[x].clone()));
        }
        self.add_gathered(gathered, cells, &along[x], aggregates, into)
    }

    fn add_gathered(&self, found: Gathered, cells: &Cells, along: &[u32], aggregates: &[Aggregate], into: &mut Accumulators) -> Result<()> {
        let n = found.cells.len();
        let mask = cells.mask.as_ref().map(|mask| BooleanBuffer::collect_bool(n, |i| mask.value(found.cells[i] as usize)));
        let numbers = UInt32Array::from(found.cells);
        let mut fields: Vec<Arc<Field>> = cells.batch.schema().fields().iter().cloned().collect();
        let mut columns = cells.batch.columns().iter().map(|c| Ok(compute::take(c, &numbers, None)?)).collect::<Result<Vec<_>>>()?;
        for (number, pair) in self.pairs.iter().enumerate() {
            let values: ArrayRef = match pair {
                PairValue::Weight => Arc::new(Float64Array::from(found.weights.clone())),
                PairValue::Column(values) => take(values, found.zones.clone())?,
            };
            fields.push(Arc::new(Field::new(PairColumn::field(number), values.data_type().clone(), true)));
            columns.push(values);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(n));
        let batch = RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)?;
        let map = CellMap::of_runs(vec![(0, 0)], found.runs, along.to_vec());
        into.update(aggregates, &Cells { batch, mask }, &map)
    }

    /// One array a key of this and of the other keys (`axis_keys`, one row each of `others` groups), in GROUP BY order.
    pub fn key_columns(&self, axis_keys: Vec<ArrayRef>, others: usize) -> Result<Vec<ArrayRef>> {
        let groups = self.count * others;
        let mut columns = Vec::with_capacity(self.places.len() + axis_keys.len());
        let (mut own, mut axis_keys) = (self.values.iter(), axis_keys.into_iter());
        let all = self.places.len() + axis_keys.len();
        for place in 0..all {
            let (values, at): (ArrayRef, Box<dyn Fn(usize) -> usize>) = match self.places.contains(&place) {
                true => (own.next().cloned().unwrap_or_else(|| Arc::new(UInt32Array::from(Vec::<u32>::new()))), Box::new(|g| g / others)),
                false => match axis_keys.next() {
                    Some(values) => (values, Box::new(|g| g % others)),
                    None => return datafusion::common::internal_err!("a group key without values"),
                },
            };
            columns.push(take(&values, (0..groups).map(|g| at(g) as u32).collect())?);
        }
        Ok(columns)
    }
}

/// How the cells of a tile lie in memory.
struct Tile {
    /// Cells from one position to the next along y, and along x.
    strides: [usize; 2],
    /// For each position along all other axes the first cell, and what is added to the number of the group.
    outer: Vec<(usize, u32)>,
}

impl Tile {
    fn new(view: &[Range<u64>], axes: [usize; 2], along: &[Vec<u32>]) -> Tile {
        let lengths: Vec<usize> = view.iter().map(|r| (r.end - r.start) as usize).collect();
        let stride = |d: usize| lengths[d + 1..].iter().product::<usize>();
        let mut outer = vec![(0usize, 0u32)];
        for d in (0..lengths.len()).filter(|d| !axes.contains(d)) {
            let (step, add) = (stride(d), &along[d]);
            outer = outer.iter().flat_map(|&(at, sum)| add.iter().enumerate().map(move |(i, more)| (at + i * step, sum + more))).collect();
        }
        Tile { strides: axes.map(stride), outer }
    }
}

/// Cells in the order of geometries' runs.
#[derive(Default)]
struct Gathered {
    cells: Vec<u32>,
    zones: Vec<u32>,
    weights: Vec<f64>,
    runs: Vec<RunTo>,
}

impl Gathered {
    fn add(&mut self, run: RunTo, offset: usize, stride: usize, (zone, weight): (u32, f64)) {
        let n = run.len as usize;
        let first = run.start + offset;
        self.runs.push(RunTo { start: self.cells.len(), ..run });
        self.cells.extend((0..n).map(|i| (first + i * stride) as u32));
        self.zones.resize(self.zones.len() + n, zone);
        self.weights.resize(self.weights.len() + n, weight);
    }
}

/// A value of a pair, in an expression over cells. Where only cells are known, it cannot be evaluated.
#[derive(Debug, Clone)]
pub(crate) struct PairColumn {
    /// Which of [`Zonal::pairs`].
    pub number: usize,
    /// Its type.
    pub data_type: DataType,
    /// What it is, as an expression reads.
    pub name: String,
}

impl PairColumn {
    fn field(number: usize) -> String {
        format!("graticule.pair.{number}")
    }
}

impl PartialEq for PairColumn {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number && self.data_type == other.data_type
    }
}

impl Eq for PairColumn {}

impl Hash for PairColumn {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.number.hash(state);
    }
}

impl fmt::Display for PairColumn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name)
    }
}

impl PhysicalExpr for PairColumn {
    fn data_type(&self, _: &Schema) -> Result<DataType> {
        Ok(self.data_type.clone())
    }

    fn nullable(&self, _: &Schema) -> Result<bool> {
        Ok(true)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        match batch.column_by_name(&PairColumn::field(self.number)) {
            Some(values) => Ok(ColumnarValue::Array(values.clone())),
            None => exec_err!("{} is known for pairs of a cell and a geometry only", self.name),
        }
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![]
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        Ok(self)
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strides_and_outer_positions_of_any_order_of_axes() {
        // (time 2, x 3, y 4): y is the fastest.
        let along = vec![vec![0, 1], vec![0; 3], vec![0; 4]];
        let tile = Tile::new(&[0..2, 0..3, 0..4], [2, 1], &along);
        assert_eq!((tile.strides, tile.outer), ([1, 4], vec![(0, 0), (12, 1)]));
    }

    #[test]
    fn runs_go_to_their_groups() {
        let runs = vec![RunTo::all(2, 3, 10), RunTo::each(6, 2, 20, 1)];
        let map = CellMap::of_runs(vec![(0, 0), (8, 100)], runs, vec![0, 1, 2]);
        let found = map.groups(None);
        let once = [(2, 10), (3, 10), (4, 10), (6, 21), (7, 22)];
        let expected: Vec<_> = once.into_iter().chain(once.map(|(c, g)| (c + 8, g + 100))).collect();
        assert_eq!(found, expected);
    }
}
