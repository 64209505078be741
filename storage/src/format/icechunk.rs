//! Icechunk repositories, versions 1 and 2: the main branch's snapshot by the crate icechunk-format. Its nodes are Zarr v3 documents;
//! chunks are inline, objects of the repository, or ranges of other files, which must lie under the roots.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};
use icechunk_format::format_constants::{
    CompressionAlgorithmBin, FileTypeBin, ICECHUNK_COMPRESSION_OFFSET, ICECHUNK_FILE_HEADER_LEN, ICECHUNK_FILE_TYPE_OFFSET,
    ICECHUNK_FORMAT_MAGIC_BYTES, ICECHUNK_SPEC_VERSION_OFFSET, SpecVersionBin,
};
use icechunk_format::manifest::{Checksum, ChunkPayload, Manifest, VirtualChunkRef};
use icechunk_format::repo_info::RepoInfo;
use icechunk_format::snapshot::{NodeData, NodeSnapshot, Snapshot};
use serde_json::{Value, json};

use super::IndexedGranule;
use super::kerchunk::{Reference, index as index_references};
use super::zarr::parse_json;
use crate::codec::{Codec, decode_any_length};
use crate::object::{ObjectReader, below};
use crate::{Error, Result};

/// Largest file of metadata, bytes as stored and decompressed.
const LARGEST: u64 = 256 << 20;
/// Chunk references of one array.
const CHUNKS: usize = 1 << 26;
/// Manifests read at once.
const PARALLEL: usize = 8;

/// True for the root documents of repositories.
pub(super) fn is_root(document: &str) -> bool {
    matches!(document, "repo" | "refs/branch.main/ref.json")
}

/// Indexes the repository whose root document is `object`.
pub(super) async fn index(object: &ObjectReader) -> Result<IndexedGranule> {
    let bad = |what: String| Error::data(object.location(), what);
    let (id, containers) = match object.document() {
        Some("repo") => {
            let (_, repo) = unpack(object.location(), &object.read(0..object.size()).await?, FileTypeBin::RepoInfo)?;
            guarded(|| {
                let repo = RepoInfo::from_buffer(repo).map_err(|e| e.to_string())?;
                let id = repo.resolve_branch("main").map_err(|e| e.to_string())?;
                // Where the configuration is of another form, only names of containers cannot be looked up.
                let configuration: Option<Value> = repo.config().unwrap_or_default();
                Ok((id.to_string(), configuration.unwrap_or_default()))
            })
            .map_err(|what| bad(format!("repo: {what}")))?
        }
        _ => {
            let reference = parse_json(&object.read(0..object.size()).await?).map_err(&bad)?;
            let id = reference.get("snapshot").and_then(Value::as_str).map(str::to_owned);
            (id.ok_or_else(|| bad("the branch main names no snapshot".into()))?, Value::Null)
        }
    };
    let (version, snapshot) = file(object, "snapshots", &id, FileTypeBin::Snapshot).await?;
    let nodes: Vec<NodeSnapshot> = guarded(|| {
        let snapshot = Snapshot::from_buffer(version, snapshot).map_err(|e| e.to_string())?;
        snapshot.iter().collect::<std::result::Result<_, _>>().map_err(|e| e.to_string())
    })
    .map_err(|what| bad(format!("snapshot {id}: {what}")))?;
    let mut references = BTreeMap::new();
    for node in nodes {
        let path = node.path.to_string().trim_matches('/').to_owned();
        let key = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") };
        let mut document = parse_json(&node.user_data).map_err(|why| bad(format!("the document of /{path} is {why}")))?;
        let NodeData::Array { manifests, .. } = &node.node_data else {
            references.insert(key("zarr.json"), Reference::Inline(document.to_string().into()));
            continue;
        };
        // Chunks are known by their coordinates; these are written as keys in one way.
        if let Some(document) = document.as_object_mut() {
            document.insert("chunk_key_encoding".into(), json!({"name": "default", "configuration": {"separator": "/"}}));
        }
        references.insert(key("zarr.json"), Reference::Inline(document.to_string().into()));
        let ids: Vec<String> = manifests.iter().map(|m| m.object_id.to_string()).collect();
        let read = futures::stream::iter(ids).map(|id| async move {
            let (_, manifest) = file(object, "manifests", &id, FileTypeBin::Manifest).await?;
            Ok::<_, Error>((id, manifest))
        });
        let read: Vec<(String, Vec<u8>)> = read.buffered(PARALLEL).try_collect().await?;
        for (id, manifest) in read {
            let chunks = guarded(|| chunks(manifest, &node, &containers));
            for (at, reference) in chunks.map_err(|what| bad(format!("manifest {id} of /{path}: {what}")))? {
                let at: Vec<String> = std::iter::once("c".into()).chain(at.iter().map(u32::to_string)).collect();
                references.insert(key(&at.join("/")), reference);
            }
        }
    }
    index_references(object, "icechunk", references).await
}

