//! Drives a leaf: takes tiles from a queue shared by the partitions, fetches ahead asynchronously, computes on CPU threads.

use std::collections::HashSet;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use datafusion::arrow::array::{ArrayRef, RecordBatch};
use datafusion::common::internal_err;
use datafusion::common::runtime::SpawnedTask;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use graticule_storage::read::{Reader, Tile, TileRequest};
use tokio::sync::OnceCell;

use super::exec::LeafPlan;
use super::known::{Answered, Statistics, Verdict};
use super::measures::Measures;
use super::program::{Cells, Program};
use super::reduce::kernel::CellMap;
use super::reduce::{Accumulators, Block, BlockGrid, JointGroups, Reduction, Split, selected_rows};
use super::source::{Reading, Source};
use super::supply::Fetched;
use super::tiles::{TileRef, bands};
use super::window::Kind;
use super::window::along::{Along, Tables};

/// Tiles in flight in one partition: one is computed while the next is fetched.
pub(super) const AHEAD: usize = 2;

/// The numbers of the tiles (or blocks) that no partition has taken yet.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    next: Arc<AtomicUsize>,
    tables: Arc<OnceCell<Arc<Tables>>>,
    joined: HashSet<usize>,
}

impl Queue {
    /// The counter that all partitions of one execution share, and what they reduce beforehand. A partition that joins twice begins another execution.
    pub fn join(&mut self, partition: usize) -> (Arc<AtomicUsize>, Arc<OnceCell<Arc<Tables>>>) {
        if !self.joined.insert(partition) {
            self.joined = HashSet::from([partition]);
            self.next = Arc::default();
            self.tables = Arc::default();
        }
        (self.next.clone(), self.tables.clone())
    }
}

/// Everything that one partition's work shares.
#[derive(Clone)]
struct Worker {
    plan: Arc<LeafPlan>,
    measures: Measures,
    context: Arc<TaskContext>,
    tables: Arc<OnceCell<Arc<Tables>>>,
    statistics: Option<Arc<Statistics>>,
}

/// What there is of a tile of a block before it is computed.
enum Piece {
    /// No cell is wanted.
    Nothing,
    /// No aggregate takes a cell, though the groups are there.
    Untaken,
    /// What its chunks come to.
    Answered(Box<Answered>),
    /// Its bytes.
    Fetched(Fetched),
}

/// The stream of one partition. Dropping it cancels what is in flight.
pub(crate) fn run(
    plan: Arc<LeafPlan>,
    partition: usize,
    units: Units,
    tables: Arc<OnceCell<Arc<Tables>>>,
    context: Arc<TaskContext>,
    metrics: &ExecutionPlanMetricsSet,
) -> Result<SendableRecordBatchStream> {
    let schema = plan.schema();
    let baseline = BaselineMetrics::new(metrics, partition);
    let statistics = Statistics::new(&plan, plan.reduction.as_deref());
    let worker = Worker { measures: Measures::new(metrics, partition), plan: plan.clone(), context, tables, statistics };
    let batches = match &plan.reduction {
        None => worker.cells(units),
        Some(r) if r.split == Split::Output => worker.blocks(r.clone(), units),
        Some(r) => worker.partial(r.clone(), units),
    };
    let counted = batches.inspect_ok(move |batch| baseline.record_output(batch.num_rows()));
    Ok(Box::pin(RecordBatchStreamAdapter::new(schema, counted)))
}

/// The tiles (or blocks) of one execution that are still to be taken, by all of its partitions.
#[derive(Debug, Clone)]
pub(crate) struct Units {
    /// How many were taken.
    pub next: Arc<AtomicUsize>,
    /// The numbers to take, where other processes take the others; `None`: all.
    pub only: Option<Arc<[u32]>>,
}

/// Numbers below `end`, taken one at a time from a counter that others take from as well.
fn taken(units: Units, end: usize) -> impl Iterator<Item = usize> + Send {
    std::iter::from_fn(move || {
        let at = units.next.fetch_add(1, Ordering::Relaxed);
        let unit = match &units.only {
            Some(only) => only.get(at).map(|&unit| unit as usize)?,
            None => at,
        };
        (unit < end).then_some(unit)
    })
}

