//! Coordinate reference systems, and points from one to another: EPSG codes, PROJ strings and WKT by `proj4rs`.

use std::panic::catch_unwind;

use proj4rs::Proj;
use proj4rs::adaptors::transform_xy;

/// A coordinate reference system. Coordinates are easting or longitude first; degrees, or the system's own unit.
#[derive(Debug, Clone)]
pub(crate) struct Crs {
    proj: Proj,
    /// Longitudes and latitudes.
    pub geographic: bool,
}

impl Crs {
    /// Reads `EPSG:32631`, a PROJ string or WKT. Errors say what could not be read.
    pub fn read(text: &str) -> Result<Crs, String> {
        let text = text.trim();
        let shown =
            || if text.chars().count() > 60 { format!("{}...", text.chars().take(60).collect::<String>()) } else { text.to_string() };
        let proj = match epsg(text) {
            Some(code) => {
                let code = code.ok_or_else(|| format!("there is no CRS '{text}'; EPSG codes are written 'EPSG:32631'"))?;
                Proj::from_epsg_code(code)
                    .map_err(|e| format!("the CRS {text} is not known here ({e}); give a PROJ string, as '+proj=utm +zone=31'"))
            }
            None if text.starts_with('+') => {
                // What is not stopped by the parser's own checks must not stop the program.
                let read = catch_unwind(|| Proj::from_proj_string(text));
                read.map_err(|_| "the string cannot be read".to_string())
                    .and_then(|p| p.map_err(|e| e.to_string()))
                    .map_err(|e| format!("the CRS '{}' is not known here: {e}", shown()))
            }
            None if text.contains('[') => {
                let read = catch_unwind(|| proj4wkt::wkt_to_projstring(text).map_err(|e| e.to_string()));
                let string = read.map_err(|_| "the WKT cannot be read".to_string()).and_then(|s| s);
                let proj = string.and_then(|s| Proj::from_proj_string(&s).map_err(|e| e.to_string()));
                proj.map_err(|e| format!("the CRS {} is not known here: {e}", shown()))
            }
            None => Err(format!("there is no CRS '{}'; it is written 'EPSG:4326', as a PROJ string, or as WKT", shown())),
        }?;
        if !proj.has_forward() || !proj.has_inverse() {
            return Err(format!("the CRS {} cannot be used here: its projection goes one way only", shown()));
        }
        let geographic = proj.is_latlong();
        Ok(Crs { proj, geographic })
    }

    /// A point of this system in another one; `None` where that has no such point.
    pub fn project(&self, to: &Crs, x: f64, y: f64) -> Option<(f64, f64)> {
        let (x, y) = if self.geographic { (x.to_radians(), y.to_radians()) } else { (x, y) };
        let (x, y) = transform_xy(&self.proj, &to.proj, x, y).ok()?;
        let (x, y) = if to.geographic { (x.to_degrees(), y.to_degrees()) } else { (x, y) };
        (x.is_finite() && y.is_finite()).then_some((x, y))
    }
}

/// The number of `EPSG:n`; `Some(None)` where it is none.
fn epsg(text: &str) -> Option<Option<u16>> {
    if text.eq_ignore_ascii_case("OGC:CRS84") || text.eq_ignore_ascii_case("CRS84") {
        return Some(Some(4326));
    }
    let (authority, code) = text.split_once(':')?;
    authority.trim().eq_ignore_ascii_case("EPSG").then(|| code.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_those_of_pyproj() {
        let truth: serde_json::Value = serde_json::from_str(include_str!("../../../../tests/corpus/grids/points.json")).unwrap();
        let globe = Crs::read("EPSG:4326").unwrap();
        for case in truth.as_array().unwrap() {
            let crs = Crs::read(case["crs"].as_str().unwrap()).unwrap();
            for point in case["points"].as_array().unwrap() {
                let [lon, lat, x, y] = [0, 1, 2, 3].map(|i| point[i].as_f64().unwrap());
                let (gx, gy) = globe.project(&crs, lon, lat).unwrap();
                assert!((gx - x).hypot(gy - y) < 0.1, "{}: {gx} {gy}, expected {x} {y}", case["crs"]);
                let (glon, glat) = crs.project(&globe, x, y).unwrap();
                assert!((glon - lon).abs() < 2e-6 && (glat - lat).abs() < 2e-6, "{}: {glon} {glat}, expected {lon} {lat}", case["crs"]);
            }
        }
    }

    #[test]
    fn what_is_not_known_is_named() {
        let refused = |text: &str| Crs::read(text).unwrap_err();
        assert!(refused("EPSG:99").contains("EPSG:99 is not known"));
        assert!(refused("EPSG:x").contains("EPSG codes are written"));
        assert!(refused("WGS 84").contains("there is no CRS 'WGS 84'"));
        assert!(refused("+proj=nothing").contains("+proj=nothing"));
        assert!(refused("PROJCS[").contains("PROJCS["));
    }
}
