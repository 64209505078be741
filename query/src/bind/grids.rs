//! Grids in FROM: what the arguments of `GRID(y => axis(0, 99, 1), ...)` and `REGRID(era5, lat => axis(-90, 90, 1), ...)` mean.

use datafusion::arrow::datatypes::DataType;
use datafusion::catalog::default_table_source::source_as_provider;
use datafusion::common::{Column, ScalarValue, plan_err};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::planner::RelationPlannerContext;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::sql::sqlparser::ast::{Expr as SqlExpr, FunctionArg, FunctionArgExpr, ObjectName, Spanned, TableFactor};
use datafusion::sql::sqlparser::tokenizer::Span;
use graticule_storage::array::Axis;

use super::names::did_you_mean;
use super::origin::axis_of;
use super::relations::{argument, arguments, normalised};
use super::subset::{SubsetPlanner, at};
use crate::crs::Crs;
use crate::grids::leaf::Leaf;
use crate::grids::regrid::{Method, Target};
use crate::grids::warp::{self, Wanted};
use crate::grids::{derived, lines, overviews, regrid};
use crate::located::is_located;
use crate::table::CubeTable;

impl SubsetPlanner {
    /// Plans `grid(y => axis(...), ...)`: a cube of coordinates.
    pub(super) fn grid(&self, args: &[FunctionArg], context: &mut dyn RelationPlannerContext) -> Result<LogicalPlan> {
        let mut axes: Vec<Axis> = Vec::new();
        for arg in args {
            let (name, value) = named(arg)?;
            let found = self.axis(&name, value, context).and_then(|(axis, _)| match axes.iter().any(|a| a.name == axis.name) {
                true => plan_err!("the axis {name} is named twice"),
                false => Ok(axis),
            });
            axes.push(found.map_err(|e| at(e, value.span()))?);
        }
        if axes.is_empty() {
            return plan_err!("GRID wants axes, as GRID(y => axis(0, 99, 1), x => axis(0, 99, 1))");
        }
        if axes.iter().fold(1u64, |n, a| n.saturating_mul(a.len())) > u64::MAX / 2 {
            return plan_err!("GRID: there are more cells than can be counted; give fewer or larger steps");
        }
        derived::coordinates(axes, self.cubes.reader())
    }

