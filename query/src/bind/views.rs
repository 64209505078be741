//! A view is a CTE that the catalog remembers: the text of `CREATE VIEW` is kept, and a query that names a view gets it in
//! front, as a CTE. So a view has the axes that a CTE has, and is planned anew with every query.

use std::collections::HashSet;
use std::ops::ControlFlow;

use datafusion::sql::parser::Statement as Parsed;
use datafusion::sql::sqlparser::ast::helpers::attached_token::AttachedToken;
use datafusion::sql::sqlparser::ast::{
    CreateView, Cte, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr, Ident, ObjectName, ObjectType, Query,
    SelectItem, SetExpr, Spanned, Statement as SqlStatement, TableAlias, TableAliasColumnDef, TableFactor, Value, VisitMut, VisitorMut,
    With, visit_expressions,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Tokenizer;
use graticule_grammar::Statement;

use super::relations::{ident, last_part, normalised, star_over, table_name};
use crate::{ErrorKind, QueryError};

/// A statement that makes or drops views.
pub(crate) enum ViewStatement {
    /// `CREATE VIEW`.
    Create {
        /// Its name, parts joined by `.`.
        name: String,
        or_replace: bool,
        if_not_exists: bool,
        query: Box<Query>,
    },
    /// `DROP VIEW`.
    Drop { names: Vec<String>, if_exists: bool },
}

/// What a statement does to views; `None` for all others.
pub(crate) fn statement(parsed: &Parsed) -> Result<Option<ViewStatement>, QueryError> {
    let Parsed::Statement(statement) = parsed else { return Ok(None) };
    match statement.as_ref() {
        SqlStatement::CreateView(create) => created(create).map(Some),
        SqlStatement::Drop { object_type: ObjectType::View, if_exists, names, .. } => {
            Ok(Some(ViewStatement::Drop { names: names.iter().map(table_name).collect(), if_exists: *if_exists }))
        }
        SqlStatement::Drop { object_type: ObjectType::MaterializedView, .. } => refused("MATERIALIZED"),
        _ => Ok(None),
    }
}

fn refused<T>(what: &str) -> Result<T, QueryError> {
    Err(QueryError::new(ErrorKind::Unsupported, format!("a view is a query with a name, kept by the server: {what} is not supported")))
}

fn created(create: &CreateView) -> Result<ViewStatement, QueryError> {
    let CreateView { or_replace, if_not_exists, query, .. } = create;
    for (given, what) in [
        (create.materialized, "MATERIALIZED"),
        (create.temporary, "TEMPORARY"),
        (create.secure, "SECURE"),
        (create.or_alter, "OR ALTER"),
        (create.to.is_some(), "TO"),
        (!create.cluster_by.is_empty(), "CLUSTER BY"),
    ] {
        if given {
            return refused(what);
        }
    }
    let mut query = query.clone();
    rename(&mut query, create)?;
    let parameter = visit_expressions(&query, |expr| match expr {
        Expr::Value(value) if matches!(value.value, Value::Placeholder(_)) => ControlFlow::Break(value.span),
        _ => ControlFlow::Continue(()),
    });
    if let ControlFlow::Break(at) = parameter {
        return Err(QueryError::user("a view has no parameters: they belong to the query that reads it").at(at));
    }
    Ok(ViewStatement::Create { name: table_name(&create.name), or_replace: *or_replace, if_not_exists: *if_not_exists, query })
}

/// Gives the columns of a view's query the names of `CREATE VIEW v (a, b)`: as aliases, so that axes stay what they are.
fn rename(query: &mut Query, create: &CreateView) -> Result<(), QueryError> {
    if create.columns.is_empty() {
        return Ok(());
    }
    let names = || create.columns.iter().map(|column| column.name.clone());
    if let SetExpr::Select(select) = query.body.as_mut() {
        let plain = select.projection.iter().all(|i| matches!(i, SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. }));
        if plain && select.projection.len() != create.columns.len() {
            let (names, columns) = (create.columns.len(), select.projection.len());
            let place = create.columns.first().map(|column| column.name.span);
            let error = QueryError::user(format!("the view has {names} names for {columns} columns"));
            return Err(place.map_or(error.clone(), |place| error.at(place)));
        }
        let by_name = query.order_by.is_none() && matches!(&select.group_by, GroupByExpr::Expressions(keys, _) if keys.is_empty());
        if plain && by_name {
            for (item, alias) in select.projection.iter_mut().zip(names()) {
                if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item.clone() {
                    *item = SelectItem::ExprWithAlias { expr, alias };
                }
            }
            return Ok(());
        }
    }
    // The order and the groups name columns by what they were called before: they stay inside.
    let columns = names().map(|name| TableAliasColumnDef { name, data_type: None }).collect();
    let alias = Some(TableAlias { explicit: true, name: Ident::new("v"), columns, at: None });
    let subquery = Box::new(query.clone());
    *query = star_over(&mut TableFactor::Derived { lateral: false, subquery, alias, sample: None })?;
    Ok(())
}

