//! One chunk: from its stored bytes to cells in native byte order, with the checks that outside bytes need.

use std::ops::Range;

use crate::array::{ArrayMetadata, ByteOrder, DataType, EdgeChunks, Scalar};
use crate::catalog::Granule;
use crate::codec::{Codec, decode_chunk, decode_texts};
use crate::{Error, Result};

/// Largest chunk that is decoded, bytes.
const LARGEST: u64 = 1 << 30;

/// An array of a granule in messages: `/data/a.nc:/t2m`.
pub(super) fn name(granule: &Granule, array: &ArrayMetadata) -> String {
    format!("{}:{}", granule.location, array.path)
}

/// Shape of a decoded chunk: full, or cut at the array's end. `at`: chunk coordinates.
pub(super) fn stored_shape(array: &ArrayMetadata, at: &[u64]) -> Vec<u64> {
    let sides = array.chunk_shape.iter().map(|&side| side.max(1));
    match array.edge {
        EdgeChunks::Padded => sides.collect(),
        EdgeChunks::Clipped => {
            let ends = array.shape.iter().zip(at);
            sides.zip(ends).map(|(side, (&end, &i))| side.min(end.saturating_sub(i.saturating_mul(side)))).collect()
        }
    }
}

/// Bytes that a chunk of this shape has when it is decoded; refused when that is more than 1 GiB.
pub(super) fn decoded_len(granule: &Granule, array: &ArrayMetadata, shape: &[u64]) -> Result<usize> {
    let cells = shape.iter().try_fold(1u64, |n, &side| n.checked_mul(side));
    let bytes = cells.and_then(|n| n.checked_mul(array.data_type.size() as u64));
    match bytes.filter(|&n| n <= LARGEST).and_then(|n| usize::try_from(n).ok()) {
        Some(bytes) => Ok(bytes),
        None => {
            let size = bytes.map_or("more than 2^64".into(), |n| n.to_string());
            let feature = format!(
                "chunk size: a chunk of {shape:?} cells of {} takes {size} bytes decoded, at most {LARGEST} are read",
                array.data_type.name()
            );
            Err(Error::unsupported(name(granule, array), feature))
        }
    }
}

/// A chunk as it is stored.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stored<'a> {
    pub(super) granule: &'a Granule,
    pub(super) array: &'a ArrayMetadata,
    /// Where its bytes lie in the granule's object, for messages.
    pub(super) range: Option<&'a Range<u64>>,
    /// Bytes that it has decoded.
    pub(super) decoded_len: usize,
}

impl Stored<'_> {
    /// Its cells in native byte order.
    pub(super) fn decode(self, stored: &[u8], skip: u32) -> Result<Vec<u8>> {
        let cells = self.run(&self.array.codecs, skip, stored, self.decoded_len)?;
        Ok(self.native(cells))
    }

    /// Undoes all codecs but the first, which takes one of several bands or members.
    pub(super) fn decode_every_band(self, stored: &[u8], skip: u32) -> Result<Vec<u8>> {
        let every_band = match self.array.codecs.first() {
            Some(Codec::Interleave { samples, .. }) => self.decoded_len.checked_mul(*samples as usize),
            Some(Codec::Field { record, length, .. }) => {
                self.decoded_len.checked_div(*length as usize).and_then(|n| n.checked_mul(*record as usize))
            }
            _ => Some(self.decoded_len),
        };
        let every_band = every_band.filter(|&n| n as u64 <= LARGEST).ok_or_else(|| {
            let feature = format!("chunk size: all bands or members of {} bytes, at most {LARGEST} bytes are read", self.decoded_len);
            Error::unsupported(name(self.granule, self.array), feature)
        })?;
        self.run(self.array.codecs.get(1..).unwrap_or_default(), skip >> 1, stored, every_band)
    }

    /// Undoes the first codec, which takes one band or member.
    pub(super) fn take_band(self, every_band: &[u8]) -> Result<Vec<u8>> {
        let cells = self.run(self.array.codecs.get(..1).unwrap_or_default(), 0, every_band, self.decoded_len)?;
        Ok(self.native(cells))
    }

    fn run(self, codecs: &[Codec], skip: u32, stored: &[u8], len: usize) -> Result<Vec<u8>> {
        let damaged = |what| Error::Data { object: name(self.granule, self.array), range: self.range.cloned(), what };
        let cells = decode_chunk(codecs, skip, stored, len).map_err(|e| match e {
            Error::Data { what, .. } => damaged(what),
            Error::Unsupported { feature, .. } => Error::unsupported(name(self.granule, self.array), feature),
            other => other,
        })?;
        match cells.len() == len {
            true => Ok(cells),
            false => Err(damaged(format!("a chunk of {len} bytes was expected, {} were found", cells.len()))),
        }
    }

    fn native(self, mut cells: Vec<u8>) -> Vec<u8> {
        if (self.array.byte_order == ByteOrder::Big) == cfg!(target_endian = "little") {
            swap_bytes(&mut cells, self.array.data_type);
        }
        cells
    }
}

