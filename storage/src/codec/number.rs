//! Numbers in formats that machines do not have: integers in some of their bytes' bits, floating-point numbers with fields
//! of any size (HDF5 datatype classes 0, 1 and 4). Both become little-endian cells of a usual type.

use serde::{Deserialize, Serialize};

use crate::array::{ByteOrder, DataType};

/// Where the fields of a floating-point format are, in bits from the least significant (HDF5 file format, IV.A.2.d, class 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FloatFields {
    /// Bytes an element.
    pub size: u32,
    /// Their order.
    pub order: ByteOrder,
    /// Bit of the sign.
    pub sign: u32,
    /// First bit of the exponent.
    pub exponent_at: u32,
    /// Bits of the exponent.
    pub exponent_bits: u32,
    /// First bit of the mantissa.
    pub mantissa_at: u32,
    /// Bits of the mantissa.
    pub mantissa_bits: u32,
    /// What the exponent is too large by.
    pub bias: u32,
    /// Whether the mantissa's first bit is stored.
    pub normalization: Normalization,
}

/// Whether the mantissa's first bit is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Normalization {
    /// It is (x87).
    Stored,
    /// It is 1 and left out unless the exponent is 0 (IEEE 754).
    Implied,
}

impl FloatFields {
    /// The type that its numbers are read as: `Float32` where that holds each of them exactly, else `Float64`, rounded to the
    /// nearest where it must be; `None` for fields that do not fit together.
    pub fn cells(&self) -> Option<DataType> {
        let bits = self.size.checked_mul(8).filter(|&n| n <= 128)?;
        let inside = |at: u32, length: u32| length > 0 && at.checked_add(length).is_some_and(|end| end <= bits);
        let fits = inside(self.sign, 1)
            && inside(self.exponent_at, self.exponent_bits)
            && inside(self.mantissa_at, self.mantissa_bits)
            && self.exponent_bits <= 15
            && self.mantissa_bits <= 120
            && self.bias <= 1 << 15;
        if !fits {
            return None;
        }
        let (fraction, bias) = (i64::from(self.fraction_bits()), i64::from(self.bias));
        let (smallest, largest) = (1 - bias - fraction, (1 << self.exponent_bits) - 2 - bias);
        Some(if fraction <= 23 && largest <= 127 && smallest >= -149 { DataType::Float32 } else { DataType::Float64 })
    }

    /// Bits behind the binary point.
    fn fraction_bits(&self) -> u32 {
        self.mantissa_bits - u32::from(self.normalization == Normalization::Stored)
    }

    fn value(&self, bits: u128) -> f64 {
        let field = |at: u32, length: u32| (bits >> at) & ((1u128 << length) - 1);
        let (exponent, mantissa) = (field(self.exponent_at, self.exponent_bits), field(self.mantissa_at, self.mantissa_bits));
        let fraction = self.fraction_bits();
        let magnitude = if exponent == (1 << self.exponent_bits) - 1 {
            if mantissa & ((1u128 << fraction) - 1) == 0 { f64::INFINITY } else { f64::NAN }
        } else {
            let first = self.normalization == Normalization::Implied && exponent > 0;
            let mantissa = if first { mantissa | 1 << fraction } else { mantissa };
            scaled(mantissa, exponent.max(1) as i64 - i64::from(self.bias) - i64::from(fraction))
        };
        if field(self.sign, 1) == 1 { -magnitude } else { magnitude }
    }
}

