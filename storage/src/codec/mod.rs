//! Stored bytes to cells. One file a codec; [`Codec`] is what an array's metadata records, [`decode_chunk`] runs the chain.
//!
//! Names follow Zarr v3 where it has one. Codecs are listed in encoding order and undone from the last to the first.

use serde::{Deserialize, Serialize};

use crate::array::ByteOrder;
use crate::{Error, Result};

mod chain;
mod deflate;
mod fletcher32;
mod float_predictor;
mod horizontal_predictor;
mod interleave;
mod lzw;
mod packbits;
mod shuffle;
#[cfg(test)]
mod tests;

/// One step of an array's encoding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Codec {
    /// HDF5 filter 2: bytes of equal significance together.
    Shuffle {
        /// Bytes an element.
        element: u32,
    },
    /// zlib stream (RFC 1950) of exactly the chunk's bytes: HDF5 filter 1.
    Deflate,
    /// HDF5 filter 3: four checksum bytes at the end.
    Fletcher32,
    /// TIFF compression 5.
    Lzw,
    /// TIFF compression 32773.
    PackBits,
    /// TIFF predictor 2: differences between neighbouring samples of a row, in the stored byte order.
    HorizontalPredictor {
        /// Samples in a row of the chunk (pixels * samples a pixel).
        row: u32,
        /// Samples a pixel.
        samples: u32,
        /// Bytes a sample.
        element: u32,
        /// Byte order of the samples.
        order: ByteOrder,
    },
    /// TIFF predictor 3: bytes of a row's floats by significance, then differences (Adobe Photoshop TIFF technical note 3).
    /// Undoing it leaves samples in the machine-independent order the note gives: most significant byte first.
    FloatPredictor {
        /// Samples in a row of the chunk.
        row: u32,
        /// Samples a pixel.
        samples: u32,
        /// Bytes a sample.
        element: u32,
    },
    /// Takes one of several samples interleaved by pixel (TIFF planar configuration 1). The last step of decoding, so the
    /// first in encoding order.
    Interleave {
        /// Samples a pixel.
        samples: u32,
        /// The sample taken, from 0.
        sample: u32,
        /// Bytes a sample.
        element: u32,
    },
    /// zlib stream of a TIFF strip or tile, compression 8 and 32946. Rows below the image, which some writers put into the
    /// last strip, are left, as libtiff does (so do [`Codec::Lzw`] and [`Codec::PackBits`]).
    TiffDeflate,
}

impl Codec {
    /// The name that `inspect` shows: `shuffle`, `deflate`, `lzw`, `predictor2` ...
    pub fn name(&self) -> &'static str {
        match self {
            Codec::Shuffle { .. } => "shuffle",
            Codec::Deflate | Codec::TiffDeflate => "deflate",
            Codec::Fletcher32 => "fletcher32",
            Codec::Lzw => "lzw",
            Codec::PackBits => "packbits",
            Codec::HorizontalPredictor { .. } => "predictor2",
            Codec::FloatPredictor { .. } => "predictor3",
            Codec::Interleave { .. } => "interleave",
        }
    }
}

/// Undoes `codecs` (given in encoding order; bit i of `skip` leaves codec i out) on one chunk's stored bytes.
///
/// `decoded_len` is the number of bytes that the whole chunk must have at the end: chunk cells * element size. A chunk
/// that decodes to anything else is an error; nothing larger than what the chain can need is ever allocated.
/// Errors carry what was expected and found; the caller adds object and byte range.
pub fn decode_chunk(codecs: &[Codec], skip: u32, stored: &[u8], decoded_len: usize) -> Result<Vec<u8>> {
    chain::decode(codecs, skip, stored, decoded_len)
}

/// Bytes that could not be decoded; the caller, who knows the object and the range, replaces `chunk`.
fn damaged(what: impl Into<String>) -> Error {
    Error::data("chunk", what)
}
