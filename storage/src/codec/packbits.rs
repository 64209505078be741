//! PackBits, the run-length code of TIFF 6.0 section 9.

use super::damaged;
use crate::Result;

/// Bytes that one stored byte can become at most: 128 of 2.
pub(super) const LARGEST_RATIO: usize = 64;

/// Unpacks until `output` is full or the input ends, and gives the number of bytes written. A run that reaches over the end
/// of `output` is cut, as libtiff does.
pub(super) fn undo(mut input: &[u8], output: &mut [u8]) -> Result<usize> {
    let whole = output.len();
    let mut written = 0;
    while written < whole {
        let Some((&head, rest)) = input.split_first() else { break };
        let space = &mut output[written..];
        match head {
            // Literal bytes: head + 1 of them.
            0..=127 => {
                let count = usize::from(head) + 1;
                let used = count.min(space.len());
                let Some(literal) = rest.get(..used) else {
                    return Err(damaged(format!(
                        "packbits: expected {count} literal bytes after {written} of {whole}, found {}",
                        rest.len()
                    )));
                };
                space[..used].copy_from_slice(literal);
                written += used;
                input = rest.get(count..).unwrap_or_default();
            }
            // No operation.
            128 => input = rest,
            // One byte, 257 - head times.
            129..=255 => {
                let Some((&value, rest)) = rest.split_first() else {
                    return Err(damaged(format!("packbits: a run without its byte after {written} of {whole} bytes")));
                };
                let used = (257 - usize::from(head)).min(space.len());
                space[..used].fill(value);
                written += used;
                input = rest;
            }
        }
    }
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apple_s_own_example() {
        let packed = [0xfe, 0xaa, 0x02, 0x80, 0x00, 0x2a, 0xfd, 0xaa, 0x03, 0x80, 0x00, 0x2a, 0x22, 0xf7, 0xaa];
        let mut out = [0; 24];
        assert_eq!(undo(&packed, &mut out).unwrap(), 24);
        let expected = [
            0xaa, 0xaa, 0xaa, 0x80, 0x00, 0x2a, 0xaa, 0xaa, 0xaa, 0xaa, 0x80, 0x00, 0x2a, 0x22, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa,
            0xaa, 0xaa, 0xaa,
        ];
        assert_eq!(out, expected);
    }

    #[test]
    fn streams_that_end_early() {
        assert_eq!(undo(&[0x80, 0x80], &mut [0; 4]).unwrap(), 0);
        assert!(undo(&[0x05, 1, 2], &mut [0; 6]).unwrap_err().to_string().contains("expected 6 literal bytes"));
        assert!(undo(&[0xff], &mut [0; 6]).is_err());
    }
}
