//! From a view to tiles: the boxes of view space that are read and computed one at a time.
//!
//! Tiles are made of whole chunk intervals, so that no chunk is decoded for two tiles; small intervals are joined until a
//! tile is worth its overhead, counted in the cells of the chunks it touches.

use std::cmp::Ordering;
use std::ops::Range;

use graticule_storage::array::Extent;

use crate::view::{AxisView, View};

/// Cells of touched chunks that a tile should have (unless `graticule.tile_cells` says otherwise): about 4 MB of single precision.
pub(crate) const TILE_CELLS: u64 = 1 << 20;

/// Cells of a band: values, their masks and what is computed of them stay in the second-level cache.
const BAND_CELLS: u64 = 1 << 15;

/// A part of one axis that belongs to a tile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Segment {
    /// Where it stands in view space.
    pub view: Range<u64>,
    /// The positions to read, in cube space: the smallest range that holds them.
    pub cube: Range<u64>,
    /// Which of `cube` are seen, relative to its start and in view order; `None`: all of them, in order.
    pub picks: Option<Vec<u32>>,
    /// Cells of the chunks touched along this axis.
    cost: u64,
}

/// The grid of tiles of a view: segments along each axis; a tile is one segment of each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TileGrid {
    /// One list an axis, in view order.
    pub segments: Vec<Vec<Segment>>,
}

impl Segment {
    /// A part of an axis that no tile grid made: read for what lies around a tile.
    pub fn of(axis: &AxisView, view: Range<u64>) -> Segment {
        let mut positions: Vec<Range<u64>> = Vec::new();
        let mut seen = 0u64;
        for run in axis.runs.iter() {
            let (first, last) = (view.start.max(seen), view.end.min(seen + (run.end - run.start)));
            if first < last {
                positions.push(run.start + (first - seen)..run.start + (last - seen));
            }
            seen += run.end - run.start;
        }
        let start = positions.iter().map(|r| r.start).min().unwrap_or(0);
        let end = positions.iter().map(|r| r.end).max().unwrap_or(0);
        let in_order = positions.iter().cloned().flatten().eq(start..end);
        let picks = (!in_order).then(|| positions.iter().cloned().flatten().map(|p| (p - start) as u32).collect());
        Segment { view, cube: start..end, picks, cost: end - start }
    }
}

impl TileGrid {
    /// Tiles for reading these variables (positions in the cube).
    pub fn new(view: &View, variables: &[usize]) -> TileGrid {
        let cuts = view.cuts(variables);
        let segments: Vec<Vec<Segment>> = view.axes.iter().zip(&cuts).map(|(axis, cuts)| segments_of(axis, cuts)).collect();
        let apart: Vec<bool> = (0..segments.len()).map(|axis| view.cuts_tiles(axis)).collect();
        TileGrid { segments: join_small(segments, &apart, view.tile_cells) }
    }

    /// The same tiles with every segment along `axis` cut in two: at the edge of a chunk (`cuts`) nearest to its middle, or in
    /// the middle where it has none inside and `inside` allows it. `None` when nothing was cut.
    pub fn halved(&self, axis: usize, cuts: &[u64], inside: bool) -> Option<TileGrid> {
        let mut list = Vec::with_capacity(2 * self.segments[axis].len());
        for segment in &self.segments[axis] {
            list.extend(halves(segment, cuts, inside));
        }
        let mut segments = self.segments.clone();
        let cut = list.len() > segments[axis].len();
        segments[axis] = list;
        cut.then_some(TileGrid { segments })
    }

    /// The same tiles, joined along each axis until they are some times as long as what is read around them (`halo`, cells
    /// along each axis), while they stay below four times `most` cells.
    pub fn joined_for(self, halo: &[u64], most: u64) -> TileGrid {
        let mut segments = self.segments;
        for d in (0..segments.len()).filter(|&d| halo.get(d).is_some_and(|&h| h > 0)) {
            let widest = |list: &[Segment]| list.iter().map(|s| s.cost).max().unwrap_or(1).max(1);
            let others: u64 = segments.iter().enumerate().filter(|(e, _)| *e != d).fold(1u64, |n, (_, l)| n.saturating_mul(widest(l)));
            let enough = halo[d].saturating_mul(4);
            segments[d] = joined(std::mem::take(&mut segments[d]), |last, next| {
                last.view.end - last.view.start < enough && (last.cost + next.cost).saturating_mul(others) <= most.saturating_mul(4)
            });
        }
        TileGrid { segments }
    }

