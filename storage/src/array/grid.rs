//! The axes of a cube and its coordinate reference system.

use serde::{Deserialize, Serialize};

use super::{Axis, Extent};

/// Axes, slowest first, and what the horizontal ones refer to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub struct Grid {
    /// Slowest axis first.
    pub axes: Vec<Axis>,
    /// `EPSG:4326`, or WKT, where the files say so.
    pub crs: Option<String>,
}

impl Grid {
    /// Cells along each axis, slowest first.
    pub fn shape(&self) -> Vec<u64> {
        self.axes.iter().map(Axis::len).collect()
    }

    /// All cells.
    pub fn extent(&self) -> Extent {
        Extent::of_shape(&self.shape())
    }

    /// Position of an axis by name.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.axes.iter().position(|a| a.name == name)
    }
}
