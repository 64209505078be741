//! What the schema of an array answer says: axes with their coordinates, scalars, CRS, and the variables' dimensions.

use std::io::Cursor;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, Float32Array, Float64Array, Int64Array, TimestampMicrosecondArray, TimestampMillisecondArray,
    TimestampNanosecondArray, TimestampSecondArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema};
use arrow::ipc::reader::StreamReader;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::wire::{ABSENT_KEY, ATTRIBUTES_KEY, AXES_KEY, DIMS_KEY};
use crate::{Axis, Error, Result, Scalar};

/// Key of Arrow's own metadata of an extension type.
const EXTENSION_METADATA: &str = "ARROW:extension:metadata";
/// The column of cell indices.
pub(crate) const ORIGIN: &str = "origin";

/// An answer before its tiles.
#[derive(Debug)]
pub(crate) struct Layout {
    pub axes: Vec<Axis>,
    pub scalars: Vec<Scalar>,
    pub crs: Option<String>,
    pub attributes: Map<String, Value>,
    pub variables: Vec<Declared>,
    /// Column of the tiles' origins.
    pub origin: usize,
}

/// One column of tensors.
#[derive(Debug)]
pub(crate) struct Declared {
    pub name: String,
    /// Its dimensions, slowest first, as places among the answer's axes.
    pub axes: Vec<usize>,
    /// Cells along each of them.
    pub shape: Vec<usize>,
    /// Type of a cell.
    pub data_type: DataType,
    /// True for a count: 0 where no tile is.
    pub zero_when_absent: bool,
    pub attributes: Map<String, Value>,
    pub column: usize,
}

#[derive(Deserialize)]
struct DescribedAnswer {
    axes: Vec<DescribedAxis>,
    crs: Option<String>,
    #[serde(default)]
    scalars: Vec<DescribedScalar>,
    #[serde(default)]
    attributes: Map<String, Value>,
}

