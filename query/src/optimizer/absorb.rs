//! Projections and filters directly above a leaf become steps of its program; joins of leaves become leaves (see `align`).

use std::sync::Arc;

use datafusion::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::physical_expr_common::physical_expr::is_volatile;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;

use super::{align, rewrite};
use crate::dense::CubeExec;
use crate::dense::exec::LeafPlan;
use crate::dense::program::Step;
use crate::dense::reduce::Split;

/// The rule.
#[derive(Debug)]
pub(super) struct AbsorbCellwise;

impl PhysicalOptimizerRule for AbsorbCellwise {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        rewrite(plan, config, |_| None)
    }

    fn name(&self) -> &str {
        "absorb_cellwise"
    }

    fn schema_check(&self) -> bool {
        false
    }
}

/// The leaf that does the work of `node` as well, when `node` is a projection or filter over a leaf, or a join of two along axes.
pub(super) fn absorb(node: &Arc<dyn ExecutionPlan>) -> Option<Arc<dyn ExecutionPlan>> {
    if let Some(leaf) = align::aligned(node) {
        return Some(leaf);
    }
    if let Some(projection) = node.downcast_ref::<ProjectionExec>() {
        let leaf = projection.input().downcast_ref::<CubeExec>()?;
        let exprs: Vec<_> = projection.expr().iter().map(|e| e.expr.clone()).collect();
        if exprs.iter().any(is_volatile) {
            return None;
        }
        return with_step(&leaf.plan, Step::Map { exprs, schema: projection.schema() });
    }
    let filter = node.downcast_ref::<FilterExec>()?;
    let leaf = filter.input().downcast_ref::<CubeExec>()?;
    if leaf.plan.fetch.is_some() || filter.fetch().is_some() || filter.projection().is_some() || is_volatile(filter.predicate()) {
        return None;
    }
    with_step(&leaf.plan, Step::Mask(filter.predicate().clone()))
}

fn with_step(leaf: &LeafPlan, step: Step) -> Option<Arc<dyn ExecutionPlan>> {
    let mut plan = leaf.clone();
    match &leaf.reduction {
        _ if leaf.tensors.is_some() => return None,
        None => plan.program.steps.push(step),
        Some(reduction) if reduction.split == Split::Output => {
            let mut reduction = reduction.as_ref().clone();
            reduction.after.push(step);
            plan.reduction = Some(Arc::new(reduction));
        }
        Some(_) => return None,
    }
    Some(Arc::new(CubeExec::new(plan)))
}
