//! Neighbourhoods after planning: windows ordered by `around(axis, first, last)` become windows that DataFusion can run.
//!
//! * One axis, nothing beyond its ends: a standard window, `ORDER BY cell_number(axis) RANGE BETWEEN ...` for cells, `ORDER
//!   BY axis RANGE BETWEEN INTERVAL ...` for coordinates. Cells that WHERE removed leave gaps: nobody takes their place.
//! * Everything else: the window function [`Neighbourhood`].
//!
//! `FILTER` of any window moves into the argument where the aggregate skips NULL, because a window has no other place for it
//! that the dense leaf could see.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::compute;
use datafusion::arrow::compute::kernels::numeric::add_wrapping;
use datafusion::arrow::datatypes::{DataType, Float64Type, Int64Type};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Column, DFSchema, Result, ScalarValue, plan_err};
use datafusion::execution::SessionState;
use datafusion::logical_expr::expr::{ScalarFunction, WindowFunction};
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::type_coercion::functions::fields_with_udf;
use datafusion::logical_expr::{
    Expr, ExprSchemable, LogicalPlan, ScalarUDF, SortExpr, Window, WindowFrame, WindowFrameBound, WindowFrameUnits,
    WindowFunctionDefinition, WindowUDF, when,
};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::sql::sqlparser::tokenizer::{Location, Span};

use super::origin::axis_of;
use crate::QueryError;
use crate::functions::around::CellNumber;
use crate::functions::neighbourhood::{Edge, Neighbourhood, Reach, Weights, What};

/// Aggregates that DataFusion slides over a frame. It slides variances too, but by taking away what leaves the frame, and
/// what is left of the rounding can be below zero.
const SLIDING: &[&str] = &["count", "sum", "avg", "min", "max"];
/// Aggregates of one value that skip NULL.
const SKIPS_NULL: &[&str] = &["count", "sum", "avg", "min", "max", "var", "var_pop", "stddev", "stddev_pop", "median"];

/// Replaces the marks of AROUND in every window of a plan. A plan with parameters that have no value stays as it is.
pub(crate) fn bind(plan: LogicalPlan, state: &SessionState) -> Result<LogicalPlan> {
    let mut open = false;
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::Window(window) = node {
            found = true;
            let has_placeholder = |e: &Expr| e.exists(|e| Ok(matches!(e, Expr::Placeholder(_)))).unwrap_or(true);
            open |= window.window_expr.iter().any(|e| marks(e).is_some_and(|marks| marks.iter().any(|m| has_placeholder(&m.expr))));
        }
        Ok(datafusion::common::tree_node::TreeNodeRecursion::Continue)
    })?;
    if open || !found {
        return Ok(plan);
    }
    let constants = Constants { state };
    let mut changed = false;
    plan.transform_up_with_subqueries(|node| match &node {
        LogicalPlan::Window(window) => {
            changed = true;
            Ok(Transformed::yes(LogicalPlan::Window(rewritten(window, &constants)?)))
        }
        _ if changed => Ok(Transformed::yes(node.recompute_schema()?)),
        _ => Ok(Transformed::no(node)),
    })
    .data()
}

fn call(expr: &Expr) -> Option<&WindowFunction> {
    match expr {
        Expr::Alias(alias) => call(&alias.expr),
        Expr::WindowFunction(function) => Some(function),
        _ => None,
    }
}

/// What a window is ordered by, if that is a neighbourhood.
fn marks(expr: &Expr) -> Option<&[SortExpr]> {
    let order = call(expr)?.params.order_by.as_slice();
    order.iter().any(|key| mark(&key.expr).is_some_and(|f| f.name() == "around")).then_some(order)
}

fn mark(expr: &Expr) -> Option<&ScalarFunction> {
    match expr {
        Expr::ScalarFunction(function) if matches!(function.name(), "around" | "edge") => Some(function),
        _ => None,
    }
}

/// Evaluates constant expressions.
struct Constants<'a> {
    state: &'a SessionState,
}

