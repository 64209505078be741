//! HDF5's Fletcher-32 checksum over big-endian 16-bit words, kept as four little-endian bytes behind the data.

use super::damaged;
use crate::Result;

/// Checksum bytes at the end of a chunk.
pub(super) const LENGTH: usize = 4;

/// Verifies the checksum and gives the number of data bytes in front of it.
///
/// Library versions up to 1.6.2 wrote the bytes of both 16-bit halves swapped on little-endian machines; libhdf5 accepts
/// either, and so do we.
pub(super) fn verify(stored: &[u8]) -> Result<usize> {
    let Some((data, sum)) = stored.split_last_chunk::<LENGTH>() else {
        return Err(damaged(format!("fletcher32: expected a checksum of {LENGTH} bytes, found {} bytes in all", stored.len())));
    };
    let (found, expected) = (u32::from_le_bytes(*sum), checksum(data));
    let swapped = ((expected & 0x00ff_00ff) << 8) | ((expected >> 8) & 0x00ff_00ff);
    if found != expected && found != swapped {
        return Err(damaged(format!("fletcher32: expected checksum {expected:#010x} of {} bytes, found {found:#010x}", data.len())));
    }
    Ok(data.len())
}

/// Words a block: sums of a block fit 32 bits, so that it is summed in vector code.
const BLOCK: usize = 256;

/// The checksum as `H5_checksum_fletcher32` computes it: both sums start at 0; an odd last byte is the high half of a word.
fn checksum(data: &[u8]) -> u32 {
    let (mut sum1, mut sum2) = (0u64, 0u64);
    for block in data.chunks(2 * BLOCK) {
        let words = block.chunks_exact(2);
        let odd = words.remainder().first().copied();
        let count = words.len() as u64;
        let (mut plain, mut weighted) = (0u32, 0u32);
        for (i, w) in words.enumerate() {
            let word = u32::from(u16::from_be_bytes([w[0], w[1]]));
            plain += word;
            weighted += (count as u32 - i as u32) * word;
        }
        sum2 = fold(sum2 + count * sum1 + u64::from(weighted));
        sum1 = fold(sum1 + u64::from(plain));
        if let Some(byte) = odd {
            sum1 = fold(sum1 + (u64::from(byte) << 8));
            sum2 = fold(sum2 + sum1);
        }
    }
    ((sum2 as u32) << 16) | sum1 as u32
}

/// Modulo 65535, where only 0 itself becomes 0: other multiples become 65535, as end-around carry leaves them.
fn fold(mut sum: u64) -> u64 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A direct transcription of libhdf5's loop.
    fn reference(data: &[u8]) -> u32 {
        let (mut s1, mut s2) = (0u32, 0u32);
        for block in data[..data.len() / 2 * 2].chunks(720) {
            for w in block.chunks(2) {
                s1 = s1.wrapping_add(u32::from(w[0]) << 8 | u32::from(w[1]));
                s2 = s2.wrapping_add(s1);
            }
            (s1, s2) = ((s1 & 0xffff) + (s1 >> 16), (s2 & 0xffff) + (s2 >> 16));
        }
        if data.len() % 2 == 1 {
            s1 = s1.wrapping_add(u32::from(data[data.len() - 1]) << 8);
            s2 = s2.wrapping_add(s1);
            (s1, s2) = ((s1 & 0xffff) + (s1 >> 16), (s2 & 0xffff) + (s2 >> 16));
        }
        (s1, s2) = ((s1 & 0xffff) + (s1 >> 16), (s2 & 0xffff) + (s2 >> 16));
        (s2 << 16) | s1
    }

    #[test]
    fn equals_the_library_s_loop() {
        for len in [0usize, 1, 2, 3, 511, 512, 513, 720, 721, 5000, 70_001] {
            for fill in [0u8, 0xff, 1] {
                let mut data: Vec<u8> = (0..len).map(|i| (i * 7 + i / 300) as u8).collect();
                if fill != 1 {
                    data.fill(fill);
                }
                assert_eq!(checksum(&data), reference(&data), "{len} bytes of {fill}");
            }
        }
    }

    #[test]
    fn a_mismatch_names_both_sums() {
        let mut stored = b"graticule".to_vec();
        stored.extend(reference(b"graticule").to_le_bytes());
        assert_eq!(verify(&stored).unwrap(), 9);
        let old: Vec<u8> = [&stored[..9], &[stored[10], stored[9], stored[12], stored[11]]].concat();
        assert_eq!(verify(&old).unwrap(), 9);
        stored[0] ^= 1;
        let e = verify(&stored).unwrap_err().to_string();
        assert!(e.contains("expected checksum 0x") && e.contains("found 0x"), "{e}");
        assert!(verify(&[1, 2, 3]).is_err());
    }
}
