//! Reading the FROM clause of a parsed SELECT: which relations stand in it, by which names, and where to look for
//! expressions that belong to this SELECT and not to a query inside it. Shared by `names` and `dims`.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, JoinConstraint, JoinOperator, ObjectName, Query, SetExpr,
    TableAlias, TableFactor, TableWithJoins, Value, ValueWithSpan, VisitMut, VisitorMut,
};

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::{
    ALL_KEYWORDS, ALL_KEYWORDS_INDEX, RESERVED_FOR_COLUMN_ALIAS, RESERVED_FOR_IDENTIFIER, RESERVED_FOR_TABLE_ALIAS,
};
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Token;

use crate::QueryError;

/// An identifier as the planner takes it: in lower case unless quoted.
pub fn normalised(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_ascii_lowercase() }
}

/// An identifier for a name of the catalog, quoted where the planner would otherwise take it for another.
pub fn ident(name: &str) -> Ident {
    let plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if plain && !is_reserved(name) { Ident::new(name) } else { Ident::with_quote('"', name) }
}

/// True for words that SQL keeps for itself, so that a column of that name has to be quoted.
fn is_reserved(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    let keyword = ALL_KEYWORDS.binary_search(&upper.as_str()).ok().and_then(|at| ALL_KEYWORDS_INDEX.get(at));
    let lists = [RESERVED_FOR_COLUMN_ALIAS, RESERVED_FOR_TABLE_ALIAS, RESERVED_FOR_IDENTIFIER];
    keyword.is_some_and(|word| lists.iter().any(|list| list.contains(word)))
}

/// A table's name as the catalog knows it: parts joined by `.`.
pub fn table_name(name: &ObjectName) -> String {
    name.0.iter().map(|part| part.as_ident().map_or_else(|| part.to_string(), normalised)).collect::<Vec<_>>().join(".")
}

/// The last part of a table's name, by which its columns are qualified.
pub fn last_part(name: &ObjectName) -> Option<String> {
    name.0.last().and_then(|part| part.as_ident()).map(normalised)
}

/// The relations of a FROM clause from left to right, those in parenthesised joins included.
pub fn factors(from: &mut [TableWithJoins]) -> Vec<&mut TableFactor> {
    let mut found = vec![];
    for item in from {
        add_factor(&mut item.relation, &mut found);
        for join in &mut item.joins {
            add_factor(&mut join.relation, &mut found);
        }
    }
    found
}

fn add_factor<'a>(factor: &'a mut TableFactor, found: &mut Vec<&'a mut TableFactor>) {
    match factor {
        TableFactor::NestedJoin { table_with_joins, alias: None } => found.extend(factors(std::slice::from_mut(&mut **table_with_joins))),
        other => found.push(other),
    }
}

/// The join conditions of a FROM clause.
pub fn constraints(from: &mut [TableWithJoins]) -> Vec<&mut JoinConstraint> {
    let mut found = vec![];
    for item in from {
        if let TableFactor::NestedJoin { table_with_joins, alias: None } = &mut item.relation {
            found.extend(constraints(std::slice::from_mut(&mut **table_with_joins)));
        }
        for join in &mut item.joins {
            if let TableFactor::NestedJoin { table_with_joins, alias: None } = &mut join.relation {
                found.extend(constraints(std::slice::from_mut(&mut **table_with_joins)));
            }
            found.extend(constraint(&mut join.join_operator));
        }
    }
    found
}

/// What a join is on.
pub fn constraint(operator: &mut JoinOperator) -> Option<&mut JoinConstraint> {
    use JoinOperator::*;
    match operator {
        Join(c) | Inner(c) | Left(c) | LeftOuter(c) | Right(c) | RightOuter(c) | FullOuter(c) | CrossJoin(c) | Semi(c) | LeftSemi(c)
        | RightSemi(c) | Anti(c) | LeftAnti(c) | RightAnti(c) | StraightJoin(c) => Some(c),
        AsOf { constraint, .. } => Some(constraint),
        CrossApply | OuterApply | ArrayJoin | LeftArrayJoin | InnerArrayJoin => None,
    }
}

/// `SELECT * FROM` a relation, which is moved into it; another one is left in its place.
pub fn star_over(relation: &mut TableFactor) -> Result<Query, QueryError> {
    let mut parser = Parser::new(&GenericDialect {}).with_tokens(vec![
        Token::make_keyword("SELECT"),
        Token::Mul,
        Token::make_keyword("FROM"),
        Token::make_word("v", None),
    ]);
    let mut query = parser.parse_query().map_err(|e| QueryError::user(e.to_string()))?;
    if let SetExpr::Select(select) = query.body.as_mut()
        && let Some(from) = select.from.first_mut()
    {
        std::mem::swap(&mut from.relation, relation);
    }
    Ok(*query)
}

/// What a relation is made of.
pub enum Source<'a> {
    /// A table, view or CTE by name; the axis specifications of `subset(name, ...)` around it, none for a plain name.
    Named {
        /// Its name, parts joined by `.`.
        name: String,
        /// The calls `axis_at(...)`, `axis_range(...)` and so on.
        specs: Vec<&'a Function>,
    },
    /// `grid(y => axis(...), ...)`: the axes by name, and the specifications of `subset(...)` around it.
    Axes {
        /// Names, slowest axis first.
        names: Vec<String>,
        /// The calls `axis_at(...)` and so on.
        specs: Vec<&'a Function>,
    },
    /// A query in parentheses.
    Query(&'a mut Query),
    /// A table function over no relation, or a form of relation that the dialect says nothing about.
    Other,
}

