//! The means of the source cells that each target cell covers, weighted by how much of them it covers: the target cell is the
//! quadrilateral between the places of its four corners. Parts are areas on the source's grid, as in GDAL's `average`, and exact
//! also where the grids are turned against each other (GDAL takes the upright box between two corners there).

use super::lattice::{Lattice, Place};
use super::sample::{Frame, Planes};
use crate::grids::regrid::Real;

/// Covered cells below which a target cell has no value.
const LEAST: f64 = 1e-9;
/// The part of a turn that two corners may be apart.
const WIDE: f64 = 0.4;

/// For each cell of the target which cells of a source's plane it covers, and how much of them.
#[derive(Debug, Default)]
pub(crate) struct Covers {
    /// Where the cells of each target begin; one more at the end.
    starts: Vec<usize>,
    /// Cells, by their place in the box.
    cells: Vec<u32>,
    /// Covered parts, 0 to 1.
    parts: Vec<f32>,
}

impl Covers {
    /// From the places of the corners of `size` cells (`corners` has one row and column more). `turn` is how many columns go round
    /// the globe. A cell around a pole covers nothing, nor does one wider than two fifths of the globe: corners do not tell where they lie.
    pub fn new(frame: &Frame, corners: &Lattice, size: [usize; 2], turn: Option<f64>) -> Covers {
        let mut covers = Covers { starts: vec![0], ..Covers::default() };
        let mut areas = Areas::default();
        let (mut above, mut below) = (vec![[f64::NAN; 2]; size[1] + 1], vec![[f64::NAN; 2]; size[1] + 1]);
        corners.row(0, &mut above);
        for row in 0..size[0] {
            corners.row(row + 1, &mut below);
            for column in 0..size[1] {
                let around = [above[column], above[column + 1], below[column + 1], below[column]];
                if let Some(shape) = in_one_piece(around, turn) {
                    // A part beyond one end of the source may lie at the other, a turn away.
                    let last = frame.size[1] as f64 - 0.5;
                    let beyond = turn.filter(|_| shape.iter().any(|p| p[1] < -0.5 || p[1] > last));
                    for by in [0.0].into_iter().chain(beyond.into_iter().flat_map(|turn| [-turn, turn])) {
                        areas.cover(&inside(shape.map(|[r, c]| [r, c + by]).to_vec(), frame.size));
                        areas.each(|row, column, part| {
                            covers.cells.push(frame.at(row, column) as u32);
                            covers.parts.push(part as f32);
                        });
                    }
                }
                covers.starts.push(covers.cells.len());
            }
            std::mem::swap(&mut above, &mut below);
        }
        covers
    }

    /// The means of all planes, and which there are (`None`: all).
    pub fn means<T: Real>(&self, values: &[T], valid: Option<&[bool]>, planes: &Planes<'_>) -> (Vec<T>, Option<Vec<bool>>) {
        let count = planes.size[0] * planes.size[1] * planes.starts.len();
        let (mut made, mut found, mut gaps) = (vec![T::default(); count], vec![true; count], false);
        for target in 0..self.starts.len() - 1 {
            let cells = self.starts[target]..self.starts[target + 1];
            let at = target / planes.size[1] * planes.strides[0] + target % planes.size[1] * planes.strides[1];
            for &(from, into) in planes.starts {
                let (mut sum, mut all) = (0.0, 0.0);
                for (&cell, &part) in self.cells[cells.clone()].iter().zip(&self.parts[cells.clone()]) {
                    let cell = from + cell as usize;
                    if valid.is_none_or(|valid| valid[cell]) {
                        sum += f64::from(part) * values[cell].wide();
                        all += f64::from(part);
                    }
                }
                match all > LEAST {
                    true => made[into + at] = T::of(sum / all),
                    false => {
                        found[into + at] = false;
                        gaps = true;
                    }
                }
            }
        }
        (made, gaps.then_some(found))
    }
}

