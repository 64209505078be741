//! Gives the program a hash of the sources that decide how queries are planned and run: nodes of a pool must have the same.

use std::io;
use std::path::{Path, PathBuf};

/// FNV-1a.
fn add(hash: &mut u64, bytes: &[u8]) {
    for byte in bytes {
        *hash = (*hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
}

fn files(path: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    if path.is_dir() {
        for entry in std::fs::read_dir(path)? {
            files(&entry?.path(), found)?;
        }
    } else if path.is_file() {
        found.push(path.to_path_buf());
    }
    Ok(())
}

fn main() -> io::Result<()> {
    let root = Path::new("..");
    let mut found = vec![];
    for room in ["grammar", "storage", "query", "server"] {
        for part in ["src", "Cargo.toml"] {
            let path = root.join(room).join(part);
            println!("cargo:rerun-if-changed={}", path.display());
            files(&path, &mut found)?;
        }
    }
    let lock = root.join("Cargo.lock");
    println!("cargo:rerun-if-changed={}", lock.display());
    files(&lock, &mut found)?;
    found.sort();
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    for file in found {
        add(&mut hash, file.to_string_lossy().as_bytes());
        add(&mut hash, &std::fs::read(&file)?);
    }
    println!("cargo:rustc-env=GRATICULE_SOURCES={hash:016x}");
    Ok(())
}
