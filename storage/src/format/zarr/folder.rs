//! A store in a folder, or under a prefix of a remote store: documents are read one by one where they are not consolidated.

use std::collections::BTreeMap;

use futures::{StreamExt, TryStreamExt};

use super::hierarchy::{self, Document, Node};
use super::json;
use crate::format::IndexedGranule;
use crate::object::{ObjectReader, VersionedObject, below};
use crate::{Error, Result};

/// Largest document that is read, bytes.
const DOCUMENT: u64 = 256 << 20;
/// Groups and arrays of a store without consolidated metadata.
const NODES: usize = 50_000;
/// Folders deep.
const DEPTH: usize = 32;
/// Documents under way at once.
const PARALLEL: usize = 16;

/// The nodes of the store; documents beside the root's become objects of the granule.
pub(super) async fn nodes(object: &ObjectReader, granule: &mut IndexedGranule) -> Result<Vec<Node>> {
    let bad = |what: String| Error::data(object.location(), what);
    let name = object.document().unwrap_or_default();
    if object.size() > DOCUMENT {
        return Err(bad(format!("{name} has {} bytes (at most {DOCUMENT} are read)", object.size())));
    }
    let root = json::parse(&object.read(0..object.size()).await?).map_err(|why| bad(format!("{name} is {why}")))?;
    match name {
        "zarr.json" => {
            if let Some(nodes) = hierarchy::consolidated_v3(&root) {
                return Ok(nodes);
            }
        }
        ".zmetadata" => return Ok(hierarchy::nodes(&hierarchy::consolidated_v2(&root).map_err(bad)?)),
        _ => {}
    }
    let is_array = name == ".zarray" || root.get("node_type").is_some_and(|t| t == "array");
    let mut documents = BTreeMap::from([(name.to_owned(), (Ok(root), 0))]);
    let version = if name == "zarr.json" { 3 } else { 2 };
    if version == 2 {
        let attributes = read(object, ".zattrs").await?;
        add(&mut documents, granule, attributes.into_iter().collect())?;
    }
    if !is_array {
        walk(object, version, &mut documents, granule).await?;
    }
    Ok(hierarchy::nodes(&documents))
}

/// True for a `.zmetadata` of a folder of kerchunk references in Parquet.
pub(super) async fn is_reference_folder(object: &ObjectReader) -> Result<bool> {
    if object.size() > DOCUMENT {
        return Ok(false);
    }
    let bytes = object.read(0..object.size()).await?;
    Ok(json::parse(&bytes).is_ok_and(|document| crate::format::kerchunk::is_parquet(&document)))
}

/// A document that was read.
struct Read {
    key: String,
    document: Result<serde_json::Value, String>,
    object: VersionedObject,
}

async fn read(object: &ObjectReader, key: &str) -> Result<Option<Read>> {
    let location = below(object.location(), key);
    let found = object.objects().read_all(&location, DOCUMENT).await?;
    Ok(found.map(|(bytes, version)| Read {
        key: key.to_owned(),
        document: json::parse(&bytes),
        object: VersionedObject { location, version },
    }))
}

fn add(documents: &mut BTreeMap<String, Document>, granule: &mut IndexedGranule, read: Vec<Read>) -> Result<()> {
    for Read { key, document, object } in read {
        // Each location is read once.
        granule.objects.push(object);
        let number = u32::try_from(granule.objects.len()).map_err(|_| Error::Internal("a store of 2^32 documents".into()))?;
        documents.insert(key, (document, number));
    }
    Ok(())
}

/// Reads the documents of all groups and arrays below the root, level by level. What lies in arrays is not looked at.
async fn walk(object: &ObjectReader, version: u8, documents: &mut BTreeMap<String, Document>, granule: &mut IndexedGranule) -> Result<()> {
    let names: &[&str] = if version == 3 { &["zarr.json"] } else { &[".zarray", ".zgroup", ".zattrs"] };
    let mut groups = vec![String::new()];
    for _ in 0..DEPTH {
        let children = futures::stream::iter(groups).map(|group| async move {
            let location = if group.is_empty() { object.location().to_owned() } else { below(object.location(), &group) };
            let folders = object.objects().folders(&location).await?;
            let path = |name: String| if group.is_empty() { name } else { format!("{group}/{name}") };
            Ok::<_, Error>(folders.into_iter().map(path).collect::<Vec<_>>())
        });
        let children: Vec<String> = children.buffered(PARALLEL).try_concat().await?;
        if children.is_empty() {
            return Ok(());
        }
        if children.len() + documents.len() > NODES {
            let what = format!("more than {NODES} groups and arrays without consolidated metadata");
            return Err(Error::unsupported(object.location(), what));
        }
        let read = futures::stream::iter(children).map(|path| async move {
            let mut found = Vec::new();
            for name in names {
                found.extend(read(object, &format!("{path}/{name}")).await?);
            }
            Ok::<_, Error>((path, found))
        });
        let read: Vec<(String, Vec<Read>)> = read.buffered(PARALLEL).try_collect().await?;
        groups = Vec::new();
        for (path, found) in read {
            let is_array = found
                .iter()
                .any(|r| r.key.ends_with(".zarray") || r.document.as_ref().is_ok_and(|d| d.get("node_type").is_some_and(|t| t == "array")));
            // A document that does not parse may be an array's.
            if !is_array && found.iter().all(|r| r.document.is_ok()) {
                groups.push(path);
            }
            add(documents, granule, found)?;
        }
    }
    Err(Error::unsupported(object.location(), format!("groups more than {DEPTH} folders deep")))
}
