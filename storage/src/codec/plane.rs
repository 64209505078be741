//! Coordinates of rotated images: a chunk tells where it begins, its cells follow from there.

use super::damaged;
use crate::Result;

/// Bytes of a chunk: its first row and its first column, little-endian.
pub(crate) const PLACE: usize = 16;

/// Values `origin + (row + 1/2) * down + (column + 1/2) * across` of a chunk with rows of `columns` cells.
pub(super) fn undo(place: &[u8], columns: u32, [origin, down, across]: [f64; 3], output: &mut [u8]) -> Result<()> {
    let number = |at: usize| place.get(at..).and_then(|b| b.first_chunk::<8>()).map(|b| u64::from_le_bytes(*b));
    let (Some(row), Some(column), true) = (number(0), number(8), place.len() == PLACE && columns > 0) else {
        return Err(damaged(format!("plane: the place of a chunk takes {PLACE} bytes, not {}", place.len())));
    };
    for (i, cells) in output.chunks_mut(columns as usize * size_of::<f64>()).enumerate() {
        let begin = origin + ((row + i as u64) as f64 + 0.5) * down;
        for (j, cell) in cells.as_chunks_mut::<8>().0.iter_mut().enumerate() {
            *cell = (begin + ((column + j as u64) as f64 + 0.5) * across).to_le_bytes();
        }
    }
    Ok(())
}
