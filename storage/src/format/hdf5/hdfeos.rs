//! HDF-EOS5: names of dimensions, and for grids coordinates and the projection, from the structure metadata, in CF's words.

use bytes::Bytes;

use super::structure_metadata::{Structure, structures};
use crate::array::{ArrayMetadata, AttributeValue, Attributes, ByteOrder, ChunkManifest, ChunkRef, DataType, EdgeChunks};
use crate::format::{IndexedArray, IndexedGranule, Refused};

/// Where the structure metadata are: data sets with these names and a number.
pub(super) const METADATA: &str = "/HDFEOS INFORMATION/StructMetadata.";
/// What dimensions are called that the file does not name.
const NAMELESS: &str = "phony_dim_";
/// Coordinates along a dimension longer than this are not made.
const LONGEST: u64 = 1 << 20;

/// Names dimensions and adds coordinates as the structure metadata `text` tells.
pub(super) fn apply(granule: &mut IndexedGranule, text: &str) {
    for structure in structures(text) {
        name_dimensions(granule, &structure);
        if structure.kind == "GRIDS" {
            let group = format!("/HDFEOS/GRIDS/{}", structure.name);
            if let Err(why) = add_coordinates(granule, &structure, &group) {
                granule.refused.push(Refused { path: group, reason: format!("coordinates of the grid: {why}") });
            }
        }
    }
}

/// The field that an array is: its path below the structure's group is `Data Fields/name` or alike.
fn field<'a>(structure: &'a Structure, path: &str) -> Option<&'a (String, Vec<String>)> {
    let inside = path.strip_prefix("/HDFEOS/")?.strip_prefix(structure.kind)?.strip_prefix('/')?;
    let (fields, name) = inside.strip_prefix(structure.name.as_str())?.strip_prefix('/')?.split_once('/')?;
    if !["Data Fields", "Geolocation Fields", "Profile Fields"].contains(&fields) {
        return None;
    }
    structure.fields.iter().find(|(field, _)| field == name)
}

fn name_dimensions(granule: &mut IndexedGranule, structure: &Structure) {
    for array in &mut granule.arrays {
        let meta = &mut array.metadata;
        let Some((_, names)) = field(structure, &meta.path) else { continue };
        // Dimension scales tell more; and a list that does not fit the array is wrong.
        let nameless = meta.dimensions.iter().all(|d| d.starts_with(NAMELESS));
        let fits = |(name, &length): (&String, &u64)| {
            let told = structure.dimensions.get(name).copied().or_else(|| structure.numbers(name)?.first().map(|&n| n as i64));
            told.is_none_or(|told| told < 0 || u64::try_from(told) == Ok(length))
        };
        if nameless && names.len() == meta.shape.len() && names.iter().zip(&meta.shape).all(fits) {
            meta.dimensions.clone_from(names);
        }
    }
}

/// One axis of a grid.
struct GridAxis {
    name: &'static str,
    length: u64,
    first: f64,
    last: f64,
}

