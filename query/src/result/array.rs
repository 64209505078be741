//! Array form: from a plan of rows to one of tensors. Cells that come in boxes stay in boxes; others are scattered.

use std::sync::Arc;

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::{DFSchema, plan_err};
use datafusion::error::Result;
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};

use super::axes::{Carried, Dimension, carry};
use super::metadata::{ResultAxis, axes_json};
use super::scatter::ScatterExec;
use crate::bind::calendars::rewritten;
use crate::bind::origin::crop;
use crate::dense::CubeExec;
use crate::dense::exec::LeafPlan;
use crate::dense::program::{Input, Step};
use crate::dense::reduce::{AxisKey, Split};
use crate::dense::tensor::{TensorColumn, TensorLayout, tensor_field, tensor_schema};
use crate::functions::in_subset::Selection;
use crate::view::{CubeColumn, View};

/// The physical plan that answers `plan` in array form.
pub(crate) async fn plan(state: &SessionState, plan: &LogicalPlan) -> Result<Arc<dyn ExecutionPlan>> {
    let carried = carry(plan)?;
    let Carried { plan, dimensions, cropped } = &carried;
    let variables = carried.variables();
    let rows = state.create_physical_plan(plan).await?;
    for (at, &i) in variables.iter().enumerate() {
        let schema = rows.schema();
        let name = schema.field(i).name();
        if variables[..at].iter().any(|&before| schema.field(before).name() == name) || dimensions.iter().any(|d| d.name == *name) {
            return plan_err!(
                "the answer has {name} twice, and an array dataset can have one of a name; give one an alias: ... AS {name}_2"
            );
        }
    }
    if let Some(list) = rows.schema().fields().iter().find(|f| f.data_type().is_nested()) {
        return plan_err!(
            "{} is a list in every cell, which array form has no place for; ask in row form (sql), or unnest it",
            list.name()
        );
    }
    if let Some(leaf) = rows.downcast_ref::<CubeExec>().filter(|_| !cropped) {
        let tensors = match &leaf.plan.reduction {
            None => cells(leaf, dimensions, &variables)?,
            Some(r) if r.split == Split::Output => groups(leaf, dimensions, &variables)?,
            Some(_) => None,
        };
        if let Some(plan) = tensors {
            return Ok(Arc::new(CubeExec::new(plan)));
        }
    }
    scattered(state, rows, &carried, &variables)
}

/// The axes that the answer to `plan` has in array form, and its variables. Plans, and reads no chunk.
pub(crate) async fn shape(state: &SessionState, plan: &LogicalPlan) -> Result<(Vec<ResultAxis>, Vec<Arc<Field>>)> {
    let carried = carry(plan)?;
    let rows = state.create_physical_plan(&carried.plan).await?;
    let axes = carried.dimensions.iter().map(|d| result_axis(state, &rows, d)).collect::<Result<_>>()?;
    let schema = rows.schema();
    let variables = carried.variables().into_iter().map(|i| schema.fields()[i].clone()).collect();
    Ok((axes, variables))
}

/// A dimension with the coordinates that it has in the answer.
fn result_axis(state: &SessionState, rows: &Arc<dyn ExecutionPlan>, d: &Dimension) -> Result<ResultAxis> {
    let (view, axis) = narrowest(rows, d)?;
    Ok(match &d.function {
        None => ResultAxis::of(&view, axis, &d.name),
        Some(function) => ResultAxis::computed(&d.name, function_values(state, &view, axis, function)?),
    })
}

/// The view that the plan's leaf has of a dimension's cube, and the axis there: narrower than the table's where predicates were
/// pushed down.
fn narrowest(rows: &Arc<dyn ExecutionPlan>, d: &Dimension) -> Result<(Arc<View>, usize)> {
    fn leaves(plan: &Arc<dyn ExecutionPlan>, found: &mut Vec<Arc<View>>) {
        if let Some(leaf) = plan.downcast_ref::<CubeExec>() {
            found.push(leaf.plan.view.clone());
        }
        plan.children().into_iter().for_each(|child| leaves(child, found));
    }
    let mut views = Vec::new();
    leaves(rows, &mut views);
    // The leaves of other cubes say nothing; several of this one must say the same.
    let found: Vec<(Arc<View>, usize)> = views.into_iter().filter_map(|view| Some((view.clone(), axis_in(&view, d)?))).collect();
    let len = |(view, axis): &(Arc<View>, usize)| view.axes[*axis].len();
    match found.split_first() {
        Some((one, rest)) if rest.iter().all(|other| len(other) == len(one)) && !d.cropped => Ok(one.clone()),
        Some(((view, axis), rest)) if rest.is_empty() && view.axes[*axis].coordinates.data_type() == coordinates(d).data_type() => {
            let coordinates = view.axes[*axis].coordinates.clone();
            let seen = Selection { column: d.column.clone(), coordinates, fixed: false };
            Ok((Arc::new(crop(&d.view, d.axis, &seen)?), d.axis))
        }
        _ => Ok((d.view.clone(), d.axis)),
    }
}