impl Constants<'_> {
    fn value(&self, expr: &Expr) -> Result<ScalarValue> {
        let options = self.state.config_options().clone();
        let schema = Arc::new(DFSchema::empty());
        let context = SimplifyContext::builder().with_schema(schema).with_config_options(options).with_current_time().build();
        let simplifier = ExprSimplifier::new(context);
        match simplifier.simplify(simplifier.coerce(expr.clone(), &DFSchema::empty())?)? {
            Expr::Literal(value, _) => Ok(value),
            other => plan_err!("a neighbourhood is the same for every cell: {other} is not constant"),
        }
    }
}

/// One axis of a neighbourhood, as typed.
struct Side {
    column: Column,
    /// Where the axis comes from.
    name: String,
    coordinates: ArrayRef,
    /// `None` where weights say it.
    bounds: Option<[Bound; 2]>,
    place: Span,
}

/// One end of a neighbourhood.
#[derive(Clone, Debug, PartialEq)]
enum Bound {
    Open,
    Cells(i64),
    Interval(ScalarValue),
}

fn fail<T>(place: Span, message: impl Into<String>) -> Result<T> {
    Err(QueryError::user(message).at(place).into())
}

fn rewritten(window: &Window, constants: &Constants<'_>) -> Result<Window> {
    // A node computes windows of one order only, so its windows have one neighbourhood and become one kind of window.
    let standard = window.window_expr.iter().all(|e| call(e).is_some_and(is_standard));
    let exprs = window.window_expr.iter().map(|expr| {
        let Some(function) = call(expr) else { return Ok(expr.clone()) };
        let name = expr.schema_name().to_string();
        match marks(expr) {
            None if function.params.filter.is_none() => Ok(expr.clone()),
            None => Ok(Expr::from(without_filter(function)?).alias(name)),
            Some(order) => {
                let (sides, edge) = read(order, &window.input, constants)?;
                let function = match (standard, sides.as_slice()) {
                    (true, [side]) if edge == Edge::Shrink => as_window(function, side)?,
                    _ => as_neighbourhood(function, &sides, edge, &window.input, constants)?,
                };
                Ok(Expr::from(function).alias(name))
            }
        }
    });
    Window::try_new(exprs.collect::<Result<Vec<_>>>()?, window.input.clone())
}

fn is_standard(function: &WindowFunction) -> bool {
    let of_one = function.params.order_by.len() == 1;
    of_one && !function.params.distinct && matches!(&function.fun, WindowFunctionDefinition::AggregateUDF(f) if SLIDING.contains(&f.name()))
}

/// `avg(CASE WHEN c THEN v END)` for `avg(v) FILTER (WHERE c)`.
fn without_filter(function: &WindowFunction) -> Result<WindowFunction> {
    let mut function = function.clone();
    let skips_null = matches!(&function.fun, WindowFunctionDefinition::AggregateUDF(f) if SKIPS_NULL.contains(&f.name()));
    if let ([argument], true) = (function.params.args.as_mut_slice(), skips_null)
        && let Some(filter) = function.params.filter.take()
    {
        *argument = when(*filter, argument.clone()).end()?;
    }
    Ok(function)
}

