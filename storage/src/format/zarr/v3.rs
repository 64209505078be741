//! v3's codecs, which are an array's encoding from cells to bytes: what undoes them, and where shards are in them.

use serde_json::Value;

use super::data_type::Cells;
use super::json::{named, sizes};
use super::numcodecs;
use crate::array::{ByteOrder, DataType, Shard};
use crate::codec::{ChecksumAt, Codec, ZarrsChain};

/// What is encoded.
#[derive(Debug, Clone, Copy)]
pub(super) struct Before<'a> {
    /// Shape of what one key holds.
    pub(super) chunk: &'a [u64],
    pub(super) cells: &'a Cells,
    /// As in the document.
    pub(super) data_type: &'a Value,
    pub(super) fill: &'a Value,
}

/// What undoes an encoding.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Chain {
    /// In encoding order.
    pub(super) codecs: Vec<Codec>,
    /// Byte order of the cells that they leave.
    pub(super) order: ByteOrder,
    /// Shape of the chunks: inner ones, where there are shards.
    pub(super) chunk: Vec<u64>,
    pub(super) shard: Option<Shard>,
}

/// Byte order of what [`Codec::Zarrs`] leaves.
const NATIVE: ByteOrder = if cfg!(target_endian = "big") { ByteOrder::Big } else { ByteOrder::Little };

/// The chain for a list of codecs.
pub(super) fn chain(codecs: &[Value], before: &Before<'_>) -> Result<Chain, String> {
    // A shard around everything: its chunks are chunks of ours.
    let outermost = codecs.iter().position(|c| matches!(named(c), Some(("sharding_indexed", _))));
    if let Some(at) = outermost
        && let Some((shard, inner)) = shards(codecs, at, before)?
    {
        let list = |key: &str| named(codecs.get(at)?)?.1.get(key)?.as_array();
        let inside = list("codecs").ok_or("sharding_indexed without codecs")?;
        // What lies inside a shard is one chunk, be it a shard again.
        let chain = plain(inside, &Before { chunk: &inner, ..*before })
            .or_else(|why| by_zarrs(inside, &Before { chunk: &inner, ..*before }, why))?;
        return Ok(Chain { shard: Some(shard), ..chain });
    }
    plain(codecs, before).or_else(|why| by_zarrs(codecs, before, why))
}

/// The layout of shards and the shape of their chunks; `None` where they cannot be read chunk by chunk.
fn shards(codecs: &[Value], at: usize, before: &Before<'_>) -> Result<Option<(Shard, Vec<u64>)>, String> {
    let Some((_, configuration)) = codecs.get(at).and_then(named) else { return Ok(None) };
    let inner = configuration.get("chunk_shape").and_then(sizes).ok_or("sharding_indexed without chunk_shape")?;
    let fits = inner.len() == before.chunk.len() && inner.iter().zip(before.chunk).all(|(&i, &o)| i > 0 && o % i == 0);
    if !fits {
        return Err(format!("sharding_indexed: chunks of {inner:?} in shards of {:?}", before.chunk));
    }
    // A checksum behind the shard leaves its chunks where they are. It is of the whole, so it is not checked.
    let mut trailer = 0;
    for codec in codecs.get(at + 1..).unwrap_or_default() {
        match named(codec) {
            Some(("crc32c", _)) => trailer += 4,
            _ => return Ok(None),
        }
    }
    if at > 0 {
        return Ok(None);
    }
    let (mut order, mut checksum) = (None, false);
    for codec in configuration.get("index_codecs").and_then(Value::as_array).ok_or("sharding_indexed without index_codecs")? {
        match named(codec) {
            Some(("bytes", c)) if order.is_none() => order = Some(endian(c).unwrap_or(ByteOrder::Little)),
            Some(("crc32c", _)) if order.is_some() && !checksum => checksum = true,
            _ => return Err(format!("sharding_indexed: an index encoded by {codec}")),
        }
    }
    let at_end = match configuration.get("index_location").and_then(Value::as_str) {
        None | Some("end") => true,
        Some("start") => false,
        Some(other) => return Err(format!("sharding_indexed: an index at {other}")),
    };
    let counts = before.chunk.iter().zip(&inner).map(|(o, i)| o / i).collect();
    let shard = Shard { inner: counts, at_end, checksum, order: order.unwrap_or(ByteOrder::Little), trailer };
    Ok(Some((shard, inner)))
}

fn endian(configuration: &Value) -> Option<ByteOrder> {
    match configuration.get("endian")?.as_str()? {
        "little" => Some(ByteOrder::Little),
        "big" => Some(ByteOrder::Big),
        _ => None,
    }
}

