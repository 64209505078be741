//! `graticule serve PATH ...`: cubes of files and folders without a statement.

use super::change::Change;
use super::{Catalog, CreateReport, CubeDefinition, Progress};
use crate::format::Refused;
use crate::{Error, Result};

/// Makes or refreshes the cubes of the paths.
pub async fn serve(catalog: &Catalog, paths: &[String], progress: &dyn Progress) -> Result<CreateReport> {
    let mut report = CreateReport::default();
    for path in paths {
        let path = absolute(path);
        let files = catalog.objects.list(&path).await?;
        let whole = definition(catalog, &path);
        if let [only] = files.as_slice()
            && name_of(only) == whole.name
        {
            one(catalog, whole, progress, &mut report).await?;
            continue;
        }
        if one_grid(catalog, whole, progress, &mut report).await? {
            continue;
        }
        for file in files {
            match one(catalog, definition(catalog, &file), progress, &mut report).await {
                Ok(()) => {}
                Err(error @ (Error::Resources(_) | Error::Internal(_))) => return Err(error),
                Err(error) => report.skipped.push(Refused { reason: reason(&file, &error), path: file }),
            }
        }
    }
    if report.cubes.is_empty() && !paths.is_empty() {
        let why = report.skipped.first().map_or(String::new(), |s| format!(": {}: {}", s.path, s.reason));
        return Err(Error::NotFound(format!("no cube can be made of {}{why}", paths.join(", "))));
    }
    Ok(report)
}

/// An error without the file's name in front, which stands beside it.
fn reason(file: &str, error: &Error) -> String {
    let text = error.to_string();
    text.strip_prefix(&format!("{file}: ")).map_or(text.clone(), str::to_owned)
}

/// The statement that serves a path.
fn statement(name: &str, path: &str) -> String {
    let quoted = |text: &str, quote: &str| format!("{quote}{}{quote}", text.replace(quote, &quote.repeat(2)));
    format!("CREATE CUBE {} FROM {}", quoted(name, "\""), quoted(path, "'"))
}

/// A path that means the same wherever the server is started next.
fn absolute(path: &str) -> String {
    match path.contains("://") {
        true => path.to_owned(),
        false => std::path::absolute(path).map_or_else(|_| path.to_owned(), |p| p.display().to_string()),
    }
}

/// The definition of a path, under the name of an earlier cube of the same path, or else a name that is free.
fn definition(catalog: &Catalog, path: &str) -> CubeDefinition {
    let state = catalog.state.read();
    let sources = vec![path.to_owned()];
    let base = name_of(path);
    let same = state.definitions.values().find(|r| r.definition.sources == sources && r.definition.name.starts_with(&base));
    let name = same.map(|r| r.definition.name.clone()).unwrap_or_else(|| {
        let free = |name: &String| !state.cubes.contains_key(name) && !state.definitions.contains_key(name);
        (1..).map(|n| if n == 1 { base.clone() } else { format!("{base}_{n}") }).find(free).unwrap_or(base)
    });
    let statement = statement(&name, path);
    CubeDefinition { name, sources, statement, ..CubeDefinition::default() }
}

/// Makes one cube, or refreshes it where it is known.
async fn one(catalog: &Catalog, definition: CubeDefinition, progress: &dyn Progress, report: &mut CreateReport) -> Result<()> {
    let name = definition.name.clone();
    let known = catalog.state.read().definitions.contains_key(&name);
    if known {
        catalog.refresh_cube(&name, progress).await?;
    } else {
        let (change, made) = Change::create(catalog, definition, None, progress).await?;
        change.commit(catalog)?;
        report.skipped.extend(made.skipped);
        report.warnings.extend(made.warnings);
    }
    add(catalog, &name, report);
    Ok(())
}

fn add(catalog: &Catalog, name: &str, report: &mut CreateReport) {
    if let Some(record) = catalog.state.read().definitions.get(name) {
        report.cubes.extend(record.cubes.iter().cloned());
        report.granules += record.granules.len() as u64;
    }
}

/// Tries to make one cube of many files; false where they do not form one grid, so that each becomes its own.
async fn one_grid(catalog: &Catalog, definition: CubeDefinition, progress: &dyn Progress, report: &mut CreateReport) -> Result<bool> {
    let name = definition.name.clone();
    let mut known = catalog.state.read().definitions.get(&name).cloned();
    if let Some(before) = known.as_ref().filter(|k| k.failure.is_none()) {
        match catalog.refresh_cube(&name, progress).await {
            Ok(_) => {
                add(catalog, &name, report);
                return Ok(true);
            }
            // Files that went together and do so no more; a cube that a statement made stays as it is.
            Err(Error::Grid { .. }) if before.definition.statement == definition.statement => {
                catalog.drop_cube(&name)?;
                known = None;
            }
            Err(error) => return Err(error),
        }
    }
    let path = definition.sources.concat();
    let (change, made) = match Change::create(catalog, definition, known, progress).await {
        Ok(made) => made,
        Err(error @ (Error::Resources(_) | Error::Internal(_))) => return Err(error),
        // Files that do not fit, or one that cannot be read: each by itself says more.
        Err(error) => {
            report.warnings.push(format!("{path} is served file by file: {error}"));
            return Ok(false);
        }
    };
    if !change.is_one_grid() {
        return Ok(false);
    }
    change.commit(catalog)?;
    report.skipped.extend(made.skipped);
    report.warnings.extend(made.warnings);
    add(catalog, &name, report);
    Ok(true)
}

/// A path's last part without its ending, as an SQL identifier: lower case, `_` for what is no letter, digit or `_`, and in
/// front of a digit.
pub fn name_of(path: &str) -> String {
    let last = path.trim_end_matches('/').rsplit('/').next().unwrap_or("");
    // A pattern is named after the folder that it is in.
    let last = if last.contains(['*', '?', '[']) {
        path.split(['*', '?', '[']).next().unwrap_or("").rsplit('/').nth(1).unwrap_or("")
    } else {
        last
    };
    let stem = match last.rfind('.') {
        Some(at) if at > 0 => &last[..at],
        _ => last,
    };
    let mut name: String = stem.to_lowercase().chars().map(|c| if c.is_alphanumeric() { c } else { '_' }).collect();
    if name.is_empty() {
        name.push_str("cube");
    }
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        name.insert(0, '_');
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_identifiers() {
        assert_eq!(name_of("/data/ERA5 2m-temp.v2.nc"), "era5_2m_temp_v2");
        assert_eq!(name_of("/data/2020/"), "_2020");
        assert_eq!(name_of("/data/.hidden"), "_hidden");
        assert_eq!(name_of("/data/era5/*.nc"), "era5");
        assert_eq!(name_of("/"), "cube");
    }
}
