//! Subsets: `subset(relation, axis_trim('lat', 40, 60), ...)`, which is what `relation[lat(40:60), ...]` desugars to.
//!
//! On a cube the subset narrows the scan's view. On a derived relation it is pushed down to the cube below, through whatever
//! leaves the axis's cells alone. Over windows, which look at cells around, it is a filter above them (`in_subset`), and the cube
//! below is narrowed to what they reach. Where neither can be, it is an error, never a silent whole cube.

use std::sync::Arc;

use datafusion::arrow::array::UInt64Array;
use datafusion::arrow::compute;
use datafusion::arrow::datatypes::DataType;
use datafusion::catalog::SchemaProvider;
use datafusion::catalog::default_table_source::{provider_as_source, source_as_provider};
use datafusion::common::tree_node::TreeNode;
use datafusion::common::{Column, DFSchema, Diagnostic, ScalarValue, Span, plan_err};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::expr::WindowFunction;
use datafusion::logical_expr::planner::{PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning};
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{Expr, JoinType, LogicalPlan, LogicalPlanBuilder, lit};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::sql::sqlparser::ast::{
    Expr as SqlExpr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName, ObjectNamePart, Spanned, TableFactor,
};

use futures::FutureExt;

use graticule_storage::array::AxisRole;
use graticule_storage::convention::cf::coordinates::role;

use super::coordinates::{Spec, select};
use super::names::did_you_mean;
use super::origin::axis_of;
use super::relations::arguments;
use crate::Parameters;
use crate::catalog::CubeSchema;
use crate::functions::in_subset::{self, Selection};
use crate::located::is_located;
use crate::table::CubeTable;

/// Plans `subset(...)` in FROM.
#[derive(Debug)]
pub(crate) struct SubsetPlanner {
    /// The values of `$1` ... in this query.
    pub parameters: Parameters,
    /// Where cubes and views are found by name.
    pub cubes: Arc<CubeSchema>,
}

impl RelationPlanner for SubsetPlanner {
    fn plan_relation(&self, relation: TableFactor, context: &mut dyn RelationPlannerContext) -> Result<RelationPlanning> {
        let TableFactor::Table { name, args: Some(args), alias, .. } = &relation else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        let Some(function) = TableCall::of(name) else { return Ok(RelationPlanning::Original(Box::new(relation))) };
        let plan = self.call(function, &args.args, &relation, context)?;
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation { plan, alias: alias.clone() })))
    }
}

/// A table function of the dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TableCall {
    /// `subset(relation, axis_trim(...), ...)`
    Subset,
    /// `grid(y => axis(...), ...)`
    Grid,
    /// `regrid(relation, lat => axis(...), ..., method => 'bilinear')`
    Regrid,
    /// `warp(relation, crs => 'EPSG:4326', resolution => 0.01, ...)`
    Warp,
    /// `sample(relation, points, method => ...)`
    Sample,
}

impl TableCall {
    fn of(name: &ObjectName) -> Option<TableCall> {
        let [ObjectNamePart::Identifier(Ident { value, .. })] = name.0.as_slice() else { return None };
        match value.to_ascii_lowercase().as_str() {
            "subset" => Some(TableCall::Subset),
            "grid" => Some(TableCall::Grid),
            "regrid" => Some(TableCall::Regrid),
            "warp" => Some(TableCall::Warp),
            "sample" => Some(TableCall::Sample),
            _ => None,
        }
    }
}

