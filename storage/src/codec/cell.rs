//! Codecs that compute with cells, as numcodecs' filters do: `delta`, `fixedscaleoffset`, `astype`. Their arithmetic is
//! numpy's: integers wrap around, quotients are float64 (float32 for stored float32), floats become integers by truncation.

use serde::{Deserialize, Serialize};

use super::damaged;
use crate::array::{ByteOrder, DataType};
use crate::{Error, Result};

/// The numbers before or behind a codec that computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CellType {
    /// Any type of numbers.
    pub data_type: DataType,
    /// Order of their bytes.
    pub order: ByteOrder,
}

/// Cells that are converted at once.
const BLOCK: usize = 512;

impl CellType {
    /// Bytes a cell.
    pub(super) fn size(self) -> usize {
        self.data_type.size()
    }

    fn checked(self, codec: &str) -> Result<CellType> {
        match self.data_type.is_text() {
            true => Err(Error::unsupported("chunk", format!("{codec} of texts"))),
            false => Ok(self),
        }
    }
}

/// Reads cells as `$as`, one loop for each type and byte order.
macro_rules! load {
    ($cells:expr, $cell:expr, $out:expr, $as:ty, $($variant:ident $type:ty),*) => {
        match ($cell.data_type, $cell.order) {
            $((DataType::$variant, ByteOrder::Little) => {
                let cells = $cells.as_chunks::<{ size_of::<$type>() }>().0;
                $out.iter_mut().zip(cells).for_each(|(out, c)| *out = <$type>::from_le_bytes(*c) as $as);
            }
            (DataType::$variant, ByteOrder::Big) => {
                let cells = $cells.as_chunks::<{ size_of::<$type>() }>().0;
                $out.iter_mut().zip(cells).for_each(|(out, c)| *out = <$type>::from_be_bytes(*c) as $as);
            })*
            _ => (),
        }
    };
}

/// Writes `$values` as cells, one loop for each type and byte order.
macro_rules! store {
    ($values:expr, $cell:expr, $out:expr, $($variant:ident $type:ty),*) => {
        match ($cell.data_type, $cell.order) {
            $((DataType::$variant, ByteOrder::Little) => {
                let cells = $out.as_chunks_mut::<{ size_of::<$type>() }>().0;
                cells.iter_mut().zip($values).for_each(|(c, v)| *c = (*v as $type).to_le_bytes());
            }
            (DataType::$variant, ByteOrder::Big) => {
                let cells = $out.as_chunks_mut::<{ size_of::<$type>() }>().0;
                cells.iter_mut().zip($values).for_each(|(c, v)| *c = (*v as $type).to_be_bytes());
            })*
            _ => (),
        }
    };
}

/// Integers to integers, which wrap: all that counts are the bits of 64-bit two's complements. `output` has as many cells as
/// `input`.
fn integers(input: &[u8], output: &mut [u8], from: CellType, to: CellType, mut convert: impl FnMut(u64) -> u64) {
    let mut words = [0u64; BLOCK];
    for (input, output) in input.chunks(BLOCK * from.size()).zip(output.chunks_mut(BLOCK * to.size())) {
        load!(input, from, words, u64, Int8 i8, Int16 i16, Int32 i32, Int64 i64, UInt8 u8, UInt16 u16, UInt32 u32, UInt64 u64);
        words.iter_mut().for_each(|w| *w = convert(*w));
        store!(&words, to, output, Int8 i8, Int16 i16, Int32 i32, Int64 i64, UInt8 u8, UInt16 u16, UInt32 u32, UInt64 u64);
    }
}

/// Through float64, which all other types but 64-bit integers fit into exactly. Floats become integers by truncation, when
/// they fit. `output` has as many cells as `input`.
fn floats(input: &[u8], output: &mut [u8], from: CellType, to: CellType, mut convert: impl FnMut(f64) -> f64) -> Result<()> {
    let mut values = [0f64; BLOCK];
    for (input, output) in input.chunks(BLOCK * from.size()).zip(output.chunks_mut(BLOCK * to.size())) {
        let Some(values) = values.get_mut(..input.len() / from.size()) else { break };
        load!(input, from, values, f64, Int8 i8, Int16 i16, Int32 i32, Int64 i64, UInt8 u8, UInt16 u16, UInt32 u32, UInt64 u64,
            Float32 f32, Float64 f64);
        if from.data_type == DataType::Float16 {
            let half = |c: &[u8; 2]| if from.order == ByteOrder::Big { u16::from_be_bytes(*c) } else { u16::from_le_bytes(*c) };
            values.iter_mut().zip(input.as_chunks().0).for_each(|(v, c)| *v = half::f16::from_bits(half(c)).to_f64());
        }
        values.iter_mut().for_each(|v| *v = convert(*v));
        if let Some((low, high)) = limits(to.data_type) {
            // NaN lies nowhere.
            if let Some(outside) = values.iter().find(|v| !(v.trunc() >= low && v.trunc() < high)) {
                return Err(damaged(format!("{outside} does not fit in {}", to.data_type.name())));
            }
        }
        store!(values.iter(), to, output, Int8 i8, Int16 i16, Int32 i32, Int64 i64, UInt8 u8, UInt16 u16, UInt32 u32, UInt64 u64,
            Float32 f32, Float64 f64);
        if to.data_type == DataType::Float16 {
            let bytes = |v: u16| if to.order == ByteOrder::Big { v.to_be_bytes() } else { v.to_le_bytes() };
            output.as_chunks_mut().0.iter_mut().zip(values).for_each(|(c, v)| *c = bytes(half::f16::from_f64(*v).to_bits()));
        }
    }
    Ok(())
}

