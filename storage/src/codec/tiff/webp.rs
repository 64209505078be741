//! A WebP image of a TIFF strip or tile.

use std::io::Cursor;

use image_webp::WebPDecoder;

use super::{damaged, guarded, whole_rows};
use crate::Result;

/// Decodes an image of `width` pixels a row and `samples` samples a pixel (3 or 4) into `output`. An image without alpha
/// fills the fourth sample with 255: encoders leave out an alpha that is opaque everywhere.
pub(super) fn undo(input: &[u8], output: &mut [u8], width: u32, samples: u32) -> Result<usize> {
    let rows = whole_rows("webp", output.len(), width as usize * samples as usize)?;
    guarded("webp", || {
        let bad = |e: image_webp::DecodingError| damaged(format!("webp: {e}"));
        let mut decoder = WebPDecoder::new(Cursor::new(input)).map_err(bad)?;
        let (found, alpha) = (decoder.dimensions(), decoder.has_alpha());
        if found.0 != width || (found.1 as usize) < rows || decoder.is_animated() {
            return Err(damaged(format!("webp: expected an image of {width} x {rows} pixels, found {} x {}", found.0, found.1)));
        }
        // Rows below the image, which some writers put into the last strip, must not make it much larger.
        if found.1 as usize > rows.saturating_mul(2).saturating_add(4096) {
            return Err(damaged(format!("webp: expected {rows} rows, found {}", found.1)));
        }
        let stored = match (alpha, samples) {
            (true, 4) => 4,
            (false, 3 | 4) => 3,
            _ => return Err(damaged(format!("webp: expected {samples} samples a pixel, found {}", 3 + u32::from(alpha)))),
        };
        decoder.set_memory_limit(output.len().saturating_mul(4).saturating_add(1 << 20));
        if stored == samples && found.1 as usize == rows {
            decoder.read_image(output).map_err(bad)?;
            return Ok(output.len());
        }
        let size = width as usize * found.1 as usize * stored as usize;
        let mut pixels = vec![0; size];
        decoder.read_image(&mut pixels).map_err(bad)?;
        for (to, from) in output.chunks_exact_mut(samples as usize).zip(pixels.chunks_exact(stored as usize)) {
            to.fill(255);
            to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
        }
        Ok(output.len())
    })
}
