//! The ground that a cube covers: its two horizontal axes and their reference system, from coordinates to cells and back, and
//! the bounds of it in another system.

use graticule_storage::array::{Axis, AxisRole, Coordinates};
use graticule_storage::catalog::Cube;

use super::lattice::Place;
use crate::crs::Crs;
use crate::located::is_located;

/// Points along each side at which the ground is projected to find its bounds.
const POINTS: usize = 41;
/// Halvings that find where the other system ends.
const BISECTIONS: usize = 20;
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
    /// Of longitudes: how many cells a full turn is.
    pub turn: Option<f64>,
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
        // Numbers of single precision miss by their rounding.
        let single = if matches!(axis.coordinates, Coordinates::Float32(_)) { f64::from(f32::EPSILON) } else { 0.0 };
        let even = |(i, c): (usize, &f64)| (centres[0] + i as f64 * step - c).abs() <= EVEN * step.abs() + single * c.abs();
        let even = centres.iter().enumerate().all(even);
        let turn = (axis.role == AxisRole::Longitude).then_some(360.0 / step.abs());
        let periodic = even && turn.is_some_and(|turn| (n as f64 - turn).abs() < 0.5);
        Ok(Scale { step: even.then_some(step), centres, periodic, turn })
    }

    /// Cells.
    pub fn len(&self) -> usize {
        self.centres.len()
    }

    /// The cell that a coordinate lies in, and how far from its centre.
    fn cell(&self, x: f64) -> f64 {
        let x = if self.turn.is_some() { self.turned(x) } else { x };
        if let Some(step) = self.step {
            return (x - self.centres[0]) / step;
        }
        let last = self.len() - 1;
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
    name: String,
    /// Names of the axes.
    names: [String; 2],
}

impl Ground {
    /// Of a cube whose axes are seen like this. Errors say what it lacks.
    pub fn new(cube: &Cube, axes: &[Axis]) -> Result<Ground, String> {
        let name = &cube.name;
        let located: Vec<&str> = cube.variables.iter().filter(|v| is_located(v)).map(|v| v.name.as_str()).collect();
        let of = |roles: [AxisRole; 2]| axes.iter().position(|a| roles.contains(&a.role));
        let found = (of([AxisRole::Y, AxisRole::Latitude]), of([AxisRole::X, AxisRole::Longitude]));
        let counted = |a: Option<usize>| a.is_none_or(|a| matches!(axes[a].coordinates, Coordinates::Index(_)));
        if !located.is_empty() && (counted(found.0) || counted(found.1)) {
            return Err(format!(
                "WARP wants coordinates along axes, and those of {name} ({}) lie along two axes each; select cells of it by them, as {name}[{}(40:50)]",
                located.join(", "),
                located[0]
            ));
        }
        let (Some(y), Some(x)) = found else {
            let names: Vec<&str> = axes.iter().map(|a| a.name.as_str()).collect();
            return Err(format!(
                "WARP wants two horizontal axes (y and x, or latitude and longitude), and {name} has: {}",
                names.join(", ")
            ));
        };
        let globe = axes[y].role == AxisRole::Latitude && axes[x].role == AxisRole::Longitude;
        let crs = match &cube.grid.crs {
            Some(crs) => Crs::read(crs)?,
            None if globe => Crs::read("EPSG:4326")?,
            None => {
                return Err(format!(
                    "{name} has no coordinate reference system, so WARP cannot tell where it lies: CREATE OR REPLACE CUBE ... CRS 'EPSG:...' tells it"
                ));
            }
        };
        if crs.geographic != globe && axes[y].role == AxisRole::Latitude {
            return Err(format!(
                "{name} has degrees along {} and {}, and its coordinate reference system {} has none",
                axes[y].name,
                axes[x].name,
                crs.name()
            ));
        }
        let names = [axes[y].name.clone(), axes[x].name.clone()];
        Ok(Ground { axes: [y, x], scales: [Scale::new(&axes[y])?, Scale::new(&axes[x])?], crs, name: name.clone(), names })
    }

