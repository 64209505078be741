//! `CELL(c)`: the cells of a cube in FROM. In the text, the name becomes a constant; in the plan, every function of a geometry and
//! a cell gets the cube's two horizontal axes as arguments and the grid that they make.

use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Column, DFSchema, ScalarValue, plan_err};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::{conjunction, merge_schema, split_conjunction};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, lit};
use datafusion::sql::sqlparser::ast::{
    Expr as SqlExpr, FunctionArg, FunctionArgExpr, FunctionArguments, Query, Spanned, Value, VisitMut, VisitorMut,
};

use super::bound::{Bound, Rule};
use super::functions::{CELL, CellFunction, constant};
use super::grid::horizontal;
use super::tables::crs_of;
use super::wkt;
use crate::bind::names::did_you_mean;
use crate::bind::origin::axis_of;
use crate::bind::relations::normalised;
use crate::crs::Crs;
use crate::located::is_located;
use crate::view::View;

/// Makes the name in every `CELL(name)` of a query a constant: it is no column.
pub(crate) fn quote(query: &mut Query) {
    struct Quote;
    impl VisitorMut for Quote {
        type Break = ();

        fn pre_visit_expr(&mut self, expr: &mut SqlExpr) -> ControlFlow<()> {
            if let SqlExpr::Function(call) = expr
                && call.name.to_string().eq_ignore_ascii_case(CELL)
                && let FunctionArguments::List(list) = &mut call.args
                && let [FunctionArg::Unnamed(FunctionArgExpr::Expr(name))] = list.args.as_mut_slice()
            {
                let text = match name {
                    SqlExpr::Identifier(ident) => normalised(ident),
                    SqlExpr::CompoundIdentifier(parts) => parts.iter().map(normalised).collect::<Vec<_>>().join("."),
                    _ => return ControlFlow::Continue(()),
                };
                *name = SqlExpr::Value(Value::SingleQuotedString(text).with_span(name.span()));
            }
            ControlFlow::Continue(())
        }
    }
    let _ = query.visit(&mut Quote);
}

/// Gives every function of a cell in a plan its grid. Errors name what `CELL` is given where that is no cube.
pub(crate) fn bind(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_up_with_subqueries(|node| {
        let inputs: Vec<LogicalPlan> = node.inputs().into_iter().cloned().collect();
        let names = NamePreserver::new(&node);
        let filters = matches!(node, LogicalPlan::Filter(_));
        node.map_expressions(|expr| {
            let saved = names.save(&expr);
            let done = expr.transform_up(|e| bound(e, &inputs))?;
            if !done.transformed {
                return Ok(done);
            }
            let expr = saved.restore(done.data);
            Ok(Transformed::yes(if filters { boxed(expr)? } else { expr }))
        })
    })
    .data()
}

fn bound(expr: Expr, inputs: &[LogicalPlan]) -> Result<Transformed<Expr>> {
    let Expr::ScalarFunction(mut call) = expr else { return Ok(Transformed::no(expr)) };
    let rule = match call.func.inner().downcast_ref::<CellFunction>() {
        Some(function) if function.bound.is_none() => function.rule,
        _ => return Ok(Transformed::no(Expr::ScalarFunction(call))),
    };
    let [geometry, cell] = call.args.as_slice() else {
        return plan_err!("{}(geometry, CELL(cube)) takes 2 arguments, not {}", rule.name(), call.args.len());
    };
    let name = match cell {
        Expr::ScalarFunction(cell) if cell.func.name() == CELL => match cell.args.as_slice() {
            [Expr::Literal(ScalarValue::Utf8(Some(name)), _)] => name.clone(),
            _ => return plan_err!("CELL(c) wants the name or alias of a cube in FROM"),
        },
        other => return plan_err!("{}: the second argument is CELL(c), the cells of a cube c in FROM, not {other}", rule.name()),
    };
    let (view, [y, x], columns) = cells_of(&name, inputs)?;
    let schema = merge_schema(&inputs.iter().collect::<Vec<_>>());
    let from = geometry_crs(geometry, &schema)?;
    let bound = Bound::new(&view, y, x, from.as_deref())?;
    if rule != Rule::Covers {
        bound.grid.check_bounds(rule.name())?;
    }
    let [y, x] = columns;
    call.args = vec![geometry.clone(), Expr::Column(y), Expr::Column(x)];
    call.func = CellFunction::function(rule, Some(Arc::new(bound)));
    Ok(Transformed::yes(Expr::ScalarFunction(call)))
}

