//! Windows over a leaf become columns of its program: frames over one axis, neighbourhoods over several, aggregates along
//! axes. What has no dense form stays with DataFusion's operators.

use std::cmp::Ordering;
use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray};
use datafusion::arrow::datatypes::{Field, Int64Type, Schema};
use datafusion::common::ScalarValue;
use datafusion::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::logical_expr::{WindowFrame, WindowFrameBound, WindowFrameUnits};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::aggregate::{AggregateExprBuilder, AggregateFunctionExpr};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::window::{PlainAggregateWindowExpr, SlidingAggregateWindowExpr, StandardWindowExpr, WindowExpr};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec, WindowUDFExpr};

use super::DenseOptions;
use super::reduce::{along_axis, axis_key, narrowed};
use super::rewrite;
use crate::dense::CubeExec;
use crate::dense::exec::LeafPlan;
use crate::dense::program::{Input, Program, Step};
use crate::dense::reduce::{Aggregate, AxisKey, Function, GroupSpace};
use crate::dense::source::Reading;
use crate::dense::window::along::{Along, MOST_GROUPS};
use crate::dense::window::{AxisReach, Hood, Kind, WindowColumn, has_form};
use crate::functions::neighbourhood::{Edge, Neighbourhood, What};
use crate::view::{ATTRIBUTES, CubeColumn};

/// Cells that may be read for one tile, those around it included.
const MOST_CELLS: u64 = 1 << 25;

/// The rule.
#[derive(Debug)]
pub(super) struct DenseWindow;

impl PhysicalOptimizerRule for DenseWindow {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        rewrite(plan, config, |node| {
            let (exprs, input) = windows_of(node)?;
            dense(exprs, input, node, config).ok()
        })
    }

    fn name(&self) -> &str {
        "dense_window"
    }

    fn schema_check(&self) -> bool {
        false
    }
}

/// Why windows over a leaf did not become dense; `None` when they are not over a leaf.
pub(crate) fn why_not_dense(node: &Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Option<String> {
    let (exprs, mut input) = windows_of(node)?;
    // Sorting and sharing out came between later.
    while input.downcast_ref::<CubeExec>().is_none() {
        let below = input.children();
        let [only] = below.as_slice() else { return None };
        if input.schema() != only.schema() {
            return None;
        }
        input = *only;
    }
    match dense(exprs, input, node, config) {
        Err(reason) => Some(reason),
        Ok(_) => Some("graticule.dense is off".into()).filter(|_| config.extensions.get::<DenseOptions>().is_some_and(|o| !o.dense)),
    }
}

type Windows<'a> = (&'a [Arc<dyn WindowExpr>], &'a Arc<dyn ExecutionPlan>);

fn windows_of(node: &Arc<dyn ExecutionPlan>) -> Option<Windows<'_>> {
    if let Some(windows) = node.downcast_ref::<WindowAggExec>() {
        return Some((windows.window_expr(), windows.input()));
    }
    node.downcast_ref::<BoundedWindowAggExec>().map(|windows| (windows.window_expr(), windows.input()))
}

/// The leaf that computes the windows as well.
fn dense(
    exprs: &[Arc<dyn WindowExpr>],
    input: &Arc<dyn ExecutionPlan>,
    node: &Arc<dyn ExecutionPlan>,
    config: &ConfigOptions,
) -> Result<Arc<dyn ExecutionPlan>, String> {
    let leaf = input.downcast_ref::<CubeExec>().ok_or("a window: its input is not a cube")?;
    let plan = leaf.plan.as_ref();
    if plan.reduction.is_some() || plan.fetch.is_some() || plan.tensors.is_some() {
        return Err("a window: its input is limited or already reduced".into());
    }
    if !plan.program.derived.is_empty() {
        return Err("a window: its input is computed along an axis".into());
    }
    let block_bytes = config.extensions.get::<DenseOptions>().map_or(usize::MAX, |o| o.block_bytes);
    let schema = input.schema();
    let made = |expr: &Arc<dyn WindowExpr>| {
        let column = Wanted { expr, plan, block_bytes, schema: &schema }.column();
        column.map(Arc::new).map_err(|why| format!("{}: {why}", expr.name()))
    };
    let windows = exprs.iter().map(made).collect::<Result<Vec<_>, String>>()?;
    let program = above(&plan.program, plan, windows, node).map_err(|e| e.to_string())?;
    let leaf = LeafPlan::scan(plan.supply.clone(), plan.view.clone(), program, None, plan.partitions);
    let cells = |i| Reading::new(&leaf.view, &leaf.program, &leaf.tiles.tile(i)).cube_extent().cells();
    if let Some(cells) = (0..leaf.tiles.len()).map(cells).find(|&cells| cells > MOST_CELLS) {
        return Err(format!("a window: {cells} cells would be read for one tile"));
    }
    Ok(Arc::new(CubeExec::new(leaf)))
}

