//! A box of cells from one C-order buffer into another, as runs along the fastest axes: the one place of index arithmetic.

use crate::Result;

/// One loop of a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Loop {
    /// Steps.
    count: usize,
    /// Cells that a step moves in the source.
    from: usize,
    /// Cells that a step moves in the target.
    to: usize,
}

/// Where a box lies in its source and in its target. Axes that are consecutive in both became one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Copy {
    /// Slowest first.
    outer: Vec<Loop>,
    /// Cells that are consecutive in both.
    run: usize,
    from: usize,
    to: usize,
    cells: usize,
}

impl Copy {
    /// `shape` cells, slowest axis first; strides in cells; `from` and `to` are the positions of the box's first cell.
    /// The caller has checked that source and target are that large.
    pub(super) fn new(shape: &[usize], from_strides: &[usize], to_strides: &[usize], from: usize, to: usize) -> Copy {
        let mut loops: Vec<Loop> = Vec::with_capacity(shape.len());
        for ((&count, &from), &to) in shape.iter().zip(from_strides).zip(to_strides) {
            if count == 1 {
                continue;
            }
            match loops.last_mut() {
                Some(outer) if outer.from == count * from && outer.to == count * to => {
                    *outer = Loop { count: outer.count * count, from, to };
                }
                _ => loops.push(Loop { count, from, to }),
            }
        }
        let run = match loops.last() {
            Some(&Loop { count, from: 1, to: 1 }) => {
                loops.pop();
                count
            }
            _ => 1,
        };
        Copy { outer: loops, run, from, to, cells: shape.iter().product() }
    }

    /// Position of the first cell in the target.
    pub(super) fn to(&self) -> usize {
        self.to
    }

    /// Cells copied.
    pub(super) fn cells(&self) -> usize {
        self.cells
    }

    /// True when the box fills consecutive cells of the target, in order.
    pub(super) fn fills_consecutive_cells(&self) -> bool {
        let mut block = self.run;
        self.outer.iter().rev().all(|l| {
            let consecutive = l.to == block;
            block = block.saturating_mul(l.count);
            consecutive
        })
    }

    /// Calls `copy(from, to, cells)` for every run, in C order.
    pub(super) fn runs(&self, mut copy: impl FnMut(usize, usize, usize) -> Result<()>) -> Result<()> {
        if self.cells == 0 {
            return Ok(());
        }
        let mut step = vec![0usize; self.outer.len()];
        let (mut from, mut to) = (self.from, self.to);
        loop {
            copy(from, to, self.run)?;
            // The odometer: the fastest loop that is not at its end moves on, those inside it start again.
            let mut axis = self.outer.len();
            loop {
                let Some(next) = axis.checked_sub(1) else { return Ok(()) };
                axis = next;
                let (Some(l), Some(at)) = (self.outer.get(axis), step.get_mut(axis)) else { return Ok(()) };
                *at += 1;
                if *at < l.count {
                    from += l.from;
                    to += l.to;
                    break;
                }
                from -= (l.count - 1) * l.from;
                to -= (l.count - 1) * l.to;
                *at = 0;
            }
        }
    }
}

/// Cells that a step along each axis moves in a C-order buffer of this shape.
pub(super) fn strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1usize; shape.len()];
    for d in (0..shape.len().saturating_sub(1)).rev() {
        strides[d] = strides[d + 1].saturating_mul(shape[d + 1]);
    }
    strides
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn whole_boxes_are_one_run() {
        let s = strides(&[3, 4, 5]);
        let copy = Copy::new(&[3, 4, 5], &s, &s, 0, 0);
        assert_eq!((copy.run, copy.outer.len()), (60, 0));
        assert!(copy.fills_consecutive_cells());
        // Whole inner axes out of a longer outer axis are still one run.
        let copy = Copy::new(&[2, 4, 5], &s, &s, 20, 0);
        assert_eq!((copy.run, copy.outer.len()), (40, 0));
        // The target is filled in order though the source is cropped.
        let copy = Copy::new(&[3, 4, 2], &s, &strides(&[3, 4, 2]), 1, 0);
        assert_eq!(copy.run, 2);
        assert!(copy.fills_consecutive_cells());
        assert!(!Copy::new(&[3, 4, 2], &strides(&[3, 4, 2]), &s, 0, 0).fills_consecutive_cells());
        // No axes: one cell.
        let copy = Copy::new(&[], &[], &[], 7, 0);
        let mut runs = vec![];
        copy.runs(|f, t, n| {
            runs.push((f, t, n));
            Ok(())
        })
        .unwrap();
        assert_eq!(runs, vec![(7, 0, 1)]);
    }

    proptest! {
        #[test]
        fn copies_what_a_loop_over_cells_copies(
            axes in prop::collection::vec((1usize..5, 0usize..3, 0usize..3, 0usize..3, 0usize..3), 0..5)
        ) {
            // (box, source before, source after, target before, target after) along each axis
            let shape: Vec<_> = axes.iter().map(|a| a.0).collect();
            let source: Vec<_> = axes.iter().map(|a| a.0 + a.1 + a.2).collect();
            let target: Vec<_> = axes.iter().map(|a| a.0 + a.3 + a.4).collect();
            let (fs, ts) = (strides(&source), strides(&target));
            let from = axes.iter().zip(&fs).map(|(a, s)| a.1 * s).sum();
            let to = axes.iter().zip(&ts).map(|(a, s)| a.3 * s).sum();
            let mut want = vec![usize::MAX; target.iter().product()];
            for cell in 0..shape.iter().product::<usize>() {
                let (mut rest, mut f, mut t) = (cell, from, to);
                for d in (0..shape.len()).rev() {
                    f += rest % shape[d] * fs[d];
                    t += rest % shape[d] * ts[d];
                    rest /= shape[d];
                }
                want[t] = f;
            }
            let mut got = vec![usize::MAX; want.len()];
            let copy = Copy::new(&shape, &fs, &ts, from, to);
            let mut order = Vec::new();
            copy.runs(|f, t, n| {
                for i in 0..n { got[t + i] = f + i; order.push(t + i); }
                Ok(())
            }).unwrap();
            prop_assert_eq!(got, want);
            prop_assert_eq!(order.len(), copy.cells());
            prop_assert_eq!(copy.fills_consecutive_cells(), order.windows(2).all(|w| w[0] + 1 == w[1]));
        }
    }
}
