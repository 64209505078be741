//! Inspections of a file made for this (against netCDF4-python) and of real files against what independent readers saw in
//! them (skipped where the shared data are not there).

use std::path::{Path, PathBuf};

use super::*;
use crate::oracles::{self, number};

fn shared() -> Option<PathBuf> {
    Some(oracles::data()?.join("public"))
}

fn close(a: &Value, b: &Value, relative: f64) -> bool {
    match (number(a), number(b)) {
        (Some(a), Some(b)) => a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= (relative * a.abs().max(b.abs())).max(1e-9),
        // Text cells are compared as text; a pad character may be given as empty or as NUL.
        _ => a == b || a.as_str().map(|s| s.trim_end_matches('\0')) == b.as_str().map(|s| s.trim_end_matches('\0')) && a.is_string(),
    }
}

/// The numeric arrays of an oracle: path, and the readings of it that are right.
fn expected(oracle: &Value) -> Vec<(String, Vec<Value>)> {
    let mut found = Vec::new();
    let objects = |v: &Value| v.as_object().cloned().unwrap_or_default();
    for (path, v) in objects(&oracle["variables"]) {
        let readings = |keys: &[&str]| -> Vec<Value> {
            let with_stats = keys.iter().map(|k| v[*k].clone()).filter(|r| r["stats"].is_object());
            with_stats.map(|r| json!({"stats": r["stats"], "values_at": r["values_at"], "shape": v["shape"]})).collect()
        };
        let decoded = readings(&["decoded_xarray", "decoded_netcdf4"]);
        let all = if decoded.is_empty() { readings(&["raw"]) } else { decoded };
        if !all.is_empty() {
            found.push((path, all));
        }
    }
    for (path, v) in objects(&oracle["hdf5"]["datasets"]) {
        if v["stats"].is_object() {
            found.push((path, vec![json!({"stats": v["stats"], "values_at": v["values_at"], "shape": v["shape"]})]));
        }
    }
    for (store, v) in objects(&oracle["stores"]) {
        for (path, array) in objects(&v["arrays"]).into_iter().filter(|(_, a)| a["raw_stats"].is_object()) {
            let reading = |stats: &Value, values: &Value| json!({"stats": stats, "values_at": values, "shape": array["shape"]});
            let mut readings = vec![reading(&array["raw_stats"], &array["values_at"])];
            let decoded = &v["xarray"]["decoded_stats"][path.trim_start_matches('/')];
            readings.extend(decoded.is_object().then(|| reading(decoded, &json!([]))));
            found.push((if store == "." { path } else { format!("/{store}{path}") }, readings));
        }
    }
    let raster = &oracle["raster"];
    for band in raster["bands"].as_array().cloned().unwrap_or_default() {
        let key = ["scaled_valid_stats", "valid_stats", "raw_stats"].into_iter().find(|k| band[*k].is_object());
        if let Some(key) = key {
            let shape = json!([raster["height"], raster["width"]]);
            // The bands' values are not decoded.
            found.push((format!("/band_{}", band["band"]), vec![json!({"stats": band[key], "shape": shape, "values_at": []})]));
        }
    }
    found
}

fn same(got: &Value, want: &Value) -> bool {
    let stats = |key: &str| want["stats"].get(key).is_none_or(|w| close(&got["stats"][key], w, 1e-5));
    got["shape"] == want["shape"] && got["stats"]["count"] == want["stats"]["count"] && stats("min") && stats("max") && stats("mean")
}

