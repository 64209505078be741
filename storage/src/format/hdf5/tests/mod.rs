//! Against h5py and netCDF4: the fixtures of `tests/corpus/hdf5`, real files where they are present, damaged ones.

mod damaged;
mod fixtures;
mod hdfeos;
mod links;
mod real_files;
mod types;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hdf5_reader::storage::FileStorage;
use serde_json::Value;

use super::parse;
use super::value::cell;
use crate::Result;
use crate::array::{AttributeValue, ByteOrder, DataType, Scalar};
use crate::format::{IndexedArray, IndexedGranule};
use crate::object::Objects;
use crate::read::read_whole;

fn index(path: &Path) -> Result<IndexedGranule> {
    parse(&path.display().to_string(), Arc::new(FileStorage::open(path).unwrap()), None)
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

fn list(v: &Value) -> Vec<u64> {
    v.as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).collect()
}

fn scalar_json(s: Scalar) -> Value {
    match s {
        Scalar::Int(i) => i.into(),
        Scalar::UInt(i) => i.into(),
        Scalar::Float(f) => AttributeValue::Floats(DataType::Float64, vec![f]).to_json(),
    }
}

/// The values of an array of numbers, read through its manifest and codecs; `None` for texts and above 64 MiB.
async fn values(path: &Path, array: &IndexedArray) -> Option<Result<Vec<Scalar>>> {
    let meta = &array.metadata;
    let bytes = meta.shape.iter().try_fold(meta.data_type.size() as u64, |n, &d| n.checked_mul(d));
    if meta.data_type.is_text() || bytes.is_none_or(|n| n > 64 << 20) {
        return None;
    }
    let native = if cfg!(target_endian = "big") { ByteOrder::Big } else { ByteOrder::Little };
    let t = meta.data_type;
    Some(read(path, array).await.map(|bytes| bytes.chunks_exact(t.size()).map(|b| cell(b, t, native).unwrap()).collect()))
}

/// The stored cells of a whole array.
async fn read(path: &Path, array: &IndexedArray) -> Result<Vec<u8>> {
    let objects = Objects::anywhere();
    let object = objects.open(&path.display().to_string()).await.unwrap();
    read_whole(&objects, &object, &[], array, 64 << 20).await
}
