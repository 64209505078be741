//! `cubes.sql`: the `CREATE CUBE` statements as plain text beside the store, the one thing that no file brings back. Above each
//! statement stand its parts as JSON in a comment, so that reading it back needs no parser.

use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::CubeDefinition;
use crate::{Error, Result};

/// Name of the file in the data directory.
pub const FILE: &str = "cubes.sql";

const HEAD: &str = "-- The cubes of this data directory. Written by the server after each change; the store beside it is built\n\
                    -- again from here when it does not open. To move cubes elsewhere, run the statements there.\n";

#[derive(Serialize, Deserialize)]
struct Generation {
    generation: u64,
}

/// What the file says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Definitions {
    /// The commit after which it was written.
    pub generation: u64,
    /// In the file's order.
    pub definitions: Vec<CubeDefinition>,
}

/// Writes the file anew: first beside itself, then over itself, so that it is there whole at any time.
pub fn write<'a>(folder: &Path, generation: u64, definitions: impl IntoIterator<Item = &'a CubeDefinition>) -> Result<()> {
    let mut text = format!("{HEAD}-- {}\n", json(&Generation { generation })?);
    for definition in definitions {
        let statement = definition.statement.trim().trim_end_matches(';').trim_end();
        text.push_str(&format!("\n-- {}\n", json(definition)?));
        if !statement.is_empty() {
            // A statement's own lines must not look like the comments that are read back.
            text.push_str(format!("\n{statement};\n").replace("\n-- {", "\n  -- {").trim_start_matches('\n'));
        }
    }
    let (path, beside) = (folder.join(FILE), folder.join(format!("{FILE}.new")));
    let failed = |e: std::io::Error| Error::Io { object: path.display().to_string(), reason: e.to_string() };
    let mut file = std::fs::File::create(&beside).map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
    std::fs::rename(&beside, &path).map_err(failed)
}

fn json<T: Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|e| Error::Internal(format!("a cube definition cannot be written: {e}")))
}

/// Reads the file; `None` when there is none. A line that looks like a definition and is none is an error, since it would
/// be lost with the next change.
pub fn read(folder: &Path) -> Result<Option<Definitions>> {
    let path = folder.join(FILE);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::Io { object: path.display().to_string(), reason: e.to_string() }),
    };
    let mut found = Definitions::default();
    for (number, line) in text.lines().enumerate() {
        let Some(json) = line.strip_prefix("-- ").filter(|rest| rest.starts_with('{')) else { continue };
        if let Ok(Generation { generation }) = serde_json::from_str(json) {
            found.generation = generation;
            continue;
        }
        let definition = serde_json::from_str(json)
            .map_err(|e| Error::data(path.display().to_string(), format!("line {} is no cube definition: {e}", number + 1)))?;
        found.definitions.push(definition);
    }
    Ok(Some(found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions_come_back() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read(folder.path()).unwrap(), None);
        let one = CubeDefinition {
            name: "era5".into(),
            sources: vec!["/data/é/*.nc".into()],
            nodata: Some(-0.1),
            statement: "-- {a comment\nCREATE CUBE era5\n-- {a comment}\nFROM '/data/é/*.nc';".into(),
            ..CubeDefinition::default()
        };
        let two = CubeDefinition { name: "b\n-- {".into(), ..one.clone() };
        write(folder.path(), 7, [&one, &two]).unwrap();
        assert_eq!(read(folder.path()).unwrap(), Some(Definitions { generation: 7, definitions: vec![one, two] }));
        assert!(std::fs::read_to_string(folder.path().join(FILE)).unwrap().contains("FROM '/data/é/*.nc';\n"));
    }
}