/// The program that starts with what this one reads and the windows, and gives this one's columns and the windows.
fn above(below: &Program, plan: &LeafPlan, windows: Vec<Arc<WindowColumn>>, node: &Arc<dyn ExecutionPlan>) -> Result<Program> {
    let first = below.columns.len();
    let names: Vec<String> = windows.iter().map(|w| w.field.name().clone()).collect();
    let columns = below.columns.iter().cloned().chain(windows.into_iter().map(Input::Window)).collect();
    let mut program = Program::starting(&plan.view, columns);
    for (i, step) in below.steps.iter().enumerate() {
        if let Step::Mask(expr) = step {
            program.steps.push(Step::Mask(below.lower_before(expr, i)?));
        }
    }
    let mut exprs: Vec<Arc<dyn PhysicalExpr>> = Vec::new();
    for (i, field) in below.schema().fields().iter().enumerate() {
        let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(field.name(), i));
        exprs.push(below.lower(&column)?);
    }
    for (i, name) in names.iter().enumerate() {
        exprs.push(Arc::new(Column::new(name, first + i)));
    }
    program.steps.push(Step::Map { exprs, schema: node.schema() });
    Ok(program)
}

/// One window to be made a column.
struct Wanted<'a> {
    expr: &'a Arc<dyn WindowExpr>,
    plan: &'a LeafPlan,
    /// Bytes that a partition may hold of values that are needed whole.
    block_bytes: usize,
    /// Of the window's input.
    schema: &'a Schema,
}

