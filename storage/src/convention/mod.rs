//! Conventions: what attributes mean. CF (and GeoKeys) turn indexed arrays into axes, encodings, CRS.

use serde::{Deserialize, Serialize};

use crate::array::{Attributes, Axis, DataType, Encoding};
use crate::format::IndexedGranule;
use crate::object::{ObjectReader, Objects};
use crate::{Error, Result};

pub mod geokeys;

/// A variable of a granule, understood.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Variable {
    /// Last part of the path; for arrays of other groups than the root the group path stands in front, joined by `.`.
    pub name: String,
    /// Index into [`IndexedGranule::arrays`].
    pub array: usize,
    /// One axis a dimension, slowest first.
    pub axes: Vec<Axis>,
    /// From stored cells to values.
    pub encoding: Encoding,
    /// Attributes as in the file.
    pub attributes: Attributes,
    /// `EPSG:4326` or WKT.
    pub crs: Option<String>,
}

/// What a granule holds in the words of conventions.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Described {
    /// Data variables. Coordinates became axes; bounds and grid mappings belong to those.
    pub variables: Vec<Variable>,
    /// Attributes of the whole.
    pub attributes: Attributes,
    /// What had to be guessed or ignored.
    pub warnings: Vec<String>,
}

/// Applies the conventions to a granule; reads the values of coordinate variables.
pub async fn describe(_objects: &Objects, _object: &ObjectReader, _granule: &IndexedGranule) -> Result<Described> {
    Err(Error::Internal("conventions: not built yet".into()))
}

/// The rule from stored cells of one array to values: packing, missing data, unsignedness. Times stay numbers in the file's
/// units (see [`time_encoding_of`]); an index of no array gives the identity of bytes.
pub fn encoding_of(granule: &IndexedGranule, array: usize) -> Encoding {
    Encoding::identity(granule.arrays.get(array).map_or(DataType::UInt8, |a| a.metadata.data_type))
}

/// For an array whose units are times since an instant in a real-world calendar: the encoding whose values are instants in
/// microseconds; `None` for all others.
pub fn time_encoding_of(_granule: &IndexedGranule, _array: usize) -> Option<Encoding> {
    None
}
