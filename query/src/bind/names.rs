//! Names as people type them: `t2m` for a file's `T2M`, and "did you mean" for the ones that are not there.

use datafusion::sql::sqlparser::ast::{
    Expr, GroupByExpr, Ident, JoinConstraint, ObjectNamePart, OrderByKind, Query, Select, SelectItem, SelectItemQualifiedWildcardKind,
    SetExpr,
};

use super::relations::{Source, Walk, constraints, factors, last_part, normalised, qualifier, source, walk};
use crate::QueryError;

/// The name in `known` that is nearest to `wanted`, when it is near enough to have been meant: the same but for case,
/// or at most a third of its letters (and at least one) changed, added, left out or swapped.
pub fn nearest<'a>(wanted: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = wanted.to_lowercase();
    let length = wanted.chars().count();
    let distance = |name: &str| {
        let name = name.to_lowercase();
        let edits = strsim::damerau_levenshtein(&wanted, &name);
        // The beginning of a longer name: `temp` for `temperature`.
        if length >= 3 && name.starts_with(&wanted) { edits.min(1) } else { edits }
    };
    let near = known.map(|name| (distance(name), name)).filter(|(edits, _)| *edits <= (length / 3).max(1) && *edits < length);
    near.min_by_key(|(edits, _)| *edits).map(|(_, name)| name)
}

/// ` did you mean ...?` with a semicolon in front, or nothing.
pub fn did_you_mean<'a>(wanted: &str, known: impl Iterator<Item = &'a str>) -> String {
    nearest(wanted, known).map_or(String::new(), |name| format!("; did you mean `{name}`?"))
}

/// Makes unquoted column names mean the file's spelling where that is the only one that can be meant.
///
/// SQL takes an unquoted `T2M` or `t2m` for `t2m`. Where no relation of the FROM clause has a column `t2m`, and exactly
/// one column is the same but for case, the name is replaced by that column's, quoted. Aliases of the statement,
/// columns of CTEs and derived tables, and outer queries are taken into account. `known` gives the columns of a table
/// by its name (parts joined by `.`), `None` for a table that it does not know; with such a table in the FROM clause
/// unqualified names are left alone.
pub fn resolve_case(query: &mut Query, known: &dyn Fn(&str) -> Option<Vec<String>>) -> Result<(), QueryError> {
    Resolver { known, ctes: vec![], scopes: vec![] }.query(query).map(|_| ())
}

/// Names of columns in order; `None` when they are not known.
type Columns = Option<Vec<String>>;

struct Relation {
    name: Option<String>,
    columns: Columns,
}

/// What the expressions of one SELECT can see.
struct Scope {
    relations: Vec<Relation>,
    /// Names given in the select list, where the clause at hand can see them.
    aliases: Vec<String>,
}

struct Resolver<'a> {
    known: &'a dyn Fn(&str) -> Columns,
    ctes: Vec<(String, Columns)>,
    scopes: Vec<Scope>,
}

