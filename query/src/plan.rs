//! Between the SQL parser and DataFusion's planner: names and `DIMS` are resolved in the tree, and statements that reach
//! outside the catalog are refused.

use datafusion::logical_expr::{DdlStatement, LogicalPlan};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{Query, Statement as SqlStatement};
use graticule_grammar::Desugared;
use graticule_storage::catalog::Catalog;

use crate::bind::{dims, names};
use crate::{ErrorKind, QueryError};

/// Resolves names and `DIMS` in every query of a statement.
pub(crate) fn rewrite(statement: &mut Statement, catalog: &Catalog, text: &Desugared) -> Result<(), QueryError> {
    let Some(query) = query_of(statement) else { return Ok(()) };
    let columns = |table: &str| {
        let cube = catalog.cube(table)?;
        let axes = cube.grid.axes.iter().map(|a| a.name.clone());
        Some(axes.chain(cube.variables.iter().map(|v| v.name.clone())).collect())
    };
    let axes = |table: &str| Some(catalog.cube(table)?.grid.axes.iter().map(|a| a.name.clone()).collect());
    dims::expand(query, &axes).and_then(|()| names::resolve_case(query, &columns)).map_err(|e| e.located(text))
}

fn query_of(statement: &mut Statement) -> Option<&mut Query> {
    let Statement::Statement(statement) = statement else { return None };
    match statement.as_mut() {
        SqlStatement::Query(query) => Some(query),
        SqlStatement::CreateView(view) => Some(&mut view.query),
        _ => None,
    }
}

/// Only queries, views and settings: everything that names a file goes through `CREATE CUBE`, which knows the roots.
pub(crate) fn check_allowed(statement: &Statement) -> Result<(), QueryError> {
    let refused = |what: &str| {
        Err(QueryError::new(ErrorKind::Unsupported, format!("{what} is not supported: files are read in place through CREATE CUBE")))
    };
    match statement {
        Statement::CreateExternalTable(_) => refused("CREATE EXTERNAL TABLE"),
        Statement::CopyTo(_) => refused("COPY"),
        Statement::Statement(s) => match s.as_ref() {
            SqlStatement::Insert(_) => refused("INSERT"),
            SqlStatement::Delete(_) => refused("DELETE"),
            SqlStatement::Update(_) => refused("UPDATE"),
            SqlStatement::Copy { .. } => refused("COPY"),
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}

/// True for a plan that changes the session instead of answering.
pub(crate) fn is_session_statement(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Ddl(ddl) => !matches!(ddl, DdlStatement::CreateExternalTable(_)),
        LogicalPlan::Statement(_) => true,
        _ => false,
    }
}
