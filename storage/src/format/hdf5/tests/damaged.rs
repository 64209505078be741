//! Broken files: an error or a refusal, soon, and never a panic that gets out.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hdf5_reader::storage::BytesStorage;

use super::super::parse;
use super::{files_below, index, real_files, workspace};

/// Longest that any file may take.
const SOON: Duration = Duration::from_secs(5);

#[test]
fn malformed_files_end_in_errors_or_refusals_soon() {
    let Some(data) = real_files() else { return };
    let (mut errors, mut read, mut slowest) = (0, 0, Duration::ZERO);
    for kind in ["hdf5", "netcdf4"] {
        for path in files_below(&data.join("malformed").join(kind)) {
            let start = Instant::now();
            match index(&path) {
                Err(e) => {
                    errors += 1;
                    println!("{}: {e}", path.file_name().unwrap().to_string_lossy());
                }
                Ok(g) => {
                    read += 1;
                    println!("{}: {} arrays, refused {:?}", path.file_name().unwrap().to_string_lossy(), g.arrays.len(), g.refused);
                }
            }
            slowest = slowest.max(start.elapsed());
            assert!(start.elapsed() < SOON, "{} took {:?}", path.display(), start.elapsed());
        }
    }
    println!("{errors} errors, {read} read, slowest {slowest:?}");
}

/// Indexes `bytes`; only the time that it takes can fail.
fn index_soon(name: &str, bytes: Vec<u8>) -> bool {
    let start = Instant::now();
    let found = parse(name, Arc::new(BytesStorage::new(bytes)), None);
    assert!(start.elapsed() < SOON, "{name} took {:?}", start.elapsed());
    found.is_ok()
}

/// Fixtures with bytes replaced, cut off at any place: deterministic, so that a failure can be had again.
#[test]
fn damaged_files_never_panic_or_hang() {
    let mut random = 0x2545_f491_4f6c_dd1du64;
    let mut next = move |n: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random % n as u64) as usize
    };
    let folders = ["hdf5", "hdf5_types", "hdf5_links"].map(|name| files_below(&workspace().join("tests/corpus").join(name)));
    let hdf5 = |p: &&PathBuf| matches!(p.extension().and_then(|e| e.to_str()), Some("h5" | "nc"));
    let (mut runs, mut read) = (0, 0);
    for path in folders.iter().flatten().filter(hdf5) {
        let whole = std::fs::read(Path::new(path)).unwrap();
        for round in 0..60 {
            let mut bytes = whole.clone();
            for _ in 0..=next(12) {
                let at = next(bytes.len());
                bytes[at] = [0, 1, 0x7f, 0x80, 0xff, next(256) as u8][next(6)];
            }
            if round % 10 == 0 {
                bytes.truncate(next(bytes.len()));
            }
            runs += 1;
            read += usize::from(index_soon(&format!("{} round {round}", path.display()), bytes));
        }
    }
    println!("{read} of {runs} damaged files were read in part");
}