fn add_coordinates(granule: &mut IndexedGranule, grid: &Structure, group: &str) -> Result<(), String> {
    let fields = format!("{group}/Data Fields/");
    let on_grid =
        |a: &IndexedArray| a.metadata.path.starts_with(&fields) && a.metadata.dimensions.iter().any(|d| d == "XDim" || d == "YDim");
    let there = |name: &str| {
        granule.arrays.iter().any(|a| a.metadata.path == format!("{group}/{name}") || a.metadata.path == format!("{fields}{name}"))
    };
    if !granule.arrays.iter().any(on_grid) || there("XDim") || there("YDim") {
        return Ok(());
    }
    let one = |name: &str| grid.numbers(name).and_then(|v| v.first().copied());
    let corner = |name: &str| match grid.numbers(name).as_deref() {
        Some(&[x, y]) => Ok([x, y]),
        _ => Err(format!("{name} is not there or no pair of numbers")),
    };
    let (mut upper_left, mut lower_right) = (corner("UpperLeftPointMtrs")?, corner("LowerRightMtrs")?);
    let projection = grid.parameters.get("Projection").map(|p| p.trim().trim_start_matches("HE5_")).unwrap_or_default();
    let geographic = projection == "GCTP_GEO";
    if geographic {
        // Degrees, minutes and seconds in one number; a grid of less than 360 seconds is none, so small ones are degrees.
        if upper_left.iter().chain(&lower_right).any(|v| v.abs() > 360.0) {
            (upper_left, lower_right) = (upper_left.map(degrees), lower_right.map(degrees));
        }
    }
    if grid.parameters.get("PixelRegistration").is_some_and(|r| r.ends_with("CORNER")) {
        return Err("cells are registered at their corners".into());
    }
    let origin = grid.parameters.get("GridOrigin").map_or("UL", |o| o.get(o.len().saturating_sub(2)..).unwrap_or("UL"));
    let (mut x, mut y) = ((upper_left[0], lower_right[0]), (upper_left[1], lower_right[1]));
    match origin {
        "UL" => {}
        "UR" => x = (x.1, x.0),
        "LL" => y = (y.1, y.0),
        "LR" => (x, y) = ((x.1, x.0), (y.1, y.0)),
        other => return Err(format!("the origin of the grid is {other}")),
    }
    let length = |name: &str| match one(name) {
        Some(n) if n >= 1.0 && n <= LONGEST as f64 && n.fract() == 0.0 => Ok(n as u64),
        _ => Err(format!("{name} is not there or no length")),
    };
    let axes = [
        GridAxis { name: "XDim", length: length("XDim")?, first: x.0, last: x.1 },
        GridAxis { name: "YDim", length: length("YDim")?, first: y.0, last: y.1 },
    ];
    for axis in &axes {
        if !(axis.first.is_finite() && axis.last.is_finite() && axis.first != axis.last) {
            return Err(format!("{} reaches from {} to {}", axis.name, axis.first, axis.last));
        }
        let path = format!("{group}/{}", axis.name);
        granule.arrays.push(coordinate(axis, path, geographic));
    }
    let mapping = grid_mapping(projection, &grid.numbers("ProjParams").unwrap_or_default(), one("ZoneCode"), one("SphereCode"));
    match mapping {
        Ok(attributes) => {
            granule.arrays.push(inline(format!("{group}/crs"), Vec::new(), DataType::Int32, vec![0; 4], attributes));
            for array in granule.arrays.iter_mut().filter(|a| on_grid(a)) {
                let attributes = &mut array.metadata.attributes;
                if attributes.get("grid_mapping").is_none() {
                    attributes.set("grid_mapping", AttributeValue::Text("crs".into()));
                }
            }
        }
        Err(why) => granule.refused.push(Refused { path: group.into(), reason: format!("projection of the grid: {why}") }),
    }
    Ok(())
}

fn coordinate(axis: &GridAxis, path: String, geographic: bool) -> IndexedArray {
    let step = (axis.last - axis.first) / axis.length as f64;
    // Corners are outer edges; coordinates are centres.
    let cells = (0..axis.length).flat_map(|i| (axis.first + (i as f64 + 0.5) * step).to_le_bytes()).collect();
    let (standard_name, units) = match (geographic, axis.name) {
        (true, "XDim") => ("longitude", "degrees_east"),
        (true, _) => ("latitude", "degrees_north"),
        (false, "XDim") => ("projection_x_coordinate", "m"),
        (false, _) => ("projection_y_coordinate", "m"),
    };
    let text = |name: &str, value: &str| (name.to_string(), AttributeValue::Text(value.into()));
    let attributes = Attributes(vec![text("standard_name", standard_name), text("units", units)]);
    inline(path, vec![(axis.name.to_string(), axis.length)], DataType::Float64, cells, attributes)
}

fn inline(path: String, dimensions: Vec<(String, u64)>, data_type: DataType, bytes: Vec<u8>, attributes: Attributes) -> IndexedArray {
    let (dimensions, shape): (Vec<String>, Vec<u64>) = dimensions.into_iter().unzip();
    IndexedArray {
        metadata: ArrayMetadata {
            path,
            dimensions,
            chunk_shape: shape.clone(),
            shape,
            data_type,
            byte_order: ByteOrder::Little,
            edge: EdgeChunks::Clipped,
            codecs: Vec::new(),
            fill_value: None,
            attributes,
        },
        manifest: ChunkManifest::new(vec![ChunkRef::Inline(Bytes::from(bytes))]),
    }
}

