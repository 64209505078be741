//! BloscLZ, Blosc's own compressor: FastLZ level 2 with references of up to 72 KiB.

use super::damaged;
use super::lzf::copy_back;
use crate::Result;

/// References beyond this distance are told by two more bytes.
const NEAR: usize = 8191;

/// Decodes into `output` and gives the number of bytes written; more bytes than `output` has are an error.
pub(super) fn undo(input: &[u8], output: &mut [u8]) -> Result<usize> {
    let mut rest = input.iter();
    let short = || damaged("blosclz: the stored bytes end within a code");
    let mut written = 0;
    // The first code is a literal whatever its upper bits, which tell the level.
    let mut next = rest.next().map(|c| c & 31);
    while let Some(control) = next {
        let low = usize::from(control & 31);
        if control < 32 {
            let (count, bytes) = (low + 1, rest.as_slice());
            let (literal, after) = bytes.split_at_checked(count).ok_or_else(short)?;
            let room = output.get_mut(written..written + count);
            room.ok_or_else(|| damaged("blosclz: more bytes than expected"))?.copy_from_slice(literal);
            (written, rest) = (written + count, after.iter());
        } else {
            let mut length = usize::from(control >> 5) - 1;
            if length == 6 {
                loop {
                    let more = *rest.next().ok_or_else(short)?;
                    length += usize::from(more);
                    if more != 255 {
                        break;
                    }
                }
            }
            let code = *rest.next().ok_or_else(short)?;
            let mut distance = (low << 8) + usize::from(code);
            if code == 255 && low == 31 {
                let (high, low) = (*rest.next().ok_or_else(short)?, *rest.next().ok_or_else(short)?);
                distance = NEAR + usize::from(u16::from_be_bytes([high, low]));
            }
            let copied = copy_back(output, written, distance + 1, length + 3);
            let what = || damaged(format!("blosclz: {} bytes from {} back, after {written} of {}", length + 3, distance + 1, output.len()));
            written = match copied {
                Some(end) => end,
                None => return Err(what()),
            };
        }
        next = rest.next().copied();
    }
    Ok(written)
}
