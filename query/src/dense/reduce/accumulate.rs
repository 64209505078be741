//! What a dense reduction computes: the aggregates that have a dense form, recognised in DataFusion's plan.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Schema};
use datafusion::error::{DataFusionError, Result};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_expr::expressions::{CastExpr, Literal};

use super::edge::Edge;
use super::grouped::{Grouped, is_number};
use super::ordered::has_words;
use crate::functions::aggregate::{CubeAggregate, count_different};

/// An aggregate function with a dense form.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Function {
    /// `count(x)`, `count(*)`.
    Count,
    /// `sum(x)`; NULL where nothing was counted.
    Sum,
    /// `avg(x)`.
    Avg,
    /// `min(x)`.
    Min,
    /// `max(x)`.
    Max,
    /// `var_samp(x)` and, with the root taken, `stddev_samp(x)`.
    Variance {
        /// Divide by n instead of n - 1.
        population: bool,
        /// Standard deviation instead of variance.
        root: bool,
    },
    /// An aggregate with a [`Grouped`] state.
    Grouped,
}

/// How the states of an aggregate with a [`Grouped`] state are made.
#[derive(Clone)]
pub(crate) struct MakeGrouped {
    /// Makes a state without groups.
    pub make: Arc<dyn Fn() -> Result<Box<dyn Grouped>> + Send + Sync>,
    /// Bytes that a group takes before it has values.
    pub group_bytes: usize,
    /// Bytes that it takes for each of its cells: more than 0 where all values of a group are needed at once.
    pub cell_bytes: usize,
    /// True when cells with a NULL in an argument are left out.
    pub skips_null: bool,
    /// True when a group of nothing has a value.
    pub counts: bool,
}

impl fmt::Debug for MakeGrouped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MakeGrouped").field("group_bytes", &self.group_bytes).field("cell_bytes", &self.cell_bytes).finish_non_exhaustive()
    }
}

/// One aggregate of a reduction.
#[derive(Debug, Clone)]
pub(crate) struct Aggregate {
    /// What is computed.
    pub function: Function,
    /// Set for [`Function::Grouped`].
    pub grouped: Option<MakeGrouped>,
    /// Set for `first_value` and `last_value`: the order of their cells.
    pub edge: Option<Edge>,
    /// Of what; none: of cells, whatever they hold.
    pub arguments: Vec<Arc<dyn PhysicalExpr>>,
    /// Only cells for which this is true count.
    pub filter: Option<Arc<dyn PhysicalExpr>>,
    /// Type of the argument as the kernel sees it.
    pub input: DataType,
    /// Type of the final value.
    pub output: DataType,
}

impl Aggregate {
    /// The dense form of an aggregate over rows of `schema`, or why there is none.
    pub fn of(expr: &AggregateFunctionExpr, filter: Option<&Arc<dyn PhysicalExpr>>, schema: &Schema) -> Result<Aggregate, String> {
        let name = expr.fun().name();
        let refuse = |why: &str| Err(format!("{name}: {why}"));
        if let Some(ours) = expr.fun().inner().downcast_ref::<CubeAggregate>() {
            return Aggregate::ours(ours, expr, filter, schema);
        }
        if expr.is_distinct() && name == "count" {
            return Aggregate::different(expr, filter, schema).map_err(|why| format!("{name}: {why}"));
        }
        if expr.is_distinct() {
            return refuse("DISTINCT has no dense form");
        }
        if matches!(name, "first_value" | "last_value") {
            return Aggregate::edge(name == "last_value", expr, filter, schema).map_err(|why| format!("{name}: {why}"));
        }
        if !expr.order_bys().is_empty() {
            return refuse("ORDER BY inside an aggregate has no dense form");
        }
        let function = match name {
            "count" => Function::Count,
            "sum" => Function::Sum,
            "avg" => Function::Avg,
            "min" => Function::Min,
            "max" => Function::Max,
            "var" => Function::Variance { population: false, root: false },
            "var_pop" => Function::Variance { population: true, root: false },
            "stddev" => Function::Variance { population: false, root: true },
            "stddev_pop" => Function::Variance { population: true, root: true },
            _ => return refuse("this aggregate has no dense form"),
        };
        let [argument] = <[_; 1]>::try_from(expr.expressions()).map_err(|_| format!("{name}: one argument expected"))?;
        let filter = filter.cloned();
        let output = expr.field().data_type().clone();
        if function == Function::Count && argument.downcast_ref::<Literal>().is_some_and(|l| !l.value().is_null()) {
            return Ok(Aggregate { function, grouped: None, edge: None, arguments: vec![], filter, input: DataType::Null, output });
        }
        let argument = match function {
            Function::Min | Function::Max => argument,
            _ => without_widening(argument, schema),
        };
        let input = argument.data_type(schema).map_err(|e| e.to_string())?;
        if function != Function::Count && !is_number(&input) {
            return refuse(&format!("{input} has no dense form"));
        }
        if matches!(function, Function::Sum) && !matches!(output, DataType::Int64 | DataType::UInt64 | DataType::Float64) {
            return refuse(&format!("a sum of type {output} has no dense form"));
        }
        if matches!(function, Function::Avg | Function::Variance { .. }) && output != DataType::Float64 {
            return refuse(&format!("a result of type {output} has no dense form"));
        }
        Ok(Aggregate { function, grouped: None, edge: None, arguments: vec![argument], filter, input, output })
    }

