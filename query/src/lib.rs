//! The query room: statement tree and catalog become a DataFusion plan, and the plan becomes batches.
//!
//! * [`Engine`] is the whole of it: text in, batches out. Everything of ours that DataFusion must know is registered in
//!   `session.rs` and nowhere else.
//! * `bind` resolves subsets, `DIMS` and the cube statements against the catalog.
//! * `table` shows a cube to DataFusion; `dense` is the leaf that executes tile by tile; `optimizer` moves work into it.
//! * `crs`: coordinate reference systems, for geometries and for `WARP`.
//! * `geometry`: tables of geometries, and which cells of a cube they cover.
//! * `grids` holds cubes that are derived from cubes, and grids without cubes.
//! * `shared`: the same query planned in several processes, and its leaves cut into parts.
//! * `result` gives answers their form: rows, or arrays.
//!
//! This room opens no socket and starts no process.

mod bind;
mod catalog;
mod crs;
mod dense;
mod error;
mod explain;
mod functions;
mod geometry;
mod grids;
mod located;
mod optimizer;
mod plan;
mod result;
mod session;
mod shared;
mod table;
mod view;
mod views;

pub use error::{ErrorKind, QueryError};
pub use explain::explained;
pub use result::Form;
pub use session::{Engine, EngineSettings, Parameters, Prepared};
pub use shared::{Recipe, SharedPlan, Splittable, Unit, splittable};
