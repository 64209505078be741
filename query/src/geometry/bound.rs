//! A grid to which geometries are put: what is known of the cells, how geometries get there, and those that were rasterised before.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::common::plan_err;
use datafusion::error::Result;

use super::coverage::touched;
use super::grid::{CellGrid, is_geographic};
use super::rasterise::covered;
use super::reproject::Reproject;
use super::runs::CellRun;
use super::shape::Shape;
use super::{wkb, wkt};
use crate::crs::{Crs, short};
use crate::view::View;

/// Runs that are kept for the next batch of rows: about 100 MB.
const KEPT: usize = 4 << 20;

/// What is asked of a geometry and a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Rule {
    /// The geometry covers the cell's centre.
    Covers,
    /// The geometry touches the cell's box.
    Intersects,
    /// How much of the cell's box the geometry covers.
    Coverage,
}

impl Rule {
    /// The function's name.
    pub fn name(self) -> &'static str {
        match self {
            Rule::Covers => "st_covers",
            Rule::Intersects => "st_intersects",
            Rule::Coverage => "coverage",
        }
    }
}

/// A geometry as it comes: well-known binary, or text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Geometry<'a> {
    /// Well-known binary.
    Binary(&'a [u8]),
    /// Well-known text.
    Text(&'a str),
}

impl Geometry<'_> {
    /// Its parts, in its own system.
    pub fn shape(&self) -> Result<Shape> {
        match self {
            Geometry::Binary(bytes) => wkb::read(bytes),
            Geometry::Text(text) => Ok(wkt::read(text)?.0),
        }
    }

    /// Its bytes: the same for the same geometry of one kind.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Geometry::Binary(bytes) => bytes,
            Geometry::Text(text) => text.as_bytes(),
        }
    }
}

/// The cells of a cube, and the way of geometries to them.
#[derive(Debug)]
pub(crate) struct Bound {
    /// The cells. Numbers along an axis are in the order of rising coordinates.
    pub grid: CellGrid,
    /// Set where geometries have another coordinate reference system.
    pub reproject: Option<Arc<Reproject>>,
    /// Positions of the two axes in the cube's grid, y first.
    pub axes: [usize; 2],
    /// The cube and its state.
    pub cube: (String, u64),
    known: parking_lot::Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    runs: HashMap<(bool, Vec<u8>), Arc<Vec<CellRun>>>,
    count: usize,
}

impl PartialEq for Bound {
    fn eq(&self, other: &Self) -> bool {
        let name = |b: &Bound| b.reproject.as_ref().map(|r| r.name().to_owned());
        std::ptr::eq(self, other) || (self.cube == other.cube && name(self) == name(other) && self.grid == other.grid)
    }
}

impl Bound {
    /// The cells of a view along its axes `y` and `x` for geometries of a system; `None`: one that is not known.
    pub fn new(view: &View, y: usize, x: usize, from: Option<&str>) -> Result<Bound> {
        let cube = &view.cube;
        let geographic = is_geographic(&cube.grid.axes[x]) && is_geographic(&cube.grid.axes[y]);
        // Degrees of a system that nobody can read are degrees still.
        let to = cube.grid.crs.as_deref().filter(|crs| !geographic || Crs::read(crs).is_ok()).or(geographic.then_some("EPSG:4326"));
        let reproject = match (from, to) {
            (Some(from), Some(to)) => Reproject::new(from, to)?.map(Arc::new),
            (Some(from), None) => {
                return plan_err!(
                    "geometries in {} cannot be put on cube {}, whose coordinate reference system is not known: CREATE OR REPLACE CUBE ... CRS 'EPSG:...' tells it",
                    short(from),
                    cube.name
                );
            }
            (None, Some(to)) if !geographic => {
                return plan_err!(
                    "the geometry's coordinate reference system is not known, and cube {} is in {}: name it, as in ST_GeomFromText('...', 'EPSG:4326')",
                    cube.name,
                    short(to)
                );
            }
            (None, _) => None,
        };
        let cube = (cube.name.clone(), cube.generation);
        Ok(Bound { grid: CellGrid::new(view, y, x)?, reproject, axes: [y, x], cube, known: Default::default() })
    }

    /// The same for another view of the cube.
    pub fn over(&self, view: &View) -> Result<Bound> {
        let [y, x] = self.axes;
        let grid = CellGrid::new(view, y, x)?;
        Ok(Bound { grid, reproject: self.reproject.clone(), axes: self.axes, cube: self.cube.clone(), known: Default::default() })
    }

    /// A geometry in the cube's system.
    pub fn shape(&self, geometry: &Geometry<'_>) -> Result<Shape> {
        let shape = geometry.shape()?;
        match &self.reproject {
            Some(reproject) => reproject.shape(shape),
            None => Ok(shape),
        }
    }

    /// The cells of a geometry, as runs of `self.grid` in order; weights are fractions, or 1 for the rule Covers.
    pub fn raster(&self, rule: Rule, geometry: &Geometry<'_>) -> Result<Arc<Vec<CellRun>>> {
        let key = (rule == Rule::Covers, geometry.bytes().to_vec());
        if let Some(known) = self.known.lock().runs.get(&key) {
            return Ok(known.clone());
        }
        let shape = self.shape(geometry)?;
        let made = Arc::new(if rule == Rule::Covers { covered(&shape, &self.grid) } else { touched(&shape, &self.grid)? });
        let mut known = self.known.lock();
        if known.count + made.len() > KEPT {
            *known = Known::default();
        }
        known.count += made.len() + 1;
        known.runs.insert(key, made.clone());
        Ok(made)
    }

    /// Lowest and highest y, lowest and highest x of the centres of the cells of a geometry; `None` for none.
    pub fn extent(&self, rule: Rule, geometry: &Geometry<'_>) -> Result<Option<[f64; 4]>> {
        let runs = self.raster(rule, geometry)?;
        let (Some(first), Some(last)) = (runs.first(), runs.last()) else { return Ok(None) };
        let west = runs.iter().map(|r| r.from).min().unwrap_or(0) as usize;
        let east = runs.iter().map(|r| r.to).max().unwrap_or(1) as usize - 1;
        let (y, x) = (&self.grid.y.centres, &self.grid.x.centres);
        Ok(Some([y[first.row as usize], y[last.row as usize], x[west], x[east]]))
    }
}
