//! A join of rows of a cube with geometries, ON `ST_Covers` or `ST_Intersects`: the geometries are rasterised once, and each row
//! of the cube finds its geometries by the cell that it is of. No pair that does not belong together is looked at.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions, UInt32Array, new_null_array};
use datafusion::arrow::compute;
use datafusion::arrow::datatypes::{DataType, Float64Type, Schema, SchemaRef};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{JoinSide, JoinType, internal_err};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{Distribution, EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::joins::utils::{JoinFilter, build_join_schema};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning, PlanProperties, collect_partitioned,
};
use futures::{StreamExt, TryStreamExt, stream};
use tokio::sync::OnceCell;

use super::bound::{Bound, Rule};
use super::zones::{Numbering, Zones};

/// What is joined, and how.
#[derive(Debug, Clone)]
pub(crate) struct ZonalJoin {
    /// The sides, as the query has them.
    pub left: Arc<dyn ExecutionPlan>,
    /// The other side.
    pub right: Arc<dyn ExecutionPlan>,
    /// Inner, Left, Right or Full.
    pub join_type: JoinType,
    /// Which side has the geometries.
    pub zones: JoinSide,
    /// What is asked.
    pub rule: Rule,
    /// The grid.
    pub bound: Arc<Bound>,
    /// The geometry, over the columns of its side.
    pub geometry: Arc<dyn PhysicalExpr>,
    /// The cell's coordinates along y and x, over the columns of the other side.
    pub cell: [Arc<dyn PhysicalExpr>; 2],
    /// What else has to hold for a pair.
    pub residual: Option<JoinFilter>,
    /// Which columns of both sides come out; `None`: all.
    pub projection: Option<Vec<usize>>,
}

/// The operator.
pub(crate) struct ZonalJoinExec {
    /// What it does.
    pub join: Arc<ZonalJoin>,
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
    built: Arc<OnceCell<Arc<Built>>>,
    metrics: ExecutionPlanMetricsSet,
}

impl fmt::Debug for ZonalJoinExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ZonalJoinExec").field("join", &self.join).finish_non_exhaustive()
    }
}

/// The side of the geometries in memory.
struct Built {
    rows: RecordBatch,
    zones: Zones,
    _held: MemoryReservation,
}

impl ZonalJoin {
    /// The plan of the geometries and that of the cells.
    pub fn sides(&self) -> (&Arc<dyn ExecutionPlan>, &Arc<dyn ExecutionPlan>) {
        if self.zones == JoinSide::Left { (&self.left, &self.right) } else { (&self.right, &self.left) }
    }

    /// Whether geometries, and cells, without a match come out.
    fn keeps(&self) -> (bool, bool) {
        let (left, right) = match self.join_type {
            JoinType::Left => (true, false),
            JoinType::Right => (false, true),
            JoinType::Full => (true, true),
            _ => (false, false),
        };
        if self.zones == JoinSide::Left { (left, right) } else { (right, left) }
    }

    async fn build(&self, context: Arc<TaskContext>) -> Result<Arc<Built>> {
        let plan = self.sides().0;
        let held = MemoryConsumer::new("ZonalJoinExec").register(context.memory_pool());
        let schema = plan.schema();
        let batches: Vec<RecordBatch> = collect_partitioned(plan.clone(), context).await?.into_iter().flatten().collect();
        let bytes: usize = batches.iter().map(RecordBatch::get_array_memory_size).sum();
        held.try_grow(bytes.saturating_mul(2))?;
        let rows = compute::concat_batches(&schema, &batches)?;
        let geometries = self.geometry.evaluate(&rows)?.into_array(rows.num_rows())?;
        let (bound, rule) = (self.bound.clone(), self.rule);
        let work = move || Zones::new(&bound, rule, false, &geometries, Numbering::Rising);
        let zones = tokio::task::spawn_blocking(work).await.map_err(|e| DataFusionError::ExecutionJoin(Box::new(e)))??;
        held.try_grow(zones.bytes())?;
        Ok(Arc::new(Built { rows, zones, _held: held }))
    }
}

/// A batch that is joined, the cells of its rows, and the next row.
type Joined = (RecordBatch, Vec<Option<(usize, usize)>>, usize);

/// What a stream of the join has still to do.
struct Probe {
    join: Arc<ZonalJoin>,
    built: Arc<Built>,
    schema: SchemaRef,
    cells: SendableRecordBatchStream,
    batch: Option<Joined>,
    matched: Vec<bool>,
    rows: usize,
    finished: bool,
}

