//! TIFF predictor 2 (TIFF 6.0 section 14): each sample is kept as its difference from the sample one pixel to the left.

use crate::array::ByteOrder;

/// Adds the differences up along each row, in place and in the byte order in which the samples are stored.
/// `row` samples of `element` bytes (1, 2, 4 or 8) a row, `samples` a pixel; none is 0.
pub(super) fn undo(data: &mut [u8], row: usize, samples: usize, element: usize, order: ByteOrder) {
    for row in data.chunks_exact_mut(row * element) {
        match (element, order) {
            (2, ByteOrder::Little) => rows(row, samples, u16::from_le_bytes, u16::to_le_bytes, u16::wrapping_add),
            (2, ByteOrder::Big) => rows(row, samples, u16::from_be_bytes, u16::to_be_bytes, u16::wrapping_add),
            (4, ByteOrder::Little) => rows(row, samples, u32::from_le_bytes, u32::to_le_bytes, u32::wrapping_add),
            (4, ByteOrder::Big) => rows(row, samples, u32::from_be_bytes, u32::to_be_bytes, u32::wrapping_add),
            (8, ByteOrder::Little) => rows(row, samples, u64::from_le_bytes, u64::to_le_bytes, u64::wrapping_add),
            (8, ByteOrder::Big) => rows(row, samples, u64::from_be_bytes, u64::to_be_bytes, u64::wrapping_add),
            _ => rows(row, samples, |[b]: [u8; 1]| b, |b| [b], u8::wrapping_add),
        }
    }
}

/// One row; the usual numbers of samples a pixel keep their running sums in registers.
#[inline(always)]
fn rows<const E: usize, T: Copy + Default>(
    row: &mut [u8],
    samples: usize,
    read: impl Fn([u8; E]) -> T,
    write: impl Fn(T) -> [u8; E],
    add: impl Fn(T, T) -> T,
) {
    match samples {
        1 => running::<1, E, T>(row, read, write, add),
        2 => running::<2, E, T>(row, read, write, add),
        3 => running::<3, E, T>(row, read, write, add),
        4 => running::<4, E, T>(row, read, write, add),
        _ => {
            let (cells, _) = row.as_chunks_mut::<E>();
            for i in samples..cells.len() {
                cells[i] = write(add(read(cells[i]), read(cells[i - samples])));
            }
        }
    }
}

#[inline(always)]
fn running<const S: usize, const E: usize, T: Copy + Default>(
    row: &mut [u8],
    read: impl Fn([u8; E]) -> T,
    write: impl Fn(T) -> [u8; E],
    add: impl Fn(T, T) -> T,
) {
    let mut sums = [T::default(); S];
    let (cells, _) = row.as_chunks_mut::<E>();
    for pixel in cells.chunks_mut(S) {
        for (cell, sum) in pixel.iter_mut().zip(&mut sums) {
            *sum = add(read(*cell), *sum);
            *cell = write(*sum);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn differences(data: &[u8], row: usize, samples: usize, element: usize, order: ByteOrder) -> Vec<u8> {
        let read = |b: &[u8]| match order {
            ByteOrder::Little => b.iter().rev().fold(0u64, |v, &b| v << 8 | u64::from(b)),
            ByteOrder::Big => b.iter().fold(0u64, |v, &b| v << 8 | u64::from(b)),
        };
        let mut out = Vec::new();
        for r in data.chunks(row * element) {
            let cells: Vec<u64> = r.chunks(element).map(read).collect();
            for (i, &v) in cells.iter().enumerate() {
                let d = if i < samples { v } else { v.wrapping_sub(cells[i - samples]) };
                match order {
                    ByteOrder::Little => out.extend(&d.to_le_bytes()[..element]),
                    ByteOrder::Big => out.extend(&d.to_be_bytes()[8 - element..]),
                }
            }
        }
        out
    }

    #[test]
    fn all_widths_orders_and_sample_counts() {
        for element in [1, 2, 4, 8] {
            for samples in 1..=6 {
                for order in [ByteOrder::Little, ByteOrder::Big] {
                    let row = samples * 11;
                    let data: Vec<u8> = (0..row * element * 3).map(|i| (i * 89 + i / 7) as u8).collect();
                    let mut found = differences(&data, row, samples, element, order);
                    undo(&mut found, row, samples, element, order);
                    assert_eq!(found, data, "{element} bytes, {samples} samples, {order:?}");
                }
            }
        }
    }
}
