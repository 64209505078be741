//! Eight booleans a byte, the first in the highest bit, behind a byte that tells how many bits the last byte does not use:
//! numcodecs' `packbits`.

use super::damaged;
use crate::Result;

/// Stored bytes for `cells` booleans of one byte.
pub(super) fn encoded_len(cells: usize) -> usize {
    1 + cells.div_ceil(8)
}

/// Writes one byte, 0 or 1, for each cell.
pub(super) fn undo(input: &[u8], output: &mut [u8]) -> Result<()> {
    let cells = output.len();
    let told = input.split_first().and_then(|(&unused, packed)| (packed.len() * 8).checked_sub(unused.into()).map(|n| (n, packed)));
    let (_, packed) = told.filter(|(n, _)| *n == cells).ok_or_else(|| {
        damaged(format!("packbits: expected {cells} booleans, found {} bytes of which the first is {:?}", input.len(), input.first()))
    })?;
    for (out, byte) in output.chunks_mut(8).zip(packed) {
        out.iter_mut().enumerate().for_each(|(i, cell)| *cell = (byte >> (7 - i)) & 1);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_become_cells() {
        let mut out = [9; 10];
        undo(&[6, 0b1010_0001, 0b1100_0000], &mut out).unwrap();
        assert_eq!(out, [1, 0, 1, 0, 0, 0, 0, 1, 1, 1]);
        assert!(undo(&[5, 1, 1], &mut out).is_err());
        assert!(undo(&[], &mut out).is_err());
    }
}
