//! Values of the parameters `$1`, `$2`, ... and the one-row batch that carries them.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, Int64Array, NullArray, StringArray, TimestampNanosecondArray};
use arrow::datatypes::{Field, Schema};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};

use crate::Result;

/// The value of one parameter.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// NULL.
    Null,
    /// A truth value.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A number.
    Float(f64),
    /// Text; also dates in ISO 8601, which the server reads where it expects an instant.
    Text(String),
    /// An instant: nanoseconds since 1970-01-01T00:00Z.
    Nanoseconds(i64),
}

impl Value {
    fn to_arrow(&self) -> ArrayRef {
        match self {
            Value::Null => Arc::new(NullArray::new(1)),
            Value::Bool(v) => Arc::new(BooleanArray::from(vec![*v])),
            Value::Int(v) => Arc::new(Int64Array::from(vec![*v])),
            Value::Float(v) => Arc::new(Float64Array::from(vec![*v])),
            Value::Text(v) => Arc::new(StringArray::from(vec![v.as_str()])),
            Value::Nanoseconds(v) => Arc::new(TimestampNanosecondArray::from(vec![*v])),
        }
    }
}

/// The batch of one row that binds `$1`, `$2`, ... in order.
pub(crate) fn to_batch(values: &[Value]) -> Result<RecordBatch> {
    let columns: Vec<ArrayRef> = values.iter().map(Value::to_arrow).collect();
    let fields: Vec<Field> =
        columns.iter().enumerate().map(|(i, c)| Field::new(format!("${}", i + 1), c.data_type().clone(), true)).collect();
    Ok(RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &RecordBatchOptions::new().with_row_count(Some(1)))?)
}

impl From<bool> for Value {
    fn from(v: bool) -> Self {
        Value::Bool(v)
    }
}

impl From<i32> for Value {
    fn from(v: i32) -> Self {
        Value::Int(v.into())
    }
}

impl From<i64> for Value {
    fn from(v: i64) -> Self {
        Value::Int(v)
    }
}

impl From<f64> for Value {
    fn from(v: f64) -> Self {
        Value::Float(v)
    }
}

impl From<&str> for Value {
    fn from(v: &str) -> Self {
        Value::Text(v.to_owned())
    }
}

impl From<String> for Value {
    fn from(v: String) -> Self {
        Value::Text(v)
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(v: Option<T>) -> Self {
        v.map_or(Value::Null, Into::into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::DataType;

    #[test]
    fn parameters_keep_their_order_and_types() {
        let batch = to_batch(&[40.into(), 1.5.into(), "x".into(), None::<i64>.into()]).unwrap();
        let types: Vec<_> = batch.schema().fields().iter().map(|f| f.data_type().clone()).collect();
        assert_eq!(types, [DataType::Int64, DataType::Float64, DataType::Utf8, DataType::Null]);
        assert_eq!(batch.num_rows(), 1);
        assert_eq!(batch.schema().field(2).name(), "$3");
    }
}
