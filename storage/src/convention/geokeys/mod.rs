//! GeoTIFF (OGC 19-008r4) and GDAL's tags: geo tags to x and y axes and a CRS, nodata and scale to encodings.

mod crs;
mod grid;
mod keys;
mod projection;
mod registry;
mod rotated;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use self::crs::crs;
use self::grid::{Placement, axes, has_control_points, placement};
use self::keys::{GeoKeys, key};
pub(crate) use self::rotated::add_coordinates;
use super::{Described, Overview, Variable};
use crate::Result;
use crate::array::{AttributeValue, Attributes, DataType, Encoding};
use crate::format::geotiff::nodata;
use crate::format::{IndexedArray, IndexedGranule};

/// Axes with more cells keep positions for coordinates: nothing but a claimed image size backs so many.
const LONGEST_AXIS: u64 = 1 << 24;

/// Describes a granule of format `geotiff` or `tiff`: one variable a band of the full-resolution image, `band_1` ..., on
/// axes `y`, `x` whose coordinates are cell centres. Overviews and further pages stay arrays and are no variables.
pub fn describe(granule: &IndexedGranule) -> Result<Described> {
    let keys = GeoKeys::of(&granule.attributes);
    let mut warnings = Vec::new();
    let placement = placement(&granule.attributes, keys.short(key::RASTER_TYPE) == Some(2), &mut warnings);
    let mut attributes = granule.attributes.clone();
    let mut crs = crs(&keys, &mut warnings);
    if has_control_points(&granule.attributes) {
        // The points are in the CRS; the axes are not.
        if let Some(crs) = crs.take() {
            attributes.set("ModelTiepoint_crs", AttributeValue::Text(crs));
        }
    }
    if granule.refused.iter().any(|r| r.reason.starts_with("a transparency mask")) {
        warnings.push("a transparency mask is not applied: masked cells have the stored values".into());
    }
    let first = granule.array("/band_1").or(granule.array("/band_1.real")).map(|a| a.metadata.shape.clone());
    let (mut arrays, mut other_grids) = (Vec::new(), 0);
    for (number, array) in granule.arrays.iter().enumerate() {
        match place(&array.metadata.path) {
            Place::FirstImage => arrays.push((number, array)),
            Place::Page(page) if Some(&array.metadata.shape) == first.as_ref() && same_place(granule, page) => arrays.push((number, array)),
            Place::Page(_) => other_grids += 1,
            Place::Other if rotated::is_coordinate(array) => arrays.push((number, array)),
            Place::Other => {}
        }
    }
    if other_grids > 0 {
        warnings.push(format!("{other_grids} bands of pages on other grids than the first image's are not part of cubes"));
    }
    let variables = arrays.into_iter();
    let variables = variables
        .map(|(array, indexed)| Variable {
            name: indexed.metadata.path.trim_start_matches('/').replace('/', "."),
            array,
            axes: axes(&indexed.metadata.shape, placement, &keys, &mut warnings),
            encoding: super::encoding_in(granule, array, &mut warnings),
            attributes: if rotated::is_coordinate(indexed) {
                indexed.metadata.attributes.clone()
            } else {
                with_transform(&indexed.metadata.attributes, placement)
            },
            crs: crs.clone(),
        })
        .collect();
    let overviews = overviews(granule, placement, &keys);
    Ok(Described { variables, attributes, warnings, overviews })
}

/// The CRS that the geo keys among some attributes define, and why there is none.
#[cfg(test)]
pub(crate) fn crs_of(attributes: &Attributes) -> (Option<String>, Vec<String>) {
    let mut warnings = Vec::new();
    (crs(&GeoKeys::of(attributes), &mut warnings), warnings)
}

/// The attributes of a band; those of a rotated one tell its transform, as GDAL and rioxarray name it, and its coordinates.
fn with_transform(attributes: &Attributes, placement: Placement) -> Attributes {
    let mut attributes = attributes.clone();
    if let Placement::Rotated(t) = placement {
        attributes.set("GeoTransform", AttributeValue::Floats(DataType::Float64, t.to_vec()));
    }
    attributes
}

