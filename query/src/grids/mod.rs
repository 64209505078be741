//! Derived cubes: cubes whose values are computed from other cubes when they are read (`Supply`), or that have none.
//!
//! * `lines`: axes as `axis(from, to, step)` describes them.
//! * `derived`: a cube of our own making as a table; `leaf`: what it is made of.
//! * `overviews`: a cube at the resolution of its files' overviews.
//! * `regrid`: other coordinates along some axes; `warp`: another reference system.

pub(crate) mod derived;
pub(crate) mod leaf;
pub(crate) mod lines;
pub(crate) mod overviews;
pub(crate) mod regrid;
pub(crate) mod warp;