    /// Number of tiles.
    pub fn len(&self) -> usize {
        self.segments.iter().map(Vec::len).product()
    }

    /// The tile with this C-order number.
    pub fn tile(&self, number: usize) -> TileRef<'_> {
        let mut rest = number;
        let mut at: Vec<&Segment> = Vec::with_capacity(self.segments.len());
        for list in self.segments.iter().rev() {
            at.push(&list[rest % list.len()]);
            rest /= list.len();
        }
        at.reverse();
        TileRef { segments: at }
    }
}

/// One tile of a [`TileGrid`].
#[derive(Debug, Clone)]
pub(crate) struct TileRef<'a> {
    /// One segment an axis.
    pub segments: Vec<&'a Segment>,
}

impl TileRef<'_> {
    /// What to read, in cube space.
    pub fn cube_extent(&self) -> Extent {
        Extent::new(self.segments.iter().map(|s| s.cube.clone()).collect())
    }

    /// What it makes, in view space.
    pub fn view_extent(&self) -> Extent {
        Extent::new(self.segments.iter().map(|s| s.view.clone()).collect())
    }

    /// For every cell of the view extent (C order) its number in the cube extent (C order), when they differ.
    pub fn picks(&self) -> Option<Vec<u32>> {
        if self.segments.iter().all(|s| s.picks.is_none()) {
            return None;
        }
        let mut flat = vec![0u32];
        for s in &self.segments {
            let n = (s.cube.end - s.cube.start) as u32;
            let along: Vec<u32> = s.picks.clone().unwrap_or_else(|| (0..n).collect());
            flat = flat.iter().flat_map(|&base| along.iter().map(move |&p| base * n + p)).collect();
        }
        Some(flat)
    }
}

/// A box cut into bands of at most [`BAND_CELLS`], each one stretch of its cells in C order, from the first to the last.
pub(crate) fn bands(extent: &[Range<u64>]) -> Vec<Vec<Range<u64>>> {
    let len = |r: &Range<u64>| r.end - r.start;
    // The axes from `whole` on stand in every band with all of their cells.
    let (mut whole, mut inner) = (extent.len(), 1u64);
    while let Some(axis) = extent[..whole].last().filter(|r| inner.saturating_mul(len(r)) <= BAND_CELLS) {
        inner *= len(axis).max(1);
        whole -= 1;
    }
    let mut bands: Vec<Vec<Range<u64>>> = vec![vec![]];
    for (d, range) in extent.iter().enumerate() {
        let step = match (d + 1).cmp(&whole) {
            Ordering::Less => 1,
            Ordering::Equal => (BAND_CELLS / inner).max(1),
            Ordering::Greater => len(range).max(1),
        };
        let pieces: Vec<Range<u64>> = range.clone().step_by(step as usize).map(|from| from..range.end.min(from + step)).collect();
        bands =
            bands.iter().flat_map(|band| pieces.iter().map(move |piece| [band.as_slice(), std::slice::from_ref(piece)].concat())).collect();
    }
    bands
}

/// Cuts an axis's runs at chunk boundaries and gathers what lies in one interval.
fn segments_of(axis: &AxisView, cuts: &[u64]) -> Vec<Segment> {
    let mut segments: Vec<Segment> = Vec::new();
    let mut seen = 0u64;
    let mut last_interval = usize::MAX;
    for run in axis.runs.iter() {
        let mut from = run.start;
        while from < run.end {
            let interval = cuts.partition_point(|&c| c <= from);
            let until = cuts.get(interval).copied().unwrap_or(run.end).min(run.end).max(from + 1);
            let cost = cuts.get(interval).copied().unwrap_or(run.end) - cuts.get(interval.wrapping_sub(1)).copied().unwrap_or(0);
            let here = Segment { view: seen..seen + (until - from), cube: from..until, picks: None, cost };
            seen = here.view.end;
            match segments.last_mut() {
                Some(last) if interval == last_interval => gather(last, here),
                _ => segments.push(here),
            }
            last_interval = interval;
            from = until;
        }
    }
    segments
}

