//! A join of two leaves along axes becomes one leaf over a joined cube ([`Aligned`]), so that what stands above it runs by tiles too.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, UInt64Array};
use datafusion::arrow::compute;
use datafusion::arrow::datatypes::{DataType as ArrowType, Float32Type, Float64Type, Int32Type, Int64Type};
use datafusion::arrow::row::{OwnedRow, RowConverter, SortField};
use datafusion::common::{JoinType, NullEquality};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{CastExpr, Column};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::joins::HashJoinExec;
use graticule_storage::array::{Attributes, Axis, Coordinates, DataType, TimeUnit};
use graticule_storage::catalog::CubeVariable;

use super::reduce::along_axis;
use crate::dense::CubeExec;
use crate::dense::aligned::{Aligned, Place, Side, Value};
use crate::dense::exec::LeafPlan;
use crate::dense::program::{Derived, Input, Program, Step};
use crate::dense::window::Kind;
use crate::grids::derived::cube;
use crate::view::{AxisView, CubeColumn, View};

/// Cells of a tile of a joined cube, about.
const TILE_CELLS: u64 = 1 << 21;

/// The leaf that does what a join does; `None` where that has no dense form.
pub(super) fn aligned(node: &Arc<dyn ExecutionPlan>) -> Option<Arc<dyn ExecutionPlan>> {
    let join = node.downcast_ref::<HashJoinExec>()?;
    let outer = match join.join_type() {
        JoinType::Inner => false,
        JoinType::Left => true,
        _ => return None,
    };
    if join.filter().is_some() || join.null_equality() != NullEquality::NullEqualsNothing {
        return None;
    }
    let (left, right) = (leaf(join.left())?, leaf(join.right())?);
    let keys = keys(join, left, right)?;
    let grid = JoinedGrid::new(left, right, &keys, outer)?;
    grid.leaf(join, left, right)
}

/// A leaf that makes cells, which can be asked for in any boxes.
fn leaf(node: &Arc<dyn ExecutionPlan>) -> Option<&LeafPlan> {
    let plan = node.downcast_ref::<CubeExec>()?.plan.as_ref();
    (plan.reduction.is_none() && plan.tensors.is_none() && plan.fetch.is_none() && !looks_along(&plan.program)).then_some(plan)
}

/// True for a program that looks up aggregates along axes, which only a leaf of its own computes beforehand.
fn looks_along(program: &Program) -> bool {
    program.windows().any(|w| matches!(w.kind, Kind::Along(_)) || looks_along(&w.below))
}

/// An axis of both sides: by position of the left view the one of the right.
struct Key {
    left: usize,
    right: usize,
    map: Vec<Option<u64>>,
}

fn keys(join: &HashJoinExec, left: &LeafPlan, right: &LeafPlan) -> Option<Vec<Key>> {
    let mut keys: Vec<Key> = Vec::new();
    for (l, r) in join.on() {
        let (l, r) = (left.program.lower(l).ok()?, right.program.lower(r).ok()?);
        let (a, ours) = along_axis(&left.view, &left.program, &l).ok()?;
        let (b, theirs) = along_axis(&right.view, &right.program, &r).ok()?;
        if keys.iter().any(|k| k.left == a || k.right == b) || ours.data_type() != theirs.data_type() {
            return None;
        }
        let converter = RowConverter::new(vec![SortField::new(ours.data_type().clone())]).ok()?;
        let rows = |values: &ArrayRef| {
            let rows = converter.convert_columns(std::slice::from_ref(values)).ok()?;
            // NULL equals nothing.
            Some(rows.iter().enumerate().map(|(i, row)| values.is_valid(i).then(|| row.owned())).collect::<Vec<_>>())
        };
        let mut places: HashMap<OwnedRow, u64> = HashMap::new();
        for (at, row) in (0..).zip(rows(&theirs)?) {
            // A coordinate that is there twice makes two rows of one cell.
            if row.is_some_and(|row| places.insert(row, at).is_some()) {
                return None;
            }
        }
        let map = rows(&ours)?.into_iter().map(|row| row.and_then(|row| places.get(&row).copied())).collect();
        keys.push(Key { left: a, right: b, map });
    }
    (!keys.is_empty()).then_some(keys)
}

/// The axes of a joined cube: those of the left side, then those that only the right side has.
struct JoinedGrid {
    axes: Vec<Axis>,
    /// Whether a slice fixed the axis.
    fixed: Vec<bool>,
    cuts: Vec<Vec<u64>>,
    /// By axis of each side where it stands.
    places: [Vec<Place>; 2],
    outer: bool,
}

