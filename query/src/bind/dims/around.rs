//! Windows ordered by `around('y', -1, 1)`, which is what `AROUND (y(-1:1))` becomes: the axes are found among those of the
//! relations, the others part the window. What the neighbourhood is, is found out in `bind/around.rs`, after planning.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Spanned, Value, WindowSpec, visit_expressions,
};
use datafusion::sql::sqlparser::tokenizer::Span;

use super::Expander;
use super::carried::ScopeAxis;
use crate::QueryError;
use crate::bind::names::did_you_mean;
use crate::bind::relations::{argument, normalised, text};

/// The name of a call that orders a window as AROUND does: `around` or `edge`.
pub(super) fn reach_of(expr: &Expr) -> Option<&'static str> {
    let Expr::Function(Function { name, over: None, .. }) = expr else { return None };
    let [only] = name.0.as_slice() else { return None };
    let name = only.as_ident().map(normalised)?;
    ["around", "edge"].into_iter().find(|known| *known == name)
}

impl Expander<'_> {
    /// Puts the axis columns into `around(...)`, and the other axes into PARTITION BY. Every call is told its place, so
    /// that errors after planning can be shown there.
    pub(super) fn expand_around(&mut self, window: &mut WindowSpec) -> Result<(), QueryError> {
        let mut named = vec![];
        for key in &mut window.order_by {
            let span = key.expr.span();
            match reach_of(&key.expr) {
                Some("around") => {}
                Some(_) => continue,
                None => return Err(QueryError::user("a window ordered by around(...) is ordered by nothing else").at(span)),
            }
            let Expr::Function(Function { args: FunctionArguments::List(list), .. }) = &mut key.expr else { continue };
            let wanted = "around(...) takes an axis and the first and last offset: around('y', -1, 1)";
            let Some((first, bounds)) = list.args.split_first_mut() else { return Err(QueryError::user(wanted).at(span)) };
            let (name, at) = match argument(first) {
                Some(expr @ Expr::Identifier(ident)) => (normalised(ident), expr.span()),
                Some(expr) => match text(expr) {
                    Some(name) => (name.to_owned(), expr.span()),
                    None => return Err(QueryError::user(wanted).at(expr.span())),
                },
                None => return Err(QueryError::user(wanted).at(span)),
            };
            for bound in bounds {
                constant(bound, span)?;
            }
            let axis = self.axis(&name, if at.start.line > 0 { at } else { span })?;
            *first = FunctionArg::Unnamed(FunctionArgExpr::Expr(axis.expr.clone()));
            let place = format!("{}:{}", span.start.line, span.start.column);
            list.args.push(FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::value(Value::SingleQuotedString(place)))));
            self.need(axis.supplier, &axis.source_name);
            named.push(axis.name);
        }
        let others: Vec<ScopeAxis> = match self.scopes.last() {
            Some(scope) => scope.visible().filter(|axis| !named.contains(&axis.name)).cloned().collect(),
            None => vec![],
        };
        for axis in others {
            if !window.partition_by.contains(&axis.expr) {
                self.need(axis.supplier, &axis.source_name);
                window.partition_by.push(axis.expr);
            }
        }
        Ok(())
    }

    /// The axis of this name, as it was typed at `at`.
    fn axis(&self, name: &str, at: Span) -> Result<ScopeAxis, QueryError> {
        let fail = |message: String| Err(QueryError::user(message).at(at));
        let Some(scope) = self.scopes.last().filter(|scope| scope.has_cube) else {
            return fail("AROUND names axes of the cubes in the FROM clause, and there is no cube in it".to_owned());
        };
        let found = |same: &dyn Fn(&str) -> bool| scope.visible().find(|axis| same(&axis.name)).cloned();
        if let Some(axis) = found(&|known| known == name).or_else(|| found(&|known| known.eq_ignore_ascii_case(name))) {
            return Ok(axis);
        }
        if scope.all_names.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            return fail(format!(
                "axis `{name}` has one cell here (a slice fixed it, or grouping took it away), so there is nothing around it"
            ));
        }
        let suggestion = did_you_mean(name, scope.all_names.iter().map(String::as_str));
        fail(format!("there is no axis `{name}` here{suggestion} (axes: {})", scope.all_names.join(", ")))
    }
}

/// Refuses a bound that depends on columns.
fn constant(bound: &FunctionArg, call: Span) -> Result<(), QueryError> {
    let Some(expr) = argument(bound) else { return Err(QueryError::user("a neighbourhood ends at constants").at(call)) };
    let found = visit_expressions(expr, |part| match part {
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) | Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. } => {
            ControlFlow::Break((part.to_string(), part.span()))
        }
        _ => ControlFlow::Continue(()),
    });
    match found {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break((what, span)) => {
            let message = format!("a neighbourhood is the same for every cell: its ends are constants or parameters, not `{what}`");
            Err(QueryError::user(message).at(if span.start.line > 0 { span } else { call }))
        }
    }
}
