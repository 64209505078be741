//! The dimensions of an answer: in array form the axes of a query come along whether selected or not.

use std::sync::Arc;

use datafusion::catalog::default_table_source::source_as_provider;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Column, plan_err};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, Projection};

use crate::table::CubeTable;
use crate::view::View;

/// One dimension of an answer.
#[derive(Debug, Clone)]
pub(crate) struct Dimension {
    /// Name of its column in the plan's output.
    pub column: String,
    /// Its name in the answer.
    pub name: String,
    /// The cube's view as the plan's table has it; predicates may narrow it.
    pub view: Arc<View>,
    /// The axis of the cube's grid that it comes from.
    pub axis: usize,
    /// Set for a function of the axis: over the axis's own column, unqualified.
    pub function: Option<Expr>,
}

/// A plan whose output holds the columns of all its dimensions, slowest first.
pub(crate) struct Carried {
    /// The plan.
    pub plan: LogicalPlan,
    /// Its dimensions.
    pub dimensions: Vec<Dimension>,
}

/// Carries axes up through a plan.
pub(crate) fn carry(plan: &LogicalPlan) -> Result<Carried> {
    match plan {
        LogicalPlan::TableScan(scan) => {
            let provider = source_as_provider(&scan.source)?;
            let Some(table) = provider.downcast_ref::<CubeTable>() else {
                return plan_err!("{} is not a cube, so the answer has no axes; ask in row form (sql)", scan.table_name);
            };
            let axes = table.view.cube.grid.axes.iter().enumerate();
            let dimension = |(number, axis): (usize, &graticule_storage::array::Axis)| Dimension {
                column: axis.name.clone(),
                name: axis.name.clone(),
                view: table.view.clone(),
                axis: number,
                function: None,
            };
            let dimensions = axes.filter(|(i, _)| !table.view.axes[*i].fixed).map(dimension).collect();
            Ok(Carried { plan: plan.clone(), dimensions })
        }
        LogicalPlan::Projection(p) => {
            let Carried { plan: input, mut dimensions } = carry(&p.input)?;
            let mut exprs = p.expr.clone();
            for d in &mut dimensions {
                let selected = p.expr.iter().position(|e| matches!(unaliased(e), Expr::Column(c) if c.name == d.column));
                match selected {
                    Some(i) => {
                        d.column = p.schema.field(i).name().clone();
                        if !d.column.starts_with(HIDDEN) {
                            d.name = d.column.clone();
                        }
                    }
                    None => {
                        let hidden = format!("{HIDDEN}{}", d.name);
                        let (qualifier, field) = input.schema().qualified_field_with_unqualified_name(&d.column)?;
                        exprs.push(Expr::Column(Column::new(qualifier.cloned(), field.name())).alias(hidden.clone()));
                        d.column = hidden;
                    }
                }
            }
            let plan = LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(input))?);
            Ok(Carried { plan, dimensions })
        }
        LogicalPlan::Aggregate(a) => {
            let Carried { plan: input, dimensions: below } = carry(&a.input)?;
            let mut dimensions = Vec::new();
            for (i, expr) in a.group_expr.iter().enumerate() {
                let column = a.schema.field(i).name().clone();
                let columns = expr.column_refs();
                let mut of = columns.iter().map(|c| below.iter().find(|d| d.column == c.name));
                let one = match of.next() {
                    Some(Some(first)) if of.all(|d| d.is_some_and(|d| d.column == first.column)) => first,
                    _ => {
                        return plan_err!(
                            "the group key {expr} is not a function of one axis, so it makes no dimension; ask in row form (sql)"
                        );
                    }
                };
                let whole = matches!(unaliased(expr), Expr::Column(_));
                let function = match (&one.function, whole) {
                    (inner, true) => inner.clone(),
                    (None, false) => Some(over_axis(unaliased(expr), one)?),
                    (Some(_), false) => {
                        return plan_err!("the group key {expr} is a function of a function of an axis; ask in row form (sql)");
                    }
                };
                let name = if whole { one.name.clone() } else { short_name(unaliased(expr), &column) };
                dimensions.push(Dimension { column, name, view: one.view.clone(), axis: one.axis, function });
            }
            let plan = plan.with_new_exprs(plan.expressions(), vec![input])?;
            Ok(Carried { plan, dimensions })
        }
        // The order of rows means nothing in an array.
        LogicalPlan::Sort(s) if s.fetch.is_none() => carry(&s.input),
        LogicalPlan::Filter(_) | LogicalPlan::SubqueryAlias(_) | LogicalPlan::Window(_) | LogicalPlan::Limit(_) | LogicalPlan::Sort(_) => {
            let Carried { plan: input, dimensions } = carry(plan.inputs()[0])?;
            let plan = match plan {
                LogicalPlan::SubqueryAlias(s) => LogicalPlanBuilder::from(input).alias(s.alias.clone())?.build()?,
                LogicalPlan::Window(w) => LogicalPlanBuilder::from(input).window(w.window_expr.clone())?.build()?,
                other => other.with_new_exprs(other.expressions(), vec![input])?,
            };
            Ok(Carried { plan, dimensions })
        }
        other => plan_err!("array form is not available through {}; ask in row form (sql)", other.display()),
    }
}

/// Prefix of columns that carry an axis that was not selected.
pub(crate) const HIDDEN: &str = "__axis_";

fn unaliased(expr: &Expr) -> &Expr {
    match expr {
        Expr::Alias(a) => unaliased(&a.expr),
        other => other,
    }
}

/// The expression over the axis's own column of the cube's table.
fn over_axis(expr: &Expr, d: &Dimension) -> Result<Expr> {
    let axis = d.view.cube.grid.axes[d.axis].name.clone();
    expr.clone()
        .transform(|e| match e {
            Expr::Column(_) => Ok(Transformed::yes(Expr::Column(Column::new_unqualified(axis.clone())))),
            other => Ok(Transformed::no(other)),
        })
        .data()
}

/// `month` for `month(time)`, `time` for `date_trunc('day', time)`, `y` for `coarsen(y, 4)`; otherwise the column's own name.
fn short_name(expr: &Expr, column: &str) -> String {
    match expr {
        Expr::ScalarFunction(f) if f.args.len() == 1 => f.name().to_string(),
        Expr::ScalarFunction(f) if matches!(f.name(), "date_trunc" | "date_bin" | "coarsen") => {
            f.args.iter().find_map(|a| if let Expr::Column(c) = a { Some(c.name.clone()) } else { None }).unwrap_or(column.to_string())
        }
        Expr::ScalarFunction(f) if f.name() == "date_part" => match &f.args[0] {
            Expr::Literal(part, _) => part.to_string(),
            _ => column.to_string(),
        },
        _ => column.to_string(),
    }
}
