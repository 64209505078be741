//! The files of tests/corpus/tiff against what GDAL reads from them (cases.json).

use std::collections::BTreeMap;
use std::path::PathBuf;

use bytes::Bytes;
use serde::Deserialize;

use super::super::GeoTiff;
use super::{index, values};
use crate::array::{AxisRole, ChunkRef, Coordinates, Scalar};
use crate::convention::geokeys::describe;
use crate::format::Format;
use crate::object::Objects;

pub(super) fn corpus() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/corpus/tiff")
}

pub(super) fn fixture(name: &str) -> Bytes {
    std::fs::read(corpus().join(format!("{name}.tif"))).unwrap().into()
}

#[derive(Deserialize)]
struct Case {
    dtype: String,
    bands: usize,
    width: u64,
    height: u64,
    block: [u64; 2],
    transform: [f64; 6],
    epsg: Option<u32>,
    nodata: Option<String>,
    scales: Vec<f64>,
    offsets: Vec<f64>,
    descriptions: Vec<Option<String>>,
    overviews: Vec<u64>,
    formula: bool,
    sums: Vec<f64>,
}

/// See make_tiff.py.
fn formula(dtype: &str, band: usize, row: usize, column: usize) -> f64 {
    let v = ((7 * row + 3 * column + 11 * band + row * column / 5) % 100) as f64;
    match dtype.chars().next() {
        Some('i') => v - 50.0,
        Some('f') => v / 2.0,
        _ => v,
    }
}

#[test]
fn shapes_blocks_values_axes_and_encodings_are_gdal_s() {
    let cases: BTreeMap<String, Case> = serde_json::from_slice(&std::fs::read(corpus().join("cases.json")).unwrap()).unwrap();
    assert!(cases.len() > 50);
    for (name, case) in &cases {
        let bytes = fixture(name);
        let granule = index(name, &bytes).unwrap();
        assert_eq!(granule.refused, [], "{name}");
        let described = describe(&granule).unwrap();
        assert_eq!(described.variables.len(), case.bands, "{name}");
        let rotated = case.transform[1] != 0.0;
        let plain = name == "plain";
        assert_eq!(granule.format, if plain { "tiff" } else { "geotiff" });
        assert_eq!(described.warnings.len(), usize::from(rotated), "{name}: {:?}", described.warnings);
        for (b, variable) in described.variables.iter().enumerate() {
            let array = &granule.arrays[variable.array];
            let m = &array.metadata;
            assert_eq!((m.path.as_str(), variable.name.as_str()), (&*format!("/band_{}", b + 1), &*format!("band_{}", b + 1)));
            assert_eq!((m.data_type.name(), m.shape.as_slice()), (case.dtype.clone(), &[case.height, case.width][..]), "{name}");
            let recut = m.codecs.iter().all(|c| c.name() == "interleave") && m.chunk_shape[1] == case.width;
            assert!(recut || m.chunk_shape == case.block, "{name}: {:?}, GDAL {:?}", m.chunk_shape, case.block);
            assert_eq!(variable.crs, case.epsg.map(|n| format!("EPSG:{n}")), "{name}");

            let found = values(&bytes, array).unwrap();
            assert_eq!(found.iter().filter(|v| !v.is_nan()).sum::<f64>(), case.sums[b], "{name} band {b}");
            if case.formula {
                for (i, v) in found.iter().enumerate() {
                    let (row, column) = (i / case.width as usize, i % case.width as usize);
                    assert_eq!(*v, formula(&case.dtype, b, row, column), "{name}, band {b}, row {row}, column {column}");
                }
            }

            let [sx, _, west, _, sy, north] = case.transform;
            for (axis, n, origin, step) in [(0, case.height, north, sy), (1, case.width, west, sx)] {
                let axis = &variable.axes[axis];
                assert_eq!((axis.name.as_str(), axis.len()), (["y", "x"][usize::from(n == case.width)], n));
                match &axis.coordinates {
                    Coordinates::Float64(v) => {
                        assert!((v[0] - (origin + step / 2.0)).abs() < 1e-9 && (v[1] - v[0] - step).abs() < 1e-9, "{name}: {:?}", &v[..2]);
                    }
                    other => assert!(rotated || plain, "{name}: {other:?}"),
                }
                let geographic = axis.role == AxisRole::Latitude || axis.role == AxisRole::Longitude;
                assert_eq!(geographic, case.epsg == Some(4326), "{name}");
            }

            let e = &variable.encoding;
            assert_eq!((e.scale, e.offset), (case.scales[b], case.offsets[b]), "{name}");
            assert_eq!(m.attributes.text("long_name").map(str::to_string), case.descriptions[b], "{name}");
            let missing = case.nodata.as_deref().map(|n| n.parse::<f64>().unwrap()).filter(|n| !n.is_nan());
            assert_eq!(e.missing.iter().map(|s| s.as_f64()).collect::<Vec<_>>(), Vec::from_iter(missing), "{name}");
        }
        let overviews: Vec<u64> = (1..)
            .map_while(|i| granule.array(&format!("/overview_{i}/band_1")))
            .map(|a| case.width.div_ceil(a.metadata.shape[1]))
            .collect();
        let mut expected = case.overviews.clone();
        expected.sort_unstable();
        assert_eq!(overviews, expected, "{name}");
    }
}

#[test]
fn never_written_tiles_are_missing_and_hold_nodata() {
    let granule = index("sparse", &fixture("sparse")).unwrap();
    let array = &granule.arrays[0];
    assert_eq!(array.metadata.fill_value, Some(Scalar::Int(-7)));
    let missing = array.manifest.chunks.iter().filter(|c| **c == ChunkRef::Missing).count();
    assert_eq!((missing, array.manifest.chunks.len()), (8, 9));
}

#[test]
fn a_mask_is_no_overview_and_masks_the_image() {
    let granule = index("masked", &fixture("masked")).unwrap();
    assert_eq!(granule.arrays.iter().map(|a| a.metadata.path.as_str()).collect::<Vec<_>>(), ["/band_1", "/mask"]);
    assert_eq!((granule.masks.as_slice(), granule.refused.as_slice()), ([(0, 1)].as_slice(), [].as_slice()));
    let described = describe(&granule).unwrap();
    assert_eq!((described.variables.len(), described.variables[0].encoding.mask), (1, Some(1)));
}

#[test]
fn metadata_items_are_attributes() {
    let granule = index("scaled", &fixture("scaled")).unwrap();
    assert_eq!(granule.attributes.text("SOURCE"), Some("formula"));
    let band = &granule.arrays[0].metadata.attributes;
    assert_eq!((band.number("scale_factor"), band.number("add_offset")), (Some(0.1), Some(-273.15)));
    assert_eq!((band.text("long_name"), band.text("season")), (Some("temperature & more"), Some("winter")));
}

#[tokio::test]
async fn headers_come_through_the_object_s_block_cache() {
    let path = corpus().join("deflate_p2_be_int16.tif");
    let object = Objects::anywhere().open(&path.to_string_lossy()).await.unwrap();
    let head = object.read(0..8).await.unwrap();
    assert!(GeoTiff.detect(&head));
    let granule = GeoTiff.index(&object).await.unwrap();
    assert_eq!(granule, index("memory", &fixture("deflate_p2_be_int16")).unwrap());
    assert_eq!(object.requests(), 1, "one block holds the whole file");
}