    /// The place of a point of another system, which need not lie inside. `None` for a point that does not come back from here: it
    /// lies outside of what that system can show. `near` is how far it may miss.
    pub fn place(&self, from: &Crs, x: f64, y: f64, near: f64) -> Option<Place> {
        let (east, north) = from.project(&self.crs, x, y)?;
        let (back, up) = self.crs.project(from, east, north)?;
        let mut off = (back - x).abs();
        if from.geographic {
            // Full turns are the same place, and a pole has every longitude.
            off = if y.abs() > 90.0 - near { 0.0 } else { (off - 360.0 * (off / 360.0).round()).abs() };
        }
        (off <= near && (up - y).abs() <= near).then(|| [self.scales[0].cell(north), self.scales[1].cell(east)])
    }

    fn holds(&self, place: Place) -> bool {
        (0..2).all(|k| place[k] >= -0.5 && place[k] <= self.scales[k].len() as f64 - 0.5)
    }

    /// West, south, east and north of it in another system: of its cells' edges, and of points in between. An error says which
    /// part of a geographic source the other system cannot show.
    pub fn bounds(&self, to: &Crs) -> Result<[f64; 4], String> {
        let clamped = |y: f64| if self.crs.geographic { y.clamp(-90.0, 90.0) } else { y };
        let at = |row: f64, column: f64| (self.scales[1].coordinate(column), clamped(self.scales[0].coordinate(row)));
        let near = 0.01 * self.scales.iter().map(|s| (s.coordinate(1.0) - s.coordinate(0.0)).abs()).fold(f64::INFINITY, f64::min);
        let project = |row: f64, column: f64| {
            let (x, y) = at(row, column);
            let (px, py) = self.crs.project(to, x, y)?;
            // Points beside the map of a projection (corners around a globe) have places that they do not come back from.
            if !self.crs.geographic {
                let (back, up) = to.project(&self.crs, px, py)?;
                if (back - x).abs().max((up - y).abs()) > near {
                    return None;
                }
            }
            // Longitudes of a geographic source go on across the seam of the other.
            Some((if self.crs.geographic && to.geographic { px - 360.0 * ((px - x) / 360.0).round() } else { px }, py))
        };
        let along = |s: &Scale| (0..POINTS).map(|i| -0.5 + s.len() as f64 * i as f64 / (POINTS - 1) as f64).collect::<Vec<f64>>();
        let (rows, columns) = (along(&self.scales[0]), along(&self.scales[1]));
        let mut found: Vec<(f64, f64)> = Vec::new();
        for (i, &row) in rows.iter().enumerate() {
            for (j, &column) in columns.iter().enumerate() {
                let Some(point) = project(row, column) else {
                    if self.crs.geographic {
                        let (x, y) = at(row, column);
                        return Err(format!(
                            "the point {x}, {y} of {} has no place in {}, so its bounds there are not known: give bounds => [west, south, east, north] \
                             in units of {}, or a subset, as WARP({}[{}(-80:80)], ...)",
                            self.name,
                            to.name(),
                            to.name(),
                            self.name,
                            self.names[0]
                        ));
                    }
                    continue;
                };
                found.push(point);
                // Beside points that have no place (the rim of the globe seen from a satellite): as far as there is one.
                let beside = [(i.wrapping_sub(1), j), (i + 1, j), (i, j.wrapping_sub(1)), (i, j + 1)];
                for (r, c) in beside.into_iter().filter_map(|(i, j)| Some((*rows.get(i)?, *columns.get(j)?))) {
                    if project(r, c).is_none() {
                        let (mut has, mut lacks) = (0.0, 1.0);
                        for _ in 0..BISECTIONS {
                            let middle = (has + lacks) / 2.0;
                            match project(row + (r - row) * middle, column + (c - column) * middle) {
                                Some(point) => {
                                    found.push(point);
                                    has = middle;
                                }
                                None => lacks = middle,
                            }
                        }
                    }
                }
            }
        }
        if found.is_empty() {
            return Err(format!("no point of {} has a place in {}; is its own coordinate reference system right?", self.name, to.name()));
        }
        let range = |of: &dyn Fn(&(f64, f64)) -> f64| {
            found.iter().map(of).fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], v| [low.min(v), high.max(v)])
        };
        let (mut across, mut up) = (range(&|p| p.0), range(&|p| p.1));
        if to.geographic && !self.crs.geographic {
            // Across the antimeridian the shorter way, and all around a pole.
            let turned = range(&|p| if p.0 < 0.0 { p.0 + 360.0 } else { p.0 });
            if turned[1] - turned[0] < across[1] - across[0] - 1e-9 {
                across = turned;
            }
            for pole in [-90.0, 90.0] {
                if self.place(to, 0.0, pole, 1e-6).is_some_and(|place| self.holds(place)) {
                    across = [-180.0, 180.0];
                    up = [up[0].min(pole), up[1].max(pole)];
                }
            }
        }
        Ok([across[0], up[0], across[1], up[1]])
    }
}