impl Resolver<'_> {
    /// Resolves a query from the inside out; gives its columns.
    fn query(&mut self, query: &mut Query) -> Result<Columns, QueryError> {
        let visible = self.ctes.len();
        if let Some(with) = &mut query.with {
            for cte in &mut with.cte_tables {
                let name = normalised(&cte.alias.name);
                if with.recursive {
                    self.ctes.push((name.clone(), None));
                }
                let columns = self.query(&mut cte.query)?;
                self.ctes.push((name, renamed(columns, cte.alias.columns.iter().map(|c| &c.name))));
            }
        }
        let columns = match &mut *query.body {
            SetExpr::Select(select) => {
                let (columns, scope) = self.select(select)?;
                self.scopes.push(scope);
                let sorted = match query.order_by.as_mut().map(|o| &mut o.kind) {
                    Some(OrderByKind::Expressions(keys)) => walk(keys, self),
                    _ => Ok(()),
                };
                self.scopes.pop();
                sorted?;
                columns
            }
            body => self.body(body)?,
        };
        self.ctes.truncate(visible);
        Ok(columns)
    }

    fn body(&mut self, body: &mut SetExpr) -> Result<Columns, QueryError> {
        match body {
            SetExpr::Select(select) => Ok(self.select(select)?.0),
            SetExpr::Query(query) => self.query(query),
            SetExpr::SetOperation { left, right, .. } => {
                let columns = self.body(left)?;
                self.body(right)?;
                Ok(columns)
            }
            _ => Ok(None),
        }
    }

    /// Resolves a SELECT; gives its columns and what its ORDER BY can see.
    fn select(&mut self, select: &mut Select) -> Result<(Columns, Scope), QueryError> {
        let mut from = std::mem::take(&mut select.from);
        let mut relations = vec![];
        for factor in factors(&mut from) {
            let name = qualifier(factor);
            let (source, alias) = source(factor);
            let aliases: Vec<Ident> = alias.map_or(vec![], |a| a.columns.iter().map(|c| c.name.clone()).collect());
            let columns = match source {
                Source::Named { name, .. } => self.table(&name),
                Source::Axes { names, .. } => Some(names),
                Source::Query(query) => self.query(query)?,
                Source::Other => None,
            };
            relations.push(Relation { name, columns: renamed(columns, aliases.iter()) });
        }
        self.scopes.push(Scope { relations, aliases: vec![] });
        let done = self.clauses(select, &mut from);
        let mut scope = self.scopes.pop().unwrap_or(Scope { relations: vec![], aliases: vec![] });
        select.from = from;
        done?;
        let columns = output(&select.projection, &scope.relations);
        scope.aliases = aliases(&select.projection);
        Ok((columns, scope))
    }

    /// The clauses of a SELECT whose relations are the innermost scope. Aliases are seen by GROUP BY, HAVING, QUALIFY only.
    fn clauses(&mut self, select: &mut Select, from: &mut [datafusion::sql::sqlparser::ast::TableWithJoins]) -> Result<(), QueryError> {
        for constraint in constraints(from) {
            match constraint {
                JoinConstraint::On(condition) => walk(condition, self)?,
                JoinConstraint::Using(columns) => {
                    for part in columns.iter_mut().filter_map(|c| c.0.last_mut()) {
                        if let ObjectNamePart::Identifier(ident) = part {
                            self.resolve(None, ident);
                        }
                    }
                }
                JoinConstraint::Natural | JoinConstraint::None => {}
            }
        }
        walk(&mut select.projection, self)?;
        walk(&mut select.selection, self)?;
        walk(&mut select.named_window, self)?;
        walk(&mut select.distinct, self)?;
        if let Some(scope) = self.scopes.last_mut() {
            scope.aliases = aliases(&select.projection);
        }
        match &mut select.group_by {
            GroupByExpr::Expressions(keys, _) => walk(keys, self)?,
            GroupByExpr::All(_) => {}
        }
        walk(&mut select.having, self)?;
        walk(&mut select.qualify, self)?;
        walk(&mut select.sort_by, self)
    }

    fn table(&self, name: &str) -> Columns {
        match self.ctes.iter().rev().find(|(cte, _)| cte == name) {
            Some((_, columns)) => columns.clone(),
            None => (self.known)(name),
        }
    }

    fn resolve(&self, qualifier: Option<&str>, ident: &mut Ident) {
        if ident.quote_style.is_some() {
            return;
        }
        let plain = ident.value.to_ascii_lowercase();
        for scope in self.scopes.iter().rev() {
            let relations: Vec<_> = scope.relations.iter().filter(|r| qualifier.is_none() || r.name.as_deref() == qualifier).collect();
            let mut same_but_for_case: Vec<&String> = vec![];
            for relation in &relations {
                let Some(columns) = &relation.columns else { return };
                if columns.contains(&plain) {
                    return;
                }
                same_but_for_case.extend(columns.iter().filter(|c| c.eq_ignore_ascii_case(&plain)));
            }
            if qualifier.is_none() && scope.aliases.contains(&plain) {
                return;
            }
            same_but_for_case.sort();
            same_but_for_case.dedup();
            match same_but_for_case.as_slice() {
                [] => continue,
                [one] => {
                    ident.value = (*one).clone();
                    ident.quote_style = Some('"');
                }
                // Two spellings: DataFusion's error lists them.
                _ => {}
            }
            return;
        }
    }
}

