//! Real files of others, where this machine has them: shapes, types, dimensions, chunks, filters, attributes and sample values
//! as the oracles of netCDF4 and h5py tell them.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::super::walk::HIDDEN;
use super::{files_below, index, json, list, real_files, same, scalar_json, values};
use crate::array::{ChunkRef, EdgeChunks};
use crate::codec::Codec;
use crate::format::{IndexedArray, IndexedGranule};

#[tokio::test]
async fn real_files_agree_with_the_oracles() {
    let Some(data) = real_files() else { return };
    let mut wrong = BTreeMap::<String, Vec<String>>::new();
    let (mut files, mut arrays, mut compared, mut columns, mut refused) = (0, 0, 0, 0, BTreeMap::<String, usize>::new());
    for kind in ["netcdf4", "hdf5"] {
        for path in files_below(&data.join("public").join(kind)) {
            let file = path.clone();
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
                                compared += value_differences(&file, array, truth, netcdf, &mut bad).await;
                                oracle_differences(&granule, array, truth, netcdf, &mut bad);
                            }
                            (None, Some(r)) if r.reason.starts_with("compound") => {
                                let samples = if netcdf { &truth["raw"]["values_at"] } else { &truth["values_at"] };
                                for column in granule.arrays.iter().filter(|a| a.metadata.path.starts_with(&format!("{path}."))) {
                                    columns += column_differences(&file, column, path, samples, &mut bad).await;
                                }
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
            // h5py mistakes the parts of complex numbers of class 11 with long doubles; they are those of the doubles beside them.
            let known = ["/DSET_EA: chunks stored 2", "/group/char_var: shape [1, 2, 3]", "/DatasetLongDoubleComplex."];
            bad.retain(|b| !known.iter().any(|known| b.starts_with(known)));
            if !bad.is_empty() {
                wrong.insert(name, bad);
            }
        }
    }
    println!(
        "{files} files, {arrays} arrays and {compared} of their values compared, {columns} of columns, refused by reason: {refused:#?}"
    );
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
    // What makes cells of a type is no filter.
    let of_type = |c: &Codec| matches!(c, Codec::Field { .. } | Codec::Integer { .. } | Codec::Float(_) | Codec::PaddedText { .. });
    let mut codecs: Vec<&str> = meta.codecs.iter().filter(|c| !of_type(c)).map(|c| c.name()).collect();
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
                    Some(4) => "szip",
                    Some(5) => "nbit",
                    Some(6) => "scaleoffset",
                    Some(32000) => "lzf",
                    Some(32001) => "blosc",
                    Some(32004) => "lz4",
                    Some(32008) => "bitshuffle",
                    Some(32015) => "zstd",
                    _ => "?",
                })
                .collect();
            differ("codecs", format!("{codecs:?}"), format!("{told:?}"));
            let stored = array.manifest.chunks.iter().filter(|c| matches!(c, ChunkRef::Stored { .. })).count();
            if let Some(n) = truth["n_chunks_stored"].as_u64() {
                differ("chunks stored", stored.to_string(), n.to_string());
            }
        }
        if let Some(order) = truth["byte_order"]
            .as_str()
            .filter(|_| meta.data_type.size() > 1 && !meta.data_type.is_text() && !meta.codecs.iter().any(of_type))
        {
            differ("byte order", format!("{:?}", meta.byte_order).to_lowercase(), order.into());
        }
    }
    let mut found: Vec<String> = meta.attributes.0.iter().map(|(n, _)| n.clone()).collect();
    let hidden = |k: &String| HIDDEN.contains(&k.as_str());
    let mut names: Vec<String> =
        truth["attributes"].as_object().map(|a| a.keys().filter(|k| netcdf || !hidden(k)).cloned().collect()).unwrap_or_default();
    let of_type = |k: &String| ["flag_values", "flag_meanings", "grid_mapping"].contains(&k.as_str()) && !names.contains(k);
    found.retain(|k| (netcdf || !hidden(k)) && !of_type(k));
    let place = format!("{}:", meta.path);
    found.extend(granule.refused.iter().filter_map(|r| r.path.strip_prefix(&place)).map(str::to_string));
    found.sort_unstable();
    names.sort_unstable();
    if found.len() < 60 {
        differ("attributes", format!("{found:?}"), format!("{names:?}"));
    }
}

/// Compares the oracle's sample values of a compound data set with one of its columns; returns how many there were.
async fn column_differences(file: &Path, column: &IndexedArray, path: &str, samples: &Value, bad: &mut Vec<String>) -> usize {
    let meta = &column.metadata;
    let (Some(samples), Some(Ok(values))) = (samples.as_array(), values(file, column).await) else { return 0 };
    let mut compared = 0;
    for sample in samples {
        let at = list(&sample["index"]);
        // What lies behind the members' names; complex numbers are {re, im}.
        let mut expected = &sample["value"];
        for name in meta.path[path.len() + 1..].split('.') {
            expected = match (name, expected.get(name)) {
                (_, Some(member)) => member,
                ("r", None) if expected.is_object() => &expected["re"],
                ("i", None) if expected.is_object() => &expected["im"],
                _ => return compared,
            };
        }
        let inner: u64 = meta.shape.iter().skip(at.len()).product();
        let position = at.iter().zip(&meta.shape).fold(0, |n, (i, d)| n * d + i) * inner;
        let found: Vec<Value> = values[position as usize..(position + inner) as usize].iter().map(|v| scalar_json(*v)).collect();
        let found = if meta.shape.len() > at.len() { Value::Array(found) } else { found[0].clone() };
        compared += 1;
        if !same(&found, expected) && !expected.is_string() {
            bad.push(format!("{}: value at {at:?} is {found}, expected {expected}", meta.path));
        }
    }
    compared
}

/// Compares the oracle's sample values with what the manifest and the codecs give; returns how many there were.
async fn value_differences(file: &Path, array: &IndexedArray, truth: &Value, netcdf: bool, bad: &mut Vec<String>) -> usize {
    let samples = if netcdf { &truth["raw"]["values_at"] } else { &truth["values_at"] };
    let Some(samples) = samples.as_array() else { return 0 };
    let path = &array.metadata.path;
    let values = match values(file, array).await {
        None => return 0,
        Some(Err(e)) => {
            bad.push(format!("{path}: not readable: {e}"));
            return 0;
        }
        Some(Ok(values)) => values,
    };
    for sample in samples {
        let at = list(&sample["index"]);
        let position = at.iter().zip(&array.metadata.shape).fold(0, |n, (i, d)| n * d + i);
        let found = scalar_json(values[position as usize]);
        // Python's truth of a boolean is a word; half and single precision are compared as doubles.
        let expected = match &sample["value"] {
            Value::Bool(b) => Value::from(u8::from(*b)),
            Value::String(s) => Value::from(match s.as_str() {
                "inf" => "Infinity",
                "-inf" => "-Infinity",
                "nan" => "NaN",
                s => s,
            }),
            other => other.clone(),
        };
        if !same(&found, &expected) {
            bad.push(format!("{path}: value at {at:?} is {found}, expected {expected}"));
            break;
        }
    }
    samples.len()
}
