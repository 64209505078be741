//! The operator of `SAMPLE`: points sorted by the tiles in which they lie, each part of a tile read once, one batch of rows at a time.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Float64Array, RecordBatch, RecordBatchOptions, UInt32Array, new_null_array};
use datafusion::arrow::compute;
use datafusion::arrow::datatypes::{DataType, Float64Type, SchemaRef};
use datafusion::common::internal_err;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{Distribution, EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties, collect};
use futures::{StreamExt, TryStreamExt, stream};
use graticule_storage::read::TileRequest;

use super::bound::Bound;
use super::sample::{Method, Sampled, Tap, positions, taps};
use crate::dense::program::{Cells, Program};
use crate::dense::source::{Reading, Source};
use crate::dense::stream::on_cpu;
use crate::dense::supply::Supply;
use crate::dense::tiles::{Segment, TileGrid, TileRef};
use crate::view::{CubeColumn, View};

/// Boxes fetched at once.
const AHEAD: usize = 3;

/// What is sampled.
#[derive(Debug, Clone)]
pub(crate) struct Sampling {
    /// Where values come from.
    pub supply: Arc<dyn Supply>,
    /// What is seen of the cube.
    pub view: Arc<View>,
    /// How.
    pub method: Method,
    /// The grid, and the way of points to it.
    pub bound: Arc<Bound>,
    /// The points' column of geometries.
    pub geometry: usize,
    /// By axis of the cube the column of the points that says where.
    pub matched: Vec<Option<usize>>,
    /// What comes out.
    pub columns: Vec<Sampled>,
    /// Its schema.
    pub schema: SchemaRef,
}

/// The operator.
pub(crate) struct SampleExec {
    sampling: Arc<Sampling>,
    points: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
}

impl fmt::Debug for SampleExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SampleExec").field("sampling", &self.sampling).finish_non_exhaustive()
    }
}

/// The points, and where they are.
struct Points {
    rows: RecordBatch,
    taps: Vec<Vec<Tap>>,
    /// By point its position along every matched axis, 0 along others.
    places: Vec<Vec<u64>>,
    _held: MemoryReservation,
}

/// Points that are read together, with the ranges of the axes that are theirs alone.
struct Group {
    /// Rows of the points.
    points: Vec<u32>,
    /// Ranges of view space along every axis; those of y and x are empty for points that are nowhere.
    ranges: Vec<Range<u64>>,
}

impl Sampling {
    fn variables(&self) -> Vec<usize> {
        self.columns.iter().filter_map(|c| if let Sampled::Variable(v) = c { Some(*v) } else { None }).collect()
    }

    /// True for an axis of which every position makes rows.
    fn is_free(&self, axis: usize) -> bool {
        !self.bound.axes.contains(&axis) && self.matched[axis].is_none()
    }

    async fn points(&self, plan: Arc<dyn ExecutionPlan>, context: Arc<TaskContext>) -> Result<Points> {
        let held = MemoryConsumer::new("SampleExec").register(context.memory_pool());
        let schema = plan.schema();
        let batches = collect(plan, context).await?;
        let count: usize = batches.iter().map(RecordBatch::num_rows).sum();
        let bytes: usize = batches.iter().map(RecordBatch::get_array_memory_size).sum();
        held.try_grow(bytes.saturating_mul(2).saturating_add(count.saturating_mul(64 + 32 * 4)))?;
        let rows = compute::concat_batches(&schema, &batches)?;
        let geometries = compute::cast(rows.column(self.geometry), &DataType::Binary)?;
        let mut taps = taps(&self.bound, &geometries, self.method)?;
        let mut places = vec![vec![0u64; self.view.axes.len()]; rows.num_rows()];
        for (axis, column) in self.matched.iter().enumerate().filter_map(|(a, c)| Some((a, (*c)?))) {
            for (i, found) in positions(&self.view.axes[axis].coordinates, rows.column(column))?.into_iter().enumerate() {
                match found {
                    Some(position) => places[i][axis] = position,
                    None => taps[i].clear(),
                }
            }
        }
        Ok(Points { rows, taps, places, _held: held })
    }

