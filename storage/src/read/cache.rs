//! The cache of decoded chunks: native byte order, before any convention. Bounded by bytes.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};

use crate::catalog::GranuleId;
use crate::object::ObjectVersion;
use crate::{Error, Result};

/// Which chunk of which array of which granule. Granule numbers are never used twice, so entries never go stale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct ChunkKey {
    pub(super) granule: GranuleId,
    pub(super) array: u32,
    /// C-order number in the array's chunk grid.
    pub(super) chunk: u64,
}

/// What an entry takes besides its bytes: key, links, allocation.
const ENTRY: u64 = 128;

/// A decoded chunk, and for a chunk that is an object of its own (or in a shard) the state of it that was decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Decoded {
    pub(super) bytes: Bytes,
    pub(super) version: Option<Arc<ObjectVersion>>,
}

/// Where the chunks of one shard lie, by their number in it; `None` for those never written.
#[derive(Debug, Clone)]
pub(super) struct ShardIndex {
    /// The state of the shard.
    pub(super) version: Arc<ObjectVersion>,
    pub(super) ranges: Arc<Vec<Option<Range<u64>>>>,
}

#[derive(Debug, Clone)]
struct ByBytes;

impl Weighter<ChunkKey, Decoded> for ByBytes {
    fn weight(&self, _: &ChunkKey, decoded: &Decoded) -> u64 {
        decoded.bytes.len() as u64 + ENTRY
    }
}

impl Weighter<String, ShardIndex> for ByBytes {
    fn weight(&self, location: &String, index: &ShardIndex) -> u64 {
        (location.len() + index.ranges.len() * size_of::<Option<Range<u64>>>()) as u64 + ENTRY
    }
}

/// Bytes of shard indexes kept.
const SHARD_INDEXES: u64 = 64 << 20;

/// Decoded chunks. Two threads that need the same chunk at once may both decode it.
#[derive(Debug)]
pub(super) struct ChunkCache {
    cache: Cache<ChunkKey, Decoded, ByBytes>,
    largest: u64,
    /// By the shard's location.
    shards: Cache<String, ShardIndex, ByBytes>,
}

impl ChunkCache {
    /// A cache of at most `capacity` bytes. Chunks larger than a quarter of it are not kept.
    pub(super) fn new(capacity: u64) -> Result<ChunkCache> {
        let items = usize::try_from(capacity / (64 * 1024)).unwrap_or(usize::MAX).clamp(16, 1 << 20);
        // Four parts: each has room for the largest chunk that is kept.
        let options = OptionsBuilder::new()
            .estimated_items_capacity(items)
            .weight_capacity(capacity)
            .shards(4)
            .build()
            .map_err(|e| Error::Internal(format!("options of the chunk cache: {e:?}")))?;
        let cache = Cache::with_options(options, ByBytes, DefaultHashBuilder::default(), DefaultLifecycle::default());
        let shards = Cache::with_weighter(1024, SHARD_INDEXES.min(capacity / 4), ByBytes);
        Ok(ChunkCache { cache, largest: capacity / 4, shards })
    }

    /// A decoded chunk.
    pub(super) fn get(&self, key: &ChunkKey) -> Option<Decoded> {
        self.cache.get(key)
    }

    /// Keeps a decoded chunk, if it is not too large.
    pub(super) fn insert(&self, key: ChunkKey, bytes: &Bytes, version: Option<Arc<ObjectVersion>>) {
        if bytes.len() as u64 + ENTRY <= self.largest {
            self.cache.insert(key, Decoded { bytes: bytes.clone(), version });
        }
    }

    /// The index of the shard at this location, if it is of this state of it.
    pub(super) fn shard(&self, location: &str, version: &ObjectVersion) -> Option<ShardIndex> {
        self.shards.get(location).filter(|index| *index.version == *version)
    }

    /// Keeps the index of a shard.
    pub(super) fn insert_shard(&self, location: String, index: ShardIndex) {
        self.shards.insert(location, index);
    }

    /// Forgets everything.
    #[cfg(test)]
    pub(super) fn clear(&self) {
        self.cache.clear();
    }

    /// Bytes kept now.
    pub(super) fn used(&self) -> u64 {
        self.cache.weight()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stays_under_its_bound_and_refuses_large_chunks() {
        let cache = ChunkCache::new(1 << 20).unwrap();
        let key = |chunk| ChunkKey { granule: 1, array: 0, chunk };
        for chunk in 0..1000 {
            cache.insert(key(chunk), &Bytes::from(vec![0; 20_000]), None);
            assert!(cache.used() <= 1 << 20);
        }
        assert!(cache.used() > 1 << 19, "{}", cache.used());
        assert!(cache.get(&key(999)).is_some());
        cache.insert(key(5000), &Bytes::from(vec![0; (1 << 18) - 128]), None);
        assert!(cache.get(&key(5000)).is_some());
        cache.insert(key(5001), &Bytes::from(vec![0; 1 << 18]), None);
        assert!(cache.get(&key(5001)).is_none());
        let off = ChunkCache::new(0).unwrap();
        off.insert(key(1), &Bytes::from(vec![0; 10]), None);
        assert_eq!((off.get(&key(1)), off.used()), (None, 0));
    }
}
