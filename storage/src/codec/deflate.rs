//! zlib streams (RFC 1950) and gzip members (RFC 1952) by libdeflate, one decompressor a thread. It checks the Adler-32 or
//! CRC-32 itself.

use std::cell::RefCell;

use libdeflater::{DecompressionError, Decompressor};

use super::damaged;
use crate::Result;

/// Bytes that one stored byte can become at most: RFC 1951's longest match (258) in its shortest code (2 bits).
pub(super) const LARGEST_RATIO: usize = 1032;

thread_local! {
    static DECOMPRESSOR: RefCell<Decompressor> = RefCell::new(Decompressor::new());
}

/// Inflates `input` into `output` and gives the number of bytes written; a stream that holds more than `output` is an error.
pub(super) fn undo(input: &[u8], output: &mut [u8]) -> Result<usize> {
    inflate(input, output)?.ok_or_else(|| damaged(format!("deflate: expected {} bytes, found more", output.len())))
}

/// Inflates one gzip member into `output` and gives the number of bytes written.
pub(super) fn undo_gzip(input: &[u8], output: &mut [u8]) -> Result<usize> {
    DECOMPRESSOR.with_borrow_mut(|d| d.gzip_decompress(input, output)).map_err(|e| match e {
        DecompressionError::InsufficientSpace => damaged(format!("gzip: expected {} bytes, found more", output.len())),
        DecompressionError::BadData => damaged(format!("gzip: {} stored bytes are not a whole, valid gzip member", input.len())),
    })
}

/// Inflates a stream without header (RFC 1951).
pub(super) fn undo_raw(input: &[u8], output: &mut [u8]) -> Result<usize> {
    DECOMPRESSOR.with_borrow_mut(|d| d.deflate_decompress(input, output)).map_err(|e| match e {
        DecompressionError::InsufficientSpace => damaged(format!("deflate: expected {} bytes, found more", output.len())),
        DecompressionError::BadData => damaged(format!("deflate: {} stored bytes are not a whole, valid stream", input.len())),
    })
}

/// Inflates `input` into `output`, leaving what the stream holds behind it.
pub(super) fn undo_front(input: &[u8], output: &mut [u8]) -> Result<usize> {
    if let Some(found) = inflate(input, output)? {
        return Ok(found);
    }
    // libdeflate gives whole streams only. A stream much longer than its strip is no strip.
    let most = output.len().saturating_mul(64).max(1 << 20).min(input.len().saturating_mul(LARGEST_RATIO));
    let mut length = output.len();
    while length < most {
        length = length.saturating_mul(2).max(4096).min(most);
        let mut whole = vec![0; length];
        if let Some(found) = inflate(input, &mut whole)? {
            let front = whole.get(..found.min(output.len())).unwrap_or_default();
            output.get_mut(..front.len()).unwrap_or_default().copy_from_slice(front);
            return Ok(front.len());
        }
    }
    Err(damaged(format!("deflate: expected {} bytes, found more than {most}", output.len())))
}

/// `None`: the stream holds more than `output`.
fn inflate(input: &[u8], output: &mut [u8]) -> Result<Option<usize>> {
    match DECOMPRESSOR.with_borrow_mut(|d| d.zlib_decompress(input, output)) {
        Ok(found) => Ok(Some(found)),
        Err(DecompressionError::InsufficientSpace) => Ok(None),
        Err(DecompressionError::BadData) => {
            Err(damaged(format!("deflate: {} stored bytes are not a whole, valid zlib stream", input.len())))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_a_broken_stream_and_a_stream_that_is_too_long() {
        let e = undo(&super::super::tests::zlib(b"graticule")[..10], &mut [0; 9]).unwrap_err().to_string();
        assert!(e.contains("not a whole, valid zlib stream"), "{e}");
        let e = undo(&super::super::tests::zlib(&[7; 100]), &mut [0; 99]).unwrap_err().to_string();
        assert!(e.contains("expected 99 bytes, found more"), "{e}");
    }
    #[test]
    fn tiff_strips_may_hold_more_rows_than_the_image() {
        let stream = super::super::tests::zlib(&(0..=255).cycle().take(9000).collect::<Vec<u8>>());
        let mut out = [0; 300];
        assert_eq!(undo_front(&stream, &mut out).unwrap(), 300);
        assert_eq!((out[0], out[255], out[299]), (0, 255, 43));
        let long = super::super::tests::zlib(&vec![0; 3 << 20]);
        assert!(undo_front(&long, &mut out).unwrap_err().to_string().contains("found more than"));
        assert!(undo_front(&stream[..20], &mut out).is_err());
    }
}
