//! Grids in FROM: what the arguments of `GRID(y => axis(0, 99, 1), ...)` and its like mean.

use datafusion::common::{ScalarValue, plan_err};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::LogicalPlan;
use datafusion::logical_expr::planner::RelationPlannerContext;
use datafusion::sql::sqlparser::ast::{Expr as SqlExpr, FunctionArg, FunctionArgExpr, Spanned};
use graticule_storage::array::Axis;

use super::relations::{argument, arguments, normalised};
use super::subset::{SubsetPlanner, at};
use crate::grids::{derived, lines};

impl SubsetPlanner {
    /// Plans `grid(y => axis(...), ...)`: a cube of coordinates.
    pub(super) fn grid(&self, args: &[FunctionArg], context: &mut dyn RelationPlannerContext) -> Result<LogicalPlan> {
        let mut axes: Vec<Axis> = Vec::new();
        for arg in args {
            let (name, value) = named(arg)?;
            let found = self.axis(&name, value, context).and_then(|axis| match axes.iter().any(|a| a.name == axis.name) {
                true => plan_err!("the axis {name} is named twice"),
                false => Ok(axis),
            });
            axes.push(found.map_err(|e| at(e, value.span()))?);
        }
        if axes.is_empty() {
            return plan_err!("GRID wants axes, as GRID(y => axis(0, 99, 1), x => axis(0, 99, 1))");
        }
        if axes.iter().fold(1u64, |n, a| n.saturating_mul(a.len())) > u64::MAX / 2 {
            return plan_err!("GRID: there are more cells than can be counted; give fewer or larger steps");
        }
        derived::coordinates(axes, self.cubes.reader())
    }

    /// The axis that `axis(from, to, step)` describes. With a parameter that has no value yet it has one cell.
    pub(super) fn axis(&self, name: &str, value: &SqlExpr, context: &mut dyn RelationPlannerContext) -> Result<Axis> {
        let call = match value {
            SqlExpr::Function(call) if call.name.to_string().eq_ignore_ascii_case("axis") => call,
            other => return plan_err!("axis {name}: axis(from, to, step) is expected, not {other}"),
        };
        let args: Vec<&SqlExpr> = arguments(call).iter().filter_map(argument).collect();
        let [from, to, step] = args.as_slice() else {
            return plan_err!("axis {name}: axis(from, to, step) has three values, as axis(-90, 90, 0.25)");
        };
        let values = [self.constant(from, context)?, self.constant(to, context)?, self.constant(step, context)?];
        let axis = match values {
            [Some(from), Some(to), Some(step)] => lines::axis(name, &from, &to, &step),
            _ => lines::axis(name, &unit(0), &unit(0), &unit(1)),
        };
        axis.map_err(DataFusionError::Plan)
    }
}

fn unit(v: i64) -> ScalarValue {
    ScalarValue::Int64(Some(v))
}

/// Name and value of an argument.
pub(super) fn named(arg: &FunctionArg) -> Result<(String, &SqlExpr)> {
    match arg {
        FunctionArg::Named { name, arg: FunctionArgExpr::Expr(value), .. } => Ok((normalised(name), value)),
        FunctionArg::ExprNamed { name: SqlExpr::Identifier(name), arg: FunctionArgExpr::Expr(value), .. } => Ok((normalised(name), value)),
        other => plan_err!("an argument with its name is expected, as lat => axis(-90, 90, 1), not {other}"),
    }
}
