//! One value as JSON: missing is null, NaN and infinities are texts, instants are ISO 8601.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    DataType as ArrowType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimeUnit as ArrowUnit,
    TimestampMicrosecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use serde_json::Value;

use crate::array::{Coordinates, DataType, Encoding, TimeUnit};
use crate::read::decode_cells;
use crate::{Error, Result};

/// A number; NaN and infinities as texts.
pub(super) fn float(v: f64) -> Value {
    crate::array::float_to_json(v)
}

/// The first value of a decoded column.
pub(super) fn decoded(values: &ArrayRef) -> Result<Value> {
    if values.is_empty() {
        return Err(Error::Internal("a value was asked for, none was read".into()));
    }
    if values.is_null(0) {
        return Ok(Value::Null);
    }
    let instant = |unit, count| Value::from(Coordinates::Time(unit, vec![count]).display(0));
    Ok(match values.data_type() {
        ArrowType::Int8 => Value::from(values.as_primitive::<Int8Type>().value(0)),
        ArrowType::Int16 => Value::from(values.as_primitive::<Int16Type>().value(0)),
        ArrowType::Int32 => Value::from(values.as_primitive::<Int32Type>().value(0)),
        ArrowType::Int64 => Value::from(values.as_primitive::<Int64Type>().value(0)),
        ArrowType::UInt8 => Value::from(values.as_primitive::<UInt8Type>().value(0)),
        ArrowType::UInt16 => Value::from(values.as_primitive::<UInt16Type>().value(0)),
        ArrowType::UInt32 => Value::from(values.as_primitive::<UInt32Type>().value(0)),
        ArrowType::UInt64 => Value::from(values.as_primitive::<UInt64Type>().value(0)),
        ArrowType::Float32 => float(f64::from(values.as_primitive::<Float32Type>().value(0))),
        ArrowType::Float64 => float(values.as_primitive::<Float64Type>().value(0)),
        ArrowType::Timestamp(ArrowUnit::Second, _) => instant(TimeUnit::Second, values.as_primitive::<TimestampSecondType>().value(0)),
        ArrowType::Timestamp(ArrowUnit::Microsecond, _) => {
            instant(TimeUnit::Microsecond, values.as_primitive::<TimestampMicrosecondType>().value(0))
        }
        ArrowType::Timestamp(ArrowUnit::Nanosecond, _) => {
            instant(TimeUnit::Nanosecond, values.as_primitive::<TimestampNanosecondType>().value(0))
        }
        ArrowType::Utf8 => Value::from(values.as_string::<i32>().value(0)),
        other => return Err(Error::Internal(format!("a value of type {other}"))),
    })
}

/// One stored cell in native byte order (a JSON list of one text for [`DataType::Text`]), as stored.
pub(super) fn stored(cell: &[u8], data_type: DataType) -> Result<Value> {
    let values = decode_cells(cell, &Encoding::identity(data_type))?;
    match decoded(&values)? {
        // Nothing but NaN is missing in an identity.
        Value::Null if data_type.is_float() => Ok(float(f64::NAN)),
        value => Ok(value),
    }
}
