//! GeoTIFF (OGC 19-008r4) and GDAL's tags: geo tags to x and y axes and a CRS, nodata and scale to encodings.

use std::collections::BTreeMap;

use super::{Described, Variable};
use crate::Result;
use crate::array::{AttributeValue, Attributes, Axis, AxisRole, Coordinates, DataType, Encoding};
use crate::format::geotiff::nodata;
use crate::format::{IndexedArray, IndexedGranule};

/// Axes with more cells keep positions for coordinates: nothing but a claimed image size backs so many.
const LONGEST_AXIS: u64 = 1 << 24;

/// Describes a granule of format `geotiff` or `tiff`: one variable a band of the full-resolution image, `band_1` ..., on
/// axes `y`, `x` whose coordinates are cell centres. Overviews and further pages stay arrays and are no variables.
pub fn describe(granule: &IndexedGranule) -> Result<Described> {
    let keys = GeoKeys::of(&granule.attributes);
    let mut warnings = Vec::new();
    let transform = transform(&granule.attributes, keys.short(RASTER_TYPE) == Some(2), &mut warnings);
    // Ground control points are in the CRS; the axes are not.
    let crs = if has_control_points(&granule.attributes) { None } else { crs(&keys, &mut warnings) };
    if granule.refused.iter().any(|r| r.reason.starts_with("a transparency mask")) {
        warnings.push("a transparency mask is not applied: masked cells have the stored values".into());
    }
    let first = granule.array("/band_1").or(granule.array("/band_1/real")).map(|a| a.metadata.shape.clone());
    let (mut arrays, mut other_grids) = (Vec::new(), 0);
    for (number, array) in granule.arrays.iter().enumerate() {
        match place(&array.metadata.path) {
            Place::FirstImage => arrays.push((number, array)),
            Place::Page(page) if Some(&array.metadata.shape) == first.as_ref() && same_place(granule, page) => arrays.push((number, array)),
            Place::Page(_) => other_grids += 1,
            Place::Other => {}
        }
    }
    if other_grids > 0 {
        warnings.push(format!("{other_grids} bands of pages on other grids than the first image's are not part of cubes"));
    }
    let variables = arrays.into_iter();
    let variables = variables
        .map(|(array, indexed)| Variable {
            name: indexed.metadata.path.trim_start_matches('/').replace('/', "."),
            array,
            axes: axes(indexed, transform, &keys, &mut warnings),
            encoding: super::encoding_in(granule, array, &mut warnings),
            attributes: indexed.metadata.attributes.clone(),
            crs: crs.clone(),
        })
        .collect();
    Ok(Described { variables, attributes: granule.attributes.clone(), warnings })
}

/// Where an array of a TIFF file belongs.
enum Place<'a> {
    /// The full-resolution image of the first page.
    FirstImage,
    /// That of the further page of this group.
    Page(&'a str),
    /// An overview or a mask.
    Other,
}

fn place(path: &str) -> Place<'_> {
    let mut parts = path.trim_start_matches('/').split('/');
    let (first, second) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let page = first.starts_with("page_") || first.starts_with("sub_directory_");
    match (first.starts_with("band_"), page && second.starts_with("band_")) {
        (true, _) => Place::FirstImage,
        (_, true) => Place::Page(first),
        _ => Place::Other,
    }
}

/// True when a further page has no place of its own, or that of the first image.
fn same_place(granule: &IndexedGranule, page: &str) -> bool {
    let group = granule.groups.iter().find(|(path, _)| path.trim_start_matches('/') == page);
    let names = ["ModelPixelScale", "ModelTiepoint", "ModelTransformation", "GeoKeyDirectory"];
    group.is_none_or(|(_, own)| names.iter().all(|n| own.get(n).is_none()) || names.iter().all(|n| own.get(n) == granule.attributes.get(n)))
}

