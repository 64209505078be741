//! Number types as the kernels see them: how one is dispatched on, added, compared.

use datafusion::arrow::array::ArrowNativeTypeOp;

/// Evaluates `$body` with `$t` bound to the Arrow type of a number type, or returns an error.
macro_rules! with_number_type {
    ($data_type:expr, $t:ident => $body:expr) => {{
        use datafusion::arrow::datatypes as arrow_types;
        use datafusion::arrow::datatypes::DataType as Number;
        macro_rules! body {
            ($native:ty) => {{
                type $t = $native;
                $body
            }};
        }
        match $data_type {
            Number::Int8 => body!(arrow_types::Int8Type),
            Number::Int16 => body!(arrow_types::Int16Type),
            Number::Int32 => body!(arrow_types::Int32Type),
            Number::Int64 => body!(arrow_types::Int64Type),
            Number::UInt8 => body!(arrow_types::UInt8Type),
            Number::UInt16 => body!(arrow_types::UInt16Type),
            Number::UInt32 => body!(arrow_types::UInt32Type),
            Number::UInt64 => body!(arrow_types::UInt64Type),
            Number::Float32 => body!(arrow_types::Float32Type),
            Number::Float64 => body!(arrow_types::Float64Type),
            other => return datafusion::common::exec_err!("{other} has no dense form"),
        }
    }};
}
pub(crate) use with_number_type;

/// A primitive that can be added up.
pub(crate) trait Number: ArrowNativeTypeOp + PartialOrd {
    /// As `f64`.
    fn float(self) -> f64;
    /// As a wrapping 64-bit integer.
    fn integer(self) -> i64;
}

macro_rules! numbers {
    ($($t:ty),*) => {$(impl Number for $t {
        #[inline(always)]
        fn float(self) -> f64 { self as f64 }
        #[inline(always)]
        fn integer(self) -> i64 { self as i64 }
    })*};
}
numbers!(i8, i16, i32, i64, u8, u16, u32, u64, f32, f64);
