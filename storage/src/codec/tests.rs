//! Chains against libhdf5's own chunks (tests/corpus/codec), garbage, and how fast the hot chains are.

mod filters;

use std::time::Instant;

use proptest::prelude::*;

use super::shuffle::tests::shuffle;
use super::*;

pub(super) fn zlib(data: &[u8]) -> Vec<u8> {
    let mut c = libdeflater::Compressor::new(libdeflater::CompressionLvl::default());
    let mut out = vec![0; c.zlib_compress_bound(data.len())];
    let n = c.zlib_compress(data, &mut out).unwrap();
    out.truncate(n);
    out
}

fn bytes_of_hex(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
}

#[derive(Deserialize)]
struct Case {
    codecs: Vec<Codec>,
    skip: u32,
    stored: String,
    decoded: String,
}

/// Codecs, the mask of those left out, stored and decoded bytes.
type Chunk = (Vec<Codec>, u32, Vec<u8>, Vec<u8>);

fn cases() -> Vec<Chunk> {
    let cases: Vec<Case> = serde_json::from_str(include_str!("../../../tests/corpus/codec/chunks.json")).unwrap();
    cases.into_iter().map(|c| (c.codecs, c.skip, bytes_of_hex(&c.stored), bytes_of_hex(&c.decoded))).collect()
}

#[test]
fn chunks_of_libhdf5_decode_to_what_h5py_reads() {
    let cases = cases();
    assert_eq!(cases.len(), 12);
    for (codecs, skip, stored, decoded) in cases {
        assert_eq!(decode_chunk(&codecs, skip, &stored, decoded.len()).unwrap(), decoded, "{codecs:?}, skip {skip}");
    }
}

#[test]
fn a_chunk_of_another_length_is_an_error_that_names_both() {
    let stored = zlib(&shuffle(&[9; 4000], 4));
    let codecs = [Codec::Shuffle { element: 4 }, Codec::Deflate];
    assert_eq!(decode_chunk(&codecs, 0, &stored, 4000).unwrap(), [9; 4000]);
    for (length, message) in [(4004, "expected 4004 bytes, found 4000"), (3996, "expected 3996 bytes, found more")] {
        let e = decode_chunk(&codecs, 0, &stored, length).unwrap_err().to_string();
        assert!(e.contains(message), "{e}");
    }
    let e = decode_chunk(&[], 0, &[1, 2, 3], 4).unwrap_err().to_string();
    assert!(e.contains("expected 4 bytes, found 3"), "{e}");
}

#[test]
fn claimed_sizes_are_not_allocated() {
    for codec in [Codec::Deflate, Codec::Lzw, Codec::PackBits] {
        let e = decode_chunk(&[codec], 0, &[0; 100], usize::MAX / 2).unwrap_err().to_string();
        assert!(e.contains("hold at most"), "{e}");
    }
    let chunky = [Codec::Interleave { samples: u32::MAX, sample: 0, element: 8 }, Codec::Deflate];
    assert!(decode_chunk(&chunky, 0, &[0; 100], usize::MAX / 2).is_err());
}

#[test]
fn every_order_of_steps_that_a_file_may_declare() {
    let data: Vec<u8> = (0..6000u32).map(|i| ((i * i) >> 7) as u8).collect();
    // Twice compressed; and a filter behind the compressor, whose length is known from the stored bytes only.
    assert_eq!(decode_chunk(&[Codec::Deflate, Codec::Deflate], 0, &zlib(&zlib(&data)), 6000).unwrap(), data);
    let stored = shuffle(&zlib(&data), 2);
    assert_eq!(decode_chunk(&[Codec::Deflate, Codec::Shuffle { element: 2 }], 0, &stored, 6000).unwrap(), data);
    // All left out, and left out beyond the mask's 32 bits.
    assert_eq!(decode_chunk(&[Codec::Deflate, Codec::Shuffle { element: 2 }], 3, &data, 6000).unwrap(), data);
    // Pixel-interleaved, shuffled by nobody.
    let green: Vec<u8> = data.iter().skip(1).step_by(3).copied().collect();
    let chunky = [Codec::Interleave { samples: 3, sample: 1, element: 1 }, Codec::Deflate];
    assert_eq!(decode_chunk(&chunky, 0, &zlib(&data), 2000).unwrap(), green);
    assert_eq!(decode_chunk(&chunky[..1], 0, &data, 2000).unwrap(), green);
}

