//! Every codec against libhdf5's and numcodecs' own bytes (tests/corpus/codec/filters.json), whole and damaged.

use super::*;

/// One chunk of a reference library.
#[derive(Deserialize)]
struct Case {
    name: String,
    codecs: Vec<Codec>,
    skip: u32,
    stored: String,
    decoded: String,
}

/// A case with its stored and decoded bytes.
fn cases() -> Vec<(Case, Vec<u8>, Vec<u8>)> {
    let cases: Vec<Case> = serde_json::from_str(include_str!("../../../../tests/corpus/codec/filters.json")).unwrap();
    let bytes = |c: Case| {
        let (stored, decoded) = (bytes_of_hex(&c.stored), bytes_of_hex(&c.decoded));
        (c, stored, decoded)
    };
    cases.into_iter().map(bytes).collect()
}

#[test]
fn chunks_decode_to_what_the_reference_libraries_read() {
    let cases = cases();
    assert_eq!(cases.len(), 115);
    let mut failed = Vec::new();
    for (case, stored, decoded) in &cases {
        match decode_chunk(&case.codecs, case.skip, stored, decoded.len()) {
            Ok(found) if found == *decoded => (),
            Ok(found) => {
                failed.push(format!("{}: first byte that differs {:?}", case.name, found.iter().zip(decoded).position(|(f, d)| f != d)))
            }
            Err(e) => failed.push(format!("{}: {e}", case.name)),
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn chunks_of_another_length_are_errors() {
    for (case, stored, decoded) in cases() {
        for length in [decoded.len() + 1, decoded.len() + 8, decoded.len() - 1, decoded.len() / 2 / 8 * 8] {
            let found = decode_chunk(&case.codecs, case.skip, &stored, length);
            // A raw LZMA stream does not tell where it ends.
            let front = case.name.starts_with("numcodecs lzma raw") && found.as_deref().is_ok_and(|f| decoded.starts_with(f));
            assert!(found.is_err() || front, "{} as {length} bytes", case.name);
        }
    }
}

/// A small generator (xorshift), so that the damage is the same each time.
fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

#[test]
fn damaged_chunks_are_errors_or_of_the_right_length() {
    let mut state = 0x9e37_79b9_7f4a_7c15;
    let (mut ended, mut refused) = (0u32, 0u32);
    for (case, stored, decoded) in cases() {
        let mut try_one = |bytes: &[u8], what: &str| match decode_chunk(&case.codecs, case.skip, bytes, decoded.len()) {
            Ok(found) => {
                assert_eq!(found.len(), decoded.len(), "{}: {what}", case.name);
                ended += 1;
            }
            Err(Error::Internal(e)) => panic!("{}: {what}: {e}", case.name),
            Err(_) => refused += 1,
        };
        for cut in (0..stored.len()).step_by(1 + stored.len() / 40) {
            try_one(&stored[..cut], "cut");
        }
        for round in 0..150 {
            let mut bytes = stored.clone();
            for _ in 0..1 + round % 3 {
                // Headers are hit as often as all the rest.
                let among = if round % 2 == 0 { bytes.len().min(24) } else { bytes.len() };
                let at = next(&mut state) as usize % among;
                bytes[at] ^= (1 << (next(&mut state) % 8)) as u8 | if round % 5 == 0 { 0xf0 } else { 0 };
            }
            try_one(&bytes, "flipped");
        }
        // Parameters from another chunk's header.
        for (other, ..) in cases().iter().step_by(7) {
            if let Ok(found) = decode_chunk(&other.codecs, 0, &stored, decoded.len()) {
                assert_eq!(found.len(), decoded.len());
            }
        }
    }
    assert!(ended > 1000 && refused > 5000, "{ended} ended, {refused} refused");
}

#[test]
fn damaged_parameters_are_errors_or_of_the_right_length() {
    let mut state = 0x2545_f491_4f6c_dd1d;
    for (case, stored, decoded) in cases() {
        let [Codec::Szip { parameters } | Codec::NBit { parameters } | Codec::ScaleOffset { parameters }] = case.codecs.as_slice() else {
            continue;
        };
        for round in 0..200 {
            let mut parameters = parameters.clone();
            let at = next(&mut state) as usize % parameters.len();
            let value = next(&mut state);
            parameters[at] = if round % 3 == 0 { value as u32 } else { value as u32 % 70 };
            let codec = match case.codecs[0] {
                Codec::Szip { .. } => Codec::Szip { parameters },
                Codec::NBit { .. } => Codec::NBit { parameters },
                _ => Codec::ScaleOffset { parameters },
            };
            if let Ok(found) = decode_chunk(&[codec], 0, &stored, decoded.len()) {
                assert_eq!(found.len(), decoded.len(), "{}", case.name);
            }
        }
    }
}

#[test]
fn claimed_sizes_are_not_allocated() {
    let a_petabyte = 1 << 50;
    let codecs = [Codec::Gzip, Codec::Zstd, Codec::Bzip2, Codec::Lzf, Codec::Blosc, Codec::Lzma { filters: vec![] }];
    for codec in codecs {
        let e = decode_chunk(&[codec], 0, &[0; 100], a_petabyte).unwrap_err().to_string();
        assert!(e.contains("hold at most"), "{e}");
    }
}
