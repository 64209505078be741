//! Types of the classic formats and the values of attributes.

use super::cursor::{Cursor, Parsed};
use crate::array::{AttributeValue, Attributes, DataType};

/// The tag of a list of attributes.
const ATTRIBUTES: u32 = 12;

/// The type that a file's number stands for; those above 6 are in CDF-5 only, but other writers use them in CDF-2 as well.
pub(super) fn data_type(number: u32) -> Option<DataType> {
    Some(match number {
        1 => DataType::Int8,
        2 => DataType::FixedText(1),
        3 => DataType::Int16,
        4 => DataType::Int32,
        5 => DataType::Float32,
        6 => DataType::Float64,
        7 => DataType::UInt8,
        8 => DataType::UInt16,
        9 => DataType::UInt32,
        10 => DataType::Int64,
        11 => DataType::UInt64,
        _ => return None,
    })
}

/// Bytes as text, without the NULs at the end: UTF-8, or Latin-1 where they are not UTF-8.
pub(super) fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().rposition(|&b| b != 0).map_or(0, |i| i + 1);
    let bytes = bytes.get(..end).unwrap_or_default();
    std::str::from_utf8(bytes).map_or_else(|_| bytes.iter().map(|&b| char::from(b)).collect(), str::to_string)
}

/// A list of attributes.
pub(super) fn attributes(cursor: &mut Cursor<'_>) -> Parsed<Attributes> {
    let mut found = Attributes::default();
    for _ in 0..cursor.list(ATTRIBUTES, "attributes")? {
        let name = cursor.name()?;
        let start = cursor.position();
        let (number, count) = (cursor.u32()?, cursor.length()?);
        let Some(data_type) = data_type(number) else {
            return Err(cursor.wrong(start, format!("attribute {name}: type {number}, which is none of netCDF")));
        };
        let bytes = count.checked_mul(data_type.size() as u64);
        let bytes = bytes.ok_or_else(|| cursor.wrong(start, format!("attribute {name}: {count} values")))?;
        found.0.push((name, value(data_type, cursor.take_padded(bytes)?)));
    }
    Ok(found)
}

fn value(data_type: DataType, bytes: &[u8]) -> AttributeValue {
    fn each<const N: usize, T>(bytes: &[u8], one: impl Fn([u8; N]) -> T) -> Vec<T> {
        bytes.as_chunks::<N>().0.iter().map(|b| one(*b)).collect()
    }
    let integers = |values| AttributeValue::Integers(data_type, values);
    match data_type {
        DataType::Int8 => integers(each(bytes, |b| i8::from_be_bytes(b).into())),
        DataType::Int16 => integers(each(bytes, |b| i16::from_be_bytes(b).into())),
        DataType::Int32 => integers(each(bytes, |b| i32::from_be_bytes(b).into())),
        DataType::Int64 => integers(each(bytes, i64::from_be_bytes)),
        DataType::UInt8 => integers(each(bytes, |b| u8::from_be_bytes(b).into())),
        DataType::UInt16 => integers(each(bytes, |b| u16::from_be_bytes(b).into())),
        DataType::UInt32 => integers(each(bytes, |b| u32::from_be_bytes(b).into())),
        DataType::UInt64 => integers(each(bytes, |b| u64::from_be_bytes(b) as i64)),
        DataType::Float32 => AttributeValue::Floats(data_type, each(bytes, |b| f32::from_be_bytes(b).into())),
        DataType::Float64 => AttributeValue::Floats(data_type, each(bytes, f64::from_be_bytes)),
        DataType::Float16 | DataType::FixedText(_) | DataType::Text => AttributeValue::Text(text(bytes)),
    }
}
