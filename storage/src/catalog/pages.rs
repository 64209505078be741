//! Chunk manifests as packed pages: 4096 chunk references a page, one store value a page. The format, version 1:
//!
//! `page = version:u8  length:u32le  zlib(columns)`, `length` being that of the columns. Columns, one after the other, numbers
//! as LEB128, signed ones zigzag: the number of chunks; their kinds as runs (`kind`, `times`; 0 missing, 1 stored, 2 inline, 3 key);
//! then for the stored ones, column by column, the differences from the stored chunk before: object, offset (from the end of
//! the chunk before), length, skip (exclusive or); then for the inline ones and keys their lengths, then their bytes.
//!
//! Chunks whose keys follow from a rule have one page, version 2, which is the record of the rule.

use bytes::Bytes;

use super::records::{deflate, inflate};
use crate::array::{ChunkManifest, ChunkRef};
use crate::{Error, Result};

/// Chunk references a page.
pub const PAGE_CHUNKS: usize = 4096;

const VERSION: u8 = 1;
const VERSION_OF_KEYS: u8 = 2;

/// The pages of a manifest, in order; none for a manifest without chunks.
pub fn pack(manifest: &ChunkManifest) -> Result<Vec<Vec<u8>>> {
    if let Some(keys) = &manifest.keys {
        let rule = postcard::to_stdvec(keys).map_err(|e| Error::Internal(format!("the rule of chunk keys cannot be written: {e}")))?;
        return Ok(vec![deflate(VERSION_OF_KEYS, &rule)?]);
    }
    manifest.chunks.chunks(PAGE_CHUNKS).map(pack_page).collect()
}

/// The manifest of its pages.
pub fn unpack<'a>(pages: impl IntoIterator<Item = &'a [u8]>) -> Result<ChunkManifest> {
    let mut chunks = Vec::new();
    let damaged = || Error::data("catalog", "a page of chunk references is damaged");
    for page in pages {
        if page.first() == Some(&VERSION_OF_KEYS) {
            let keys = inflate(VERSION_OF_KEYS, page).and_then(|rule| postcard::from_bytes(&rule).ok()).ok_or_else(damaged)?;
            return Ok(ChunkManifest { chunks: Vec::new(), keys: Some(keys) });
        }
        unpack_page(page, &mut chunks).ok_or_else(damaged)?;
    }
    chunks.shrink_to_fit();
    Ok(ChunkManifest::new(chunks))
}

fn kind(chunk: &ChunkRef) -> u64 {
    match chunk {
        ChunkRef::Missing => 0,
        ChunkRef::Stored { .. } => 1,
        ChunkRef::Inline(_) => 2,
        ChunkRef::Key { .. } => 3,
    }
}

/// Object, offset, length and skip of a stored chunk.
type Stored = (u64, u64, u64, u64);

fn pack_page(chunks: &[ChunkRef]) -> Result<Vec<u8>> {
    let mut columns = Vec::with_capacity(chunks.len() * 4);
    put(&mut columns, chunks.len() as u64);
    for run in chunks.chunk_by(|a, b| kind(a) == kind(b)) {
        put(&mut columns, run.first().map_or(0, kind));
        put(&mut columns, run.len() as u64);
    }
    let stored: Vec<Stored> = chunks
        .iter()
        .filter_map(|c| match c {
            ChunkRef::Stored { object, offset, length, skip } => Some((u64::from(*object), *offset, *length, u64::from(*skip))),
            _ => None,
        })
        .collect();
    let mut column = |value: fn(Stored, Stored) -> u64| {
        let mut before = (0, 0, 0, 0);
        for &chunk in &stored {
            put(&mut columns, value(before, chunk));
            before = chunk;
        }
    };
    column(|before, chunk| zigzag(chunk.0.wrapping_sub(before.0)));
    column(|before, chunk| zigzag(chunk.1.wrapping_sub(before.1.wrapping_add(before.2))));
    column(|before, chunk| zigzag(chunk.2.wrapping_sub(before.2)));
    column(|before, chunk| chunk.3 ^ before.3);
    let inline = || {
        chunks.iter().filter_map(|c| match c {
            ChunkRef::Inline(bytes) => Some(bytes.as_ref()),
            ChunkRef::Key { key, .. } => Some(key.as_bytes()),
            _ => None,
        })
    };
    for bytes in inline() {
        put(&mut columns, bytes.len() as u64);
    }
    for bytes in inline() {
        columns.extend_from_slice(bytes);
    }
    deflate(VERSION, &columns)
}

