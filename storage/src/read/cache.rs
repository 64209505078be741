//! The cache of decoded chunks: native byte order, before any convention. Bounded by bytes.

use bytes::Bytes;
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};

use crate::catalog::GranuleId;
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

#[derive(Debug, Clone)]
struct ByBytes;

impl Weighter<ChunkKey, Bytes> for ByBytes {
    fn weight(&self, _: &ChunkKey, bytes: &Bytes) -> u64 {
        bytes.len() as u64 + ENTRY
    }
}

/// Decoded chunks. Two threads that need the same chunk at once may both decode it.
#[derive(Debug)]
pub(super) struct ChunkCache {
    cache: Cache<ChunkKey, Bytes, ByBytes>,
    largest: u64,
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
        Ok(ChunkCache { cache, largest: capacity / 4 })
    }

    /// A decoded chunk.
    pub(super) fn get(&self, key: &ChunkKey) -> Option<Bytes> {
        self.cache.get(key)
    }

    /// Keeps a decoded chunk, if it is not too large.
    pub(super) fn insert(&self, key: ChunkKey, bytes: &Bytes) {
        if bytes.len() as u64 + ENTRY <= self.largest {
            self.cache.insert(key, bytes.clone());
        }
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
            cache.insert(key(chunk), &Bytes::from(vec![0; 20_000]));
            assert!(cache.used() <= 1 << 20);
        }
        assert!(cache.used() > 1 << 19, "{}", cache.used());
        assert!(cache.get(&key(999)).is_some());
        cache.insert(key(5000), &Bytes::from(vec![0; (1 << 18) - 128]));
        assert!(cache.get(&key(5000)).is_some());
        cache.insert(key(5001), &Bytes::from(vec![0; 1 << 18]));
        assert!(cache.get(&key(5001)).is_none());
        let off = ChunkCache::new(0).unwrap();
        off.insert(key(1), &Bytes::from(vec![0; 10]));
        assert_eq!((off.get(&key(1)), off.used()), (None, 0));
    }
}
