//! CF: from a granule's arrays and attributes to data variables with axes, encodings and CRS. Here the parts are put together
//! and the cells of coordinate variables are read; what each attribute means stands in the files beside this one.

pub mod coordinates;
pub mod grid_mapping;
pub mod missing;
pub mod packing;
pub mod projection;
#[cfg(test)]
mod tests;
pub mod time;

use std::collections::{HashMap, HashSet};

use super::{Described, Variable, encoding_of, time_encoding_of};
use crate::array::{ArrayMetadata, Axis, AxisRole, Coordinates, DataType};
use crate::format::{IndexedArray, IndexedGranule};
use crate::object::{ObjectReader, Objects};
use crate::{Error, Result, read};

/// Coordinates that take more bytes than this are not read: the axis has positions only.
const COORDINATE_LIMIT: u64 = 256 << 20;

/// Understands a granule by the CF conventions.
pub async fn describe(objects: &Objects, object: &ObjectReader, granule: &IndexedGranule) -> Result<Described> {
    let names = Names::new(granule);
    let mut reading = Reading { objects, object, granule, names: &names, axes: HashMap::new(), warnings: Vec::new() };
    let left_out = names.supporting();
    let mut variables = Vec::new();
    let inside = archive_folder(object.location(), granule);
    for (number, array) in granule.arrays.iter().enumerate() {
        if left_out.contains(&number) {
            continue;
        }
        let metadata = &array.metadata;
        let axes = reading.axes_of(metadata).await?;
        let crs = names.crs_of(metadata, &mut reading.warnings);
        let encoding = time_encoding_of(granule, number).unwrap_or_else(|| encoding_of(granule, number));
        let path = metadata.path.trim_matches('/');
        let name = match path.strip_prefix(inside.as_str()).unwrap_or(path) {
            "" => stem(object.location()),
            path => path.replace('/', "."),
        };
        variables.push(Variable { name, array: number, axes, encoding, attributes: metadata.attributes.clone(), crs });
    }
    Ok(Described { variables, attributes: granule.attributes.clone(), warnings: reading.warnings, overviews: Vec::new() })
}

/// The folder, with `/` at its end, that is all an archive holds and has the archive's name: `a.zarr/` of `a.zarr.zip`. It says
/// nothing that a variable's name should say. Empty for anything else.
fn archive_folder(location: &str, granule: &IndexedGranule) -> String {
    let name = location.rsplit('/').next().and_then(|last| last.strip_suffix(".zip"));
    let folder = name.map(|name| format!("{name}/")).filter(|_| granule.format == "zarr").unwrap_or_default();
    let all = granule.arrays.iter().all(|a| a.metadata.path.trim_start_matches('/').starts_with(&folder));
    if all { folder } else { String::new() }
}

/// A location's last part without its ending: the name of the one array that a granule is.
fn stem(location: &str) -> String {
    let last = location.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let stem = last.split_once('.').map_or(last, |(stem, _)| stem);
    if stem.is_empty() { "data".into() } else { stem.into() }
}

/// Arrays by path, and what names in attributes and dimensions refer to.
struct Names<'a> {
    granule: &'a IndexedGranule,
    by_path: HashMap<&'a str, usize>,
}

impl<'a> Names<'a> {
    fn new(granule: &'a IndexedGranule) -> Self {
        let by_path = granule.arrays.iter().enumerate().map(|(i, a)| (a.metadata.path.as_str(), i)).collect();
        Names { granule, by_path }
    }

