//! LZMA: numcodecs' `lzma`, in its containers (.xz, .lzma) or raw with the filters told apart.

use liblzma::stream::{Action, CONCATENATED, Filters, LzmaOptions, Status, Stream};
use serde::{Deserialize, Serialize};

use super::damaged;
use crate::Result;

/// More bytes than one stored byte can become: matches of 273 bytes at a fifth of a bit or more.
pub(super) const LARGEST_RATIO: usize = 1 << 14;

/// Memory that a container may ask for: presets up to 9 need 65 MiB.
const MEMORY: u64 = 128 << 20;
/// liblzma's own limits of a dictionary.
const DICTIONARY: (usize, usize) = (4096, 1536 << 20);

/// One filter of a raw stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LzmaFilter {
    /// Differences between bytes `distance` apart (filter id 3).
    Delta {
        /// 1 to 256.
        distance: u32,
    },
    /// LZMA1 (id 0x4000000000000001).
    Lzma1 {
        /// Literal context bits; 3 in every preset.
        lc: u32,
        /// Literal position bits; 0 in every preset.
        lp: u32,
        /// Position bits; 2 in every preset.
        pb: u32,
    },
    /// LZMA2 (id 0x21).
    Lzma2,
}

/// Decodes into `output`, which must be large enough, and gives the number of bytes written. Without `filters`: a container.
pub(super) fn undo(mut input: &[u8], output: &mut [u8], filters: &[LzmaFilter]) -> Result<usize> {
    let mut stream = stream(filters, output.len())?;
    let raw = !filters.is_empty();
    loop {
        let (read, written) = (stream.total_in(), stream.total_out());
        let room = output.get_mut(written as usize..).unwrap_or_default();
        let mut beyond = [0];
        let full = room.is_empty();
        if full && raw {
            // A raw LZMA1 stream need not tell its end.
            return Ok(output.len());
        }
        let room = if full { &mut beyond[..] } else { room };
        let status = stream.process(input, room, Action::Finish);
        let status = status.map_err(|e| damaged(format!("lzma: {e}, after {written} bytes")))?;
        let (read, gave) = (stream.total_in() - read, stream.total_out() - written);
        input = input.get(read as usize..).unwrap_or_default();
        if full && gave > 0 {
            return Err(damaged(format!("lzma: expected {} bytes, found more", output.len())));
        }
        match status {
            Status::StreamEnd => return Ok((written + gave) as usize),
            _ if read == 0 && gave == 0 => return Err(damaged(format!("lzma: the stream ends early, after {written} bytes"))),
            _ => (),
        }
    }
}

fn stream(filters: &[LzmaFilter], length: usize) -> Result<Stream> {
    let failed = |e| damaged(format!("lzma: filters {filters:?}: {e}"));
    if filters.is_empty() {
        return Stream::new_auto_decoder(MEMORY, CONCATENATED).map_err(failed);
    }
    // No reference reaches back over more bytes than there are.
    let dictionary = length.clamp(DICTIONARY.0, DICTIONARY.1) as u32;
    let mut chain = Filters::new();
    for filter in filters {
        match *filter {
            LzmaFilter::Delta { distance } => {
                let property = u8::try_from(distance.wrapping_sub(1)).map_err(|_| damaged(format!("lzma: delta of {distance} bytes")))?;
                chain.delta_properties(&[property]).map_err(failed)?;
            }
            LzmaFilter::Lzma1 { lc, lp, pb } => {
                if lc > 4 || lp > 4 || lc + lp > 4 || pb > 4 {
                    return Err(damaged(format!("lzma: lc {lc}, lp {lp}, pb {pb}")));
                }
                let mut options = LzmaOptions::new();
                options.dict_size(dictionary).literal_context_bits(lc).literal_position_bits(lp).position_bits(pb);
                chain.lzma1(&options);
            }
            LzmaFilter::Lzma2 => {
                let mut options = LzmaOptions::new();
                options.dict_size(dictionary);
                chain.lzma2(&options);
            }
        }
    }
    Stream::new_raw_decoder(&chain).map_err(failed)
}
