//! Compression, predictor, bit order and colours of one directory as codecs. What is not read is refused with the tag's name and
//! value.

use super::directory::Directory;
use super::field::tag;
use super::samples::{Packing, Samples};
use crate::array::{ByteOrder, DataType};
use crate::codec::{Codec, FaxCode, TiffCodec};
use crate::{Error, Result};

/// How the segments of a directory become samples.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Coding {
    /// In encoding order, up to the samples of all bands that a segment holds.
    pub(super) codecs: Vec<Codec>,
    /// Byte order of decoded samples.
    pub(super) byte_order: ByteOrder,
    /// True when segments are stored as they are: their length follows from their rows.
    pub(super) uncompressed: bool,
}

/// What the codecs must know of a segment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Segment {
    pub(super) samples: Samples,
    /// Samples that stand together in a pixel of a segment.
    pub(super) in_a_pixel: u64,
    /// All of a pixel's samples stand together.
    pub(super) chunky: bool,
    /// Pixels in a row.
    pub(super) width: u64,
    /// The file's byte order.
    pub(super) order: ByteOrder,
}

/// Tags of colours.
const YCBCR: u64 = 6;

/// Reads how the segments of `directory` are coded.
pub(super) fn of(directory: &Directory, object: &str, segment: Segment) -> Result<Coding> {
    let Segment { samples, in_a_pixel, chunky, width, order } = segment;
    let number = |tag, default| Ok::<u64, Error>(directory.first(object, tag)?.unwrap_or(default));
    let row = width.saturating_mul(in_a_pixel).saturating_mul(samples.parts);
    let too_long = |_| Error::data(object, format!("rows of {row} samples are too long"));
    let row = u32::try_from(row).map_err(too_long)?;
    let (width, in_a_pixel) = (width as u32, in_a_pixel as u32);
    let compression = number(tag::COMPRESSION, 1)?;
    let refused = |what: String| Error::unsupported(object, what);
    let photometric = directory.first(object, tag::PHOTOMETRIC)?;
    let mut coding = Coding { codecs: Vec::new(), byte_order: order, uncompressed: compression == 1 };

    if photometric == Some(YCBCR) && compression != 7 {
        coding.codecs.push(Codec::Tiff(ycbcr(directory, object, segment)?));
    }
    if samples.packing != Packing::Whole {
        coding.byte_order = ByteOrder::Little;
        coding.codecs.push(Codec::Tiff(match samples.packing {
            Packing::Float24 => TiffCodec::Float24 { order },
            _ => {
                let (bits, element) = (samples.bits as u8, samples.element() as u8);
                let signed = !samples.data_type.is_unsigned();
                TiffCodec::Bits { row, bits, element, signed }
            }
        }));
    }
    let bytes = samples.data_type == DataType::UInt8 && samples.packing == Packing::Whole;
    let only_bytes = |name: &str| match bytes {
        true => Ok(()),
        false => Err(refused(format!("Compression = {compression} ({name}) with BitsPerSample = {}", samples.bits))),
    };
    match compression {
        1 => {}
        2..=4 => {
            if samples.bits != 1 || in_a_pixel != 1 {
                return Err(Error::data(object, format!("Compression = {compression} (CCITT) of samples that are not one bit")));
            }
            let options = number(tag::T4_OPTIONS, 0)?;
            let code = match compression {
                2 => FaxCode::HuffmanRle,
                4 => FaxCode::Group4,
                _ if options & 1 == 1 => FaxCode::Group3TwoDimensional,
                _ => FaxCode::Group3,
            };
            coding.codecs.push(Codec::Tiff(TiffCodec::Fax { width, code }));
        }
        5 | 8 | 32946 | 34925 | 50000 => {
            predictor(directory, object, segment, row, &mut coding)?;
            coding.codecs.push(match compression {
                5 => Codec::Lzw,
                34925 => Codec::Tiff(TiffCodec::Lzma),
                50000 => Codec::Tiff(TiffCodec::Zstd),
                _ => Codec::TiffDeflate,
            });
        }
        7 => {
            only_bytes("JPEG")?;
            let tables = directory.field(tag::JPEG_TABLES)?.map(|f| f.bytes.clone()).unwrap_or_default();
            let rgb = photometric == Some(YCBCR) && chunky && in_a_pixel == 3;
            coding.codecs.push(Codec::Tiff(TiffCodec::Jpeg { width, samples: in_a_pixel, rgb, tables }));
        }
        32773 => coding.codecs.push(Codec::PackBits),
        34887 => lerc(directory, object, segment, &mut coding)?,
        50001 => {
            only_bytes("WebP")?;
            if !matches!(in_a_pixel, 3 | 4) {
                return Err(Error::data(object, format!("Compression = 50001 (WebP) of {in_a_pixel} samples a pixel")));
            }
            coding.codecs.push(Codec::Tiff(TiffCodec::Webp { width, samples: in_a_pixel }));
        }
        6 => return Err(refused("Compression = 6 (old JPEG)".into())),
        34676 | 34677 => return Err(refused(format!("Compression = {compression} (SGI LogLuv)"))),
        34712 | 33003..=33005 => return Err(refused(format!("Compression = {compression} (JPEG 2000)"))),
        50002 | 52546 => return Err(refused(format!("Compression = {compression} (JPEG XL)"))),
        other => return Err(refused(format!("Compression = {other}"))),
    }
    match number(tag::FILL_ORDER, 1)? {
        // A JPEG stream has an order of its own.
        2 if compression != 7 => coding.codecs.push(Codec::Tiff(TiffCodec::ReverseBits)),
        1 | 2 => {}
        other => return Err(refused(format!("FillOrder = {other}"))),
    }
    Ok(coding)
}

