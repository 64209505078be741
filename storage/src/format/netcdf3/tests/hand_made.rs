//! Layouts too large to write, and headers that claim too much.

use super::super::layout::{Records, Slab, place};
use super::super::*;
use crate::array::ChunkRef;
use crate::object::Objects;

const NONE: Records = Records { count: 1, stride: 0 };

fn ranges(manifest: &crate::array::ChunkManifest) -> Vec<(u64, u64)> {
    let of = |c: &ChunkRef| match c {
        ChunkRef::Stored { offset, length, .. } => (*offset, *length),
        other => panic!("{other:?}"),
    };
    manifest.chunks.iter().map(of).collect()
}

#[test]
fn large_variables_become_pieces_that_follow_each_other() {
    let slab =
        |inner: &[u64], element: u64| Slab { inner: inner.to_vec(), recorded: false, bytes: inner.iter().product::<u64>() * element };
    for (inner, element, chunk) in [
        (vec![10, 300, 400], 4, vec![2, 300, 400]),
        (vec![3, 2000, 1000], 8, vec![1, 131, 1000]),
        (vec![5_000_000], 2, vec![524_288]),
        (vec![2, 1_500_000], 1, vec![1, 1_048_576]),
        (vec![7], 8, vec![7]),
        (vec![1, 1, 9], 1, vec![1, 1, 9]),
        (vec![], 8, vec![]),
    ] {
        let slab = slab(&inner, element);
        let (found, manifest) = place(&slab, 1000, element, NONE, u64::MAX, |_| Ok(())).unwrap();
        assert_eq!(found, chunk, "{inner:?}");
        let mut at = 1000;
        for (offset, length) in ranges(&manifest) {
            assert!(offset == at && length > 0 && length <= 1 << 20);
            at += length;
        }
        assert_eq!(at, 1000 + slab.bytes);
        let last = place(&slab, 1000, element, NONE, 999 + slab.bytes, |_| Ok(())).unwrap_err();
        assert!(last.contains("outside of the file"), "{last}");
    }
}

#[test]
fn large_records_are_cut_and_small_ones_of_one_variable_are_joined() {
    let slab = Slab { inner: vec![300, 1000], recorded: true, bytes: 1_200_000 };
    let records = Records { count: 3, stride: 1_200_400 };
    let (chunk, manifest) = place(&slab, 64, 4, records, u64::MAX, |_| Ok(())).unwrap();
    assert_eq!(chunk, [1, 262, 1000]);
    let want: Vec<_> = (0..3).flat_map(|r| [(64 + r * 1_200_400, 1_048_000), (64 + r * 1_200_400 + 1_048_000, 152_000)]).collect();
    assert_eq!(ranges(&manifest), want);
    let slab = Slab { inner: vec![], recorded: true, bytes: 8 };
    let records = Records { count: 300_000, stride: 8 };
    let (chunk, manifest) = place(&slab, 64, 8, records, u64::MAX, |_| Ok(())).unwrap();
    assert_eq!((chunk, ranges(&manifest)[2]), (vec![131_072], (64 + (2 << 20), 8 * (300_000 - 2 * 131_072))));
}

async fn indexed(bytes: &[u8]) -> Result<IndexedGranule> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    let object = Objects::anywhere().open(file.path().to_str().unwrap()).await?;
    super::super::super::index(&object).await
}

/// A CDF-1 header without attributes: records, dimensions, variables (name, dimensions, type, begin).
fn header(records: u32, dimensions: &[(&str, u32)], variables: &[(&str, &[u32], u32, u32)]) -> Vec<u8> {
    let mut bytes = b"CDF\x01".to_vec();
    let word = |bytes: &mut Vec<u8>, v: u32| bytes.extend(v.to_be_bytes());
    let name = |bytes: &mut Vec<u8>, name: &str| {
        bytes.extend((name.len() as u32).to_be_bytes());
        bytes.extend(name.as_bytes());
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    };
    word(&mut bytes, records);
    [10, dimensions.len() as u32].iter().for_each(|v| word(&mut bytes, *v));
    for (n, length) in dimensions {
        name(&mut bytes, n);
        word(&mut bytes, *length);
    }
    [0, 0, 11, variables.len() as u32].iter().for_each(|v| word(&mut bytes, *v));
    for (n, dimensions, number, begin) in variables {
        name(&mut bytes, n);
        word(&mut bytes, dimensions.len() as u32);
        dimensions.iter().for_each(|d| word(&mut bytes, *d));
        [0, 0, *number, 0, *begin].iter().for_each(|v| word(&mut bytes, *v));
    }
    bytes
}

#[tokio::test]
async fn one_bad_variable_does_not_hide_its_neighbours_but_moves_their_records() {
    let dimensions = [("time", 0), ("x", 3)];
    let mut bytes = header(2, &dimensions, &[("a", &[1], 4, 400), ("b", &[0, 9], 4, 420), ("c", &[0, 1], 4, 420), ("a", &[1], 4, 400)]);
    bytes.resize(600, 1);
    let granule = indexed(&bytes).await.unwrap();
    assert_eq!(granule.arrays.iter().map(|a| a.metadata.path.as_str()).collect::<Vec<_>>(), ["/a"]);
    let reasons: Vec<_> = granule.refused.iter().map(|r| format!("{}: {}", r.path, r.reason)).collect();
    assert!(reasons[0].contains("/b: it has dimension number 9 of 2"), "{reasons:?}");
    assert!(reasons[1].contains("/c: the size of a record is unknown, because variable b"), "{reasons:?}");
    assert!(reasons[2].contains("/a: a second variable of this name"), "{reasons:?}");
    let late = header(2, &dimensions, &[("a", &[1, 0], 4, 400), ("b", &[1], 4, 8)]);
    let granule = indexed(&late).await.unwrap();
    assert!(granule.refused[0].reason.contains("not its first") && granule.refused[1].reason.contains("inside the header"));
}

#[tokio::test]
async fn claims_beyond_the_file_are_errors_with_their_place() {
    let good = header(0, &[("x", 3)], &[]);
    for (at, value, what) in [
        (12, [0x7f, 0xff, 0xff, 0xff], "reaches over the end of the file"),
        (12, [0xff, 0, 0, 0], "negative"),
        (16, [0x7f, 0, 0, 0], "reaches over the end of the file"),
        (8, [0, 0, 0, 9], "expected tag 10, found 9"),
    ] {
        let mut bytes = good.clone();
        bytes[at..at + 4].copy_from_slice(&value);
        let e = indexed(&bytes).await.unwrap_err();
        assert!(matches!(&e, Error::Data { range: Some(_), .. }) && e.to_string().contains(what), "{e}");
    }
    let twice = indexed(&header(0, &[("a", 0), ("b", 0)], &[])).await.unwrap_err().to_string();
    assert!(twice.contains("b is a second record dimension"), "{twice}");
    // Records by the thousand million in a file of a few bytes.
    let granule = indexed(&header(u32::MAX >> 1, &[("t", 0)], &[("v", &[0], 1, 100)])).await.unwrap();
    assert!(granule.arrays.is_empty() && granule.refused[0].reason.contains("outside of the file"), "{granule:?}");
    assert!(indexed(b"CDF\x03....").await.unwrap_err().to_string().contains("netCDF file of an unknown version"));
}
