//! Values at places between the cells of a box: nearest, bilinear, cubic; between cells, however coarse the target is (GDAL widens
//! its kernels there). As in GDAL a value is missing where the cell that its place lies in is; other missing cells are left out of
//! bilinear values and the other weights made up for them; a cubic value that meets a missing cell, or the edge, is bilinear.

use super::lattice::{Lattice, Place};
use crate::grids::regrid::{Method, Real, keys};

/// Cells by which a place may miss the edge of the source.
const SLACK: f64 = 1e-9;

/// Where a box lies in its source, rows and columns each.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame {
    /// Cells of the whole source.
    pub size: [usize; 2],
    /// The first cell of the box.
    pub origin: [usize; 2],
    /// Values from one cell of the box to the next.
    pub strides: [usize; 2],
}

/// The planes of source and target: where in the box the first cell of each lies, and where it goes.
pub(crate) struct Planes<'a> {
    /// First values in source and target.
    pub starts: &'a [(usize, usize)],
    /// Rows and columns of the target.
    pub size: [usize; 2],
    /// Values from one cell of the target to the next.
    pub strides: [usize; 2],
}

/// The two cells around a place and how far it is from the first to the second; outer cells go on to their edges.
fn around(place: f64, size: usize) -> (usize, usize, f64) {
    let inner = place.clamp(0.0, (size - 1) as f64);
    let first = inner as usize;
    (first, (first + 1).min(size - 1), inner - first as f64)
}

impl Frame {
    fn holds(&self, [row, column]: Place) -> bool {
        let inside = |at: f64, size: usize| at >= -0.5 - SLACK && at <= size as f64 - 0.5 + SLACK;
        inside(row, self.size[0]) && inside(column, self.size[1])
    }

    /// The place in the box of a cell of the source.
    pub fn at(&self, row: usize, column: usize) -> usize {
        (row - self.origin[0]) * self.strides[0] + (column - self.origin[1]) * self.strides[1]
    }

    fn nearest(&self, [row, column]: Place) -> usize {
        let cell = |at: f64, size: usize| (at + 0.5).floor().clamp(0.0, (size - 1) as f64) as usize;
        self.at(cell(row, self.size[0]), cell(column, self.size[1]))
    }

    fn bilinear<T: Real>(&self, values: &[T], valid: Option<&[bool]>, from: usize, [row, column]: Place) -> Option<f64> {
        let ((r0, r1, v), (c0, c1, u)) = (around(row, self.size[0]), around(column, self.size[1]));
        let (above, below) = (from + (r0 - self.origin[0]) * self.strides[0], from + (r1 - self.origin[0]) * self.strides[0]);
        let (left, right) = ((c0 - self.origin[1]) * self.strides[1], (c1 - self.origin[1]) * self.strides[1]);
        let cells = [above + left, above + right, below + left, below + right];
        let weights = [(1.0 - v) * (1.0 - u), (1.0 - v) * u, v * (1.0 - u), v * u];
        match valid {
            Some(valid) if !valid[from + self.nearest([row, column])] => None,
            Some(valid) if !cells.iter().all(|&i| valid[i]) => {
                let (mut sum, mut all) = (0.0, 0.0);
                for (&i, w) in cells.iter().zip(weights).filter(|(i, _)| valid[**i]) {
                    sum += w * values[i].wide();
                    all += w;
                }
                // The cell that the place lies in has a quarter of the weight at least.
                Some(sum / all)
            }
            _ => Some(cells.iter().zip(weights).map(|(&i, w)| w * values[i].wide()).sum()),
        }
    }

    fn cubic<T: Real>(&self, values: &[T], valid: Option<&[bool]>, from: usize, place: Place) -> Option<f64> {
        let ((r, _, v), (c, _, u)) = (around(place[0], self.size[0]), around(place[1], self.size[1]));
        let inner = r >= 1 && r + 2 < self.size[0] && c >= 1 && c + 2 < self.size[1];
        let cells = |k: usize| (0..4).map(move |l| from + self.at(r + k - 1, c + l - 1));
        if !inner || valid.is_some_and(|valid| !(0..4).flat_map(cells).all(|i| valid[i])) {
            return self.bilinear(values, valid, from, place);
        }
        let (rows, columns) = (keys(v), keys(u));
        let row = |k: usize| cells(k).zip(columns).map(|(i, w)| w * values[i].wide()).sum::<f64>();
        Some(rows.iter().enumerate().map(|(k, w)| w * row(k)).sum())
    }
}

