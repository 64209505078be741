//! Data types of both versions to cells: numpy's type strings (v2) and names (v3). Records and complex numbers become one
//! column for each number in them.

use serde_json::Value;

use super::attributes::{base64, special};
use super::json::named;
use crate::array::{ByteOrder, DataType, Scalar};
use crate::codec::Codec;

/// What the cells of an array are.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Cells {
    /// Bytes a cell as stored; 0 for texts of any length.
    pub(super) size: usize,
    /// One, or one for each number of a record.
    pub(super) columns: Vec<Column>,
    /// Members of records that are not read: name and type.
    pub(super) refused: Vec<(String, String)>,
    /// Units of counts of time (`datetime64`, `timedelta64`), as CF writes them.
    pub(super) units: Option<String>,
}

/// One number (or text) of each cell.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Column {
    /// Behind the array's name: empty, `.member`, `.r`.
    pub(super) suffix: String,
    pub(super) data_type: DataType,
    /// Order of its bytes, where v2 says so.
    pub(super) order: ByteOrder,
    /// Its first byte in the cell.
    pub(super) offset: usize,
    /// Steps between the cell's bytes and the column's, in encoding order.
    pub(super) codecs: Vec<Codec>,
}

impl Column {
    fn new(data_type: DataType, order: ByteOrder) -> Column {
        Column { suffix: String::new(), data_type, order, offset: 0, codecs: Vec::new() }
    }

    /// True for bytes without an encoding of text.
    fn is_bytes(&self) -> bool {
        matches!(self.data_type, DataType::FixedText(_)) && !self.codecs.iter().any(|c| matches!(c, Codec::Utf32 { .. }))
    }
}

impl Cells {
    fn one(data_type: DataType, order: ByteOrder) -> Cells {
        Cells { size: data_type.size(), columns: vec![Column::new(data_type, order)], refused: Vec::new(), units: None }
    }

    /// Counts of time: `unit` is numpy's, `since` is set for instants.
    fn time(unit: &str, since: bool, order: ByteOrder) -> Result<Cells, String> {
        let unit = match unit {
            "ns" => "nanoseconds",
            "us" | "μs" => "microseconds",
            "ms" => "milliseconds",
            "s" => "seconds",
            "m" => "minutes",
            "h" => "hours",
            "D" => "days",
            "W" => "weeks",
            _ => return Err(format!("data type: times counted in {unit}")),
        };
        let units = if since { format!("{unit} since 1970-01-01") } else { unit.into() };
        Ok(Cells { units: Some(units), ..Cells::one(DataType::Int64, order) })
    }

    /// Two numbers of `part` in each cell.
    fn complex(part: DataType, order: ByteOrder) -> Cells {
        let size = part.size();
        let column = |(suffix, offset): (&str, usize)| {
            let codecs = vec![Codec::Field { record: 2 * size as u32, offset: offset as u32, length: size as u32 }];
            Column { suffix: suffix.into(), offset, codecs, ..Column::new(part, order) }
        };
        Cells { size: 2 * size, columns: [(".r", 0), (".i", size)].map(column).into(), refused: Vec::new(), units: None }
    }

    /// UTF-32, as numpy keeps texts of a fixed number of characters.
    fn utf32(characters: u32, order: ByteOrder) -> Result<Cells, String> {
        let bytes = characters.checked_mul(4).ok_or("data type: texts of too many characters")?;
        let mut cells = Cells::one(DataType::FixedText(bytes), order);
        cells.columns.iter_mut().for_each(|c| c.codecs = vec![Codec::Utf32 { characters, order }]);
        Ok(cells)
    }

