//! `DIMS` and `DIMS EXCEPT (...)`: the calls `dims()` and `dims_except('time')` that the grammar makes of them become
//! axis columns, before planning. What counts as an axis of which relation is in `carried.rs`.

mod around;
mod carried;
mod from;
mod star;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArgumentClause, FunctionArguments, GroupByExpr, JoinConstraint, NamedWindowExpr, OrderByExpr, OrderByKind,
    Query, Select, SelectItem, SetExpr, Spanned, TableWithJoins, VisitMut, VisitorMut, WindowSpec, WindowType,
};

use self::carried::{Aggregation, Carried, Scope, ScopeAxis, Supply, carried_by, carried_by_set, scope_of};
use self::from::Joined;
pub(crate) use self::from::marked;
use self::star::StarRelation;
use super::names::did_you_mean;
use super::relations::{Walk, argument, arguments, constraints, normalised, text, walk};
use crate::QueryError;

/// Replaces `dims()` and `dims_except(...)` in the select list, GROUP BY, PARTITION BY and ORDER BY of every SELECT of a
/// query by the axis columns of the relations in its FROM clause, slowest axis first.
///
/// * Axes that a slice fixed are left out; `subset(cube, axis_at('time', ...))` says so (see [`carried::is_fixed`]).
/// * Of relations that share an axis's name, the first gives it. With several relations columns are qualified.
/// * A CTE or derived table has the axes of its own FROM clause that it does not aggregate away. Where such an axis is
///   needed and not in its select list, it is added there.
/// * In a SELECT with GROUP BY, `DIMS` stands in the select list and in ORDER BY for the axes that are group keys.
///
/// `axes_of` gives the axes of a cube or view by its name (parts joined by `.`), slowest first; `None` for what is no cube.
/// Errors: an unknown axis in EXCEPT, no cube in the FROM clause, and DIMS where no list stands. Their position is that
/// in the parsed text.
pub fn expand(query: &mut Query, axes_of: &dyn Fn(&str) -> Option<Vec<String>>) -> Result<(), QueryError> {
    let mut expander =
        Expander { axes_of, ctes: vec![], scopes: vec![], supplies: HashMap::new(), additions: HashMap::new(), stars: HashMap::new() };
    expander.query(query)?;
    if !expander.additions.is_empty() {
        let _ = query.visit(&mut Adder { additions: expander.additions, stars: expander.stars });
    }
    Ok(())
}

/// Tells the SELECTs of a query apart: the address in its box, which stays where it is while the query is rewritten.
pub(crate) type SelectId = usize;

fn id_of(select: &Select) -> SelectId {
    std::ptr::from_ref(select) as usize
}

struct Expander<'a> {
    axes_of: &'a dyn Fn(&str) -> Option<Vec<String>>,
    ctes: Vec<(String, Carried)>,
    scopes: Vec<Scope>,
    /// By SELECT, the axis columns that could be added to its select list.
    supplies: HashMap<SelectId, Vec<Supply>>,
    /// By SELECT, the columns to add, and their names.
    additions: HashMap<SelectId, Vec<(String, SelectItem)>>,
    /// By SELECT, the relations that its `*` stands for.
    stars: HashMap<SelectId, Vec<StarRelation>>,
}

/// Adds the missing axis columns at the very end, so that no SELECT sees those that another one asked for.
struct Adder {
    additions: HashMap<SelectId, Vec<(String, SelectItem)>>,
    stars: HashMap<SelectId, Vec<StarRelation>>,
}

impl VisitorMut for Adder {
    type Break = ();

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        let id = id_of(select);
        if let Some(relations) = self.stars.get(&id) {
            star::leave_out(select, relations, &|id, axis| {
                self.additions.get(&id).is_some_and(|added| added.iter().any(|(name, _)| name == axis))
            });
        }
        select.projection.extend(self.additions.get(&id).into_iter().flatten().map(|(_, item)| item.clone()));
        ControlFlow::Continue(())
    }
}

