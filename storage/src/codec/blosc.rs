//! Blosc 1 buffers (c-blosc's README_CHUNK_FORMAT): Zarr's `blosc`, HDF5's filter 32001. Read here, in safe code, so that a
//! damaged buffer cannot reach over its own bytes; the compressors inside are those of the other codecs.

use super::{bitshuffle, blosclz, damaged, deflate, lz4, shuffle, zstd};
use crate::Result;

/// Bytes of a buffer's header.
const HEADER: usize = 16;
/// The version of the buffer format, and of each compressor's format in it.
const VERSION: u8 = 2;

// Flags.
const SHUFFLED: u8 = 1;
const COPIED: u8 = 2;
const BITSHUFFLED: u8 = 4;
const FROM_THE_FUTURE: u8 = 8;
const WHOLE_BLOCKS: u8 = 16;

/// Blocks of elements of up to this many bytes may be compressed byte plane by byte plane ...
const MOST_SPLITS: usize = 16;
/// ... when the planes have at least this many bytes.
const SMALLEST_SPLIT: usize = 128;

/// The decoded length that a buffer's header tells.
fn told(input: &[u8]) -> Result<(&[u8; HEADER], usize)> {
    let head = input.first_chunk::<HEADER>().ok_or_else(|| damaged(format!("blosc: {} bytes are no header", input.len())))?;
    Ok((head, word(head, 4)? as usize))
}

fn word(bytes: &[u8], at: usize) -> Result<u32> {
    let word = bytes.get(at..).and_then(|b| b.first_chunk::<4>());
    word.map(|w| u32::from_le_bytes(*w)).ok_or_else(|| damaged(format!("blosc: the stored bytes end before byte {}", at.saturating_add(4))))
}

/// Decodes into `output`, which must be large enough, and gives the number of bytes written.
pub(super) fn undo(input: &[u8], output: &mut [u8]) -> Result<usize> {
    let (head, length) = told(input)?;
    let expected = output.len();
    let output =
        output.get_mut(..length).ok_or_else(|| damaged(format!("blosc: expected {expected} bytes, its header tells of {length}")))?;
    let [version, _, flags, element, ..] = *head;
    let (block, stored) = (word(head, 8)? as usize, word(head, 12)? as usize);
    if version != VERSION || flags & FROM_THE_FUTURE != 0 {
        return Err(damaged(format!("blosc: a buffer of version {version} with flags {flags:#04x}")));
    }
    let input = input.get(..stored).ok_or_else(|| damaged(format!("blosc: expected {stored} stored bytes, found {}", input.len())))?;
    if output.is_empty() {
        return Ok(0);
    }
    if block == 0 || block > length || element == 0 {
        return Err(damaged(format!("blosc: blocks of {block} bytes, elements of {element}, {length} bytes in all")));
    }
    if flags & COPIED != 0 {
        let copied = input.get(HEADER..).filter(|b| b.len() == length);
        output.copy_from_slice(copied.ok_or_else(|| damaged(format!("blosc: {length} bytes are not stored as they are in {stored}")))?);
        return Ok(length);
    }
    let element = usize::from(element);
    let decompress = inner(flags >> 5)?;
    let (mut planes, mut spare) = (Vec::new(), Vec::new());
    for (number, out) in output.chunks_mut(block).enumerate() {
        let start = word(input, HEADER + 4 * number)? as usize;
        let whole = out.len() == block;
        let split = flags & WHOLE_BLOCKS == 0 && whole && element <= MOST_SPLITS && block / element >= SMALLEST_SPLIT;
        let parts = if split { element } else { 1 };
        let shuffled = flags & SHUFFLED != 0 && element > 1;
        let bitshuffled = !shuffled && flags & BITSHUFFLED != 0 && out.len() >= element;
        if shuffled || bitshuffled {
            // No block is larger than the chunk.
            planes.resize(out.len(), 0);
            streams(input, start, &mut planes, parts, decompress)?;
            match out.len() / element * element {
                _ if shuffled => shuffle::undo(&planes, out, element),
                turned if (turned / element).is_multiple_of(8) => {
                    let (bits, left) = planes.split_at(turned);
                    let (to, to_left) = out.split_at_mut(turned);
                    bitshuffle::untranspose(bits, to, element, &mut spare);
                    to_left.copy_from_slice(left);
                }
                _ => out.copy_from_slice(&planes),
            }
        } else {
            streams(input, start, out, parts, decompress)?;
        }
    }
    Ok(length)
}

type Decompress = fn(&[u8], &mut [u8]) -> Result<usize>;

fn inner(format: u8) -> Result<Decompress> {
    match format {
        0 => Ok(blosclz::undo),
        1 => Ok(lz4::block),
        2 => Ok(super::snappy::undo),
        3 => Ok(deflate::undo),
        4 => Ok(zstd::undo),
        other => Err(damaged(format!("blosc: compressor {other}"))),
    }
}

/// Decompresses the streams of one block, which begin at `start`, into its equal parts.
fn streams(input: &[u8], mut start: usize, block: &mut [u8], parts: usize, decompress: Decompress) -> Result<()> {
    let size = block.len() / parts;
    for part in block.chunks_exact_mut(size.max(1)).take(parts) {
        let stored = word(input, start)? as usize;
        let bytes = input.get(start.saturating_add(4)..).and_then(|b| b.get(..stored));
        let bytes = bytes.ok_or_else(|| damaged(format!("blosc: a stream of {stored} bytes at byte {start} of {}", input.len())))?;
        if stored == size {
            part.copy_from_slice(bytes);
        } else {
            let found = decompress(bytes, part)?;
            if found != size {
                return Err(damaged(format!("blosc: a stream of {size} decoded bytes expected, found {found}")));
            }
        }
        start = start.saturating_add(4).saturating_add(stored);
    }
    Ok(())
}
