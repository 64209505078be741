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

/// CRC-32C (Castagnoli, RFC 3720 appendix B.4), eight bytes a step.
pub(crate) fn crc32c(data: &[u8]) -> u32 {
    static TABLES: [[u32; 256]; 8] = tables();
    let look = |table: usize, byte: u8| TABLES[table][usize::from(byte)];
    let mut crc = u32::MAX;
    let (words, rest) = data.as_chunks::<8>();
    for &[a, b, c, d, e, f, g, h] in words {
        let [i, j, k, l] = (crc ^ u32::from_le_bytes([a, b, c, d])).to_le_bytes();
        crc = look(7, i) ^ look(6, j) ^ look(5, k) ^ look(4, l) ^ look(3, e) ^ look(2, f) ^ look(1, g) ^ look(0, h);
    }
    for &byte in rest {
        crc = (crc >> 8) ^ look(0, crc as u8 ^ byte);
    }
    !crc
}

const fn tables() -> [[u32; 256]; 8] {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    let mut tables = [[0; 256]; 8];
    let mut i = 0;
    while i < 256 {
        let (mut crc, mut bit) = (i as u32, 0);
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ POLYNOMIAL } else { crc >> 1 };
            bit += 1;
        }
        tables[0][i] = crc;
        i += 1;
    }
    let mut table = 1;
    while table < 8 {
        let mut i = 0;
        while i < 256 {
            let before = tables[table - 1][i];
            tables[table][i] = (before >> 8) ^ tables[0][(before & 0xff) as usize];
            i += 1;
        }
        table += 1;
    }
    tables
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
