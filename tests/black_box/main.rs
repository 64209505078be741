//! One test binary for the whole: every file here is a runner of about a hundred lines, the cases are data.

mod conformance;
mod conventions;
mod dense;
mod engine;
mod geometry;
mod grids;
mod mosaic;
mod mutation;
mod nodes;
mod relations;
mod slt;
mod statistics;
mod tidy;
mod truth;
mod windows;