const MODEL_TYPE: u16 = 1024;
const RASTER_TYPE: u16 = 1025;
const CITATION: u16 = 1026;
const GEODETIC_CRS: u16 = 2048;
const GEODETIC_CITATION: u16 = 2049;
const ANGULAR_UNITS: u16 = 2054;
const PROJECTED_CRS: u16 = 3072;
const PROJECTED_CITATION: u16 = 3073;
const LINEAR_UNITS: u16 = 3076;
const USER_DEFINED: u16 = 32767;

/// The keys of the GeoKeyDirectory that are read.
#[derive(Debug, Default)]
struct GeoKeys {
    shorts: BTreeMap<u16, u16>,
    texts: BTreeMap<u16, String>,
}

impl GeoKeys {
    /// Reads key entries (OGC 19-008r4, 7.1.2): id, tag that holds the value (0: the entry itself), count, value or index.
    fn of(attributes: &Attributes) -> GeoKeys {
        let mut keys = GeoKeys::default();
        let Some(AttributeValue::Integers(_, directory)) = attributes.get("GeoKeyDirectory") else { return keys };
        let ascii: Vec<char> = attributes.text("GeoAsciiParams").unwrap_or_default().chars().collect();
        let count = directory.get(3).copied().unwrap_or(0).max(0) as usize;
        for entry in directory.get(4..).unwrap_or_default().chunks_exact(4).take(count) {
            let &[id, place, count, value] = entry else { continue };
            let (Ok(id), Ok(value)) = (u16::try_from(id), u16::try_from(value)) else { continue };
            match place {
                0 => {
                    keys.shorts.insert(id, value);
                }
                34737 => {
                    let end = usize::from(value).saturating_add(usize::try_from(count).unwrap_or(0)).min(ascii.len());
                    if let Some(text) = ascii.get(usize::from(value)..end) {
                        let text: String = text.iter().collect();
                        keys.texts.insert(id, text.trim_end_matches(['|', ' ']).to_string());
                    }
                }
                _ => {}
            }
        }
        keys
    }

    fn short(&self, key: u16) -> Option<u16> {
        self.shorts.get(&key).copied()
    }

    /// An EPSG code, where the key holds one.
    fn epsg(&self, key: u16) -> Option<u16> {
        self.short(key).filter(|code| (1024..USER_DEFINED).contains(code))
    }

    /// All citations, for messages and for the CRSs that stand nowhere else.
    fn citations(&self) -> String {
        let all = [CITATION, PROJECTED_CITATION, GEODETIC_CITATION];
        all.iter().filter_map(|k| self.texts.get(k)).map(String::as_str).collect::<Vec<_>>().join("; ")
    }

    /// True for latitude and longitude in degrees.
    fn is_geographic(&self) -> bool {
        match self.short(MODEL_TYPE) {
            Some(2) => true,
            Some(1 | 3) => false,
            _ => self.short(PROJECTED_CRS).is_none() && self.epsg(GEODETIC_CRS).is_some() && !self.is_web_mercator(),
        }
    }

    /// ArcGIS writes Web Mercator as a citation only.
    fn is_web_mercator(&self) -> bool {
        self.citations().contains("WGS_1984_Web_Mercator_Auxiliary_Sphere")
    }
}

fn crs(keys: &GeoKeys, warnings: &mut Vec<String>) -> Option<String> {
    if keys.shorts.is_empty() {
        return None;
    }
    if keys.is_geographic() {
        if let Some(code) = keys.epsg(GEODETIC_CRS) {
            return Some(format!("EPSG:{code}"));
        }
    } else if let Some(code) = keys.epsg(PROJECTED_CRS) {
        return match keys.short(LINEAR_UNITS) {
            None | Some(9001 | USER_DEFINED) => Some(format!("EPSG:{code}")),
            // Without a registry of CRSs: its name, where a writer cites it, tells that the code itself is in feet.
            Some(9002..=9005) if keys.citations().contains("(ft") => Some(format!("EPSG:{code}")),
            Some(unit) => {
                warnings
                    .push(format!("CRS: ProjLinearUnitsGeoKey {unit} overrides the unit of EPSG:{code}: not that CRS, which is left out"));
                None
            }
        };
    } else if keys.is_web_mercator() {
        return Some("EPSG:3857".into());
    }
    let citations = keys.citations();
    if keys.short(MODEL_TYPE).is_some() || !citations.is_empty() {
        let cited = if citations.is_empty() { String::new() } else { format!(" ({})", citations.chars().take(200).collect::<String>()) };
        warnings.push(format!("CRS: user-defined, without an EPSG code: left out{cited}"));
    }
    None
}