    /// Members one after the other, as numpy packs them.
    fn record(members: Vec<(String, Result<Cells, String>, usize)>) -> Result<Cells, String> {
        let mut found = Cells { size: 0, columns: Vec::new(), refused: Vec::new(), units: None };
        for (name, cells, size) in members {
            match cells {
                Ok(cells) if cells.size == size && size > 0 => {
                    found.columns.extend(cells.columns.into_iter().map(|c| Column {
                        suffix: format!(".{name}{}", c.suffix),
                        offset: found.size + c.offset,
                        ..c
                    }));
                    found.refused.extend(cells.refused.into_iter().map(|(inner, why)| (format!("{name}.{inner}"), why)));
                }
                Ok(_) => found.refused.push((name, "data type without a fixed size in a record".into())),
                Err(why) => found.refused.push((name, why)),
            }
            found.size = found.size.checked_add(size).filter(|&n| n <= u32::MAX as usize).ok_or("data type: a record that is too long")?;
        }
        let record = found.size as u32;
        for column in &mut found.columns {
            // The innermost member is taken out of the whole record in one step.
            let length = column.data_type.size() as u32;
            column.codecs.retain(|c| !matches!(c, Codec::Field { .. }));
            column.codecs.push(Codec::Field { record, offset: column.offset as u32, length });
        }
        if found.columns.is_empty() { Err("data type: a record of which no member is read".into()) } else { Ok(found) }
    }
}

/// The cells of a numpy type, as v2 writes it: `<f8`, `|S3`, a list of members. `objects`: the first filter's name, which says
/// what objects (`|O`) are.
pub(super) fn v2(dtype: &Value, objects: Option<&str>) -> Result<Cells, String> {
    let unread = || format!("data type {dtype}");
    let Some(text) = dtype.as_str() else {
        let members = dtype.as_array().ok_or_else(unread)?;
        if members.len() > 1000 {
            return Err("data type: a record of more than 1000 members".into());
        }
        let members = members.iter().map(|member| {
            let name = member.get(0)?.as_str()?;
            let shape = member.get(2).map_or(Some(Vec::new()), super::json::sizes)?;
            let repeat = shape.iter().try_fold(1usize, |n, &side| n.checked_mul(usize::try_from(side).ok()?))?;
            let cells = v2(member.get(1)?, None);
            let size = cells.as_ref().map_or_else(|_| size_of(member.get(1).unwrap_or(&Value::Null)), |c| Some(c.size))?;
            let cells = if shape.is_empty() { cells } else { Err(format!("data type: member of shape {shape:?}")) };
            Some((name.to_owned(), cells, size.checked_mul(repeat)?))
        });
        return Cells::record(members.collect::<Option<Vec<_>>>().ok_or_else(unread)?);
    };
    let order = if text.starts_with('>') { ByteOrder::Big } else { ByteOrder::Little };
    let kind = text.strip_prefix(['<', '>', '|', '=']).unwrap_or(text);
    let number = |t| Ok(Cells::one(t, order));
    let length = |prefix: char| kind.strip_prefix(prefix).and_then(|n| n.parse::<u32>().ok()).filter(|&n| n > 0);
    match kind {
        // Booleans are bytes of 0 and 1.
        "b1" | "u1" => number(DataType::UInt8),
        "i1" => number(DataType::Int8),
        "i2" => number(DataType::Int16),
        "i4" => number(DataType::Int32),
        "i8" => number(DataType::Int64),
        "u2" => number(DataType::UInt16),
        "u4" => number(DataType::UInt32),
        "u8" => number(DataType::UInt64),
        "f2" => number(DataType::Float16),
        "f4" => number(DataType::Float32),
        "f8" => number(DataType::Float64),
        "c8" => Ok(Cells::complex(DataType::Float32, order)),
        "c16" => Ok(Cells::complex(DataType::Float64, order)),
        "O" => match objects {
            Some("vlen-utf8" | "json2") => Ok(Cells::one(DataType::Text, order)),
            Some(codec) => Err(format!("data type |O (objects) by codec {codec}")),
            None => Err("data type |O (objects) without a codec".into()),
        },
        _ => {
            if let Some(n) = length('S') {
                return number(DataType::FixedText(n));
            }
            if let Some(n) = length('U') {
                return Cells::utf32(n, order);
            }
            let time = |prefix: &str| kind.strip_prefix(prefix).and_then(|rest| rest.strip_suffix(']'));
            match (time("M8["), time("m8[")) {
                (Some(unit), _) => Cells::time(unit, true, order),
                (_, Some(unit)) => Cells::time(unit, false, order),
                _ => Err(unread()),
            }
        }
    }
}