/// The least value of an integer type, and the first one above it; both are exact.
fn limits(data_type: DataType) -> Option<(f64, f64)> {
    let bits = 8 * data_type.size() as i32;
    match data_type {
        t if !t.is_integer() => None,
        t if t.is_unsigned() => Some((0.0, 2f64.powi(bits))),
        _ => Some((-(2f64.powi(bits - 1)), 2f64.powi(bits - 1))),
    }
}

/// Sums up differences, each cell from the one before it (numcodecs' `Delta`).
pub(super) fn undo_delta(input: &[u8], output: &mut [u8], decoded: CellType, encoded: CellType) -> Result<()> {
    let (decoded, encoded) = (decoded.checked("delta")?, encoded.checked("delta")?);
    match (encoded.data_type, decoded.data_type) {
        (from, to) if from.is_integer() && to.is_integer() => {
            let mut sum = 0u64;
            integers(input, output, encoded, decoded, |difference| {
                sum = sum.wrapping_add(difference);
                sum
            });
            Ok(())
        }
        // Begun with the first cell, so that a negative zero stays one.
        (DataType::Float32, DataType::Float32) => {
            let mut sum = None;
            floats(input, output, encoded, decoded, |difference| {
                let next = sum.map_or(difference as f32, |sum: f32| sum + difference as f32);
                sum = Some(next);
                next.into()
            })
        }
        (DataType::Float64, DataType::Float64) => {
            let mut sum = None;
            floats(input, output, encoded, decoded, |difference| {
                let next = sum.map_or(difference, |sum: f64| sum + difference);
                sum = Some(next);
                next
            })
        }
        (from, to) => Err(Error::unsupported("chunk", format!("delta from {} to {}", from.name(), to.name()))),
    }
}

/// value = stored / `scale` + `offset` (numcodecs' `FixedScaleOffset`).
pub(super) fn undo_scale(input: &[u8], output: &mut [u8], scale: f64, offset: f64, decoded: CellType, encoded: CellType) -> Result<()> {
    let (decoded, encoded) = (decoded.checked("fixedscaleoffset")?, encoded.checked("fixedscaleoffset")?);
    match encoded.data_type {
        DataType::Float16 => Err(Error::unsupported("chunk", "fixedscaleoffset stored as float16")),
        DataType::Float32 => {
            let (scale, offset) = (scale as f32, offset as f32);
            floats(input, output, encoded, decoded, |v| (v as f32 / scale + offset).into())
        }
        _ => floats(input, output, encoded, decoded, |v| v / scale + offset),
    }
}

/// Each cell as another type (numcodecs' `AsType`).
pub(super) fn undo_as_type(input: &[u8], output: &mut [u8], decoded: CellType, encoded: CellType) -> Result<()> {
    let (decoded, encoded) = (decoded.checked("astype")?, encoded.checked("astype")?);
    let (from, to) = (encoded.data_type, decoded.data_type);
    if from.is_integer() && to.is_integer() {
        integers(input, output, encoded, decoded, |word| word);
        return Ok(());
    }
    if from.size() == 8 && from.is_integer() && to != DataType::Float64 {
        // They would be rounded twice.
        return Err(Error::unsupported("chunk", format!("astype from {} to {}", from.name(), to.name())));
    }
    floats(input, output, encoded, decoded, |v| v)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(data_type: DataType, order: ByteOrder) -> CellType {
        CellType { data_type, order }
    }

    #[test]
    fn numbers_wrap_truncate_or_do_not_fit() {
        let (bytes, words) = (of(DataType::Int8, ByteOrder::Little), of(DataType::UInt16, ByteOrder::Big));
        let mut out = [0; 6];
        undo_delta(&[1, 2, 0xfc], &mut out, words, bytes).unwrap();
        assert_eq!(out, [0, 1, 0, 3, 0xff, 0xff]);
        let floats = of(DataType::Float32, ByteOrder::Big);
        let stored = |v: f32| v.to_be_bytes();
        let mut out = [0; 1];
        undo_as_type(&stored(-3.9), &mut out, bytes, floats).unwrap();
        assert_eq!(out, [0xfd]);
        for v in [f32::NAN, f32::INFINITY, 128.0, -129.0] {
            assert!(undo_as_type(&stored(v), &mut out, bytes, floats).unwrap_err().to_string().contains("does not fit in int8"));
        }
        assert!(undo_delta(&stored(1.0), &mut out, bytes, floats).unwrap_err().to_string().contains("delta from float32 to int8"));
        assert!(undo_as_type(&[65], &mut out, bytes, of(DataType::FixedText(1), ByteOrder::Little)).is_err());
    }
}