/// Compares a folder; `except` names files, or arrays (`file path`), that may differ.
fn compare(folder: &str, except: &[&str]) {
    let Some(root) = shared() else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (mut oracles, mut folders) = (Vec::new(), vec![root.join("oracles").join(folder)]);
    while let Some(folder) = folders.pop() {
        let (inner, files): (Vec<_>, Vec<_>) = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).partition(|p| p.is_dir());
        folders.extend(inner);
        oracles.extend(files);
    }
    oracles.sort();
    let (mut equal, mut refused, mut different) = (0, Vec::new(), Vec::new());
    for path in oracles {
        let oracle: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let wanted = expected(&oracle);
        let file = oracle["file"].as_str().unwrap();
        if wanted.is_empty() {
            continue;
        }
        let name = root.join(file).to_str().unwrap().to_string();
        let objects = Objects::anywhere();
        let options = InspectOptions { stats: true, ..InspectOptions::default() };
        let inspection = match runtime.block_on(inspect(&objects, &name, options)) {
            Ok(inspection) => inspection.to_json(),
            Err(e) => {
                refused.push(format!("{file}: {e}"));
                continue;
            }
        };
        for (path, readings) in wanted {
            let Some(got) = inspection["arrays"].as_array().unwrap().iter().find(|a| a["path"] == path.as_str()) else {
                let reason = inspection["refused"].as_array().unwrap().iter().find(|r| r["path"] == path.as_str());
                match reason {
                    Some(r) => refused.push(format!("{file} {path}: {}", r["reason"])),
                    None => different.push(format!("{file} {path}: absent")),
                }
                continue;
            };
            if !readings.iter().any(|r| same(got, r)) {
                different
                    .push(format!("{file} {path}: shape {} {}, stats {}, want {}", got["shape"], got["dtype"], got["stats"], readings[0]));
                continue;
            }
            equal += 1;
            if got["decoded_dtype"].as_str().unwrap().starts_with("datetime") {
                continue;
            }
            // One reading must have all the sampled values.
            let samples = readings[0]["values_at"].as_array().cloned().unwrap_or_default();
            let at: Vec<Vec<u64>> = samples.iter().map(|v| serde_json::from_value(v["index"].clone()).unwrap()).collect();
            let options = InspectOptions { array: Some(path.clone()), at, ..InspectOptions::default() };
            let values = runtime.block_on(inspect(&objects, &name, options)).unwrap().to_json()["arrays"][0]["values_at"].clone();
            let has_all = |reading: &Value| {
                let wanted = reading["values_at"].as_array().cloned().unwrap_or_default();
                wanted.iter().enumerate().all(|(i, w)| {
                    let (got, want) = (&values[i]["value"], &w["value"]);
                    // NaN is missing; booleans are 0 and 1.
                    let other = got.is_null() && want == "NaN" || want.as_bool().is_some_and(|b| *got == json!(u8::from(b)));
                    other || close(got, want, 1e-6)
                })
            };
            if !readings.iter().any(has_all) {
                different.push(format!("{file} {path}: values {values}, want {}", readings[0]["values_at"]));
            }
        }
    }
    println!("{folder}: {equal} arrays equal, {} refused, {} different", refused.len(), different.len());
    refused.iter().for_each(|r| println!("refused {r}"));
    different.iter().for_each(|d| println!("different {}", d.chars().take(600).collect::<String>()));
    assert!(equal > 20);
    let listed = |d: &String| except.iter().any(|name| d.starts_with(&format!("{name}:")) || d.starts_with(&format!("{name} ")));
    let unexpected: Vec<_> = different.iter().filter(|d| !listed(d)).collect();
    assert!(unexpected.is_empty(), "{unexpected:#?}");
}

#[test]
fn netcdf4_files_are_read_as_netcdf_c_and_xarray_read_them() {
    // -127 is the default fill value of 8-bit types, and legal data: only netCDF4-python takes it for missing.
    let legal = ["/ubyte_var", "/byte_var", "/byte_unsigned_false_var"].map(|v| format!("netcdf4/alldatatypes.nc {v}"));
    compare("netcdf4", &legal.each_ref().map(String::as_str));
}

#[test]
fn classic_netcdf_files_are_read_as_netcdf_c_and_xarray_read_them() {
    // A mean of about 0, where both decoders compute in float32; here packed numbers are rounded once.
    compare("netcdf3", &["netcdf3/geos_rad.nc /x", "netcdf3/geos_rad.nc /y"]);
}

#[test]
fn hdf5_files_are_read_as_h5py_reads_them() {
    compare(
        "hdf5",
        &[
            // Dimensions of netCDF-4 files that are not variables.
            "hdf5/deflate.h5 /x",
            "hdf5/deflate.h5 /y",
            "hdf5/scale_offset.h5 /x",
            "hdf5/scale_offset.h5 /y",
            // Attributes for packing and missing data, which h5py does not apply.
            "hdf5/scale_offset.h5 /z",
            "hdf5/hdfeos_sample_swath.h5 /HDFEOS/SWATHS/Swath1/Data Fields/Density",
            "hdf5/hdfeos_sample_swath.h5 /HDFEOS/SWATHS/Swath1/Geolocation Fields/Time",
            // NaN is missing.
            "hdf5/float_special_values_earliest.hdf5 /float16",
            "hdf5/float_special_values_earliest.hdf5 /float32",
            "hdf5/float_special_values_earliest.hdf5 /float64",
        ],
    );
}

