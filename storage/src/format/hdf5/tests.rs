//! Against h5py and netCDF4: the fixtures of `tests/corpus/hdf5` (truth.json), and the real files where they are present.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hdf5_reader::storage::FileStorage;
use serde_json::Value;

use super::parse;
use crate::Result;
use crate::array::{Attributes, ByteOrder, ChunkRef, EdgeChunks, Scalar};
use crate::format::{IndexedArray, IndexedGranule};

fn index(path: &Path) -> Result<IndexedGranule> {
    parse(&path.display().to_string(), Arc::new(FileStorage::open(path).unwrap()))
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// The folder of real files, when this machine has it.
fn real_files() -> Option<PathBuf> {
    let shared = std::env::var_os("GRATICULE_SHARED").map_or_else(|| workspace().parent().unwrap().join("shared"), PathBuf::from);
    Some(shared.join("data")).filter(|p| p.is_dir())
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_file()).collect();
    found.sort();
    found
}

/// Numbers equal with NaN equal to NaN and 1 to 1.0.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Number(x), Value::Number(y)) => x == y || x.as_f64() == y.as_f64(),
        _ => a == b,
    }
}

fn check_attributes(place: &str, found: &Attributes, expected: &Value, wrong: &mut Vec<String>) {
    let hidden = |k: &str| super::walk::HIDDEN.contains(&k);
    let expected = expected.as_object().unwrap();
    for (name, truth) in expected.iter().filter(|(k, v)| !hidden(k) && !v.is_null()) {
        match found.get(name) {
            None => wrong.push(format!("{place}: attribute {name} missing")),
            Some(value) if value.data_type().name() != truth["type"] || !same(&value.to_json(), &truth["value"]) => {
                wrong.push(format!("{place}: attribute {name}: {value:?}, expected {truth}"));
            }
            Some(_) => {}
        }
    }
    for (name, _) in &found.0 {
        if hidden(name) || expected.get(name).is_none_or(Value::is_null) {
            wrong.push(format!("{place}: attribute {name} too many"));
        }
    }
}

fn list(v: &Value) -> Vec<u64> {
    v.as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).collect()
}

fn check_array(place: &str, array: &IndexedArray, truth: &Value, wrong: &mut Vec<String>) {
    let meta = &array.metadata;
    let mut expect = |what: &str, ok: bool, found: String| {
        if !ok {
            wrong.push(format!("{place}: {what} {found}, expected {}", truth[what]));
        }
    };
    expect("shape", meta.shape == list(&truth["shape"]), format!("{:?}", meta.shape));
    expect("type", meta.data_type.name() == truth["type"], meta.data_type.name());
    expect(
        "big",
        meta.data_type.size() < 2 || meta.data_type.is_text() || (meta.byte_order == ByteOrder::Big) == truth["big"],
        format!("{:?}", meta.byte_order),
    );
    let codecs: Vec<&str> = meta.codecs.iter().map(|c| c.name()).collect();
    expect("codecs", truth["codecs"] == serde_json::json!(codecs), format!("{codecs:?}"));
    let fill = match meta.fill_value {
        None => Value::Null,
        Some(Scalar::Int(i)) => i.into(),
        Some(Scalar::UInt(i)) => i.into(),
        Some(Scalar::Float(f)) => crate::array::AttributeValue::Floats(crate::array::DataType::Float64, vec![f]).to_json(),
    };
    expect("fill", same(&fill, &truth["fill"]) || truth["fill"].is_null(), fill.to_string());
    if let Some(texts) = truth.get("texts") {
        let found: Value = match array.manifest.get(0) {
            ChunkRef::Inline(b) => serde_json::from_slice(b).unwrap(),
            other => format!("{other:?}").into(),
        };
        return expect("texts", found == *texts, found.to_string());
    }
    let grid = meta.chunk_grid();
    if let Some(chunks) = truth.get("chunks") {
        expect("chunk_shape", meta.chunk_shape == list(&truth["chunk_shape"]), format!("{:?}", meta.chunk_shape));
        let bare = place.contains("bare_edges");
        let mut expected = vec![ChunkRef::Missing; grid.len() as usize];
        for c in chunks.as_array().unwrap() {
            let at: Vec<u64> = list(&c[0]).iter().zip(&meta.chunk_shape).map(|(o, s)| o / s).collect();
            let all = (1 << codecs.len()) - 1;
            let partial =
                grid.extent(&at).ranges().iter().map(|r| r.end - r.start).product::<u64>() != meta.chunk_shape.iter().product::<u64>();
            let skip = if bare && partial { all } else { c[3].as_u64().unwrap() as u32 };
            expected[grid.number(&at) as usize] =
                ChunkRef::Stored { object: 0, offset: c[1].as_u64().unwrap(), length: c[2].as_u64().unwrap(), skip };
        }
        expect("chunks", array.manifest.chunks == expected && meta.edge == EdgeChunks::Padded, format!("{:?}", array.manifest.chunks));
    } else if let Some(bytes) = truth.get("compact") {
        let ok = matches!(array.manifest.get(0), ChunkRef::Inline(b) if serde_json::json!(b.to_vec()) == *bytes);
        expect("compact", ok, format!("{:?}", array.manifest));
    } else {
        let stored: Vec<(u64, u64)> = array
            .manifest
            .chunks
            .iter()
            .filter_map(|c| match c {
                ChunkRef::Stored { offset, length, .. } => Some((*offset, *length)),
                _ => None,
            })
            .collect();
        let whole = stored.first().map(|&(o, _)| vec![o, stored.iter().map(|(_, n)| n).sum()]);
        let gapless = stored.windows(2).all(|w| w[0].0 + w[0].1 == w[1].0);
        expect("contiguous", serde_json::json!(whole) == truth["contiguous"] && gapless, format!("{stored:?}"));
    }
}