/// The affine transform in GDAL's order: x = t0 + column * t1 + row * t2, y = t3 + column * t4 + row * t5, of cell corners.
///
/// As GDAL reads it: a tie point with a pixel scale comes first, then the transformation matrix; where a tie point is a
/// cell's centre (pixel-is-point), the origin moves by half a cell; a negative scale of y is taken for a positive one.
fn transform(attributes: &Attributes, point: bool, warnings: &mut Vec<String>) -> Option<[f64; 6]> {
    let numbers = |name| attributes.get(name).and_then(AttributeValue::numbers).unwrap_or_default();
    let (scale, ties, matrix) = (numbers("ModelPixelScale"), numbers("ModelTiepoint"), numbers("ModelTransformation"));
    let mut t = match (scale.as_slice(), ties.as_slice(), matrix.as_slice()) {
        (&[sx, sy, ..], &[column, row, _, x, y, _, ..], _) if sx != 0.0 && sy != 0.0 => {
            let sy = -sy.abs();
            [x - column * sx, sx, 0.0, y - row * sy, 0.0, sy]
        }
        (_, _, &[a, b, _, x, c, d, _, y, _, _, _, _, _, _, _, _]) => [x, a, b, y, c, d],
        _ if has_control_points(attributes) => {
            warnings.push(format!("{} ground control points instead of a grid: x and y are positions", ties.len() / 6));
            return None;
        }
        _ => return None,
    };
    if point {
        t[0] -= 0.5 * (t[1] + t[2]);
        t[3] -= 0.5 * (t[4] + t[5]);
    }
    if t.iter().any(|v| !v.is_finite()) {
        warnings.push(format!("the transform {t:?} is not finite: x and y are positions"));
        return None;
    }
    if t[2] != 0.0 || t[4] != 0.0 {
        warnings.push(format!("the grid is rotated (transform {t:?}): x and y are positions"));
        return None;
    }
    if t[1] == 0.0 || t[5] == 0.0 {
        warnings.push(format!("cells of size 0 (transform {t:?}): x and y are positions"));
        return None;
    }
    Some(t)
}

/// True for tie points that no pixel scale and no matrix make a grid of.
fn has_control_points(attributes: &Attributes) -> bool {
    let count = |name| attributes.get(name).and_then(AttributeValue::numbers).map_or(0, |v| v.len());
    count("ModelTiepoint") > 6 && count("ModelPixelScale") < 2 && count("ModelTransformation") != 16
}

/// Axes `y` and `x` of a band.
fn axes(array: &IndexedArray, transform: Option<[f64; 6]>, keys: &GeoKeys, warnings: &mut Vec<String>) -> Vec<Axis> {
    let degrees = matches!(keys.short(ANGULAR_UNITS), None | Some(9102));
    let geographic = keys.is_geographic() && degrees;
    let unit = match keys.short(LINEAR_UNITS) {
        _ if keys.is_geographic() => None,
        Some(9001) => Some("m"),
        Some(9002) => Some("ft"),
        Some(9003) => Some("US_survey_foot"),
        Some(9036) => Some("km"),
        _ => None,
    };
    let mut axis = |name: &str, n: u64, along: Option<(f64, f64)>, role: (AxisRole, AxisRole), degrees: &str| {
        let mut axis = Axis::of_positions(name, n);
        axis.role = role.0;
        let Some((origin, step)) = along else { return axis };
        if n > LONGEST_AXIS {
            let warning = format!("axis {name} has {n} cells, more than {LONGEST_AXIS}: its coordinates are positions");
            if !warnings.contains(&warning) {
                warnings.push(warning);
            }
            return axis;
        }
        axis.coordinates = Coordinates::Float64((0..n).map(|i| origin + (i as f64 + 0.5) * step).collect());
        if geographic {
            axis.role = role.1;
            axis.units = Some(degrees.into());
        } else {
            axis.units = unit.map(str::to_string);
        }
        axis
    };
    let &[height, width] = array.metadata.shape.as_slice() else { return Vec::new() };
    vec![
        axis("y", height, transform.map(|t| (t[3], t[5])), (AxisRole::Y, AxisRole::Latitude), "degrees_north"),
        axis("x", width, transform.map(|t| (t[0], t[1])), (AxisRole::X, AxisRole::Longitude), "degrees_east"),
    ]
}