/// `mantissa` * 2^`exponent`, rounded to the nearest `f64`, ties to even.
fn scaled(mantissa: u128, exponent: i64) -> f64 {
    if mantissa == 0 {
        return 0.0;
    }
    let top = exponent + 127 - i64::from(mantissa.leading_zeros());
    if top > 1023 {
        return f64::INFINITY;
    }
    // The weight of the last bit that is kept.
    let last = (top - 52).max(-1074);
    let (kept, weight) = match u32::try_from(last - exponent) {
        Ok(drop @ 1..=127) => {
            let (kept, rest, half) = (mantissa >> drop, mantissa & ((1 << drop) - 1), 1u128 << (drop - 1));
            (kept + u128::from(rest > half || (rest == half && kept & 1 == 1)), last)
        }
        Ok(0) | Err(_) => (mantissa, exponent),
        Ok(_) => return 0.0,
    };
    // Fewer than 54 bits, at most 2^53; a product that a float holds is exact.
    match weight {
        -1022..=1023 => kept as f64 * f64::from_bits(((weight + 1023) as u64) << 52),
        _ => kept as f64 * f64::from_bits(1 << (weight + 1074).clamp(0, 51)),
    }
}

fn word(cell: &[u8], order: ByteOrder) -> u128 {
    let fold = |n: u128, b: &u8| n << 8 | u128::from(*b);
    match order {
        ByteOrder::Little => cell.iter().rev().fold(0, fold),
        ByteOrder::Big => cell.iter().fold(0, fold),
    }
}

/// Bytes of the type that integers of `size` bytes, 1 to 8, become.
pub(super) fn widened(size: usize) -> usize {
    size.next_power_of_two()
}

/// Integers of `size` bytes, 1 to 8, of which `precision` bits from bit `offset` on count, all inside of them.
pub(super) fn undo_integer(input: &[u8], output: &mut [u8], size: usize, bits: (u32, u32), signed: bool, order: ByteOrder) {
    let (offset, precision) = bits;
    let unused = 64 - precision.clamp(1, 64);
    for (o, cell) in output.chunks_exact_mut(widened(size)).zip(input.chunks_exact(size)) {
        let high = ((word(cell, order) >> offset) as u64) << unused;
        let value = if signed { ((high as i64) >> unused) as u64 } else { high >> unused };
        for (o, b) in o.iter_mut().zip(value.to_le_bytes()) {
            *o = b;
        }
    }
}

