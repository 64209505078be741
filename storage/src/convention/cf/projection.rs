//! The parameters of a grid mapping (CF appendix F) as a CRS in WKT 2 (ISO 19162:2019), in the methods and parameters of EPSG,
//! as PROJ writes them. Angles are degrees, lengths metres.

use crate::array::{AttributeValue, Attributes};

const DEGREE: &str = "ANGLEUNIT[\"degree\",0.0174532925199433]";
const METRE: &str = "LENGTHUNIT[\"metre\",1]";

/// What a parameter of a projection measures.
#[derive(Debug, Clone, Copy)]
enum Quantity {
    Angle,
    Length,
    Scale,
}

/// A projection: its EPSG name and code (0: none), and its parameters with their names and codes.
struct Method {
    name: &'static str,
    code: u16,
    parameters: Vec<(&'static str, u16, Quantity, f64)>,
}

/// An ellipsoid: name, semi-major axis in metres, inverse flattening (0: a sphere).
struct Ellipsoid {
    name: String,
    semi_major: f64,
    inverse_flattening: f64,
}

/// Ellipsoids by the names that `reference_ellipsoid_name` takes (EPSG's).
const ELLIPSOIDS: [(&str, f64, f64); 16] = [
    ("WGS 84", 6_378_137.0, 298.257_223_563),
    ("WGS 72", 6_378_135.0, 298.26),
    ("GRS 1980", 6_378_137.0, 298.257_222_101),
    ("GRS 1967", 6_378_160.0, 298.247_167_427),
    ("Airy 1830", 6_377_563.396, 299.324_964_6),
    ("Airy Modified 1849", 6_377_340.189, 299.324_964_6),
    ("Australian National Spheroid", 6_378_160.0, 298.25),
    ("Bessel 1841", 6_377_397.155, 299.152_812_8),
    ("Clarke 1866", 6_378_206.4, 294.978_698_213_898),
    ("Clarke 1880 (IGN)", 6_378_249.2, 293.466_021_293_627),
    ("Clarke 1880 (RGS)", 6_378_249.145, 293.465),
    ("Everest 1830 Modified", 6_377_304.063, 300.801_7),
    ("Helmert 1906", 6_378_200.0, 298.3),
    ("International 1924", 6_378_388.0, 297.0),
    ("Krassowsky 1940", 6_378_245.0, 298.3),
    ("IAU 1976", 6_378_140.0, 298.257),
];

/// Datums by the names that `horizontal_datum_name` takes, with EPSG's name, ellipsoid and code.
const DATUMS: [(&[&str], &str, &str, u16); 6] = [
    (&["WGS_1984", "World Geodetic System 1984", "WGS 84", "WGS84"], "World Geodetic System 1984", "WGS 84", 6326),
    (&["North_American_Datum_1983", "North American Datum 1983", "NAD83"], "North American Datum 1983", "GRS 1980", 6269),
    (&["North_American_Datum_1927", "North American Datum 1927", "NAD27"], "North American Datum 1927", "Clarke 1866", 6267),
    (
        &["European_Terrestrial_Reference_System_1989", "European Terrestrial Reference System 1989", "ETRS89"],
        "European Terrestrial Reference System 1989",
        "GRS 1980",
        6258,
    ),
    (
        &["OSGB_1936", "OSGB 1936", "OSGB36", "Ordnance Survey of Great Britain 1936"],
        "Ordnance Survey of Great Britain 1936",
        "Airy 1830",
        6277,
    ),
    (&["European_Datum_1950", "European Datum 1950", "ED50"], "European Datum 1950", "International 1924", 6230),
];

/// The CRS that a grid mapping's parameters describe: `EPSG:4326` for latitude and longitude on WGS 84 (or on nothing that is
/// said), else WKT. The error says in one line what is missing or not known.
pub fn crs(attributes: &Attributes) -> Result<String, String> {
    let of = Parameters(attributes);
    let name = attributes.text("grid_mapping_name").map(str::trim).unwrap_or_default();
    let base = Base::of(&of);
    match name {
        "latitude_longitude" if base.is_default() => Ok("EPSG:4326".to_owned()),
        "latitude_longitude" => Ok(format!("GEOGCRS[{},{},{}]", quoted(&base.crs_name), base.datum(), geographic_axes())),
        "rotated_latitude_longitude" => {
            let parameter = |name: &str, value: f64| format!("PARAMETER[\"{name} (netCDF CF convention)\",{value},{DEGREE}]");
            let conversion = [
                parameter("Grid north pole latitude", of.required("grid_north_pole_latitude")?),
                parameter("Grid north pole longitude", of.required("grid_north_pole_longitude")?),
                parameter("North pole grid longitude", of.number("north_pole_grid_longitude").unwrap_or(0.0)),
            ];
            let method = "Pole rotation (netCDF CF convention)";
            Ok(format!(
                "GEOGCRS[\"undefined\",BASEGEOGCRS[{},{}],DERIVINGCONVERSION[\"{method}\",METHOD[\"{method}\"],{}],{}]",
                quoted(&base.crs_name),
                base.datum(),
                conversion.join(","),
                geographic_axes()
            ))
        }
        _ => {
            let method = method(name, &of)?;
            let id = |code: u16| if code == 0 { String::new() } else { format!(",ID[\"EPSG\",{code}]") };
            let parameters = method.parameters.iter().map(|&(name, code, quantity, value)| {
                let unit = match quantity {
                    Quantity::Angle => DEGREE,
                    Quantity::Length => METRE,
                    Quantity::Scale => "SCALEUNIT[\"unity\",1]",
                };
                format!("PARAMETER[\"{name}\",{value},{unit}{}]", id(code))
            });
            Ok(format!(
                "PROJCRS[{},BASEGEOGCRS[{},{}],CONVERSION[\"unknown\",METHOD[\"{}\"{}],{}],CS[Cartesian,2],\
                 AXIS[\"(E)\",east,ORDER[1],{METRE}],AXIS[\"(N)\",north,ORDER[2],{METRE}]]",
                quoted(attributes.text("projected_crs_name").unwrap_or("undefined")),
                quoted(&base.crs_name),
                base.datum(),
                method.name,
                id(method.code),
                parameters.collect::<Vec<_>>().join(",")
            ))
        }
    }
}

/// The projection of a CF name.
fn method(name: &str, of: &Parameters) -> Result<Method, String> {
    use Quantity::{Angle, Length, Scale};
    let or = |name: &str, default: f64| of.number(name).unwrap_or(default);
    let (latitude, longitude) = (or("latitude_of_projection_origin", 0.0), or("longitude_of_projection_origin", 0.0));
    let meridian = or("longitude_of_central_meridian", 0.0);
    let scale = of.number("scale_factor_at_projection_origin");
    let easting = ("False easting", 8806, Length, or("false_easting", 0.0));
    let northing = ("False northing", 8807, Length, or("false_northing", 0.0));
    let at = |latitude, longitude| {
        (("Latitude of natural origin", 8801, Angle, latitude), ("Longitude of natural origin", 8802, Angle, longitude))
    };
    let scaled = |value| ("Scale factor at natural origin", 8805, Scale, value);
    let false_origin = |first: f64, second: f64| {
        vec![
            ("Latitude of 1st standard parallel", 8823, Angle, first),
            ("Latitude of 2nd standard parallel", 8824, Angle, second),
            ("Latitude of false origin", 8821, Angle, latitude),
            ("Longitude of false origin", 8822, Angle, meridian),
            ("Easting at false origin", 8826, Length, easting.3),
            ("Northing at false origin", 8827, Length, northing.3),
        ]
    };
    let parallels = of.numbers("standard_parallel");
    let (name, code, parameters) = match (name, parallels.as_deref()) {
        ("albers_conical_equal_area", Some([first, rest @ ..])) => {
            // One parallel is both: a cone that touches.
            ("Albers Equal Area", 9822, false_origin(*first, rest.first().copied().unwrap_or(*first)))
        }
        ("lambert_conformal_conic", Some([first, second])) => ("Lambert Conic Conformal (2SP)", 9802, false_origin(*first, *second)),
        // The northing counts from the latitude of the origin, which need not be the parallel that the cone touches.
        ("lambert_conformal_conic", Some([one])) if of.number("latitude_of_projection_origin").is_some_and(|l| l != *one) => {
            ("Lambert Conic Conformal (2SP)", 9802, false_origin(*one, *one))
        }
        ("lambert_conformal_conic", Some([one])) => {
            let (latitude, longitude) = at(*one, meridian);
            ("Lambert Conic Conformal (1SP)", 9801, vec![latitude, longitude, scaled(1.0), easting, northing])
        }
        ("albers_conical_equal_area" | "lambert_conformal_conic", _) => return Err("it has no usable standard_parallel".into()),
        ("azimuthal_equidistant", _) => {
            let (latitude, longitude) = at(latitude, longitude);
            ("Azimuthal Equidistant", 1125, vec![latitude, longitude, easting, northing])
        }
        ("lambert_azimuthal_equal_area", _) => {
            let (latitude, longitude) = at(latitude, longitude);
            ("Lambert Azimuthal Equal Area", 9820, vec![latitude, longitude, easting, northing])
        }
        ("orthographic", _) => {
            let (latitude, longitude) = at(latitude, longitude);
            ("Orthographic", 9840, vec![latitude, longitude, easting, northing])
        }
        ("geostationary", _) => {
            let sweep = of.text("sweep_angle_axis").or_else(|| match of.text("fixed_angle_axis")? {
                "x" | "X" => Some("y"),
                "y" | "Y" => Some("x"),
                _ => None,
            });
            let name = match sweep.map(str::to_ascii_lowercase).as_deref() {
                Some("x") => "Geostationary Satellite (Sweep X)",
                Some("y") => "Geostationary Satellite (Sweep Y)",
                _ => return Err("it says neither sweep_angle_axis nor fixed_angle_axis".into()),
            };
            let height = ("Satellite height", 0, Length, of.required("perspective_point_height")?);
            let (latitude, longitude) = at(latitude, longitude);
            (name, 0, vec![height, latitude, longitude, easting, northing])
        }
        ("lambert_cylindrical_equal_area", parallels) => match (scale, parallels.and_then(|p| p.first())) {
            (Some(scale), None) => {
                let (_, longitude) = at(0.0, meridian);
                ("Lambert Cylindrical Equal Area (Spherical)", 0, vec![longitude, scaled(scale), easting, northing])
            }
            (_, parallel) => {
                let parallel = ("Latitude of 1st standard parallel", 8823, Angle, parallel.copied().unwrap_or(0.0));
                ("Lambert Cylindrical Equal Area", 9835, vec![parallel, at(0.0, meridian).1, easting, northing])
            }
        },
        ("mercator", parallels) => match (scale, parallels.and_then(|p| p.first())) {
            (Some(scale), parallel) => {
                let (latitude, longitude) = at(parallel.copied().unwrap_or(0.0), longitude);
                ("Mercator (variant A)", 9804, vec![latitude, longitude, scaled(scale), easting, northing])
            }
            (None, parallel) => {
                let parallel = ("Latitude of 1st standard parallel", 8823, Angle, parallel.copied().unwrap_or(0.0));
                ("Mercator (variant B)", 9805, vec![parallel, at(0.0, longitude).1, easting, northing])
            }
        },
        ("oblique_mercator", _) => {
            let parameters = vec![
                ("Latitude of projection centre", 8811, Angle, of.required("latitude_of_projection_origin")?),
                ("Longitude of projection centre", 8812, Angle, of.required("longitude_of_projection_origin")?),
                ("Azimuth at projection centre", 8813, Angle, of.required("azimuth_of_central_line")?),
                ("Angle from Rectified to Skew Grid", 8814, Angle, 0.0),
                ("Scale factor at projection centre", 8815, Scale, scale.unwrap_or(1.0)),
                ("Easting at projection centre", 8816, Length, easting.3),
                ("Northing at projection centre", 8817, Length, northing.3),
            ];
            ("Hotine Oblique Mercator (variant B)", 9815, parameters)
        }
        ("polar_stereographic", parallels) => {
            let down = of.number("straight_vertical_longitude_from_pole").or(of.number("longitude_of_projection_origin"));
            let down = down.ok_or("it has no straight_vertical_longitude_from_pole")?;
            match parallels.and_then(|p| p.first()) {
                Some(&parallel) => {
                    let parallel = ("Latitude of standard parallel", 8832, Angle, parallel);
                    let longitude = ("Longitude of origin", 8833, Angle, down);
                    ("Polar Stereographic (variant B)", 9829, vec![parallel, longitude, easting, northing])
                }
                None => {
                    let (latitude, longitude) = at(of.required("latitude_of_projection_origin")?, down);
                    let scale = scaled(scale.unwrap_or(1.0));
                    ("Polar Stereographic (variant A)", 9810, vec![latitude, longitude, scale, easting, northing])
                }
            }
        }
        ("sinusoidal", _) => {
            // Some writers name the meridian as that of cylindrical projections.
            let longitude = of.number("longitude_of_projection_origin").unwrap_or(meridian);
            ("Sinusoidal", 0, vec![at(0.0, longitude).1, easting, northing])
        }
        ("stereographic", _) => {
            let (latitude, longitude) = at(latitude, longitude);
            ("Stereographic", 0, vec![latitude, longitude, scaled(scale.unwrap_or(1.0)), easting, northing])
        }
        ("transverse_mercator", _) => {
            let (latitude, longitude) = at(latitude, meridian);
            let scale = scaled(of.number("scale_factor_at_central_meridian").unwrap_or(1.0));
            ("Transverse Mercator", 9807, vec![latitude, longitude, scale, easting, northing])
        }
        ("vertical_perspective", _) => {
            let parameters = vec![
                ("Latitude of topocentric origin", 8834, Angle, latitude),
                ("Longitude of topocentric origin", 8835, Angle, longitude),
                ("Ellipsoidal height of topocentric origin", 8836, Length, 0.0),
                ("Viewpoint height", 8840, Length, of.required("perspective_point_height")?),
            ];
            ("Vertical Perspective", 9838, parameters)
        }
        ("", _) => return Err("it has no grid_mapping_name".into()),
        (other, _) => return Err(format!("{other:?} is not a projection that is known")),
    };
    Ok(Method { name, code, parameters })
}

/// Finite numbers and texts among attributes.
struct Parameters<'a>(&'a Attributes);