/// Bytes of a numpy type that is not read; `None` for one of no fixed size.
fn size_of(dtype: &Value) -> Option<usize> {
    let text = dtype.as_str()?;
    let kind = text.strip_prefix(['<', '>', '|', '=']).unwrap_or(text);
    match kind.chars().next()? {
        'V' => kind.get(1..)?.parse().ok(),
        'M' | 'm' => Some(8),
        'f' | 'c' | 'i' | 'u' => kind.get(1..)?.parse().ok(),
        _ => None,
    }
}

/// The cells of a data type of v3: of the core, and of the registered extensions that numpy has.
pub(super) fn v3(data_type: &Value) -> Result<Cells, String> {
    let (name, configuration) = named(data_type).ok_or_else(|| format!("data type {data_type}"))?;
    let number = |t| Ok(Cells::one(t, ByteOrder::Little));
    let length = |key: &str| configuration.get(key).and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok()).filter(|&n| n > 0);
    let time = |since| {
        let unit = configuration.get("unit").and_then(Value::as_str).unwrap_or("generic");
        match configuration.get("scale_factor").and_then(Value::as_u64).unwrap_or(1) {
            1 => Cells::time(unit, since, ByteOrder::Little),
            n => Err(format!("data type: times counted in {n} {unit}")),
        }
    };
    match name {
        "bool" | "uint8" => number(DataType::UInt8),
        "int8" => number(DataType::Int8),
        "int16" => number(DataType::Int16),
        "int32" => number(DataType::Int32),
        "int64" => number(DataType::Int64),
        "uint16" => number(DataType::UInt16),
        "uint32" => number(DataType::UInt32),
        "uint64" => number(DataType::UInt64),
        "float16" => number(DataType::Float16),
        "float32" => number(DataType::Float32),
        "float64" => number(DataType::Float64),
        "complex64" | "complex_float32" => Ok(Cells::complex(DataType::Float32, ByteOrder::Little)),
        "complex128" | "complex_float64" => Ok(Cells::complex(DataType::Float64, ByteOrder::Little)),
        "string" => number(DataType::Text),
        "null_terminated_bytes" => match length("length_bytes") {
            Some(n) => number(DataType::FixedText(n)),
            None => Err(format!("data type {data_type}")),
        },
        "fixed_length_utf32" => match length("length_bytes") {
            Some(n) if n % 4 == 0 => Cells::utf32(n / 4, ByteOrder::Little),
            _ => Err(format!("data type {data_type}")),
        },
        "numpy.datetime64" => time(true),
        "numpy.timedelta64" => time(false),
        "structured" | "struct" => {
            let fields = configuration.get("fields").and_then(Value::as_array).filter(|f| f.len() <= 1000);
            let fields = fields.ok_or_else(|| format!("data type {data_type}"))?;
            let members = fields.iter().map(|field| {
                let (name, of) = match field {
                    Value::Object(o) => (o.get("name")?, o.get("data_type")?),
                    pair => (pair.get(0)?, pair.get(1)?),
                };
                let cells = v3(of);
                let size = cells.as_ref().ok()?.size;
                Some((name.as_str()?.to_owned(), cells, size))
            });
            Cells::record(members.collect::<Option<Vec<_>>>().ok_or_else(|| format!("data type {data_type}"))?)
        }
        _ => Err(format!("data type {name}")),
    }
}

