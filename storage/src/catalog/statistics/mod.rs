//! What is known of the values in chunks: lowest, highest, sum and counts, of decoded values. Gathered while chunks are decoded,
//! written in batches beside the hot path, forgotten with the granule; a granule that is read again has another number.
//!
//! Nothing here is needed for an answer: what is not known is read.

mod page;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use serde::{Deserialize, Serialize};

use self::page::Page;
use super::{Batch, CatalogStore, GranuleId, records};
use crate::Result;

/// Chunks a page, as of chunk references.
const PAGE_CHUNKS: u64 = super::pages::PAGE_CHUNKS as u64;
/// Chunks kept in memory, about 100 bytes each; pages that are written already are let go above it.
const IN_MEMORY: usize = 1 << 19;
/// Chunks learnt of after which they are written.
const WRITE_AFTER: usize = 2048;
/// Bytes that all pages may take in the store; above that nothing is learnt any more.
const STORED_BYTES: u64 = 256 << 20;
/// The record of how many they take.
const TOTAL: &[u8] = b"w";

/// Lowest and highest value, as the type holds them exactly.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Extremes {
    /// Of floating-point values. Where one of both is zero, its sign means nothing.
    Float(f64, f64),
    /// Of signed integers and instants.
    Signed(i64, i64),
    /// Of unsigned integers.
    Unsigned(u64, u64),
}

/// What is known of the cells of one chunk, those that lie inside the array.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ChunkStatistics {
    /// Cells with a value.
    pub valid: u64,
    /// Cells without.
    pub missing: u64,
    /// `None` where no cell has a value.
    pub extremes: Option<Extremes>,
    /// Sum of all values.
    pub sum: f64,
    /// Sum of integers, modulo 2^64.
    pub integers: i64,
}

/// A chunk of an array of a granule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChunkOf {
    /// The granule.
    pub granule: GranuleId,
    /// The array in it.
    pub array: u32,
    /// C-order number of the chunk.
    pub chunk: u64,
}

/// Granule, array and page.
type Key = (GranuleId, u32, u32);

/// The statistics of all chunks of a catalog.
pub struct StatisticsStore {
    store: Arc<dyn CatalogStore>,
    inner: Mutex<Inner>,
    /// Held by the one who writes; without it nothing is deleted either.
    writing: Mutex<()>,
}

#[derive(Default)]
struct Inner {
    pages: HashMap<Key, Page>,
    /// Pages that the store does not have as they are.
    changed: HashSet<Key>,
    /// Chunks in all pages.
    held: usize,
    /// Chunks learnt of since the last write.
    fresh: usize,
    /// Bytes in the store, once they are known.
    stored: Option<u64>,
}

impl StatisticsStore {
    /// Those that a store keeps.
    pub fn new(store: Arc<dyn CatalogStore>) -> StatisticsStore {
        StatisticsStore { store, inner: Mutex::default(), writing: Mutex::default() }
    }

    /// What is known of each of these chunks.
    pub fn get(&self, chunks: &[ChunkOf]) -> Vec<Option<ChunkStatistics>> {
        let mut inner = self.inner.lock();
        let known = |chunk: &ChunkOf| {
            let (key, at) = place(chunk)?;
            self.page(&mut inner, key)?.get(&at).copied()
        };
        chunks.iter().map(known).collect()
    }

    /// Notes what was found. True where it is time to [`StatisticsStore::write`] it.
    pub fn note(&self, found: Vec<(ChunkOf, ChunkStatistics)>) -> bool {
        let mut inner = self.inner.lock();
        if self.stored(&mut inner) > STORED_BYTES {
            return false;
        }
        for (chunk, statistics) in found {
            let Some((key, at)) = place(&chunk) else { continue };
            let Some(page) = self.page(&mut inner, key) else { continue };
            if page.insert(at, statistics).is_none() {
                inner.held += 1;
                inner.fresh += 1;
                inner.changed.insert(key);
            }
        }
        inner.fresh >= WRITE_AFTER
    }

    /// The page in memory, loaded where need be; a page that cannot be read counts as empty.
    fn page<'a>(&self, inner: &'a mut MutexGuard<'_, Inner>, key: Key) -> Option<&'a mut Page> {
        if !inner.pages.contains_key(&key) {
            if inner.held > IN_MEMORY {
                let Inner { pages, changed, .. } = &mut **inner;
                pages.retain(|key, _| changed.contains(key));
                inner.held = inner.pages.values().map(Page::len).sum();
            }
            let stored = self.store.get(&records::statistics_key(key)).ok().flatten();
            let page = stored.and_then(|bytes| page::of_bytes(&bytes)).unwrap_or_default();
            // A page without chunks takes memory as well.
            inner.held += page.len() + 1;
            inner.pages.insert(key, page);
        }
        inner.pages.get_mut(&key)
    }

    fn stored(&self, inner: &mut MutexGuard<'_, Inner>) -> u64 {
        *inner.stored.get_or_insert_with(|| {
            let total = self.store.get(TOTAL).ok().flatten();
            total.and_then(|bytes| Some(u64::from_le_bytes(bytes.try_into().ok()?))).unwrap_or(0)
        })
    }

