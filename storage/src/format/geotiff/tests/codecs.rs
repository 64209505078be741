//! The files of tests/corpus/tiff/codecs through the object layer: every compression, sample width, mask and sidecar, read as values
//! by `inspect`'s own way, against what GDAL reads (codecs.json); and the CRSs of crs.json.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::compute::cast;
use arrow::datatypes::{DataType as ArrowType, Float64Type};
use serde::Deserialize;

use super::fixtures::corpus;
use crate::array::{AttributeValue, Attributes, DataType, Extent};
use crate::convention;
use crate::format::{Format, GeoTiff, IndexedGranule};
use crate::object::{ObjectReader, Objects};
use crate::read::OpenArray;

/// See make_codecs.py.
#[derive(Debug, PartialEq, Deserialize)]
struct Told {
    dtype: String,
    count: u64,
    sum: f64,
    weighted: f64,
}

async fn open(file: &str) -> (Objects, ObjectReader, IndexedGranule) {
    let objects = Objects::anywhere();
    let object = objects.open(&corpus().join("codecs").join(file).to_string_lossy()).await.unwrap();
    let granule = GeoTiff.index(&object).await.unwrap();
    (objects, object, granule)
}

/// What the values of one array are, scale and offset left out.
async fn told(objects: &Objects, object: &ObjectReader, granule: &IndexedGranule, number: usize) -> Told {
    let array = &granule.arrays[number];
    let mut encoding = convention::encoding_of(granule, number);
    (encoding.scale, encoding.offset, encoding.decoded) = (1.0, 0.0, encoding.stored);
    let mut opened = OpenArray::new(objects, object, &granule.objects, array).unwrap();
    if let Some(mask) = encoding.mask {
        opened = opened.masked_by(&granule.arrays[mask as usize]).unwrap();
    }
    let values = opened.values(&Extent::of_shape(&array.metadata.shape), &Arc::new(encoding)).await.unwrap();
    let values = cast(&values, &ArrowType::Float64).unwrap();
    let mut told = Told { dtype: array.metadata.data_type.name(), count: 0, sum: 0.0, weighted: 0.0 };
    for (i, v) in values.as_primitive::<Float64Type>().iter().enumerate() {
        if let Some(v) = v {
            told = Told { count: told.count + 1, sum: told.sum + v, weighted: told.weighted + v * (i % 97 + 1) as f64, ..told };
        }
    }
    told
}

fn same(a: &Told, b: &Told) -> bool {
    let close = |a: f64, b: f64| (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1.0);
    a.dtype == b.dtype && a.count == b.count && close(a.sum, b.sum) && close(a.weighted, b.weighted)
}

#[tokio::test]
async fn every_coding_reads_as_gdal_reads_it() {
    let cases = std::fs::read(corpus().join("codecs.json")).unwrap();
    let cases: BTreeMap<String, BTreeMap<String, Told>> = serde_json::from_slice(&cases).unwrap();
    assert!(cases.len() > 35);
    let mut different = Vec::new();
    for (name, wanted) in &cases {
        let (objects, object, granule) = open(&format!("{name}.tif")).await;
        for (path, wanted) in wanted {
            let Some(number) = granule.arrays.iter().position(|a| a.metadata.path == *path) else {
                different.push(format!("{name} {path}: absent, refused {:?}", granule.refused));
                continue;
            };
            let mut got = told(&objects, &object, &granule, number).await;
            // GDAL has no type for them.
            if name == "complex_int16" {
                assert_eq!(granule.arrays[number].metadata.data_type, DataType::Int16);
                got.dtype = "float32".into();
            }
            if !same(&got, wanted) {
                different.push(format!("{name} {path}: {got:?}, GDAL {wanted:?}"));
            }
        }
    }
    assert!(different.is_empty(), "{different:#?}");
}

