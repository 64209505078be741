//! Geometry: tables of geometries, and what they have to do with the cells of cubes.
//!
//! * `tables`: GeoJSON (`geojson`) and GeoParquet (`geoparquet`) files as tables; `wkb`, `wkt`: what geometries are written in.
//! * `reproject`: geometries into the system of a cube.
//! * `cell`: what `CELL(c)` means; `grid`: the cells; `bound`: geometries on their way to cells; `functions`: the functions of both.
//! * `rasterise` and `coverage`: from a shape to `runs` of cells, by centres and by exact fractions.
//! * `sample`, `sample_exec`: a cube at points.
//! * `zones`: all geometries of a table as runs by row; `join`: a join of cells and geometries without trying every pair.

pub(crate) mod bound;
pub(crate) mod cell;
pub(crate) mod coverage;
pub(crate) mod functions;
mod geojson;
mod geoparquet;
pub(crate) mod grid;
pub(crate) mod join;
pub(crate) mod rasterise;
mod reproject;
pub(crate) mod runs;
pub(crate) mod sample;
pub(crate) mod sample_exec;
pub(crate) mod shape;
pub(crate) mod tables;
pub(crate) mod wkb;
pub(crate) mod wkt;
pub(crate) mod zones;

#[cfg(test)]
mod raster_tests;