impl Parameters<'_> {
    /// The numbers of an attribute; text is read as numbers with commas or blanks between them.
    fn numbers(&self, name: &str) -> Option<Vec<f64>> {
        let numbers = match self.0.get(name)? {
            AttributeValue::Text(text) => {
                let parts = text.split([',', ' ']).filter(|part| !part.is_empty());
                parts.map(|part| part.parse().ok()).collect::<Option<Vec<f64>>>()?
            }
            other => other.numbers()?,
        };
        (!numbers.is_empty() && numbers.iter().all(|v| v.is_finite())).then_some(numbers)
    }

    fn number(&self, name: &str) -> Option<f64> {
        self.numbers(name)?.first().copied()
    }

    fn required(&self, name: &str) -> Result<f64, String> {
        self.number(name).ok_or_else(|| format!("it has no usable {name}"))
    }

    /// A text that says something.
    fn text(&self, name: &str) -> Option<&str> {
        let undefined = |text: &str| text.is_empty() || ["undefined", "unknown"].iter().any(|u| text.eq_ignore_ascii_case(u));
        self.0.text(name).map(str::trim).filter(|text| !undefined(text))
    }
}

/// The geographic CRS below a projection.
struct Base {
    crs_name: String,
    datum_name: String,
    datum_code: u16,
    ellipsoid: Ellipsoid,
    meridian_name: String,
    meridian: f64,
}

