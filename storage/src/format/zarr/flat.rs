//! A store as a list of keys and where each lies: members of a ZIP file, kerchunk references.

use std::collections::BTreeMap;
use std::ops::Range;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};

use super::document::ArrayDocument;
use super::hierarchy::{self, Document};
use super::json;
use crate::array::{ChunkGrid, ChunkManifest, ChunkRef, KeyEncoding, Shard};
use crate::codec::{self, Codec};
use crate::format::IndexedGranule;
use crate::object::{ObjectReader, ObjectVersion};
use crate::{Error, Result};

/// Largest document, bytes.
const DOCUMENT: u64 = 256 << 20;
/// Chunks of one array whose places are kept one by one.
const CHUNKS: u64 = 1 << 26;
/// Shard indexes under way at once.
const PARALLEL: usize = 16;

/// Where the bytes of a key are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::format) enum Place {
    /// Here.
    Bytes(Bytes),
    /// All of the object with this key below the granule's location.
    Key(String),
    /// In an object of the granule, by its number.
    Range {
        object: u32,
        range: Range<u64>,
        /// A raw deflate stream of the bytes.
        deflated: bool,
    },
}

/// Keys and their places.
#[derive(Debug, Clone, Default)]
pub(in crate::format) struct Flat {
    pub(in crate::format) places: BTreeMap<String, Place>,
    /// Keys that are not read, and why.
    pub(in crate::format) refused: Vec<(String, String)>,
}

impl Flat {
    /// The metadata documents.
    pub(super) async fn documents(&self, object: &ObjectReader, granule: &IndexedGranule) -> Result<BTreeMap<String, Document>> {
        let keys = self.places.iter().filter(|(key, _)| hierarchy::is_document(key)).map(|(key, place)| (key.clone(), place.clone()));
        let read = futures::stream::iter(keys.collect::<Vec<_>>()).map(|(key, place)| async move {
            let bytes = bytes_of(object, granule, &place).await?;
            Ok::<_, Error>((key, (json::parse(&bytes), 0)))
        });
        read.buffered(PARALLEL).try_collect().await
    }

    /// The chunk references of the array at `path`. Where some chunks are deflated, that becomes the last of `codecs`, which the
    /// others leave out.
    pub(super) async fn manifest(
        &self,
        object: &ObjectReader,
        granule: &IndexedGranule,
        path: &str,
        array: &ArrayDocument,
        codecs: &mut Vec<Codec>,
    ) -> Result<std::result::Result<ChunkManifest, String>> {
        let outer = array.shard.as_ref().map_or(array.chunk.as_slice(), |(outer, _)| outer);
        let stored = ChunkGrid::new(&array.shape, outer);
        let counts = stored.counts();
        let prefix = if path.is_empty() { String::new() } else { format!("{path}/") };
        let below = self.places.range(prefix.clone()..).take_while(|(key, _)| key.starts_with(&prefix));
        let chunks: Vec<(Vec<u64>, Place)> =
            below.filter_map(|(key, place)| Some((coordinates(key.get(prefix.len()..)?, array.keys, &counts)?, place.clone()))).collect();
        let grid = ChunkGrid::new(&array.shape, &array.chunk);
        let all = grid.len();
        // What is not there needs no entry; but a number far out needs all before it.
        if all > CHUNKS || all > (chunks.len() as u64).saturating_mul(1 << 16).max(1 << 22) {
            return Ok(Err(format!("{all} chunks of which {} are stored", chunks.len())));
        }
        let deflated = chunks.iter().any(|(_, place)| matches!(place, Place::Range { deflated: true, .. }));
        let plain = if deflated { 1u32.checked_shl(codecs.len() as u32).unwrap_or(0) } else { 0 };
        if deflated {
            if plain == 0 || array.shard.is_some() {
                return Ok(Err("shards, or chunks of more than 31 codecs, that are deflated once more".into()));
            }
            codecs.push(Codec::RawDeflate);
        }
        let mut references = vec![ChunkRef::Missing; all as usize];
        match &array.shard {
            None => {
                for (at, place) in chunks {
                    if let Some(slot) = references.get_mut(grid.number(&at) as usize) {
                        *slot = match place {
                            Place::Bytes(bytes) if deflated && !bytes.is_empty() => {
                                return Ok(Err("inline chunks beside deflated ones".into()));
                            }
                            Place::Bytes(bytes) => ChunkRef::Inline(bytes),
                            Place::Key(key) => ChunkRef::Key { key, inner: None },
                            Place::Range { object, range, deflated } => ChunkRef::Stored {
                                object,
                                offset: range.start,
                                length: range.end - range.start,
                                skip: if deflated { 0 } else { plain },
                            },
                        };
                    }
                }
            }
            Some((_, shard)) => {
                let work = futures::stream::iter(chunks).map(|(at, place)| async move {
                    let index = shard_index(object, granule, shard, &place).await?;
                    Ok::<_, Error>((at, place, index))
                });
                let mut work = work.buffer_unordered(PARALLEL);
                while let Some((at, place, index)) = work.try_next().await? {
                    let index = match index {
                        Ok(index) => index,
                        Err(why) => return Ok(Err(why)),
                    };
                    for (inner, range) in index.into_iter().enumerate() {
                        let Some(range) = range else { continue };
                        let Some(number) = number_inside(shard, &at, inner as u64, &grid) else { continue };
                        if let Some(slot) = references.get_mut(number as usize) {
                            *slot = match &place {
                                Place::Key(_) => ChunkRef::Missing,
                                Place::Bytes(bytes) => {
                                    let (start, end) = (range.start as usize, range.end as usize);
                                    bytes.get(start..end).map_or(ChunkRef::Missing, |_| ChunkRef::Inline(bytes.slice(start..end)))
                                }
                                Place::Range { object, range: whole, .. } => ChunkRef::Stored {
                                    object: *object,
                                    offset: whole.start + range.start,
                                    length: range.end - range.start,
                                    skip: 0,
                                },
                            };
                        }
                    }
                }
            }
        }
        Ok(Ok(ChunkManifest::new(references)))
    }
}