/// The overviews of all arrays: `/overview_2/band_1` is one of `/band_1`.
fn overviews(granule: &IndexedGranule, placement: Placement, keys: &GeoKeys) -> Vec<Overview> {
    let numbers: HashMap<&str, usize> = granule.arrays.iter().enumerate().map(|(i, a)| (a.metadata.path.as_str(), i)).collect();
    let overview = |(array, indexed): (usize, &IndexedArray)| {
        let path = indexed.metadata.path.as_str();
        let start = path.find("/overview_")?;
        let (page, rest) = path.split_at(start);
        let rest = rest.get(1..)?.split_once('/')?.1;
        let of = *numbers.get(format!("{page}/{rest}").as_str())?;
        let base = granule.arrays.get(of)?.metadata.shape.as_slice();
        let shape = indexed.metadata.shape.as_slice();
        let factor: Vec<f64> = base.iter().zip(shape).map(|(&n, &m)| n as f64 / m.max(1) as f64).collect();
        let &[down, across] = factor.as_slice() else { return None };
        // Pages have places of their own, which are not read.
        let placement = if page.is_empty() { placement.coarser(across, down) } else { Placement::None };
        let axes = axes(shape, placement, keys, &mut Vec::new());
        Some(Overview { of, array, factor, axes })
    };
    granule.arrays.iter().enumerate().filter_map(overview).collect()
}

/// Where an array of a TIFF file belongs.
enum Place<'a> {
    /// The full-resolution image of the first page.
    FirstImage,
    /// That of the further page of this group.
    Page(&'a str),
    /// An overview or a mask.
    Other,
}

fn place(path: &str) -> Place<'_> {
    let mut parts = path.trim_start_matches('/').split('/');
    let (first, second) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let page = first.starts_with("page_") || first.starts_with("sub_directory_");
    match (first.starts_with("band_"), page && second.starts_with("band_")) {
        (true, _) => Place::FirstImage,
        (_, true) => Place::Page(first),
        _ => Place::Other,
    }
}

/// True when a further page has no place of its own, or that of the first image.
fn same_place(granule: &IndexedGranule, page: &str) -> bool {
    let group = granule.groups.iter().find(|(path, _)| path.trim_start_matches('/') == page);
    let names = ["ModelPixelScale", "ModelTiepoint", "ModelTransformation", "GeoKeyDirectory"];
    group.is_none_or(|(_, own)| names.iter().all(|n| own.get(n).is_none()) || names.iter().all(|n| own.get(n) == granule.attributes.get(n)))
}

/// Nodata, scale and offset of a band.
pub(super) fn encoding(array: &IndexedArray, warnings: &mut Vec<String>) -> Encoding {
    let (stored, attributes) = (array.metadata.data_type, &array.metadata.attributes);
    let mut encoding = Encoding::identity(stored);
    let mut number = |name: &str, default: f64| match attributes.get(name).map(|v| v.number().filter(|v| v.is_finite())) {
        None => default,
        Some(Some(v)) => v,
        Some(None) => {
            warnings.push(format!("{}: {name} is not a number: ignored", array.metadata.name()));
            default
        }
    };
    (encoding.scale, encoding.offset) = (number("scale_factor", 1.0), number("add_offset", 0.0));
    if encoding.is_packed() {
        encoding.decoded = if stored.size() <= 2 { DataType::Float32 } else { DataType::Float64 };
    }
    if let Some(text) = attributes.text("nodata") {
        match nodata::parse(text, stored) {
            // NaN is missing whatever the file says.
            Some(n) if n.holds && n.fill.as_f64().is_nan() => {}
            Some(n) if n.holds => encoding.missing.push(n.fill),
            _ => {
                let warning = format!("nodata {text:?} is no value of type {}: nothing is missing by it", stored.name());
                if !warnings.contains(&warning) {
                    warnings.push(warning);
                }
            }
        }
    }
    encoding
}