impl Base {
    /// By the parameters of the ellipsoid, else by names of ellipsoid and datum, else WGS 84.
    fn of(of: &Parameters) -> Base {
        let named = of.text("horizontal_datum_name");
        let known = named.and_then(|name| DATUMS.iter().find(|d| d.0.iter().any(|n| n.eq_ignore_ascii_case(name))));
        let by_name = |name: &str| ELLIPSOIDS.iter().find(|e| e.0.eq_ignore_ascii_case(name));
        let ellipsoid_name = of.text("reference_ellipsoid_name");
        let known_ellipsoid = ellipsoid_name.and_then(by_name).or(known.and_then(|d| by_name(d.2)));
        let written = written_ellipsoid(of, ellipsoid_name.unwrap_or("undefined"));
        let is_known = |e: &Ellipsoid| known_ellipsoid.is_none_or(|k| k.1 == e.semi_major && (k.2 - e.inverse_flattening).abs() < 1e-6);
        let (ellipsoid, agrees) = match (written, known_ellipsoid) {
            (Some(written), _) => {
                let agrees = is_known(&written);
                (written, agrees)
            }
            (None, Some(k)) => (Ellipsoid { name: k.0.to_owned(), semi_major: k.1, inverse_flattening: k.2 }, true),
            (None, None) => (Ellipsoid { name: "WGS 84".into(), semi_major: 6_378_137.0, inverse_flattening: 298.257_223_563 }, true),
        };
        let nothing_said =
            of.numbers("earth_radius").or(of.numbers("semi_major_axis")).is_none() && ellipsoid_name.is_none() && named.is_none();
        let (datum_name, datum_code) = match known {
            Some(datum) if agrees => (datum.1.to_owned(), datum.3),
            _ if nothing_said => ("World Geodetic System 1984".to_owned(), 6326),
            _ => (named.unwrap_or("undefined").to_owned(), 0),
        };
        Base {
            crs_name: of.text("geographic_crs_name").unwrap_or("undefined").to_owned(),
            datum_name,
            datum_code,
            ellipsoid,
            meridian_name: of.text("prime_meridian_name").unwrap_or("undefined").to_owned(),
            meridian: of.number("longitude_of_prime_meridian").unwrap_or(0.0),
        }
    }

