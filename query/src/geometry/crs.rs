//! Coordinate reference systems of cubes and geometries, and from one to the other.
//!
//! Systems are named `EPSG:n`, by WKT (1 or 2), or as a PROJ string. Vertices are transformed, edges stay straight in the target system.

use std::fmt;

use datafusion::common::plan_err;
use datafusion::error::Result;
use proj4rs::Proj;
use proj4rs::transform::transform;

use super::shape::{Point, Shape, invalid};

/// One system to another.
pub(crate) struct Reproject {
    from: Proj,
    to: Proj,
    name: String,
}

impl fmt::Debug for Reproject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reproject({})", self.name)
    }
}

impl Reproject {
    /// From one system to another; `None` where both are the same.
    pub fn new(from: &str, to: &str) -> Result<Option<Reproject>> {
        if same(from, to) {
            return Ok(None);
        }
        Ok(Some(Reproject { from: projection(from)?, to: projection(to)?, name: format!("{} to {}", short(from), short(to)) }))
    }

    /// What it does, for comparison and EXPLAIN.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A point in the target system.
    pub fn point(&self, point: &mut Point) -> Result<()> {
        let [x, y] = *point;
        let mut at = if self.from.is_latlong() { (x.to_radians(), y.to_radians(), 0.0) } else { (x, y, 0.0) };
        let done = transform(&self.from, &self.to, &mut at);
        let (x2, y2) = if self.to.is_latlong() { (at.0.to_degrees(), at.1.to_degrees()) } else { (at.0, at.1) };
        if let Err(error) = done {
            return Err(invalid(format!("the point ({x}, {y}) of a geometry has no place from {}: {error}", self.name)));
        }
        if !x2.is_finite() || !y2.is_finite() {
            return Err(invalid(format!("the point ({x}, {y}) of a geometry has no place from {}", self.name)));
        }
        *point = [x2, y2];
        Ok(())
    }

    /// A shape in the target system.
    pub fn shape(&self, shape: Shape) -> Result<Shape> {
        let geographic = self.to.is_latlong();
        let mut shape = shape.try_map(|point| self.point(point))?;
        if geographic && !self.from.is_latlong() {
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

/// True for two names of one system.
fn same(a: &str, b: &str) -> bool {
    let canonical = |crs: &str| match epsg(crs) {
        Some(code) => format!("EPSG:{code}"),
        None => crs.trim().to_owned(),
    };
    canonical(a) == canonical(b)
}

/// The EPSG code that a name or WKT text says it is.
pub(crate) fn epsg(crs: &str) -> Option<u16> {
    let text = crs.trim();
    let upper = text.to_ascii_uppercase();
    if matches!(upper.as_str(), "OGC:CRS84" | "CRS84" | "URN:OGC:DEF:CRS:OGC:1.3:CRS84" | "URN:OGC:DEF:CRS:OGC::CRS84") {
        return Some(4326);
    }
    let named =
        upper.strip_prefix("URN:OGC:DEF:CRS:EPSG:").and_then(|rest| rest.rsplit(':').next()).or_else(|| upper.strip_prefix("EPSG:"));
    if let Some(code) = named {
        return code.trim().parse().ok();
    }
    // The last authority of WKT is that of the system as a whole.
    if !upper.contains('[') {
        return None;
    }
    let end = upper.trim_end_matches([']', ' ', '\n']);
    let start = end.rfind("AUTHORITY[\"EPSG\"").or_else(|| end.rfind("ID[\"EPSG\""))?;
    let depth = |part: &str| part.matches('[').count() as i64 - part.matches(']').count() as i64;
    if depth(&upper[..start]) != 1 {
        return None;
    }
    let code: String = end[start..].chars().skip_while(|c| *c != ',').filter(char::is_ascii_digit).collect();
    code.parse().ok()
}

/// The projection that a system is.
fn projection(crs: &str) -> Result<Proj> {
    let failed = |why: String| plan_err!("the coordinate reference system {} is not known: {why}", short(crs));
    if let Some(code) = epsg(crs)
        && let Ok(proj) = Proj::from_epsg_code(code)
    {
        return Ok(proj);
    }
    let text = crs.trim();
    let string = if text.contains('[') {
        match proj4wkt::wkt_to_projstring(text) {
            Ok(string) => string,
            Err(error) => return failed(error.to_string()),
        }
    } else if text.starts_with('+') {
        text.to_owned()
    } else {
        return failed("EPSG:<code>, WKT or a PROJ string is expected".into());
    };
    match Proj::from_proj_string(&string) {
        Ok(proj) => Ok(proj),
        Err(error) => failed(error.to_string()),
    }
}

/// An error for a system that cannot be used.
pub(crate) fn check(crs: &str) -> Result<()> {
    projection(crs).map(|_| ())
}

/// A system in a few words.
pub(crate) fn short(crs: &str) -> String {
    match epsg(crs) {
        Some(code) => format!("EPSG:{code}"),
        None if crs.chars().count() > 60 => format!("{}...", crs.chars().take(60).collect::<String>()),
        None => crs.to_owned(),
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

    #[test]
    fn codes_in_wkt() {
        let wkt = r#"GEOGCS["WGS 84",DATUM["WGS_1984",SPHEROID["WGS 84",6378137,298.257223563,AUTHORITY["EPSG","7030"]]],AUTHORITY["EPSG","4326"]]"#;
        assert_eq!(epsg(wkt), Some(4326));
        assert_eq!(epsg(r#"GEOGCS["x",DATUM["y",AUTHORITY["EPSG","6326"]]]"#), None);
        assert!(check("EPSG:4258").is_ok());
    }
}