/// Floating-point numbers with these fields to cells of `to`.
pub(super) fn undo_float(input: &[u8], output: &mut [u8], fields: &FloatFields, to: DataType) {
    let cells = input.chunks_exact(fields.size as usize).map(|cell| fields.value(word(cell, fields.order)));
    match to {
        DataType::Float32 => {
            for (o, v) in output.as_chunks_mut::<4>().0.iter_mut().zip(cells) {
                *o = (v as f32).to_le_bytes();
            }
        }
        _ => {
            for (o, v) in output.as_chunks_mut::<8>().0.iter_mut().zip(cells) {
                *o = v.to_le_bytes();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fields(size: u32, exponent_bits: u32, mantissa_bits: u32, normalization: Normalization) -> FloatFields {
        FloatFields {
            size,
            order: ByteOrder::Little,
            sign: exponent_bits + mantissa_bits,
            exponent_at: mantissa_bits,
            exponent_bits,
            mantissa_at: 0,
            mantissa_bits,
            bias: (1 << (exponent_bits - 1)) - 1,
            normalization,
        }
    }

    fn same(a: f64, b: f64) -> bool {
        a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
    }

    /// `v` as x87 keeps it: 64 bits with the first one stored, exact for every double.
    fn extended(v: f64) -> u128 {
        let (bits, sign) = (v.to_bits(), u128::from(v.is_sign_negative()) << 79);
        let (e, m) = ((bits >> 52 & 0x7ff) as i64, bits & ((1 << 52) - 1));
        match (e, m) {
            (0, 0) => sign,
            (0x7ff, m) => sign | 0x7fff << 64 | 1 << 63 | u128::from(m) << 11,
            (0, m) => {
                let shift = m.leading_zeros();
                sign | u128::try_from(1 - 1023 + 11 - i64::from(shift) + 16383).unwrap() << 64 | u128::from(m << shift)
            }
            (e, m) => sign | u128::try_from(e - 1023 + 16383).unwrap() << 64 | 1 << 63 | u128::from(m) << 11,
        }
    }

    proptest! {
        #[test]
        fn formats_of_machines_are_read_as_machines_read_them(bits: u64) {
            let double = f64::from_bits(bits);
            prop_assert!(same(fields(8, 11, 52, Normalization::Implied).value(bits.into()), double));
            let single = f32::from_bits(bits as u32);
            prop_assert!(same(fields(4, 8, 23, Normalization::Implied).value(u128::from(bits as u32)), single.into()));
            let half = half::f16::from_bits(bits as u16);
            prop_assert!(same(fields(2, 5, 10, Normalization::Implied).value(u128::from(bits as u16)), half.to_f64()));
            let bfloat = half::bf16::from_bits(bits as u16);
            prop_assert!(same(fields(2, 8, 7, Normalization::Implied).value(u128::from(bits as u16)), bfloat.to_f64()));
            prop_assert!(same(fields(16, 15, 64, Normalization::Stored).value(extended(double)), double));
        }

        #[test]
        fn rounding_is_that_of_integers(mantissa: u64, small in -1200i64..100) {
            // `as` rounds an integer to the nearest double; scaling down is exact as long as the result is normal.
            let scale = f64::from_bits(((small.max(-1022) + 1023) as u64) << 52);
            if small >= -1022 {
                prop_assert_eq!(scaled(mantissa.into(), small), mantissa as f64 * scale);
            } else {
                let two_steps = mantissa as f64 * f64::from_bits(1 << 52) * f64::from_bits(((small + 1022 + 1023) as u64) << 52);
                prop_assert!((scaled(mantissa.into(), small) - two_steps).abs() <= f64::from_bits(1));
            }
        }

        #[test]
        fn integers_keep_their_bits(v: i64, size in 1usize..=8, offset: u32, precision: u32, big: bool, noise: u64) {
            let offset = offset % (size as u32 * 8);
            let precision = 1 + precision % (size as u32 * 8 - offset);
            let mask = if precision == 64 { u64::MAX } else { (1 << precision) - 1 };
            let stored = (v as u64 & mask) << offset | (noise & !(mask << offset));
            let mut bytes = stored.to_le_bytes()[..size].to_vec();
            let order = if big { bytes.reverse(); ByteOrder::Big } else { ByteOrder::Little };
            let shift = 64 - precision;
            for (signed, want) in [(true, (v << shift) >> shift), (false, (v as u64 & mask) as i64)] {
                let mut out = vec![0; widened(size)];
                undo_integer(&bytes, &mut out, size, (offset, precision), signed, order);
                prop_assert_eq!(&out[..], &want.to_le_bytes()[..widened(size)]);
            }
        }
    }

    #[test]
    fn types_hold_what_they_are_chosen_for() {
        assert_eq!(fields(2, 8, 7, Normalization::Implied).cells(), Some(DataType::Float32));
        assert_eq!(fields(4, 6, 13, Normalization::Implied).cells(), Some(DataType::Float32));
        assert_eq!(fields(16, 15, 64, Normalization::Stored).cells(), Some(DataType::Float64));
        assert_eq!(FloatFields { bias: 200, ..fields(4, 8, 23, Normalization::Implied) }.cells(), Some(DataType::Float64));
        assert_eq!(FloatFields { mantissa_at: 20, ..fields(4, 8, 23, Normalization::Implied) }.cells(), None);
        // Quadruple precision: a third, rounded.
        let third = 0x3ffd_5555_5555_5555_5555_5555_5555_5555u128;
        assert_eq!(fields(16, 15, 112, Normalization::Implied).value(third), 1.0 / 3.0);
        assert_eq!(fields(16, 15, 112, Normalization::Implied).value(0x7ffe << 112), f64::INFINITY);
        assert_eq!(fields(16, 15, 112, Normalization::Implied).value(1), 0.0);
    }
}
