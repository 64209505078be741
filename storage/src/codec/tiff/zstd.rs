//! Zstandard frames of a TIFF strip or tile.

use zstd::stream::raw::{Decoder, Operation};
use zstd::zstd_safe::DParameter;

use super::damaged;
use crate::Result;

/// More bytes than one stored byte can become: a block of 4 bytes repeats one byte 128 Ki times.
pub(super) const LARGEST_RATIO: usize = 1 << 15;

/// Largest window that is kept for a stream: 2^27 bytes, what the format recommends decoders to support.
const WINDOW_LOG: u32 = 27;

/// Decodes until `output` is full or the frames end; what a writer put behind the rows of the image is left alone.
pub(super) fn undo(input: &[u8], output: &mut [u8]) -> Result<usize> {
    let bad = |e: std::io::Error| damaged(format!("zstd: {e}"));
    let mut decoder = Decoder::new().map_err(bad)?;
    decoder.set_parameter(DParameter::WindowLogMax(WINDOW_LOG)).map_err(bad)?;
    let (mut read, mut written) = (0, 0);
    while written < output.len() {
        let (Some(rest), Some(space)) = (input.get(read..), output.get_mut(written..)) else { break };
        let step = decoder.run_on_buffers(rest, space).map_err(bad)?;
        read += step.bytes_read;
        written += step.bytes_written;
        if step.bytes_read == 0 && step.bytes_written == 0 {
            break;
        }
    }
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_whole_cut_and_damaged() {
        let data: Vec<u8> = (0..5000u32).map(|i| (i / 7 % 251) as u8).collect();
        let packed = zstd::bulk::compress(&data, 3).unwrap();
        let mut out = vec![0; 5000];
        assert_eq!((undo(&packed, &mut out).unwrap(), &out), (5000, &data));
        // Rows below the image are left.
        assert_eq!(undo(&packed, &mut out[..4000]).unwrap(), 4000);
        assert!(undo(&packed[..packed.len() / 2], &mut [0; 5000]).unwrap() < 5000);
        let mut broken = packed.clone();
        broken[0] ^= 0xff;
        assert!(undo(&broken, &mut [0; 5000]).is_err());
        // The ratio of the densest stream that the encoder makes stays under the bound.
        let zeros = zstd::bulk::compress(&vec![0; 1 << 24], 19).unwrap();
        assert!((1 << 24) / zeros.len() < LARGEST_RATIO);
    }
}
