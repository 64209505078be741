//! Steps that only TIFF has: its image codecs and the packing of samples into bits. One file a codec; here: what an array's
//! metadata records of them.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::damaged;
use crate::array::{ByteOrder, DataType};
use crate::{Error, Result};

mod bits;
mod fax;
mod jpeg;
mod lerc;
mod webp;
mod xz;
mod ycbcr;
mod zstd;

pub use fax::FaxCode;

/// One step of a TIFF strip's or tile's encoding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum TiffCodec {
    /// Zstandard frames, compression 50000.
    Zstd,
    /// An xz stream, compression 34925.
    Lzma,
    /// A JPEG stream, compression 7.
    Jpeg {
        /// Pixels in a row of the chunk.
        width: u32,
        /// Samples a pixel.
        samples: u32,
        /// Samples are YCbCr and become RGB, as GDAL reads them.
        rgb: bool,
        /// The tag JPEGTables: quantization and Huffman tables that all streams share; may be empty.
        tables: Bytes,
    },
    /// A WebP image, compression 50001.
    Webp {
        /// Pixels in a row of the chunk.
        width: u32,
        /// Samples a pixel: 3 or 4.
        samples: u32,
    },
    /// A LERC blob, compression 34887. Undoing it gives samples in little-endian order (of which the file's order may make
    /// other numbers); floats that it masks become NaN.
    Lerc {
        /// Pixels in a row of the chunk.
        width: u32,
        /// Samples a pixel.
        samples: u32,
        /// Type of a sample.
        data_type: DataType,
        /// The last sample is alpha: 0 where the blob masks a pixel that it has no fourth value for.
        alpha: bool,
    },
    /// CCITT facsimile codes, compressions 2 to 4. Undoing it gives rows of one bit a pixel (black is 1), each padded to
    /// whole bytes.
    Fax {
        /// Pixels in a row of the chunk.
        width: u32,
        /// Which of the codes.
        code: FaxCode,
    },
    /// Samples of 1 to 63 bits, most significant first, packed into rows that are padded to whole bytes. Undoing it gives little-endian integers.
    Bits {
        /// Samples in a row of the chunk.
        row: u32,
        /// Bits a packed sample.
        bits: u8,
        /// Bytes an unpacked sample.
        element: u8,
        /// The highest bit is a sign.
        signed: bool,
    },
    /// Floats of 24 bits: a sign, 7 bits of exponent, 16 of fraction. Undoing it gives little-endian `float32`.
    Float24 {
        /// Order of a sample's bytes.
        order: ByteOrder,
    },
    /// `FillOrder` 2: the bits of every stored byte stand in reverse order.
    ReverseBits,
    /// YCbCr pixels of 8 bits whose chroma may stand once for several pixels (TIFF 6.0 section 21). Undoing it gives RGB.
    Ycbcr {
        /// Pixels in a row of the chunk.
        width: u32,
        /// Columns that share chroma: 1, 2 or 4.
        horizontal: u8,
        /// Rows that share chroma: 1, 2 or 4.
        vertical: u8,
        /// `YCbCrCoefficients`, as the bits of `float32`.
        coefficients: [u32; 3],
        /// `ReferenceBlackWhite`, as the bits of `float32`.
        reference: [u32; 6],
    },
}

impl TiffCodec {
    /// The name that `inspect` shows.
    pub fn name(&self) -> &'static str {
        match self {
            TiffCodec::Zstd => "zstd",
            TiffCodec::Lzma => "lzma",
            TiffCodec::Jpeg { .. } => "jpeg",
            TiffCodec::Webp { .. } => "webp",
            TiffCodec::Lerc { .. } => "lerc",
            TiffCodec::Fax { .. } => "fax",
            TiffCodec::Bits { .. } => "bits",
            TiffCodec::Float24 { .. } => "float24",
            TiffCodec::ReverseBits => "reverse_bits",
            TiffCodec::Ycbcr { .. } => "ycbcr",
        }
    }

    /// Bytes that `decoded` bytes have once encoded; `None` for compressors.
    pub(super) fn encoded_len(&self, decoded: usize) -> Result<Option<usize>> {
        match *self {
            TiffCodec::Bits { row, bits, element, .. } => bits::packed_len(decoded, row, bits, element).map(Some),
            TiffCodec::Float24 { .. } if decoded.is_multiple_of(4) => Ok(Some(decoded / 4 * 3)),
            TiffCodec::Float24 { .. } => Err(damaged(format!("float24: {decoded} bytes are not whole float32"))),
            TiffCodec::ReverseBits => Ok(Some(decoded)),
            TiffCodec::Ycbcr { width, horizontal, vertical, .. } => ycbcr::packed_len(decoded, width, horizontal, vertical).map(Some),
            _ => Ok(None),
        }
    }

    /// More bytes than one stored byte can become.
    pub(super) fn largest_ratio(&self) -> usize {
        match self {
            TiffCodec::Zstd => zstd::LARGEST_RATIO,
            TiffCodec::Lzma => xz::LARGEST_RATIO,
            // Their headers say how large the image is; it is compared before anything is decoded.
            _ => usize::MAX,
        }
    }

    /// Decodes `input` into `output` and gives the number of bytes written.
    pub(super) fn undo(&self, input: &[u8], output: &mut [u8]) -> Result<usize> {
        match self {
            TiffCodec::Zstd => zstd::undo(input, output),
            TiffCodec::Lzma => xz::undo(input, output),
            TiffCodec::Jpeg { width, samples, rgb, tables } => jpeg::undo(input, output, *width, *samples, *rgb, tables),
            TiffCodec::Webp { width, samples } => webp::undo(input, output, *width, *samples),
            TiffCodec::Lerc { width, samples, data_type, alpha } => lerc::undo(input, output, *width, *samples, *data_type, *alpha),
            TiffCodec::Fax { width, code } => fax::undo(input, output, *width, *code),
            TiffCodec::Bits { row, bits, element, signed } => bits::undo(input, output, *row, *bits, *element, *signed),
            TiffCodec::Float24 { order } => Ok(bits::float24(input, output, *order)),
            TiffCodec::ReverseBits => {
                output.iter_mut().zip(input).for_each(|(o, b)| *o = b.reverse_bits());
                Ok(input.len().min(output.len()))
            }
            TiffCodec::Ycbcr { width, horizontal, vertical, coefficients, reference } => {
                let tables = ycbcr::Tables::new(coefficients.map(f32::from_bits), reference.map(f32::from_bits));
                ycbcr::undo(input, output, *width, (*horizontal, *vertical), &tables)
            }
        }
    }
}

/// Rows of `row` bytes that `found` bytes are; an error when they are not whole rows.
fn whole_rows(name: &str, found: usize, row: usize) -> Result<usize> {
    match row {
        0 => Err(damaged(format!("{name}: rows of 0 bytes"))),
        row if found.is_multiple_of(row) => Ok(found / row),
        row => Err(damaged(format!("{name}: {found} bytes are not whole rows of {row} bytes"))),
    }
}

/// Runs a decoder of a library that may unwind on damaged bytes.
fn guarded<T>(name: &str, decode: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(decode)).unwrap_or_else(|cause| {
        let text = cause.downcast_ref::<String>().map(String::as_str).or_else(|| cause.downcast_ref::<&str>().copied());
        Err(damaged(format!("{name}: {}", text.unwrap_or("the decoder gave up"))))
    })
}

/// A feature of a stream that is not read; the caller adds the object.
fn unsupported(feature: impl Into<String>) -> Error {
    Error::unsupported("chunk", feature)
}
