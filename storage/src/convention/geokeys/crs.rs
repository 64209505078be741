//! GeoKeys to a CRS: an EPSG code where one says all, or else WKT 2 (ISO 19162) out of the keys' parameters.

use super::keys::{GeoKeys, USER_DEFINED, key};
use super::projection;
use super::registry::{self, angle_unit, length_unit};

/// A unit: its name, and metres or radians.
pub(super) type Unit = (String, f64);

/// The CRS that the keys define; `None`, with a warning, where they do not say enough.
pub(super) fn crs(keys: &GeoKeys, warnings: &mut Vec<String>) -> Option<String> {
    if keys.is_empty() {
        return None;
    }
    let horizontal = if keys.is_geographic() { geographic(keys) } else { projected(keys) };
    match horizontal {
        Ok(crs) => Some(match (keys.vertical(), crs.strip_prefix("EPSG:").is_some_and(|code| code.parse::<u16>().is_ok())) {
            // A compound CRS, as PROJ writes it.
            (Some(vertical), true) => format!("{crs}+{vertical}"),
            _ => crs,
        }),
        Err(why) => {
            let citations = keys.citations();
            if keys.short(key::MODEL_TYPE).is_some() || !citations.is_empty() {
                let cited = citations.chars().take(200).collect::<String>();
                let cited = if cited.is_empty() { cited } else { format!(" ({cited})") };
                warnings.push(format!("CRS: {why}: left out{cited}"));
            }
            None
        }
    }
}

fn geographic(keys: &GeoKeys) -> Result<String, String> {
    let unit = angular_unit(keys)?;
    match keys.epsg(key::GEODETIC_CRS) {
        // The code's own unit, which its registry entry has: degrees, or grads for those of Paris.
        Some(code) if has_unit_of(code, keys.short(key::ANGULAR_UNITS)) => Ok(format!("EPSG:{code}")),
        _ => {
            let base = base(keys, &unit)?;
            let axes = "CS[ellipsoidal,2],AXIS[\"latitude\",north],AXIS[\"longitude\",east]";
            Ok(format!("GEOGCRS[{base},{axes},ANGLEUNIT[{},{}]]", quoted(&unit.0), unit.1))
        }
    }
}

fn has_unit_of(code: u16, unit: Option<u16>) -> bool {
    let grads = matches!(code, 4801..=4807 | 4809..=4821 | 4901..=4903);
    match unit {
        None | Some(0 | USER_DEFINED) => true,
        Some(9105 | 9106) => grads,
        Some(9102 | 9107 | 9108 | 9110 | 9122) => !grads,
        Some(_) => false,
    }
}

fn projected(keys: &GeoKeys) -> Result<String, String> {
    if let Some(code) = keys.epsg(key::PROJECTED_CRS) {
        return Ok(match keys.short(key::LINEAR_UNITS) {
            None | Some(0 | 9001 | USER_DEFINED) => format!("EPSG:{code}"),
            // Without a registry of CRSs: its name, where a writer cites it, tells that the code itself is in feet.
            Some(9002..=9005) if keys.citations().contains("(ft") => format!("EPSG:{code}"),
            // The unit overrides that of the code: another CRS, which has no code.
            Some(unit) => match length_unit(unit) {
                Some((name, metres)) => format!("EPSG:{code} with LENGTHUNIT[{},{metres}]", quoted(name)),
                None => format!("EPSG:{code} with length unit EPSG:{unit}"),
            },
        });
    }
    if keys.is_web_mercator() {
        return Ok("EPSG:3857".into());
    }
    // ArcGIS keeps what GeoTIFF has no keys for as WKT in a citation.
    let citations = [key::CITATION, key::PROJECTED_CITATION, key::GEODETIC_CITATION];
    if let Some((_, wkt)) = citations.iter().find_map(|&k| keys.text(k)?.split_once("ESRI PE String = ")) {
        return Ok(wkt.trim_end_matches(['|', ' ']).to_string());
    }
    if keys.short(key::MODEL_TYPE) == Some(3) {
        return Err("geocentric".into());
    }
    let angle = angular_unit(keys)?;
    let base = base(keys, &("degree".into(), std::f64::consts::PI / 180.0))?;
    let length = linear_unit(keys)?;
    let conversion = projection::conversion(keys, &angle, &length)?;
    let cited = [key::PROJECTED_CITATION, key::CITATION].iter().find_map(|&k| keys.text(k));
    let name = cited.map_or("unnamed".into(), |text| name_in(text, "PCS Name"));
    let axes = "CS[Cartesian,2],AXIS[\"easting\",east],AXIS[\"northing\",north]";
    Ok(format!("PROJCRS[{},BASEGEOGCRS[{base}],{conversion},{axes},{}]", quoted(&name), written("LENGTHUNIT", &length)))
}

