//! One pass of a moving aggregate along one axis of a box, for any states that can be merged.
//!
//! Nothing is ever subtracted, so nothing cancels: short frames are merged offset by offset over long runs of memory, long
//! ones by two stacks (Tangwongsan, Hirzel, Schneider 2015; for minima the method of van Herk), two merges a cell.

use std::ops::Range;

/// Frames up to this length are merged offset by offset.
const SHORT: usize = 6;
/// Cells that are worked on at a time, so that they stay in the first cache.
const BLOCK: usize = 1024;

/// A box as one axis cuts it: slower axes, the axis, faster axes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cut {
    /// Cells along the slower axes.
    pub outer: usize,
    /// Cells along the axis.
    pub len: usize,
    /// Cells along the faster axes.
    pub inner: usize,
}

/// For every position of the result along the axis the frame that is merged. Positions of frames count in `rows`, which
/// says for each of them where it lies along the axis of the input (an edge may repeat some).
#[derive(Debug, Clone)]
pub(crate) struct Frames {
    /// Where each position that frames count in lies in the input.
    pub rows: Vec<u32>,
    /// Half-open; empty where the start is not below the end.
    pub ranges: Vec<Range<u32>>,
}

impl Frames {
    /// The longest frame.
    fn longest(&self) -> usize {
        self.ranges.iter().map(|r| r.end.saturating_sub(r.start) as usize).max().unwrap_or(0)
    }

    fn rise(&self) -> bool {
        self.ranges.windows(2).all(|w| w[0].start <= w[1].start && w[0].end <= w[1].end)
    }

    /// Cells in each frame.
    pub fn lengths(&self) -> impl Iterator<Item = u32> {
        self.ranges.iter().map(|r| r.end.saturating_sub(r.start))
    }
}

/// The merged states of every frame: `outer` x `frames` x `inner`, C order.
pub(crate) fn pass<S: Copy>(input: &[S], cut: Cut, frames: &Frames, empty: S, merge: impl Fn(S, S) -> S + Copy) -> Vec<S> {
    debug_assert_eq!(input.len(), cut.outer * cut.len * cut.inner);
    let mut output = vec![empty; cut.outer * frames.ranges.len() * cut.inner];
    if output.is_empty() || input.is_empty() {
        return output;
    }
    if frames.longest() > SHORT && frames.rise() {
        stacks(input, cut, frames, empty, merge, &mut output);
    } else {
        offsets(input, cut, frames, merge, &mut output);
    }
    output
}

/// Positions whose frames lie alike: `(positions, first row of the first frame, length)`.
fn alike(frames: &Frames) -> Vec<(Range<usize>, usize, usize)> {
    let mut runs: Vec<(Range<usize>, usize, usize)> = Vec::new();
    for (p, range) in frames.ranges.iter().enumerate() {
        let (start, len) = (range.start as usize, range.end.saturating_sub(range.start) as usize);
        // One step from the frame before, and so is the row that joins.
        let row = |j: usize| frames.rows.get(j).copied();
        let follows = |(run, first, n): &(Range<usize>, usize, usize)| {
            *n == len
                && first + (p - run.start) == start
                && (len == 0 || row(start + len - 2).zip(row(start + len - 1)).is_some_and(|(a, b)| a + 1 == b))
        };
        match runs.last_mut() {
            Some(run) if follows(run) => run.0.end = p + 1,
            _ => runs.push((p..p + 1, start, len)),
        }
    }
    runs
}

fn offsets<S: Copy>(input: &[S], cut: Cut, frames: &Frames, merge: impl Fn(S, S) -> S + Copy, output: &mut [S]) {
    let Cut { outer, len, inner } = cut;
    let positions = frames.ranges.len();
    for (run, first, n) in alike(frames) {
        // Within the first frame the rows need not follow each other; from frame to frame each goes on by one.
        let Some(rows) = frames.rows.get(first..first + n).filter(|rows| !rows.is_empty()) else { continue };
        let steady = rows.windows(2).all(|w| w[0] + 1 == w[1]);
        let runs = if steady { vec![run] } else { run.map(|p| p..p + 1).collect() };
        for run in runs {
            let base = frames.ranges[run.start].start as usize;
            let cells = (run.end - run.start) * inner;
            for o in 0..outer {
                let out = &mut output[(o * positions + run.start) * inner..][..cells];
                for (block, out) in out.chunks_mut(BLOCK).enumerate() {
                    for offset in 0..n {
                        let from = (o * len + frames.rows[base + offset] as usize) * inner + block * BLOCK;
                        let values = &input[from..from + out.len()];
                        match offset {
                            0 => out.copy_from_slice(values),
                            _ => out.iter_mut().zip(values).for_each(|(a, &b)| *a = merge(*a, b)),
                        }
                    }
                }
            }
        }
    }
}

