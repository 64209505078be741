//! `width_bucket(v, lo, hi, n)`: the number, from 1, of the one of n buckets of equal width between lo and hi that v falls in.
//!
//! As in SQL:2003 and PostgreSQL: bucket i holds lo + (i-1)(hi-lo)/n <= v < lo + i(hi-lo)/n; 0 is below lo, n + 1 at hi and
//! above. With lo > hi buckets run downwards. NULL and NaN give NULL. An error when n < 1 or lo = hi.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, Int32Array};
use datafusion::arrow::datatypes::{DataType, Float64Type, Int64Type};
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

use crate::dense::reduce::grouped::{as_type, column};

#[derive(Debug, PartialEq, Eq, Hash)]
struct WidthBucket {
    signature: Signature,
}

/// The function.
pub fn function() -> Arc<ScalarUDF> {
    let types = vec![DataType::Float64, DataType::Float64, DataType::Float64, DataType::Int64];
    Arc::new(ScalarUDF::from(WidthBucket { signature: Signature::exact(types, Volatility::Immutable) }))
}

fn bucket(v: f64, low: f64, high: f64, n: i64) -> Result<Option<i32>> {
    if !(1..i64::from(i32::MAX)).contains(&n) {
        return exec_err!("width_bucket(v, lo, hi, n): n must be from 1 to {}, not {n}", i32::MAX - 1);
    }
    if low == high || !low.is_finite() || !high.is_finite() {
        return exec_err!("width_bucket(v, lo, hi, n): lo and hi must be two different numbers, not {low} and {high}");
    }
    if v.is_nan() {
        return Ok(None);
    }
    // Seen from lo, whichever way hi lies.
    let (below, past) = if low < high { (v < low, v >= high) } else { (v > low, v <= high) };
    let number = match (below, past) {
        (true, _) => 0,
        (_, true) => n + 1,
        // Rounding must not carry v into the bucket past the last.
        _ => (((v - low) / (high - low) * n as f64) as i64).min(n - 1) + 1,
    };
    Ok(Some(number as i32))
}

impl ScalarUDFImpl for WidthBucket {
    fn name(&self) -> &str {
        "width_bucket"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int32)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let scalar = args.args.iter().all(|a| matches!(a, ColumnarValue::Scalar(_)));
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let float = |i| as_type::<Float64Type>(column(&arrays, i)?);
        let (v, low, high, n) = (float(0)?, float(1)?, float(2)?, as_type::<Int64Type>(column(&arrays, 3)?)?);
        let null = |i: usize| arrays.iter().any(|a| a.is_null(i));
        let numbers: Int32Array = (0..v.len())
            .map(|i| if null(i) { Ok(None) } else { bucket(v.value(i), low.value(i), high.value(i), n.value(i)) })
            .collect::<Result<_>>()?;
        let numbers: ArrayRef = Arc::new(numbers);
        Ok(if scalar { ColumnarValue::Scalar(ScalarValue::try_from_array(&numbers, 0)?) } else { ColumnarValue::Array(numbers) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_postgresqls() {
        // SELECT width_bucket(v, 0.024, 10.06, 5), documented by PostgreSQL for 5.35, and its edges.
        for (v, expected) in [(5.35, 3), (0.0239, 0), (0.024, 1), (10.06, 6), (10.059, 5), (f64::INFINITY, 6)] {
            assert_eq!(bucket(v, 0.024, 10.06, 5).unwrap(), Some(expected), "{v}");
        }
        assert_eq!((bucket(9.0, 10.0, 0.0, 5).unwrap(), bucket(10.5, 10.0, 0.0, 5).unwrap()), (Some(1), Some(0)));
        assert_eq!((bucket(0.0, 10.0, 0.0, 5).unwrap(), bucket(f64::NAN, 0.0, 1.0, 5).unwrap()), (Some(6), None));
        assert!(bucket(0.0, 1.0, 1.0, 5).is_err() && bucket(0.0, 0.0, 1.0, 0).is_err());
    }
}
