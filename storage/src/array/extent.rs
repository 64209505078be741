//! Index space: boxes of cells. Coordinate space is a different thing (see `axis.rs`).

use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};

/// An n-D box of cell indices: one half-open range an axis, slowest axis first.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
pub struct Extent(Vec<Range<u64>>);

impl Extent {
    /// The box with these ranges, slowest axis first.
    pub fn new(ranges: Vec<Range<u64>>) -> Self {
        Extent(ranges)
    }

    /// The box that starts at the origin and has this shape.
    pub fn of_shape(shape: &[u64]) -> Self {
        Extent(shape.iter().map(|&n| 0..n).collect())
    }

    /// The box at `origin` with `shape`; both slowest axis first.
    pub fn at(origin: &[u64], shape: &[u64]) -> Self {
        Extent(origin.iter().zip(shape).map(|(&o, &n)| o..o + n).collect())
    }

    /// The ranges, slowest axis first.
    pub fn ranges(&self) -> &[Range<u64>] {
        &self.0
    }

    /// The range along one axis.
    pub fn range(&self, axis: usize) -> Range<u64> {
        self.0[axis].clone()
    }

    /// Number of axes.
    pub fn ndim(&self) -> usize {
        self.0.len()
    }

    /// First cell, slowest axis first.
    pub fn origin(&self) -> Vec<u64> {
        self.0.iter().map(|r| r.start).collect()
    }

    /// Cells along each axis.
    pub fn shape(&self) -> Vec<u64> {
        self.0.iter().map(|r| r.end.saturating_sub(r.start)).collect()
    }

    /// Number of cells; 1 for a box without axes. Saturates.
    pub fn cells(&self) -> u64 {
        self.0.iter().fold(1u64, |n, r| n.saturating_mul(r.end.saturating_sub(r.start)))
    }

    /// True when some range is empty.
    pub fn is_empty(&self) -> bool {
        self.0.iter().any(|r| r.start >= r.end)
    }

    /// The cells in both boxes, or `None` when there are none.
    pub fn intersection(&self, other: &Extent) -> Option<Extent> {
        debug_assert_eq!(self.ndim(), other.ndim());
        let both = Extent(self.0.iter().zip(&other.0).map(|(a, b)| a.start.max(b.start)..a.end.min(b.end)).collect());
        (!both.is_empty()).then_some(both)
    }

    /// True where some cell is in both boxes.
    pub fn meets(&self, other: &Extent) -> bool {
        debug_assert_eq!(self.ndim(), other.ndim());
        self.0.iter().zip(&other.0).all(|(a, b)| a.start.max(b.start) < a.end.min(b.end))
    }

    /// The same box seen from `origin`: `origin` is subtracted. The box must not start before it.
    pub fn relative_to(&self, origin: &[u64]) -> Extent {
        Extent(self.0.iter().zip(origin).map(|(r, &o)| r.start - o..r.end - o).collect())
    }

    /// The same box moved by `origin`.
    pub fn shifted_by(&self, origin: &[u64]) -> Extent {
        Extent(self.0.iter().zip(origin).map(|(r, &o)| r.start + o..r.end + o).collect())
    }

    /// The box over some of the axes only, in the order given.
    pub fn project(&self, axes: &[usize]) -> Extent {
        Extent(axes.iter().map(|&a| self.0[a].clone()).collect())
    }
}

impl fmt::Debug for Extent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for Extent {
    /// `[0:24, 103:206]`, half-open.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[")?;
        for (i, r) in self.0.iter().enumerate() {
            write!(f, "{}{}:{}", if i > 0 { ", " } else { "" }, r.start, r.end)?;
        }
        write!(f, "]")
    }
}
