//! The dimensions of an answer: in array form the axes of a query come along whether selected or not.

mod joined;

use std::sync::Arc;

use datafusion::catalog::default_table_source::source_as_provider;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Column, plan_err};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, Projection};

use crate::bind::origin::{crop, snapped};
use crate::functions::in_subset::{Selection, selections};
use crate::functions::same_cell;
use crate::table::CubeTable;
use crate::view::View;

/// One dimension of an answer.
#[derive(Debug, Clone)]
pub(crate) struct Dimension {
    /// Its column in the plan's output.
    pub column: Column,
    /// Columns that hold the same coordinates: those that a join made equal.
    pub also: Vec<Column>,
    /// Its name in the answer.
    pub name: String,
    /// The cube's view as the plan's table has it; predicates may narrow it.
    pub view: Arc<View>,
    /// The axis of the cube's grid that it comes from.
    pub axis: usize,
    /// Set for a function of the axis: over the axis's own column, unqualified.
    pub function: Option<Expr>,
    /// True when its coordinates are those of `view`, which no leaf of the plan may have: a subset that is a filter, or a join,
    /// took some away.
    pub cropped: bool,
}

impl Dimension {
    fn is(&self, column: &Column) -> bool {
        self.column == *column || self.also.contains(column)
    }
}

/// A plan whose output holds the columns of all its dimensions, slowest first.
pub(crate) struct Carried {
    /// The plan.
    pub plan: LogicalPlan,
    /// Its dimensions.
    pub dimensions: Vec<Dimension>,
    /// True when the plan's leaf makes more cells than the answer has.
    pub cropped: bool,
}

impl Carried {
    /// The columns of the output that are no dimension, by number.
    pub fn variables(&self) -> Vec<usize> {
        let schema = self.plan.schema();
        let is_variable = |&i: &usize| {
            let column = Column::from(schema.qualified_field(i));
            !column.name.starts_with(HIDDEN) && !self.dimensions.iter().any(|d| d.is(&column))
        };
        (0..schema.fields().len()).filter(is_variable).collect()
    }