    fn metadata(&self, array: usize) -> &'a ArrayMetadata {
        &self.granule.arrays[array].metadata
    }

    /// The array that `name` means in `group`: in that group, else in the nearest group around it (CF section 2.7).
    fn find(&self, group: &str, name: &str) -> Option<usize> {
        if name.starts_with('/') {
            return self.by_path.get(name).copied();
        }
        let mut group = group.trim_end_matches('/');
        loop {
            if let Some(&found) = self.by_path.get(format!("{group}/{name}").as_str()) {
                return Some(found);
            }
            group = &group[..group.rfind('/')?];
        }
    }

    /// The coordinate variable of one dimension of an array: of that name, along that dimension alone, or text labels
    /// along it (`char name(name, length)`).
    fn coordinate_of(&self, metadata: &ArrayMetadata, dimension: usize) -> Option<usize> {
        let (name, length) = (metadata.dimensions.get(dimension)?, *metadata.shape.get(dimension)?);
        let found = self.find(metadata.group(), name)?;
        let candidate = self.metadata(found);
        (is_along(candidate, name) && candidate.shape.first() == Some(&length)).then_some(found)
    }

    /// The one coordinate that the `coordinates` attribute gives for a dimension that has no coordinate variable.
    fn auxiliary_of(&self, metadata: &ArrayMetadata, dimension: usize) -> Option<usize> {
        let (name, length) = (metadata.dimensions.get(dimension)?, *metadata.shape.get(dimension)?);
        let mut found = metadata.attributes.text("coordinates")?.split_whitespace().filter_map(|word| {
            let array = self.find(metadata.group(), word)?;
            let candidate = self.metadata(array);
            let along = candidate.dimensions.len() == 1 && is_along(candidate, name) && candidate.shape.first() == Some(&length);
            (along && !candidate.data_type.is_text()).then_some(array)
        });
        let first = found.next()?;
        found.next().is_none().then_some(first)
    }

    /// Arrays that are not data: coordinate variables, their bounds, grid mappings.
    fn supporting(&self) -> HashSet<usize> {
        let mut found = HashSet::new();
        for (number, array) in self.granule.arrays.iter().enumerate() {
            let metadata = &array.metadata;
            let scalar = metadata.shape.is_empty();
            if is_along(metadata, metadata.name()) || (scalar && grid_mapping::is_grid_mapping(&metadata.attributes)) {
                found.insert(number);
            }
            let named = ["bounds", "climatology"].into_iter().filter_map(|name| metadata.attributes.text(name).map(str::to_owned));
            let mappings = metadata.attributes.text("grid_mapping").map(grid_mapping::references).unwrap_or_default();
            for name in named.chain(mappings.into_iter().map(|(name, _)| name)) {
                // A name may point at anything; only what looks like bounds or a grid mapping is taken out.
                let supporting = self.find(metadata.group(), name.trim()).filter(|&n| n != number).filter(|&n| {
                    let other = self.metadata(n);
                    other.shape.len() <= 1 && other.shape.iter().product::<u64>() <= 1
                        || other.dimensions.len() == metadata.dimensions.len() + 1 && other.dimensions.starts_with(&metadata.dimensions)
                });
                found.extend(supporting);
            }
        }
        found
    }

    /// The CRS of a data variable by its `grid_mapping`.
    fn crs_of(&self, metadata: &ArrayMetadata, warnings: &mut Vec<String>) -> Option<String> {
        let mappings = grid_mapping::references(metadata.attributes.text("grid_mapping")?);
        let of_dimensions = |coordinates: &[String]| coordinates.iter().any(|c| metadata.dimensions.contains(c));
        let chosen = mappings.iter().find(|(_, coordinates)| of_dimensions(coordinates)).or(mappings.first())?;
        let mapping = self.find(metadata.group(), &chosen.0)?;
        let mapping = self.metadata(mapping);
        let mut reasons = Vec::new();
        let crs = grid_mapping::crs(&mapping.attributes, &mut reasons);
        for reason in reasons.into_iter().map(|why| format!("grid mapping {}: {why}", mapping.path)) {
            if !warnings.contains(&reason) {
                warnings.push(reason);
            }
        }
        crs
    }
}

/// True for numbers or texts along the one dimension `name`, and for `char` arrays of labels along it.
fn is_along(metadata: &ArrayMetadata, name: &str) -> bool {
    match metadata.dimensions.as_slice() {
        [only] => only == name,
        [first, _] => first == name && metadata.data_type == DataType::FixedText(1),
        _ => false,
    }
}

/// Reads coordinate variables, each once.
struct Reading<'a> {
    objects: &'a Objects,
    object: &'a ObjectReader,
    granule: &'a IndexedGranule,
    names: &'a Names<'a>,
    /// By array; `None` where its cells cannot be coordinates.
    axes: HashMap<usize, Option<Axis>>,
    warnings: Vec<String>,
}

