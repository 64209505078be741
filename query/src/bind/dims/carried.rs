//! Which axes a relation has, which of them a SELECT sees, and which it hands on to the query around it.

use std::collections::HashSet;
use std::sync::LazyLock;

use datafusion::functions_aggregate::all_default_aggregate_functions;
use datafusion::sql::sqlparser::ast::{
    Distinct, Expr, Function, GroupByExpr, Ident, Select, SelectItem, SelectItemQualifiedWildcardKind, TableAliasColumnDef, UnaryOperator,
    Value, ValueWithSpan, visit_expressions,
};

use super::SelectId;
use crate::bind::coordinates::is_period;
use crate::bind::relations::{argument, arguments, ident, last_part, normalised, text};

/// An axis that a relation has.
#[derive(Debug, Clone, PartialEq)]
pub struct CarriedAxis {
    /// Name of its column.
    pub name: String,
    /// The SELECT to whose list the column must be added first; `None` when the relation has it.
    pub supplier: Option<SelectId>,
}

/// What a relation is, as far as `DIMS` goes.
#[derive(Debug, Clone, Default)]
pub struct Carried {
    /// True for cubes and for queries over cubes.
    pub is_cube: bool,
    /// Its axes, slowest first.
    pub axes: Vec<CarriedAxis>,
    /// Axes that slices fixed: known, but not part of `DIMS`.
    pub fixed: Vec<String>,
    /// By column the axis that it is; `None` where the columns are not known one by one.
    columns: Option<Vec<Option<String>>>,
}

impl Carried {
    /// A cube with all its axes.
    pub fn cube(axes: Vec<String>) -> Self {
        let axes = axes.into_iter().map(|name| CarriedAxis { name, supplier: None }).collect();
        Carried { is_cube: true, axes, fixed: vec![], columns: None }
    }

    /// Without the axes that the specifications of `subset(...)` fix.
    pub fn without_fixed(mut self, specs: &[&Function]) -> Self {
        for name in specs.iter().filter_map(|spec| is_fixed(spec)) {
            if let Some(at) =
                self.axes.iter().position(|a| a.name == name).or_else(|| self.axes.iter().position(|a| a.name.eq_ignore_ascii_case(name)))
            {
                self.fixed.push(self.axes.remove(at).name);
            }
        }
        self
    }

    /// Under the column names of an alias, `v(a, b)`. Columns cannot be added to such a relation.
    pub fn renamed(mut self, names: &[TableAliasColumnDef]) -> Self {
        if names.is_empty() {
            return self;
        }
        let columns = self.columns.take().unwrap_or_default();
        let new_name = |axis: &str| {
            let at = columns.iter().position(|c| c.as_deref() == Some(axis))?;
            Some(names.get(at).map_or_else(|| axis.to_owned(), |n| normalised(&n.name)))
        };
        self.axes = self.axes.iter().filter_map(|a| Some(CarriedAxis { name: new_name(&a.name)?, supplier: None })).collect();
        self.columns = Some(columns.iter().map(|c| c.as_deref().and_then(new_name)).collect());
        self
    }
}

/// The axis that a specification of `subset(...)` fixes, if it fixes one: `axis_exact`; `axis_index` with one position;
/// `axis_at` with anything but a period (a parameter or an expression is taken for an instant or a number).
pub fn is_fixed(spec: &Function) -> Option<&str> {
    let args: Vec<&Expr> = arguments(spec).iter().filter_map(argument).collect();
    let (axis, values) = args.split_first()?;
    let fixed = match spec.name.to_string().to_ascii_lowercase().as_str() {
        "axis_exact" => true,
        "axis_index" => values.len() == 1,
        "axis_at" => !values.first().and_then(|value| text(value)).is_some_and(is_period),
        _ => false,
    };
    text(axis).filter(|_| fixed)
}

/// An axis as one SELECT sees it.
#[derive(Debug, Clone)]
pub struct ScopeAxis {
    /// Its name here.
    pub name: String,
    /// The column.
    pub expr: Expr,
    /// The relations that have it; the first gives it.
    relations: Vec<Option<String>>,
    /// See [`CarriedAxis::supplier`].
    pub supplier: Option<SelectId>,
    /// Its name in the supplier.
    pub source_name: String,
    /// False where grouping took it away.
    visible: bool,
}