/// Turns every cell's bytes around; texts stay as they are.
fn swap_bytes(cells: &mut [u8], data_type: DataType) {
    if data_type.is_text() {
        return;
    }
    match data_type.size() {
        2 => cells.as_chunks_mut::<2>().0.iter_mut().for_each(|c| *c = u16::from_ne_bytes(*c).swap_bytes().to_ne_bytes()),
        4 => cells.as_chunks_mut::<4>().0.iter_mut().for_each(|c| *c = u32::from_ne_bytes(*c).swap_bytes().to_ne_bytes()),
        8 => cells.as_chunks_mut::<8>().0.iter_mut().for_each(|c| *c = u64::from_ne_bytes(*c).swap_bytes().to_ne_bytes()),
        _ => (),
    }
}

/// The value of cells that were never written, as one stored cell in native byte order; zero where none is declared.
pub(super) fn fill_cell(array: &ArrayMetadata) -> Vec<u8> {
    fn int<T: TryFrom<i128> + Default>(fill: Scalar) -> T {
        let whole = match fill {
            Scalar::Int(v) => i128::from(v),
            Scalar::UInt(v) => i128::from(v),
            Scalar::Float(v) => v as i128,
        };
        T::try_from(whole).unwrap_or_default()
    }
    let size = array.data_type.size();
    let Some(fill) = array.fill_value else { return vec![0; size] };
    match array.data_type {
        DataType::Int8 => int::<i8>(fill).to_ne_bytes().to_vec(),
        DataType::Int16 => int::<i16>(fill).to_ne_bytes().to_vec(),
        DataType::Int32 => int::<i32>(fill).to_ne_bytes().to_vec(),
        DataType::Int64 => int::<i64>(fill).to_ne_bytes().to_vec(),
        DataType::UInt8 => int::<u8>(fill).to_ne_bytes().to_vec(),
        DataType::UInt16 => int::<u16>(fill).to_ne_bytes().to_vec(),
        DataType::UInt32 => int::<u32>(fill).to_ne_bytes().to_vec(),
        DataType::UInt64 => int::<u64>(fill).to_ne_bytes().to_vec(),
        DataType::Float16 => half::f16::from_f64(fill.as_f64()).to_ne_bytes().to_vec(),
        DataType::Float32 => (fill.as_f64() as f32).to_ne_bytes().to_vec(),
        DataType::Float64 => fill.as_f64().to_ne_bytes().to_vec(),
        DataType::FixedText(_) | DataType::Text => vec![0; size],
    }
}

/// Most bytes of texts in one chunk.
const TEXTS: usize = 1 << 28;

/// The cells of a chunk of texts of any length: as its codecs make them, or, without codecs, a JSON list of strings (or nulls) as
/// the index keeps it.
pub(super) fn texts(granule: &Granule, array: &ArrayMetadata, json: &[u8], skip: u32, cells: usize) -> Result<Vec<Option<String>>> {
    let bad = |what: String| Error::data(name(granule, array), what);
    if !array.codecs.is_empty() {
        return decode_texts(&array.codecs, skip, json, cells, TEXTS).map_err(|e| match e {
            Error::Data { what, .. } => bad(what),
            Error::Unsupported { feature, .. } => Error::unsupported(name(granule, array), feature),
            other => other,
        });
    }
    let texts: Vec<Option<String>> = serde_json::from_slice(json).map_err(|e| bad(format!("the texts in the index do not parse: {e}")))?;
    if texts.len() != cells {
        return Err(bad(format!("a chunk of {cells} texts was expected, {} were found", texts.len())));
    }
    Ok(texts)
}