/// Adds `more`, which lies in the same chunk interval, to a segment.
fn gather(segment: &mut Segment, more: Segment) {
    let all = |r: &Range<u64>, picks: &Option<Vec<u32>>| -> Vec<u64> {
        match picks {
            Some(p) => p.iter().map(|&i| r.start + u64::from(i)).collect(),
            None => r.clone().collect(),
        }
    };
    let mut positions = all(&segment.cube, &segment.picks);
    positions.extend(all(&more.cube, &more.picks));
    let cube = segment.cube.start.min(more.cube.start)..segment.cube.end.max(more.cube.end);
    let in_order = positions.iter().copied().eq(cube.clone());
    segment.picks = (!in_order).then(|| positions.iter().map(|p| (p - cube.start) as u32).collect());
    segment.cube = cube;
    segment.view.end = more.view.end;
}

/// One segment as two, or as it is.
fn halves(s: &Segment, cuts: &[u64], inside: bool) -> Vec<Segment> {
    let middle = s.view.start + (s.view.end - s.view.start) / 2;
    let at = match &s.picks {
        None => {
            let wanted = s.cube.start + (middle - s.view.start);
            let edges = cuts.iter().filter(|&&c| s.cube.start < c && c < s.cube.end);
            edges.min_by_key(|c| c.abs_diff(wanted)).map(|c| s.view.start + (c - s.cube.start)).or(inside.then_some(middle))
        }
        Some(_) => inside.then_some(middle),
    };
    let Some(at) = at.filter(|at| s.view.start < *at && *at < s.view.end) else { return vec![s.clone()] };
    let part = |view: Range<u64>| {
        let (from, to) = (view.start - s.view.start, view.end - s.view.start);
        let Some(picks) = &s.picks else {
            return Segment { view, cube: s.cube.start + from..s.cube.start + to, picks: None, cost: s.cost };
        };
        let picks = &picks[from as usize..to as usize];
        let (low, high) = (picks.iter().min().copied().unwrap_or(0), picks.iter().max().copied().unwrap_or(0));
        let cube = s.cube.start + u64::from(low)..s.cube.start + u64::from(high) + 1;
        let in_order = picks.iter().copied().eq(low..high + 1);
        Segment { view, cube, picks: (!in_order).then(|| picks.iter().map(|p| p - low).collect()), cost: s.cost }
    };
    vec![part(s.view.start..at), part(at..s.view.end)]
}

/// Joins neighbouring segments, fastest axis first, while tiles stay below `most` cells; not along axes whose segments are to
/// stay `apart`.
fn join_small(mut segments: Vec<Vec<Segment>>, apart: &[bool], most: u64) -> Vec<Vec<Segment>> {
    let widest = |list: &[Segment]| list.iter().map(|s| s.cost).max().unwrap_or(1).max(1);
    for d in (0..segments.len()).rev().filter(|&d| !apart.get(d).copied().unwrap_or(false)) {
        let others: u64 = segments.iter().enumerate().filter(|(e, _)| *e != d).fold(1u64, |n, (_, l)| n.saturating_mul(widest(l)));
        let list = std::mem::take(&mut segments[d]);
        segments[d] = joined(list, |last, next| (last.cost + next.cost).saturating_mul(others) <= most);
    }
    segments
}