/// The axes that the clauses of one SELECT see.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    axes: Vec<ScopeAxis>,
    /// Names that EXCEPT may name: those of fixed axes as well.
    pub all_names: Vec<String>,
    /// Whether there is a cube in the FROM clause.
    pub has_cube: bool,
    /// Whether there are several relations in it.
    several: bool,
    /// Names that the select list gives.
    pub aliases: Vec<String>,
}

impl Scope {
    /// The axes that DIMS stands for.
    pub fn visible(&self) -> impl Iterator<Item = &ScopeAxis> {
        self.axes.iter().filter(|axis| axis.visible)
    }

    /// What ORDER BY of a set operation sees: its columns.
    pub fn of_output(carried: &Carried) -> Scope {
        scope_of(vec![(None, carried.clone())], Some(&[]))
    }

    /// After GROUP BY only the axes that are keys are left.
    pub fn keep_group_keys(&mut self, select: &Select, aggregation: Aggregation) {
        if aggregation != Aggregation::Keys {
            return;
        }
        let keys = group_keys(select);
        let kept: Vec<bool> =
            self.axes.iter().map(|axis| keys.iter().any(|key| self.axis_of(key).is_some_and(|a| a.name == axis.name))).collect();
        for (axis, kept) in self.axes.iter_mut().zip(kept) {
            axis.visible = kept;
        }
    }

    /// The axis that an expression names, where only an axis can be meant: the one relation's, or one qualified.
    pub fn named(&self, expr: &Expr) -> Option<&ScopeAxis> {
        let sure = match expr {
            Expr::Identifier(name) => !self.several && !self.aliases.contains(&normalised(name)),
            Expr::CompoundIdentifier(_) => true,
            _ => false,
        };
        self.axis_of(expr).filter(|_| sure)
    }

    /// The column that a plain name means which USING gave to several relations: the first one's. DataFusion takes such a name
    /// for ambiguous in WHERE, and everywhere once three relations have it.
    pub fn qualified(&self, expr: &Expr) -> Option<Expr> {
        let Expr::Identifier(name) = expr else { return None };
        let plain = normalised(name);
        let axis = self.axes.iter().find(|a| a.name == plain && a.relations.len() > 1 && matches!(a.expr, Expr::Identifier(_)))?;
        let relation = axis.relations.first()?.as_ref().filter(|_| !self.aliases.contains(&plain))?;
        let column = Ident { span: name.span, ..ident(&plain) };
        Some(Expr::CompoundIdentifier(vec![Ident { span: name.span, ..ident(relation) }, column]))
    }

    /// The axis that an expression is the plain column of.
    fn axis_of(&self, expr: &Expr) -> Option<&ScopeAxis> {
        match expr {
            Expr::Nested(inner) => self.axis_of(inner),
            Expr::Identifier(name) => {
                let name = normalised(name);
                self.axes.iter().find(|a| a.name == name)
            }
            Expr::CompoundIdentifier(parts) => {
                let [.., relation, name] = parts.as_slice() else { return None };
                let (relation, name) = (Some(normalised(relation)), normalised(name));
                // An axis that several relations share is one axis, whichever of them is named.
                self.axes.iter().find(|a| a.name == name && a.relations.contains(&relation))
            }
            _ => None,
        }
    }

    /// The slowest axis that a computed key (`month(time)`) depends on, when it depends on axes only.
    fn axes_in(&self, expr: &Expr) -> Option<usize> {
        let mut slowest = None;
        let only_axes = visit_expressions(expr, |part| {
            use std::ops::ControlFlow::{Break, Continue};
            match part {
                Expr::Identifier(_) | Expr::CompoundIdentifier(_) => match self.axis_of(part) {
                    Some(axis) => {
                        let at = self.axes.iter().position(|a| a.name == axis.name);
                        slowest = match slowest {
                            Some(before) => at.map(|at| at.min(before)),
                            None => at,
                        };
                        Continue(())
                    }
                    None => Break(()),
                },
                Expr::Subquery(_) | Expr::InSubquery { .. } | Expr::Exists { .. } => Break(()),
                _ => Continue(()),
            }
        });
        slowest.filter(|_| only_axes.is_continue())
    }
}

