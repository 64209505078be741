//! YCbCr images with subsampled chroma outside of JPEG (TIFF 6.0 section 21) to RGB, with libtiff's integer arithmetic.

use super::{damaged, whole_rows};
use crate::Result;

/// Bits of fraction of libtiff's fixed-point numbers.
const SHIFT: u32 = 16;

/// What each code of luma and chroma adds to a colour (libtiff's TIFFYCbCrToRGBInit).
pub(super) struct Tables {
    luma: [i32; 256],
    red_of_cr: [i32; 256],
    blue_of_cb: [i32; 256],
    green_of_cr: [i32; 256],
    green_of_cb: [i32; 256],
}

impl Tables {
    /// From `YCbCrCoefficients` (shares of red, green, blue in luma) and `ReferenceBlackWhite` (of Y, Cb, Cr).
    pub(super) fn new([red, green, blue]: [f32; 3], reference: [f32; 6]) -> Tables {
        let fixed = |v: f32| (v.clamp(0.0, 2.0) * (1u32 << SHIFT) as f32 + 0.5) as i32;
        let (f1, f3) = (2.0 - 2.0 * red, 2.0 - 2.0 * blue);
        let (d1, d3) = (fixed(f1), fixed(f3));
        let (d2, d4) = (-fixed(red * f1 / green), -fixed(blue * f3 / green));
        let half = 1i32 << (SHIFT - 1);
        // A code as a value: where black and white lie, over a range of `codes`.
        let value = |code: i32, black: f32, white: f32, codes: f32| {
            let span = if white - black != 0.0 { white - black } else { 1.0 };
            ((code - black as i32) as f32 * codes / span).clamp(-4096.0, 4096.0) as i32
        };
        let [y0, y1, b0, b1, r0, r1] = reference;
        let each = |f: &dyn Fn(i32) -> i32| std::array::from_fn(|i| f(i as i32 - 128));
        let cr = |x: i32| value(x, r0 - 128.0, r1 - 128.0, 127.0);
        let cb = |x: i32| value(x, b0 - 128.0, b1 - 128.0, 127.0);
        let times = |a: i32, b: i32| a.wrapping_mul(b);
        Tables {
            luma: each(&|x| value(x + 128, y0, y1, 255.0)),
            red_of_cr: each(&|x| times(d1, cr(x)).wrapping_add(half) >> SHIFT),
            blue_of_cb: each(&|x| times(d3, cb(x)).wrapping_add(half) >> SHIFT),
            green_of_cr: each(&|x| times(d2, cr(x))),
            green_of_cb: each(&|x| times(d4, cb(x)).wrapping_add(half)),
        }
    }

    fn rgb(&self, y: u8, cb: u8, cr: u8) -> [u8; 3] {
        let (y, cb, cr) = (usize::from(y), usize::from(cb), usize::from(cr));
        let green = self.green_of_cb[cb].wrapping_add(self.green_of_cr[cr]) >> SHIFT;
        [self.luma[y] + self.red_of_cr[cr], self.luma[y] + green, self.luma[y] + self.blue_of_cb[cb]].map(|v| v.clamp(0, 255) as u8)
    }
}

/// Stored bytes of `decoded` bytes of RGB: blocks of `horizontal` x `vertical` pixels, each with its luma and one pair of chroma.
pub(super) fn packed_len(decoded: usize, width: u32, horizontal: u8, vertical: u8) -> Result<usize> {
    let rows = whole_rows("ycbcr", decoded, width as usize * 3)?;
    let (h, v) = (usize::from(horizontal), usize::from(vertical));
    if h == 0 || v == 0 {
        return Err(damaged("ycbcr: chroma shared by 0 pixels"));
    }
    let blocks = (width as usize).div_ceil(h).checked_mul(rows.div_ceil(v));
    blocks.and_then(|n| n.checked_mul(h * v + 2)).ok_or_else(|| damaged(format!("ycbcr: {decoded} bytes are too many")))
}

/// Unpacks blocks into rows of RGB; chroma is repeated over its block, as libtiff does. Gives the bytes written.
pub(super) fn undo(input: &[u8], output: &mut [u8], width: u32, (h, v): (u8, u8), tables: &Tables) -> Result<usize> {
    let expected = packed_len(output.len(), width, h, v)?;
    if input.len() < expected {
        return Err(damaged(format!("ycbcr: expected {expected} bytes, found {}", input.len())));
    }
    let (width, h, v) = (width as usize, usize::from(h), usize::from(v));
    let across = width.div_ceil(h);
    for (rows, blocks) in output.chunks_mut(width * 3 * v).zip(input.chunks(across * (h * v + 2))) {
        for (number, block) in blocks.chunks_exact(h * v + 2).enumerate() {
            let (luma, chroma) = block.split_at(h * v);
            let &[cb, cr] = chroma else { continue };
            for (row, luma) in rows.chunks_exact_mut(width * 3).zip(luma.chunks_exact(h)) {
                let pixels = row.chunks_exact_mut(3).skip(number * h);
                pixels.zip(luma).for_each(|(pixel, &y)| pixel.copy_from_slice(&tables.rgb(y, cb, cr)));
            }
        }
    }
    Ok(output.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_of_jfif() {
        let tables = Tables::new([0.299, 0.587, 0.114], [0.0, 255.0, 128.0, 255.0, 128.0, 255.0]);
        assert_eq!(tables.rgb(0, 128, 128), [0, 0, 0]);
        assert_eq!(tables.rgb(255, 128, 128), [255, 255, 255]);
        assert_eq!(tables.rgb(76, 85, 255), [254, 0, 0]);
        // A block of 2 x 2 pixels at the corner of an image of 3 x 1.
        let mut out = [9; 9];
        assert_eq!(undo(&[10, 20, 30, 40, 128, 128, 50, 60, 70, 80, 128, 128], &mut out, 3, (2, 2), &tables).unwrap(), 9);
        assert_eq!(out, [10, 10, 10, 20, 20, 20, 50, 50, 50]);
        assert!(undo(&[0; 11], &mut out, 3, (2, 2), &tables).is_err());
    }
}
