//! The files of `tests/corpus/hdf5_links`, made by `make.py` there: external links, virtual data sets, external raw storage.

use serde_json::Value;

use super::super::value::cell;
use super::{json, list, same, scalar_json, workspace};
use crate::array::{ByteOrder, ChunkRef, DataType};
use crate::format::{self, IndexedGranule};
use crate::object::{ObjectReader, Objects};
use crate::read::read_whole;

async fn open(name: &str) -> (Objects, ObjectReader, IndexedGranule) {
    let objects = Objects::anywhere();
    let object = objects.open(&workspace().join("tests/corpus/hdf5_links").join(name).display().to_string()).await.unwrap();
    let granule = format::index(&object).await.unwrap();
    (objects, object, granule)
}

async fn values(objects: &Objects, object: &ObjectReader, granule: &IndexedGranule, path: &str) -> crate::Result<Value> {
    let array = granule.array(path).unwrap();
    let bytes = read_whole(objects, object, &granule.objects, array, 1 << 20).await?;
    let native = if cfg!(target_endian = "big") { ByteOrder::Big } else { ByteOrder::Little };
    Ok(match array.metadata.data_type {
        DataType::Text => serde_json::from_slice(&bytes).unwrap(),
        t => bytes.chunks_exact(t.size()).map(|b| scalar_json(cell(b, t, native).unwrap())).collect(),
    })
}

#[tokio::test]
async fn other_files_are_read_as_h5py_reads_them() {
    let truth = json(&workspace().join("tests/corpus/hdf5_links/truth.json"));
    let (mut wrong, mut read, mut refused) = (Vec::new(), 0, 0);
    for (name, truth) in truth["files"].as_object().unwrap() {
        let (objects, object, granule) = open(name).await;
        for (path, truth) in truth.as_object().unwrap() {
            let reason = granule.refused.iter().find(|r| r.path == *path).map(|r| r.reason.as_str());
            let place = format!("{name}:{path}");
            let Some(array) = granule.array(path) else {
                refused += 1;
                println!("{place}: {}", reason.unwrap_or("?"));
                if truth["refused"] != true || reason.is_none() {
                    wrong.push(format!("{place}: not there: {reason:?}"));
                }
                continue;
            };
            read += 1;
            let found = values(&objects, &object, &granule, path).await;
            let right = array.metadata.shape == list(&truth["shape"]) && found.as_ref().is_ok_and(|f| same(f, &truth["values"]));
            if truth["refused"] == true || !right {
                wrong.push(format!("{place}: {:?} {:?} {found:?}, expected {truth}", array.metadata.shape, array.metadata.chunk_shape));
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(read > 50 && refused > 12, "{read} read, {refused} refused");
}

#[tokio::test]
async fn other_files_are_listed_and_lie_under_the_roots() {
    let (_, object, granule) = open("links.h5").await;
    let objects: Vec<&str> = granule.objects.iter().map(|o| o.location.rsplit('/').next().unwrap()).collect();
    assert_eq!(objects, ["part2.h5", "part1.h5", "more.h5"]);
    assert!(matches!(granule.array("/array").unwrap().manifest.get(0), ChunkRef::Stored { object: 2, .. }));
    assert!(matches!(granule.array("/self").unwrap().manifest.get(0), ChunkRef::Stored { object: 0, .. }));
    assert_eq!(granule.array("/group/v").unwrap().metadata.dimensions, ["x"]);
    assert_eq!(granule.groups.iter().find(|(p, _)| p == "/group").unwrap().1.text("note"), Some("from below"));
    let reason = |path: &str| granule.refused.iter().find(|r| r.path == path).map_or("", |r| &r.reason);
    assert!(reason("/group/back").contains("another link to the group /,"), "{}", reason("/group/back"));
    assert!(reason("/no_file").contains("that file is not there"), "{}", reason("/no_file"));
    assert!(reason("/no_object").contains("it is not there"), "{}", reason("/no_object"));
    assert!(reason("/circle").contains("more than 32"), "{}", reason("/circle"));
    // With the folder `below` as the only root, the file beside it is out of reach.
    let below = workspace().join("tests/corpus/hdf5_links/below");
    let objects = Objects::new(&[below.display().to_string()]).unwrap();
    assert!(objects.open(object.location()).await.is_err());
    let object = objects.open(&below.join("more.h5").display().to_string()).await.unwrap();
    let granule = format::index(&object).await.unwrap();
    assert!(granule.objects.is_empty() && granule.array("/deep/v").is_some());
    let reason = granule.refused.iter().find(|r| r.path == "/deep/back").map_or("", |r| &r.reason);
    assert!(reason.contains("external link"), "{reason}");
}