/// The axes and the edge that a window is ordered by.
fn read(order: &[SortExpr], input: &LogicalPlan, constants: &Constants<'_>) -> Result<(Vec<Side>, Edge)> {
    let mut sides = Vec::new();
    let mut edge = Edge::Shrink;
    for key in order {
        let Some(mark) = mark(&key.expr) else {
            return plan_err!("a window ordered by around(...) is ordered by nothing else, not by {}", key.expr);
        };
        if mark.name() == "edge" {
            edge = match mark.args.as_slice() {
                [Expr::Literal(value, _)] => match value.try_as_str().flatten() {
                    Some("shrink") => Edge::Shrink,
                    Some("null") => Edge::Null,
                    Some("clamp") => Edge::Clamp,
                    Some("wrap") => Edge::Wrap,
                    _ => return plan_err!("edge({value}) is none of 'shrink', 'null', 'clamp', 'wrap'"),
                },
                _ => return plan_err!("edge(...) takes one of 'shrink', 'null', 'clamp', 'wrap'"),
            };
        } else {
            sides.push(side(mark, input, constants)?);
        }
    }
    for side in &sides {
        let Some([low, high]) = &side.bounds else { continue };
        let open = matches!(low, Bound::Open) || matches!(high, Bound::Open);
        let coordinates = matches!(low, Bound::Interval(_)) || matches!(high, Bound::Interval(_));
        let beyond = |cells: i64| cells > side.coordinates.len() as i64;
        let word = if edge == Edge::Wrap { "WRAP" } else { "CLAMP" };
        match (edge, low, high) {
            (Edge::Clamp | Edge::Wrap, ..) if coordinates => {
                return fail(side.place, format!("EDGE {word} counts cells, and {} reaches as far as an interval says", side.name));
            }
            (Edge::Clamp | Edge::Wrap, ..) if open => {
                return fail(side.place, format!("EDGE {word} wants both ends: beyond the whole axis {} there is no edge", side.name));
            }
            (Edge::Wrap, Bound::Cells(low), Bound::Cells(high)) if beyond(high - low + 1) || beyond(-low) || beyond(*high) => {
                let n = side.coordinates.len();
                return fail(side.place, format!("EDGE WRAP: {} has {n} cells, so {low}:{high} would meet some of them twice", side.name));
            }
            (Edge::Clamp, Bound::Cells(low), Bound::Cells(high)) if beyond(low.abs()) || beyond(high.abs()) => {
                let n = side.coordinates.len();
                return fail(side.place, format!("EDGE CLAMP: {} has {n} cells, and {low}:{high} reaches further than that", side.name));
            }
            _ => {}
        }
    }
    Ok((sides, edge))
}

fn side(mark: &ScalarFunction, input: &LogicalPlan, constants: &Constants<'_>) -> Result<Side> {
    let Some((axis, rest)) = mark.args.split_first() else { return plan_err!("around(...) takes an axis") };
    let (place, rest) = match rest.split_last() {
        Some((Expr::Literal(value, _), bounds)) if value.try_as_str().flatten().is_some_and(|s| s.contains(':')) => {
            let text = value.try_as_str().flatten().unwrap_or_default();
            let (line, column) = text.split_once(':').unwrap_or_default();
            let start = Location::new(line.parse().unwrap_or(0), column.parse().unwrap_or(0));
            (Span::new(start, start), bounds)
        }
        _ => (Span::empty(), rest),
    };
    let Expr::Column(column) = axis else { return fail(place, format!("AROUND names axes, and {axis} is none")) };
    let Some((view, number)) = axis_of(input, column) else {
        return fail(place, format!("AROUND names axes of cubes, and {} is computed or comes from elsewhere", column.name));
    };
    let (name, coordinates) = (view.cube.grid.axes[number].name.clone(), view.axes[number].coordinates.clone());
    let bounds = match rest {
        [] => None,
        [low, high] => {
            let low = bound(&constants.value(low)?, place)?;
            let high = bound(&constants.value(high)?, place)?;
            match (&low, &high) {
                (Bound::Cells(a), Bound::Cells(b)) if a > b => {
                    return fail(place, format!("the neighbourhood along {name} ends ({b}) before it begins ({a}): write {name}({b}:{a})"));
                }
                (Bound::Cells(_), Bound::Interval(_)) | (Bound::Interval(_), Bound::Cells(_)) => {
                    return fail(place, format!("one end of the neighbourhood along {name} counts cells, the other is an interval"));
                }
                (Bound::Open, Bound::Open) => return fail(place, format!("{name} has no end: that is ALONG ({name})")),
                _ => {}
            }
            let interval = matches!(low, Bound::Interval(_)) || matches!(high, Bound::Interval(_));
            if interval && !matches!(coordinates.data_type(), DataType::Timestamp(..)) {
                return fail(place, format!("an interval is a span of time, and {name} is of type {}", coordinates.data_type()));
            }
            Some([low, high])
        }
        _ => return fail(place, "around(...) takes an axis and the first and last offset"),
    };
    Ok(Side { column: column.clone(), name, coordinates, bounds, place })
}

