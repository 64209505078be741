//! Granules of several objects: further files, objects of their own, shards; and what happens when these change.

use std::path::Path;

use arrow::array::AsArray;
use arrow::datatypes::Int16Type;

use super::tests::{cube_over, metadata, read};
use super::*;
use crate::array::*;
use crate::object::VersionedObject;

fn cells(values: std::ops::Range<i16>) -> Vec<u8> {
    values.flat_map(i16::to_le_bytes).collect()
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> String {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, bytes).unwrap();
    path.canonicalize().unwrap().to_str().unwrap().to_string()
}

fn versioned(location: &str) -> VersionedObject {
    let version = super::tests::runtime().block_on(Objects::anywhere().version(location)).unwrap();
    VersionedObject { location: location.into(), version }
}

fn values(tile: &Tile) -> Vec<Option<i16>> {
    tile.columns[0].as_primitive::<Int16Type>().iter().collect()
}

fn stored(object: u32, offset: u64) -> ChunkRef {
    ChunkRef::Stored { object, offset, length: 4, skip: 0 }
}

fn array(cells: u64, chunk: u64) -> ArrayMetadata {
    ArrayMetadata { fill_value: Some(Scalar::Int(-1)), edge: EdgeChunks::Padded, ..metadata(vec![cells], vec![chunk], DataType::Int16) }
}

#[test]
fn chunks_lie_in_several_files() {
    let folder = tempfile::tempdir().unwrap();
    let a = write(folder.path(), "a", &cells(0..8));
    let b = write(folder.path(), "b", &cells(100..108));
    let chunks = ChunkManifest::new(vec![stored(1, 0), stored(0, 4), stored(2, 8), stored(1, 12)]);
    let objects = vec![versioned(&b), versioned(&a)];
    let (reader, cube) = cube_over(array(8, 2), chunks.clone(), &a, objects.clone(), Objects::anywhere());
    let want = [100, 101, 2, 3, 4, 5, 106, 107].map(Some);
    for from_cache in [false, true] {
        let tile = read(&reader, &cube).unwrap();
        assert_eq!((values(&tile), tile.metrics.chunks_cached > 0), (want.to_vec(), from_cache));
    }
    assert_eq!(reader.estimate(&cube, &[TileRequest { extent: cube.grid.extent(), variables: vec![0] }]).unwrap().bytes, 16);
    // One of the files changed: an error, whether its chunks are remembered or not.
    write(folder.path(), "b", &cells(0..9));
    let e = read(&reader, &cube).unwrap_err();
    assert!(matches!(&e, Error::Changed { object, .. } if *object == b), "{e}");
    // A file outside of the roots is not read.
    let roots = Objects::new(std::slice::from_ref(&a)).unwrap();
    let (reader, cube) = cube_over(array(8, 2), chunks, &a, objects, roots);
    assert!(matches!(read(&reader, &cube), Err(Error::Forbidden { .. })));
    // Numbers and ranges that the granule does not have.
    for (bad, message) in [(stored(3, 0), "no object 3"), (stored(0, 14), "bytes 14..18")] {
        let (reader, cube) = cube_over(array(2, 2), ChunkManifest::new(vec![bad]), &a, vec![versioned(&b)], Objects::anywhere());
        let e = read(&reader, &cube).unwrap_err().to_string();
        assert!(e.contains(message), "{e}");
    }
}

fn keys(count: u64, shard: Option<Shard>) -> ChunkManifest {
    let keys =
        ChunkKeys { prefix: "v".into(), encoding: KeyEncoding::Default('/'), counts: vec![count], shard, document: 0, must_exist: false };
    ChunkManifest { chunks: vec![], keys: Some(keys) }
}

/// A store whose location stands for its root document: here a file in the place of one.
fn store(folder: &Path) -> String {
    write(folder, "s/zarr.json", b"{}");
    let root = folder.join("s").canonicalize().unwrap();
    root.to_str().unwrap().to_string()
}

