//! Snappy's raw format (format_description.txt of the library), which Blosc buffers may hold.

use super::damaged;
use super::lzf::copy_back;
use crate::Result;

/// Decodes into `output`, which must be large enough, and gives the number of bytes written.
pub(super) fn undo(input: &[u8], output: &mut [u8]) -> Result<usize> {
    let short = || damaged("snappy: the stored bytes end within an element");
    let (mut told, mut shift, mut rest) = (0u64, 0, input);
    loop {
        let (&byte, after) = rest.split_first().ok_or_else(short)?;
        rest = after;
        told |= u64::from(byte & 127) << shift;
        shift += 7;
        if byte < 128 {
            break;
        }
        if shift > 28 {
            return Err(damaged("snappy: a length of more than 32 bits"));
        }
    }
    let expected = output.len();
    let whole = usize::try_from(told).ok().and_then(|n| output.get_mut(..n));
    let output = whole.ok_or_else(|| damaged(format!("snappy: expected {expected} bytes, its header tells of {told}")))?;
    let mut written = 0;
    while let Some((&tag, after)) = rest.split_first() {
        let upper = usize::from(tag >> 2);
        let number = |bytes: usize| -> Result<(usize, &[u8])> {
            let (number, after) = after.split_at_checked(bytes).ok_or_else(short)?;
            Ok((number.iter().rev().fold(0, |n, &b| n << 8 | usize::from(b)), after))
        };
        let (distance, length);
        match tag & 3 {
            0 => {
                let (count, after) = if upper < 60 { (upper, after) } else { number(upper - 59)? };
                let (literal, after) = after.split_at_checked(count.saturating_add(1)).ok_or_else(short)?;
                let room = output.get_mut(written..written + literal.len());
                room.ok_or_else(|| damaged("snappy: more bytes than its header tells"))?.copy_from_slice(literal);
                (written, rest) = (written + literal.len(), after);
                continue;
            }
            1 => {
                let (low, after) = number(1)?;
                (distance, length, rest) = ((upper >> 3) << 8 | low, (upper & 7) + 4, after);
            }
            2 => {
                let (far, after) = number(2)?;
                (distance, length, rest) = (far, upper + 1, after);
            }
            _ => {
                let (far, after) = number(4)?;
                (distance, length, rest) = (far, upper + 1, after);
            }
        }
        let copied = copy_back(output, written, distance, length);
        written = copied.ok_or_else(|| damaged(format!("snappy: {length} bytes from {distance} back, after {written}")))?;
    }
    if written != output.len() {
        return Err(damaged(format!("snappy: its header tells of {told} bytes, found {written}")));
    }
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_and_references_of_each_kind() {
        // 22 bytes: "abcd"; 4 bytes from 4 back, as each kind of reference; then 6 from 1 back.
        let stored = [22, 3 << 2, b'a', b'b', b'c', b'd', 1, 4, 3 << 2 | 2, 4, 0, 3 << 2 | 3, 4, 0, 0, 0, 2 << 2 | 1, 1];
        let mut out = [0; 22];
        assert_eq!(undo(&stored, &mut out).unwrap(), 22);
        assert_eq!(&out, b"abcdabcdabcdabcddddddd");
        assert!(undo(&stored, &mut [0; 21]).is_err());
        assert!(undo(&stored[..9], &mut out).is_err());
        assert!(undo(&[4, 1, 9], &mut out).unwrap_err().to_string().contains("from 9 back"));
    }
}
