//! Where the cells of a target box lie in the source: exact at the points of a coarse lattice, straight between them where that
//! is right to a twentieth of a cell, and exact everywhere else.

use std::ops::Range;

/// Cells between points of the lattice.
const STEP: usize = 16;
/// What straight lines over two steps may miss, in cells of the source; over one they miss about a quarter of that.
const TOLERANCE: f64 = 0.2;

/// A place in the source, in cells: 0 is the centre of the first. Row and column.
pub(crate) type Place = [f64; 2];

/// Places of all cells of a box.
#[derive(Debug)]
pub(crate) struct Lattice {
    rows: usize,
    columns: usize,
    /// Points along each row of the lattice.
    across: usize,
    /// Exact places at the points, NaN where there is none.
    points: Vec<Place>,
    /// Of each square of two steps by two: the exact places of its cells, row by row, where straight lines will not do.
    exact: Vec<Option<Vec<Place>>>,
    squares: usize,
}

impl Lattice {
    /// For a box of `rows` by `columns` cells; `place` is exact, and takes places between cells as well.
    pub fn new(rows: usize, columns: usize, place: impl Fn(f64, f64) -> Option<Place>) -> Lattice {
        let counted = |n: usize| n.saturating_sub(1).div_ceil(2 * STEP).max(1);
        let (high, wide) = (counted(rows), counted(columns));
        let across = 2 * wide + 1;
        let points: Vec<Place> = (0..2 * high + 1)
            .flat_map(|r| (0..across).map(move |c| ((r * STEP) as f64, (c * STEP) as f64)))
            .map(|(r, c)| place(r, c).unwrap_or([f64::NAN; 2]))
            .collect();
        let mut lattice = Lattice { rows, columns, across, points, exact: Vec::new(), squares: wide };
        for square in 0..high * wide {
            let (top, left) = (square / wide, square % wide);
            let exact = (!lattice.is_straight(2 * top, 2 * left)).then(|| {
                let (rows, columns) = lattice.cells(square);
                let cells = rows.flat_map(|r| columns.clone().map(move |c| (r, c)));
                cells.map(|(r, c)| place(r as f64, c as f64).unwrap_or([f64::NAN; 2])).collect()
            });
            lattice.exact.push(exact);
        }
        lattice
    }

    /// Rows and columns of cells in a square.
    fn cells(&self, square: usize) -> (Range<usize>, Range<usize>) {
        let (top, left) = (square / self.squares * 2 * STEP, square % self.squares * 2 * STEP);
        let last = |start: usize, n: usize| if start + 2 * STEP + 1 >= n { n } else { start + 2 * STEP };
        (top..last(top, self.rows), left..last(left, self.columns))
    }

    fn point(&self, row: usize, column: usize) -> Place {
        self.points[row * self.across + column]
    }

    /// True when the points inside of a square and on its edges lie where straight lines between its corners have them.
    fn is_straight(&self, top: usize, left: usize) -> bool {
        let corner = |r: usize, c: usize| self.point(top + 2 * r, left + 2 * c);
        (0..3).flat_map(|r| (0..3).map(move |c| (r, c))).all(|(r, c)| {
            let (v, u) = (r as f64 / 2.0, c as f64 / 2.0);
            let exact = self.point(top + r, left + c);
            (0..2).all(|k| {
                let upper = corner(0, 0)[k] * (1.0 - u) + corner(0, 1)[k] * u;
                let lower = corner(1, 0)[k] * (1.0 - u) + corner(1, 1)[k] * u;
                (upper * (1.0 - v) + lower * v - exact[k]).abs() < TOLERANCE
            })
        })
    }

    /// The places of a row of cells.
    pub fn row(&self, row: usize, places: &mut [Place]) {
        let band = (row / (2 * STEP)).min(self.exact.len() / self.squares - 1);
        for square in band * self.squares..(band + 1) * self.squares {
            let (rows, columns) = self.cells(square);
            if let Some(exact) = &self.exact[square] {
                let width = columns.len();
                let from = (row - rows.start) * width;
                places[columns].copy_from_slice(&exact[from..from + width]);
                continue;
            }
            let above = (row / STEP).min(2 * band + 1);
            let v = (row - above * STEP) as f64 / STEP as f64;
            let mut column = columns.start;
            while column < columns.end {
                let left = (column / STEP).min(square % self.squares * 2 + 1);
                let end = if left % 2 == 1 { columns.end } else { columns.end.min((left + 1) * STEP) };
                let at = |c: usize, k: usize| self.point(above, c)[k] * (1.0 - v) + self.point(above + 1, c)[k] * v;
                let (from, to) = ([at(left, 0), at(left, 1)], [at(left + 1, 0), at(left + 1, 1)]);
                let by = [(to[0] - from[0]) / STEP as f64, (to[1] - from[1]) / STEP as f64];
                for (i, place) in places[column..end].iter_mut().enumerate() {
                    let i = (column - left * STEP + i) as f64;
                    *place = [from[0] + i * by[0], from[1] + i * by[1]];
                }
                column = end;
            }
        }
    }