impl Wanted<'_> {
    fn column(&self) -> Result<WindowColumn, String> {
        let any = self.expr.as_any();
        if let Some(window) = any.downcast_ref::<PlainAggregateWindowExpr>() {
            return self.aggregate(window.get_aggregate_expr(), format!("{window:?}"));
        }
        if let Some(window) = any.downcast_ref::<SlidingAggregateWindowExpr>() {
            return self.aggregate(window.get_aggregate_expr(), format!("{window:?}"));
        }
        let standard = any.downcast_ref::<StandardWindowExpr>().map(|w| w.get_standard_func_expr());
        let udf = standard.and_then(|s| s.as_any().downcast_ref::<WindowUDFExpr>()).ok_or("this window has no dense form")?;
        match udf.fun().inner().downcast_ref::<Neighbourhood>() {
            Some(hood) => self.neighbourhood(hood, udf.args()),
            None => Err(format!("{} has no dense form", udf.fun().name())),
        }
    }

    fn field(&self) -> Result<Field, String> {
        Ok(self.expr.field().map_err(|e| e.to_string())?.as_ref().clone())
    }

    /// The field of an aggregate: in the units of the variable that it is of, where they keep their meaning.
    fn field_of(&self, aggregate: &Aggregate) -> Result<Field, String> {
        let field = self.field()?;
        let keeps = matches!(
            aggregate.function,
            Function::Avg | Function::Min | Function::Max | Function::Sum | Function::Variance { root: true, .. }
        );
        let program = &self.plan.program;
        let lowered = aggregate.arguments.first().filter(|_| keeps).and_then(|a| program.lower(a).ok());
        let units = match lowered.as_ref().and_then(|l| l.downcast_ref::<Column>()).map(|c| &program.columns[c.index()]) {
            Some(Input::Cube(CubeColumn::Variable(v))) => {
                let attributes = self.plan.view.cube.variables[*v].attributes.to_json();
                attributes.get("units").map(|units| serde_json::json!({ "units": units }).to_string())
            }
            Some(Input::Window(window)) => window.field.metadata().get(ATTRIBUTES).cloned(),
            _ => None,
        };
        Ok(match units {
            Some(units) => field.with_metadata([(ATTRIBUTES.to_string(), units)].into()),
            None => field,
        })
    }

    /// A standard window.
    fn aggregate(&self, expr: &AggregateFunctionExpr, debug: String) -> Result<WindowColumn, String> {
        // DataFusion shows the filter of a window in no other way. The binder moves it into the argument where it can.
        if !debug.ends_with("filter: None }") {
            return Err("FILTER of this window has no dense form".into());
        }
        let aggregate = Aggregate::of(expr, None, self.schema)?;
        let frame = self.expr.get_window_frame();
        let open = |bound: &WindowFrameBound| bound.is_unbounded();
        if open(&frame.start_bound) && open(&frame.end_bound) {
            return self.along(aggregate);
        }
        let shown = format!("{} {} {}", self.called(expr.fun().name(), &aggregate), frame.units, bounds(frame));
        let hood = self.frames(frame)?;
        self.around(aggregate, None, hood, shown)
    }

    fn called(&self, name: &str, aggregate: &Aggregate) -> String {
        aggregate.arguments.first().map_or(format!("{name}(*)"), |a| format!("{name}({a})"))
    }

    fn along(&self, aggregate: Aggregate) -> Result<WindowColumn, String> {
        let (view, program) = (&self.plan.view, &self.plan.program);
        let mut keys = Vec::new();
        for expr in self.expr.partition_by() {
            let lowered = program.lower(expr).map_err(|e| e.to_string())?;
            keys.push(axis_key(view, program, &lowered, &expr.to_string())?);
        }
        let groups = Arc::new(GroupSpace { keys });
        if groups.len() > MOST_GROUPS {
            return Err(format!("{} groups are more than are kept at once", groups.len()));
        }
        let shown = self.called(&self.function_name(), &aggregate);
        let field = self.field_of(&aggregate)?;
        let mut aggregates = [aggregate];
        let program = narrowed(view, program, &mut aggregates, None)?;
        let [aggregate] = aggregates;
        // Where all values of a group are needed at once, all values of all groups are.
        let needed = usize::try_from(view.cells()).unwrap_or(usize::MAX).saturating_mul(aggregate.cell_bytes());
        if needed > self.block_bytes.saturating_mul(self.plan.partitions) {
            return Err(format!("all values of all groups are needed at once: {needed} bytes"));
        }
        let kind = Kind::Along(Arc::new(Along { program, groups, aggregate }));
        Ok(WindowColumn { field, below: Program::starting(view, vec![]), kind, shown })
    }

    fn function_name(&self) -> String {
        self.expr.name().split('(').next().unwrap_or_default().to_owned()
    }

    /// An aggregate of neighbours.
    fn around(
        &self,
        aggregate: Aggregate,
        filter: Option<&Arc<dyn PhysicalExpr>>,
        hood: Hood,
        shown: String,
    ) -> Result<WindowColumn, String> {
        let field = self.field_of(&aggregate)?;
        let Aggregate { function, arguments, input, output, .. } = aggregate;
        if !has_form(function, &input, &output) {
            return Err(format!("{function:?} of {input} has no dense form here"));
        }
        let kind = Kind::Around { function, hood, has_value: !arguments.is_empty() };
        let below = self.below(arguments.iter().chain(filter))?;
        Ok(WindowColumn { field, below, kind, shown })
    }

    /// The program that gives some expressions over the window's input.
    fn below<'e>(&self, exprs: impl Iterator<Item = &'e Arc<dyn PhysicalExpr>>) -> Result<Program, String> {
        let (view, program) = (&self.plan.view, &self.plan.program);
        let (mut wanted, mut fields) = (Vec::new(), Vec::new());
        for (i, expr) in exprs.enumerate() {
            let t = expr.data_type(self.schema).map_err(|e| e.to_string())?;
            fields.push(Field::new(format!("argument {i}"), t, true));
            wanted.push(program.lower(expr).map_err(|e| e.to_string())?);
        }
        program.reading_only(view, wanted, fields).map_err(|e| e.to_string())
    }

    /// Checks that cells of one partition differ along `axes` only, and that no key parts those.
    fn parts_others(&self, axes: &[usize]) -> Result<(), String> {
        let (view, program) = (&self.plan.view, &self.plan.program);
        let mut single: Vec<bool> = (0..view.axes.len()).map(|a| axes.contains(&a) || view.axes[a].len() <= 1).collect();
        for expr in self.expr.partition_by() {
            let lowered = program.lower(expr).map_err(|e| e.to_string())?;
            let key = axis_key(view, program, &lowered, &expr.to_string())?;
            if axes.contains(&key.axis) && key.values.len() > 1 {
                return Err(format!("PARTITION BY {expr} cuts the axis that the window moves along"));
            }
            single[key.axis] |= key.values.len() as u64 == view.axes[key.axis].len();
        }
        match single.iter().position(|s| !s) {
            Some(a) => Err(format!("cells of a partition differ along {} too", view.cube.grid.axes[a].name)),
            None => Ok(()),
        }
    }

    /// The neighbourhood that a frame over one axis is.
    fn frames(&self, frame: &WindowFrame) -> Result<Hood, String> {
        let (view, program) = (&self.plan.view, &self.plan.program);
        let [order] = self.expr.order_by() else { return Err("a frame over several columns has no dense form".into()) };
        let lowered = program.lower(&order.expr).map_err(|e| e.to_string())?;
        let (axis, values) = along_axis(view, program, &lowered).map_err(|why| format!("ORDER BY {} {why}", order.expr))?;
        self.parts_others(&[axis])?;
        if frame.units != WindowFrameUnits::Range && program.masks() {
            return Err("rows are counted among cells that a predicate leaves".into());
        }
        let distinct = AxisKey::new(axis, false, values.clone()).map_err(|e| e.to_string())?.values.len() == values.len();
        if values.null_count() > 0 || !distinct {
            return Err("cells share a place in the order".into());
        }
        let scalars = (0..values.len()).map(|i| ScalarValue::try_from_array(&values, i)).collect::<Result<Vec<_>>>();
        let scalars = scalars.map_err(|e| e.to_string())?;
        let sorted = |wanted: Ordering| scalars.windows(2).all(|w| w[0].partial_cmp(&w[1]) == Some(wanted));
        let rising = match (sorted(Ordering::Less), sorted(Ordering::Greater)) {
            (true, _) => true,
            (_, true) => false,
            _ => return Err("the order is not that of the axis".into()),
        };
        let forward = rising != order.options.descending;
        let frames = match frame.units {
            WindowFrameUnits::Range => by_value(&scalars, rising, order.options.descending, frame)?,
            WindowFrameUnits::Rows | WindowFrameUnits::Groups => by_place(scalars.len() as i64, forward, frame)?,
        };
        Ok(Hood { reaches: vec![AxisReach { axis, frames, beyond: None }], edge: Edge::Shrink })
    }

    /// A neighbourhood over several axes, or with an edge.
    fn neighbourhood(&self, hood: &Neighbourhood, args: &[Arc<dyn PhysicalExpr>]) -> Result<WindowColumn, String> {
        let own = hood.own_arguments(args.len());
        let numbers = args.get(args.len() - hood.reaches.len()..).unwrap_or_default();
        let convolves = matches!(hood.what, What::Convolve(_));
        let mut reaches = Vec::new();
        for (reach, number) in hood.reaches.iter().zip(numbers) {
            reaches.push(self.reach(&reach.frames, number, hood.edge, convolves)?);
        }
        self.parts_others(&reaches.iter().map(|r| r.axis).collect::<Vec<_>>())?;
        let around: Vec<String> = hood.reaches.iter().map(|r| format!("{}({})", r.axis, r.shown)).collect();
        let edge = if hood.edge == Edge::Shrink { String::new() } else { format!(" edge {:?}", hood.edge).to_lowercase() };
        let around = format!("around {}{edge}", around.join(" "));
        let reaching = Hood { reaches, edge: hood.edge };
        let filter = args.get(own).filter(|_| hood.filtered);
        match &hood.what {
            What::Convolve(weights) => {
                if hood.filtered {
                    return Err("FILTER of convolve has no dense form".into());
                }
                let below = self.below(args.iter().take(1))?;
                let kind = Kind::Convolve { weights: weights.clone(), hood: reaching };
                let shown = format!("convolve({}) {around}", args.first().map(ToString::to_string).unwrap_or_default());
                Ok(WindowColumn { field: self.field()?, below, kind, shown })
            }
            What::Aggregate(function) => {
                let builder = AggregateExprBuilder::new(function.clone(), args[..own].to_vec());
                let builder = builder.schema(Arc::new(self.schema.clone())).alias(self.expr.name());
                let expr = if hood.distinct { builder.distinct().build() } else { builder.build() };
                let aggregate = Aggregate::of(&expr.map_err(|e| e.to_string())?, None, self.schema)?;
                let shown = format!("{} {around}", self.called(function.name(), &aggregate));
                self.around(aggregate, filter, reaching, shown)
            }
        }
    }

    /// The neighbours along one axis in view space, from cell numbers of the whole axis.
    fn reach(&self, frames: &[(i64, i64)], number: &Arc<dyn PhysicalExpr>, edge: Edge, convolves: bool) -> Result<AxisReach, String> {
        let (view, program) = (&self.plan.view, &self.plan.program);
        let lowered = program.lower(number).map_err(|e| e.to_string())?;
        let (axis, values) = along_axis(view, program, &lowered).map_err(|why| format!("a neighbourhood {why}"))?;
        let numbers = values.as_primitive_opt::<Int64Type>().filter(|n| n.null_count() == 0).ok_or("a cell has no number")?.values();
        let frame = |number: &i64| usize::try_from(*number).ok().and_then(|n| frames.get(n)).copied().unwrap_or((0, -1));
        let beyond = |&(first, last): &(i64, i64)| first <= last && (first < 0 || last >= frames.len() as i64);
        let own: Vec<(i64, i64)> = numbers.iter().map(frame).collect();
        let beyond = (edge == Edge::Null).then(|| own.iter().map(beyond).collect());
        if numbers.len() == frames.len() && numbers.iter().zip(0..).all(|(&n, i)| n == i) {
            return Ok(AxisReach { axis, frames: own, beyond });
        }
        if convolves || matches!(edge, Edge::Clamp | Edge::Wrap) || numbers.windows(2).any(|w| w[0] >= w[1]) {
            return Err(format!("a predicate takes cells of {} away", view.cube.grid.axes[axis].name));
        }
        let seen = |&(first, last): &(i64, i64)| {
            (numbers.partition_point(|&n| n < first) as i64, numbers.partition_point(|&n| n <= last) as i64 - 1)
        };
        Ok(AxisReach { axis, frames: own.iter().map(seen).collect(), beyond })
    }
}

