//! A view of a cube: which positions of each axis are seen, in which order, under which coordinates. Nothing is read here.
//!
//! Subsets and predicates on axes narrow a view; the dense leaf turns what is left into tiles. View space is the index space
//! of what is seen (half-open, slowest axis first); cube space is the index space of the files.

use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, new_null_array};
use datafusion::arrow::compute;
use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::error::Result;
use graticule_storage::array::{Axis, Coordinates, Extent};
use graticule_storage::catalog::Cube;

use crate::dense::tiles::TILE_CELLS;
use crate::located::Within;

/// Field metadata: the field holds coordinates of the axis of this name.
pub const AXIS: &str = "graticule.axis";
/// Field metadata: the field holds ISO text of times of the CF calendar of this name (see [`Coordinates::Calendar`]).
pub const CALENDAR: &str = "graticule.calendar";
/// Field metadata: attributes of the variable, JSON.
pub const ATTRIBUTES: &str = "graticule.attributes";

/// What is seen of one axis.
#[derive(Debug, Clone)]
pub struct AxisView {
    /// Positions in cube space, in the order in which they are seen: rising runs, half-open.
    pub runs: Arc<[Range<u64>]>,
    /// One coordinate a position, in the type of the axis's column.
    pub coordinates: ArrayRef,
    /// True after a slice: the axis is gone from array results and its column is constant.
    pub fixed: bool,
}

impl AxisView {
    /// Positions seen.
    pub fn len(&self) -> u64 {
        self.coordinates.len() as u64
    }

    /// The whole axis.
    fn whole(axis: &Axis) -> Self {
        let all = 0..axis.len();
        AxisView {
            runs: if all.is_empty() { Arc::new([]) } else { Arc::new([all]) },
            coordinates: axis.coordinates.to_arrow(),
            fixed: false,
        }
    }
}

/// What is seen of a cube.
#[derive(Debug, Clone)]
pub struct View {
    /// The cube.
    pub cube: Arc<Cube>,
    /// One entry an axis of the cube's grid.
    pub axes: Vec<AxisView>,
    /// Set where a predicate on 2-D coordinates rules out some blocks of cells.
    within: Option<Arc<Within>>,
    /// Of a derived cube: where its tiles begin, one rising list an axis, from 0 to its length.
    cuts: Option<Arc<[Vec<u64>]>>,
    /// Cells of touched chunks up to which tiles are joined.
    pub(crate) tile_cells: u64,
}

/// A column of a cube's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CubeColumn {
    /// Coordinates along an axis: position in the grid.
    Axis(usize),
    /// Values of a variable: position in the cube.
    Variable(usize),
}

impl View {
    /// All of a cube.
    pub fn whole(cube: Arc<Cube>) -> Self {
        let axes = cube.grid.axes.iter().map(AxisView::whole).collect();
        View { cube, axes, within: None, cuts: None, tile_cells: TILE_CELLS }
    }

    /// All of a derived cube, whose tiles begin at `cuts`: one rising list an axis, from 0 to its length.
    pub(crate) fn derived(cube: Arc<Cube>, cuts: Vec<Vec<u64>>) -> Self {
        View { cuts: Some(cuts.into()), ..View::whole(cube) }
    }

    /// Where tiles of these variables may begin: one rising list an axis, from 0 to its length. Along an axis of a cube of
    /// files these are the starts of chunks; where none of the variables has chunks, every tile has a bounded number of cells.
    pub fn cuts(&self, variables: &[usize]) -> Vec<Vec<u64>> {
        match &self.cuts {
            Some(cuts) => cuts.to_vec(),
            None if variables.is_empty() => even_cuts(&self.cube.grid.shape()),
            None => self.cube.cuts(variables),
        }
    }

    /// The same view, of which only these blocks are wanted.
    pub(crate) fn with_within(self, within: Within) -> Self {
        View { within: Some(Arc::new(within)), ..self }
    }

    /// False for an extent of cube space in which no cell is wanted.
    pub fn wants(&self, extent: &Extent) -> bool {
        self.within.as_ref().is_none_or(|within| within.meets(extent))
    }

    /// True for an axis along which tiles should be no larger than chunks, because some of them may not be wanted; of a derived
    /// cube, because they are as large as what they are made of allows.
    pub fn cuts_tiles(&self, axis: usize) -> bool {
        self.cuts.is_some() || self.within.as_ref().is_some_and(|within| within.cuts(axis))
    }

    /// Cells seen along each axis.
    pub fn shape(&self) -> Vec<u64> {
        self.axes.iter().map(AxisView::len).collect()
    }

    /// Cells seen. Saturates.
    pub fn cells(&self) -> u64 {
        self.shape().iter().fold(1, |n: u64, &l| n.saturating_mul(l))
    }

