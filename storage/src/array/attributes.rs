//! Attributes as the file has them: name, value and the value's stored type, in the file's order.

use serde::{Deserialize, Serialize};

use super::DataType;

/// One attribute's value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum AttributeValue {
    /// A text.
    Text(String),
    /// Several texts.
    Texts(Vec<String>),
    /// Integers with their stored type; a `UInt64` above `i64::MAX` is kept by its bits.
    Integers(DataType, Vec<i64>),
    /// Floating-point numbers with their stored type.
    Floats(DataType, Vec<f64>),
}

impl AttributeValue {
    /// The text, when it is one.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            AttributeValue::Text(s) => Some(s),
            AttributeValue::Texts(v) if v.len() == 1 => Some(&v[0]),
            _ => None,
        }
    }

    /// All numbers as `f64`; numbers that are stored as text are read as numbers where they are numbers.
    pub fn numbers(&self) -> Option<Vec<f64>> {
        match self {
            AttributeValue::Text(s) => s.trim().parse().ok().map(|v| vec![v]),
            AttributeValue::Texts(v) => v.iter().map(|s| s.trim().parse().ok()).collect(),
            AttributeValue::Integers(DataType::UInt64, v) => Some(v.iter().map(|&i| i as u64 as f64).collect()),
            AttributeValue::Integers(_, v) => Some(v.iter().map(|&i| i as f64).collect()),
            AttributeValue::Floats(_, v) => Some(v.clone()),
        }
    }

    /// The first number.
    pub fn number(&self) -> Option<f64> {
        self.numbers().and_then(|v| v.first().copied())
    }

    /// The stored type of the value; `Text` for texts.
    pub fn data_type(&self) -> DataType {
        match self {
            AttributeValue::Text(_) | AttributeValue::Texts(_) => DataType::Text,
            AttributeValue::Integers(t, _) | AttributeValue::Floats(t, _) => *t,
        }
    }

    /// As JSON: a scalar where there is one value, else a list; NaN and infinities as the strings
    /// `NaN`, `Infinity`, `-Infinity`.
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value;
        fn one_or_list(mut v: Vec<Value>) -> Value {
            if v.len() == 1 { v.remove(0) } else { Value::Array(v) }
        }
        match self {
            AttributeValue::Text(s) => Value::from(s.as_str()),
            AttributeValue::Texts(v) => one_or_list(v.iter().map(|s| Value::from(s.as_str())).collect()),
            AttributeValue::Integers(DataType::UInt64, v) => one_or_list(v.iter().map(|&i| Value::from(i as u64)).collect()),
            AttributeValue::Integers(_, v) => one_or_list(v.iter().map(|&i| Value::from(i)).collect()),
            AttributeValue::Floats(_, v) => one_or_list(v.iter().map(|&f| float_to_json(f)).collect()),
        }
    }
}

/// A number as JSON; NaN and infinities as the strings `NaN`, `Infinity`, `-Infinity`.
pub(crate) fn float_to_json(f: f64) -> serde_json::Value {
    use serde_json::Value;
    match f {
        f if f.is_nan() => Value::from("NaN"),
        f if f == f64::INFINITY => Value::from("Infinity"),
        f if f == f64::NEG_INFINITY => Value::from("-Infinity"),
        f => Value::from(f),
    }
}

/// Attributes in the file's order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub struct Attributes(pub Vec<(String, AttributeValue)>);

impl Attributes {
    /// The value of an attribute.
    pub fn get(&self, name: &str) -> Option<&AttributeValue> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, v)| v)
    }

    /// The value of a text attribute.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(AttributeValue::as_text)
    }

    /// The first number of an attribute.
    pub fn number(&self, name: &str) -> Option<f64> {
        self.get(name).and_then(AttributeValue::number)
    }

    /// Adds or replaces an attribute.
    pub fn set(&mut self, name: impl Into<String>, value: AttributeValue) {
        let name = name.into();
        match self.0.iter_mut().find(|(n, _)| *n == name) {
            Some(slot) => slot.1 = value,
            None => self.0.push((name, value)),
        }
    }

    /// As a JSON object.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::Value::Object(self.0.iter().map(|(k, v)| (k.clone(), v.to_json())).collect())
    }
}
