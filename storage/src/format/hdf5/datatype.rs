//! Stored types: datatype messages to [`StoredType`] (file format specification, IV.A.2.d). What their bytes mean: `value`;
//! members of compounds and elements of array types: `leaf`.

use hdf5_reader::io::Cursor;

use super::value::{Padding, number, text};
use super::{Parsed, Reason};
use crate::array::{ByteOrder, DataType, Scalar};
use crate::codec::{Codec, FloatFields, Normalization};

/// The type of an element in the file.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct StoredType {
    /// Bytes an element.
    pub size: u32,
    /// What the bytes are.
    pub kind: Kind,
    /// Names and values of an enumeration, in the file's order.
    pub names: Vec<(String, Scalar)>,
}

/// What the bytes of an element are.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    /// An integer or a floating-point number as machines have them; an enumeration or a bit field as its integer.
    Number(DataType, ByteOrder),
    /// A number of another format: the step that makes little-endian cells of the type out of it.
    Converted(Codec, DataType),
    /// Text of a fixed number of bytes.
    FixedText(Padding),
    /// Text of any length, in the global heap.
    Text,
    /// Address of another object.
    Reference,
    /// List of elements, in the global heap.
    Sequence(Box<StoredType>),
    /// Several elements of another type: how many along each dimension.
    Array(Box<StoredType>, Vec<u64>),
    /// Members of other types.
    Compound(Vec<Member>),
    /// Something that is not read, and its name.
    Other(String),
}

/// One member of a compound type.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Member {
    /// Its name.
    pub name: String,
    /// Its first byte in the compound.
    pub offset: u32,
    /// Its type.
    pub stored: StoredType,
}

/// Deepest nesting of types in types.
const DEEPEST: u32 = 16;

impl StoredType {
    /// Parses a datatype message.
    pub(super) fn parse(body: &[u8]) -> Parsed<StoredType> {
        next(&mut Cursor::new(body), 0).map_err(|r| r.at("datatype"))
    }

    fn of(size: u32, kind: Kind) -> StoredType {
        StoredType { size, kind, names: Vec::new() }
    }

    /// The type of an array's cells and the step that makes them, for types that are read.
    pub(super) fn cells(&self) -> Parsed<(DataType, ByteOrder, Option<Codec>)> {
        match &self.kind {
            Kind::Number(t, order) => Ok((*t, *order, None)),
            Kind::Converted(codec, t) => Ok((*t, ByteOrder::Little, Some(codec.clone()))),
            // Padding with NULs is what text cells have anyway, and one byte needs none.
            Kind::FixedText(padding) => {
                let codec = match padding {
                    Padding::Nulls => None,
                    Padding::NullTerminated if self.size == 1 => None,
                    padding => Some(Codec::PaddedText { size: self.size, spaces: *padding == Padding::Spaces }),
                };
                Ok((DataType::FixedText(self.size), ByteOrder::Little, codec))
            }
            Kind::Text => Ok((DataType::Text, ByteOrder::Little, None)),
            other => Err(Reason(format!("type {}", other.name()))),
        }
    }
}

impl Kind {
    /// The type's name in messages.
    pub(super) fn name(&self) -> String {
        match self {
            Kind::Number(t, _) | Kind::Converted(_, t) => t.name(),
            Kind::FixedText(_) | Kind::Text => "text".into(),
            Kind::Reference => "object reference".into(),
            Kind::Sequence(base) => format!("variable-length sequence of {}", base.kind.name()),
            Kind::Array(base, shape) => format!("array of {} {}", shape.iter().product::<u64>(), base.kind.name()),
            Kind::Compound(_) => "compound".into(),
            Kind::Other(name) => name.clone(),
        }
    }
}

