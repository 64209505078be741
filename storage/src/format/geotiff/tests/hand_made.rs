//! Directories that GDAL does not write: missing tags, loops, lies; and fixtures with bytes changed at random.

use bytes::Bytes;
use proptest::prelude::*;

use super::fixtures::fixture;
use super::{index, values};
use crate::array::ChunkRef;
use crate::convention::geokeys::describe;

/// A little-endian classic TIFF: 64 bytes 0..64 from byte 8 on, then one directory of `entries` (tag, type, count, value).
fn tiff(entries: &[(u16, u16, u32, u32)], next: u32) -> Bytes {
    let mut b = b"II\x2a\0\x48\0\0\0".to_vec();
    b.extend(0..64u8);
    b.extend((entries.len() as u16).to_le_bytes());
    for (tag, field_type, count, value) in entries {
        b.extend(tag.to_le_bytes());
        b.extend(field_type.to_le_bytes());
        b.extend(count.to_le_bytes());
        b.extend(value.to_le_bytes());
    }
    b.extend(next.to_le_bytes());
    b.into()
}

const SHORT: u16 = 3;
const LONG: u16 = 4;

/// An image of 8 x 8 bytes in one strip, with some entries replaced (by tag) or, where the count is 0, left out.
fn image(changes: &[(u16, u16, u32, u32)]) -> Vec<(u16, u16, u32, u32)> {
    let mut entries = vec![(256, SHORT, 1, 8), (257, SHORT, 1, 8), (258, SHORT, 1, 8), (273, LONG, 1, 8), (279, LONG, 1, 64)];
    for change in changes {
        entries.retain(|e| e.0 != change.0);
        if change.2 > 0 {
            entries.push(*change);
        }
    }
    entries
}

fn sum(bytes: &Bytes) -> Result<f64, String> {
    let granule = index("hand made", bytes).map_err(|e| e.to_string())?;
    match granule.arrays.first() {
        Some(array) => values(bytes, array).map(|v| v.iter().sum()).map_err(|e| e.to_string()),
        None => Err(granule.refused[0].reason.clone()),
    }
}

#[test]
fn tags_may_be_missing_where_the_specification_has_a_default() {
    let all = 2016.0;
    assert_eq!(sum(&tiff(&image(&[]), 0)), Ok(all));
    // StripByteCounts missing or 0; RowsPerStrip 2^32 - 1; strips of other types; a predictor without compression.
    assert_eq!(sum(&tiff(&image(&[(279, LONG, 0, 0)]), 0)), Ok(all));
    assert_eq!(sum(&tiff(&image(&[(279, LONG, 1, 0)]), 0)), Ok(all));
    assert_eq!(sum(&tiff(&image(&[(278, LONG, 1, u32::MAX)]), 0)), Ok(all));
    assert_eq!(sum(&tiff(&image(&[(273, 1, 1, 8), (279, 1, 1, 64)]), 0)), Ok(all));
    assert_eq!(sum(&tiff(&image(&[(317, SHORT, 1, 2)]), 0)), Ok(all));
    // The directory at the file's very end, without the position of a next one.
    let whole = tiff(&image(&[]), 0);
    assert_eq!(sum(&whole.slice(..whole.len() - 4)), Ok(all));
    // Never written.
    assert_eq!(sum(&tiff(&image(&[(273, LONG, 1, 0), (279, LONG, 1, 0)]), 0)), Ok(0.0));
}

