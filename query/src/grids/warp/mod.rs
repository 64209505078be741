//! `WARP`: a cube in another reference system. For a box of the target a `lattice` tells where its cells lie on the `ground` of
//! the source, that box of the source is read, and values are taken between its cells (`sample`) or averaged (`average`).

mod average;
mod ground;
mod lattice;
mod sample;

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float32Array, Float64Array, UInt32Array, new_null_array};
use datafusion::arrow::buffer::{BooleanBuffer, NullBuffer};
use datafusion::arrow::compute;
use datafusion::arrow::datatypes::{DataType, Float32Type, Float64Type};
use datafusion::common::{internal_err, plan_err};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::LogicalPlan;
use graticule_storage::array::{Attributes, Axis, AxisRole, Coordinates};
use graticule_storage::catalog::{Cube, CubeVariable};
use graticule_storage::read::{Estimate, Reader, Tile, TileMetrics, TileRequest};

use self::average::{Covers, reach};
use self::ground::Ground;
use self::lattice::{Lattice, Place};
use self::sample::{Frame, Planes, nearest, sample};
use super::leaf::Leaf;
use super::regrid::{Method, Real};
use super::{derived, lines};
use crate::crs::Crs;
use crate::dense::stream::on_cpu;
use crate::dense::supply::{Fetched, Supply};
use crate::view::View;

/// Cells of a target tile, and of the source's box for it along each side, that should not be exceeded much.
const TILE_CELLS: u64 = 1 << 20;
const SIDE: f64 = 1024.0;
/// Cells of the target at most along a side.
const MOST: f64 = (1u64 << 22) as f64;
/// A part of a cell by which a point may miss itself on its way to the source and back.
const BACK: f64 = 0.01;
/// The same at least, in metres and in degrees: shifts between datums lose the height, and with it some millimetres.
const LEAST_BACK: [f64; 2] = [0.01, 1e-7];
/// Cells of a periodic source that are seen twice, on either side of its seam.
const SEAM: u64 = 2;

/// What WARP was asked for.
pub(crate) struct Wanted {
    /// The target's reference system.
    pub crs: Crs,
    /// The same as written.
    pub text: String,
    /// Side of a cell, in its units.
    pub resolution: f64,
    /// How values between cells are found.
    pub method: Method,
    /// West, south, east, north; without them those of the source, to whole cells.
    pub bounds: Option<[f64; 4]>,
}

/// The grid of the target: north up, cells as areas.
#[derive(Debug, Clone)]
struct Map {
    ground: Ground,
    crs: Crs,
    /// West and north edge.
    corner: [f64; 2],
    /// Side of a cell.
    side: f64,
    /// Columns by which cells of the source are moved, because some are seen twice.
    seam: f64,
}

impl Map {
    /// Where a cell of the target, or a place between cells, lies in the source.
    fn place(&self, row: f64, column: f64) -> Option<Place> {
        let (x, y) = (self.corner[0] + (column + 0.5) * self.side, self.corner[1] - (row + 0.5) * self.side);
        let [metres, degrees] = LEAST_BACK;
        let near = (BACK * self.side).max(if self.crs.geographic { degrees } else { metres });
        let [row, column] = self.ground.place(&self.crs, x, y, near)?;
        Some([row, column + self.seam])
    }

    /// The places of the centres of a box of cells; of the corners of the cells for `Average`, a row and a column more.
    fn lattice(&self, rows: &Range<u64>, columns: &Range<u64>, method: Method) -> Lattice {
        let (more, by) = if method == Method::Average { (1, -0.5) } else { (0, 0.0) };
        let (top, left) = (rows.start as f64 + by, columns.start as f64 + by);
        let count = |of: &Range<u64>| (of.end - of.start) as usize + more;
        Lattice::new(count(rows), count(columns), |r, c| self.place(top + r, left + c))
    }
}

