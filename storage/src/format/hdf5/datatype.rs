//! Stored types: datatype messages to [`DataType`], and raw bytes to numbers and texts (file format specification, IV.A.2.d).

use hdf5_reader::io::Cursor;

use super::{Parsed, Reason};
use crate::array::{ByteOrder, DataType, Scalar};

/// The type of an element in the file.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct StoredType {
    /// Bytes an element.
    pub size: u32,
    /// What the bytes are.
    pub kind: Kind,
}

/// What the bytes of an element are.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    /// An integer, a floating-point number, an enumeration or a bit field (both as their integers).
    Number(DataType, ByteOrder),
    /// Text of a fixed number of bytes.
    FixedText(Padding),
    /// Text of any length, in the global heap.
    Text,
    /// Address of another object.
    Reference,
    /// List of addresses of other objects, in the global heap.
    References,
    /// Several elements of another type.
    Array(Box<StoredType>, u64),
    /// Something that is not read, and its name.
    Other(String),
}

/// How texts of a fixed length end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Padding {
    /// At the first NUL.
    NullTerminated,
    /// Before the NULs at the end.
    Nulls,
    /// Before the spaces at the end.
    Spaces,
}

/// Deepest nesting of types in types.
const DEEPEST: u32 = 16;

impl StoredType {
    /// Parses a datatype message.
    pub(super) fn parse(body: &[u8]) -> Parsed<StoredType> {
        Self::at_depth(body, 0).map_err(|r| r.at("datatype"))
    }

    fn at_depth(body: &[u8], depth: u32) -> Parsed<StoredType> {
        if depth > DEEPEST {
            return Err(format!("nested deeper than {DEEPEST} levels").into());
        }
        let mut cursor = Cursor::new(body);
        let head = cursor.read_u32_le()?;
        let size = cursor.read_u32_le()?;
        let (class, version, flags) = (head & 0xf, (head >> 4) & 0xf, head >> 8);
        let order = if flags & 1 != 0 { ByteOrder::Big } else { ByteOrder::Little };
        if size == 0 && class != 3 {
            return Err("element of 0 bytes".into());
        }
        let kind = match class {
            0 | 4 => {
                let (offset, precision) = (cursor.read_u16_le()?, cursor.read_u16_le()?);
                let signed = class == 0 && flags & 8 != 0;
                match integer(size, signed) {
                    Some(t) if offset == 0 && u32::from(precision) == size * 8 => Kind::Number(t, order),
                    _ => Kind::Other(format!("integer of {precision} bits at bit {offset} of {size} bytes")),
                }
            }
            1 => float(&mut cursor, flags, size, order)?,
            2 => Kind::Other("time".into()),
            3 if size == 0 => Kind::Other("text of 0 bytes".into()),
            3 => Kind::FixedText(match flags & 0xf {
                0 => Padding::NullTerminated,
                1 => Padding::Nulls,
                2 => Padding::Spaces,
                other => return Err(format!("text with padding of type {other}").into()),
            }),
            5 => Kind::Other("opaque".into()),
            6 => Kind::Other("compound".into()),
            7 if flags & 0xf == 0 => Kind::Reference,
            7 => Kind::Other("reference to a region or an attribute".into()),
            8 => match Self::at_depth(cursor.slice_from(8)?, depth + 1)? {
                StoredType { size: base, kind: Kind::Number(t, order) } if base == size => Kind::Number(t, order),
                _ => Kind::Other("enumeration of something that is no integer".into()),
            },
            9 if flags & 0xf == 1 => Kind::Text,
            9 => match Self::at_depth(cursor.slice_from(8)?, depth + 1)?.kind {
                Kind::Reference => Kind::References,
                _ => Kind::Other("variable-length sequence".into()),
            },
            10 => array(&mut cursor, version, size, depth)?,
            11 => Kind::Other("complex".into()),
            other => Kind::Other(format!("datatype class {other}")),
        };
        Ok(StoredType { size, kind })
    }

    /// The type of an array's cells, for types that are read.
    pub(super) fn cells(&self) -> Parsed<(DataType, ByteOrder)> {
        match &self.kind {
            Kind::Number(t, order) => Ok((*t, *order)),
            Kind::FixedText(_) => Ok((DataType::FixedText(self.size), ByteOrder::Little)),
            Kind::Text => Ok((DataType::Text, ByteOrder::Little)),
            other => Err(Reason(format!("type {}", other.name()))),
        }
    }
}

impl Kind {
    /// The type's name in messages.
    pub(super) fn name(&self) -> String {
        match self {
            Kind::Number(t, _) => t.name(),
            Kind::FixedText(_) | Kind::Text => "text".into(),
            Kind::Reference => "object reference".into(),
            Kind::References => "variable-length sequence of object references".into(),
            Kind::Array(base, n) => format!("array of {n} {}", base.kind.name()),
            Kind::Other(name) => name.clone(),
        }
    }
}