#[tokio::test]
async fn masks_overviews_and_sidecars_are_found() {
    let (_, _, granule) = open("mask_external.tif").await;
    let paths: Vec<&str> = granule.arrays.iter().map(|a| a.metadata.path.as_str()).collect();
    assert_eq!(paths, ["/band_1", "/band_2", "/mask", "/overview_1/band_1", "/overview_1/band_2", "/overview_1/mask"]);
    assert_eq!(granule.masks, [(0, 2), (1, 2), (3, 5), (4, 5)]);
    assert_eq!((granule.objects.len(), granule.refused.as_slice()), (3, [].as_slice()));

    let (_, _, granule) = open("mask_overviews.tif").await;
    let described = convention::geokeys::describe(&granule).unwrap();
    assert_eq!((described.variables.len(), described.overviews.len(), granule.masks.len()), (3, 8, 9));
    let path = |number: usize| granule.arrays[number].metadata.path.as_str();
    let overview = described.overviews.iter().find(|o| path(o.array) == "/overview_2/band_1").unwrap();
    assert_eq!(path(overview.of), "/band_1");
    assert_eq!(overview.factor, [3.7, 4.0]);
    // Cells of 120 m: the first centre lies 60 m from the edge.
    assert_eq!(overview.axes[1].coordinates.display(0), "400020");

    let (_, _, granule) = open("pam.tif").await;
    let encodings = [0, 1].map(|n| convention::encoding_of(&granule, n));
    assert_eq!(encodings.each_ref().map(|e| (e.missing[0].as_f64(), e.scale, e.offset)), [(5.0, 1.0, 0.0), (7.0, 0.5, 3.0)]);
    assert_eq!(granule.arrays[1].metadata.attributes.text("units"), Some("K"));
}

#[tokio::test]
async fn complex_bands_are_named_where_they_are_asked_for_as_one() {
    let (_, _, granule) = open("complex64_pixel.tif").await;
    assert_eq!(granule.refused[0].path, "/band_1");
    assert!(granule.refused[0].reason.contains("/band_1.real and /band_1.imag"), "{:?}", granule.refused);
    let described = convention::geokeys::describe(&granule).unwrap();
    assert_eq!(
        described.variables.iter().map(|v| v.name.as_str()).collect::<Vec<_>>(),
        ["band_1.real", "band_1.imag", "band_2.real", "band_2.imag"]
    );
}

/// Geo keys that GDAL wrote, and what PROJ says that they mean.
#[derive(Debug, Deserialize)]
struct Crs {
    proj: String,
    keys: Vec<i64>,
    doubles: Vec<f64>,
    ascii: String,
    method: String,
    parameters: BTreeMap<String, f64>,
    major: f64,
    inverse_flattening: f64,
    unit: f64,
}

#[test]
fn user_defined_crs_have_the_parameters_that_proj_finds() {
    let cases: Vec<Crs> = serde_json::from_slice(&std::fs::read(corpus().join("crs.json")).unwrap()).unwrap();
    assert!(cases.len() > 20);
    for case in cases {
        let mut attributes = Attributes::default();
        attributes.set("GeoKeyDirectory", AttributeValue::Integers(DataType::UInt16, case.keys.clone()));
        attributes.set("GeoDoubleParams", AttributeValue::Floats(DataType::Float64, case.doubles.clone()));
        attributes.set("GeoAsciiParams", AttributeValue::Text(case.ascii.clone()));
        let (wkt, warnings) = convention::geokeys::crs_of(&attributes);
        let wkt = wkt.unwrap_or_else(|| panic!("{}: {warnings:?}", case.proj));
        let number = |after: &str| {
            let (_, rest) = wkt.split_once(after).unwrap_or_else(|| panic!("{}: no {after} in {wkt}", case.proj));
            rest.split([',', ']']).next().unwrap().parse::<f64>().unwrap()
        };
        let close = |a: f64, b: f64| (a - b).abs() <= 1e-8 * a.abs().max(b.abs()).max(1.0);
        assert!(wkt.contains(&format!("METHOD[\"{}\"]", case.method)), "{}: {}: {wkt}", case.proj, case.method);
        for (name, value) in &case.parameters {
            assert!(close(number(&format!("PARAMETER[\"{name}\",")), *value), "{}: {name} = {value}: {wkt}", case.proj);
        }
        let (_, ellipsoid) = wkt.split_once("ELLIPSOID[").unwrap();
        let numbers: Vec<f64> = ellipsoid.split(',').filter_map(|part| part.parse().ok()).take(2).collect();
        assert!(close(numbers[0], case.major) && close(numbers[1], case.inverse_flattening), "{}: {numbers:?}", case.proj);
        let unit: f64 = wkt.rsplit(',').next().unwrap().trim_end_matches(']').parse().unwrap();
        assert!(close(unit, case.unit), "{}: {unit}", case.proj);
    }
}
