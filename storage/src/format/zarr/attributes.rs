//! JSON attributes as attributes: numbers and texts are what they are, lists of one kind stay lists, the rest is JSON text.

use serde_json::Value;

use crate::array::{AttributeValue, Attributes, DataType};

/// The attributes of a group or array; `hidden` are left out.
pub(super) fn attributes(value: &Value, hidden: &[&str]) -> Attributes {
    let Some(object) = value.as_object() else { return Attributes::default() };
    let shown = object.iter().filter(|(name, _)| !hidden.contains(&name.as_str()));
    Attributes(shown.map(|(name, value)| (name.clone(), attribute(value))).collect())
}

fn attribute(value: &Value) -> AttributeValue {
    match value {
        Value::String(text) => AttributeValue::Text(text.clone()),
        Value::Number(_) | Value::Bool(_) => numbers(std::slice::from_ref(value)).unwrap_or_else(|| as_text(value)),
        Value::Array(list) => {
            let texts: Option<Vec<String>> = list.iter().map(|v| v.as_str().map(str::to_owned)).collect();
            match (texts, numbers(list)) {
                (Some(texts), _) if !texts.is_empty() => AttributeValue::Texts(texts),
                (_, Some(numbers)) => numbers,
                _ => as_text(value),
            }
        }
        _ => as_text(value),
    }
}

fn as_text(value: &Value) -> AttributeValue {
    AttributeValue::Text(value.to_string())
}

/// Numbers of one kind, integers where all are; NaN and infinities may be texts beside numbers.
fn numbers(list: &[Value]) -> Option<AttributeValue> {
    let integer = |v: &Value| v.as_bool().map(i64::from).or_else(|| v.as_i64());
    if list.is_empty() {
        return None;
    }
    if list.iter().all(Value::is_boolean) {
        return Some(AttributeValue::Integers(DataType::Int8, list.iter().filter_map(integer).collect()));
    }
    if let Some(integers) = list.iter().map(integer).collect::<Option<Vec<i64>>>() {
        return Some(AttributeValue::Integers(DataType::Int64, integers));
    }
    if let Some(unsigned) = list.iter().map(Value::as_u64).collect::<Option<Vec<u64>>>() {
        // Kept by their bits, see AttributeValue::Integers.
        return Some(AttributeValue::Integers(DataType::UInt64, unsigned.into_iter().map(|n| n as i64).collect()));
    }
    let floats = list.iter().map(|v| v.as_f64().or_else(|| special(v.as_str()?)));
    Some(AttributeValue::Floats(DataType::Float64, floats.collect::<Option<_>>()?))
}

/// The number that a text of a fill value or attribute stands for: `NaN`, `Infinity`, `-Infinity`.
pub(super) fn special(text: &str) -> Option<f64> {
    match text {
        "NaN" => Some(f64::NAN),
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        _ => None,
    }
}

/// `_FillValue` and its like in the array's own type: JSON tells integers from floats only, and xarray writes float fill
/// values as base64 of the little-endian number.
pub(super) fn of_type(attributes: &mut Attributes, data_type: DataType) {
    for (name, value) in &mut attributes.0 {
        if !matches!(name.as_str(), "_FillValue" | "missing_value") {
            continue;
        }
        if let (AttributeValue::Text(text), true) = (&*value, data_type.is_float()) {
            let double = base64(text).and_then(|bytes| <[u8; 8]>::try_from(bytes).ok()).map(f64::from_le_bytes);
            if let Some(number) = special(text).or(double) {
                *value = AttributeValue::Floats(data_type, vec![number]);
            }
            continue;
        }
        let typed = match &*value {
            AttributeValue::Integers(_, v) if data_type.is_integer() => Some(AttributeValue::Integers(data_type, v.clone())),
            AttributeValue::Integers(..) | AttributeValue::Floats(..) if data_type.is_float() => {
                value.numbers().map(|v| AttributeValue::Floats(data_type, v))
            }
            _ => None,
        };
        if let Some(typed) = typed {
            *value = typed;
        }
    }
}

/// Bytes of standard base64 (RFC 4648) with padding.
pub(in crate::format) fn base64(text: &str) -> Option<Vec<u8>> {
    let digit = |c: u8| {
        Some(match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        })
    };
    let digits: Vec<u8> = text.bytes().filter(|c| !c.is_ascii_whitespace()).collect();
    let body = digits.strip_suffix(b"==").or(digits.strip_suffix(b"=")).unwrap_or(&digits);
    if !digits.len().is_multiple_of(4) || body.len() % 4 == 1 {
        return None;
    }
    let mut out = Vec::with_capacity(body.len() / 4 * 3 + 2);
    for group in body.chunks(4) {
        let mut bits = 0u32;
        for &c in group {
            bits = bits << 6 | u32::from(digit(c)?);
        }
        bits <<= 6 * (4 - group.len());
        out.extend(bits.to_be_bytes().into_iter().skip(1).take(group.len() - 1));
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn json_becomes_attributes() {
        let given = json!({"a": 1, "b": [1, 2.5, "NaN"], "c": ["x", "y"], "d": {"k": 1}, "e": true, "f": [], "g": null, "hidden": 1,
            "h": 18446744073709551615u64, "i": [[1, 2]]});
        let found = attributes(&given, &["hidden"]);
        let want = json!({"a": 1, "b": [1.0, 2.5, "NaN"], "c": ["x", "y"], "d": "{\"k\":1}", "e": 1, "f": "[]", "g": "null",
            "h": 18446744073709551615u64, "i": "[[1,2]]"});
        assert_eq!(found.to_json(), want);
    }

    #[test]
    fn fill_values_have_the_type_of_the_array() {
        let typed = |value: Value, t| {
            let mut found = attributes(&json!({"_FillValue": value}), &[]);
            of_type(&mut found, t);
            found.0.remove(0).1
        };
        assert_eq!(typed(json!(-9), DataType::Int16), AttributeValue::Integers(DataType::Int16, vec![-9]));
        assert_eq!(typed(json!(5), DataType::Float32), AttributeValue::Floats(DataType::Float32, vec![5.0]));
        // base64.b64encode(struct.pack("<d", 1e20))
        assert_eq!(typed(json!("QIy1eB2vFUQ="), DataType::Float32), AttributeValue::Floats(DataType::Float32, vec![1e20]));
        assert!(matches!(typed(json!("AAAAAAAA+H8="), DataType::Float64), AttributeValue::Floats(_, v) if v[0].is_nan()));
        assert_eq!(typed(json!("none"), DataType::Float32), AttributeValue::Text("none".into()));
    }

    #[test]
    fn base64_is_rfc_4648s() {
        for (text, bytes) in [("", ""), ("Zg==", "f"), ("Zm8=", "fo"), ("Zm9v", "foo"), ("Zm9vYg==", "foob"), ("Zm9vYmFy", "foobar")] {
            assert_eq!(base64(text).as_deref(), Some(bytes.as_bytes()));
        }
        for bad in ["Z", "Zg", "Zg=", "Zm9v!", "Z===", "===="] {
            assert_eq!(base64(bad), None, "{bad}");
        }
    }
}