impl SubsetPlanner {
    /// Plans a call; `factor` is the relation in FROM that it stands in.
    fn call(
        &self,
        function: TableCall,
        args: &[FunctionArg],
        factor: &TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<LogicalPlan> {
        if function == TableCall::Grid {
            return self.grid(args, context);
        }
        if function == TableCall::Sample {
            return self.sample(args, factor, context);
        }
        let Some((first, rest)) = args.split_first() else {
            return plan_err!("{function:?} wants a relation first");
        };
        let mut plan = self.operand(first, factor, context)?;
        match function {
            TableCall::Regrid => return self.regrid(plan, rest, factor, context),
            TableCall::Warp => return self.warp(plan, first.span(), rest, context),
            TableCall::Subset | TableCall::Grid | TableCall::Sample => {}
        }
        for spec in rest {
            let call = call_of(spec)?;
            plan = self.narrowed(plan, call, context).map_err(|e| at(e, call.span()))?;
        }
        Ok(plan)
    }

    /// The relation that an argument stands for: its name, or one of these calls.
    pub(super) fn operand(
        &self,
        first: &FunctionArg,
        factor: &TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<LogicalPlan> {
        if let FunctionArg::Unnamed(FunctionArgExpr::Expr(SqlExpr::Function(call))) = first
            && let Some(function) = TableCall::of(&call.name)
        {
            return self.call(function, arguments(call), factor, context);
        }
        self.relation(relation_name(first)?, factor, context)
    }

    /// The relation of this name: a CTE in scope, or else a cube or view.
    pub(super) fn relation(
        &self,
        wanted: ObjectName,
        factor: &TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<LogicalPlan> {
        let mut inner = factor.clone();
        if let TableFactor::Table { name, args, alias, .. } = &mut inner {
            *name = wanted.clone();
            *args = None;
            *alias = None;
        }
        // DataFusion looks up beforehand the tables that stand in FROM; one inside subset() is only known as a CTE.
        let not_found = match context.plan(inner) {
            Ok(plan) => return Ok(plan),
            Err(error) => error,
        };
        let reference = context.object_name_to_table_reference(wanted)?;
        match self.cubes.table(reference.table()).now_or_never() {
            Some(Ok(Some(table))) => LogicalPlanBuilder::scan(reference, provider_as_source(table), None)?.build(),
            _ => Err(not_found),
        }
    }

    fn narrowed(&self, plan: LogicalPlan, call: &Function, context: &mut dyn RelationPlannerContext) -> Result<LogicalPlan> {
        let (axis, spec) = match self.spec(call, context)? {
            (axis, Some(spec)) => (axis, spec),
            // A parameter without value yet: only the schema is wanted, and a subset does not change it.
            (_, None) => return Ok(plan),
        };
        match push(&plan, &axis, &spec)? {
            Some(plan) => Ok(plan),
            None => {
                let known = axes_below(&plan);
                let hint = did_you_mean(&axis, known.iter().map(String::as_str));
                plan_err!("there is no axis {axis} here{hint}; the axes are: {}", known.join(", "))
            }
        }
    }

    /// The axis and what is asked of it; `None` when a parameter has no value yet.
    fn spec(&self, call: &Function, context: &mut dyn RelationPlannerContext) -> Result<(String, Option<Spec>)> {
        let FunctionArguments::List(list) = &call.args else { return plan_err!("{call} is no selection") };
        let mut values = Vec::new();
        for arg in &list.args {
            let FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) = arg else { return plan_err!("{arg} is no value") };
            values.push(self.constant(expr, context)?);
        }
        let mut values = values.into_iter();
        let axis = match values.next() {
            Some(Some(ScalarValue::Utf8(Some(axis)))) => axis,
            _ => return plan_err!("{call}: the name of an axis is expected first"),
        };
        let Some(values) = values.collect::<Option<Vec<ScalarValue>>>() else { return Ok((axis, None)) };
        let index = |v: &ScalarValue| match v.cast_to(&DataType::Int64) {
            _ if v.is_null() => Ok(None),
            Ok(ScalarValue::Int64(Some(i))) => Ok(Some(i)),
            _ => plan_err!("axis {axis}: {v} is no position"),
        };
        let end = |v: &ScalarValue| (!v.is_null()).then(|| v.clone());
        let name = call.name.to_string().to_lowercase();
        let spec = match (name.as_str(), values.as_slice()) {
            ("axis_trim", [low, high]) => Spec::Trim(end(low), end(high)),
            ("axis_at", [v]) if !v.is_null() => Spec::At(v.clone()),
            ("axis_exact", [v]) if !v.is_null() => Spec::Exact(v.clone()),
            ("axis_in", list) if list.iter().all(|v| !v.is_null()) => Spec::In(list.to_vec()),
            ("axis_index", [i]) => match index(i)? {
                Some(i) => Spec::IndexAt(i),
                None => return plan_err!("axis {axis}: a position is NULL"),
            },
            ("axis_index", [from, to, step]) => Spec::Index { from: index(from)?, to: index(to)?, step: index(step)?.unwrap_or(1) },
            ("axis_at" | "axis_exact" | "axis_in", _) => return plan_err!("axis {axis}: a value is NULL or missing"),
            _ => return plan_err!("{call} is no selection; there are axis_trim, axis_at, axis_exact, axis_index and axis_in"),
        };
        Ok((axis, Some(spec)))
    }

    /// The value of a constant expression; `None` for a parameter without value.
    pub(super) fn constant(&self, expr: &SqlExpr, context: &mut dyn RelationPlannerContext) -> Result<Option<ScalarValue>> {
        let empty = DFSchema::empty();
        let planned = context.sql_to_expr(expr.clone(), &empty)?;
        let planned = match &self.parameters {
            Parameters::Values(values) => with_values(planned, values)?,
            Parameters::Unknown => planned,
        };
        if planned.any_placeholder() {
            return Ok(None);
        }
        let options = Arc::new(context.context_provider().options().clone());
        let simplify = SimplifyContext::builder().with_schema(Arc::new(empty)).with_config_options(options).with_current_time().build();
        let simplifier = ExprSimplifier::new(simplify);
        let typed = simplifier.coerce(planned, &DFSchema::empty())?;
        match simplifier.simplify(typed)? {
            Expr::Literal(value, _) => Ok(Some(value)),
            other => plan_err!("{other} is not a constant; a subset wants constants or parameters"),
        }
    }
}

/// Whether an expression has parameters.
trait AnyPlaceholder {
    fn any_placeholder(&self) -> bool;
}

impl AnyPlaceholder for Expr {
    fn any_placeholder(&self) -> bool {
        self.exists(|e| Ok(matches!(e, Expr::Placeholder(_)))).unwrap_or(true)
    }
}

fn with_values(expr: Expr, values: &[ScalarValue]) -> Result<Expr> {
    use datafusion::common::tree_node::{Transformed, TransformedResult};
    expr.transform(|e| match &e {
        Expr::Placeholder(p) => {
            let number = p.id.trim_start_matches('$').parse::<usize>().ok().and_then(|n| n.checked_sub(1));
            match number.and_then(|n| values.get(n)) {
                Some(value) => Ok(Transformed::yes(Expr::Literal(value.clone(), None))),
                None => plan_err!("there is no value for parameter {}: {} given", p.id, values.len()),
            }
        }
        _ => Ok(Transformed::no(e)),
    })
    .data()
}

fn relation_name(first: &FunctionArg) -> Result<ObjectName> {
    match first {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(SqlExpr::Identifier(ident))) => Ok(ObjectName::from(vec![ident.clone()])),
        FunctionArg::Unnamed(FunctionArgExpr::Expr(SqlExpr::CompoundIdentifier(parts))) => Ok(ObjectName::from(parts.clone())),
        other => plan_err!("the name of a cube, view or CTE is expected first, not {other}; name a query with WITH ... AS"),
    }
}

fn call_of(spec: &FunctionArg) -> Result<&Function> {
    match spec {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(SqlExpr::Function(call))) => Ok(call),
        other => plan_err!("{other} selects nothing of an axis"),
    }
}

