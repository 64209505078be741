//! A store that goes with the process.

use std::collections::BTreeMap;

use parking_lot::RwLock;

use super::{Batch, CatalogStore, Visit};
use crate::Result;

/// Keeps records in memory: `--data-dir :memory:`, embedded servers, tests.
#[derive(Debug, Default)]
pub struct MemoryStore {
    records: RwLock<BTreeMap<Vec<u8>, Vec<u8>>>,
}

impl CatalogStore for MemoryStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        Ok(self.records.read().get(key).cloned())
    }

    fn scan(&self, prefix: &[u8], visit: Visit<'_>) -> Result<()> {
        let records = self.records.read();
        records.range(prefix.to_vec()..).take_while(|(key, _)| key.starts_with(prefix)).try_for_each(|(key, value)| visit(key, value))
    }

    fn commit(&self, batch: Batch) -> Result<()> {
        let mut records = self.records.write();
        for (key, value) in batch.into_changes() {
            match value {
                Some(value) => records.insert(key, value),
                None => records.remove(&key),
            };
        }
        Ok(())
    }
}
