//! Blocks: the parts of a group space that no two partitions share, and the tiles that each needs.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use super::keys::GroupSpace;
use crate::dense::tiles::{Segment, TileGrid, TileRef};

/// Some groups (a product of key values) and the tiles whose cells belong to them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Block {
    /// For each key the numbers of its values in this block, rising.
    pub key_ids: Vec<Vec<u32>>,
    /// For each axis the segments of the tile grid.
    segments: Vec<Vec<usize>>,
}

impl Block {
    /// Number of groups.
    pub fn groups(&self) -> usize {
        self.key_ids.iter().map(Vec::len).product()
    }

    /// Number of tiles.
    pub fn tiles(&self) -> usize {
        self.segments.iter().map(Vec::len).product()
    }

    /// Along each axis where its tiles lie in cube space, and how many cells of the view they have there.
    pub fn reach(&self, grid: &TileGrid) -> Vec<(Range<u64>, u64)> {
        let along = |(list, all): (&Vec<usize>, &Vec<Segment>)| {
            let segments = || list.iter().filter_map(|&s| all.get(s));
            let start = segments().map(|s| s.cube.start).min().unwrap_or(0);
            let end = segments().map(|s| s.cube.end).max().unwrap_or(0);
            (start..end, segments().map(|s| s.view.end - s.view.start).sum())
        };
        self.segments.iter().zip(&grid.segments).map(along).collect()
    }

    /// The `i`-th tile, in C order of the tile grid.
    pub fn tile<'a>(&self, grid: &'a TileGrid, i: usize) -> TileRef<'a> {
        let mut rest = i;
        let mut segments = Vec::with_capacity(self.segments.len());
        for (d, list) in self.segments.iter().enumerate().rev() {
            segments.push(&grid.segments[d][list[rest % list.len()]]);
            rest /= list.len();
        }
        segments.reverse();
        TileRef { segments }
    }

    /// What each position of a tile along each axis adds to the number of a cell's group within the block.
    pub fn contributions(&self, space: &GroupSpace, tile: &TileRef<'_>) -> Vec<Vec<u32>> {
        self.contributions_of(space, tile.view_extent().ranges())
    }

    /// The same for a box of view space.
    pub fn contributions_of(&self, space: &GroupSpace, extent: &[Range<u64>]) -> Vec<Vec<u32>> {
        extent.iter().enumerate().map(|(d, seen)| self.contribution(space, d, seen.clone())).collect()
    }

    /// The same for positions `seen` along axis `d`.
    fn contribution(&self, space: &GroupSpace, d: usize, seen: Range<u64>) -> Vec<u32> {
        let mut sum = vec![0u32; (seen.end - seen.start) as usize];
        let mut stride = 1u32;
        for (k, key) in space.keys.iter().enumerate().rev() {
            if key.axis == d {
                for (slot, id) in sum.iter_mut().zip(&key.ids[seen.start as usize..seen.end as usize]) {
                    let local = self.key_ids[k].partition_point(|known| known < id) as u32;
                    *slot += local * stride;
                }
            }
            stride *= self.key_ids[k].len() as u32;
        }
        sum
    }

    /// How many cells of the view belong to each group, selected or not.
    pub fn cells_per_group(&self, space: &GroupSpace, grid: &TileGrid) -> Vec<usize> {
        let mut found: Vec<(u32, usize)> = vec![(0, 1)];
        for (d, list) in self.segments.iter().enumerate() {
            let mut along: BTreeMap<u32, usize> = BTreeMap::new();
            for number in list.iter().flat_map(|&s| self.contribution(space, d, grid.segments[d][s].view.clone())) {
                *along.entry(number).or_default() += 1;
            }
            found = found.iter().flat_map(|&(g, n)| along.iter().map(move |(&more, &times)| (g + more, n * times))).collect();
        }
        let mut cells = vec![0; self.groups()];
        for (g, n) in found {
            cells[g as usize] += n;
        }
        cells
    }

    /// The first value number of each key, when the block's numbers follow each other: the block is a box.
    pub fn origin(&self) -> Option<Vec<u64>> {
        let consecutive = |ids: &Vec<u32>| ids.windows(2).all(|w| w[1] == w[0] + 1);
        self.key_ids.iter().all(consecutive).then(|| self.key_ids.iter().map(|ids| u64::from(ids.first().copied().unwrap_or(0))).collect())
    }
}

