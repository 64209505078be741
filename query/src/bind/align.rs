//! `a JOIN b USING DIMS` after planning: the coordinates of both sides are compared, axis by axis, from the index alone.
//!
//! Cells are the same where their coordinates agree: numbers within 1e-6 of a cell (and within the rounding of single precision
//! where a side has that), instants, texts and positions exactly. An inner join keeps the coordinates that both sides have, as in
//! SQL. It is an error when a coordinate lies less than half a cell beside one of the other side, because then the grids are
//! shifted against each other and cells would be lost unseen; when longitudes are counted in different turns; and when no
//! coordinate is common. A cell is the smallest distance of neighbours on either axis.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, UInt32Array};
use datafusion::arrow::compute;
use datafusion::arrow::datatypes::{DataType, Float64Type, Int64Type, TimeUnit};
use datafusion::arrow::util::display::array_value_to_string;
use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::common::{Column, Result, plan_err};
use datafusion::logical_expr::{Expr, Join, LogicalPlan, LogicalPlanBuilder, SubqueryAlias};
use datafusion::sql::sqlparser::tokenizer::Span;
use graticule_storage::array::AxisRole;

use super::dims::marked;
use super::origin::axis_of;
use crate::QueryError;
use crate::functions::{in_subset, same_cell};
use crate::view::View;

/// Part of a cell by which equal coordinates may differ.
const TOLERANCE: f64 = 1e-6;

/// Compares the coordinates of every join USING DIMS in a plan, and joins by cells where they are not equal bit by bit.
pub(crate) fn bind(plan: LogicalPlan) -> Result<LogicalPlan> {
    let mut changed = false;
    plan.transform_up_with_subqueries(|node| match &node {
        LogicalPlan::Join(join) => match unmarked(&join.right)? {
            Some((place, right)) => {
                changed = true;
                Ok(Transformed::yes(LogicalPlan::Join(aligned(join, right, place)?)))
            }
            None => Ok(Transformed::no(node)),
        },
        _ if changed => Ok(Transformed::yes(node.recompute_schema()?)),
        _ => Ok(Transformed::no(node)),
    })
    .data()
}

/// The right side of a join USING DIMS without its mark, and where it stands in the text.
fn unmarked(right: &LogicalPlan) -> Result<Option<(Span, LogicalPlan)>> {
    let LogicalPlan::SubqueryAlias(outer) = right else { return Ok(None) };
    let LogicalPlan::Projection(all) = outer.input.as_ref() else { return Ok(None) };
    let LogicalPlan::SubqueryAlias(inner) = all.input.as_ref() else { return Ok(None) };
    let Some(place) = marked(inner.alias.table()) else { return Ok(None) };
    let plain = SubqueryAlias::try_new(inner.input.clone(), outer.alias.clone())?;
    Ok(Some((place, LogicalPlan::SubqueryAlias(plain))))
}

/// The join with the coordinates of its right side written as those of its left side, where they are the same cells.
fn aligned(join: &Join, right: LogicalPlan, place: Span) -> Result<Join> {
    let fail = |message: String| QueryError::user(message).at(place);
    let mut snapped: Vec<(String, Expr)> = Vec::new();
    for (ours, theirs) in &join.on {
        let (Expr::Column(l), Expr::Column(r)) = (ours, theirs) else { continue };
        // A function of an axis, or an axis of what is no cube any more: equal values.
        let (Some(left), Some(other)) = (axis_of(&join.left, l), axis_of(&right, r)) else { continue };
        let (a, b) = (Side::new(left, l), Side::new(other, r));
        if let Common::Mapped { from, to } = a.common(&b).map_err(fail)? {
            snapped.push((r.name.clone(), same_cell::call(theirs.clone(), from, to).alias(&r.name)));
        }
    }
    if snapped.is_empty() {
        return Ok(Join { right: Arc::new(right), ..join.clone() });
    }
    let alias = match &right {
        LogicalPlan::SubqueryAlias(alias) => alias.alias.clone(),
        other => return plan_err!("the right side of a join USING DIMS has no name: {}", other.display()),
    };
    let columns = right.schema().iter().map(|(qualifier, field)| {
        let found = snapped.iter().find(|(name, _)| name == field.name()).map(|(_, expr)| expr.clone());
        found.unwrap_or_else(|| Expr::Column(Column::new(qualifier.cloned(), field.name())))
    });
    let exprs: Vec<Expr> = columns.collect();
    let right = LogicalPlanBuilder::from(right).project(exprs)?.alias(alias)?.build()?;
    Ok(Join { right: Arc::new(right), ..join.clone() })
}