/// The cube in another reference system. Errors are sentences for the user.
pub(crate) fn plan(leaf: &Leaf, wanted: &Wanted, variables: Option<&[String]>) -> Result<LogicalPlan> {
    let source = &leaf.view.cube;
    let mut axes: Vec<Axis> = (0..source.grid.axes.len()).map(|a| leaf.axis(a)).collect();
    let (crs, side) = (wanted.crs.clone(), wanted.resolution);
    let ground = Ground::new(source, &axes).map_err(DataFusionError::Plan)?;
    let [west, south, east, north] = match wanted.bounds {
        Some(bounds) => bounds,
        None => whole_cells(ground.bounds(&crs).map_err(DataFusionError::Plan)?, side, crs.geographic),
    };
    let count = |length: f64| (length / side - 1e-6).ceil().max(1.0);
    let (columns, rows) = (count(east - west), count(north - south));
    if columns > MOST || rows > MOST || rows * columns > 1e13 {
        return plan_err!("WARP would make {rows} by {columns} cells of {side} {}; give a larger resolution or smaller bounds", crs.unit());
    }
    let [y, x] = ground.axes;
    let mut view = leaf.view.as_ref().clone();
    let mut seam = 0;
    if ground.scales[1].periodic && wanted.method != Method::Average {
        let n = ground.scales[1].len() as u64;
        seam = SEAM.min(n);
        let positions: Vec<u64> = (n - seam..n).chain(0..n).chain(0..seam).collect();
        view = view.select(x, &positions, None, false)?;
    }
    let map = Map { ground, crs, corner: [west, north], side, seam: seam as f64 };
    let fixed: Vec<bool> = view.axes.iter().enumerate().map(|(a, seen)| seen.fixed && a != y && a != x).collect();
    let note = format!(", warp={} to {} [{rows} by {columns} cells of {side}]", wanted.method.name(), map.crs.name());
    axes[y] = axis(&axes[y].name, &map, rows as u64, false);
    axes[x] = axis(&axes[x].name, &map, columns as u64, true);
    let leaf = Leaf { view: Arc::new(view), supply: leaf.supply.clone() };
    // Where the target leaves the source, variables of fewer axes have no values, either.
    let axes_of = |v: &CubeVariable| (0..axes.len()).filter(|a| v.axes.contains(a) || *a == y || *a == x).collect::<Vec<_>>();
    let kept = |v: &CubeVariable| variables.is_none_or(|names| names.contains(&v.name));
    let numbers: Vec<usize> = (0..source.variables.len()).filter(|&v| kept(&source.variables[v])).collect();
    let mixed = wanted.method != Method::Nearest;
    let made = numbers.iter().map(|&v| leaf.variable(v, axes_of(&source.variables[v]), mixed)).collect();
    let cuts = cuts(&leaf, &map, [rows as u64, columns as u64]);
    let cube = derived::cube(&source.name, axes, Some(wanted.text.clone()), made, source.attributes.clone());
    let mut view = View::derived(cube, cuts);
    for (axis, _) in fixed.iter().enumerate().filter(|(_, fixed)| **fixed) {
        let all: Vec<u64> = (0..view.axes[axis].len()).collect();
        view = view.select(axis, &all, None, true)?;
    }
    derived::scan(view, Arc::new(Warp { leaf, map: Arc::new(map), method: wanted.method, numbers: numbers.into(), note }))
}

/// Bounds moved outwards to whole cells; of degrees no further than the poles.
fn whole_cells([west, south, east, north]: [f64; 4], side: f64, geographic: bool) -> [f64; 4] {
    let (down, up) = (|v: f64| (v / side + 1e-6).floor() * side, |v: f64| (v / side - 1e-6).ceil() * side);
    let pole = |v: f64| if geographic { v.clamp(-90.0, 90.0) } else { v };
    [down(west), pole(down(south)), up(east), pole(up(north))]
}

/// An axis of the target, under the name that it has in the source: that is how queries and `DIMS` know it.
fn axis(name: &str, map: &Map, cells: u64, across: bool) -> Axis {
    let (from, half) = if across { (map.corner[0], map.side / 2.0) } else { (map.corner[1], -map.side / 2.0) };
    let centre = |i: u64| lines::coordinate(from, half, 2 * i + 1);
    let (role, units) = match (map.crs.geographic, across) {
        (true, true) => (AxisRole::Longitude, "degrees_east"),
        (true, false) => (AxisRole::Latitude, "degrees_north"),
        (false, true) => (AxisRole::X, map.crs.unit()),
        (false, false) => (AxisRole::Y, map.crs.unit()),
    };
    // Of several cells the edges lie halfway between them.
    let bounds = (cells == 1).then(|| vec![[from.min(from + 2.0 * half), from.max(from + 2.0 * half)]]);
    Axis {
        name: name.to_string(),
        role,
        coordinates: Coordinates::Float64((0..cells).map(centre).collect()),
        bounds,
        units: Some(units.to_string()),
        calendar: None,
        attributes: Attributes::default(),
    }
}

