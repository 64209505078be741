//! Views as the engine keeps and describes them: made, dropped, and shown by `DESCRIBE CUBE`, `SHOW CUBES` and
//! `information_schema`. How a query reads them is in `bind/views.rs`.

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::Schema;
use datafusion::arrow::util::display::array_value_to_string;
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::parser::Statement as Parsed;
use datafusion::sql::sqlparser::ast::Statement as SqlStatement;
use graticule_grammar::{Desugared, Statement};

use crate::bind::relations::ident;
use crate::bind::statements::{Listed, Row, cubes, described};
use crate::bind::views::{self, ViewStatement};
use crate::result::array;
use crate::view::ATTRIBUTES;
use crate::{Engine, ErrorKind, Parameters, QueryError, plan};

/// What a statement changes about views, once it runs.
pub(crate) enum ViewChange {
    /// Keeps this text under this name; `replace`: also where there is one.
    Create { name: String, text: String, replace: bool, if_not_exists: bool },
    /// Forgets these.
    Drop { names: Vec<String>, if_exists: bool },
}

impl Engine {
    /// Plans a view, so that one that cannot be read is not made.
    pub(crate) async fn view_change(
        &self,
        state: &SessionState,
        change: ViewStatement,
        text: &Desugared,
    ) -> Result<ViewChange, QueryError> {
        let (name, or_replace, if_not_exists, mut query) = match change {
            ViewStatement::Drop { names, if_exists } => return Ok(ViewChange::Drop { names, if_exists }),
            ViewStatement::Create { name, or_replace, if_not_exists, query } => (name, or_replace, if_not_exists, query),
        };
        // What it reads now; its own name among them would never come to an end.
        let mut whole = query.clone();
        let read = views::expand(&mut whole, &|view| self.cubes.view(view)).map_err(|e| e.located(text))?;
        if read.contains(&name) {
            return Err(QueryError::user(format!("view {name} would read itself: give the new one another name")));
        }
        plan::resolve(&mut query, &self.cubes, text, &Parameters::Values(vec![]))?;
        let statement = Parsed::Statement(Box::new(SqlStatement::Query(query)));
        plan::check_allowed(&statement)?;
        let planned = self.logical(state, statement, &Parameters::Values(vec![])).await;
        planned.map_err(|e| self.error(e, text))?;
        Ok(ViewChange::Create { name, text: text.text().to_owned(), replace: or_replace, if_not_exists })
    }

    /// Makes or drops views.
    pub(crate) fn change_view(&self, change: &ViewChange) -> Result<(), QueryError> {
        let catalog = self.catalog();
        match change {
            ViewChange::Create { name, text, replace, if_not_exists } => match catalog.view(name) {
                Some(_) if *if_not_exists => Ok(()),
                Some(_) if !replace => {
                    Err(QueryError::user(format!("view {name} exists; CREATE OR REPLACE VIEW or DROP VIEW {name} makes room")))
                }
                _ => Ok(catalog.put_view(name, text)?),
            },
            ViewChange::Drop { names, if_exists } => names.iter().try_for_each(|name| {
                if catalog.drop_view(name)? || *if_exists {
                    return Ok(());
                }
                let known: Vec<String> = catalog.views().into_keys().collect();
                Err(QueryError::new(
                    ErrorKind::NotFound,
                    match catalog.cube(name) {
                        Some(_) => format!("{name} is a cube: DROP CUBE {name}"),
                        None if known.is_empty() => format!("there is no view {name} (there are none: CREATE VIEW makes one)"),
                        None => format!("there is no view {name} (views: {})", known.join(", ")),
                    },
                ))
            }),
        }
    }

    /// The plan of `SELECT *` from a view.
    async fn plan_of_view(&self, state: &SessionState, name: &str) -> Result<LogicalPlan, QueryError> {
        let Statement::Query(text) = graticule_grammar::parse(&format!("SELECT * FROM {}", ident(name)))? else {
            return Err(QueryError::new(ErrorKind::Internal, "a query that is none"));
        };
        let failed = |e| self.error(e, &text);
        let mut statement = state.sql_to_statement(&text.sql, &state.config_options().sql_parser.dialect).map_err(failed)?;
        plan::rewrite(&mut statement, &self.cubes, &text, &Parameters::Values(vec![]))?;
        Ok(self.logical(state, statement, &Parameters::Values(vec![])).await.map_err(failed)?.0)
    }