/// Parses the datatype message at the cursor and moves behind it.
fn next(cursor: &mut Cursor<'_>, depth: u32) -> Parsed<StoredType> {
    if depth > DEEPEST {
        return Err(format!("nested deeper than {DEEPEST} levels").into());
    }
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
            integer(size, offset, precision, class == 0 && flags & 8 != 0, order)
        }
        1 => float(cursor, flags, size, order)?,
        2 => {
            cursor.skip(2)?;
            Kind::Other("time".into())
        }
        3 if size == 0 => Kind::Other("text of 0 bytes".into()),
        3 => match flags & 0xf {
            0 => Kind::FixedText(Padding::NullTerminated),
            1 => Kind::FixedText(Padding::Nulls),
            2 => Kind::FixedText(Padding::Spaces),
            other => Kind::Other(format!("text with padding of type {other}")),
        },
        5 => {
            cursor.skip(usize::try_from(flags & 0xff).unwrap_or(0))?;
            Kind::Other("opaque".into())
        }
        6 => Kind::Compound(members(cursor, version, flags & 0xffff, size, depth)?),
        7 if version < 4 && flags & 0xf == 0 => Kind::Reference,
        7 => Kind::Other("reference to a region or an attribute".into()),
        8 => return enumeration(cursor, version, flags & 0xffff, size, depth),
        9 => {
            let base = next(cursor, depth + 1)?;
            if flags & 0xf == 1 { Kind::Text } else { Kind::Sequence(Box::new(base)) }
        }
        10 => array(cursor, version, size, depth)?,
        11 => complex(next(cursor, depth + 1)?, size)?,
        other => return Err(format!("class {other}, which is not known").into()),
    };
    Ok(StoredType::of(size, kind))
}

/// Signed or unsigned integers of 1, 2, 4 and 8 bytes; others of up to 8 bytes are widened.
fn integer(size: u32, offset: u16, precision: u16, signed: bool, order: ByteOrder) -> Kind {
    let (low, bits) = (u32::from(offset), u32::from(precision));
    let t = match size {
        1 => DataType::Int8,
        2 => DataType::Int16,
        3 | 4 => DataType::Int32,
        5..=8 => DataType::Int64,
        _ => return Kind::Other(format!("integer of {precision} bits in {size} bytes")),
    };
    let t = if signed { t } else { t.unsigned() };
    if low == 0 && bits == size * 8 && t.size() == size as usize {
        Kind::Number(t, order)
    } else if bits == 0 || low + bits > size * 8 {
        Kind::Other(format!("integer of {precision} bits at bit {offset} of {size} bytes"))
    } else {
        Kind::Converted(Codec::Integer { size, offset: low, precision: bits, signed, order }, t)
    }
}

/// IEEE 754 formats by their fields; bfloat16, x87, quadruple precision and what else has sign, exponent and mantissa are
/// converted; VAX's mixed byte order has a name only.
fn float(cursor: &mut Cursor<'_>, flags: u32, size: u32, order: ByteOrder) -> Parsed<Kind> {
    let (offset, precision) = (cursor.read_u16_le()?, cursor.read_u16_le()?);
    let at = [cursor.read_u8()?, cursor.read_u8()?, cursor.read_u8()?, cursor.read_u8()?];
    let bias = cursor.read_u32_le()?;
    // Exponent position and size, mantissa position and size; exponent bias.
    let ieee = match size {
        2 => Some((DataType::Float16, [10, 5, 0, 10], 15)),
        4 => Some((DataType::Float32, [23, 8, 0, 23], 127)),
        8 => Some((DataType::Float64, [52, 11, 0, 52], 1023)),
        _ => None,
    };
    let sign = (flags >> 8) & 0xff;
    let normalization = match (flags >> 4) & 3 {
        0 | 1 => Normalization::Stored,
        2 => Normalization::Implied,
        other => return Ok(Kind::Other(format!("floating-point number of normalization {other}"))),
    };
    if flags & 0x40 != 0 {
        return Ok(Kind::Other("floating-point number in VAX byte order".into()));
    }
    if let Some((t, fields, usual)) = ieee
        && (at, bias, sign) == (fields, usual, size * 8 - 1)
        && (u32::from(offset), u32::from(precision), normalization) == (0, size * 8, Normalization::Implied)
    {
        return Ok(Kind::Number(t, order));
    }
    let [exponent_at, exponent_bits, mantissa_at, mantissa_bits] = at.map(u32::from);
    let fields = FloatFields { size, order, sign, exponent_at, exponent_bits, mantissa_at, mantissa_bits, bias, normalization };
    Ok(match fields.cells() {
        Some(t) => Kind::Converted(Codec::Float(fields), t),
        None => Kind::Other(format!(
            "floating-point number of {precision} bits ({exponent_bits} exponent, {mantissa_bits} mantissa) in {size} bytes"
        )),
    })
}

/// A name and, before version 3, the NULs that make it a multiple of 8 bytes.
fn name(cursor: &mut Cursor<'_>, version: u32) -> Parsed<String> {
    let mut bytes = Vec::new();
    loop {
        match cursor.read_u8()? {
            0 => break,
            b => bytes.push(b),
        }
    }
    if version < 3 {
        let taken = bytes.len() + 1;
        cursor.skip(taken.next_multiple_of(8) - taken)?;
    }
    Ok(text(&bytes))
}

