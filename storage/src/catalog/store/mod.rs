//! Where the catalog's records lie: a small ordered key-value store behind one trait, so that nothing leans on the store chosen.

mod memory;
mod on_disk;

use std::collections::BTreeMap;

pub use memory::MemoryStore;
pub use on_disk::DiskStore;

use crate::Result;

/// Puts and deletes that happen together or not at all; the last word on a key counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    changes: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

impl Batch {
    /// Sets the value of a key.
    pub fn put(&mut self, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.changes.insert(key.into(), Some(value.into()));
    }

    /// Removes a key; one that is not there is no error.
    pub fn delete(&mut self, key: impl Into<Vec<u8>>) {
        self.changes.insert(key.into(), None);
    }

    /// The changes in key order; `None` deletes.
    pub fn into_changes(self) -> impl Iterator<Item = (Vec<u8>, Option<Vec<u8>>)> {
        self.changes.into_iter()
    }
}

/// Is shown a key and its value; an error ends the scan.
pub type Visit<'a> = &'a mut dyn FnMut(&[u8], &[u8]) -> Result<()>;

/// An ordered key-value store.
///
/// To the implementor: `commit` is atomic (a process killed at any time leaves all of a batch or nothing of it) and durable
/// when it returns; reads see whole batches. To the caller: values are opaque bytes, keys are ordered bytewise.
pub trait CatalogStore: Send + Sync {
    /// The value of a key.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>>;

    /// Visits every key that starts with `prefix`, in order, with its value; an error of `visit` ends the scan.
    fn scan(&self, prefix: &[u8], visit: Visit<'_>) -> Result<()>;

    /// Applies a batch.
    fn commit(&self, batch: Batch) -> Result<()>;
}

#[cfg(test)]
mod conformance {
    use super::*;
    use crate::Error;

    fn keys(store: &dyn CatalogStore, prefix: &str) -> Vec<String> {
        let mut found = vec![];
        store
            .scan(prefix.as_bytes(), &mut |key, value| {
                found.push(format!("{}={}", String::from_utf8_lossy(key), String::from_utf8_lossy(value)));
                Ok(())
            })
            .unwrap();
        found
    }

    fn conforms(store: &dyn CatalogStore) {
        assert_eq!(store.get(b"a").unwrap(), None);
        let mut batch = Batch::default();
        for key in ["b/2", "b/1", "c", "b", "b/\u{ff}"] {
            batch.put(key, format!("v{key}"));
        }
        store.commit(batch).unwrap();
        assert_eq!(store.get(b"c").unwrap().as_deref(), Some(&b"vc"[..]));
        assert_eq!(keys(store, "b/"), ["b/1=vb/1", "b/2=vb/2", "b/\u{ff}=vb/\u{ff}"]);
        assert_eq!(keys(store, "").len(), 5);

        // The last word on a key counts; deleting what is not there is fine; an empty value is a value.
        let mut batch = Batch::default();
        batch.put("x", "1");
        batch.delete("x");
        batch.delete("b/1");
        batch.put("b/1", "");
        batch.delete("not there");
        batch.delete("c");
        store.commit(batch).unwrap();
        assert_eq!((store.get(b"x").unwrap(), store.get(b"c").unwrap(), store.get(b"b/1").unwrap()), (None, None, Some(vec![])));
        store.commit(Batch::default()).unwrap();

        // Large values, and many at once.
        let mut batch = Batch::default();
        let large: Vec<u8> = (0..3_000_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        batch.put("large", large.clone());
        for i in 0..5_000u32 {
            batch.put(format!("m/{i:05}"), vec![7; 200]);
        }
        store.commit(batch).unwrap();
        assert!(store.get(b"large").unwrap() == Some(large));
        assert_eq!(keys(store, "m/").len(), 5_000);

        // An error of the visitor ends the scan and comes back.
        let mut seen = 0;
        let end = store.scan(b"m/", &mut |_, _| {
            seen += 1;
            if seen == 3 { Err(Error::User("enough".into())) } else { Ok(()) }
        });
        assert!(matches!(end, Err(Error::User(_))) && seen == 3);
    }

    #[test]
    fn memory_store_conforms() {
        conforms(&MemoryStore::default());
    }

    #[test]
    fn disk_store_conforms_and_keeps_what_it_committed() {
        let folder = tempfile::tempdir().unwrap();
        let store = DiskStore::open(folder.path()).unwrap();
        conforms(&store);
        assert!(matches!(DiskStore::open(folder.path()), Err(Error::Resources(m)) if m.contains("in use by another server")));
        drop(store);
        let store = DiskStore::open(folder.path()).unwrap();
        assert_eq!((keys(&store, "m/").len(), store.get(b"c").unwrap()), (5_000, None));
    }
}