/// A statement whose parts have no place: they stand in no text that a user sees.
fn statement_without_places(sql: &str) -> Result<SqlStatement, QueryError> {
    let dialect = GenericDialect {};
    let tokens = Tokenizer::new(&dialect, sql).tokenize().map_err(|e| QueryError::user(e.to_string()))?;
    let parsed = Parser::new(&dialect).with_tokens(tokens).parse_statement();
    parsed.map_err(|e| QueryError::user(e.to_string()))
}

/// The query of a view whose `CREATE VIEW` statement this is, as the catalog keeps it.
pub(crate) fn definition(statement: &str) -> Result<Query, QueryError> {
    let broken = || QueryError::new(ErrorKind::Internal, "the text that is kept is no CREATE VIEW");
    let Statement::Query(text) = graticule_grammar::parse(statement)? else { return Err(broken()) };
    let SqlStatement::CreateView(create) = statement_without_places(text.sql.trim_end().trim_end_matches(';'))? else {
        return Err(broken());
    };
    match created(&create)? {
        ViewStatement::Create { query, .. } => Ok(*query),
        ViewStatement::Drop { .. } => Err(broken()),
    }
}

/// Puts the views that a query names, and those that they name, in front of it as CTEs. `statement` gives the text of a
/// view's `CREATE VIEW`. Answers with the names of all views met.
pub(crate) fn expand(query: &mut Query, statement: &dyn Fn(&str) -> Option<String>) -> Result<HashSet<String>, QueryError> {
    let mut expansion = Expansion { statement, ctes: vec![], open: vec![], met: HashSet::new() };
    expansion.names_in(query)?;
    if !expansion.ctes.is_empty() {
        let with = query.with.get_or_insert_with(|| With { with_token: AttachedToken::empty(), recursive: false, cte_tables: vec![] });
        with.cte_tables.splice(..0, expansion.ctes);
    }
    Ok(expansion.met)
}

/// The name of the CTE that stands for a view. A space keeps it apart from those that users give.
fn cte_name(view: &str) -> Ident {
    Ident::with_quote('"', format!("view {view}"))
}

struct Expansion<'a> {
    statement: &'a dyn Fn(&str) -> Option<String>,
    /// Views come after those that they name.
    ctes: Vec<Cte>,
    /// The views whose definitions are being looked through.
    open: Vec<String>,
    met: HashSet<String>,
}

