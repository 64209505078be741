//! HDF5's szip filter (4): extended-Rice coding of CCSDS 121.0-B in the framing of libaec, by hdf5-reader.

use hdf5_reader::filters::szip;

use super::damaged;
use crate::Result;

/// Bytes that one stored byte can become at most: a run of 64 blocks of 32 samples of 4 bytes in 8 bits or more.
pub(super) const LARGEST_RATIO: usize = 1 << 14;

/// Decodes into `output`, which must be large enough, and gives the number of bytes written. `parameters`: the filter's four
/// client values (options, pixels a block, bits a pixel, pixels a scanline).
pub(super) fn undo(input: &[u8], output: &mut [u8], parameters: &[u32]) -> Result<usize> {
    // hdf5-reader allocates what the stored bytes' header tells, but not more than `output` has.
    let decoded = szip::decompress_with_limit(input, parameters, output.len()).map_err(|e| damaged(format!("szip: {e}")))?;
    let room = output.get_mut(..decoded.len()).ok_or_else(|| damaged("szip: more bytes than expected"))?;
    room.copy_from_slice(&decoded);
    Ok(decoded.len())
}