/// Batches with the memory that is accounted for them.
struct Held {
    batches: Vec<RecordBatch>,
    _reservation: MemoryReservation,
}

impl Worker {
    fn reserve(&self, bytes: usize) -> Result<MemoryReservation> {
        let consumer = MemoryConsumer::new(format!("CubeExec[{}]", self.plan.view.cube.name));
        let reservation = consumer.register(self.context.memory_pool());
        reservation.try_grow(bytes)?;
        Ok(reservation)
    }

    fn reading(&self, tile: &TileRef<'_>) -> Reading {
        Reading::new(&self.plan.view, &self.plan.program, tile)
    }

    fn request(&self, tile: &TileRef<'_>) -> TileRequest {
        TileRequest { extent: self.reading(tile).cube_extent(), variables: self.plan.program.variables() }
    }

    /// Bytes that a tile takes while it is computed: what is stored, what is decoded, and one copy; windows take some more.
    fn tile_bytes(&self, tile: &TileRef<'_>) -> usize {
        let request = self.request(tile);
        let working = self.plan.supply.working_bytes(&self.plan.view.cube, &request);
        self.plan.cell_bytes(request.extent.cells()).saturating_add(working)
    }

    async fn fetch(&self, tile: &TileRef<'_>) -> Result<Fetched> {
        self.plan.supply.fetch(&self.plan.view.cube, self.request(tile)).await
    }

    /// What the program makes of a tile.
    fn cells_of(&self, tile: &TileRef<'_>, fetched: Fetched, tables: &Arc<Tables>) -> Result<Cells> {
        let source = self.source(tile, fetched, tables)?;
        let _timer = self.measures.compute_time.timer();
        self.plan.program.run(&source, tile.view_extent().ranges())
    }

    /// What the program computes a tile from.
    fn source(&self, tile: &TileRef<'_>, fetched: Fetched, tables: &Arc<Tables>) -> Result<Source> {
        let read = self.decode(fetched)?;
        let (view, variables) = (self.plan.view.clone(), self.plan.program.variables());
        Source::new(view, tables.clone(), &self.reading(tile), &variables, read)
    }

    /// The boxes that a tile is reduced by: bands where anything is computed cell by cell, so that it is still in the cache when
    /// it is added up. What a window makes is made for the whole tile at once.
    fn pieces(&self, reduction: &Reduction, tile: &TileRef<'_>) -> Vec<Vec<Range<u64>>> {
        let extent = tile.view_extent();
        let program = &self.plan.program;
        let is_column = |e: &Arc<dyn PhysicalExpr>| e.downcast_ref::<Column>().is_some();
        let reads_only = program.steps.is_empty() && program.derived.is_empty();
        let bare = reads_only && reduction.aggregates.iter().all(|a| a.filter.is_none() && a.arguments.iter().all(is_column));
        match bare || reduction.zonal.is_some() || program.windows().next().is_some() {
            true => vec![extent.ranges().to_vec()],
            false => bands(extent.ranges()),
        }
    }

    /// The aggregates along axes that the plan looks up, computed once for all partitions.
    async fn tables(&self) -> Result<Arc<Tables>> {
        let work = || async {
            let mut wanted = Vec::new();
            add_alongs(&self.plan.program, &mut wanted);
            let mut tables = Arc::new(Tables::default());
            for along in wanted {
                let (values, reservation) = self.reduced_along(along.clone(), tables.clone()).await?;
                tables = Arc::new(tables.with(along, values, reservation));
            }
            Ok(tables)
        };
        self.tables.get_or_try_init(work).await.cloned()
    }