fn bound(value: &ScalarValue, place: Span) -> Result<Bound> {
    match value {
        value if value.is_null() => Ok(Bound::Open),
        ScalarValue::IntervalYearMonth(_) | ScalarValue::IntervalDayTime(_) | ScalarValue::IntervalMonthDayNano(_) => {
            Ok(Bound::Interval(value.cast_to(&DataType::Interval(datafusion::arrow::datatypes::IntervalUnit::MonthDayNano))?))
        }
        value if value.data_type().is_integer() => match value.cast_to(&DataType::Int64)? {
            // More than any axis has, and far from the end of the numbers.
            ScalarValue::Int64(Some(cells)) => Ok(Bound::Cells(cells.clamp(-(1 << 40), 1 << 40))),
            _ => fail(place, format!("{value} is no number of cells")),
        },
        other => fail(place, format!("a neighbourhood ends at a whole number of cells or at an INTERVAL, not at {other}")),
    }
}

/// A neighbourhood along one axis that shrinks at its ends, as a standard window.
fn as_window(function: &WindowFunction, side: &Side) -> Result<WindowFunction> {
    let Some([low, high]) = &side.bounds else {
        return fail(side.place, format!("how far along {0}? Write {0}(-1:1)", side.name));
    };
    let mut function = without_filter(function)?;
    let column = Expr::Column(side.column.clone());
    let in_coordinates = matches!(low, Bound::Interval(_)) || matches!(high, Bound::Interval(_));
    let key = match in_coordinates {
        true => column,
        false => ScalarUDF::from(CellNumber::new(&side.name, &side.coordinates)?).call(vec![column]),
    };
    let end = |bound: &Bound, first: bool| -> Result<WindowFrameBound> {
        Ok(match bound {
            Bound::Open if first => WindowFrameBound::Preceding(ScalarValue::UInt64(None)),
            Bound::Open => WindowFrameBound::Following(ScalarValue::UInt64(None)),
            Bound::Cells(0) => WindowFrameBound::CurrentRow,
            Bound::Cells(n) if *n < 0 => WindowFrameBound::Preceding(ScalarValue::Int64(Some(-n))),
            Bound::Cells(n) => WindowFrameBound::Following(ScalarValue::Int64(Some(*n))),
            Bound::Interval(span) => match sign(span) {
                Some(-1) => WindowFrameBound::Preceding(span.arithmetic_negate()?),
                Some(0) => WindowFrameBound::CurrentRow,
                Some(_) => WindowFrameBound::Following(span.clone()),
                None => return fail(side.place, format!("{span} goes forward and back: an end of {} lies on one side", side.name)),
            },
        })
    };
    let (from, to) = (end(low, true)?, end(high, false)?);
    if let (Bound::Interval(_), Bound::Interval(_)) = (low, high)
        && extents(side)?.iter().all(|(first, last)| first > last)
        && !side.coordinates.is_empty()
    {
        return fail(side.place, format!("the neighbourhood along {} ends before it begins", side.name));
    }
    function.params.order_by = vec![SortExpr::new(key, true, false)];
    function.params.window_frame = WindowFrame::new_bounds(WindowFrameUnits::Range, from, to);
    Ok(function)
}

/// Whether an interval goes back (-1) or forward (1); `None` for one that does both.
fn sign(span: &ScalarValue) -> Option<i64> {
    let ScalarValue::IntervalMonthDayNano(Some(span)) = span else { return None };
    let parts = [i64::from(span.months), i64::from(span.days), span.nanoseconds].map(i64::signum);
    let (any_back, any_on) = (parts.contains(&-1), parts.contains(&1));
    match (any_back, any_on) {
        (true, true) => None,
        (true, false) => Some(-1),
        (false, on) => Some(i64::from(on)),
    }
}

