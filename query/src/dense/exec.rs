//! [`CubeExec`]: the one leaf that reads cubes. It holds a view, a tile program, and what becomes of the cells: rows, a
//! reduction, or tensors.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType, SchedulingType};
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties};
use graticule_storage::read::TileRequest;

use super::admission;
use super::known::{Statistics, Verdict};
use super::program::{Input, Program, Step};
use super::reduce::{BlockGrid, Reduction, Split};
use super::source::Reading;
use super::stream::{self, Queue, Units};
use super::supply::Supply;
use super::tensor::TensorLayout;
use super::tiles::{TileGrid, TileRef};
use crate::bind::relations::ident;
use crate::view::View;

/// Reads a view of a cube tile by tile.
#[derive(Debug)]
pub(crate) struct CubeExec {
    /// What runs; shared with the streams.
    pub plan: Arc<LeafPlan>,
    properties: Arc<PlanProperties>,
    queue: parking_lot::Mutex<Queue>,
    /// The tiles or blocks that are this process's to do; `None`: all.
    only: Option<Arc<[u32]>>,
    metrics: ExecutionPlanMetricsSet,
    /// What EXPLAIN says, once it was asked: running teaches what statistics say afterwards.
    described: std::sync::OnceLock<String>,
}

/// Everything that a stream of a [`CubeExec`] needs.
#[derive(Clone)]
pub(crate) struct LeafPlan {
    /// Gives the values of tiles.
    pub supply: Arc<dyn Supply>,
    /// What is seen of the cube.
    pub view: Arc<View>,
    /// What happens to the cells.
    pub program: Program,
    /// Set when cells are reduced to groups.
    pub reduction: Option<Arc<Reduction>>,
    /// Set when the answer is in array form.
    pub tensors: Option<Arc<TensorLayout>>,
    /// Rows wanted at most.
    pub fetch: Option<usize>,
    /// Tiles, from the index alone.
    pub tiles: Arc<TileGrid>,
    /// Blocks of the reduction.
    pub blocks: Option<Arc<BlockGrid>>,
    /// Streams side by side.
    pub partitions: usize,
    /// Whether what is known of chunks spares reading them.
    pub statistics: bool,
}

impl fmt::Debug for LeafPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeafPlan").field("cube", &self.view.cube.name).field("program", &self.program).finish_non_exhaustive()
    }
}

impl LeafPlan {
    /// A leaf that reads the columns of `program` and gives rows.
    pub fn scan(supply: Arc<dyn Supply>, view: Arc<View>, program: Program, fetch: Option<usize>, partitions: usize) -> LeafPlan {
        let tiles = Arc::new(program.tiles(&view));
        LeafPlan { supply, view, program, reduction: None, tensors: None, fetch, tiles, blocks: None, partitions, statistics: true }
    }

    /// What comes out.
    pub fn schema(&self) -> SchemaRef {
        match (&self.tensors, &self.reduction) {
            (Some(tensors), _) => tensors.schema.clone(),
            (None, Some(reduction)) => reduction.output_schema(),
            (None, None) => self.program.schema(),
        }
    }

    /// Blocks that are finished one at a time, where the output is split.
    pub fn output_blocks(&self) -> Option<(&BlockGrid, &Reduction)> {
        let reduction = self.reduction.as_deref().filter(|r| r.split == Split::Output)?;
        Some((self.blocks.as_deref()?, reduction))
    }

    /// Number of the tiles or blocks that partitions take one at a time.
    pub fn units(&self) -> usize {
        self.output_blocks().map_or(self.tiles.len(), |(blocks, _)| blocks.len())
    }

