//! Rotated and sheared images: x and y (or longitude and latitude) of every cell, as two more arrays along rows and columns. They
//! have no bytes in the file: each chunk tells where it begins, and its cells are computed when they are read.

use super::grid::{Placement, placement};
use super::keys::{GeoKeys, key};
use crate::array::{ArrayMetadata, AttributeValue, Attributes, ByteOrder, ChunkManifest, ChunkRef, DataType, EdgeChunks};
use crate::codec::Codec;
use crate::format::{IndexedArray, IndexedGranule};

/// Sides of a chunk, in cells.
const CHUNK: u64 = 512;
/// Chunks above which an image has no such arrays: only a claimed size can ask for so many.
const CHUNKS: u64 = 1 << 20;

/// True for an array that [`add_coordinates`] made.
pub(super) fn is_coordinate(array: &IndexedArray) -> bool {
    matches!(array.metadata.codecs.as_slice(), [Codec::Plane { .. }])
}

/// Adds the coordinates of a rotated image to its granule: `lat` and `lon` in degrees, otherwise `yc` and `xc`, and names them in
/// the bands' attribute `coordinates`. Does nothing for other granules.
pub(crate) fn add_coordinates(granule: &mut IndexedGranule) {
    if !super::super::is_tiff(&granule.format) {
        return;
    }
    let keys = GeoKeys::of(&granule.attributes);
    let Placement::Rotated(t) = placement(&granule.attributes, keys.short(key::RASTER_TYPE) == Some(2), &mut Vec::new()) else { return };
    let Some(first) = granule.array("/band_1").or(granule.array("/band_1.real")) else { return };
    let &[height, width] = first.metadata.shape.as_slice() else { return };
    let dimensions = first.metadata.dimensions.clone();
    let counts = (height.div_ceil(CHUNK), width.div_ceil(CHUNK));
    if counts.0.saturating_mul(counts.1) > CHUNKS || height == 0 || width == 0 {
        return;
    }
    let degrees = keys.is_geographic();
    let names = if degrees { ["lat", "lon"] } else { ["yc", "xc"] };
    let described = match degrees {
        true => [("latitude", "degrees_north"), ("longitude", "degrees_east")],
        false => [("projection_y_coordinate", "m"), ("projection_x_coordinate", "m")],
    };
    let metres = keys.short(key::LINEAR_UNITS).is_none_or(|unit| unit == 9001);
    let (rows, columns) = (CHUNK.min(height), CHUNK.min(width));
    let place = |number: u64| {
        let (row, column) = (number / counts.1 * rows, number % counts.1 * columns);
        ChunkRef::Inline([row.to_le_bytes(), column.to_le_bytes()].concat().into())
    };
    let chunks: Vec<ChunkRef> = (0..counts.0 * counts.1).map(place).collect();
    for ((name, terms), (standard, unit)) in names.into_iter().zip([[t[3], t[5], t[4]], [t[0], t[2], t[1]]]).zip(described) {
        let mut attributes = Attributes::default();
        attributes.set("standard_name", AttributeValue::Text(standard.into()));
        if degrees || metres {
            attributes.set("units", AttributeValue::Text(unit.into()));
        }
        let metadata = ArrayMetadata {
            path: format!("/{name}"),
            dimensions: dimensions.clone(),
            shape: vec![height, width],
            data_type: DataType::Float64,
            byte_order: ByteOrder::Little,
            chunk_shape: vec![rows, columns],
            edge: EdgeChunks::Padded,
            codecs: vec![Codec::Plane { columns: columns as u32, terms }],
            fill_value: None,
            attributes,
        };
        granule.arrays.push(IndexedArray { metadata, manifest: ChunkManifest { chunks: chunks.clone(), ..ChunkManifest::default() } });
    }
    for array in granule.arrays.iter_mut().filter(|a| a.metadata.shape == [height, width] && !is_coordinate(a)) {
        array.metadata.attributes.set("coordinates", AttributeValue::Text(names.join(" ")));
    }
}
