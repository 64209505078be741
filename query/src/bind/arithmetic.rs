//! Arithmetic on integers of cubes, planned so that no cell wraps around: `/` gives float, `+ - *` are done in 64 bits.
//!
//! Measurements are stored in narrow and unsigned integers (`UInt16` reflectance), where `b08 - b04` and `b08 / b04` in
//! their own type would be wrong numbers. The rules hold for integers of any origin, so that a column means the same
//! in a cube, a CTE and a Parquet table:
//!
//! * `a / b` of two integers, not both constant: both become `Float64`.
//! * `a + b`, `a - b`, `a * b` of two integers: both become `Int64`. A `UInt64` above 2^63 - 1 is then an error when it is
//!   met, not a wrapped number and not a rounded one.
//! * `a // b` is the integer division (towards zero) in 64 bits.
//!
//! Everything else (floats, decimals, instants, intervals, bit operations, `%`, comparisons, constants among
//! themselves) is DataFusion's own.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::TreeNode;
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{BinaryExpr, Cast, Expr, ExprSchemable, Operator};
use datafusion::sql::sqlparser::ast::BinaryOperator;

/// Plans binary operators by the rules of this file.
#[derive(Debug, Default, Clone, Copy)]
pub struct CubeArithmetic;

impl ExprPlanner for CubeArithmetic {
    fn plan_binary_op(&self, raw: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        let operator = match raw.op {
            BinaryOperator::Plus => Operator::Plus,
            BinaryOperator::Minus => Operator::Minus,
            BinaryOperator::Multiply => Operator::Multiply,
            BinaryOperator::Divide | BinaryOperator::DuckIntegerDivide => Operator::Divide,
            _ => return Ok(PlannerResult::Original(raw)),
        };
        let (left, right) = (operand(&raw.left, schema), operand(&raw.right, schema));
        let both_integers = match (left, right) {
            (Operand::Integer { .. }, Operand::Integer { .. }) => true,
            // The value of a parameter is not known yet; its type is inferred from the other side.
            (Operand::Integer { .. }, Operand::Unknown) | (Operand::Unknown, Operand::Integer { .. }) => true,
            _ => false,
        };
        let integer_division = raw.op == BinaryOperator::DuckIntegerDivide;
        if !both_integers || (left.is_constant() && right.is_constant() && !integer_division) {
            return Ok(PlannerResult::Original(raw));
        }
        let common = if raw.op == BinaryOperator::Divide { DataType::Float64 } else { DataType::Int64 };
        let (left, right) = (widen(raw.left, left, &common), widen(raw.right, right, &common));
        Ok(PlannerResult::Planned(Expr::BinaryExpr(BinaryExpr::new(Box::new(left), operator, Box::new(right)))))
    }
}

/// What the rules need to know of an operand.
#[derive(Clone, Copy, PartialEq)]
enum Operand {
    Integer {
        constant: bool,
        wide: bool,
    },
    /// A parameter.
    Unknown,
    Other,
}

impl Operand {
    fn is_constant(self) -> bool {
        matches!(self, Operand::Integer { constant: true, .. })
    }
}

fn operand(expr: &Expr, schema: &DFSchema) -> Operand {
    match expr.get_type(schema) {
        Ok(t) if t.is_integer() => Operand::Integer { constant: is_constant(expr), wide: t == DataType::Int64 },
        Ok(DataType::Null) if matches!(expr, Expr::Placeholder(_)) => Operand::Unknown,
        // A column that does not exist is reported by DataFusion, which knows the candidates.
        _ => Operand::Other,
    }
}

/// True for literals and for operators and casts over literals.
fn is_constant(expr: &Expr) -> bool {
    !expr
        .exists(|e| Ok(!matches!(e, Expr::Literal(..) | Expr::BinaryExpr(_) | Expr::Negative(_) | Expr::Cast(_) | Expr::TryCast(_))))
        .unwrap_or(true)
}