    /// The first pass of an aggregate along axes: all tiles into all groups. Tiles are computed side by side.
    async fn reduced_along(&self, along: Arc<Along>, tables: Arc<Tables>) -> Result<(ArrayRef, Arc<MemoryReservation>)> {
        let mut plan = LeafPlan::scan(self.plan.supply.clone(), self.plan.view.clone(), along.program.clone(), None, self.plan.partitions);
        plan.statistics = self.plan.statistics;
        let reduction = Arc::new(along.reduction());
        let statistics = Statistics::new(&plan, Some(&reduction));
        let worker = Worker { plan: Arc::new(plan), statistics, ..self.clone() };
        let block = Arc::new(BlockGrid::whole(&worker.plan.tiles).block(&along.groups, &worker.plan.tiles, 0));
        let (mut accumulators, held) = worker.begin(&reduction, &block)?;
        let (of, from, wanted) = (block.clone(), worker.clone(), reduction.clone());
        let mut computed = stream::iter(0..block.tiles())
            .map(move |i| {
                let (worker, block, tables, reduction) = (from.clone(), of.clone(), tables.clone(), wanted.clone());
                let task = SpawnedTask::spawn(async move {
                    let (piece, reserved) = worker.fetch_piece(block.clone(), reduction, i).await?;
                    let reader = worker.plan.supply.reader().clone();
                    let bytes = match piece {
                        Piece::Fetched(bytes) => bytes,
                        other => return Ok((i, Err(other), reserved)),
                    };
                    let cells = on_cpu(&reader, move || worker.cells_of(&block.tile(&worker.plan.tiles, i), bytes, &tables)).await?;
                    Ok::<_, DataFusionError>((i, Ok(cells), reserved))
                });
                async move { task.join().await.map_err(|e| DataFusionError::ExecutionJoin(Box::new(e)))? }
            })
            .buffered(self.plan.partitions.max(AHEAD))
            .boxed();
        while let Some(next) = computed.next().await {
            let (i, computed, reserved) = next?;
            let (w, b, r) = (worker.clone(), block.clone(), reduction.clone());
            accumulators = on_cpu(worker.plan.supply.reader(), move || {
                let _timer = w.measures.compute_time.timer();
                let map = CellMap::new(&b.contributions(&r.groups, &b.tile(&w.plan.tiles, i)));
                match computed {
                    Ok(cells) => accumulators.update(&r.aggregates, &cells, &map)?,
                    Err(Piece::Answered(known)) => accumulators.add_known(&r.aggregates, &known, &map)?,
                    Err(Piece::Untaken) => accumulators.see(&map, None),
                    Err(_) => {}
                }
                drop(reserved);
                Ok(accumulators)
            })
            .await?;
        }
        Ok((accumulators.into_only_final()?, Arc::new(held)))
    }

    fn decode(&self, fetched: Fetched) -> Result<Tile> {
        let tile = fetched()?;
        self.measures.add(&tile.metrics);
        Ok(tile)
    }