/// The value of cells never written, for one column; `Ok(None)` where none is defined or it is zero or empty. `cell` is the number
/// of bytes of a cell.
pub(super) fn fill(value: &Value, cell: usize, column: &Column) -> Result<Option<Scalar>, String> {
    let unread = || format!("fill value {value}");
    let (size, several) = (column.data_type.size(), cell != column.data_type.size());
    match value {
        Value::Null => Ok(None),
        // Parts of a complex number; or the members of a record.
        Value::Array(parts) if several => {
            let position = usize::from(column.suffix.ends_with(".i"));
            match parts.as_slice() {
                [_, _] => fill(parts.get(position).unwrap_or(&Value::Null), size, column),
                _ => Err(unread()),
            }
        }
        Value::String(text) if several => {
            let bytes = base64(text).filter(|bytes| bytes.len() == cell).ok_or_else(unread)?;
            let part = bytes.get(column.offset..column.offset + size).ok_or_else(unread)?;
            of_bytes(part, column).map_err(|()| unread())
        }
        _ if column.data_type.is_text() => match value {
            Value::String(text) if text.is_empty() => Ok(None),
            // numpy's bytes are written as base64; v2 writes 0 where it means nothing.
            Value::String(text) if column.is_bytes() && base64(text).is_some_and(|bytes| bytes.iter().all(|&b| b == 0)) => Ok(None),
            Value::Number(n) if n.as_u64() == Some(0) => Ok(None),
            _ => Err(unread()),
        },
        Value::Bool(b) => Ok(Some(Scalar::Int(i64::from(*b)))),
        Value::Number(n) if column.data_type.is_float() => n.as_f64().map(|v| Some(Scalar::Float(v))).ok_or_else(unread),
        Value::Number(n) => match (n.as_i64(), n.as_u64(), n.as_f64()) {
            (Some(v), ..) => Ok(Some(Scalar::Int(v))),
            (_, Some(v), _) => Ok(Some(Scalar::UInt(v))),
            // Integers that a writer kept as floats.
            (.., Some(v)) if v.fract() == 0.0 && v.abs() < 9e15 => Ok(Some(Scalar::Int(v as i64))),
            _ => Err(unread()),
        },
        Value::String(text) if text == "NaT" => Ok(Some(Scalar::Int(i64::MIN))),
        Value::String(text) if column.data_type.is_float() => {
            if let Some(v) = special(text) {
                return Ok(Some(Scalar::Float(v)));
            }
            // The bits of a float in hexadecimal digits (v3).
            let bits = text.strip_prefix("0x").filter(|digits| digits.len() == 2 * size).ok_or_else(unread)?;
            let bits = u64::from_str_radix(bits, 16).map_err(|_| unread())?;
            Ok(Some(Scalar::Float(match column.data_type {
                DataType::Float16 => half::f16::from_bits(bits as u16).to_f64(),
                DataType::Float32 => f32::from_bits(bits as u32).into(),
                _ => f64::from_bits(bits),
            })))
        }
        Value::String(text) => text.parse::<i64>().map(|v| Some(Scalar::Int(v))).map_err(|_| unread()),
        _ => Err(unread()),
    }
}

