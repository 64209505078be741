//! Between the SQL parser and DataFusion's planner: names and `DIMS` are resolved in the tree, and statements that reach
//! outside the catalog are refused.

use std::ops::ControlFlow;

use datafusion::common::ScalarValue;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, FunctionArguments, ObjectName, Query, Spanned, Statement as SqlStatement, Value, VisitMut,
    VisitorMut, visit_relations,
};
use graticule_grammar::Desugared;
use graticule_storage::catalog::Catalog;

use crate::bind::relations::{normalised, table_name};
use crate::bind::{dims, names, views};
use crate::catalog::CubeSchema;
use crate::geometry::tables::Format;
use crate::{ErrorKind, Parameters, QueryError, geometry};

/// Resolves names and `DIMS` in every query of a statement.
pub(crate) fn rewrite(statement: &mut Statement, cubes: &CubeSchema, text: &Desugared, parameters: &Parameters) -> Result<(), QueryError> {
    let Some(query) = query_of(statement) else { return Ok(()) };
    resolve(query, cubes, text, parameters)
}

/// The same for one query. Views that it names become CTEs of it.
pub(crate) fn resolve(query: &mut Query, cubes: &CubeSchema, text: &Desugared, parameters: &Parameters) -> Result<(), QueryError> {
    views::expand(query, &|name| cubes.view(name)).map_err(|e| e.located(text))?;
    geometry::cell::quote(query);
    if let Parameters::Values(values) = parameters {
        let _ = query.visit(&mut SliceTexts(values));
    }
    let catalog = cubes.catalog();
    let columns = |table: &str| {
        let cube = catalog.cube(table)?;
        let axes = cube.grid.axes.iter().map(|a| a.name.clone());
        Some(axes.chain(cube.variables.iter().map(|v| v.name.clone())).collect())
    };
    let axes = |table: &str| cubes.axes(table);
    let expanded = match dims::expand(query, &axes) {
        // DIMS of a FROM clause whose only fault is a name that is nowhere.
        Err(error) if error.message.contains("no cube in it") => Err(unknown_cube(query, catalog).unwrap_or(error)),
        done => done,
    };
    expanded.and_then(|()| names::resolve_case(query, &columns)).map_err(|e| e.located(text))
}

/// Puts text parameters into slices (`axis_at('time', $1)`), so that a period among them is known for one.
struct SliceTexts<'a>(&'a [ScalarValue]);

impl VisitorMut for SliceTexts<'_> {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let Expr::Function(call) = expr else { return ControlFlow::Continue(()) };
        if !call.name.to_string().eq_ignore_ascii_case("axis_at") {
            return ControlFlow::Continue(());
        }
        let FunctionArguments::List(list) = &mut call.args else { return ControlFlow::Continue(()) };
        for arg in &mut list.args {
            if let FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(value))) = arg
                && let Value::Placeholder(id) = &value.value
                && let Some(number) = id.trim_start_matches('$').parse::<usize>().ok().and_then(|n| n.checked_sub(1))
                && let Some(ScalarValue::Utf8(Some(text)) | ScalarValue::Utf8View(Some(text)) | ScalarValue::LargeUtf8(Some(text))) =
                    self.0.get(number)
            {
                value.value = Value::SingleQuotedString(text.clone());
            }
        }
        ControlFlow::Continue(())
    }
}

/// The error about the first relation of a query that is almost the name of a cube.
fn unknown_cube(query: &mut Query, catalog: &Catalog) -> Option<QueryError> {
    let cubes: Vec<String> = catalog.cubes().iter().map(|c| c.name.clone()).collect();
    let ctes: Vec<String> = query.with.iter().flat_map(|w| &w.cte_tables).map(|cte| normalised(&cte.alias.name)).collect();
    let mut found = None;
    let _ = visit_relations(query, |name| {
        let wanted = table_name(name);
        if cubes.contains(&wanted) || ctes.contains(&wanted) {
            return ControlFlow::Continue(());
        }
        let hint = names::did_you_mean(&wanted, cubes.iter().map(String::as_str));
        if hint.is_empty() {
            return ControlFlow::Continue(());
        }
        found = Some(QueryError::user(format!("there is no cube `{wanted}`{hint}")).at(name.span()));
        ControlFlow::Break(())
    });
    found
}

fn query_of(statement: &mut Statement) -> Option<&mut Query> {
    let Statement::Statement(statement) = statement else { return None };
    match statement.as_mut() {
        SqlStatement::Query(query) => Some(query),
        _ => None,
    }
}

/// Only queries, views and settings: everything that names a file goes through `CREATE CUBE`, which knows the roots.
pub(crate) fn check_allowed(statement: &Statement) -> Result<(), QueryError> {
    let refused = |what: &str| {
        Err(QueryError::new(ErrorKind::Unsupported, format!("{what} is not supported: files are read in place through CREATE CUBE")))
    };
    match statement {
        Statement::CreateExternalTable(table) if Format::ALL.iter().any(|(word, _)| table.file_type.eq_ignore_ascii_case(word)) => Ok(()),
        Statement::CreateExternalTable(table) => Err(QueryError::new(
            ErrorKind::Unsupported,
            format!(
                "CREATE EXTERNAL TABLE ... STORED AS {} is not supported: tables of geometries are STORED AS GEOJSON or GEOPARQUET, arrays are read in place through CREATE CUBE",
                table.file_type
            ),
        )),
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

/// True for a statement that may ask about the columns of tables: DESCRIBE, SHOW, `information_schema`.
pub(crate) fn asks_about_tables(statement: &Statement) -> bool {
    let Statement::Statement(statement) = statement else { return false };
    if !matches!(statement.as_ref(), SqlStatement::Query(_)) {
        return true;
    }
    let asks = |name: &ObjectName| {
        let about = name.0.iter().any(|part| part.as_ident().is_some_and(|part| normalised(part) == "information_schema"));
        if about { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    visit_relations(statement, asks).is_break()
}

/// True for a plan that changes the session instead of answering.
pub(crate) fn is_session_statement(plan: &LogicalPlan) -> bool {
    matches!(plan, LogicalPlan::Ddl(_) | LogicalPlan::Statement(_))
}
