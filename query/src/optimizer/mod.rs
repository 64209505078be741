//! Physical rules: work that has a dense form moves into the leaf. One rule a file.
//!
//! They run before DataFusion's own rules, so that distribution and ordering are enforced on what they leave.

mod absorb;
mod align;
mod reduce;
mod window;
mod zonal;
mod zonal_join;

use std::sync::Arc;

use datafusion::common::extensions_options;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::config::{ConfigExtension, ConfigOptions};
use datafusion::error::Result;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;

pub(crate) use reduce::why_not_dense;
pub(crate) use window::why_not_dense as why_window_not_dense;

extensions_options! {
    /// Settings of ours, `SET graticule.dense = false`.
    pub struct DenseOptions {
        /// Whether aggregates with a dense form run dense. Off: DataFusion's own operators do all the work.
        pub dense: bool, default = true
        /// Bytes that one partition may hold of values that are needed all at once (median, quantile, mode): the output is
        /// cut into blocks that small.
        pub block_bytes: usize, default = 256 << 20
        /// Cells of the chunks that it touches up to which a tile is made of several small chunks.
        pub tile_cells: usize, default = 1 << 20
        /// Whether what is known of values in chunks (`ANALYZE CUBE`, earlier queries) spares reading them.
        pub statistics: bool, default = true
    }
}

impl ConfigExtension for DenseOptions {
    const PREFIX: &'static str = "graticule";
}

/// Rewrites a plan from its leaves up: a node for which `dense` finds a form inside the leaf below becomes that leaf, and
/// projections and filters above such a leaf become steps of its program. Nothing while dense plans are off.
fn rewrite(
    plan: Arc<dyn ExecutionPlan>,
    config: &ConfigOptions,
    dense: impl Fn(&Arc<dyn ExecutionPlan>) -> Option<Arc<dyn ExecutionPlan>>,
) -> Result<Arc<dyn ExecutionPlan>> {
    if config.extensions.get::<DenseOptions>().is_some_and(|o| !o.dense) {
        return Ok(plan);
    }
    plan.transform_up(|node| {
        Ok(match dense(&node).or_else(|| absorb::absorb(&node)) {
            Some(leaf) => Transformed::yes(leaf),
            None => Transformed::no(node),
        })
    })
    .data()
}

/// Our rules, in the order in which they run.
pub(crate) fn rules() -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    vec![
        Arc::new(zonal_join::JoinByCells),
        Arc::new(absorb::AbsorbCellwise),
        Arc::new(window::DenseWindow),
        Arc::new(reduce::DenseAggregate),
    ]
}
