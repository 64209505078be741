//! Packed numbers, most significant bit first: what HDF5's n-bit and scale-offset filters store.

use super::damaged;
use crate::Result;

/// Reads numbers of up to 64 bits one after the other.
pub(super) struct Bits<'a> {
    rest: &'a [u8],
    /// Bits that are read from `rest` but not given yet, at the low end.
    held: u128,
    count: u32,
}

impl<'a> Bits<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Bits { rest: bytes, held: 0, count: 0 }
    }

    /// The next `width` bits, at most 64, as an unsigned number.
    pub(super) fn next(&mut self, width: u32) -> Result<u64> {
        while self.count < width {
            // Eight bytes at a time while there are as many.
            let (more, bits) = match self.rest.split_first_chunk::<8>() {
                Some((word, rest)) => {
                    self.rest = rest;
                    (u64::from_be_bytes(*word), 64)
                }
                None => match self.rest.split_first() {
                    Some((byte, rest)) => {
                        self.rest = rest;
                        (u64::from(*byte), 8)
                    }
                    None => return Err(damaged(format!("the packed bits end: expected {width} more, found {}", self.count))),
                },
            };
            self.held = (self.held << bits) | u128::from(more);
            self.count += bits;
        }
        self.count -= width;
        let mask = if width >= 64 { u64::MAX } else { (1 << width) - 1 };
        Ok((self.held >> self.count) as u64 & mask)
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
