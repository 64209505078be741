//! Columns that a tile computes from cells around its own, or along whole axes: windows.
//!
//! A window column stands among the columns that a program reads, as a variable would: to compute it over a box, its own
//! program runs over the box grown by the neighbourhood's halo, and so on inwards. Nothing is kept from tile to tile.
//!
//! * `passes`: one pass of a moving aggregate along one axis.
//! * `moving`: the aggregates, one pass an axis; convolution.
//! * `along`: aggregates along whole axes: reduced beforehand, looked up here.

pub(crate) mod along;
mod moving;
mod passes;

use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, BooleanArray};
use datafusion::arrow::compute;
use datafusion::arrow::datatypes::Field;
use datafusion::common::internal_err;
use datafusion::error::Result;

use self::along::Along;
pub(crate) use self::moving::has_form;
use self::moving::{Moving, convolve};
use self::passes::Frames;
use super::program::{Program, true_cells};
use super::reduce::{Function, and};
use super::source::Source;
use crate::functions::neighbourhood::{Edge, Weights};
use crate::view::View;

/// A column made by a window.
#[derive(Debug)]
pub(crate) struct WindowColumn {
    /// Its name and type.
    pub field: Field,
    /// What it is computed of: its cells, masks applied, and as columns the value (if any), then the filter (if any).
    pub below: Program,
    /// How.
    pub kind: Kind,
    /// What EXPLAIN says of it.
    pub shown: String,
}

/// How a window column is computed.
#[derive(Debug)]
pub(crate) enum Kind {
    /// An aggregate of the neighbours.
    Around {
        /// Which.
        function: Function,
        /// How far they are.
        hood: Hood,
        /// Whether there is a value, or cells are counted.
        has_value: bool,
    },
    /// The sum of weighted neighbours.
    Convolve {
        /// The weights, by offset.
        weights: Weights,
        /// How far they reach.
        hood: Hood,
    },
    /// An aggregate along axes.
    Along(Arc<Along>),
}

/// A neighbourhood in view space.
#[derive(Debug)]
pub(crate) struct Hood {
    /// One entry an axis, in the order of the weights.
    pub reaches: Vec<AxisReach>,
    /// What is beyond the ends.
    pub edge: Edge,
}

/// The neighbours of every position along one axis.
#[derive(Debug)]
pub(crate) struct AxisReach {
    /// Position of the axis in the grid.
    pub axis: usize,
    /// First and last neighbour of every position of the view; below 0 and from its length on: beyond the ends.
    pub frames: Vec<(i64, i64)>,
    /// Positions whose neighbours reach beyond the ends, where that makes the result NULL.
    pub beyond: Option<Vec<bool>>,
}

impl AxisReach {
    fn len(&self) -> i64 {
        self.frames.len() as i64
    }

    /// Where the neighbour with a number lies, if there is one.
    fn place(&self, edge: Edge, number: i64) -> Option<i64> {
        let n = self.len();
        match edge {
            _ if (0..n).contains(&number) => Some(number),
            Edge::Clamp => Some(number.clamp(0, (n - 1).max(0))),
            Edge::Wrap => Some(number.rem_euclid(n.max(1))),
            Edge::Shrink | Edge::Null => None,
        }
    }

    /// First and last of all neighbours of some positions, as numbers.
    fn span(&self, of: &Range<u64>) -> Option<(i64, i64)> {
        let frames = self.frames.get(of.start as usize..of.end as usize)?.iter().filter(|(first, last)| first <= last);
        frames.fold(None, |span, &(first, last)| {
            let (low, high) = span.unwrap_or((first, last));
            Some((low.min(first), high.max(last)))
        })
    }

    /// The positions to read for the neighbours of some positions; never empty where `of` is not.
    fn grown(&self, edge: Edge, of: &Range<u64>) -> Range<u64> {
        let Some((first, last)) = self.span(of) else { return of.start..of.end.min(of.start + 1) };
        let n = self.len();
        if edge == Edge::Wrap && (first < 0 || last >= n) {
            return 0..n as u64;
        }
        let (first, last) = (first.clamp(0, (n - 1).max(0)), last.clamp(0, (n - 1).max(0)));
        first as u64..(last + 1) as u64
    }

    /// The frames of some positions over what [`AxisReach::grown`] gives. `whole`: keep the places of neighbours that are
    /// not there.
    fn over(&self, edge: Edge, of: &Range<u64>, read: &Range<u64>, whole: bool) -> Frames {
        let Some((first, last)) = self.span(of) else {
            return Frames { rows: vec![], ranges: of.clone().map(|_| 0..0).collect() };
        };
        let (first, last) = match edge {
            Edge::Shrink | Edge::Null if !whole => (first.max(0), last.min(self.len() - 1)),
            _ => (first, last),
        };
        let row = |number: i64| self.place(edge, number).map_or(u32::MAX, |at| (at - read.start as i64) as u32);
        let rows: Vec<u32> = (first..=last).map(row).collect();
        let range = |&(low, high): &(i64, i64)| {
            let (low, high) = (low.max(first), high.min(last));
            if low > high { 0..0 } else { (low - first) as u32..(high - first + 1) as u32 }
        };
        let ranges = self.frames.get(of.start as usize..of.end as usize).unwrap_or_default().iter().map(range).collect();
        Frames { rows, ranges }
    }

