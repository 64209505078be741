//! One sample out of pixels that keep all of theirs together (TIFF planar configuration 1).

/// Takes sample number `sample` of each pixel: `samples` a pixel, `element` bytes each; `sample < samples`, none is 0 but
/// `sample`. `output` holds one sample a pixel.
pub(super) fn undo(input: &[u8], output: &mut [u8], samples: usize, sample: usize, element: usize) {
    match element {
        1 => take::<1>(input, output, samples, sample),
        2 => take::<2>(input, output, samples, sample),
        4 => take::<4>(input, output, samples, sample),
        8 => take::<8>(input, output, samples, sample),
        _ => {
            for (o, pixel) in output.chunks_exact_mut(element).zip(input.chunks_exact(element * samples)) {
                o.copy_from_slice(&pixel[sample * element..(sample + 1) * element]);
            }
        }
    }
}

fn take<const E: usize>(input: &[u8], output: &mut [u8], samples: usize, sample: usize) {
    let (cells, _) = input.as_chunks::<E>();
    let (output, _) = output.as_chunks_mut::<E>();
    for (o, cell) in output.iter_mut().zip(cells.iter().skip(sample).step_by(samples)) {
        *o = *cell;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_one_sample() {
        for element in [1, 2, 3, 4, 8] {
            let input: Vec<u8> = (0..5 * 3 * element).map(|i| i as u8).collect();
            for sample in 0..3 {
                let mut out = vec![0; 5 * element];
                undo(&input, &mut out, 3, sample, element);
                let expected: Vec<u8> =
                    (0..5).flat_map(|p| ((p * 3 + sample) * element..(p * 3 + sample + 1) * element).map(|i| i as u8)).collect();
                assert_eq!(out, expected);
            }
        }
    }
}
