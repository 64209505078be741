//! Geometries from one coordinate reference system to another: vertices are transformed, edges stay straight in the target system.

use datafusion::error::{DataFusionError, Result};

use super::shape::{Point, Shape, invalid};
use crate::crs::{Crs, same};

/// One system to another.
#[derive(Debug)]
pub(crate) struct Reproject {
    from: Crs,
    to: Crs,
    name: String,
}

impl Reproject {
    /// From one system to another; `None` where both are the same.
    pub fn new(from: &str, to: &str) -> Result<Option<Reproject>> {
        if same(from, to) {
            return Ok(None);
        }
        let read = |text: &str| Crs::read(text).map_err(DataFusionError::Plan);
        let (from, to) = (read(from)?, read(to)?);
        let name = format!("{} to {}", from.name(), to.name());
        Ok(Some(Reproject { from, to, name }))
    }

    /// What it does, for comparison and EXPLAIN.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A point in the target system.
    pub fn point(&self, point: &mut Point) -> Result<()> {
        let [x, y] = *point;
        match self.from.project(&self.to, x, y) {
            Some((x, y)) => *point = [x, y],
            None => return Err(invalid(format!("the point ({x}, {y}) of a geometry has no place from {}", self.name))),
        }
        Ok(())
    }

    /// A shape in the target system.
    pub fn shape(&self, shape: Shape) -> Result<Shape> {
        let mut shape = shape.try_map(|point| self.point(point))?;
        if self.to.geographic && !self.from.geographic {
            // A part across the antimeridian stays in one piece: longitudes go on past 180.
            for path in shape.polygons.iter_mut().flatten().chain(&mut shape.lines) {
                let mut before: Option<f64> = None;
                for point in path.iter_mut() {
                    if let Some(last) = before {
                        point[0] -= ((point[0] - last) / 360.0).round() * 360.0;
                    }
                    before = Some(point[0]);
                }
            }
        }
        Ok(shape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn to_utm_and_back() {
        // pyproj 3.7: Transformer.from_crs(4326, 32631, always_xy=True).transform(2.35, 48.85)
        let there = Reproject::new("EPSG:4326", "EPSG:32631").unwrap().unwrap();
        let mut point = [2.35, 48.85];
        there.point(&mut point).unwrap();
        assert!((point[0] - 452314.8912).abs() < 1e-3 && (point[1] - 5410984.8876).abs() < 1e-3, "{point:?}");
        let back = Reproject::new("EPSG:32631", "OGC:CRS84").unwrap().unwrap();
        back.point(&mut point).unwrap();
        assert!((point[0] - 2.35).abs() < 1e-9 && (point[1] - 48.85).abs() < 1e-9, "{point:?}");
        assert!(Reproject::new("EPSG:4326", "urn:ogc:def:crs:OGC:1.3:CRS84").unwrap().is_none());
        assert!(Reproject::new("EPSG:4326", "something").unwrap_err().to_string().contains("something is not known"));
    }
}
