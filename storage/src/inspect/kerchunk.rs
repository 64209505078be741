//! An index as kerchunk references (JSON, version 1, Zarr v2 metadata), which fsspec and xarray read: no data are copied. Arrays that
//! Zarr v2 and numcodecs cannot describe are left out, with the reason.

use serde_json::{Map, Value, json};

use super::refuse_if_nothing_is_read;
use crate::array::{
    ArrayMetadata, Attributes, ByteOrder, ChunkGrid, ChunkManifest, ChunkRef, DataType, EdgeChunks, KeyEncoding, Scalar, float_to_json,
};
use crate::codec::{ChecksumAt, Codec, Lz4Framing};
use crate::format::{self, IndexedArray, IndexedGranule, Refused};
use crate::object::{ObjectReader, Objects};
use crate::{Error, Result};

/// Bytes that a chunk should have at most where one can be chosen.
const CHUNK: u64 = 4 << 20;

/// References to the arrays of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct References {
    /// `{"version": 1, "refs": {...}}`.
    pub json: Value,
    /// Arrays that are left out.
    pub refused: Vec<Refused>,
}

/// The references of the file at `location`.
pub async fn references(objects: &Objects, location: &str) -> Result<References> {
    let location = match objects.list(location).await?.as_slice() {
        [one] => one.clone(),
        several => return Err(Error::User(format!("{location} names {} files; references are made of one", several.len()))),
    };
    let object = objects.open(&location).await?;
    let granule = format::index(&object).await?;
    refuse_if_nothing_is_read(&location, &granule)?;
    of_granule(&object, &granule)
}

fn of_granule(object: &ObjectReader, granule: &IndexedGranule) -> Result<References> {
    let mut refs = Map::new();
    let mut refused = granule.refused.clone();
    let group = |refs: &mut Map<String, Value>, path: &str, attributes: &Attributes| {
        let key = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") };
        refs.insert(key(".zgroup"), document(json!({"zarr_format": 2})));
        refs.insert(key(".zattrs"), document(attributes.to_json()));
    };
    group(&mut refs, "", &granule.attributes);
    for (path, attributes) in &granule.groups {
        group(&mut refs, path.trim_matches('/'), attributes);
    }
    for array in &granule.arrays {
        if let Err(why) = add(&mut refs, object, granule, array) {
            refused.push(Refused { path: array.metadata.path.clone(), reason: why });
        }
    }
    Ok(References { json: json!({"version": 1, "refs": refs}), refused })
}

fn document(value: Value) -> Value {
    Value::String(value.to_string())
}

/// Adds one array, or says why it cannot be described.
fn add(
    refs: &mut Map<String, Value>,
    object: &ObjectReader,
    granule: &IndexedGranule,
    array: &IndexedArray,
) -> std::result::Result<(), String> {
    let IndexedArray { metadata, manifest } = array;
    if manifest.keys.is_some() {
        return Err("its chunks are objects of their own: the store is read as Zarr".into());
    }
    let path = metadata.path.trim_matches('/');
    let key = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") };
    let (skip, codecs) = codecs(metadata, manifest)?;
    let (chunk_shape, chunks) = match cut(metadata) {
        true => recut(metadata, manifest)?,
        false => (metadata.chunk_shape.clone(), manifest.chunks.clone()),
    };
    let mut attributes = metadata.attributes.to_json();
    let missing = chunks.contains(&ChunkRef::Missing) || (chunks.len() as u64) < metadata.chunk_grid().len();
    let declared = attributes.as_object_mut().and_then(|a| a.remove("_FillValue"));
    let fill = match (declared, metadata.fill_value) {
        (Some(fill), _) => fill,
        (None, Some(fill)) if missing => scalar(fill),
        _ if metadata.data_type.is_text() => json!(""),
        _ => Value::Null,
    };
    attributes["_ARRAY_DIMENSIONS"] = json!(metadata.dimensions);
    let mut filters = codecs;
    if metadata.data_type == DataType::Text && metadata.codecs.is_empty() {
        filters.push(json!({"id": "vlen-utf8"}));
    }
    // A chain of several is as good in filters; readers expect the last one to be the compressor.
    let compressor = filters.pop_if(|last| compresses(last));
    let zarray = json!({
        "zarr_format": 2, "shape": metadata.shape, "chunks": chunk_shape, "dtype": dtype(metadata)?, "order": "C",
        "fill_value": fill, "filters": if filters.is_empty() { Value::Null } else { Value::Array(filters) }, "compressor": compressor,
    });
    let grid = ChunkGrid::new(&metadata.shape, &chunk_shape);
    let mut found = Vec::with_capacity(chunks.len());
    for (number, chunk) in chunks.iter().enumerate() {
        let reference = match chunk {
            ChunkRef::Missing => continue,
            ChunkRef::Key { key, .. } => return Err(format!("its chunk {key} is an object of its own")),
            ChunkRef::Inline(bytes) if metadata.data_type == DataType::Text && metadata.codecs.is_empty() => {
                json!(format!("base64:{}", base64(&vlen_utf8(bytes)?)))
            }
            ChunkRef::Inline(bytes) => json!(format!("base64:{}", base64(bytes))),
            ChunkRef::Stored { skip: other, .. } if *other != skip => return Err("filters that some of its chunks leave out".into()),
            ChunkRef::Stored { object: number, offset, length, .. } => {
                let location = match number.checked_sub(1) {
                    None => object.location(),
                    Some(n) => granule.objects.get(n as usize).map(|o| o.location.as_str()).ok_or("a file that is not listed")?,
                };
                json!([location, offset, length])
            }
        };
        let mut at = String::new();
        KeyEncoding::DOTTED.push(&grid.coordinates(number as u64), &mut at);
        found.push((key(&at), reference));
    }
    refs.insert(key(".zarray"), document(zarray));
    refs.insert(key(".zattrs"), document(attributes));
    refs.extend(found);
    Ok(())
}