impl Walk for Resolver<'_> {
    fn expression(&mut self, expr: &mut Expr) -> Result<(), QueryError> {
        match expr {
            Expr::Identifier(ident) => self.resolve(None, ident),
            Expr::CompoundIdentifier(parts) => {
                if let [.., relation, column] = parts.as_mut_slice() {
                    let relation = normalised(relation);
                    self.resolve(Some(&relation), column);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn subquery(&mut self, query: &mut Query) -> Result<(), QueryError> {
        self.query(query).map(|_| ())
    }
}

/// Columns under the names of an alias's list.
fn renamed<'a>(columns: Columns, names: impl ExactSizeIterator<Item = &'a Ident>) -> Columns {
    if names.len() == 0 {
        return columns;
    }
    let mut columns = columns.unwrap_or_default();
    columns.splice(..names.len().min(columns.len()), names.map(normalised));
    Some(columns)
}

fn aliases(projection: &[SelectItem]) -> Vec<String> {
    let alias = |item: &SelectItem| if let SelectItem::ExprWithAlias { alias, .. } = item { Some(normalised(alias)) } else { None };
    projection.iter().filter_map(alias).collect()
}

/// Names of the columns that a select list puts out; expressions without alias have none that could be typed.
fn output(projection: &[SelectItem], relations: &[Relation]) -> Columns {
    let all = |relations: Vec<&Relation>| -> Columns {
        relations.into_iter().try_fold(vec![], |mut all, relation| {
            all.extend(relation.columns.clone()?);
            Some(all)
        })
    };
    let mut names = vec![];
    for item in projection {
        match item {
            SelectItem::UnnamedExpr(Expr::Identifier(ident)) | SelectItem::ExprWithAlias { alias: ident, .. } => {
                names.push(normalised(ident))
            }
            SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)) => names.push(parts.last().map(normalised).unwrap_or_default()),
            SelectItem::UnnamedExpr(other) => names.push(other.to_string()),
            SelectItem::ExprWithAliases { aliases, .. } => names.extend(aliases.iter().map(normalised)),
            SelectItem::Wildcard(_) => names.extend(all(relations.iter().collect())?),
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(of), _) => {
                let of = last_part(of);
                names.extend(all(relations.iter().filter(|r| r.name == of).collect())?);
            }
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::Expr(_), _) => return None,
        }
    }
    Some(names)
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::ast::Statement;
    use datafusion::sql::sqlparser::dialect::GenericDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    use super::*;

    fn resolved(sql: &str) -> String {
        let known = |table: &str| -> Columns {
            let columns: &[&str] = match table {
                "merra" => &["time", "lat", "lon", "T2M", "U10M"],
                "era5" => &["time", "lat", "lon", "t2m", "T2m", "Band1"],
                "era5.lat_lon" => &["lat", "lon", "Z"],
                _ => return None,
            };
            Some(columns.iter().map(|c| c.to_string()).collect())
        };
        let mut statements = Parser::parse_sql(&GenericDialect {}, sql).unwrap();
        let Statement::Query(query) = &mut statements[0] else { panic!("{sql}") };
        resolve_case(query, &known).unwrap();
        query.to_string()
    }

    #[test]
    fn names_get_the_files_spelling() {
        for (typed, meant) in [
            ("SELECT t2m, avg(U10M) FROM merra WHERE T2m > 3", "SELECT \"T2M\", avg(\"U10M\") FROM merra WHERE \"T2M\" > 3"),
            ("SELECT m.t2m FROM merra AS m", "SELECT m.\"T2M\" FROM merra AS m"),
            ("SELECT TIME, LAT FROM merra", "SELECT TIME, LAT FROM merra"),
            ("SELECT t2m, T2M, band1 FROM era5", "SELECT t2m, T2M, \"Band1\" FROM era5"),
            ("SELECT t2m FROM subset(merra, axis_at('time', 3))", "SELECT \"T2M\" FROM subset(merra, axis_at('time', 3))"),
            ("SELECT z FROM era5.lat_lon", "SELECT \"Z\" FROM era5.lat_lon"),
            ("SELECT avg(t2m) AS t2m FROM merra ORDER BY t2m", "SELECT avg(\"T2M\") AS t2m FROM merra ORDER BY t2m"),
            ("SELECT t2m FROM merra ORDER BY t2m", "SELECT \"T2M\" FROM merra ORDER BY \"T2M\""),
            (
                "SELECT t2m AS x, u10m AS t2m FROM merra GROUP BY x, t2m HAVING u10m > 1",
                "SELECT \"T2M\" AS x, \"U10M\" AS t2m FROM merra GROUP BY x, t2m HAVING \"U10M\" > 1",
            ),
            (
                "WITH v AS (SELECT t2m AS t2m, u10m FROM merra) SELECT t2m, u10m FROM v",
                "WITH v AS (SELECT \"T2M\" AS t2m, \"U10M\" FROM merra) SELECT t2m, \"U10M\" FROM v",
            ),
            ("SELECT z FROM (SELECT * FROM era5.lat_lon) AS s", "SELECT \"Z\" FROM (SELECT * FROM era5.lat_lon) AS s"),
            (
                "SELECT a.t2m - b.t2m FROM merra AS a JOIN merra AS b USING (LAT, lon) JOIN era5.lat_lon AS o ON o.z = a.u10m",
                "SELECT a.\"T2M\" - b.\"T2M\" FROM merra AS a JOIN merra AS b USING(LAT, lon) JOIN era5.lat_lon AS o ON o.\"Z\" = a.\"U10M\"",
            ),
            (
                "SELECT lat FROM merra AS m WHERE EXISTS (SELECT 1 FROM era5.lat_lon WHERE z > m.t2m AND u10m = 0)",
                "SELECT lat FROM merra AS m WHERE EXISTS (SELECT 1 FROM era5.lat_lon WHERE \"Z\" > m.\"T2M\" AND \"U10M\" = 0)",
            ),
            ("SELECT t2m FROM merra UNION ALL SELECT u10m FROM merra", "SELECT \"T2M\" FROM merra UNION ALL SELECT \"U10M\" FROM merra"),
            ("SELECT t2m, m.t2m FROM merra AS m, elsewhere", "SELECT t2m, m.\"T2M\" FROM merra AS m, elsewhere"),
            ("SELECT nothing FROM merra", "SELECT nothing FROM merra"),
            ("SELECT \"t2m\" FROM merra", "SELECT \"t2m\" FROM merra"),
            (
                "SELECT avg(t2m) OVER (PARTITION BY u10m ORDER BY t2m) FROM merra",
                "SELECT avg(\"T2M\") OVER (PARTITION BY \"U10M\" ORDER BY \"T2M\") FROM merra",
            ),
        ] {
            assert_eq!(resolved(typed), meant);
        }
    }

    #[test]
    fn the_nearest_name() {
        let names = ["era5", "s2", "temperature", "t2m", "lat"];
        let near = |wanted| nearest(wanted, names.into_iter());
        assert_eq!(near("era"), Some("era5"));
        assert_eq!(near("ERA5"), Some("era5"));
        assert_eq!(near("tm2"), Some("t2m"));
        assert_eq!(near("temp"), Some("temperature"));
        assert_eq!(near("temprature"), Some("temperature"));
        assert_eq!(near("late"), Some("lat"));
        assert_eq!(near("precipitation"), None);
        assert_eq!(near("x"), None);
        assert_eq!(did_you_mean("era", names.into_iter()), "; did you mean `era5`?");
    }
}