/// Casts an operand. Casts do not show in column names, so that `b08 - b04` is still called that.
fn widen(expr: Expr, operand: Operand, to: &DataType) -> Expr {
    match operand {
        Operand::Integer { wide: true, .. } if *to == DataType::Int64 => expr,
        Operand::Integer { .. } => Expr::Cast(Cast::new(Box::new(expr), to.clone())),
        Operand::Unknown | Operand::Other => expr,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::array::{ArrayRef, Float32Array, Int8Array, Int64Array, RecordBatch, UInt16Array, UInt64Array};
    use datafusion::arrow::util::display::array_value_to_string;
    use datafusion::execution::SessionStateBuilder;
    use datafusion::prelude::SessionContext;

    use super::*;

    fn context() -> SessionContext {
        let mut state = SessionStateBuilder::new().with_default_features();
        state.expr_planners().get_or_insert_default().insert(0, Arc::new(CubeArithmetic));
        let context = SessionContext::new_with_state(state.build());
        let batch = RecordBatch::try_from_iter([
            ("a", Arc::new(UInt16Array::from(vec![100, 65535])) as ArrayRef),
            ("b", Arc::new(UInt16Array::from(vec![200, 65535])) as ArrayRef),
            ("i8", Arc::new(Int8Array::from(vec![-128, 127])) as ArrayRef),
            ("i64", Arc::new(Int64Array::from(vec![7, -7])) as ArrayRef),
            ("u64", Arc::new(UInt64Array::from(vec![3, 3])) as ArrayRef),
            ("huge", Arc::new(UInt64Array::from(vec![u64::MAX, 1])) as ArrayRef),
            ("f", Arc::new(Float32Array::from(vec![0.5, 1.5])) as ArrayRef),
        ]);
        context.register_batch("s2", batch.unwrap()).unwrap();
        context
    }

    /// `name type: value, value`, or the error.
    async fn run(expression: &str) -> String {
        let sql = format!("SELECT {expression} FROM s2");
        let answer = async { context().sql(&sql).await?.collect().await }.await;
        match answer {
            Err(e) => format!("error: {e}"),
            Ok(batches) => {
                let (field, column) = (batches[0].schema().field(0).clone(), batches[0].column(0).clone());
                let values: Vec<_> = (0..column.len()).map(|i| array_value_to_string(&column, i).unwrap()).collect();
                format!("{} {}: {}", field.name(), field.data_type(), values.join(", "))
            }
        }
    }

    #[tokio::test]
    async fn integers_widen_and_keep_their_names() {
        for (expression, expected) in [
            ("a - b", "s2.a - s2.b Int64: -100, 0"),
            ("a + b", "s2.a + s2.b Int64: 300, 131070"),
            ("a * b", "s2.a * s2.b Int64: 20000, 4294836225"),
            ("a / b", "s2.a / s2.b Float64: 0.5, 1.0"),
            ("(a - b) / (a + b)", "s2.a - s2.b / s2.a + s2.b Float64: -0.3333333333333333, 0.0"),
            ("i8 - 1", "s2.i8 - Int64(1) Int64: -129, 126"),
            ("i64 / 2", "s2.i64 / Int64(2) Float64: 3.5, -3.5"),
            ("i64 // 2", "s2.i64 / Int64(2) Int64: 3, -3"),
            ("a - u64", "s2.a - s2.u64 Int64: 97, 65532"),
            ("u64 - a", "s2.u64 - s2.a Int64: -97, -65532"),
            ("u64 - i64", "s2.u64 - s2.i64 Int64: -4, 10"),
            ("abs(a - b)", "abs(s2.a - s2.b) Int64: 100, 0"),
            ("CASE WHEN a > b THEN a ELSE a - b END AS c", "c Int64: -100, 0"),
        ] {
            assert_eq!(run(expression).await, expected);
        }
    }

    #[tokio::test]
    async fn aggregates_of_unsigned_do_not_wrap() {
        assert_eq!(run("sum(a) - sum(b) AS d").await, "d Int64: -100");
        assert_eq!(run("count(*) / 4 AS q").await, "q Float64: 0.5");
        assert_eq!(run("sum(a - b) / sum(b) AS q").await, "q Float64: -0.0015212596029512437");
    }

    #[tokio::test]
    async fn the_rest_is_datafusions() {
        for (expression, expected) in [
            ("1 / 2 AS x", "x Int64: 0, 0"),
            ("-7 / (1 + 1) AS x", "x Int64: -3, -3"),
            ("a * 0.5 AS x", "x Float64: 50.0, 32767.5"),
            ("a * f AS x", "x Float32: 50.0, 98302.5"),
            ("f / a AS x", "x Float32: 0.005, 0.000022888533"),
            ("a & 3 AS x", "x Int64: 0, 3"),
            ("a % 7 AS x", "x Int64: 2, 1"),
            ("to_timestamp(0) + INTERVAL '1 day' AS x", "x Timestamp(ns): 1970-01-02T00:00:00, 1970-01-02T00:00:00"),
        ] {
            assert_eq!(run(expression).await, expected);
        }
    }

    #[tokio::test]
    async fn what_does_not_fit_is_an_error() {
        let error = run("huge - 1").await;
        assert!(error.contains("18446744073709551615"), "{error}");
    }

    #[tokio::test]
    async fn parameters_divide_as_floats() {
        let frame = context().sql("SELECT b / $1 AS x, b - $2 AS y FROM s2").await.unwrap();
        let schema = frame.schema().clone();
        assert_eq!((schema.field(0).data_type(), schema.field(1).data_type()), (&DataType::Float64, &DataType::Int64));
    }
}
