//! The types of stored cells: from bytes to numbers, and from an encoding's scalars to stored values.

use half::f16;

use crate::array::Scalar;

/// A stored cell, in native byte order.
pub(super) trait Stored: Copy + PartialEq + PartialOrd {
    /// Bytes a cell.
    const SIZE: usize;
    /// True for floating point.
    const FLOAT: bool;

    /// The cells in these bytes; a rest shorter than a cell is left out.
    fn cells(bytes: &[u8]) -> impl Iterator<Item = Self>;

    /// The stored value equal to a scalar; `None` where the type has none (then no cell can equal it).
    fn equal_to(scalar: Scalar) -> Option<Self>;

    /// Lowest and highest value inside the limits; an interval that holds no value of the type comes back to front.
    fn limits(min: Option<Scalar>, max: Option<Scalar>) -> (Self, Self);

    /// As `f64`, rounded where it must be.
    fn to_f64(self) -> f64;

    /// As an integer; `None` for floating point.
    fn to_i128(self) -> Option<i128>;
}

/// A stored cell as a value of another type, as Rust's `as` does it.
pub(super) trait Cast<T>: Stored {
    fn cast(self) -> T;
}

/// The integer that a scalar is, if it is one.
fn integer(scalar: Scalar) -> Option<i128> {
    match scalar {
        Scalar::Int(v) => Some(i128::from(v)),
        Scalar::UInt(v) => Some(i128::from(v)),
        Scalar::Float(v) => (v.fract() == 0.0).then_some(v as i128),
    }
}

/// A limit as an integer, rounded by `round`; NaN is no limit.
fn integer_limit(scalar: Option<Scalar>, round: fn(f64) -> f64) -> Option<i128> {
    match scalar? {
        Scalar::Float(v) => (!v.is_nan()).then(|| round(v) as i128),
        other => integer(other),
    }
}

macro_rules! stored_integer {
    ($($t:ty),*) => {$(
        impl Stored for $t {
            const SIZE: usize = size_of::<$t>();
            const FLOAT: bool = false;

            fn cells(bytes: &[u8]) -> impl Iterator<Item = Self> {
                bytes.as_chunks::<{ size_of::<$t>() }>().0.iter().map(|b| <$t>::from_ne_bytes(*b))
            }

            fn equal_to(scalar: Scalar) -> Option<Self> {
                <$t>::try_from(integer(scalar)?).ok()
            }

            fn limits(min: Option<Scalar>, max: Option<Scalar>) -> (Self, Self) {
                let (lowest, highest) = (i128::from(<$t>::MIN), i128::from(<$t>::MAX));
                let min = integer_limit(min, f64::ceil).unwrap_or(lowest).max(lowest);
                let max = integer_limit(max, f64::floor).unwrap_or(highest).min(highest);
                match (<$t>::try_from(min), <$t>::try_from(max)) {
                    (Ok(min), Ok(max)) => (min, max),
                    _ => (<$t>::MAX, <$t>::MIN),
                }
            }

            fn to_f64(self) -> f64 {
                self as f64
            }

            fn to_i128(self) -> Option<i128> {
                Some(i128::from(self))
            }
        }
    )*};
}
stored_integer!(i8, i16, i32, i64, u8, u16, u32, u64);

macro_rules! stored_float {
    ($($t:ty: $from:expr, $to:expr;)*) => {$(
        impl Stored for $t {
            const SIZE: usize = size_of::<$t>();
            const FLOAT: bool = true;

            fn cells(bytes: &[u8]) -> impl Iterator<Item = Self> {
                bytes.as_chunks::<{ size_of::<$t>() }>().0.iter().map(|b| <$t>::from_ne_bytes(*b))
            }

            fn equal_to(scalar: Scalar) -> Option<Self> {
                // Rounded to the stored type: attributes are often written in double precision.
                Some($from(scalar.as_f64()))
            }

            fn limits(min: Option<Scalar>, max: Option<Scalar>) -> (Self, Self) {
                let limit = |s: Option<Scalar>| s.map(Scalar::as_f64).filter(|v| !v.is_nan()).map($from);
                (limit(min).unwrap_or(<$t>::NEG_INFINITY), limit(max).unwrap_or(<$t>::INFINITY))
            }

            fn to_f64(self) -> f64 {
                $to(self)
            }

            fn to_i128(self) -> Option<i128> {
                None
            }
        }
    )*};
}
stored_float! {
    f16: f16::from_f64, f16::to_f64;
    f32: |v: f64| v as f32, |v: f32| f64::from(v);
    f64: |v: f64| v, |v: f64| v;
}

