//! Stored bytes to cells. One file a codec; [`Codec`] is what an array's metadata records, [`decode_chunk`] runs the chain.
//!
//! Names follow Zarr v3 where it has one. Codecs are listed in encoding order and undone from the last to the first.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::array::{ByteOrder, DataType};
use crate::{Error, Result};
pub use tiff::{FaxCode, TiffCodec};

mod bits;
mod bitshuffle;
mod blosc;
mod blosclz;
mod bzip2;
mod cell;
mod chain;
mod checksum;
mod deflate;
mod field;
mod fletcher32;
mod float_predictor;
mod horizontal_predictor;
mod interleave;
mod lz4;
mod lzf;
mod lzma;
mod lzw;
mod nbit;
mod number;
mod packbits;
mod packed_bools;
mod padded_text;
mod pcodec;
pub(crate) mod plane;
mod scale_offset;
mod shuffle;
mod snappy;
mod szip;
#[cfg(test)]
mod tests;
mod texts;
mod tiff;
mod transpose;
mod zarrs_chain;
mod zstd;

pub use bitshuffle::BitshuffleInner;
pub use cell::CellType;
pub use checksum::ChecksumAt;
pub(crate) use checksum::crc32c;
pub use lz4::Lz4Framing;
pub use lzma::LzmaFilter;
pub use number::{FloatFields, Normalization};
pub use zarrs_chain::ZarrsChain;

/// One step of an array's encoding.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
    /// One gzip member (RFC 1952).
    Gzip,
    /// Zstandard frames (RFC 8878); HDF5 filter 32015.
    Zstd,
    /// bzip2 streams; HDF5 filter 307, numcodecs' `bz2`.
    Bzip2,
    /// LZ4 blocks; HDF5 filter 32004, numcodecs' `lz4`.
    Lz4 {
        /// What stands around the blocks.
        framing: Lz4Framing,
    },
    /// LZMA; numcodecs' `lzma`.
    Lzma {
        /// The filters of a raw stream, as they encode (`format` 3); empty: an .xz or .lzma container.
        filters: Vec<LzmaFilter>,
    },
    /// A Blosc 1 buffer, which tells its own compressor and shuffle; HDF5 filter 32001.
    Blosc,
    /// Four bytes of CRC-32 (zlib's).
    Crc32 {
        /// Where they stand.
        at: ChecksumAt,
    },
    /// Four bytes of CRC-32C (Castagnoli).
    Crc32c {
        /// Where they stand.
        at: ChecksumAt,
    },
    /// Four bytes of Adler-32.
    Adler32 {
        /// Where they stand.
        at: ChecksumAt,
    },
    /// numcodecs' `delta`: each cell's difference from the one before it, over the whole chunk.
    Delta {
        /// Cells once decoded (`dtype`).
        decoded: CellType,
        /// The differences (`astype`).
        encoded: CellType,
    },
    /// numcodecs' `fixedscaleoffset`: value = stored / `scale` + `offset`.
    FixedScaleOffset {
        /// Divides.
        scale: f64,
        /// Is added.
        offset: f64,
        /// Cells once decoded (`dtype`).
        decoded: CellType,
        /// Cells as stored (`astype`).
        encoded: CellType,
    },
    /// numcodecs' `astype`.
    AsType {
        /// Cells once decoded (`decode_dtype`).
        decoded: CellType,
        /// Cells as stored (`encode_dtype`).
        encoded: CellType,
    },
    /// numcodecs' `packbits`: booleans of one byte as bits.
    PackedBools,
    /// HDF5 filter 32000: LibLZF.
    Lzf,
    /// HDF5 filter 32008: bits of equal significance together, then compressed.
    Bitshuffle {
        /// Bytes an element.
        element: u32,
        /// Elements a block of chunks that are not compressed; 0: the library's default.
        block: u32,
        /// The compressor.
        inner: BitshuffleInner,
    },
    /// HDF5 filter 4: extended-Rice coding.
    Szip {
        /// The filter's client values: options, pixels a block, bits a pixel, pixels a scanline.
        parameters: Vec<u32>,
    },
    /// HDF5 filter 5: only the significant bits of numbers.
    NBit {
        /// The filter's client values: their number, whether chunks are stored as they are, elements, type.
        parameters: Vec<u32>,
    },
    /// HDF5 filter 6: distances from the chunk's minimum in few bits.
    ScaleOffset {
        /// The filter's client values: scale type and factor, elements, class, size, sign, order, fill value.
        parameters: Vec<u32>,
    },
    /// A step that only TIFF has.
    Tiff(TiffCodec),
    /// Takes one member of each record (HDF5 compound types).
    Field {
        /// Bytes a record.
        record: u32,
        /// The member's first byte in it.
        offset: u32,
        /// Bytes of the member.
        length: u32,
    },
    /// Makes little-endian integers of 1, 2, 4 or 8 bytes, the next size that holds them.
    Integer {
        /// Bytes an element, 1 to 8.
        size: u32,
        /// The first bit that counts.
        offset: u32,
        /// The number of bits that count.
        precision: u32,
        /// The last of them is the sign, in two's complement.
        signed: bool,
        /// Order of the bytes.
        order: ByteOrder,
    },
    /// Makes little-endian floating-point numbers of [`FloatFields::cells`].
    Float(FloatFields),
    /// Clears what follows the end of a text of fixed length: spaces at its end, or whatever follows its first NUL.
    PaddedText {
        /// Bytes a text.
        size: u32,
        /// It ends before spaces; else at its first NUL.
        spaces: bool,
    },
    /// Axes in another order: axis i of what is stored is axis `order[i]` of the chunk.
    Transpose {
        /// Cells of the chunk along each axis.
        shape: Vec<u64>,
        /// A permutation.
        order: Vec<u8>,
        /// Bytes a cell.
        element: u32,
    },
    /// Texts of a fixed number of UTF-32 characters (numpy's `U`), read as UTF-8 of as many bytes.
    Utf32 {
        /// Characters a text.
        characters: u32,
        /// Order of the bytes.
        order: ByteOrder,
    },
    /// Texts of any length with their lengths between them; see [`decode_texts`].
    VlenUtf8,
    /// Texts in a JSON list; see [`decode_texts`].
    JsonTexts,
    /// Pcodec; leaves little-endian numbers.
    Pcodec {
        /// What is packed.
        data_type: DataType,
    },
    /// Codecs of Zarr v3 that the crate zarrs decodes; leaves cells in native byte order.
    Zarrs(ZarrsChain),
    /// A deflate stream without header (RFC 1951): members of ZIP archives.
    RawDeflate,
    /// No stored values: a plane over rows and columns, `origin + (row + 1/2) * down + (column + 1/2) * across`, of which a chunk
    /// stores where it begins. Leaves little-endian `float64`.
    Plane {
        /// Cells in a row of the chunk.
        columns: u32,
        /// Origin, down, across.
        terms: [f64; 3],
    },
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
            Codec::Gzip => "gzip",
            Codec::Zstd => "zstd",
            Codec::Bzip2 => "bzip2",
            Codec::Lz4 { .. } => "lz4",
            Codec::Lzma { .. } => "lzma",
            Codec::Blosc => "blosc",
            Codec::Crc32 { .. } => "crc32",
            Codec::Crc32c { .. } => "crc32c",
            Codec::Adler32 { .. } => "adler32",
            Codec::Delta { .. } => "delta",
            Codec::FixedScaleOffset { .. } => "fixedscaleoffset",
            Codec::AsType { .. } => "astype",
            Codec::PackedBools => "packbits",
            Codec::Lzf => "lzf",
            Codec::Bitshuffle { .. } => "bitshuffle",
            Codec::Szip { .. } => "szip",
            Codec::NBit { .. } => "nbit",
            Codec::ScaleOffset { .. } => "scaleoffset",
            Codec::Tiff(codec) => codec.name(),
            Codec::Field { .. } => "field",
            Codec::Integer { .. } => "integer",
            Codec::Float(_) => "float",
            Codec::PaddedText { .. } => "padded text",
            Codec::Transpose { .. } => "transpose",
            Codec::Utf32 { .. } => "utf32",
            Codec::VlenUtf8 => "vlen-utf8",
            Codec::JsonTexts => "json2",
            Codec::Pcodec { .. } => "pcodec",
            Codec::Zarrs(_) => "zarrs",
            Codec::RawDeflate => "deflate",
            Codec::Plane { .. } => "plane",
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

