//! What an aggregate over a join of a cube with geometries is made of, so that it becomes a reduction by zones inside the leaf.
//!
//! The side of the geometries is small and in memory: it is run when the query is planned, and its geometries are rasterised on
//! what the leaf sees of the cube; the leaf is then confined to the rows and columns that they meet.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use datafusion::arrow::compute;
use datafusion::arrow::row::{OwnedRow, RowConverter, SortField};
use datafusion::catalog::memory::{DataSourceExec, MemorySourceConfig};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{JoinSide, JoinType};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use datafusion::physical_expr_common::physical_expr::is_volatile;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::placeholder_row::PlaceholderRowExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::union::UnionExec;
use futures::TryStreamExt;

use crate::dense::CubeExec;
use crate::dense::exec::LeafPlan;
use crate::dense::reduce::{PairColumn, PairValue, Zonal};
use crate::geometry::bound::Rule;
use crate::geometry::functions::CellFunction;
use crate::geometry::join::{ZonalJoin, ZonalJoinExec};
use crate::geometry::zones::{Numbering, Zones};
use crate::view::View;

/// Expressions over one side of the join, by what they are over the join's output.
type Exprs = Vec<Arc<dyn PhysicalExpr>>;

/// The join below an aggregate, taken apart.
pub(super) struct ZonalInput {
    /// The leaf, confined to what the geometries meet.
    pub leaf: Arc<LeafPlan>,
    join: Arc<ZonalJoin>,
    /// The projections between, the topmost first.
    maps: Vec<Exprs>,
    /// The rows of the table of geometries.
    rows: RecordBatch,
    zones: Zones,
    pairs: Vec<PairValue>,
    keys: Vec<(usize, ArrayRef)>,
}

/// One column of the join's output: of a side, with its number there.
struct Origin {
    zones: bool,
    index: usize,
}

impl ZonalInput {
    /// The join below an aggregate; `None` where there is none, an error where it has no dense form.
    pub fn under(aggregate: &AggregateExec) -> Result<Option<ZonalInput>, String> {
        let mut input = aggregate.input();
        let mut maps: Vec<Exprs> = Vec::new();
        while let Some(projection) = input.downcast_ref::<ProjectionExec>() {
            maps.push(projection.expr().iter().map(|e| e.expr.clone()).collect());
            input = projection.input();
        }
        let Some(exec) = input.downcast_ref::<ZonalJoinExec>() else { return Ok(None) };
        let join = exec.join.clone();
        if join.join_type != JoinType::Inner {
            return Err(format!("a {} join of geometries and cells has no dense form", join.join_type));
        }
        if join.residual.is_some() {
            return Err("a condition on pairs beside that on the geometry has no dense form".into());
        }
        let (geometries, cells) = join.sides();
        let Some(leaf) = cells.downcast_ref::<CubeExec>() else {
            return Err(format!("{} is between the join and the cube", cells.name()));
        };
        let leaf = leaf.plan.clone();
        if leaf.reduction.is_some() || leaf.fetch.is_some() || leaf.tensors.is_some() {
            return Err("its input is limited or already reduced".into());
        }
        if maps.iter().flatten().any(is_volatile) {
            return Err("a volatile expression has no dense form".into());
        }
        let failed = |e: DataFusionError| e.strip_backtrace();
        let rows = in_memory(geometries)?;
        let shapes = join.geometry.evaluate(&rows).and_then(|v| v.into_array(rows.num_rows())).map_err(failed)?;
        let weigh = uses_coverage(aggregate, &maps);
        let bound = join.bound.over(&leaf.view).map_err(failed)?;
        let zones = Zones::new(&bound, join.rule, weigh, &shapes, Numbering::Positions).map_err(failed)?;
        let (leaf, zones) = confined(leaf, zones, join.bound.axes).map_err(failed)?;
        Ok(Some(ZonalInput { leaf, join, maps, rows, zones, pairs: vec![], keys: vec![] }))
    }

