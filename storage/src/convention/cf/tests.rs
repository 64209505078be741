//! Real netCDF-4 files: what netCDF4-python and xarray read in them (see `tests/corpus/cf/make_files.py`).

use std::path::PathBuf;

use arrow::array::{ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType as ArrowType, Float64Type};
use serde_json::Value;

use super::*;
use crate::convention;
use crate::format;

fn corpus(name: &str) -> String {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/corpus/cf").join(name).canonicalize().unwrap().display().to_string()
}

fn json(name: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(corpus(name)).unwrap()).unwrap()
}

async fn opened(path: &str) -> (Objects, ObjectReader, IndexedGranule) {
    let objects = Objects::anywhere();
    let object = objects.open(path).await.unwrap();
    let granule = format::index(&object).await.unwrap();
    (objects, object, granule)
}

fn numbers(cells: &ArrayRef) -> Vec<Option<f64>> {
    cast(cells, &ArrowType::Float64).unwrap().as_primitive::<Float64Type>().iter().collect()
}

#[tokio::test]
async fn values_are_those_of_netcdf4_python() {
    let (objects, object, granule) = opened(&corpus("decode.nc")).await;
    let truth = json("decode.json");
    assert_eq!(granule.arrays.len(), truth.as_object().unwrap().len());
    for (number, array) in granule.arrays.iter().enumerate() {
        let stored = read::read_whole(&objects, &object, &granule.objects, array, 1 << 20).await.unwrap();
        let found = numbers(&read::decode_cells(&stored, &encoding_of(&granule, number)).unwrap());
        let name = array.metadata.name();
        let expected: Vec<Option<f64>> = truth[name].as_array().unwrap().iter().map(Value::as_f64).collect();
        let alike = |a: &Option<f64>, b: &Option<f64>| match (a, b) {
            (Some(a), Some(b)) => (a - b).abs() <= 1e-6 * b.abs(),
            (a, b) => a == b,
        };
        assert!(found.len() == expected.len() && found.iter().zip(&expected).all(|(a, b)| alike(a, b)), "{name}: {found:?} {expected:?}");
    }
}

#[tokio::test]
async fn axes_are_those_of_xarray() {
    let (objects, object, granule) = opened(&corpus("axes.nc")).await;
    let described = convention::describe(&objects, &object, &granule).await.unwrap();
    let truth = json("axes.json");
    let names: Vec<&str> = described.variables.iter().map(|v| v.name.as_str()).collect();
    assert_eq!(names, ["height", "reference", "longitude", "column", "t", "u", "m", "p", "inner.q", "inner.bare_in_group"]);
    let variable = |name: &str| described.variables.iter().find(|v| v.name == name).unwrap();
    let axis = |of: &str, name: &str| variable(of).axes.iter().find(|a| a.name == name).unwrap().clone();
    for (of, name) in [("t", "time"), ("t", "lat"), ("t", "lon"), ("u", "level"), ("m", "member"), ("m", "region"), ("m", "twice")] {
        let found = axis(of, name).coordinates;
        for (i, expected) in truth[name].as_array().unwrap().iter().enumerate() {
            let expected = expected.as_str().map_or_else(|| expected.as_f64().unwrap().to_string(), str::to_owned);
            assert_eq!(found.display(i), expected, "{name}");
        }
        assert_eq!(found.len() as usize, truth[name].as_array().unwrap().len());
    }
    let time = axis("t", "time");
    let hour = 3.6e12;
    let start = 1_577_836_800e9;
    assert_eq!((time.role, time.calendar.as_deref()), (AxisRole::Time, Some("proleptic_gregorian")));
    assert_eq!(time.bounds.as_ref().map(|b| b[1]), Some([start + 3.0 * hour, start + 9.0 * hour]));
    assert!(
        matches!(axis("t", "lon").coordinates, Coordinates::Float64(_)) && matches!(axis("u", "level").coordinates, Coordinates::Int64(_))
    );
    assert!(matches!(axis("u", "bare").coordinates, Coordinates::Index(3)));
    assert!(matches!(&axis("u", "step").coordinates, Coordinates::Float64(v) if v[1].is_nan()));
    assert_eq!(axis("m", "model").calendar.as_deref(), Some("noleap"));
    // An auxiliary coordinate that is the only one along a dimension stands in; the nearest group's coordinates count.
    assert_eq!((axis("p", "x").coordinates, axis("p", "x").role), (Coordinates::Float32(vec![500.0, 700.0]), AxisRole::X));
    assert_eq!(axis("inner.q", "lat").coordinates, Coordinates::Float64(vec![1.0, 2.0]));
    assert_eq!(axis("inner.q", "time"), time);
    assert_eq!(
        [variable("t"), variable("inner.bare_in_group"), variable("p")].map(|v| v.crs.as_deref()),
        [Some("EPSG:4326"), Some("EPSG:4326"), None]
    );
    assert_eq!((variable("reference").encoding.time.is_some(), variable("height").axes.len()), (true, 0));
    for what in ["axis step: 1 of 3 coordinates are missing", "axis twice: some coordinates are repeated"] {
        assert!(described.warnings.iter().any(|w| w.starts_with(what)), "{what}: {:?}", described.warnings);
    }
}

/// The real netCDF files, each with its oracle.
fn real_files(data: &std::path::Path) -> Vec<(PathBuf, Value)> {
    let mut files = Vec::new();
    for folder in ["netcdf3", "netcdf4"] {
        for entry in std::fs::read_dir(data.join("public").join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let name = format!("{}.json", path.file_name().unwrap().to_string_lossy());
            if let Ok(oracle) = std::fs::read_to_string(data.join("public/oracles").join(folder).join(name)) {
                files.push((path, serde_json::from_str(&oracle).unwrap()));
            }
        }
    }
    files
}