impl Probe {
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if let Some((batch, cells, row)) = self.batch.take() {
                if row < batch.num_rows() {
                    let (joined, next) = self.some(&batch, &cells, row)?;
                    self.batch = Some((batch, cells, next));
                    if joined.num_rows() > 0 {
                        return Ok(Some(joined));
                    }
                }
                continue;
            }
            match self.cells.try_next().await? {
                Some(batch) => {
                    let cells = self.cells_of(&batch)?;
                    self.batch = Some((batch, cells, 0));
                }
                None if self.finished => return Ok(None),
                None => {
                    self.finished = true;
                    return self.unmatched().map(Some);
                }
            }
        }
    }

    /// Row and column of the cell of every row.
    fn cells_of(&self, batch: &RecordBatch) -> Result<Vec<Option<(usize, usize)>>> {
        let number = |expr: &Arc<dyn PhysicalExpr>| -> Result<ArrayRef> {
            Ok(compute::cast(&expr.evaluate(batch)?.into_array(batch.num_rows())?, &DataType::Float64)?)
        };
        let [y, x] = &self.join.cell;
        let (y, x) = (number(y)?, number(x)?);
        let (y, x) = (y.as_primitive::<Float64Type>(), x.as_primitive::<Float64Type>());
        let grid = &self.join.bound.grid;
        let (mut row, mut column) = (0, 0);
        let one = |i: usize| {
            if y.is_null(i) || x.is_null(i) {
                return Ok(None);
            }
            let (Some(r), Some(c)) = (grid.y.find(y.value(i), row), grid.x.find(x.value(i), column)) else {
                return internal_err!("({}, {}) is no cell of cube {}", x.value(i), y.value(i), self.join.bound.cube.0);
            };
            (row, column) = (r, c);
            Ok(Some((r, c)))
        };
        (0..batch.num_rows()).map(one).collect()
    }

    /// The pairs of some rows, from `row` on, and the row after them.
    fn some(&mut self, batch: &RecordBatch, cells: &[Option<(usize, usize)>], mut row: usize) -> Result<(RecordBatch, usize)> {
        let first = row;
        let (mut of_cells, mut of_zones): (Vec<u32>, Vec<u32>) = (vec![], vec![]);
        while row < batch.num_rows() && of_cells.len() < self.rows {
            if let Some(Some((r, c))) = cells.get(row) {
                for run in self.built.zones.row(*r, *c as u32..*c as u32 + 1) {
                    of_cells.push(row as u32);
                    of_zones.push(run.zone);
                }
            }
            row += 1;
        }
        let (mut of_cells, mut of_zones) = (UInt32Array::from(of_cells), UInt32Array::from(of_zones));
        if let Some(filter) = &self.join.residual {
            let chosen = self.chosen(filter, batch, &of_cells, &of_zones)?;
            let keep = |a: &UInt32Array| -> Result<UInt32Array> { Ok(compute::filter(a, &chosen)?.as_primitive().clone()) };
            (of_cells, of_zones) = (keep(&of_cells)?, keep(&of_zones)?);
        }
        let (keeps_zones, keeps_cells) = self.join.keeps();
        if keeps_zones {
            of_zones.values().iter().for_each(|&z| self.matched[z as usize] = true);
        }
        if keeps_cells {
            let mut has = vec![false; row - first];
            of_cells.values().iter().for_each(|&c| has[c as usize - first] = true);
            let alone = (first..row).filter(|r| !has[r - first]).map(|r| Some(r as u32));
            let more: Vec<Option<u32>> = of_cells.iter().chain(alone).collect();
            of_zones = of_zones.iter().chain(std::iter::repeat(None)).take(more.len()).collect();
            of_cells = UInt32Array::from(more);
        }
        let made = self.pairs(batch, &of_cells, &of_zones)?;
        Ok((made, row))
    }

    fn chosen(&self, filter: &JoinFilter, batch: &RecordBatch, cells: &UInt32Array, zones: &UInt32Array) -> Result<BooleanArray> {
        let column = |c: &datafusion::physical_plan::joins::utils::ColumnIndex| -> Result<ArrayRef> {
            let (from, at) = if c.side == self.join.zones { (&self.built.rows, zones) } else { (batch, cells) };
            Ok(compute::take(from.column(c.index), at, None)?)
        };
        let columns = filter.column_indices().iter().map(column).collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(cells.len()));
        let both = RecordBatch::try_new_with_options(filter.schema().clone(), columns, &options)?;
        let holds = filter.expression().evaluate(&both)?.into_array(cells.len())?;
        match holds.as_boolean_opt() {
            Some(holds) => Ok(holds.clone()),
            None => internal_err!("a join filter gives {}", holds.data_type()),
        }
    }

    /// The geometries that no cell was joined with.
    fn unmatched(&self) -> Result<RecordBatch> {
        let alone: Vec<u32> = match self.join.keeps().0 {
            true => (0..self.matched.len()).filter(|&i| !self.matched[i]).map(|i| i as u32).collect(),
            false => vec![],
        };
        let none = UInt32Array::new_null(alone.len());
        let empty = RecordBatch::new_empty(self.join.sides().1.schema());
        self.pairs(&empty, &none, &UInt32Array::from(alone))
    }

    fn pairs(&self, batch: &RecordBatch, cells: &UInt32Array, zones: &UInt32Array) -> Result<RecordBatch> {
        let mut columns: Vec<ArrayRef> = Vec::new();
        for side in [JoinSide::Left, JoinSide::Right] {
            let (from, at) = if side == self.join.zones { (&self.built.rows, zones) } else { (batch, cells) };
            for column in from.columns() {
                columns.push(match at.null_count() == at.len() {
                    true => new_null_array(column.data_type(), at.len()),
                    false => compute::take(column, at, None)?,
                });
            }
        }
        if let Some(projection) = &self.join.projection {
            columns = projection.iter().filter_map(|&i| columns.get(i).cloned()).collect();
        }
        let options = RecordBatchOptions::new().with_row_count(Some(cells.len()));
        Ok(RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?)
    }
}