fn coordinates(d: &Dimension) -> &ArrayRef {
    &d.view.axes[d.axis].coordinates
}

/// The axis of a leaf's view that a dimension is, if it is of the same cube or of one that it was joined to.
fn axis_in(view: &View, d: &Dimension) -> Option<usize> {
    let (own, name) = (&d.view.cube.name, &d.view.cube.grid.axes[d.axis].name);
    match view.cube.name == *own {
        true => Some(d.axis),
        false => view.cube.name.split(" JOIN ").any(|part| part == own).then(|| view.cube.grid.position(name))?,
    }
}

/// True when axis `axis` of a leaf is the one that a dimension comes from, computed or not.
fn is_of(view: &View, axis: usize, d: &Dimension) -> bool {
    axis_in(view, d) == Some(axis)
}

/// A leaf that reads cells: its axes are those of the view that are not fixed.
fn cells(leaf: &CubeExec, dimensions: &[Dimension], variables: &[usize]) -> Result<Option<LeafPlan>> {
    let plan = leaf.plan.as_ref();
    if plan.fetch.is_some() {
        return Ok(None);
    }
    let grid = &plan.view.cube.grid;
    let axes: Vec<usize> = (0..grid.axes.len()).filter(|&a| !plan.view.axes[a].fixed).collect();
    if axes.iter().zip(dimensions).any(|(&a, d)| !is_of(&plan.view, a, d) || d.function.is_some()) || axes.len() != dimensions.len() {
        return Ok(None);
    }
    let result_axes: Vec<ResultAxis> = axes.iter().zip(dimensions).map(|(&a, d)| ResultAxis::of(&plan.view, a, &d.name)).collect();
    let schema = plan.program.schema();
    let wanted: Vec<(usize, &Arc<Field>)> = variables.iter().map(|&i| (i, &schema.fields()[i])).collect();
    let mut exprs: Vec<Arc<dyn PhysicalExpr>> = Vec::new();
    let mut fields = Vec::new();
    let mut columns = Vec::new();
    let names: Vec<String> = result_axes.iter().map(|a| a.name.clone()).collect();
    for (i, field) in &wanted {
        let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(field.name(), *i));
        let lowered = plan.program.lower(&column)?;
        // A variable that stands for itself keeps its own dimensions; anything computed has all of them.
        let input = lowered.downcast_ref::<Column>().map(|c| &plan.program.columns[c.index()]);
        let field = match input {
            // A window knows the units of what it makes.
            Some(Input::Window(window)) => field.as_ref().clone().with_metadata(window.field.metadata().clone()),
            _ => field.as_ref().clone(),
        };
        let own = match input {
            Some(Input::Cube(CubeColumn::Variable(v))) if !plan.program.masks() => {
                let variable = &plan.view.cube.variables[*v];
                (0..axes.len()).filter(|&d| variable.axes.contains(&axes[d])).collect()
            }
            _ => (0..axes.len()).collect::<Vec<_>>(),
        };
        let dims: Vec<String> = own.iter().map(|&d| names[d].clone()).collect();
        fields.push(tensor_field(&field, &dims, false));
        columns.push(TensorColumn { column: exprs.len(), dims: own, zero_when_absent: false });
        exprs.push(lowered);
    }
    let program = plan.program.reading_only(&plan.view, exprs, wanted.iter().map(|(_, f)| f.as_ref().clone()).collect())?;
    let schema = tensor_schema(fields, axes_json(&result_axes, &plan.view)?);
    let mut array = LeafPlan::scan(plan.supply.clone(), plan.view.clone(), program, None, plan.partitions);
    array.tensors = Some(Arc::new(TensorLayout { schema, axes, columns }));
    Ok(Some(array))
}

/// A leaf that finishes groups: its axes are the keys.
fn groups(leaf: &CubeExec, dimensions: &[Dimension], variables: &[usize]) -> Result<Option<LeafPlan>> {
    let plan = leaf.plan.as_ref();
    let Some(reduction) = &plan.reduction else { return Ok(None) };
    let keys = &reduction.groups.keys;
    if reduction.zonal.is_some()
        || keys.len() != dimensions.len()
        || keys.iter().zip(dimensions).any(|(k, d)| !is_of(&plan.view, k.axis, d))
    {
        return Ok(None);
    }
    let result_axes: Vec<ResultAxis> = keys
        .iter()
        .zip(dimensions)
        .map(|(k, d)| match k.is_axis {
            true => ResultAxis::of(&plan.view, k.axis, &d.name),
            false => ResultAxis::computed(&d.name, k.values.clone()),
        })
        .collect();
    let names: Vec<String> = result_axes.iter().map(|a| a.name.clone()).collect();
    let all: Vec<usize> = (0..keys.len()).collect();
    let schema = reduction.output_schema();
    let mut fields = Vec::new();
    let mut columns = Vec::new();
    for (column, &i) in variables.iter().enumerate() {
        let (field, count) = (schema.field(i), is_count(reduction, i));
        fields.push(tensor_field(&field.clone().with_metadata(Default::default()), &names, count));
        columns.push(TensorColumn { column, dims: all.clone(), zero_when_absent: count });
    }
    let reduction = Some(Arc::new(reduction.giving_only(variables)?));
    let layout = TensorLayout { schema: tensor_schema(fields, axes_json(&result_axes, &plan.view)?), axes: vec![], columns };
    Ok(Some(LeafPlan { reduction, tensors: Some(Arc::new(layout)), ..plan.clone() }))
}

