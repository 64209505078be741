//! Bitshuffle: bits of equal significance together. As Blosc applies it to a block, and as HDF5's filter 32008 frames it.

use serde::{Deserialize, Serialize};

use super::{damaged, lz4, shuffle, zstd};
use crate::Result;

/// The compressor inside HDF5's bitshuffle filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum BitshuffleInner {
    /// Bits are turned around, nothing is compressed.
    None,
    /// LZ4 blocks (filter option 2).
    Lz4,
    /// Zstandard frames (filter option 3).
    Zstd,
}

/// Elements come in eights; what is left over stands unshuffled at the end.
const GROUP: usize = 8;

/// Undoes HDF5's filter: `element` bytes an element, `block` elements a block (0: the library's default, or what the header
/// of compressed chunks tells). Gives the number of bytes written.
pub(super) fn undo(input: &[u8], output: &mut [u8], element: usize, block: usize, inner: BitshuffleInner) -> Result<usize> {
    if element == 0 {
        return Err(damaged("bitshuffle: elements of 0 bytes"));
    }
    let default = (8192 / element / GROUP * GROUP).max(128);
    let mut spare = Vec::new();
    if inner == BitshuffleInner::None {
        let block = if block == 0 { default } else { block };
        let whole = output.get_mut(..input.len()).ok_or_else(|| damaged("bitshuffle: more bytes than expected"))?;
        return blocks(whole, element, block, input, |rest, out| {
            let (bits, rest) = rest.split_at_checked(out.len()).ok_or_else(|| damaged("bitshuffle: the stored bytes end early"))?;
            untranspose(bits, out, element, &mut spare);
            Ok(rest)
        });
    }
    let short = || damaged("bitshuffle: the stored bytes end within a header");
    let (told, rest) = input.split_first_chunk::<8>().ok_or_else(short)?;
    let (size, rest) = rest.split_first_chunk::<4>().ok_or_else(short)?;
    let (told, size, expected) = (u64::from_be_bytes(*told), u32::from_be_bytes(*size) as usize, output.len());
    let whole = usize::try_from(told).ok().and_then(|n| output.get_mut(..n));
    let whole = whole.ok_or_else(|| damaged(format!("bitshuffle: expected {expected} bytes, its header tells of {told}")))?;
    let mut bits = Vec::new();
    blocks(whole, element, size / element, rest, |rest, out| {
        let (stored, rest) = rest.split_first_chunk::<4>().ok_or_else(short)?;
        let stored = u32::from_be_bytes(*stored) as usize;
        let bytes = rest.split_at_checked(stored);
        let (bytes, rest) =
            bytes.ok_or_else(|| damaged(format!("bitshuffle: a block of {stored} stored bytes, {} are left", rest.len())))?;
        // No block is larger than the chunk.
        bits.resize(out.len(), 0);
        let found = if inner == BitshuffleInner::Lz4 { lz4::block(bytes, &mut bits)? } else { zstd::undo(bytes, &mut bits)? };
        if found != out.len() {
            return Err(damaged(format!("bitshuffle: a block of {} bytes expected, found {found}", out.len())));
        }
        untranspose(&bits, out, element, &mut spare);
        Ok(rest)
    })
}

/// Runs `one` on each block of `output`, which takes its stored bytes off the rest; then copies the elements left over.
fn blocks<'a>(
    output: &mut [u8],
    element: usize,
    block: usize,
    mut rest: &'a [u8],
    mut one: impl FnMut(&'a [u8], &mut [u8]) -> Result<&'a [u8]>,
) -> Result<usize> {
    let length = output.len();
    if block == 0 || !block.is_multiple_of(GROUP) {
        return Err(damaged(format!("bitshuffle: blocks of {block} elements")));
    }
    let whole = length / element / GROUP * GROUP * element;
    let (shuffled, left) = output.split_at_mut(whole);
    for out in shuffled.chunks_mut(block.saturating_mul(element)) {
        rest = one(rest, out)?;
    }
    let plain = rest.get(..left.len()).ok_or_else(|| damaged("bitshuffle: the stored bytes end before the last elements"))?;
    left.copy_from_slice(plain);
    Ok(length)
}

