//! kerchunk references: a Zarr store in JSON (versions 0 and 1) or Parquet whose chunks are byte ranges of other files.
//! Relative names are relative to the reference file; every file must lie under the roots.

mod parquet;
mod template;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use serde_json::Value;

use super::zarr::{Flat, Place, base64, index_flat_into, parse_json};
use super::{Format, IndexedGranule};
use crate::object::{ObjectReader, ObjectVersion, VersionedObject};
use crate::{Error, Result};

pub(super) use parquet::{index as index_parquet, is_parquet};

/// Largest reference file, bytes.
const LARGEST: u64 = 1 << 30;
/// References that templates may generate.
const GENERATED: usize = 10_000_000;
/// Files asked for their versions at once.
const PARALLEL: usize = 32;

/// kerchunk reference files in JSON.
#[derive(Debug, Clone, Copy)]
pub struct Kerchunk;

/// Where a reference points to.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Reference {
    Inline(Bytes),
    /// A file, and the range of it; all of it without.
    File {
        name: String,
        range: Option<(u64, u64)>,
        /// Seconds since 1970: a file that changed later is another one.
        newest: Option<i64>,
    },
    /// All of the object with this key below the granule's location, which must be there.
    Key(String),
}

impl Reference {
    fn file(name: impl Into<String>, range: Option<(u64, u64)>) -> Reference {
        Reference::File { name: name.into(), range, newest: None }
    }
}

#[async_trait]
impl Format for Kerchunk {
    fn name(&self) -> &'static str {
        "kerchunk references (JSON)"
    }

    fn detect(&self, head: &[u8]) -> bool {
        head.trim_ascii_start().starts_with(b"{")
    }

    async fn index(&self, object: &ObjectReader) -> Result<IndexedGranule> {
        let no_references = || Error::unsupported(object.location(), "format: JSON without kerchunk references in it");
        if object.size() > LARGEST {
            return Err(Error::unsupported(object.location(), format!("format: JSON of more than {LARGEST} bytes")));
        }
        let bytes = object.read(0..object.size()).await?;
        let location = object.location().to_owned();
        let parsed = tokio::task::spawn_blocking(move || {
            let document = parse_json(&bytes).ok()?;
            Some(references(&document).map_err(|what| Error::data(location, what)))
        });
        let parsed = parsed.await.map_err(|e| Error::Internal(format!("indexing {}: {e}", object.location())))?;
        let references = parsed.ok_or_else(no_references)??;
        if !references.keys().any(|key| matches!(key.rsplit('/').next(), Some(".zarray" | ".zgroup" | "zarr.json"))) {
            return Err(no_references());
        }
        index(object, "kerchunk", references).await
    }
}

