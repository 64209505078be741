//! Aggregates whose keys are functions of one axis each become reductions inside the leaf: partial states that DataFusion's
//! final aggregate merges, or, when the groups fall into enough blocks, final values.

use std::sync::Arc;

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::config::ConfigOptions;
use datafusion::error::{DataFusionError, Result};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr_common::physical_expr::is_volatile;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};

use super::DenseOptions;
use super::rewrite;
use super::zonal::ZonalInput;
use crate::dense::CubeExec;
use crate::dense::exec::LeafPlan;
use crate::dense::program::{Derived, Input, Program};
use crate::dense::reduce::{Aggregate, AxisKey, BlockGrid, GroupSpace, JointKey, Reduction, Split, without_widening};
use crate::dense::tiles::TileGrid;
use crate::view::{CubeColumn, View};

/// Groups above which no partition keeps all of them.
const ALL_GROUPS: usize = 1 << 20;

/// The rule.
#[derive(Debug)]
pub(super) struct DenseAggregate;

impl PhysicalOptimizerRule for DenseAggregate {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        rewrite(plan, config, |node| dense(node.downcast_ref::<AggregateExec>()?, config).ok())
    }

    fn name(&self) -> &str {
        "dense_aggregate"
    }

    fn schema_check(&self) -> bool {
        false
    }
}

/// Why an aggregate did not become dense; `None` for the final half of one, of which the other half tells.
pub(crate) fn why_not_dense(aggregate: &AggregateExec, config: &ConfigOptions) -> Option<String> {
    if matches!(aggregate.mode(), AggregateMode::Final | AggregateMode::FinalPartitioned | AggregateMode::PartialReduce) {
        return None;
    }
    match reduction_of(aggregate, aggregate.schema(), config) {
        Err(reason) => Some(reason),
        Ok(_) => Some("graticule.dense is off".into()).filter(|_| config.extensions.get::<DenseOptions>().is_some_and(|o| !o.dense)),
    }
}