#[cfg(test)]
mod tests {
    use graticule_storage::array::{Attributes, Grid};

    use super::*;

    fn ground(crs: &str, role: [AxisRole; 2], y: [f64; 2], x: [f64; 2]) -> Ground {
        let axis = |role: AxisRole, [from, to]: [f64; 2]| Axis {
            name: format!("{role:?}"),
            role,
            coordinates: Coordinates::Float64((0..=100).map(|i| from + (to - from) * f64::from(i) / 100.0).collect()),
            bounds: None,
            units: None,
            calendar: None,
            attributes: Attributes::default(),
        };
        let axes = vec![axis(role[0], y), axis(role[1], x)];
        let grid = Grid { axes: axes.clone(), crs: Some(crs.into()) };
        let cube = Cube {
            name: "c".into(),
            grid,
            variables: vec![],
            attributes: Attributes::default(),
            definition: Default::default(),
            generation: 0,
        };
        Ground::new(&cube, &axes).unwrap()
    }

    fn near(of: &Ground, to: &str, expected: [f64; 4], by: f64) {
        let bounds = of.bounds(&Crs::read(to).unwrap()).unwrap();
        assert!(bounds.iter().zip(expected).all(|(a, b)| (a - b).abs() < by), "{bounds:?}, expected {expected:?}");
    }

    const MAP: [AxisRole; 2] = [AxisRole::Y, AxisRole::X];
    const GLOBE: [AxisRole; 2] = [AxisRole::Latitude, AxisRole::Longitude];

    #[test]
    fn bounds_in_another_system() {
        // Numbers of pyproj's Transformer.transform_bounds, of the cells' outer edges.
        near(&ground("EPSG:32631", MAP, [5e6, 5.1e6], [4e5, 6e5]), "EPSG:4326", [1.6944, 45.1418, 4.3056, 46.0581], 2e-3);
        // Across the antimeridian in one piece; around a pole every longitude.
        near(&ground("EPSG:32601", MAP, [5e6, 5.1e6], [1e5, 5e5]), "EPSG:4326", [177.8137, 45.0348, 183.0259, 46.0581], 2e-3);
        near(&ground("EPSG:3413", MAP, [1e6, -1e6], [-1e6, 1e6]), "EPSG:4326", [-180.0, 76.8699, 180.0, 90.0], 2e-3);
        // A globe seen from 0 to 360 stays so.
        near(&ground("EPSG:4326", GLOBE, [90.0, -90.0], [0.0, 356.4]), "EPSG:4258", [-1.782, -90.0, 358.182, 90.0], 1e-6);
        // The disk that a satellite sees ends where the globe does.
        let disk = "+proj=geos +h=35785831 +lon_0=0 +a=6378169 +b=6356583.8";
        near(
            &ground(disk, MAP, [5.5e6, -5.5e6], [-5.5e6, 5.5e6]),
            "+proj=longlat +a=6378169 +b=6356583.8",
            [-81.2929, -81.3202, 81.2929, 81.3202],
            0.05,
        );
    }

    #[test]
    fn what_has_no_place_is_told() {
        let globe = ground("EPSG:4326", GLOBE, [90.0, -90.0], [0.0, 356.4]);
        let error = globe.bounds(&Crs::read("EPSG:3857").unwrap()).unwrap_err();
        assert!(error.contains("90 of c has no place in EPSG:3857") && error.contains("give bounds"), "{error}");
        let mercator = Crs::read("EPSG:3857").unwrap();
        assert!(globe.place(&mercator, 1e6, 1e6, 1.0).is_some());
        // Beyond the antimeridian Mercator would begin again.
        assert!(globe.place(&mercator, 2.1e7, 1e6, 1.0).is_none());
        assert!(globe.place(&Crs::read("EPSG:4326").unwrap(), 190.0, 95.0, 1e-3).is_none());
        assert!(globe.place(&Crs::read("EPSG:4326").unwrap(), -530.0, 5.0, 1e-3).is_some());
    }
}
