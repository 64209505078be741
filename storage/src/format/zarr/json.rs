//! JSON as Zarr writers write it: `NaN` and infinities stand bare in it (Python's `json.dumps`), and become texts here.

use serde_json::Value;

/// Parses a document; an error says what is wrong and where.
pub(in crate::format) fn parse(bytes: &[u8]) -> Result<Value, String> {
    match serde_json::from_slice(bytes) {
        Ok(value) => Ok(value),
        Err(first) => quoted(bytes).and_then(|repaired| serde_json::from_slice(&repaired).ok()).ok_or_else(|| format!("not JSON: {first}")),
    }
}

/// The document with bare `NaN`, `Infinity`, `-Infinity` in quotes; `None` where there are none.
fn quoted(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(bytes.len() + 64);
    let (mut rest, mut changed, mut in_text) = (bytes, false, false);
    while let Some((&byte, after)) = rest.split_first() {
        if in_text {
            if byte == b'\\' {
                let (escape, after) = rest.split_at(rest.len().min(2));
                out.extend_from_slice(escape);
                rest = after;
                continue;
            }
            in_text = byte != b'"';
        } else if byte == b'"' {
            in_text = true;
        } else if let Some(word) = [b"NaN".as_slice(), b"Infinity", b"-Infinity"].into_iter().find(|word| rest.starts_with(word)) {
            out.push(b'"');
            out.extend_from_slice(word);
            out.push(b'"');
            rest = rest.get(word.len()..).unwrap_or_default();
            changed = true;
            continue;
        }
        out.push(byte);
        rest = after;
    }
    changed.then_some(out)
}

/// A list of whole numbers that are not negative.
pub(super) fn sizes(value: &Value) -> Option<Vec<u64>> {
    value.as_array()?.iter().map(Value::as_u64).collect()
}

/// The name of an extension point and its configuration: `"bytes"`, `{"name": "bytes", "configuration": {...}}`.
pub(super) fn named(value: &Value) -> Option<(&str, &Value)> {
    match value {
        Value::String(name) => Some((name, &Value::Null)),
        Value::Object(o) => Some((o.get("name")?.as_str()?, o.get("configuration").unwrap_or(&Value::Null))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bare_nan_is_read() {
        let value = parse(br#"{"a": NaN, "b": [-Infinity, Infinity, 1e3], "c": "NaN \" NaN", "d\\": NaN}"#).unwrap();
        assert_eq!(value, serde_json::json!({"a": "NaN", "b": ["-Infinity", "Infinity", 1e3], "c": "NaN \" NaN", "d\\": "NaN"}));
        for bad in [r#"{"a": 1,}"#, r#"{"a": Nan}"#, "", "\"", "\"\\", "{\"a\": NaN,}"] {
            assert!(parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