impl JoinedGrid {
    fn new(left: &LeafPlan, right: &LeafPlan, keys: &[Key], outer: bool) -> Option<JoinedGrid> {
        let (mut axes, mut fixed, mut cuts) = (Vec::new(), Vec::new(), Vec::new());
        let mut places = [Vec::new(), vec![Place::Fixed; right.view.axes.len()]];
        for (a, seen) in left.view.axes.iter().enumerate() {
            let key = keys.iter().find(|k| k.left == a);
            let all = 0..seen.len();
            let kept: Vec<u64> = match key {
                Some(key) if !outer => all.filter(|&p| key.map.get(p as usize).copied().flatten().is_some()).collect(),
                _ => all.collect(),
            };
            if let Some(key) = key {
                let map: Vec<Option<u64>> = kept.iter().map(|&p| key.map.get(p as usize).copied().flatten()).collect();
                let straight =
                    kept.len() as u64 == right.view.axes.get(key.right)?.len() && map.iter().copied().eq((0..).map(Some).take(map.len()));
                places[1][key.right] = if straight { Place::Same(a) } else { Place::Mapped(a, map.into()) };
            }
            let same = kept.len() as u64 == seen.len();
            places[0].push(if same { Place::Same(a) } else { Place::Mapped(a, kept.iter().copied().map(Some).collect()) });
            let starts = left.tiles.segments.get(a)?.iter().map(|s| kept.partition_point(|&p| p < s.view.start) as u64);
            cuts.push(with_ends(starts.collect(), kept.len() as u64));
            axes.push(axis(left.view.cube.grid.axes.get(a)?, seen, &kept)?);
            fixed.push(seen.fixed);
        }
        for (b, seen) in right.view.axes.iter().enumerate().filter(|(b, _)| !keys.iter().any(|k| k.right == *b)) {
            if seen.fixed && seen.len() == 1 {
                continue;
            }
            let own = right.view.cube.grid.axes.get(b)?;
            // A cell of the left side without partner has one row, wherever the right side goes on to.
            if outer || axes.iter().any(|axis: &Axis| axis.name == own.name) {
                return None;
            }
            places[1][b] = Place::Same(axes.len());
            let starts = right.tiles.segments.get(b)?.iter().map(|s| s.view.start).collect();
            cuts.push(with_ends(starts, seen.len()));
            axes.push(axis(own, seen, &(0..seen.len()).collect::<Vec<_>>())?);
            fixed.push(false);
        }
        Some(JoinedGrid { axes, fixed, cuts: bounded(cuts), places, outer })
    }