#[derive(Deserialize)]
struct DescribedAxis {
    name: String,
    size: usize,
    dtype: Option<String>,
    units: Option<String>,
    calendar: Option<String>,
    role: Option<String>,
    #[serde(default)]
    attributes: Map<String, Value>,
    coordinates: Option<DescribedCoordinates>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum DescribedCoordinates {
    Ipc { ipc: String },
    Regular { start: Value, step: Value },
}

#[derive(Deserialize)]
struct DescribedScalar {
    name: String,
    value: Value,
    dtype: Option<String>,
    #[serde(default)]
    attributes: Map<String, Value>,
}

/// Reads the schema of an array answer.
pub(crate) fn parse(schema: &Schema) -> Result<Layout> {
    let text = schema.metadata().get(AXES_KEY).ok_or_else(|| {
        Error::answer("it is not in array form: a query for array() selects from a cube or keeps its axes; use sql() for rows")
    })?;
    let described: DescribedAnswer = serde_json::from_str(text).map_err(|e| Error::answer(format!("{AXES_KEY}: {e}")))?;
    let axes = described.axes.into_iter().map(axis).collect::<Result<Vec<_>>>()?;
    let origin = schema.index_of(ORIGIN)?;
    let variables = schema.fields().iter().enumerate().filter(|(i, _)| *i != origin);
    let variables = variables.map(|(i, field)| variable(field, i, &axes)).collect::<Result<_>>()?;
    let scalars = described.scalars.into_iter();
    let scalars = scalars.map(|s| Scalar { name: s.name, value: s.value, data_type: s.dtype, attributes: s.attributes }).collect();
    Ok(Layout { axes, scalars, crs: described.crs, attributes: described.attributes, variables, origin })
}

fn variable(field: &Field, column: usize, axes: &[Axis]) -> Result<Declared> {
    let wrong = |what: &str| Error::answer(format!("column {}: {what}", field.name()));
    let DataType::Struct(storage) = field.data_type() else { return Err(wrong("not a tensor")) };
    let (_, data) = storage.find("data").ok_or_else(|| wrong("no field `data`"))?;
    let (DataType::List(inner) | DataType::LargeList(inner)) = data.data_type() else { return Err(wrong("`data` is not a list")) };
    let metadata = field.metadata();
    let names = match (metadata.get(DIMS_KEY), metadata.get(EXTENSION_METADATA)) {
        (Some(text), _) => serde_json::from_str(text).ok(),
        (None, Some(text)) => {
            serde_json::from_str::<Value>(text).ok().and_then(|v| serde_json::from_value(v.get("dim_names")?.clone()).ok())
        }
        (None, None) => None,
    };
    let names: Vec<String> = names.unwrap_or_else(|| axes.iter().map(|a| a.name.clone()).collect());
    let find =
        |name: &String| axes.iter().position(|a| a.name == *name).ok_or_else(|| wrong(&format!("its dimension `{name}` is not an axis")));
    let places = names.iter().map(find).collect::<Result<Vec<_>>>()?;
    let attributes = match metadata.get(ATTRIBUTES_KEY) {
        Some(text) => serde_json::from_str(text).map_err(|e| wrong(&e.to_string()))?,
        None => Map::new(),
    };
    Ok(Declared {
        name: field.name().clone(),
        shape: places.iter().filter_map(|&i| axes.get(i)).map(|a| a.size).collect(),
        axes: places,
        data_type: inner.data_type().clone(),
        zero_when_absent: metadata.get(ABSENT_KEY).is_some_and(|v| v == "0"),
        attributes,
        column,
    })
}

fn axis(described: DescribedAxis) -> Result<Axis> {
    let wrong = |what: String| Error::answer(format!("axis {}: {what}", described.name));
    let coordinates = match &described.coordinates {
        None => None,
        Some(DescribedCoordinates::Ipc { ipc }) => Some(decoded(ipc).map_err(&wrong)?),
        Some(DescribedCoordinates::Regular { start, step }) => {
            let dtype = described.dtype.as_deref().unwrap_or("float64");
            Some(regular(start, step, described.size, dtype).map_err(&wrong)?)
        }
    };
    if let Some(coordinates) = &coordinates
        && coordinates.len() != described.size
    {
        return Err(wrong(format!("{} cells but {} coordinates", described.size, coordinates.len())));
    }
    Ok(Axis {
        name: described.name,
        size: described.size,
        units: described.units,
        calendar: described.calendar,
        role: described.role,
        attributes: described.attributes,
        coordinates,
    })
}

/// The one column of a base64 IPC stream.
fn decoded(ipc: &str) -> Result<ArrayRef, String> {
    let bytes = BASE64_STANDARD.decode(ipc).map_err(|e| e.to_string())?;
    let mut reader = StreamReader::try_new(Cursor::new(bytes), None).map_err(|e| e.to_string())?;
    let batch = reader.next().ok_or("its coordinates hold no batch")?.map_err(|e| e.to_string())?;
    batch.columns().first().cloned().ok_or_else(|| "its coordinates hold no column".to_owned())
}

/// Cell i is `start + i * step`, computed in float64 (int64 for integers and instants) and stored as `dtype`.
fn regular(start: &Value, step: &Value, size: usize, dtype: &str) -> Result<ArrayRef, String> {
    if dtype.starts_with("float") {
        let (start, step) = start.as_f64().zip(step.as_f64()).ok_or("start and step are not numbers")?;
        let values = (0..size).map(|i| start + i as f64 * step);
        return match dtype {
            "float64" => Ok(Arc::new(Float64Array::from_iter_values(values))),
            "float32" => Ok(Arc::new(Float32Array::from_iter_values(values.map(|v| v as f32)))),
            other => Err(format!("the type {other} is not known")),
        };
    }
    let (start, step) = start.as_i64().zip(step.as_i64()).ok_or("start and step are not whole numbers")?;
    let value = |i: usize| i64::try_from(i).ok()?.checked_mul(step)?.checked_add(start);
    let values = (0..size).map(value).collect::<Option<Vec<i64>>>().ok_or("its coordinates do not fit into 64 bits")?;
    let target = match dtype {
        "datetime64[s]" => return Ok(Arc::new(TimestampSecondArray::from(values))),
        "datetime64[ms]" => return Ok(Arc::new(TimestampMillisecondArray::from(values))),
        "datetime64[us]" => return Ok(Arc::new(TimestampMicrosecondArray::from(values))),
        "datetime64[ns]" => return Ok(Arc::new(TimestampNanosecondArray::from(values))),
        "int64" => return Ok(Arc::new(Int64Array::from(values))),
        "int8" => DataType::Int8,
        "int16" => DataType::Int16,
        "int32" => DataType::Int32,
        "uint8" => DataType::UInt8,
        "uint16" => DataType::UInt16,
        "uint32" => DataType::UInt32,
        "uint64" => DataType::UInt64,
        other => return Err(format!("the type {other} is not known")),
    };
    cast(&Int64Array::from(values), &target).map_err(|e| e.to_string())
}
