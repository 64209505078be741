//! Groups and arrays of a store to a granule: paths, dimensions, columns of records, chunk references.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::document::ArrayDocument;
use super::flat::Flat;
use super::hierarchy::{self, Found, Node};
use super::{data_type, folder};
use crate::array::{ArrayMetadata, ChunkGrid, ChunkKeys, ChunkManifest, EdgeChunks};
use crate::format::{IndexedArray, IndexedGranule, Refused};
use crate::object::ObjectReader;
use crate::{Error, Result};

/// Indexes a store in a folder: chunks are objects of their own.
pub(super) async fn index_folder(object: &ObjectReader) -> Result<IndexedGranule> {
    let mut granule = IndexedGranule { format: "zarr".into(), ..IndexedGranule::default() };
    let nodes = folder::nodes(object, &mut granule).await?;
    let mut names = Names::default();
    for node in nodes {
        if let Some((path, array)) = names.array(&mut granule, &node) {
            let keys = ChunkKeys {
                prefix: node.path.clone(),
                encoding: array.keys,
                counts: ChunkGrid::new(&array.shape, &array.chunk).counts(),
                shard: array.shard.as_ref().map(|(_, shard)| shard.clone()),
                document: node.document,
                must_exist: false,
            };
            let columns = columns(&mut granule, &mut names, &path, &array);
            for (metadata, must_exist) in columns {
                let keys = ChunkKeys { must_exist, ..keys.clone() };
                granule.arrays.push(IndexedArray { metadata, manifest: ChunkManifest { chunks: Vec::new(), keys: Some(keys) } });
            }
        }
    }
    Ok(granule)
}

/// Indexes a store of keys whose places are known; `granule` has the objects that the places name.
pub(in crate::format) async fn index_flat_into(object: &ObjectReader, mut granule: IndexedGranule, flat: Flat) -> Result<IndexedGranule> {
    let documents = flat.documents(object, &granule).await?;
    let mut names = Names::default();
    // An array of which some chunk cannot be read would have holes: refused, by the reason of its first.
    let mut unread: HashMap<&str, &str> = HashMap::new();
    for (key, why) in &flat.refused {
        for (end, _) in key.match_indices('/') {
            unread.entry(key.get(..end).unwrap_or_default()).or_insert(why);
        }
    }
    for node in hierarchy::nodes(&documents) {
        let Some((path, array)) = names.array(&mut granule, &node) else { continue };
        if let Some(why) = unread.get(node.path.as_str()) {
            granule.refused.push(Refused { path, reason: format!("some of its chunks cannot be read: {why}") });
            continue;
        }
        let mut deflated = Vec::new();
        for (mut metadata, must_exist) in columns(&mut granule, &mut names, &path, &array) {
            let manifest = flat.manifest(object, &granule, &node.path, &array, &mut metadata.codecs).await;
            // A chunk whose place is outside of its object damages its array alone.
            let manifest = match manifest {
                Ok(manifest) => manifest,
                Err(error @ Error::Data { .. }) => Err(error.to_string()),
                Err(error) => return Err(error),
            };
            match manifest {
                Ok(manifest) if must_exist && manifest.chunks.contains(&crate::array::ChunkRef::Missing) => {
                    granule.refused.push(Refused { path: metadata.path, reason: format!("unsupported fill value {}", array.fill) });
                }
                Ok(manifest) => deflated.push(IndexedArray { metadata, manifest }),
                Err(reason) => granule.refused.push(Refused { path: metadata.path, reason }),
            }
        }
        granule.arrays.append(&mut deflated);
    }
    Ok(granule)
}

/// Names given so far.
#[derive(Debug, Default)]
struct Names {
    paths: HashSet<String>,
    /// Dimensions without names, by length: how many of each an array has had at most, and their numbers.
    unnamed: HashMap<u64, Vec<usize>>,
    next: usize,
}

impl Names {
    /// Puts a group's attributes into the granule, or gives an array and its path; what is not read is noted.
    fn array(&mut self, granule: &mut IndexedGranule, node: &Node) -> Option<(String, ArrayDocument)> {
        let path = format!("/{}", node.path);
        match &node.found {
            Found::Group(attributes) if node.path.is_empty() => granule.attributes = attributes.clone(),
            Found::Group(attributes) => granule.groups.push((path, attributes.clone())),
            Found::Array(array) => match array.as_ref() {
                Ok(array) if self.paths.insert(path.clone()) => return Some((path, array.clone())),
                Ok(_) => granule.refused.push(Refused { path, reason: "a second array of this name".into() }),
                Err(reason) => granule.refused.push(Refused { path, reason: format!("unsupported {reason}") }),
            },
        }
        None
    }

    /// Names of an array's dimensions; equal lengths without a name share one among arrays, not within one.
    fn dimensions(&mut self, array: &ArrayDocument) -> Vec<String> {
        let mut used: BTreeMap<u64, usize> = BTreeMap::new();
        let named = array.dimensions.iter().zip(&array.shape);
        named
            .map(|(name, &length)| match name {
                Some(name) => name.clone(),
                None => {
                    let nth = used.entry(length).or_default();
                    let known = self.unnamed.entry(length).or_default();
                    if known.len() <= *nth {
                        known.push(self.next);
                        self.next += 1;
                    }
                    let number = known.get(*nth).copied().unwrap_or_default();
                    *nth += 1;
                    format!("dim_{number}")
                }
            })
            .collect()
    }
}

/// The arrays that an array is: one, or one for each number of a record. True beside one whose chunks must all be there, because
/// its fill value is not one that can be given.
fn columns(granule: &mut IndexedGranule, names: &mut Names, path: &str, array: &ArrayDocument) -> Vec<(ArrayMetadata, bool)> {
    let dimensions = names.dimensions(array);
    let mut refuse = |path: String, reason: String| granule.refused.push(Refused { path, reason: format!("unsupported {reason}") });
    let below = |suffix: &str| if path == "/" { format!("/{}", suffix.trim_start_matches('.')) } else { format!("{path}{suffix}") };
    for (member, why) in &array.cells.refused {
        refuse(below(&format!(".{member}")), why.clone());
    }
    let mut found = Vec::new();
    for column in &array.cells.columns {
        let path = below(&column.suffix);
        let (fill_value, must_exist) = match data_type::fill(&array.fill, array.cells.size, column) {
            Ok(fill) => (fill, false),
            Err(_) if column.data_type.is_text() => (None, true),
            Err(why) => {
                refuse(path, why);
                continue;
            }
        };
        let metadata = ArrayMetadata {
            path,
            dimensions: dimensions.clone(),
            shape: array.shape.clone(),
            data_type: column.data_type,
            byte_order: array.order.unwrap_or(column.order),
            chunk_shape: array.chunk.clone(),
            edge: EdgeChunks::Padded,
            codecs: column.codecs.iter().chain(&array.codecs).cloned().collect(),
            fill_value,
            attributes: array.attributes.clone(),
        };
        found.push((metadata, must_exist));
    }
    found
}
