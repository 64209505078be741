//! Async: chunks that are objects of their own, or lie in shards. No such object: never written. What the cache holds is
//! used as long as the object is the one that was decoded.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};

use super::TileMetrics;
use super::cache::{ChunkCache, Decoded, ShardIndex};
use super::chunk::name;
use super::fetch::{ChunkBytes, Place};
use super::plan::Part;
use crate::array::Shard;
use crate::catalog::GranuleId;
use crate::object::{ObjectVersion, Objects, below};
use crate::{Error, Result};

/// Objects under way at once for one tile.
const PARALLEL: usize = 32;
/// Largest object that is read as one chunk, bytes. Decoded, no chunk has more than 1 GiB.
const LARGEST: u64 = (1 << 30) + (1 << 26);

/// The objects that a tile needs.
#[derive(Debug, Default)]
pub(super) struct WantedKeys(BTreeMap<(GranuleId, String), WantedKey>);

/// One object, and the chunks that are wanted of it.
#[derive(Debug)]
struct WantedKey {
    location: String,
    /// The array in messages.
    name: String,
    shard: Option<Shard>,
    must_exist: bool,
    /// Its key follows from a rule.
    derived: bool,
    chunks: Vec<WantedChunk>,
}

#[derive(Debug)]
struct WantedChunk {
    place: Place,
    /// Its number in the shard.
    inner: u64,
    decoded: Option<Decoded>,
}

impl WantedKeys {
    /// Wants a chunk; `decoded`: what the cache holds of it.
    pub(super) fn add(&mut self, part: &Part, key: &str, inner: Option<u64>, decoded: Option<Decoded>, place: Place) {
        let granule = &part.source.granule;
        let of_key = self.0.entry((granule.id, key.into())).or_insert_with(|| WantedKey {
            location: below(&granule.location, key),
            name: name(granule, part.source.metadata()),
            shard: part.keys.as_ref().and_then(|keys| keys.shard.clone()),
            must_exist: part.keys.as_ref().is_none_or(|keys| keys.must_exist),
            derived: part.keys.is_some(),
            chunks: Vec::new(),
        });
        of_key.chunks.push(WantedChunk { place, inner: inner.unwrap_or(0), decoded });
    }

    /// Reads them all, several at once.
    pub(super) async fn read(
        self,
        objects: &Objects,
        cache: Option<&ChunkCache>,
        metrics: &mut TileMetrics,
    ) -> Result<Vec<(Place, ChunkBytes)>> {
        let read = futures::stream::iter(self.0.into_values().map(|wanted| async move {
            let (name, location, must_exist, derived) = (wanted.name.clone(), wanted.location.clone(), wanted.must_exist, wanted.derived);
            match wanted.read(objects, cache).await {
                Err(Error::Data { object, range, what }) => Err(Error::Data { object: name, range, what: format!("{object}: {what}") }),
                Ok(read) if must_exist && read.iter().any(|(_, bytes)| matches!(bytes, ChunkBytes::Missing)) => {
                    if !derived {
                        return Err(Error::NotFound(format!("{name}: its chunk {location} is gone")));
                    }
                    let feature = format!("fill value of texts (chunks at {location} were never written)");
                    Err(Error::unsupported(name, feature))
                }
                done => done,
            }
        }));
        let read: Vec<(Place, ChunkBytes)> = read.buffer_unordered(PARALLEL).try_concat().await?;
        for (_, bytes) in &read {
            match bytes {
                ChunkBytes::Decoded(_) => metrics.chunks_cached += 1,
                ChunkBytes::Stored { bytes, .. } => {
                    metrics.chunks_read += 1;
                    metrics.bytes_read += bytes.len() as u64;
                }
                ChunkBytes::Missing => (),
            }
        }
        Ok(read)
    }
}

impl WantedKey {
    async fn read(self, objects: &Objects, cache: Option<&ChunkCache>) -> Result<Vec<(Place, ChunkBytes)>> {
        if self.shard.is_none() && self.chunks.iter().all(|c| c.decoded.is_none()) {
            return self.read_whole(objects).await;
        }
        let Some(version) = objects.version_if_there(&self.location).await? else {
            return Ok(self.chunks.iter().map(|c| (c.place, ChunkBytes::Missing)).collect());
        };
        let known = |c: &WantedChunk| c.decoded.as_ref().filter(|d| d.version.as_deref() == Some(&version)).map(|d| d.bytes.clone());
        let decoded: Vec<Option<Bytes>> = self.chunks.iter().map(known).collect();
        if let Some(all) = decoded.iter().cloned().collect::<Option<Vec<Bytes>>>() {
            return Ok(self.chunks.iter().zip(all).map(|(c, bytes)| (c.place, ChunkBytes::Decoded(bytes))).collect());
        }
        let Some(shard) = &self.shard else { return self.read_whole(objects).await };
        let version = Arc::new(version);
        let index = self.index(objects, cache, shard, &version).await?;
        let (mut found, mut ranges, mut places) = (Vec::with_capacity(self.chunks.len()), Vec::new(), Vec::new());
        for (chunk, decoded) in self.chunks.iter().zip(decoded) {
            let range = index.ranges.get(chunk.inner as usize).cloned().flatten();
            match (decoded, range) {
                (Some(bytes), _) => found.push((chunk.place, ChunkBytes::Decoded(bytes))),
                (None, None) => found.push((chunk.place, ChunkBytes::Missing)),
                (None, Some(range)) => {
                    ranges.push(range);
                    places.push(chunk.place);
                }
            }
        }
        let read = objects.read_ranges(&self.location, &version, &ranges).await?;
        found.extend(places.into_iter().zip(read).map(|(place, bytes)| (place, stored(bytes, &version))));
        Ok(found)
    }

    /// All chunks are the object.
    async fn read_whole(&self, objects: &Objects) -> Result<Vec<(Place, ChunkBytes)>> {
        let bytes = match objects.read_all(&self.location, LARGEST).await? {
            Some((bytes, version)) => stored(bytes, &Arc::new(version)),
            None => ChunkBytes::Missing,
        };
        Ok(self.chunks.iter().map(|c| (c.place, bytes.clone())).collect())
    }

    /// Where the chunks of this state of the shard lie.
    async fn index(
        &self,
        objects: &Objects,
        cache: Option<&ChunkCache>,
        shard: &Shard,
        version: &Arc<ObjectVersion>,
    ) -> Result<ShardIndex> {
        if let Some(known) = cache.and_then(|cache| cache.shard(&self.location, version)) {
            return Ok(known);
        }
        let bad = |what: String| Error::data(self.location.as_str(), what);
        let range = shard.index_range(version.size).map_err(bad)?;
        let read = objects.read_ranges(&self.location, version, std::slice::from_ref(&range)).await?;
        let ranges = shard.parse(read.first().map_or(&[], |b| b), version.size);
        let ranges = ranges.map_err(|what| Error::data_at(self.location.as_str(), range, what))?;
        let index = ShardIndex { version: Arc::clone(version), ranges: Arc::new(ranges) };
        if let Some(cache) = cache {
            cache.insert_shard(self.location.clone(), index.clone());
        }
        Ok(index)
    }
}

fn stored(bytes: Bytes, version: &Arc<ObjectVersion>) -> ChunkBytes {
    ChunkBytes::Stored { bytes, skip: 0, range: None, version: Some(Arc::clone(version)) }
}
