//! The ground that a cube covers: its two horizontal axes and their reference system, from coordinates to cells and back, and
//! the bounds of it in another system.

use graticule_storage::array::{Axis, AxisRole, Grid};

use super::crs::Crs;
use super::lattice::Place;

/// Points along each side at which the ground is projected to find its bounds.
const POINTS: usize = 41;
/// A part of a step by which coordinates may miss even steps.
const EVEN: f64 = 1e-3;

/// Cells along one axis, in its own order. 0 is the centre of the first cell.
#[derive(Debug, Clone)]
pub(crate) struct Scale {
    centres: Vec<f64>,
    /// The distance from one centre to the next, where it is the same everywhere.
    step: Option<f64>,
    /// Goes round the globe.
    pub periodic: bool,
    turns: bool,
}

impl Scale {
    fn new(axis: &Axis) -> Result<Scale, String> {
        let wrong = |what: &str| Err(format!("axis {}: {what}", axis.name));
        let Some(centres) = axis.coordinates.to_f64() else { return wrong("it has labels, and WARP wants coordinates") };
        if centres.len() < 2 {
            return wrong("it has one cell here, and WARP wants two at least; give a range");
        }
        let rises = centres[1] > centres[0];
        if centres.iter().any(|c| !c.is_finite()) || centres.windows(2).any(|w| (w[1] > w[0]) != rises || w[0] == w[1]) {
            return wrong("its coordinates neither rise nor fall all the way");
        }
        let n = centres.len();
        let step = (centres[n - 1] - centres[0]) / (n - 1) as f64;
        let even = centres.iter().enumerate().all(|(i, c)| (centres[0] + i as f64 * step - c).abs() <= EVEN * step.abs());
        let turns = axis.role == AxisRole::Longitude;
        let periodic = turns && even && (step.abs() * n as f64 - 360.0).abs() < 0.5 * step.abs();
        Ok(Scale { step: even.then_some(step), centres, periodic, turns })
    }

    /// Cells.
    pub fn len(&self) -> usize {
        self.centres.len()
    }

    /// The cell that a coordinate lies in, and how far from its centre.
    fn cell(&self, x: f64) -> f64 {
        let last = self.len() - 1;
        if let Some(step) = self.step {
            let x = if self.turns { self.turned(x) } else { x };
            return (x - self.centres[0]) / step;
        }
        let rises = self.centres[1] > self.centres[0];
        let below = self.centres.partition_point(|c| (*c <= x) == rises || *c == x).clamp(1, last) - 1;
        below as f64 + (x - self.centres[below]) / (self.centres[below + 1] - self.centres[below])
    }

    /// A longitude less or more full turns, so that it lies no more than half a turn from the middle of the axis.
    fn turned(&self, x: f64) -> f64 {
        let low = (self.centres[0] + self.centres[self.len() - 1]) / 2.0 - 180.0;
        x - 360.0 * ((x - low) / 360.0).floor()
    }

    /// The coordinate at a place, that may lie between cells or beyond.
    fn coordinate(&self, place: f64) -> f64 {
        let below = (place.floor().max(0.0) as usize).min(self.len() - 2);
        self.centres[below] + (place - below as f64) * (self.centres[below + 1] - self.centres[below])
    }
}

/// Two horizontal axes.
#[derive(Debug, Clone)]
pub(crate) struct Ground {
    /// Positions in the grid: of rows and of columns.
    pub axes: [usize; 2],
    /// Cells along rows and columns.
    pub scales: [Scale; 2],
    /// What they refer to.
    pub crs: Crs,
}

impl Ground {
    /// Of a cube whose axes are seen like this. Errors say what it lacks.
    pub fn new(name: &str, grid: &Grid, axes: &[Axis]) -> Result<Ground, String> {
        let of = |roles: [AxisRole; 2]| axes.iter().position(|a| roles.contains(&a.role));
        let (Some(y), Some(x)) = (of([AxisRole::Y, AxisRole::Latitude]), of([AxisRole::X, AxisRole::Longitude])) else {
            let names: Vec<&str> = axes.iter().map(|a| a.name.as_str()).collect();
            return Err(format!(
                "WARP wants two horizontal axes (y and x, or latitude and longitude), and {name} has: {}",
                names.join(", ")
            ));
        };
        let globe = axes[y].role == AxisRole::Latitude && axes[x].role == AxisRole::Longitude;
        let crs = match &grid.crs {
            Some(crs) => Crs::read(crs)?,
            None if globe => Crs::read("EPSG:4326")?,
            None => return Err(format!("{name} has no CRS; make it with CREATE CUBE ... CRS 'EPSG:...'")),
        };
        if crs.geographic != globe && axes[y].role == AxisRole::Latitude {
            return Err(format!("{name} has degrees along {} and {}, and its CRS has none", axes[y].name, axes[x].name));
        }
        Ok(Ground { axes: [y, x], scales: [Scale::new(&axes[y])?, Scale::new(&axes[x])?], crs })
    }

    /// The place of a point of another system.
    pub fn place(&self, from: &Crs, x: f64, y: f64) -> Option<Place> {
        let (x, y) = from.project(&self.crs, x, y)?;
        Some([self.scales[0].cell(y), self.scales[1].cell(x)])
    }

    /// West, south, east and north of it in another system: of its cells' edges, and of points in between.
    pub fn bounds(&self, to: &Crs) -> Option<[f64; 4]> {
        let along = |s: &Scale| {
            let last = s.len() as f64 - 0.5;
            (0..POINTS).map(|i| s.coordinate(-0.5 + (last + 0.5) * i as f64 / (POINTS - 1) as f64)).collect::<Vec<f64>>()
        };
        let (ys, xs) = (along(&self.scales[0]), along(&self.scales[1]));
        let clamped = |y: f64| if self.crs.geographic { y.clamp(-90.0, 90.0) } else { y };
        let points = ys.iter().flat_map(|&y| xs.iter().map(move |&x| (x, y)));
        let projected = points.filter_map(|(x, y)| self.crs.project(to, x, clamped(y)));
        projected.fold(None, |bounds: Option<[f64; 4]>, (x, y)| {
            let [west, south, east, north] = bounds.unwrap_or([x, y, x, y]);
            Some([west.min(x), south.min(y), east.max(x), north.max(y)])
        })
    }
}
