//! All geometries of a table as runs of cells, by row of the grid: each geometry is rasterised once, whatever is asked of it.

use std::ops::Range;

use datafusion::arrow::array::{Array, ArrayRef};
use datafusion::common::resources_err;
use datafusion::error::Result;

use super::bound::{Bound, Rule};
use super::functions::geometry_at;
use super::grid::Along;
use super::runs::{CellRun, union, weighted};

/// Runs of one table at most: 24 bytes each.
const RUNS: usize = 1 << 26;

/// Cells of a row that belong to a geometry.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct ZoneRun {
    /// Row of the table of geometries.
    pub zone: u32,
    /// First cell along x.
    pub from: u32,
    /// One after the last.
    pub to: u32,
    /// How much of each cell the geometry covers; 1 where nobody asked.
    pub weight: f64,
}

/// How cells are numbered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Numbering {
    /// In the order of rising coordinates.
    Rising,
    /// As the view has them.
    Positions,
}

/// The runs of all geometries.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Zones {
    runs: Vec<ZoneRun>,
    /// By row, where its runs begin; one more at the end.
    starts: Vec<usize>,
    /// Pairs of a cell and a geometry.
    pub cells: u64,
    /// Geometries that have a cell.
    pub met: usize,
}

impl Zones {
    /// The cells of each of `geometries` (type Binary or Utf8) by a rule; `weigh`: with fractions. Without them weights are 1.
    pub fn new(bound: &Bound, rule: Rule, weigh: bool, geometries: &ArrayRef, numbering: Numbering) -> Result<Zones> {
        let rows = bound.grid.y.centres.len();
        let mut all: Vec<(u32, ZoneRun)> = Vec::new();
        let (mut cells, mut met) = (0u64, 0);
        for zone in 0..geometries.len() {
            let Some(geometry) = geometry_at(geometries, zone)? else { continue };
            let found = bound.raster(rule, &geometry)?;
            let runs: Vec<CellRun> = match (rule, weigh) {
                (Rule::Covers, true) => weighted(&found, &bound.raster(Rule::Coverage, &geometry)?),
                (Rule::Covers, false) | (_, true) => found.as_ref().clone(),
                (_, false) => union(found.iter().map(|r| CellRun { weight: 1.0, ..*r }).collect()),
            };
            met += usize::from(!runs.is_empty());
            for run in runs {
                cells += u64::from(run.to - run.from);
                let zone = zone as u32;
                match numbering {
                    Numbering::Rising => all.push((run.row, ZoneRun { zone, from: run.from, to: run.to, weight: run.weight })),
                    Numbering::Positions => {
                        let row = bound.grid.y.positions.get(run.row as usize).copied().unwrap_or(0);
                        let seen = seen(&bound.grid.x, run.from..run.to);
                        all.extend(seen.into_iter().map(|r| (row, ZoneRun { zone, from: r.start, to: r.end, weight: run.weight })));
                    }
                }
            }
            if all.len() > RUNS {
                return resources_err!("the geometries make more than {RUNS} runs of cells; ask for fewer of them at a time");
            }
        }
        all.sort_by_key(|(row, run)| (*row, run.from));
        let mut starts = vec![0usize; rows + 1];
        all.iter().for_each(|(row, _)| starts[*row as usize + 1] += 1);
        (0..rows).for_each(|r| starts[r + 1] += starts[r]);
        Ok(Zones { runs: all.into_iter().map(|(_, run)| run).collect(), starts, cells, met })
    }

    /// The runs of a row that meet some cells.
    pub fn row(&self, row: usize, columns: Range<u32>) -> impl Iterator<Item = &ZoneRun> {
        let all = match (self.starts.get(row), self.starts.get(row + 1)) {
            (Some(&from), Some(&to)) => self.runs.get(from..to).unwrap_or_default(),
            _ => &[],
        };
        let before = all.partition_point(|r| r.from < columns.end);
        all[..before].iter().filter(move |r| r.to > columns.start)
    }

    /// True when a cell of a box belongs to some geometry.
    pub fn meets(&self, rows: Range<u64>, columns: Range<u64>) -> bool {
        rows.into_iter().any(|row| self.row(row as usize, columns.start as u32..columns.end as u32).next().is_some())
    }

    /// The rows and columns that hold all cells; `None` where there is none.
    pub fn extent(&self) -> Option<(Range<u64>, Range<u64>)> {
        let occupied = |r: &usize| self.starts[*r] < self.starts[*r + 1];
        let rows = self.starts.len().saturating_sub(1);
        let first = (0..rows).find(occupied)?;
        let last = (0..rows).rev().find(occupied)?;
        let from = self.runs.iter().map(|r| r.from).min()?;
        let to = self.runs.iter().map(|r| r.to).max()?;
        Some((first as u64..last as u64 + 1, u64::from(from)..u64::from(to)))
    }

    /// The same in a view that begins at this row and column.
    pub fn moved(mut self, rows: Range<u64>, column: u64) -> Zones {
        let base = self.starts.get(rows.start as usize).copied().unwrap_or(0);
        self.starts = self.starts.get(rows.start as usize..=rows.end as usize).unwrap_or_default().iter().map(|s| s - base).collect();
        for run in &mut self.runs {
            run.from -= column as u32;
            run.to -= column as u32;
        }
        self
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.runs.capacity() * size_of::<ZoneRun>() + self.starts.capacity() * size_of::<usize>()
    }
}

/// Cells in rising order as runs of positions.
fn seen(along: &Along, cells: Range<u32>) -> Vec<Range<u32>> {
    let mut positions: Vec<u32> = along.positions.get(cells.start as usize..cells.end as usize).unwrap_or_default().to_vec();
    positions.sort_unstable();
    let mut runs: Vec<Range<u32>> = Vec::new();
    for p in positions {
        match runs.last_mut() {
            Some(last) if last.end == p => last.end += 1,
            _ => runs.push(p..p + 1),
        }
    }
    runs
}
