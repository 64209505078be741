//! An xz stream of a TIFF strip or tile (libtiff's LZMA compression).

use liblzma::stream::{Action, Status, Stream};

use super::damaged;
use crate::Result;

/// More bytes than one stored byte can become: a match of 273 bytes takes some thirtieths of a bit at least.
pub(super) const LARGEST_RATIO: usize = 1 << 16;

/// Memory that a stream's dictionary may take, bytes.
const MEMORY: u64 = 256 << 20;

/// Decodes until `output` is full or the stream ends; what a writer put behind the rows of the image is left alone.
pub(super) fn undo(input: &[u8], output: &mut [u8]) -> Result<usize> {
    let bad = |e: liblzma::stream::Error| damaged(format!("lzma: {e}"));
    let mut stream = Stream::new_stream_decoder(MEMORY, 0).map_err(bad)?;
    loop {
        let (read, written) = (stream.total_in() as usize, stream.total_out() as usize);
        let (Some(rest), Some(space)) = (input.get(read..), output.get_mut(written..)) else { break };
        if space.is_empty() {
            break;
        }
        let status = stream.process(rest, space, Action::Run).map_err(bad)?;
        let stuck = stream.total_in() as usize == read && stream.total_out() as usize == written;
        if stuck || matches!(status, Status::StreamEnd) {
            break;
        }
    }
    Ok(stream.total_out() as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_whole_cut_and_damaged() {
        let data: Vec<u8> = (0..5000u32).map(|i| (i / 7 % 251) as u8).collect();
        let mut packed = Vec::new();
        std::io::Read::read_to_end(&mut liblzma::read::XzEncoder::new(data.as_slice(), 6), &mut packed).unwrap();
        let mut out = vec![0; 5000];
        assert_eq!((undo(&packed, &mut out).unwrap(), &out), (5000, &data));
        assert_eq!(undo(&packed, &mut out[..4000]).unwrap(), 4000);
        assert!(undo(&packed[..packed.len() / 2], &mut [0; 5000]).unwrap() < 5000);
        packed[0] ^= 0xff;
        assert!(undo(&packed, &mut [0; 5000]).is_err());
    }
}