/// The values of all target planes, and which of them have one (`None`: all).
pub(crate) fn sample<T: Real>(
    values: &[T],
    valid: Option<&[bool]>,
    frame: &Frame,
    lattice: &Lattice,
    planes: &Planes<'_>,
    method: Method,
) -> (Vec<T>, Option<Vec<bool>>) {
    let cells = planes.size[0] * planes.size[1] * planes.starts.len();
    let (mut made, mut found, mut gaps) = (vec![T::default(); cells], vec![true; cells], false);
    each_row(frame, lattice, planes, |from, into, place| {
        let value = place.and_then(|place| match method {
            Method::Cubic => frame.cubic(values, valid, from, place),
            _ => frame.bilinear(values, valid, from, place),
        });
        match value {
            Some(value) => made[into] = T::of(value),
            None => {
                found[into] = false;
                gaps = true;
            }
        }
    });
    (made, gaps.then_some(found))
}

/// For every cell of the target the number of the value of the source that it takes; `None` outside.
pub(crate) fn nearest(frame: &Frame, lattice: &Lattice, planes: &Planes<'_>) -> Vec<Option<u32>> {
    let mut cells = vec![None; planes.size[0] * planes.size[1] * planes.starts.len()];
    each_row(frame, lattice, planes, |from, into, place| {
        cells[into] = place.map(|place| (from + frame.nearest(place)) as u32);
    });
    cells
}

fn each_row(frame: &Frame, lattice: &Lattice, planes: &Planes<'_>, mut one: impl FnMut(usize, usize, Option<Place>)) {
    let mut places = vec![[f64::NAN; 2]; planes.size[1]];
    for row in 0..planes.size[0] {
        lattice.row(row, &mut places);
        for &(from, into) in planes.starts {
            for (column, &place) in places.iter().enumerate() {
                let into = into + row * planes.strides[0] + column * planes.strides[1];
                one(from, into, frame.holds(place).then_some(place));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(places: &[Place], valid: Option<&[bool]>, method: Method) -> Vec<Option<f64>> {
        let values: Vec<f32> = (0..42).map(|i| (10 * (i / 7) + i % 7) as f32).collect();
        let frame = Frame { size: [6, 7], origin: [0, 0], strides: [7, 1] };
        let one = |&place: &Place| {
            let lattice = Lattice::new(1, 1, |r, c| Some([place[0] + r, place[1] + c]));
            let planes = Planes { starts: &[(0, 0)], size: [1, 1], strides: [1, 1] };
            match method {
                Method::Nearest => nearest(&frame, &lattice, &planes)[0].map(|i| f64::from(values[i as usize])),
                _ => {
                    let (made, found) = sample(&values, valid, &frame, &lattice, &planes, method);
                    found.is_none_or(|found| found[0]).then(|| f64::from(made[0]))
                }
            }
        };
        places.iter().map(one).collect()
    }

    #[test]
    fn places_between_cells() {
        let places = [[1.5, 2.25], [-0.5, 0.0], [5.4, 6.4], [-0.6, 0.0], [2.0, 6.6], [f64::NAN, 1.0]];
        assert_eq!(at(&places, None, Method::Bilinear), [Some(17.25), Some(0.0), Some(56.0), None, None, None]);
        assert_eq!(at(&places, None, Method::Cubic), [Some(17.25), Some(0.0), Some(56.0), None, None, None]);
        assert_eq!(at(&places, None, Method::Nearest), [Some(22.0), Some(0.0), Some(56.0), None, None, None]);
    }

    #[test]
    fn missing_cells_are_left_out() {
        let mut valid = vec![true; 42];
        valid[7 + 2] = false;
        let places = [[1.5, 2.5], [1.0, 2.0], [1.0, 2.5]];
        let got = at(&places, Some(&valid), Method::Cubic);
        assert!((got[0].unwrap() - (13.0 + 22.0 + 23.0) / 3.0).abs() < 1e-5, "{got:?}");
        assert_eq!(got[1..], [None, Some(13.0)]);
    }
}
