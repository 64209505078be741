//! Aggregates whose keys are functions of one axis each become reductions inside the leaf: partial states that DataFusion's
//! final aggregate merges, or, when the groups fall into enough blocks, final values.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};

use super::DenseOptions;
use super::absorb::absorb;
use crate::dense::CubeExec;
use crate::dense::exec::LeafPlan;
use crate::dense::program::Program;
use crate::dense::reduce::{Aggregate, AxisKey, BlockGrid, GroupSpace, Reduction, Split};
use crate::dense::tiles::TileGrid;
use crate::view::{CubeColumn, View};

/// Groups above which no partition keeps all of them.
const ALL_GROUPS: usize = 1 << 20;

/// The rule.
#[derive(Debug)]
pub(super) struct DenseAggregate;

impl PhysicalOptimizerRule for DenseAggregate {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        if config.extensions.get::<DenseOptions>().is_some_and(|o| !o.dense) {
            return Ok(plan);
        }
        plan.transform_up(|node| {
            if let Some(aggregate) = node.downcast_ref::<AggregateExec>()
                && let Ok(leaf) = dense(aggregate)
            {
                return Ok(Transformed::yes(leaf));
            }
            // Projections and filters above a reduction that is now a leaf.
            Ok(match absorb(&node) {
                Some(leaf) => Transformed::yes(leaf),
                None => Transformed::no(node),
            })
        })
        .data()
    }

    fn name(&self) -> &str {
        "dense_aggregate"
    }

    fn schema_check(&self) -> bool {
        false
    }
}

/// Why an aggregate over a leaf did not become dense; `None` when it is not over a leaf.
pub(crate) fn why_not_dense(aggregate: &AggregateExec) -> Option<String> {
    aggregate.input().downcast_ref::<CubeExec>().filter(|leaf| leaf.plan.reduction.is_none())?;
    reduction_of(aggregate).err()
}

fn dense(aggregate: &AggregateExec) -> Result<Arc<dyn ExecutionPlan>, String> {
    match aggregate.mode() {
        AggregateMode::Final | AggregateMode::FinalPartitioned => finish(aggregate),
        _ => Ok(Arc::new(CubeExec::new(reduction_of(aggregate)?))),
    }
}

/// A final aggregate over a partial reduction: done in the leaf where the groups fall into enough blocks.
fn finish(aggregate: &AggregateExec) -> Result<Arc<dyn ExecutionPlan>, String> {
    let leaf = aggregate.input().downcast_ref::<CubeExec>().ok_or("not over a leaf")?;
    let reduction = leaf.plan.reduction.as_ref().filter(|r| r.split == Split::Input).ok_or("not over a partial reduction")?;
    let blocks = BlockGrid::new(&reduction.groups, &leaf.plan.tiles);
    if aggregate.limit_options().is_some() || (blocks.len() < 2 * leaf.plan.partitions && reduction.groups.len() <= ALL_GROUPS) {
        return Err("few groups: states are merged".into());
    }
    let whole = Reduction { split: Split::Output, schema: aggregate.schema(), ..reduction.as_ref().clone() };
    let plan = LeafPlan { reduction: Some(Arc::new(whole)), blocks: Some(Arc::new(blocks)), ..(*leaf.plan).clone() };
    Ok(Arc::new(CubeExec::new(plan)))
}

/// The leaf that reduces as `aggregate` (partial or single) does, or why there is none.
fn reduction_of(aggregate: &AggregateExec) -> Result<LeafPlan, String> {
    let leaf = aggregate.input().downcast_ref::<CubeExec>().ok_or("its input is not a cube")?;
    let plan = &leaf.plan;
    if plan.reduction.is_some() || plan.fetch.is_some() || plan.tensors.is_some() {
        return Err("its input is limited or already reduced".into());
    }
    let group_by = aggregate.group_expr();
    if !group_by.is_single() && !group_by.is_empty() {
        return Err("GROUPING SETS have no dense form".into());
    }
    let split = match aggregate.mode() {
        AggregateMode::Partial => Split::Input,
        AggregateMode::Single | AggregateMode::SinglePartitioned => Split::Output,
        other => return Err(format!("{other:?} aggregation has no dense form")),
    };
    let mut keys = Vec::new();
    for (expr, name) in group_by.expr() {
        let lowered = plan.program.lower(expr).map_err(|e| e.to_string())?;
        keys.push(axis_key(&plan.view, &plan.program, &lowered, name)?);
    }
    let schema = aggregate.input_schema();
    let mut aggregates = Vec::new();
    for (expr, filter) in aggregate.aggr_expr().iter().zip(aggregate.filter_expr()) {
        aggregates.push(Aggregate::of(expr, filter.as_ref(), &schema)?);
    }
    let program = narrowed(&plan.view, &plan.program, &mut aggregates).map_err(|e| e.to_string())?;
    let tiles = Arc::new(TileGrid::new(&plan.view, &program.variables()));
    let groups = Arc::new(GroupSpace { keys });
    let blocks = match split {
        Split::Input => BlockGrid::whole(&tiles),
        Split::Output => BlockGrid::new(&groups, &tiles),
    };
    let reduction = Reduction { groups, aggregates, split, schema: aggregate.schema(), after: vec![] };
    Ok(LeafPlan { program, reduction: Some(Arc::new(reduction)), tiles, blocks: Some(Arc::new(blocks)), ..(**plan).clone() })
}

/// The key that `expr`, over the columns read, is; an error when it is not a function of exactly one axis.
fn axis_key(view: &View, program: &Program, expr: &Arc<dyn PhysicalExpr>, name: &str) -> Result<AxisKey, String> {
    let mut axis = None;
    for column in collect_columns(expr) {
        match (program.columns[column.index()], axis) {
            (CubeColumn::Axis(a), None) => axis = Some((a, column.index())),
            (CubeColumn::Axis(a), Some((b, _))) if a == b => {}
            (CubeColumn::Axis(_), Some(_)) => return Err(format!("the group key {name} depends on several axes")),
            (CubeColumn::Variable(_), _) => return Err(format!("the group key {name} depends on values")),
        }
    }
    let (axis, index) = axis.ok_or_else(|| format!("the group key {name} depends on no axis"))?;
    let values = view
        .along(axis, &program.read_schema, index)
        .and_then(|batch| expr.evaluate(&batch)?.into_array(batch.num_rows()))
        .and_then(|values| AxisKey::new(axis, expr.downcast_ref::<Column>().is_some(), values));
    values.map_err(|e| e.to_string())
}

/// The program that reads only what masks and aggregates need; the aggregates' expressions are rewritten to it.
fn narrowed(view: &View, program: &Program, aggregates: &mut [Aggregate]) -> Result<Program> {
    let mut wanted = Vec::new();
    for expr in aggregates.iter().flat_map(|a| a.argument.iter().chain(a.filter.iter())) {
        wanted.push(program.lower(expr)?);
    }
    let (narrow, rewritten) = program.narrowed(view, wanted)?;
    let slots = aggregates.iter_mut().flat_map(|a| a.argument.iter_mut().chain(a.filter.iter_mut()));
    slots.zip(rewritten).for_each(|(slot, expr)| *slot = expr);
    Ok(narrow)
}
