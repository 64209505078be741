//! One array's metadata document (`.zarray` with `.zattrs`, or `zarr.json`) to what it says about cells, chunks and codecs.

use serde_json::Value;

use super::attributes;
use super::data_type::{self, Cells};
use super::json::{named, sizes};
use super::numcodecs;
use super::v3;
use crate::array::{Attributes, ByteOrder, DataType, KeyEncoding, Shard};
use crate::codec::Codec;

/// Most dimensions of an array that are read.
const DIMENSIONS: usize = 64;

/// An array as its document describes it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ArrayDocument {
    pub(super) shape: Vec<u64>,
    /// Shape of a chunk; of an inner one, where there are shards.
    pub(super) chunk: Vec<u64>,
    /// Shape of what one key holds, where that is a shard.
    pub(super) shard: Option<(Vec<u64>, Shard)>,
    pub(super) cells: Cells,
    /// Between a chunk's cells and its bytes, in encoding order; the columns' own steps come before.
    pub(super) codecs: Vec<Codec>,
    /// Byte order that the codecs leave, where they say so; else that of the columns.
    pub(super) order: Option<ByteOrder>,
    pub(super) fill: Value,
    pub(super) keys: KeyEncoding,
    /// Names of the dimensions, as far as they have names.
    pub(super) dimensions: Vec<Option<String>>,
    pub(super) attributes: Attributes,
}

/// Attributes that say what the document says.
const HIDDEN: [&str; 4] = ["_ARRAY_DIMENSIONS", "_NCZARR_ATTR", "_NCZARR_ARRAY", "_nczarr_array"];

/// Shape and chunk shape, checked against each other.
fn shapes(shape: Option<Vec<u64>>, chunk: Option<Vec<u64>>) -> Result<(Vec<u64>, Vec<u64>), String> {
    let shape = shape.ok_or("the document has no shape")?;
    let chunk = chunk.ok_or("the document has no chunk shape")?;
    if shape.len() != chunk.len() {
        return Err(format!("chunks of shape {chunk:?} in an array of shape {shape:?}"));
    }
    if shape.len() > DIMENSIONS {
        return Err(format!("{} dimensions (at most {DIMENSIONS})", shape.len()));
    }
    // A chunk side of 0 is what some writers give an axis without cells.
    if chunk.iter().zip(&shape).any(|(&side, &n)| side == 0 && n > 0) {
        return Err(format!("chunks of shape {chunk:?} have no cells"));
    }
    let count = shape.iter().zip(&chunk).try_fold(1u64, |all, (n, side)| all.checked_mul(n.div_ceil((*side).max(1))));
    count.ok_or_else(|| format!("shape {shape:?} in chunks of {chunk:?} has more than 2^64 chunks"))?;
    Ok((shape, chunk.into_iter().map(|side| side.max(1)).collect()))
}

/// Reads a v2 array: `array` is its `.zarray`, `attrs` its `.zattrs`.
pub(super) fn v2(array: &Value, attrs: &Value) -> Result<ArrayDocument, String> {
    if array.get("zarr_format").is_some_and(|v| v.as_u64() != Some(2)) {
        return Err(format!("zarr_format {} in a .zarray", array["zarr_format"]));
    }
    let (shape, chunk) = shapes(array.get("shape").and_then(sizes), array.get("chunks").and_then(sizes))?;
    let empty = Vec::new();
    let filters = match array.get("filters") {
        None | Some(Value::Null) => &empty,
        Some(filters) => filters.as_array().ok_or_else(|| format!("filters {filters}"))?,
    };
    let compressor = array.get("compressor").filter(|c| !c.is_null());
    let id = |codec: &Value| codec.get("id").and_then(Value::as_str).map(str::to_owned).ok_or_else(|| format!("codec {codec}"));
    let objects = filters.iter().chain(compressor).next().map(id).transpose()?;
    let cells = data_type::v2(array.get("dtype").unwrap_or(&Value::Null), objects.as_deref())?;
    let mut codecs = Vec::new();
    match array.get("order").and_then(Value::as_str).unwrap_or("C") {
        "F" if shape.len() > 1 && cells.size == 0 => return Err("order F of texts of any length".into()),
        "F" if shape.len() > 1 => codecs.push(Codec::Transpose {
            shape: chunk.clone(),
            order: (0..shape.len() as u8).rev().collect(),
            element: cells.size as u32,
        }),
        "C" | "F" => {}
        other => return Err(format!("order {other}")),
    }
    for codec in filters.iter().chain(compressor) {
        codecs.extend(numcodecs::steps(&id(codec)?, codec, cells.size)?);
    }
    let separator = match array.get("dimension_separator").and_then(Value::as_str) {
        None | Some(".") => '.',
        Some("/") => '/',
        Some(other) => return Err(format!("dimension separator {other:?}")),
    };
    let mut document = ArrayDocument {
        dimensions: dimension_names(&Value::Null, array, attrs, shape.len()),
        shape,
        chunk,
        shard: None,
        codecs,
        order: None,
        fill: array.get("fill_value").cloned().unwrap_or(Value::Null),
        keys: KeyEncoding::V2(separator),
        attributes: attributes::attributes(attrs, &HIDDEN),
        cells,
    };
    // xarray keeps `_FillValue` in the metadata; other writers give every array a fill value, which then means nothing.
    if attrs.get("_ARRAY_DIMENSIONS").is_some() && document.attributes.get("_FillValue").is_none() {
        document.fill_is_missing();
    }
    Ok(document.with_typed_attributes())
}

