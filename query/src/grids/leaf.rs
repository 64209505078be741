//! What a derived cube is made of: a view of a cube and its supply, read box by box in view space.

use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::compute;
use datafusion::arrow::datatypes::{DataType, Float32Type, Float64Type, Int32Type, Int64Type};
use datafusion::error::Result;
use graticule_storage::array::{Axis, Coordinates, DataType as CellType};
use graticule_storage::catalog::CubeVariable;
use graticule_storage::read::{TileMetrics, TileRequest};

use crate::dense::program::Program;
use crate::dense::source::{Reading, Source};
use crate::dense::supply::Supply;
use crate::dense::tiles::{Segment, TileGrid, TileRef};
use crate::view::{CubeColumn, View};

/// A part of a cube.
#[derive(Debug, Clone)]
pub(crate) struct Leaf {
    /// What is seen of it.
    pub view: Arc<View>,
    /// Where its values come from.
    pub supply: Arc<dyn Supply>,
}

/// What a box is made of; made on a CPU thread.
type Pending = Box<dyn FnOnce() -> Result<(Vec<ArrayRef>, TileMetrics)> + Send>;

impl Leaf {
    /// Fetches a box of view space; gives one array a variable, C order, when it is made.
    pub async fn fetch(&self, ranges: Vec<Range<u64>>, variables: Vec<usize>) -> Result<Pending> {
        let program = Program::read(&self.view, variables.iter().map(|&v| CubeColumn::Variable(v)).collect());
        let (reading, request) = self.request(&program, &ranges, &variables);
        let fetched = self.supply.fetch(&self.view.cube, request).await?;
        let view = self.view.clone();
        Ok(Box::new(move || {
            let tile = fetched()?;
            let metrics = tile.metrics;
            let source = Source::new(view, Arc::default(), &reading, &variables, tile)?;
            let cells = program.run(&source, &ranges)?;
            Ok((cells.batch.columns().to_vec(), metrics))
        }))
    }

    fn request(&self, program: &Program, ranges: &[Range<u64>], variables: &[usize]) -> (Reading, TileRequest) {
        let segments: Vec<Segment> = self.view.axes.iter().zip(ranges).map(|(axis, range)| Segment::of(axis, range.clone())).collect();
        let reading = Reading::new(&self.view, program, &TileRef { segments: segments.iter().collect() });
        let extent = reading.cube_extent();
        (reading, TileRequest { extent, variables: variables.to_vec() })
    }

    /// The request of the files (or of what is below) for a box of view space.
    pub fn request_of(&self, ranges: &[Range<u64>], variables: &[usize]) -> TileRequest {
        let program = Program::read(&self.view, variables.iter().map(|&v| CubeColumn::Variable(v)).collect());
        self.request(&program, ranges, variables).1
    }

    /// Where tiles that read all variables begin, in view space: one rising list an axis, from 0 to its length.
    pub fn cuts(&self) -> Vec<Vec<u64>> {
        let all: Vec<usize> = (0..self.view.cube.variables.len()).collect();
        let grid = TileGrid::new(&self.view, &all);
        let of = |(list, axis): (&Vec<Segment>, &crate::view::AxisView)| {
            let mut cuts: Vec<u64> = list.iter().map(|s| s.view.start).chain([0, axis.len()]).collect();
            cuts.sort_unstable();
            cuts.dedup();
            cuts
        };
        grid.segments.iter().zip(&self.view.axes).map(of).collect()
    }

    /// Bytes of a cell of these variables.
    pub fn width(&self, variables: &[usize]) -> usize {
        let of = |v: &usize| self.view.cube.variables.get(*v).and_then(|v| v.arrow_type().primitive_width()).unwrap_or(16);
        variables.iter().map(of).sum()
    }

    /// An axis as it is seen.
    pub fn axis(&self, number: usize) -> Axis {
        let (axis, seen) = (&self.view.cube.grid.axes[number], &self.view.axes[number]);
        let positions: Vec<usize> = seen.runs.iter().cloned().flatten().map(|p| p as usize).collect();
        let of = &seen.coordinates;
        let coordinates = match &axis.coordinates {
            Coordinates::Index(n) if seen.len() == *n && positions.iter().copied().eq(0..*n as usize) => Coordinates::Index(*n),
            Coordinates::Index(_) | Coordinates::Int64(_) => Coordinates::Int64(of.as_primitive::<Int64Type>().values().to_vec()),
            Coordinates::Float32(_) => Coordinates::Float32(of.as_primitive::<Float32Type>().values().to_vec()),
            Coordinates::Float64(_) => Coordinates::Float64(of.as_primitive::<Float64Type>().values().to_vec()),
            Coordinates::Int32(_) => Coordinates::Int32(of.as_primitive::<Int32Type>().values().to_vec()),
            Coordinates::Time(unit, v) => Coordinates::Time(*unit, picked(v, &positions)),
            Coordinates::Text(v) => Coordinates::Text(picked(v, &positions)),
            Coordinates::Calendar(calendar, v) => Coordinates::Calendar(*calendar, picked(v, &positions)),
        };
        // Longitudes that are seen across the seam take their bounds with them.
        let bounds = axis.bounds.as_ref().map(|bounds| {
            let (before, after) = (axis.coordinates.to_f64(), coordinates.to_f64());
            let moved = |i: usize, p: usize| match (&before, &after) {
                (Some(before), Some(after)) => after[i] - before[p],
                _ => 0.0,
            };
            positions.iter().enumerate().filter_map(|(i, &p)| bounds.get(p).map(|b| b.map(|e| e + moved(i, p)))).collect()
        });
        Axis { coordinates, bounds, ..axis.clone() }
    }

    /// A variable of a cube that is derived from this one; `mixed` when its values are computed from several cells.
    pub fn variable(&self, number: usize, axes: Vec<usize>, mixed: bool) -> CubeVariable {
        let of = &self.view.cube.variables[number];
        let decoded = match of.decoded {
            CellType::Int8 | CellType::UInt8 | CellType::Int16 | CellType::UInt16 if mixed && of.time.is_none() => CellType::Float32,
            other if mixed && other.is_integer() && of.time.is_none() => CellType::Float64,
            other => other,
        };
        let mut variable = CubeVariable::new(&of.name, axes, decoded, of.time, vec![]);
        variable.attributes = of.attributes.clone();
        variable
    }
}

fn picked<T: Clone>(of: &[T], positions: &[usize]) -> Vec<T> {
    positions.iter().filter_map(|&p| of.get(p).cloned()).collect()
}

/// The values of numbers, and which of them there are; `None`: all.
pub(crate) fn numbers<T>(
    values: &ArrayRef,
    of: impl Fn(&ArrayRef) -> Option<Vec<T>>,
    to: &DataType,
) -> Result<(Vec<T>, Option<Vec<bool>>)> {
    let values = if values.data_type() == to { values.clone() } else { compute::cast(values, to)? };
    let valid = values.nulls().filter(|n| n.null_count() > 0).map(|nulls| nulls.iter().collect());
    match of(&values) {
        Some(numbers) => Ok((numbers, valid)),
        None => datafusion::common::internal_err!("values of {} are no numbers", values.data_type()),
    }
}
