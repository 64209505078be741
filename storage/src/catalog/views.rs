//! `views.sql`: the `CREATE VIEW` statements of a data directory as plain text. What they mean is the query room's business;
//! here they are names and texts that survive a restart.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Catalog;
use crate::{Error, Result};

/// Name of the file in the data directory.
const FILE: &str = "views.sql";

const HEAD: &str = "-- The views of this data directory. Written by the server after each change. To move them elsewhere, run the\n\
                    -- statements there, after those of cubes.sql.\n";

#[derive(Serialize, Deserialize)]
struct Record {
    view: String,
    statement: String,
}

/// Statements by the name of the view.
pub(super) type Views = BTreeMap<String, String>;

fn failed(path: &Path) -> impl Fn(std::io::Error) -> Error + '_ {
    |e| Error::Io { object: path.display().to_string(), reason: e.to_string() }
}

/// Reads the file; empty when there is none. A line that looks like a view and is none is an error, since it would be lost with
/// the next change.
pub(super) fn read(folder: &Path) -> Result<Views> {
    let path = folder.join(FILE);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Views::new()),
        Err(e) => return Err(failed(&path)(e)),
    };
    let mut found = Views::new();
    for (number, line) in text.lines().enumerate() {
        let Some(json) = line.strip_prefix("-- ").filter(|rest| rest.starts_with('{')) else { continue };
        let Record { view, statement } = serde_json::from_str(json)
            .map_err(|e| Error::data(path.display().to_string(), format!("line {} is no view: {e}", number + 1)))?;
        found.insert(view, statement);
    }
    Ok(found)
}

/// Writes the file anew: first beside itself, then over itself, so that it is there whole at any time.
fn write(folder: &Path, views: &Views) -> Result<()> {
    let mut text = HEAD.to_owned();
    for (view, statement) in views {
        let record = serde_json::to_string(&Record { view: view.clone(), statement: statement.clone() })
            .map_err(|e| Error::Internal(format!("a view cannot be written: {e}")))?;
        // A statement's own lines must not look like the comments that are read back.
        let shown = format!("\n{};", statement.trim().trim_end_matches(';').trim_end()).replace("\n-- {", "\n  -- {");
        text.push_str(&format!("\n-- {record}{shown}\n"));
    }
    let (path, beside) = (folder.join(FILE), folder.join(format!("{FILE}.new")));
    let mut file = std::fs::File::create(&beside).map_err(failed(&path))?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed(&path))?;
    std::fs::rename(&beside, &path).map_err(failed(&path))
}

impl Catalog {
    /// The `CREATE VIEW` statements, by the name of the view.
    pub fn views(&self) -> BTreeMap<String, String> {
        self.views.read().clone()
    }

    /// The `CREATE VIEW` statement of a view.
    pub fn view(&self, name: &str) -> Option<String> {
        self.views.read().get(name).cloned()
    }

    /// Keeps the statement that makes a view, in the place of an earlier one of the name. A cube of the name is an error.
    pub fn put_view(&self, name: &str, statement: &str) -> Result<()> {
        if self.cube(name).is_some() {
            return Err(Error::User(format!("there is a cube of the name {name} already")));
        }
        self.change_views(|views| {
            views.insert(name.to_owned(), statement.to_owned());
        })
    }

    /// Forgets a view; false when there was none.
    pub fn drop_view(&self, name: &str) -> Result<bool> {
        let known = self.views.read().contains_key(name);
        if known {
            self.change_views(|views| {
                views.remove(name);
            })?;
        }
        Ok(known)
    }

    /// The file first: what is not written down did not happen.
    fn change_views(&self, change: impl FnOnce(&mut Views)) -> Result<()> {
        let mut views = self.views.write();
        let mut changed = views.clone();
        change(&mut changed);
        if let Some(folder) = &self.folder {
            write(folder, &changed)?;
        }
        *views = changed;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_come_back() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read(folder.path()).unwrap(), Views::new());
        let statement = "CREATE VIEW \"ndvi\n-- {\" AS\n-- {no view}\nSELECT 'é' FROM s2;";
        let views = Views::from([("a".into(), statement.into()), ("ndvi\n-- {".into(), "CREATE VIEW b AS SELECT 1".into())]);
        write(folder.path(), &views).unwrap();
        assert_eq!(read(folder.path()).unwrap(), views);
        std::fs::write(folder.path().join(FILE), "-- {\"view\": 3}\n").unwrap();
        assert!(read(folder.path()).unwrap_err().to_string().contains("line 1 is no view"));
    }
}