    /// The points by tiles, and for each the parts of the free axes.
    fn groups(&self, points: &Points) -> Vec<Group> {
        let grid = TileGrid::new(&self.view, &self.variables());
        let segment_of = |axis: usize, position: u64| grid.segments[axis].partition_point(|s| s.view.end <= position);
        let [y, x] = self.bound.axes;
        let mut by_tile: BTreeMap<Option<Vec<usize>>, Vec<u32>> = BTreeMap::new();
        for (i, taps) in points.taps.iter().enumerate() {
            let tile = taps.first().map(|tap| {
                let own = |axis: usize| match axis {
                    a if a == y => segment_of(a, tap.cell[0]),
                    a if a == x => segment_of(a, tap.cell[1]),
                    a if self.is_free(a) => 0,
                    a => segment_of(a, points.places[i][a]),
                };
                (0..self.view.axes.len()).map(own).collect::<Vec<usize>>()
            });
            by_tile.entry(tile).or_default().push(i as u32);
        }
        let mut groups = Vec::new();
        for (tile, list) in by_tile {
            // The parts of the free axes, one after the other.
            let mut boxes: Vec<Vec<Range<u64>>> = vec![vec![]];
            for axis in 0..self.view.axes.len() {
                let parts: Vec<Range<u64>> = match &tile {
                    _ if self.is_free(axis) => grid.segments[axis].iter().map(|s| s.view.clone()).collect(),
                    Some(tile) => grid.segments[axis].get(tile[axis]).map(|s| s.view.clone()).into_iter().collect(),
                    None => vec![0..0],
                };
                boxes = boxes.iter().flat_map(|b| parts.iter().map(move |p| [&b[..], std::slice::from_ref(p)].concat())).collect();
            }
            groups.extend(boxes.into_iter().map(|ranges| Group { points: list.clone(), ranges }));
        }
        groups
    }

    /// The cells of a box of view space.
    async fn read(&self, ranges: Vec<Range<u64>>, context: &Arc<TaskContext>) -> Result<(Cells, MemoryReservation)> {
        let variables = self.variables();
        let program = Program::read(&self.view, variables.iter().map(|&v| CubeColumn::Variable(v)).collect());
        let segments: Vec<Segment> = self.view.axes.iter().zip(&ranges).map(|(axis, range)| Segment::of(axis, range.clone())).collect();
        let reading = Reading::new(&self.view, &program, &TileRef { segments: segments.iter().collect() });
        let extent = reading.cube_extent();
        let request = TileRequest { extent, variables: variables.clone() };
        let width: usize = program.read_schema.fields().iter().map(|f| f.data_type().primitive_width().unwrap_or(16)).sum();
        let bytes = (request.extent.cells() as usize).saturating_mul(width.max(4) * 3);
        let held = MemoryConsumer::new(format!("SampleExec[{}]", self.view.cube.name)).register(context.memory_pool());
        held.try_grow(bytes.saturating_add(self.supply.working_bytes(&self.view.cube, &request)))?;
        let fetched = self.supply.fetch(&self.view.cube, request).await?;
        let (view, reader) = (self.view.clone(), self.supply.reader().clone());
        let cells = on_cpu(&reader, move || {
            let tile = fetched()?;
            let source = Source::new(view, Arc::default(), &reading, &variables, tile)?;
            program.run(&source, &ranges)
        })
        .await?;
        Ok((cells, held))
    }

