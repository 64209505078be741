//! CCITT facsimile codes (ITU-T T.4 and T.6) as TIFF stores bilevel images: rows of runs of white and black.

use fax::maps::{Mode, black, mode, white};
use fax::{BitReader, Color};
use serde::{Deserialize, Serialize};

use super::{damaged, whole_rows};
use crate::Result;

/// Which of the codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FaxCode {
    /// Compression 2: one-dimensional, rows begin at whole bytes and have no end-of-line codes.
    HuffmanRle,
    /// Compression 3 (T.4, Group 3), one-dimensional.
    Group3,
    /// Compression 3 with bit 0 of T4Options: rows may refer to the one before.
    Group3TwoDimensional,
    /// Compression 4 (T.6, Group 4).
    Group4,
}

/// Decodes rows of `width` pixels to one bit a pixel, most significant first, black 1; gives the number of bytes written.
pub(super) fn undo(input: &[u8], output: &mut [u8], width: u32, code: FaxCode) -> Result<usize> {
    let bytes = (width as usize).div_ceil(8);
    let rows = whole_rows("fax", output.len(), bytes)?;
    let mut bits = Bits { bytes: input, at: 0 };
    let (mut reference, mut changes) = (Vec::new(), Vec::new());
    for (number, row) in output.chunks_exact_mut(bytes).enumerate() {
        changes.clear();
        row.fill(0);
        let invalid = |bits: &Bits| damaged(format!("fax: an invalid code at bit {} in row {number} of {rows}", bits.at));
        let decoded = match code {
            FaxCode::HuffmanRle => {
                bits.at = bits.at.next_multiple_of(8);
                one_dimensional(&mut bits, width, &mut changes)
            }
            FaxCode::Group3 => {
                bits.skip_end_of_line();
                one_dimensional(&mut bits, width, &mut changes)
            }
            FaxCode::Group3TwoDimensional => {
                let found = bits.skip_end_of_line();
                let tag = if found { bits.take(1) } else { Some(1) };
                match tag {
                    Some(0) => two_dimensional(&mut bits, width, &reference, &mut changes),
                    _ => one_dimensional(&mut bits, width, &mut changes),
                }
            }
            FaxCode::Group4 => two_dimensional(&mut bits, width, &reference, &mut changes),
        };
        decoded.ok_or_else(|| invalid(&bits))?;
        for run in changes.chunks(2) {
            let start = run.first().copied().unwrap_or(width);
            blacken(row, start, run.get(1).copied().unwrap_or(width).min(width));
        }
        std::mem::swap(&mut reference, &mut changes);
    }
    Ok(output.len())
}

fn blacken(row: &mut [u8], start: u32, end: u32) {
    for at in start..end {
        if let Some(byte) = row.get_mut(at as usize / 8) {
            *byte |= 0x80 >> (at % 8);
        }
    }
}

/// The length of a run: make-up codes, then a terminating code.
fn run(bits: &mut Bits<'_>, color: Color) -> Option<u32> {
    let mut sum = 0u32;
    loop {
        let part = match color {
            Color::White => white::decode(bits)?,
            Color::Black => black::decode(bits)?,
        };
        sum = sum.checked_add(part.into())?;
        if part < 64 {
            return Some(sum);
        }
    }
}

/// A row of runs; `changes` are the columns where the colour changes, the first to black. `None`: an invalid code.
fn one_dimensional(bits: &mut Bits<'_>, width: u32, changes: &mut Vec<u32>) -> Option<()> {
    let (mut at, mut color) = (0u32, Color::White);
    while at < width {
        at = at.checked_add(run(bits, color)?).filter(|&at| at <= width)?;
        changes.push(at);
        color = !color;
    }
    Some(())
}

/// A row told by its differences from the `reference` row (T.4 section 4.2).
fn two_dimensional(bits: &mut Bits<'_>, width: u32, reference: &[u32], changes: &mut Vec<u32>) -> Option<()> {
    let (mut a0, mut color, mut begun, mut from) = (0u32, Color::White, false, 0usize);
    while a0 < width {
        // b1: the first change of the reference row right of a0 and to the other colour than a0's. Even ones are to black.
        let wanted = usize::from(color == Color::Black);
        while from > 0 && reference.get(from - 1).is_some_and(|&c| c > a0) {
            from -= 1;
        }
        let is_b1 = |i: usize, c: u32| i % 2 == wanted && (c > a0 || (!begun && c == 0));
        while reference.get(from).is_some_and(|&c| !is_b1(from, c)) {
            from += 1;
        }
        let b1 = reference.get(from).copied().unwrap_or(width);
        match mode::decode(bits)? {
            Mode::Pass => a0 = reference.get(from + 1).copied().unwrap_or(width),
            Mode::Vertical(delta) => {
                let a1 = b1.checked_add_signed(delta.into()).filter(|&a1| a1 >= a0 && a1 <= width)?;
                changes.push(a1);
                color = !color;
                a0 = a1;
            }
            Mode::Horizontal => {
                for color in [color, !color] {
                    a0 = a0.checked_add(run(bits, color)?).filter(|&a| a <= width)?;
                    changes.push(a0);
                }
            }
            Mode::Extension | Mode::EOF => return None,
        }
        begun = true;
    }
    Some(())
}

/// Bits of a slice, most significant first; zeros follow its end.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn take(&mut self, bits: u8) -> Option<u16> {
        let value = self.peek(bits)?;
        self.consume(bits).ok()?;
        Some(value)
    }

    /// Skips fill bits and an end-of-line code (11 or more zeros and a one) where one stands here.
    fn skip_end_of_line(&mut self) -> bool {
        if self.peek(11) != Some(0) {
            return false;
        }
        let start = self.at;
        while self.at < self.bytes.len() * 8 {
            if self.take(1) == Some(1) {
                return true;
            }
        }
        self.at = start;
        false
    }
}

impl BitReader for Bits<'_> {
    type Error = ();

    fn peek(&self, bits: u8) -> Option<u16> {
        if self.at >= self.bytes.len() * 8 || bits > 16 {
            return None;
        }
        let byte = |i: usize| u32::from(self.bytes.get(self.at / 8 + i).copied().unwrap_or(0));
        let window = byte(0) << 16 | byte(1) << 8 | byte(2);
        Some((window << (8 + self.at % 8) >> (32 - u32::from(bits).max(1))) as u16 & if bits == 0 { 0 } else { u16::MAX })
    }

    fn consume(&mut self, bits: u8) -> Result<(), ()> {
        self.at += usize::from(bits);
        if self.at > self.bytes.len() * 8 { Err(()) } else { Ok(()) }
    }

    fn bits_to_byte_boundary(&self) -> u8 {
        ((8 - self.at % 8) % 8) as u8
    }
}
