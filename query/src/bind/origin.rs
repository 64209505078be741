//! Where a column of a plan comes from: the axis of a cube that it is, seen through aliases, projections, filters and joins.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef};
use datafusion::arrow::compute;
use datafusion::catalog::default_table_source::source_as_provider;
use datafusion::common::{Column, plan_err};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, Join, JoinType, LogicalPlan};

use crate::functions::in_subset::{Selection, among, selections};
use crate::functions::same_cell::parts;
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
        LogicalPlan::Filter(f) => cropped(axis_of(&f.input, column)?, &f.predicate, &f.input),
        LogicalPlan::Join(j) => joined(j, column),
        LogicalPlan::Union(_) => None,
        other => other.inputs().into_iter().find(|input| input.schema().has_column(column)).and_then(|input| axis_of(input, column)),
    }
}

/// The axis without what selections that are filters take away.
fn cropped((mut view, axis): (Arc<View>, usize), predicate: &Expr, input: &LogicalPlan) -> Option<(Arc<View>, usize)> {
    for selection in selections(predicate) {
        let (of, number) = axis_of(input, &selection.column)?;
        if of.cube.name == view.cube.name {
            view = Arc::new(crop(&view, number, &selection).ok()?);
        }
    }
    Some((view, axis))
}

/// A view with only the positions of an axis that a selection takes.
pub(crate) fn crop(view: &View, axis: usize, selection: &Selection) -> Result<View> {
    let wanted = compute::cast(&selection.coordinates, view.axes[axis].coordinates.data_type())?;
    let seen = among(&view.axes[axis].coordinates, &wanted)?;
    let positions: Vec<u64> = (0u64..).zip(seen.iter()).filter(|(_, kept)| *kept == Some(true)).map(|(at, _)| at).collect();
    view.select(axis, &positions, None, selection.fixed)
}

/// An axis of a join: with the coordinates that both sides have, where it is a key of an inner join.
fn joined(join: &Join, column: &Column) -> Option<(Arc<View>, usize)> {
    let is_left = join.left.schema().has_column(column);
    let (own, other) = if is_left { (&join.left, &join.right) } else { (&join.right, &join.left) };
    let (view, axis) = axis_of(own, column)?;
    let key = |(l, r): &(Expr, Expr)| match (l, r) {
        (Expr::Column(l), Expr::Column(r)) if is_left && l == column => Some(r.clone()),
        (Expr::Column(l), Expr::Column(r)) if !is_left && r == column => Some(l.clone()),
        _ => None,
    };
    let Some(key) = join.on.iter().find_map(key).filter(|_| join.join_type == JoinType::Inner) else { return Some((view, axis)) };
    let Some((others, number)) = axis_of(other, &key) else { return Some((view, axis)) };
    let common = Selection { column: key, coordinates: others.axes[number].coordinates.clone(), fixed: false };
    Some((Arc::new(crop(&view, axis, &common).ok()?), axis))
}

/// A view in which the coordinates `from` of an axis are called `to`, and others are gone.
pub(crate) fn snapped(view: &View, axis: usize, from: &ArrayRef, to: ArrayRef) -> Result<View> {
    let seen = among(&view.axes[axis].coordinates, from)?;
    let positions: Vec<u64> = (0u64..).zip(seen.iter()).filter(|(_, kept)| *kept == Some(true)).map(|(at, _)| at).collect();
    if positions.len() != to.len() {
        return plan_err!("the coordinates of axis {} are not those that were compared", view.cube.grid.axes[axis].name);
    }
    view.select(axis, &positions, Some(to), false)
}

fn through(exprs: &[Expr], i: usize, input: &LogicalPlan) -> Option<(Arc<View>, usize)> {
    fn bare(expr: &Expr) -> &Expr {
        if let Expr::Alias(a) = expr { bare(&a.expr) } else { expr }
    }
    match bare(exprs.get(i)?) {
        Expr::Column(inner) => axis_of(input, inner),
        expr => {
            let (inner, from, to) = parts(expr)?;
            let (view, axis) = axis_of(input, inner)?;
            Some((Arc::new(snapped(&view, axis, &from, to).ok()?), axis))
        }
    }
}
