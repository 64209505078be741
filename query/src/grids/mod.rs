//! Derived cubes: cubes whose values are computed from other cubes when they are read (`Supply`), or that have none.
//!
//! * `lines`: axes as `axis(from, to, step)` describes them.
//! * `derived`: a cube of our own making as a table.

pub(crate) mod derived;
pub(crate) mod lines;