/// The error, with its place in the desugared text.
pub(super) fn at(error: DataFusionError, span: datafusion::sql::sqlparser::tokenizer::Span) -> DataFusionError {
    if error.diagnostic().is_some() {
        return error;
    }
    let message = error.strip_backtrace();
    error.with_diagnostic(Diagnostic::new_error(message, Span::try_from_sqlparser_span(span)))
}

/// The plan with the selection made in the cube below; `None` when there is no such axis.
fn push(plan: &LogicalPlan, axis: &str, spec: &Spec) -> Result<Option<LogicalPlan>> {
    let into = |input: &LogicalPlan, axis: &str| push(input, axis, spec);
    match plan {
        LogicalPlan::TableScan(scan) => {
            let provider = source_as_provider(&scan.source)?;
            let Some(table) = provider.downcast_ref::<CubeTable>() else { return Ok(None) };
            let Some(number) = table.view.cube.grid.position(axis) else { return located(plan, table, axis, spec) };
            let selected = select(&table.view.cube.grid.axes[number], &table.view.axes[number], spec).map_err(DataFusionError::Plan)?;
            let view = table.view.select(number, &selected.positions, selected.coordinates, selected.fixed)?;
            let source = provider_as_source(Arc::new(table.with_view(view)));
            Ok(Some(LogicalPlanBuilder::scan(scan.table_name.clone(), source, scan.projection.clone())?.build()?))
        }
        LogicalPlan::Projection(p) => {
            // The axis may go by another name below, or not be selected at all: the cells are the same.
            if p.expr.iter().any(counts_positions) {
                return filtered(plan, axis, spec);
            }
            let below = p.schema.index_of_column_by_name(None, axis).and_then(|i| match unaliased(&p.expr[i]) {
                Expr::Column(c) => Some(c.name.clone()),
                _ => None,
            });
            // Under its old name an axis that was renamed is gone.
            let renamed = below.is_none() && p.expr.iter().any(|e| is_column(unaliased(e), axis));
            if renamed {
                return Ok(None);
            }
            rebuild(plan, into(&p.input, below.as_deref().unwrap_or(axis))?)
        }
        LogicalPlan::Aggregate(a) => {
            let key = a.group_expr.iter().find_map(|e| match unaliased(e) {
                Expr::Column(c) if c.name == axis => Some(c.name.clone()),
                _ => None,
            });
            match key {
                Some(name) => rebuild(plan, into(&a.input, &name)?),
                None if axes_below(plan).iter().any(|a| a == axis) => {
                    plan_err!("axis {axis} is aggregated away here; put the subset on the cube inside")
                }
                None => Ok(None),
            }
        }
        LogicalPlan::Window(w) => match w.window_expr.iter().all(|e| is_parted_by(e, axis)) {
            true => rebuild(plan, into(&w.input, axis)?),
            false => filtered(plan, axis, spec),
        },
        // What a position is depends on both sides.
        LogicalPlan::Join(j) if matches!(j.join_type, JoinType::Inner | JoinType::Left) => filtered(plan, axis, spec),
        LogicalPlan::SubqueryAlias(s) => rebuild(plan, into(&s.input, axis)?),
        LogicalPlan::Filter(f) => rebuild(plan, into(&f.input, axis)?),
        LogicalPlan::Sort(s) if s.fetch.is_none() => rebuild(plan, into(&s.input, axis)?),
        other if axes_below(other).iter().any(|a| a == axis) => {
            plan_err!("a subset cannot reach axis {axis} through {}; put it on the cube inside", other.display())
        }
        _ => Ok(None),
    }
}