macro_rules! cast {
    ($($s:ty => $($t:ty)*;)*) => {$($(
        impl Cast<$t> for $s {
            fn cast(self) -> $t {
                self as $t
            }
        }
    )*)*};
}
cast! {
    i8 => i8 i16 i32 i64 u8 u16 u32 u64 f32 f64;
    i16 => i8 i16 i32 i64 u8 u16 u32 u64 f32 f64;
    i32 => i8 i16 i32 i64 u8 u16 u32 u64 f32 f64;
    i64 => i8 i16 i32 i64 u8 u16 u32 u64 f32 f64;
    u8 => i8 i16 i32 i64 u8 u16 u32 u64 f32 f64;
    u16 => i8 i16 i32 i64 u8 u16 u32 u64 f32 f64;
    u32 => i8 i16 i32 i64 u8 u16 u32 u64 f32 f64;
    u64 => i8 i16 i32 i64 u8 u16 u32 u64 f32 f64;
    f32 => i8 i16 i32 i64 u8 u16 u32 u64 f32 f64;
    f64 => i8 i16 i32 i64 u8 u16 u32 u64 f32 f64;
}

macro_rules! cast_half {
    ($($t:ty)*) => {$(
        impl Cast<$t> for f16 {
            fn cast(self) -> $t {
                self.to_f32() as $t
            }
        }
    )*};
}
cast_half!(i8 i16 i32 i64 u8 u16 u32 u64 f32 f64);

/// Runs `$body` with `$S` as the Rust type of a stored data type; `$otherwise` for text.
macro_rules! with_stored {
    ($data_type:expr, $S:ident => $body:expr, $otherwise:expr) => {
        match $data_type {
            DataType::Int8 => {
                type $S = i8;
                $body
            }
            DataType::Int16 => {
                type $S = i16;
                $body
            }
            DataType::Int32 => {
                type $S = i32;
                $body
            }
            DataType::Int64 => {
                type $S = i64;
                $body
            }
            DataType::UInt8 => {
                type $S = u8;
                $body
            }
            DataType::UInt16 => {
                type $S = u16;
                $body
            }
            DataType::UInt32 => {
                type $S = u32;
                $body
            }
            DataType::UInt64 => {
                type $S = u64;
                $body
            }
            DataType::Float16 => {
                type $S = half::f16;
                $body
            }
            DataType::Float32 => {
                type $S = f32;
                $body
            }
            DataType::Float64 => {
                type $S = f64;
                $body
            }
            DataType::FixedText(_) | DataType::Text => $otherwise,
        }
    };
}
pub(super) use with_stored;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_become_stored_values_only_where_they_are_equal() {
        assert_eq!(i16::equal_to(Scalar::Float(-999.0)), Some(-999));
        assert_eq!(i16::equal_to(Scalar::Float(-999.5)), None);
        assert_eq!(i8::equal_to(Scalar::Int(200)), None);
        assert_eq!(u64::equal_to(Scalar::UInt(u64::MAX)), Some(u64::MAX));
        assert_eq!(u8::equal_to(Scalar::Float(f64::NAN)), None);
        assert_eq!(i64::equal_to(Scalar::Float(1e300)), None);
        assert_eq!(f32::equal_to(Scalar::Float(1e20)), Some(1e20f32));
        // T7 in the traps: nodata text slightly above the largest float32.
        assert_eq!(f32::equal_to(Scalar::Float("3.40282346638529011e+38".parse().unwrap())), Some(f32::MAX));
    }

    #[test]
    fn limits_round_inwards_and_may_be_empty() {
        assert_eq!(i16::limits(Some(Scalar::Float(0.5)), Some(Scalar::Float(9.5))), (1, 9));
        assert_eq!(u8::limits(Some(Scalar::Int(-5)), None), (0, 255));
        assert_eq!(u8::limits(Some(Scalar::Int(300)), None), (255, 0));
        assert_eq!(i8::limits(None, Some(Scalar::Float(f64::NAN))), (-128, 127));
        assert_eq!(f32::limits(Some(Scalar::Float(0.1)), None), (0.1f32, f32::INFINITY));
    }
}
