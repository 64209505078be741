//! Hygiene that fails the build: headers, lengths, no panics on purpose outside tests, and which room may use which.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::engine::root;

/// Lines a file may have, tests included.
const MOST_LINES: usize = 600;

/// What each room may use of the others (ARCHITECTURE.md draws it).
const ROOMS: &[(&str, &[&str])] = &[
    ("graticule-grammar", &[]),
    ("graticule-storage", &[]),
    ("graticule-query", &["graticule-grammar", "graticule-storage"]),
    ("graticule-server", &["graticule-query", "graticule-storage", "graticule-client"]),
    ("graticule-client", &[]),
];

/// Crates that a room must never see, not even below another crate.
const FORBIDDEN: &[(&str, &[&str])] = &[
    ("graticule-grammar", &["datafusion", "arrow-array", "object_store", "tokio"]),
    ("graticule-storage", &["datafusion", "sqlparser", "tonic"]),
    ("graticule-query", &["tonic", "arrow-flight"]),
    ("graticule-client", &["datafusion", "graticule-storage", "graticule-query"]),
];

fn sources(folder: &Path, ending: &str, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && !name.starts_with('.') && name != "target" && name != "demo-data" {
            sources(&path, ending, found);
        } else if name.ends_with(ending) {
            found.push(path);
        }
    }
}

fn all(ending: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    sources(&root(), ending, &mut found);
    found.into_iter().map(|p| (p.clone(), std::fs::read_to_string(&p).unwrap())).collect()
}

#[test]
fn every_file_says_what_lives_there_and_is_short() {
    let mut wrong = Vec::new();
    for (path, text) in all(".rs") {
        if !text.starts_with("//!") {
            wrong.push(format!("{}: begins without a `//!` header", path.display()));
        }
        if text.lines().count() > MOST_LINES {
            wrong.push(format!("{}: {} lines, more than {MOST_LINES}", path.display(), text.lines().count()));
        }
    }
    for (path, text) in all(".py") {
        if text.trim().is_empty() || text.contains("\"\"\"") {
            continue;
        }
        wrong.push(format!("{}: has no docstring", path.display()));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn nothing_panics_on_purpose_outside_tests() {
    let words = [".unwrap()", ".expect(", "todo!(", "unimplemented!(", "panic!(", "dbg!("];
    let (mut wrong, mut looked_at) = (Vec::new(), 0);
    for (path, text) in all(".rs") {
        let inside = path.strip_prefix(root()).unwrap();
        let name = inside.file_name().unwrap_or_default().to_string_lossy();
        let folder = |c: std::path::Component<'_>| c.as_os_str() == "tests" || c.as_os_str() == "benches";
        if inside.components().any(folder) || name.ends_with("tests.rs") || name == "build.rs" {
            continue;
        }
        looked_at += 1;
        let lines: Vec<&str> = text.lines().collect();
        let tests = lines.windows(2).position(|two| two[0] == "#[cfg(test)]" && two[1].contains("mod ") && two[1].ends_with('{'));
        for (i, line) in lines.iter().take(tests.unwrap_or(lines.len())).enumerate() {
            let line = line.split("//").next().unwrap_or_default();
            if words.iter().any(|w| line.contains(w)) {
                wrong.push(format!("{}:{}: {}", path.display(), i + 1, line.trim()));
            }
        }
    }
    assert!(looked_at > 100, "only {looked_at} files");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn rooms_use_only_the_rooms_they_may() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--offline", "--no-deps"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    for (room, allowed) in ROOMS {
        let package = packages.iter().find(|p| p["name"] == *room).unwrap();
        for dependency in package["dependencies"].as_array().unwrap().iter().filter(|d| d["kind"].is_null()) {
            let name = dependency["name"].as_str().unwrap();
            assert!(!name.starts_with("graticule-") || allowed.contains(&name), "{room} uses {name}");
        }
    }
    for (room, forbidden) in FORBIDDEN {
        let tree = Command::new(env!("CARGO"))
            .args(["tree", "--offline", "--locked", "-p", room, "-e", "normal", "--prefix", "none", "--format", "{p}"])
            .current_dir(root())
            .output()
            .unwrap();
        assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
        let tree = String::from_utf8_lossy(&tree.stdout).into_owned();
        for name in *forbidden {
            assert!(!tree.lines().any(|l| l.split(' ').next() == Some(name)), "{room} sees {name}");
        }
    }
}

#[test]
fn one_version_of_the_crates_that_must_agree() {
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).unwrap();
    for name in ["arrow", "arrow-array", "datafusion", "object_store", "prost", "sqlparser", "tonic"] {
        assert_eq!(lock.matches(&format!("name = \"{name}\"\n")).count(), 1, "versions of {name} in Cargo.lock");
    }
}
