//! Zstandard frames (RFC 8878), one after the other: Zarr's `zstd`, HDF5's filter 32015. One context a thread.

use std::cell::RefCell;

use zstd::bulk::Decompressor;

use super::damaged;
use crate::Result;

/// Bytes that one stored byte can become at most: a block of 128 KiB out of one byte behind its header of three.
pub(super) const LARGEST_RATIO: usize = 128 * 1024;

thread_local! {
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// Decompresses all frames into `output`, which must be large enough, and gives the number of bytes written.
pub(super) fn undo(input: &[u8], output: &mut [u8]) -> Result<usize> {
    DECOMPRESSOR.with_borrow_mut(|slot| {
        let decompressor = match slot {
            Some(known) => known,
            None => slot.insert(Decompressor::new().map_err(|e| crate::Error::Resources(format!("zstd: {e}")))?),
        };
        let length = output.len();
        let failed = |e| damaged(format!("zstd: {} stored bytes do not become at most {length} bytes: {e}", input.len()));
        decompressor.decompress_to_buffer(input, output).map_err(failed)
    })
}
