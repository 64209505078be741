//! HDF5's scale-offset filter (6): numbers as their distance from the chunk's minimum, in as few bits as the largest one
//! takes; floating-point numbers rounded to a decimal place first (H5Zscaleoffset.c).

use super::bits::Bits;
use super::damaged;
use crate::{Error, Result};

/// Bytes of the header that count: the bits a number takes, the minimum's size, the minimum.
const HEADER: usize = 13;
/// Bytes before the packed numbers.
const DATA: usize = 21;

/// What the filter's client values tell.
struct Parameters {
    /// Numbers in the chunk.
    count: u32,
    /// Decimal places of floats.
    places: i32,
    integers: bool,
    size: usize,
    big_endian: bool,
    /// The fill value's bits, where it is defined.
    fill: Option<u64>,
}

impl Parameters {
    fn parse(values: &[u32]) -> Result<Parameters> {
        let &[kind, scale, count, class, size, _, order, defined, ref fill @ ..] = values else {
            return Err(damaged(format!("scaleoffset: {} parameters", values.len())));
        };
        let integers = match (class, kind) {
            (0, 2) => true,
            (1, 0) => false,
            (1, 1) => return Err(Error::unsupported("chunk", "scale-offset of floating-point numbers by binary exponent (E-scale)")),
            _ => return Err(damaged(format!("scaleoffset: scale type {kind} for numbers of class {class}"))),
        };
        if !matches!((integers, size), (true, 1 | 2 | 4 | 8) | (false, 4 | 8)) || order > 1 {
            return Err(damaged(format!("scaleoffset: numbers of class {class}, {size} bytes, order {order}")));
        }
        let part = |i: usize| fill.get(i).copied().map(u64::from).unwrap_or(0);
        let fill = (defined != 0).then(|| if size > 4 { part(0) | part(1) << 32 } else { part(0) });
        Ok(Parameters { count, places: scale as i32, integers, size: size as usize, big_endian: order == 1, fill })
    }
}

/// Decodes into `output`, which is the whole chunk, and gives the number of bytes written. `parameters`: the filter's client
/// values.
pub(super) fn undo(input: &[u8], output: &mut [u8], parameters: &[u32]) -> Result<usize> {
    let p = Parameters::parse(parameters)?;
    let full = 8 * p.size as u32;
    if (p.count as usize).checked_mul(p.size) != Some(output.len()) {
        return Err(damaged(format!("scaleoffset: {} numbers of {} bytes, expected {} bytes", p.count, p.size, output.len())));
    }
    // Declared with all bits of an integer: stored as they are.
    if p.integers && p.places == full as i32 {
        let same = output.get_mut(..input.len()).ok_or_else(|| damaged("scaleoffset: more bytes than expected"))?;
        same.copy_from_slice(input);
        return Ok(input.len());
    }
    let (Some(&[a, b, c, d, length, ref minimum @ ..]), Some(packed)) = (input.first_chunk::<HEADER>(), input.get(DATA..)) else {
        return Err(damaged(format!("scaleoffset: expected a header of {DATA} bytes, found {}", input.len())));
    };
    let width = u32::from_le_bytes([a, b, c, d]);
    let mut minimum = u64::from_le_bytes(*minimum);
    if length < 8 {
        minimum &= (1 << (8 * u32::from(length))) - 1;
    }
    if width > full {
        return Err(damaged(format!("scaleoffset: numbers of {width} bits in {} bytes", p.size)));
    }
    if width == full {
        let raw = packed.get(..output.len()).ok_or_else(|| damaged(format!("scaleoffset: {} bytes are stored", packed.len())))?;
        output.copy_from_slice(raw);
        if p.big_endian {
            output.chunks_exact_mut(p.size).for_each(<[u8]>::reverse);
        }
        return Ok(output.len());
    }
    // All bits set mean the fill value, where one is defined; with no bits at all, that is every number.
    let marker = (1u64 << width) - 1;
    let bits = Packed { bits: Bits::new(packed), width, fill: p.fill.map(|fill| (marker, fill)), size: p.size, big_endian: p.big_endian };
    if p.integers {
        bits.unpack(output, |n| n.wrapping_add(minimum))?;
    } else if p.size == 4 {
        let (least, scale) = (f32::from_bits(minimum as u32), 10f32.powf(p.places as f32));
        bits.unpack(output, |n| u64::from((n as i32 as f32 / scale + least).to_bits()))?;
    } else {
        let (least, scale) = (f64::from_bits(minimum), 10f64.powf(f64::from(p.places)));
        bits.unpack(output, |n| (n as i64 as f64 / scale + least).to_bits())?;
    }
    Ok(output.len())
}

/// Packed numbers and how they become bytes.
struct Packed<'a> {
    bits: Bits<'a>,
    width: u32,
    /// The stored number that means the fill value, and the bits of that value.
    fill: Option<(u64, u64)>,
    size: usize,
    big_endian: bool,
}

impl Packed<'_> {
    fn unpack(mut self, output: &mut [u8], value: impl Fn(u64) -> u64) -> Result<()> {
        for out in output.chunks_exact_mut(self.size) {
            let stored = self.bits.next(self.width)?;
            let decoded = match self.fill {
                Some((marker, fill)) if stored == marker => fill,
                _ => value(stored),
            };
            let bytes = if self.big_endian { (decoded << (64 - 8 * self.size)).swap_bytes() } else { decoded }.to_le_bytes();
            out.copy_from_slice(bytes.get(..self.size).unwrap_or_default());
        }
        Ok(())
    }
}