/// numpy's type string.
fn dtype(metadata: &ArrayMetadata) -> std::result::Result<String, String> {
    let order = if metadata.byte_order == ByteOrder::Big { '>' } else { '<' };
    Ok(match metadata.data_type {
        DataType::Int8 => "|i1".into(),
        DataType::UInt8 => "|u1".into(),
        DataType::Text => "|O".into(),
        DataType::FixedText(n) => format!("|S{n}"),
        t if t.is_float() => format!("{order}f{}", t.size()),
        t if t.is_unsigned() => format!("{order}u{}", t.size()),
        t if t.is_integer() => format!("{order}i{}", t.size()),
        t => return Err(format!("type {}", t.name())),
    })
}

fn scalar(fill: Scalar) -> Value {
    match fill {
        Scalar::Int(v) => json!(v),
        Scalar::UInt(v) => json!(v),
        Scalar::Float(v) => float_to_json(v),
    }
}

/// The array's codecs by numcodecs' names, without those that all chunks leave out (`skip`).
fn codecs(metadata: &ArrayMetadata, manifest: &ChunkManifest) -> std::result::Result<(u32, Vec<Value>), String> {
    let skip = manifest.chunks.iter().find_map(|c| if let ChunkRef::Stored { skip, .. } = c { Some(*skip) } else { None }).unwrap_or(0);
    let kept = metadata.codecs.iter().enumerate().filter(|(i, _)| skip.checked_shr(*i as u32).is_none_or(|s| s & 1 == 0));
    let (mut found, mut checksums) = (Vec::new(), 0u32);
    for (_, codec) in kept {
        match codec {
            Codec::Fletcher32 | Codec::Crc32 { .. } | Codec::Crc32c { .. } | Codec::Adler32 { .. } => checksums += 1,
            // The bytes of a checksum are no whole element; numcodecs wants whole ones.
            Codec::Shuffle { element } if !(4 * checksums).is_multiple_of(*element) => {
                return Err("codec shuffle of cells and their checksum, which numcodecs does not undo".into());
            }
            _ => {}
        }
        found.push(numcodecs(codec)?);
    }
    Ok((skip, found))
}