fn as_neighbourhood(
    function: &WindowFunction,
    sides: &[Side],
    edge: Edge,
    input: &LogicalPlan,
    constants: &Constants<'_>,
) -> Result<WindowFunction> {
    let place = sides.first().map_or(Span::empty(), |s| s.place);
    let schema = input.schema();
    let params = &function.params;
    let mut arguments = params.args.clone();
    let (what, output, reaches) = match &function.fun {
        WindowFunctionDefinition::AggregateUDF(aggregate) => {
            let fields = arguments.iter().map(|a| Ok(a.to_field(schema.as_ref())?.1)).collect::<Result<Vec<_>>>()?;
            let coerced = fields_with_udf(&fields, aggregate.as_ref())?;
            for (argument, field) in arguments.iter_mut().zip(&coerced) {
                *argument = argument.clone().cast_to(field.data_type(), schema.as_ref())?;
            }
            let output = aggregate.return_field(&coerced)?.data_type().clone();
            let reaches = sides.iter().map(|side| reach(side, edge)).collect::<Result<Vec<_>>>()?;
            (What::Aggregate(aggregate.clone()), output, reaches)
        }
        WindowFunctionDefinition::WindowUDF(udf) if udf.name() == "convolve" => {
            let [value, weights] = <[Expr; 2]>::try_from(arguments)
                .or_else(|_| fail(place, "convolve takes a value and its weights: convolve(v, [[0, 1, 0], [1, -4, 1], [0, 1, 0]])"))?;
            if let Some(side) = sides.iter().find(|side| side.bounds.is_some()) {
                return fail(side.place, format!("the weights of convolve say how far it reaches: write AROUND ({})", side.name));
            }
            let weights = weights_of(&constants.value(&weights)?, sides.len(), place)?;
            arguments = vec![value.cast_to(&DataType::Float64, schema.as_ref())?];
            let reaches = sides.iter().zip(&weights.shape).map(|(side, &n)| weighted(side, n, edge)).collect::<Result<Vec<_>>>()?;
            (What::Convolve(weights), DataType::Float64, reaches)
        }
        WindowFunctionDefinition::WindowUDF(udf) => {
            return fail(place, format!("AROUND follows an aggregate, and {} is none", udf.name()));
        }
    };
    let filtered = params.filter.is_some();
    arguments.extend(params.filter.iter().map(|f| f.as_ref().clone()));
    for side in sides {
        let number = ScalarUDF::from(CellNumber::new(&side.name, &side.coordinates)?);
        arguments.push(number.call(vec![Expr::Column(side.column.clone())]));
    }
    let hood = Neighbourhood::new(what, reaches, edge, filtered, params.distinct, output, arguments.len());
    let mut whole = WindowFunction::new(WindowFunctionDefinition::WindowUDF(Arc::new(WindowUDF::from(hood))), arguments);
    whole.params.partition_by = params.partition_by.clone();
    whole.params.window_frame = WindowFrame::new(None);
    Ok(whole)
}

fn reach(side: &Side, edge: Edge) -> Result<Reach> {
    let Some([low, high]) = &side.bounds else {
        return fail(
            side.place,
            format!("how far along {0}? Write {0}(-1:1); only the weights of convolve say it for all axes", side.name),
        );
    };
    let shown = |bound: &Bound| match bound {
        Bound::Open => String::new(),
        Bound::Cells(n) => n.to_string(),
        Bound::Interval(span) => span.to_string(),
    };
    let mut frames = extents(side)?;
    if matches!(edge, Edge::Shrink | Edge::Null) {
        // How far beyond the ends it reaches makes no difference.
        let n = frames.len() as i64;
        frames.iter_mut().for_each(|(first, last)| (*first, *last) = ((*first).clamp(-1, n), (*last).clamp(-1, n)));
        if edge == Edge::Shrink {
            frames.iter_mut().for_each(|(first, last)| (*first, *last) = ((*first).max(0), (*last).min(n - 1)));
        }
    }
    Ok(Reach { axis: side.name.clone(), frames: frames.into(), shown: format!("{}:{}", shown(low), shown(high)) })
}

/// A neighbourhood of `n` weights along an axis.
fn weighted(side: &Side, n: usize, edge: Edge) -> Result<Reach> {
    let (half, cells) = ((n / 2) as i64, side.coordinates.len() as i64);
    if (edge == Edge::Wrap && n as i64 > cells) || (edge == Edge::Clamp && half > cells) {
        return fail(side.place, format!("{n} weights along {} reach beyond both of its ends: it has {cells} cells", side.name));
    }
    let frames = (0..cells).map(|at| (at - half, at + half)).collect();
    Ok(Reach { axis: side.name.clone(), frames, shown: format!("{}:{half}", -half) })
}

