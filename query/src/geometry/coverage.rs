//! How much of each cell a shape covers, exactly, and which cells it touches.
//!
//! Row by row, every edge adds the signed area between itself and the right end of the row to the cells it passes, and a full
//! height to those beyond; the sums are the areas of the polygon clipped by the cells. That is right for rings that do not
//! cross; those that do are first made into ones that do not, by the even-odd rule.

use std::collections::HashMap;

use datafusion::error::Result;
use geo::algorithm::bool_ops::{BooleanOps, OpType};
use geo::algorithm::kernels::{Kernel, Orientation, RobustKernel};
use geo::{Coord, LineString, MultiPolygon, Polygon, coord};
use rstar::{AABB, RTree, RTreeObject};

use super::grid::CellGrid;
use super::runs::CellRun;
use super::shape::{Line, Point, Shape, ring_edges, signed_area};

/// Fractions that rounding alone makes.
const NOTHING: f64 = 1e-12;

/// An edge from the lower to the upper end; `sign` is what a unit of its height adds to what lies right of it, 0 for lines.
#[derive(Debug, Clone, Copy)]
struct Edge {
    lower: Point,
    upper: Point,
    sign: f64,
}

/// Runs of cells (numbers in rising order of coordinates) that the shape touches, with the fraction of each that it covers:
/// sorted, without overlap. Boxes and shapes are closed: those that only share boundary points touch, with fraction 0.
pub(crate) fn touched(shape: &Shape, grid: &CellGrid) -> Result<Vec<CellRun>> {
    let Some([west, _, east, _]) = shape.bounds() else { return Ok(vec![]) };
    let simple = if shape.polygons.iter().any(|rings| crosses_itself(rings)) { even_odd(shape) } else { shape.clone() };
    let columns = Columns::new(grid);
    match rows(&simple, grid, &columns, west, east) {
        Some(runs) => Ok(runs),
        // Rings inside each other that are no holes, or holes outside: seen by sums that no area has.
        None => Ok(rows(&even_odd(shape), grid, &columns, west, east).unwrap_or_default()),
    }
}

/// The intervals between all bounds of cells along x.
struct Columns {
    /// Where they begin, and where the last one ends; rising.
    edges: Vec<f64>,
    /// By cell its first interval and the one after its last.
    spans: Vec<(usize, usize)>,
}

impl Columns {
    fn new(grid: &CellGrid) -> Columns {
        let mut edges: Vec<f64> = grid.x.low.iter().chain(&grid.x.high).copied().collect();
        edges.sort_by(f64::total_cmp);
        edges.dedup();
        let at = |v: &f64| edges.partition_point(|e| e < v);
        let spans = grid.x.low.iter().zip(&grid.x.high).map(|(low, high)| (at(low), at(high))).collect();
        Columns { edges, spans }
    }

    /// The intervals whose closed range meets `from..=to`.
    fn meeting(&self, from: f64, to: f64) -> std::ops::Range<usize> {
        let first = self.edges.partition_point(|e| *e < from).saturating_sub(1);
        let end = self.edges.partition_point(|e| *e <= to).min(self.edges.len().saturating_sub(1));
        let outside = self.edges.first().is_none_or(|e| to < *e) || self.edges.last().is_none_or(|e| from > *e);
        if outside { 0..0 } else { first..end.max(first) }
    }
}

/// Sums of one row.
struct Row<'a> {
    columns: &'a Columns,
    /// The intervals that are summed up.
    window: std::ops::Range<usize>,
    /// Area within each.
    area: Vec<f64>,
    /// Height that begins at each and goes on to the right end.
    height: Vec<f64>,
    touched: Vec<bool>,
}

impl Row<'_> {
    fn clear(&mut self) {
        self.area.fill(0.0);
        self.height.fill(0.0);
        self.touched.fill(false);
    }

    fn touch(&mut self, from: f64, to: f64) {
        let met = self.columns.meeting(from, to);
        let (first, end) = (met.start.max(self.window.start), met.end.min(self.window.end));
        if first < end {
            self.touched[first - self.window.start..end - self.window.start].fill(true);
        }
    }

    /// Adds an edge from x `a` to x `b` of a height; a full height for all that lies right of it.
    fn add(&mut self, a: f64, b: f64, height: f64) {
        let (a, b) = (a.min(b), a.max(b));
        let edges = &self.columns.edges[self.window.start..=self.window.end];
        let (Some(&first), Some(&last)) = (edges.first(), edges.last()) else { return };
        if a >= last {
            return;
        }
        if b <= first {
            self.height[0] += height;
            return;
        }
        let mut i = edges.partition_point(|e| *e <= a).saturating_sub(1);
        if a == b {
            self.area[i] += height * (edges[i + 1] - a);
            self.height[i + 1] += height;
            return;
        }
        let slope = height / (b - a);
        if a < first {
            self.height[0] += (first - a) * slope;
        }
        while i + 1 < edges.len() && edges[i] < b {
            let (from, to) = (a.max(edges[i]), b.min(edges[i + 1]));
            let part = (to - from) * slope;
            self.area[i] += part * (edges[i + 1] - (from + to) / 2.0);
            self.height[i + 1] += part;
            i += 1;
        }
    }
}

