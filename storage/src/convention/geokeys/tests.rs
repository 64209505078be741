//! GeoKeys against what GDAL makes of them: codes, units, parameters, transforms.

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
    let in_feet = "EPSG:2229 with LENGTHUNIT[\"US survey foot\",0.304800609601219]";
    assert_eq!(crs_of(&feet, "NAD83 / California zone 5 (ftUS)|").0.as_deref(), Some(in_feet));
    let feet = [[1024, 0, 1, 1], [1026, 34737, 33, 0], [3072, 0, 1, 2229], [3076, 0, 1, 9003]];
    assert_eq!(crs_of(&feet, "NAD83 / California zone 5 (ftUS)|").0.as_deref(), Some("EPSG:2229"));
    let (other, warnings) = crs_of(&[[1024, 0, 1, 1], [3072, 0, 1, 2853], [3076, 0, 1, 9003]], "");
    assert_eq!((other.as_deref(), warnings.len()), (Some(in_feet.replace("2229", "2853").as_str()), 0));
    // A vertical CRS counts from GeoTIFF 1.1 on (here: 1.0).
    assert_eq!(crs_of(&[[1024, 0, 1, 1], [3072, 0, 1, 26711], [4096, 0, 1, 3855]], "").0.as_deref(), Some("EPSG:26711"));
    // Another angular unit than that of the code.
    let mils = crs_of(&[[1024, 0, 1, 2], [2048, 0, 1, 4326], [2054, 0, 1, 9114]], "").0.unwrap();
    assert!(
        mils.starts_with("GEOGCRS[\"WGS 84\",DATUM[\"World Geodetic System 1984\"")
            && mils.ends_with("ANGLEUNIT[\"mil_6400\",0.0009817477042468104]]"),
        "{mils}"
    );
    let esri = "PCS Name = WGS_1984_Web_Mercator_Auxiliary_Sphere|";
    let keys = [[1024, 0, 1, 32767], [1026, 34737, esri.len() as i64, 0], [2048, 0, 1, 4326]];
    assert_eq!(crs_of(&keys, esri).0.as_deref(), Some("EPSG:3857"));
    let cited = "ESRI PE String = PROJCS[\"Geos\"]|";
    assert_eq!(crs_of(&[[1024, 0, 1, 32767], [3073, 34737, cited.len() as i64, 0]], cited).0.as_deref(), Some("PROJCS[\"Geos\"]"));
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
        let placement = placement(&attributes(&[], "", floats), point, &mut warnings);
        (if let Placement::Axes(t) = placement { Some(t) } else { None }, warnings)
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