/// The rows and columns between which all covered cells lie, of a source of `size`; `None` without any.
pub(crate) fn reach(corners: &Lattice, target: [usize; 2], size: [usize; 2], turn: Option<f64>) -> Option<[[f64; 2]; 2]> {
    let [rows, mut columns] = corners.reach()?;
    let Some(turn) = turn else { return Some([rows, columns]) };
    // Cells that go on across the seam reach further than their corners, or lie at both ends.
    let last = size[1] as f64 - 0.5;
    let (mut above, mut below) = (vec![[f64::NAN; 2]; target[1] + 1], vec![[f64::NAN; 2]; target[1] + 1]);
    corners.row(0, &mut above);
    for row in 0..target[0] {
        corners.row(row + 1, &mut below);
        for column in 0..target[1] {
            let around = [above[column], above[column + 1], below[column + 1], below[column]];
            for [_, at] in in_one_piece(around, Some(turn)).into_iter().flatten() {
                if !(-0.5..=last).contains(&at) {
                    return Some([rows, [0.0, last]]);
                }
                columns = [columns[0].min(at), columns[1].max(at)];
            }
        }
        std::mem::swap(&mut above, &mut below);
    }
    Some([rows, columns])
}

/// The corners with columns that go on across a seam; `None` where one has no place, where they go round a pole, or where they are
/// so far apart that it is open which way they do.
fn in_one_piece(mut corners: [Place; 4], turn: Option<f64>) -> Option<[Place; 4]> {
    if corners.iter().flatten().any(|v| !v.is_finite()) {
        return None;
    }
    if let Some(turn) = turn {
        let near = |from: f64, to: f64| to - turn * ((to - from) / turn).round();
        let first = corners[0][1];
        let mut last = first;
        for corner in &mut corners {
            corner[1] = near(last, corner[1]);
            if (corner[1] - last).abs() > WIDE * turn {
                return None;
            }
            last = corner[1];
        }
        if (near(last, first) - first).abs() > turn / 2.0 {
            return None;
        }
    }
    Some(corners)
}

/// The part of a polygon that lies on the source's cells, moved so that the first cell begins at 0.
fn inside(polygon: Vec<Place>, size: [usize; 2]) -> Vec<Place> {
    let mut points: Vec<Place> = polygon.into_iter().map(|[r, c]| [r + 0.5, c + 0.5]).collect();
    for (k, limit, sign) in [(0, 0.0, 1.0), (0, size[0] as f64, -1.0), (1, 0.0, 1.0), (1, size[1] as f64, -1.0)] {
        let depth = |p: &Place| sign * (p[k] - limit);
        if points.iter().all(|p| depth(p) >= 0.0) {
            continue;
        }
        let mut kept = Vec::with_capacity(points.len() + 2);
        for (i, p) in points.iter().enumerate() {
            let next = &points[(i + 1) % points.len()];
            if depth(p) >= 0.0 {
                kept.push(*p);
            }
            if (depth(p) >= 0.0) != (depth(next) >= 0.0) {
                let t = depth(p) / (depth(p) - depth(next));
                let mut cut = [p[0] + t * (next[0] - p[0]), p[1] + t * (next[1] - p[1])];
                cut[k] = limit;
                kept.push(cut);
            }
        }
        points = kept;
    }
    points
}

/// The covered areas of cells in the box around a polygon.
#[derive(Debug, Default)]
struct Areas {
    top: usize,
    left: usize,
    /// Columns of the box, and two more.
    width: usize,
    /// What each cell has more than the one before it.
    steps: Vec<f64>,
}