/// One axis of one side.
struct Side {
    /// As a query names it: `b.lat`.
    name: String,
    axis: String,
    is_longitude: bool,
    /// What is seen.
    coordinates: ArrayRef,
    /// The whole axis of the cube.
    whole: ArrayRef,
}

/// How the coordinates of two sides go together.
enum Common {
    /// Equal values are equal cells.
    Equal,
    /// Coordinates of the right side, and those of the left side that they are the same as.
    Mapped { from: ArrayRef, to: ArrayRef },
}

impl Side {
    fn new((view, number): (Arc<View>, usize), column: &Column) -> Side {
        let axis = &view.cube.grid.axes[number];
        Side {
            name: column.flat_name(),
            axis: axis.name.clone(),
            is_longitude: axis.role == AxisRole::Longitude,
            coordinates: view.axes[number].coordinates.clone(),
            whole: axis.coordinates.to_arrow(),
        }
    }

    fn show(&self, at: usize) -> String {
        array_value_to_string(&self.coordinates, at).unwrap_or_default()
    }

    /// The smallest distance of neighbours along the whole axis.
    fn cell(&self) -> Option<f64> {
        let values = numbers(&self.whole)?;
        let steps = values.windows(2).map(|w| (w[1] - w[0]).abs()).filter(|step| *step > 0.0);
        steps.min_by(f64::total_cmp)
    }

    /// Compares two axes; an error says how they differ.
    fn common(&self, other: &Side) -> Result<Common, String> {
        if self.coordinates.is_empty() || other.coordinates.is_empty() {
            return Ok(Common::Equal);
        }
        let (ours, theirs) = match (numbers(&self.coordinates), numbers(&other.coordinates)) {
            (Some(ours), Some(theirs)) if is_time(&self.coordinates) == is_time(&other.coordinates) => (ours, theirs),
            _ => return self.common_texts(other),
        };
        let cell = [self.cell(), other.cell()].into_iter().flatten().min_by(f64::total_cmp);
        let exact = is_time(&self.coordinates);
        let single = !exact && [self, other].iter().any(|s| *s.coordinates.data_type() == DataType::Float32);
        let tolerance = |v: f64| {
            let rounding = if single { f64::from(f32::EPSILON) * v.abs() } else { 0.0 };
            if exact { 0.0 } else { rounding.max(cell.map_or(TOLERANCE * v.abs(), |cell| cell * TOLERANCE)) }
        };
        let line = Line::new(&ours);
        let (mut from, mut to) = (Vec::new(), Vec::new());
        let mut bits_equal = true;
        for (i, &v) in theirs.iter().enumerate() {
            let (at, distance) = line.nearest(v);
            if distance <= tolerance(v) {
                from.push(i as u32);
                to.push(at);
                bits_equal &= distance == 0.0;
            } else if cell.is_some_and(|cell| distance < cell / 2.0) {
                return Err(self.differ(at as usize, other, i));
            } else if (self.is_longitude || other.is_longitude)
                && [-360.0, 360.0].iter().any(|turn| line.nearest(v + turn).1 <= tolerance(v))
            {
                return Err(format!(
                    "{} and {} count longitudes in different turns (the one has {}, the other the same place 360 degrees on); a subset \
                     turns them, as {}(-180:180)",
                    self.name,
                    other.name,
                    other.show(i),
                    other.axis
                ));
            }
        }
        if from.is_empty() {
            return Err(format!("nothing is common: {}", self.differ(0, other, 0)));
        }
        let theirs_line = Line::new(&theirs);
        for (i, &v) in ours.iter().enumerate() {
            let (at, distance) = theirs_line.nearest(v);
            if distance > tolerance(v) && cell.is_some_and(|cell| distance < cell / 2.0) {
                return Err(self.differ(i, other, at as usize));
            }
        }
        if bits_equal {
            return Ok(Common::Equal);
        }
        let failed = |e: datafusion::arrow::error::ArrowError| e.to_string();
        let from = compute::take(&other.coordinates, &UInt32Array::from(from), None).map_err(failed)?;
        let to = compute::take(&self.coordinates, &UInt32Array::from(to), None).map_err(failed)?;
        Ok(Common::Mapped { from, to })
    }