    /// True for WGS 84 and Greenwich.
    fn is_default(&self) -> bool {
        let e = &self.ellipsoid;
        let wgs84 = e.semi_major == 6_378_137.0 && (e.inverse_flattening - 298.257_223_563).abs() < 1e-6;
        wgs84 && self.meridian == 0.0 && (self.datum_code == 6326 || self.datum_name == "undefined")
    }

    fn datum(&self) -> String {
        let e = &self.ellipsoid;
        let id = if self.datum_code == 0 { String::new() } else { format!(",ID[\"EPSG\",{}]", self.datum_code) };
        let meridian = if self.meridian == 0.0 { "Greenwich" } else { &self.meridian_name };
        format!(
            "DATUM[{},ELLIPSOID[{},{},{},{METRE}]{id}],PRIMEM[{},{},{DEGREE}]",
            quoted(&self.datum_name),
            quoted(&e.name),
            e.semi_major,
            e.inverse_flattening,
            quoted(meridian),
            self.meridian
        )
    }
}

/// The ellipsoid that is written in numbers.
fn written_ellipsoid(of: &Parameters, name: &str) -> Option<Ellipsoid> {
    let positive = |name: &str| of.number(name).filter(|&v| v > 0.0);
    let semi_major = positive("semi_major_axis").or(positive("earth_radius"))?;
    let inverse_flattening = match (positive("inverse_flattening"), positive("semi_minor_axis")) {
        (Some(inverse), _) => inverse,
        (None, Some(minor)) if minor < semi_major => semi_major / (semi_major - minor),
        _ => 0.0,
    };
    Some(Ellipsoid { name: name.to_owned(), semi_major, inverse_flattening })
}