fn numcodecs(codec: &Codec) -> std::result::Result<Value, String> {
    let cell = |c: &crate::codec::CellType| {
        let order = if c.order == ByteOrder::Big { ">" } else { "<" };
        let kind = if c.data_type.is_float() {
            "f"
        } else if c.data_type.is_unsigned() {
            "u"
        } else {
            "i"
        };
        format!("{order}{kind}{}", c.data_type.size())
    };
    let at = |at: &ChecksumAt| if *at == ChecksumAt::Start { "start" } else { "end" };
    Ok(match codec {
        Codec::Shuffle { element } => json!({"id": "shuffle", "elementsize": element}),
        Codec::Deflate | Codec::TiffDeflate => json!({"id": "zlib", "level": 6}),
        Codec::Gzip => json!({"id": "gzip", "level": 6}),
        Codec::Fletcher32 => json!({"id": "fletcher32"}),
        Codec::Zstd => json!({"id": "zstd", "level": 3}),
        Codec::Bzip2 => json!({"id": "bz2", "level": 9}),
        Codec::Blosc => json!({"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1, "blocksize": 0}),
        Codec::Lz4 { framing: Lz4Framing::Numcodecs } => json!({"id": "lz4", "acceleration": 1}),
        Codec::Lzma { filters } if filters.is_empty() => json!({"id": "lzma", "format": 1, "check": -1, "preset": null, "filters": null}),
        Codec::Crc32 { at: place } => json!({"id": "crc32", "location": at(place)}),
        Codec::Crc32c { at: place } => json!({"id": "crc32c", "location": at(place)}),
        Codec::Adler32 { at: place } => json!({"id": "adler32", "location": at(place)}),
        Codec::Delta { decoded, encoded } => json!({"id": "delta", "dtype": cell(decoded), "astype": cell(encoded)}),
        Codec::FixedScaleOffset { scale, offset, decoded, encoded } => {
            json!({"id": "fixedscaleoffset", "scale": scale, "offset": offset, "dtype": cell(decoded), "astype": cell(encoded)})
        }
        Codec::AsType { decoded, encoded } => json!({"id": "astype", "decode_dtype": cell(decoded), "encode_dtype": cell(encoded)}),
        Codec::PackedBools => json!({"id": "packbits"}),
        Codec::VlenUtf8 => json!({"id": "vlen-utf8"}),
        other => return Err(format!("codec {}, which numcodecs does not have", other.name())),
    })
}

fn compresses(codec: &Value) -> bool {
    matches!(codec["id"].as_str(), Some("zlib" | "gzip" | "zstd" | "bz2" | "blosc" | "lz4" | "lzma"))
}

/// True where chunks at the array's end are smaller than Zarr wants them.
fn cut(metadata: &ArrayMetadata) -> bool {
    metadata.edge == EdgeChunks::Clipped && metadata.shape.iter().zip(&metadata.chunk_shape).any(|(n, side)| n % (*side).max(1) != 0)
}

/// Other chunks of the same bytes, which divide the array: possible where cells lie one after the other, not compressed.
fn recut(metadata: &ArrayMetadata, manifest: &ChunkManifest) -> std::result::Result<(Vec<u64>, Vec<ChunkRef>), String> {
    let refused = || "chunks that are cut at its end".to_owned();
    let (shape, chunk) = (&metadata.shape, &metadata.chunk_shape);
    // Only one axis is cut in parts; single cells before it, everything behind it.
    let axis = chunk.iter().position(|&side| side != 1).ok_or_else(refused)?;
    if !metadata.codecs.is_empty() || !chunk.iter().zip(shape).skip(axis + 1).all(|(side, n)| side == n) {
        return Err(refused());
    }
    let cells = shape.iter().skip(axis + 1).try_fold(metadata.data_type.size() as u64, |n, &side| n.checked_mul(side));
    let row = cells.filter(|&n| n > 0).ok_or_else(refused)?;
    let rows = shape.get(axis).copied().ok_or_else(refused)?;
    let most = (CHUNK / row).clamp(1, rows);
    let rows_a_chunk = (1..=most).rev().find(|&r| rows.is_multiple_of(r)).unwrap_or(1);
    let parts = rows.div_ceil(chunk.get(axis).copied().unwrap_or(1).max(1)) as usize;
    let mut chunks = Vec::new();
    for group in manifest.chunks.chunks(parts.max(1)) {
        let mut begin: Option<(u32, u64, u64)> = None;
        for part in group {
            let ChunkRef::Stored { object, offset, length, skip: 0 } = part else { return Err(refused()) };
            begin = match begin {
                None => Some((*object, *offset, offset + length)),
                Some((first, start, end)) if first == *object && end == *offset => Some((first, start, end + length)),
                Some(_) => return Err(refused()),
            };
        }
        let Some((object, start, end)) = begin else { return Err(refused()) };
        if Some(end - start) != rows.checked_mul(row) {
            return Err(refused());
        }
        let length = rows_a_chunk * row;
        chunks.extend((0..rows / rows_a_chunk).map(|i| ChunkRef::Stored { object, offset: start + i * length, length, skip: 0 }));
    }
    let mut new = chunk.clone();
    if let Some(side) = new.get_mut(axis) {
        *side = rows_a_chunk;
    }
    Ok((new, chunks))
}

/// A chunk of texts, kept in the index as a JSON list, as numcodecs' `vlen-utf8` writes it.
fn vlen_utf8(list: &[u8]) -> std::result::Result<Vec<u8>, String> {
    let texts: Vec<Option<String>> = serde_json::from_slice(list).map_err(|e| e.to_string())?;
    let length = |n: usize| u32::try_from(n).map(u32::to_le_bytes).map_err(|_| "texts of more than 2^32 bytes".to_owned());
    let mut out = length(texts.len())?.to_vec();
    for text in texts {
        let text = text.unwrap_or_default();
        out.extend(length(text.len())?);
        out.extend(text.as_bytes());
    }
    Ok(out)
}

/// Standard base64 (RFC 4648), padded.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits = group.iter().enumerate().fold(0u32, |bits, (i, &b)| bits | u32::from(b) << (16 - 8 * i));
        for i in 0..4 {
            let digit = DIGITS.get((bits >> (18 - 6 * i)) as usize & 63).copied().unwrap_or(b'=');
            out.push(if i <= group.len() { char::from(digit) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn corpus(file: &str) -> String {
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/corpus").join(file).to_str().unwrap().to_string()
    }

    /// What is written is read again, and gives the same cells (the same references are read by fsspec in `tests`).
    #[tokio::test]
    async fn references_give_what_the_file_gives() {
        use crate::inspect::{InspectOptions, inspect};
        let folder = tempfile::tempdir().unwrap();
        let objects = Objects::anywhere();
        for (file, least) in [("inspect/packed.nc", 8), ("netcdf3/classic.nc", 3), ("netcdf3/data64.nc", 3)] {
            let found = references(&objects, &corpus(file)).await.unwrap();
            let path = folder.path().join("refs.json");
            std::fs::write(&path, found.json.to_string()).unwrap();
            let options = || InspectOptions { stats: true, raw: true, ..InspectOptions::default() };
            let want = inspect(&objects, &corpus(file), options()).await.unwrap();
            let got = inspect(&objects, path.to_str().unwrap(), options()).await.unwrap();
            let mut compared = 0;
            for array in &got.arrays {
                let other = want.arrays.iter().find(|a| a.metadata.path == array.metadata.path).unwrap();
                assert_eq!((&array.metadata.shape, array.stats), (&other.metadata.shape, other.stats), "{file} {}", array.metadata.path);
                compared += 1;
            }
            assert!(compared >= least && compared + found.refused.len() >= want.arrays.len(), "{file}: {:?}", found.refused);
        }
    }

    #[test]
    fn base64_has_its_padding() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn cut_chunks_become_chunks_that_divide() {
        let metadata = ArrayMetadata {
            path: "/v".into(),
            dimensions: vec!["y".into(), "x".into()],
            shape: vec![10, 3],
            data_type: DataType::Int16,
            byte_order: ByteOrder::Big,
            chunk_shape: vec![4, 3],
            edge: EdgeChunks::Clipped,
            codecs: vec![],
            fill_value: None,
            attributes: Attributes::default(),
        };
        let stored = |offset, length| ChunkRef::Stored { object: 0, offset, length, skip: 0 };
        let manifest = ChunkManifest::new(vec![stored(100, 24), stored(124, 24), stored(148, 12)]);
        assert!(cut(&metadata));
        assert_eq!(recut(&metadata, &manifest).unwrap(), (vec![10, 3], vec![stored(100, 60)]));
        let gap = ChunkManifest::new(vec![stored(100, 24), stored(128, 24), stored(152, 12)]);
        assert!(recut(&metadata, &gap).is_err());
        assert!(recut(&ArrayMetadata { codecs: vec![Codec::Gzip], ..metadata }, &manifest).is_err());
    }
}
