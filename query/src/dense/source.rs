//! What a program computes from: the values that were read for a tile, halo included, and what was reduced beforehand.

use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, UInt32Array};
use datafusion::arrow::compute;
use datafusion::common::internal_err;
use datafusion::error::Result;
use graticule_storage::array::Extent;
use graticule_storage::read::Tile;

use super::program::Program;
use super::tiles::{Segment, TileRef};
use super::window::along::Tables;
use crate::view::View;

/// What is read for one tile of a program: its own cells and those around them that windows want.
#[derive(Debug, Clone)]
pub(crate) struct Reading {
    segments: Vec<Segment>,
}

impl Reading {
    /// For a tile of a view.
    pub fn new(view: &View, program: &Program, tile: &TileRef<'_>) -> Reading {
        let own = tile.view_extent();
        let grown = program.input(own.ranges());
        let segments = tile.segments.iter().zip(&grown).zip(&view.axes);
        let segment = |((own, wanted), axis): ((&&Segment, &Range<u64>), &crate::view::AxisView)| match own.view == *wanted {
            true => (*own).clone(),
            false => Segment::of(axis, wanted.clone()),
        };
        Reading { segments: segments.map(segment).collect() }
    }

    fn tile(&self) -> TileRef<'_> {
        TileRef { segments: self.segments.iter().collect() }
    }

    /// What to read, in cube space.
    pub fn cube_extent(&self) -> Extent {
        self.tile().cube_extent()
    }
}

/// Values over a box of view space.
pub(crate) struct Source {
    /// What is seen of the cube.
    pub view: Arc<View>,
    /// Aggregates along axes.
    pub tables: Arc<Tables>,
    extent: Vec<Range<u64>>,
    columns: Vec<(usize, ArrayRef)>,
}

impl Source {
    /// From a tile that was read for `variables`, in their order.
    pub fn new(view: Arc<View>, tables: Arc<Tables>, reading: &Reading, variables: &[usize], tile: Tile) -> Result<Source> {
        let at = reading.tile();
        let picks = at.picks().map(UInt32Array::from);
        let mut columns = Vec::with_capacity(variables.len());
        for (&variable, values) in variables.iter().zip(tile.columns) {
            columns.push(match &picks {
                Some(picks) => (variable, compute::take(&values, picks, None)?),
                None => (variable, values),
            });
        }
        Ok(Source { view, tables, extent: at.view_extent().ranges().to_vec(), columns })
    }

    /// The values of a variable over a box inside of what was read, C order.
    pub fn variable(&self, variable: usize, extent: &[Range<u64>]) -> Result<ArrayRef> {
        let Some((_, values)) = self.columns.iter().find(|(v, _)| *v == variable) else {
            return internal_err!("a tile lacks a column");
        };
        if extent == self.extent {
            return Ok(values.clone());
        }
        let inside = extent.iter().zip(&self.extent).all(|(want, have)| have.start <= want.start && want.end <= have.end);
        if !inside {
            return internal_err!("a window wants cells {extent:?} of a tile over {:?}", self.extent);
        }
        let cells: u64 = self.extent.iter().map(|r| r.end - r.start).product();
        if values.len() as u64 != cells {
            return internal_err!("a tile of {cells} cells has {} values", values.len());
        }
        let len = |r: &Range<u64>| r.end - r.start;
        // Single cells of slow axes, a range of one, and all of the faster ones are one stretch of memory.
        let cut = extent.iter().position(|want| len(want) != 1).unwrap_or(extent.len());
        if extent.iter().zip(&self.extent).skip(cut + 1).all(|(want, have)| want == have) {
            let first = extent.iter().zip(&self.extent).fold(0, |at, (want, have)| at * len(have) + (want.start - have.start));
            let wanted: u64 = extent.iter().map(len).product();
            return Ok(values.slice(first as usize, wanted as usize));
        }
        let mut numbers = vec![0u32];
        for (want, have) in extent.iter().zip(&self.extent) {
            let n = (have.end - have.start) as u32;
            let first = (want.start - have.start) as u32;
            let count = (want.end - want.start) as u32;
            numbers = numbers.iter().flat_map(|&base| (first..first + count).map(move |i| base * n + i)).collect();
        }
        Ok(compute::take(values, &UInt32Array::from(numbers), None)?)
    }
}
