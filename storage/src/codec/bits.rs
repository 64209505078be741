//! Packed numbers, most significant bit first: what HDF5's n-bit and scale-offset filters store.

use super::damaged;
use crate::Result;

/// Reads numbers of up to 64 bits one after the other.
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    /// Bits read so far.
    at: usize,
}

impl<'a> Bits<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Bits { bytes, at: 0 }
    }

    /// The next `width` bits, at most 64, as an unsigned number.
    #[inline]
    pub(super) fn next(&mut self, width: u32) -> Result<u64> {
        let (byte, bit) = (self.at / 8, self.at % 8);
        // Most numbers lie within eight bytes that are all there.
        if let (1..=57, Some(word)) = (width, self.bytes.get(byte..).and_then(|b| b.first_chunk::<8>())) {
            self.at += width as usize;
            return Ok((u64::from_be_bytes(*word) << bit) >> (64 - width));
        }
        self.near_the_end(width)
    }

    fn near_the_end(&mut self, width: u32) -> Result<u64> {
        let (width, left) = (width as usize, (self.bytes.len() * 8).saturating_sub(self.at));
        if left < width {
            return Err(damaged(format!("the packed bits end: expected {width} more, found {left}")));
        }
        let (first, end) = (self.at / 8, (self.at + width).div_ceil(8));
        let held = self.bytes.get(first..end).unwrap_or_default().iter().fold(0u128, |n, &b| n << 8 | u128::from(b));
        self.at += width;
        let mask = if width >= 64 { u64::MAX } else { (1 << width) - 1 };
        Ok((held >> (end * 8 - self.at)) as u64 & mask)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_width_follow_each_other() {
        let mut bits = Bits::new(&[0b1010_0101, 0xff, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!((bits.next(3).unwrap(), bits.next(5).unwrap(), bits.next(0).unwrap()), (5, 5, 0));
        assert_eq!((bits.next(4).unwrap(), bits.next(12).unwrap()), (15, 0xf00));
        assert_eq!(bits.next(64).unwrap(), 0x0102_0304_0506_0708);
        assert_eq!(bits.next(8).unwrap(), 9);
        assert!(bits.next(1).unwrap_err().to_string().contains("expected 1 more"));
    }
}
