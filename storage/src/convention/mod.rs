//! Conventions: what attributes mean. CF (and GeoKeys) turn indexed arrays into axes, encodings, CRS.

pub mod cf;

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::array::{ArrayMetadata, Attributes, Axis, DataType, Encoding};
use crate::format::{IndexedArray, IndexedGranule};
use crate::object::{ObjectReader, Objects};

pub mod geokeys;
mod geozarr;

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

/// A coarser copy of an array, made by its writer; overviews are no variables.
#[derive(Debug, Clone, PartialEq)]
pub struct Overview {
    /// The array that it shows: index into [`IndexedGranule::arrays`].
    pub of: usize,
    /// Its own array.
    pub array: usize,
    /// Cells of the array to one of the overview, along each axis.
    pub factor: Vec<f64>,
    /// Its grid, slowest axis first.
    pub axes: Vec<Axis>,
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
    /// Which arrays are overviews of which.
    pub overviews: Vec<Overview>,
}

/// Applies the conventions to a granule; reads the values of coordinate variables.
pub async fn describe(objects: &Objects, object: &ObjectReader, granule: &IndexedGranule) -> Result<Described> {
    match is_tiff(&granule.format) {
        true => geokeys::describe(granule),
        // Coordinates are small and lie beside headers.
        false => {
            let mut described = cf::describe(&objects.through(object), object, granule).await?;
            if matches!(granule.format.as_str(), "zarr" | "kerchunk" | "icechunk") {
                geozarr::apply(granule, &mut described);
            }
            Ok(described)
        }
    }
}

/// Makes texts of the character arrays of netCDF and HDF5: `char name(station, length)` becomes one text a station, as in
/// netCDF4-python and xarray. Left as they are: arrays whose last dimension is cut into chunks, labels of one character along
/// a dimension of their own name, and arrays whose last dimension is also one of other data, so that it counts something else than
/// characters (`char name(length, station)`; xarray's rule). Chunk references stay the same.
pub fn join_characters(granule: &mut IndexedGranule) {
    if !(granule.format.starts_with("netcdf") || granule.format.starts_with("hdf5")) {
        return;
    }
    let is_text = |metadata: &ArrayMetadata| metadata.data_type == DataType::FixedText(1);
    // What counts something else than characters: all dimensions of numbers, and of texts all but the last.
    let mut counted: HashSet<String> = HashSet::new();
    for metadata in granule.arrays.iter().map(|array| &array.metadata) {
        let last = usize::from(is_text(metadata));
        counted.extend(metadata.dimensions.iter().rev().skip(last).cloned());
    }
    for metadata in granule.arrays.iter_mut().map(|array| &mut array.metadata) {
        if metadata.dimensions.last().is_some_and(|d| counted.contains(d)) {
            continue;
        }
        let (Some(&length), Some(&chunk)) = (metadata.shape.last(), metadata.chunk_shape.last()) else { continue };
        let own = matches!(metadata.dimensions.as_slice(), [only] if only == metadata.name());
        match u32::try_from(length) {
            Ok(bytes) if is_text(metadata) && bytes > 0 && chunk == length && !own => {
                metadata.data_type = DataType::FixedText(bytes);
                metadata.shape.pop();
                metadata.chunk_shape.pop();
                metadata.dimensions.pop();
            }
            _ => {}
        }
    }
}

/// The rule from stored cells of one array to values: packing, missing data, unsignedness. Times stay numbers in the file's
/// units (see [`time_encoding_of`]); an index of no array gives the identity of bytes.
pub fn encoding_of(granule: &IndexedGranule, array: usize) -> Encoding {
    encoding_in(granule, array, &mut Vec::new())
}

/// What [`encoding_of`] ignored in the attributes of one array, for people.
pub fn encoding_warnings(granule: &IndexedGranule, array: usize) -> Vec<String> {
    let mut warnings = Vec::new();
    encoding_in(granule, array, &mut warnings);
    warnings
}

/// For an array whose units are times since an instant in a real-world calendar: the encoding whose values are instants in
/// microseconds (see [`Encoding::time`]); `None` for all others.
pub fn time_encoding_of(granule: &IndexedGranule, array: usize) -> Option<Encoding> {
    let attributes = &granule.arrays.get(array)?.metadata.attributes;
    let units = attributes.text("units").filter(|u| cf::time::is_time(u))?;
    let (reference, _) = cf::time::TimeReference::parse(units, attributes.text("calendar")).ok()?;
    reference.encoding(&encoding_of(granule, array))
}

/// The encoding of array number `number` of a granule, with its mask.
fn encoding_in(granule: &IndexedGranule, number: usize, warnings: &mut Vec<String>) -> Encoding {
    let Some(array) = granule.arrays.get(number) else { return Encoding::identity(DataType::UInt8) };
    let mut encoding = encoding(array, &granule.format, warnings);
    if let Some((_, mask)) = granule.masks.iter().find(|(masked, _)| *masked == number) {
        encoding.mask = u32::try_from(*mask).ok();
        // A mask says all, as in GDAL: nodata beside it means nothing.
        encoding.missing.clear();
    }
    encoding
}

/// The encoding of an array of a granule of format `format`; what is ignored is told in `warnings`.
fn encoding(array: &IndexedArray, format: &str, warnings: &mut Vec<String>) -> Encoding {
    if is_tiff(format) {
        return geokeys::encoding(array, warnings);
    }
    let metadata = &array.metadata;
    let mut encoding = cf::packing::packing(metadata.data_type, &metadata.attributes, warnings);
    cf::missing::missing(&mut encoding, metadata.data_type, &metadata.attributes, format.starts_with("netcdf"), warnings);
    encoding
}

/// True for the formats whose conventions are geo keys and GDAL's tags.
fn is_tiff(format: &str) -> bool {
    matches!(format, "geotiff" | "tiff")
}
