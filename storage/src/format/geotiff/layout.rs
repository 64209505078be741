//! What one directory's pixels are: size, sample type, compression, and the strips or tiles that hold them. Features that
//! are not read are refused with the tag's name and value.

use super::directory::{Directory, Header};
use super::field::tag;
use crate::array::{ByteOrder, DataType};
use crate::codec::Codec;
use crate::{Error, Result};

/// Compression and predictor, as far as they are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    Lzw,
    Deflate,
    PackBits,
}

/// The pixels of one directory.
#[derive(Debug)]
pub(super) struct Layout {
    /// Columns.
    pub(super) width: u64,
    /// Rows.
    pub(super) height: u64,
    /// Samples a pixel: bands.
    pub(super) samples: u64,
    /// All of a pixel's samples stand together (planar configuration 1); otherwise each band has its own segments.
    pub(super) chunky: bool,
    /// Type of a sample.
    pub(super) data_type: DataType,
    /// Byte order of decoded samples.
    pub(super) byte_order: ByteOrder,
    /// Codecs of a segment, in encoding order, up to the samples of all bands that it holds.
    pub(super) codecs: Vec<Codec>,
    /// True when segments are stored as they are.
    pub(super) uncompressed: bool,
    /// Segments are tiles, which are stored whole; otherwise strips, of which the last is cut.
    pub(super) tiled: bool,
    /// Columns of a segment.
    pub(super) segment_width: u64,
    /// Rows of a segment.
    pub(super) segment_height: u64,
}

impl Layout {
    /// Reads the tags that say what the pixels of `directory` are.
    pub(super) fn of(directory: &Directory, header: Header, object: &str) -> Result<Layout> {
        let first = |tag| directory.first(object, tag);
        let needed = |tag: u16| {
            first(tag)?.filter(|&v| v > 0 && v <= u64::from(u32::MAX)).ok_or_else(|| {
                let found = directory.first(object, tag).ok().flatten();
                let found = found.map_or("nothing".to_string(), |v| v.to_string());
                Error::data(object, format!("{}: expected 1 to {}, found {found}", tag::name(tag), u32::MAX))
            })
        };
        let (width, height) = (needed(tag::IMAGE_WIDTH)?, needed(tag::IMAGE_LENGTH)?);
        let samples = first(tag::SAMPLES_PER_PIXEL)?.unwrap_or(1);
        if samples == 0 || samples > u64::from(u16::MAX) {
            return Err(Error::data(object, format!("SamplesPerPixel: expected 1 to {}, found {samples}", u16::MAX)));
        }
        let data_type = data_type(directory, object)?;
        refuse_colours(directory, object)?;
        let chunky = match first(tag::PLANAR_CONFIGURATION)?.unwrap_or(1) {
            1 => true,
            // Separate planes of one sample are the same thing.
            2 => samples == 1,
            other => return Err(Error::unsupported(object, format!("PlanarConfiguration = {other}"))),
        };
        let tiled = directory.has(tag::TILE_WIDTH) || directory.has(tag::TILE_OFFSETS);
        let (segment_width, segment_height) = if tiled {
            (needed(tag::TILE_WIDTH)?, needed(tag::TILE_LENGTH)?)
        } else {
            // Without RowsPerStrip, and with 2^32 - 1, all rows are one strip.
            let rows = if directory.has(tag::ROWS_PER_STRIP) { needed(tag::ROWS_PER_STRIP)? } else { height };
            (width, rows.min(height))
        };
        let compression = compression(directory, object)?;
        let in_a_pixel = if chunky { samples } else { 1 };
        let (codecs, byte_order) =
            codecs(directory, object, header.order, compression, data_type, in_a_pixel, segment_width.saturating_mul(in_a_pixel))?;
        let uncompressed = compression == Compression::None;
        let layout =
            Layout { width, height, samples, chunky, data_type, byte_order, codecs, uncompressed, tiled, segment_width, segment_height };
        if layout.segment_bytes(segment_height).is_none_or(|n| n > isize::MAX as u64) {
            let what = format!("segments of {segment_width} x {segment_height} pixels of {in_a_pixel} samples do not fit in memory");
            return Err(Error::data(object, what));
        }
        Ok(layout)
    }

    /// Bytes of one sample.
    pub(super) fn element(&self) -> u64 {
        self.data_type.size() as u64
    }

    /// Segments that hold one plane: along the rows and along the columns.
    pub(super) fn grid(&self) -> (u64, u64) {
        (self.height.div_ceil(self.segment_height), self.width.div_ceil(self.segment_width))
    }

    /// Planes that have segments of their own.
    pub(super) fn planes(&self) -> u64 {
        if self.chunky { 1 } else { self.samples }
    }

    /// Bytes of `rows` rows of a decoded segment; `None` when they overflow.
    pub(super) fn segment_bytes(&self, rows: u64) -> Option<u64> {
        let in_a_pixel = if self.chunky { self.samples } else { 1 };
        self.segment_width.checked_mul(rows)?.checked_mul(in_a_pixel)?.checked_mul(self.element())
    }