fn bounds(frame: &WindowFrame) -> String {
    format!("{}..{}", frame.start_bound, frame.end_bound).to_lowercase()
}

/// Frames of ROWS: neighbours by their place in the order.
fn by_place(n: i64, forward: bool, frame: &WindowFrame) -> Result<Vec<(i64, i64)>, String> {
    let offset = |bound: &WindowFrameBound| -> Result<Option<i64>, String> {
        let count = |v: &ScalarValue| match v.cast_to(&datafusion::arrow::datatypes::DataType::Int64) {
            _ if v.is_null() => Ok(None),
            Ok(ScalarValue::Int64(Some(n))) => Ok(Some(n.clamp(0, 1 << 40))),
            _ => Err(format!("{v} is no number of rows")),
        };
        Ok(match bound {
            WindowFrameBound::CurrentRow => Some(0),
            WindowFrameBound::Preceding(v) => count(v)?.map(|n| -n),
            WindowFrameBound::Following(v) => count(v)?,
        })
    };
    let (low, high) = (offset(&frame.start_bound)?, offset(&frame.end_bound)?);
    let cell = |p: i64| {
        let rank = if forward { p } else { n - 1 - p };
        let (first, last) = (low.map_or(0, |l| rank + l).max(0), high.map_or(n - 1, |h| rank + h).min(n - 1));
        if forward { (first, last) } else { (n - 1 - last, n - 1 - first) }
    };
    Ok((0..n).map(cell).collect())
}

