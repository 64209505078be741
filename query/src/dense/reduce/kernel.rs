//! From cells to groups, a run at a time: cells that follow each other in memory and go to one group, or to groups that
//! follow each other, are handled by one tight loop.

use datafusion::arrow::buffer::BooleanBuffer;

/// Where the cells of one run go.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Target<'a> {
    /// All to one group.
    One(usize),
    /// Cell i to group `first + i`.
    Row(usize),
    /// Cell i to group `base + numbers[i]`.
    Scatter(usize, &'a [u32]),
}

/// How the cells of a tile (C order) map to groups: rows of equal length, one base group a row.
#[derive(Debug, Clone)]
pub(crate) struct CellMap {
    row: usize,
    bases: Vec<u32>,
    inner: Inner,
}

#[derive(Debug, Clone)]
enum Inner {
    Same,
    Consecutive,
    Numbers(Vec<u32>),
    /// Runs of some cells only, at each of several places; and numbers of groups along a row.
    Runs(Vec<(usize, u32)>, Vec<RunTo>, Vec<u32>),
}

/// Cells that follow each other in memory, and where they go.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct RunTo {
    /// The first cell.
    pub start: usize,
    /// Cells.
    pub len: u32,
    /// The group of all of them, or what is added to the number of each.
    pub base: u32,
    /// Where the numbers of their groups stand in a list; `None`: all go to one.
    pub along: Option<u32>,
}

impl RunTo {
    /// All cells to one group.
    pub fn all(start: usize, len: u32, group: u32) -> RunTo {
        RunTo { start, len, base: group, along: None }
    }

    /// Cell i to group `base` and number `first + i` of a list.
    pub fn each(start: usize, len: u32, base: u32, first: u32) -> RunTo {
        RunTo { start, len, base, along: Some(first) }
    }

    fn target<'a>(&self, more: u32, along: &'a [u32], from: usize, to: usize) -> Target<'a> {
        let base = (self.base + more) as usize;
        match self.along {
            None => Target::One(base),
            Some(first) => Target::Scatter(base, &along[first as usize + from..first as usize + to]),
        }
    }
}

impl CellMap {
    /// From what each position along each axis (slowest first) adds to the number of the group.
    pub fn new(contributions: &[Vec<u32>]) -> CellMap {
        let mut axes = contributions.len();
        let mut row = 1usize;
        let mut offset = 0u32;
        let mut inner = Inner::Same;
        while axes > 0 {
            let c = &contributions[axes - 1];
            let Some(&first) = c.first() else { return CellMap { row: 0, bases: vec![], inner } };
            let same = c.iter().all(|&v| v == first);
            let steps = |by: usize| c.iter().enumerate().all(|(i, &v)| v as usize == first as usize + i * by);
            let (next, low) = match inner {
                Inner::Same if same => (Inner::Same, first),
                Inner::Same if row == 1 && steps(1) => (Inner::Consecutive, first),
                Inner::Same if row == 1 => {
                    let low = c.iter().copied().min().unwrap_or(0);
                    (Inner::Numbers(c.iter().map(|v| v - low).collect()), low)
                }
                Inner::Consecutive if steps(row) => (Inner::Consecutive, first),
                _ => break,
            };
            inner = next;
            offset += low;
            row *= c.len();
            axes -= 1;
        }
        let mut bases = vec![offset];
        for c in &contributions[..axes] {
            bases = bases.iter().flat_map(|&b| c.iter().map(move |&v| b + v)).collect();
        }
        CellMap { row, bases, inner }
    }

    /// Row i of a batch goes to group `groups[i]`.
    pub fn of_groups(groups: &[usize]) -> CellMap {
        CellMap { row: groups.len(), bases: vec![0], inner: Inner::Numbers(groups.iter().map(|&g| g as u32).collect()) }
    }

    /// Some cells only: `runs`, at each of the places (a cell, and what is added to the groups) `outer`. A cell may be in several.
    pub fn of_runs(outer: Vec<(usize, u32)>, runs: Vec<RunTo>, along: Vec<u32>) -> CellMap {
        CellMap { row: 0, bases: vec![], inner: Inner::Runs(outer, runs, along) }
    }

