//! Pieces of a variable side by side: which cells of which granule fill which cells of the cube, and what happens where two
//! granules have the same cells.

use std::cmp::Reverse;
use std::ops::Range;

use super::merge::Run;
use crate::array::{Axis, Extent};
use crate::catalog::{Overlap, Piece};
use crate::{Error, Result};

/// One granule's part of a variable, on its way to pieces.
#[derive(Debug, Clone)]
pub struct Placed<'a> {
    /// The file.
    pub file: &'a str,
    /// Position of the granule among the sources.
    pub order: usize,
    /// Modification time, microseconds since 1970.
    pub modified: i64,
    /// Where its cells lie, one list of runs an axis of the variable.
    pub runs: Vec<&'a [Run]>,
    /// The piece, but for `extent` and `offset`.
    pub piece: Piece,
}

impl Placed<'_> {
    /// One piece for each combination of runs.
    fn pieces(&self) -> Vec<Piece> {
        let mut boxes: Vec<(Vec<Range<u64>>, Vec<u64>)> = vec![(Vec::new(), Vec::new())];
        for runs in &self.runs {
            boxes = boxes
                .into_iter()
                .flat_map(|(ranges, offset)| {
                    runs.iter().map(move |run| {
                        let range = run.to..run.to + run.length;
                        ([ranges.as_slice(), &[range]].concat(), [offset.as_slice(), &[run.from]].concat())
                    })
                })
                .collect();
        }
        boxes.into_iter().map(|(ranges, offset)| Piece { extent: Extent::new(ranges), offset, ..self.piece.clone() }).collect()
    }
}

/// The pieces of a variable on `axes`. Where two granules have the same cells, `overlap` says what happens; granules without
/// any axis in common with the others (scalars, masks that every file repeats) are not seen here twice.
pub fn pieces(mut placed: Vec<Placed>, axes: &[&Axis], overlap: Overlap) -> Result<Vec<Piece>> {
    let mut boxes: Vec<(usize, Piece)> = placed.iter().enumerate().flat_map(|(i, p)| p.pieces().into_iter().map(move |b| (i, b))).collect();
    boxes.retain(|(_, piece)| !piece.extent.is_empty());
    let Some((a, b, shared)) = first_overlap(&mut boxes) else {
        return Ok(boxes.into_iter().map(|(_, piece)| piece).collect());
    };
    if overlap == Overlap::Error {
        let (a, b) = (a.min(b), a.max(b));
        let (Some(first), Some(second)) = (placed.get(a), placed.get(b)) else {
            return Err(Error::Internal("a piece of no granule".into()));
        };
        // The axis on which the two do not simply agree says most: where one of them ends, or else the first.
        let axis = (0..axes.len()).find(|&d| first.runs.get(d) != second.runs.get(d)).unwrap_or(0);
        let at = shared.ranges().get(axis).map_or(0, |r| r.start);
        return Err(Error::Grid {
            object: second.file.to_owned(),
            axis: axes.get(axis).map_or_else(String::new, |a| a.name.clone()),
            what: format!(
                "{} is also in {}; OVERLAP NEWEST or OVERLAP FIRST says which of them counts",
                axes.get(axis).map_or_else(|| "the same cell".to_owned(), |a| a.coordinates.display(at as usize)),
                first.file
            ),
        });
    }
    match overlap {
        Overlap::Newest => placed.sort_by_key(|p| (Reverse(p.modified), Reverse(p.order))),
        _ => placed.sort_by_key(|p| p.order),
    }
    let mut accepted = Accepted::default();
    for p in &placed {
        for piece in p.pieces() {
            accepted.add(piece);
        }
    }
    Ok(accepted.pieces)
}

/// Two granules that have a cell in common, and their common cells. Sorts by origin.
fn first_overlap(boxes: &mut [(usize, Piece)]) -> Option<(usize, usize, Extent)> {
    boxes.sort_by_cached_key(|(_, piece)| piece.extent.origin());
    let first = |piece: &Piece| piece.extent.ranges().first().cloned().unwrap_or(0..1);
    for (i, (a, piece)) in boxes.iter().enumerate() {
        let end = first(piece).end;
        let near =
            boxes.iter().skip(i + 1).take_while(|(_, other)| first(other).start < end).filter(|(_, o)| o.extent.meets(&piece.extent));
        if let Some((b, shared)) = near.into_iter().find_map(|(b, other)| Some((*b, piece.extent.intersection(&other.extent)?))) {
            return Some((*a, b, shared));
        }
    }
    None
}

/// Pieces in order of their right to a cell; later ones get what is left.
#[derive(Default)]
struct Accepted {
    pieces: Vec<Piece>,
    /// Starts along the first axis, to look only at pieces nearby.
    by_start: std::collections::BTreeMap<u64, Vec<usize>>,
    reach: u64,
}

impl Accepted {
    fn add(&mut self, piece: Piece) {
        let first = piece.extent.ranges().first().cloned().unwrap_or(0..1);
        let near: Vec<usize> =
            self.by_start.range(first.start.saturating_sub(self.reach)..first.end).flat_map(|(_, pieces)| pieces.iter().copied()).collect();
        let mut left = vec![piece];
        for taken in near.into_iter().filter_map(|i| self.pieces.get(i)) {
            left = left.into_iter().flat_map(|piece| without(piece, &taken.extent)).collect();
        }
        for piece in left {
            let first = piece.extent.ranges().first().cloned().unwrap_or(0..1);
            self.reach = self.reach.max(first.end - first.start);
            self.by_start.entry(first.start).or_default().push(self.pieces.len());
            self.pieces.push(piece);
        }
    }
}

/// The parts of a piece outside `taken`: at most two an axis.
fn without(mut piece: Piece, taken: &Extent) -> Vec<Piece> {
    let Some(shared) = piece.extent.intersection(taken) else { return vec![piece] };
    let mut left = Vec::new();
    for (axis, shared) in shared.ranges().iter().enumerate() {
        let whole = piece.extent.range(axis);
        if whole.start < shared.start {
            left.push(part(&piece, axis, whole.start..shared.start));
        }
        if shared.end < whole.end {
            left.push(part(&piece, axis, shared.end..whole.end));
        }
        piece = part(&piece, axis, shared.clone());
    }
    left
}

/// The part of a piece that lies in `range` along one axis.
fn part(piece: &Piece, axis: usize, range: Range<u64>) -> Piece {
    let mut ranges = piece.extent.ranges().to_vec();
    let mut offset = piece.offset.clone();
    if let (Some(slot), Some(offset)) = (ranges.get_mut(axis), offset.get_mut(axis)) {
        *offset += range.start - slot.start;
        *slot = range;
    }
    Piece { extent: Extent::new(ranges), offset, ..piece.clone() }
}