impl Expansion<'_> {
    fn names_in(&mut self, query: &mut Query) -> Result<(), QueryError> {
        let mut names = Names { expansion: self, ctes: vec![], withs: vec![] };
        match query.visit(&mut names) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(error) => Err(*error),
        }
    }

    /// The CTE that stands for a view; `None` when there is no such view.
    fn view(&mut self, name: &str) -> Result<Option<Ident>, QueryError> {
        let Some(text) = (self.statement)(name) else { return Ok(None) };
        if self.open.iter().any(|open| open == name) {
            return Err(QueryError::user(format!("view {name} reads itself (by way of {})", self.open.join(", "))));
        }
        if self.met.insert(name.to_owned()) {
            let told = |e: QueryError| QueryError::new(e.kind, format!("in view {name}: {}", e.message));
            let mut query = definition(&text).map_err(told)?;
            self.open.push(name.to_owned());
            self.names_in(&mut query).map_err(told)?;
            self.open.pop();
            let alias = TableAlias { explicit: false, name: cte_name(name), columns: vec![], at: None };
            let (query, closing_paren_token) = (Box::new(query), AttachedToken::empty());
            self.ctes.push(Cte { alias, query, from: None, materialized: None, closing_paren_token });
        }
        Ok(Some(cte_name(name)))
    }
}

/// Looks for the names of views where relations stand.
struct Names<'a, 'b> {
    expansion: &'a mut Expansion<'b>,
    /// CTEs in scope: they hide views of the name.
    ctes: Vec<String>,
    /// The WITH of every query around, taken out because its CTEs do not see those behind them; and the CTEs before it.
    withs: Vec<(Option<With>, usize)>,
}

impl Names<'_, '_> {
    fn view(&mut self, name: &str) -> ControlFlow<Box<QueryError>, Option<Ident>> {
        if self.ctes.iter().any(|cte| cte == name) {
            return ControlFlow::Continue(None);
        }
        match self.expansion.view(name) {
            Ok(found) => ControlFlow::Continue(found),
            Err(error) => ControlFlow::Break(Box::new(error)),
        }
    }
}

