//! `ANALYZE CUBE`: statistics of every chunk of a cube of which nothing is known yet.

use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};

use super::Reader;
use super::known::KnownChunk;
use crate::Result;
use crate::array::Extent;
use crate::catalog::{Cube, Piece, Progress};

/// Chunks read at once for each CPU thread.
const AHEAD: usize = 2;

/// Chunks looked at together.
const BOX_CHUNKS: u64 = 4096;

/// What `ANALYZE CUBE` did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AnalyzeReport {
    /// Chunks read for their statistics.
    pub chunks: u64,
    /// Chunks of which they were known.
    pub known: u64,
    /// Chunks that have none: of text, of which a cube uses a part only, or that are objects of their own (Zarr).
    pub without: u64,
    /// Stored bytes read.
    pub bytes: u64,
}

impl Reader {
    /// Reads the chunks of a cube of which nothing is known yet, and keeps what they come to.
    pub async fn analyze(&self, cube: &Arc<Cube>, progress: &dyn Progress) -> Result<AnalyzeReport> {
        let mut report = AnalyzeReport::default();
        let mut unknown: Vec<(usize, Vec<Extent>, u64)> = Vec::new();
        for (number, variable) in cube.variables.iter().enumerate() {
            let (mut boxes, mut chunks) = (Vec::new(), 0);
            for extent in variable.pieces.iter().flat_map(|piece| boxes_of(cube, &variable.axes, piece)) {
                let (known, unknown, without) = self.sorted(cube, number, &extent)?;
                report.known += known;
                report.without += without;
                chunks += unknown.len() as u64;
                if !unknown.is_empty() {
                    boxes.push(extent);
                }
            }
            if chunks > 0 {
                unknown.push((number, boxes, chunks));
            }
        }
        progress.start("analysing", unknown.iter().map(|(_, _, chunks)| chunks).sum());
        let done = self.all(cube, unknown, &mut report, progress).await;
        progress.finish();
        // What was found before a failure is kept as well.
        self.keep_statistics()?;
        done.map(|()| report)
    }

    /// Of the chunks of a box: how many are known, those to learn of, and of how many nothing can be known.
    fn sorted(&self, cube: &Cube, number: usize, extent: &Extent) -> Result<(u64, Vec<KnownChunk>, u64)> {
        let text = cube.variables.get(number).is_none_or(|v| v.decoded.is_text());
        let (mut known, mut unknown, mut without) = (0, Vec::new(), 0);
        for chunk in self.known(cube, number, extent)? {
            match chunk.statistics {
                Some(_) => known += 1,
                None if text || !chunk.whole || !self.lasts(&chunk)? => without += 1,
                None => unknown.push(chunk),
            }
        }
        Ok((known, unknown, without))
    }

    async fn all(
        &self,
        cube: &Arc<Cube>,
        unknown: Vec<(usize, Vec<Extent>, u64)>,
        report: &mut AnalyzeReport,
        progress: &dyn Progress,
    ) -> Result<()> {
        let at_once = AHEAD * self.cpu().current_num_threads().max(1);
        for (number, boxes, _) in unknown {
            for extent in boxes {
                let (_, chunks, _) = self.sorted(cube, number, &extent)?;
                let read = futures::stream::iter(chunks).map(|chunk| async move { self.learn(cube, number, &chunk).await });
                let mut read = read.buffer_unordered(at_once);
                while let Some(bytes) = read.try_next().await? {
                    report.chunks += 1;
                    report.bytes += bytes;
                    progress.advance(1);
                }
            }
        }
        Ok(())
    }
}

/// A piece (of a variable on `axes`) as boxes of whole chunks in the cube's axes, each of a few thousand chunks; they are one
/// position long along axes that the variable lacks.
fn boxes_of(cube: &Cube, axes: &[usize], piece: &Piece) -> Vec<Extent> {
    let (mut left, mut found) = (vec![piece.extent.ranges().to_vec()], Vec::new());
    while let Some(ranges) = left.pop() {
        let side = |d: usize| piece.chunk_shape.get(d).copied().unwrap_or(1).max(1);
        let counts: Vec<u64> = ranges.iter().enumerate().map(|(d, r)| (r.end - r.start).div_ceil(side(d))).collect();
        let chunks = counts.iter().fold(1u64, |n, c| n.saturating_mul(*c));
        let longest = (0..counts.len()).max_by_key(|&d| counts.get(d).copied()).filter(|_| chunks > BOX_CHUNKS);
        let cut = longest.and_then(|d| {
            let (range, begin) = (ranges.get(d)?, piece.extent.range(d).start);
            let offset = piece.offset.get(d).copied().unwrap_or(0);
            // At the begin of a chunk, counted from that of the array.
            let middle = range.start + (range.end - range.start) / 2 - begin + offset;
            let at = middle / side(d) * side(d) + begin;
            Some((d, at.checked_sub(offset)?)).filter(|(_, at)| range.start < *at && *at < range.end)
        });
        match cut {
            Some((d, at)) => {
                let (mut low, mut high) = (ranges.clone(), ranges);
                if let (Some(low), Some(high)) = (low.get_mut(d), high.get_mut(d)) {
                    (low.end, high.start) = (at, at);
                }
                left.extend([high, low]);
            }
            None => {
                let along = |axis: usize| match axes.iter().position(|own| *own == axis) {
                    Some(own) => ranges.get(own).cloned().unwrap_or(0..0),
                    None => 0..cube.grid.axes.get(axis).map_or(0, |a| a.len().min(1)),
                };
                found.push(Extent::new((0..cube.grid.axes.len()).map(along).collect()));
            }
        }
    }
    found
}
