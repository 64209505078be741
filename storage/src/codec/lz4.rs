//! LZ4 blocks in the framings of numcodecs (`lz4`) and of HDF5's filter 32004.

use serde::{Deserialize, Serialize};

use super::damaged;
use crate::Result;

/// Bytes that one stored byte can become at most: a match grows by 255 with each byte of its length.
pub(super) const LARGEST_RATIO: usize = 256;

/// What stands around LZ4 blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Lz4Framing {
    /// Decoded length (32 bits, little-endian), then one block.
    Numcodecs,
    /// Decoded length (64 bits) and block size (32 bits), then each block behind its stored length (32 bits), all
    /// big-endian; a block as long as it decodes to is stored as it is.
    Hdf5,
}

/// Decodes into `output` and gives the number of bytes written.
pub(super) fn undo(input: &[u8], output: &mut [u8], framing: Lz4Framing) -> Result<usize> {
    match framing {
        Lz4Framing::Numcodecs => numcodecs(input, output),
        Lz4Framing::Hdf5 => hdf5(input, output),
    }
}

/// One block without any framing.
pub(super) fn block(input: &[u8], output: &mut [u8]) -> Result<usize> {
    lz4_flex::block::decompress_into(input, output).map_err(|e| damaged(format!("lz4: {e}")))
}

/// The front of `input` that tells the decoded length, which `output` must have room for.
fn room(output: &mut [u8], told: u64) -> Result<&mut [u8]> {
    let length = output.len();
    let room = usize::try_from(told).ok().and_then(|n| output.get_mut(..n));
    room.ok_or_else(|| damaged(format!("lz4: expected {length} bytes, its header tells of {told}")))
}

fn numcodecs(input: &[u8], output: &mut [u8]) -> Result<usize> {
    let (head, rest) = input.split_first_chunk::<4>().ok_or_else(|| damaged("lz4: no length before the block"))?;
    let output = room(output, u64::from(u32::from_le_bytes(*head)))?;
    match block(rest, output)? {
        found if found == output.len() => Ok(found),
        found => Err(damaged(format!("lz4: its header tells of {} bytes, found {found}", output.len()))),
    }
}

fn hdf5(input: &[u8], output: &mut [u8]) -> Result<usize> {
    let short = || damaged("lz4: the stored bytes end within a header");
    let (told, rest) = input.split_first_chunk::<8>().ok_or_else(short)?;
    let (size, mut rest) = rest.split_first_chunk::<4>().ok_or_else(short)?;
    let output = room(output, u64::from_be_bytes(*told))?;
    let size = u32::from_be_bytes(*size) as usize;
    if size == 0 && !output.is_empty() {
        return Err(damaged("lz4: blocks of 0 bytes"));
    }
    for part in output.chunks_mut(size.max(1)) {
        let (stored, after) = rest.split_first_chunk::<4>().ok_or_else(short)?;
        let stored = u32::from_be_bytes(*stored) as usize;
        let Some((bytes, after)) = after.split_at_checked(stored) else {
            return Err(damaged(format!("lz4: a block of {stored} stored bytes, {} are left", after.len())));
        };
        if stored == part.len() {
            part.copy_from_slice(bytes);
        } else {
            let found = block(bytes, part)?;
            if found != part.len() {
                return Err(damaged(format!("lz4: a block of {} bytes expected, found {found}", part.len())));
            }
        }
        rest = after;
    }
    Ok(output.len())
}