    /// An expression over the aggregate's input as one over the join's output.
    fn lowered(&self, expr: &Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
        let mut expr = expr.clone();
        for map in &self.maps {
            let replace = |e: Arc<dyn PhysicalExpr>| {
                Ok(match e.downcast_ref::<Column>().and_then(|c| map.get(c.index())) {
                    Some(below) => Transformed::new(below.clone(), true, TreeNodeRecursion::Jump),
                    None => Transformed::no(e),
                })
            };
            expr = expr.transform_down(replace).data()?;
        }
        Ok(expr)
    }

    /// Where a column of the join's output comes from.
    fn origin(&self, column: &Column) -> Option<Origin> {
        let index = match &self.join.projection {
            Some(projection) => *projection.get(column.index())?,
            None => column.index(),
        };
        let left = self.join.left.schema().fields().len();
        let (side, index) = if index < left { (JoinSide::Left, index) } else { (JoinSide::Right, index - left) };
        Some(Origin { zones: side == self.join.zones, index })
    }

    /// An expression over the join's output as one over one side; `None` where it has columns of the other.
    fn on_side(&self, expr: &Arc<dyn PhysicalExpr>, zones: bool) -> Option<Arc<dyn PhysicalExpr>> {
        let mut all = true;
        let replaced = expr.clone().transform_up(|e| {
            let Some(column) = e.downcast_ref::<Column>() else { return Ok(Transformed::no(e)) };
            match self.origin(column).filter(|o| o.zones == zones) {
                Some(o) => Ok(Transformed::yes(Arc::new(Column::new(column.name(), o.index)) as Arc<dyn PhysicalExpr>)),
                None => {
                    all = false;
                    Ok(Transformed::no(e))
                }
            }
        });
        replaced.data().ok().filter(|_| all)
    }

    /// Takes a key of GROUP BY that depends on geometries only; false for one that does not.
    pub fn takes_key(&mut self, expr: &Arc<dyn PhysicalExpr>, place: usize) -> Result<bool, String> {
        let failed = |e: DataFusionError| e.strip_backtrace();
        let lowered = self.lowered(expr).map_err(failed)?;
        match self.on_side(&lowered, true).filter(|_| !is_volatile(&lowered)) {
            Some(key) => {
                let values = key.evaluate(&self.rows).and_then(|v| v.into_array(self.rows.num_rows())).map_err(failed)?;
                self.keys.push((place, values));
                Ok(true)
            }
            None => Ok(false),
        }
    }