impl Expander<'_> {
    fn query(&mut self, query: &mut Query) -> Result<Carried, QueryError> {
        let visible = self.ctes.len();
        if let Some(with) = &mut query.with {
            for cte in &mut with.cte_tables {
                let name = normalised(&cte.alias.name);
                if with.recursive {
                    self.ctes.push((name.clone(), Carried::default()));
                }
                let carried = self.query(&mut cte.query)?;
                self.ctes.push((name, carried.renamed(&cte.alias.columns)));
            }
        }
        let (carried, scope) = match &mut *query.body {
            SetExpr::Select(select) => self.select(select)?,
            body => {
                let carried = self.body(body)?;
                let scope = Scope::of_output(&carried);
                (carried, scope)
            }
        };
        self.ctes.truncate(visible);
        self.scopes.push(scope);
        let ordered = match query.order_by.as_mut().map(|o| &mut o.kind) {
            Some(OrderByKind::Expressions(keys)) => self.expand_order(keys).and_then(|()| walk(keys, self)),
            _ => Ok(()),
        };
        self.scopes.pop();
        ordered?;
        if query.order_by.as_ref().is_some_and(|o| matches!(&o.kind, OrderByKind::Expressions(keys) if keys.is_empty())) {
            query.order_by = None;
        }
        Ok(carried)
    }

    fn body(&mut self, body: &mut SetExpr) -> Result<Carried, QueryError> {
        match body {
            SetExpr::Select(select) => Ok(self.select(select)?.0),
            SetExpr::Query(query) => self.query(query),
            SetExpr::SetOperation { left, right, .. } => {
                let left = self.body(left)?;
                Ok(carried_by_set(left, &self.body(right)?))
            }
            _ => Ok(Carried::default()),
        }
    }

    /// Rewrites a SELECT; gives the axes that it has for a query around it, and what its ORDER BY can see.
    fn select(&mut self, select: &mut Select) -> Result<(Carried, Scope), QueryError> {
        let mut from = std::mem::take(&mut select.from);
        let joined = self.from(&mut from);
        let done = joined.and_then(|Joined { relations, merged }| {
            self.stars.insert(id_of(select), relations.iter().map(StarRelation::of).collect());
            let relations = relations.into_iter().map(|r| (r.name, r.carried)).collect();
            let mut scope = scope_of(relations, merged.as_deref());
            let aliased =
                |item: &SelectItem| if let SelectItem::ExprWithAlias { alias, .. } = item { Some(normalised(alias)) } else { None };
            scope.aliases = select.projection.iter().filter_map(aliased).collect();
            self.scopes.push(scope);
            let carried = self.clauses(select, &mut from);
            let scope = self.scopes.pop().unwrap_or_default();
            carried.map(|carried| (carried, scope))
        });
        select.from = from;
        done
    }

    fn table(&self, name: &str) -> Carried {
        match self.ctes.iter().rev().find(|(cte, _)| cte == name) {
            Some((_, carried)) => carried.clone(),
            None => (self.axes_of)(name).map_or_else(Carried::default, Carried::cube),
        }
    }

    /// The clauses of the SELECT whose relations are the innermost scope.
    fn clauses(&mut self, select: &mut Select, from: &mut [TableWithJoins]) -> Result<Carried, QueryError> {
        for constraint in constraints(from) {
            if let JoinConstraint::On(condition) = constraint {
                walk(condition, self)?;
            }
        }
        walk(&mut select.selection, self)?;
        let had_keys = match &mut select.group_by {
            GroupByExpr::Expressions(keys, _) => {
                let had_keys = !keys.is_empty();
                self.expand_list(keys)?;
                walk(keys, self)?;
                had_keys
            }
            GroupByExpr::All(_) => true,
        };
        let aggregation = Aggregation::of(select, had_keys);
        if let Some(scope) = self.scopes.last_mut() {
            scope.keep_group_keys(select, aggregation);
        }
        let mut items = vec![];
        for item in std::mem::take(&mut select.projection) {
            match item {
                SelectItem::UnnamedExpr(expr) => match self.dims(&expr)? {
                    Some(axes) => items.extend(axes.into_iter().map(SelectItem::UnnamedExpr)),
                    None => items.push(SelectItem::UnnamedExpr(expr)),
                },
                other => items.push(other),
            }
        }
        if items.is_empty() {
            return Err(QueryError::user("DIMS stands for no axis here (slices fixed them all), and nothing else is selected"));
        }
        select.projection = items;
        walk(&mut select.projection, self)?;
        for window in &mut select.named_window {
            if let NamedWindowExpr::WindowSpec(spec) = &mut window.1 {
                self.expand_window(spec)?;
            }
        }
        walk(&mut select.named_window, self)?;
        walk(&mut select.having, self)?;
        walk(&mut select.qualify, self)?;
        walk(&mut select.distinct, self)?;
        self.expand_order(&mut select.sort_by)?;
        let id = id_of(select);
        let Some(scope) = self.scopes.last() else { return Ok(Carried::default()) };
        let (carried, supplies) = carried_by(select, id, scope, aggregation);
        self.supplies.insert(id, supplies);
        Ok(carried)
    }

    /// The axis columns that a call of `dims()` or `dims_except(...)` stands for; `None` for any other expression.
    fn dims(&mut self, expr: &Expr) -> Result<Option<Vec<Expr>>, QueryError> {
        let Expr::Function(call) = expr else { return Ok(None) };
        let Some(except) = dims_call(call) else { return Ok(None) };
        let word = if except { "DIMS EXCEPT" } else { "DIMS" };
        let fail = |message: String| Err(QueryError::user(message).at(expr.span()));
        let Some(scope) = self.scopes.last().filter(|scope| scope.has_cube) else {
            return fail(format!("{word} stands for the axes of the cubes in the FROM clause, and there is no cube in it"));
        };
        let mut left_out = vec![];
        for name in arguments(call).iter().filter_map(argument) {
            let at = if name.span().start.line > 0 { name.span() } else { expr.span() };
            let name = match name {
                Expr::Identifier(ident) => normalised(ident),
                other => match text(other) {
                    Some(name) => name.to_owned(),
                    None => return fail(format!("{word} takes names of axes, not `{other}`")),
                },
            };
            let known = || scope.all_names.iter().map(String::as_str);
            match known().find(|known| *known == name).or_else(|| known().find(|known| known.eq_ignore_ascii_case(&name))) {
                Some(known) => left_out.push(known.to_owned()),
                None => {
                    let suggestion = did_you_mean(&name, known());
                    let message = format!("there is no axis `{name}` here{suggestion} (axes: {})", scope.all_names.join(", "));
                    return Err(QueryError::user(message).at(at));
                }
            }
        }
        let axes: Vec<ScopeAxis> = scope.visible().filter(|axis| !left_out.contains(&axis.name)).cloned().collect();
        for axis in &axes {
            self.need(axis.supplier, &axis.source_name);
        }
        Ok(Some(axes.into_iter().map(|axis| axis.expr).collect()))
    }

    /// Notes that a SELECT must put out an axis that it has and does not select; goes on inwards.
    fn need(&mut self, supplier: Option<SelectId>, axis: &str) {
        let mut next = supplier.map(|id| (id, axis.to_owned()));
        while let Some((id, name)) = next.take() {
            let Some(supply) = self.supplies.get(&id).and_then(|all| all.iter().find(|s| s.name == name)) else { return };
            let added = self.additions.entry(id).or_default();
            if !added.iter().any(|(known, _)| *known == name) {
                added.push((name.clone(), supply.item.clone()));
                next = supply.from.clone();
            }
        }
    }

    fn expand_list(&mut self, list: &mut Vec<Expr>) -> Result<(), QueryError> {
        let mut expanded = vec![];
        for mut expr in std::mem::take(list) {
            match self.dims(&expr)? {
                Some(axes) => expanded.extend(axes),
                None => {
                    match &mut expr {
                        Expr::Tuple(parts) => self.expand_list(parts)?,
                        Expr::Rollup(sets) | Expr::Cube(sets) => *sets = self.expand_sets(std::mem::take(sets))?,
                        Expr::GroupingSets(sets) => {
                            for set in sets {
                                self.expand_list(set)?;
                            }
                        }
                        _ => {}
                    }
                    expanded.push(expr);
                }
            }
        }
        *list = expanded;
        Ok(())
    }

    /// `ROLLUP (dims(), ...)` takes the axes one by one.
    fn expand_sets(&mut self, sets: Vec<Vec<Expr>>) -> Result<Vec<Vec<Expr>>, QueryError> {
        let mut expanded = vec![];
        for mut set in sets {
            match set.as_slice() {
                [only] => match self.dims(only)? {
                    Some(axes) => expanded.extend(axes.into_iter().map(|axis| vec![axis])),
                    None => expanded.push(set),
                },
                _ => {
                    self.expand_list(&mut set)?;
                    expanded.push(set);
                }
            }
        }
        Ok(expanded)
    }

    fn expand_order(&mut self, keys: &mut Vec<OrderByExpr>) -> Result<(), QueryError> {
        let mut expanded = vec![];
        for key in std::mem::take(keys) {
            match self.dims(&key.expr)? {
                Some(axes) => expanded.extend(axes.into_iter().map(|expr| OrderByExpr { expr, ..key.clone() })),
                None => expanded.push(key),
            }
        }
        *keys = expanded;
        Ok(())
    }

    fn expand_window(&mut self, window: &mut WindowSpec) -> Result<(), QueryError> {
        self.expand_list(&mut window.partition_by)?;
        if window.order_by.iter().any(|key| around::reach_of(&key.expr).is_some()) {
            return self.expand_around(window);
        }
        self.expand_order(&mut window.order_by)
    }
}

