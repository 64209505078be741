//! One chunk: from its stored bytes to cells in native byte order, with the checks that outside bytes need.

use std::ops::Range;

use crate::array::{ArrayMetadata, ByteOrder, DataType, EdgeChunks, Scalar};
use crate::catalog::Granule;
use crate::codec::decode_chunk;
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

/// Decodes a chunk. `range`: where the bytes lie in the granule's object, for messages.
pub(super) fn decode(
    granule: &Granule,
    array: &ArrayMetadata,
    stored: &[u8],
    skip: u32,
    decoded_len: usize,
    range: Option<&Range<u64>>,
) -> Result<Vec<u8>> {
    let mut cells = decode_chunk(&array.codecs, skip, stored, decoded_len).map_err(|e| match e {
        Error::Data { what, .. } => Error::Data { object: name(granule, array), range: range.cloned(), what },
        Error::Unsupported { feature, .. } => Error::unsupported(name(granule, array), feature),
        other => other,
    })?;
    if cells.len() != decoded_len {
        let what = format!("a chunk of {decoded_len} bytes was expected, {} were found", cells.len());
        return Err(Error::Data { object: name(granule, array), range: range.cloned(), what });
    }
    if (array.byte_order == ByteOrder::Big) == cfg!(target_endian = "little") {
        swap_bytes(&mut cells, array.data_type);
    }
    Ok(cells)
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

/// The cells of a chunk of texts of any length: a JSON list of strings (or nulls) as the index keeps it.
pub(super) fn texts(granule: &Granule, array: &ArrayMetadata, json: &[u8], cells: usize) -> Result<Vec<Option<String>>> {
    let bad = |what: String| Error::data(name(granule, array), what);
    let texts: Vec<Option<String>> = serde_json::from_slice(json).map_err(|e| bad(format!("the texts in the index do not parse: {e}")))?;
    if texts.len() != cells {
        return Err(bad(format!("a chunk of {cells} texts was expected, {} were found", texts.len())));
    }
    Ok(texts)
}
