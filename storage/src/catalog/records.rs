//! What the catalog's store holds: keys, and records as bytes (`version:u8  length:u32le  zlib(postcard)`).
//!
//! | key | record |
//! |---|---|
//! | `n` | [`Counters`] |
//! | `d/NAME` | [`DefinitionRecord`] |
//! | `s/NAME` | [`SourcesRecord`]: what its granules hold, to build the cubes again after a refresh |
//! | `c/NAME` | [`CubeRecord`] |
//! | `g/` id (u64 be) | [`Granule`](super::Granule) |
//! | `m/` id (u64 be) array (u32 be) page (u32 be) | a page of chunk references (see `pages`) |
//! | `v/` id (u64 be) array (u32 be) page (u32 be) | what is known of the values in these chunks (see `statistics`) |
//! | `w` | bytes of all of those (u64 le) |

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Cube, CubeDefinition, CubeVariable, GranuleId, Piece};
use crate::array::{Axis, Encoding, Extent};
use crate::{Error, Result};

/// Version of the records; a store with another one is built again.
const VERSION: u8 = 4;

/// Bytes that a record may inflate to, whatever it claims.
const RECORD_LIMIT: usize = 1 << 31;

/// Numbers given out so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counters {
    /// The next granule's number.
    pub granule: GranuleId,
    /// The last commit's number.
    pub generation: u64,
}

impl Counters {
    /// Those of a store that holds nothing yet. They begin anywhere: a process that followed another store, such as that of a server
    /// that kept nothing and was started again, must not take the numbers of this one for numbers that it knows.
    pub fn begin() -> Counters {
        let anywhere = || RandomState::new().build_hasher().finish() >> 16;
        Counters { granule: anywhere(), generation: anywhere() }
    }
}

/// One `CREATE CUBE` and what it made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DefinitionRecord {
    /// The statement's parts.
    pub definition: Arc<CubeDefinition>,
    /// Its cubes, the main one first.
    pub cubes: Vec<String>,
    /// Its granules, in the order of the sources.
    pub granules: Vec<GranuleId>,
    /// The commit that wrote it.
    pub generation: u64,
    /// Set where the catalog was rebuilt and the files could not be indexed: why. There are no cubes then.
    pub failure: Option<String>,
}

/// What the granules of a definition hold; axes and encodings that granules share are kept once.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct SourcesRecord {
    /// Every different axis.
    pub axes: Vec<Arc<Axis>>,
    /// Every different encoding.
    pub encodings: Vec<Arc<Encoding>>,
    /// Every different CRS.
    pub crs: Vec<String>,
    /// The variables of each granule, in the order of [`DefinitionRecord::granules`].
    pub granules: Vec<Vec<VariableRecord>>,
}

/// One variable of one granule; numbers of axes, encoding and CRS are positions in the [`SourcesRecord`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VariableRecord {
    /// Its name in the file.
    pub name: String,
    /// Number of its array.
    pub array: u32,
    /// Slowest first.
    pub axes: Vec<u32>,
    /// Its encoding.
    pub encoding: u32,
    /// Its CRS.
    pub crs: Option<u32>,
    /// Bytes stored, all chunks together.
    pub stored_bytes: u64,
}

/// A cube; encodings that pieces share are kept once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CubeRecord {
    cube: Cube,
    encodings: Vec<Arc<Encoding>>,
    /// The pieces of all variables, one after the other.
    pieces: Vec<PieceRecord>,
    /// Pieces of each variable.
    counts: Vec<u64>,
}

/// A piece; its encoding is a position in [`CubeRecord`]'s list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct PieceRecord {
    granule: GranuleId,
    array: u32,
    extent: Extent,
    offset: Vec<u64>,
    chunk_shape: Vec<u64>,
    stored_bytes: u64,
    encoding: u32,
}

impl CubeRecord {
    /// The record of a cube.
    pub fn new(cube: &Cube) -> CubeRecord {
        let mut known = Shared::default();
        let mut pieces = Vec::new();
        for p in cube.variables.iter().flat_map(|v| &v.pieces) {
            pieces.push(PieceRecord {
                granule: p.granule,
                array: p.array,
                extent: p.extent.clone(),
                offset: p.offset.clone(),
                chunk_shape: p.chunk_shape.clone(),
                stored_bytes: p.stored_bytes,
                encoding: known.number(&p.encoding),
            });
        }
        let counts = cube.variables.iter().map(|v| v.pieces.len() as u64).collect();
        let variables = cube.variables.iter().map(CubeVariable::without_pieces).collect();
        let (name, grid, attributes) = (cube.name.clone(), cube.grid.clone(), cube.attributes.clone());
        let bare = Cube { name, grid, variables, attributes, definition: cube.definition.clone(), generation: cube.generation };
        CubeRecord { cube: bare, encodings: known.values, pieces, counts }
    }

    /// The cube of a record; `None` where the record contradicts itself.
    pub fn into_cube(self) -> Option<Cube> {
        let mut cube = self.cube;
        let mut pieces = self.pieces.into_iter();
        for (variable, count) in cube.variables.iter_mut().zip(&self.counts) {
            for _ in 0..*count {
                let PieceRecord { granule, array, extent, offset, chunk_shape, stored_bytes, encoding } = pieces.next()?;
                let encoding = self.encodings.get(encoding as usize)?.clone();
                variable.pieces.push(Piece { granule, array, extent, offset, chunk_shape, stored_bytes, encoding });
            }
        }
        (pieces.next().is_none() && self.counts.len() == cube.variables.len()).then_some(cube)
    }
}

