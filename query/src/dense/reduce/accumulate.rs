//! What a dense reduction computes: the aggregates that have a dense form, recognised in DataFusion's plan.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Schema};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_expr::expressions::{CastExpr, Literal};

/// An aggregate function with a dense form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
}

/// One aggregate of a reduction.
#[derive(Debug, Clone)]
pub(crate) struct Aggregate {
    /// What is computed.
    pub function: Function,
    /// Of what; `None`: of cells, whatever they hold.
    pub argument: Option<Arc<dyn PhysicalExpr>>,
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
        if expr.is_distinct() {
            return refuse("DISTINCT has no dense form");
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
            return Ok(Aggregate { function, argument: None, filter, input: DataType::Null, output });
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
        Ok(Aggregate { function, argument: Some(argument), filter, input, output })
    }
}

/// The argument below a cast that only widens: the kernels widen while they add.
fn without_widening(expr: Arc<dyn PhysicalExpr>, schema: &Schema) -> Arc<dyn PhysicalExpr> {
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

fn is_number(t: &DataType) -> bool {
    t.is_integer() || matches!(t, DataType::Float32 | DataType::Float64)
}