/// The projection parameters and the ellipsoid of a WKT, by name.
fn numbers_of_wkt(wkt: &str) -> Vec<(String, f64)> {
    let mut found = Vec::new();
    for keyword in ["PARAMETER[", "ELLIPSOID[", "PRIMEM["] {
        for part in wkt.split(keyword).skip(1) {
            let mut fields = part.split(',');
            let name = fields.next().unwrap().trim_matches('"').to_owned();
            let name = if keyword == "PARAMETER[" { name } else { keyword.to_owned() };
            let count = if keyword == "ELLIPSOID[" { 2 } else { 1 };
            found.extend(fields.take(count).map(|v| (name.clone(), v.trim_end_matches(']').parse::<f64>().unwrap())));
        }
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

/// Every grid mapping of every real netCDF file: projection, parameters and ellipsoid as pyproj has them.
#[tokio::test]
async fn projections_of_real_files_are_those_of_pyproj() {
    let Some(data) = crate::oracles::data() else { return };
    let (mut checked, mut wrong) = (0, Vec::new());
    for (path, oracle) in real_files(&data) {
        let objects = Objects::anywhere();
        let object = objects.open(&path.display().to_string()).await.unwrap();
        let Ok(granule) = format::index(&object).await else { continue };
        for truth in oracle["crs"].as_array().into_iter().flatten() {
            let Some(array) = granule.arrays.iter().find(|a| Some(a.metadata.path.as_str()) == truth["variable"].as_str()) else {
                continue;
            };
            let found = grid_mapping::crs(&array.metadata.attributes, &mut vec![]);
            let (Some(found), Some(wkt)) = (&found, truth["wkt"].as_str()) else {
                if found.is_some() != truth["wkt"].is_string() {
                    wrong.push(format!("{}: {found:?} {truth}", path.display()));
                }
                continue;
            };
            checked += 1;
            let alike = match found.strip_prefix("EPSG:") {
                // Latitude and longitude on WGS 84 have no code in pyproj's reading of parameters.
                Some("4326") => wkt.starts_with("GEOGCRS") && numbers_of_wkt(wkt).iter().any(|(_, v)| *v == 6_378_137.0),
                Some(code) => truth["epsg"].as_u64().map(|n| n.to_string()).as_deref() == Some(code),
                None => {
                    let (a, b) = (numbers_of_wkt(found), numbers_of_wkt(wkt));
                    // Where a flattening and both axes are given, pyproj takes the axes.
                    let near = |a: f64, b: f64| (a - b).abs() <= 1e-7 * a.abs().max(1.0);
                    a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| a.0 == b.0 && near(a.1, b.1))
                }
            };
            if !alike {
                wrong.push(format!("{} {}:\n  {found}\n  {wkt}", path.display(), truth["variable"]));
            }
        }
    }
    assert!(wrong.is_empty() && checked > 15, "{checked} checked\n{}", wrong.join("\n"));
}

/// Every coordinate of every real netCDF file: first, last and length as the oracles have them.
#[tokio::test]
async fn coordinates_of_real_files_are_those_of_the_oracles() {
    let Some(data) = crate::oracles::data() else { return };
    let (mut checked, mut wrong) = (0, Vec::new());
    for (path, oracle) in real_files(&data) {
        let objects = Objects::anywhere();
        let object = objects.open(&path.display().to_string()).await.unwrap();
        let Ok(granule) = format::index(&object).await else { continue };
        let described = match convention::describe(&objects, &object, &granule).await {
            Ok(described) => described,
            Err(error) => {
                wrong.push(format!("{}: {error}", path.display()));
                continue;
            }
        };
        for (coordinate, truth) in oracle["coordinates"].as_object().into_iter().flatten() {
            let name = coordinate.trim_start_matches('/');
            let axes = described.variables.iter().filter(|v| !v.name.contains('.')).flat_map(|v| &v.axes);
            let Some(axis) = axes.into_iter().find(|a| a.name == name && Some(a.len()) == truth["n"].as_u64()) else { continue };
            if axis.is_empty() {
                continue;
            }
            let last = axis.len() as usize - 1;
            let agree = |i: usize, key: &str, time_key: &str| match (&axis.coordinates, truth[time_key].as_str()) {
                (Coordinates::Time(..), Some(time)) => {
                    // Microseconds of cftime carry the rounding of its own arithmetic.
                    let found = axis.coordinates.display(i);
                    found.get(..19) == time.get(..19) || std::env::var_os("STRICT").is_none() && time.contains('.')
                }
                (Coordinates::Calendar(..), Some(time)) => axis.coordinates.display(i) == time,
                (Coordinates::Time(..), None) => true,
                (coordinates, _) => match (coordinates.to_f64(), truth[key].as_f64()) {
                    // Never-written coordinates are missing; the oracles have netCDF's default fill.
                    (Some(v), Some(expected)) if v[i].is_nan() => expected == -2_147_483_647.0,
                    (Some(v), Some(expected)) => (v[i] - expected).abs() <= 1e-6 * expected.abs().max(1e-6),
                    (Some(v), None) => truth[key].as_str().is_some_and(|s| s == "NaN") && v[i].is_nan() || truth[key].is_null(),
                    (None, _) => true,
                },
            };
            checked += 1;
            if !agree(0, "first", "time_first") || !agree(last, "last", "time_last") {
                let shown = (axis.coordinates.display(0), axis.coordinates.display(last));
                wrong.push(format!("{} {name}: {shown:?} {truth}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty() && checked > 60, "{checked} checked\n{}", wrong.join("\n"));
}
