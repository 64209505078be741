//! Numbers and instants of any type as unsigned 64-bit words of the same order, so that states that only compare values and
//! hand them back need one form for all types.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Float64Array, Int64Array, UInt64Array};
use datafusion::arrow::compute;
use datafusion::arrow::datatypes::{DataType, Float64Type, Int64Type, UInt64Type};
use datafusion::error::Result;

use super::grouped::{as_type, primitive};

const SIGN: u64 = 1 << 63;

/// True for the types that have such words.
pub(crate) fn has_words(t: &DataType) -> bool {
    use DataType::*;
    matches!(
        t,
        Int8 | Int16
            | Int32
            | Int64
            | UInt8
            | UInt16
            | UInt32
            | UInt64
            | Float32
            | Float64
            | Timestamp(..)
            | Date32
            | Date64
            | Time32(_)
            | Time64(_)
            | Duration(_)
    )
}

/// One word a value; what stands for NULL is not defined. Of floats, -0 comes before 0 and NaN last or first by its sign.
pub(crate) fn to_words(values: &ArrayRef) -> Result<Vec<u64>> {
    use DataType::*;
    Ok(match values.data_type() {
        Float32 | Float64 => as_type::<Float64Type>(values)?.values().iter().map(|v| float_word(*v)).collect(),
        UInt64 => primitive::<UInt64Type>(values)?.values().to_vec(),
        Date32 | Time32(_) => to_words(&compute::cast(values, &Int32)?)?,
        _ => as_type::<Int64Type>(values)?.values().iter().map(|v| (*v as u64) ^ SIGN).collect(),
    })
}

/// The values of words that [`to_words`] made from type `t`.
pub(crate) fn from_words(words: &[u64], t: &DataType) -> Result<ArrayRef> {
    use DataType::*;
    let wide: ArrayRef = match t {
        Float32 | Float64 => Arc::new(Float64Array::from_iter_values(words.iter().map(|w| word_float(*w)))),
        UInt64 => Arc::new(UInt64Array::from(words.to_vec())),
        _ => Arc::new(Int64Array::from_iter_values(words.iter().map(|w| (w ^ SIGN) as i64))),
    };
    let narrow = if matches!(t, Date32 | Time32(_)) { compute::cast(&wide, &Int32)? } else { wide };
    Ok(if narrow.data_type() == t { narrow } else { compute::cast(&narrow, t)? })
}

/// A float as a word: IEEE 754's total order.
#[inline(always)]
pub(crate) fn float_word(v: f64) -> u64 {
    let bits = v.to_bits();
    if bits & SIGN == 0 { bits | SIGN } else { !bits }
}

fn word_float(word: u64) -> f64 {
    f64::from_bits(if word & SIGN == 0 { !word } else { word & !SIGN })
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{Array, Date32Array, Float32Array, Int16Array, TimestampMillisecondArray};

    use super::*;

    #[test]
    fn words_keep_order_and_value() {
        let arrays: Vec<ArrayRef> = vec![
            Arc::new(Float32Array::from(vec![f32::NEG_INFINITY, -1.5, -0.0, 0.0, 1e-30, 7.25, f32::INFINITY])),
            Arc::new(Int16Array::from(vec![i16::MIN, -1, 0, 1, i16::MAX])),
            Arc::new(UInt64Array::from(vec![0, 1, u64::MAX])),
            Arc::new(Int64Array::from(vec![i64::MIN, -1, 0, i64::MAX])),
            Arc::new(Date32Array::from(vec![-400, 0, 18_262])),
            Arc::new(TimestampMillisecondArray::from(vec![-5, 0, 1_577_836_800_000])),
        ];
        for array in arrays {
            let words = to_words(&array).unwrap();
            assert!(words.windows(2).all(|w| w[0] < w[1]), "{:?}", array.data_type());
            assert_eq!(from_words(&words, array.data_type()).unwrap().to_data(), array.to_data());
        }
    }
}
