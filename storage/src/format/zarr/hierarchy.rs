//! The metadata documents of a store to its groups and arrays: consolidated in one document, or one by one.

use std::collections::BTreeMap;

use serde_json::Value;

use super::attributes;
use super::document::{self, ArrayDocument};
use crate::array::Attributes;

/// What a document describes.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Found {
    /// An array, or why it is not read.
    Array(Box<Result<ArrayDocument, String>>),
    /// A group and its attributes.
    Group(Attributes),
}

/// A group or array of a store.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    /// From the root, without `/` at its ends; empty for the root.
    pub(super) path: String,
    pub(super) found: Found,
    /// Number of the object that describes it.
    pub(super) document: u32,
}

/// A document, and the number of its object.
pub(super) type Document = (Result<Value, String>, u32);

/// What a `zarr.json` describes.
pub(super) fn of_v3(document: &Value) -> Found {
    let array = |found| Found::Array(Box::new(found));
    if document.get("zarr_format").is_some_and(|v| v.as_u64() != Some(3)) {
        return array(Err(format!("zarr_format {} in a zarr.json", document["zarr_format"])));
    }
    match document.get("node_type").and_then(Value::as_str) {
        Some("group") => Found::Group(attributes::attributes(document.get("attributes").unwrap_or(&Value::Null), &[])),
        Some("array") => array(document::v3(document)),
        other => array(Err(format!("node type {other:?}"))),
    }
}

/// The nodes that a consolidated v3 document describes, the root among them; `None` for a document of the root alone.
pub(super) fn consolidated_v3(root: &Value) -> Option<Vec<Node>> {
    let members = root.get("consolidated_metadata")?.get("metadata")?.as_object()?;
    let members =
        members.iter().map(|(path, document)| Node { path: path.trim_matches('/').to_owned(), found: of_v3(document), document: 0 });
    Some(std::iter::once(Node { path: String::new(), found: of_v3(root), document: 0 }).chain(members).collect())
}

/// The documents in a `.zmetadata`, by key.
pub(super) fn consolidated_v2(document: &Value) -> Result<BTreeMap<String, Document>, String> {
    let members = document.get("metadata").and_then(Value::as_object).ok_or(".zmetadata without metadata")?;
    Ok(members.iter().map(|(key, document)| (key.clone(), (Ok(document.clone()), 0))).collect())
}

/// True for the key of a metadata document.
pub(super) fn is_document(key: &str) -> bool {
    matches!(key.rsplit('/').next(), Some("zarr.json" | ".zarray" | ".zgroup" | ".zattrs"))
}

/// The nodes of documents by key: `a/zarr.json`, or `a/.zarray` (`.zgroup`) with `a/.zattrs`. Where both versions describe a node,
/// v3 counts.
pub(super) fn nodes(documents: &BTreeMap<String, Document>) -> Vec<Node> {
    let mut by_path: BTreeMap<&str, Vec<(&str, &Document)>> = BTreeMap::new();
    for (key, document) in documents {
        let (path, name) = key.rsplit_once('/').unwrap_or(("", key));
        by_path.entry(path.trim_matches('/')).or_default().push((name, document));
    }
    let mut nodes = Vec::new();
    for (path, documents) in by_path {
        let get = |name: &str| documents.iter().find(|(n, _)| *n == name).map(|(_, d)| *d);
        let failed = |name: &str, why: &str| Found::Array(Box::new(Err(format!("its {name} is {why}"))));
        let attrs = match get(".zattrs") {
            Some((Ok(value), _)) => Ok(value),
            Some((Err(why), _)) => Err(why),
            None => Ok(&Value::Null),
        };
        let (found, document) = match (get("zarr.json"), get(".zarray"), get(".zgroup"), attrs) {
            (Some((Ok(value), n)), ..) => (of_v3(value), *n),
            (Some((Err(why), n)), ..) => (failed("zarr.json", why), *n),
            (_, Some((Err(why), n)), ..) => (failed(".zarray", why), *n),
            (_, Some((_, n)), _, Err(why)) => (failed(".zattrs", why), *n),
            (_, Some((Ok(value), n)), _, Ok(attrs)) => (Found::Array(Box::new(document::v2(value, attrs))), *n),
            (_, _, group, attrs) => {
                let attrs = attrs.map(|a| attributes::attributes(a, &["_NCZARR_ATTR"])).unwrap_or_default();
                (Found::Group(attrs), group.map_or(0, |g| g.1))
            }
        };
        nodes.push(Node { path: path.to_owned(), found, document });
    }
    nodes
}