/// All blocks of a reduction.
#[derive(Debug, Clone)]
pub(crate) struct BlockGrid {
    /// For each axis, classes of segments that share no group with each other.
    classes: Vec<Vec<Vec<usize>>>,
}

impl BlockGrid {
    /// The finest blocks.
    pub fn new(space: &GroupSpace, grid: &TileGrid) -> BlockGrid {
        BlockGrid { classes: (0..grid.segments.len()).map(|d| classes_along(space, grid, d)).collect() }
    }

    /// One block with everything.
    pub fn whole(grid: &TileGrid) -> BlockGrid {
        BlockGrid { classes: grid.segments.iter().map(|list| vec![(0..list.len()).collect()]).collect() }
    }

    /// Number of blocks.
    pub fn len(&self) -> usize {
        self.classes.iter().map(Vec::len).product()
    }

    /// Cells of the view in the largest block. Saturates.
    pub fn most_cells(&self, grid: &TileGrid) -> usize {
        let widest = |(classes, list): (&Vec<Vec<usize>>, &Vec<Segment>)| {
            let cells = |class: &Vec<usize>| class.iter().map(|&s| (list[s].view.end - list[s].view.start) as usize).sum();
            classes.iter().map(cells).max().unwrap_or(0)
        };
        self.classes.iter().zip(&grid.segments).map(widest).fold(1, usize::saturating_mul)
    }

    /// The block with this C-order number.
    pub fn block(&self, space: &GroupSpace, grid: &TileGrid, number: usize) -> Block {
        let mut rest = number;
        let mut segments: Vec<Vec<usize>> = Vec::with_capacity(self.classes.len());
        for classes in self.classes.iter().rev() {
            segments.push(classes[rest % classes.len()].clone());
            rest /= classes.len();
        }
        segments.reverse();
        let ids_of = |axis: usize, ids: &[u32]| {
            let mut found: Vec<u32> = segments[axis]
                .iter()
                .flat_map(|&s| {
                    let seen = &grid.segments[axis][s].view;
                    ids[seen.start as usize..seen.end as usize].iter().copied()
                })
                .collect();
            found.sort_unstable();
            found.dedup();
            found
        };
        let key_ids = space.keys.iter().map(|k| ids_of(k.axis, &k.ids)).collect();
        Block { key_ids, segments }
    }
}

/// Segments of an axis that share a value of all its keys belong together; without a key all do.
fn classes_along(space: &GroupSpace, grid: &TileGrid, d: usize) -> Vec<Vec<usize>> {
    let keys: Vec<_> = space.keys.iter().filter(|k| k.axis == d).collect();
    let list = &grid.segments[d];
    if keys.is_empty() {
        return vec![(0..list.len()).collect()];
    }
    let mut class_of: HashMap<Vec<u32>, usize> = HashMap::new();
    let mut parent: Vec<usize> = (0..list.len()).collect();
    fn root(parent: &mut [usize], mut i: usize) -> usize {
        while parent[i] != i {
            parent[i] = parent[parent[i]];
            i = parent[i];
        }
        i
    }
    for (s, segment) in list.iter().enumerate() {
        for p in segment.view.clone() {
            let ids: Vec<u32> = keys.iter().map(|k| k.ids[p as usize]).collect();
            let other = *class_of.entry(ids).or_insert(s);
            let (a, b) = (root(&mut parent, other), root(&mut parent, s));
            parent[a.max(b)] = a.min(b);
        }
    }
    let mut classes: Vec<Vec<usize>> = Vec::new();
    let mut number: HashMap<usize, usize> = HashMap::new();
    for s in 0..list.len() {
        let r = root(&mut parent, s);
        let n = *number.entry(r).or_insert_with(|| {
            classes.push(vec![]);
            classes.len() - 1
        });
        classes[n].push(s);
    }
    classes
}