impl ZonalJoinExec {
    /// The operator of a join.
    pub fn new(join: ZonalJoin) -> Result<ZonalJoinExec> {
        let (whole, _) = build_join_schema(&join.left.schema(), &join.right.schema(), &join.join_type);
        let schema: SchemaRef = Arc::new(match &join.projection {
            Some(projection) => whole.project(projection)?,
            None => Schema::new_with_metadata(whole.fields().clone(), whole.metadata().clone()),
        });
        let partitions = join.sides().1.output_partitioning().partition_count();
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema.clone()),
            Partitioning::UnknownPartitioning(partitions),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        let (properties, built) = (Arc::new(properties), Arc::default());
        Ok(ZonalJoinExec { join: Arc::new(join), schema, properties, built, metrics: ExecutionPlanMetricsSet::new() })
    }
}

impl DisplayAs for ZonalJoinExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let join = &self.join;
        write!(f, "ZonalJoinExec: {}, {}({}, CELL({}))", join.join_type, join.rule.name(), join.geometry, join.bound.cube.0)?;
        if let Some(reproject) = &join.bound.reproject {
            write!(f, ", geometries from {}", reproject.name())?;
        }
        match &join.residual {
            Some(filter) => write!(f, ", filter={}", filter.expression()),
            None => Ok(()),
        }
    }
}

impl ExecutionPlan for ZonalJoinExec {
    fn name(&self) -> &str {
        "ZonalJoinExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.join.left, &self.join.right]
    }

    fn required_input_distribution(&self) -> Vec<Distribution> {
        // Geometries without a match are known when all cells were seen.
        let cells = if self.join.keeps().0 { Distribution::SinglePartition } else { Distribution::UnspecifiedDistribution };
        let mut wanted = vec![Distribution::SinglePartition, cells];
        if self.join.zones == JoinSide::Right {
            wanted.reverse();
        }
        wanted
    }

    fn apply_expressions(&self, f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>) -> Result<TreeNodeRecursion> {
        for expr in std::iter::once(&self.join.geometry).chain(&self.join.cell) {
            if f(expr)? == TreeNodeRecursion::Stop {
                return Ok(TreeNodeRecursion::Stop);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        match <[_; 2]>::try_from(children) {
            Ok([left, right]) => Ok(Arc::new(ZonalJoinExec::new(ZonalJoin { left, right, ..self.join.as_ref().clone() })?)),
            Err(children) => internal_err!("a zonal join of {} inputs", children.len()),
        }
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let (join, built, schema) = (self.join.clone(), self.built.clone(), self.schema.clone());
        let cells = join.sides().1.execute(partition, context.clone())?;
        let rows = context.session_config().batch_size().max(1);
        let baseline = BaselineMetrics::new(&self.metrics, partition);
        let start = async move {
            let built = built.get_or_try_init(|| join.build(context)).await?.clone();
            let matched = vec![false; if join.keeps().0 { built.rows.num_rows() } else { 0 }];
            let probe = Probe { join, built, schema, cells, batch: None, matched, rows, finished: false };
            Ok::<_, DataFusionError>(stream::try_unfold(
                probe,
                |mut probe| async move { Ok(probe.next().await?.map(|batch| (batch, probe))) },
            ))
        };
        let batches = stream::once(start).try_flatten().inspect_ok(move |batch| baseline.record_output(batch.num_rows()));
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), batches.boxed())))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}
