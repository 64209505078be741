//! Stores made by zarr-python, read from ZIP files and folders, with and without consolidated metadata; and damaged stores.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use zip::write::SimpleFileOptions;

use crate::Error;
use crate::catalog::{Catalog, CatalogLocation, NoProgress};
use crate::inspect::{InspectOptions, Inspection, inspect};
use crate::object::Objects;

fn shared() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let root = std::env::var_os("GRATICULE_SHARED").map_or(beside, PathBuf::from).join("data");
    root.is_dir().then_some(root)
}

fn corpus(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/corpus/zarr").join(file)
}

fn truth(store: &str) -> Value {
    let all: Value = serde_json::from_slice(&fs::read(corpus("truth.json")).unwrap()).unwrap();
    all[store].clone()
}

async fn look(store: &Path, array: Option<&str>, at: Vec<Vec<u64>>) -> crate::Result<Inspection> {
    let options = InspectOptions { array: array.map(str::to_owned), at, raw: true, stats: false };
    inspect(&Objects::anywhere(), store.to_str().unwrap(), options).await
}

/// Every cell of every array, against what zarr-python reads. Gives the number of arrays.
async fn compare(store: &Path, truth: &Value) -> usize {
    let found = look(store, None, vec![]).await.unwrap();
    assert!(found.refused.is_empty(), "{:?}", found.refused);
    let mut compared = 0;
    for (path, want) in truth.as_object().unwrap() {
        let shape: Vec<u64> = serde_json::from_value(want["shape"].clone()).unwrap();
        let mut at = vec![vec![]];
        for &n in &shape {
            at = at.into_iter().flat_map(|i: Vec<u64>| (0..n).map(move |j| [i.as_slice(), &[j]].concat())).collect();
        }
        let cells = want["values"].as_array().unwrap();
        let columns: &[&str] = match cells.first() {
            Some(Value::Array(members)) if members.len() == 2 => &[".r", ".i"],
            Some(Value::Array(_)) => &[".a", ".b", ".c"],
            _ => &[""],
        };
        for (c, column) in columns.iter().enumerate() {
            let name = format!("{path}{column}");
            let array = found.arrays.iter().find(|a| a.metadata.path == name).unwrap_or_else(|| panic!("{store:?}: no {name}"));
            assert_eq!(array.metadata.shape, shape, "{name}");
            if cells.is_empty() {
                continue;
            }
            let got = look(store, Some(&name), at.clone()).await.unwrap_or_else(|e| panic!("{store:?} {name}: {e}"));
            for ((index, got), want) in got.arrays[0].values_at.iter().zip(cells) {
                let want = if columns.len() > 1 { &want[c] } else { want };
                let same = got == want || got.as_f64().is_some_and(|g| want.as_f64() == Some(g));
                assert!(same, "{store:?} {name} {index:?}: {got}, zarr-python {want}");
            }
            compared += 1;
        }
    }
    compared
}

