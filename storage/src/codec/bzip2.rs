//! bzip2 streams, one after the other: HDF5's filter 307, numcodecs' `bz2`.

use bzip2::{Decompress, Status};

use super::damaged;
use crate::Result;

/// More bytes than one stored byte can become: a block of 900 kB of runs of 255 in some forty bytes.
pub(super) const LARGEST_RATIO: usize = 1 << 21;

/// Decompresses all streams into `output` and gives the number of bytes written; more bytes than `output` has are an error.
pub(super) fn undo(mut input: &[u8], output: &mut [u8]) -> Result<usize> {
    let mut written = 0;
    while !input.is_empty() {
        let mut stream = Decompress::new(false);
        let mut ended = false;
        while !ended {
            let (read, gave) = (stream.total_in(), stream.total_out());
            // A byte of room tells a stream that is too long from one that just ends.
            let rest = output.get_mut(written..).unwrap_or_default();
            let mut beyond = [0];
            let full = rest.is_empty();
            let room = if full { &mut beyond[..] } else { rest };
            let status = stream.decompress(input, room).map_err(|e| damaged(format!("bzip2: {e} after {written} bytes")))?;
            let (read, gave) = ((stream.total_in() - read) as usize, (stream.total_out() - gave) as usize);
            input = input.get(read..).unwrap_or_default();
            if full && gave > 0 {
                return Err(damaged(format!("bzip2: expected {} bytes, found more", output.len())));
            }
            written += gave;
            ended = status == Status::StreamEnd;
            if !ended && read == 0 && gave == 0 {
                return Err(damaged(format!("bzip2: the stream ends early, after {written} bytes")));
            }
        }
    }
    Ok(written)
}