impl VisitorMut for Names<'_, '_> {
    type Break = Box<QueryError>;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Self::Break> {
        let before = self.ctes.len();
        let mut with = query.with.take();
        if let Some(With { recursive, cte_tables, .. }) = &mut with {
            for cte in cte_tables {
                let name = normalised(&cte.alias.name);
                if *recursive {
                    self.ctes.push(name.clone());
                }
                cte.query.visit(self)?;
                self.ctes.push(name);
            }
        }
        self.withs.push((with, before));
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<Self::Break> {
        if let Some((with, before)) = self.withs.pop() {
            query.with = with;
            self.ctes.truncate(before);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Self::Break> {
        let (name, alias) = match factor {
            TableFactor::Table { name, args: None, alias, .. } => (name, alias),
            TableFactor::Table { args: Some(args), alias, .. } => return self.argument(&mut args.args, alias),
            TableFactor::Function { args, alias, .. } => return self.argument(args, alias),
            _ => return ControlFlow::Continue(()),
        };
        if let Some(cte) = self.view(&table_name(name))? {
            let place = name.span();
            let last = last_part(name).unwrap_or_default();
            *name = ObjectName::from(vec![Ident { span: place, ..cte }]);
            name_it(alias, &last);
        }
        ControlFlow::Continue(())
    }
}

impl Names<'_, '_> {
    /// `subset(view, ...)`, `regrid(subset(view, ...), ...)`: the relation is the first argument, however deep.
    fn argument(&mut self, args: &mut [FunctionArg], alias: &mut Option<TableAlias>) -> ControlFlow<Box<QueryError>> {
        let Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(first))) = args.first_mut() else { return ControlFlow::Continue(()) };
        let name = match first {
            Expr::Function(Function { args: FunctionArguments::List(list), .. }) => return self.argument(&mut list.args, alias),
            Expr::Identifier(name) => ObjectName::from(vec![name.clone()]),
            Expr::CompoundIdentifier(parts) => ObjectName::from(parts.clone()),
            _ => return ControlFlow::Continue(()),
        };
        if let Some(cte) = self.view(&table_name(&name))? {
            *first = Expr::Identifier(Ident { span: name.span(), ..cte });
            name_it(alias, &last_part(&name).unwrap_or_default());
        }
        ControlFlow::Continue(())
    }
}

/// The alias by which columns of a view are qualified: its name, where there is no other.
fn name_it(alias: &mut Option<TableAlias>, name: &str) {
    if alias.is_none() {
        *alias = Some(TableAlias { explicit: true, name: ident(name), columns: vec![], at: None });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(sql: &str) -> Result<String, QueryError> {
        let views = |name: &str| {
            let text = match name {
                "ndvi" => "CREATE VIEW ndvi AS SELECT (b08 - b04) / (b08 + b04) AS ndvi FROM s2[time('2024')]",
                "named" => "CREATE VIEW named (a, b) AS SELECT time, b04 FROM s2",
                "sorted" => "CREATE VIEW sorted (a) AS SELECT b04 FROM s2 ORDER BY b04",
                "deep" => "CREATE OR REPLACE VIEW deep AS SELECT ndvi * 2 AS d FROM ndvi -- twice\n;",
                "loop" => "CREATE VIEW loop AS SELECT * FROM pool",
                "pool" => "CREATE VIEW pool AS SELECT * FROM loop",
                _ => return None,
            };
            Some(text.to_owned())
        };
        let SqlStatement::Query(mut query) = statement_without_places(sql)? else { panic!("{sql}") };
        expand(&mut query, &views)?;
        Ok(query.to_string())
    }

    #[test]
    fn views_become_ctes() {
        let ndvi = "\"view ndvi\" AS (SELECT (b08 - b04) / (b08 + b04) AS ndvi FROM subset(s2, axis_at('time', '2024')) AS s2)";
        for (before, after) in [
            ("SELECT 1 FROM s2".to_owned(), "SELECT 1 FROM s2".to_owned()),
            ("SELECT ndvi FROM ndvi".into(), format!("WITH {ndvi} SELECT ndvi FROM \"view ndvi\" AS ndvi")),
            ("SELECT n.ndvi FROM NDVI n".into(), format!("WITH {ndvi} SELECT n.ndvi FROM \"view ndvi\" n")),
            (
                "SELECT ndvi FROM subset(ndvi, axis_at('x', 1)) AS ndvi, deep".into(),
                format!(
                    "WITH {ndvi}, \"view deep\" AS (SELECT ndvi * 2 AS d FROM \"view ndvi\" AS ndvi) \
                     SELECT ndvi FROM subset(\"view ndvi\", axis_at('x', 1)) AS ndvi, \"view deep\" AS deep"
                ),
            ),
            // A CTE hides a view, but not from what stands before it.
            (
                "WITH ndvi AS (SELECT * FROM ndvi) SELECT * FROM ndvi".into(),
                format!("WITH {ndvi}, ndvi AS (SELECT * FROM \"view ndvi\" AS ndvi) SELECT * FROM ndvi"),
            ),
            (
                "SELECT (WITH ndvi AS (SELECT 1) SELECT * FROM ndvi) FROM ndvi".into(),
                format!("WITH {ndvi} SELECT (WITH ndvi AS (SELECT 1) SELECT * FROM ndvi) FROM \"view ndvi\" AS ndvi"),
            ),
            (
                "SELECT a FROM named".into(),
                "WITH \"view named\" AS (SELECT time AS a, b04 AS b FROM s2) SELECT a FROM \"view named\" AS named".into(),
            ),
            (
                "SELECT a FROM sorted".into(),
                "WITH \"view sorted\" AS (SELECT * FROM (SELECT b04 FROM s2 ORDER BY b04) AS v (a)) SELECT a FROM \"view sorted\" AS sorted"
                    .into(),
            ),
        ] {
            assert_eq!(expanded(&before).unwrap(), after, "{before}");
        }
        let error = expanded("SELECT * FROM loop").unwrap_err().message;
        assert_eq!(error, "in view loop: in view pool: view loop reads itself (by way of loop, pool)");
    }
}
