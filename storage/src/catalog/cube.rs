//! A cube: variables on one grid, made of pieces of granules.

use std::sync::Arc;

use arrow::datatypes::DataType as ArrowType;
use serde::{Deserialize, Serialize};

use super::GranuleId;
use crate::array::{Attributes, DataType, Encoding, Extent, Grid, TimeUnit, value_type};

/// What to do where granules of one variable overlap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
pub enum Overlap {
    /// Refuse, naming both.
    #[default]
    Error,
    /// The granule with the newest modification time wins.
    Newest,
    /// The first granule in the order of the sources wins.
    First,
}

/// An axis whose coordinate stands in the file name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AxisFromFilename {
    /// The axis's name.
    pub axis: String,
    /// A regular expression over the path; its first group is the coordinate.
    pub pattern: String,
    /// strftime format of a time; without it the text is a number, or else a label.
    pub format: Option<String>,
}

/// The parts of a `CREATE CUBE` statement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub struct CubeDefinition {
    /// Name of the cube.
    pub name: String,
    /// Absolute paths, URLs, glob patterns.
    pub sources: Vec<String>,
    /// `AXIS .. FROM FILENAME`.
    pub axes_from_filename: Vec<AxisFromFilename>,
    /// `VARIABLE FROM FILENAME`: a regular expression; its first group names the variable.
    pub variable_from_filename: Option<String>,
    /// `OVERLAP`.
    pub overlap: Overlap,
    /// `NODATA`: one more value that means missing.
    pub nodata: Option<f64>,
    /// `CRS`: overrides what the files say.
    pub crs: Option<String>,
    /// The statement's text, to replay.
    pub statement: String,
}

/// A part of a variable: one array of one granule at its place in the cube.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Piece {
    /// The granule.
    pub granule: GranuleId,
    /// Number of the array in the granule.
    pub array: u32,
    /// Where it lies, in the variable's own axes, in the cube's index space.
    pub extent: Extent,
    /// The cell of the array that lies at the extent's origin, in the variable's own axes: zeros, unless only a part of
    /// the array is used (overlapping or interleaved granules).
    pub offset: Vec<u64>,
    /// Shape of its chunks, in the variable's own axes (1 along axes that the file lacks).
    pub chunk_shape: Vec<u64>,
    /// Bytes stored, all chunks together.
    pub stored_bytes: u64,
    /// From stored cells to values; granules may differ.
    pub encoding: Arc<Encoding>,
}

/// A variable of a cube.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CubeVariable {
    /// Its name.
    pub name: String,
    /// The axes it has: positions in [`Grid::axes`], rising. It broadcasts along the others.
    pub axes: Vec<usize>,
    /// Type of its values.
    pub decoded: DataType,
    /// Set when the values are instants.
    pub time: Option<TimeUnit>,
    /// Attributes of the first granule that has it.
    pub attributes: Attributes,
    /// Names of attributes that have other values in other granules, or are lacking there.
    pub differing: Vec<String>,
    /// Its parts, sorted by origin (C order); no two of them overlap.
    pub pieces: Vec<Piece>,
    /// Cells of the longest piece along the first axis: bounds the search for pieces (see [`CubeVariable::new`]).
    pub reach: u64,
}

/// A named set of variables on one grid.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cube {
    /// Its name; further tables of the same files are `name.<axes joined by _>`.
    pub name: String,
    /// Axes and CRS.
    pub grid: Grid,
    /// Variables, in the files' order.
    pub variables: Vec<CubeVariable>,
    /// Attributes of the first granule.
    pub attributes: Attributes,
    /// How it was made.
    pub definition: Arc<CubeDefinition>,
    /// Grows with each commit that changes it.
    pub generation: u64,
}

impl CubeVariable {
    /// A variable on the axes at these positions of the grid; sorts the pieces.
    pub fn new(name: impl Into<String>, axes: Vec<usize>, decoded: DataType, time: Option<TimeUnit>, mut pieces: Vec<Piece>) -> Self {
        pieces.sort_by(|a, b| starts(&a.extent).cmp(starts(&b.extent)));
        let reach = pieces.iter().filter_map(|p| p.extent.ranges().first()).map(|r| r.end.saturating_sub(r.start)).max().unwrap_or(0);
        CubeVariable { name: name.into(), axes, decoded, time, attributes: Attributes::default(), differing: Vec::new(), pieces, reach }
    }