    /// Tiles to rows, or to tensors.
    fn cells(self, units: Units) -> BoxStream<'static, Result<RecordBatch>> {
        let limit = self.plan.fetch;
        let tiles = taken(units, self.plan.tiles.len());
        let held = stream::iter(tiles)
            .map(move |number| {
                let worker = self.clone();
                async move {
                    SpawnedTask::spawn(async move { worker.one_tile(number).await })
                        .join()
                        .await
                        .map_err(|e| DataFusionError::ExecutionJoin(Box::new(e)))?
                }
            })
            .buffered(AHEAD);
        let batches = held.map_ok(|held: Held| {
            let Held { batches, _reservation } = held;
            let keep = Arc::new(_reservation);
            stream::iter(batches).map(move |b| {
                let _ = &keep;
                Ok(b)
            })
        });
        let flat = batches.try_flatten();
        match limit {
            None => flat.boxed(),
            Some(limit) => first_rows(flat.boxed(), limit),
        }
    }

    async fn one_tile(self, number: usize) -> Result<Held> {
        let plan = self.plan.clone();
        let tile = plan.tiles.tile(number);
        if !plan.view.wants(&tile.cube_extent()) {
            return Ok(Held { batches: vec![], _reservation: self.reserve(0)? });
        }
        if let Some(Verdict::Nothing(chunks)) = self.verdict(&tile, None)? {
            self.measures.skipped.add(chunks);
            return Ok(Held { batches: vec![], _reservation: self.reserve(0)? });
        }
        let reservation = self.reserve(self.tile_bytes(&tile))?;
        let fetched = self.fetch(&tile).await?;
        let tables = self.tables().await?;
        let rows = self.context.session_config().batch_size().max(1);
        let reader = plan.supply.reader().clone();
        let batches = on_cpu(&reader, move || {
            let tile = self.plan.tiles.tile(number);
            let cells = self.cells_of(&tile, fetched, &tables)?;
            let _timer = self.measures.compute_time.timer();
            match &self.plan.tensors {
                Some(layout) => Ok(vec![layout.tile(&self.plan.view, &tile, &cells)?]),
                None => Ok(slices(selected_rows(cells)?, rows)),
            }
        })
        .await?;
        Ok(Held { batches, _reservation: reservation })
    }

    /// Blocks reduced whole.
    fn blocks(self, reduction: Arc<Reduction>, units: Units) -> BoxStream<'static, Result<RecordBatch>> {
        let Some(grid) = self.plan.blocks.clone() else { return stream::empty().boxed() };
        let end = grid.len();
        // Tiles of this block and of the next are fetched while earlier ones are computed.
        let (worker, wanted) = (self.clone(), reduction.clone());
        let space = reduction.groups.clone();
        let plan = self.plan.clone();
        let pieces = taken(units, end).flat_map(move |number| {
            let block = Arc::new(grid.block(&space, &plan.tiles, number));
            let tiles = block.tiles();
            // Without keys there is a group even of no tile.
            let none = (tiles == 0 && space.keys.is_empty()).then_some((block.clone(), None, true));
            (0..tiles).map(move |i| (block.clone(), Some(i), i + 1 == tiles)).chain(none)
        });
        let fetched = stream::iter(pieces)
            .map(move |(block, i, last)| {
                let (worker, reduction) = (worker.clone(), wanted.clone());
                async move {
                    let fetched = match i {
                        Some(i) => Some((i, worker.fetch_piece(block.clone(), reduction, i).await?)),
                        None => None,
                    };
                    Ok::<_, DataFusionError>((block, last, fetched))
                }
            })
            .buffered(AHEAD);
        let rows = self.context.session_config().batch_size().max(1);
        let state: Option<(Accumulators, MemoryReservation)> = None;
        stream::try_unfold((fetched.boxed(), state), move |(mut fetched, mut state)| {
            let worker = self.clone();
            let reduction = reduction.clone();
            async move {
                while let Some(next) = fetched.next().await {
                    let (block, last, piece) = next?;
                    let (mut accumulators, held) = match state.take() {
                        Some(state) => state,
                        None => worker.begin(&reduction, &block)?,
                    };
                    let (w, r, b, tables) = (worker.clone(), reduction.clone(), block.clone(), worker.tables().await?);
                    let (accumulators, done) = on_cpu(worker.plan.supply.reader(), move || {
                        if let Some((i, (bytes, reserved))) = piece {
                            w.reduce_tile(&r, &b, i, (bytes, &tables), None, &mut accumulators)?;
                            drop(reserved);
                        }
                        if !last {
                            return Ok((Some(accumulators), None));
                        }
                        let _timer = w.measures.compute_time.timer();
                        let cells = r.finish(&b, None, accumulators)?;
                        Ok((None, Some(w.output(&r, &b, cells, rows)?)))
                    })
                    .await?;
                    state = accumulators.map(|a| (a, held));
                    if let Some(batches) = done {
                        return Ok::<_, DataFusionError>(Some((batches, (fetched, state))));
                    }
                }
                Ok(None)
            }
        })
        .map_ok(|batches: Vec<RecordBatch>| stream::iter(batches.into_iter().map(Ok)))
        .try_flatten()
        .boxed()
    }

    /// All groups over some of the tiles; state rows at the end.
    fn partial(self, reduction: Arc<Reduction>, units: Units) -> BoxStream<'static, Result<RecordBatch>> {
        let Some(grid) = self.plan.blocks.clone() else { return stream::empty().boxed() };
        let rows = self.context.session_config().batch_size().max(1);
        let job = async move {
            let block = Arc::new(grid.block(&reduction.groups, &self.plan.tiles, 0));
            let (mut accumulators, held) = self.begin(&reduction, &block)?;
            let mut joint = reduction.joint.clone().map(JointGroups::new).transpose()?;
            let worker = self.clone();
            let (of, wanted) = (block.clone(), reduction.clone());
            let mut fetched = stream::iter(taken(units, block.tiles()))
                .map(move |i| {
                    let (worker, block, reduction) = (worker.clone(), of.clone(), wanted.clone());
                    async move { Ok::<_, DataFusionError>((i, worker.fetch_piece(block, reduction, i).await?)) }
                })
                .buffered(AHEAD)
                .boxed();
            while let Some(next) = fetched.next().await {
                let (i, (bytes, reserved)) = next?;
                let (w, r, b, tables) = (self.clone(), reduction.clone(), block.clone(), self.tables().await?);
                (accumulators, joint) = on_cpu(self.plan.supply.reader(), move || {
                    w.reduce_tile(&r, &b, i, (bytes, &tables), joint.as_mut(), &mut accumulators)?;
                    drop(reserved);
                    Ok((accumulators, joint))
                })
                .await?;
                if let Some(joint) = &joint {
                    let groups = block.groups().saturating_mul(joint.len());
                    held.try_resize(Accumulators::bytes(&reduction.aggregates, groups).saturating_add(joint.bytes()))?;
                }
            }
            let cells = reduction.finish(&block, joint.as_ref(), accumulators)?;
            self.output(&reduction, &block, cells, rows)
        };
        stream::once(job).map_ok(|batches| stream::iter(batches.into_iter().map(Ok))).try_flatten().boxed()
    }

    fn begin(&self, reduction: &Reduction, block: &Block) -> Result<(Accumulators, MemoryReservation)> {
        // Those of joint keys come as their values are met.
        let groups = if reduction.joint.is_some() { 0 } else { reduction.groups_of(block) };
        let ranked: usize = reduction.aggregates.iter().map(|a| a.cell_bytes()).sum();
        let cells = if ranked > 0 { block.cells_per_group(&reduction.groups, &self.plan.tiles) } else { vec![] };
        let of_cells = cells.iter().sum::<usize>().saturating_mul(ranked).saturating_add(cells.len().saturating_mul(size_of::<usize>()));
        let zones = reduction.zonal.as_ref().map_or(0, |z| z.bytes());
        let held = self.reserve(Accumulators::bytes(&reduction.aggregates, groups).saturating_add(of_cells).saturating_add(zones))?;
        // An axis of which nothing is seen leaves every group without cells.
        let gaps = self.plan.program.masks() || reduction.groups.has_gaps() || self.plan.tiles.len() == 0 || reduction.joint.is_some();
        let gaps = gaps || reduction.zonal.is_some();
        let sparse = gaps && reduction.keys() > 0;
        let mut accumulators = Accumulators::new(&reduction.aggregates, groups, sparse)?;
        if ranked > 0 {
            accumulators.prepare(&cells);
        }
        Ok((accumulators, held))
    }

    fn verdict(&self, tile: &TileRef<'_>, groups: Option<&[Vec<u32>]>) -> Result<Option<Verdict>> {
        self.statistics.as_ref().map(|known| known.of(tile, groups)).transpose()
    }

    /// The bytes of a block's tile, or what is known without them.
    async fn fetch_piece(&self, block: Arc<Block>, reduction: Arc<Reduction>, i: usize) -> Result<(Piece, MemoryReservation)> {
        let worker = self.clone();
        let task = SpawnedTask::spawn(async move {
            let tile = block.tile(&worker.plan.tiles, i);
            if !worker.plan.wants(&tile) {
                return Ok((Piece::Nothing, worker.reserve(0)?));
            }
            let groups = worker.statistics.is_some().then(|| block.contributions(&reduction.groups, &tile));
            match worker.verdict(&tile, groups.as_deref())? {
                Some(Verdict::Nothing(chunks)) => {
                    worker.measures.skipped.add(chunks);
                    return Ok((Piece::Nothing, worker.reserve(0)?));
                }
                Some(Verdict::Untaken(chunks)) => {
                    worker.measures.skipped.add(chunks);
                    return Ok((Piece::Untaken, worker.reserve(0)?));
                }
                Some(Verdict::Answered(known)) => {
                    if let Some(statistics) = &worker.statistics {
                        statistics.check(&known).await?;
                    }
                    worker.measures.answered.add(known.chunks.len());
                    return Ok((Piece::Answered(known), worker.reserve(0)?));
                }
                Some(Verdict::Read) | None => {}
            }
            let reserved = worker.reserve(worker.tile_bytes(&tile))?;
            Ok((Piece::Fetched(worker.fetch(&tile).await?), reserved))
        });
        task.join().await.map_err(|e| DataFusionError::ExecutionJoin(Box::new(e)))?
    }

    fn reduce_tile(
        &self,
        reduction: &Reduction,
        block: &Block,
        i: usize,
        (piece, tables): (Piece, &Arc<Tables>),
        joint: Option<&mut JointGroups>,
        into: &mut Accumulators,
    ) -> Result<()> {
        let tile = block.tile(&self.plan.tiles, i);
        let groups = || CellMap::new(&block.contributions(&reduction.groups, &tile));
        let fetched = match piece {
            Piece::Fetched(fetched) => fetched,
            Piece::Nothing => return Ok(()),
            Piece::Untaken if joint.is_none() => {
                into.see(&groups(), None);
                return Ok(());
            }
            Piece::Answered(known) if joint.is_none() => return into.add_known(&reduction.aggregates, &known, &groups()),
            Piece::Untaken | Piece::Answered(_) => return internal_err!("groups of values need values"),
        };
        let source = self.source(&tile, fetched, tables)?;
        let _timer = self.measures.compute_time.timer();
        let mut joint = joint;
        for extent in self.pieces(reduction, &tile) {
            let cells = self.plan.program.run(&source, &extent)?;
            let mut contributions = block.contributions_of(&reduction.groups, &extent);
            if let Some(zonal) = &reduction.zonal {
                zonal.update(&extent, &cells, &contributions, block.groups(), &reduction.aggregates, into)?;
                continue;
            }
            if let Some(joint) = &mut joint {
                contributions = joint.contributions(&extent, &cells, contributions, block.groups())?;
                into.resize(block.groups() * joint.len());
            }
            into.update(&reduction.aggregates, &cells, &CellMap::new(&contributions))?;
        }
        Ok(())
    }

    fn output(&self, reduction: &Reduction, block: &Block, cells: Cells, rows: usize) -> Result<Vec<RecordBatch>> {
        match &self.plan.tensors {
            Some(layout) => layout.block(reduction, block, &cells),
            None => Ok(slices(selected_rows(cells)?, rows)),
        }
    }
}