/// The cells that are touched and their fractions; `None` where sums are those of no area.
fn rows(shape: &Shape, grid: &CellGrid, columns: &Columns, west: f64, east: f64) -> Option<Vec<CellRun>> {
    // By cell, because turns may meet.
    let mut cells: HashMap<(u32, u32), f64> = HashMap::new();
    let turns = grid.turns(west, east);
    let once = turns.len() == 1;
    let mut runs: Vec<CellRun> = Vec::new();
    for turn in turns {
        let sound = one_turn(shape, turn, grid, columns, &mut |row, column, weight| {
            if once {
                push(&mut runs, row, column, weight);
            } else {
                let sum = cells.entry((row, column)).or_insert(0.0);
                *sum = (*sum + weight).min(1.0);
            }
        });
        if !sound {
            return None;
        }
    }
    let mut rest: Vec<_> = cells.into_iter().collect();
    rest.sort_unstable_by_key(|(cell, _)| *cell);
    rest.into_iter().for_each(|((row, column), weight)| push(&mut runs, row, column, weight));
    Some(runs)
}

/// Adds a cell that comes after all others.
fn push(runs: &mut Vec<CellRun>, row: u32, column: u32, weight: f64) {
    match runs.last_mut() {
        Some(last) if last.row == row && last.to == column && last.weight == weight => last.to += 1,
        _ => runs.push(CellRun { row, from: column, to: column + 1, weight }),
    }
}

/// Gives `found(row, column, fraction)` for every cell that the shape, turned, touches, in order. False where a sum is that of no area.
fn one_turn(shape: &Shape, turn: f64, grid: &CellGrid, columns: &Columns, found: &mut impl FnMut(u32, u32, f64)) -> bool {
    let turned = |p: &Point| [p[0] + turn, p[1]];
    let mut edges: Vec<Edge> = Vec::new();
    for rings in &shape.polygons {
        for (i, ring) in rings.iter().enumerate() {
            let outwards = if i == 0 { 1.0 } else { -1.0 };
            // Counterclockwise, the left edges go down: what lies right of them is inside.
            let sign = -outwards * signed_area(ring).signum();
            edges.extend(ring_edges(ring).map(|(a, b)| edge(turned(&a), turned(&b), sign)));
        }
    }
    for line in &shape.lines {
        edges.extend(line.windows(2).map(|w| edge(turned(&w[0]), turned(&w[1]), 0.0)));
    }
    edges.extend(shape.points.iter().map(|p| edge(turned(p), turned(p), 0.0)));
    let all = |pick: fn(&Edge) -> [f64; 2], join: fn(f64, f64) -> f64, start: f64| edges.iter().flat_map(pick).fold(start, join);
    let west = all(|e| [e.lower[0], e.upper[0]], f64::min, f64::INFINITY);
    let east = all(|e| [e.lower[0], e.upper[0]], f64::max, f64::NEG_INFINITY);
    let window = columns.meeting(west, east);
    if window.is_empty() {
        return true;
    }
    let (low, high) = (&grid.y.low, &grid.y.high);
    let mut begin: Vec<(usize, usize)> = Vec::with_capacity(edges.len());
    for (i, e) in edges.iter().enumerate() {
        begin.push((high.partition_point(|h| *h < e.lower[1]), i));
    }
    begin.sort_unstable();
    let cells: Vec<usize> = {
        let of = |(c, (a, b)): (usize, &(usize, usize))| (*b > window.start && *a < window.end).then_some(c);
        columns.spans.iter().enumerate().filter_map(of).collect()
    };
    let n = window.len();
    let mut row = Row { columns, window: window.clone(), area: vec![0.0; n], height: vec![0.0; n + 1], touched: vec![false; n] };
    let mut active: Vec<usize> = Vec::new();
    let mut next = 0;
    let mut sound = true;
    let Some(&(first, _)) = begin.first() else { return true };
    for r in first..low.len() {
        while let Some(&(_, i)) = begin.get(next).filter(|(at, _)| *at <= r) {
            active.push(i);
            next += 1;
        }
        active.retain(|&i| edges[i].upper[1] >= low[r]);
        if active.is_empty() {
            if next == begin.len() {
                break;
            }
            continue;
        }
        row.clear();
        for &i in &active {
            clip(&edges[i], low[r], high[r], &mut row);
        }
        let mut height = 0.0;
        for i in 0..n {
            height += row.height[i];
            row.area[i] += height * (columns.edges[window.start + i + 1] - columns.edges[window.start + i]);
        }
        for &c in &cells {
            let (from, to) = columns.spans[c];
            let (a, b) = (from.max(window.start) - window.start, to.min(window.end) - window.start);
            let size = (columns.edges[to] - columns.edges[from]) * (high[r] - low[r]);
            let fraction = if size > 0.0 { row.area[a..b].iter().sum::<f64>() / size } else { 0.0 };
            sound &= (-1e-6..=1.0 + 1e-6).contains(&fraction);
            if row.touched[a..b].contains(&true) {
                let fraction = if fraction < NOTHING { 0.0 } else { fraction.min(1.0) };
                found(r as u32, c as u32, fraction);
            } else if fraction > 0.5 {
                // No boundary in it: all of it is inside.
                found(r as u32, c as u32, 1.0);
            }
        }
    }
    sound
}