#[test]
fn what_is_not_read_is_refused_with_tag_and_value() {
    for (change, message) in [
        ((258, SHORT, 1, 96), "BitsPerSample = 96 with SampleFormat = 1"),
        ((259, SHORT, 1, 6), "Compression = 6 (old JPEG)"),
        ((259, SHORT, 1, 7), "jpeg: expected a start of image"),
        ((259, SHORT, 1, 34676), "Compression = 34676 (SGI LogLuv)"),
        ((259, SHORT, 1, 34712), "Compression = 34712 (JPEG 2000)"),
        ((259, SHORT, 1, 50002), "Compression = 50002 (JPEG XL)"),
        ((259, SHORT, 1, 4711), "Compression = 4711"),
        ((266, SHORT, 1, 3), "FillOrder = 3"),
        ((339, SHORT, 1, 6), "BitsPerSample = 8 with SampleFormat = 6"),
        ((262, SHORT, 1, 6), "PhotometricInterpretation = 6 (YCbCr)"),
        ((284, SHORT, 1, 3), "PlanarConfiguration = 3"),
        ((256, SHORT, 1, 0), "ImageWidth: expected 1"),
        ((273, LONG, 1, 9999), "bytes 9999..10063: strip 0: reaches over the object's end"),
        ((273, LONG, 0, 0), "StripOffsets: expected 1 values, found 0"),
        ((257, LONG, 1, u32::MAX), "reaches over the object's end"),
        ((278, SHORT, 1, 1), "StripOffsets: expected 8 values, found 1"),
        ((256, 99, 1, 8), "ImageWidth: unknown field type 99"),
        ((256, 5, 1, 8), "ImageWidth"),
        ((273, LONG, u32::MAX, 8), "StripOffsets reaches over the object's end"),
        ((322, LONG, 1, u32::MAX), "TileLength: expected 1"),
        ((277, SHORT, 1, 60000), "reaches over the object's end"),
    ] {
        let found = sum(&tiff(&image(&[change]), 0)).unwrap_err();
        assert!(found.contains(message), "{change:?}: {found}");
    }
    let mixed = sum(&tiff(&image(&[(277, SHORT, 1, 2), (258, SHORT, 2, 8 | 16 << 16)]), 0)).unwrap_err();
    assert!(mixed.contains("BitsPerSample = 8 and 16"), "{mixed}");
    let few = sum(&tiff(&image(&[(277, SHORT, 1, 16_386), (258, SHORT, 2, 8 | 8 << 16)]), 0)).unwrap_err();
    assert!(few.contains("BitsPerSample: expected 1 or 16386 values (SamplesPerPixel), found 2"), "{few}");
    let bands = sum(&tiff(&image(&[(277, SHORT, 1, 60_000), (259, SHORT, 1, 8)]), 0)).unwrap_err();
    assert!(bands.contains("SamplesPerPixel and the size of the image want segments of"), "{bands}");
    let predictor = sum(&tiff(&image(&[(259, SHORT, 1, 8), (317, SHORT, 1, 34892)]), 0)).unwrap_err();
    assert!(predictor.contains("Predictor = 34892"), "{predictor}");
}

#[test]
fn chains_that_loop_or_break_keep_what_was_read() {
    for (next, message) in [(0x48, "loops"), (4_000_000, "reaches over the object's end"), (8, "expected 1 to 65535 entries")] {
        let bytes = tiff(&image(&[]), next);
        let granule = index("chain", &bytes).unwrap();
        // Byte 8 on is taken for a directory of 256 entries, or refused as one.
        assert_eq!(granule.arrays[0].metadata.path, "/band_1");
        assert!(next == 8 || granule.refused[0].reason.contains(message), "{:?}", granule.refused);
    }
    assert!(index("none", &Bytes::from_static(b"II\x2a\0\0\0\0\0")).unwrap_err().to_string().contains("position of a directory"));
    assert!(index("short", &Bytes::from_static(b"II\x2a\0\x08\0")).is_err());
    assert!(index("empty", &Bytes::new()).is_err());
    assert!(index("entries", &tiff(&[], 0)).is_err());
}

#[test]
fn uncompressed_strips_that_follow_one_another_become_larger_chunks() {
    // 8 strips of one row: offsets and counts are read from the 64 pixel bytes, so strips point at bytes 0..8 of them.
    let granule = index("rows", &fixture("pixel_none")).unwrap();
    let band = &granule.arrays[1];
    assert_eq!(band.manifest.chunks.len(), 1, "{:?}", band.metadata.chunk_shape);
    assert!(matches!(band.manifest.chunks[0], ChunkRef::Stored { length, .. } if length == 44 * 37 * 4 * 4));
}

const NAMES: [&str; 18] = [
    "lzw_p2_int16",
    "deflate_p2_be_float32",
    "bigtiff_be",
    "sparse",
    "scaled",
    "overviews",
    "packbits_strips",
    "masked",
    "codecs/zstd_p2_int16",
    "codecs/lzma_uint16",
    "codecs/lerc_float32",
    "codecs/lerc_deflate_uint8",
    "codecs/webp_lossy",
    "codecs/webp_alpha",
    "codecs/jpeg_ycbcr",
    "codecs/ccittfax3",
    "codecs/ccittfax4",
    "codecs/bits_10",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]
    #[test]
    fn damaged_files_never_panic(
        which in 0usize..NAMES.len(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), any::<bool>()), 1..6),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = fixture(NAMES[which]).to_vec();
        for (at, value, in_header) in changes {
            let n = if in_header { bytes.len().min(400) } else { bytes.len() };
            let at = at.index(n);
            bytes[at] = value;
        }
        if let Some(cut) = cut {
            let n = cut.index(bytes.len());
            bytes.truncate(n);
        }
        let bytes = Bytes::from(bytes);
        if let Ok(granule) = index("damaged", &bytes) {
            let _ = describe(&granule);
            for array in granule.arrays.iter().filter(|a| a.metadata.shape.iter().product::<u64>() < 1 << 20) {
                let _ = values(&bytes, array);
            }
        }
    }
}