    /// The request of every tile that has to be read, and how many chunks of others statistics skip and answer for.
    fn judged(&self) -> (Vec<TileRequest>, usize, usize) {
        let (mut skipped, mut answered) = (0, 0);
        let Some(statistics) = Statistics::new(self, self.reduction.as_deref()) else { return (self.requests(), 0, 0) };
        let whole = self.reduction.as_ref().map(|r| (r, BlockGrid::whole(&self.tiles).block(&r.groups, &self.tiles, 0)));
        let requests = self.requests_among(0..self.tiles.len(), |tile| {
            let groups = whole.as_ref().map(|(reduction, block)| block.contributions(&reduction.groups, tile));
            match statistics.of(tile, groups.as_deref()) {
                Ok(Verdict::Nothing(chunks) | Verdict::Untaken(chunks)) => skipped += chunks,
                Ok(Verdict::Answered(known)) => answered += known.chunks.len(),
                Ok(Verdict::Read) | Err(_) => return true,
            }
            false
        });
        (requests, skipped, answered)
    }

    /// False for a tile in which no cell is wanted.
    pub fn wants(&self, tile: &TileRef<'_>) -> bool {
        let zonal = self.reduction.as_ref().and_then(|r| r.zonal.as_ref());
        self.view.wants(&tile.cube_extent()) && zonal.is_none_or(|z| z.meets(tile.view_extent().ranges()))
    }

    /// The request of every tile that is wanted.
    pub fn requests(&self) -> Vec<TileRequest> {
        self.requests_among(0..self.tiles.len(), |_| true)
    }

    /// The requests of tiles that are wanted and chosen.
    pub fn requests_among(&self, tiles: Range<usize>, mut chosen: impl FnMut(&TileRef<'_>) -> bool) -> Vec<TileRequest> {
        let variables = self.program.variables();
        let tiles = tiles.map(|i| self.tiles.tile(i)).filter(|tile| self.wants(tile));
        let tiles = tiles.filter(|tile| chosen(tile));
        let extents = tiles.map(|tile| Reading::new(&self.view, &self.program, &tile).cube_extent());
        extents.map(|extent| TileRequest { extent, variables: variables.clone() }).collect()
    }
}

impl CubeExec {
    /// The leaf of a plan.
    pub fn new(plan: LeafPlan) -> CubeExec {
        let partitions = plan.partitions.min(plan.units()).max(1);
        let properties = PlanProperties::new(
            EquivalenceProperties::new(plan.schema()),
            Partitioning::UnknownPartitioning(partitions),
            if plan.reduction.is_some() { EmissionType::Final } else { EmissionType::Incremental },
            Boundedness::Bounded,
        )
        // Every tile waits for the CPU threads, so a stream never keeps a worker thread to itself.
        .with_scheduling_type(SchedulingType::Cooperative);
        CubeExec {
            plan: Arc::new(plan),
            properties: Arc::new(properties),
            queue: Default::default(),
            only: None,
            metrics: ExecutionPlanMetricsSet::new(),
            described: Default::default(),
        }
    }

    /// The same leaf, in as many streams, for these tiles or blocks only.
    pub fn with_units(&self, only: Arc<[u32]>) -> CubeExec {
        CubeExec {
            plan: self.plan.clone(),
            properties: self.properties.clone(),
            queue: Default::default(),
            only: Some(only),
            metrics: ExecutionPlanMetricsSet::new(),
            described: Default::default(),
        }
    }

    /// The tiles or blocks that are this process's to do; `None`: all.
    pub fn only(&self) -> Option<&Arc<[u32]>> {
        self.only.as_ref()
    }

