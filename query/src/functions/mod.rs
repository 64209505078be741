//! The functions that the dialect adds to DataFusion's own. `session.rs` registers what this lists.

pub mod calendar;

use std::sync::Arc;

use datafusion::logical_expr::ScalarUDF;

/// All scalar functions of the dialect.
pub fn scalar_functions() -> Vec<Arc<ScalarUDF>> {
    calendar::functions()
}
