//! The files of `tests/corpus/hdf5_types`, made by `make.py` there: every type of element, column by column as h5py reads it.

use serde_json::Value;

use super::{index, json, list, read, same, scalar_json, values, workspace};
use crate::array::AttributeValue;

#[tokio::test]
async fn columns_are_what_h5py_reads() {
    let folder = workspace().join("tests/corpus/hdf5_types");
    let truth = json(&folder.join("truth.json"));
    let (mut wrong, mut columns, mut refused) = (Vec::new(), 0, 0);
    for (name, truth) in truth["files"].as_object().unwrap() {
        let file = folder.join(name);
        let granule = index(&file).unwrap();
        for (path, truth) in truth.as_object().unwrap() {
            let place = format!("{name}:{path}");
            let reason = granule.refused.iter().find(|r| r.path == *path).map(|r| r.reason.as_str());
            let Some(array) = granule.array(path) else {
                refused += 1;
                if truth["refused"] != true || reason.is_none() {
                    wrong.push(format!("{place}: not there: {reason:?}"));
                }
                continue;
            };
            columns += 1;
            let (meta, n) = (&array.metadata, array.metadata.shape.len());
            if truth["refused"] == true || meta.shape != list(&truth["shape"]) || truth["type"] != meta.data_type.name() {
                wrong.push(format!("{place}: {} {:?}, expected {} {}", meta.data_type.name(), meta.shape, truth["type"], truth["shape"]));
                continue;
            }
            if meta.dimensions.len() != n || meta.chunk_shape.len() != n {
                wrong.push(format!("{place}: {:?} {:?}", meta.dimensions, meta.chunk_shape));
            }
            let found = match values(&file, array).await {
                Some(found) => found.map(|v| Value::Array(v.into_iter().map(scalar_json).collect())),
                None => read(&file, array).await.map(|bytes| texts(&bytes, meta.data_type.size())),
            };
            if !found.as_ref().is_ok_and(|found| same(found, &truth["values"])) {
                wrong.push(format!("{place}: {:?} {found:?}, expected {}", meta.codecs, truth["values"]));
            }
        }
        // What truth does not know of is not there either.
        for array in granule.arrays.iter().filter(|a| truth.get(&a.metadata.path).is_none()) {
            wrong.push(format!("{name}:{}: too many", array.metadata.path));
        }
    }
    assert!(wrong.is_empty(), "{} of {columns} columns:\n{}", wrong.len(), wrong.join("\n"));
    assert!(columns > 160 && refused > 10, "{columns} columns, {refused} refused");
}

/// Stored cells of texts as JSON.
fn texts(bytes: &[u8], size: usize) -> Value {
    match size {
        0 => serde_json::from_slice(bytes).unwrap(),
        size => bytes.chunks_exact(size).map(super::super::value::text).collect(),
    }
}

#[test]
fn columns_have_names_dimensions_and_attributes() {
    let folder = workspace().join("tests/corpus/hdf5_types");
    let granule = index(&folder.join("latest.h5")).unwrap();
    let meta = |path: &str| &granule.array(path).unwrap().metadata;
    assert_eq!(meta("/compound/contiguous.arr").dimensions[1..], ["arr_dim_0", "arr_dim_1"]);
    assert_eq!(meta("/array/plain").dimensions[2..], ["plain_dim_0"]);
    assert_eq!(meta("/compound/contiguous.in.q").attributes.text("units"), Some("m"));
    let reason = |path: &str| granule.refused.iter().find(|r| r.path == path).map_or("", |r| &r.reason);
    assert!(reason("/compound/compact").contains("/compound/compact.x, /compound/compact.y"), "{}", reason("/compound/compact"));
    assert!(reason("/compound/contiguous").contains("and 4 more"), "{}", reason("/compound/contiguous"));
    assert!(reason("/compound/with_lists.list").contains("variable-length sequence of int32"));
    assert!(reason("/compound/with_lists.ref").contains("reference"));
    assert!(reason("/compound/with_refused.opaque").contains("opaque"));
    assert_eq!((reason("/number/time"), reason("/refused/opaque")), ("type time", "type opaque"));
    let flags = &meta("/number/enum").attributes;
    assert_eq!(flags.text("flag_meanings"), Some("cumulus mist no_cloud"));
    assert!(matches!(flags.get("flag_values"), Some(AttributeValue::Integers(_, v)) if v == &[300, 7, 0]));
    assert_eq!(meta("/number/bool").attributes.text("flag_meanings"), Some("FALSE TRUE"));
    assert_eq!(meta("/compound/chunked.flag").attributes.text("flag_meanings"), Some("off on"));
    let granule = index(&folder.join("types.nc")).unwrap();
    assert_eq!(granule.array("/cloud").unwrap().metadata.attributes.text("flag_meanings"), Some("clear cumulus missing"));
    let obs = &granule.array("/obs.wind.u").unwrap().metadata;
    assert_eq!((obs.dimensions.as_slice(), obs.attributes.text("long_name")), (["n".to_string()].as_slice(), Some("observations")));
}