impl Areas {
    /// Every edge adds, in the rows that it crosses, the area to its right; the sum along a row is what is covered.
    fn cover(&mut self, polygon: &[Place]) {
        self.steps.clear();
        let range =
            |k: usize| polygon.iter().map(|p| p[k]).fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], v| [low.min(v), high.max(v)]);
        let ([top, bottom], [left, right]) = (range(0), range(1));
        if polygon.len() < 3 {
            return;
        }
        (self.top, self.left) = (top as usize, left as usize);
        self.width = right as usize - self.left + 3;
        self.steps.resize((bottom as usize - self.top + 1) * self.width, 0.0);
        for (i, &[y0, x0]) in polygon.iter().enumerate() {
            let [y1, x1] = polygon[(i + 1) % polygon.len()];
            if y0 < y1 {
                self.edge(y0, x0, y1, x1, 1.0);
            } else if y1 < y0 {
                self.edge(y1, x1, y0, x0, -1.0);
            }
        }
    }

    /// An edge that goes down, for the area to its right.
    fn edge(&mut self, y0: f64, x0: f64, y1: f64, x1: f64, sign: f64) {
        let slope = (x1 - x0) / (y1 - y0);
        for row in y0 as usize..y1.ceil() as usize {
            let (from, to) = (y0.max(row as f64), y1.min((row + 1) as f64));
            let (a, b) = (x0 + (from - y0) * slope, x0 + (to - y0) * slope);
            let (a, b) = (a.min(b).max(self.left as f64) - self.left as f64, a.max(b).max(self.left as f64) - self.left as f64);
            let base = (row - self.top) * self.width;
            let (height, last) = (sign * (to - from), self.width - 2);
            let (first, end) = ((a as usize).min(last), (b as usize).min(last));
            // The area to the right of the edge in the cell that begins at `column`, less than what it has of the one before.
            let mut before = 0.0;
            for column in first..=end {
                let (left, right) = (column as f64, (column + 1) as f64);
                let area = if b - a < 1e-12 {
                    (right - a.clamp(left, right)) * height
                } else {
                    // The integral over the edge's way of what lies right of it in the cell.
                    let primitive = |x: f64| {
                        if x <= left {
                            x
                        } else if x >= right {
                            left + 0.5
                        } else {
                            x - (x - left) * (x - left) / 2.0
                        }
                    };
                    (primitive(b) - primitive(a)) / (b - a) * height
                };
                self.steps[base + column] += area - before;
                before = area;
            }
            self.steps[base + end + 1] += height - before;
        }
    }

    fn each(&self, mut one: impl FnMut(usize, usize, f64)) {
        for (r, row) in self.steps.chunks_exact(self.width.max(1)).enumerate() {
            let mut part = 0.0;
            for (c, step) in row.iter().enumerate() {
                part += step;
                if part.abs() > LEAST {
                    one(self.top + r, self.left + c, part.abs().min(1.0));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn areas(polygon: &[Place], size: [usize; 2]) -> Vec<(usize, usize, f64)> {
        let mut areas = Areas::default();
        areas.cover(&inside(polygon.to_vec(), size));
        let mut found = Vec::new();
        areas.each(|r, c, part| found.push((r, c, (part * 1e6).round() / 1e6)));
        found
    }

    #[test]
    fn parts_of_cells() {
        // Places count from the centre of the first cell.
        assert_eq!(
            areas(&[[0.0, 0.0], [0.0, 1.0], [1.0, 1.0], [1.0, 0.0]], [4, 4]),
            [(0, 0, 0.25), (0, 1, 0.25), (1, 0, 0.25), (1, 1, 0.25)]
        );
        assert_eq!(areas(&[[-0.5, -0.5], [-0.5, 1.5], [1.5, -0.5]], [4, 4]), [(0, 0, 1.0), (0, 1, 0.5), (1, 0, 0.5)]);
        assert_eq!(areas(&[[-3.0, -3.0], [-3.0, 0.0], [0.0, 0.0], [0.0, -3.0]], [4, 4]), [(0, 0, 0.25)]);
        assert!(areas(&[[9.0, 9.0], [9.0, 10.0], [10.0, 10.0]], [4, 4]).is_empty());
    }

    #[test]
    fn parts_add_up_to_the_polygon() {
        let mut seed = 1u64;
        let mut random = || {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (seed >> 33) as f64 / (1u64 << 31) as f64
        };
        for _ in 0..200 {
            let (r, c, size) = (random() * 20.0, random() * 20.0, 0.3 + random() * 8.0);
            let angle = random() * 6.3;
            let corner = |k: f64| [r + size * (angle + k * 1.5).sin() + 10.0, c + size * (angle + k * 1.5).cos() + 10.0];
            let polygon = [0.0, 1.0, 2.0, 3.0].map(corner);
            let shoelace: f64 = (0..4).map(|i| (polygon[i], polygon[(i + 1) % 4])).map(|(a, b)| a[0] * b[1] - b[0] * a[1]).sum();
            let mut all = Areas::default();
            all.cover(&inside(polygon.to_vec(), [60, 60]));
            let mut sum = 0.0;
            all.each(|_, _, part| sum += part);
            assert!((sum - shoelace.abs() / 2.0).abs() < 1e-9, "{polygon:?}: {sum}, expected {}", shoelace.abs() / 2.0);
        }
    }

    #[test]
    fn across_a_seam_and_around_a_pole() {
        assert_eq!(in_one_piece([[0.0, 358.0], [0.0, 1.0], [1.0, 1.0], [1.0, 358.0]], Some(360.0)).unwrap()[1], [0.0, 361.0]);
        assert!(in_one_piece([[0.0, 10.0], [0.0, 100.0], [0.0, 190.0], [0.0, 280.0]], Some(360.0)).is_none());
        assert!(in_one_piece([[0.0, 10.0], [0.0, f64::NAN], [0.0, 190.0], [0.0, 280.0]], None).is_none());
    }
}