/// The chunks of one array in a manifest, by their coordinates.
fn chunks(manifest: Vec<u8>, node: &NodeSnapshot, configuration: &Value) -> std::result::Result<Vec<(Vec<u32>, Reference)>, String> {
    let manifest = Arc::new(Manifest::from_buffer(manifest).map_err(|e| e.to_string())?);
    let mut found = Vec::new();
    for chunk in manifest.iter(node.id.clone()).map_err(|e| e.to_string())? {
        let (at, payload) = chunk.map_err(|e| e.to_string())?;
        let reference = match payload {
            ChunkPayload::Inline(bytes) => Reference::Inline(bytes),
            ChunkPayload::Ref(chunk) if chunk.offset == 0 => Reference::Key(format!("chunks/{}", chunk.id)),
            ChunkPayload::Ref(_) => return Err("chunks that share an object".into()),
            ChunkPayload::Virtual(chunk) => virtual_chunk(&chunk, configuration)?,
            other => return Err(format!("a kind of chunk that is not known: {other:?}")),
        };
        found.push((at.0, reference));
        if found.len() > CHUNKS {
            return Err(format!("more than {CHUNKS} chunks"));
        }
    }
    Ok(found)
}

/// A range of a file outside of the repository. `configuration` tells what names of containers stand for.
fn virtual_chunk(chunk: &VirtualChunkRef, configuration: &Value) -> std::result::Result<Reference, String> {
    let location = match chunk.location.parse_vcc() {
        None => chunk.location.url().to_owned(),
        Some((name, path)) => {
            let containers = configuration.get("virtual_chunk_containers").and_then(Value::as_object);
            let named = containers.into_iter().flatten().map(|(_, c)| c).find(|c| c.get("name").and_then(Value::as_str) == Some(name));
            let prefix = named.and_then(|c| c.get("url_prefix")).and_then(Value::as_str);
            format!("{}{path}", prefix.ok_or_else(|| format!("virtual chunks in a container {name} that is not described"))?)
        }
    };
    let newest = match &chunk.checksum {
        Some(Checksum::LastModified(seconds)) => Some(i64::from(seconds.0)),
        _ => None,
    };
    Ok(Reference::File { name: location, range: Some((chunk.offset, chunk.length)), newest })
}

/// A file of the repository, unpacked.
async fn file(object: &ObjectReader, folder: &str, id: &str, kind: FileTypeBin) -> Result<(SpecVersionBin, Vec<u8>)> {
    let plain = !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric());
    if !plain {
        return Err(Error::data(object.location(), format!("{folder}: {id:?} is no name of a file")));
    }
    let location = below(object.location(), &format!("{folder}/{id}"));
    match object.objects().read_all(&location, LARGEST).await? {
        Some((bytes, _)) => unpack(&location, &bytes, kind),
        None => Err(Error::data(object.location(), format!("{folder}/{id} is not there"))),
    }
}

/// Checks the header of a file and decompresses what follows.
fn unpack(location: &str, bytes: &[u8], kind: FileTypeBin) -> Result<(SpecVersionBin, Vec<u8>)> {
    let bad = |what: String| Error::data(location, format!("Icechunk file: {what}"));
    let (Some(header), Some(body)) = (bytes.get(..ICECHUNK_FILE_HEADER_LEN), bytes.get(ICECHUNK_FILE_HEADER_LEN..)) else {
        return Err(bad(format!("{} bytes are no header", bytes.len())));
    };
    let byte = |at: usize| header.get(at).copied().unwrap_or_default();
    if !header.starts_with(ICECHUNK_FORMAT_MAGIC_BYTES) {
        return Err(bad("its first bytes are others".into()));
    }
    let number = byte(ICECHUNK_SPEC_VERSION_OFFSET);
    let version = SpecVersionBin::try_from(number).map_err(|_| Error::unsupported(location, format!("Icechunk version {number}")))?;
    if FileTypeBin::try_from(byte(ICECHUNK_FILE_TYPE_OFFSET)) != Ok(kind) {
        return Err(bad(format!("kind {}, expected {kind:?}", byte(ICECHUNK_FILE_TYPE_OFFSET))));
    }
    match CompressionAlgorithmBin::try_from(byte(ICECHUNK_COMPRESSION_OFFSET)) {
        Ok(CompressionAlgorithmBin::None) => Ok((version, body.to_vec())),
        Ok(CompressionAlgorithmBin::Zstd) => {
            let body = decode_any_length(&[Codec::Zstd], 0, body, LARGEST as usize).map_err(|e| bad(e.to_string()))?;
            Ok((version, body))
        }
        Err(_) => Err(Error::unsupported(location, format!("Icechunk compression {}", byte(ICECHUNK_COMPRESSION_OFFSET)))),
    }
}