fn stacks<S: Copy>(input: &[S], cut: Cut, frames: &Frames, empty: S, merge: impl Fn(S, S) -> S + Copy, output: &mut [S]) {
    let Cut { outer, len, inner } = cut;
    let (positions, longest) = (frames.ranges.len(), frames.longest());
    // Wide enough for full registers, narrow enough for the stack of suffixes to stay in a cache.
    let width = inner.min((16 * BLOCK / longest.max(1)).max(16));
    let mut front = vec![empty; longest * width];
    let mut back = vec![empty; width];
    for o in 0..outer {
        for column in (0..inner).step_by(width) {
            let w = width.min(inner - column);
            let row = |j: usize| &input[(o * len + frames.rows[j] as usize) * inner + column..][..w];
            // `front` holds what rows `from..flip` merge to, by their first row; `back` what rows `flip..until` do.
            let (mut from, mut flip, mut until) = (0usize, 0usize, 0usize);
            for (p, range) in frames.ranges.iter().enumerate() {
                let (start, end) = (range.start as usize, range.end as usize);
                if start >= end {
                    continue;
                }
                if start >= flip {
                    (from, flip, until) = (start, end, end);
                    for j in (start..end).rev() {
                        let (below, above) = front.split_at_mut((j + 1 - from) * width);
                        let slot = &mut below[(j - from) * width..][..w];
                        slot.copy_from_slice(row(j));
                        if j + 1 < end {
                            slot.iter_mut().zip(&above[..w]).for_each(|(a, &b)| *a = merge(*a, b));
                        }
                    }
                }
                while until < end {
                    match until == flip {
                        true => back[..w].copy_from_slice(row(until)),
                        false => back[..w].iter_mut().zip(row(until)).for_each(|(a, &b)| *a = merge(*a, b)),
                    }
                    until += 1;
                }
                let out = &mut output[(o * positions + p) * inner + column..][..w];
                out.copy_from_slice(&front[(start - from) * width..][..w]);
                if until > flip {
                    out.iter_mut().zip(&back[..w]).for_each(|(a, &b)| *a = merge(*a, b));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn naive(input: &[i64], cut: Cut, frames: &Frames) -> Vec<i64> {
        let mut out = vec![];
        for o in 0..cut.outer {
            for range in &frames.ranges {
                for i in 0..cut.inner {
                    let at = |j: u32| input[(o * cut.len + frames.rows[j as usize] as usize) * cut.inner + i];
                    out.push(range.clone().map(at).sum());
                }
            }
        }
        out
    }

    #[test]
    fn every_way_gives_the_sums() {
        for (outer, len, inner) in [(1, 7, 1), (2, 40, 3), (3, 25, 1), (1, 30, 1500), (2, 1, 5)] {
            let cut = Cut { outer, len, inner };
            let input: Vec<i64> = (0..(outer * len * inner) as i64).map(|i| i * 7919 % 1000).collect();
            let n = len as i64;
            for (low, high) in [(-1, 1), (-2, 0), (0, 4), (-9, 9), (-100, 0), (3, 5), (-12, -8)] {
                let clipped = |p: i64| (p + low).clamp(0, n) as u32..(p + high + 1).clamp(0, n) as u32;
                let shrink = Frames { rows: (0..len as u32).collect(), ranges: (0..n).map(clipped).collect() };
                let (first, last) = (low.max(-n), high.min(n));
                let row = |j: i64, wrap: bool| if wrap { j.rem_euclid(n) } else { j.clamp(0, n - 1) } as u32;
                for wrap in [true, false] {
                    let rows: Vec<u32> = (first..n + last).map(|j| row(j, wrap)).collect();
                    let whole = |p: i64| p as u32..(p + last - first + 1).max(p) as u32;
                    let edge = Frames { rows, ranges: (0..n).map(whole).collect() };
                    assert_eq!(pass(&input, cut, &edge, 0, |a, b| a + b), naive(&input, cut, &edge), "{cut:?} {low}:{high} {wrap}");
                }
                assert_eq!(pass(&input, cut, &shrink, 0, |a, b| a + b), naive(&input, cut, &shrink), "{cut:?} {low}:{high}");
            }
        }
    }

    #[test]
    fn frames_that_go_back_are_merged_too() {
        let cut = Cut { outer: 1, len: 20, inner: 2 };
        let input: Vec<i64> = (0..40).collect();
        let frames = Frames { rows: (0..20).collect(), ranges: vec![10..20, 0..9, 5..5, 3..14] };
        assert_eq!(pass(&input, cut, &frames, 0, |a, b| a + b), naive(&input, cut, &frames));
    }
}