#[test]
fn fixtures_are_indexed_as_h5py_and_netcdf_read_them() {
    let folder = workspace().join("tests/corpus/hdf5");
    let truth = json(&folder.join("truth.json"));
    let mut wrong = Vec::new();
    let mut arrays = 0;
    for (name, truth) in truth["files"].as_object().unwrap() {
        let granule = index(&folder.join(name)).unwrap();
        assert_eq!(granule.format, if name.ends_with(".nc") { "netcdf4" } else { "hdf5" }, "{name}");
        for (path, t) in truth["datasets"].as_object().unwrap() {
            let place = format!("{name}:{path}");
            let phantom = t["attributes"]["NAME"]["value"].as_str().is_some_and(|n| n.starts_with("This is a netCDF dimension but"));
            if phantom {
                continue;
            }
            let path = path.replace("_nc4_non_coord_", "");
            match granule.array(&path) {
                None if granule.refused.iter().any(|r| r.path == path) && t["refused"] == true => {}
                None => wrong.push(format!("{place}: not there: {:?}", granule.refused.iter().find(|r| r.path == path))),
                Some(_) if t["refused"] == true => wrong.push(format!("{place}: read though it should be refused")),
                Some(array) => {
                    arrays += 1;
                    check_array(&place, array, t, &mut wrong);
                    check_attributes(&place, &array.metadata.attributes, &t["attributes"], &mut wrong);
                }
            }
        }
        for (path, t) in truth["groups"].as_object().unwrap() {
            let found =
                if path == "/" { Some(&granule.attributes) } else { granule.groups.iter().find(|(p, _)| p == path).map(|(_, a)| a) };
            match found {
                Some(found) => check_attributes(&format!("{name}:{path}"), found, t, &mut wrong),
                None => wrong.push(format!("{name}: group {path} missing")),
            }
        }
        for (path, t) in truth["dimensions"].as_object().unwrap() {
            if let Some(array) = granule.array(path)
                && serde_json::json!(array.metadata.dimensions) != *t
            {
                wrong.push(format!("{name}:{path}: dimensions {:?}, expected {t}", array.metadata.dimensions));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {arrays} arrays:\n{}", wrong.len(), wrong.join("\n"));
    assert!(arrays > 140, "{arrays} arrays only");
}

#[tokio::test]
async fn objects_are_detected_behind_user_blocks_and_indexed_with_few_requests() {
    let folder = workspace().join("tests/corpus/hdf5");
    let objects = crate::object::Objects::anywhere();
    for name in ["latest.h5", "user_block.h5", "user_block_latest.h5", "groups.nc"] {
        let path = folder.join(name);
        let object = objects.open(&path.display().to_string()).await.unwrap();
        // As text, where NaN equals NaN.
        assert_eq!(format!("{:?}", crate::format::index(&object).await.unwrap()), format!("{:?}", index(&path).unwrap()), "{name}");
        assert!(object.requests() <= 4, "{name}: {} requests", object.requests());
    }
    let object = objects.open(&folder.join("truth.json").display().to_string()).await.unwrap();
    let error = crate::format::index(&object).await.unwrap_err().to_string();
    assert!(error.contains("netCDF-4") && error.contains("GeoTIFF"), "{error}");
}

#[test]
fn links_are_followed_inside_the_file_and_refused_beyond() {
    let granule = index(&workspace().join("tests/corpus/hdf5/latest.h5")).unwrap();
    let chunks = |path: &str| granule.array(path).map(|a| a.manifest.clone());
    let data = chunks("/link/sub/data");
    assert!(data.is_some());
    for alias in ["/link/hard", "/link/soft", "/link/sub/soft_up", "/link/over_soft"] {
        assert_eq!(chunks(alias), data, "{alias}");
    }
    let reason = |path: &str| granule.refused.iter().find(|r| r.path == path).map_or("", |r| &r.reason);
    assert!(reason("/link/dangling").contains("not there"));
    assert!(reason("/link/circle").contains("soft links"));
    assert!(reason("/link/external").contains("external link to /x in file other.h5"), "{}", reason("/link/external"));
    assert!(reason("/link/sub/cycle").contains("the group /,"), "{}", reason("/link/sub/cycle"));
    assert!(reason("/type/lzf").contains("filter 32000 (lzf)"));
    assert!(reason("/type/compound").contains("compound"));
    assert!(reason("/type/virtual").contains("virtual data set"));
    assert!(reason("/type/twelve_bits").contains("12 bits"));
}

#[test]
fn real_files_agree_with_the_oracles() {
    let Some(data) = real_files() else { return };
    let mut wrong = BTreeMap::<String, Vec<String>>::new();
    let (mut files, mut arrays, mut refused) = (0, 0, BTreeMap::<String, usize>::new());
    for kind in ["netcdf4", "hdf5"] {
        for path in files_below(&data.join("public").join(kind)) {
            let name = format!("{kind}/{}", path.file_name().unwrap().to_string_lossy());
            let oracle = json(&data.join("public/oracles").join(format!("{name}.json")));
            files += 1;
            let mut bad = Vec::new();
            match index(&path) {
                Err(e) => bad.push(e.to_string()),
                Ok(granule) => {
                    let variables = oracle.get("variables").and_then(Value::as_object);
                    let variables = variables.into_iter().flatten().map(|(p, v)| (p, v, true));
                    let datasets =
                        oracle["hdf5"].get("datasets").and_then(Value::as_object).into_iter().flatten().map(|(p, v)| (p, v, false));
                    for (path, truth, netcdf) in variables.chain(datasets) {
                        match (granule.array(path), granule.refused.iter().find(|r| r.path == *path)) {
                            (Some(array), _) => {
                                arrays += 1;
                                oracle_differences(&granule, array, truth, netcdf, &mut bad);
                            }
                            (None, Some(r)) => *refused.entry(r.reason.clone()).or_default() += 1,
                            (None, None) if truth.get("named_datatype").is_some() => {}
                            // A dimension is not an array; h5py does not know.
                            (None, None)
                                if truth["attributes"]["NAME"]
                                    .as_str()
                                    .is_some_and(|n| n.starts_with("This is a netCDF dimension but")) => {}
                            (None, None) => bad.push(format!("{path}: not there")),
                        }
                    }
                }
            }
            // Two files whose oracle is wrong: chunks numbered as an old snapshot of libhdf5 did, of which h5py lists four but reads
            // two; netCDF-C takes /Y for /group/Y and cannot read the variable then.
            bad.retain(|b| !["/DSET_EA: chunks stored 2", "/group/char_var: shape [1, 2, 3]"].iter().any(|known| b.starts_with(known)));
            if !bad.is_empty() {
                wrong.insert(name, bad);
            }
        }
    }
    println!("{files} files, {arrays} arrays compared, refused by reason: {refused:#?}");
    let count: usize = wrong.values().map(Vec::len).sum();
    assert!(wrong.is_empty(), "{count} differences in {} of {files} files: {wrong:#?}", wrong.len());
}

fn oracle_differences(granule: &IndexedGranule, array: &IndexedArray, truth: &Value, netcdf: bool, bad: &mut Vec<String>) {
    let meta = &array.metadata;
    let mut differ = |what: &str, found: String, expected: String| {
        if found != expected {
            bad.push(format!("{}: {what} {found}, expected {expected}", meta.path));
        }
    };
    if truth.get("error").is_some() || truth["shape"].is_null() {
        return;
    }
    // netCDF variables are as long as their unlimited dimensions, HDF5 data sets as long as they were written.
    if netcdf || granule.format == "hdf5" {
        differ("shape", format!("{:?}", meta.shape), format!("{:?}", list(&truth["shape"])));
    }
    let dtype = truth["dtype"].as_str().unwrap_or_default();
    let dtype = match dtype.trim_start_matches(['<', '>', '|', '=']) {
        "string" | "object" | "<class 'str'>" => "str".to_string(),
        "bool" => "int8".to_string(),
        short
            if short.len() == 2
                && short.as_bytes()[0].is_ascii_alphabetic()
                && short.as_bytes()[1].is_ascii_digit()
                && !short.starts_with('S') =>
        {
            let (k, n) = (&short[..1], short[1..].parse::<u32>().unwrap() * 8);
            format!(
                "{}{n}",
                match k {
                    "i" => "int",
                    "u" => "uint",
                    _ => "float",
                }
            )
        }
        other => other.to_string(),
    };
    differ("type", meta.data_type.name(), dtype);
    let mut codecs: Vec<&str> = meta.codecs.iter().map(|c| c.name()).collect();
    if netcdf {
        differ(
            "dimensions",
            format!("{:?}", meta.dimensions),
            format!("{:?}", truth["dims"].as_array().unwrap().iter().map(|v| v.as_str().unwrap()).collect::<Vec<_>>()),
        );
        if truth["chunking"].is_array() && meta.edge == EdgeChunks::Padded {
            differ("chunks", format!("{:?}", meta.chunk_shape), format!("{:?}", list(&truth["chunking"])));
        }
        let mut told: Vec<&str> = ["zlib", "shuffle", "fletcher32"]
            .into_iter()
            .filter(|f| truth["filters"][*f] == true)
            .map(|f| if f == "zlib" { "deflate" } else { f })
            .collect();
        told.sort_unstable();
        codecs.sort_unstable();
        if meta.data_type.size() > 0 {
            differ("codecs", format!("{codecs:?}"), format!("{told:?}"));
        }
    } else {
        if truth["chunks"].is_array() && meta.data_type.size() > 0 {
            differ("chunks", format!("{:?}", meta.chunk_shape), format!("{:?}", list(&truth["chunks"])));
            let told: Vec<&str> = truth["filters"]
                .as_array()
                .unwrap()
                .iter()
                .map(|f| match f["id"].as_u64() {
                    Some(1) => "deflate",
                    Some(2) => "shuffle",
                    Some(3) => "fletcher32",
                    _ => "?",
                })
                .collect();
            differ("codecs", format!("{codecs:?}"), format!("{told:?}"));
            let stored = array.manifest.chunks.iter().filter(|c| matches!(c, ChunkRef::Stored { .. })).count();
            if let Some(n) = truth["n_chunks_stored"].as_u64() {
                differ("chunks stored", stored.to_string(), n.to_string());
            }
        }
        if let Some(order) = truth["byte_order"].as_str().filter(|_| meta.data_type.size() > 1 && !meta.data_type.is_text()) {
            differ("byte order", format!("{:?}", meta.byte_order).to_lowercase(), order.into());
        }
    }
    let mut found: Vec<String> = meta.attributes.0.iter().map(|(n, _)| n.clone()).collect();
    let hidden = |k: &String| super::walk::HIDDEN.contains(&k.as_str());
    let mut names: Vec<String> =
        truth["attributes"].as_object().map(|a| a.keys().filter(|k| netcdf || !hidden(k)).cloned().collect()).unwrap_or_default();
    found.retain(|k| netcdf || !hidden(k));
    let place = format!("{}:", meta.path);
    found.extend(granule.refused.iter().filter_map(|r| r.path.strip_prefix(&place)).map(str::to_string));
    found.sort_unstable();
    names.sort_unstable();
    if found.len() < 60 {
        differ("attributes", format!("{found:?}"), format!("{names:?}"));
    }
}

#[test]
fn malformed_files_end_in_errors_or_refusals_soon() {
    let Some(data) = real_files() else { return };
    let (mut errors, mut read, mut slowest) = (0, 0, Duration::ZERO);
    for kind in ["hdf5", "netcdf4"] {
        for path in files_below(&data.join("malformed").join(kind)) {
            let start = Instant::now();
            match index(&path) {
                Err(e) => {
                    errors += 1;
                    println!("{}: {e}", path.file_name().unwrap().to_string_lossy());
                }
                Ok(g) => {
                    read += 1;
                    println!("{}: {} arrays, refused {:?}", path.file_name().unwrap().to_string_lossy(), g.arrays.len(), g.refused);
                }
            }
            slowest = slowest.max(start.elapsed());
            assert!(start.elapsed() < Duration::from_secs(5), "{} took {:?}", path.display(), start.elapsed());
        }
    }
    println!("{errors} errors, {read} read, slowest {slowest:?}");
}
