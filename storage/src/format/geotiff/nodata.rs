//! The text of the GDAL_NODATA tag as a stored value.

use crate::array::{DataType, Scalar};

/// What a nodata text means for cells of one type.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Nodata {
    /// The value as GDAL fills never-written blocks with it: clamped into the type's range. NaN for "nan".
    pub(crate) fill: Scalar,
    /// True when cells can hold the value, so that it marks missing ones.
    pub(crate) holds: bool,
}

/// Reads a nodata text (`-9999`, `nan`, `-inf`, `1.#INF`, `3.40282346638529011e+38`) for cells of `data_type`; `None` when
/// it is no number.
///
/// Integers that do not fit their type are clamped for filling and mark nothing. Floats are rounded to their type; those
/// slightly outside its range are clamped to it, as GDAL does.
pub(crate) fn parse(text: &str, data_type: DataType) -> Option<Nodata> {
    let text = text.trim().trim_end_matches('\0').trim();
    let as_float = || float(text);
    if data_type.is_float() {
        let value = as_float()?;
        let largest = match data_type {
            DataType::Float16 => f64::from(half::f16::MAX),
            DataType::Float32 => f64::from(f32::MAX),
            _ => f64::MAX,
        };
        let clamped = if value.is_finite() { value.clamp(-largest, largest) } else { value };
        let fill = match data_type {
            DataType::Float16 => f64::from(half::f16::from_f64(clamped)),
            DataType::Float32 => f64::from(clamped as f32),
            _ => clamped,
        };
        // One part in a million over the end is printing; more is another type's nodata.
        let holds = !value.is_finite() || value.abs() <= largest * (1.0 + 1e-6);
        return Some(Nodata { fill: Scalar::Float(fill), holds });
    }
    let (low, high): (i128, i128) = match data_type {
        DataType::Int8 => (i8::MIN.into(), i8::MAX.into()),
        DataType::Int16 => (i16::MIN.into(), i16::MAX.into()),
        DataType::Int32 => (i32::MIN.into(), i32::MAX.into()),
        DataType::Int64 => (i64::MIN.into(), i64::MAX.into()),
        DataType::UInt8 => (0, u8::MAX.into()),
        DataType::UInt16 => (0, u16::MAX.into()),
        DataType::UInt32 => (0, u32::MAX.into()),
        DataType::UInt64 => (0, u64::MAX.into()),
        _ => return None,
    };
    // Integers exactly first: 64-bit ones do not survive f64.
    let (value, exact) = match text.parse::<i128>() {
        Ok(v) => (v, true),
        Err(_) => {
            let v = as_float()?;
            (v as i128, v.fract() == 0.0)
        }
    };
    let clamped = value.clamp(low, high);
    let fill = i64::try_from(clamped).map_or_else(|_| Scalar::UInt(clamped as u64), Scalar::Int);
    Some(Nodata { fill, holds: exact && clamped == value })
}

fn float(text: &str) -> Option<f64> {
    let lower = text.to_ascii_lowercase();
    match lower.trim_start_matches(['+', '-']) {
        "1.#qnan" | "1.#ind" | "1.#snan" | "nan" => return Some(f64::NAN),
        "1.#inf" => return Some(if lower.starts_with('-') { f64::NEG_INFINITY } else { f64::INFINITY }),
        _ => {}
    }
    // French writers: a decimal comma.
    lower.parse().ok().or_else(|| lower.replacen(',', ".", 1).parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, t: DataType) -> Option<(f64, bool)> {
        parse(text, t).map(|n| (n.fill.as_f64(), n.holds))
    }

    #[test]
    fn texts_that_real_files_have() {
        assert_eq!(of("-9999", DataType::Int16), Some((-9999.0, true)));
        assert_eq!(of(" 0 \0", DataType::UInt8), Some((0.0, true)));
        assert_eq!(of("-9999.0", DataType::Int32), Some((-9999.0, true)));
        assert_eq!(of("-1.79769e+308", DataType::UInt8), Some((0.0, false)));
        assert_eq!(of("300", DataType::UInt8), Some((255.0, false)));
        assert_eq!(of("0.5", DataType::UInt8), Some((0.0, false)));
        assert_eq!(of("nan", DataType::UInt8), Some((0.0, false)));
        assert!(of("nan", DataType::Float32).is_some_and(|(v, holds)| v.is_nan() && holds));
        assert!(of("-1.#IND", DataType::Float64).is_some_and(|(v, _)| v.is_nan()));
        assert_eq!(of("-inf", DataType::Float32), Some((f64::NEG_INFINITY, true)));
        assert_eq!(of("-1.#INF", DataType::Float32), Some((f64::NEG_INFINITY, true)));
        assert_eq!(of("3.40282346638529011e+38", DataType::Float32), Some((f64::from(f32::MAX), true)));
        assert_eq!(of("3.402823500e+38", DataType::Float32), Some((f64::from(f32::MAX), true)));
        assert_eq!(of("-1.7976931348623157e+308", DataType::Float32), Some((f64::from(f32::MIN), false)));
        assert_eq!(of("-3.4028234663852886e+38", DataType::Float32), Some((f64::from(f32::MIN), true)));
        assert_eq!(of("0.1", DataType::Float32), Some((f64::from(0.1f32), true)));
        assert_eq!(of("", DataType::Int16), None);
        assert_eq!(of("none", DataType::Int16), None);
        assert_eq!(parse("18446744073709551615", DataType::UInt64), Some(Nodata { fill: Scalar::UInt(u64::MAX), holds: true }));
        assert_eq!(parse("-9223372036854775808", DataType::Int64), Some(Nodata { fill: Scalar::Int(i64::MIN), holds: true }));
    }
}
