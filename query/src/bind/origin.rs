//! Where a column of a plan comes from: the axis of a cube that it is, seen through aliases, projections, filters and joins.

use std::sync::Arc;

use datafusion::catalog::default_table_source::source_as_provider;
use datafusion::common::Column;
use datafusion::logical_expr::{Expr, LogicalPlan};

use crate::table::CubeTable;
use crate::view::View;

/// The view and the axis (position in its grid) whose coordinates `column`, a column of `plan`'s output, holds.
pub(crate) fn axis_of(plan: &LogicalPlan, column: &Column) -> Option<(Arc<View>, usize)> {
    match plan {
        LogicalPlan::TableScan(scan) => {
            let provider = source_as_provider(&scan.source).ok()?;
            let table = provider.downcast_ref::<CubeTable>()?;
            Some((table.view.clone(), table.view.cube.grid.position(&column.name)?))
        }
        LogicalPlan::Projection(p) => through(&p.expr, p.schema.maybe_index_of_column(column)?, &p.input),
        LogicalPlan::Aggregate(a) => through(&a.group_expr, a.schema.maybe_index_of_column(column)?, &a.input),
        LogicalPlan::SubqueryAlias(s) => {
            let (qualifier, field) = s.input.schema().qualified_field(s.schema.maybe_index_of_column(column)?);
            axis_of(&s.input, &Column::new(qualifier.cloned(), field.name()))
        }
        LogicalPlan::Union(_) => None,
        other => other.inputs().into_iter().find(|input| input.schema().has_column(column)).and_then(|input| axis_of(input, column)),
    }
}

fn through(exprs: &[Expr], i: usize, input: &LogicalPlan) -> Option<(Arc<View>, usize)> {
    fn bare(expr: &Expr) -> &Expr {
        if let Expr::Alias(a) = expr { bare(&a.expr) } else { expr }
    }
    match bare(exprs.get(i)?) {
        Expr::Column(inner) => axis_of(input, inner),
        _ => None,
    }
}
