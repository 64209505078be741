//! Shards: objects that hold several chunks, with an index of where each lies (Zarr v3, codec `sharding_indexed`).

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::ByteOrder;
use crate::codec::crc32c;

/// Bytes of one entry of an index: offset and length.
const ENTRY: u64 = 16;
/// Bytes of the CRC-32C behind an index.
const CHECKSUM: u64 = 4;

/// How the shards of an array are laid out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    /// Chunks of a shard along each axis, at least 1.
    pub inner: Vec<u64>,
    /// True where the index is at the end of the object, false where it is at the begin.
    pub at_end: bool,
    /// True where a CRC-32C follows the index.
    pub checksum: bool,
    /// Byte order of the index.
    pub order: ByteOrder,
    /// Bytes behind the shard in the object: checksums of the whole.
    pub trailer: u64,
}

impl Shard {
    /// Turns the coordinates of a chunk into those of its shard; gives the chunk's C-order number in it.
    pub fn split(&self, at: &mut [u64]) -> u64 {
        let mut number = 0u64;
        for (at, &inner) in at.iter_mut().zip(&self.inner) {
            let inner = inner.max(1);
            number = number.saturating_mul(inner).saturating_add(*at % inner);
            *at /= inner;
        }
        number
    }

    /// Chunks of a shard; saturates.
    pub fn chunks(&self) -> u64 {
        self.inner.iter().fold(1u64, |n, &i| n.saturating_mul(i.max(1)))
    }

    /// Where the index lies in an object of `size` bytes; an error in words when it has no room.
    pub fn index_range(&self, size: u64) -> Result<Range<u64>, String> {
        let (object, size) = (size, size.saturating_sub(self.trailer));
        let length = self.chunks().saturating_mul(ENTRY).saturating_add(if self.checksum { CHECKSUM } else { 0 });
        if length > size {
            return Err(format!("a shard of {object} bytes has no room for its index of {length}"));
        }
        Ok(if self.at_end { size - length..size } else { 0..length })
    }

    /// The range of each chunk in an object of `size` bytes, `None` for chunks that were never written. `index`: the bytes at
    /// [`Shard::index_range`].
    pub fn parse(&self, index: &[u8], size: u64) -> Result<Vec<Option<Range<u64>>>, String> {
        let entries = if self.checksum {
            let (entries, stored) = index.split_last_chunk::<4>().ok_or("the index of a shard has no checksum")?;
            let (stored, computed) = (u32::from_le_bytes(*stored), crc32c(entries));
            if stored != computed {
                return Err(format!("the checksum of a shard's index is {stored:08x}, its bytes give {computed:08x}"));
            }
            entries
        } else {
            index
        };
        let number = |bytes: &[u8; 8]| match self.order {
            ByteOrder::Little => u64::from_le_bytes(*bytes),
            ByteOrder::Big => u64::from_be_bytes(*bytes),
        };
        let (numbers, rest) = entries.as_chunks::<8>();
        if !rest.is_empty() || numbers.len() as u64 != self.chunks().saturating_mul(2) {
            return Err(format!("the index of a shard of {} chunks has {} bytes", self.chunks(), entries.len()));
        }
        let entry = |(i, pair): (usize, &[[u8; 8]])| {
            let (offset, length) = (pair.first().map_or(u64::MAX, number), pair.get(1).map_or(u64::MAX, number));
            if offset == u64::MAX && length == u64::MAX {
                return Ok(None);
            }
            match offset.checked_add(length) {
                Some(end) if end <= size => Ok(Some(offset..end)),
                _ => Err(format!("chunk {i} of a shard of {size} bytes is said to lie at {offset}, {length} bytes long")),
            }
        };
        numbers.chunks(2).enumerate().map(entry).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_is_checked() {
        let shard = Shard { inner: vec![2], at_end: true, checksum: true, order: ByteOrder::Little, trailer: 0 };
        assert_eq!(shard.index_range(100), Ok(64..100));
        assert!(shard.index_range(35).is_err());
        assert_eq!(Shard { trailer: 4, ..shard.clone() }.index_range(104), Ok(64..100));
        assert!(Shard { trailer: 4, ..shard.clone() }.index_range(3).is_err());
        let mut index: Vec<u8> = [0u64, 10, u64::MAX, u64::MAX].iter().flat_map(|n| n.to_le_bytes()).collect();
        index.extend(crc32c(&index).to_le_bytes());
        assert_eq!(shard.parse(&index, 46), Ok(vec![Some(0..10), None]));
        assert!(shard.parse(&index, 9).unwrap_err().contains("chunk 0"));
        index[0] ^= 1;
        assert!(shard.parse(&index, 46).unwrap_err().contains("checksum"));
        let plain = Shard { at_end: false, checksum: false, order: ByteOrder::Big, ..shard };
        let index: Vec<u8> = [40u64, 10, u64::MAX - 1, 5].iter().flat_map(|n| n.to_be_bytes()).collect();
        assert_eq!(plain.index_range(50), Ok(0..32));
        assert!(plain.parse(&index, 50).is_err());
        assert!(plain.parse(&index[..8], 50).is_err());
    }
}
