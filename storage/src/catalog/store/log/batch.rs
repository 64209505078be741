//! How a batch lies in the log: `head  index  values  seal`, numbers little-endian.
//!
//! `head` = `"BTCH"  index length:u32  values' length:u64  index CRC-32C:u32  CRC-32C of the head so far:u32`;
//! `index` = for each change `key length:LEB128  key  value length + 1:LEB128  value's CRC-32C:u32`, where a length of 0 deletes and
//! has no CRC; `values` = the values, one after the other; `seal` = `"SEAL"  CRC of the head:u32`, written once the rest is on disk.

use crate::catalog::pages::{put, take};

/// Bytes of a head.
pub const HEAD: u64 = 24;
/// Bytes of a seal.
pub const SEAL: u64 = 8;

/// What a batch begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Bytes of the index.
    pub index: u32,
    /// Bytes of all values.
    pub values: u64,
    index_crc: u32,
}

impl Head {
    /// The head of a batch with this index.
    pub fn new(index: &[u8], values: u64) -> Option<Head> {
        Some(Head { index: u32::try_from(index.len()).ok()?, values, index_crc: crc32c::crc32c(index) })
    }

    /// As bytes.
    pub fn to_bytes(self) -> Vec<u8> {
        let mut bytes = b"BTCH".to_vec();
        bytes.extend_from_slice(&self.index.to_le_bytes());
        bytes.extend_from_slice(&self.values.to_le_bytes());
        bytes.extend_from_slice(&self.index_crc.to_le_bytes());
        let crc = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Of bytes; `None` when they are no head.
    pub fn of_bytes(bytes: &[u8]) -> Option<Head> {
        let (body, crc) = bytes.split_last_chunk::<4>()?;
        let body: [u8; 20] = body.try_into().ok()?;
        if u32::from_le_bytes(*crc) != crc32c::crc32c(&body) || !body.starts_with(b"BTCH") {
            return None;
        }
        let (index, rest) = body.get(4..)?.split_first_chunk::<4>()?;
        let (values, rest) = rest.split_first_chunk::<8>()?;
        let index_crc = u32::from_le_bytes(rest.try_into().ok()?);
        Some(Head { index: u32::from_le_bytes(*index), values: u64::from_le_bytes(*values), index_crc })
    }

    /// Bytes of the batch but for its seal; `None` where no file is that long.
    pub fn body(&self) -> Option<u64> {
        HEAD.checked_add(self.index.into())?.checked_add(self.values).filter(|n| *n < 1 << 62)
    }

    /// The seal of this batch.
    pub fn seal(&self) -> Vec<u8> {
        let head = self.to_bytes();
        [b"SEAL", head.get(20..).unwrap_or_default()].concat()
    }

    /// True for the index that the head was made for.
    pub fn fits(&self, index: &[u8]) -> bool {
        index.len() == self.index as usize && crc32c::crc32c(index) == self.index_crc
    }
}

/// True for bytes that look like the seal of some batch.
pub fn is_seal(bytes: &[u8]) -> bool {
    bytes.len() as u64 == SEAL && bytes.starts_with(b"SEAL")
}

/// One change of an index: the value's length and CRC, `None` for a deleted key.
pub type Change = (Box<[u8]>, Option<(u32, u32)>);

/// Adds a change to an index; false for a value that is too long.
pub fn put_change(index: &mut Vec<u8>, key: &[u8], value: Option<&[u8]>) -> bool {
    put(index, key.len() as u64);
    index.extend_from_slice(key);
    match value {
        None => put(index, 0),
        Some(value) => {
            put(index, value.len() as u64 + 1);
            index.extend_from_slice(&crc32c::crc32c(value).to_le_bytes());
        }
    }
    value.is_none_or(|v| u32::try_from(v.len()).is_ok())
}

/// The changes of an index; `None` when it is none.
pub fn changes(mut index: &[u8]) -> Option<Vec<Change>> {
    let mut changes = Vec::new();
    while !index.is_empty() {
        let length = usize::try_from(take(&mut index)?).ok()?;
        let (key, rest) = index.split_at_checked(length)?;
        index = rest;
        let value = match take(&mut index)?.checked_sub(1) {
            None => None,
            Some(length) => {
                let (crc, rest) = index.split_first_chunk::<4>()?;
                index = rest;
                Some((u32::try_from(length).ok()?, u32::from_le_bytes(*crc)))
            }
        };
        changes.push((key.into(), value));
    }
    Some(changes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

        #[test]
        fn an_index_comes_back_and_damage_is_noticed(entries in proptest::collection::vec((any::<Vec<u8>>(), any::<Option<Vec<u8>>>()), 0..20), at in any::<prop::sample::Index>(), bit in 0..8u8) {
            let mut index = Vec::new();
            for (key, value) in &entries {
                prop_assert!(put_change(&mut index, key, value.as_deref()));
            }
            let known: Vec<Change> = entries.iter().map(|(k, v)| (k.as_slice().into(), v.as_ref().map(|v| (v.len() as u32, crc32c::crc32c(v))))).collect();
            prop_assert_eq!(changes(&index), Some(known));
            let head = Head::new(&index, 77).unwrap();
            let mut bytes = head.to_bytes();
            prop_assert_eq!((Head::of_bytes(&bytes), head.fits(&index), is_seal(&head.seal())), (Some(head), true, true));
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            prop_assert_eq!(Head::of_bytes(&bytes), None);
        }

        #[test]
        fn any_bytes_are_safe(bytes in any::<Vec<u8>>()) {
            let _ = (changes(&bytes), Head::of_bytes(&bytes), is_seal(&bytes));
        }
    }
}