/// Finds the files and makes a granule of the references. Names are relative to the folder of `object`.
pub(super) async fn index(object: &ObjectReader, format: &str, references: BTreeMap<String, Reference>) -> Result<IndexedGranule> {
    let mut granule = IndexedGranule { format: format.into(), ..IndexedGranule::default() };
    let names: std::collections::BTreeSet<&str> =
        references.values().filter_map(|r| if let Reference::File { name, .. } = r { Some(name.as_str()) } else { None }).collect();
    let found = futures::stream::iter(names.into_iter().map(str::to_owned).collect::<Vec<_>>()).map(|name| {
        let (objects, location) = (object.objects().clone(), object.resolve(&name));
        async move {
            let canonical = objects.canonical(&location);
            let version = match &canonical {
                Ok(location) => objects.version(location).await,
                Err(error) => Err(error.clone()),
            };
            match version {
                Ok(version) => Ok((name, Ok((canonical.unwrap_or(location), version)))),
                Err(error @ (Error::NotFound(_) | Error::Forbidden { .. } | Error::Unsupported { .. } | Error::User(_))) => {
                    Ok((name, Err(error.to_string())))
                }
                Err(error) => Err(error),
            }
        }
    });
    type Found = std::result::Result<(String, ObjectVersion), String>;
    let found: Vec<(String, Found)> = found.buffered(PARALLEL).try_collect().await?;
    let mut files = BTreeMap::new();
    for (name, found) in found {
        let number = found.map(|(location, version)| {
            granule.objects.push(VersionedObject { location, version });
            granule.objects.len() as u32
        });
        files.insert(name, number);
    }
    let mut flat = Flat::default();
    for (key, reference) in references {
        let (name, range, newest) = match reference {
            Reference::Inline(bytes) => {
                flat.places.insert(key, Place::Bytes(bytes));
                continue;
            }
            Reference::Key(below) => {
                flat.places.insert(key, Place::Key(below));
                continue;
            }
            Reference::File { name, range, newest } => (name, range, newest),
        };
        let number = match files.get(&name) {
            Some(Ok(number)) => *number,
            Some(Err(why)) => {
                flat.refused.push((key, why.clone()));
                continue;
            }
            None => continue,
        };
        let version = granule.objects.get(number as usize - 1).map(|o| &o.version);
        let (size, modified) = version.map_or((0, 0), |v| (v.size, v.modified_micros.div_euclid(1_000_000)));
        if newest.is_some_and(|newest| modified > newest) {
            flat.refused.push((key, format!("{name} changed since it was referred to")));
            continue;
        }
        let (offset, length) = range.unwrap_or((0, size));
        match offset.checked_add(length).filter(|&end| end <= size) {
            Some(end) => drop(flat.places.insert(key, Place::Range { object: number, range: offset..end, deflated: false })),
            None => flat.refused.push((key, format!("{length} bytes at {offset} are not in {name}, which has {size}"))),
        }
    }
    index_flat_into(object, granule, flat).await
}

/// The references of a document of either version, templates filled in.
fn references(document: &Value) -> std::result::Result<BTreeMap<String, Reference>, String> {
    let root = document.as_object().ok_or("no object")?;
    let (refs, templates) = match root.get("version").map(|v| v.as_u64()) {
        Some(Some(1)) => {
            let refs = root.get("refs").and_then(Value::as_object).ok_or("references of version 1 without refs")?;
            (refs, template::Templates::new(root.get("templates"))?)
        }
        Some(_) => return Err(format!("kerchunk references of version {}", root["version"])),
        None => (root, template::Templates::default()),
    };
    let mut found = BTreeMap::new();
    for (key, value) in refs {
        if let Some(reference) = reference(value, &templates).map_err(|why| format!("reference {key}: {why}"))? {
            found.insert(key.clone(), reference);
        }
    }
    for generator in root.get("gen").filter(|_| root.contains_key("version")).and_then(Value::as_array).into_iter().flatten() {
        let generated = templates.generate(generator, GENERATED.saturating_sub(found.len())).map_err(|why| format!("gen: {why}"))?;
        found.extend(generated.into_iter().map(|(key, url, range)| (key, Reference::file(url, range))));
    }
    Ok(found)
}

/// One reference; `None` for one that is null.
fn reference(value: &Value, templates: &template::Templates) -> std::result::Result<Option<Reference>, String> {
    Ok(Some(match value {
        Value::Null => return Ok(None),
        Value::String(text) => Reference::Inline(match text.strip_prefix("base64:") {
            Some(encoded) => base64(encoded).ok_or("not base64")?.into(),
            None => text.clone().into(),
        }),
        Value::Array(parts) => {
            let url = parts.first().and_then(Value::as_str).ok_or("no file")?;
            let number = |i: usize| parts.get(i).map(|v| v.as_u64().ok_or_else(|| format!("{v} is no place in a file"))).transpose();
            let range = match (parts.len(), number(1)?, number(2)?) {
                (1, ..) => None,
                (3, Some(offset), Some(length)) => Some((offset, length)),
                _ => return Err("a file, or a file with offset and length, was expected".into()),
            };
            Reference::file(templates.fill(url)?, range)
        }
        // Metadata written as JSON in JSON.
        other => Reference::Inline(other.to_string().into()),
    }))
}
