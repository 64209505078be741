//! Every cell of files that netCDF-C wrote, whole and with damage at every byte.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::super::*;
use crate::array::{AttributeValue, DataType, Encoding};
use crate::object::Objects;
use crate::read::{OpenArray, decode_cells};

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/corpus/netcdf3")
}

pub(super) async fn open(path: &Path) -> Result<(Objects, ObjectReader, IndexedGranule)> {
    let objects = Objects::anywhere();
    let object = objects.open(path.to_str().unwrap()).await?;
    let granule = super::super::super::index(&object).await?;
    Ok((objects, object, granule))
}

/// All cells of an array as JSON.
pub(super) async fn cells(objects: &Objects, object: &ObjectReader, array: &IndexedArray) -> Result<Vec<Value>> {
    use arrow::array::AsArray;
    use arrow::datatypes::{
        Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
    };
    let open = OpenArray::new(objects, object, &[], array)?;
    let stored = open.stored(&crate::array::Extent::of_shape(&array.metadata.shape)).await?;
    if array.metadata.data_type.is_text() {
        return Ok(stored.iter().map(|&b| json!(char::from(b).to_string())).collect());
    }
    let values = decode_cells(&stored, &Encoding::identity(array.metadata.data_type))?;
    macro_rules! all {
        ($($type:ident $arrow:ident),*) => {
            match array.metadata.data_type {
                $(DataType::$type => values.as_primitive::<$arrow>().values().iter().map(|v| json!(v)).collect(),)*
                other => panic!("{other:?}"),
            }
        };
    }
    Ok(all!(Int8 Int8Type, Int16 Int16Type, Int32 Int32Type, Int64 Int64Type, UInt8 UInt8Type, UInt16 UInt16Type, UInt32 UInt32Type,
        UInt64 UInt64Type, Float32 Float32Type, Float64 Float64Type))
}

#[tokio::test]
async fn cells_are_those_of_netcdf_c() {
    let truth: Value = serde_json::from_slice(&std::fs::read(corpus().join("truth.json")).unwrap()).unwrap();
    let sources = [("stream.nc", "classic.nc"), ("stream64.nc", "data64.nc")];
    let written = truth.as_object().unwrap().keys().map(String::as_str).filter(|k| k.ends_with(".nc"));
    let files = written.map(|k| (k, k)).chain(sources);
    let mut compared = 0;
    for (file, source) in files {
        let (objects, object, granule) = open(&corpus().join(file)).await.unwrap();
        let wanted = truth[source].as_object().unwrap();
        assert_eq!((granule.format.as_str(), granule.arrays.len(), granule.refused.as_slice()), ("netcdf3", wanted.len(), &[][..]));
        for (name, want) in wanted {
            let array = granule.array(&format!("/{name}")).unwrap();
            let m = &array.metadata;
            let found = json!({"dims": m.dimensions, "shape": m.shape, "dtype": m.data_type.name()});
            assert_eq!(found, json!({"dims": want["dims"], "shape": want["shape"], "dtype": want["dtype"]}), "{file} {name}");
            let got = cells(&objects, &object, array).await.unwrap();
            // numpy leaves NULs at the end out.
            let equal = |(g, w): (&Value, &Value)| {
                g == w
                    || (g, w) == (&json!("\0"), &json!(""))
                    || matches!((g.as_f64(), w.as_f64()), (Some(g), Some(w)) if g as f32 == w as f32)
            };
            let wanted = want["cells"].as_array().unwrap();
            assert!(got.len() == wanted.len() && got.iter().zip(wanted).all(equal), "{file} {name}: {got:?}, want {wanted:?}");
            compared += 1;
        }
    }
    assert_eq!(compared, 14 + 14 + 24 + 2 + 3 + 14 + 24);
}

#[tokio::test]
async fn attributes_have_their_types() {
    let (_, _, granule) = open(&corpus().join("data64.nc")).await.unwrap();
    let get = |name: &str| granule.attributes.get(name).unwrap().clone();
    assert_eq!((get("title"), get("empty")), (AttributeValue::Text("grün".into()), AttributeValue::Text(String::new())));
    assert_eq!(get("numbers"), AttributeValue::Integers(DataType::Int16, vec![1, -2]));
    for (name, data_type) in [("u1", DataType::UInt8), ("i8", DataType::Int64), ("u8", DataType::UInt64)] {
        let attributes = &granule.array(&format!("/fixed_{name}")).unwrap().metadata.attributes;
        let want = if data_type.is_unsigned() { 3 } else { -3 };
        assert_eq!(attributes.get("valid_min"), Some(&AttributeValue::Integers(data_type, vec![want])));
    }
}

#[tokio::test]
async fn records_are_interleaved_and_a_variable_alone_is_not() {
    let offsets = |a: &IndexedArray| {
        let of = |c: &crate::array::ChunkRef| match c {
            crate::array::ChunkRef::Stored { offset, length, .. } => (*offset, *length),
            other => panic!("{other:?}"),
        };
        a.manifest.chunks.iter().map(of).collect::<Vec<_>>()
    };
    let (_, _, granule) = open(&corpus().join("classic.nc")).await.unwrap();
    let record = granule.array("/record_i1").unwrap();
    assert_eq!(record.metadata.chunk_shape, [1, 7]);
    // 7, 14, 28, 28 and 56 bytes of `record_*`, 4 of `time`, 1 of `flag`, each padded to four.
    let (at, stride) = (offsets(record), 8 + 16 + 28 + 28 + 56 + 4 + 4);
    assert!(at.windows(2).all(|w| w[1].0 - w[0].0 == stride) && at.iter().all(|a| a.1 == 7), "{at:?}");
    let (_, _, granule) = open(&corpus().join("one_record_variable.nc")).await.unwrap();
    let alone = granule.array("/v").unwrap();
    assert_eq!((&alone.metadata.chunk_shape, offsets(alone).len(), offsets(alone)[0].1), (&vec![5, 3], 1, 15));
}

#[tokio::test]
async fn damage_is_an_error_or_cells_and_never_a_panic() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged.nc");
    for file in ["classic.nc", "data64.nc"] {
        let whole = std::fs::read(corpus().join(file)).unwrap();
        for at in (0..whole.len()).step_by(if file == "classic.nc" { 3 } else { 7 }) {
            let mut flipped = whole.clone();
            flipped[at] ^= [0xff, 0x80, 0x01][at % 3];
            for bytes in [&whole[..at], flipped.as_slice()] {
                std::fs::write(&path, bytes).unwrap();
                let Ok((objects, object, granule)) = open(&path).await else { continue };
                for array in &granule.arrays {
                    if array.metadata.shape.iter().product::<u64>() < 1 << 20 {
                        let read = cells(&objects, &object, array).await;
                        assert!(!matches!(read, Err(Error::Internal(_))), "{file} byte {at}: {read:?}");
                    }
                }
            }
        }
        // Cut within the data: the variables behind the cut are refused by name, those before it are not.
        std::fs::write(&path, &whole[..whole.len() - 40]).unwrap();
        let (_, _, granule) = open(&path).await.unwrap();
        assert!(granule.array("/fixed_f8").is_some() && granule.array("/time").is_none());
        let refused = granule.refused.iter().find(|r| r.path == "/flag").unwrap();
        assert!(refused.reason.contains("outside of the file"), "{refused:?}");
    }
}
