//! The functions that the dialect adds to DataFusion's own. `session.rs` registers what this lists.

pub(crate) mod aggregate;
pub mod around;
pub mod calendar;
pub(crate) mod coarsen;
pub(crate) mod in_subset;
pub(crate) mod model_time;
pub(crate) mod neighbourhood;
pub(crate) mod same_cell;
mod width_bucket;

use std::sync::Arc;

use datafusion::logical_expr::{ScalarUDF, WindowUDF};

pub(crate) use aggregate::aggregate_functions;

use crate::geometry;

/// All scalar functions of the dialect.
pub fn scalar_functions() -> Vec<Arc<ScalarUDF>> {
    let mut functions = [calendar::functions(), around::scalar_functions(), geometry::functions::functions()].concat();
    functions.extend([coarsen::function(), width_bucket::function()]);
    functions
}

/// All window functions of the dialect.
pub fn window_functions() -> Vec<Arc<WindowUDF>> {
    around::window_functions()
}