    /// An expression over the aggregate's input as one over the leaf's output, with what is of pairs as [`PairColumn`]s.
    pub fn over_cells(&mut self, expr: &Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>, String> {
        let failed = |e: DataFusionError| e.strip_backtrace();
        let lowered = self.lowered(expr).map_err(failed)?;
        let mut wanted: Vec<PairValue> = std::mem::take(&mut self.pairs);
        let this = &*self;
        let mut pair = |value: PairValue, data_type, name: String| {
            let same = |known: &PairValue| match (known, &value) {
                (PairValue::Weight, PairValue::Weight) => true,
                (PairValue::Column(a), PairValue::Column(b)) => Arc::ptr_eq(a, b),
                _ => false,
            };
            let number = wanted.iter().position(same).unwrap_or_else(|| {
                wanted.push(value.clone());
                wanted.len() - 1
            });
            Arc::new(PairColumn { number, data_type, name }) as Arc<dyn PhysicalExpr>
        };
        let replace = |e: Arc<dyn PhysicalExpr>| {
            if this.is_coverage(&e) {
                let column = pair(PairValue::Weight, datafusion::arrow::datatypes::DataType::Float64, "coverage".into());
                return Ok(Transformed::new(column, true, TreeNodeRecursion::Jump));
            }
            let Some(column) = e.downcast_ref::<Column>() else { return Ok(Transformed::no(e)) };
            let replaced = match this.origin(column) {
                Some(Origin { zones: false, index }) => Arc::new(Column::new(column.name(), index)) as Arc<dyn PhysicalExpr>,
                Some(Origin { zones: true, index }) => {
                    let values = this.rows.column(index).clone();
                    pair(PairValue::Column(values.clone()), values.data_type().clone(), column.name().to_owned())
                }
                None => return datafusion::common::internal_err!("{column} is no column of the join"),
            };
            Ok(Transformed::new(replaced, true, TreeNodeRecursion::Jump))
        };
        let done = lowered.transform_down(replace).data().map_err(failed);
        self.pairs = wanted;
        done
    }

    /// True for `COVERAGE` of the geometry and the cell that are joined.
    fn is_coverage(&self, expr: &Arc<dyn PhysicalExpr>) -> bool {
        let Some(call) = coverage(expr) else { return false };
        let [geometry, y, x] = call.args() else { return false };
        let same_grid =
            call.fun().inner().downcast_ref::<CellFunction>().and_then(|f| f.bound.as_ref()).is_some_and(|b| *b == self.join.bound);
        let is =
            |expr: &Arc<dyn PhysicalExpr>, zones: bool, of: &Arc<dyn PhysicalExpr>| self.on_side(expr, zones).is_some_and(|e| same(&e, of));
        same_grid && is(geometry, true, &self.join.geometry) && is(y, false, &self.join.cell[0]) && is(x, false, &self.join.cell[1])
    }

    /// The zones of the reduction, beside `others` groups of the other keys.
    pub fn finish(self, others: usize) -> Result<Zonal, String> {
        let failed = |e: DataFusionError| e.strip_backtrace();
        let (numbers, values) = numbered(&self.keys, self.rows.num_rows()).map_err(failed)?;
        let count = if self.keys.is_empty() { 1 } else { numbers.iter().max().map_or(0, |n| *n as usize + 1) };
        if count.saturating_mul(others) > u32::MAX as usize {
            return Err(format!("the group keys make more than {} groups", u32::MAX));
        }
        let system = self.join.bound.reproject.as_ref().map_or(String::new(), |r| format!(", {}", r.name()));
        let name = format!(
            "{} of {}{system}: {} geometries, {} with cells, {} cells",
            self.join.rule.name(),
            self.join.bound.cube.0,
            self.rows.num_rows(),
            self.zones.met,
            self.zones.cells
        );
        let places = self.keys.iter().map(|(place, _)| *place).collect();
        Ok(Zonal { zones: self.zones, axes: self.join.bound.axes, numbers, values, places, count, pairs: self.pairs, name })
    }
}

/// The same expression but for the names of columns.
fn same(a: &Arc<dyn PhysicalExpr>, b: &Arc<dyn PhysicalExpr>) -> bool {
    match (a.downcast_ref::<Column>(), b.downcast_ref::<Column>()) {
        (Some(a), Some(b)) => a.index() == b.index(),
        _ => a == b,
    }
}

fn coverage(expr: &Arc<dyn PhysicalExpr>) -> Option<&ScalarFunctionExpr> {
    let call = expr.downcast_ref::<ScalarFunctionExpr>()?;
    (call.fun().inner().downcast_ref::<CellFunction>()?.rule == Rule::Coverage).then_some(call)
}

/// True when a fraction is asked for anywhere above the join.
fn uses_coverage(aggregate: &AggregateExec, maps: &[Exprs]) -> bool {
    let arguments = aggregate.aggr_expr().iter().flat_map(|a| a.expressions());
    let filters = aggregate.filter_expr().iter().flatten().cloned();
    let all = arguments.chain(filters).chain(maps.iter().flatten().cloned());
    all.into_iter().any(|e| e.exists(|part| Ok(coverage(part).is_some())).unwrap_or(true))
}

/// By row the number of its key, and the values of each key by number.
fn numbered(keys: &[(usize, ArrayRef)], rows: usize) -> Result<(Vec<u32>, Vec<ArrayRef>)> {
    if keys.is_empty() {
        return Ok((vec![0; rows], vec![]));
    }
    let converter = RowConverter::new(keys.iter().map(|(_, v)| SortField::new(v.data_type().clone())).collect())?;
    let columns: Vec<ArrayRef> = keys.iter().map(|(_, v)| v.clone()).collect();
    let converted = converter.convert_columns(&columns)?;
    let mut known: HashMap<OwnedRow, u32> = HashMap::new();
    let mut firsts: Vec<u32> = Vec::new();
    let mut numbers = Vec::with_capacity(rows);
    for i in 0..rows {
        let next = known.len() as u32;
        let number = *known.entry(converted.row(i).owned()).or_insert(next);
        if number == next {
            firsts.push(i as u32);
        }
        numbers.push(number);
    }
    let firsts = datafusion::arrow::array::UInt32Array::from(firsts);
    let values = columns.iter().map(|v| Ok(compute::take(v, &firsts, None)?)).collect::<Result<_>>()?;
    Ok((numbers, values))
}

/// The leaf with only the rows and columns of the box that holds all zones. Windows look beyond the cells that are wanted, so
/// the view stays as it is with them.
fn confined(leaf: Arc<LeafPlan>, zones: Zones, axes: [usize; 2]) -> Result<(Arc<LeafPlan>, Zones)> {
    let Some((rows, columns)) = zones.extent() else { return Ok((leaf, zones)) };
    if leaf.program.windows().next().is_some() || !leaf.program.derived.is_empty() {
        return Ok((leaf, zones));
    }
    let crop = |view: View, axis: usize, keep: &std::ops::Range<u64>| -> Result<View> {
        match view.axes[axis].len() {
            n if *keep == (0..n) => Ok(view),
            n => view.restrict(axis, &BooleanArray::from_iter((0..n).map(|i| Some(keep.contains(&i))))),
        }
    };
    let view = crop(crop(leaf.view.as_ref().clone(), axes[0], &rows)?, axes[1], &columns)?;
    let cropped = LeafPlan { view: Arc::new(view), ..leaf.as_ref().clone() };
    let tiles = Arc::new(cropped.program.tiles(&cropped.view));
    Ok((Arc::new(LeafPlan { tiles, ..cropped }), zones.moved(rows, columns.start)))
}

/// The rows of a plan over what is in memory already.
fn in_memory(plan: &Arc<dyn ExecutionPlan>) -> Result<RecordBatch, String> {
    fn is_small(plan: &Arc<dyn ExecutionPlan>) -> bool {
        let source = plan.downcast_ref::<DataSourceExec>();
        let known = source.is_some_and(|s| s.data_source().downcast_ref::<MemorySourceConfig>().is_some())
            || plan.downcast_ref::<FilterExec>().is_some_and(|f| !is_volatile(f.predicate()))
            || plan.downcast_ref::<ProjectionExec>().is_some_and(|p| !p.expr().iter().any(|e| is_volatile(&e.expr)))
            || plan.downcast_ref::<PlaceholderRowExec>().is_some()
            || plan.downcast_ref::<UnionExec>().is_some();
        known && plan.children().into_iter().all(is_small)
    }
    if !is_small(plan) {
        return Err(format!("the geometries are not a table in memory or a part of one ({})", plan.name()));
    }
    let plan = plan.clone();
    // In a thread of its own: what is in memory never waits, and the runtime's threads must not.
    let work = move || {
        let context = Arc::new(TaskContext::default());
        let partitions = plan.properties().output_partitioning().partition_count();
        let mut batches = Vec::new();
        for partition in 0..partitions {
            let stream = plan.execute(partition, context.clone())?;
            batches.extend(futures::executor::block_on(stream.try_collect::<Vec<_>>())?);
        }
        Ok::<_, DataFusionError>(compute::concat_batches(&plan.schema(), &batches)?)
    };
    match std::thread::spawn(work).join() {
        Ok(done) => done.map_err(|e| e.strip_backtrace()),
        Err(_) => Err("reading the geometries failed".into()),
    }
}