/// True when output column `i` of a reduction is a count as it stands.
fn is_count(reduction: &crate::dense::reduce::Reduction, mut i: usize) -> bool {
    for step in reduction.after.iter().rev() {
        match step {
            Step::Mask(_) => return false,
            Step::Map { exprs, .. } => match exprs[i].downcast_ref::<Column>() {
                Some(c) => i = c.index(),
                None => return false,
            },
        }
    }
    let keys = reduction.groups.keys.len();
    i >= keys && reduction.aggregates.get(i - keys).is_some_and(|a| a.is_count())
}

/// True when output column `i` of a plan is a count as it stands.
fn is_count_of(plan: &LogicalPlan, i: usize) -> bool {
    fn bare(expr: &Expr) -> &Expr {
        if let Expr::Alias(a) = expr { bare(&a.expr) } else { expr }
    }
    match plan {
        LogicalPlan::Projection(p) => match p.expr.get(i).map(bare) {
            Some(Expr::Column(c)) => p.input.schema().maybe_index_of_column(c).is_some_and(|i| is_count_of(&p.input, i)),
            _ => false,
        },
        LogicalPlan::Aggregate(a) => {
            let aggregate = i.checked_sub(a.group_expr.len()).and_then(|i| a.aggr_expr.get(i)).map(bare);
            matches!(aggregate, Some(Expr::AggregateFunction(f)) if matches!(f.func.name(), "count" | "regr_count"))
        }
        LogicalPlan::SubqueryAlias(s) => is_count_of(&s.input, i),
        _ => false,
    }
}

/// Any other plan: rows are put in their places one by one.
fn scattered(state: &SessionState, rows: Arc<dyn ExecutionPlan>, carried: &Carried, variables: &[usize]) -> Result<Arc<dyn ExecutionPlan>> {
    let schema = rows.schema();
    let dimensions = &carried.dimensions;
    let mut axes = Vec::new();
    for d in dimensions {
        axes.push((carried.place(d)?, result_axis(state, &rows, d)?));
    }
    let result_axes: Vec<ResultAxis> = axes.iter().map(|(_, a)| a.clone()).collect();
    let names: Vec<String> = result_axes.iter().map(|a| a.name.clone()).collect();
    let mut fields = Vec::new();
    let mut columns = Vec::new();
    for &i in variables {
        let count = is_count_of(&carried.plan, i);
        fields.push(tensor_field(schema.field(i), &names, count));
        columns.push(TensorColumn { column: i, dims: (0..names.len()).collect(), zero_when_absent: count });
    }
    let json = match dimensions.first() {
        Some(d) if carried.cropped => axes_json(&result_axes, &d.view)?,
        Some(d) => axes_json(&result_axes, &narrowest(&rows, d)?.0)?,
        None => serde_json::json!({ "axes": [], "crs": null, "scalars": [], "attributes": {} }).to_string(),
    };
    let layout = TensorLayout { schema: tensor_schema(fields, json), axes: vec![], columns };
    let one: Arc<dyn ExecutionPlan> =
        if rows.output_partitioning().partition_count() > 1 { Arc::new(CoalescePartitionsExec::new(rows)) } else { rows };
    Ok(Arc::new(ScatterExec::new(one, axes.into_iter().map(|(i, a)| (i, a.coordinates)).collect(), layout)))
}

/// The distinct values of a function of an axis, in the order of [`AxisKey`].
fn function_values(state: &SessionState, view: &View, axis: usize, function: &Expr) -> Result<ArrayRef> {
    let field = view.field(CubeColumn::Axis(axis));
    let schema: SchemaRef = Arc::new(Schema::new(vec![field]));
    let named = DFSchema::try_from(schema.as_ref().clone())?;
    let expr = state.create_physical_expr(rewritten(function.clone(), &named)?, &named)?;
    let batch = view.along(axis, &schema, 0)?;
    let values = expr.evaluate(&batch)?.into_array(batch.num_rows())?;
    Ok(AxisKey::new(axis, false, values)?.values)
}