fn unpack_page(page: &[u8], chunks: &mut Vec<ChunkRef>) -> Option<()> {
    let columns = inflate(VERSION, page)?;
    let rest = &mut columns.as_slice();
    let count = usize::try_from(take(rest)?).ok().filter(|&n| n <= PAGE_CHUNKS)?;
    let mut kinds = Vec::with_capacity(count);
    while kinds.len() < count {
        let (kind, times) = (take(rest)?, usize::try_from(take(rest)?).ok()?);
        if kind > 3 || times == 0 || times > count - kinds.len() {
            return None;
        }
        kinds.extend(std::iter::repeat_n(kind, times));
    }
    let stored = kinds.iter().filter(|&&k| k == 1).count();
    let column = |rest: &mut &[u8]| (0..stored).map(|_| take(rest)).collect::<Option<Vec<u64>>>();
    let (objects, offsets, lengths, skips) = (column(rest)?, column(rest)?, column(rest)?, column(rest)?);
    let inline = kinds.iter().filter(|&&k| k >= 2).map(|_| take(rest)).collect::<Option<Vec<u64>>>()?;
    let (mut stored, mut inline) = (objects.into_iter().zip(offsets).zip(lengths.into_iter().zip(skips)), inline.into_iter());
    let mut before = (0u64, 0u64, 0u64, 0u64);
    for kind in kinds {
        chunks.push(match kind {
            1 => {
                let ((object, offset), (length, skip)) = stored.next()?;
                before = (
                    before.0.wrapping_add(unzigzag(object)),
                    before.1.wrapping_add(before.2).wrapping_add(unzigzag(offset)),
                    before.2.wrapping_add(unzigzag(length)),
                    before.3 ^ skip,
                );
                let (object, skip) = (u32::try_from(before.0).ok()?, u32::try_from(before.3).ok()?);
                ChunkRef::Stored { object, offset: before.1, length: before.2, skip }
            }
            2 | 3 => {
                let (bytes, left) = rest.split_at_checked(usize::try_from(inline.next()?).ok()?)?;
                *rest = left;
                match kind {
                    2 => ChunkRef::Inline(Bytes::copy_from_slice(bytes)),
                    _ => ChunkRef::Key { key: std::str::from_utf8(bytes).ok()?.to_owned(), inner: None },
                }
            }
            _ => ChunkRef::Missing,
        });
    }
    rest.is_empty().then_some(())
}

/// A difference (taken modulo 2^64) so that small ones of both signs are small numbers.
fn zigzag(difference: u64) -> u64 {
    (difference << 1) ^ ((difference as i64) >> 63) as u64
}

fn unzigzag(value: u64) -> u64 {
    (value >> 1) ^ (value & 1).wrapping_neg()
}

pub(super) fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(super) fn take(from: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = from.split_first()?;
        *from = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_chunk() -> impl Strategy<Value = ChunkRef> {
        let stored = (any::<u32>(), any::<u64>(), any::<u64>(), any::<u32>());
        prop_oneof![
            Just(ChunkRef::Missing),
            stored.prop_map(|(object, offset, length, skip)| ChunkRef::Stored { object, offset, length, skip }),
            proptest::collection::vec(any::<u8>(), 0..40).prop_map(|v| ChunkRef::Inline(v.into())),
            "[a-z0-9/]{0,30}".prop_map(|key| ChunkRef::Key { key, inner: None }),
        ]
    }

    fn pages(manifest: &ChunkManifest) -> Vec<Vec<u8>> {
        pack(manifest).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

        #[test]
        fn a_manifest_comes_back_as_it_was(chunks in proptest::collection::vec(any_chunk(), 0..300), times in 1..40usize) {
            let manifest = ChunkManifest::new(std::iter::repeat_n(chunks, times).flatten().collect());
            let pages = pages(&manifest);
            prop_assert_eq!(pages.len(), manifest.chunks.len().div_ceil(PAGE_CHUNKS));
            prop_assert_eq!(unpack(pages.iter().map(Vec::as_slice)).unwrap(), manifest);
        }

        #[test]
        fn damaged_pages_are_errors(chunks in proptest::collection::vec(any_chunk(), 1..50), at in any::<prop::sample::Index>(), bit in 0..8u8) {
            let manifest = ChunkManifest::new(chunks);
            let mut page = pages(&manifest).remove(0);
            let at = at.index(page.len());
            page[at] ^= 1 << bit;
            // A bit that pads the compressed stream means nothing; every other one is noticed.
            prop_assert!(unpack([page.as_slice()]).map_or(true, |found| found == manifest));
            page.truncate(at);
            prop_assert!(unpack([page.as_slice()]).is_err());
        }

        #[test]
        fn any_bytes_are_safe(page in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = unpack([page.as_slice()]);
        }
    }

    #[test]
    fn a_rule_takes_one_small_page() {
        let shard = crate::array::Shard { inner: vec![4, 4], at_end: true, checksum: true, order: Default::default(), trailer: 0 };
        let encoding = crate::array::KeyEncoding::Default('/');
        let keys = crate::array::ChunkKeys {
            prefix: "a/t2m".into(),
            encoding,
            counts: vec![1000, 1000],
            shard: Some(shard),
            document: 3,
            must_exist: false,
        };
        let manifest = ChunkManifest { chunks: vec![], keys: Some(keys) };
        let pages = pages(&manifest);
        assert!(pages.len() == 1 && pages[0].len() < 100);
        assert_eq!(unpack(pages.iter().map(Vec::as_slice)).unwrap(), manifest);
        assert!(unpack([&pages[0][..pages[0].len() - 1]]).is_err());
    }

    #[test]
    fn a_chunk_takes_a_few_bytes() {
        // Chunks of a compressed array: lengths differ, most follow each other, some are elsewhere.
        let mut at = 4096u64;
        let chunks: Vec<ChunkRef> = (0..100_000u64)
            .map(|i| {
                let length = 150_000 + (i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 47);
                let offset = if i % 17 == 0 { at + 2_328 } else { at };
                at = offset + length;
                ChunkRef::Stored { object: 0, offset, length, skip: 0 }
            })
            .collect();
        let manifest = ChunkManifest::new(chunks);
        let bytes: usize = pages(&manifest).iter().map(Vec::len).sum();
        assert!(bytes < 100_000 * 8, "{bytes} bytes for 100000 chunks");
        assert_eq!(unpack(pages(&manifest).iter().map(Vec::as_slice)).unwrap(), manifest);
    }
}
