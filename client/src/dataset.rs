//! Array answers: named arrays on named axes.

use arrow::array::ArrayRef;
use arrow::datatypes::TimeUnit;
use ndarray::ArrayD;
use serde_json::{Map, Value};

/// The answer to a query in array form.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// Its dimensions, slowest first.
    pub axes: Vec<Axis>,
    /// Axes that the query fixed at one coordinate.
    pub scalars: Vec<Scalar>,
    /// The coordinate reference system of its horizontal axes: `EPSG:4326`, or WKT.
    pub crs: Option<String>,
    /// Its variables, in the query's order.
    pub variables: Vec<Variable>,
    /// Attributes of the whole.
    pub attributes: Map<String, Value>,
}

impl Dataset {
    /// The variable of this name.
    pub fn variable(&self, name: &str) -> Option<&Variable> {
        self.variables.iter().find(|v| v.name == name)
    }

    /// The axis of this name.
    pub fn axis(&self, name: &str) -> Option<&Axis> {
        self.axes.iter().find(|a| a.name == name)
    }
}

/// One dimension.
#[derive(Debug, Clone)]
pub struct Axis {
    /// Name.
    pub name: String,
    /// Cells along it.
    pub size: usize,
    /// CF units of its coordinates.
    pub units: Option<String>,
    /// CF calendar of a time axis.
    pub calendar: Option<String>,
    /// What it measures: `Time`, `Latitude`, `X`, ...
    pub role: Option<String>,
    /// Attributes of its coordinate variable.
    pub attributes: Map<String, Value>,
    /// The coordinate of each cell, never NULL; `None` for an axis of positions.
    pub coordinates: Option<ArrayRef>,
}

/// An axis that was fixed at one coordinate.
#[derive(Debug, Clone)]
pub struct Scalar {
    /// Name.
    pub name: String,
    /// The coordinate; instants as counts of their unit or as ISO 8601 text.
    pub value: Value,
    /// Its type as numpy writes it: `float32`, `datetime64[ns]`.
    pub data_type: Option<String>,
    /// Attributes of the coordinate variable.
    pub attributes: Map<String, Value>,
}

/// One array.
#[derive(Debug, Clone)]
pub struct Variable {
    /// Name.
    pub name: String,
    /// Names of its dimensions, slowest first.
    pub dims: Vec<String>,
    /// Units, long name and other attributes.
    pub attributes: Map<String, Value>,
    /// Its cells, in C order.
    pub values: Values,
}

/// Cells of a variable. Missing cells are NaN; integers and truth values that have some become `Float32` (up to 16 bits) or
/// `Float64`; missing instants are [`NOT_A_TIME`].
#[derive(Debug, Clone)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum Values {
    Bool(ArrayD<bool>),
    Int8(ArrayD<i8>),
    Int16(ArrayD<i16>),
    Int32(ArrayD<i32>),
    Int64(ArrayD<i64>),
    UInt8(ArrayD<u8>),
    UInt16(ArrayD<u16>),
    UInt32(ArrayD<u32>),
    UInt64(ArrayD<u64>),
    Float32(ArrayD<f32>),
    Float64(ArrayD<f64>),
    /// Instants: counts of the unit since 1970-01-01T00:00Z.
    Time(TimeUnit, ArrayD<i64>),
    Text(ArrayD<Option<String>>),
}

/// The missing instant, as numpy's `NaT`.
pub const NOT_A_TIME: i64 = i64::MIN;

impl Values {
    /// Cells along each dimension.
    pub fn shape(&self) -> &[usize] {
        match self {
            Values::Bool(a) => a.shape(),
            Values::Int8(a) => a.shape(),
            Values::Int16(a) => a.shape(),
            Values::Int32(a) => a.shape(),
            Values::Int64(a) | Values::Time(_, a) => a.shape(),
            Values::UInt8(a) => a.shape(),
            Values::UInt16(a) => a.shape(),
            Values::UInt32(a) => a.shape(),
            Values::UInt64(a) => a.shape(),
            Values::Float32(a) => a.shape(),
            Values::Float64(a) => a.shape(),
            Values::Text(a) => a.shape(),
        }
    }

    /// The cells as `f32` where they are.
    pub fn as_f32(&self) -> Option<&ArrayD<f32>> {
        if let Values::Float32(a) = self { Some(a) } else { None }
    }

    /// The cells as `f64` where they are.
    pub fn as_f64(&self) -> Option<&ArrayD<f64>> {
        if let Values::Float64(a) = self { Some(a) } else { None }
    }

    /// A copy of the cells as numbers; missing instants are NaN. `None` for text.
    pub fn to_f64(&self) -> Option<ArrayD<f64>> {
        Some(match self {
            Values::Bool(a) => a.mapv(|v| f64::from(u8::from(v))),
            Values::Int8(a) => a.mapv(f64::from),
            Values::Int16(a) => a.mapv(f64::from),
            Values::Int32(a) => a.mapv(f64::from),
            Values::Int64(a) => a.mapv(|v| v as f64),
            Values::UInt8(a) => a.mapv(f64::from),
            Values::UInt16(a) => a.mapv(f64::from),
            Values::UInt32(a) => a.mapv(f64::from),
            Values::UInt64(a) => a.mapv(|v| v as f64),
            Values::Float32(a) => a.mapv(f64::from),
            Values::Float64(a) => a.clone(),
            Values::Time(_, a) => a.mapv(|v| if v == NOT_A_TIME { f64::NAN } else { v as f64 }),
            Values::Text(_) => return None,
        })
    }
}