    /// The number of a dimension's column in the output.
    pub fn place(&self, dimension: &Dimension) -> Result<usize> {
        self.plan.schema().index_of_column(&dimension.column)
    }
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
                column: Column::new(Some(scan.table_name.clone()), &axis.name),
                also: vec![],
                name: axis.name.clone(),
                view: table.view.clone(),
                axis: number,
                function: None,
                cropped: false,
            };
            let dimensions = axes.filter(|(i, _)| !table.view.axes[*i].fixed).map(dimension).collect();
            Ok(Carried { plan: plan.clone(), dimensions, cropped: false })
        }
        LogicalPlan::Projection(p) => {
            let Carried { plan: input, mut dimensions, cropped } = carry(&p.input)?;
            let mut exprs = p.expr.clone();
            for d in &mut dimensions {
                // A join wrote its coordinates as those of another grid.
                if let Some((i, from, to)) = (0..p.expr.len()).find_map(|i| match same_cell::parts(&p.expr[i]) {
                    Some((column, from, to)) if d.is(column) => Some((i, from, to)),
                    _ => None,
                }) {
                    d.view = Arc::new(snapped(&d.view, d.axis, &from, to)?);
                    d.cropped = true;
                    (d.column, d.also) = (Column::from(p.schema.qualified_field(i)), vec![]);
                    d.name = d.column.name.clone();
                    continue;
                }
                let selected = |e: &&Expr| matches!(unaliased(e), Expr::Column(c) if d.is(c));
                let places: Vec<usize> = (0..p.expr.len()).filter(|&i| selected(&&p.expr[i])).collect();
                let is_own = |i: &usize| matches!(unaliased(&p.expr[*i]), Expr::Column(c) if d.column == *c);
                let column = |i: usize| Column::from(p.schema.qualified_field(i));
                match places.iter().copied().find(is_own) {
                    Some(i) => {
                        // A column that is selected under another name as well is a variable there.
                        d.also = places.iter().filter(|&&at| at != i && !is_own(&at)).map(|&at| column(at)).collect();
                        d.column = column(i);
                        if !d.column.name.starts_with(HIDDEN) {
                            d.name = d.column.name.clone();
                        }
                    }
                    None => {
                        d.also = places.iter().map(|&at| column(at)).collect();
                        let hidden = format!("{HIDDEN}{}", d.name);
                        exprs.push(Expr::Column(d.column.clone()).alias(hidden.clone()));
                        d.column = Column::new_unqualified(hidden);
                    }
                }
            }
            let plan = LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(input))?);
            Ok(Carried { plan, dimensions, cropped })
        }
        LogicalPlan::Aggregate(a) => {
            let Carried { plan: input, dimensions: below, cropped } = carry(&a.input)?;
            let mut dimensions = Vec::new();
            for (i, expr) in a.group_expr.iter().enumerate() {
                let column = Column::from(a.schema.qualified_field(i));
                let columns = expr.column_refs();
                let mut of = columns.iter().map(|c| below.iter().find(|d| d.is(c)));
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
                let name = if whole { one.name.clone() } else { short_name(unaliased(expr), &column.name) };
                dimensions.push(Dimension { column, also: vec![], name, function, ..one.clone() });
            }
            let plan = plan.with_new_exprs(plan.expressions(), vec![input])?;
            Ok(Carried { plan, dimensions, cropped })
        }
        // The order of rows means nothing in an array.
        LogicalPlan::Sort(s) if s.fetch.is_none() => carry(&s.input),
        LogicalPlan::Filter(f) => {
            let Carried { plan: input, mut dimensions, mut cropped } = carry(&f.input)?;
            for selection in selections(&f.predicate) {
                cropped = true;
                take(&mut dimensions, &selection)?;
            }
            let plan = plan.with_new_exprs(plan.expressions(), vec![input])?;
            Ok(Carried { plan, dimensions, cropped })
        }
        LogicalPlan::SubqueryAlias(s) => {
            let Carried { plan: input, mut dimensions, cropped } = carry(&s.input)?;
            for d in &mut dimensions {
                for column in std::iter::once(&mut d.column).chain(&mut d.also) {
                    column.relation = Some(s.alias.clone());
                }
            }
            let plan = LogicalPlanBuilder::from(input).alias(s.alias.clone())?.build()?;
            Ok(Carried { plan, dimensions, cropped })
        }
        LogicalPlan::Join(j) => joined::carry_join(j),
        LogicalPlan::Window(_) | LogicalPlan::Limit(_) | LogicalPlan::Sort(_) => {
            let Carried { plan: input, dimensions, cropped } = carry(plan.inputs()[0])?;
            let plan = match plan {
                LogicalPlan::Window(w) => LogicalPlanBuilder::from(input).window(w.window_expr.clone())?.build()?,
                other => other.with_new_exprs(other.expressions(), vec![input])?,
            };
            Ok(Carried { plan, dimensions, cropped })
        }
        other => plan_err!("array form is not available through {}; ask in row form (sql)", other.display()),
    }
}

/// Leaves a selection's coordinates of one dimension; none at all after a slice.
fn take(dimensions: &mut Vec<Dimension>, selection: &Selection) -> Result<()> {
    let Some(at) = dimensions.iter().position(|d| d.is(&selection.column)) else {
        return plan_err!("{} is no dimension here, so a subset cannot narrow it; ask in row form (sql)", selection.column.name);
    };
    let d = &mut dimensions[at];
    d.view = Arc::new(crop(&d.view, d.axis, selection)?);
    d.cropped = true;
    let (view, axis) = (d.view.clone(), d.axis);
    if selection.fixed {
        dimensions.remove(at);
        // The others tell of the coordinate at which it is fixed.
        for other in dimensions.iter_mut().filter(|other| other.view.cube.name == view.cube.name) {
            other.view = Arc::new(other.view.fixed_as(axis, &view));
        }
    }
    Ok(())
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
