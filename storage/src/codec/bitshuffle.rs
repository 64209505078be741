//! Bitshuffle: bits of equal significance together. As Blosc applies it to a block, and as HDF5's filter 32008 frames it.

use serde::{Deserialize, Serialize};

use super::{damaged, lz4, zstd};
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
    if inner == BitshuffleInner::None {
        let block = if block == 0 { default } else { block };
        let whole = output.get_mut(..input.len()).ok_or_else(|| damaged("bitshuffle: more bytes than expected"))?;
        return blocks(whole, element, block, input, |rest, out| {
            let (bits, rest) = rest.split_at_checked(out.len()).ok_or_else(|| damaged("bitshuffle: the stored bytes end early"))?;
            untranspose(bits, out, element);
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
        untranspose(&bits, out, element);
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
/// Both have one length, of a multiple of eight elements.
pub(super) fn untranspose(input: &[u8], output: &mut [u8], element: usize) {
    let row = input.len() / element / GROUP;
    if row == 0 {
        return;
    }
    for (byte, planes) in input.chunks_exact(row * GROUP).enumerate() {
        let mut rows = planes.chunks_exact(row);
        let mut next = || rows.next().unwrap_or_default();
        let [a, b, c, d, e, f, g, h]: [&[u8]; 8] = std::array::from_fn(|_| next());
        let columns = a.iter().zip(b).zip(c).zip(d).zip(e).zip(f).zip(g).zip(h);
        for (out, (((((((a, b), c), d), e), f), g), h)) in output.chunks_exact_mut(GROUP * element).zip(columns) {
            let bits = transpose_8x8(u64::from_le_bytes([*a, *b, *c, *d, *e, *f, *g, *h]));
            for (out, bits) in out.iter_mut().skip(byte).step_by(element).zip(bits.to_le_bytes()) {
                *out = bits;
            }
        }
    }
}

/// Bit j of byte i becomes bit i of byte j (Hacker's Delight, 7-3).
fn transpose_8x8(x: u64) -> u64 {
    let t = (x ^ (x >> 7)) & 0x00aa_00aa_00aa_00aa;
    let x = x ^ t ^ (t << 7);
    let t = (x ^ (x >> 14)) & 0x0000_cccc_0000_cccc;
    let x = x ^ t ^ (t << 14);
    let t = (x ^ (x >> 28)) & 0x0000_0000_f0f0_f0f0;
    x ^ t ^ (t << 28)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_of_every_element_size_come_back() {
        for element in [1, 2, 3, 4, 8, 12] {
            let data: Vec<u8> = (0..40 * element).map(|i| (i * 131 + i / 7) as u8).collect();
            let bit = |e: usize, b: usize| (data[e * element + b / 8] >> (b % 8)) & 1;
            let mut planes = vec![0; data.len()];
            for b in 0..element * 8 {
                (0..40).for_each(|e| planes[b * 5 + e / 8] |= bit(e, b) << (e % 8));
            }
            let mut out = vec![0; data.len()];
            untranspose(&planes, &mut out, element);
            assert_eq!(out, data, "element {element}");
        }
    }
}