/// Runs `f`; a panic in it (icechunk-format on bytes that it did not expect) becomes a reason.
fn guarded<T>(f: impl FnOnce() -> std::result::Result<T, String>) -> std::result::Result<T, String> {
    catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|_| Err("it cannot be read".into()))
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use serde_json::Value;

    use crate::Error;
    use crate::inspect::{InspectOptions, inspect};
    use crate::object::Objects;

    fn corpus(file: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/corpus/icechunk").join(file)
    }

    fn copy(from: &Path, to: &Path) {
        std::fs::create_dir_all(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap().map(|e| e.unwrap()) {
            match entry.path().is_dir() {
                true => copy(&entry.path(), &to.join(entry.file_name())),
                false => drop(std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap()),
            }
        }
    }

    #[tokio::test]
    async fn repositories_are_read_as_icechunk_reads_them() {
        let truth: Value = serde_json::from_slice(&std::fs::read(corpus("truth.json")).unwrap()).unwrap();
        for repository in ["v1", "v2"] {
            let folder = tempfile::tempdir().unwrap();
            // Virtual chunks name their file absolutely: where the script put it.
            let store = folder.path().join("r");
            copy(&corpus(repository), &store);
            for (path, want) in truth.as_object().unwrap() {
                let at: Vec<Vec<u64>> = serde_json::from_value(want["at"].clone()).unwrap();
                let options = InspectOptions { array: Some(path.clone()), at, raw: true, stats: false };
                let found = inspect(&Objects::anywhere(), store.to_str().unwrap(), options)
                    .await
                    .unwrap_or_else(|e| panic!("{repository} {path}: {e}"));
                assert_eq!(found.format, "icechunk");
                let got: Vec<Value> = found.arrays[0].values_at.iter().map(|v| v.1.clone()).collect();
                assert_eq!(Value::Array(got), want["values"], "{repository} {path}");
            }
            let refused = inspect(&Objects::anywhere(), store.to_str().unwrap(), InspectOptions::default()).await.unwrap().refused;
            assert!(refused.iter().any(|r| r.path == "/virtual" && r.reason.contains("no such file")), "{refused:?}");
            // A chunk that was lost is an error, not a fill value.
            std::fs::remove_dir_all(store.join("chunks")).unwrap();
            let options = InspectOptions { array: Some("/group/big".into()), stats: true, ..InspectOptions::default() };
            assert!(inspect(&Objects::anywhere(), store.to_str().unwrap(), options).await.is_err());
        }
    }

    #[tokio::test]
    async fn damaged_repositories_are_errors() {
        let mut random = 7u64;
        for repository in ["v1", "v2"] {
            let folder = tempfile::tempdir().unwrap();
            let store = folder.path().join("r");
            copy(&corpus(repository), &store);
            let mut files = Vec::new();
            for part in ["snapshots", "manifests", "refs/branch.main", ""] {
                let entries = std::fs::read_dir(store.join(part)).into_iter().flatten().map(|e| e.unwrap().path());
                files.extend(entries.filter(|p| p.is_file()));
            }
            for file in files {
                let whole = std::fs::read(&file).unwrap();
                for i in 0..12 {
                    let mut bytes = whole.clone();
                    random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    let at = (random >> 33) as usize % bytes.len();
                    if i % 3 == 0 {
                        bytes.truncate(at)
                    } else {
                        bytes[at] ^= (random >> 20) as u8 | 1
                    }
                    std::fs::write(&file, &bytes).unwrap();
                    let options = InspectOptions { stats: true, ..InspectOptions::default() };
                    let result = inspect(&Objects::anywhere(), store.to_str().unwrap(), options).await;
                    assert!(!matches!(result, Err(Error::Internal(_))), "{file:?}: {result:?}");
                }
                std::fs::write(&file, &whole).unwrap();
            }
        }
    }
}