/// The members of a ZIP file as files of a folder.
fn unpack(archive: &Path, folder: &Path) {
    let mut archive = zip::ZipArchive::new(fs::File::open(archive).unwrap()).unwrap();
    for i in 0..archive.len() {
        let mut member = archive.by_index(i).unwrap();
        let path = folder.join(&*member.name().unwrap());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut bytes = Vec::new();
        member.read_to_end(&mut bytes).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

/// Every second member deflated, in a folder of the archive.
fn deflated(archive: &Path, to: &Path) {
    let mut archive = zip::ZipArchive::new(fs::File::open(archive).unwrap()).unwrap();
    let mut out = zip::ZipWriter::new(fs::File::create(to).unwrap());
    for i in 0..archive.len() {
        let mut member = archive.by_index(i).unwrap();
        let mut bytes = Vec::new();
        member.read_to_end(&mut bytes).unwrap();
        let method = if i % 2 == 0 { zip::CompressionMethod::Deflated } else { zip::CompressionMethod::Stored };
        let options = SimpleFileOptions::default().compression_method(method);
        out.start_file(member.name().unwrap().to_string(), options).unwrap();
        out.write_all(&bytes).unwrap();
    }
    out.finish().unwrap();
}

#[tokio::test]
async fn version_2_is_read_as_zarr_python_reads_it() {
    let (folder, truth) = (tempfile::tempdir().unwrap(), truth("codecs_v2"));
    assert!(compare(&corpus("codecs_v2.zip"), &truth).await > 55);
    let store = folder.path().join("a.zarr");
    unpack(&corpus("codecs_v2.zip"), &store);
    assert!(compare(&store, &truth).await > 55);
    let packed = folder.path().join("b.zip");
    deflated(&corpus("codecs_v2.zip"), &packed);
    assert!(compare(&packed, &truth).await > 55);
    // Consolidated, and the members' own documents gone.
    let mut documents = serde_json::Map::new();
    consolidate(&store, "", &mut documents, &[".zarray", ".zattrs", ".zgroup"]);
    fs::write(store.join(".zmetadata"), json!({"zarr_consolidated_format": 1, "metadata": documents}).to_string()).unwrap();
    fs::write(store.join("order.f/.zarray"), "{ broken").unwrap();
    assert!(compare(&store, &truth).await > 55);
}

/// All documents of these names below a folder, by key.
fn consolidate(folder: &Path, path: &str, documents: &mut serde_json::Map<String, Value>, names: &[&str]) {
    for entry in fs::read_dir(folder).unwrap() {
        let (entry, name) = {
            let e = entry.unwrap();
            (e.path(), e.file_name().into_string().unwrap())
        };
        let key = if path.is_empty() { name.clone() } else { format!("{path}/{name}") };
        if entry.is_dir() {
            consolidate(&entry, &key, documents, names);
        } else if names.contains(&name.as_str()) {
            documents.insert(key, serde_json::from_slice(&fs::read(entry).unwrap()).unwrap());
        }
    }
}

#[tokio::test]
async fn version_3_is_read_as_zarr_python_reads_it() {
    let (folder, truth) = (tempfile::tempdir().unwrap(), truth("codecs_v3"));
    assert!(compare(&corpus("codecs_v3.zip"), &truth).await > 50);
    let store = folder.path().join("a.zarr");
    unpack(&corpus("codecs_v3.zip"), &store);
    assert!(compare(&store, &truth).await > 50);
    let mut documents = serde_json::Map::new();
    consolidate(&store, "", &mut documents, &["zarr.json"]);
    let mut root = documents.remove("zarr.json").unwrap();
    let members: serde_json::Map<_, _> = documents.into_iter().map(|(k, v)| (k.trim_end_matches("/zarr.json").to_owned(), v)).collect();
    root["consolidated_metadata"] = json!({"kind": "inline", "must_understand": false, "metadata": members});
    fs::write(store.join("zarr.json"), root.to_string()).unwrap();
    fs::write(store.join("pcodec/zarr.json"), "{ broken").unwrap();
    assert!(compare(&store, &truth).await > 50);
    // A group inside a store is a store.
    let group = look(&store.join("a group"), None, vec![]).await.unwrap();
    assert_eq!(group.arrays.iter().map(|a| a.metadata.path.as_str()).collect::<Vec<_>>(), ["/x"]);
}

#[tokio::test]
async fn what_is_not_read_does_not_hide_its_neighbours() {
    let folder = tempfile::tempdir().unwrap();
    let write = |key: &str, document: Value| {
        let path = folder.path().join("s.zarr").join(key);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, document.to_string()).unwrap();
    };
    let array = json!({"zarr_format": 3, "node_type": "array", "shape": [2], "data_type": "int8", "fill_value": 3, "codecs": ["bytes"],
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2]}}, "chunk_key_encoding": {"name": "default"}});
    let with = |key: &str, value: Value| {
        let mut changed = array.clone();
        changed[key] = value;
        changed
    };
    write("zarr.json", json!({"zarr_format": 3, "node_type": "group"}));
    write("good/zarr.json", array.clone());
    let cases = [
        ("zfp", with("codecs", json!([{"name": "numcodecs.zfpy", "configuration": {"mode": 4}}])), "codec numcodecs.zfpy"),
        ("unknown type", with("data_type", json!("float8_e4m3")), "data type float8_e4m3"),
        ("grid", with("chunk_grid", json!({"name": "rectilinear", "configuration": {}})), "chunk grid rectilinear"),
        ("keys", with("chunk_key_encoding", json!("suffix")), "chunk keys suffix"),
        ("extension", with("mystery", json!(1)), "extension mystery"),
        ("shape", with("shape", json!([2, 2])), "chunks of shape"),
        ("zero", with("chunk_grid", json!({"name": "regular", "configuration": {"chunk_shape": [0]}})), "no cells"),
        ("huge", with("shape", json!([u64::MAX])), ""),
        ("fill", with("fill_value", json!({"a": 1})), "fill value"),
        ("draft", with("codecs", Value::Null), "no codecs"),
        ("transformers", with("storage_transformers", json!([{"name": "x"}])), "storage transformers"),
        (
            "bad shards",
            with(
                "codecs",
                json!([{"name": "sharding_indexed", "configuration": {"chunk_shape": [3], "codecs": ["bytes"], "index_codecs": ["bytes"]}}]),
            ),
            "sharding_indexed",
        ),
        ("node", json!({"zarr_format": 3, "node_type": "table"}), "node type"),
    ];
    for (name, document, _) in &cases {
        write(&format!("{name}/zarr.json"), document.clone());
    }
    fs::create_dir_all(folder.path().join("s.zarr/text")).unwrap();
    fs::write(folder.path().join("s.zarr/text/zarr.json"), "{\"zarr_format\": 3,}").unwrap();
    let store = folder.path().join("s.zarr");
    let found = look(&store, None, vec![]).await.unwrap();
    assert!(found.arrays.iter().any(|a| a.metadata.path == "/good"));
    for (name, _, reason) in cases.iter().filter(|c| !c.2.is_empty()) {
        let refused = found.refused.iter().find(|r| r.path == format!("/{name}"));
        assert!(refused.is_some_and(|r| r.reason.contains(reason)), "{name}: {refused:?}");
    }
    assert!(found.refused.iter().any(|r| r.path == "/text" && r.reason.contains("not JSON")));
    // Chunks that were never written.
    let values = look(&store, Some("/good"), vec![vec![0], vec![1]]).await.unwrap();
    assert_eq!(values.arrays[0].values_at.iter().map(|v| v.1.clone()).collect::<Vec<_>>(), [json!(3), json!(3)]);
}