impl Reading<'_> {
    async fn axes_of(&mut self, metadata: &ArrayMetadata) -> Result<Vec<Axis>> {
        let mut axes: Vec<Axis> = Vec::with_capacity(metadata.shape.len());
        for (d, (dimension, &length)) in metadata.dimensions.iter().zip(&metadata.shape).enumerate() {
            let mut axis = match self.names.coordinate_of(metadata, d) {
                Some(coordinate) => self.axis(coordinate, dimension).await?,
                None => None,
            };
            if axis.is_none()
                && let Some(auxiliary) = self.names.auxiliary_of(metadata, d)
            {
                axis = self.axis(auxiliary, dimension).await?.filter(|a| coordinates::is_ordered(&a.coordinates));
            }
            let mut axis = axis.unwrap_or_else(|| positions(dimension, length));
            // A dimension that stands twice in one array (a correlation matrix) needs two names.
            while axes.iter().any(|a| a.name == axis.name) {
                axis.name.push_str("_2");
            }
            axes.push(axis);
        }
        Ok(axes)
    }

    /// The axis that a coordinate variable makes, with its bounds; `None` where its cells are too many or of a kind that is
    /// not read, which is told as a warning.
    async fn axis(&mut self, array: usize, dimension: &str) -> Result<Option<Axis>> {
        if let Some(known) = self.axes.get(&array) {
            return Ok(known.clone());
        }
        let made = match self.make(array, dimension).await {
            Ok(made) => made,
            Err(Error::Unsupported { feature, .. } | Error::Resources(feature)) => {
                self.warnings.push(format!("axis {dimension}: its coordinates are not read: {feature}"));
                None
            }
            Err(error) => return Err(error),
        };
        self.axes.insert(array, made.clone());
        Ok(made)
    }

    async fn make(&mut self, array: usize, dimension: &str) -> Result<Option<Axis>> {
        let indexed = &self.granule.arrays[array];
        let metadata = &indexed.metadata;
        let Some((values, missing)) = self.cells(array, indexed).await? else {
            self.warnings.push(format!("axis {dimension}: {} of type {} are no coordinates", metadata.path, metadata.data_type.name()));
            return Ok(None);
        };
        let mut axis = coordinates::axis(dimension, &metadata.attributes, values, missing, &mut self.warnings);
        let named = ["bounds", "climatology"].into_iter().find_map(|name| metadata.attributes.text(name));
        if let Some(found) = named.and_then(|name| self.names.find(metadata.group(), name.trim())) {
            axis.bounds = self.bounds(&axis, found).await?;
            if axis.bounds.is_none() {
                self.warnings.push(format!("axis {dimension}: its bounds {} are not usable", self.names.metadata(found).path));
            }
        }
        Ok(Some(axis))
    }

    async fn bounds(&self, axis: &Axis, array: usize) -> Result<Option<Vec<[f64; 2]>>> {
        let indexed = &self.granule.arrays[array];
        if indexed.metadata.shape != [axis.len(), 2] || indexed.metadata.data_type.is_text() {
            return Ok(None);
        }
        // Bounds of a packed coordinate are packed the same way where they do not say otherwise (CF section 7.1).
        let mut indexed = indexed.clone();
        for name in ["scale_factor", "add_offset", "_Unsigned"] {
            if let (None, Some(value)) = (indexed.metadata.attributes.get(name), axis.attributes.get(name)) {
                indexed.metadata.attributes.set(name, value.clone());
            }
        }
        let mut encoding = super::encoding(&indexed, &self.granule.format, &mut vec![]);
        if encoding.is_packed() {
            encoding.decoded = DataType::Float64;
        }
        let stored = match self.read(&indexed).await {
            Ok(stored) => stored,
            Err(Error::Unsupported { .. } | Error::Resources(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(coordinates::bounds(axis, &read::decode_cells(&stored, &encoding)?, &indexed.metadata.attributes))
    }

    /// The values of a coordinate variable and how many are missing; `None` where its type has no coordinates.
    async fn cells(&self, array: usize, indexed: &IndexedArray) -> Result<Option<(Coordinates, usize)>> {
        let metadata = &indexed.metadata;
        let stored = self.read(indexed).await?;
        Ok(match (metadata.data_type, metadata.shape.as_slice()) {
            (DataType::FixedText(1), [_, length]) => Some((coordinates::labels(&stored, *length as usize), 0)),
            (DataType::FixedText(length), [_]) => Some((coordinates::labels(&stored, length as usize), 0)),
            _ => {
                let mut encoding = encoding_of(self.granule, array);
                // A coordinate needs all its digits, however narrow it is stored: a packed northing of seven digits and a fraction.
                if encoding.is_packed() {
                    encoding.decoded = DataType::Float64;
                }
                coordinates::from_cells(&read::decode_cells(&stored, &encoding)?)
            }
        })
        .map(|found| found.filter(|(values, _)| metadata.shape.first() == Some(&values.len())))
    }

    async fn read(&self, indexed: &IndexedArray) -> Result<Vec<u8>> {
        read::read_whole(self.objects, self.object, &self.granule.objects, indexed, COORDINATE_LIMIT).await
    }
}

/// The axis of a dimension without coordinates.
fn positions(dimension: &str, length: u64) -> Axis {
    let role = match coordinates::role_of_name(dimension) {
        role @ (AxisRole::X | AxisRole::Y) => role,
        _ => AxisRole::Other,
    };
    Axis { role, ..Axis::of_positions(dimension, length) }
}