/// Nodata, scale and offset of a band.
pub(super) fn encoding(array: &IndexedArray, warnings: &mut Vec<String>) -> Encoding {
    let (stored, attributes) = (array.metadata.data_type, &array.metadata.attributes);
    let mut encoding = Encoding::identity(stored);
    let mut number = |name: &str, default: f64| match attributes.get(name).map(|v| v.number().filter(|v| v.is_finite())) {
        None => default,
        Some(Some(v)) => v,
        Some(None) => {
            warnings.push(format!("{}: {name} is not a number: ignored", array.metadata.name()));
            default
        }
    };
    (encoding.scale, encoding.offset) = (number("scale_factor", 1.0), number("add_offset", 0.0));
    if encoding.is_packed() {
        encoding.decoded = if stored.size() <= 2 { DataType::Float32 } else { DataType::Float64 };
    }
    if let Some(text) = attributes.text("nodata") {
        match nodata::parse(text, stored) {
            // NaN is missing whatever the file says.
            Some(n) if n.holds && n.fill.as_f64().is_nan() => {}
            Some(n) if n.holds => encoding.missing.push(n.fill),
            _ => {
                let warning = format!("nodata {text:?} is no value of type {}: nothing is missing by it", stored.name());
                if !warnings.contains(&warning) {
                    warnings.push(warning);
                }
            }
        }
    }
    encoding
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Attributes with these geo keys (id, tag, count, value) and tags of floats.
    fn attributes(keys: &[[i64; 4]], ascii: &str, floats: &[(&str, &[f64])]) -> Attributes {
        let mut all = Attributes::default();
        let directory = [&[1, 1, 0, keys.len() as i64][..], &keys.concat()].concat();
        all.set("GeoKeyDirectory", AttributeValue::Integers(DataType::UInt16, directory));
        all.set("GeoAsciiParams", AttributeValue::Text(ascii.into()));
        for (name, values) in floats {
            all.set(*name, AttributeValue::Floats(DataType::Float64, values.to_vec()));
        }
        all
    }

    fn crs_of(keys: &[[i64; 4]], ascii: &str) -> (Option<String>, Vec<String>) {
        let mut warnings = Vec::new();
        (crs(&GeoKeys::of(&attributes(keys, ascii, &[])), &mut warnings), warnings)
    }

    #[test]
    fn codes_units_and_citations() {
        assert_eq!(crs_of(&[[1024, 0, 1, 1], [3072, 0, 1, 32632]], "").0.as_deref(), Some("EPSG:32632"));
        assert_eq!(crs_of(&[[1024, 0, 1, 2], [2048, 0, 1, 4326]], "").0.as_deref(), Some("EPSG:4326"));
        // A code in feet, and a code in metres that a unit key turns into another CRS.
        let feet = [[1024, 0, 1, 1], [1026, 34737, 26, 0], [3072, 0, 1, 2229], [3076, 0, 1, 9003]];
        assert_eq!(crs_of(&feet, "NAD83 / California zone 5 (ftUS)|").0.as_deref(), None);
        let feet = [[1024, 0, 1, 1], [1026, 34737, 33, 0], [3072, 0, 1, 2229], [3076, 0, 1, 9003]];
        assert_eq!(crs_of(&feet, "NAD83 / California zone 5 (ftUS)|").0.as_deref(), Some("EPSG:2229"));
        let (none, warnings) = crs_of(&[[1024, 0, 1, 1], [3072, 0, 1, 2853], [3076, 0, 1, 9003]], "");
        assert_eq!(none, None);
        assert!(warnings[0].contains("9003 overrides the unit of EPSG:2853"), "{warnings:?}");
        let esri = "PCS Name = WGS_1984_Web_Mercator_Auxiliary_Sphere|";
        let keys = [[1024, 0, 1, 32767], [1026, 34737, esri.len() as i64, 0], [2048, 0, 1, 4326]];
        assert_eq!(crs_of(&keys, esri).0.as_deref(), Some("EPSG:3857"));
        let (none, warnings) = crs_of(&[[1024, 0, 1, 1], [1026, 34737, 5, 0], [3072, 0, 1, 32767]], "Mars|x");
        assert_eq!(none, None);
        assert!(warnings[0].contains("user-defined") && warnings[0].ends_with("(Mars)"), "{warnings:?}");
        assert_eq!(crs_of(&[], ""), (None, vec![]));
        // Entries that point nowhere.
        assert_eq!(crs_of(&[[1026, 34737, 60000, 60000], [-1, 0, 0, 0], [99999, 34737, -5, 3]], "short"), (None, vec![]));
    }

    #[test]
    fn transforms_as_gdal_reads_them() {
        let of = |floats: &[(&str, &[f64])], point| {
            let mut warnings = Vec::new();
            (transform(&attributes(&[], "", floats), point, &mut warnings), warnings)
        };
        let tie: &[f64] = &[0.0, 0.0, 0.0, 440_720.0, 3_751_320.0, 0.0];
        let scale = |s: [f64; 3], point| of(&[("ModelPixelScale", &s), ("ModelTiepoint", tie)], point).0.unwrap();
        assert_eq!(scale([60.0, 60.0, 0.0], false), [440_720.0, 60.0, 0.0, 3_751_320.0, 0.0, -60.0]);
        assert_eq!(scale([60.0, -60.0, 0.0], false), scale([60.0, 60.0, 0.0], false));
        assert_eq!(scale([60.0, 60.0, 0.0], true), [440_690.0, 60.0, 0.0, 3_751_350.0, 0.0, -60.0]);
        let inner = of(&[("ModelPixelScale", &[2.0, 2.0, 0.0]), ("ModelTiepoint", &[10.0, 5.0, 0.0, 100.0, 200.0, 0.0])], false);
        assert_eq!(inner.0, Some([80.0, 2.0, 0.0, 210.0, 0.0, -2.0]));
        let matrix = [[30.0, 0.0, 0.0, 500.0], [0.0, -30.0, 0.0, 900.0], [0.0; 4], [0.0, 0.0, 0.0, 1.0]].concat();
        assert_eq!(of(&[("ModelTransformation", &matrix)], false).0, Some([500.0, 30.0, 0.0, 900.0, 0.0, -30.0]));
        let mut turned = matrix.clone();
        turned[1] = 5.0;
        let (none, warnings) = of(&[("ModelTransformation", &turned)], true);
        assert!(none.is_none() && warnings[0].contains("rotated"), "{warnings:?}");
        let (none, warnings) = of(&[("ModelTiepoint", &[tie, tie].concat())], false);
        assert!(none.is_none() && warnings[0].contains("2 ground control points"), "{warnings:?}");
        let (none, warnings) = of(&[("ModelPixelScale", &[f64::NAN, 1.0, 0.0]), ("ModelTiepoint", tie)], false);
        assert!(none.is_none() && warnings[0].contains("not finite"), "{warnings:?}");
        assert_eq!(of(&[("ModelTiepoint", tie)], false), (None, vec![]));
    }
}