#[test]
fn chunks_are_objects_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let root = store(folder.path());
    write(folder.path(), "s/v/c/0", &cells(0..2));
    let last = write(folder.path(), "s/v/c/3", &cells(6..8));
    let (reader, cube) = cube_over(array(7, 2), keys(4, None), &root, vec![], Objects::anywhere());
    let want = [Some(0), Some(1), Some(-1), Some(-1), Some(-1), Some(-1), Some(6)];
    let tile = read(&reader, &cube).unwrap();
    assert_eq!((values(&tile), tile.metrics.chunks_read, tile.metrics.bytes_read), (want.to_vec(), 2, 8));
    let tile = read(&reader, &cube).unwrap();
    assert_eq!((values(&tile), tile.metrics.chunks_read, tile.metrics.chunks_cached), (want.to_vec(), 0, 2));
    // What is written later is seen, also in the place of what is remembered.
    write(folder.path(), "s/v/c/1", &cells(2..4));
    write(folder.path(), "s/v/c/0", &cells(50..52));
    std::fs::remove_file(&last).unwrap();
    let tile = read(&reader, &cube).unwrap();
    assert_eq!(values(&tile), [Some(50), Some(51), Some(2), Some(3), Some(-1), Some(-1), Some(-1)]);
    // A chunk of another length than its cells take.
    write(folder.path(), "s/v/c/2", &cells(0..3));
    let e = read(&reader, &cube).unwrap_err();
    assert!(matches!(&e, Error::Data { .. }), "{e}");
    std::fs::remove_file(folder.path().join("s/v/c/2")).unwrap();
    // A store whose metadata changed, or that is gone, does not read as one of fill values.
    write(folder.path(), "s/zarr.json", b"{ }");
    assert!(matches!(read(&reader, &cube), Err(Error::Changed { .. })));
    std::fs::remove_dir_all(folder.path().join("s")).unwrap();
    assert!(matches!(read(&reader, &cube), Err(Error::NotFound(_))));
}

#[test]
fn chunks_lie_in_shards() {
    let folder = tempfile::tempdir().unwrap();
    let root = store(folder.path());
    // Two shards of four chunks of two cells; the index is at the begin; the second chunk of each was never written.
    let shard = |from: i16| {
        let data = cells(from..from + 6);
        let index = [64, 4, u64::MAX, u64::MAX, 68, 4, 72, 4];
        index.iter().flat_map(|n: &u64| n.to_le_bytes()).chain(data).collect::<Vec<u8>>()
    };
    write(folder.path(), "s/v/c/0", &shard(0));
    write(folder.path(), "s/v/c/1", &shard(100));
    let layout = Shard { inner: vec![4], at_end: false, checksum: false, order: ByteOrder::Little, trailer: 0 };
    let (reader, cube) = cube_over(array(18, 2), keys(9, Some(layout)), &root, vec![], Objects::anywhere());
    let want = |second: i16| {
        let of = |n: i16| [n, n + 1, -1, -1, n + 2, n + 3, n + 4, n + 5];
        of(0).into_iter().chain(of(second)).chain([-1, -1]).map(Some).collect::<Vec<_>>()
    };
    for cached in [0, 6] {
        let tile = read(&reader, &cube).unwrap();
        assert_eq!((values(&tile), tile.metrics.chunks_cached), (want(100), cached));
    }
    write(folder.path(), "s/v/c/1", &shard(200));
    assert_eq!(values(&read(&reader, &cube).unwrap()), want(200));
    let mut broken = shard(0);
    broken[0] = 255;
    write(folder.path(), "s/v/c/1", &broken);
    let e = read(&reader, &cube).unwrap_err();
    assert!(matches!(&e, Error::Data { what, .. } if what.contains("chunk 0 of a shard")), "{e}");
    write(folder.path(), "s/v/c/1", b"short");
    assert!(read(&reader, &cube).unwrap_err().to_string().contains("no room"));
}