/// The scope of a FROM clause: relations by name from left to right, and the columns that USING merged (`None`: NATURAL,
/// which merges all that are common).
pub fn scope_of(relations: Vec<(Option<String>, Carried)>, merged: Option<&[String]>) -> Scope {
    let several = relations.len() > 1;
    let mut scope = Scope { several, ..Scope::default() };
    for (relation, carried) in relations {
        scope.has_cube |= carried.is_cube;
        for name in carried.axes.iter().map(|a| &a.name).chain(&carried.fixed) {
            if !scope.all_names.contains(name) {
                scope.all_names.push(name.clone());
            }
        }
        for axis in carried.axes {
            if let Some(known) = scope.axes.iter_mut().find(|known| known.name == axis.name) {
                known.relations.push(relation.clone());
                continue;
            }
            let is_merged = merged.is_none_or(|names| names.contains(&axis.name));
            let expr = match &relation {
                Some(relation) if several && !is_merged => Expr::CompoundIdentifier(vec![ident(relation), ident(&axis.name)]),
                _ => Expr::Identifier(ident(&axis.name)),
            };
            scope.axes.push(ScopeAxis {
                source_name: axis.name.clone(),
                name: axis.name,
                expr,
                relations: vec![relation.clone()],
                supplier: axis.supplier,
                visible: true,
            });
        }
    }
    scope
}

/// Whether a SELECT keeps its rows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Aggregation {
    /// One row out for each row in.
    None,
    /// Aggregates without GROUP BY: one row.
    Whole,
    /// GROUP BY.
    Keys,
}

impl Aggregation {
    /// How a SELECT aggregates; `had_keys`: whether anything stood in its GROUP BY.
    pub fn of(select: &Select, had_keys: bool) -> Self {
        if had_keys {
            return Aggregation::Keys;
        }
        let aggregates = |expr: &Expr| matches!(expr, Expr::Function(call) if call.over.is_none() && is_aggregate(call));
        let found = visit_expressions(&select.projection, |expr| {
            if aggregates(expr) { std::ops::ControlFlow::Break(()) } else { std::ops::ControlFlow::Continue(()) }
        });
        if select.having.is_some() || found.is_break() { Aggregation::Whole } else { Aggregation::None }
    }
}

fn is_aggregate(call: &Function) -> bool {
    static NAMES: LazyLock<HashSet<String>> = LazyLock::new(|| {
        let ours = ["wavg", "wsum", "quantile", "median", "arg_max", "arg_min", "mode", "histogram"].map(String::from);
        let theirs = all_default_aggregate_functions().into_iter().flat_map(|f| {
            let mut names = f.aliases().to_vec();
            names.push(f.name().to_owned());
            names
        });
        ours.into_iter().chain(theirs).collect()
    });
    last_part(&call.name).is_some_and(|name| NAMES.contains(&name))
}

/// The keys of GROUP BY; positions and aliases are followed into the select list.
fn group_keys(select: &Select) -> Vec<Expr> {
    let selected = |item: &SelectItem| match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => Some(expr.clone()),
        _ => None,
    };
    let keys = match &select.group_by {
        GroupByExpr::All(_) => return select.projection.iter().filter_map(selected).collect(),
        GroupByExpr::Expressions(keys, _) => keys,
    };
    let mut found = vec![];
    for key in keys {
        match key {
            Expr::Value(ValueWithSpan { value: Value::Number(position, _), .. }) => {
                let at = position.to_string().parse::<usize>().ok().and_then(|n| n.checked_sub(1));
                found.extend(at.and_then(|at| select.projection.get(at)).and_then(selected));
            }
            Expr::Rollup(sets) | Expr::Cube(sets) | Expr::GroupingSets(sets) => found.extend(sets.iter().flatten().cloned()),
            Expr::Tuple(parts) => found.extend(parts.iter().cloned()),
            Expr::Identifier(name) => {
                let aliased = select.projection.iter().find_map(|item| match item {
                    SelectItem::ExprWithAlias { expr, alias } if normalised(alias) == normalised(name) => Some(expr.clone()),
                    _ => None,
                });
                found.push(key.clone());
                found.extend(aliased);
            }
            other => found.push(other.clone()),
        }
    }
    found
}

/// An axis column that could be added to a SELECT.
#[derive(Debug, Clone)]
pub struct Supply {
    /// Its name.
    pub name: String,
    /// The item for the select list.
    pub item: SelectItem,
    /// The SELECT that must put it out first, and its name there.
    pub from: Option<(SelectId, String)>,
}