/// The predictor of a compressor that has one. Others, and no compression at all, leave the tag without meaning, as in libtiff.
fn predictor(directory: &Directory, object: &str, segment: Segment, row: u32, coding: &mut Coding) -> Result<()> {
    let Segment { samples, in_a_pixel, order, .. } = segment;
    // A complex sample is one number to the predictor.
    let (row, in_a_pixel, bits) = (row / samples.parts as u32, in_a_pixel as u32, samples.bits * samples.parts);
    let element = (bits / 8) as u32;
    let predictor = directory.first(object, tag::PREDICTOR)?.unwrap_or(1);
    match predictor {
        1 => {}
        2 if matches!(bits, 8 | 16 | 32 | 64) => {
            coding.codecs.push(Codec::HorizontalPredictor { row, samples: in_a_pixel, element, order });
        }
        3 if samples.data_type.is_float() && samples.parts == 1 => {
            if let Some(Codec::Tiff(TiffCodec::Float24 { order })) = coding.codecs.last_mut() {
                *order = ByteOrder::Big;
            } else {
                coding.byte_order = ByteOrder::Big;
            }
            coding.codecs.push(Codec::FloatPredictor { row, samples: in_a_pixel, element });
        }
        2 => return Err(Error::unsupported(object, format!("Predictor = 2 with BitsPerSample = {bits}"))),
        3 => {
            let what = format!("Predictor = 3 (floating point) on samples of type {}", samples.data_type.name());
            return Err(Error::data(object, what));
        }
        other => return Err(Error::unsupported(object, format!("Predictor = {other}"))),
    }
    Ok(())
}

/// LERC, maybe compressed again (LercParameters: version, additional compression).
fn lerc(directory: &Directory, object: &str, segment: Segment, coding: &mut Coding) -> Result<()> {
    let Segment { samples, in_a_pixel, width, .. } = segment;
    let small = matches!(samples.data_type, DataType::Float16 | DataType::Int64 | DataType::UInt64);
    if small || samples.packing != Packing::Whole || samples.parts != 1 {
        return Err(Error::unsupported(object, format!("Compression = 34887 (LERC) of samples of type {}", samples.data_type.name())));
    }
    let predictor = directory.first(object, tag::PREDICTOR)?.unwrap_or(1);
    if predictor != 1 {
        return Err(Error::unsupported(object, format!("Compression = 34887 (LERC) with Predictor = {predictor}")));
    }
    let extra = directory.unsigned(object, tag::EXTRA_SAMPLES)?.unwrap_or_default();
    let alpha = extra.last() == Some(&2) && in_a_pixel > 1;
    // The blob's numbers have the file's byte order: libtiff turns samples around before it encodes them.
    let (width, in_a_pixel) = (width as u32, in_a_pixel as u32);
    coding.codecs.push(Codec::Tiff(TiffCodec::Lerc { width, samples: in_a_pixel, data_type: samples.data_type, alpha }));
    let parameters = directory.unsigned(object, tag::LERC_PARAMETERS)?.unwrap_or_default();
    match parameters.get(1).copied().unwrap_or(0) {
        0 => Ok(()),
        1 => {
            coding.codecs.push(Codec::TiffDeflate);
            Ok(())
        }
        2 => {
            coding.codecs.push(Codec::Tiff(TiffCodec::Zstd));
            Ok(())
        }
        other => Err(Error::unsupported(object, format!("LercParameters: additional compression {other}"))),
    }
}

/// YCbCr outside of JPEG becomes RGB, as GDAL reads it.
fn ycbcr(directory: &Directory, object: &str, segment: Segment) -> Result<TiffCodec> {
    let Segment { samples, in_a_pixel, chunky, width, .. } = segment;
    let bytes = samples.data_type == DataType::UInt8 && samples.packing == Packing::Whole;
    let subsampling = directory.unsigned(object, tag::YCBCR_SUBSAMPLING)?.unwrap_or_else(|| vec![2, 2]);
    let refused = |what: String| Err(Error::unsupported(object, format!("PhotometricInterpretation = 6 (YCbCr) {what}")));
    let (&[horizontal @ (1 | 2 | 4), vertical @ (1 | 2 | 4)], true) = (subsampling.as_slice(), bytes && chunky && in_a_pixel == 3) else {
        return refused(format!(
            "with YCbCrSubSampling = {subsampling:?}, {in_a_pixel} samples of {} bits together in a pixel",
            samples.bits
        ));
    };
    if directory.first(object, tag::PREDICTOR)?.is_some_and(|p| p != 1) && (horizontal, vertical) != (1, 1) {
        return refused("with a predictor".into());
    }
    let numbers = |tag| Ok::<_, Error>(directory.field(tag)?.and_then(|f| f.numbers()).unwrap_or_default());
    let coefficients: [f64; 3] = numbers(tag::YCBCR_COEFFICIENTS)?.try_into().unwrap_or([0.299, 0.587, 0.114]);
    let reference: [f64; 6] = numbers(tag::REFERENCE_BLACK_WHITE)?.try_into().unwrap_or([0.0, 255.0, 128.0, 255.0, 128.0, 255.0]);
    let float = |v: f64| (v as f32).to_bits();
    if coefficients.iter().any(|v| !v.is_finite() || *v <= 0.0) || reference.iter().any(|v| !v.is_finite()) {
        return refused(format!("with YCbCrCoefficients = {coefficients:?}, ReferenceBlackWhite = {reference:?}"));
    }
    Ok(TiffCodec::Ycbcr {
        width: width as u32,
        horizontal: horizontal as u8,
        vertical: vertical as u8,
        coefficients: coefficients.map(float),
        reference: reference.map(float),
    })
}
