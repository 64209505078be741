//! The FROM clause of a SELECT: which relations stand in it, what they carry, and `a JOIN b ON dims()`, which is what
//! `a JOIN b USING DIMS` becomes: it is a join USING the axes that both sides have.
//!
//! So that a later step can tell such a join from any other, its right side becomes a sub-query over an alias that says so and
//! where it stood ([`mark`]). That step (`bind/align.rs`) compares coordinates, which are not known here.

use datafusion::sql::sqlparser::ast::{
    Expr, JoinConstraint, JoinOperator, ObjectName, SetExpr, Spanned, TableAlias, TableFactor, TableWithJoins,
};
use datafusion::sql::sqlparser::tokenizer::{Location, Span};

use super::carried::Carried;
use super::{Expander, dims_call};
use crate::bind::relations::{Source, constraint, ident, normalised, qualifier, source, star_over};
use crate::{ErrorKind, QueryError};

/// A relation of a FROM clause.
pub(super) struct Relation {
    /// By which its columns are qualified.
    pub name: Option<String>,
    pub carried: Carried,
    /// The columns that USING shares with the relations before it.
    pub merged: Vec<String>,
}

/// A FROM clause.
#[derive(Default)]
pub(super) struct Joined {
    /// From left to right.
    pub relations: Vec<Relation>,
    /// The columns that USING merged (`None`: NATURAL, which merges all that are common).
    pub merged: Option<Vec<String>>,
}

/// The alias of the right side of `JOIN ... USING DIMS` that stands at a place of the parsed text.
fn mark(place: Span) -> String {
    format!("using dims {}:{}", place.start.line, place.start.column)
}

/// The place that an alias tells, if it is a [`mark`].
pub(crate) fn marked(alias: &str) -> Option<Span> {
    let (line, column) = alias.strip_prefix("using dims ")?.split_once(':')?;
    let start = Location::new(line.parse().ok()?, column.parse().ok()?);
    Some(Span::new(start, start))
}

impl Expander<'_> {
    /// Reads a FROM clause; queries in it are expanded.
    pub(super) fn from(&mut self, from: &mut [TableWithJoins]) -> Result<Joined, QueryError> {
        let mut joined = Joined { relations: vec![], merged: Some(vec![]) };
        for item in from {
            self.joins(item, &mut joined)?;
        }
        Ok(joined)
    }

    fn joins(&mut self, item: &mut TableWithJoins, joined: &mut Joined) -> Result<(), QueryError> {
        let first = joined.relations.len();
        self.factor(&mut item.relation, joined)?;
        for join in &mut item.joins {
            let second = joined.relations.len();
            self.factor(&mut join.relation, joined)?;
            let kind = refused(&join.join_operator);
            let Some(constraint) = constraint(&mut join.join_operator) else { continue };
            if let Some(place) = is_dims(constraint) {
                if let Some(message) = kind {
                    return Err(QueryError::new(ErrorKind::Unsupported, message).at(place));
                }
                let axes = self.common_axes(joined, first, second, place)?;
                wrap(&mut join.relation, place)?;
                let column = |axis: &String| ObjectName::from(vec![ident(axis)]);
                *constraint = JoinConstraint::Using(axes.iter().map(column).collect());
            }
            match constraint {
                JoinConstraint::Using(columns) => {
                    let names = columns.iter().filter_map(|c| c.0.last()).filter_map(|part| part.as_ident()).map(normalised);
                    let names: Vec<String> = names.collect();
                    if let Some(relation) = joined.relations.get_mut(second) {
                        relation.merged.extend(names.iter().cloned());
                    }
                    joined.merged.iter_mut().for_each(|merged| merged.extend(names.iter().cloned()));
                }
                JoinConstraint::Natural => joined.merged = None,
                _ => {}
            }
        }
        Ok(())
    }

    fn factor(&mut self, factor: &mut TableFactor, joined: &mut Joined) -> Result<(), QueryError> {
        if let TableFactor::NestedJoin { table_with_joins, alias: None } = factor {
            return self.joins(table_with_joins, joined);
        }
        let name = qualifier(factor);
        let (source, alias) = source(factor);
        let columns = alias.map_or(vec![], |a| a.columns.clone());
        let carried = match source {
            Source::Named { name, specs } => self.table(&name).without_fixed(&specs),
            Source::Axes { names, specs } => Carried::cube(names).without_fixed(&specs),
            Source::Query(query) => self.query(query)?,
            Source::Other => Carried::default(),
        };
        joined.relations.push(Relation { name, carried: carried.renamed(&columns), merged: vec![] });
        Ok(())
    }

    /// The axes that the relations `first..second` and those from `second` on have in common; each is put out by both.
    fn common_axes(&mut self, joined: &Joined, first: usize, second: usize, place: Span) -> Result<Vec<String>, QueryError> {
        let (left, right) = joined.relations.split_at(second);
        let left = left.get(first..).unwrap_or_default();
        let fail = |message: String| Err(QueryError::user(message).at(place));
        for (side, word) in [(left, "left"), (right, "right")] {
            if !side.iter().any(|r| r.carried.is_cube) {
                let name = side.first().and_then(|r| r.name.clone()).map_or_else(|| format!("the {word} side"), |n| format!("`{n}`"));
                return fail(format!("USING DIMS joins cubes along their axes, and {name} is no cube: write ON or USING (...)"));
            }
        }
        let names = |side: &[Relation]| {
            let mut names: Vec<String> = Vec::new();
            for axis in side.iter().flat_map(|r| &r.carried.axes) {
                if !names.contains(&axis.name) {
                    names.push(axis.name.clone());
                }
            }
            names
        };
        let (ours, theirs) = (names(left), names(right));
        let common: Vec<String> = ours.iter().filter(|axis| theirs.contains(axis)).cloned().collect();
        if common.is_empty() {
            let listed = |names: &[String]| if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            return fail(format!(
                "USING DIMS joins on common axes, and there are none: the left side has {}, the right side {}; to pair every cell \
                 with every other, write CROSS JOIN",
                listed(&ours),
                listed(&theirs)
            ));
        }
        for axis in left.iter().chain(right).flat_map(|r| &r.carried.axes).filter(|axis| common.contains(&axis.name)) {
            self.need(axis.supplier, &axis.name);
        }
        Ok(common)
    }
}

