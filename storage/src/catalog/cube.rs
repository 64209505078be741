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
    /// Its parts, sorted by origin (C order).
    pub pieces: Vec<Piece>,
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
    /// The Arrow type of its values.
    pub fn arrow_type(&self) -> ArrowType {
        value_type(self.decoded, self.time)
    }
}

impl Cube {
    /// Number of a variable by name.
    pub fn variable(&self, name: &str) -> Option<usize> {
        self.variables.iter().position(|v| v.name == name)
    }

    /// Where chunks of any of these variables begin: one sorted list an axis of the grid, from 0 to the axis's length.
    pub fn cuts(&self, variables: &[usize]) -> Vec<Vec<u64>> {
        let mut cuts: Vec<std::collections::BTreeSet<u64>> =
            self.grid.axes.iter().map(|a| std::collections::BTreeSet::from([0, a.len()])).collect();
        for v in variables.iter().map(|&v| &self.variables[v]) {
            for piece in &v.pieces {
                for (d, &axis) in v.axes.iter().enumerate() {
                    let range = piece.extent.range(d);
                    cuts[axis].extend(range.clone().step_by(piece.chunk_shape[d].max(1) as usize));
                    cuts[axis].insert(range.end);
                }
            }
        }
        cuts.into_iter().map(|set| set.into_iter().collect()).collect()
    }

    /// The pieces of a variable that meet an extent (in the variable's own axes).
    pub fn pieces_meeting<'a>(&'a self, variable: usize, extent: &'a Extent) -> impl Iterator<Item = &'a Piece> + 'a {
        self.variables[variable].pieces.iter().filter(move |p| p.extent.intersection(extent).is_some())
    }
}
