//! A nested loop over cells and geometries, ON `ST_Covers` or `ST_Intersects`, becomes a join by cells (`geometry/join`). It is
//! the row plan as well: `graticule.dense` has no say in it.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{JoinSide, JoinType};
use datafusion::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr, conjunction, split_conjunction};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::joins::NestedLoopJoinExec;
use datafusion::physical_plan::joins::utils::{ColumnIndex, JoinFilter};

use crate::geometry::bound::Rule;
use crate::geometry::functions::CellFunction;
use crate::geometry::join::{ZonalJoin, ZonalJoinExec};

/// The rule.
#[derive(Debug)]
pub(super) struct JoinByCells;

impl PhysicalOptimizerRule for JoinByCells {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|node| {
            let join = node.downcast_ref::<NestedLoopJoinExec>().and_then(zonal);
            Ok(match join {
                Some(join) => Transformed::yes(Arc::new(ZonalJoinExec::new(join)?)),
                None => Transformed::no(node),
            })
        })
        .data()
    }

    fn name(&self) -> &str {
        "join_by_cells"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The join by cells that a nested loop is.
fn zonal(join: &NestedLoopJoinExec) -> Option<ZonalJoin> {
    if !matches!(join.join_type(), JoinType::Inner | JoinType::Left | JoinType::Right | JoinType::Full) {
        return None;
    }
    let filter = join.filter()?;
    let parts = split_conjunction(filter.expression());
    let (at, function, args) = parts.iter().enumerate().find_map(|(i, part)| {
        let call = part.downcast_ref::<ScalarFunctionExpr>()?;
        let function = call.fun().inner().downcast_ref::<CellFunction>()?;
        (function.rule != Rule::Coverage && function.bound.is_some()).then(|| (i, function, call.args()))
    })?;
    let [geometry, y, x] = args else { return None };
    let zones = side_of(geometry, filter)?;
    let other = if zones == JoinSide::Left { JoinSide::Right } else { JoinSide::Left };
    let on = |expr: &Arc<dyn PhysicalExpr>, side: JoinSide| over(expr, filter.column_indices(), side);
    let rest: Vec<_> = parts.iter().enumerate().filter(|(i, _)| *i != at).map(|(_, part)| (*part).clone()).collect();
    let residual =
        (!rest.is_empty()).then(|| JoinFilter::new(conjunction(rest), filter.column_indices().to_vec(), filter.schema().clone()));
    Some(ZonalJoin {
        left: join.left().clone(),
        right: join.right().clone(),
        join_type: *join.join_type(),
        zones,
        rule: function.rule,
        bound: function.bound.clone()?,
        geometry: on(geometry, zones)?,
        cell: [on(y, other)?, on(x, other)?],
        residual,
        projection: join.projection().as_ref().map(|p| p.to_vec()),
    })
}

/// The side of the first column of an expression.
fn side_of(expr: &Arc<dyn PhysicalExpr>, filter: &JoinFilter) -> Option<JoinSide> {
    let columns = datafusion::physical_expr::utils::collect_columns(expr);
    columns.iter().next().and_then(|c| filter.column_indices().get(c.index())).map(|c| c.side)
}

/// An expression over the filter's columns as one over the columns of a side; `None` where it has others.
fn over(expr: &Arc<dyn PhysicalExpr>, indices: &[ColumnIndex], side: JoinSide) -> Option<Arc<dyn PhysicalExpr>> {
    let mut all = true;
    let replaced = expr.clone().transform_up(|e| {
        let Some(column) = e.downcast_ref::<Column>() else { return Ok(Transformed::no(e)) };
        match indices.get(column.index()) {
            Some(index) if index.side == side => {
                Ok(Transformed::yes(Arc::new(Column::new(column.name(), index.index)) as Arc<dyn PhysicalExpr>))
            }
            _ => {
                all = false;
                Ok(Transformed::no(e))
            }
        }
    });
    replaced.data().ok().filter(|_| all)
}