fn any_codec() -> impl Strategy<Value = Codec> {
    let (n, e) = (0u32..6, 0u32..10);
    let order = prop_oneof![Just(ByteOrder::Little), Just(ByteOrder::Big)];
    prop_oneof![
        Just(Codec::Deflate),
        Just(Codec::TiffDeflate),
        Just(Codec::Fletcher32),
        Just(Codec::Lzw),
        Just(Codec::PackBits),
        e.clone().prop_map(|element| Codec::Shuffle { element }),
        (0u32..40, n.clone(), e.clone(), order).prop_map(|(row, samples, element, order)| Codec::HorizontalPredictor {
            row,
            samples,
            element,
            order
        }),
        (0u32..40, n.clone(), e.clone()).prop_map(|(row, samples, element)| Codec::FloatPredictor { row, samples, element }),
        (n.clone(), n, e).prop_map(|(samples, sample, element)| Codec::Interleave { samples, sample, element }),
    ]
}

proptest! {
    #[test]
    fn garbage_is_an_error_and_never_a_panic(
        codecs in prop::collection::vec(any_codec(), 0..4),
        skip in any::<u32>(),
        stored in prop::collection::vec(any::<u8>(), 0..300),
        length in 0usize..600,
    ) {
        if let Ok(decoded) = decode_chunk(&codecs, skip, &stored, length) {
            prop_assert_eq!(decoded.len(), length);
        }
    }

    #[test]
    fn damaged_chunks_never_panic(which in 0usize..12, at in any::<prop::sample::Index>(), flip in 1u8.., cut in 0usize..9) {
        let (codecs, skip, mut stored, decoded) = cases().swap_remove(which);
        let at = at.index(stored.len());
        stored[at] ^= flip;
        stored.truncate(stored.len() - cut.min(stored.len()));
        if let Ok(found) = decode_chunk(&codecs, skip, &stored, decoded.len()) {
            prop_assert_eq!(found.len(), decoded.len());
        }
    }
}

/// `cargo test -p graticule-storage --lib -- --ignored --nocapture timing`
#[test]
#[ignore = "prints figures, asserts nothing"]
fn timing() {
    let cells = 1 << 20;
    for element in [2usize, 4, 8] {
        // A smooth field with some noise in its low bits, as packed measurements are.
        let field = (0..cells).map(|i| ((i as f64 / 900.0).sin() * 9000.0) as i64 + (((i * 2_654_435_761_usize) >> 7) & 15) as i64);
        let data: Vec<u8> = field.flat_map(|v| v.to_le_bytes()[..element].to_vec()).collect();
        let size = element as u32;
        let shuffled = shuffle(&data, element);
        let sum = |d: &[u8]| [d, &[0; 4]].concat();
        let differences = Codec::HorizontalPredictor { row: 1024, samples: 1, element: size, order: ByteOrder::Little };
        let floats = Codec::FloatPredictor { row: 1024, samples: 1, element: size };
        let chains: [(&str, Vec<Codec>, Vec<u8>); 6] = [
            ("shuffle", vec![Codec::Shuffle { element: size }], shuffled.clone()),
            ("shuffle+deflate", vec![Codec::Shuffle { element: size }, Codec::Deflate], zlib(&shuffled)),
            ("deflate", vec![Codec::Deflate], zlib(&data)),
            ("fletcher32 (zeros)", vec![Codec::Fletcher32], sum(&vec![0; data.len()])),
            ("predictor2", vec![differences], data.clone()),
            ("predictor3", vec![floats], data.clone()),
        ];
        for (name, codecs, stored) in chains {
            let mut best = f64::MAX;
            for _ in 0..9 {
                let start = Instant::now();
                let decoded = decode_chunk(&codecs, 0, &stored, data.len()).unwrap();
                best = best.min(start.elapsed().as_secs_f64());
                std::hint::black_box(decoded);
            }
            println!("{element}-byte cells, {name}: {:.2} GB/s of decoded bytes", data.len() as f64 / best / 1e9);
        }
    }
}