/// The aggregates along axes that a program wants, those that others are computed from first.
fn add_alongs(program: &Program, found: &mut Vec<Arc<Along>>) {
    for window in program.windows() {
        match &window.kind {
            Kind::Along(along) => {
                add_alongs(&along.program, found);
                if !found.iter().any(|known| Arc::ptr_eq(known, along)) {
                    found.push(along.clone());
                }
            }
            _ => add_alongs(&window.below, found),
        }
    }
}

fn slices(batch: RecordBatch, rows: usize) -> Vec<RecordBatch> {
    (0..batch.num_rows()).step_by(rows).map(|start| batch.slice(start, rows.min(batch.num_rows() - start))).collect()
}

fn first_rows(batches: BoxStream<'static, Result<RecordBatch>>, limit: usize) -> BoxStream<'static, Result<RecordBatch>> {
    stream::try_unfold((batches, limit), |(mut batches, left)| async move {
        if left == 0 {
            return Ok(None);
        }
        Ok(batches.try_next().await?.map(|b| {
            let b = b.slice(0, left.min(b.num_rows()));
            let left = left - b.num_rows();
            (b, (batches, left))
        }))
    })
    .boxed()
}

/// Runs work on the CPU threads. Work whose caller is gone is not begun; a panic in it is an error, not the end.
pub(crate) async fn on_cpu<T: Send + 'static>(reader: &Reader, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    reader.cpu().spawn(move || {
        if sender.is_closed() {
            return;
        }
        let result = catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
            let what = panic.downcast_ref::<&str>().map(|s| s.to_string()).or_else(|| panic.downcast_ref::<String>().cloned());
            Err(DataFusionError::Internal(format!("a tile's computation panicked: {}", what.unwrap_or_default())))
        });
        // The receiver is gone when the query was cancelled.
        let _ = sender.send(result);
    });
    receiver.await.map_err(|_| DataFusionError::Internal("a tile's computation was dropped".into()))?
}
