//! Missing data (CF section 2.5.1; netCDF Users Guide, attribute conventions): which stored values stand for "no value".
//! `_FillValue`, `missing_value`, `valid_min`, `valid_max`, `valid_range`, and netCDF's default fill values.

use crate::array::{AttributeValue, Attributes, DataType, Encoding, Scalar};

/// Completes an encoding made by `packing` with what is missing. `netcdf` is true for formats in which a variable without
/// `_FillValue` is filled with the default of its type; `declared` is the array's type in the file, before `_Unsigned`.
pub fn missing(encoding: &mut Encoding, declared: DataType, attributes: &Attributes, netcdf: bool, warnings: &mut Vec<String>) {
    if encoding.stored.is_text() {
        return;
    }
    for name in ["_FillValue", "missing_value"] {
        let Some(value) = attributes.get(name) else { continue };
        match scalars(value) {
            Some(values) => {
                for value in values.into_iter().filter_map(|v| as_stored(v, encoding.stored)) {
                    add(&mut encoding.missing, value);
                }
            }
            None if value.as_text().is_some_and(|t| t.trim().is_empty()) => {}
            None => warnings.push(format!("{name} {} is not a number and is ignored", value.to_json())),
        }
    }
    if netcdf
        && attributes.get("_FillValue").is_none()
        && let Some(value) = default_fill(declared).and_then(|v| as_stored(v, encoding.stored))
    {
        add(&mut encoding.missing, value);
    }
    limits(encoding, attributes, warnings);
}

fn add(missing: &mut Vec<Scalar>, value: Scalar) {
    if !missing.contains(&value) {
        missing.push(value);
    }
}

/// The fill value of the netCDF library for variables that declare none; 8-bit types have none that means "missing",
/// since all their values are legal data.
pub fn default_fill(stored: DataType) -> Option<Scalar> {
    Some(match stored {
        DataType::Int16 => Scalar::Int(-32_767),
        DataType::UInt16 => Scalar::Int(65_535),
        DataType::Int32 => Scalar::Int(-2_147_483_647),
        DataType::UInt32 => Scalar::Int(4_294_967_295),
        DataType::Int64 => Scalar::Int(-9_223_372_036_854_775_806),
        DataType::UInt64 => Scalar::UInt(18_446_744_073_709_551_614),
        DataType::Float32 | DataType::Float64 => Scalar::Float(9.969_209_968_386_869e36),
        _ => return None,
    })
}

/// The numbers of an attribute, exact; numbers stored as text are read. `None` where one is not a number.
fn scalars(value: &AttributeValue) -> Option<Vec<Scalar>> {
    match value {
        AttributeValue::Text(text) => Some(vec![parse(text)?]),
        AttributeValue::Texts(texts) => texts.iter().map(|t| parse(t)).collect(),
        AttributeValue::Integers(DataType::UInt64, v) => {
            Some(v.iter().map(|&i| if i < 0 { Scalar::UInt(i as u64) } else { Scalar::Int(i) }).collect())
        }
        AttributeValue::Integers(_, v) => Some(v.iter().map(|&i| Scalar::Int(i)).collect()),
        AttributeValue::Floats(_, v) => Some(v.iter().map(|&f| Scalar::Float(f)).collect()),
    }
}

/// A number in text: an integer, a float, or one of the spellings of infinity and NaN that C libraries print.
fn parse(text: &str) -> Option<Scalar> {
    let text = text.trim().trim_end_matches('\0').trim();
    if let Ok(integer) = text.parse::<i64>() {
        return Some(Scalar::Int(integer));
    }
    if let Ok(integer) = text.parse::<u64>() {
        return Some(Scalar::UInt(integer));
    }
    match text.to_ascii_lowercase().as_str() {
        "1.#inf" => Some(Scalar::Float(f64::INFINITY)),
        "-1.#inf" => Some(Scalar::Float(f64::NEG_INFINITY)),
        "1.#qnan" | "-1.#ind" | "1.#ind" => Some(Scalar::Float(f64::NAN)),
        _ => text.parse().ok().map(Scalar::Float),
    }
}

/// A value as cells of type `stored` can hold it; `None` where they cannot, so that it can match nothing, and for NaN, which
/// is missing anyhow. A negative value of an unsigned type is read by its bits (`_FillValue = -1b` of an `_Unsigned` byte is 255),
/// a value of single precision is rounded to it, one just outside its range (printed with too few digits) is its limit.
fn as_stored(value: Scalar, stored: DataType) -> Option<Scalar> {
    if stored.is_float() {
        let value = value.as_f64();
        let value = match stored {
            DataType::Float64 => value,
            DataType::Float32 if value.is_finite() && value.abs() > f64::from(f32::MAX) => {
                let limit = f64::from(f32::MAX);
                if value.abs() > limit * (1.0 + 1e-6) {
                    return None;
                }
                limit.copysign(value)
            }
            DataType::Float32 => f64::from(value as f32),
            _ => half::f16::from_f64(value).to_f64(),
        };
        return (!value.is_nan()).then_some(Scalar::Float(value));
    }
    let integer: i128 = match value {
        Scalar::Int(v) => v.into(),
        Scalar::UInt(v) => v.into(),
        Scalar::Float(v) if v.fract() == 0.0 && v.abs() <= 2f64.powi(64) => v as i128,
        Scalar::Float(_) => return None,
    };
    let bits = 8 * stored.size() as u32;
    let (low, high) = range(stored);
    let integer = match integer {
        v if v < 0 && stored.is_unsigned() && v >= -(1i128 << (bits - 1)) => v + (1i128 << bits),
        v if !stored.is_unsigned() && v > high && v < (1i128 << bits) => v - (1i128 << bits),
        v => v,
    };
    (low..=high).contains(&integer).then(|| integer_scalar(integer))
}

