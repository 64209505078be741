//! Inspections of real files against what independent readers saw in them (skipped where the shared data are not there).

use std::path::{Path, PathBuf};

use super::*;

fn shared() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let root = std::env::var_os("GRATICULE_SHARED").map_or(beside, PathBuf::from).join("data/public");
    root.join("oracles").is_dir().then_some(root)
}

/// A number of JSON; NaN and infinities are texts.
fn number(v: &Value) -> Option<f64> {
    v.as_f64().or_else(|| match v.as_str()? {
        "NaN" => Some(f64::NAN),
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        _ => None,
    })
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

/// Compares a folder; `except` names arrays (`file path`) that differ, with the reason. What is listed must differ.
fn compare(folder: &str, except: &[(&str, &str)]) {
    let Some(root) = shared() else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut oracles: Vec<PathBuf> = std::fs::read_dir(root.join("oracles").join(folder)).unwrap().map(|e| e.unwrap().path()).collect();
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
                different.push(format!("{file} {path}: shape {} {}, stats {}, want {}", got["shape"], got["dtype"], got["stats"], readings[0]));
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
                wanted.iter().enumerate().all(|(i, w)| close(&values[i]["value"], &w["value"], 1e-6))
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
    let listed = |d: &String| except.iter().any(|(name, _)| d.starts_with(&format!("{name}:")));
    let unexpected: Vec<_> = different.iter().filter(|d| !listed(d)).collect();
    assert!(unexpected.is_empty(), "{unexpected:#?}");
}

#[test]
fn netcdf4_files_are_read_as_netcdf_c_and_xarray_read_them() {
    compare("netcdf4", &[]);
}

#[test]
fn hdf5_files_are_read_as_h5py_reads_them() {
    compare("hdf5", &[]);
}

#[test]
fn tiff_files_are_read_as_gdal_reads_them() {
    compare("tiff", &[]);
}
