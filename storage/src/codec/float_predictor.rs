//! TIFF predictor 3 (Adobe Photoshop TIFF technical note 3): the bytes of a row's floats by significance, then differences.

use super::shuffle;

/// Undoes it in place; samples come out most significant byte first, whatever the file's byte order is.
/// `row` samples of `element` bytes a row, `samples` a pixel; none is 0. Differences run over bytes, `samples` apart.
pub(super) fn undo(data: &mut [u8], row: usize, samples: usize, element: usize) {
    let mut planes = vec![0; (row * element).min(data.len())];
    for row in data.chunks_exact_mut(planes.len().max(1)) {
        planes.copy_from_slice(row);
        match samples {
            1 => running::<1>(&mut planes),
            2 => running::<2>(&mut planes),
            3 => running::<3>(&mut planes),
            4 => running::<4>(&mut planes),
            _ => {
                for i in samples..planes.len() {
                    planes[i] = planes[i].wrapping_add(planes[i - samples]);
                }
            }
        }
        shuffle::undo(&planes, row, element);
    }
}

fn running<const S: usize>(planes: &mut [u8]) {
    let mut sums = [0u8; S];
    for pixel in planes.chunks_mut(S) {
        for (byte, sum) in pixel.iter_mut().zip(&mut sums) {
            *sum = sum.wrapping_add(*byte);
            *byte = *sum;
        }
    }
}