/// For every cell the first and last cell number that its bounds give; below 0 and from the length on: beyond the ends.
fn extents(side: &Side) -> Result<Vec<(i64, i64)>> {
    let Some([low, high]) = &side.bounds else { return Ok(vec![]) };
    let n = side.coordinates.len() as i64;
    let intervals = matches!(low, Bound::Interval(_)) || matches!(high, Bound::Interval(_));
    if !intervals {
        let end = |at: i64, bound: &Bound, open: i64| if let Bound::Cells(by) = bound { at + by } else { open };
        return Ok((0..n).map(|at| (end(at, low, 0), end(at, high, n - 1))).collect());
    }
    let counts = |values: &ArrayRef| -> Result<Vec<i64>> {
        let same = compute::cast(values, side.coordinates.data_type())?;
        Ok(compute::cast(&same, &DataType::Int64)?.as_primitive::<Int64Type>().values().to_vec())
    };
    let at = counts(&side.coordinates)?;
    let rising = at.windows(2).all(|w| w[0] < w[1]);
    if !rising && !at.windows(2).all(|w| w[0] > w[1]) {
        return fail(side.place, format!("axis {} neither rises nor falls, so no interval of it is a neighbourhood", side.name));
    }
    let moved = |bound: &Bound| -> Result<Option<Vec<i64>>> {
        let Bound::Interval(span) = bound else { return Ok(None) };
        Ok(Some(counts(&add_wrapping(&side.coordinates, &span.to_scalar()?)?)?))
    };
    // The times between which the neighbours of each cell lie.
    let (from, to) = (moved(low)?, moved(high)?);
    let (earliest, latest) = (at.iter().min().copied().unwrap_or(0), at.iter().max().copied().unwrap_or(0));
    let cell = |i: usize| {
        let from = from.as_ref().map_or(earliest, |f| f[i]);
        let to = to.as_ref().map_or(latest, |t| t[i]);
        if from > to {
            return (0, -1);
        }
        match rising {
            true => (
                if from < earliest { -1 } else { at.partition_point(|&c| c < from) as i64 },
                if to > latest { n } else { at.partition_point(|&c| c <= to) as i64 - 1 },
            ),
            false => (
                if to > latest { -1 } else { at.partition_point(|&c| c > to) as i64 },
                if from < earliest { n } else { at.partition_point(|&c| c >= from) as i64 - 1 },
            ),
        }
    };
    Ok((0..at.len()).map(cell).collect())
}

/// Weights typed as nested lists, one level an axis.
fn weights_of(value: &ScalarValue, axes: usize, place: Span) -> Result<Weights> {
    let mut shape = Vec::new();
    let mut values = Vec::new();
    let array = value.to_array()?;
    flatten(&array, axes, &mut shape, &mut values, place)?;
    // The outermost list is the one row of the array.
    let shape: Vec<usize> = shape.into_iter().skip(1).collect();
    if let Some(even) = shape.iter().find(|&&n| n % 2 == 0) {
        return fail(place, format!("weights have a cell in their middle: their number along each axis is odd, not {even}"));
    }
    if values.iter().any(|w| !w.is_finite()) {
        return fail(place, "weights are finite numbers");
    }
    Ok(Weights::new(shape, &values))
}

fn flatten(array: &ArrayRef, axes: usize, shape: &mut Vec<usize>, values: &mut Vec<f64>, place: Span) -> Result<()> {
    let uneven = "the lists of weights are nested once for each axis, all of one length a level: [[0, 1, 0], [1, -4, 1], [0, 1, 0]]";
    if shape.len() > axes || array.null_count() > 0 {
        return fail(place, format!("{uneven}; AROUND names {axes}"));
    }
    shape.push(array.len());
    if let Some(lists) = array.as_list_opt::<i32>() {
        let depth = shape.len();
        for i in 0..lists.len() {
            let mut inner = shape[..depth].to_vec();
            flatten(&lists.value(i), axes, &mut inner, values, place)?;
            if i > 0 && inner != *shape {
                return fail(place, uneven);
            }
            *shape = inner;
        }
        return Ok(());
    }
    if shape.len() != axes + 1 || !array.data_type().is_numeric() {
        return fail(place, format!("{uneven}; AROUND names {axes}"));
    }
    values.extend(compute::cast(array, &DataType::Float64)?.as_primitive::<Float64Type>().values());
    Ok(())
}
