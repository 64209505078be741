//! Projection methods of GeoTIFF (ProjCoordTransGeoKey) and their parameters, by the names of EPSG and PROJ.

use super::crs::{Unit, quoted, written};
use super::keys::{GeoKeys, USER_DEFINED, key};

/// Kinds of parameters.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Angle,
    Length,
    Scale,
}

/// `CONVERSION[...]` in WKT 2: the parameters with the units that the keys have them in.
pub(super) fn conversion(keys: &GeoKeys, angle: &Unit, length: &Unit) -> Result<String, String> {
    if let Some(code) = keys.epsg(key::PROJECTION) {
        return utm(code).ok_or_else(|| format!("user-defined, projection EPSG:{code}"));
    }
    let method = match keys.short(key::METHOD) {
        Some(USER_DEFINED) | None => return Err("user-defined, without a projection method".into()),
        Some(method) => method,
    };
    let (name, parameters) = parameters(keys, method).ok_or_else(|| format!("user-defined, projection method {method}"))?;
    let mut text = format!("CONVERSION[\"unnamed\",METHOD[{}]", quoted(name));
    for (name, value, kind) in parameters {
        let unit = match kind {
            Kind::Angle => written("ANGLEUNIT", angle),
            Kind::Length => written("LENGTHUNIT", length),
            Kind::Scale => "SCALEUNIT[\"unity\",1]".into(),
        };
        text.push_str(&format!(",PARAMETER[{},{value},{unit}]", quoted(name)));
    }
    Ok(text + "]")
}

/// UTM zones: the conversions of EPSG that GeoTIFF writers use beside user-defined geographic CRSs.
fn utm(code: u16) -> Option<String> {
    let (zone, south) = match code {
        16001..=16060 => (code - 16000, false),
        16101..=16160 => (code - 16100, true),
        _ => return None,
    };
    let degree = std::f64::consts::PI / 180.0;
    let angle = |name: &str, v: i32| format!("PARAMETER[\"{name}\",{v},ANGLEUNIT[\"degree\",{degree}]]");
    let metres = |name: &str, v: i32| format!("PARAMETER[\"{name}\",{v},LENGTHUNIT[\"metre\",1]]");
    Some(format!(
        "CONVERSION[\"UTM zone {zone}{}\",METHOD[\"Transverse Mercator\"],{},{},PARAMETER[\"Scale factor at natural origin\",0.9996,\
         SCALEUNIT[\"unity\",1]],{},{}]",
        if south { 'S' } else { 'N' },
        angle("Latitude of natural origin", 0),
        angle("Longitude of natural origin", 6 * i32::from(zone) - 183),
        metres("False easting", 500_000),
        metres("False northing", if south { 10_000_000 } else { 0 }),
    ))
}

