//! Coordinate reference systems: what an EPSG code, WKT or PROJ text means, and points from one system to another (`proj4rs`).
//!
//! The only place that reads such text. Datums are shifted by the parameters that the definition names, as PROJ 4 does; a system
//! that wants files of shifts (NAD27) is refused, and one whose datum is not known (spheres) is taken as it is.

use std::panic::catch_unwind;

use proj4rs::Proj;
use proj4rs::transform::transform;

/// Degrees by which a latitude may lie beyond a pole.
const BEYOND: f64 = 1e-9;

/// A coordinate reference system. Coordinates are easting or longitude first; degrees, or the system's own unit.
#[derive(Debug, Clone)]
pub(crate) struct Crs {
    proj: Proj,
    name: String,
    /// Longitudes and latitudes.
    pub geographic: bool,
}

impl Crs {
    /// Reads `EPSG:32631`, `OGC:CRS84`, WKT (1 or 2) or a PROJ string. An error says in a sentence what could not be read.
    pub fn read(text: &str) -> Result<Crs, String> {
        let unknown = |why: String| format!("the coordinate reference system {} is not known: {why}", short(text));
        let proj = projection(text.trim()).map_err(unknown)?;
        if proj.is_geocent() || !proj.has_forward() || !proj.has_inverse() {
            return Err(unknown("it is no map, or its projection goes one way only".into()));
        }
        let geographic = proj.is_latlong();
        Ok(Crs { proj, name: short(text), geographic })
    }

    /// Its code, or the beginning of its text.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What its coordinates count: `m`, `us-ft`, `degrees`.
    pub fn unit(&self) -> &'static str {
        self.proj.units()
    }

    /// A point of this system in another one; `None` where that has no such point.
    pub fn project(&self, to: &Crs, x: f64, y: f64) -> Option<(f64, f64)> {
        if self.geographic && y.abs() > 90.0 + BEYOND {
            return None;
        }
        let mut at = if self.geographic { (x.to_radians(), y.to_radians(), 0.0) } else { (x, y, 0.0) };
        transform(&self.proj, &to.proj, &mut at).ok()?;
        let (x, y) = if to.geographic { (at.0.to_degrees(), at.1.to_degrees()) } else { (at.0, at.1) };
        (x.is_finite() && y.is_finite()).then_some((x, y))
    }
}

fn projection(text: &str) -> Result<Proj, String> {
    let code = epsg(text);
    if let Some(Ok(proj)) = code.map(Proj::from_epsg_code) {
        return Ok(proj);
    }
    // What the parsers' own checks let through must not end the program.
    if text.contains('[') {
        let read = catch_unwind(|| proj4wkt::wkt_to_projstring(text).map_err(|e| e.to_string()));
        let string = read.unwrap_or_else(|_| Err("the WKT cannot be read".into()))?;
        return of_string(&string);
    }
    if text.starts_with('+') {
        return of_string(text);
    }
    Err(match code {
        Some(_) => "there is no such code here; give WKT or a PROJ string, as '+proj=utm +zone=31 +datum=WGS84'".into(),
        None => "EPSG:<code>, WKT or a PROJ string is expected".into(),
    })
}

fn of_string(text: &str) -> Result<Proj, String> {
    let read = catch_unwind(|| Proj::from_proj_string(text).map_err(|e| e.to_string()));
    read.unwrap_or_else(|_| Err("the PROJ string cannot be read".into()))
}

/// True for two names of one system.
pub(crate) fn same(a: &str, b: &str) -> bool {
    let canonical = |crs: &str| epsg(crs).map_or_else(|| crs.trim().to_owned(), |code| format!("EPSG:{code}"));
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
    fn points_are_those_of_pyproj() {
        let truth: serde_json::Value = serde_json::from_str(include_str!("../../tests/corpus/grids/points.json")).unwrap();
        let globe = Crs::read("EPSG:4326").unwrap();
        for case in truth.as_array().unwrap() {
            let crs = Crs::read(case["crs"].as_str().unwrap()).unwrap();
            for point in case["points"].as_array().unwrap() {
                let [lon, lat, x, y] = [0, 1, 2, 3].map(|i| point[i].as_f64().unwrap());
                let (gx, gy) = globe.project(&crs, lon, lat).unwrap();
                assert!((gx - x).hypot(gy - y) < 0.01, "{}: {gx} {gy}, expected {x} {y}", case["crs"]);
                let (glon, glat) = crs.project(&globe, x, y).unwrap();
                assert!((glon - lon).abs() < 2e-7 && (glat - lat).abs() < 2e-7, "{}: {glon} {glat}, expected {lon} {lat}", case["crs"]);
            }
        }
    }

    #[test]
    fn what_is_not_known_is_named() {
        let refused = |text: &str| Crs::read(text).unwrap_err();
        assert!(refused("EPSG:99").contains("EPSG:99 is not known: there is no such code here"));
        assert!(refused("EPSG:x").contains("EPSG:x is not known: EPSG:<code>"));
        assert!(refused("WGS 84").contains("WGS 84 is not known"));
        assert!(refused("+proj=nothing").contains("+proj=nothing"));
        assert!(refused("PROJCS[").contains("PROJCS["));
        // Its shift to other datums stands in files that are not here.
        assert!(refused("EPSG:26718").contains("EPSG:26718"));
        assert!(refused("EPSG:4978").contains("EPSG:4978"));
    }

    #[test]
    fn codes_in_wkt() {
        let wkt = r#"GEOGCS["WGS 84",DATUM["WGS_1984",SPHEROID["WGS 84",6378137,298.257223563,AUTHORITY["EPSG","7030"]]],AUTHORITY["EPSG","4326"]]"#;
        assert_eq!(epsg(wkt), Some(4326));
        assert_eq!(epsg(r#"GEOGCS["x",DATUM["y",AUTHORITY["EPSG","6326"]]]"#), None);
        assert!(same(wkt, "urn:ogc:def:crs:OGC:1.3:CRS84") && !same(wkt, "EPSG:4258"));
        assert!(Crs::read("EPSG:4258").is_ok());
    }

    #[test]
    fn no_place_beyond_the_poles() {
        let (globe, mercator) = (Crs::read("EPSG:4326").unwrap(), Crs::read("EPSG:3857").unwrap());
        assert_eq!(globe.project(&mercator, 0.0, 90.0), None);
        assert_eq!(globe.project(&globe, 0.0, 90.5), None);
        assert_eq!((mercator.unit(), globe.unit()), ("m", "degrees"));
    }
}