fn window_of(expr: &Expr) -> Option<&WindowFunction> {
    match unaliased(expr) {
        Expr::WindowFunction(window) => Some(window),
        _ => None,
    }
}

fn is_column(expr: &Expr, name: &str) -> bool {
    matches!(expr, Expr::Column(c) if c.name == name)
}

/// True when a window never looks at cells with another coordinate of `axis`.
fn is_parted_by(expr: &Expr, axis: &str) -> bool {
    window_of(expr).is_some_and(|window| window.params.partition_by.iter().any(|key| is_column(key, axis)))
}

/// True for an expression whose value depends on where on its axis a cell stands.
fn counts_positions(expr: &Expr) -> bool {
    expr.exists(|e| Ok(matches!(e, Expr::ScalarFunction(f) if f.name() == "coarsen"))).unwrap_or(true)
}

/// The selection as a filter above a plan whose windows look at more cells than are selected. Where they look only so many cells
/// around, the cube below is narrowed to that.
fn filtered(plan: &LogicalPlan, axis: &str, spec: &Spec) -> Result<Option<LogicalPlan>> {
    // Of columns that a join made equal, the first is the left side's.
    let mut named = plan.schema().iter().filter(|(_, field)| field.name() == axis);
    let Some((qualifier, field)) = named.next() else { return Ok(None) };
    let column = Column::new(qualifier.cloned(), field.name());
    if let LogicalPlan::Join(j) = plan
        && named.any(|(q, f)| !j.on.iter().any(|(_, r)| *r == Expr::Column(Column::new(q.cloned(), f.name()))))
    {
        return plan_err!("both sides of the join inside have an axis {axis}, and it is not joined on; put the subset on the cube inside");
    }
    let Some((view, number)) = axis_of(plan, &column) else { return Ok(None) };
    let selected = select(&view.cube.grid.axes[number], &view.axes[number], spec).map_err(DataFusionError::Plan)?;
    if selected.coordinates.is_some() {
        return plan_err!("a subset cannot turn longitudes ({axis}) across the seam over a window or a join; put it on the cube inside");
    }
    let picks = UInt64Array::from(selected.positions.clone());
    let coordinates = compute::take(&view.axes[number].coordinates, &picks, None)?;
    let mut below = plan.clone();
    if let (LogicalPlan::Window(w), Some(&first), Some(&last)) = (plan, selected.positions.first(), selected.positions.last())
        && let Some(reach) = w.window_expr.iter().map(|e| halo(e, axis)).reduce(|a, b| Some((a?.0.max(b?.0), a?.1.max(b?.1)))).flatten()
    {
        let from = i64::try_from(first.saturating_sub(reach.0)).unwrap_or(0);
        let to = i64::try_from(last.saturating_add(reach.1).min(view.axes[number].len().saturating_sub(1))).unwrap_or(i64::MAX);
        let around = Spec::Index { from: Some(from), to: Some(to), step: 1 };
        if let Ok(Some(narrow)) = rebuild(plan, push(&w.input, axis, &around).unwrap_or(None)) {
            below = narrow;
        }
    }
    in_subset::above(below, Selection { column, coordinates, fixed: selected.fixed }).map(Some)
}

