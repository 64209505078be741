//! Real files of other people against what independent readers saw in them: every array of every oracle is equal, refused
//! with a reason, or different; different is none but those listed here. Skipped where the files are not beside the repository.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use futures::StreamExt;
use graticule_storage::inspect::{InspectOptions, inspect};
use graticule_storage::object::Objects;
use serde_json::{Value, json};

use super::engine::root;

/// Folders of formats that are read; the others are refused by their names.
const FORMATS: &[&str] = &["netcdf3", "netcdf4", "hdf5", "tiff", "tiff_collections", "zarr"];

/// Where the oracle is not what is wanted: the begin of `file array`, and why. storage/SUPPORT.md tells more.
const ON_PURPOSE: &[(&str, &str)] = &[
    ("netcdf4/alldatatypes.nc /ubyte_var", DEFAULT_FILL),
    ("netcdf4/alldatatypes.nc /byte_var", DEFAULT_FILL),
    ("netcdf4/alldatatypes.nc /byte_unsigned_false_var", DEFAULT_FILL),
    ("hdf5/hdfeos_sample_swath.h5 /HDFEOS/SWATHS/Swath1/Data Fields/Density", CONVENTIONS),
    ("hdf5/hdfeos_sample_swath.h5 /HDFEOS/SWATHS/Swath1/Geolocation Fields/Time", CONVENTIONS),
    ("hdf5/scale_offset.h5 /z", CONVENTIONS),
    ("hdf5/scale_offset.h5 /x", PHANTOM),
    ("hdf5/scale_offset.h5 /y", PHANTOM),
    ("hdf5/deflate.h5 /x", PHANTOM),
    ("hdf5/deflate.h5 /y", PHANTOM),
    ("tiff/be_cog.tiff", CHROMA),
    ("tiff/cogeo.tif", CHROMA),
    ("tiff/goes.tif", CHROMA),
    ("tiff/image_geos.tif", CHROMA),
    ("tiff/cog_hirise_mars.tif", CHROMA),
    ("tiff/rgbsmall_JPEG_ycbcr.tif", CHROMA),
    ("tiff/tiled-jpeg-ycbcr.tif", CHROMA),
    ("tiff/rgbsmall_cmyk.tif", "GDAL makes RGBA of CMYK; here are the samples as stored"),
];
const DEFAULT_FILL: &str = "the default fill value of 8-bit types is legal data";
const CONVENTIONS: &str = "h5py gives stored numbers; here packing and fill values are applied";
const PHANTOM: &str = "a dimension of netCDF-4 that is no variable";
const CHROMA: &str =
    "the oracle's libjpeg (IJG 9) spreads subsampled chroma otherwise than libjpeg-turbo; storage's tests compare with that";

/// At most this part of all arrays may be refused.
const REFUSED: f64 = 0.03;

/// What a reader saw: shape, statistics, values at some indices.
struct Reading {
    shape: Value,
    stats: Value,
    values: Vec<(Vec<u64>, Value)>,
}

/// What became of one array.
enum Verdict {
    Equal,
    Refused(String),
    Different(String),
}

fn public() -> Option<PathBuf> {
    let shared = std::env::var_os("GRATICULE_SHARED").map_or_else(|| root().join("../shared"), PathBuf::from);
    let public = shared.join("data/public");
    public.join("oracles").is_dir().then_some(public)
}