    /// All rows go to group 0.
    pub fn all_to_one(rows: usize) -> CellMap {
        CellMap { row: rows, bases: vec![0], inner: Inner::Same }
    }

    /// Row i goes to group i.
    pub fn one_each(rows: usize) -> CellMap {
        CellMap { row: rows, bases: vec![0], inner: Inner::Consecutive }
    }

    /// Calls `f(first cell, cells, target)` for every run of cells that are chosen (all when there is no mask).
    #[inline]
    pub fn for_each_run(&self, chosen: Option<&BooleanBuffer>, mut f: impl FnMut(usize, usize, Target<'_>)) {
        if let Inner::Runs(outer, runs, along) = &self.inner {
            for &(offset, more) in outer {
                for run in runs {
                    let (start, n) = (offset + run.start, run.len as usize);
                    match chosen {
                        None => f(start, n, run.target(more, along, 0, n)),
                        Some(mask) => {
                            for (from, to) in mask.slice(start, n).set_slices() {
                                f(start + from, to - from, run.target(more, along, from, to));
                            }
                        }
                    }
                }
            }
            return;
        }
        for (r, &base) in self.bases.iter().enumerate() {
            let start = r * self.row;
            match chosen {
                None => f(start, self.row, self.target(base, 0, self.row)),
                Some(mask) => {
                    let mask = mask.slice(start, self.row);
                    for (from, to) in mask.set_slices() {
                        f(start + from, to - from, self.target(base, from, to));
                    }
                }
            }
        }
    }

    /// Every chosen cell and its group, for tests.
    #[cfg(test)]
    pub fn groups(&self, chosen: Option<&BooleanBuffer>) -> Vec<(usize, usize)> {
        let mut found = vec![];
        self.for_each_run(chosen, |start, n, target| {
            found.extend((0..n).map(|i| {
                let group = match target {
                    Target::One(g) => g,
                    Target::Row(g) => g + i,
                    Target::Scatter(g, numbers) => g + numbers[i] as usize,
                };
                (start + i, group)
            }));
        });
        found
    }

    #[inline]
    fn target(&self, base: u32, from: usize, to: usize) -> Target<'_> {
        match &self.inner {
            Inner::Same | Inner::Runs(..) => Target::One(base as usize),
            Inner::Consecutive => Target::Row(base as usize + from),
            Inner::Numbers(numbers) => Target::Scatter(base as usize, &numbers[from..to]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(contributions: &[Vec<u32>], mask: Option<&BooleanBuffer>) -> Vec<(usize, usize)> {
        CellMap::new(contributions).groups(mask)
    }

    fn naive(contributions: &[Vec<u32>]) -> Vec<(usize, usize)> {
        let mut all = vec![0u32];
        for c in contributions {
            all = all.iter().flat_map(|&b| c.iter().map(move |&v| b + v)).collect();
        }
        all.into_iter().enumerate().map(|(i, g)| (i, g as usize)).collect()
    }

    #[test]
    fn every_shape_of_map_agrees_with_the_sum() {
        let cases: Vec<Vec<Vec<u32>>> = vec![
            vec![vec![0, 0, 0], vec![0, 4, 8], vec![0, 1, 2, 3]],
            vec![vec![0, 1, 2], vec![0, 0], vec![0, 0, 0]],
            vec![vec![0, 0], vec![0, 3, 6], vec![0, 1, 2]],
            vec![vec![5, 3, 5], vec![2, 1, 0, 2]],
            vec![vec![0, 3], vec![0, 0], vec![1, 0, 2]],
            vec![vec![0, 6], vec![0, 2, 4], vec![0, 0]],
            vec![vec![7]],
            vec![],
        ];
        for c in cases {
            assert_eq!(groups(&c, None), naive(&c), "{c:?}");
            let cells = naive(&c).len();
            let mask = BooleanBuffer::collect_bool(cells, |i| i % 3 != 1);
            let chosen: Vec<_> = naive(&c).into_iter().filter(|(i, _)| i % 3 != 1).collect();
            assert_eq!(groups(&c, Some(&mask)), chosen, "{c:?} masked");
        }
    }
}
