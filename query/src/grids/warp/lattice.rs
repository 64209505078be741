//! Where the cells of a target box lie in the source: exact at the points of a coarse lattice, on parabolas through three of them
//! in between, where those are right to a thousandth of a cell, and exact everywhere else.

use std::ops::Range;

/// Cells between points of the lattice.
const STEP: usize = 16;
/// What parabolas may miss, in cells of the source.
const TOLERANCE: f64 = 1e-3;
/// Boxes up to so many cells are exact everywhere, and reach no further than their cells do.
const FEW: usize = 256;

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
    /// Of each square of two steps by two: the exact places of its cells, row by row, where parabolas will not do.
    exact: Vec<Option<Vec<Place>>>,
    squares: usize,
}

/// The weights of three points at 0, 1 and 2 of the parabola through them.
fn parabola(at: f64) -> [f64; 3] {
    [(at - 1.0) * (at - 2.0) / 2.0, at * (2.0 - at), at * (at - 1.0) / 2.0]
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
            let exact = (rows * columns <= FEW || !lattice.is_smooth(square, &place)).then(|| {
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

    /// A point of a square, 0 to 2 down and across.
    fn point(&self, square: usize, down: usize, across: usize) -> Place {
        let (top, left) = (square / self.squares * 2, square % self.squares * 2);
        self.points[(top + down) * self.across + left + across]
    }

    /// The three places that a row of a square has on the lines of points, `down` steps from its top.
    fn three(&self, square: usize, down: f64) -> [Place; 3] {
        let weights = parabola(down);
        [0, 1, 2].map(|c| [0, 1].map(|k| (0..3).map(|r| weights[r] * self.point(square, r, c)[k]).sum()))
    }

    /// True when the places halfway between the points of a square lie where the parabolas have them.
    fn is_smooth(&self, square: usize, place: &impl Fn(f64, f64) -> Option<Place>) -> bool {
        let (top, left) = (square / self.squares * 2 * STEP, square % self.squares * 2 * STEP);
        [0.5, 1.5].into_iter().all(|down| {
            let points = self.three(square, down);
            [0.5, 1.5].into_iter().all(|across| {
                let weights = parabola(across);
                let found = place(top as f64 + down * STEP as f64, left as f64 + across * STEP as f64);
                let near = |exact: Place, k: usize| ((0..3).map(|c| weights[c] * points[c][k]).sum::<f64>() - exact[k]).abs() < TOLERANCE;
                found.is_some_and(|exact| near(exact, 0) && near(exact, 1))
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
            let [a, b, c] = self.three(square, (row - rows.start) as f64 / STEP as f64);
            let slope = [0, 1].map(|k| (4.0 * b[k] - 3.0 * a[k] - c[k]) / 2.0);
            let bend = [0, 1].map(|k| (a[k] - 2.0 * b[k] + c[k]) / 2.0);
            for (i, place) in places[columns].iter_mut().enumerate() {
                let u = i as f64 / STEP as f64;
                *place = [0, 1].map(|k| a[k] + u * (slope[k] + u * bend[k]));
            }
        }
    }

    /// The rows and columns between which all places lie, `None` without any place.
    pub fn reach(&self) -> Option<[[f64; 2]; 2]> {
        let mut reach: Option<[[f64; 2]; 2]> = None;
        let mut add = |p: Place| {
            if !p[0].is_nan() && !p[1].is_nan() {
                let [r, c] = reach.unwrap_or([[p[0]; 2], [p[1]; 2]]);
                reach = Some([[r[0].min(p[0]), r[1].max(p[0])], [c[0].min(p[1]), c[1].max(p[1])]]);
            }
        };
        for (square, exact) in self.exact.iter().enumerate() {
            match exact {
                Some(places) => places.iter().copied().for_each(&mut add),
                // Parabolas lie between the points that control them.
                None => {
                    let middle = |a: f64, b: f64, c: f64| [a, (4.0 * b - a - c) / 2.0, c];
                    let lines = [0, 1, 2].map(|r| {
                        let [a, b, c] = [0, 1, 2].map(|c| self.point(square, r, c));
                        let ([a0, b0, c0], [a1, b1, c1]) = (middle(a[0], b[0], c[0]), middle(a[1], b[1], c[1]));
                        [[a0, a1], [b0, b1], [c0, c1]]
                    });
                    let [first, second, third] = lines;
                    for ((a, b), c) in first.into_iter().zip(second).zip(third) {
                        let [rows, columns] = [0, 1].map(|k| middle(a[k], b[k], c[k]));
                        (0..3).for_each(|i| add([rows[i], columns[i]]));
                    }
                }
            }
        }
        reach
    }

    /// Cells that were computed one by one.
    #[cfg(test)]
    pub fn exact_cells(&self) -> usize {
        self.exact.iter().flatten().map(Vec::len).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crs::Crs;

    fn worst(rows: usize, columns: usize, place: impl Fn(f64, f64) -> Option<Place>) -> (f64, usize) {
        let lattice = Lattice::new(rows, columns, &place);
        let reach = lattice.reach();
        let mut row = vec![[0.0; 2]; columns];
        let mut worst: f64 = 0.0;
        for r in 0..rows {
            row.fill([f64::INFINITY; 2]);
            lattice.row(r, &mut row);
            for (c, got) in row.iter().enumerate() {
                let inside = |[low, high]: [f64; 2], at: f64| at >= low - 1e-9 && at <= high + 1e-9;
                assert!(got[0].is_nan() || reach.is_some_and(|[rows, columns]| inside(rows, got[0]) && inside(columns, got[1])));
                match place(r as f64, c as f64) {
                    Some(exact) => {
                        assert!(got.iter().all(|v| v.is_finite()), "{r} {c} {got:?}");
                        worst = worst.max((got[0] - exact[0]).abs()).max((got[1] - exact[1]).abs());
                    }
                    None => assert!(got[0].is_nan(), "{r} {c} {got:?}"),
                }
            }
        }
        (worst, lattice.exact_cells())
    }

    #[test]
    fn places_are_right_to_some_thousandths_of_a_cell() {
        // Target system, its upper left corner, its cell, source system, its corner and cell. Around a pole nothing is smooth.
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
            assert!(worst < 4e-3, "{number}: {worst} cells");
            assert_eq!(exact == 0, smooth, "{number}: {exact} cells one by one, {worst}");
        }
    }

    #[test]
    fn boxes_of_any_size() {
        for (rows, columns) in [(1, 1), (2, 17), (16, 33), (33, 34), (65, 64), (66, 97)] {
            let place = |r: f64, c: f64| (c < 70.0).then_some([r + 1.0, 2.0 * c]);
            let (worst, _) = worst(rows, columns, place);
            assert!(worst < 1e-12, "{rows} {columns}: {worst}");
        }
        let of = Lattice::new(3, 4, |r, c| Some([r, c]));
        assert!(of.reach().is_some_and(|[r, c]| r[0] == 0.0 && r[1] >= 2.0 && c[0] == 0.0 && c[1] >= 3.0));
        assert!(Lattice::new(3, 4, |_, _| None).reach().is_none());
    }

    #[test]
    fn a_parabola_turns_between_its_points() {
        let (worst, exact) = worst(40, 40, |r, c| Some([(c - 7.0) * (c - 7.0) + r, r - (c - 20.0) * (r - 5.0) / 8.0]));
        assert!(worst < 1e-9 && exact == 0, "{worst} {exact}");
    }
}