/// What a relation is made of, and its alias.
pub fn source(factor: &mut TableFactor) -> (Source<'_>, Option<&TableAlias>) {
    match factor {
        TableFactor::Table { name, alias, args: None, .. } => (Source::Named { name: table_name(name), specs: vec![] }, alias.as_ref()),
        TableFactor::Table { name, alias, args: Some(args), .. } => {
            // The columns of a sample are those of two relations.
            let of_two = last_part(name).is_some_and(|n| n == "sample");
            (if of_two { Source::Other } else { inner_relation(&args.args) }, alias.as_ref())
        }
        TableFactor::Function { args, alias, .. } => (inner_relation(args), alias.as_ref()),
        TableFactor::TableFunction { expr: Expr::Function(call), alias } => (inner_relation(arguments(call)), alias.as_ref()),
        TableFactor::Derived { subquery, alias, .. } => (Source::Query(subquery), alias.as_ref()),
        TableFactor::NestedJoin { alias, .. } | TableFactor::UNNEST { alias, .. } => (Source::Other, alias.as_ref()),
        _ => (Source::Other, None),
    }
}

/// The name by which columns of a relation are qualified.
pub fn qualifier(factor: &TableFactor) -> Option<String> {
    match factor {
        TableFactor::Table { name, alias, args, .. } => match alias {
            Some(alias) => Some(normalised(&alias.name)),
            None if args.is_none() => last_part(name),
            None => None,
        },
        TableFactor::Derived { alias, .. }
        | TableFactor::Function { alias, .. }
        | TableFactor::TableFunction { alias, .. }
        | TableFactor::NestedJoin { alias, .. }
        | TableFactor::UNNEST { alias, .. } => alias.as_ref().map(|a| normalised(&a.name)),
        _ => None,
    }
}

/// The arguments of a call.
pub fn arguments(call: &Function) -> &[FunctionArg] {
    match &call.args {
        FunctionArguments::List(list) => &list.args,
        FunctionArguments::None | FunctionArguments::Subquery(_) => &[],
    }
}

/// The expression of an argument, with or without a name.
pub fn argument(arg: &FunctionArg) -> Option<&Expr> {
    match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))
        | FunctionArg::Named { arg: FunctionArgExpr::Expr(expr), .. }
        | FunctionArg::ExprNamed { arg: FunctionArgExpr::Expr(expr), .. } => Some(expr),
        _ => None,
    }
}

/// A text constant.
pub fn text(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(s), .. }) => Some(s),
        _ => None,
    }
}

/// The relation inside `subset(cube, axis_at(...), ...)`, `regrid(subset(cube, ...), ...)` and their like: the first
/// argument, however deep.
fn inner_relation(args: &[FunctionArg]) -> Source<'_> {
    let mut specs = vec![];
    let mut args = args;
    loop {
        if let Some(names) = named(args) {
            return Source::Axes { names, specs };
        }
        specs.extend(args.iter().skip(1).filter_map(argument).filter_map(|e| if let Expr::Function(call) = e { Some(call) } else { None }));
        let name = match args.first() {
            Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(first))) => match first {
                Expr::Identifier(name) => normalised(name),
                Expr::CompoundIdentifier(parts) => parts.iter().map(normalised).collect::<Vec<_>>().join("."),
                Expr::Function(call) => {
                    args = arguments(call);
                    continue;
                }
                other => match text(other) {
                    Some(name) => name.to_owned(),
                    None => return Source::Other,
                },
            },
            _ => return Source::Other,
        };
        return Source::Named { name, specs };
    }
}

/// The names of arguments that all have one, and there is one at least.
fn named(args: &[FunctionArg]) -> Option<Vec<String>> {
    let name = |arg: &FunctionArg| match arg {
        FunctionArg::Named { name, .. } => Some(normalised(name)),
        FunctionArg::ExprNamed { name: Expr::Identifier(name), .. } => Some(normalised(name)),
        _ => None,
    };
    args.iter().map(name).collect::<Option<Vec<_>>>().filter(|names| !names.is_empty())
}

/// Looks at the expressions of one SELECT, from the outside in; queries inside them are handed over whole.
pub trait Walk {
    /// An expression of this SELECT, before its parts.
    fn expression(&mut self, expr: &mut Expr) -> Result<(), QueryError>;
    /// A query inside an expression: EXISTS, IN, a scalar.
    fn subquery(&mut self, query: &mut Query) -> Result<(), QueryError>;
}

/// Walks a part of a SELECT. Its FROM clause must not be in it.
pub fn walk(part: &mut impl VisitMut, walk: &mut impl Walk) -> Result<(), QueryError> {
    struct Here<'a, W> {
        walk: &'a mut W,
        depth: usize,
    }
    impl<W: Walk> VisitorMut for Here<'_, W> {
        type Break = Box<QueryError>;

        fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Self::Break> {
            self.depth += 1;
            if self.depth > 1 { ControlFlow::Continue(()) } else { flow(self.walk.subquery(query)) }
        }

        fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<Self::Break> {
            self.depth -= 1;
            ControlFlow::Continue(())
        }

        fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Self::Break> {
            if self.depth > 0 { ControlFlow::Continue(()) } else { flow(self.walk.expression(expr)) }
        }
    }
    fn flow(result: Result<(), QueryError>) -> ControlFlow<Box<QueryError>> {
        match result {
            Ok(()) => ControlFlow::Continue(()),
            Err(e) => ControlFlow::Break(Box::new(e)),
        }
    }
    match part.visit(&mut Here { walk, depth: 0 }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(*error),
    }
}
