//! Samples that are not 8, 16, 32 or 64 bits wide: packed integers and floats of 24 bits.

use super::{damaged, whole_rows};
use crate::Result;
use crate::array::ByteOrder;

/// Packed bytes of `decoded` bytes of unpacked rows.
pub(super) fn packed_len(decoded: usize, row: u32, bits: u8, element: u8) -> Result<usize> {
    let rows = whole_rows("bits", decoded, row as usize * usize::from(element))?;
    let too_many = || damaged(format!("bits: {decoded} bytes are too many"));
    rows.checked_mul(packed_row(row, bits)).ok_or_else(too_many)
}

/// Bytes of a row of `row` samples.
fn packed_row(row: u32, bits: u8) -> usize {
    (row as usize * usize::from(bits)).div_ceil(8)
}

/// Unpacks rows of `row` samples of `bits` bits (1 to 63) to little-endian integers of `element` bytes (1, 2, 4 or 8).
pub(super) fn undo(input: &[u8], output: &mut [u8], row: u32, bits: u8, element: u8, signed: bool) -> Result<usize> {
    if !(1..64).contains(&bits) || !matches!(element, 1 | 2 | 4 | 8) || bits > element * 8 || row == 0 {
        return Err(damaged(format!("bits: samples of {bits} bits in {element} bytes")));
    }
    let size = usize::from(element);
    let packed = packed_row(row, bits);
    let mut written = 0;
    for (from, to) in input.chunks_exact(packed).zip(output.chunks_exact_mut(row as usize * size)) {
        if bits == 1 && !signed && size == 1 {
            for (eight, byte) in to.chunks_mut(8).zip(from) {
                eight.iter_mut().enumerate().for_each(|(i, o)| *o = byte >> (7 - i) & 1);
            }
        } else {
            most_significant_first(from, to, bits, size, signed);
        }
        written += to.len();
    }
    Ok(written)
}

fn most_significant_first(from: &[u8], to: &mut [u8], bits: u8, size: usize, signed: bool) {
    let (mut held, mut count, mut bytes) = (0u128, 0u8, from.iter());
    for cell in to.chunks_exact_mut(size) {
        while count < bits {
            held = held << 8 | u128::from(bytes.next().copied().unwrap_or(0));
            count += 8;
        }
        count -= bits;
        let value = (held >> count) as u64 & (u64::MAX >> (64 - bits));
        held &= (1 << count) - 1;
        put(cell, value, bits, signed);
    }
}

/// A sample of `bits` bits into its cell, its sign stretched.
fn put(cell: &mut [u8], value: u64, bits: u8, signed: bool) {
    let unused = 64 - u32::from(bits);
    let value = if signed { ((value << unused) as i64 >> unused) as u64 } else { value };
    cell.iter_mut().zip(value.to_le_bytes()).for_each(|(c, b)| *c = b);
}

fn whole_bytes(bytes: &[u8], order: ByteOrder) -> u64 {
    let add = |v: u64, b: &u8| v << 8 | u64::from(*b);
    match order {
        ByteOrder::Little => bytes.iter().rev().fold(0, add),
        ByteOrder::Big => bytes.iter().fold(0, add),
    }
}

/// Unpacks floats of 24 bits (sign, 7 bits of exponent biased by 63, 16 of fraction) to little-endian `float32`; gives the
/// number of bytes written.
pub(super) fn float24(input: &[u8], output: &mut [u8], order: ByteOrder) -> usize {
    let mut written = 0;
    for (from, to) in input.as_chunks::<3>().0.iter().zip(output.as_chunks_mut::<4>().0) {
        *to = widen(whole_bytes(from, order) as u32).to_le_bytes();
        written += 4;
    }
    written
}

fn widen(value: u32) -> f32 {
    let (sign, exponent, fraction) = (value >> 23 & 1, value >> 16 & 0x7f, value & 0xffff);
    match (exponent, fraction) {
        (0, 0) => f32::from_bits(sign << 31),
        // Subnormal: fraction * 2^(1 - 63 - 16), which float32 holds exactly.
        (0, _) => (if sign == 1 { -1.0 } else { 1.0 }) * fraction as f32 * 2f32.powi(-78),
        (0x7f, _) => f32::from_bits(sign << 31 | 0xff << 23 | fraction << 7),
        _ => f32::from_bits(sign << 31 | (exponent + 127 - 63) << 23 | fraction << 7),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_width_comes_back() {
        for bits in (1u8..64).filter(|b| !matches!(b, 8 | 16 | 32)) {
            let element = [1u8, 2, 4, 8].into_iter().find(|e| e * 8 >= bits).unwrap();
            for (signed, row) in [(false, 1u32), (false, 7), (true, 5)] {
                let mask = u64::MAX >> (64 - bits);
                let values: Vec<u64> = (0..row as u64 * 3).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (i % 3) & mask).collect();
                let mut packed = Vec::new();
                for r in values.chunks(row as usize) {
                    let all: String = r.iter().map(|v| format!("{v:0width$b}", width = bits.into())).collect();
                    for byte in all.as_bytes().chunks(8) {
                        let text = format!("{:0<8}", std::str::from_utf8(byte).unwrap());
                        packed.push(u8::from_str_radix(&text, 2).unwrap());
                    }
                }
                let mut out = vec![0; values.len() * usize::from(element)];
                assert_eq!(packed_len(out.len(), row, bits, element).unwrap(), packed.len());
                assert_eq!(undo(&packed, &mut out, row, bits, element, signed).unwrap(), out.len());
                for (cell, v) in out.chunks(element.into()).zip(&values) {
                    let negative = signed && v >> (bits - 1) & 1 == 1;
                    let wanted = if negative { v | !mask } else { *v };
                    assert_eq!(cell, &wanted.to_le_bytes()[..element.into()], "{bits} bits");
                }
            }
        }
        assert!(packed_len(10, 4, 12, 2).is_err());
        assert!(undo(&[0; 8], &mut [0; 8], 1, 33, 4, false).is_err());
    }

    #[test]
    fn floats_of_24_bits() {
        let of = |v: u32| widen(v);
        assert_eq!((of(0x3f_0000), of(0xbf_0000), of(0x40_0000), of(0x3f_8000)), (1.0, -1.0, 2.0, 1.5));
        assert_eq!((of(0), of(0x7f_0000), of(0xff_0000)), (0.0, f32::INFINITY, f32::NEG_INFINITY));
        assert!(of(0x7f_0001).is_nan());
        assert_eq!((of(1), of(0x01_0000)), (2f32.powi(-78), 2f32.powi(-62)));
        let mut out = [0; 8];
        assert_eq!(float24(&[0x3f, 0x80, 0x00, 0x40, 0x00, 0x00], &mut out, ByteOrder::Big), 8);
        assert_eq!(out, [[0, 0, 0xc0, 0x3f], [0, 0, 0, 0x40]].concat()[..]);
    }
}
