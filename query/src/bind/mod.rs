//! Binding: what names, `DIMS`, arithmetic and the cube statements mean, given the catalog.

pub mod arithmetic;
pub mod dims;
pub mod names;
mod relations;
pub mod statements;
