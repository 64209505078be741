//! LibLZF, HDF5's filter 32000 (h5py): literal runs and back references of up to 8 KiB.

use super::damaged;
use crate::Result;

/// Bytes that one stored byte can become at most: a reference of three bytes stands for 264.
pub(super) const LARGEST_RATIO: usize = 88;

/// Decodes into `output` and gives the number of bytes written; more bytes than `output` has are an error.
pub(super) fn undo(mut input: &[u8], output: &mut [u8]) -> Result<usize> {
    let whole = output.len();
    let too_long = || damaged(format!("lzf: expected {whole} bytes, found more"));
    let mut written = 0usize;
    while let Some((&control, rest)) = input.split_first() {
        let short = || damaged(format!("lzf: the stored bytes end within a code, after {written} of {whole} bytes"));
        if control < 32 {
            let count = usize::from(control) + 1;
            let (literal, rest) = rest.split_at_checked(count).ok_or_else(short)?;
            output.get_mut(written..written + count).ok_or_else(too_long)?.copy_from_slice(literal);
            (written, input) = (written + count, rest);
            continue;
        }
        let (mut length, mut rest) = (usize::from(control >> 5), rest);
        if length == 7 {
            let (&more, after) = rest.split_first().ok_or_else(short)?;
            (length, rest) = (length + usize::from(more), after);
        }
        let (&low, rest) = rest.split_first().ok_or_else(short)?;
        let distance = (usize::from(control & 31) << 8) + usize::from(low) + 1;
        (written, input) = (
            copy_back(output, written, distance, length + 2).ok_or_else(|| match written < distance {
                true => damaged(format!("lzf: a reference {distance} bytes back, after {written} bytes")),
                false => too_long(),
            })?,
            rest,
        );
    }
    Ok(written)
}

/// Repeats `length` bytes from `distance` bytes before `at`; they may overlap. Gives the position behind them, or nothing
/// when they begin before `output` or end behind it.
pub(super) fn copy_back(output: &mut [u8], at: usize, distance: usize, length: usize) -> Option<usize> {
    let (start, end) = (at.checked_sub(distance)?, at.checked_add(length)?);
    if end > output.len() || distance == 0 {
        return None;
    }
    if distance >= length {
        output.copy_within(start..start + length, at);
    } else if distance == 1 {
        let byte = *output.get(start)?;
        output.get_mut(at..end)?.fill(byte);
    } else {
        // What is there doubles with every copy.
        let (mut have, mut from) = (distance, at);
        while from < end {
            let count = have.min(end - from);
            output.copy_within(start..start + count, from);
            (from, have) = (from + count, have + count);
        }
    }
    Some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_may_overlap_and_must_stay_inside() {
        let mut out = [0; 12];
        // "ab", then ten bytes from two bytes back.
        assert_eq!(undo(&[1, b'a', b'b', 7 << 5, 1, 1], &mut out).unwrap(), 12);
        assert_eq!(&out, b"abababababab");
        assert!(undo(&[1, b'a', b'b', 7 << 5, 2, 1], &mut out).unwrap_err().to_string().contains("found more"));
        assert!(undo(&[0, b'a', 1 << 5, 9], &mut out).unwrap_err().to_string().contains("10 bytes back"));
        assert!(undo(&[5, b'a'], &mut out).unwrap_err().to_string().contains("end within a code"));
    }
}
