//! HDF5's n-bit filter (5): of each number only its significant bits are stored (H5Znbit.c).

use super::bits::Bits;
use super::damaged;
use crate::Result;

/// Bytes that one stored byte can become at most: numbers of 16 bytes of which one bit is stored.
pub(super) const LARGEST_RATIO: usize = 128;
/// Deepest nesting of types in types.
const DEEPEST: u32 = 16;

/// What an element is made of, as the filter's parameters tell.
#[derive(Debug, PartialEq)]
enum Element {
    Number { size: usize, big_endian: bool, precision: u32, offset: u32 },
    Array { size: usize, of: Box<Element> },
    Compound { size: usize, members: Vec<(usize, Element)> },
    Bytes { size: usize },
}

/// Decodes into `output` and gives the number of bytes written. `parameters`: the filter's client values.
pub(super) fn undo(input: &[u8], output: &mut [u8], parameters: &[u32]) -> Result<usize> {
    let &[_, plain, count, ref kind @ ..] = parameters else {
        return Err(damaged(format!("nbit: {} parameters", parameters.len())));
    };
    if plain != 0 {
        let same = output.get_mut(..input.len()).ok_or_else(|| damaged("nbit: more bytes than expected"))?;
        same.copy_from_slice(input);
        return Ok(input.len());
    }
    let mut rest = kind.iter().copied();
    let element = Element::parse(&mut rest, 0)?;
    let whole = element.size().checked_mul(count as usize).filter(|&n| n <= output.len());
    let whole =
        whole.ok_or_else(|| damaged(format!("nbit: {count} elements of {} bytes, expected {} bytes", element.size(), output.len())))?;
    let (mut bits, output) = (Bits::new(input), output.get_mut(..whole).unwrap_or_default());
    // Bytes between the members of a compound, and bits that are not stored, are 0.
    output.fill(0);
    for out in output.chunks_exact_mut(element.size()) {
        element.read(&mut bits, out)?;
    }
    Ok(whole)
}

impl Element {
    fn size(&self) -> usize {
        match *self {
            Element::Number { size, .. } | Element::Array { size, .. } | Element::Compound { size, .. } | Element::Bytes { size } => size,
        }
    }

    fn parse(rest: &mut impl Iterator<Item = u32>, depth: u32) -> Result<Element> {
        let mut next = || rest.next().ok_or_else(|| damaged("nbit: its parameters end early"));
        let (class, size) = (next()?, next()? as usize);
        if size == 0 || depth > DEEPEST {
            return Err(damaged(format!("nbit: a type of {size} bytes, nested {depth} levels deep")));
        }
        Ok(match class {
            1 => {
                let (order, precision, offset) = (next()?, next()?, next()?);
                let bits = 8 * size as u64;
                if size > 16 || order > 1 || precision == 0 || u64::from(precision) + u64::from(offset) > bits {
                    return Err(damaged(format!("nbit: {precision} bits at bit {offset} of {size} bytes in order {order}")));
                }
                Element::Number { size, big_endian: order == 1, precision, offset }
            }
            2 => {
                let of = Element::parse(rest, depth + 1)?;
                if !size.is_multiple_of(of.size()) {
                    return Err(damaged(format!("nbit: an array of {size} bytes of elements of {}", of.size())));
                }
                Element::Array { size, of: Box::new(of) }
            }
            3 => {
                let (count, mut members) = (next()?, Vec::new());
                for _ in 0..count {
                    let at = rest.next().ok_or_else(|| damaged("nbit: its parameters end early"))? as usize;
                    let member = Element::parse(rest, depth + 1)?;
                    if at.checked_add(member.size()).is_none_or(|end| end > size) {
                        return Err(damaged(format!("nbit: a member of {} bytes at byte {at} of {size}", member.size())));
                    }
                    members.push((at, member));
                }
                Element::Compound { size, members }
            }
            4 => Element::Bytes { size },
            class => return Err(damaged(format!("nbit: a type of class {class}"))),
        })
    }

    /// Reads one element; `out` has its size.
    fn read(&self, bits: &mut Bits<'_>, out: &mut [u8]) -> Result<()> {
        match self {
            Element::Number { size, big_endian, precision, offset } => {
                let high = precision.saturating_sub(64);
                let value = (u128::from(bits.next(high)?) << (precision - high)) | u128::from(bits.next(precision - high)?);
                let word = (value << offset).to_le_bytes();
                out.copy_from_slice(word.get(..*size).unwrap_or_default());
                if *big_endian {
                    out.reverse();
                }
            }
            Element::Array { of, .. } => {
                for out in out.chunks_exact_mut(of.size()) {
                    of.read(bits, out)?;
                }
            }
            Element::Compound { members, .. } => {
                for (at, member) in members {
                    member.read(bits, out.get_mut(*at..at + member.size()).unwrap_or_default())?;
                }
            }
            Element::Bytes { .. } => {
                for out in out {
                    *out = bits.next(8)? as u8;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_in_types() {
        // A compound of 8 bytes: 4 bits at bit 2 of a big-endian int16 at byte 1, and an array of two 3-bit bytes at byte 4.
        let parameters = [17, 0, 2, 3, 8, 2, 1, 1, 2, 1, 4, 2, 4, 2, 2, 1, 1, 0, 3, 0];
        let mut out = [9; 16];
        assert_eq!(undo(&[0b1111_0010, 0b1110_1011, 0b1000_0000], &mut out, &parameters).unwrap(), 16);
        assert_eq!(out, [0, 0, 0b11_1100, 0, 1, 3, 0, 0, 0, 0, 0b10_1000, 0, 7, 0, 0, 0]);
        assert!(undo(&[0xff], &mut out, &parameters).unwrap_err().to_string().contains("packed bits end"));
        assert!(undo(&[0; 9], &mut [0; 8], &parameters).unwrap_err().to_string().contains("expected 8 bytes"));
        // Members without end, and arrays of arrays without end.
        assert!(undo(&[0; 9], &mut out, &[0, 0, 1, 3, 8, u32::MAX, 0, 1]).is_err());
        assert!(undo(&[0; 9], &mut out, &[&[0, 0, 1][..], &[2, 1].repeat(4000)].concat()).is_err());
    }
}