/// Where tiles of the target begin: as many cells as the source's box for them allows.
fn cuts(leaf: &Leaf, map: &Map, size: [u64; 2]) -> Vec<Vec<u64>> {
    let mut cuts = leaf.cuts();
    let [y, x] = map.ground.axes;
    let others: u64 = (cuts.iter().enumerate().filter(|(a, _)| *a != y && *a != x))
        .map(|(_, cuts)| cuts.windows(2).map(|w| w[1] - w[0]).max().unwrap_or(1))
        .fold(1, u64::saturating_mul);
    // Cells of the source that lie beside each other in the target, where that is most.
    let mut most: f64 = 0.0;
    for i in 0..=8 {
        for j in 0..=8 {
            let (r, c) = (size[0] as f64 * f64::from(i) / 8.0, size[1] as f64 * f64::from(j) / 8.0);
            if let (Some(a), Some(b), Some(d)) = (map.place(r, c), map.place(r + 1.0, c), map.place(r, c + 1.0)) {
                let apart = (a[0] - b[0]).abs().max((a[1] - b[1]).abs()).max((a[0] - d[0]).abs()).max((a[1] - d[1]).abs());
                // Across a seam neighbours seem far apart.
                most = if apart < map.ground.scales[1].len() as f64 / 2.0 { most.max(apart) } else { most };
            }
        }
    }
    let fair = (TILE_CELLS as f64 / others as f64).sqrt().max(64.0);
    let side = (SIDE / most.max(1e-9)).clamp(1.0, SIDE).min(fair) as u64;
    for (axis, n) in [(y, size[0]), (x, size[1])] {
        cuts[axis] = (0..n).step_by(side.max(1) as usize).chain([n]).collect();
    }
    cuts
}

/// Values in another reference system.
#[derive(Debug)]
struct Warp {
    leaf: Leaf,
    map: Arc<Map>,
    method: Method,
    /// The source's number of each variable.
    numbers: Arc<[usize]>,
    note: String,
}

impl Warp {
    fn variables(&self, request: &TileRequest) -> Vec<usize> {
        request.variables.iter().filter_map(|&v| self.numbers.get(v).copied()).collect()
    }

    /// The box of the source for places in this reach; `None` outside.
    fn source(&self, request: &TileRequest, reach: Option<[[f64; 2]; 2]>) -> Option<Vec<Range<u64>>> {
        let reach = reach?;
        let mut ranges = request.extent.ranges().to_vec();
        for (&axis, [low, high]) in self.map.ground.axes.iter().zip(reach) {
            let n = self.leaf.view.axes[axis].len();
            if high < -0.5 || low > n as f64 - 0.5 {
                return None;
            }
            // Cubic values take two cells to either side.
            let first = (low.max(0.0).floor() as u64).min(n - 1).saturating_sub(2);
            ranges[axis] = first..(high.max(0.0).ceil() as u64).saturating_add(3).min(n);
        }
        Some(ranges)
    }

    /// About the same, from a few places of the box.
    fn roughly(&self, request: &TileRequest) -> Option<TileRequest> {
        let [rows, columns] = self.map.ground.axes.map(|a| request.extent.range(a));
        let at = |r: &Range<u64>, i: u64| r.start as f64 - 0.5 + (r.end - r.start) as f64 * i as f64 / 8.0;
        let places = (0..9).flat_map(|i| (0..9).map(move |j| (i, j))).filter_map(|(i, j)| self.map.place(at(&rows, i), at(&columns, j)));
        let reach = places.fold(None, |reach: Option<[[f64; 2]; 2]>, p| {
            let [r, c] = reach.unwrap_or([[p[0]; 2], [p[1]; 2]]);
            Some([[r[0].min(p[0]), r[1].max(p[0])], [c[0].min(p[1]), c[1].max(p[1])]])
        });
        // Places on both sides of a seam take all that lies between.
        let seam = |[rows, columns]: [[f64; 2]; 2]| match self.map.ground.scales[1].turn {
            Some(turn) if columns[1] - columns[0] > turn / 2.0 => [rows, [0.0, self.leaf.view.axes[self.map.ground.axes[1]].len() as f64]],
            _ => [rows, columns],
        };
        Some(self.leaf.request_of(&self.source(request, reach.map(seam))?, &self.variables(request)))
    }