fn objects_of(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn reading(of: &Value, stats: &str, shape: &Value) -> Option<Reading> {
    let index = |v: &Value| serde_json::from_value(v["index"].clone()).ok();
    let values = list(&of["values_at"]).filter_map(|v| Some((index(v)?, v["value"].clone()))).collect();
    of[stats].is_object().then(|| Reading { shape: shape.clone(), stats: of[stats].clone(), values })
}

/// The numeric arrays of an oracle: path, and the readings of it that are right (reference readers disagree).
fn expected(oracle: &Value) -> BTreeMap<String, Vec<Reading>> {
    let mut found = BTreeMap::new();
    for (path, v) in objects_of(&oracle["variables"]) {
        let of = |keys: &[&str]| keys.iter().filter_map(|k| reading(&v[*k], "stats", &v["shape"])).collect::<Vec<_>>();
        let decoded = of(&["decoded_xarray", "decoded_netcdf4"]);
        found.insert(path.clone(), if decoded.is_empty() { of(&["raw"]) } else { decoded });
    }
    for (path, v) in objects_of(&oracle["hdf5"]["datasets"]) {
        let stored: Vec<Reading> = reading(v, "stats", &v["shape"]).into_iter().collect();
        if !stored.is_empty() {
            found.insert(path.clone(), stored);
        }
    }
    let raster = &oracle["raster"];
    for band in list(&raster["bands"]) {
        let key = ["scaled_valid_stats", "valid_stats", "raw_stats"].into_iter().find(|k| band[*k].is_object());
        let mut of = key.and_then(|k| reading(band, k, &json!([raster["height"], raster["width"]])));
        if let Some(reading) = &mut of
            && key != Some("scaled_valid_stats")
        {
            // Samples are as stored; so they are values where no scale is.
            let at = |v: &Value| Some(vec![v["row"].as_u64()?, v["col"].as_u64()?]);
            let value = |v: &Value| if v["masked"] == true { Value::Null } else { v["value"].clone() };
            reading.values = list(&band["values_at"]).filter_map(|v| Some((at(v)?, value(v)))).collect();
        }
        found.insert(format!("/band_{}", band["band"]), of.into_iter().collect());
    }
    for (store, content) in objects_of(&oracle["stores"]) {
        for (path, array) in objects_of(&content["arrays"]) {
            let decoded = &content["xarray"]["decoded_stats"][path.trim_start_matches('/')];
            let mut of: Vec<Reading> = reading(array, "raw_stats", &array["shape"]).into_iter().collect();
            if decoded.is_object() && !of.is_empty() {
                of.push(Reading { shape: array["shape"].clone(), stats: decoded.clone(), values: Vec::new() });
            }
            found.insert(if store == "." { path.clone() } else { format!("/{store}{path}") }, of);
        }
    }
    found.retain(|_, readings| !readings.is_empty());
    found
}

/// A number of JSON; NaN and infinities are texts, truth is 1.
fn number(v: &Value) -> Option<f64> {
    match v {
        Value::Bool(truth) => Some(f64::from(u8::from(*truth))),
        Value::String(text) => match text.as_str() {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            _ => None,
        },
        other => other.as_f64(),
    }
}

impl Reading {
    /// True for numbers that differ by less than the array's numbers are exact: a packed value near zero, a mean near zero.
    fn too_near_to_tell(&self, a: &Value, b: &Value) -> bool {
        let largest = ["min", "max"].iter().filter_map(|k| number(&self.stats[*k])).fold(0.0, |a: f64, b| a.max(b.abs()));
        number(a).zip(number(b)).is_some_and(|(a, b)| (a - b).abs() <= 1e-6 * largest)
    }
}

/// Missing and NaN are one.
fn close(a: &Value, b: &Value, relative: f64) -> bool {
    let missing = |v: &Value| v.is_null() || v == "NaN";
    match (number(a), number(b)) {
        _ if missing(a) && missing(b) => true,
        (Some(a), Some(b)) => a == b || (a - b).abs() <= (relative * a.abs().max(b.abs())).max(1e-9),
        _ => a == b,
    }
}

fn same_statistics(got: &Value, want: &Reading) -> bool {
    let stats = |key: &str| want.stats.get(key).is_none_or(|w| close(&got["stats"][key], w, 1e-5));
    let mean = stats("mean") || want.too_near_to_tell(&got["stats"]["mean"], &want.stats["mean"]);
    got["shape"] == want.shape && got["stats"]["count"] == want.stats["count"] && stats("min") && stats("max") && mean
}

/// Compares the arrays of one oracle.
async fn examine(public: &Path, oracle: &Value) -> Vec<(String, Verdict)> {
    let file = public.join(oracle["file"].as_str().unwrap()).display().to_string();
    let objects = Objects::anywhere();
    let all = inspect(&objects, &file, InspectOptions { stats: true, ..InspectOptions::default() }).await.map(|i| i.to_json());
    let mut verdicts = Vec::new();
    for (path, readings) in expected(oracle) {
        let verdict = match &all {
            Err(e) => Verdict::Refused(e.to_string()),
            Ok(all) => match list(&all["arrays"]).find(|a| a["path"] == path.as_str()) {
                Some(got) => compare(&objects, &file, &path, got, &readings).await,
                None => match list(&all["refused"]).find(|r| r["path"] == path.as_str()) {
                    Some(refused) => Verdict::Refused(refused["reason"].as_str().unwrap_or_default().to_owned()),
                    None => Verdict::Different("absent".into()),
                },
            },
        };
        verdicts.push((path, verdict));
    }
    verdicts
}

async fn compare(objects: &Objects, file: &str, path: &str, got: &Value, readings: &[Reading]) -> Verdict {
    if !readings.iter().any(|r| same_statistics(got, r)) {
        return Verdict::Different(format!(
            "shape {} {}, statistics {}, want {}",
            got["shape"], got["dtype"], got["stats"], readings[0].stats
        ));
    }
    // Instants are written as texts here and as numbers there; their statistics were compared.
    if got["decoded_dtype"].as_str().is_some_and(|t| t.starts_with("datetime")) {
        return Verdict::Equal;
    }
    let mut differences = Vec::new();
    for reading in readings {
        let at: Vec<Vec<u64>> = reading.values.iter().map(|(at, _)| at.clone()).collect();
        if at.is_empty() {
            return Verdict::Equal;
        }
        let options = InspectOptions { array: Some(path.to_owned()), at, ..InspectOptions::default() };
        let values = match inspect(objects, file, options).await {
            Ok(found) => found.to_json()["arrays"][0]["values_at"].clone(),
            Err(e) => return Verdict::Different(e.to_string()),
        };
        match reading
            .values
            .iter()
            .zip(list(&values))
            .find(|((_, want), got)| !close(&got["value"], want, 1e-6) && !reading.too_near_to_tell(&got["value"], want))
        {
            None => return Verdict::Equal,
            Some(((at, want), got)) => differences.push(format!("at {at:?} {}, want {want}", got["value"])),
        }
    }
    Verdict::Different(differences.join(", or "))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_files_are_read_as_other_readers_read_them() {
    let Some(public) = public() else { return };
    let (mut different, mut refused, mut total) = (Vec::new(), Vec::new(), 0);
    for format in FORMATS {
        let mut oracles = files(&public.join("oracles").join(format));
        oracles.sort();
        let examined = oracles.into_iter().map(|path| {
            let public = public.clone();
            async move {
                let oracle: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
                let task = tokio::spawn(async move { (oracle["file"].as_str().unwrap().to_owned(), examine(&public, &oracle).await) });
                task.await.unwrap()
            }
        });
        let examined: Vec<(String, Vec<(String, Verdict)>)> = futures::stream::iter(examined).buffered(4).collect().await;
        let (mut arrays, mut whole_files) = ([0; 3], [0; 3]);
        for (file, verdicts) in examined.iter().filter(|(_, v)| !v.is_empty()) {
            let mut worst = [false; 3];
            for (path, verdict) in verdicts {
                let kind = match verdict {
                    Verdict::Equal => 0,
                    Verdict::Refused(reason) => {
                        refused.push(format!("{file} {path}: {reason}"));
                        1
                    }
                    Verdict::Different(_) if on_purpose(file, path) => 0,
                    Verdict::Different(how) => {
                        different.push(format!("{file} {path}: {how}"));
                        2
                    }
                };
                (arrays[kind], worst[kind]) = (arrays[kind] + 1, true);
            }
            whole_files[worst.iter().rposition(|w| *w).unwrap_or(0)] += 1;
        }
        total += arrays.iter().sum::<usize>();
        let line = |n: [usize; 3]| format!("{} equal, {} refused, {} different", n[0], n[1], n[2]);
        println!("{format}: files {}; arrays {}", line(whole_files), line(arrays));
    }
    refused.iter().for_each(|r| println!("refused: {r}"));
    assert!(different.is_empty(), "{} arrays differ:\n{}", different.len(), different.join("\n"));
    assert!(total > 1000, "only {total} arrays were found");
    assert!((refused.len() as f64) < REFUSED * total as f64, "{} of {total} arrays are refused", refused.len());
}

fn on_purpose(file: &str, path: &str) -> bool {
    ON_PURPOSE.iter().any(|(name, _)| *name == file || *name == format!("{file} {path}"))
}

/// All files in and below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}