fn dense(aggregate: &AggregateExec, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>, String> {
    match aggregate.mode() {
        AggregateMode::Final | AggregateMode::FinalPartitioned => finish(aggregate, config),
        _ => {
            let plan = reduction_of(aggregate, aggregate.schema(), config)?;
            let ranked = plan.reduction.as_ref().is_some_and(|r| is_ranked(&r.aggregates));
            if ranked && *aggregate.mode() == AggregateMode::Partial {
                return Err("groups that are needed whole are finished in one place".into());
            }
            Ok(Arc::new(CubeExec::new(plan)))
        }
    }
}

/// True when some aggregate needs all values of a group at once.
fn is_ranked(aggregates: &[Aggregate]) -> bool {
    aggregates.iter().any(|a| a.cell_bytes() > 0)
}

/// A final aggregate over a partial reduction: done in the leaf where the groups fall into enough blocks, or are needed whole.
fn finish(aggregate: &AggregateExec, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>, String> {
    if aggregate.limit_options().is_some() {
        return Err("limited".into());
    }
    if let Some(partial) = aggregate.input().downcast_ref::<AggregateExec>().filter(|p| *p.mode() == AggregateMode::Partial) {
        let plan = reduction_of(partial, aggregate.schema(), config)?;
        return match &plan.reduction {
            Some(r) if is_ranked(&r.aggregates) => Ok(Arc::new(CubeExec::new(plan))),
            _ => Err("not over a partial reduction".into()),
        };
    }
    let leaf = aggregate.input().downcast_ref::<CubeExec>().ok_or("not over a leaf")?;
    let reduction = leaf.plan.reduction.as_ref().filter(|r| r.split == Split::Input).ok_or("not over a partial reduction")?;
    if reduction.joint.is_some() {
        return Err("groups are known when they are read: states are merged".into());
    }
    let blocks = BlockGrid::new(&reduction.groups, &leaf.plan.tiles);
    let groups = reduction.groups.len().saturating_mul(reduction.zonal.as_ref().map_or(1, |z| z.count));
    if blocks.len() < 2 * leaf.plan.partitions && groups <= ALL_GROUPS {
        return Err("few groups: states are merged".into());
    }
    let whole = Reduction { split: Split::Output, schema: aggregate.schema(), ..reduction.as_ref().clone() };
    let plan = LeafPlan { reduction: Some(Arc::new(whole)), blocks: Some(Arc::new(blocks)), ..(*leaf.plan).clone() };
    Ok(Arc::new(CubeExec::new(plan)))
}

/// Tiles and blocks small enough that the partitions can hold all values of a block each; an error when there are none.
fn small_blocks(
    plan: &LeafPlan,
    program: &Program,
    groups: &GroupSpace,
    cell_bytes: usize,
    limit: usize,
) -> Result<(TileGrid, BlockGrid), String> {
    let mut tiles = program.tiles(&plan.view);
    let mut blocks = BlockGrid::new(groups, &tiles);
    let cuts = plan.view.cuts(&program.variables());
    let mut axes: Vec<usize> = groups.keys.iter().map(|k| k.axis).collect();
    axes.sort_unstable();
    axes.dedup();
    let held = |blocks: &BlockGrid, tiles: &TileGrid| {
        let at_once = blocks.len().clamp(1, plan.partitions.max(1));
        blocks.most_cells(tiles).saturating_mul(cell_bytes).saturating_mul(at_once)
    };
    let allowed = limit.saturating_mul(plan.partitions.max(1));
    // Cuts between chunks cost nothing; those inside make a chunk be decoded once for every block that it touches.
    for inside in [false, true] {
        loop {
            let fits = held(&blocks, &tiles) <= allowed;
            if fits && (inside || blocks.len() >= 2 * plan.partitions) {
                break;
            }
            let smaller = axes.iter().find_map(|&axis| {
                let tiles = tiles.halved(axis, &cuts[axis], inside)?;
                let finer = BlockGrid::new(groups, &tiles);
                (finer.len() > blocks.len()).then_some((tiles, finer))
            });
            match smaller {
                Some(smaller) => (tiles, blocks) = smaller,
                None => break,
            }
        }
    }
    match held(&blocks, &tiles) {
        n if n <= allowed => Ok((tiles, blocks)),
        n => Err(format!(
            "all values of a group are needed at once: {n} bytes, more than {allowed} (graticule.block_bytes for each partition)"
        )),
    }
}

/// The leaf that reduces as `aggregate` (partial or single) does and gives columns of `output`, or why there is none.
fn reduction_of(aggregate: &AggregateExec, output: SchemaRef, config: &ConfigOptions) -> Result<LeafPlan, String> {
    let input = aggregate.input();
    let mut zonal = ZonalInput::under(aggregate)?;
    let leaf = match &zonal {
        Some(zonal) => zonal.leaf.clone(),
        None => {
            let leaf = input.downcast_ref::<CubeExec>();
            leaf.ok_or_else(|| format!("{} is between the aggregate and the cube", input.name()))?.plan.clone()
        }
    };
    let plan = &leaf;
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
    for (place, (expr, name)) in group_by.expr().iter().enumerate() {
        let expr = match &mut zonal {
            Some(zonal) => {
                if zonal.takes_key(expr, place)? {
                    continue;
                }
                &zonal.over_cells(expr)?
            }
            None => expr,
        };
        let lowered = plan.program.lower(expr).map_err(|e| e.to_string())?;
        keys.push((axis_key(&plan.view, &plan.program, &lowered, name), lowered, name));
    }
    if let (Some(_), Some((Err(why), ..))) = (&zonal, keys.iter().find(|(key, ..)| key.is_err())) {
        return Err(format!("{why}, which has no dense form beside geometries"));
    }
    let mut joint = joint_key(plan, &keys)?;
    let inside = |axis: usize| joint.as_ref().is_some_and(|j| j.axes.contains(&axis));
    let keys: Vec<AxisKey> = keys.into_iter().filter_map(|(key, ..)| key.ok()).filter(|key| !inside(key.axis)).collect();
    let schema = aggregate.input_schema();
    let mut aggregates = Vec::new();
    for (expr, filter) in aggregate.aggr_expr().iter().zip(aggregate.filter_expr()) {
        let mut dense = Aggregate::of(expr, filter.as_ref(), &schema)?;
        if let Some(zonal) = &mut zonal {
            for part in dense.arguments.iter_mut().chain(dense.filter.iter_mut()) {
                *part = zonal.over_cells(part)?;
            }
        }
        aggregates.push(dense);
    }
    if zonal.is_some() && is_ranked(&aggregates) {
        return Err("aggregates that need whole groups have no dense form over geometries".into());
    }
    if joint.is_some() && (split == Split::Output || is_ranked(&aggregates)) {
        return Err("a group key of several axes, or of values, has no dense form with aggregates that need whole groups".into());
    }
    let program = narrowed(&plan.view, &plan.program, &mut aggregates, joint.as_mut())?;
    let groups = Arc::new(GroupSpace { keys });
    let cell_bytes = aggregates.iter().map(Aggregate::cell_bytes).sum();
    let (split, tiles, blocks) = if cell_bytes > 0 {
        let limit = config.extensions.get::<DenseOptions>().map_or(usize::MAX, |o| o.block_bytes);
        let (tiles, blocks) = small_blocks(plan, &program, &groups, cell_bytes, limit)?;
        (Split::Output, tiles, blocks)
    } else {
        let tiles = program.tiles(&plan.view);
        let blocks = match split {
            Split::Input => BlockGrid::whole(&tiles),
            Split::Output => BlockGrid::new(&groups, &tiles),
        };
        (split, tiles, blocks)
    };
    let joint = joint.map(Arc::new);
    let zonal = zonal.map(|zonal| zonal.finish(groups.len())).transpose()?.map(Arc::new);
    let reduction = Some(Arc::new(Reduction { groups, joint, zonal, aggregates, split, schema: output, shown: None, after: vec![] }));
    Ok(LeafPlan { program, reduction, tiles: Arc::new(tiles), blocks: Some(Arc::new(blocks)), ..(**plan).clone() })
}

/// The axis that `expr`, over the columns read, is a function of, and its values along it; else what it depends on.
pub(super) fn along_axis(view: &View, program: &Program, expr: &Arc<dyn PhysicalExpr>) -> Result<(usize, ArrayRef), String> {
    let mut axis = None;
    for column in collect_columns(expr) {
        match (program.axis_of(column.index()), axis) {
            (Some(a), None) => axis = Some((a, column.index())),
            (Some(a), Some((b, _))) if a == b => {}
            (Some(_), Some(_)) => return Err("depends on several axes".into()),
            (None, _) => return Err("depends on values".into()),
        }
    }
    let (axis, index) = axis.ok_or("depends on no axis")?;
    let values = view.along(axis, &program.read_schema, index).and_then(|batch| expr.evaluate(&batch)?.into_array(batch.num_rows()));
    Ok((axis, values.map_err(|e| e.to_string())?))
}

/// The key that `expr`, over the columns read, is; an error when it is not a function of exactly one axis.
pub(super) fn axis_key(view: &View, program: &Program, expr: &Arc<dyn PhysicalExpr>, name: &str) -> Result<AxisKey, String> {
    let (axis, values) = along_axis(view, program, expr).map_err(|why| format!("the group key {name} {why}"))?;
    AxisKey::new(axis, expr.downcast_ref::<Column>().is_some(), values).map_err(|e| e.to_string())
}

/// A key of GROUP BY: as a function of one axis or why it is none, over the columns read, and its name.
type Key<'a> = (Result<AxisKey, String>, Arc<dyn PhysicalExpr>, &'a String);

/// The keys that are not functions of one axis each, as one over the columns read, with those of the same axes; `None` when
/// there is none. An error when they depend on all axes: then they are not known for many cells at a time.
fn joint_key(plan: &LeafPlan, keys: &[Key<'_>]) -> Result<Option<JointKey>, String> {
    let cube = &plan.view.cube;
    let mut axes = Vec::new();
    for (_, expr, name) in keys.iter().filter(|(key, ..)| key.is_err()) {
        let columns = collect_columns(expr);
        if columns.is_empty() || is_volatile(expr) {
            return Err(format!("the group key {name} depends on no axis"));
        }
        for column in columns {
            match plan.program.columns.get(column.index()) {
                Some(Input::Cube(CubeColumn::Variable(v))) => axes.extend(&cube.variables[*v].axes),
                // What a window makes differs from cell to cell.
                Some(Input::Window(_)) => axes.extend(0..plan.view.axes.len()),
                _ => axes.extend(plan.program.axis_of(column.index())),
            }
        }
    }
    let Some((Err(why), ..)) = keys.iter().find(|(key, ..)| key.is_err()) else { return Ok(None) };
    axes.sort_unstable();
    axes.dedup();
    let left = (0..plan.view.axes.len()).any(|a| !axes.contains(&a) && plan.view.axes[a].len() > 1);
    if !left {
        return Err(format!("{why}, and so on every axis"));
    }
    let mut joint = JointKey { axes, exprs: vec![], types: vec![], places: vec![] };
    for (place, (key, expr, _)) in keys.iter().enumerate() {
        if key.as_ref().map_or(true, |key| joint.axes.contains(&key.axis)) {
            joint.types.push(expr.data_type(&plan.program.read_schema).map_err(|e| e.to_string())?);
            joint.exprs.push(expr.clone());
            joint.places.push(place);
        }
    }
    Ok(Some(joint))
}

/// The program that reads only what masks, joint keys and aggregates need; their expressions are rewritten to it.
pub(super) fn narrowed(
    view: &View,
    program: &Program,
    aggregates: &mut [Aggregate],
    joint: Option<&mut JointKey>,
) -> Result<Program, String> {
    let failed = |e: DataFusionError| e.to_string();
    let mut full = program.clone();
    let mut wanted = Vec::new();
    for aggregate in aggregates.iter_mut() {
        for expr in aggregate.arguments.iter().chain(&aggregate.filter) {
            wanted.push(program.lower(expr).map_err(failed)?);
        }
        // A projection may have brought a cast that the aggregate itself did not show: `avg(x), var(x)` share one.
        if let (true, Some(at)) = (aggregate.takes_any_number(), wanted.len().checked_sub(1 + usize::from(aggregate.filter.is_some()))) {
            wanted[at] = without_widening(wanted[at].clone(), &program.read_schema);
            aggregate.input = wanted[at].data_type(&program.read_schema).map_err(failed)?;
        }
        if let Some(edge) = &aggregate.edge {
            let at = wanted.len() - 1 - usize::from(aggregate.filter.is_some());
            let (axis, by) = along_axis(view, program, &wanted[at]).map_err(|why| format!("the order inside an aggregate {why}"))?;
            let (values, grouped) = edge.ranks(&by, &aggregate.input).map_err(failed)?;
            let name = format!("rank of {}", wanted[at]);
            let number = full.derive(Derived { axis, values, name: name.clone() });
            wanted[at] = Arc::new(Column::new(&name, number));
            aggregate.grouped = Some(grouped);
        }
    }
    wanted.extend(joint.iter().flat_map(|j| j.exprs.iter().cloned()));
    let (narrow, rewritten) = full.narrowed(view, wanted).map_err(failed)?;
    let keys = joint.into_iter().flat_map(|j| j.exprs.iter_mut());
    let slots = aggregates.iter_mut().flat_map(|a| a.arguments.iter_mut().chain(a.filter.iter_mut())).chain(keys);
    slots.zip(rewritten).for_each(|(slot, expr)| *slot = expr);
    Ok(narrow)
}