    fn check(&self, cube: &Cube, variables: &[usize]) -> Result<()> {
        let float = |v: &CubeVariable| matches!(v.arrow_type(), DataType::Float32 | DataType::Float64);
        let bad = variables.iter().filter_map(|&v| cube.variables.get(v)).find(|v| !float(v));
        match bad.filter(|_| self.method != Method::Nearest) {
            Some(v) => plan_err!(
                "{} is no number, so WARP cannot compute it by method => '{}'; use method => 'nearest', or do not select it",
                v.name,
                self.method.name()
            ),
            None => Ok(()),
        }
    }
}

#[async_trait]
impl Supply for Warp {
    async fn fetch(&self, cube: &Arc<Cube>, request: TileRequest) -> Result<Fetched> {
        self.check(cube, &request.variables)?;
        let types: Vec<DataType> = request.variables.iter().filter_map(|&v| cube.variables.get(v)).map(|v| v.arrow_type()).collect();
        let axes = self.map.ground.axes;
        let [rows, columns] = axes.map(|a| request.extent.range(a));
        let map = self.map.clone();
        let method = self.method;
        let work = move || {
            let lattice = map.lattice(&rows, &columns, method);
            let target = [rows, columns].map(|r| (r.end - r.start) as usize);
            let scales = &map.ground.scales;
            let within = match method {
                Method::Average => reach(&lattice, target, [scales[0].len(), scales[1].len()], scales[1].turn),
                _ => lattice.reach(),
            };
            Ok((lattice, within))
        };
        let (lattice, within) = on_cpu(self.reader(), work).await?;
        let variables = self.variables(&request);
        let Some(ranges) = self.source(&request, within).filter(|_| !variables.is_empty()) else {
            return Ok(Box::new(move || {
                let columns = types.iter().map(|t| new_null_array(t, request.extent.cells() as usize)).collect();
                Ok(Tile { extent: request.extent, columns, metrics: TileMetrics::default() })
            }));
        };
        let pending = self.leaf.fetch(ranges.clone(), variables).await?;
        let size = axes.map(|a| self.leaf.view.axes[a].len() as usize);
        let turn = self.map.ground.scales[1].turn;
        Ok(Box::new(move || {
            let (values, metrics) = pending()?;
            let begin = std::time::Instant::now();
            let shape = |ranges: &[Range<u64>]| ranges.iter().map(|r| (r.end - r.start) as usize).collect::<Vec<usize>>();
            let (from, into) = (shape(&ranges), shape(request.extent.ranges()));
            let (steps, strides) = (strides(&from), strides(&into));
            let frame = Frame { size, origin: axes.map(|a| ranges[a].start as usize), strides: axes.map(|a| steps[a]) };
            let mut starts = vec![(0, 0)];
            for d in (0..into.len()).filter(|d| !axes.contains(d)) {
                starts = starts
                    .iter()
                    .flat_map(|&(s, t)| (0..into[d]).map(move |i| (s, t, i)))
                    .map(|(s, t, i)| (s + i * steps[d], t + i * strides[d]))
                    .collect();
            }
            let planes = Planes { starts: &starts, size: axes.map(|a| into[a]), strides: axes.map(|a| strides[a]) };
            let covers = (method == Method::Average).then(|| Covers::new(&frame, &lattice, planes.size, turn));
            let how = How { frame: &frame, lattice: &lattice, planes: &planes, method, covers: covers.as_ref() };
            let one = |(values, of): (ArrayRef, &DataType)| warped(&values, of, &how);
            let columns = values.into_iter().zip(&types).map(one).collect::<Result<Vec<_>>>()?;
            let decode_nanos = metrics.decode_nanos + begin.elapsed().as_nanos() as u64;
            Ok(Tile { extent: request.extent, columns, metrics: TileMetrics { decode_nanos, ..metrics } })
        }))
    }