/// The axes that a SELECT hands on, and those among them that it would have to select first.
///
/// A group key that is computed from axes alone and has an alias (`month(time) AS month`) is an axis of the result, in
/// the place of the axis that it is computed from.
pub fn carried_by(select: &Select, id: SelectId, scope: &Scope, aggregation: Aggregation) -> (Carried, Vec<Supply>) {
    if aggregation == Aggregation::Whole || !scope.has_cube {
        return (Carried { is_cube: scope.has_cube, ..Carried::default() }, vec![]);
    }
    let keys = if aggregation == Aggregation::Keys { group_keys(select) } else { vec![] };
    // (place among the scope's axes, name of the column), in the order of the columns
    let mut given: Vec<(usize, String)> = vec![];
    let mut columns: Option<Vec<Option<String>>> = Some(vec![]);
    let mut other_names: Vec<String> = vec![];
    let visible = |axis: &ScopeAxis| scope.axes.iter().position(|a| a.name == axis.name && a.visible);
    for item in &select.projection {
        let (expr, name) = match item {
            SelectItem::UnnamedExpr(expr) => (expr, column_name(expr)),
            SelectItem::ExprWithAlias { expr, alias } => (expr, Some(normalised(alias))),
            SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..) => {
                let of = match item {
                    SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) => last_part(name),
                    _ => None,
                };
                let all = scope.axes.iter().enumerate().filter(|(_, a)| a.visible && a.supplier.is_none());
                given.extend(all.filter(|(_, a)| of.is_none() || a.relations.contains(&of)).map(|(at, a)| (at, a.name.clone())));
                columns = None;
                continue;
            }
            SelectItem::ExprWithAliases { .. } => {
                columns = None;
                continue;
            }
        };
        let place = scope.axis_of(expr).and_then(visible).or_else(|| {
            let is_key = keys.iter().any(|key| key == expr || matches!(key, Expr::Identifier(k) if Some(normalised(k)) == name));
            name.as_ref().filter(|_| is_key).and_then(|_| scope.axes_in(expr))
        });
        if let Some(columns) = &mut columns {
            columns.push(place.and(name.clone()));
        }
        match (place, name) {
            (Some(place), Some(name)) => given.push((place, name)),
            (None, Some(name)) => other_names.push(name),
            _ => {}
        }
    }
    let distinct = !matches!(select.distinct, None | Some(Distinct::All));
    let (mut axes, mut supplies) = (vec![], vec![]);
    for (place, axis) in scope.axes.iter().enumerate() {
        for (_, name) in given.iter().filter(|(at, _)| *at == place) {
            if !axes.iter().any(|a: &CarriedAxis| a.name == *name) {
                axes.push(CarriedAxis { name: name.clone(), supplier: None });
            }
        }
        let selected = given.iter().any(|(at, name)| *at == place && (axis.visible || *name == axis.name));
        if axis.visible && !selected && !distinct && !other_names.contains(&axis.name) {
            axes.push(CarriedAxis { name: axis.name.clone(), supplier: Some(id) });
            let from = axis.supplier.map(|id| (id, axis.source_name.clone()));
            supplies.push(Supply { name: axis.name.clone(), item: SelectItem::UnnamedExpr(axis.expr.clone()), from });
        }
    }
    let fixed = scope.all_names.iter().filter(|name| !scope.axes.iter().any(|a| a.name == **name)).cloned().collect();
    (Carried { is_cube: true, axes, fixed, columns }, supplies)
}

/// The axes of UNION and its like: columns that are the same axis on both sides. None can be added.
pub fn carried_by_set(left: Carried, right: &Carried) -> Carried {
    let columns: Option<Vec<Option<String>>> = match (&left.columns, &right.columns) {
        (Some(columns), Some(others)) => Some(columns.iter().zip(others).map(|(l, r)| l.clone().filter(|_| r.is_some())).collect()),
        _ => None,
    };
    let on_both_sides = |axis: &CarriedAxis| match &columns {
        Some(columns) => columns.iter().flatten().any(|c| *c == axis.name),
        // `SELECT *` on both sides: by name.
        None => axis.supplier.is_none() && left.columns.is_none() && right.columns.is_none() && right.axes.contains(axis),
    };
    let axes = left.axes.iter().filter(|axis| on_both_sides(axis)).cloned().collect();
    Carried { is_cube: left.is_cube || right.is_cube, axes, fixed: vec![], columns }
}

/// The name of the column that an expression without alias makes, where it is a plain column.
fn column_name(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Identifier(name) => Some(normalised(name)),
        Expr::CompoundIdentifier(parts) => parts.last().map(|name: &Ident| normalised(name)),
        Expr::Nested(inner) => column_name(inner),
        Expr::UnaryOp { op: UnaryOperator::Plus, expr } => column_name(expr),
        _ => None,
    }
}