fn edge(a: Point, b: Point, sign: f64) -> Edge {
    if a[1] <= b[1] { Edge { lower: a, upper: b, sign } } else { Edge { lower: b, upper: a, sign: -sign } }
}

/// Adds the part of an edge that lies between two heights.
fn clip(edge: &Edge, low: f64, high: f64, row: &mut Row<'_>) {
    let Edge { lower, upper, sign } = *edge;
    if lower[1] > high || upper[1] < low {
        return;
    }
    let at = |y: f64| {
        let share = (y - lower[1]) / (upper[1] - lower[1]);
        lower[0] + share * (upper[0] - lower[0])
    };
    if lower[1] == upper[1] {
        return row.touch(lower[0].min(upper[0]), lower[0].max(upper[0]));
    }
    let (a, from) = if lower[1] < low { (at(low), low) } else { (lower[0], lower[1]) };
    let (b, to) = if upper[1] > high { (at(high), high) } else { (upper[0], upper[1]) };
    row.touch(a.min(b), a.max(b));
    if sign != 0.0 && to > from {
        row.add(a, b, (to - from) * sign);
    }
}

/// An edge in an index of edges.
struct Boxed {
    number: usize,
    a: Point,
    b: Point,
}

impl RTreeObject for Boxed {
    type Envelope = AABB<[f64; 2]>;

    fn envelope(&self) -> Self::Envelope {
        AABB::from_corners(self.a, self.b)
    }
}

/// True where two edges cross at a point inside both.
fn crosses_itself(rings: &[Line]) -> bool {
    let edges = rings.iter().flat_map(|ring| ring_edges(ring)).enumerate();
    let edges: Vec<Boxed> = edges.map(|(number, (a, b))| Boxed { number, a, b }).collect();
    let side = |p: Point, q: Point, r: Point| {
        let at = |p: Point| coord! { x: p[0], y: p[1] };
        RobustKernel::orient2d(at(p), at(q), at(r))
    };
    let opposite = |a: Orientation, b: Orientation| a != b && a != Orientation::Collinear && b != Orientation::Collinear;
    let tree = RTree::bulk_load(edges);
    tree.iter().any(|e| {
        tree.locate_in_envelope_intersecting(&e.envelope()).any(|o| {
            o.number > e.number && opposite(side(e.a, e.b, o.a), side(e.a, e.b, o.b)) && opposite(side(o.a, o.b, e.a), side(o.a, o.b, e.b))
        })
    })
}

/// The shape with each polygon made into ones whose rings do not cross, by the even-odd rule.
fn even_odd(shape: &Shape) -> Shape {
    let ring = |line: &Line| LineString(line.iter().map(|p| Coord { x: p[0], y: p[1] }).collect());
    let back = |line: &LineString| line.0.iter().map(|c| [c.x, c.y]).collect::<Line>();
    let mut polygons = Vec::new();
    for rings in &shape.polygons {
        // Every ring by itself, because the order of rings says nothing here.
        let each = MultiPolygon(rings.iter().map(|r| Polygon::new(ring(r), vec![])).collect());
        let none = MultiPolygon::<f64>(vec![]);
        let clean = each.boolean_op(&none, OpType::Union);
        polygons.extend(clean.0.iter().map(|p| std::iter::once(p.exterior()).chain(p.interiors()).map(back).collect::<Vec<Line>>()));
    }
    Shape { polygons, ..shape.clone() }
}
