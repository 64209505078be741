//! `SAMPLE(cube, points, method => 'nearest')` in FROM: which cube, which points, and how.

use std::sync::Arc;

use datafusion::catalog::default_table_source::{provider_as_source, source_as_provider};
use datafusion::common::{TableReference, plan_err};
use datafusion::error::Result;
use datafusion::logical_expr::planner::RelationPlannerContext;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::sqlparser::ast::{FunctionArg, TableFactor};

use super::grids::named;
use super::relations::text;
use super::subset::SubsetPlanner;
use crate::geometry::cell;
use crate::geometry::sample::{Method, SampleTable};
use crate::table::CubeTable;

impl SubsetPlanner {
    /// Plans `sample(cube, points [, method => ...])`.
    pub(super) fn sample(
        &self,
        args: &[FunctionArg],
        factor: &TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<LogicalPlan> {
        let [cube, points, rest @ ..] = args else {
            return plan_err!("SAMPLE wants a cube and a table of points, as SAMPLE(era5, stations, method => 'bilinear')");
        };
        let mut method = Method::Nearest;
        for arg in rest {
            let (name, value) = named(arg)?;
            method = match (name.as_str(), text(value)) {
                ("method", Some(word)) if word.eq_ignore_ascii_case("nearest") => Method::Nearest,
                ("method", Some(word)) if word.eq_ignore_ascii_case("bilinear") => Method::Bilinear,
                ("method", _) => return plan_err!("SAMPLE: method is 'nearest' or 'bilinear', not {value}"),
                _ => return plan_err!("SAMPLE: there is no option {name}; there is method"),
            };
        }
        let cube = self.operand(cube, factor, context)?;
        let Some(cube) = table(&cube)? else {
            return plan_err!("SAMPLE wants a cube, or a subset of one, first");
        };
        let points = cell::bind(self.operand(points, factor, context)?)?;
        let source = provider_as_source(Arc::new(SampleTable::new(cube, points, method)?));
        LogicalPlanBuilder::scan(TableReference::bare("sample"), source, None)?.build()
    }
}

/// The cube that a plan scans, and nothing more.
fn table(plan: &LogicalPlan) -> Result<Option<CubeTable>> {
    match plan {
        LogicalPlan::SubqueryAlias(alias) => table(&alias.input),
        LogicalPlan::TableScan(scan) if scan.filters.is_empty() && scan.projection.is_none() => {
            let provider = source_as_provider(&scan.source)?;
            Ok(provider.downcast_ref::<CubeTable>().cloned())
        }
        _ => Ok(None),
    }
}