fn geographic_axes() -> String {
    format!("CS[ellipsoidal,2],AXIS[\"longitude\",east,ORDER[1],{DEGREE}],AXIS[\"latitude\",north,ORDER[2],{DEGREE}]")
}

/// A name in WKT's quotes.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::array::DataType;

    fn attributes(parameters: &Value) -> Attributes {
        let value = |v: &Value| match v {
            Value::String(s) => AttributeValue::Text(s.clone()),
            Value::Array(a) => AttributeValue::Floats(DataType::Float64, a.iter().filter_map(Value::as_f64).collect()),
            other => AttributeValue::Floats(DataType::Float64, other.as_f64().into_iter().collect()),
        };
        Attributes(parameters.as_object().unwrap().iter().map(|(n, v)| (n.clone(), value(v))).collect())
    }

    /// The WKT of every case is the one that `tests/corpus/cf/make_projections.py` found equal to pyproj's CRS.
    #[test]
    fn projections_are_those_that_pyproj_found_equal() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/corpus/cf/projections.json");
        let cases: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let print = std::env::var_os("GRATICULE_PRINT_WKT").is_some();
        for case in &cases {
            let found = crs(&attributes(&case["parameters"]));
            match case["wkt"].as_str() {
                _ if print => println!("WKT {}", found.unwrap_or_default()),
                Some(wkt) => assert_eq!(found.as_deref(), Ok(wkt)),
                None => assert!(found.is_err(), "{found:?}"),
            }
        }
        assert!(cases.len() > 30, "{}", cases.len());
    }

    #[test]
    fn what_is_missing_is_said() {
        let of = |text: &str| crs(&attributes(&serde_json::from_str(text).unwrap())).unwrap_err();
        assert_eq!(of(r#"{"grid_mapping_name": "polar_stereographic"}"#), "it has no straight_vertical_longitude_from_pole");
        assert_eq!(of(r#"{"grid_mapping_name": "healpix"}"#), "\"healpix\" is not a projection that is known");
        assert_eq!(of(r#"{"semi_major_axis": 1}"#), "it has no grid_mapping_name");
    }
}
