//! Runs of cells along rows of a grid: what a rasterised shape is.

/// Cells of one row that follow each other, of one weight. Numbers are in rising order of coordinates, or positions, as it is said.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct CellRun {
    /// Number along y.
    pub row: u32,
    /// First number along x.
    pub from: u32,
    /// One after the last.
    pub to: u32,
    /// How much of each cell, 0 to 1.
    pub weight: f64,
}

/// The union of runs of weight 1: sorted by row and column, without overlap.
pub(crate) fn union(mut runs: Vec<CellRun>) -> Vec<CellRun> {
    runs.sort_unstable_by_key(|r| (r.row, r.from));
    let mut joined: Vec<CellRun> = Vec::with_capacity(runs.len());
    for run in runs {
        match joined.last_mut() {
            Some(last) if last.row == run.row && run.from <= last.to => last.to = last.to.max(run.to),
            _ => joined.push(run),
        }
    }
    joined
}

/// The cells of `runs` with the weights of `weights` (both sorted, without overlap); those that have none there weigh nothing.
pub(crate) fn weighted(runs: &[CellRun], weights: &[CellRun]) -> Vec<CellRun> {
    let mut found = Vec::with_capacity(runs.len());
    for run in runs {
        let mut at = run.from;
        let first = weights.partition_point(|w| (w.row, w.to) <= (run.row, run.from));
        for w in weights[first..].iter().take_while(|w| w.row == run.row && w.from < run.to) {
            let (from, to) = (w.from.max(run.from), w.to.min(run.to));
            if at < from {
                found.push(CellRun { from: at, to: from, weight: 0.0, ..*run });
            }
            found.push(CellRun { from, to, weight: w.weight, ..*run });
            at = to;
        }
        if at < run.to {
            found.push(CellRun { from: at, weight: 0.0, ..*run });
        }
    }
    found
}

/// The run in which a cell lies, of runs that are sorted and do not overlap.
pub(crate) fn find(runs: &[CellRun], row: u32, column: u32) -> Option<&CellRun> {
    let at = runs.partition_point(|r| (r.row, r.to) <= (row, column));
    runs.get(at).filter(|r| r.row == row && r.from <= column)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(row: u32, from: u32, to: u32, weight: f64) -> CellRun {
        CellRun { row, from, to, weight }
    }

    #[test]
    fn runs_are_joined_weighed_and_found() {
        let joined = union(vec![run(1, 5, 9, 1.0), run(0, 2, 4, 1.0), run(1, 0, 5, 1.0), run(1, 12, 13, 1.0)]);
        assert_eq!(joined, [run(0, 2, 4, 1.0), run(1, 0, 9, 1.0), run(1, 12, 13, 1.0)]);
        let weights = [run(0, 0, 3, 0.5), run(1, 2, 4, 0.25), run(1, 4, 7, 1.0), run(1, 12, 20, 0.75)];
        let expected = [
            run(0, 2, 3, 0.5),
            run(0, 3, 4, 0.0),
            run(1, 0, 2, 0.0),
            run(1, 2, 4, 0.25),
            run(1, 4, 7, 1.0),
            run(1, 7, 9, 0.0),
            run(1, 12, 13, 0.75),
        ];
        assert_eq!(weighted(&joined, &weights), expected);
        assert_eq!(find(&joined, 1, 8), Some(&run(1, 0, 9, 1.0)));
        assert_eq!((find(&joined, 1, 9), find(&joined, 0, 1), find(&joined, 2, 0)), (None, None, None));
    }
}
