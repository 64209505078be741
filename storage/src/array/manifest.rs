//! Where the bytes of each chunk lie. One manifest an array; chunks in C order of the chunk grid. Either one entry a chunk,
//! or, for chunk stores (Zarr), the rule from which each chunk's key follows.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::Shard;

/// Where one chunk's bytes are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChunkRef {
    /// Never written: its cells have the fill value.
    Missing,
    /// A byte range of the granule's object number `object`.
    Stored {
        /// Index into the granule's list of objects: 0 for the granule's own, n for number n - 1 of its further objects.
        object: u32,
        /// First byte.
        offset: u64,
        /// Bytes as stored.
        length: u64,
        /// Bit i set: codec i of the array (encoding order) was not applied to this chunk.
        skip: u32,
    },
    /// The stored bytes themselves, kept in the index: compact data sets, small texts.
    Inline(Bytes),
    /// All of the object with this key, or a chunk inside it. Where [`ChunkKeys`] made it, the chunk is missing when there is no
    /// such object; one that is kept by itself (without `inner`) must be there.
    Key {
        /// Below the granule's location: `t2m/c/0/1/2`.
        key: String,
        /// The chunk's number in the shard that the object is; `None` where the object is the chunk.
        inner: Option<u64>,
    },
}

/// The chunk references of an array, in C order of its chunk grid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct ChunkManifest {
    /// One entry a chunk; empty where `keys` tells.
    pub chunks: Vec<ChunkRef>,
    /// The rule from which the chunks' keys follow.
    pub keys: Option<ChunkKeys>,
}

impl ChunkManifest {
    /// A manifest of one entry a chunk.
    pub fn new(chunks: Vec<ChunkRef>) -> Self {
        ChunkManifest { chunks, keys: None }
    }

    /// The entry of a chunk, by its C-order number.
    pub fn get(&self, chunk: u64) -> ChunkRef {
        match &self.keys {
            Some(keys) => keys.get(chunk),
            None => self.chunks.get(chunk as usize).cloned().unwrap_or(ChunkRef::Missing),
        }
    }

    /// Bytes stored in objects, over all chunks; 0 for chunks in objects of their own, which are not looked at.
    pub fn stored_bytes(&self) -> u64 {
        self.chunks.iter().map(|c| if let ChunkRef::Stored { length, .. } = c { *length } else { 0 }).sum()
    }
}

/// How the coordinates of a chunk become its key (Zarr v3 specification, chunk key encodings).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyEncoding {
    /// `c/0/1`, with this separator; `c` for an array without axes.
    Default(char),
    /// `0.1`, with this separator; `0` for an array without axes. That of Zarr v2.
    V2(char),
}

/// Where the chunks of an array lie in a chunk store: a few bytes, however many chunks there are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkKeys {
    /// What every key begins with: the array's path in the store, without `/` at its ends.
    pub prefix: String,
    /// The rest of the key.
    pub encoding: KeyEncoding,
    /// Chunks along each axis of the array.
    pub counts: Vec<u64>,
    /// Set where an object holds several chunks.
    pub shard: Option<Shard>,
    /// The object (as in [`ChunkRef::Stored`]) with the array's metadata: as long as it is as indexed, the keys hold.
    pub document: u32,
    /// True where a chunk that is not there is an error: the array's fill value is not one that can be given.
    pub must_exist: bool,
}

impl KeyEncoding {
    /// Zarr v2's and kerchunk's: `0.1`.
    pub const DOTTED: KeyEncoding = KeyEncoding::V2('.');

    /// Appends the key of the chunk at these coordinates.
    pub fn push(self, at: &[u64], key: &mut String) {
        use std::fmt::Write;
        let separator = match self {
            KeyEncoding::Default(separator) => {
                key.push('c');
                at.iter().for_each(|i| write!(key, "{separator}{i}").unwrap_or_default());
                return;
            }
            KeyEncoding::V2(separator) => separator,
        };
        match at {
            [] => key.push('0'),
            [first, others @ ..] => {
                write!(key, "{first}").unwrap_or_default();
                others.iter().for_each(|i| write!(key, "{separator}{i}").unwrap_or_default());
            }
        }
    }
}

impl ChunkKeys {
    /// The entry of a chunk, by its C-order number; [`ChunkRef::Missing`] for one outside of the grid.
    pub fn get(&self, chunk: u64) -> ChunkRef {
        let mut at = vec![0; self.counts.len()];
        let mut rest = chunk;
        for (at, &count) in at.iter_mut().zip(&self.counts).rev() {
            if count == 0 {
                return ChunkRef::Missing;
            }
            (*at, rest) = (rest % count, rest / count);
        }
        if rest > 0 {
            return ChunkRef::Missing;
        }
        let inner = self.shard.as_ref().map(|shard| shard.split(&mut at));
        ChunkRef::Key { key: self.key(&at), inner }
    }

    /// The key of the object at these coordinates (of a shard, where there are shards).
    pub fn key(&self, at: &[u64]) -> String {
        let mut key = self.prefix.clone();
        if !key.is_empty() {
            key.push('/');
        }
        self.encoding.push(at, &mut key);
        key
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::array::ByteOrder;

    fn keys(prefix: &str, encoding: KeyEncoding, counts: &[u64]) -> ChunkKeys {
        ChunkKeys { prefix: prefix.into(), encoding, counts: counts.into(), shard: None, document: 0, must_exist: false }
    }

    #[test]
    fn keys_follow_from_the_number_of_a_chunk() {
        let key = |keys: &ChunkKeys, n| match keys.get(n) {
            ChunkRef::Key { key, inner } => (key, inner),
            other => (format!("{other:?}"), None),
        };
        let v3 = keys("a/t2m", KeyEncoding::Default('/'), &[2, 3, 4]);
        assert_eq!(key(&v3, 0).0, "a/t2m/c/0/0/0");
        assert_eq!(key(&v3, 23).0, "a/t2m/c/1/2/3");
        assert_eq!(v3.get(24), ChunkRef::Missing);
        assert_eq!(key(&keys("t2m", KeyEncoding::V2('.'), &[2, 3, 4]), 17).0, "t2m/1.1.1");
        assert_eq!(key(&keys("", KeyEncoding::V2('/'), &[5]), 4).0, "4");
        assert_eq!(key(&keys("s", KeyEncoding::V2('.'), &[]), 0).0, "s/0");
        assert_eq!(key(&keys("s", KeyEncoding::Default('.'), &[]), 0).0, "s/c");
        assert_eq!(keys("none", KeyEncoding::V2('.'), &[0, 3]).get(0), ChunkRef::Missing);
        // Shards of 2 x 2 chunks in a grid of 3 x 5: the last row and column of shards are not full.
        let shard = Shard { inner: vec![2, 2], at_end: true, checksum: true, order: ByteOrder::Little, trailer: 0 };
        let sharded = ChunkKeys { shard: Some(shard), ..keys("t", KeyEncoding::Default('/'), &[3, 5]) };
        assert_eq!(key(&sharded, 0), ("t/c/0/0".into(), Some(0)));
        assert_eq!(key(&sharded, 3), ("t/c/0/1".into(), Some(1)));
        assert_eq!(key(&sharded, 8), ("t/c/0/1".into(), Some(3)));
        assert_eq!(key(&sharded, 14), ("t/c/1/2".into(), Some(0)));
    }
}