/// Joins neighbouring segments that follow each other in the cube, where `may` allows it.
fn joined(list: Vec<Segment>, may: impl Fn(&Segment, &Segment) -> bool) -> Vec<Segment> {
    let mut joined: Vec<Segment> = Vec::with_capacity(list.len());
    for s in list {
        match joined.last_mut() {
            Some(last) if last.picks.is_none() && s.picks.is_none() && last.cube.end == s.cube.start && may(last, &s) => {
                last.cube.end = s.cube.end;
                last.view.end = s.view.end;
                last.cost += s.cost;
            }
            _ => joined.push(s),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::array::{ArrayRef, Int64Array};

    use super::*;

    #[test]
    fn bands_are_the_box_in_order_and_each_in_one_stretch() {
        for extent in
            [vec![3..27, 0..103, 5..211], vec![0..1, 0..512, 0..512], vec![0..2, 0..100_000], vec![4..9], vec![], vec![0..3, 2..2, 0..4]]
        {
            let number = |at: &[u64]| extent.iter().zip(at).fold(0, |n, (r, &p): (&Range<u64>, _)| n * (r.end - r.start) + (p - r.start));
            let mut cells = Vec::new();
            for band in bands(&extent) {
                let before = cells.len();
                let mut places: Vec<Vec<u64>> = vec![vec![]];
                for r in &band {
                    places = places.iter().flat_map(|p| r.clone().map(move |i| [p.as_slice(), &[i]].concat())).collect();
                }
                cells.extend(places.iter().map(|p| number(p)));
                assert!((cells.len() - before) as u64 <= BAND_CELLS);
            }
            let all: u64 = extent.iter().map(|r| r.end - r.start).product();
            assert!(cells.into_iter().eq(0..all), "{extent:?}");
        }
    }

    fn axis(runs: &[Range<u64>]) -> AxisView {
        let n: u64 = runs.iter().map(|r| r.end - r.start).sum();
        let coordinates: ArrayRef = Arc::new(Int64Array::from_iter_values(0..n as i64));
        AxisView { runs: runs.to_vec().into(), coordinates, fixed: false }
    }

    #[test]
    fn segments_follow_the_cuts() {
        let s = segments_of(&axis(&[5..25]), &[0, 10, 20, 30]);
        let cube: Vec<_> = s.iter().map(|s| s.cube.clone()).collect();
        assert_eq!(cube, vec![5..10, 10..20, 20..25]);
        assert_eq!(s[2].view, 15..20);
    }

    #[test]
    fn strided_positions_of_one_chunk_are_one_segment() {
        let s = segments_of(&axis(&[0..1, 6..7, 12..13, 18..19]), &[0, 10, 20]);
        assert_eq!(s.len(), 2);
        assert_eq!((s[0].cube.clone(), s[0].picks.clone()), (0..7, Some(vec![0, 6])));
        assert_eq!((s[1].cube.clone(), s[1].picks.clone()), (12..19, Some(vec![0, 6])));
    }

    #[test]
    fn across_the_seam_keeps_the_order_asked_for() {
        let s = segments_of(&axis(&[8..10, 0..3]), &[0, 10]);
        assert_eq!((s.len(), s[0].cube.clone(), s[0].picks.clone()), (1, 0..10, Some(vec![8, 9, 0, 1, 2])));
    }

    #[test]
    fn halves_are_cut_at_chunks_first() {
        let along = |g: &TileGrid| g.segments[0].iter().map(|s| (s.view.clone(), s.cube.clone(), s.picks.clone())).collect::<Vec<_>>();
        let joined = TileGrid { segments: join_small(vec![segments_of(&axis(&[5..25]), &[0, 10, 20, 30])], &[false], TILE_CELLS) };
        let once = joined.halved(0, &[0, 10, 20, 30], false).unwrap();
        assert_eq!(along(&once), vec![(0..5, 5..10, None), (5..20, 10..25, None)]);
        let twice = once.halved(0, &[0, 10, 20, 30], false).unwrap();
        assert_eq!(along(&twice), vec![(0..5, 5..10, None), (5..15, 10..20, None), (15..20, 20..25, None)]);
        assert!(twice.halved(0, &[0, 10, 20, 30], false).is_none());
        let seam = TileGrid { segments: vec![segments_of(&axis(&[8..10, 0..3]), &[0, 10])] };
        let halves = seam.halved(0, &[0, 10], true).unwrap();
        assert_eq!(along(&halves), vec![(0..2, 8..10, None), (2..5, 0..3, None)]);
    }

    #[test]
    fn small_chunks_are_joined_and_large_ones_are_not() {
        let s = segments_of(&axis(&[0..2000]), &(0..=2000).collect::<Vec<_>>());
        let wide = segments_of(&axis(&[0..64800]), &[0, 64800]);
        let joined = join_small(vec![s, wide], &[false, false], TILE_CELLS);
        assert_eq!(joined[0].len(), 125);
        assert_eq!(joined[0].iter().map(|s| s.view.end - s.view.start).sum::<u64>(), 2000);
    }
}
