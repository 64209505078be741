//! The dimensions of a join along axes: those of the left side, then those that only the right side has.

use std::sync::Arc;

use datafusion::common::{JoinType, plan_err};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, Join, LogicalPlan};

use super::{Carried, Dimension, carry, unaliased};
use crate::bind::origin::crop;
use crate::functions::in_subset::Selection;

/// Carries axes up through a join. Every key must be an axis on both sides, and every axis that both have a key: otherwise a cell
/// would have several rows.
pub(super) fn carry_join(join: &Join) -> Result<Carried> {
    let advice = "ask in row form (sql)";
    if !matches!(join.join_type, JoinType::Inner | JoinType::Left) {
        return plan_err!("array form is not available through a {} join; {advice}", join.join_type);
    }
    let left = carry(&join.left)?;
    let right = carry(&join.right)?;
    let (mut dimensions, mut others) = (left.dimensions, right.dimensions);
    for (ours, theirs) in &join.on {
        let (Some(l), Some(r)) = (position(&dimensions, ours), position(&others, theirs)) else {
            return plan_err!("{ours} = {theirs} joins values, not axes, so a cell of the answer may have several rows; {advice}");
        };
        let other = others.remove(r);
        let d = &mut dimensions[l];
        if join.join_type == JoinType::Inner {
            keep_common(d, &other)?;
            d.also.push(other.column);
            d.also.extend(other.also);
        }
    }
    if let Some(extra) = others.first().filter(|_| join.join_type == JoinType::Left) {
        return plan_err!(
            "a LEFT JOIN of cells without partner has no place along {}, which only its right side has; {advice}",
            extra.name
        );
    }
    if let Some(twice) = others.iter().find(|o| dimensions.iter().any(|d| d.name == o.name)) {
        return plan_err!("both sides have an axis {}, which the join leaves apart; join on it (USING DIMS), or rename one", twice.name);
    }
    dimensions.extend(others);
    if let Some(filter) = join.filter.as_ref().filter(|_| join.join_type == JoinType::Left) {
        return plan_err!("the condition {filter} of a LEFT JOIN is more than its axes; {advice}");
    }
    let (left_plan, right_plan) = (Arc::new(left.plan), Arc::new(right.plan));
    let plan = LogicalPlan::Join(Join { left: left_plan, right: right_plan, ..join.clone() }).recompute_schema()?;
    // What the leaves hold are the sides, not the join.
    Ok(Carried { plan, dimensions, cropped: left.cropped || right.cropped })
}

fn position(dimensions: &[Dimension], key: &Expr) -> Option<usize> {
    match unaliased(key) {
        Expr::Column(column) => dimensions.iter().position(|d| d.is(column)),
        _ => None,
    }
}

/// Takes the coordinates away that the other side has not. Of functions of axes all values stay: where one side lacks a value,
/// cells are missing.
fn keep_common(d: &mut Dimension, other: &Dimension) -> Result<()> {
    if d.function.is_some() || other.function.is_some() {
        return Ok(());
    }
    let coordinates = other.view.axes[other.axis].coordinates.clone();
    let narrowed = crop(&d.view, d.axis, &Selection { column: d.column.clone(), coordinates, fixed: false })?;
    if narrowed.axes[d.axis].len() < d.view.axes[d.axis].len() {
        d.view = Arc::new(narrowed);
        d.cropped = true;
    }
    Ok(())
}