/// The object with this number, as reading it needs it.
fn object_of<'a>(object: &'a ObjectReader, granule: &'a IndexedGranule, number: u32) -> Result<(&'a str, &'a ObjectVersion)> {
    match number.checked_sub(1) {
        None => Ok((object.location(), object.version())),
        Some(n) => granule
            .objects
            .get(n as usize)
            .map(|o| (o.location.as_str(), &o.version))
            .ok_or_else(|| Error::Internal(format!("{}: the granule has no object {number}", object.location()))),
    }
}

async fn bytes_of(object: &ObjectReader, granule: &IndexedGranule, place: &Place) -> Result<Bytes> {
    match place {
        Place::Bytes(bytes) => Ok(bytes.clone()),
        Place::Key(key) => Err(Error::unsupported(object.location(), format!("document {key} in an object of its own"))),
        Place::Range { object: number, range, deflated } => {
            let (location, version) = object_of(object, granule, *number)?;
            if range.end - range.start > DOCUMENT {
                return Err(Error::data_at(location, range.clone(), format!("a document of more than {DOCUMENT} bytes")));
            }
            let mut read = object.objects().read_ranges(location, version, std::slice::from_ref(range)).await?;
            let bytes = read.pop().unwrap_or_default();
            if !deflated {
                return Ok(bytes);
            }
            let inflated = codec::decode_any_length(&[Codec::RawDeflate], 0, &bytes, DOCUMENT as usize);
            inflated.map(Bytes::from).map_err(|e| Error::data_at(location, range.clone(), e.to_string()))
        }
    }
}

/// Where the chunks of one shard lie in it.
async fn shard_index(
    object: &ObjectReader,
    granule: &IndexedGranule,
    shard: &Shard,
    place: &Place,
) -> Result<std::result::Result<Vec<Option<Range<u64>>>, String>> {
    let size = match place {
        Place::Key(_) => return Ok(Err("shards in objects of a repository".into())),
        Place::Bytes(bytes) => bytes.len() as u64,
        Place::Range { range, .. } => range.end - range.start,
    };
    let index = match shard.index_range(size) {
        Ok(index) => index,
        Err(why) => return Ok(Err(why)),
    };
    let bytes = match place {
        Place::Key(_) => Bytes::new(),
        Place::Bytes(bytes) => bytes.slice(index.start as usize..index.end as usize),
        Place::Range { object: number, range, .. } => {
            let at = range.start + index.start..range.start + index.end;
            bytes_of(object, granule, &Place::Range { object: *number, range: at, deflated: false }).await?
        }
    };
    Ok(shard.parse(&bytes, size))
}

/// The number, in the array's grid, of a chunk of the shard at these coordinates; `None` for one past the array's end.
fn number_inside(shard: &Shard, at: &[u64], inner: u64, grid: &ChunkGrid) -> Option<u64> {
    let (mut rest, mut chunk) = (inner, at.to_vec());
    for (slot, &side) in chunk.iter_mut().zip(&shard.inner).rev() {
        let side = side.max(1);
        *slot = slot.checked_mul(side)?.checked_add(rest % side)?;
        rest /= side;
    }
    chunk.iter().zip(grid.counts()).all(|(&i, n)| i < n).then(|| grid.number(&chunk))
}

/// The coordinates that the rest of a key tells: `c/0/1`, `0.1`; `None` for what is no chunk of the grid.
fn coordinates(rest: &str, encoding: KeyEncoding, counts: &[u64]) -> Option<Vec<u64>> {
    let (numbers, separator) = match encoding {
        KeyEncoding::Default(separator) if counts.is_empty() => return (rest == "c").then(Vec::new).filter(|_| separator != ' '),
        KeyEncoding::Default(separator) => (rest.strip_prefix('c')?.strip_prefix(separator)?, separator),
        KeyEncoding::V2(_) if counts.is_empty() => return (rest == "0").then(Vec::new),
        KeyEncoding::V2(separator) => (rest, separator),
    };
    let at: Vec<u64> = numbers.split(separator).map(number).collect::<Option<_>>()?;
    (at.len() == counts.len() && at.iter().zip(counts).all(|(i, n)| i < n)).then_some(at)
}

/// Digits as keys have them: no sign, no zeros in front.
fn number(text: &str) -> Option<u64> {
    let canonical = text == "0" || !text.starts_with('0');
    (canonical && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_tell_coordinates() {
        let v2 = KeyEncoding::V2('.');
        assert_eq!(coordinates("1.20", v2, &[2, 30]), Some(vec![1, 20]));
        assert_eq!(coordinates("0", v2, &[]), Some(vec![]));
        assert_eq!(coordinates("c/1/2", KeyEncoding::Default('/'), &[2, 3]), Some(vec![1, 2]));
        assert_eq!(coordinates("c", KeyEncoding::Default('/'), &[]), Some(vec![]));
        for no in ["1.30", "1", "1.2.3", "01.2", "+1.2", ".zarray", "1.-2", "", "1.99999999999999999999"] {
            assert_eq!(coordinates(no, v2, &[2, 30]), None, "{no}");
        }
        assert_eq!(coordinates("1/2", KeyEncoding::Default('/'), &[2, 3]), None);
    }
}