    /// The rows of a group, in batches of about `rows`.
    async fn sampled(&self, points: &Points, group: Group, rows: usize, context: Arc<TaskContext>) -> Result<Vec<RecordBatch>> {
        let [y, x] = self.bound.axes;
        let somewhere = !group.ranges[y].is_empty();
        let mut boxes: Vec<(Vec<Range<u64>>, Cells, MemoryReservation)> = Vec::new();
        if somewhere && !self.variables().is_empty() {
            // Cells near the tile, and those beyond the seam.
            let near = |tap: &Tap| tap.cell[1] + 1 >= group.ranges[x].start && tap.cell[1] <= group.ranges[x].end;
            for side in [true, false] {
                let taps: Vec<(usize, &Tap)> = group
                    .points
                    .iter()
                    .flat_map(|&i| points.taps[i as usize].iter().map(move |tap| (i as usize, tap)))
                    .filter(|(_, tap)| near(tap) == side)
                    .collect();
                if taps.is_empty() {
                    continue;
                }
                let span = |at: &dyn Fn(&(usize, &Tap)) -> u64| {
                    let (low, high) = taps.iter().map(at).fold((u64::MAX, 0), |(low, high), v| (low.min(v), high.max(v)));
                    low..high + 1
                };
                let ranges: Vec<Range<u64>> = (0..group.ranges.len())
                    .map(|axis| match axis {
                        a if a == y => span(&|t| t.1.cell[0]),
                        a if a == x => span(&|t| t.1.cell[1]),
                        a if self.is_free(a) => group.ranges[a].clone(),
                        a => span(&|t| points.places[t.0][a]),
                    })
                    .collect();
                let (cells, held) = self.read(ranges.clone(), &context).await?;
                boxes.push((ranges, cells, held));
            }
        }
        // One entry a position along the free axes of the group.
        let mut free: Vec<Vec<u64>> = vec![vec![]];
        for axis in 0..group.ranges.len() {
            let along: Vec<u64> = if self.is_free(axis) { group.ranges[axis].clone().collect() } else { vec![0] };
            free = free.iter().flat_map(|f| along.iter().map(move |p| [&f[..], &[*p]].concat())).collect();
        }
        let at_once = (rows / free.len().max(1)).max(1);
        group.points.chunks(at_once).map(|some| self.batch(points, some, &free, &boxes)).collect()
    }

    fn batch(
        &self,
        points: &Points,
        some: &[u32],
        free: &[Vec<u64>],
        boxes: &[(Vec<Range<u64>>, Cells, MemoryReservation)],
    ) -> Result<RecordBatch> {
        let n = some.len() * free.len();
        let of_points = UInt32Array::from_iter_values(some.iter().flat_map(|&p| std::iter::repeat_n(p, free.len())));
        let mut read = 0usize;
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.columns.len());
        for column in &self.columns {
            columns.push(match column {
                Sampled::Point(i) => compute::take(points.rows.column(*i), &of_points, None)?,
                Sampled::Axis(a) => {
                    let at = UInt32Array::from_iter_values(some.iter().flat_map(|_| free.iter().map(|f| f[*a] as u32)));
                    compute::take(&self.view.axes[*a].coordinates, &at, None)?
                }
                Sampled::Variable(_) => {
                    read += 1;
                    let values = self.values(points, some, free, boxes, read - 1)?;
                    match values {
                        Some(values) => values,
                        None => new_null_array(self.schema.field(columns.len()).data_type(), n),
                    }
                }
            });
        }
        let options = RecordBatchOptions::new().with_row_count(Some(n));
        Ok(RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?)
    }

    /// The values of a variable (its number among those read); `None` where nothing was read.
    fn values(
        &self,
        points: &Points,
        some: &[u32],
        free: &[Vec<u64>],
        boxes: &[(Vec<Range<u64>>, Cells, MemoryReservation)],
        variable: usize,
    ) -> Result<Option<ArrayRef>> {
        let [y, x] = self.bound.axes;
        // Which box, and which cell of it.
        let cell = |point: usize, tap: &Tap, free: &[u64]| -> Option<(usize, u32)> {
            boxes.iter().enumerate().find_map(|(b, (ranges, ..))| {
                let mut number = 0u64;
                for (axis, range) in ranges.iter().enumerate() {
                    let at = match axis {
                        a if a == y => tap.cell[0],
                        a if a == x => tap.cell[1],
                        a if self.is_free(a) => free[a],
                        a => points.places[point][a],
                    };
                    if !range.contains(&at) {
                        return None;
                    }
                    number = number * (range.end - range.start) + (at - range.start);
                }
                Some((b, number as u32))
            })
        };
        let rows = || some.iter().flat_map(|&p| free.iter().map(move |f| (p as usize, f)));
        if boxes.is_empty() {
            return Ok(None);
        }
        if self.method == Method::Nearest {
            let [(_, cells, _)] = boxes else { return internal_err!("nearest cells lie in {} boxes", boxes.len()) };
            let numbers = rows().map(|(p, f)| points.taps[p].first().and_then(|tap| cell(p, tap, f)).map(|(_, number)| number));
            let numbers: UInt32Array = numbers.collect();
            return Ok(Some(compute::take(cells.batch.column(variable), &numbers, None)?));
        }
        let wide =
            |(_, cells, _): &(Vec<Range<u64>>, Cells, MemoryReservation)| compute::cast(cells.batch.column(variable), &DataType::Float64);
        let wide = boxes.iter().map(wide).collect::<Result<Vec<ArrayRef>, _>>()?;
        let one = |(p, f): (usize, &Vec<u64>)| {
            let mut sum = 0.0;
            for tap in &points.taps[p] {
                let (b, number) = cell(p, tap, f)?;
                let values = wide[b].as_primitive::<Float64Type>();
                if values.is_null(number as usize) {
                    return None;
                }
                sum += tap.weight * values.value(number as usize);
            }
            (!points.taps[p].is_empty()).then_some(sum)
        };
        Ok(Some(Arc::new(rows().map(one).collect::<Float64Array>())))
    }
}