    /// True when its value does not depend on the type in which the numbers of its one argument come.
    pub fn takes_any_number(&self) -> bool {
        matches!(self.function, Function::Count | Function::Sum | Function::Avg | Function::Variance { .. }) && self.arguments.len() == 1
    }

    /// One of the dialect's own.
    fn ours(
        ours: &CubeAggregate,
        expr: &AggregateFunctionExpr,
        filter: Option<&Arc<dyn PhysicalExpr>>,
        schema: &Schema,
    ) -> Result<Aggregate, String> {
        let readable = |e: DataFusionError| e.strip_backtrace();
        let exprs = expr.expressions();
        let types = exprs.iter().map(|e| e.data_type(schema)).collect::<Result<Vec<_>>>().map_err(readable)?;
        let make = ours.maker(&exprs, &types, expr.is_distinct()).map_err(readable)?;
        let grouped = MakeGrouped {
            make,
            group_bytes: ours.group_bytes(&exprs),
            cell_bytes: if ours.is_ranked() { types.first().and_then(DataType::primitive_width).unwrap_or(8) } else { 0 },
            skips_null: true,
            counts: ours.counts(),
        };
        let values = exprs.into_iter().take(ours.values());
        let arguments = if ours.adds() { values.map(|e| without_widening(e, schema)).collect() } else { values.collect() };
        Ok(Aggregate {
            function: Function::Grouped,
            grouped: Some(grouped),
            edge: None,
            arguments,
            filter: filter.cloned(),
            input: types.into_iter().next().unwrap_or(DataType::Null),
            output: expr.field().data_type().clone(),
        })
    }

    /// `count(DISTINCT v)`.
    fn different(expr: &AggregateFunctionExpr, filter: Option<&Arc<dyn PhysicalExpr>>, schema: &Schema) -> Result<Aggregate, String> {
        let [value] = <[_; 1]>::try_from(expr.expressions()).map_err(|_| "DISTINCT of several columns has no dense form")?;
        let input = value.data_type(schema).map_err(|e| e.to_string())?;
        if !has_words(&input) {
            return Err(format!("DISTINCT of {input} has no dense form"));
        }
        let grouped = MakeGrouped {
            make: count_different(&input).map_err(|e| e.to_string())?,
            group_bytes: 24,
            cell_bytes: input.primitive_width().unwrap_or(8),
            skips_null: true,
            counts: true,
        };
        Ok(Aggregate {
            function: Function::Grouped,
            grouped: Some(grouped),
            edge: None,
            arguments: vec![value],
            filter: filter.cloned(),
            input,
            output: expr.field().data_type().clone(),
        })
    }

    /// `first_value` and `last_value` in the order of a function of one axis: the second argument is that function.
    fn edge(
        last: bool,
        expr: &AggregateFunctionExpr,
        filter: Option<&Arc<dyn PhysicalExpr>>,
        schema: &Schema,
    ) -> Result<Aggregate, String> {
        let [value] = <[_; 1]>::try_from(expr.expressions()).map_err(|_| "one argument expected")?;
        let [by] = expr.order_bys() else { return Err("without ORDER BY one axis it has no dense form".into()) };
        let input = value.data_type(schema).map_err(|e| e.to_string())?;
        if !has_words(&input) {
            return Err(format!("{input} has no dense form"));
        }
        Ok(Aggregate {
            function: Function::Grouped,
            grouped: None,
            edge: Some(Edge { last, options: by.options, ignore_nulls: expr.ignore_nulls() }),
            arguments: vec![value, by.expr.clone()],
            filter: filter.cloned(),
            input,
            output: expr.field().data_type().clone(),
        })
    }

    /// Bytes that a group takes before it has values.
    pub fn group_bytes(&self) -> usize {
        match (&self.grouped, self.function) {
            (Some(grouped), _) => grouped.group_bytes,
            (None, Function::Variance { .. }) => 32,
            (None, Function::Grouped) => 24,
            (None, _) => 16,
        }
    }

    /// Bytes that it needs for each cell of a group until the group is finished.
    pub fn cell_bytes(&self) -> usize {
        self.grouped.as_ref().map_or(0, |g| g.cell_bytes)
    }

    /// True for counts of cells: a group without cells is 0.
    pub fn is_count(&self) -> bool {
        self.function == Function::Count || (self.output == DataType::Int64 && self.grouped.as_ref().is_some_and(|g| g.counts))
    }
}

/// The argument below a cast that only widens: the kernels widen while they add.
pub(crate) fn without_widening(expr: Arc<dyn PhysicalExpr>, schema: &Schema) -> Arc<dyn PhysicalExpr> {
    use DataType::*;
    let Some(cast) = expr.downcast_ref::<CastExpr>() else { return expr };
    let inner = cast.expr();
    let exact = match (inner.data_type(schema), cast.cast_type()) {
        (Ok(from), Float64) => matches!(from, Float32 | Int8 | Int16 | Int32 | UInt8 | UInt16 | UInt32),
        (Ok(from), Int64) => matches!(from, Int8 | Int16 | Int32 | UInt8 | UInt16 | UInt32),
        (Ok(from), UInt64) => matches!(from, UInt8 | UInt16 | UInt32),
        _ => false,
    };
    if exact { inner.clone() } else { expr }
}