    /// The Arrow type of its values.
    pub fn arrow_type(&self) -> ArrowType {
        value_type(self.decoded, self.time)
    }

    /// The same variable without its pieces.
    pub(super) fn without_pieces(&self) -> CubeVariable {
        let CubeVariable { name, axes, decoded, time, attributes, differing, pieces: _, reach } = self;
        let (name, axes, attributes, differing) = (name.clone(), axes.clone(), attributes.clone(), differing.clone());
        CubeVariable { name, axes, decoded: *decoded, time: *time, attributes, differing, pieces: Vec::new(), reach: *reach }
    }

    /// The pieces that meet an extent (in the variable's own axes), found by binary search along the first axis.
    pub fn pieces_meeting<'a>(&'a self, extent: &'a Extent) -> impl Iterator<Item = &'a Piece> + 'a {
        let candidates = match extent.ranges().first() {
            None => &self.pieces[..],
            Some(first) => {
                let start = |p: &Piece| p.extent.ranges().first().map_or(0, |r| r.start);
                let low = self.pieces.partition_point(|p| start(p).saturating_add(self.reach) <= first.start);
                let high = self.pieces.partition_point(|p| start(p) < first.end);
                self.pieces.get(low..high).unwrap_or_default()
            }
        };
        candidates.iter().filter(move |p| p.extent.meets(extent))
    }
}

fn starts(extent: &Extent) -> impl Iterator<Item = u64> + '_ {
    extent.ranges().iter().map(|r| r.start)
}

impl Cube {
    /// Number of a variable by name.
    pub fn variable(&self, name: &str) -> Option<usize> {
        self.variables.iter().position(|v| v.name == name)
    }

    /// Where chunks of any of these variables begin: one sorted list an axis of the grid, from 0 to the axis's length.
    /// Tiles are made of whole intervals of these. Numbers of no variable are ignored.
    pub fn cuts(&self, variables: &[usize]) -> Vec<Vec<u64>> {
        // Granules share most of their ranges: each is expanded once.
        let mut runs: Vec<Vec<Run>> = vec![Vec::new(); self.grid.axes.len()];
        for v in variables.iter().filter_map(|&v| self.variables.get(v)) {
            for piece in &v.pieces {
                for (d, (&axis, range)) in v.axes.iter().zip(piece.extent.ranges()).enumerate() {
                    let chunk = piece.chunk_shape.get(d).copied().unwrap_or(1).max(1);
                    let run = Run { start: range.start, end: range.end, chunk, phase: piece.offset.get(d).copied().unwrap_or(0) % chunk };
                    if let Some(runs) = runs.get_mut(axis)
                        && runs.last() != Some(&run)
                    {
                        runs.push(run);
                    }
                }
            }
        }
        runs.into_iter()
            .zip(&self.grid.axes)
            .map(|(mut runs, axis)| {
                runs.sort_unstable();
                runs.dedup();
                let mut cuts = vec![0, axis.len()];
                for run in runs {
                    cuts.extend([run.start, run.end]);
                    cuts.extend((run.start..run.end).skip((run.chunk - run.phase) as usize).step_by(run.chunk as usize));
                }
                cuts.sort_unstable();
                cuts.dedup();
                cuts
            })
            .collect()
    }

    /// The pieces of a variable that meet an extent (in the variable's own axes); none for a number of no variable.
    pub fn pieces_meeting<'a>(&'a self, variable: usize, extent: &'a Extent) -> impl Iterator<Item = &'a Piece> + 'a {
        self.variables.get(variable).into_iter().flat_map(move |v| v.pieces_meeting(extent))
    }
}

/// Chunk starts along one axis: every `chunk` cells, the first chunk of the run shortened by `phase`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Run {
    start: u64,
    end: u64,
    chunk: u64,
    phase: u64,
}