    /// The rows and columns between which all places lie, `None` without any place.
    pub fn reach(&self) -> Option<[[f64; 2]; 2]> {
        let all = self.points.iter().chain(self.exact.iter().flatten().flatten()).filter(|p| !p[0].is_nan());
        all.fold(None, |reach: Option<[[f64; 2]; 2]>, p| {
            let [r, c] = reach.unwrap_or([[p[0]; 2], [p[1]; 2]]);
            Some([[r[0].min(p[0]), r[1].max(p[0])], [c[0].min(p[1]), c[1].max(p[1])]])
        })
    }

    /// Cells that were computed one by one.
    #[cfg(test)]
    pub fn exact_cells(&self) -> usize {
        self.exact.iter().flatten().map(Vec::len).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::super::crs::Crs;
    use super::*;

    fn worst(rows: usize, columns: usize, place: impl Fn(f64, f64) -> Option<Place>) -> (f64, usize) {
        let lattice = Lattice::new(rows, columns, &place);
        let mut row = vec![[0.0; 2]; columns];
        let mut worst: f64 = 0.0;
        for r in 0..rows {
            row.fill([f64::INFINITY; 2]);
            lattice.row(r, &mut row);
            for (c, got) in row.iter().enumerate() {
                match place(r as f64, c as f64) {
                    Some(exact) => worst = worst.max((got[0] - exact[0]).abs()).max((got[1] - exact[1]).abs()),
                    None => assert!(got[0].is_nan(), "{r} {c} {got:?}"),
                }
            }
        }
        (worst, lattice.exact_cells())
    }

    #[test]
    fn places_are_right_to_a_tenth_of_a_cell() {
        // Target system, its upper left corner, its cell, source system, its corner and cell. Around a pole nothing is straight.
        let cases = [
            ("EPSG:4326", [10.0, 48.0], 1e-3, "EPSG:32632", [600_000.0, 5_400_000.0], 100.0),
            ("EPSG:3857", [1e6, 6e6], 500.0, "EPSG:4326", [5.0, 50.0], 0.005),
            ("EPSG:3035", [4e6, 3e6], 1000.0, "EPSG:4326", [5.0, 55.0], 0.01),
            ("EPSG:3413", [-2e6, 2e6], 10_000.0, "EPSG:4326", [-180.0, 90.0], 0.1),
            ("EPSG:4326", [-180.0, 90.0], 0.5, "EPSG:3413", [-4e6, 4e6], 25_000.0),
        ];
        for (number, (target, corner, cell, source, from, size)) in cases.into_iter().enumerate() {
            let smooth = number < 3;
            let (target, source) = (Crs::read(target).unwrap(), Crs::read(source).unwrap());
            let place = |r: f64, c: f64| {
                let (x, y) = target.project(&source, corner[0] + (c + 0.5) * cell, corner[1] - (r + 0.5) * cell)?;
                Some([(from[1] - y) / size - 0.5, (x - from[0]) / size - 0.5])
            };
            let (worst, exact) = worst(300, 333, place);
            assert!(worst < 0.1, "{worst} cells");
            assert_eq!(exact == 0, smooth, "{exact}");
        }
    }

    #[test]
    fn boxes_of_any_size() {
        for (rows, columns) in [(1, 1), (2, 17), (16, 33), (33, 34), (65, 64), (66, 97)] {
            let place = |r: f64, c: f64| (c < 70.0).then_some([r + 1.0, 2.0 * c]);
            assert_eq!(worst(rows, columns, place).0, 0.0, "{rows} {columns}");
        }
        let of = Lattice::new(3, 4, |r, c| Some([r, c]));
        assert!(of.reach().is_some_and(|[r, c]| r[0] == 0.0 && r[1] >= 2.0 && c[0] == 0.0 && c[1] >= 3.0));
        assert!(Lattice::new(3, 4, |_, _| None).reach().is_none());
    }
}
