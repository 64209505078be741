//! A cube as DataFusion sees it: a table with one row a cell. Predicates on one axis narrow the view, from coordinates alone;
//! all others mask cells inside the leaf, and those on 2-D coordinates narrow it as well (see `located`).

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::{Array, BooleanArray};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, Statistics, stats::Precision};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType, Volatility};
use datafusion::physical_plan::ExecutionPlan;

use crate::dense::CubeExec;
use crate::dense::exec::LeafPlan;
use crate::dense::program::{Program, Step};
use crate::dense::supply::Supply;
use crate::located::Located;
use crate::optimizer::DenseOptions;
use crate::view::{CubeColumn, View};

/// A cube, or a part of one, as a table.
#[derive(Clone)]
pub(crate) struct CubeTable {
    /// What is seen.
    pub view: Arc<View>,
    /// Where the values come from.
    pub supply: Arc<dyn Supply>,
    located: Arc<Located>,
    schema: SchemaRef,
}

impl std::fmt::Debug for CubeTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CubeTable({})", self.view.cube.name)
    }
}

impl CubeTable {
    /// A table over what is seen of a cube.
    pub fn new(view: View, supply: Arc<dyn Supply>, located: Arc<Located>) -> CubeTable {
        let schema = view.schema(&view.columns());
        CubeTable { view: Arc::new(view), supply, located, schema }
    }

    /// The same cube seen through another view.
    pub fn with_view(&self, view: View) -> CubeTable {
        CubeTable::new(view, self.supply.clone(), self.located.clone())
    }

    /// The one axis that a predicate depends on.
    fn axis_of(&self, filter: &Expr) -> Option<usize> {
        let mut axes = filter.column_refs().into_iter().map(|c| self.view.cube.grid.position(&c.name));
        let first = axes.next()??;
        (axes.all(|a| a == Some(first)) && is_pure(filter)).then_some(first)
    }

    /// Narrows a view to the positions of an axis at which `filter` holds.
    fn narrow(&self, view: &View, axis: usize, filter: &Expr, state: &dyn Session) -> Result<View> {
        let schema = DFSchema::try_from(self.schema.as_ref().clone())?;
        let predicate = state.create_physical_expr(filter.clone(), &schema)?;
        let batch = view.along(axis, &self.schema, axis)?;
        let keep = predicate.evaluate(&batch)?.into_array(batch.num_rows())?;
        match keep.as_any().downcast_ref::<BooleanArray>() {
            Some(keep) => view.restrict(axis, keep),
            None => datafusion::common::internal_err!("the predicate {filter} gives {}", keep.data_type()),
        }
    }
}

/// True when an expression gives the same value for the same row, and contains no sub-query.
fn is_pure(expr: &Expr) -> bool {
    let mut pure = true;
    let walked = expr.apply(|e| {
        let bad = match e {
            Expr::ScalarFunction(f) => f.func.signature().volatility == Volatility::Volatile,
            Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_) | Expr::OuterReferenceColumn(..) | Expr::Placeholder(_) => true,
            _ => false,
        };
        if bad {
            pure = false;
            return Ok(TreeNodeRecursion::Stop);
        }
        Ok(TreeNodeRecursion::Continue)
    });
    pure && walked.is_ok()
}

#[async_trait]
impl TableProvider for CubeTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        // Every pure predicate is applied inside the leaf, to whole axes or to whole tiles.
        let of = |f: &&Expr| if is_pure(f) { TableProviderFilterPushDown::Exact } else { TableProviderFilterPushDown::Unsupported };
        Ok(filters.iter().map(of).collect())
    }

    fn statistics(&self) -> Option<Statistics> {
        Some(of_rows(&self.schema, Precision::Inexact(usize::try_from(self.view.cells()).unwrap_or(usize::MAX))))
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut view = self.view.as_ref().clone();
        if let Some(options) = state.config_options().extensions.get::<DenseOptions>() {
            view.tile_cells = options.tile_cells as u64;
        }
        let mut masks = Vec::new();
        for filter in filters {
            match self.axis_of(filter) {
                Some(axis) => view = self.narrow(&view, axis, filter, state)?,
                None => masks.push(filter),
            }
        }
        view = self.located.narrow(view, &self.supply, &masks, state).await?;
        let all = view.columns();
        let wanted: Vec<CubeColumn> = match projection {
            Some(p) => p.iter().map(|&i| all[i]).collect(),
            None => all.clone(),
        };
        // Columns that only the masks need are read after the wanted ones, and dropped by a map at the end.
        let mut columns = wanted.clone();
        for mask in &masks {
            for (column, field) in all.iter().zip(self.schema.fields()) {
                if !columns.contains(column) && mask.column_refs().iter().any(|c| c.name == *field.name()) {
                    columns.push(*column);
                }
            }
        }
        let mut program = Program::read(&view, columns);
        let read = DFSchema::try_from(program.read_schema.as_ref().clone())?;
        for mask in masks {
            let unqualified = unqualify(mask.clone())?;
            program.steps.push(Step::Mask(state.create_physical_expr(unqualified, &read)?));
        }
        if program.columns.len() > wanted.len() {
            let schema = view.schema(&wanted);
            let exprs = schema
                .fields()
                .iter()
                .enumerate()
                .map(|(i, f)| Arc::new(datafusion::physical_expr::expressions::Column::new(f.name(), i)) as _)
                .collect();
            program.steps.push(Step::Map { exprs, schema });
        }
        let partitions = state.config_options().execution.target_partitions;
        let mut leaf = LeafPlan::scan(self.supply.clone(), Arc::new(view), program, limit, partitions);
        leaf.statistics = state.config_options().extensions.get::<DenseOptions>().is_none_or(|o| o.statistics);
        Ok(Arc::new(CubeExec::new(leaf)))
    }
}

/// Columns without their relation: inside a scan there is only one.
pub(crate) fn unqualify(expr: Expr) -> Result<Expr> {
    use datafusion::common::tree_node::Transformed;
    expr.transform(|e| {
        Ok(match e {
            Expr::Column(c) => Transformed::yes(Expr::Column(datafusion::common::Column::new_unqualified(c.name))),
            other => Transformed::no(other),
        })
    })
    .map(|t| t.data)
}

/// Statistics that say how many rows there are and nothing else.
pub(crate) fn of_rows(schema: &SchemaRef, rows: Precision<usize>) -> Statistics {
    Statistics { num_rows: rows, ..Statistics::new_unknown(schema) }
}