    /// What EXPLAIN says of the leaf.
    fn describe(&self) -> String {
        let plan = &self.plan;
        let shape: Vec<String> = plan
            .view
            .cube
            .grid
            .axes
            .iter()
            .zip(&plan.view.axes)
            .map(|(axis, seen)| format!("{}: {} of {}", ident(&axis.name), seen.len(), axis.len()))
            .collect();
        let mut text = format!("cube={}, cells=[{}]", plan.view.cube.name, shape.join(", "));
        let names = plan.program.read_schema.fields().iter().zip(&plan.program.columns);
        let read = names.filter(|(_, c)| matches!(c, Input::Cube(_))).map(|(f, _)| ident(f.name()).to_string());
        text += &format!(", read=[{}]", read.collect::<Vec<_>>().join(", "));
        if !plan.program.derived.is_empty() {
            let derived: Vec<&str> = plan.program.derived.iter().map(|d| d.name.as_str()).collect();
            text += &format!(", along an axis=[{}]", derived.join(", "));
        }
        for window in plan.program.windows() {
            text += &window.describe(&plan.view);
        }
        for step in &plan.program.steps {
            text += &match step {
                Step::Mask(e) => format!(", mask={e}"),
                Step::Map { exprs, .. } => format!(", map=[{}]", list(exprs)),
            };
        }
        if let Some(reduction) = &plan.reduction {
            let names: Vec<&str> = reduction.schema.fields().iter().map(|f| f.name().as_str()).collect();
            let (keys, values) = names.split_at(reduction.keys());
            if let Some(zonal) = &reduction.zonal {
                text += &format!(", zonal=[{}]", zonal.name);
            }
            text += &format!(
                ", dense reduce=[{}] by=[{}] groups={}{} split={}",
                values.join(", "),
                keys.join(", "),
                reduction.groups.len() * reduction.zonal.as_ref().map_or(1, |z| z.count),
                if reduction.joint.is_some() { " for each value met" } else { "" },
                if reduction.split == Split::Output { "output" } else { "input" },
            );
        }
        if plan.tensors.is_some() {
            text += ", form=array";
        }
        if let Some(n) = plan.fetch {
            text += &format!(", fetch={n}");
        }
        let (requests, skipped, answered) = plan.judged();
        text += &match plan.tiles.len() {
            all if all == requests.len() => format!(", tiles={all}"),
            all => format!(", tiles={} of {all}", requests.len()),
        };
        let of_all = plan.supply.stored_bytes(&plan.view.cube, &plan.program.variables());
        text += &match plan.supply.estimate(&plan.view.cube, &requests) {
            Ok(e) => format!(", chunks={}, bytes={} of {}", e.chunks, e.bytes, of_all),
            Err(e) => format!(", chunks=unknown ({e})"),
        };
        if skipped + answered > 0 {
            text += &format!(", by statistics=[{skipped} chunks skipped, {answered} chunks answered]");
        }
        let needs = plan.needs(&requests);
        text += &format!(", decoded={}, memory={}", admission::of(needs.decoded as usize), admission::of(needs.peak()));
        text + &plan.supply.describe()
    }
}

fn list(exprs: &[Arc<dyn PhysicalExpr>]) -> String {
    exprs.iter().map(|e| e.to_string()).collect::<Vec<_>>().join(", ")
}

impl DisplayAs for CubeExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CubeExec: {}", self.described.get_or_init(|| self.describe()))
    }
}

impl ExecutionPlan for CubeExec {
    fn name(&self) -> &str {
        "CubeExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![]
    }

    fn apply_expressions(&self, f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>) -> Result<TreeNodeRecursion> {
        let steps = self.plan.program.steps.iter().flat_map(|s| match s {
            Step::Map { exprs, .. } => exprs.iter().collect::<Vec<_>>(),
            Step::Mask(e) => vec![e],
        });
        let reduction = self.plan.reduction.iter().flat_map(|r| r.expressions());
        for expr in steps.chain(reduction) {
            if f(expr)? == TreeNodeRecursion::Stop {
                return Ok(TreeNodeRecursion::Stop);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let (next, tables) = self.queue.lock().join(partition);
        let units = Units { next, only: self.only.clone() };
        stream::run(self.plan.clone(), partition, units, tables, context, &self.metrics)
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn supports_limit_pushdown(&self) -> bool {
        self.plan.reduction.is_none() && self.plan.tensors.is_none()
    }

    fn with_fetch(&self, limit: Option<usize>) -> Option<Arc<dyn ExecutionPlan>> {
        if !self.supports_limit_pushdown() {
            return None;
        }
        let leaf = CubeExec::new(LeafPlan { fetch: limit, ..(*self.plan).clone() });
        Some(Arc::new(CubeExec { only: self.only.clone(), ..leaf }))
    }

    fn fetch(&self) -> Option<usize> {
        self.plan.fetch
    }
}