    /// The leaf over the joined cube.
    fn leaf(self, join: &HashJoinExec, left: &LeafPlan, right: &LeafPlan) -> Option<Arc<dyn ExecutionPlan>> {
        let plans = [left, right];
        let mut variables: Vec<(usize, Value)> = Vec::new();
        let mut described: Vec<CubeVariable> = Vec::new();
        let mut columns: Vec<Input> = Vec::new();
        // By output column: where it is among `columns`, or what it is along an axis of the joined cube.
        let mut outputs: Vec<Result<usize, (usize, ArrayRef)>> = Vec::new();
        let schemas = [left.program.schema(), right.program.schema()];
        let width = schemas[0].fields().len();
        let all: Vec<usize> = (0..width + schemas[1].fields().len()).collect();
        let wanted = join.projection.as_ref().map_or(all, |p| p.to_vec());
        let add = |input: Input, columns: &mut Vec<Input>| {
            let known = columns.iter().position(|c| matches!((c, &input), (Input::Cube(a), Input::Cube(b)) if a == b));
            known.unwrap_or_else(|| {
                columns.push(input);
                columns.len() - 1
            })
        };
        let mut variable = |side: usize, value: Value, decoded: DataType, time: Option<TimeUnit>, name: &str, attributes: Attributes| {
            variables.iter().position(|known| *known == (side, value)).unwrap_or_else(|| {
                let mut own: Vec<usize> = self.places[side]
                    .iter()
                    .filter_map(|place| match place {
                        Place::Same(axis) | Place::Mapped(axis, _) => Some(*axis),
                        Place::Fixed => None,
                    })
                    .collect();
                own.sort_unstable();
                variables.push((side, value));
                described.push(CubeVariable { attributes, ..CubeVariable::new(name, own, decoded, time, vec![]) });
                variables.len() - 1
            })
        };
        for &output in &wanted {
            let (side, at) = if output < width { (0, output) } else { (1, output - width) };
            let field = schemas[side].fields().get(at)?;
            let plan = plans[side];
            let lowered = plan.program.lower(&(Arc::new(Column::new(field.name(), at)) as Arc<dyn PhysicalExpr>)).ok()?;
            let input = lowered.downcast_ref::<Column>().and_then(|c| plan.program.columns.get(c.index()));
            if let Some(Input::Cube(CubeColumn::Axis(axis))) = input {
                match self.places[side].get(*axis)? {
                    Place::Same(joined) if side == 0 => outputs.push(Ok(add(Input::Cube(CubeColumn::Axis(*joined)), &mut columns))),
                    Place::Mapped(joined, _) if side == 0 => outputs.push(Ok(add(Input::Cube(CubeColumn::Axis(*joined)), &mut columns))),
                    Place::Same(joined) => outputs.push(Err((*joined, plan.view.axes.get(*axis)?.coordinates.clone()))),
                    Place::Mapped(joined, map) => {
                        let picks: UInt64Array = map.iter().copied().collect();
                        outputs.push(Err((*joined, compute::take(&plan.view.axes.get(*axis)?.coordinates, &picks, None).ok()?)));
                    }
                    Place::Fixed => {
                        let (decoded, time) = stored(field.data_type())?;
                        let number = variable(side, Value::Column(at), decoded, time, field.name(), Attributes::default());
                        outputs.push(Ok(add(Input::Cube(CubeColumn::Variable(number)), &mut columns)));
                    }
                }
                continue;
            }
            let attributes = match input {
                Some(Input::Cube(CubeColumn::Variable(v))) => plan.view.cube.variables.get(*v)?.attributes.clone(),
                _ => Attributes::default(),
            };
            let (decoded, time) = stored(field.data_type())?;
            let number = variable(side, Value::Column(at), decoded, time, field.name(), attributes);
            outputs.push(Ok(add(Input::Cube(CubeColumn::Variable(number)), &mut columns)));
        }
        let mut masks = Vec::new();
        for (side, plan) in plans.iter().enumerate().filter(|(side, plan)| plan.program.masks() && !(*side == 1 && self.outer)) {
            let _ = plan;
            let number = variable(side, Value::Selected, DataType::UInt8, None, "selected", Attributes::default());
            masks.push(add(Input::Cube(CubeColumn::Variable(number)), &mut columns));
        }
        let name = format!("{} JOIN {}", left.view.cube.name, right.view.cube.name);
        let grid = &left.view.cube.grid;
        let crs = grid.crs.clone().or_else(|| right.view.cube.grid.crs.clone());
        let cube = cube(&name, self.axes, crs, described, left.view.cube.attributes.clone());
        let mut view = View::derived(cube, self.cuts);
        for (axis, fixed) in view.axes.iter_mut().zip(&self.fixed) {
            axis.fixed = *fixed;
        }
        let mut program = Program::starting(&view, columns);
        let mut numbers = Vec::new();
        for output in outputs {
            numbers.push(match output {
                Ok(number) => number,
                Err((axis, values)) => program.derive(Derived { axis, values, name: view.cube.grid.axes.get(axis)?.name.clone() }),
            });
        }
        let column = |program: &Program, number: usize| -> Arc<dyn PhysicalExpr> {
            Arc::new(Column::new(program.read_schema.field(number).name(), number))
        };
        for mask in masks {
            program.steps.push(Step::Mask(Arc::new(CastExpr::new(column(&program, mask), ArrowType::Boolean, None))));
        }
        let schema = join.schema();
        let exprs = numbers.iter().zip(schema.fields()).map(|(&number, field)| {
            let read = column(&program, number);
            let as_is = program.read_schema.field(number).data_type() == field.data_type();
            if as_is { read } else { Arc::new(CastExpr::new(read, field.data_type().clone(), None)) as Arc<dyn PhysicalExpr> }
        });
        let step = Step::Map { exprs: exprs.collect(), schema: schema.clone() };
        program.steps.push(step);
        let [first, second] = self.places;
        let side = |plan: &LeafPlan, places, outer| Side { plan: Arc::new(plan.clone()), places, outer };
        let supply = Aligned { sides: [side(left, first, false), side(right, second, self.outer)], variables };
        let partitions = left.partitions.max(right.partitions);
        Some(Arc::new(CubeExec::new(LeafPlan::scan(Arc::new(supply), Arc::new(view), program, None, partitions))))
    }
}

