//! What one directory's pixels are: size, samples, coding, and the strips or tiles that hold them.

use super::compression::{self, Coding, Segment};
use super::directory::{Directory, Header};
use super::field::tag;
use super::samples::Samples;
use crate::codec::{Codec, TiffCodec};
use crate::{Error, Result};

/// The pixels of one directory.
#[derive(Debug)]
pub(super) struct Layout {
    /// Columns.
    pub(super) width: u64,
    /// Rows.
    pub(super) height: u64,
    /// Samples a pixel: bands.
    pub(super) bands: u64,
    /// All of a pixel's samples stand together (planar configuration 1); otherwise each band has its own segments.
    pub(super) chunky: bool,
    /// What a sample is.
    pub(super) samples: Samples,
    /// How segments are coded.
    pub(super) coding: Coding,
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
        let bands = first(tag::SAMPLES_PER_PIXEL)?.unwrap_or(1);
        if bands == 0 || bands > u64::from(u16::MAX) {
            return Err(Error::data(object, format!("SamplesPerPixel: expected 1 to {}, found {bands}", u16::MAX)));
        }
        // One for all, or one each: with fewer, one of the two numbers is damaged.
        let told = directory.unsigned(object, tag::BITS_PER_SAMPLE)?.map_or(1, |bits| bits.len() as u64);
        if told > 1 && told < bands {
            return Err(Error::data(object, format!("BitsPerSample: expected 1 or {bands} values (SamplesPerPixel), found {told}")));
        }
        let samples = Samples::of(directory, header.order, object)?;
        let chunky = match first(tag::PLANAR_CONFIGURATION)?.unwrap_or(1) {
            1 => true,
            // Separate planes of one sample are the same thing.
            2 => bands == 1,
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
        let in_a_pixel = if chunky { bands } else { 1 };
        let segment = Segment { samples, in_a_pixel, chunky, width: segment_width, order: header.order };
        let coding = compression::of(directory, object, segment)?;
        let layout = Layout { width, height, bands, chunky, samples, coding, tiled, segment_width, segment_height };
        let decoded = in_a_pixel.checked_mul(samples.parts * samples.element()).and_then(|n| n.checked_mul(segment_width));
        if decoded.and_then(|n| n.checked_mul(segment_height)).is_none_or(|n| n > isize::MAX as u64) {
            let what = format!("segments of {segment_width} x {segment_height} pixels of {in_a_pixel} samples do not fit in memory");
            return Err(Error::data(object, what));
        }
        Ok(layout)
    }

    /// Segments that hold one plane: along the rows and along the columns.
    pub(super) fn grid(&self) -> (u64, u64) {
        (self.height.div_ceil(self.segment_height), self.width.div_ceil(self.segment_width))
    }

    /// Planes that have segments of their own.
    pub(super) fn planes(&self) -> u64 {
        if self.chunky { 1 } else { self.bands }
    }

    /// Samples, or parts of complex ones, that stand together in a pixel of a segment.
    pub(super) fn interleaved(&self) -> u64 {
        (if self.chunky { self.bands } else { 1 }) * self.samples.parts
    }

    /// Bytes that `rows` rows of an uncompressed segment are stored in; `None` when they overflow.
    pub(super) fn stored_bytes(&self, rows: u64) -> Option<u64> {
        let in_a_pixel = if self.chunky { self.bands } else { 1 };
        if let Some(Codec::Tiff(TiffCodec::Ycbcr { horizontal, vertical, .. })) = self.coding.codecs.first() {
            let (h, v) = (u64::from(*horizontal), u64::from(*vertical));
            return self.segment_width.div_ceil(h).checked_mul(rows.div_ceil(v))?.checked_mul(h * v + 2);
        }
        self.samples.row_bytes(self.segment_width.checked_mul(in_a_pixel)?)?.checked_mul(rows)
    }

    /// True when uncompressed rows can be cut anywhere.
    pub(super) fn rows_are_apart(&self) -> bool {
        self.coding.uncompressed && !matches!(self.coding.codecs.first(), Some(Codec::Tiff(TiffCodec::Ycbcr { .. })))
    }

    /// Rows that are stored of the segments in row `row` of the grid.
    pub(super) fn stored_rows(&self, row: u64) -> u64 {
        if self.tiled { self.segment_height } else { self.segment_height.min(self.height.saturating_sub(row * self.segment_height)) }
    }
}