/// How many cells before and after its own a window looks at along `axis`, where AROUND says it in cells.
fn halo(expr: &Expr, axis: &str) -> Option<(u64, u64)> {
    let window = window_of(expr)?;
    if is_parted_by(expr, axis) {
        return Some((0, 0));
    }
    let mut found = None;
    for key in &window.params.order_by {
        let Expr::ScalarFunction(mark) = &key.expr else { return None };
        match (mark.name(), mark.args.as_slice()) {
            ("edge", [Expr::Literal(edge, _)]) if edge.try_as_str().flatten() != Some("wrap") => {}
            ("around", [of, low, high, _]) => {
                if is_column(of, axis) {
                    found = Some((u64::try_from(-cells(low)?.min(0)).ok()?, u64::try_from(cells(high)?.max(0)).ok()?));
                }
            }
            _ => return None,
        }
    }
    found
}

/// A constant number of cells.
fn cells(expr: &Expr) -> Option<i64> {
    match expr {
        Expr::Literal(value, _) if value.data_type().is_integer() && !value.is_null() => match value.cast_to(&DataType::Int64) {
            Ok(ScalarValue::Int64(Some(n))) if n.abs() < 1 << 40 => Some(n),
            _ => None,
        },
        Expr::Negative(inner) => cells(inner).map(|n| -n),
        _ => None,
    }
}

/// The cells whose coordinate lies in a range, for a latitude or longitude along two axes or more; `None` for other names.
fn located(plan: &LogicalPlan, table: &CubeTable, name: &str, spec: &Spec) -> Result<Option<LogicalPlan>> {
    let cube = &table.view.cube;
    let Some(variable) = cube.variable(name).and_then(|v| cube.variables.get(v)).filter(|v| is_located(v)) else { return Ok(None) };
    let Spec::Trim(low, high) = spec else {
        return plan_err!(
            "{name} is no axis but a coordinate along {} axes: give it a range, as {name}(40:50), to select the cells inside",
            variable.axes.len()
        );
    };
    let number = |end: &Option<ScalarValue>| match end.as_ref().map(|v| v.cast_to(&DataType::Float64)) {
        None => Ok(None),
        Some(Ok(ScalarValue::Float64(Some(v)))) if v.is_finite() => Ok(Some(v)),
        _ => plan_err!("{name} has numbers, and {} is none", end.as_ref().map_or(String::new(), ToString::to_string)),
    };
    let (low, high) = (number(low)?, number(high)?);
    let LogicalPlan::TableScan(scan) = plan else { return Ok(None) };
    let column = Expr::Column(Column::new(Some(scan.table_name.clone()), name));
    let is_longitude = matches!(role(name.rsplit('.').next().unwrap_or(name), &variable.attributes), AxisRole::Longitude);
    let predicate = match (low, high) {
        // Longitudes wrap, and a range that falls goes across the seam.
        (Some(a), Some(b)) if is_longitude => {
            let a = if a > b { a - 360.0 } else { a };
            let turned = |turn: f64| column.clone().gt_eq(lit(a + turn)).and(column.clone().lt_eq(lit(b + turn)));
            turned(-360.0).or(turned(0.0)).or(turned(360.0))
        }
        (Some(a), Some(b)) if a > b => column.clone().gt_eq(lit(b)).and(column.clone().lt_eq(lit(a))),
        _ => {
            let ends = [low.map(|v| column.clone().gt_eq(lit(v))), high.map(|v| column.clone().lt_eq(lit(v)))];
            ends.into_iter().flatten().reduce(Expr::and).unwrap_or_else(|| column.clone().is_not_null())
        }
    };
    Ok(Some(LogicalPlanBuilder::from(plan.clone()).filter(predicate)?.build()?))
}

fn unaliased(expr: &Expr) -> &Expr {
    match expr {
        Expr::Alias(a) => unaliased(&a.expr),
        other => other,
    }
}

fn rebuild(plan: &LogicalPlan, input: Option<LogicalPlan>) -> Result<Option<LogicalPlan>> {
    input.map(|input| plan.with_new_exprs(plan.expressions(), vec![input])).transpose()
}

/// The axes of all cubes below a plan.
fn axes_below(plan: &LogicalPlan) -> Vec<String> {
    let mut axes = Vec::new();
    if let LogicalPlan::TableScan(scan) = plan
        && let Ok(provider) = source_as_provider(&scan.source)
        && let Some(table) = provider.downcast_ref::<CubeTable>()
    {
        axes.extend(table.view.cube.grid.axes.iter().map(|a| a.name.clone()));
    }
    for input in plan.inputs() {
        for axis in axes_below(input) {
            if !axes.contains(&axis) {
                axes.push(axis);
            }
        }
    }
    axes
}