fn integer_scalar(value: i128) -> Scalar {
    match i64::try_from(value) {
        Ok(v) => Scalar::Int(v),
        Err(_) => Scalar::UInt(value as u64),
    }
}

/// Lowest and highest value of an integer type.
fn range(stored: DataType) -> (i128, i128) {
    let bits = 8 * stored.size() as u32;
    if stored.is_unsigned() { (0, (1i128 << bits) - 1) } else { (-(1i128 << (bits - 1)), (1i128 << (bits - 1)) - 1) }
}

/// Sets the limits of valid values, in stored units.
///
/// The rule of the Users Guide tells whether an attribute is packed: it is unpacked where its type is that of `scale_factor`
/// (or `add_offset`) and wider than the stored type, else packed. `valid_range` goes before `valid_min` and `valid_max`.
fn limits(encoding: &mut Encoding, attributes: &Attributes, warnings: &mut Vec<String>) {
    let mut read = |name: &str, wanted: usize| -> Option<Vec<(Scalar, bool)>> {
        let value = attributes.get(name)?;
        let Some(values) = scalars(value).filter(|v| v.len() == wanted) else {
            warnings.push(format!("{name} {} is not {wanted} number(s) and is ignored", value.to_json()));
            return None;
        };
        let unpacked = unpacked_units(encoding, attributes, value.data_type());
        Some(values.into_iter().map(|v| (v, unpacked)).collect())
    };
    let (low, high) = match read("valid_range", 2).as_deref() {
        Some([low, high]) => (Some(*low), Some(*high)),
        _ => (read("valid_min", 1).and_then(|v| v.first().copied()), read("valid_max", 1).and_then(|v| v.first().copied())),
    };
    let (mut low, mut high) = (low.and_then(|l| limit(encoding, l)), high.and_then(|h| limit(encoding, h)));
    // A negative scale turns limits in unpacked units around.
    if encoding.scale < 0.0 && (low.is_some_and(|l| l.1) || high.is_some_and(|h| h.1)) {
        std::mem::swap(&mut low, &mut high);
    }
    let (low, high) = (low.map(|l| l.0), high.map(|h| h.0));
    if let (Some(l), Some(h)) = (low, high)
        && l > h
    {
        warnings.push(format!("the valid range {l} to {h} is empty and is ignored"));
        return;
    }
    encoding.valid_min = low.and_then(|l| bound(l, encoding.stored, true));
    encoding.valid_max = high.and_then(|h| bound(h, encoding.stored, false));
}

fn unpacked_units(encoding: &Encoding, attributes: &Attributes, limit: DataType) -> bool {
    let packed_with = ["scale_factor", "add_offset"].into_iter().filter_map(|n| attributes.get(n)).map(AttributeValue::data_type);
    encoding.is_packed()
        && limit.size() >= encoding.stored.size()
        && limit.unsigned() != encoding.stored.unsigned()
        && packed_with.into_iter().any(|t| t == limit)
}

/// A limit as a number in stored units, and whether it was unpacked.
fn limit(encoding: &Encoding, (value, unpacked): (Scalar, bool)) -> Option<(f64, bool)> {
    let number = match value {
        Scalar::Int(v) if v < 0 && encoding.stored.is_unsigned() && !unpacked => as_stored(value, encoding.stored)?.as_f64(),
        _ => value.as_f64(),
    };
    let number = if unpacked { (number - encoding.offset) / encoding.scale } else { number };
    // Unpacking a limit leaves rounding errors of its own: the nearest stored value within a thousandth of a step is meant.
    let number = if unpacked && encoding.stored.is_integer() && (number - number.round()).abs() < 1e-3 { number.round() } else { number };
    (!number.is_nan()).then_some((number, unpacked))
}