/// The chain by codecs of ours; an error names the first that there is none for.
fn plain(codecs: &[Value], before: &Before<'_>) -> Result<Chain, String> {
    let mut steps = Vec::new();
    // The order of the cells; known behind the codec that makes bytes.
    let mut order = None;
    let mut shape = before.chunk.to_vec();
    for codec in codecs {
        let (name, configuration) = named(codec).ok_or_else(|| format!("codec {codec}"))?;
        match name {
            "transpose" if order.is_none() && before.cells.size > 0 => {
                let axes = configuration.get("order").and_then(|o| permutation(o, shape.len()));
                let axes = axes.ok_or_else(|| format!("codec transpose with order {}", configuration["order"]))?;
                let element = numcodecs::type_behind(&steps).map_or(before.cells.size, DataType::size);
                let behind = axes.iter().filter_map(|&a| shape.get(usize::from(a)).copied()).collect();
                steps.push(Codec::Transpose { shape, order: axes, element: element as u32 });
                shape = behind;
            }
            "bytes" if order.is_none() && before.cells.size > 0 => {
                let of_bytes = endian(configuration).unwrap_or(ByteOrder::Little);
                order = Some(if numcodecs::set_order(&mut steps, of_bytes) { ByteOrder::Little } else { of_bytes });
            }
            "pcodec" | "numcodecs.pcodec" if order.is_none() => {
                let data_type = match (numcodecs::type_behind(&steps), before.cells.columns.as_slice()) {
                    (Some(behind), _) => behind,
                    (None, [column]) if column.codecs.is_empty() => column.data_type,
                    _ => return Err(format!("codec {name} of records")),
                };
                steps.push(Codec::Pcodec { data_type });
                numcodecs::set_order(&mut steps, ByteOrder::Little);
                order = Some(ByteOrder::Little);
            }
            "vlen-utf8" if order.is_none() => {
                steps.push(Codec::VlenUtf8);
                order = Some(ByteOrder::Little);
            }
            "crc32c" if order.is_some() => steps.push(Codec::Crc32c { at: ChecksumAt::End }),
            "gzip" | "zlib" | "zstd" | "blosc" | "bz2" if order.is_some() => {
                steps.extend(numcodecs::steps(name, configuration, before.cells.size)?);
            }
            _ => {
                let id = name.strip_prefix("numcodecs.").ok_or_else(|| format!("codec {name}"))?;
                // Filters of numbers come before `bytes`, packed booleans in its place, compressors and checksums behind it.
                let of_cells = matches!(id, "delta" | "fixedscaleoffset" | "quantize" | "bitround" | "astype" | "packbits");
                if of_cells == order.is_some() {
                    return Err(format!("codec {name} {} bytes", if of_cells { "behind" } else { "before" }));
                }
                let element = numcodecs::type_behind(&steps).map_or(before.cells.size, DataType::size);
                steps.extend(numcodecs::steps(id, configuration, element)?);
            }
        }
    }
    let order = order.ok_or("no codec makes bytes of the cells")?;
    Ok(Chain { codecs: steps, order, chunk: before.chunk.to_vec(), shard: None })
}

/// An order of axes; each once.
fn permutation(order: &Value, axes: usize) -> Option<Vec<u8>> {
    let order: Vec<u8> = match order.as_str() {
        Some("C") => (0..axes as u8).collect(),
        Some("F") => (0..axes as u8).rev().collect(),
        _ => sizes(order)?.into_iter().map(u8::try_from).collect::<Result<_, _>>().ok()?,
    };
    let mut sorted = order.clone();
    sorted.sort_unstable();
    (sorted.len() == axes && sorted.iter().enumerate().all(|(i, &a)| i == usize::from(a))).then_some(order)
}

/// The chain by the crate zarrs, where it has all codecs; else the reason why ours has not.
fn by_zarrs(codecs: &[Value], before: &Before<'_>, why: String) -> Result<Chain, String> {
    let [column] = before.cells.columns.as_slice() else { return Err(why) };
    if column.data_type.is_text() || !column.codecs.is_empty() {
        return Err(why);
    }
    let text = |value: &Value| value.to_string();
    let chain = ZarrsChain {
        codecs: Value::Array(codecs.to_vec()).to_string(),
        data_type: text(before.data_type),
        fill: text(before.fill),
        shape: before.chunk.to_vec(),
    };
    match chain.check() {
        Ok(()) => Ok(Chain { codecs: vec![Codec::Zarrs(chain)], order: NATIVE, chunk: before.chunk.to_vec(), shard: None }),
        Err(_) => Err(why),
    }
}
