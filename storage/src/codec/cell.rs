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

/// One number, wide enough for all types.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Number {
    Integer(i128),
    Single(f32),
    Double(f64),
}

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

    fn load(self, cell: &[u8]) -> Number {
        let mut word = [0; 8];
        word.iter_mut().zip(cell).for_each(|(w, c)| *w = *c);
        if self.order == ByteOrder::Big {
            word.get_mut(..cell.len().min(8)).unwrap_or_default().reverse();
        }
        let bits = u64::from_le_bytes(word);
        match self.data_type {
            DataType::Int8 => Number::Integer((bits as i8).into()),
            DataType::Int16 => Number::Integer((bits as i16).into()),
            DataType::Int32 => Number::Integer((bits as i32).into()),
            DataType::Int64 => Number::Integer((bits as i64).into()),
            DataType::Float16 => Number::Single(half::f16::from_bits(bits as u16).to_f32()),
            DataType::Float32 => Number::Single(f32::from_bits(bits as u32)),
            DataType::Float64 => Number::Double(f64::from_bits(bits)),
            _ => Number::Integer(bits.into()),
        }
    }

    /// Writes a number as this type; integers wrap, floats are rounded once, or truncated to integers when they fit.
    fn store(self, number: Number, cell: &mut [u8]) -> Result<()> {
        let float = match number {
            Number::Integer(n) => n as f64,
            Number::Single(v) => v.into(),
            Number::Double(v) => v,
        };
        let single = || match number {
            Number::Integer(n) => n as f32,
            Number::Single(v) => v,
            Number::Double(v) => v as f32,
        };
        let bits = match (self.data_type, number) {
            (DataType::Float16, _) => half::f16::from_f64(float).to_bits().into(),
            (DataType::Float32, _) => single().to_bits().into(),
            (DataType::Float64, _) => float.to_bits(),
            (_, Number::Integer(n)) => n as u64,
            (t, _) => {
                let bits = 8 * t.size() as u32;
                let (low, high) =
                    if t.is_unsigned() { (0, (1i128 << bits) - 1) } else { (-(1i128 << (bits - 1)), (1i128 << (bits - 1)) - 1) };
                let whole = float.trunc();
                // NaN lies nowhere.
                if !(whole >= low as f64 && whole <= high as f64 && (low..=high).contains(&(whole as i128))) {
                    return Err(damaged(format!("{float} does not fit in {}", t.name())));
                }
                whole as i128 as u64
            }
        };
        let mut word = bits.to_le_bytes();
        let size = cell.len().min(8);
        let word = word.get_mut(..size).unwrap_or_default();
        if self.order == ByteOrder::Big {
            word.reverse();
        }
        cell.copy_from_slice(word);
        Ok(())
    }
}

/// Runs `convert` over all cells of `input`; `output` has as many cells.
fn each(input: &[u8], output: &mut [u8], from: CellType, to: CellType, mut convert: impl FnMut(Number) -> Number) -> Result<()> {
    for (stored, out) in input.chunks_exact(from.size()).zip(output.chunks_exact_mut(to.size())) {
        to.store(convert(from.load(stored)), out)?;
    }
    Ok(())
}

/// Sums up differences, each cell from the one before it (numcodecs' `Delta`).
pub(super) fn undo_delta(input: &[u8], output: &mut [u8], decoded: CellType, encoded: CellType) -> Result<()> {
    let (decoded, encoded) = (decoded.checked("delta")?, encoded.checked("delta")?);
    let (from, to) = (encoded.data_type, decoded.data_type);
    if from == DataType::Float16 || (from.is_float() || to.is_float()) && from != to {
        return Err(Error::unsupported("chunk", format!("delta from {} to {}", from.name(), to.name())));
    }
    let mut sum = None;
    each(input, output, encoded, decoded, |difference| {
        let next = match (sum, difference) {
            (Some(Number::Integer(sum)), Number::Integer(d)) => Number::Integer(i128::wrapping_add(sum, d)),
            (Some(Number::Single(sum)), Number::Single(d)) => Number::Single(sum + d),
            (Some(Number::Double(sum)), Number::Double(d)) => Number::Double(sum + d),
            (_, first) => first,
        };
        sum = Some(next);
        next
    })
}

/// value = stored / `scale` + `offset` (numcodecs' `FixedScaleOffset`).
pub(super) fn undo_scale(input: &[u8], output: &mut [u8], scale: f64, offset: f64, decoded: CellType, encoded: CellType) -> Result<()> {
    let (decoded, encoded) = (decoded.checked("fixedscaleoffset")?, encoded.checked("fixedscaleoffset")?);
    if encoded.data_type == DataType::Float16 {
        return Err(Error::unsupported("chunk", "fixedscaleoffset stored as float16"));
    }
    each(input, output, encoded, decoded, |stored| match stored {
        Number::Integer(n) => Number::Double(n as f64 / scale + offset),
        Number::Single(v) => Number::Single(v / scale as f32 + offset as f32),
        Number::Double(v) => Number::Double(v / scale + offset),
    })
}

/// Each cell as another type (numcodecs' `AsType`).
pub(super) fn undo_as_type(input: &[u8], output: &mut [u8], decoded: CellType, encoded: CellType) -> Result<()> {
    let (decoded, encoded) = (decoded.checked("astype")?, encoded.checked("astype")?);
    each(input, output, encoded, decoded, |stored| stored)
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
