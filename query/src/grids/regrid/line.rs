//! One axis of the source of a regridding: its cells in rising order, where a coordinate lies among them, and across the seam.

use std::f64::consts::PI;

/// Cells along an axis, rising. Numbers of cells go on across the seam of an axis that is periodic: cell -1 is the last.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    centres: Vec<f64>,
    edges: Vec<[f64; 2]>,
    /// True where the axis itself falls.
    pub falling: bool,
    /// Full turns: a longitude that goes round the globe.
    pub periodic: bool,
    /// Longitudes can be meant one turn away, too.
    turns: bool,
    /// Measures are sines, so that products with longitudes are areas on a sphere.
    pub latitude: bool,
}

/// What an axis is, as far as distances along it go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Degrees of latitude.
    Latitude,
    /// Degrees of longitude.
    Longitude,
    /// Anything else.
    Plain,
}

/// The edges of cells around rising or falling centres: halfway to the neighbours; the outer cells are as long to both sides.
/// `width` is the length of a single cell. Latitudes end at the poles.
pub(crate) fn edges_around(centres: &[f64], width: Option<f64>, kind: Kind) -> Option<Vec<[f64; 2]>> {
    let n = centres.len();
    if n < 2 {
        let half = width?.abs() / 2.0;
        return Some(centres.iter().map(|c| clamped([c - half, c + half], kind)).collect());
    }
    let between = |i: usize| (centres[i] + centres[i + 1]) / 2.0;
    let edges = (0..n).map(|i| {
        let low = if i == 0 { centres[0] - (centres[1] - centres[0]) / 2.0 } else { between(i - 1) };
        let high = if i + 1 == n { centres[i] + (centres[i] - centres[i - 1]) / 2.0 } else { between(i) };
        clamped([low.min(high), low.max(high)], kind)
    });
    Some(edges.collect())
}

fn clamped([low, high]: [f64; 2], kind: Kind) -> [f64; 2] {
    match kind {
        Kind::Latitude => [low.clamp(-90.0, 90.0), high.clamp(-90.0, 90.0)],
        _ => [low, high],
    }
}

impl Line {
    /// From coordinates in their own order, and the bounds of their cells where they are known. Errors say what is wrong.
    pub fn new(values: &[f64], bounds: Option<&[[f64; 2]]>, kind: Kind) -> Result<Line, String> {
        let falling = values.len() > 1 && values[0] > values[values.len() - 1];
        let mut centres = values.to_vec();
        let mut given = bounds.map(<[_]>::to_vec);
        if falling {
            centres.reverse();
            given.iter_mut().for_each(|b| b.reverse());
        }
        if centres.is_empty() {
            return Err("it has no cells here".into());
        }
        if centres.iter().any(|c| !c.is_finite()) || centres.windows(2).any(|w| w[0] >= w[1]) {
            return Err("its coordinates neither rise nor fall all the way".into());
        }
        let span = centres[centres.len() - 1] - centres[0];
        let widest = centres.windows(2).map(|w| w[1] - w[0]).fold(0.0, f64::max);
        let mut periodic = false;
        if kind == Kind::Longitude && centres.len() > 2 && span <= 360.0 + 1e-6 {
            if (span - 360.0).abs() <= 1e-6 {
                // The same meridian at both ends: it counts once.
                centres.pop();
                given.iter_mut().for_each(|b| b.truncate(centres.len()));
                periodic = true;
            } else {
                periodic = 360.0 - span <= 1.5 * widest;
            }
        }
        let n = centres.len();
        let sorted = given.map(|b| b.into_iter().map(|[a, b]| [a.min(b), a.max(b)]).collect::<Vec<_>>());
        let holds = |b: &Vec<[f64; 2]>| {
            let inside = b.len() == n && b.iter().zip(&centres).all(|(b, c)| b[0] <= *c && *c <= b[1] && b[0] < b[1]);
            inside && b.windows(2).all(|w| w[0][1] <= w[1][0] + 1e-6 * (w[1][1] - w[1][0]))
        };
        let edges = match sorted.filter(holds) {
            Some(edges) => edges,
            None => {
                let mut edges = edges_around(&centres, None, kind).ok_or("it has one cell here, and how long that is is not known")?;
                if periodic {
                    let seam = (centres[n - 1] - 360.0 + centres[0]) / 2.0;
                    edges[0][0] = seam;
                    edges[n - 1][1] = seam + 360.0;
                }
                edges
            }
        };
        Ok(Line { centres, edges, falling, periodic, turns: kind == Kind::Longitude, latitude: kind == Kind::Latitude })
    }