/// Values by content: each kept once, told apart by its number.
#[derive(Debug)]
pub struct Shared<T> {
    /// The values, by number.
    pub values: Vec<Arc<T>>,
    by_address: std::collections::HashMap<usize, u32>,
    by_bytes: std::collections::HashMap<Vec<u8>, u32>,
}

impl<T> Default for Shared<T> {
    fn default() -> Self {
        Shared { values: Vec::new(), by_address: Default::default(), by_bytes: Default::default() }
    }
}

impl<T: Serialize> Shared<T> {
    /// The number of a value, a new one where it is not known yet.
    pub fn number(&mut self, value: &Arc<T>) -> u32 {
        let address = Arc::as_ptr(value) as usize;
        if let Some(&number) = self.by_address.get(&address) {
            return number;
        }
        // Bitwise equality also holds for NaN. A value that cannot be serialised fails later, where errors can be returned.
        let bytes = postcard::to_stdvec(value.as_ref()).unwrap_or_default();
        let next = self.values.len() as u32;
        let number = *self.by_bytes.entry(bytes).or_insert(next);
        if number == next {
            self.values.push(value.clone());
            // Only values that are kept alive here have an address that stays theirs.
            self.by_address.insert(address, number);
        }
        number
    }

    /// The one value that stands for all equal ones.
    pub fn share(&mut self, value: T) -> Arc<T> {
        self.shared(Arc::new(value))
    }

    /// The same for a value that some share already.
    pub fn shared(&mut self, value: Arc<T>) -> Arc<T> {
        let number = self.number(&value);
        self.values.get(number as usize).cloned().unwrap_or(value)
    }
}

/// Keys of granules and pages.
pub fn granule_key(id: GranuleId) -> Vec<u8> {
    [b"g/", id.to_be_bytes().as_slice()].concat()
}

/// The key of a page of an array's manifest.
pub fn page_key(id: GranuleId, array: u32, page: u32) -> Vec<u8> {
    [manifest_prefix(id, array).as_slice(), &page.to_be_bytes()].concat()
}

/// What the keys of an array's pages start with.
pub fn manifest_prefix(id: GranuleId, array: u32) -> Vec<u8> {
    [granule_pages_prefix(id).as_slice(), &array.to_be_bytes()].concat()
}

/// What the keys of all pages of a granule start with.
pub fn granule_pages_prefix(id: GranuleId) -> Vec<u8> {
    [b"m/", id.to_be_bytes().as_slice()].concat()
}

/// The key of the statistics of a page of an array's chunks.
pub fn statistics_key((id, array, page): (GranuleId, u32, u32)) -> Vec<u8> {
    [granule_statistics_prefix(id).as_slice(), &array.to_be_bytes(), &page.to_be_bytes()].concat()
}

/// What the keys of all statistics of a granule start with.
pub fn granule_statistics_prefix(id: GranuleId) -> Vec<u8> {
    [b"v/", id.to_be_bytes().as_slice()].concat()
}

/// A record as bytes.
pub fn encode<T: Serialize>(record: &T) -> Result<Vec<u8>> {
    let bytes = postcard::to_stdvec(record).map_err(|e| Error::Internal(format!("a catalog record cannot be written: {e}")))?;
    deflate(VERSION, &bytes)
}

/// A record of bytes; `what` names it in the error.
pub fn decode<T: DeserializeOwned>(bytes: &[u8], what: &str) -> Result<T> {
    let inflated = inflate(VERSION, bytes);
    inflated
        .and_then(|bytes| postcard::from_bytes(&bytes).ok())
        .ok_or_else(|| Error::data("catalog", format!("the record of {what} is damaged or of another version")))
}

/// `version  length  zlib(bytes)`.
pub(super) fn deflate(version: u8, bytes: &[u8]) -> Result<Vec<u8>> {
    let length = u32::try_from(bytes.len()).ok().filter(|&n| n as usize <= RECORD_LIMIT);
    let Some(length) = length else {
        return Err(Error::Resources(format!("a catalog record of {} bytes is too large", bytes.len())));
    };
    let mut compressor = libdeflater::Compressor::new(libdeflater::CompressionLvl::fastest());
    let mut out = vec![0; 5 + compressor.zlib_compress_bound(bytes.len())];
    out[0] = version;
    out[1..5].copy_from_slice(&length.to_le_bytes());
    let written = compressor
        .zlib_compress(bytes, &mut out[5..])
        .map_err(|e| Error::Internal(format!("a catalog record cannot be compressed: {e:?}")))?;
    out.truncate(5 + written);
    Ok(out)
}

/// What `deflate` wrote; `None` for another version or damaged bytes. Deflate packs at most 1032 to 1, which bounds what
/// is allocated.
pub(super) fn inflate(version: u8, bytes: &[u8]) -> Option<Vec<u8>> {
    let (head, packed) = bytes.split_at_checked(5)?;
    let length = u32::from_le_bytes(head.get(1..5)?.try_into().ok()?) as usize;
    if head.first() != Some(&version) || length > RECORD_LIMIT || length > packed.len().saturating_mul(1032) {
        return None;
    }
    let mut out = vec![0; length];
    let written = libdeflater::Decompressor::new().zlib_decompress(packed, &mut out).ok()?;
    (written == length).then_some(out)
}
