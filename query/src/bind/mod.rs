//! Binding: what names, `DIMS`, arithmetic and the cube statements mean, given the catalog.

pub(crate) mod align;
pub mod arithmetic;
pub(crate) mod around;
pub(crate) mod calendars;
mod coordinates;
pub mod dims;
mod grids;
pub mod names;
pub(crate) mod origin;
pub(crate) mod relations;
mod sample;
pub mod statements;
pub(crate) mod subset;
pub(crate) mod views;

pub(crate) use coordinates::period;
