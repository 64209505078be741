//! Physical rules: work that has a dense form moves into the leaf. One rule a file.
//!
//! They run before DataFusion's own rules, so that distribution and ordering are enforced on what they leave.

mod absorb;
mod reduce;
mod window;

use std::sync::Arc;

use datafusion::common::extensions_options;
use datafusion::config::ConfigExtension;
use datafusion::physical_optimizer::PhysicalOptimizerRule;

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
    }
}

impl ConfigExtension for DenseOptions {
    const PREFIX: &'static str = "graticule";
}

/// Our rules, in the order in which they run.
pub(crate) fn rules() -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    vec![Arc::new(absorb::AbsorbCellwise), Arc::new(window::DenseWindow), Arc::new(reduce::DenseAggregate)]
}
