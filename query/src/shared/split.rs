//! A leaf cut into parts: its tiles or blocks of groups, each with the coarse block of the cube that it lies in, so that the same
//! part of a cube can be given to the same process whatever is asked of it.

use std::hash::{Hash, Hasher};
use std::ops::Range;
use std::sync::Arc;

use datafusion::physical_plan::ExecutionPlan;

use crate::dense::CubeExec;

/// Coarse blocks along an axis, at most.
const BLOCKS: u64 = 128;

/// Tiles whose bytes are looked up at a time.
const LOOKED_AT: usize = 64;

/// A part of a leaf's work that is done in one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unit {
    /// Its number in the leaf.
    pub number: u32,
    /// The coarse block of the cube that it lies in: a hash of the cube's name and of the place.
    pub block: u64,
    /// Cells.
    pub weight: u64,
}

/// A leaf whose work can be shared out.
pub trait Splittable {
    /// Its parts.
    fn units(&self) -> Vec<Unit>;

    /// Stored bytes that it reads, from the index alone; where they are `enough` or more, that they are.
    fn bytes_up_to(&self, enough: u64) -> u64;

    /// Streams side by side.
    fn streams(&self) -> usize;

    /// The same leaf, in as many streams, for these parts only.
    fn with_units(&self, numbers: Arc<[u32]>) -> Arc<dyn ExecutionPlan>;
}

/// The leaf of a plan that can be shared out; `None` for other nodes.
pub fn splittable(plan: &Arc<dyn ExecutionPlan>) -> Option<&dyn Splittable> {
    plan.downcast_ref::<CubeExec>().map(|leaf| leaf as &dyn Splittable)
}

impl CubeExec {
    /// What tells the coarse block that the middle of some ranges of cube space lies in.
    fn coarse(&self) -> impl Fn(&mut dyn Iterator<Item = &Range<u64>>) -> u64 + use<> {
        let cube = &self.plan.view.cube;
        // Keys are fixed: the same in every process of one build.
        let mut named = std::hash::DefaultHasher::new();
        cube.name.hash(&mut named);
        let lengths: Vec<u64> = cube.grid.axes.iter().map(|axis| axis.len().div_ceil(BLOCKS).max(1)).collect();
        move |ranges| {
            let mut hasher = named.clone();
            for (range, length) in ranges.zip(&lengths) {
                ((range.start + range.end.saturating_sub(range.start) / 2) / length).hash(&mut hasher);
            }
            hasher.finish()
        }
    }
}

impl Splittable for CubeExec {
    fn units(&self) -> Vec<Unit> {
        let plan = &self.plan;
        let (coarse, number) = (self.coarse(), |n: usize| u32::try_from(n).unwrap_or(u32::MAX));
        if let Some((blocks, reduction)) = plan.output_blocks() {
            let unit = |n: usize| {
                let reach = blocks.block(&reduction.groups, &plan.tiles, n).reach(&plan.tiles);
                let weight = reach.iter().fold(1u64, |cells, (_, along)| cells.saturating_mul(*along));
                Unit { number: number(n), block: coarse(&mut reach.iter().map(|(range, _)| range)), weight }
            };
            return (0..blocks.len()).map(unit).collect();
        }
        let tiles = (0..plan.tiles.len()).map(|n| (n, plan.tiles.tile(n))).filter(|(_, tile)| plan.wants(tile));
        let unit = |(n, tile): (usize, crate::dense::tiles::TileRef<'_>)| {
            let weight = tile.segments.iter().fold(1u64, |cells, s| cells.saturating_mul(s.view.end - s.view.start));
            Unit { number: number(n), block: coarse(&mut tile.segments.iter().map(|s| &s.cube)), weight }
        };
        tiles.map(unit).collect()
    }

    fn bytes_up_to(&self, enough: u64) -> u64 {
        let plan = &self.plan;
        let mut bytes = 0u64;
        // A cube may have millions of tiles; the first few say enough.
        for first in (0..plan.tiles.len()).step_by(LOOKED_AT) {
            let requests = plan.requests_among(first..(first + LOOKED_AT).min(plan.tiles.len()), |_| true);
            bytes = bytes.saturating_add(plan.supply.estimate(&plan.view.cube, &requests).map_or(0, |e| e.bytes));
            if bytes >= enough {
                break;
            }
        }
        bytes
    }

    fn streams(&self) -> usize {
        self.properties().output_partitioning().partition_count()
    }

    fn with_units(&self, numbers: Arc<[u32]>) -> Arc<dyn ExecutionPlan> {
        Arc::new(CubeExec::with_units(self, numbers))
    }
}