/// A limit as a stored value: integers are rounded inwards, a limit outside the type's range binds nothing.
fn bound(value: f64, stored: DataType, lower: bool) -> Option<Scalar> {
    match stored {
        DataType::Float64 => Some(Scalar::Float(value)),
        DataType::Float32 | DataType::Float16 => as_stored(Scalar::Float(value), stored),
        _ => {
            let value = if lower { value.ceil() } else { value.floor() };
            let (low, high) = range(stored);
            // Beyond 2^64 the cast saturates, which is outside every type's range as well.
            let integer = value as i128;
            if lower && integer <= low || !lower && integer >= high {
                return None;
            }
            Some(integer_scalar(integer.clamp(low, high)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::packing::packing;
    use super::*;
    use crate::array::AttributeValue::{Floats, Integers, Text};

    fn decoded(stored: DataType, list: &[(&str, AttributeValue)], netcdf: bool) -> (Encoding, Vec<String>) {
        let attributes = Attributes(list.iter().map(|(n, v)| (n.to_string(), v.clone())).collect());
        let mut warnings = vec![];
        let mut encoding = packing(stored, &attributes, &mut warnings);
        missing(&mut encoding, stored, &attributes, netcdf, &mut warnings);
        (encoding, warnings)
    }

    #[test]
    fn default_fill_is_missing_except_in_bytes() {
        assert_eq!(decoded(DataType::Int16, &[], true).0.missing, [Scalar::Int(-32767)]);
        assert_eq!(decoded(DataType::Int16, &[], false).0.missing, []);
        assert_eq!(decoded(DataType::UInt8, &[], true).0.missing, []);
        assert_eq!(decoded(DataType::Int16, &[("_FillValue", Integers(DataType::Int16, vec![-1]))], true).0.missing, [Scalar::Int(-1)]);
        let single = decoded(DataType::Float32, &[], true).0.missing;
        assert_eq!(single, [Scalar::Float(f64::from(9.969_21e36_f32))]);
    }

    #[test]
    fn values_are_read_as_the_stored_type_reads_them() {
        let unsigned = ("_Unsigned", Text("true".into()));
        let (found, _) = decoded(DataType::Int8, &[unsigned, ("_FillValue", Integers(DataType::Int8, vec![-16]))], true);
        assert_eq!(found.missing, [Scalar::Int(240)]);
        let (found, _) = decoded(DataType::Float32, &[("missing_value", Floats(DataType::Float64, vec![1e20]))], false);
        assert_eq!(found.missing, [Scalar::Float(f64::from(1e20_f32))]);
        let (found, _) = decoded(DataType::Int16, &[("missing_value", Floats(DataType::Float64, vec![1e20]))], false);
        assert_eq!(found.missing, []);
        let (found, warnings) = decoded(DataType::Int8, &[("missing_value", Text("not_numeric".into()))], false);
        assert_eq!((found.missing.len(), warnings.len()), (0, 1));
        assert_eq!(decoded(DataType::Int8, &[("missing_value", Text("12".into()))], false).0.missing, [Scalar::Int(12)]);
        assert_eq!(decoded(DataType::Int8, &[("missing_value", Text("12.5".into()))], false).0.missing, []);
    }

    #[test]
    fn numbers_in_text_and_at_the_limits() {
        let missing = |stored, text: &str| decoded(stored, &[("missing_value", Text(text.into()))], false).0.missing;
        assert_eq!(missing(DataType::Float32, "3.40282346638529011e+38"), [Scalar::Float(f64::from(f32::MAX))]);
        assert_eq!(missing(DataType::Float32, "-1.#INF"), [Scalar::Float(f64::NEG_INFINITY)]);
        assert_eq!(missing(DataType::Float32, "nan"), []);
        assert_eq!(missing(DataType::UInt8, ""), []);
        assert_eq!(missing(DataType::UInt8, "300"), []);
        assert_eq!(missing(DataType::Int16, "-9999"), [Scalar::Int(-9999)]);
        assert_eq!(missing(DataType::UInt64, "18446744073709551615"), [Scalar::UInt(u64::MAX)]);
    }

    #[test]
    fn limits_are_in_the_units_that_their_type_tells() {
        let scale = ("scale_factor", Floats(DataType::Float32, vec![0.5]));
        let (found, _) = decoded(DataType::Int16, &[scale.clone(), ("valid_range", Integers(DataType::Int16, vec![-10, 10]))], false);
        assert_eq!((found.valid_min, found.valid_max), (Some(Scalar::Int(-10)), Some(Scalar::Int(10))));
        let (found, _) = decoded(DataType::Int16, &[scale, ("valid_range", Floats(DataType::Float32, vec![-10.0, 10.1]))], false);
        assert_eq!((found.valid_min, found.valid_max), (Some(Scalar::Int(-20)), Some(Scalar::Int(20))));
        let unsigned = ("_Unsigned", Text("true".into()));
        let (found, _) = decoded(DataType::Int16, &[unsigned, ("valid_range", Integers(DataType::Int16, vec![1, -3]))], false);
        assert_eq!((found.valid_min, found.valid_max), (Some(Scalar::Int(1)), Some(Scalar::Int(65533))));
        let (found, _) = decoded(DataType::UInt8, &[("valid_max", Integers(DataType::Int32, vec![1000]))], false);
        assert_eq!(found.valid_max, None);
        let (found, warnings) = decoded(DataType::Float32, &[("valid_range", Floats(DataType::Float32, vec![5.0, 1.0]))], false);
        assert_eq!((found.valid_min, warnings.len()), (None, 1));
        let (found, _) = decoded(DataType::Float32, &[("valid_min", Floats(DataType::Float64, vec![0.1]))], false);
        assert_eq!(found.valid_min, Some(Scalar::Float(f64::from(0.1_f32))));
    }
}