    /// The same view with only the positions of `axis` at which `keep` is true (NULL is false).
    pub fn restrict(&self, axis: usize, keep: &BooleanArray) -> Result<View> {
        let seen = &self.axes[axis];
        let mut runs: Vec<Range<u64>> = Vec::new();
        let mut i = 0;
        for run in seen.runs.iter() {
            for position in run.clone() {
                if keep.is_valid(i) && keep.value(i) {
                    push_position(&mut runs, position);
                }
                i += 1;
            }
        }
        let coordinates = compute::filter(&seen.coordinates, keep)?;
        Ok(self.with_axis(axis, AxisView { runs: runs.into(), coordinates, fixed: seen.fixed }))
    }

    /// The same view with the positions (in view space, in the order wanted) of `axis` only; `coordinates` replace the
    /// axis's own where they are given (a longitude seen across the seam).
    pub fn select(&self, axis: usize, positions: &[u64], coordinates: Option<ArrayRef>, fixed: bool) -> Result<View> {
        let seen = &self.axes[axis];
        let flat: Vec<u64> = seen.runs.iter().cloned().flatten().collect();
        let mut runs = Vec::new();
        for &p in positions {
            push_position(&mut runs, flat[p as usize]);
        }
        let coordinates = match coordinates {
            Some(given) => given,
            None => compute::take(&seen.coordinates, &datafusion::arrow::array::UInt64Array::from(positions.to_vec()), None)?,
        };
        Ok(self.with_axis(axis, AxisView { runs: runs.into(), coordinates, fixed: fixed || seen.fixed }))
    }

    /// The same view with one axis as `other`, a view of the same cube, has it.
    pub fn fixed_as(&self, axis: usize, other: &View) -> View {
        match other.axes.get(axis) {
            Some(seen) if axis < self.axes.len() => self.with_axis(axis, seen.clone()),
            _ => self.clone(),
        }
    }

    fn with_axis(&self, axis: usize, view: AxisView) -> View {
        let mut axes = self.axes.clone();
        axes[axis] = view;
        View { cube: self.cube.clone(), axes, within: self.within.clone(), cuts: self.cuts.clone(), tile_cells: self.tile_cells }
    }

    /// The columns of the cube's table: axes first, slowest first, then variables.
    pub fn columns(&self) -> Vec<CubeColumn> {
        (0..self.axes.len()).map(CubeColumn::Axis).chain((0..self.cube.variables.len()).map(CubeColumn::Variable)).collect()
    }

    /// Name and type of a column.
    pub fn field(&self, column: CubeColumn) -> Field {
        match column {
            CubeColumn::Axis(a) => {
                let axis = &self.cube.grid.axes[a];
                let mut metadata = std::collections::HashMap::from([(AXIS.to_string(), axis.name.clone())]);
                if let Coordinates::Calendar(calendar, _) = &axis.coordinates {
                    metadata.insert(CALENDAR.to_string(), calendar.name().to_string());
                }
                Field::new(&axis.name, self.axes[a].coordinates.data_type().clone(), false).with_metadata(metadata)
            }
            CubeColumn::Variable(v) => {
                let variable = &self.cube.variables[v];
                Field::new(&variable.name, variable.arrow_type(), true)
                    .with_metadata([(ATTRIBUTES.to_string(), variable.attributes.to_json().to_string())].into())
            }
        }
    }

    /// One row a position of an axis: its coordinates in column `at` of `schema`, NULL in all others. What is evaluated on
    /// it must be a function of that axis alone.
    pub fn along(&self, axis: usize, schema: &Schema, at: usize) -> Result<RecordBatch> {
        let coordinates = &self.axes[axis].coordinates;
        let n = coordinates.len();
        let fields: Vec<_> = schema.fields().iter().map(|f| f.as_ref().clone().with_nullable(true)).collect();
        let column = |(i, f): (usize, &Field)| if i == at { coordinates.clone() } else { new_null_array(f.data_type(), n) };
        let columns = fields.iter().enumerate().map(column).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(n));
        Ok(RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)?)
    }

    /// The schema of these columns.
    pub fn schema(&self, columns: &[CubeColumn]) -> SchemaRef {
        Arc::new(Schema::new(columns.iter().map(|&c| self.field(c)).collect::<Vec<_>>()))
    }
}

/// Cuts that leave about a million cells between them, the fastest axes whole as long as that goes.
pub(crate) fn even_cuts(shape: &[u64]) -> Vec<Vec<u64>> {
    let mut left = 1u64 << 20;
    let mut cuts: Vec<Vec<u64>> = shape
        .iter()
        .rev()
        .map(|&n| {
            let step = n.min(left).max(1);
            left = (left / step).max(1);
            (0..n).step_by(step as usize).chain([n]).collect()
        })
        .collect();
    cuts.reverse();
    cuts
}

fn push_position(runs: &mut Vec<Range<u64>>, position: u64) {
    match runs.last_mut() {
        Some(last) if last.end == position => last.end += 1,
        _ => runs.push(position..position + 1),
    }
}