    /// Labels and times of model calendars: equal or not.
    fn common_texts(&self, other: &Side) -> Result<Common, String> {
        let theirs = compute::cast(&other.coordinates, self.coordinates.data_type()).map_err(|_| {
            let (ours, theirs) = (self.coordinates.data_type(), other.coordinates.data_type());
            format!("{} is of type {ours} and {} of type {theirs}", self.name, other.name)
        })?;
        match in_subset::among(&self.coordinates, &theirs) {
            Ok(found) if found.true_count() > 0 => Ok(Common::Equal),
            Ok(_) => Err(format!("nothing is common: {}", self.differ(0, other, 0))),
            Err(e) => Err(e.to_string()),
        }
    }

    fn differ(&self, at: usize, other: &Side, there: usize) -> String {
        let advice = match is_time(&self.coordinates) {
            true => format!("USING ({}) in place of USING DIMS joins the instants that are equal", self.axis),
            false => format!("REGRID({}, {} => ...) brings one side to the grid of the other", relation(&other.name), self.axis),
        };
        format!(
            "the coordinates of axis {} differ: {} has {} where {} has {}; {advice}",
            self.axis,
            self.name,
            self.show(at),
            other.name,
            other.show(there)
        )
    }
}

/// `b` of `b.lat`.
fn relation(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(relation, _)| relation)
}

fn is_time(values: &ArrayRef) -> bool {
    matches!(values.data_type(), DataType::Timestamp(..))
}

/// Coordinates as numbers: instants as microseconds; `None` for texts.
fn numbers(values: &ArrayRef) -> Option<Vec<f64>> {
    match values.data_type() {
        // Microseconds of some hundred years are whole in a double.
        DataType::Timestamp(unit, _) => {
            let per_second: i64 = match unit {
                TimeUnit::Second => 1,
                TimeUnit::Millisecond => 1_000,
                TimeUnit::Microsecond => 1_000_000,
                TimeUnit::Nanosecond => 1_000_000_000,
            };
            let counts = compute::cast(values, &DataType::Int64).ok()?;
            let micros = |c: &i64| (i128::from(*c) * 1_000_000 / i128::from(per_second)) as f64;
            Some(counts.as_primitive::<Int64Type>().values().iter().map(micros).collect())
        }
        t if t.is_numeric() => Some(compute::cast(values, &DataType::Float64).ok()?.as_primitive::<Float64Type>().values().to_vec()),
        _ => None,
    }
}

/// Numbers in order, to find the nearest.
struct Line {
    sorted: Vec<(f64, u32)>,
}

impl Line {
    fn new(values: &[f64]) -> Line {
        let mut sorted: Vec<(f64, u32)> = values.iter().copied().zip(0..).collect();
        sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
        Line { sorted }
    }

    /// The place of the nearest, and its distance.
    fn nearest(&self, v: f64) -> (u32, f64) {
        let at = self.sorted.partition_point(|(w, _)| *w < v);
        let near = [at.checked_sub(1), Some(at)].into_iter().flatten().filter_map(|i| self.sorted.get(i));
        let found = near.map(|(w, i)| (*i, (w - v).abs())).min_by(|a, b| a.1.total_cmp(&b.1));
        found.unwrap_or((0, f64::INFINITY))
    }
}