/// Reads a v3 array.
pub(super) fn v3(array: &Value) -> Result<ArrayDocument, String> {
    for (key, value) in array.as_object().into_iter().flatten() {
        let known = ["zarr_format", "node_type", "shape", "data_type", "chunk_grid", "chunk_key_encoding", "fill_value", "codecs"];
        let optional = ["attributes", "dimension_names", "storage_transformers", "consolidated_metadata"];
        let ignorable = value.get("must_understand") == Some(&Value::Bool(false));
        if !ignorable && !known.contains(&key.as_str()) && !optional.contains(&key.as_str()) {
            return Err(format!("extension {key}, which must be understood"));
        }
    }
    if array.get("storage_transformers").and_then(Value::as_array).is_some_and(|list| !list.is_empty()) {
        return Err(format!("storage transformers {}", array["storage_transformers"]));
    }
    let grid = array.get("chunk_grid").unwrap_or(&Value::Null);
    let chunk = match named(grid) {
        Some(("regular", configuration)) => configuration.get("chunk_shape").and_then(sizes),
        Some((other, _)) => return Err(format!("chunk grid {other}")),
        None => return Err("the document has no chunk grid".into()),
    };
    let (shape, chunk) = shapes(array.get("shape").and_then(sizes), chunk)?;
    let encoding = array.get("chunk_key_encoding").unwrap_or(&Value::Null);
    let separator = |configuration: &Value, or: char| match configuration.get("separator").and_then(Value::as_str) {
        None => Ok(or),
        Some("/") => Ok('/'),
        Some(".") => Ok('.'),
        Some(other) => Err(format!("chunk keys with separator {other:?}")),
    };
    let keys = match named(encoding) {
        Some(("default", configuration)) => KeyEncoding::Default(separator(configuration, '/')?),
        Some(("v2", configuration)) => KeyEncoding::V2(separator(configuration, '.')?),
        Some((other, _)) => return Err(format!("chunk keys {other}")),
        None => return Err("the document does not say how chunk keys are written".into()),
    };
    let data_type = array.get("data_type").unwrap_or(&Value::Null);
    let cells = data_type::v3(data_type)?;
    let fill = array.get("fill_value").cloned().unwrap_or(Value::Null);
    let codecs = array.get("codecs").and_then(Value::as_array).ok_or("the document has no codecs (an early draft of v3)")?;
    let chain = v3::chain(codecs, &v3::Before { chunk: &chunk, cells: &cells, data_type, fill: &fill })?;
    let attrs = array.get("attributes").unwrap_or(&Value::Null);
    let mut cells = cells;
    for codec in cells.columns.iter_mut().flat_map(|c| &mut c.codecs) {
        if let Codec::Utf32 { order, .. } = codec {
            *order = chain.order;
        }
    }
    let document = ArrayDocument {
        dimensions: dimension_names(array.get("dimension_names").unwrap_or(&Value::Null), array, attrs, shape.len()),
        shard: chain.shard.map(|shard| (chunk.clone(), shard)),
        shape,
        chunk: chain.chunk,
        cells,
        codecs: chain.codecs,
        order: Some(chain.order),
        fill,
        keys,
        attributes: attributes::attributes(attrs, &HIDDEN),
    };
    Ok(document.with_typed_attributes())
}

/// Names from v3's `dimension_names`, xarray's `_ARRAY_DIMENSIONS`, or NCZarr's references to dimensions.
fn dimension_names(v3: &Value, array: &Value, attrs: &Value, count: usize) -> Vec<Option<String>> {
    let texts = |value: &Value| -> Option<Vec<Option<String>>> {
        let list = value.as_array().filter(|list| list.len() == count)?;
        let name = |v: &Value| v.as_str().filter(|s| !s.is_empty()).map(str::to_owned);
        Some(list.iter().map(name).collect())
    };
    let nczarr = || {
        let of = |key: &str| array.get(key).or(attrs.get(key));
        let references = of("_NCZARR_ARRAY").or(of("_nczarr_array"))?;
        let references = references.get("dimrefs").or(references.get("dimension_references"))?;
        let last = |name: Option<String>| name.map(|n| n.rsplit('/').next().unwrap_or(&n).to_owned());
        Some(texts(references)?.into_iter().map(last).collect())
    };
    let xarray = || attrs.get("_ARRAY_DIMENSIONS").and_then(texts);
    texts(v3).filter(|names| names.iter().any(Option::is_some)).or_else(xarray).or_else(nczarr).unwrap_or(vec![None; count])
}

impl ArrayDocument {
    /// Cells equal to the fill value are missing.
    fn fill_is_missing(&mut self) {
        if !self.fill.is_null() && self.cells.columns.len() == 1 && !self.cells.columns.iter().any(|c| c.data_type.is_text()) {
            let fill = serde_json::json!({"_FillValue": self.fill});
            let fill = attributes::attributes(&fill, &[]);
            self.attributes.0.extend(fill.0);
        }
    }

    /// Fill values in the type of the cells; units of counts of time, and the count that stands for no time.
    fn with_typed_attributes(mut self) -> Self {
        use crate::array::AttributeValue::{Integers, Text};
        if let [column] = self.cells.columns.as_slice() {
            attributes::of_type(&mut self.attributes, column.data_type);
        }
        if let Some(units) = &self.cells.units {
            if self.attributes.get("units").is_none() {
                self.attributes.set("units", Text(units.clone()));
            }
            self.attributes.set("_FillValue", Integers(DataType::Int64, vec![i64::MIN]));
        }
        self
    }
}