#[test]
fn tiff_files_are_read_as_gdal_reads_them() {
    // GDAL makes RGBA of CMYK; here samples are given as stored. Chroma of JPEG has more than one right answer.
    let jpeg: Vec<String> = oracles::JPEG_CHROMA.iter().map(|(file, _)| format!("tiff/{file}")).collect();
    let except: Vec<&str> = jpeg.iter().map(String::as_str).chain(["tiff/rgbsmall_cmyk.tif"]).collect();
    compare("tiff", &except);
    compare("tiff_collections", &[]);
}

#[test]
fn zarr_stores_are_read_as_zarr_python_and_tensorstore_read_them() {
    compare("zarr", &[]);
}

/// Broken files end in an answer or an error, soon.
#[test]
fn malformed_files_neither_panic_nor_hang() {
    let Some(root) = shared() else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (mut waiting, mut read, mut refused) = (vec![root.join("../malformed")], 0, 0);
    while let Some(folder) = waiting.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
                continue;
            }
            let file = path.to_str().unwrap().to_string();
            let options = InspectOptions { stats: true, ..InspectOptions::default() };
            let work = runtime.spawn(async move { inspect(&Objects::anywhere(), &file, options).await });
            let ended = runtime.block_on(async { tokio::time::timeout(std::time::Duration::from_secs(60), work).await });
            match ended.unwrap_or_else(|_| panic!("{path:?} hangs")).unwrap_or_else(|e| panic!("{path:?}: {e}")) {
                Ok(_) => read += 1,
                Err(Error::Internal(e)) => panic!("{path:?}: {e}"),
                Err(_) => refused += 1,
            }
        }
    }
    println!("malformed: {read} read, {refused} refused");
    assert!(read + refused > 100);
}

fn corpus(file: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/corpus").join(file).to_str().unwrap().to_string()
}

fn look(file: &str, options: InspectOptions) -> Result<Inspection> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(inspect(&Objects::anywhere(), file, options))
}

/// All cells of every array of a file that netCDF4-python wrote and read: packed, unsigned, big-endian, missing, never
/// written, instants, texts; and boxes that cut through chunks.
#[tokio::test]
async fn values_are_those_of_netcdf4_python() {
    let (objects, truth) = (Objects::anywhere(), std::fs::read(corpus("inspect/truth.json")).unwrap());
    let truth: Value = serde_json::from_slice(&truth).unwrap();
    let object = objects.open(&corpus("inspect/packed.nc")).await.unwrap();
    let granule = format::index(&object).await.unwrap();
    let described = convention::describe(&objects, &object, &granule).await.unwrap();
    let variables = truth["variables"].as_object().unwrap();
    assert_eq!(variables.len(), granule.arrays.len());
    for (name, want) in variables {
        let number = granule.arrays.iter().position(|a| a.metadata.name() == name).unwrap();
        let array = describe(&granule, number, &described).unwrap();
        let shape = array.metadata.shape.clone();
        assert_eq!(json!(shape), want["shape"], "{name}");
        let open = OpenArray::new(&objects, &object, &granule.objects, &granule.arrays[number]).unwrap();
        let middle = Extent::new(shape.iter().map(|&n| n / 3..n - n / 4).collect());
        for extent in [Extent::of_shape(&shape), middle] {
            let values = open.values(&extent, &Arc::new(array.encoding.clone())).await.unwrap();
            assert_eq!(values.len() as u64, extent.cells());
            let inner: Vec<u64> = extent.shape();
            for i in 0..values.len() {
                let (mut rest, mut position, mut stride) = (i as u64, 0, 1);
                for d in (0..shape.len()).rev() {
                    position += (extent.range(d).start + rest % inner[d]) * stride;
                    (rest, stride) = (rest / inner[d], stride * shape[d]);
                }
                let (got, want) = (value::decoded(&values.slice(i, 1)).unwrap(), &want["values"][position as usize]);
                let same = match (&got, want) {
                    (Value::String(g), Value::String(w)) if array.encoding.time.is_some() => instant(g) == instant(w),
                    (Value::Number(g), Value::Number(w)) if g.is_f64() => g.as_f64() == w.as_f64(),
                    (g, w) => g == w,
                };
                assert!(same, "{name} {extent} cell {i}: {got}, netCDF4-python {want}");
            }
        }
    }
}