    /// Cells, each once.
    pub fn len(&self) -> usize {
        self.centres.len()
    }

    /// Where the cells begin and end.
    pub fn range(&self) -> [f64; 2] {
        [self.edges[0][0], self.edges[self.edges.len() - 1][1]]
    }

    /// The centre of a cell; of a periodic axis of any number.
    pub fn centre(&self, cell: i64) -> f64 {
        let n = self.len() as i64;
        self.centres[cell.rem_euclid(n) as usize] + 360.0 * cell.div_euclid(n) as f64
    }

    fn edge(&self, cell: i64) -> [f64; 2] {
        let n = self.len() as i64;
        let turn = 360.0 * cell.div_euclid(n) as f64;
        self.edges[cell.rem_euclid(n) as usize].map(|e| e + turn)
    }

    /// The coordinate as the axis has it, and the number of the first cell of its turn; `None` outside.
    fn turned(&self, x: f64) -> Option<(f64, i64)> {
        let [low, high] = self.range();
        if !x.is_finite() {
            return None;
        }
        if self.periodic {
            let turn = ((x - low) / 360.0).floor();
            return Some((x - 360.0 * turn, turn as i64 * self.len() as i64));
        }
        let slack = 1e-9 * (high - low);
        let turns: &[f64] = if self.turns { &[0.0, 360.0, -360.0] } else { &[0.0] };
        turns.iter().map(|t| x + t).find(|x| (low - slack..=high + slack).contains(x)).map(|x| (x, 0))
    }

    /// The cell that a coordinate lies in; on an edge that two share, the higher one.
    pub fn cell(&self, x: f64) -> Option<i64> {
        let (x, first) = self.turned(x)?;
        let at = self.edges.partition_point(|e| e[0] <= x).saturating_sub(1);
        let slack = 1e-9 * (self.edges[at][1] - self.edges[at][0]);
        (x <= self.edges[at][1] + slack).then_some(first + at as i64)
    }

    /// The cell whose centre is the last at or below a coordinate, and which part of the way to the next centre it lies. Between
    /// an outer centre and the edge of its cell that part is 0.
    pub fn between(&self, x: f64) -> Option<(i64, f64)> {
        self.cell(x)?;
        let (x, first) = self.turned(x)?;
        let n = self.len();
        let below = self.centres.partition_point(|c| *c <= x) as i64 - 1;
        if !self.periodic && (below < 0 || below + 1 == n as i64) {
            return Some((below.max(0), 0.0));
        }
        let (left, right) = (self.centre(below), self.centre(below + 1));
        Some((first + below, (x - left) / (right - left)))
    }

    /// The cells that meet an interval, first one and the measure of what each shares with it: lengths, or with `sphere` along
    /// latitudes differences of sines.
    pub fn overlaps(&self, [low, high]: [f64; 2], sphere: bool) -> Option<(i64, Vec<f64>)> {
        let measure = |from: f64, to: f64| match sphere && self.latitude {
            true => (to * PI / 180.0).sin() - (from * PI / 180.0).sin(),
            false => to - from,
        };
        let [begin, end] = self.range();
        let turns: Vec<f64> = match (self.periodic, self.turns) {
            (true, _) => vec![0.0],
            (_, true) => vec![0.0, 360.0, -360.0],
            _ => vec![0.0],
        };
        let shared = |turn: &f64| (high + turn).min(end) - (low + turn).max(begin);
        let turn = match self.periodic {
            true => 0.0,
            false => turns.into_iter().filter(|t| shared(t) > 0.0).max_by(|a, b| shared(a).total_cmp(&shared(b)))?,
        };
        let (low, high) = (low + turn, high + turn);
        let mut cell = match self.periodic {
            true => {
                let (x, first) = self.turned(low)?;
                first + self.edges.partition_point(|e| e[1] <= x) as i64
            }
            false => self.edges.partition_point(|e| e[1] <= low) as i64,
        };
        let first = cell;
        let mut found = Vec::new();
        while self.periodic || cell < self.len() as i64 {
            let [a, b] = self.edge(cell);
            if a >= high || found.len() > 4 * self.len() {
                break;
            }
            found.push(measure(a.max(low), b.min(high)).max(0.0));
            cell += 1;
        }
        (found.iter().sum::<f64>() > 0.0).then_some((first, found))
    }
}
