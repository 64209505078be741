//! numcodecs' codecs by their configuration, as v2's filters and compressors and as v3's `numcodecs.*`: what undoes them.

use serde_json::Value;

use super::data_type;
use crate::array::{ByteOrder, DataType};
use crate::codec::{CellType, ChecksumAt, Codec, Lz4Framing, LzmaFilter};

/// The steps for one of numcodecs' codecs, in encoding order; an error names what is not read. `cell` is the number of bytes of a
/// cell, which some take when they are not told otherwise.
pub(super) fn steps(id: &str, configuration: &Value, cell: usize) -> Result<Vec<Codec>, String> {
    let number = |key: &str| configuration.get(key).and_then(Value::as_f64);
    let cells = |key: &str| configuration.get(key).map(cell_type);
    let required = |key: &str| cells(key).unwrap_or_else(|| Err(format!("codec {id} without {key}")));
    let checksum = |or: ChecksumAt| match configuration.get("location").and_then(Value::as_str) {
        None => Ok(or),
        Some("start") => Ok(ChecksumAt::Start),
        Some("end") => Ok(ChecksumAt::End),
        Some(other) => Err(format!("codec {id} at {other}")),
    };
    Ok(vec![match id {
        "gzip" => Codec::Gzip,
        "zlib" => Codec::Deflate,
        "zstd" => Codec::Zstd,
        "blosc" => Codec::Blosc,
        "bz2" => Codec::Bzip2,
        "lz4" => Codec::Lz4 { framing: Lz4Framing::Numcodecs },
        "lzma" => Codec::Lzma { filters: lzma(configuration)? },
        "fletcher32" => Codec::Fletcher32,
        "crc32" => Codec::Crc32 { at: checksum(ChecksumAt::Start)? },
        "crc32c" => Codec::Crc32c { at: checksum(ChecksumAt::End)? },
        "adler32" => Codec::Adler32 { at: checksum(ChecksumAt::Start)? },
        "shuffle" => {
            let told = configuration.get("elementsize").map(|n| n.as_u64().and_then(|n| u32::try_from(n).ok()));
            let element = told.unwrap_or(u32::try_from(cell).ok()).filter(|&n| n > 0);
            Codec::Shuffle { element: element.ok_or_else(|| format!("codec {id}: {configuration}"))? }
        }
        "delta" => {
            let decoded = required("dtype")?;
            Codec::Delta { decoded, encoded: cells("astype").unwrap_or(Ok(decoded))? }
        }
        "fixedscaleoffset" => {
            let decoded = required("dtype")?;
            let (scale, offset) = (number("scale").unwrap_or(1.0), number("offset").unwrap_or(0.0));
            Codec::FixedScaleOffset { scale, offset, decoded, encoded: cells("astype").unwrap_or(Ok(decoded))? }
        }
        "astype" => Codec::AsType { decoded: required("decode_dtype")?, encoded: required("encode_dtype")? },
        // What was rounded stays rounded; only the type may be another.
        "quantize" => {
            let decoded = required("dtype")?;
            match cells("astype").unwrap_or(Ok(decoded))? {
                encoded if encoded == decoded => return Ok(Vec::new()),
                encoded => Codec::AsType { decoded, encoded },
            }
        }
        "bitround" => return Ok(Vec::new()),
        "packbits" => Codec::PackedBools,
        "vlen-utf8" => Codec::VlenUtf8,
        "json2" => Codec::JsonTexts,
        _ => return Err(format!("codec {id}")),
    }])
}

/// The numbers of a numpy type string.
fn cell_type(dtype: &Value) -> Result<CellType, String> {
    let cells = data_type::v2(dtype, None)?;
    match cells.columns.as_slice() {
        [one] if one.codecs.is_empty() && !one.data_type.is_text() => Ok(CellType { data_type: one.data_type, order: one.order }),
        _ => Err(format!("data type {dtype} in a codec")),
    }
}

