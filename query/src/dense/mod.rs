//! Dense execution: cubes are read and computed tile by tile, with coordinates implied.
//!
//! * `tiles`: from a view to the boxes that are read.
//! * `supply`: where the values of a cube come from: files, or another leaf.
//! * `aligned`: two leaves, joined cell by cell, as such a supply.
//! * `program`: what happens to the cells of a tile: read, map, mask.
//! * `window`: columns computed from the cells around, or along axes; `source`: what was read for a tile, halo included.
//! * `reduce`: keyed reductions: axis keys to groups, typed accumulators, state rows or final values.
//! * `known`: what statistics of chunks spare reading; `admission`: what a leaf needs of memory.
//! * `exec`: [`CubeExec`], the one leaf of DataFusion plans; `stream` drives its tiles, `measures` how long and how much; `tensor` writes array form.

pub(crate) mod admission;
pub(crate) mod aligned;
pub(crate) mod exec;
pub(crate) mod known;
mod measures;
pub(crate) mod program;
pub(crate) mod reduce;
pub(crate) mod source;
pub(crate) mod stream;
pub(crate) mod supply;
pub(crate) mod tensor;
pub(crate) mod tiles;
pub(crate) mod window;

pub(crate) use exec::CubeExec;