    /// Plans `regrid(relation, lat => axis(...), lon => other.lon, method => 'bilinear')`.
    pub(super) fn regrid(
        &self,
        plan: LogicalPlan,
        args: &[FunctionArg],
        factor: &TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<LogicalPlan> {
        let (leaf, variables) = leaf_of(&plan, "REGRID")?;
        let (mut method, mut targets): (_, Vec<Target>) = (Method::Bilinear, Vec::new());
        let mut overviews = None;
        for arg in args {
            let (name, value) = named(arg)?;
            if name == "method" && leaf.view.cube.grid.position("method").is_none() {
                let text = self.constant(value, context)?.map(|v| v.to_string());
                method = method_of(text.as_deref()).map_err(|e| at(e, value.span()))?;
                continue;
            }
            if name == "overviews" && leaf.view.cube.grid.position("overviews").is_none() {
                match self.constant(value, context)? {
                    Some(ScalarValue::Boolean(Some(wanted))) => overviews = Some(value.span()).filter(|_| wanted),
                    other => return plan_err!("overviews: true or false is expected, not {}", other.unwrap_or(ScalarValue::Null)),
                }
                continue;
            }
            let target = self.target(&leaf, &name, value, factor, context).and_then(|target| {
                match targets.iter().any(|t| t.number == target.number) {
                    true => plan_err!("the axis {name} is named twice"),
                    false => Ok(target),
                }
            });
            targets.push(target.map_err(|e| at(e, value.span()))?);
        }
        if targets.is_empty() {
            return plan_err!("REGRID wants the axes of its result, as REGRID(era5, lat => axis(-90, 90, 1), lon => axis(0, 359, 1))");
        }
        match overviews {
            Some(place) => {
                let (leaf, note) = overviews::coarser(self.cubes.catalog(), leaf, &targets).map_err(|e| at(e, place))?;
                regrid::plan(&leaf, targets, method, variables.as_deref(), &note)
            }
            None => regrid::plan(&leaf, targets, method, variables.as_deref(), ""),
        }
    }

    /// Plans `warp(relation, crs => 'EPSG:4326', resolution => 0.01, method => 'bilinear', bounds => [west, south, east, north])`.
    pub(super) fn warp(
        &self,
        plan: LogicalPlan,
        source: Span,
        args: &[FunctionArg],
        context: &mut dyn RelationPlannerContext,
    ) -> Result<LogicalPlan> {
        let (leaf, variables) = leaf_of(&plan, "WARP").map_err(|e| at(e, source))?;
        let (mut crs, mut resolution, mut method, mut bounds) = (None, None, Method::Bilinear, None);
        let mut unknown = false;
        for arg in args {
            let (name, value) = named(arg)?;
            let mut take = || -> Result<()> {
                match name.as_str() {
                    "crs" => {
                        let text = self.constant(value, context)?.map_or("EPSG:4326".to_string(), |v| v.to_string());
                        crs = Some((Crs::read(&text).map_err(DataFusionError::Plan)?, text));
                    }
                    "resolution" => match self.number("resolution", value, context)? {
                        None => (unknown, resolution) = (true, Some(1.0)),
                        Some(side) if side.is_finite() && side > 0.0 => resolution = Some(side),
                        Some(side) => {
                            return plan_err!("the resolution of WARP is {side}; give the side of a cell in units of the target, above 0");
                        }
                    },
                    "method" => {
                        let text = self.constant(value, context)?.map(|v| v.to_string());
                        method = method_of(text.as_deref())?;
                        if method == Method::Conservative {
                            return plan_err!("WARP has the methods nearest, bilinear, cubic and average; areas on a sphere are REGRID's");
                        }
                    }
                    "bounds" => {
                        bounds = self.bounds(value, context)?;
                        unknown |= bounds.is_none();
                    }
                    other => {
                        if other == "overviews" {
                            return plan_err!("USING OVERVIEWS belongs to REGRID; WARP reads the cells themselves");
                        }
                        let known = ["crs", "resolution", "method", "bounds"];
                        let hint = did_you_mean(other, known.into_iter());
                        return plan_err!("WARP has no {other}{hint}; it takes: {}", known.join(", "));
                    }
                }
                Ok(())
            };
            take().map_err(|e| at(e, value.span()))?;
        }
        let (Some((crs, text)), Some(resolution)) = (crs, resolution) else {
            let lacking: Result<LogicalPlan> =
                plan_err!("WARP wants a CRS and the side of a cell in its units, as WARP(s2, crs => 'EPSG:4326', resolution => 0.0001)");
            return lacking.map_err(|e| at(e, source));
        };
        // While parameters have no value, a grid of one cell stands for the one that they will make: only columns are asked for.
        let (resolution, bounds) = if unknown { (1.0, Some([0.0, 0.0, 1.0, 1.0])) } else { (resolution, bounds) };
        warp::plan(&leaf, &Wanted { crs, text, resolution, method, bounds }, variables.as_deref()).map_err(|e| at(e, source))
    }

    /// A constant number; `None` for a parameter that has no value yet.
    fn number(&self, what: &str, value: &SqlExpr, context: &mut dyn RelationPlannerContext) -> Result<Option<f64>> {
        match self.constant(value, context)?.map(|v| (v.cast_to(&DataType::Float64), v)) {
            None => Ok(None),
            Some((Ok(ScalarValue::Float64(Some(n))), v)) if v.data_type().is_numeric() => Ok(Some(n)),
            Some((_, v)) => plan_err!("{what}: a number is expected, not {v}"),
        }
    }

    /// `None` while a parameter among them has no value yet.
    fn bounds(&self, value: &SqlExpr, context: &mut dyn RelationPlannerContext) -> Result<Option<[f64; 4]>> {
        let parts: &[SqlExpr] = match value {
            SqlExpr::Array(array) => &array.elem,
            _ => &[],
        };
        let numbers = parts.iter().map(|part| self.number("bounds", part, context)).collect::<Result<Vec<_>>>()?;
        if numbers.contains(&None) {
            return Ok(None);
        }
        let numbers: Vec<f64> = numbers.into_iter().flatten().collect();
        match <[f64; 4]>::try_from(numbers) {
            Ok([w, s, e, n]) if w < e && s < n && [w, s, e, n].iter().all(|b| b.is_finite()) => Ok(Some([w, s, e, n])),
            Ok(bounds) => plan_err!(
                "bounds are [west, south, east, north], each pair rising, not {bounds:?}; across the antimeridian longitudes go on, as [170, -20, 190, 20]"
            ),
            Err(_) => plan_err!("bounds are [west, south, east, north] in units of the target's CRS, not {value}"),
        }
    }

    fn target(
        &self,
        leaf: &Leaf,
        name: &str,
        value: &SqlExpr,
        factor: &TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<Target> {
        let cube = &leaf.view.cube;
        let Some(number) = cube.grid.position(name) else {
            if let Some(v) = cube.variable(name).and_then(|v| cube.variables.get(v)).filter(|v| is_located(v)) {
                return plan_err!(
                    "{name} is no axis but a coordinate along {} axes, and REGRID goes along axes; select cells with [{name}(40:50)]",
                    v.axes.len()
                );
            }
            let known: Vec<&str> = cube.grid.axes.iter().map(|a| a.name.as_str()).collect();
            let hint = did_you_mean(name, known.iter().copied().chain(["method"]));
            return plan_err!("there is no axis {name} here{hint}; the axes are: {}", known.join(", "));
        };
        if let SqlExpr::CompoundIdentifier(parts) = value
            && let Some((last, relation)) = parts.split_last()
        {
            let axis = normalised(last);
            let plan = self.relation(ObjectName::from(relation.to_vec()), factor, context)?;
            let Some((view, of)) = axis_of(&plan, &Column::new_unqualified(&axis)) else {
                return plan_err!("axis {name}: {value} is no axis of a cube");
            };
            let other = Leaf { view, supply: leaf.supply.clone() };
            return Ok(Target { number, axis: Axis { name: name.to_string(), ..other.axis(of) }, step: None });
        }
        let (axis, step) = self.axis(name, value, context)?;
        Ok(Target { number, axis, step })
    }

    /// The axis that `axis(from, to, step)` describes, and its step where that is a number. With a parameter that has no value
    /// yet it has one cell.
    pub(super) fn axis(&self, name: &str, value: &SqlExpr, context: &mut dyn RelationPlannerContext) -> Result<(Axis, Option<f64>)> {
        let call = match value {
            SqlExpr::Function(call) if call.name.to_string().eq_ignore_ascii_case("axis") => call,
            other => return plan_err!("axis {name}: axis(from, to, step) is expected, not {other}"),
        };
        let args: Vec<&SqlExpr> = arguments(call).iter().filter_map(argument).collect();
        let [from, to, step] = args.as_slice() else {
            return plan_err!("axis {name}: axis(from, to, step) has three values, as axis(-90, 90, 0.25)");
        };
        let values = [self.constant(from, context)?, self.constant(to, context)?, self.constant(step, context)?];
        let length = match values[2].as_ref().map(|step| step.cast_to(&DataType::Float64)) {
            Some(Ok(ScalarValue::Float64(length))) => length,
            _ => None,
        };
        let axis = match values {
            [Some(from), Some(to), Some(step)] => lines::axis(name, &from, &to, &step),
            _ => lines::axis(name, &unit(0), &unit(0), &unit(1)),
        };
        Ok((axis.map_err(DataFusionError::Plan)?, length))
    }
}

fn unit(v: i64) -> ScalarValue {
    ScalarValue::Int64(Some(v))
}

/// Name and value of an argument.
pub(super) fn named(arg: &FunctionArg) -> Result<(String, &SqlExpr)> {
    match arg {
        FunctionArg::Named { name, arg: FunctionArgExpr::Expr(value), .. } => Ok((normalised(name), value)),
        FunctionArg::ExprNamed { name: SqlExpr::Identifier(name), arg: FunctionArgExpr::Expr(value), .. } => Ok((normalised(name), value)),
        other => plan_err!("an argument with its name is expected, as lat => axis(-90, 90, 1), not {other}"),
    }
}

/// The cube that a plan reads as it is, and the variables that it keeps (`None`: all). What computes is refused by name.
pub(super) fn leaf_of(plan: &LogicalPlan, function: &str) -> Result<(Leaf, Option<Vec<String>>)> {
    match plan {
        LogicalPlan::SubqueryAlias(alias) => leaf_of(&alias.input, function),
        LogicalPlan::Projection(p) if p.expr.iter().all(|e| matches!(e, Expr::Column(_))) => {
            let (leaf, before) = leaf_of(&p.input, function)?;
            let names: Vec<String> = p.schema.fields().iter().map(|f| f.name().clone()).collect();
            let kept = names.into_iter().filter(|name| before.as_ref().is_none_or(|before| before.contains(name)));
            Ok((leaf, Some(kept.collect())))
        }
        LogicalPlan::TableScan(scan) => match source_as_provider(&scan.source)?.downcast_ref::<CubeTable>() {
            Some(table) => Ok((Leaf { view: table.view.clone(), supply: table.supply.clone() }, None)),
            None => plan_err!("{function} wants a cube, and {} is none", scan.table_name),
        },
        other => plan_err!(
            "{function} reads cubes and subsets of cubes, not the result of {}: compute from what {function} gives, as in \
             SELECT a - b FROM {function}(cube, ...)",
            other.display()
        ),
    }
}

/// The method of this name.
pub(super) fn method_of(text: Option<&str>) -> Result<Method> {
    let Some(text) = text else { return Ok(Method::Bilinear) };
    match Method::ALL.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)) {
        Some((_, method)) => Ok(*method),
        None => {
            let known: Vec<&str> = Method::ALL.iter().map(|(name, _)| *name).collect();
            let hint = did_you_mean(text, known.iter().copied());
            plan_err!("there is no method '{text}'{hint}; the methods are: {}", known.join(", "))
        }
    }
}