/// More bytes than one stored byte of a chunk can become, where its compression has such a bound.
pub(crate) fn largest_ratio(codecs: &[Codec]) -> Option<usize> {
    chain::largest_ratio(codecs)
}

/// A decoded chunk to be shared. When its last holder lets it go, its buffer serves the next chunk of that thread: fresh memory
/// would be zeroed first, which costs as much as a decoding step.
pub(crate) fn recycled(decoded: Vec<u8>) -> Bytes {
    Bytes::from_owner(chain::Recycled(decoded))
}

/// Undoes `codecs` of a chunk of texts of any length, the first of which makes texts ([`Codec::VlenUtf8`], [`Codec::JsonTexts`]);
/// a chunk must have `cells` texts. Refused when they take more than `most` bytes.
pub fn decode_texts(codecs: &[Codec], skip: u32, stored: &[u8], cells: usize, most: usize) -> Result<Vec<Option<String>>> {
    let (make, inner) = match codecs.split_first() {
        Some((Codec::VlenUtf8, inner)) => (texts::vlen_utf8 as fn(&[u8], usize) -> _, inner),
        Some((Codec::JsonTexts, inner)) => (texts::json_texts as fn(&[u8], usize) -> _, inner),
        _ => return Err(Error::unsupported("chunk", "texts of any length without a codec that makes them")),
    };
    make(&chain::decode_any_length(inner, skip >> 1, stored, most)?, cells)
}

/// Undoes `codecs` of bytes whose length nothing tells; at most `most` bytes.
pub(crate) fn decode_any_length(codecs: &[Codec], skip: u32, stored: &[u8], most: usize) -> Result<Vec<u8>> {
    chain::decode_any_length(codecs, skip, stored, most)
}

/// Bytes that could not be decoded; the caller, who knows the object and the range, replaces `chunk`.
fn damaged(what: impl Into<String>) -> Error {
    Error::data("chunk", what)
}
