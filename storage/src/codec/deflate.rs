//! zlib streams (RFC 1950) by libdeflate, one decompressor a thread. It checks the stream's Adler-32 itself.

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
    DECOMPRESSOR.with_borrow_mut(|d| d.zlib_decompress(input, output)).map_err(|e| match e {
        DecompressionError::BadData => damaged(format!("deflate: {} stored bytes are not a whole, valid zlib stream", input.len())),
        DecompressionError::InsufficientSpace => damaged(format!("deflate: expected {} bytes, found more", output.len())),
    })
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
}