/// Puts the bits of a block of elements together again: `input` holds, for each bit of an element, that bit of all elements.
/// Both have one length, of a multiple of eight elements. `spare` is room that may be used again.
pub(super) fn untranspose(input: &[u8], output: &mut [u8], element: usize, spare: &mut Vec<u8>) {
    let row = input.len() / element / GROUP;
    if row == 0 {
        return;
    }
    if element == 1 {
        return plane(input, output, row);
    }
    // First bits to bytes, then, as the shuffle filter, bytes to elements.
    spare.resize(input.len(), 0);
    for (bits, bytes) in input.chunks_exact(row * GROUP).zip(spare.chunks_exact_mut(row * GROUP)) {
        plane(bits, bytes, row);
    }
    shuffle::undo(spare, output, element);
}

/// Eight rows of bits, of `row` bytes each, to bytes: bit j of byte i of row k becomes bit k of byte 8 * i + j.
fn plane(bits: &[u8], bytes: &mut [u8], row: usize) {
    let mut rows = bits.chunks_exact(row);
    let mut next = || rows.next().unwrap_or_default();
    let [a, b, c, d, e, f, g, h]: [&[u8]; 8] = std::array::from_fn(|_| next());
    let columns = a.iter().zip(b).zip(c).zip(d).zip(e).zip(f).zip(g).zip(h);
    let (words, rest) = bytes.split_at_mut(row / 8 * 64);
    for (i, out) in words.as_chunks_mut::<64>().0.iter_mut().enumerate() {
        let word = |row: &[u8]| row.get(8 * i..).and_then(|r| r.first_chunk()).map_or(0, |w| u64::from_le_bytes(*w));
        let turned = turn([word(a), word(b), word(c), word(d), word(e), word(f), word(g), word(h)]);
        out.as_chunks_mut::<8>().0.iter_mut().zip(turned).for_each(|(out, word)| *out = word.to_le_bytes());
    }
    for (out, (((((((a, b), c), d), e), f), g), h)) in rest.as_chunks_mut::<8>().0.iter_mut().zip(columns.skip(row / 8 * 8)) {
        let word = turn([*a, *b, *c, *d, *e, *f, *g, *h].map(u64::from))[0];
        *out = word.to_le_bytes();
    }
}

/// Eight bytes of each of eight rows: bit j of byte i of row k becomes bit k of byte j of row i.
fn turn(mut rows: [u64; 8]) -> [u64; 8] {
    // Hacker's Delight, 7-3: squares of 1, 2 and 4 bits change places across the diagonal; then those of 1, 2 and 4 bytes.
    swap::<1>(&mut rows, 1, 0x5555_5555_5555_5555);
    swap::<2>(&mut rows, 2, 0x3333_3333_3333_3333);
    swap::<4>(&mut rows, 4, 0x0f0f_0f0f_0f0f_0f0f);
    swap::<1>(&mut rows, 8, 0x00ff_00ff_00ff_00ff);
    swap::<2>(&mut rows, 16, 0x0000_ffff_0000_ffff);
    swap::<4>(&mut rows, 32, 0x0000_0000_ffff_ffff);
    rows
}

#[inline(always)]
fn swap<const DISTANCE: usize>(rows: &mut [u64; 8], shift: u32, mask: u64) {
    for i in (0..8).filter(|i| i & DISTANCE == 0) {
        let swap = ((rows[i] >> shift) ^ rows[i + DISTANCE]) & mask;
        rows[i + DISTANCE] ^= swap;
        rows[i] ^= swap << shift;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_of_every_element_size_come_back() {
        for element in [1, 2, 3, 4, 8, 12] {
            for count in [8, 40, 64, 152] {
                let data: Vec<u8> = (0..count * element).map(|i| (i * 131 + i / 7) as u8).collect();
                let bit = |e: usize, b: usize| (data[e * element + b / 8] >> (b % 8)) & 1;
                let mut planes = vec![0; data.len()];
                for b in 0..element * 8 {
                    (0..count).for_each(|e| planes[b * count / 8 + e / 8] |= bit(e, b) << (e % 8));
                }
                let mut out = vec![0; data.len()];
                untranspose(&planes, &mut out, element, &mut Vec::new());
                assert_eq!(out, data, "{count} elements of {element}");
            }
        }
    }
}
