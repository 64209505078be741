//! The cells of a cube's two horizontal axes: centres and bounds along each, in the order of rising coordinates.

use datafusion::arrow::array::{ArrayRef, AsArray};
use datafusion::arrow::compute;
use datafusion::arrow::datatypes::{DataType, Float64Type};
use datafusion::common::plan_err;
use datafusion::error::Result;
use graticule_storage::array::{Axis, AxisRole};

use crate::view::{AxisView, View};

/// The cells along one axis. Positions are those of the view.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Along {
    /// Centres, rising.
    pub centres: Vec<f64>,
    /// Lower bound of each cell, in the order of `centres`; empty where bounds are not known.
    pub low: Vec<f64>,
    /// Upper bounds.
    pub high: Vec<f64>,
    /// Position of each centre.
    pub positions: Vec<u32>,
}

/// The horizontal cells of a view.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct CellGrid {
    /// Northing or latitude.
    pub y: Along,
    /// Easting or longitude.
    pub x: Along,
    /// True for longitudes: they repeat every 360 degrees.
    pub wraps: bool,
}

/// The two horizontal axes of a cube: positions in its grid, y first; `None` where it has not both.
pub(crate) fn horizontal(axes: &[Axis]) -> Option<(usize, usize)> {
    use AxisRole::{Latitude, Longitude, X, Y};
    let by_role = |roles: [AxisRole; 2]| {
        let found: Vec<usize> = roles.iter().filter_map(|role| axes.iter().position(|a| a.role == *role)).collect();
        found.first().copied()
    };
    // A name says what an axis is only where nothing else does.
    let by_name = |names: &[&str]| {
        axes.iter().position(|a| {
            matches!(a.role, AxisRole::Other) && a.coordinates.to_f64().is_some() && names.contains(&a.name.to_ascii_lowercase().as_str())
        })
    };
    let y = by_role([Y, Latitude]).or_else(|| by_name(&["y", "lat", "latitude"]))?;
    let x = by_role([X, Longitude]).or_else(|| by_name(&["x", "lon", "longitude"]))?;
    Some((y, x))
}

/// True for an axis of degrees of latitude or longitude.
pub(crate) fn is_geographic(axis: &Axis) -> bool {
    matches!(axis.role, AxisRole::Latitude | AxisRole::Longitude)
        || matches!(axis.name.to_ascii_lowercase().as_str(), "lat" | "latitude" | "lon" | "longitude")
}

impl CellGrid {
    /// The cells of a view along these axes of its grid.
    pub fn new(view: &View, y: usize, x: usize) -> Result<CellGrid> {
        let along = |axis: usize| Along::new(&view.cube.grid.axes[axis], &view.axes[axis]);
        let axis = &view.cube.grid.axes[x];
        Ok(CellGrid { y: along(y)?, x: along(x)?, wraps: is_geographic(axis) })
    }

    /// The turns by which a geometry between these longitudes meets the grid; one turn of nothing on other grids.
    pub fn turns(&self, west: f64, east: f64) -> Vec<f64> {
        let (Some(&first), Some(&last)) = (self.x.low.first().or(self.x.centres.first()), self.x.high.last().or(self.x.centres.last()))
        else {
            return vec![];
        };
        if !self.wraps {
            return vec![0.0];
        }
        let fewest = ((first - east) / 360.0).ceil().max(-4.0) as i64;
        let most = ((last - west) / 360.0).floor().min(4.0) as i64;
        (fewest..=most).map(|turn| turn as f64 * 360.0).collect()
    }

    /// An error for an axis whose cells have no extent; `what` needs it.
    pub fn check_bounds(&self, what: &str) -> Result<()> {
        if self.y.low.len() == self.y.centres.len() && self.x.low.len() == self.x.centres.len() {
            return Ok(());
        }
        plan_err!(
            "{what} wants the bounds of cells, and an axis of one coordinate without bounds tells none; use ST_Covers, which asks for centres only"
        )
    }
}

impl Along {
    fn new(axis: &Axis, seen: &AxisView) -> Result<Along> {
        let Some(own) = axis.coordinates.to_f64() else {
            return plan_err!("axis {} has no numbers for coordinates, so its cells have no place", axis.name);
        };
        let centres = numbers(&seen.coordinates)?;
        if let Some(bad) = own.iter().find(|v| !v.is_finite()) {
            return plan_err!("axis {} has the coordinate {bad}, which is no place", axis.name);
        }
        let bounds = bounds(axis, &own);
        let mut cells: Vec<(f64, [f64; 2], u32)> = Vec::with_capacity(centres.len());
        for ((number, position), &centre) in seen.runs.iter().cloned().flatten().enumerate().zip(&centres) {
            let position = position as usize;
            // A longitude seen across the seam is turned, and its bounds with it.
            let turned = centre - own.get(position).copied().unwrap_or(centre);
            let [low, high] = bounds.as_ref().and_then(|b| b.get(position)).copied().unwrap_or([f64::NAN; 2]);
            cells.push((centre, [low + turned, high + turned], number as u32));
        }
        cells.sort_by(|a, b| a.0.total_cmp(&b.0));
        let known = bounds.is_some();
        Ok(Along {
            centres: cells.iter().map(|c| c.0).collect(),
            low: if known { cells.iter().map(|c| c.1[0]).collect() } else { vec![] },
            high: if known { cells.iter().map(|c| c.1[1]).collect() } else { vec![] },
            positions: cells.iter().map(|c| c.2).collect(),
        })
    }

    /// The number of the cell with this centre, in rising order; `near` is a guess.
    pub fn find(&self, value: f64, near: usize) -> Option<usize> {
        for guess in [near, near.wrapping_add(1), near.wrapping_sub(1)] {
            if self.centres.get(guess) == Some(&value) {
                return Some(guess);
            }
        }
        let at = self.centres.partition_point(|c| *c < value);
        (self.centres.get(at) == Some(&value)).then_some(at)
    }
}

/// Coordinates as numbers.
pub(crate) fn numbers(coordinates: &ArrayRef) -> Result<Vec<f64>> {
    let wide = compute::cast(coordinates, &DataType::Float64)?;
    Ok(wide.as_primitive::<Float64Type>().values().to_vec())
}

/// Lower and upper bound of every cell: those of the file, or half way to the neighbours; the outer cells are as wide
/// outwards as inwards. Latitudes end at the poles. `None` for a single coordinate without bounds.
fn bounds(axis: &Axis, centres: &[f64]) -> Option<Vec<[f64; 2]>> {
    if let Some(given) = axis.bounds.as_ref().filter(|b| b.len() == centres.len() && b.iter().flatten().all(|v| v.is_finite())) {
        return Some(given.iter().map(|[a, b]| [a.min(*b), a.max(*b)]).collect());
    }
    let n = centres.len();
    if n < 2 {
        return None;
    }
    let middle = |i: usize| centres[i] + (centres[i + 1] - centres[i]) / 2.0;
    let first = centres[0] - (centres[1] - centres[0]) / 2.0;
    let last = centres[n - 1] + (centres[n - 1] - centres[n - 2]) / 2.0;
    let mut edges = vec![first];
    edges.extend((0..n - 1).map(middle));
    edges.push(last);
    if matches!(axis.role, AxisRole::Latitude) {
        edges.iter_mut().for_each(|e| *e = e.clamp(-90.0, 90.0));
    }
    Some(edges.windows(2).map(|w| [w[0].min(w[1]), w[0].max(w[1])]).collect())
}
