//! Coordinate space: one axis of a grid, from index to coordinate and back.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float32Array, Float64Array, Int32Array, Int64Array, StringArray, TimestampMicrosecondArray, TimestampNanosecondArray,
    TimestampSecondArray,
};
use serde::{Deserialize, Serialize};

use super::{Attributes, Calendar};

/// What an axis measures (CF section 4; GeoTIFF model space).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AxisRole {
    /// Time.
    Time,
    /// Geographic latitude, degrees.
    Latitude,
    /// Geographic longitude, degrees; the one role that wraps.
    Longitude,
    /// Projected northing or row.
    Y,
    /// Projected easting or column.
    X,
    /// Height, depth, pressure, level.
    Vertical,
    /// Anything else.
    Other,
}

/// Unit of a timestamp count since 1970-01-01T00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TimeUnit {
    /// Seconds.
    Second,
    /// Microseconds.
    Microsecond,
    /// Nanoseconds: the default, 1677 to 2262.
    Nanosecond,
}

impl TimeUnit {
    /// Arrow's name of it.
    pub fn to_arrow(self) -> arrow::datatypes::TimeUnit {
        match self {
            TimeUnit::Second => arrow::datatypes::TimeUnit::Second,
            TimeUnit::Microsecond => arrow::datatypes::TimeUnit::Microsecond,
            TimeUnit::Nanosecond => arrow::datatypes::TimeUnit::Nanosecond,
        }
    }

    /// Counts in a second.
    pub fn per_second(self) -> i64 {
        match self {
            TimeUnit::Second => 1,
            TimeUnit::Microsecond => 1_000_000,
            TimeUnit::Nanosecond => 1_000_000_000,
        }
    }
}

/// The coordinate of every cell along an axis, in the type that users see.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Coordinates {
    /// No coordinate variable: positions 0, 1, 2, ... (`n` of them).
    Index(u64),
    /// Single precision, as in the file.
    Float32(Vec<f32>),
    /// Double precision.
    Float64(Vec<f64>),
    /// Integers up to 32 bits.
    Int32(Vec<i32>),
    /// 64-bit integers.
    Int64(Vec<i64>),
    /// Instants.
    Time(TimeUnit, Vec<i64>),
    /// Labels.
    Text(Vec<String>),
    /// Times of a calendar whose dates are not those of clocks (`noleap`, `360_day`, `julian` ..., and `standard` before the
    /// reform of 1582): microseconds since 1970-01-01T00:00 of that calendar. Users see ISO text, which sorts as time does.
    Calendar(Calendar, Vec<i64>),
}

impl Coordinates {
    /// Cells along the axis.
    pub fn len(&self) -> u64 {
        match self {
            Coordinates::Index(n) => *n,
            Coordinates::Float32(v) => v.len() as u64,
            Coordinates::Float64(v) => v.len() as u64,
            Coordinates::Int32(v) => v.len() as u64,
            Coordinates::Int64(v) => v.len() as u64,
            Coordinates::Time(_, v) => v.len() as u64,
            Coordinates::Text(v) => v.len() as u64,
            Coordinates::Calendar(_, v) => v.len() as u64,
        }
    }

    /// True for an axis without cells.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// As the Arrow array that the axis's column is made of, `len` long, never NULL.
    pub fn to_arrow(&self) -> ArrayRef {
        match self {
            Coordinates::Index(n) => Arc::new(Int64Array::from_iter_values(0..*n as i64)),
            Coordinates::Float32(v) => Arc::new(Float32Array::from(v.clone())),
            Coordinates::Float64(v) => Arc::new(Float64Array::from(v.clone())),
            Coordinates::Int32(v) => Arc::new(Int32Array::from(v.clone())),
            Coordinates::Int64(v) => Arc::new(Int64Array::from(v.clone())),
            Coordinates::Time(TimeUnit::Second, v) => Arc::new(TimestampSecondArray::from(v.clone())),
            Coordinates::Time(TimeUnit::Microsecond, v) => Arc::new(TimestampMicrosecondArray::from(v.clone())),
            Coordinates::Time(TimeUnit::Nanosecond, v) => Arc::new(TimestampNanosecondArray::from(v.clone())),
            Coordinates::Text(v) => Arc::new(StringArray::from(v.clone())),
            Coordinates::Calendar(..) => Arc::new(StringArray::from_iter_values((0..self.len() as usize).map(|i| self.display(i)))),
        }
    }

    /// As numbers: times as counts of their unit, those of a calendar in microseconds; `None` for labels.
    pub fn to_f64(&self) -> Option<Vec<f64>> {
        match self {
            Coordinates::Index(n) => Some((0..*n).map(|i| i as f64).collect()),
            Coordinates::Float32(v) => Some(v.iter().map(|&x| f64::from(x)).collect()),
            Coordinates::Float64(v) => Some(v.clone()),
            Coordinates::Int32(v) => Some(v.iter().map(|&x| f64::from(x)).collect()),
            Coordinates::Int64(v) | Coordinates::Time(_, v) | Coordinates::Calendar(_, v) => Some(v.iter().map(|&x| x as f64).collect()),
            Coordinates::Text(_) => None,
        }
    }

    /// The coordinate at a position, as people write it.
    pub fn display(&self, i: usize) -> String {
        match self {
            Coordinates::Index(_) => i.to_string(),
            Coordinates::Float32(v) => v[i].to_string(),
            Coordinates::Float64(v) => v[i].to_string(),
            Coordinates::Int32(v) => v[i].to_string(),
            Coordinates::Int64(v) => v[i].to_string(),
            Coordinates::Text(v) => v[i].clone(),
            Coordinates::Calendar(calendar, v) => calendar.text(v[i]).unwrap_or_else(|| format!("{} us since 1970-01-01", v[i])),
            Coordinates::Time(unit, v) => {
                let per = unit.per_second();
                let (s, rest) = (v[i].div_euclid(per), v[i].rem_euclid(per));
                match chrono::DateTime::from_timestamp(s, (rest * (1_000_000_000 / per)) as u32) {
                    Some(t) => t.naive_utc().format("%Y-%m-%dT%H:%M:%S%.f").to_string(),
                    None => format!("{s} s since 1970-01-01"),
                }
            }
        }
    }
}

/// One dimension of a grid with its coordinates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Axis {
    /// The dimension's name: `time`, `lat`, `y`.
    pub name: String,
    /// What it measures.
    pub role: AxisRole,
    /// Its coordinates in storage order (rising or falling).
    pub coordinates: Coordinates,
    /// Lower and upper bound of each cell, in the coordinates' units, where the file gives them (CF `bounds`) or the
    /// grid implies them (GeoTIFF pixel-is-area).
    pub bounds: Option<Vec<[f64; 2]>>,
    /// The coordinate variable's `units`, as in the file.
    pub units: Option<String>,
    /// CF calendar of a time axis, by its CF name (`standard`, `proleptic_gregorian`, `noleap`, ...).
    pub calendar: Option<String>,
    /// The coordinate variable's attributes, as in the file.
    pub attributes: Attributes,
}

impl Axis {
    /// An axis of positions: a dimension without coordinate variable.
    pub fn of_positions(name: impl Into<String>, n: u64) -> Self {
        Axis {
            name: name.into(),
            role: AxisRole::Other,
            coordinates: Coordinates::Index(n),
            bounds: None,
            units: None,
            calendar: None,
            attributes: Attributes::default(),
        }
    }

    /// Cells along the axis.
    pub fn len(&self) -> u64 {
        self.coordinates.len()
    }

    /// True for an axis without cells.
    pub fn is_empty(&self) -> bool {
        self.coordinates.is_empty()
    }
}