type Parameters = Vec<(&'static str, f64, Kind)>;

/// A method's name and parameters; writers put the origin into the keys of natural origin, false origin or centre.
fn parameters(keys: &GeoKeys, method: u16) -> Option<(&'static str, Parameters)> {
    let latitude = [key::NATURAL_LATITUDE, key::FALSE_ORIGIN_LATITUDE, key::CENTRE_LATITUDE];
    let longitude = [key::NATURAL_LONGITUDE, key::FALSE_ORIGIN_LONGITUDE, key::CENTRE_LONGITUDE, key::POLE_LONGITUDE];
    let easting = [key::FALSE_EASTING, key::FALSE_ORIGIN_EASTING, key::CENTRE_EASTING];
    let northing = [key::FALSE_NORTHING, key::FALSE_ORIGIN_NORTHING, key::CENTRE_NORTHING];
    let or_zero = |all: &[u16]| keys.first_double(all).unwrap_or(0.0);
    let (lat, lon, x, y) = (or_zero(&latitude), or_zero(&longitude), or_zero(&easting), or_zero(&northing));
    let scale = keys.first_double(&[key::SCALE_AT_NATURAL_ORIGIN, key::SCALE_AT_CENTRE]).unwrap_or(1.0);
    let (first, second) = (keys.double(key::STANDARD_PARALLEL_1), keys.double(key::STANDARD_PARALLEL_2));
    let (lat_0, lon_0) = (("Latitude of natural origin", lat, Kind::Angle), ("Longitude of natural origin", lon, Kind::Angle));
    let k = ("Scale factor at natural origin", scale, Kind::Scale);
    let (fe, fn_) = (("False easting", x, Kind::Length), ("False northing", y, Kind::Length));
    let natural = || vec![lat_0, lon_0, fe, fn_];
    let scaled = || vec![lat_0, lon_0, k, fe, fn_];
    let conic = || {
        vec![
            ("Latitude of false origin", lat, Kind::Angle),
            ("Longitude of false origin", lon, Kind::Angle),
            ("Latitude of 1st standard parallel", first.unwrap_or(0.0), Kind::Angle),
            ("Latitude of 2nd standard parallel", second.or(first).unwrap_or(0.0), Kind::Angle),
            ("Easting at false origin", x, Kind::Length),
            ("Northing at false origin", y, Kind::Length),
        ]
    };
    let parallel = |at: f64| vec![("Latitude of 1st standard parallel", at, Kind::Angle), lon_0, fe, fn_];
    let longitude_only = || vec![lon_0, fe, fn_];
    Some(match method {
        1 => ("Transverse Mercator", scaled()),
        27 => ("Transverse Mercator (South Orientated)", scaled()),
        3 => {
            let azimuth = keys.double(key::AZIMUTH)?;
            let grid = keys.double(key::GRID_ANGLE).unwrap_or(90.0);
            let parameters = vec![
                ("Latitude of projection centre", lat, Kind::Angle),
                ("Longitude of projection centre", lon, Kind::Angle),
                ("Azimuth at projection centre", azimuth, Kind::Angle),
                ("Angle from Rectified to Skew Grid", grid, Kind::Angle),
                ("Scale factor at projection centre", scale, Kind::Scale),
                fe,
                fn_,
            ];
            ("Hotine Oblique Mercator (variant A)", parameters)
        }
        7 => match first.filter(|_| keys.double(key::SCALE_AT_NATURAL_ORIGIN).is_none()) {
            Some(at) => ("Mercator (variant B)", parallel(at)),
            None => ("Mercator (variant A)", scaled()),
        },
        8 => ("Lambert Conic Conformal (2SP)", conic()),
        9 => ("Lambert Conic Conformal (1SP)", scaled()),
        10 => ("Lambert Azimuthal Equal Area", natural()),
        11 => ("Albers Equal Area", conic()),
        12 => ("Azimuthal Equidistant", natural()),
        13 => ("Equidistant Conic", conic()),
        14 => ("Stereographic", scaled()),
        15 if lat.abs() == 90.0 => ("Polar Stereographic (variant A)", scaled()),
        15 if scale == 1.0 => {
            let origin = ("Longitude of origin", lon, Kind::Angle);
            ("Polar Stereographic (variant B)", vec![("Latitude of standard parallel", lat, Kind::Angle), origin, fe, fn_])
        }
        16 => ("Oblique Stereographic", scaled()),
        // The latitude of origin moves the northings; EPSG's method has none.
        17 if lat == 0.0 => ("Equidistant Cylindrical", parallel(first.unwrap_or(0.0))),
        18 => ("Cassini-Soldner", natural()),
        19 => ("Gnomonic", natural()),
        20 => ("Miller Cylindrical", longitude_only()),
        21 => ("Orthographic", natural()),
        22 => ("American Polyconic", natural()),
        23 => ("Robinson", longitude_only()),
        24 => ("Sinusoidal", longitude_only()),
        25 => ("Van Der Grinten", longitude_only()),
        26 => ("New Zealand Map Grid", natural()),
        28 => ("Lambert Cylindrical Equal Area", parallel(first.unwrap_or(0.0))),
        _ => return None,
    })
}