/// Frames of RANGE: neighbours by the distance of their values.
fn by_value(values: &[ScalarValue], rising: bool, descending: bool, frame: &WindowFrame) -> Result<Vec<(i64, i64)>, String> {
    // The value at which the frame of `at` begins (`true`) or ends in the order of the values, `None` where it is open.
    let limit = |at: &ScalarValue, bound: &WindowFrameBound| -> Result<Option<ScalarValue>, String> {
        let moved = |by: &ScalarValue, on: bool| {
            if by.is_null() {
                return Ok(None);
            }
            let moved = if on != descending { at.add(by) } else { at.sub(by) };
            moved.map(Some).map_err(|e| e.to_string())
        };
        match bound {
            WindowFrameBound::CurrentRow => Ok(Some(at.clone())),
            WindowFrameBound::Preceding(by) => moved(by, false),
            WindowFrameBound::Following(by) => moved(by, true),
        }
    };
    let n = values.len() as i64;
    let mut frames = Vec::with_capacity(values.len());
    for at in values {
        let (start, end) = (limit(at, &frame.start_bound)?, limit(at, &frame.end_bound)?);
        let (low, high) = if descending { (end, start) } else { (start, end) };
        let below = |v: &ScalarValue| low.as_ref().is_some_and(|l| v.partial_cmp(l) == Some(Ordering::Less));
        let above = |v: &ScalarValue| high.as_ref().is_some_and(|h| v.partial_cmp(h) == Some(Ordering::Greater));
        frames.push(match rising {
            true => (values.partition_point(below) as i64, values.partition_point(|v| !above(v)) as i64 - 1),
            false => (values.partition_point(above) as i64, values.partition_point(|v| !below(v)) as i64 - 1),
        });
    }
    debug_assert!(frames.iter().all(|&(first, last)| first >= 0 && last < n));
    Ok(frames)
}