impl SampleExec {
    /// The operator over a plan of points.
    pub fn new(sampling: Sampling, points: Arc<dyn ExecutionPlan>) -> SampleExec {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(sampling.schema.clone()),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        SampleExec { sampling: Arc::new(sampling), points, properties: Arc::new(properties) }
    }
}

impl SampleExec {
    /// Whether both sample the same things, points aside.
    pub fn is_same(&self, other: &SampleExec) -> bool {
        Arc::ptr_eq(&self.sampling.view, &other.sampling.view) && Arc::ptr_eq(&self.sampling.bound, &other.sampling.bound)
    }
}

impl DisplayAs for SampleExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = &self.sampling;
        let names: Vec<&str> = s.variables().iter().filter_map(|&v| s.view.cube.variables.get(v)).map(|v| v.name.as_str()).collect();
        write!(f, "SampleExec: cube={}, method={:?}, read=[{}]", s.view.cube.name, s.method, names.join(", "))?;
        match &s.bound.reproject {
            Some(reproject) => write!(f, ", points from {}", reproject.name()),
            None => Ok(()),
        }
    }
}

impl ExecutionPlan for SampleExec {
    fn name(&self) -> &str {
        "SampleExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.points]
    }

    fn required_input_distribution(&self) -> Vec<Distribution> {
        vec![Distribution::SinglePartition]
    }

    fn apply_expressions(&self, _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        match <[_; 1]>::try_from(children) {
            Ok([points]) => Ok(Arc::new(SampleExec::new(self.sampling.as_ref().clone(), points))),
            Err(children) => internal_err!("SAMPLE over {} inputs", children.len()),
        }
    }

    fn execute(&self, _: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let (sampling, plan) = (self.sampling.clone(), self.points.clone());
        let rows = context.session_config().batch_size().max(1);
        let start = async move {
            let points = Arc::new(sampling.points(plan, context.clone()).await?);
            let groups = sampling.groups(&points);
            let batches = stream::iter(groups).map(move |group| {
                let (sampling, points, context) = (sampling.clone(), points.clone(), context.clone());
                async move { sampling.sampled(&points, group, rows, context).await }
            });
            let flat = batches.buffered(AHEAD).map_ok(|batches| stream::iter(batches.into_iter().map(Ok)));
            Ok::<_, DataFusionError>(flat.try_flatten())
        };
        let batches = stream::once(start).try_flatten().boxed();
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.sampling.schema.clone(), batches)))
    }
}
