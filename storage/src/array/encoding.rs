//! How stored cells become values: packing, missing data, unsignedness. Filled in by `convention`, applied by `read`.

use arrow::datatypes::DataType as ArrowType;
use serde::{Deserialize, Serialize};

use super::{DataType, TimeUnit};

/// One stored value, exact.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Scalar {
    /// Any signed or unsigned integer that fits.
    Int(i64),
    /// `UInt64` above `i64::MAX`.
    UInt(u64),
    /// Any floating-point value.
    Float(f64),
}

impl Scalar {
    /// As `f64`, rounded where it must be.
    pub fn as_f64(self) -> f64 {
        match self {
            Scalar::Int(v) => v as f64,
            Scalar::UInt(v) => v as f64,
            Scalar::Float(v) => v,
        }
    }
}

/// The rule from stored cells of one array to values of one variable.
///
/// value = stored * `scale` + `offset` (netCDF Users Guide, attribute conventions), computed in `f64` and rounded once;
/// a stored cell equal to one of `missing`, or outside `valid_min..=valid_max` (in stored units), is NULL; so is NaN.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Encoding {
    /// Type to read stored cells as: the stored type, or its unsigned twin where `_Unsigned` says so.
    pub stored: DataType,
    /// Type of the values.
    pub decoded: DataType,
    /// `scale_factor`, 1 when absent.
    pub scale: f64,
    /// `add_offset`, 0 when absent.
    pub offset: f64,
    /// Stored values that mean "missing".
    pub missing: Vec<Scalar>,
    /// Lowest valid stored value.
    pub valid_min: Option<Scalar>,
    /// Highest valid stored value.
    pub valid_max: Option<Scalar>,
    /// Set for times: `decoded` is `Int64` counting `TimeUnit` since 1970-01-01T00:00Z in the standard calendar;
    /// value = `scale` and `offset` applied as exact integers by `convention::cf::time`.
    pub time: Option<TimeUnit>,
    /// Number of the granule's array that masks this one, cell by cell: where its stored cell is 0, the value is NULL.
    pub mask: Option<u32>,
    /// Packed values are rounded to single precision before they become `decoded`: those of a file whose own values are single
    /// in a cube where other files have double precision.
    pub single: bool,
}

impl Encoding {
    /// Values as they are stored: no packing, nothing missing but NaN.
    pub fn identity(stored: DataType) -> Self {
        Encoding {
            stored,
            decoded: stored,
            scale: 1.0,
            offset: 0.0,
            missing: vec![],
            valid_min: None,
            valid_max: None,
            time: None,
            mask: None,
            single: false,
        }
    }

    /// True when values are packed.
    pub fn is_packed(&self) -> bool {
        self.scale != 1.0 || self.offset != 0.0
    }

    /// The Arrow type of the decoded values.
    pub fn arrow_type(&self) -> ArrowType {
        value_type(self.decoded, self.time)
    }
}

/// The Arrow type of values of a decoded type; instants where `time` is set.
pub fn value_type(decoded: DataType, time: Option<TimeUnit>) -> ArrowType {
    if let Some(unit) = time {
        return ArrowType::Timestamp(unit.to_arrow(), None);
    }
    match decoded {
        DataType::Int8 => ArrowType::Int8,
        DataType::Int16 => ArrowType::Int16,
        DataType::Int32 => ArrowType::Int32,
        DataType::Int64 => ArrowType::Int64,
        DataType::UInt8 => ArrowType::UInt8,
        DataType::UInt16 => ArrowType::UInt16,
        DataType::UInt32 => ArrowType::UInt32,
        DataType::UInt64 => ArrowType::UInt64,
        DataType::Float16 | DataType::Float32 => ArrowType::Float32,
        DataType::Float64 => ArrowType::Float64,
        DataType::FixedText(_) | DataType::Text => ArrowType::Utf8,
    }
}
