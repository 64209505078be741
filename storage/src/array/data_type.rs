//! The types that stored cells have, before any convention is applied.

use serde::{Deserialize, Serialize};

/// The type of one stored cell. Byte order is told apart ([`ByteOrder`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum DataType {
    /// Signed integers.
    Int8,
    /// 16-bit signed.
    Int16,
    /// 32-bit signed.
    Int32,
    /// 64-bit signed.
    Int64,
    /// Unsigned integers.
    UInt8,
    /// 16-bit unsigned.
    UInt16,
    /// 32-bit unsigned.
    UInt32,
    /// 64-bit unsigned.
    UInt64,
    /// IEEE 754 half precision.
    Float16,
    /// IEEE 754 single precision.
    Float32,
    /// IEEE 754 double precision.
    Float64,
    /// Text of a fixed number of bytes a cell, padded with NUL or spaces (`S1` is netCDF's `char`).
    FixedText(u32),
    /// Text of any length; its chunks are always inline in the manifest (a JSON list of strings).
    Text,
}

impl DataType {
    /// Bytes a stored cell; 0 for [`DataType::Text`].
    pub fn size(self) -> usize {
        match self {
            DataType::Int8 | DataType::UInt8 => 1,
            DataType::Int16 | DataType::UInt16 | DataType::Float16 => 2,
            DataType::Int32 | DataType::UInt32 | DataType::Float32 => 4,
            DataType::Int64 | DataType::UInt64 | DataType::Float64 => 8,
            DataType::FixedText(n) => n as usize,
            DataType::Text => 0,
        }
    }

    /// True for the eight integer types.
    pub fn is_integer(self) -> bool {
        !self.is_float() && !self.is_text()
    }

    /// True for the three floating-point types.
    pub fn is_float(self) -> bool {
        matches!(self, DataType::Float16 | DataType::Float32 | DataType::Float64)
    }

    /// True for text.
    pub fn is_text(self) -> bool {
        matches!(self, DataType::FixedText(_) | DataType::Text)
    }

    /// True for `UInt8` to `UInt64`.
    pub fn is_unsigned(self) -> bool {
        matches!(self, DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64)
    }

    /// The unsigned type of the same width (CF's `_Unsigned`), or the type itself.
    pub fn unsigned(self) -> DataType {
        match self {
            DataType::Int8 => DataType::UInt8,
            DataType::Int16 => DataType::UInt16,
            DataType::Int32 => DataType::UInt32,
            DataType::Int64 => DataType::UInt64,
            other => other,
        }
    }

    /// numpy's name: `int16`, `float32`, `S8`, `str`.
    pub fn name(self) -> String {
        match self {
            DataType::FixedText(n) => format!("S{n}"),
            DataType::Text => "str".into(),
            other => format!("{other:?}").to_lowercase(),
        }
    }
}

/// Order of the bytes in a stored cell of more than one byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
pub enum ByteOrder {
    /// Least significant byte first.
    #[default]
    Little,
    /// Most significant byte first.
    Big,
}