/// Filters of a raw stream; none for a container, which tells its own.
fn lzma(configuration: &Value) -> Result<Vec<LzmaFilter>, String> {
    // FORMAT_RAW of Python's lzma module.
    if configuration.get("format").and_then(Value::as_u64) != Some(3) {
        return Ok(Vec::new());
    }
    let filters = configuration.get("filters").and_then(Value::as_array).ok_or("codec lzma: a raw stream without its filters")?;
    let filter = |f: &Value| {
        let number = |key: &str| f.get(key).and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok());
        Some(match f.get("id")?.as_u64()? {
            3 => LzmaFilter::Delta { distance: number("dist").unwrap_or(1) },
            0x21 => LzmaFilter::Lzma2,
            0x4000_0000_0000_0001 => {
                LzmaFilter::Lzma1 { lc: number("lc").unwrap_or(3), lp: number("lp").unwrap_or(0), pb: number("pb").unwrap_or(2) }
            }
            _ => return None,
        })
    };
    filters.iter().map(|f| filter(f).ok_or_else(|| format!("codec lzma with filter {f}"))).collect()
}

/// Behind v3's `bytes`, cells have its byte order whatever their filters' types say: sets it in the step that makes the bytes.
/// False when no step does.
pub(super) fn set_order(steps: &mut [Codec], order: ByteOrder) -> bool {
    // Between filters, and before the first, cells are in one order; only the last writes the bytes.
    for step in &mut *steps {
        if let Codec::Delta { decoded, encoded } | Codec::FixedScaleOffset { decoded, encoded, .. } | Codec::AsType { decoded, encoded } =
            step
        {
            (decoded.order, encoded.order) = (ByteOrder::Little, ByteOrder::Little);
        }
    }
    let last = steps.iter_mut().rev().find_map(|step| match step {
        Codec::Delta { encoded, .. } | Codec::FixedScaleOffset { encoded, .. } | Codec::AsType { encoded, .. } => Some(encoded),
        _ => None,
    });
    match last {
        Some(encoded) => {
            encoded.order = order;
            true
        }
        None => false,
    }
}

/// The type that cells have behind these steps, when one of them changes it.
pub(super) fn type_behind(steps: &[Codec]) -> Option<DataType> {
    steps.iter().rev().find_map(|step| match step {
        Codec::Delta { encoded, .. } | Codec::FixedScaleOffset { encoded, .. } | Codec::AsType { encoded, .. } => Some(encoded.data_type),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn configurations_become_steps() {
        let steps = |id: &str, configuration: Value| steps(id, &configuration, 4);
        let i2 = CellType { data_type: DataType::Int16, order: ByteOrder::Little };
        let f8 = CellType { data_type: DataType::Float64, order: ByteOrder::Big };
        assert_eq!(steps("delta", json!({"dtype": "<i2"})), Ok(vec![Codec::Delta { decoded: i2, encoded: i2 }]));
        assert_eq!(
            steps("quantize", json!({"digits": 1, "dtype": ">f8", "astype": "<i2"})),
            Ok(vec![Codec::AsType { decoded: f8, encoded: i2 }])
        );
        assert_eq!(steps("quantize", json!({"digits": 1, "dtype": ">f8"})), Ok(vec![]));
        assert_eq!(steps("shuffle", json!({})), Ok(vec![Codec::Shuffle { element: 4 }]));
        assert_eq!(steps("crc32", json!({})), Ok(vec![Codec::Crc32 { at: ChecksumAt::Start }]));
        assert_eq!(steps("lzma", json!({"format": 1, "filters": null})), Ok(vec![Codec::Lzma { filters: vec![] }]));
        let raw = json!({"format": 3, "filters": [{"id": 3, "dist": 4}, {"id": 33, "preset": 1}]});
        assert_eq!(steps("lzma", raw), Ok(vec![Codec::Lzma { filters: vec![LzmaFilter::Delta { distance: 4 }, LzmaFilter::Lzma2] }]));
        for (id, configuration) in [
            ("zfpy", json!({})),
            ("delta", json!({})),
            ("delta", json!({"dtype": "<c8"})),
            ("shuffle", json!({"elementsize": 0})),
            ("crc32", json!({"location": "middle"})),
            ("lzma", json!({"format": 3})),
        ] {
            assert!(steps(id, configuration).unwrap_err().contains(id) || id == "delta");
        }
    }
}