fn integer(size: u32, signed: bool) -> Option<DataType> {
    let t = match size {
        1 => DataType::Int8,
        2 => DataType::Int16,
        4 => DataType::Int32,
        8 => DataType::Int64,
        _ => return None,
    };
    Some(if signed { t } else { t.unsigned() })
}

/// IEEE 754 formats by their fields; everything else (VAX, bfloat16, x87 ...) has a name only.
fn float(cursor: &mut Cursor<'_>, flags: u32, size: u32, order: ByteOrder) -> Parsed<Kind> {
    let (offset, precision) = (cursor.read_u16_le()?, cursor.read_u16_le()?);
    let fields = [cursor.read_u8()?, cursor.read_u8()?, cursor.read_u8()?, cursor.read_u8()?];
    let bias = cursor.read_u32_le()?;
    // Exponent position and size, mantissa position and size; exponent bias.
    let ieee = match size {
        2 => Some((DataType::Float16, [10, 5, 0, 10], 15)),
        4 => Some((DataType::Float32, [23, 8, 0, 23], 127)),
        8 => Some((DataType::Float64, [52, 11, 0, 52], 1023)),
        _ => None,
    };
    let vax = flags & 0x40 != 0;
    let (sign, implied) = ((flags >> 8) & 0xff, (flags >> 4) & 3 == 2);
    match ieee {
        Some((t, f, b))
            if !vax && implied && offset == 0 && u32::from(precision) == size * 8 && sign == size * 8 - 1 && fields == f && bias == b =>
        {
            Ok(Kind::Number(t, order))
        }
        _ => Ok(Kind::Other(format!(
            "floating-point number of {precision} bits ({} exponent, {} mantissa) that is not IEEE 754 half, single or double precision",
            fields[1], fields[3]
        ))),
    }
}

fn array(cursor: &mut Cursor<'_>, version: u32, size: u32, depth: u32) -> Parsed<Kind> {
    let rank = usize::from(cursor.read_u8()?);
    if version < 3 {
        cursor.skip(3)?;
    }
    let mut count = 1u64;
    for _ in 0..rank {
        count = count.checked_mul(u64::from(cursor.read_u32_le()?)).ok_or("array type with too many elements")?;
    }
    if version < 3 {
        cursor.skip(rank * 4)?;
    }
    let base = StoredType::at_depth(cursor.slice_from(cursor.position())?, depth + 1)?;
    if u64::from(base.size).checked_mul(count) != Some(u64::from(size)) {
        return Err(format!("array type of {count} elements of {} bytes in {size} bytes", base.size).into());
    }
    Ok(Kind::Array(Box::new(base), count))
}

/// Bytes as text: UTF-8, or Latin-1 where they are not UTF-8.
pub(super) fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().rposition(|&b| b != 0).map_or(0, |i| i + 1);
    let bytes = &bytes[..end];
    std::str::from_utf8(bytes).map_or_else(|_| bytes.iter().map(|&b| char::from(b)).collect(), str::to_string)
}

/// The text in a field of fixed length.
pub(super) fn padded_text(bytes: &[u8], padding: Padding) -> String {
    let bytes = match padding {
        Padding::NullTerminated => bytes.split(|&b| b == 0).next().unwrap_or_default(),
        Padding::Nulls => bytes,
        Padding::Spaces => &bytes[..bytes.iter().rposition(|&b| b != b' ').map_or(0, |i| i + 1)],
    };
    text(bytes)
}

/// The number in `bytes`; `None` when they are not as many as the type has, or the type is a text.
pub(super) fn number(bytes: &[u8], data_type: DataType, order: ByteOrder) -> Option<Scalar> {
    let mut word = [0u8; 8];
    let n = data_type.size();
    if bytes.len() != n || n > 8 {
        return None;
    }
    word.get_mut(..n)?.copy_from_slice(bytes);
    if order == ByteOrder::Big {
        word.get_mut(..n)?.reverse();
    }
    let bits = u64::from_le_bytes(word);
    Some(match data_type {
        DataType::Int8 => Scalar::Int(i64::from(bits as i8)),
        DataType::Int16 => Scalar::Int(i64::from(bits as i16)),
        DataType::Int32 => Scalar::Int(i64::from(bits as i32)),
        DataType::Int64 => Scalar::Int(bits as i64),
        DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64 => {
            i64::try_from(bits).map_or(Scalar::UInt(bits), Scalar::Int)
        }
        DataType::Float16 => Scalar::Float(half::f16::from_bits(bits as u16).to_f64()),
        DataType::Float32 => Scalar::Float(f64::from(f32::from_bits(bits as u32))),
        DataType::Float64 => Scalar::Float(f64::from_bits(bits)),
        DataType::FixedText(_) | DataType::Text => return None,
    })
}
