//! What a leaf will need, told before it runs: bytes decoded and bytes of memory; and the refusal of what cannot fit.
//!
//! Scans stream and are never refused. Reductions hold a state for every group, and some every value.

use std::sync::Arc;

use datafusion::config::ConfigOptions;
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::MemoryLimit;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use graticule_storage::read::TileRequest;

use super::CubeExec;
use super::exec::LeafPlan;
use super::reduce::{Accumulators, Aggregate, Split};
use super::stream::AHEAD;
use crate::{ErrorKind, QueryError};

/// Bytes that a leaf needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Needs {
    /// Decoded values, all tiles together.
    pub decoded: u64,
    /// The largest tile while it is computed.
    pub tile: usize,
    /// What all partitions keep of groups at once.
    pub states: usize,
    /// Streams side by side.
    pub streams: usize,
}

impl Needs {
    /// The most that is held at once: every stream computes a tile and fetches ahead.
    pub fn peak(&self) -> usize {
        self.states.saturating_add(self.tile.saturating_mul(self.streams).saturating_mul(AHEAD))
    }
}

impl LeafPlan {
    /// Bytes that so many cells take while they are computed: what is stored, what is decoded, and one copy; windows some more.
    pub fn cell_bytes(&self, cells: u64) -> usize {
        let fields = self.program.read_schema.fields();
        let width: usize = fields.iter().map(|f| f.data_type().primitive_width().unwrap_or(16)).sum();
        let states = self.program.windows().count() * 32;
        usize::try_from(cells).unwrap_or(usize::MAX).saturating_mul(width.max(4) * 2 + states)
    }

    /// What reading `requests` and computing with them needs.
    pub fn needs(&self, requests: &[TileRequest]) -> Needs {
        let cube = &self.view.cube;
        let width = |v: &usize| cube.variables.get(*v).map_or(0, |v| v.arrow_type().primitive_width().unwrap_or(16) as u64);
        let decoded =
            requests.iter().fold(0u64, |sum, r| sum.saturating_add(r.extent.cells().saturating_mul(r.variables.iter().map(width).sum())));
        let bytes = |r: &TileRequest| self.cell_bytes(r.extent.cells()).saturating_add(self.supply.working_bytes(cube, r));
        let tile = requests.iter().max_by_key(|r| r.extent.cells()).map_or(0, bytes);
        let (mut states, mut streams) = (0, self.partitions.min(self.tiles.len()).max(1));
        if let (Some(reduction), Some(blocks)) = (&self.reduction, &self.blocks) {
            let aggregates = &reduction.aggregates;
            let one = match reduction.split {
                // Those of values that are met when they are read are not known.
                Split::Input if reduction.joint.is_some() => 0,
                Split::Input => Accumulators::bytes(aggregates, reduction.groups.len()),
                Split::Output => {
                    streams = self.partitions.min(blocks.len()).max(1);
                    let groups = blocks.block(&reduction.groups, &self.tiles, 0).groups();
                    let ranked: usize = aggregates.iter().map(Aggregate::cell_bytes).sum();
                    Accumulators::bytes(aggregates, groups).saturating_add(blocks.most_cells(&self.tiles).saturating_mul(ranked))
                }
            };
            states = one.saturating_mul(streams);
        }
        Needs { decoded, tile, states, streams }
    }
}

/// Refuses a plan of which some part cannot fit into the memory of its context, whatever else runs.
pub(crate) fn admit(plan: &Arc<dyn ExecutionPlan>, context: &TaskContext) -> Result<(), QueryError> {
    match context.memory_pool().memory_limit() {
        MemoryLimit::Finite(limit) => check(plan, limit, context.session_config().options()),
        _ => Ok(()),
    }
}

fn check(plan: &Arc<dyn ExecutionPlan>, limit: usize, config: &ConfigOptions) -> Result<(), QueryError> {
    if let Some(leaf) = plan.downcast_ref::<CubeExec>()
        && let Some(reduction) = &leaf.plan.reduction
    {
        let needs = leaf.plan.needs(&leaf.plan.requests());
        let least = needs.states.saturating_add(needs.tile);
        if least > limit {
            let what = match reduction.split {
                Split::Input => format!("{} groups, kept by each of {} streams", reduction.groups.len(), needs.streams),
                Split::Output => format!("{} blocks of groups at once", needs.streams),
            };
            return Err(refused(
                &leaf.plan.view.cube.name,
                least,
                limit,
                &format!("{} for {what}, {} a tile", of(needs.states), of(needs.tile)),
            ));
        }
    }
    if let Some(aggregate) = plan.downcast_ref::<AggregateExec>()
        && !matches!(aggregate.mode(), AggregateMode::Final | AggregateMode::FinalPartitioned)
        && let Some(leaf) = aggregate.input().downcast_ref::<CubeExec>()
        && !leaf.plan.program.masks()
        && leaf.plan.reduction.is_none()
        && leaf.plan.fetch.is_none()
    {
        // As rows, all values of all groups are kept until the last one has come.
        let schema = aggregate.input_schema();
        let each = aggregate.aggr_expr().iter().filter_map(|e| Aggregate::of(e, None, &schema).ok()).map(|a| a.cell_bytes());
        let cells = usize::try_from(leaf.plan.view.cells()).unwrap_or(usize::MAX);
        let needed = cells.saturating_mul(each.sum());
        if needed > limit {
            let why = crate::optimizer::why_not_dense(aggregate, config).unwrap_or_default();
            let cube = &leaf.plan.view.cube.name;
            return Err(refused(
                cube,
                needed,
                limit,
                &format!("all values of {cells} cells are needed at once; not cut into blocks: {why}"),
            ));
        }
    }
    plan.children().into_iter().try_for_each(|child| check(child, limit, config))
}

fn refused(cube: &str, needed: usize, limit: usize, parts: &str) -> QueryError {
    let message = format!(
        "the query needs about {} of memory at once ({parts}), the server may use {}. Ask for fewer groups or cells at a time: a subset \
         ({cube}[axis(from:to)]), a coarser key (coarsen(axis, n), date_trunc), or start the server with a larger --memory",
        of(needed),
        of(limit)
    );
    QueryError::new(ErrorKind::Resources, message)
}

/// Bytes as people read them.
pub(crate) fn of(bytes: usize) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut value, mut unit) = (bytes as f64, 0);
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    let unit = units.get(unit).copied().unwrap_or_default();
    if value < 10.0 && unit != "B" { format!("{value:.1} {unit}") } else { format!("{value:.0} {unit}") }
}

#[cfg(test)]
mod tests {
    use super::of;

    #[test]
    fn bytes_are_read_by_people() {
        let shown: Vec<String> = [0, 1023, 1024, 5 << 20, 64 << 20, 3 << 39].into_iter().map(of).collect();
        assert_eq!(shown, ["0 B", "1023 B", "1.0 KiB", "5.0 MiB", "64 MiB", "1.5 TiB"]);
    }
}