impl Walk for Expander<'_> {
    fn expression(&mut self, expr: &mut Expr) -> Result<(), QueryError> {
        let span = expr.span();
        // An axis that a CTE, view or sub-query has and does not select is a column of it once somebody names it.
        let named =
            self.scopes.last().and_then(|scope| scope.named(expr)).and_then(|axis| Some((axis.supplier?, axis.source_name.clone())));
        if let Some((supplier, axis)) = named {
            self.need(Some(supplier), &axis);
        }
        if let Some(column) = self.scopes.last().and_then(|scope| scope.qualified(expr)) {
            *expr = column;
        }
        let Expr::Function(call) = expr else { return Ok(()) };
        if dims_call(call).is_some() {
            let message = "DIMS can stand in SELECT, GROUP BY, PARTITION BY and ORDER BY as an item of its own, not inside an expression";
            return Err(QueryError::user(message).at(span));
        }
        if let Some(WindowType::WindowSpec(window)) = &mut call.over {
            self.expand_window(window)?;
        }
        self.expand_order(&mut call.within_group)?;
        if let FunctionArguments::List(list) = &mut call.args {
            for clause in &mut list.clauses {
                if let FunctionArgumentClause::OrderBy(keys) = clause {
                    self.expand_order(keys)?;
                }
            }
        }
        Ok(())
    }

    fn subquery(&mut self, query: &mut Query) -> Result<(), QueryError> {
        self.query(query).map(|_| ())
    }
}

/// `Some(false)` for `dims()`, `Some(true)` for `dims_except(...)`.
fn dims_call(call: &Function) -> Option<bool> {
    match call.name.0.as_slice() {
        [name] => match name.as_ident().map(normalised).as_deref() {
            Some("dims") => Some(false),
            Some("dims_except") => Some(true),
            _ => None,
        },
        _ => None,
    }
}