/// Microseconds, to the nearest ten: netCDF4-python computes instants with less precision.
fn instant(text: &str) -> i64 {
    let time = chrono::NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f").unwrap();
    (time.and_utc().timestamp_micros() + 5).div_euclid(10)
}

#[test]
fn json_has_the_keys_of_the_interface() {
    let file = corpus("inspect/packed.nc");
    let at = vec![vec![0, 0, 0], vec![0, 0, 1]];
    let array = Some("t2m".into());
    let one = InspectOptions { stats: true, array: array.clone(), at: at.clone(), raw: false };
    let json = look(&file, one.clone()).unwrap().to_json();
    let t2m = &json["arrays"][0];
    assert_eq!((&json["format"], &t2m["path"], &t2m["dtype"]), (&json!("netcdf4"), &json!("/t2m"), &json!("int16")));
    assert!(json["requests"].as_u64().unwrap() > 0 && json["refused"] == json!([]));
    assert_eq!((&t2m["dims"], &t2m["shape"]), (&json!(["time", "lat", "lon"]), &json!([5, 7, 9])));
    assert_eq!((&t2m["chunks"], &t2m["codecs"]), (&json!([2, 3, 4]), &json!(["shuffle", "deflate"])));
    assert_eq!((&t2m["decoded_dtype"], &t2m["crs"]), (&json!("float32"), &Value::Null));
    assert_eq!((&t2m["attributes"]["scale_factor"], &t2m["attributes"]["valid_range"]), (&json!(0.01), &json!([-500, 500])));
    assert_eq!(t2m["stats"]["count"], 5 * 7 * 9 - 99);
    assert_eq!(t2m["values_at"][1], json!({"index": [0, 0, 1], "value": null}));
    let raw = look(&file, InspectOptions { raw: true, ..one.clone() }).unwrap().to_json();
    assert_eq!((&raw["arrays"][0]["values_at"][0]["value"], &raw["arrays"][0]["stats"]["count"]), (&json!(454), &json!(5 * 7 * 9)));
    let text = look(&file, one.clone()).unwrap().to_string();
    for part in
        ["/t2m (time 5, lat 7, lon 9) int16 -> float32", "shuffle + deflate", "axis: lat 0 .. 3", "value = stored * 0.01", "count 216"]
    {
        assert!(text.contains(part), "{part} in {text}");
    }
    let time = InspectOptions { array: Some("/time".into()), at: vec![vec![2]], ..InspectOptions::default() };
    let json = look(&file, time).unwrap().to_json();
    assert_eq!(json["arrays"][0]["values_at"][0]["value"], "2000-02-29T07:00:00");
    assert!(json["arrays"][0].get("stats").is_none());
    let absent = look(&file, InspectOptions { array: Some("t3m".into()), ..InspectOptions::default() }).unwrap_err();
    assert!(matches!(&absent, Error::NotFound(m) if m.contains("/t2m")), "{absent}");
    let outside = look(&file, InspectOptions { at: vec![vec![5, 0, 0]], array, ..InspectOptions::default() }).unwrap_err();
    assert!(matches!(&outside, Error::User(m) if m.contains("[5, 7, 9]")), "{outside}");
    assert!(matches!(look(&file, InspectOptions { at, ..InspectOptions::default() }), Err(Error::User(_))));
    assert!(matches!(look(&corpus("inspect/*.nc"), InspectOptions::default()), Ok(i) if i.arrays.len() == 12));
    assert!(matches!(look(&corpus("inspect"), InspectOptions::default()), Err(Error::User(_))));
    assert!(matches!(look(&corpus("inspect/make.py"), InspectOptions::default()), Err(Error::Unsupported { .. })));
}
