//! One entry of a TIFF directory: a tag's values, still in the file's bytes, and the names of tags.

use bytes::Bytes;

use crate::array::ByteOrder;

/// Tag numbers (TIFF 6.0, its supplements, GeoTIFF 1.1, GDAL).
pub(super) mod tag {
    macro_rules! tags {
        ($($name:ident = $number:literal $text:literal,)*) => {
            $(pub(in super::super) const $name: u16 = $number;)*

            /// The name of a tag in its specification; its number for tags that are not read.
            pub(in super::super) fn name(tag: u16) -> String {
                match tag {
                    $($number => $text.to_string(),)*
                    other => format!("tag {other}"),
                }
            }

            /// Every tag that is read.
            pub(in super::super) const READ: &[u16] = &[$($number,)*];
        };
    }
    tags! {
        NEW_SUBFILE_TYPE = 254 "NewSubfileType",
        SUBFILE_TYPE = 255 "SubfileType",
        IMAGE_WIDTH = 256 "ImageWidth",
        IMAGE_LENGTH = 257 "ImageLength",
        BITS_PER_SAMPLE = 258 "BitsPerSample",
        COMPRESSION = 259 "Compression",
        PHOTOMETRIC = 262 "PhotometricInterpretation",
        FILL_ORDER = 266 "FillOrder",
        IMAGE_DESCRIPTION = 270 "ImageDescription",
        STRIP_OFFSETS = 273 "StripOffsets",
        SAMPLES_PER_PIXEL = 277 "SamplesPerPixel",
        ROWS_PER_STRIP = 278 "RowsPerStrip",
        STRIP_BYTE_COUNTS = 279 "StripByteCounts",
        PLANAR_CONFIGURATION = 284 "PlanarConfiguration",
        T4_OPTIONS = 292 "T4Options",
        SOFTWARE = 305 "Software",
        DATE_TIME = 306 "DateTime",
        PREDICTOR = 317 "Predictor",
        TILE_WIDTH = 322 "TileWidth",
        TILE_LENGTH = 323 "TileLength",
        TILE_OFFSETS = 324 "TileOffsets",
        TILE_BYTE_COUNTS = 325 "TileByteCounts",
        SUB_IFDS = 330 "SubIFDs",
        EXTRA_SAMPLES = 338 "ExtraSamples",
        SAMPLE_FORMAT = 339 "SampleFormat",
        JPEG_TABLES = 347 "JPEGTables",
        YCBCR_COEFFICIENTS = 529 "YCbCrCoefficients",
        YCBCR_SUBSAMPLING = 530 "YCbCrSubSampling",
        REFERENCE_BLACK_WHITE = 532 "ReferenceBlackWhite",
        MODEL_PIXEL_SCALE = 33550 "ModelPixelScale",
        MODEL_TIEPOINT = 33922 "ModelTiepoint",
        MODEL_TRANSFORMATION = 34264 "ModelTransformation",
        GEO_KEY_DIRECTORY = 34735 "GeoKeyDirectory",
        GEO_DOUBLE_PARAMS = 34736 "GeoDoubleParams",
        GEO_ASCII_PARAMS = 34737 "GeoAsciiParams",
        GDAL_METADATA = 42112 "GDAL_METADATA",
        GDAL_NODATA = 42113 "GDAL_NODATA",
        LERC_PARAMETERS = 50674 "LercParameters",
    }
}

/// Bytes a value of a TIFF field type; `None` for types that no specification knows.
pub(super) fn type_size(field_type: u16) -> Option<u64> {
    match field_type {
        1 | 2 | 6 | 7 => Some(1),
        3 | 8 => Some(2),
        4 | 9 | 11 | 13 => Some(4),
        5 | 10 | 12 | 16 | 17 | 18 => Some(8),
        _ => None,
    }
}

/// The values of a tag.
#[derive(Debug, Clone)]
pub(super) struct Field {
    /// TIFF field type: 1 BYTE, 2 ASCII, 3 SHORT, 4 LONG, ... 16 LONG8.
    pub(super) field_type: u16,
    /// The values' bytes, whole values only.
    pub(super) bytes: Bytes,
    /// The file's byte order.
    pub(super) order: ByteOrder,
}

/// Numerator by denominator of a rational, whose two halves stand in the order of the file.
fn ratio([a, b, c, d, e, f, g, h]: [u8; 8], read: impl Fn([u8; 4]) -> f64, order: ByteOrder) -> f64 {
    let (low, high) = (read([a, b, c, d]), read([e, f, g, h]));
    match order {
        ByteOrder::Little => low / high,
        ByteOrder::Big => high / low,
    }
}

impl Field {
    /// Whole values of `N` bytes in little-endian order.
    fn cells<const N: usize>(&self) -> impl Iterator<Item = [u8; N]> + '_ {
        self.bytes.as_chunks::<N>().0.iter().map(|cell| {
            let mut cell = *cell;
            if self.order == ByteOrder::Big {
                cell.reverse();
            }
            cell
        })
    }

    /// As integers that are not negative; `None` when the values are anything else.
    pub(super) fn unsigned(&self) -> Option<Vec<u64>> {
        let signed = |v: i64| u64::try_from(v).ok();
        match self.field_type {
            1 | 7 => Some(self.bytes.iter().map(|&b| u64::from(b)).collect()),
            3 => Some(self.cells().map(|c| u64::from(u16::from_le_bytes(c))).collect()),
            4 | 13 => Some(self.cells().map(|c| u64::from(u32::from_le_bytes(c))).collect()),
            16 | 18 => Some(self.cells().map(u64::from_le_bytes).collect()),
            6 => self.bytes.iter().map(|&b| signed(i64::from(b as i8))).collect(),
            8 => self.cells().map(|c| signed(i64::from(i16::from_le_bytes(c)))).collect(),
            9 => self.cells().map(|c| signed(i64::from(i32::from_le_bytes(c)))).collect(),
            17 => self.cells().map(|c| signed(i64::from_le_bytes(c))).collect(),
            _ => None,
        }
    }

    /// As numbers; `None` for text.
    pub(super) fn numbers(&self) -> Option<Vec<f64>> {
        match self.field_type {
            5 => Some(self.cells::<8>().map(|c| ratio(c, |b| f64::from(u32::from_le_bytes(b)), self.order)).collect()),
            10 => Some(self.cells::<8>().map(|c| ratio(c, |b| f64::from(i32::from_le_bytes(b)), self.order)).collect()),
            11 => Some(self.cells().map(|c| f64::from(f32::from_le_bytes(c))).collect()),
            12 => Some(self.cells().map(f64::from_le_bytes).collect()),
            _ => self.unsigned().map(|v| v.into_iter().map(|v| v as f64).collect()),
        }
    }

    /// As text, up to the first NUL; bytes that are not UTF-8 are replaced. `None` for numbers.
    pub(super) fn text(&self) -> Option<String> {
        if !matches!(self.field_type, 1 | 2 | 7) {
            return None;
        }
        let text = self.bytes.split(|&b| b == 0).next().unwrap_or_default();
        Some(String::from_utf8_lossy(text).into_owned())
    }

    /// As text with all of its bytes, one character each: positions in `GeoAsciiParams` count bytes.
    pub(super) fn latin1(&self) -> String {
        self.bytes.iter().take_while(|&&b| b != 0).map(|&b| char::from(b)).collect()
    }
}
