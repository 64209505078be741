//! Times of calendars that timestamps cannot hold, in expressions: constants that are compared with them are written as such
//! columns are, and DataFusion's `date_part` and `date_trunc` of them become ours. Runs before types are made to fit.

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{DFSchema, ScalarValue, plan_err};
use datafusion::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::logical_expr::expr::{InList, ScalarFunction};
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Between, BinaryExpr, Cast, Expr, ExprSchemable, LogicalPlan, Operator, TryCast};
use datafusion::optimizer::AnalyzerRule;
use graticule_storage::array::Calendar;

use crate::functions::{calendar, model_time};

/// The rule.
#[derive(Debug)]
pub(crate) struct CalendarTimes;

impl AnalyzerRule for CalendarTimes {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(|node| {
            let schema = merge_schema(&node.inputs());
            if !schema.fields().iter().any(|f| model_time::calendar_of(f).is_some()) {
                return Ok(Transformed::no(node));
            }
            node.map_expressions(|expr| expr.transform_up(|e| rewrite(e, &schema)))
        })
        .data()
    }

    fn name(&self) -> &str {
        "calendar_times"
    }
}

/// The same for one expression.
pub(crate) fn rewritten(expr: Expr, schema: &DFSchema) -> Result<Expr> {
    expr.transform_up(|e| rewrite(e, schema)).data()
}

fn rewrite(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let calendar = |e: &Expr| e.to_field(schema).ok().and_then(|(_, field)| model_time::calendar_of(&field));
    Ok(match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_comparison(op) => match (calendar(&left), calendar(&right)) {
            (Some(c), None) => {
                let right = Box::new(written(*right, c)?);
                Transformed::yes(Expr::BinaryExpr(BinaryExpr { left, op, right }))
            }
            (None, Some(c)) => {
                let left = Box::new(written(*left, c)?);
                Transformed::yes(Expr::BinaryExpr(BinaryExpr { left, op, right }))
            }
            (Some(a), Some(b)) if a != b => {
                return plan_err!("{left} and {right} are times of different calendars, {} and {}", a.name(), b.name());
            }
            _ => Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right })),
        },
        Expr::Between(Between { expr, negated, low, high }) => match calendar(&expr) {
            Some(c) => {
                let (low, high) = (Box::new(written(*low, c)?), Box::new(written(*high, c)?));
                Transformed::yes(Expr::Between(Between { expr, negated, low, high }))
            }
            None => Transformed::no(Expr::Between(Between { expr, negated, low, high })),
        },
        Expr::InList(InList { expr, list, negated }) => match calendar(&expr) {
            Some(c) => {
                let list = list.into_iter().map(|e| written(e, c)).collect::<Result<_>>()?;
                Transformed::yes(Expr::InList(InList { expr, list, negated }))
            }
            None => Transformed::no(Expr::InList(InList { expr, list, negated })),
        },
        Expr::ScalarFunction(f) if f.args.len() == 2 && calendar(&f.args[1]).is_some() => match f.name() {
            "date_trunc" => Transformed::yes(Expr::ScalarFunction(ScalarFunction { func: model_time::truncate(), args: f.args })),
            "date_part" => {
                let part = match &f.args[0] {
                    Expr::Literal(ScalarValue::Utf8(Some(part)) | ScalarValue::Utf8View(Some(part)), _) => part.to_ascii_lowercase(),
                    other => return plan_err!("date_part wants the name of a part, not {other}"),
                };
                let name = match part.as_str() {
                    "doy" => "dayofyear",
                    "dow" => "dayofweek",
                    other => other,
                };
                match calendar::functions().into_iter().find(|func| func.name() == name) {
                    Some(func) => {
                        let args = f.args.into_iter().skip(1).collect();
                        Transformed::yes(Expr::ScalarFunction(ScalarFunction { func, args }))
                    }
                    None => return plan_err!("date_part knows no {part} of times of this calendar"),
                }
            }
            _ => Transformed::no(Expr::ScalarFunction(f)),
        },
        other => Transformed::no(other),
    })
}

fn is_comparison(op: Operator) -> bool {
    use Operator::{Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq};
    matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom)
}

/// A constant as text of the calendar, so that it compares as a time: `'2001-02-30'` is the first instant of that day. Constants
/// of other kinds than text and time, and what is no constant, stay as they are.
fn written(expr: Expr, calendar: Calendar) -> Result<Expr> {
    let text = match &expr {
        Expr::Literal(ScalarValue::Utf8(Some(text)) | ScalarValue::Utf8View(Some(text)) | ScalarValue::LargeUtf8(Some(text)), _) => {
            text.clone()
        }
        Expr::Literal(value, _) if value.data_type().is_temporal() && !value.is_null() => {
            match value.cast_to(&datafusion::arrow::datatypes::DataType::Utf8)? {
                ScalarValue::Utf8(Some(text)) => text,
                _ => return Ok(expr),
            }
        }
        // TIMESTAMP '2001-02-30' and DATE '2001-02-30'.
        Expr::Cast(Cast { expr: inner, field }) if field.data_type().is_temporal() => match inner.as_ref() {
            Expr::Literal(ScalarValue::Utf8(Some(text)), _) => text.clone(),
            _ => return Ok(expr),
        },
        Expr::TryCast(TryCast { expr: inner, field }) if field.data_type().is_temporal() => match inner.as_ref() {
            Expr::Literal(ScalarValue::Utf8(Some(text)), _) => text.clone(),
            _ => return Ok(expr),
        },
        _ => return Ok(expr),
    };
    match calendar.period(&text) {
        Ok((first, _)) => {
            let text = calendar.text(first).unwrap_or(text);
            Ok(Expr::Literal(ScalarValue::Utf8(Some(text)), None))
        }
        Err(why) => plan_err!("{why}"),
    }
}