/// A store is served, refreshed and found in a folder beside files.
#[tokio::test]
async fn stores_become_cubes() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("sub/my store.zarr");
    unpack(&corpus("codecs_v2.zip"), &store);
    for name in fs::read_dir(&store).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_dir() && !p.ends_with("group")) {
        fs::remove_dir_all(name).unwrap();
    }
    let catalog = Catalog::open(CatalogLocation::Memory, Objects::anywhere()).await.unwrap();
    let path = folder.path().to_str().unwrap().to_owned();
    catalog.serve_paths(&[store.to_str().unwrap().to_owned()], &NoProgress).await.unwrap();
    let cube = catalog.cube("my_store").unwrap();
    assert_eq!((cube.variables[0].name.as_str(), cube.grid.axes[0].name.as_str()), ("group.in.ner.v", "x"));
    assert_eq!(cube.grid.axes[0].coordinates.to_f64(), Some(vec![10.0, 20.0, 30.0, 40.0]));
    assert_eq!(catalog.refresh_cube("my_store", &NoProgress).await.unwrap().unchanged, 1);
    // An array's own document changed.
    let document = store.join("group/in.ner/v/.zattrs");
    fs::write(&document, r#"{"_ARRAY_DIMENSIONS": ["x"], "units": "km"}"#).unwrap();
    assert_eq!(catalog.refresh_cube("my_store", &NoProgress).await.unwrap().changed, 1);
    assert_eq!(Objects::anywhere().list(&path).await.unwrap(), [store.canonicalize().unwrap().to_str().unwrap()]);
    let pattern = format!("{path}/**/*.zarr");
    assert_eq!(Objects::anywhere().list(&pattern).await.unwrap().len(), 1);
}

/// A million chunks take no time and no room to index.
#[tokio::test]
async fn a_million_chunks_are_one_rule() {
    let folder = tempfile::tempdir().unwrap();
    let document = json!({"zarr_format": 2, "shape": [1000, 1000, 100], "chunks": [1, 1, 100], "dtype": "<f4", "order": "C", "filters": null,
        "compressor": {"id": "zstd", "level": 1}, "fill_value": 0, "attributes": {}});
    fs::create_dir_all(folder.path().join("v")).unwrap();
    fs::write(folder.path().join(".zgroup"), r#"{"zarr_format": 2}"#).unwrap();
    fs::write(folder.path().join("v/.zarray"), document.to_string()).unwrap();
    let begin = Instant::now();
    let object = Objects::anywhere().open(folder.path().to_str().unwrap()).await.unwrap();
    let granule = crate::format::index(&object).await.unwrap();
    let elapsed = begin.elapsed();
    assert_eq!(granule.arrays[0].metadata.chunk_grid().len(), 1_000_000);
    assert!(granule.arrays[0].manifest.chunks.is_empty() && elapsed < Duration::from_millis(100), "{elapsed:?}");
}

/// Damaged stores end in an answer or an error, soon.
#[tokio::test]
async fn damaged_stores_neither_panic_nor_hang() {
    let Some(root) = shared() else { return };
    let mut waiting = vec![root.join("malformed/zarr")];
    let mut seen = 0;
    while let Some(path) = waiting.pop() {
        let begin = Instant::now();
        let options = InspectOptions { stats: true, ..InspectOptions::default() };
        let file = path.to_str().unwrap().to_owned();
        let work = tokio::spawn(async move { inspect(&Objects::anywhere(), &file, options).await });
        let ended = tokio::time::timeout(Duration::from_secs(60), work).await.unwrap().unwrap();
        if let Err(Error::Internal(e)) = ended {
            panic!("{path:?}: {e}");
        }
        assert!(begin.elapsed() < Duration::from_secs(5), "{path:?}");
        seen += 1;
        if path.is_dir() {
            waiting.extend(fs::read_dir(&path).unwrap().map(|e| e.unwrap().path()));
        }
    }
    assert!(seen > 10);
}

/// Any byte of an archive changed: an answer or an error.
#[tokio::test]
async fn damaged_archives_neither_panic_nor_hang() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.zip");
    let whole = fs::read(corpus("codecs_v3.zip")).unwrap();
    let mut random = 1u64;
    for _ in 0..60 {
        let mut bytes = whole.clone();
        for _ in 0..8 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let at = (random >> 20) as usize % bytes.len();
            // The directory is at the end.
            let at = if random & 1 == 0 { at } else { bytes.len() - 1 - at % 9000 };
            bytes[at] ^= (random >> 8) as u8;
        }
        fs::write(&path, &bytes).unwrap();
        let options = InspectOptions { stats: true, ..InspectOptions::default() };
        let result = inspect(&Objects::anywhere(), path.to_str().unwrap(), options).await;
        assert!(!matches!(result, Err(Error::Internal(_))), "{result:?}");
    }
}