/// A number of a record's fill value.
fn of_bytes(bytes: &[u8], column: &Column) -> Result<Option<Scalar>, ()> {
    if column.data_type.is_text() {
        return if bytes.iter().all(|&b| b == 0) { Ok(None) } else { Err(()) };
    }
    let mut word = [0u8; 8];
    word.get_mut(..bytes.len()).ok_or(())?.copy_from_slice(bytes);
    if column.order == ByteOrder::Big {
        word.get_mut(..bytes.len()).ok_or(())?.reverse();
    }
    let bits = u64::from_le_bytes(word);
    Ok(Some(match column.data_type {
        DataType::Int8 => Scalar::Int(i64::from(bits as i8)),
        DataType::Int16 => Scalar::Int(i64::from(bits as i16)),
        DataType::Int32 => Scalar::Int(i64::from(bits as i32)),
        DataType::Int64 => Scalar::Int(bits as i64),
        DataType::Float16 => Scalar::Float(half::f16::from_bits(bits as u16).to_f64()),
        DataType::Float32 => Scalar::Float(f32::from_bits(bits as u32).into()),
        DataType::Float64 => Scalar::Float(f64::from_bits(bits)),
        _ => i64::try_from(bits).map_or(Scalar::UInt(bits), Scalar::Int),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn records_become_columns() {
        let dtype =
            json!([["a", "|u1"], ["b", [["b1", "|u1"], ["b3", ">u2"]]], ["c", "|S3"], ["v", "|V5"], ["z", "<c8"], ["p", "<f4", [2]]]);
        let cells = v2(&dtype, None).unwrap();
        let shown: Vec<_> = cells.columns.iter().map(|c| (c.suffix.as_str(), c.data_type, c.offset)).collect();
        let want = [
            (".a", DataType::UInt8, 0),
            (".b.b1", DataType::UInt8, 1),
            (".b.b3", DataType::UInt16, 2),
            (".c", DataType::FixedText(3), 4),
            (".z.r", DataType::Float32, 12),
            (".z.i", DataType::Float32, 16),
        ];
        assert_eq!((shown, cells.size), (want.to_vec(), 28));
        assert_eq!(cells.refused.iter().map(|r| r.0.as_str()).collect::<Vec<_>>(), ["v", "p"]);
        assert!(cells.columns.iter().all(|c| matches!(c.codecs.as_slice(), [Codec::Field { record: 28, .. }])));
        let bytes = "ARYAAwAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==";
        assert_eq!(fill(&json!(bytes), 28, &cells.columns[2]), Ok(Some(Scalar::Int(3))));
        assert!(v2(&json!([["a", "|V5"]]), None).is_err());
        assert!(v2(&json!([["a", "|O"]]), None).is_err());
    }

    #[test]
    fn fill_values_are_numbers_texts_or_bits() {
        let column = |t| Column::new(t, ByteOrder::Little);
        let of = |v: Value, t: DataType| fill(&v, t.size(), &column(t));
        assert!(matches!(of(json!("0x7fc00000"), DataType::Float32), Ok(Some(Scalar::Float(v))) if v.is_nan()));
        assert_eq!(of(json!("-Infinity"), DataType::Float64), Ok(Some(Scalar::Float(f64::NEG_INFINITY))));
        assert_eq!(of(json!(18446744073709551615u64), DataType::UInt64), Ok(Some(Scalar::UInt(u64::MAX))));
        assert_eq!(of(json!(false), DataType::UInt8), Ok(Some(Scalar::Int(0))));
        assert_eq!(of(json!("NaT"), DataType::Int64), Ok(Some(Scalar::Int(i64::MIN))));
        assert_eq!(of(json!(null), DataType::Float32), Ok(None));
        assert_eq!(of(json!(""), DataType::Text), Ok(None));
        assert!(of(json!("MA=="), DataType::FixedText(3)).is_err());
        assert!(of(json!("0x12"), DataType::Float32).is_err());
        assert!(of(json!([1, 2, 3]), DataType::Float32).is_err());
        let parts = v3(&json!("complex64")).unwrap();
        assert_eq!(fill(&json!([1.5, "NaN"]), 8, &parts.columns[0]), Ok(Some(Scalar::Float(1.5))));
    }

    #[test]
    fn names_of_both_versions() {
        for name in ["bool", "int64", "float16", "string", "complex128"] {
            assert!(v3(&json!(name)).is_ok(), "{name}");
        }
        let time = v3(&json!({"name": "numpy.datetime64", "configuration": {"unit": "ns", "scale_factor": 1}})).unwrap();
        assert_eq!(time.units.as_deref(), Some("nanoseconds since 1970-01-01"));
        assert_eq!(v2(&json!("<m8[s]"), None).unwrap().units.as_deref(), Some("seconds"));
        for unread in [json!("r16"), json!({"name": "numpy.datetime64", "configuration": {"unit": "M"}}), json!(3), json!("float8_e4m3")] {
            assert!(v3(&unread).is_err(), "{unread}");
        }
        for unread in ["|V4", "<f16", "|O", "<M8[M]", "|S0", "", "é"] {
            assert!(v2(&json!(unread), None).is_err(), "{unread}");
        }
        assert_eq!(v2(&json!(">U2"), None).unwrap().columns[0].codecs, [Codec::Utf32 { characters: 2, order: ByteOrder::Big }]);
    }
}
