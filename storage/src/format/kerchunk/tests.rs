//! References that kerchunk made of a netCDF-4 file, against the file itself; references of every form; references that lie.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::Error;
use crate::inspect::{InspectOptions, Inspection, inspect};
use crate::object::Objects;

fn corpus(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/corpus").join(file)
}

async fn look(file: &Path, array: Option<&str>, at: Vec<Vec<u64>>) -> crate::Result<Inspection> {
    let options = InspectOptions { array: array.map(str::to_owned), at, raw: true, stats: false };
    inspect(&Objects::anywhere(), file.to_str().unwrap(), options).await
}

/// Every cell of arrays of numbers, as the file itself gives them.
async fn compare(references: &Path) -> usize {
    let file = corpus("inspect/packed.nc");
    let direct = look(&file, None, vec![]).await.unwrap();
    let found = look(references, None, vec![]).await.unwrap();
    assert_eq!(found.format, "kerchunk");
    let mut compared = 0;
    // kerchunk does not keep the value of what was never written.
    let kept = |a: &&crate::inspect::InspectedArray| !a.metadata.data_type.is_text() && a.metadata.path != "/unwritten";
    for array in direct.arrays.iter().filter(kept) {
        let path = array.metadata.path.as_str();
        // kerchunk leaves out arrays with filters that it does not know.
        let Some(other) = found.arrays.iter().find(|a| a.metadata.path == path) else { continue };
        assert_eq!((&other.metadata.shape, &other.metadata.dimensions), (&array.metadata.shape, &array.metadata.dimensions), "{path}");
        let mut at = vec![vec![]];
        for &n in &array.metadata.shape {
            at = at.into_iter().flat_map(|i: Vec<u64>| (0..n).map(move |j| [i.as_slice(), &[j]].concat())).collect();
        }
        let (want, got) = (look(&file, Some(path), at.clone()).await.unwrap(), look(references, Some(path), at).await.unwrap());
        assert_eq!(got.arrays[0].values_at, want.arrays[0].values_at, "{path}");
        compared += 1;
    }
    compared
}

#[tokio::test]
async fn references_of_kerchunk_give_what_the_file_gives() {
    assert!(compare(&corpus("kerchunk/packed.json")).await > 5);
    assert!(compare(&corpus("kerchunk/packed.parq")).await > 5);
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, bytes).unwrap();
    path
}

fn zarray(shape: &[u64], chunks: &[u64]) -> Value {
    json!({"zarr_format": 2, "shape": shape, "chunks": chunks, "dtype": "|u1", "order": "C", "compressor": null, "filters": null, "fill_value": 9})
}

async fn cells(file: &Path, n: u64) -> Vec<Value> {
    let found = look(file, Some("/v"), (0..n).map(|i| vec![i]).collect()).await.unwrap_or_else(|e| panic!("{e}"));
    found.arrays[0].values_at.iter().map(|v| v.1.clone()).collect()
}

#[tokio::test]
async fn references_of_every_form() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    write(root, "data/a.bin", &[1, 2, 3, 4, 5, 6]);
    let whole = write(root, "data/b.bin", &[7, 8]);
    let refs = json!({".zgroup": {"zarr_format": 2}, "v/.zarray": zarray(&[10], &[2]).to_string(),
        "v/0": ["data/a.bin", 2, 2], "v/1": [whole.to_str().unwrap()], "v/2": "base64:CgM=", "v/3": "AB"});
    let want = [3, 4, 7, 8, 10, 3, 65, 66, 9, 9].map(Value::from);
    let version_0 = write(root, "v0.json", refs.to_string().as_bytes());
    assert_eq!(cells(&version_0, 10).await, want);
    let mut refs = refs;
    refs["v/0"] = json!(["{{d}}/a.bin", 2, 2]);
    refs.as_object_mut().unwrap().remove("v/1");
    let generated = json!({"version": 1, "templates": {"d": "data"}, "refs": refs,
        "gen": [{"key": "v/{{i}}", "url": "{{d}}/b.bin", "offset": "{{i - 1}}", "length": "{{i * 2}}", "dimensions": {"i": [1]}}]});
    assert_eq!(cells(&write(root, "v1.json", generated.to_string().as_bytes()), 10).await, want);
    // A file that changed is an error; one that is outside of the roots, absent or too short refuses its array alone.
    let objects = Objects::new(&[root.join("data").to_str().unwrap().into(), version_0.to_str().unwrap().into()]).unwrap();
    let options = || InspectOptions { stats: true, ..InspectOptions::default() };
    assert_eq!(inspect(&objects, version_0.to_str().unwrap(), options()).await.unwrap().arrays.len(), 1);
    for (target, reason) in [
        (json!(["/etc/hostname", 0, 2]), "--root"),
        (json!(["../outside.bin", 0, 2]), "--root"),
        (json!(["data/absent.bin", 0, 2]), "no such file"),
        (json!(["data/a.bin", 5, 2]), "has 6"),
        (json!(["data/a.bin", u64::MAX, 2]), "has 6"),
    ] {
        let refs = json!({".zgroup": {"zarr_format": 2}, "v/.zarray": zarray(&[2], &[2]), "v/0": target, "w/.zarray": zarray(&[2], &[2])});
        let file = write(root, "data/bad.json", refs.to_string().as_bytes());
        write(root, "outside.bin", &[1, 2]);
        let refs: Value = serde_json::from_str(&refs.to_string().replace("data/", "")).unwrap();
        fs::write(&file, refs.to_string()).unwrap();
        let found = inspect(&objects, file.to_str().unwrap(), options()).await.unwrap();
        assert_eq!(found.arrays.iter().map(|a| a.metadata.path.as_str()).collect::<Vec<_>>(), ["/w"]);
        assert!(found.refused.iter().any(|r| r.reason.contains(reason)), "{target}: {:?}", found.refused);
    }
}

#[tokio::test]
async fn other_json_is_no_reference_file() {
    let folder = tempfile::tempdir().unwrap();
    for (text, unsupported) in [
        (r#"{"type": "FeatureCollection"}"#, true),
        ("{ broken", true),
        (r#"{"version": 1, "refs": {"a/b": ["x", 1, 2]}}"#, true),
        (r#"{"version": 7, "refs": {".zgroup": {}}}"#, false),
        (r#"{"version": 1, "refs": {".zgroup": {}, "a/0": ["x", -1, 2]}}"#, false),
        (r#"{"version": 1, "refs": {".zgroup": {}, "a/0": ["{{x}}"]}}"#, false),
    ] {
        let file = write(folder.path(), "x.json", text.as_bytes());
        let error = look(&file, None, vec![]).await.unwrap_err();
        assert_eq!(matches!(&error, Error::Unsupported { feature, .. } if feature.starts_with("format:")), unsupported, "{text}: {error}");
    }
}