    /// Writes what is not written yet, in one batch.
    pub fn write(&self) -> Result<()> {
        let _writing = self.writing.lock();
        let (pages, mut total) = {
            let mut inner = self.inner.lock();
            let keys = std::mem::take(&mut inner.changed);
            inner.fresh = 0;
            let pages: Vec<(Key, Page)> = keys.into_iter().filter_map(|key| Some((key, inner.pages.get(&key)?.clone()))).collect();
            (pages, self.stored(&mut inner))
        };
        if pages.is_empty() {
            return Ok(());
        }
        let mut batch = Batch::default();
        let mut there: HashMap<GranuleId, bool> = HashMap::new();
        for (key, page) in pages {
            // A granule that was forgotten while its chunks were read.
            let granule = there.entry(key.0).or_insert_with(|| self.store.get(&records::granule_key(key.0)).is_ok_and(|g| g.is_some()));
            if *granule {
                let name = records::statistics_key(key);
                let before = self.store.get(&name)?.map_or(0, |bytes| bytes.len() as u64);
                let bytes = page::to_bytes(&page)?;
                total = total.saturating_sub(before) + bytes.len() as u64;
                batch.put(name, bytes);
            }
        }
        batch.put(TOTAL, total.to_le_bytes());
        self.store.commit(batch)?;
        self.inner.lock().stored = Some(total);
        Ok(())
    }

    /// Adds to a batch that nothing is known of these granules any more. Hold what comes back until the batch is committed.
    pub fn forget<'a>(&'a self, gone: &[GranuleId], batch: &mut Batch) -> Result<MutexGuard<'a, ()>> {
        let writing = self.writing.lock();
        let mut freed = 0;
        for &id in gone {
            self.store.scan(&records::granule_statistics_prefix(id), &mut |key, value| {
                freed += value.len() as u64;
                batch.delete(key);
                Ok(())
            })?;
        }
        let mut inner = self.inner.lock();
        let ids: HashSet<GranuleId> = gone.iter().copied().collect();
        inner.pages.retain(|key, _| !ids.contains(&key.0));
        inner.changed.retain(|key| !ids.contains(&key.0));
        inner.held = inner.pages.values().map(|page| page.len() + 1).sum();
        if freed > 0 {
            let total = self.stored(&mut inner).saturating_sub(freed);
            batch.put(TOTAL, total.to_le_bytes());
            inner.stored = Some(total);
        }
        Ok(writing)
    }
}

impl Drop for StatisticsStore {
    fn drop(&mut self) {
        if let Err(error) = self.write() {
            tracing::debug!("statistics of chunks were not written: {error}");
        }
    }
}

/// Page and place in it.
fn place(chunk: &ChunkOf) -> Option<(Key, u16)> {
    let page = u32::try_from(chunk.chunk / PAGE_CHUNKS).ok()?;
    Some(((chunk.granule, chunk.array, page), (chunk.chunk % PAGE_CHUNKS) as u16))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::MemoryStore;

    fn of(granule: u64, chunk: u64) -> ChunkOf {
        ChunkOf { granule, array: 3, chunk }
    }

    fn some(n: i64) -> ChunkStatistics {
        ChunkStatistics { valid: 7, missing: 2, extremes: Some(Extremes::Signed(n, i64::MAX)), sum: n as f64, integers: n }
    }

    fn with_granules(ids: &[u64]) -> Arc<dyn CatalogStore> {
        let store: Arc<dyn CatalogStore> = Arc::new(MemoryStore::default());
        let mut batch = Batch::default();
        ids.iter().for_each(|id| batch.put(records::granule_key(*id), [1]));
        store.commit(batch).unwrap();
        store
    }

    #[test]
    fn what_is_noted_is_there_again_after_it_was_written() {
        let store = with_granules(&[1, 2]);
        let known = StatisticsStore::new(store.clone());
        assert!(!known.note(vec![(of(1, 0), some(5)), (of(1, 4097), some(6)), (of(2, 9), some(7))]));
        drop(known);
        let known = StatisticsStore::new(store.clone());
        assert_eq!(known.get(&[of(1, 0), of(1, 1), of(1, 4097), of(2, 9)]), [Some(some(5)), None, Some(some(6)), Some(some(7))]);
        // A forgotten granule is forgotten in memory and in the store, and is not written any more.
        let mut batch = Batch::default();
        drop(known.forget(&[1], &mut batch).unwrap());
        batch.delete(records::granule_key(1));
        store.commit(batch).unwrap();
        assert_eq!(known.get(&[of(1, 0), of(2, 9)]), [None, Some(some(7))]);
        known.note(vec![(of(1, 0), some(5))]);
        known.write().unwrap();
        let mut keys = 0;
        store
            .scan(b"v/", &mut |_, _| {
                keys += 1;
                Ok(())
            })
            .unwrap();
        assert_eq!(keys, 1);
        let total = |store: &dyn CatalogStore| u64::from_le_bytes(store.get(TOTAL).unwrap().unwrap().try_into().unwrap());
        let page = store.get(&records::statistics_key((2, 3, 0))).unwrap().unwrap();
        assert_eq!(total(store.as_ref()), page.len() as u64);
    }

    #[test]
    fn memory_and_store_are_bounded() {
        let store = with_granules(&[1]);
        let known = StatisticsStore::new(store.clone());
        for page in 0..200u64 {
            let found = (0..PAGE_CHUNKS).map(|i| (of(1, page * PAGE_CHUNKS + i), some(i as i64))).collect();
            if known.note(found) {
                known.write().unwrap();
            }
        }
        assert!(known.inner.lock().held <= IN_MEMORY + PAGE_CHUNKS as usize + 200, "{}", known.inner.lock().held);
        assert_eq!(known.get(&[of(1, 5)]), [Some(some(5))]);
        let mut batch = Batch::default();
        batch.put(TOTAL, (STORED_BYTES + 1).to_le_bytes());
        store.commit(batch).unwrap();
        let full = StatisticsStore::new(store);
        full.note(vec![(of(1, 10_000_000), some(1))]);
        assert_eq!(full.get(&[of(1, 10_000_000)]), [None]);
    }
}