/// Name, datum and prime meridian of the geographic CRS: of the code, or of what the keys define.
fn base(keys: &GeoKeys, unit: &Unit) -> Result<String, String> {
    let code = keys.epsg(key::GEODETIC_CRS);
    // Codes of datums are those of their usual geographic CRSs and 2000.
    let of_datum = keys.epsg(key::DATUM).and_then(|datum| datum.checked_sub(2000)).and_then(registry::geographic);
    let known = code.and_then(registry::geographic);
    let entry = known.or(of_datum);
    let of_entry = entry.and_then(|(_, _, ellipsoid, _)| registry::ellipsoid(ellipsoid));
    let of_code = keys.epsg(key::ELLIPSOID).and_then(registry::ellipsoid);
    let (ellipsoid, major, flattening) = match (keys.double(key::SEMI_MAJOR), of_code.or(of_entry)) {
        // What the keys say in full counts before codes, except that codes are exact.
        (_, Some((name, major, flattening))) => (name.to_string(), major, flattening),
        (Some(major), None) if major > 0.0 => {
            let flattening = match (keys.double(key::INVERSE_FLATTENING), keys.double(key::SEMI_MINOR)) {
                (Some(f), _) => f,
                (None, Some(minor)) if minor > 0.0 && minor != major => major / (major - minor),
                (None, Some(minor)) if minor > 0.0 => 0.0,
                _ => return Err("user-defined, an ellipsoid of one axis".into()),
            };
            (keys.text(key::GEODETIC_CITATION).map_or("unknown".into(), |text| name_in(text, "Ellipsoid")), major, flattening)
        }
        _ => {
            return Err(match code {
                Some(code) => format!("user-defined, on EPSG:{code}, whose ellipsoid the keys do not tell"),
                None => "user-defined, without an EPSG code or an ellipsoid".into(),
            });
        }
    };
    let cited = keys.text(key::GEODETIC_CITATION);
    let name = known.map(|k| k.0.to_string()).or(cited.map(|text| name_in(text, "GCS Name"))).or(of_datum.map(|k| k.0.to_string()));
    let datum = entry.map(|k| k.1.to_string()).unwrap_or_else(|| cited.map_or("unknown".into(), |text| name_in(text, "Datum")));
    let meridian = match (keys.double(key::PRIME_MERIDIAN_LONGITUDE), keys.epsg(key::PRIME_MERIDIAN), entry) {
        (Some(longitude), _, _) => longitude * unit.1 * 180.0 / std::f64::consts::PI,
        (None, Some(8901) | None, None) => 0.0,
        (None, None, Some((_, _, _, longitude))) => longitude,
        (None, Some(8901), Some(_)) => 0.0,
        (None, Some(8903), _) => 2.33722917,
        (None, Some(other), _) => return Err(format!("user-defined, prime meridian EPSG:{other}")),
    };
    let place = if meridian == 0.0 { "Greenwich".into() } else { format!("{meridian} degrees east of Greenwich") };
    Ok(format!(
        "{},DATUM[{},ELLIPSOID[{},{major},{flattening},LENGTHUNIT[\"metre\",1]]],PRIMEM[{},{meridian},ANGLEUNIT[\"degree\",{}]]",
        quoted(&name.unwrap_or("unnamed".into())),
        quoted(&datum),
        quoted(&ellipsoid),
        quoted(&place),
        std::f64::consts::PI / 180.0
    ))
}

fn angular_unit(keys: &GeoKeys) -> Result<Unit, String> {
    match keys.short(key::ANGULAR_UNITS) {
        None | Some(0) => Ok(("degree".into(), std::f64::consts::PI / 180.0)),
        Some(USER_DEFINED) => match keys.double(key::ANGULAR_UNIT_SIZE) {
            Some(radians) if radians > 0.0 => Ok(("unknown".into(), radians)),
            _ => Ok(("degree".into(), std::f64::consts::PI / 180.0)),
        },
        Some(code) => {
            let unit = angle_unit(code).ok_or_else(|| format!("angular unit EPSG:{code}"))?;
            Ok((unit.0.into(), unit.1))
        }
    }
}

fn linear_unit(keys: &GeoKeys) -> Result<Unit, String> {
    match (keys.short(key::LINEAR_UNITS), keys.double(key::LINEAR_UNIT_SIZE)) {
        (None | Some(0), _) => Ok(("metre".into(), 1.0)),
        (Some(USER_DEFINED), Some(metres)) if metres > 0.0 => Ok(("unknown".into(), metres)),
        (Some(USER_DEFINED), _) => Ok(("metre".into(), 1.0)),
        (Some(code), _) => {
            let unit = length_unit(code).ok_or_else(|| format!("length unit EPSG:{code}"))?;
            Ok((unit.0.into(), unit.1))
        }
    }
}

/// A unit in WKT.
pub(super) fn written(keyword: &str, (name, size): &Unit) -> String {
    format!("{keyword}[{},{size}]", quoted(name))
}

/// A text in WKT.
pub(super) fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\"").replace(['\n', '\r'], " "))
}

/// The part of a citation that is named `what` (`GCS Name = WGS 84|Datum = ...`), or all of it before the first bar.
fn name_in(citation: &str, what: &str) -> String {
    let parts = citation.split('|').map(str::trim);
    let named = parts.clone().find_map(|part| part.split_once('=').filter(|(name, _)| name.trim() == what).map(|(_, value)| value.trim()));
    let whole = parts.clone().find(|part| !part.contains(" = "));
    let text = named.or(whole).unwrap_or("unknown");
    text.chars().take(200).collect()
}
