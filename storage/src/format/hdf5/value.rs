//! Bytes of attributes, fill values and enumerations as numbers and texts.

use super::datatype::Kind;
use crate::array::{ByteOrder, DataType, Scalar};
use crate::codec::decode_chunk;

/// How texts of a fixed length end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Padding {
    /// At the first NUL.
    NullTerminated,
    /// Before the NULs at the end.
    Nulls,
    /// Before the spaces at the end.
    Spaces,
}

/// Bytes as text: UTF-8, or Latin-1 where they are not UTF-8.
pub(super) fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().rposition(|&b| b != 0).map_or(0, |i| i + 1);
    let bytes = &bytes[..end];
    std::str::from_utf8(bytes).map_or_else(|_| bytes.iter().map(|&b| char::from(b)).collect(), str::to_string)
}

/// The text in a field of fixed length.
pub(super) fn padded_text(bytes: &[u8], padding: Padding) -> String {
    let bytes = match padding {
        Padding::NullTerminated => bytes.split(|&b| b == 0).next().unwrap_or_default(),
        Padding::Nulls => bytes,
        Padding::Spaces => &bytes[..bytes.iter().rposition(|&b| b != b' ').map_or(0, |i| i + 1)],
    };
    text(bytes)
}

/// The number in `bytes`; `None` when they are not as many as the type has, or the type is no number.
pub(super) fn number(bytes: &[u8], kind: &Kind) -> Option<Scalar> {
    match kind {
        Kind::Number(t, order) => cell(bytes, *t, *order),
        Kind::Converted(codec, t) => cell(&decode_chunk(std::slice::from_ref(codec), 0, bytes, t.size()).ok()?, *t, ByteOrder::Little),
        _ => None,
    }
}

/// The number in the bytes of one cell; `None` when they are not as many as the type has, or the type is a text.
pub(super) fn cell(bytes: &[u8], data_type: DataType, order: ByteOrder) -> Option<Scalar> {
    let mut word = [0u8; 8];
    let n = data_type.size();
    if bytes.len() != n || n > 8 {
        return None;
    }
    word.get_mut(..n)?.copy_from_slice(bytes);
    if order == ByteOrder::Big {
        word.get_mut(..n)?.reverse();
    }
    let bits = u64::from_le_bytes(word);
    Some(match data_type {
        DataType::Int8 => Scalar::Int(i64::from(bits as i8)),
        DataType::Int16 => Scalar::Int(i64::from(bits as i16)),
        DataType::Int32 => Scalar::Int(i64::from(bits as i32)),
        DataType::Int64 => Scalar::Int(bits as i64),
        DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64 => {
            i64::try_from(bits).map_or(Scalar::UInt(bits), Scalar::Int)
        }
        DataType::Float16 => Scalar::Float(half::f16::from_bits(bits as u16).to_f64()),
        DataType::Float32 => Scalar::Float(f64::from(f32::from_bits(bits as u32))),
        DataType::Float64 => Scalar::Float(f64::from_bits(bits)),
        DataType::FixedText(_) | DataType::Text => return None,
    })
}
