//! Four little-endian checksum bytes before or behind the data: Zarr's `crc32c`, numcodecs' `crc32`, `crc32c` and `adler32`.

use serde::{Deserialize, Serialize};

use super::damaged;
use crate::Result;

/// Checksum bytes of a chunk.
pub(super) const LENGTH: usize = 4;

/// Where a checksum stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChecksumAt {
    /// Before the data: numcodecs' default for `crc32` and `adler32`.
    Start,
    /// Behind the data: Zarr v3's `crc32c`, numcodecs' default for it.
    End,
}

/// Verifies the checksum and gives the bytes of the data in `stored`.
pub(super) fn verify(stored: &[u8], at: ChecksumAt, name: &str, of: fn(&[u8]) -> u32) -> Result<std::ops::Range<usize>> {
    let (data, sum) = match at {
        ChecksumAt::Start => stored.split_first_chunk::<LENGTH>().map(|(sum, data)| (data, sum)),
        ChecksumAt::End => stored.split_last_chunk::<LENGTH>(),
    }
    .ok_or_else(|| damaged(format!("{name}: expected a checksum of {LENGTH} bytes, found {} bytes in all", stored.len())))?;
    let (found, expected) = (u32::from_le_bytes(*sum), of(data));
    if found != expected {
        return Err(damaged(format!("{name}: expected checksum {expected:#010x} of {} bytes, found {found:#010x}", data.len())));
    }
    let start = if at == ChecksumAt::Start { LENGTH } else { 0 };
    Ok(start..start + data.len())
}

/// CRC-32 of zlib and PNG.
pub(super) fn crc32(data: &[u8]) -> u32 {
    libdeflater::crc32(data)
}

/// Adler-32 of zlib.
pub(super) fn adler32(data: &[u8]) -> u32 {
    libdeflater::adler32(data)
}

/// CRC-32C (Castagnoli, RFC 3720 appendix B.4).
pub(crate) fn crc32c(data: &[u8]) -> u32 {
    crc32c::crc32c(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_values_of_the_standards() {
        // The catalogue's check value of every CRC is that of "123456789"; RFC 3720's examples are 32 bytes.
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!((crc32(b"123456789"), adler32(b"Wikipedia")), (0xcbf4_3926, 0x11e6_0398));
    }

    #[test]
    fn a_mismatch_names_both_sums() {
        let front = [&crc32c(b"cells").to_le_bytes()[..], b"cells"].concat();
        assert_eq!(verify(&front, ChecksumAt::Start, "crc32c", crc32c).unwrap(), 4..9);
        let e = verify(&front, ChecksumAt::End, "crc32c", crc32c).unwrap_err().to_string();
        assert!(e.contains("crc32c: expected checksum 0x") && e.contains("found 0x"), "{e}");
        assert!(verify(&front[..3], ChecksumAt::End, "crc32c", crc32c).is_err());
    }
}
