//! The cells whose centres a shape covers, by scanline: where edges cross the line of centres of a row, in exact arithmetic
//! where it is close (Shewchuk's adaptive predicates), and what lies between every other two crossings.
//!
//! A polygon covers its boundary. Inside is where an odd number of its rings is around (even-odd); parts of a collection add up.
//! Lines and points cover no cell.

use geo::algorithm::kernels::{Kernel, Orientation, RobustKernel};
use geo::coord;

use super::grid::CellGrid;
use super::runs::{CellRun, union};
use super::shape::{Line, Point, Shape, ring_edges};

/// Which centres an edge passes on a row: so many lie strictly left of it, and whether the next one lies on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Crossing {
    left: usize,
    on: bool,
}

/// Runs of cells (numbers in rising order of coordinates) whose centres the shape covers: sorted, without overlap, of weight 1.
pub(crate) fn covered(shape: &Shape, grid: &CellGrid) -> Vec<CellRun> {
    let Some([west, _, east, _]) = shape.bounds() else { return vec![] };
    let mut all = Vec::new();
    for turn in grid.turns(west, east) {
        for polygon in &shape.polygons {
            scan(polygon, turn, grid, &mut all);
        }
    }
    union(all)
}

/// Adds the runs of one polygon, turned by some degrees.
fn scan(rings: &[Line], turn: f64, grid: &CellGrid, into: &mut Vec<CellRun>) {
    let ys = &grid.y.centres;
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    rings.iter().flatten().for_each(|p| (low, high) = (low.min(p[1]), high.max(p[1])));
    let first = ys.partition_point(|y| *y < low);
    let end = ys.partition_point(|y| *y <= high);
    if first >= end {
        return;
    }
    let mut rows: Vec<Vec<Crossing>> = vec![Vec::new(); end - first];
    // Boundaries that the half-open rule for crossings leaves out: level edges and upper ends.
    let mut add = |row: usize, from: f64, to: f64| {
        let xs = &grid.x.centres;
        let (from, to) = (xs.partition_point(|x| *x < from), xs.partition_point(|x| *x <= to));
        if from < to {
            into.push(CellRun { row: row as u32, from: from as u32, to: to as u32, weight: 1.0 });
        }
    };
    for ring in rings {
        for (a, b) in ring_edges(ring) {
            let (a, b) = ([a[0] + turn, a[1]], [b[0] + turn, b[1]]);
            let (lower, upper) = if a[1] <= b[1] { (a, b) } else { (b, a) };
            let from = ys.partition_point(|y| *y < lower[1]);
            let to = ys.partition_point(|y| *y < upper[1]);
            if ys.get(to) == Some(&upper[1]) {
                let other = if lower[1] == upper[1] { lower[0] } else { upper[0] };
                add(to, upper[0].min(other), upper[0].max(other));
            }
            for row in from..to {
                rows[row - first].push(crossing(lower, upper, ys[row], &grid.x.centres));
            }
        }
    }
    for (row, crossings) in (first..end).zip(&mut rows) {
        crossings.sort_unstable();
        for pair in crossings.chunks_exact(2) {
            let (from, to) = (pair[0].left, pair[1].left + usize::from(pair[1].on));
            let to = if pair[0].on { to.max(from + 1) } else { to };
            if from < to {
                into.push(CellRun { row: row as u32, from: from as u32, to: to as u32, weight: 1.0 });
            }
        }
    }
}

/// Where the edge from `lower` up to `upper` crosses the row at `y`.
fn crossing(lower: Point, upper: Point, y: f64, centres: &[f64]) -> Crossing {
    let x = lower[0] + (y - lower[1]) / (upper[1] - lower[1]) * (upper[0] - lower[0]);
    let mut left = centres.partition_point(|c| *c < x);
    let side = |i: usize| {
        let (p, q) = (coord! { x: lower[0], y: lower[1] }, coord! { x: upper[0], y: upper[1] });
        RobustKernel::orient2d(p, q, coord! { x: centres[i], y: y })
    };
    while left > 0 && side(left - 1) != Orientation::CounterClockwise {
        left -= 1;
    }
    while left < centres.len() && side(left) == Orientation::CounterClockwise {
        left += 1;
    }
    Crossing { left, on: left < centres.len() && side(left) == Orientation::Collinear }
}