/// The type that a variable of a joined cube has for values of this type; truth values are 0 and 1.
fn stored(t: &ArrowType) -> Option<(DataType, Option<TimeUnit>)> {
    use datafusion::arrow::datatypes::TimeUnit as Unit;
    Some(match t {
        ArrowType::Boolean | ArrowType::UInt8 => (DataType::UInt8, None),
        ArrowType::Int8 => (DataType::Int8, None),
        ArrowType::Int16 => (DataType::Int16, None),
        ArrowType::Int32 => (DataType::Int32, None),
        ArrowType::Int64 => (DataType::Int64, None),
        ArrowType::UInt16 => (DataType::UInt16, None),
        ArrowType::UInt32 => (DataType::UInt32, None),
        ArrowType::UInt64 => (DataType::UInt64, None),
        ArrowType::Float32 => (DataType::Float32, None),
        ArrowType::Float64 => (DataType::Float64, None),
        ArrowType::Utf8 => (DataType::Text, None),
        ArrowType::Timestamp(Unit::Second, None) => (DataType::Int64, Some(TimeUnit::Second)),
        ArrowType::Timestamp(Unit::Microsecond, None) => (DataType::Int64, Some(TimeUnit::Microsecond)),
        ArrowType::Timestamp(Unit::Nanosecond, None) => (DataType::Int64, Some(TimeUnit::Nanosecond)),
        _ => return None,
    })
}

/// An axis as a view shows it, with these positions of the view only.
fn axis(of: &Axis, seen: &AxisView, kept: &[u64]) -> Option<Axis> {
    let shown = compute::take(&seen.coordinates, &UInt64Array::from(kept.to_vec()), None).ok()?;
    let stored: Vec<u64> = seen.runs.iter().cloned().flatten().collect();
    let positions: Vec<usize> = kept.iter().map(|&p| stored.get(p as usize).map(|&s| s as usize)).collect::<Option<_>>()?;
    let coordinates = match &of.coordinates {
        Coordinates::Index(_) => {
            let numbers = shown.as_primitive_opt::<Int64Type>()?.values().to_vec();
            let counted = numbers.iter().copied().eq(0..numbers.len() as i64);
            if counted { Coordinates::Index(numbers.len() as u64) } else { Coordinates::Int64(numbers) }
        }
        Coordinates::Float32(_) => Coordinates::Float32(shown.as_primitive_opt::<Float32Type>()?.values().to_vec()),
        Coordinates::Float64(_) => Coordinates::Float64(shown.as_primitive_opt::<Float64Type>()?.values().to_vec()),
        Coordinates::Int32(_) => Coordinates::Int32(shown.as_primitive_opt::<Int32Type>()?.values().to_vec()),
        Coordinates::Int64(_) => Coordinates::Int64(shown.as_primitive_opt::<Int64Type>()?.values().to_vec()),
        Coordinates::Time(unit, _) => {
            let counts = compute::cast(&shown, &ArrowType::Int64).ok()?;
            Coordinates::Time(*unit, counts.as_primitive_opt::<Int64Type>()?.values().to_vec())
        }
        Coordinates::Text(_) => Coordinates::Text(shown.as_string_opt::<i32>()?.iter().map(|t| t.unwrap_or_default().to_owned()).collect()),
        Coordinates::Calendar(calendar, all) => {
            Coordinates::Calendar(*calendar, positions.iter().map(|&p| all.get(p).copied()).collect::<Option<_>>()?)
        }
    };
    // Longitudes that are seen in another turn take their bounds along.
    let (own, now) = (of.coordinates.to_f64(), coordinates.to_f64());
    let bounds = match (&of.bounds, own, now) {
        (Some(all), Some(own), Some(now)) => {
            let moved = |(&p, shown): (&usize, f64)| {
                let (pair, was) = (all.get(p)?, own.get(p)?);
                Some([pair[0] + shown - was, pair[1] + shown - was])
            };
            positions.iter().zip(now).map(moved).collect::<Option<Vec<_>>>()
        }
        _ => None,
    };
    Some(Axis { coordinates, bounds, ..of.clone() })
}

/// A rising list of starts from 0, with the length at its end.
fn with_ends(mut starts: Vec<u64>, n: u64) -> Vec<u64> {
    starts.retain(|&s| s < n);
    starts.extend([0, n]);
    starts.sort_unstable();
    starts.dedup();
    starts
}

/// Cuts between which no tile has many more than [`TILE_CELLS`].
fn bounded(mut cuts: Vec<Vec<u64>>) -> Vec<Vec<u64>> {
    let widest = |list: &[u64]| list.windows(2).map(|w| w[1] - w[0]).max().unwrap_or(1).max(1);
    loop {
        let cells = cuts.iter().fold(1u64, |n, list| n.saturating_mul(widest(list)));
        let Some(list) = cuts.iter_mut().max_by_key(|list| widest(list)).filter(|list| cells > TILE_CELLS && widest(list) > 1) else {
            return cuts;
        };
        let middles: Vec<u64> = list.windows(2).filter(|w| w[1] - w[0] > 1).map(|w| w[0] + (w[1] - w[0]) / 2).collect();
        list.extend(middles);
        list.sort_unstable();
    }
}