/// Where the condition `dims()` stands, if that is what a join is on.
fn is_dims(constraint: &JoinConstraint) -> Option<Span> {
    match constraint {
        JoinConstraint::On(expr @ Expr::Function(call)) if dims_call(call) == Some(false) => Some(expr.span()),
        _ => None,
    }
}

/// Why a kind of join cannot be USING DIMS.
fn refused(operator: &JoinOperator) -> Option<&'static str> {
    match operator {
        JoinOperator::Join(_) | JoinOperator::Inner(_) | JoinOperator::Left(_) | JoinOperator::LeftOuter(_) => None,
        JoinOperator::Right(_) | JoinOperator::RightOuter(_) => {
            Some("RIGHT JOIN ... USING DIMS is not supported: exchange the sides and write LEFT JOIN")
        }
        JoinOperator::FullOuter(_) => Some("FULL JOIN ... USING DIMS is not supported: write LEFT JOIN, or JOIN for the common cells"),
        _ => Some("USING DIMS stands behind JOIN and LEFT JOIN"),
    }
}

/// Puts the right side of a join into a sub-query whose only relation has the [`mark`] for its name.
fn wrap(factor: &mut TableFactor, place: Span) -> Result<(), QueryError> {
    let name = qualifier(factor);
    let outer = name.as_deref().map(|name| TableAlias { explicit: true, name: ident(name), columns: vec![], at: None });
    let Some(outer) = outer.filter(|_| !matches!(factor, TableFactor::NestedJoin { .. })) else {
        return Err(QueryError::user("the right side of JOIN ... USING DIMS is one relation with a name: give it an alias").at(place));
    };
    // The factor is moved, not copied: SELECTs inside of it are told apart by where they are.
    let mut subquery = star_over(factor)?;
    let inner = match subquery.body.as_mut() {
        SetExpr::Select(select) => select.from.first_mut().map(|from| &mut from.relation),
        _ => None,
    };
    match inner {
        Some(TableFactor::Table { alias, .. } | TableFactor::Derived { alias, .. } | TableFactor::Function { alias, .. }) => {
            let columns = alias.take().map_or(vec![], |alias| alias.columns);
            *alias = Some(TableAlias { explicit: true, name: ident(&mark(place)), columns, at: None });
        }
        _ => return Err(QueryError::user("the right side of JOIN ... USING DIMS is a cube, a view, a CTE or a sub-query").at(place)),
    }
    *factor = TableFactor::Derived { lateral: false, subquery: Box::new(subquery), alias: Some(outer), sample: None };
    Ok(())
}