/// GCTP's packed angle DDDMMMSSS.SS as degrees.
fn degrees(packed: f64) -> f64 {
    let value = packed.abs();
    let (d, m) = ((value / 1e6).trunc(), (value % 1e6 / 1e3).trunc());
    (d + m / 60.0 + value % 1e3 / 3600.0).copysign(packed)
}

/// Semi-major and semi-minor axis of GCTP's spheroids that files name by code (GCTP, `sphdz`).
const SPHEROIDS: [(i64, f64, f64); 8] = [
    (0, 6_378_206.4, 6_356_583.8),
    (3, 6_378_388.0, 6_356_911.946),
    (5, 6_378_135.0, 6_356_750.520),
    (8, 6_378_137.0, 6_356_752.314_14),
    (12, 6_378_137.0, 6_356_752.314_245),
    (19, 6_370_997.0, 6_370_997.0),
    (20, 6_371_228.0, 6_371_228.0),
    (21, 6_371_007.181, 6_371_007.181),
];

/// CF's grid mapping of a GCTP projection (GCTP projection parameters; CF conventions, appendix F).
fn grid_mapping(projection: &str, parameters: &[f64], zone: Option<f64>, spheroid: Option<f64>) -> Result<Attributes, String> {
    let parameter = |i: usize| parameters.get(i).copied().unwrap_or(0.0);
    let angle = |i: usize| degrees(parameter(i));
    let mut found: Vec<(String, AttributeValue)> = Vec::new();
    let put = |found: &mut Vec<(String, AttributeValue)>, name: &str, value: f64| {
        found.push((name.into(), AttributeValue::Floats(DataType::Float64, vec![value])));
    };
    let code = spheroid.filter(|s| *s >= 0.0).map(|s| s as i64);
    let of_code = SPHEROIDS.iter().find(|s| code == Some(s.0)).map(|s| (s.1, s.2));
    // UTM and geographic coordinates have no parameters of the spheroid; others have it first, the sphere's radius alone.
    let own = match (projection, parameter(0), parameter(1)) {
        ("GCTP_GEO" | "GCTP_UTM", ..) => None,
        (_, a, _) if a <= 0.0 => None,
        ("GCTP_SNSOID" | "GCTP_LAMAZ", a, _) => Some((a, a)),
        (_, a, 0.0) => Some((a, a)),
        (_, a, squared) if squared < 1.0 => Some((a, a * (1.0 - squared).sqrt())),
        (_, a, b) => Some((a, b)),
    };
    match (own.or(of_code), code) {
        (Some((a, b)), _) => {
            put(&mut found, "semi_major_axis", a);
            put(&mut found, "semi_minor_axis", b);
        }
        (None, Some(code)) => return Err(format!("spheroid {code}, which is not known")),
        (None, None) if projection == "GCTP_GEO" => {}
        (None, None) => return Err("it has no spheroid".into()),
    }
    let name = match projection {
        "GCTP_GEO" => "latitude_longitude",
        "GCTP_SNSOID" => {
            put(&mut found, "longitude_of_projection_origin", angle(4));
            "sinusoidal"
        }
        "GCTP_LAMAZ" => {
            put(&mut found, "longitude_of_projection_origin", angle(4));
            put(&mut found, "latitude_of_projection_origin", angle(5));
            "lambert_azimuthal_equal_area"
        }
        "GCTP_PS" => {
            put(&mut found, "straight_vertical_longitude_from_pole", angle(4));
            put(&mut found, "standard_parallel", angle(5));
            put(&mut found, "latitude_of_projection_origin", 90f64.copysign(angle(5)));
            "polar_stereographic"
        }
        "GCTP_LAMCC" | "GCTP_ALBERS" => {
            let parallels = vec![angle(2), angle(3)];
            found.push(("standard_parallel".into(), AttributeValue::Floats(DataType::Float64, parallels)));
            put(&mut found, "longitude_of_central_meridian", angle(4));
            put(&mut found, "latitude_of_projection_origin", angle(5));
            if projection == "GCTP_LAMCC" { "lambert_conformal_conic" } else { "albers_conical_equal_area" }
        }
        "GCTP_MERCAT" => {
            put(&mut found, "longitude_of_projection_origin", angle(4));
            put(&mut found, "standard_parallel", angle(5));
            "mercator"
        }
        "GCTP_CEA" | "GCTP_BCEA" => {
            put(&mut found, "longitude_of_central_meridian", angle(4));
            put(&mut found, "standard_parallel", angle(5));
            "lambert_cylindrical_equal_area"
        }
        "GCTP_TM" => {
            put(&mut found, "scale_factor_at_central_meridian", parameter(2));
            put(&mut found, "longitude_of_central_meridian", angle(4));
            put(&mut found, "latitude_of_projection_origin", angle(5));
            "transverse_mercator"
        }
        "GCTP_UTM" => {
            let zone = zone.map_or(0, |z| z as i64);
            if !(1..=60).contains(&zone.abs()) {
                return Err(format!("UTM zone {zone}"));
            }
            put(&mut found, "scale_factor_at_central_meridian", 0.9996);
            put(&mut found, "longitude_of_central_meridian", (6 * zone.abs() - 183) as f64);
            put(&mut found, "latitude_of_projection_origin", 0.0);
            put(&mut found, "false_easting", 500_000.0);
            put(&mut found, "false_northing", if zone < 0 { 10_000_000.0 } else { 0.0 });
            "transverse_mercator"
        }
        "" => return Err("it is not named".into()),
        other => return Err(format!("{other}, which is not known")),
    };
    if !matches!(projection, "GCTP_GEO" | "GCTP_UTM") {
        put(&mut found, "false_easting", parameter(6));
        put(&mut found, "false_northing", parameter(7));
    }
    found.insert(0, ("grid_mapping_name".into(), AttributeValue::Text(name.into())));
    Ok(Attributes(found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_angles_are_degrees() {
        for (packed, want) in [(-180_000_000.0, -180.0), (45_030_000.0, 45.5), (-12_015_036.0, -12.26), (0.0, 0.0)] {
            assert!((degrees(packed) - want).abs() < 1e-9, "{packed}: {}", degrees(packed));
        }
    }

    #[test]
    fn projections_have_cf_names_or_are_refused() {
        let number = |a: &Attributes, name: &str| a.number(name).unwrap_or(f64::NAN);
        let ease = [6_371_228.0, 0.0, 0.0, 0.0, 0.0, 90_000_000.0, 0.0, 0.0];
        let a = grid_mapping("GCTP_LAMAZ", &ease, None, Some(-1.0)).unwrap();
        assert_eq!(
            (a.text("grid_mapping_name"), number(&a, "latitude_of_projection_origin")),
            (Some("lambert_azimuthal_equal_area"), 90.0)
        );
        let polar = [6_378_273.0, -0.006694, 0.0, 0.0, -45_000_000.0, 70_000_000.0, 0.0, 0.0];
        let a = grid_mapping("GCTP_PS", &polar.map(|v: f64| if v == -0.006694 { 0.006694 } else { v }), None, None).unwrap();
        assert!((number(&a, "semi_minor_axis") - 6_356_889.4).abs() < 1.0, "{a:?}");
        assert_eq!((number(&a, "standard_parallel"), number(&a, "straight_vertical_longitude_from_pole")), (70.0, -45.0));
        let a = grid_mapping("GCTP_UTM", &[], Some(-10.0), Some(12.0)).unwrap();
        assert_eq!((number(&a, "longitude_of_central_meridian"), number(&a, "false_northing")), (-123.0, 1e7));
        assert_eq!(grid_mapping("GCTP_GEO", &[], None, None).unwrap().0.len(), 1);
        for (projection, parameters) in [("GCTP_ISINUS", &ease[..]), ("GCTP_SNSOID", &[]), ("", &ease[..]), ("GCTP_UTM", &[])] {
            assert!(grid_mapping(projection, parameters, None, None).is_err(), "{projection}");
        }
    }
}
