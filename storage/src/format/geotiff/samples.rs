//! What a sample is: its bits, what they mean, and the type of the cells that it becomes.

use super::directory::Directory;
use super::field::tag;
use crate::array::{ByteOrder, DataType};
use crate::{Error, Result};

/// How samples are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packing {
    /// As cells of their type.
    Whole,
    /// Integers of another number of bits.
    Bits,
    /// Floats of 24 bits.
    Float24,
}

/// The samples of one directory: all of them have one type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Samples {
    /// Bits of a stored sample; of one part of a complex one.
    pub(super) bits: u64,
    /// Type of a decoded sample; of one part of a complex one.
    pub(super) data_type: DataType,
    pub(super) packing: Packing,
    /// Real and imaginary part: 2; otherwise 1.
    pub(super) parts: u64,
}

impl Samples {
    /// Reads BitsPerSample and SampleFormat. Integers of other widths become the next wider type, as GDAL reads them.
    ///
    /// Packed integers begin with their most significant bit, whatever the file's byte order is; where readers differ (24 bits in
    /// big-endian files, longer whole bytes) they are refused.
    pub(super) fn of(directory: &Directory, order: ByteOrder, object: &str) -> Result<Samples> {
        let bits = same_for_all(directory, object, tag::BITS_PER_SAMPLE, 1)?;
        let format = same_for_all(directory, object, tag::SAMPLE_FORMAT, 1)?;
        let refused = || Error::unsupported(object, format!("BitsPerSample = {bits} with SampleFormat = {format}"));
        let whole = |data_type| Ok(Samples { bits, data_type, packing: Packing::Whole, parts: 1 });
        let complex = |data_type| Ok(Samples { bits: bits / 2, data_type, packing: Packing::Whole, parts: 2 });
        match (format, bits) {
            (1 | 4, 8) => whole(DataType::UInt8),
            (1 | 4, 16) => whole(DataType::UInt16),
            (1 | 4, 32) => whole(DataType::UInt32),
            (1 | 4, 64) => whole(DataType::UInt64),
            (2, 8) => whole(DataType::Int8),
            (2, 16) => whole(DataType::Int16),
            (2, 32) => whole(DataType::Int32),
            (2, 64) => whole(DataType::Int64),
            (3, 16) => whole(DataType::Float16),
            (3, 32) => whole(DataType::Float32),
            (3, 64) => whole(DataType::Float64),
            (3, 24) => Ok(Samples { bits, data_type: DataType::Float32, packing: Packing::Float24, parts: 1 }),
            (5, 16) => complex(DataType::Int8),
            (5, 32) => complex(DataType::Int16),
            (5, 64) => complex(DataType::Int32),
            (6, 32) => complex(DataType::Float16),
            (6, 64) => complex(DataType::Float32),
            (6, 128) => complex(DataType::Float64),
            (1 | 2 | 4, 24) if order == ByteOrder::Big => {
                Err(Error::unsupported(object, "BitsPerSample = 24 of integers in a big-endian file"))
            }
            (1 | 2 | 4, 40 | 48 | 56) => Err(refused()),
            (1 | 2 | 4, 1..64) => {
                let data_type = match (format == 2, bits) {
                    (false, ..8) => DataType::UInt8,
                    (false, ..16) => DataType::UInt16,
                    (false, ..32) => DataType::UInt32,
                    (false, _) => DataType::UInt64,
                    (true, ..8) => DataType::Int8,
                    (true, ..16) => DataType::Int16,
                    (true, ..32) => DataType::Int32,
                    (true, _) => DataType::Int64,
                };
                Ok(Samples { bits, data_type, packing: Packing::Bits, parts: 1 })
            }
            (1..=6, _) => Err(refused()),
            _ => Err(Error::unsupported(object, format!("SampleFormat = {format}"))),
        }
    }

    /// Bytes of a decoded sample, of one part of a complex one.
    pub(super) fn element(&self) -> u64 {
        self.data_type.size() as u64
    }

    /// Bytes that a row of `samples` samples is stored in.
    pub(super) fn row_bytes(&self, samples: u64) -> Option<u64> {
        Some(samples.checked_mul(self.parts)?.checked_mul(self.bits)?.div_ceil(8))
    }
}

/// The values of a tag, when they are one value; otherwise refused: samples of several types have no common array.
fn same_for_all(directory: &Directory, object: &str, tag: u16, default: u64) -> Result<u64> {
    let values = directory.unsigned(object, tag)?.unwrap_or_default();
    let value = values.first().copied().unwrap_or(default);
    match values.iter().find(|&&v| v != value) {
        Some(other) => Err(Error::unsupported(object, format!("{} = {value} and {other} in one image", tag::name(tag)))),
        None => Ok(value),
    }
}