    /// Rows that are stored of the segments in row `row` of the grid.
    pub(super) fn stored_rows(&self, row: u64) -> u64 {
        if self.tiled { self.segment_height } else { self.segment_height.min(self.height.saturating_sub(row * self.segment_height)) }
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

fn data_type(directory: &Directory, object: &str) -> Result<DataType> {
    let bits = same_for_all(directory, object, tag::BITS_PER_SAMPLE, 1)?;
    let format = same_for_all(directory, object, tag::SAMPLE_FORMAT, 1)?;
    let of_bits = || Error::unsupported(object, format!("BitsPerSample = {bits} with SampleFormat = {format}"));
    match (format, bits) {
        (1 | 4, 8) => Ok(DataType::UInt8),
        (1 | 4, 16) => Ok(DataType::UInt16),
        (1 | 4, 32) => Ok(DataType::UInt32),
        (1 | 4, 64) => Ok(DataType::UInt64),
        (2, 8) => Ok(DataType::Int8),
        (2, 16) => Ok(DataType::Int16),
        (2, 32) => Ok(DataType::Int32),
        (2, 64) => Ok(DataType::Int64),
        (3, 16) => Ok(DataType::Float16),
        (3, 32) => Ok(DataType::Float32),
        (3, 64) => Ok(DataType::Float64),
        (1..=4, _) => Err(of_bits()),
        (5, _) => Err(Error::unsupported(object, format!("SampleFormat = 5 (complex integers), BitsPerSample = {bits}"))),
        (6, _) => Err(Error::unsupported(object, format!("SampleFormat = 6 (complex floats), BitsPerSample = {bits}"))),
        _ => Err(Error::unsupported(object, format!("SampleFormat = {format}"))),
    }
}

/// Samples that are not what is stored a pixel: subsampled chroma; bits of each byte reversed.
fn refuse_colours(directory: &Directory, object: &str) -> Result<()> {
    if directory.first(object, tag::PHOTOMETRIC)? == Some(6) {
        let subsampling = directory.unsigned(object, tag::YCBCR_SUBSAMPLING)?.unwrap_or_else(|| vec![2, 2]);
        if subsampling.iter().any(|&s| s != 1) {
            return Err(Error::unsupported(
                object,
                format!("PhotometricInterpretation = 6 (YCbCr) with YCbCrSubSampling = {subsampling:?}"),
            ));
        }
    }
    match directory.first(object, tag::FILL_ORDER)?.unwrap_or(1) {
        1 => Ok(()),
        other => Err(Error::unsupported(object, format!("FillOrder = {other}"))),
    }
}

fn compression(directory: &Directory, object: &str) -> Result<Compression> {
    let name = match directory.first(object, tag::COMPRESSION)?.unwrap_or(1) {
        1 => return Ok(Compression::None),
        5 => return Ok(Compression::Lzw),
        8 | 32946 => return Ok(Compression::Deflate),
        32773 => return Ok(Compression::PackBits),
        2 => "2 (CCITT RLE)".to_string(),
        3 => "3 (CCITT T.4)".to_string(),
        4 => "4 (CCITT T.6)".to_string(),
        6 => "6 (old JPEG)".to_string(),
        7 => "7 (JPEG)".to_string(),
        34676 => "34676 (SGI LogLuv)".to_string(),
        34712 | 33003..=33005 => "JPEG 2000".to_string(),
        34887 => "34887 (LERC)".to_string(),
        34925 => "34925 (LZMA)".to_string(),
        50000 => "50000 (ZSTD)".to_string(),
        50001 => "50001 (WebP)".to_string(),
        50002 | 52546 => "JPEG XL".to_string(),
        other => other.to_string(),
    };
    Err(Error::unsupported(object, format!("Compression = {name}")))
}

/// Codecs of a segment whose rows have `row` samples, and the byte order of what they decode to.
fn codecs(
    directory: &Directory,
    object: &str,
    order: ByteOrder,
    compression: Compression,
    data_type: DataType,
    samples: u64,
    row: u64,
) -> Result<(Vec<Codec>, ByteOrder)> {
    let mut codecs = Vec::new();
    let mut decoded = order;
    let compressor = match compression {
        // libtiff knows predictors only inside these two: the tag means nothing elsewhere.
        Compression::None => return Ok((codecs, decoded)),
        Compression::PackBits => return Ok((vec![Codec::PackBits], decoded)),
        Compression::Lzw => Codec::Lzw,
        Compression::Deflate => Codec::TiffDeflate,
    };
    let too_long = || Error::data(object, format!("rows of {row} samples are too long"));
    let row = u32::try_from(row).map_err(|_| too_long())?;
    let (samples, element) = (samples as u32, data_type.size() as u32);
    match directory.first(object, tag::PREDICTOR)?.unwrap_or(1) {
        1 => {}
        2 => codecs.push(Codec::HorizontalPredictor { row, samples, element, order }),
        3 if data_type.is_float() => {
            codecs.push(Codec::FloatPredictor { row, samples, element });
            decoded = ByteOrder::Big;
        }
        3 => return Err(Error::data(object, format!("Predictor = 3 (floating point) on samples of type {}", data_type.name()))),
        other => return Err(Error::unsupported(object, format!("Predictor = {other}"))),
    }
    codecs.push(compressor);
    Ok((codecs, decoded))
}