    /// How many cells it reaches to each side at most.
    pub fn halo(&self) -> (u64, u64) {
        let sides = self.frames.iter().zip(0i64..).filter(|((first, last), _)| first <= last);
        sides.fold((0, 0), |(before, after), (&(first, last), at)| {
            (before.max((at - first.max(0)).max(0) as u64), after.max((last.min(self.len() - 1) - at).max(0) as u64))
        })
    }
}

impl WindowColumn {
    /// The neighbourhood, if it has one.
    pub fn hood(&self) -> Option<&Hood> {
        match &self.kind {
            Kind::Around { hood, .. } | Kind::Convolve { hood, .. } => Some(hood),
            Kind::Along(_) => None,
        }
    }

    /// The box (view space) over which its program runs to compute it over `extent`.
    pub fn input(&self, extent: &[Range<u64>]) -> Vec<Range<u64>> {
        let mut grown = extent.to_vec();
        if let Some(hood) = self.hood() {
            for reach in &hood.reaches {
                grown[reach.axis] = reach.grown(hood.edge, &extent[reach.axis]);
            }
        }
        grown
    }

    /// What EXPLAIN says of it: `, dense window=avg(t2m) halo=[time: 6+0]`.
    pub fn describe(&self, view: &View) -> String {
        let name = |axis: usize| view.cube.grid.axes[axis].name.as_str();
        let inner: String = self.below.windows().map(|w| w.describe(view)).collect();
        let own = match &self.kind {
            Kind::Along(along) => {
                let keys: Vec<&str> = along.groups.keys.iter().map(|k| name(k.axis)).collect();
                let words = if keys.is_empty() { "nothing".to_owned() } else { keys.join(", ") };
                format!(", dense along=[{}] by=[{words}] groups={}", self.shown, along.groups.len())
            }
            Kind::Around { hood, .. } | Kind::Convolve { hood, .. } => {
                let halo = |r: &AxisReach| {
                    let (before, after) = r.halo();
                    format!("{}: {before}+{after}", name(r.axis))
                };
                let halo: Vec<String> = hood.reaches.iter().map(halo).collect();
                let word = if hood.reaches.len() == 1 { "window" } else { "focal" };
                format!(", dense {word}=[{}] halo=[{}]", self.shown, halo.join(", "))
            }
        };
        inner + &own
    }

    /// Its values over a box of view space, C order.
    pub fn evaluate(&self, source: &Source, extent: &[Range<u64>]) -> Result<ArrayRef> {
        let (hood, whole) = match &self.kind {
            Kind::Along(along) => return along.look_up(source, extent),
            Kind::Around { hood, .. } => (hood, false),
            Kind::Convolve { hood, .. } => (hood, true),
        };
        let input = self.input(extent);
        let cells = self.below.run(source, &input)?;
        let columns = cells.batch.columns();
        let has_value = !matches!(&self.kind, Kind::Around { has_value: false, .. });
        let (values, filter) = match columns {
            [] => (None, None),
            [value] if has_value => (Some(value), None),
            [filter] => (None, Some(filter)),
            [value, filter, ..] => (Some(value), Some(filter)),
        };
        let mut counted = cells.mask;
        if let Some(filter) = filter {
            counted = and(counted.as_ref(), Some(&true_cells(filter)?));
        }
        if let Some(nulls) = values.and_then(|v| v.logical_nulls()).filter(|n| n.null_count() > 0) {
            counted = and(counted.as_ref(), Some(nulls.inner()));
        }
        let counted = counted.filter(|c| c.count_set_bits() < c.len());
        let over = |reach: &AxisReach| (reach.axis, reach.over(hood.edge, &extent[reach.axis], &input[reach.axis], whole));
        let frames: Vec<(usize, Frames)> = hood.reaches.iter().map(over).collect();
        let shape = input.iter().map(|r| (r.end - r.start) as usize).collect();
        let moving = Moving { shape, frames: &frames, values, counted, output: self.field.data_type() };
        let found = match &self.kind {
            Kind::Around { function, .. } => moving.compute(*function)?,
            Kind::Convolve { weights, .. } => convolve(&moving, &weights.shape, &weights.values())?,
            Kind::Along(_) => return internal_err!("an aggregate along axes has no neighbours"),
        };
        let found = if found.data_type() == self.field.data_type() { found } else { compute::cast(&found, self.field.data_type())? };
        hood.null_beyond(found, extent)
    }
}

impl Hood {
    /// NULL where a neighbourhood reaches beyond the ends, if the edge says so.
    fn null_beyond(&self, found: ArrayRef, extent: &[Range<u64>]) -> Result<ArrayRef> {
        if self.reaches.iter().all(|r| r.beyond.is_none()) {
            return Ok(found);
        }
        let mut missing = vec![false];
        for (d, range) in extent.iter().enumerate() {
            let of = self.reaches.iter().find(|r| r.axis == d).and_then(|r| r.beyond.as_ref());
            let along: Vec<bool> = range.clone().map(|p| of.is_some_and(|b| b.get(p as usize) == Some(&true))).collect();
            missing = missing.iter().flat_map(|&m| along.iter().map(move |&a| m || a)).collect();
        }
        Ok(compute::nullif(&found, &BooleanArray::from(missing))?)
    }
}