/// The view of the cube that a relation shows, its horizontal axes (y first), and their columns.
fn cells_of(name: &str, inputs: &[LogicalPlan]) -> Result<(Arc<View>, [usize; 2], [Column; 2])> {
    let mut relations: Vec<String> = Vec::new();
    let mut found: Option<Arc<View>> = None;
    let mut axes: Vec<(usize, Column)> = Vec::new();
    let mut there = false;
    for input in inputs {
        for (qualifier, field) in input.schema().iter() {
            let Some(qualifier) = qualifier else { continue };
            if !relations.iter().any(|known| known == qualifier.table()) {
                relations.push(qualifier.table().to_owned());
            }
            if qualifier.table() != name && qualifier.to_string() != name {
                continue;
            }
            there = true;
            let column = Column::new(Some(qualifier.clone()), field.name());
            if let Some((view, axis)) = axis_of(input, &column) {
                let same = found.as_ref().is_none_or(|known| Arc::ptr_eq(known, &view));
                if same {
                    found = Some(view);
                    axes.push((axis, column));
                }
            }
        }
    }
    if !there {
        let hint = did_you_mean(name, relations.iter().map(String::as_str));
        return plan_err!("CELL({name}): no relation of that name stands here{hint}; there are: {}", relations.join(", "));
    }
    let Some(view) = found else {
        return plan_err!("CELL({name}): {name} is not a cube, nor does it keep the axes of one");
    };
    let cube = &view.cube;
    let Some((y, x)) = horizontal(&cube.grid.axes) else {
        if cube.variables.iter().any(is_located) {
            return plan_err!(
                "CELL({name}): the latitudes and longitudes of {} are along two axes, so its cells are no rows and columns; REGRID it onto axes of one dimension first, or narrow it by ranges of latitude and longitude",
                cube.name
            );
        }
        let axes: Vec<&str> = cube.grid.axes.iter().map(|a| a.name.as_str()).collect();
        return plan_err!(
            "CELL({name}): {} has no two horizontal axes (latitude and longitude, or y and x); its axes are: {}",
            cube.name,
            axes.join(", ")
        );
    };
    let column = |wanted: usize| match axes.iter().find(|(axis, _)| *axis == wanted) {
        Some((_, column)) => Ok(column.clone()),
        None => plan_err!("CELL({name}): axis {} is not among the columns of {name}; select it as well", cube.grid.axes[wanted].name),
    };
    let columns = [column(y)?, column(x)?];
    Ok((view, [y, x], columns))
}

/// The coordinate reference system that a geometry says it has.
pub(crate) fn geometry_crs(geometry: &Expr, schema: &DFSchema) -> Result<Option<String>> {
    if let Expr::Literal(ScalarValue::Utf8(Some(text)) | ScalarValue::Utf8View(Some(text)), _) = geometry {
        let (_, srid) = wkt::read(text)?;
        return Ok(srid.map(|code| format!("EPSG:{code}")));
    }
    let (_, field) = geometry.to_field(schema)?;
    let found = crs_of(&field);
    if let Some(found) = &found {
        Crs::read(found).map_err(DataFusionError::Plan)?;
    }
    Ok(found)
}

/// A predicate with the box of cells that it can hold for, where its geometry is a constant: so that the view is narrowed.
fn boxed(predicate: Expr) -> Result<Expr> {
    let mut parts: Vec<Expr> = Vec::new();
    for part in split_conjunction(&predicate) {
        if let Expr::ScalarFunction(call) = part
            && let Some(CellFunction { rule, bound: Some(bound), .. }) = call.func.inner().downcast_ref::<CellFunction>()
            && *rule != Rule::Coverage
            && let [geometry, y, x] = call.args.as_slice()
            && let Some(geometry) = constant(geometry)?
        {
            match bound.extent(*rule, &geometry)? {
                Some([south, north, west, east]) => {
                    parts.push(y.clone().gt_eq(lit(south)).and(y.clone().lt_eq(lit(north))));
                    parts.push(x.clone().gt_eq(lit(west)).and(x.clone().lt_eq(lit(east))));
                }
                None => parts.push(lit(false)),
            }
        }
        parts.push(part.clone());
    }
    Ok(conjunction(parts).unwrap_or(predicate))
}
