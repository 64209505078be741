//! How fast each codec decodes on one core, beside the reference libraries: `cargo bench -p graticule-storage --bench codecs --
//! FOLDER`, where FOLDER was filled by tests/bench/codecs.py. Every decoded array is compared with the reference's.

use std::path::Path;
use std::time::Instant;

use graticule_storage::codec::{Codec, decode_chunk};
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    name: String,
    codecs: Vec<Codec>,
    stored: String,
    decoded: String,
    /// MB/s of the reference library.
    reference: f64,
}

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn main() -> Outcome {
    // Cargo adds its own arguments, which begin with a dash.
    let Some(folder) = std::env::args().skip(1).find(|a| !a.starts_with('-')) else {
        return Err("usage: cargo bench -p graticule-storage --bench codecs -- FOLDER (filled by tests/bench/codecs.py)".into());
    };
    let folder = Path::new(&folder);
    let cases: Vec<Case> = serde_json::from_slice(&std::fs::read(folder.join("index.json"))?)?;
    println!("{:34} {:>8} {:>10} {:>7}", "MB/s of decoded bytes, one core", "here", "reference", "ratio");
    for case in cases {
        let (stored, wanted) = (std::fs::read(folder.join(&case.stored))?, std::fs::read(folder.join(&case.decoded))?);
        let (mut fastest, mut runs, begin) = (f64::MAX, 0, Instant::now());
        while runs < 5 || begin.elapsed().as_secs_f64() < 1.0 {
            runs += 1;
            let start = Instant::now();
            let decoded = decode_chunk(&case.codecs, 0, &stored, wanted.len())?;
            fastest = fastest.min(start.elapsed().as_secs_f64());
            if decoded != wanted {
                return Err(format!("{}: decodes to other bytes than the reference's", case.name).into());
            }
        }
        let speed = wanted.len() as f64 / fastest / 1e6;
        println!("{:34} {speed:8.0} {:10.0} {:7.2}", case.name, case.reference, speed / case.reference);
    }
    Ok(())
}