    fn reader(&self) -> &Reader {
        self.leaf.supply.reader()
    }

    fn estimate(&self, _: &Arc<Cube>, requests: &[TileRequest]) -> Result<Estimate> {
        let below: Vec<TileRequest> = requests.iter().filter_map(|r| self.roughly(r)).collect();
        self.leaf.supply.estimate(&self.leaf.view.cube, &below)
    }

    fn stored_bytes(&self, _: &Arc<Cube>, variables: &[usize]) -> u64 {
        let below: Vec<usize> = variables.iter().filter_map(|&v| self.numbers.get(v).copied()).collect();
        self.leaf.supply.stored_bytes(&self.leaf.view.cube, &below)
    }

    fn working_bytes(&self, _: &Arc<Cube>, request: &TileRequest) -> usize {
        let Some(below) = self.roughly(request) else { return 0 };
        // What is read, a copy of it, and of one variable at a time the values as floats and which are missing. Of the target
        // places that are computed one by one, the cells that are taken, and which values there are.
        let own = (below.extent.cells() as usize).saturating_mul(2 * self.leaf.width(&self.variables(request)) + 9);
        let own = own.saturating_add((request.extent.cells() as usize).saturating_mul(25));
        // Which cells are averaged, and their parts.
        let pairs = if self.method == Method::Average { (below.extent.cells() + 4 * request.extent.cells()) as usize } else { 0 };
        let own = own.saturating_add(pairs.saturating_mul(8));
        own.saturating_add(self.leaf.supply.working_bytes(&self.leaf.view.cube, &below))
    }

    fn describe(&self) -> String {
        self.note.clone() + &self.leaf.supply.describe()
    }
}

/// Values from one cell to the next along each axis of a box, C order.
fn strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for d in (1..shape.len()).rev() {
        strides[d - 1] = strides[d] * shape[d];
    }
    strides
}

/// What values are made with.
struct How<'a> {
    frame: &'a Frame,
    lattice: &'a Lattice,
    planes: &'a Planes<'a>,
    method: Method,
    covers: Option<&'a Covers>,
}

impl How<'_> {
    fn values<T: Real>(&self, values: &[T], valid: Option<&[bool]>) -> (Vec<T>, Option<NullBuffer>) {
        let (made, found) = match self.covers {
            Some(covers) => covers.means(values, valid, self.planes),
            None => sample(values, valid, self.frame, self.lattice, self.planes, self.method),
        };
        (made, found.map(|found| NullBuffer::new(BooleanBuffer::from(found))))
    }
}

fn warped(values: &ArrayRef, of: &DataType, how: &How<'_>) -> Result<ArrayRef> {
    if how.method == Method::Nearest {
        let cells = nearest(how.frame, how.lattice, how.planes);
        let taken = compute::take(values, &UInt32Array::from(cells.iter().map(|c| c.unwrap_or(0)).collect::<Vec<_>>()), None)?;
        let absent: BooleanArray = cells.iter().map(|c| Some(c.is_none())).collect();
        return Ok(if absent.true_count() == 0 { taken } else { compute::nullif(&taken, &absent)? });
    }
    let values = if values.data_type() == of { values.clone() } else { compute::cast(values, of)? };
    let valid: Option<Vec<bool>> = values.nulls().filter(|n| n.null_count() > 0).map(|nulls| nulls.iter().collect());
    if let Some(single) = values.as_primitive_opt::<Float32Type>() {
        let (made, nulls) = how.values(single.values(), valid.as_deref());
        return Ok(Arc::new(Float32Array::new(made.into(), nulls)));
    }
    match values.as_primitive_opt::<Float64Type>() {
        Some(double) => {
            let (made, nulls) = how.values(double.values(), valid.as_deref());
            Ok(Arc::new(Float64Array::new(made.into(), nulls)))
        }
        None => internal_err!("values of {} are no numbers", values.data_type()),
    }
}