fn members(cursor: &mut Cursor<'_>, version: u32, count: u32, size: u32, depth: u32) -> Parsed<Vec<Member>> {
    let mut members = Vec::new();
    // From version 3 on an offset has as few bytes as the compound's size needs.
    let width = match size {
        ..0x100 => 1,
        0x100..0x1_0000 => 2,
        0x1_0000..0x100_0000 => 3,
        _ => 4,
    };
    for _ in 0..count {
        let name = name(cursor, version)?;
        let offset = if version < 3 { cursor.read_u32_le()? } else { cursor.read_uvar(width)? as u32 };
        // Version 1 has the dimensions of an array member here.
        let mut shape = Vec::new();
        if version == 1 {
            let rank = usize::from(cursor.read_u8()?);
            cursor.skip(11)?;
            let all = [cursor.read_u32_le()?, cursor.read_u32_le()?, cursor.read_u32_le()?, cursor.read_u32_le()?];
            shape = all.get(..rank).ok_or("member with more than 4 dimensions")?.iter().map(|&n| u64::from(n)).collect();
        }
        let mut stored = next(cursor, depth + 1).map_err(|r| r.at(&name))?;
        if !shape.is_empty() {
            let count = shape.iter().try_fold(1u64, |n, &d| n.checked_mul(d));
            let all = count.and_then(|n| n.checked_mul(u64::from(stored.size))).and_then(|n| u32::try_from(n).ok());
            stored = StoredType::of(
                all.filter(|&n| n > 0).ok_or("array member of no or too many elements")?,
                Kind::Array(Box::new(stored), shape),
            );
        }
        if offset.checked_add(stored.size).is_none_or(|end| end > size) {
            return Err(format!("member {name} of {} bytes at byte {offset} of a compound of {size} bytes", stored.size).into());
        }
        members.push(Member { name, offset, stored });
    }
    Ok(members)
}

/// Names of an enumeration are kept up to this many.
const MOST_NAMES: u32 = 4096;

fn enumeration(cursor: &mut Cursor<'_>, version: u32, count: u32, size: u32, depth: u32) -> Parsed<StoredType> {
    let base = next(cursor, depth + 1)?;
    let names = (0..count).map(|_| name(cursor, version)).collect::<Parsed<Vec<_>>>()?;
    let mut values = Vec::new();
    for _ in 0..count {
        values.push(cursor.read_bytes(base.size as usize)?);
    }
    let mut stored = StoredType::of(size, Kind::Other("enumeration of something that is no integer".into()));
    if base.size == size
        && let Ok((t, ..)) = base.cells()
        && t.is_integer()
    {
        if count <= MOST_NAMES {
            stored.names = names.into_iter().zip(values).filter_map(|(n, v)| Some((n, number(v, &base.kind)?))).collect();
        }
        stored.kind = base.kind;
    }
    Ok(stored)
}

fn array(cursor: &mut Cursor<'_>, version: u32, size: u32, depth: u32) -> Parsed<Kind> {
    let rank = usize::from(cursor.read_u8()?);
    if version < 3 {
        cursor.skip(3)?;
    }
    let shape = (0..rank).map(|_| Ok(u64::from(cursor.read_u32_le()?))).collect::<Parsed<Vec<u64>>>()?;
    if version < 3 {
        cursor.skip(rank * 4)?;
    }
    let count = shape.iter().try_fold(1u64, |n, &d| n.checked_mul(d)).ok_or("array type with too many elements")?;
    let base = next(cursor, depth + 1)?;
    if u64::from(base.size).checked_mul(count) != Some(u64::from(size)) {
        return Err(format!("array type of {count} elements of {} bytes in {size} bytes", base.size).into());
    }
    Ok(Kind::Array(Box::new(base), shape))
}

/// A complex number (class 11, HDF5 2.0): two floating-point numbers, the real part first.
fn complex(base: StoredType, size: u32) -> Parsed<Kind> {
    if base.size.checked_mul(2) != Some(size) {
        return Err(format!("complex number of two parts of {} bytes in {size} bytes", base.size).into());
    }
    let part = |name: &str, offset| Member { name: name.into(), offset, stored: base.clone() };
    Ok(Kind::Compound(vec![part("r", 0), part("i", base.size)]))
}
