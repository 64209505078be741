//! The header of a classic file (netCDF User's Guide, appendix "File Format Specifications").

use super::cursor::{Cursor, Parsed};
use super::value::{attributes, data_type};
use crate::array::{Attributes, DataType};

/// Tags of the lists of dimensions and variables.
const DIMENSIONS: u32 = 10;
const VARIABLES: u32 = 11;

/// Everything before the data.
#[derive(Debug)]
pub(super) struct Header {
    /// Records as the header counts them; `None`: written by a stream, to be worked out from the file's size.
    pub records: Option<u64>,
    pub dimensions: Vec<Dimension>,
    pub attributes: Attributes,
    pub variables: Vec<Variable>,
    /// Bytes of the header.
    pub length: u64,
}

/// A dimension.
#[derive(Debug)]
pub(super) struct Dimension {
    pub name: String,
    /// Cells along it; `None`: the record dimension.
    pub length: Option<u64>,
}

/// A variable.
#[derive(Debug)]
pub(super) struct Variable {
    pub name: String,
    /// Numbers of its dimensions, slowest first.
    pub dimensions: Vec<u64>,
    pub attributes: Attributes,
    pub data_type: DataType,
    /// Where its data begin.
    pub begin: u64,
}

/// Parses a header; the first four bytes have told the format.
pub(super) fn parse(cursor: &mut Cursor<'_>) -> Parsed<Header> {
    let version = cursor.take(4)?.last().copied();
    if version == Some(5) {
        cursor.widen();
    }
    let records = cursor.length_or_all()?;
    let mut dimensions: Vec<Dimension> = Vec::new();
    for _ in 0..cursor.list(DIMENSIONS, "dimensions")? {
        let start = cursor.position();
        let (name, length) = (cursor.name()?, cursor.length()?);
        if length == 0 && dimensions.iter().any(|d| d.length.is_none()) {
            return Err(cursor.wrong(start, format!("dimension {name} is a second record dimension")));
        }
        dimensions.push(Dimension { name, length: (length > 0).then_some(length) });
    }
    let attributes_of_the_file = attributes(cursor)?;
    let mut variables = Vec::new();
    for _ in 0..cursor.list(VARIABLES, "variables")? {
        let name = cursor.name()?;
        let rank = cursor.length()?;
        let mut numbers = Vec::new();
        for _ in 0..rank {
            numbers.push(cursor.length()?);
        }
        let attributes = attributes(cursor)?;
        let start = cursor.position();
        let number = cursor.u32()?;
        let Some(data_type) = data_type(number) else {
            return Err(cursor.wrong(start, format!("variable {name}: type {number}, which is none of netCDF")));
        };
        // The size of one record or of the whole; redundant, and wrong above 4 GiB.
        let _size = cursor.length_or_all()?;
        let begin = if version == Some(1) { cursor.u32()?.into() } else { cursor.u64()? };
        variables.push(Variable { name, dimensions: numbers, attributes, data_type, begin });
    }
    Ok(Header { records, dimensions, attributes: attributes_of_the_file, variables, length: cursor.position() })
}