    /// Finds out what views answer with, for a statement that asks about tables. One that no longer plans is reported in the
    /// log and has no columns.
    pub(crate) async fn describe_views(&self, state: &SessionState) {
        for name in self.catalog().views().into_keys() {
            let schema = match self.plan_of_view(state, &name).await {
                Ok(plan) => plan.schema().inner().clone(),
                Err(error) => {
                    tracing::warn!("view {name}: {error}");
                    Arc::new(Schema::empty())
                }
            };
            self.cubes.describe_view(&name, schema);
        }
    }

    /// True for `DESCRIBE CUBE` of a view, and `SHOW CUBES` where there are views.
    pub(crate) fn is_about_views(&self, statement: &Statement) -> bool {
        match statement {
            Statement::DescribeCube { name } => {
                self.catalog().cube(&name.dotted()).is_none() && self.catalog().view(&name.dotted()).is_some()
            }
            Statement::ShowCubes => !self.catalog().views().is_empty(),
            _ => false,
        }
    }

    /// Answers such a statement.
    pub(crate) async fn about_views(&self, statement: &Statement) -> Result<RecordBatch, QueryError> {
        let state = self.state(&Parameters::Values(vec![]));
        if let Statement::DescribeCube { name } = statement {
            return described(&self.rows_about_view(&state, &name.dotted()).await?);
        }
        let mut views = Vec::new();
        for name in self.catalog().views().into_keys() {
            let rows = self.rows_about_view(&state, &name).await;
            let rows = rows.unwrap_or_else(|error| {
                tracing::warn!("view {name}: {error}");
                let first = error.message.lines().next().unwrap_or_default();
                vec![Row { name: format!("cannot be read: {first}"), kind: "variable", ..Row::default() }]
            });
            let of = |kind: &'static str| rows.iter().filter(move |r| r.kind == kind);
            views.push(Listed {
                name: name.clone(),
                axes: of("axis").map(|r| format!("{}: {}", r.name, r.size)).collect::<Vec<_>>().join(", "),
                variables: of("variable").map(|r| r.name.as_str()).collect::<Vec<_>>().join(", "),
                cells: of("variable").map(|r| r.size).max().unwrap_or(0),
                granules: 0,
                stored_bytes: 0,
            });
        }
        cubes(&self.catalog().cubes(), views)
    }

    /// The axes and variables of a view; its columns where it has no axes.
    async fn rows_about_view(&self, state: &SessionState, name: &str) -> Result<Vec<Row>, QueryError> {
        let plan = self.plan_of_view(state, name).await?;
        let (axes, variables) = match array::shape(state, &plan).await {
            Ok(shape) => shape,
            Err(_) => (vec![], plan.schema().fields().iter().cloned().collect()),
        };
        let written = |name: &str| ident(name).to_string();
        let names = axes.iter().map(|a| written(&a.name)).collect::<Vec<_>>().join(", ");
        let cells = axes.iter().fold(1u64, |n, a| n.saturating_mul(a.coordinates.len() as u64));
        let mut rows = Vec::new();
        for axis in &axes {
            let at = |i: usize| array_value_to_string(&axis.coordinates, i).unwrap_or_default();
            let range = match axis.coordinates.len() {
                0 => None,
                1 => Some(at(0)),
                n => Some(format!("{} .. {}", at(0), at(n - 1))),
            };
            rows.push(Row {
                name: written(&axis.name),
                kind: "axis",
                data_type: Some(axis.coordinates.data_type().to_string()),
                size: axis.coordinates.len() as u64,
                range,
                units: axis.source.as_ref().and_then(|a| a.units.clone()),
                attributes: axis.source.as_ref().map(|a| a.attributes.to_json().to_string()),
                ..Row::default()
            });
        }
        rows.extend(variables.iter().map(|field| Row {
            name: written(field.name()),
            kind: "variable",
            data_type: Some(field.data_type().to_string()),
            axes: Some(names.clone()),
            size: cells,
            attributes: field.metadata().get(ATTRIBUTES).cloned(),
            ..Row::default()
        }));
        Ok(rows)
    }
}
