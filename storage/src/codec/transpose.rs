//! Axes in another order: Zarr v3's `transpose`, v2's order F.

use super::damaged;
use crate::Result;

/// Writes the cells of `element` bytes in C order of `shape`. In `input` they lie in C order of the permuted axes: axis i of
/// what is stored is axis `order[i]` of `shape`.
pub(super) fn undo(input: &[u8], output: &mut [u8], shape: &[u64], order: &[u8], element: usize) -> Result<()> {
    let bad = || damaged(format!("transpose: {} bytes in order {order:?} of shape {shape:?} with cells of {element} bytes", input.len()));
    let sides = |axes: &[u8]| axes.iter().map(|&a| shape.get(usize::from(a)).and_then(|&n| usize::try_from(n).ok())).collect();
    let stored: Option<Vec<usize>> = sides(order);
    let stored = stored.filter(|s| s.len() == shape.len()).ok_or_else(bad)?;
    let cells = stored.iter().try_fold(1usize, |n, &side| n.checked_mul(side)).and_then(|n| n.checked_mul(element));
    if element == 0 || cells != Some(input.len()) || output.len() != input.len() {
        return Err(bad());
    }
    // Bytes that a step along each axis of `shape` moves in the input.
    let mut steps = vec![0; shape.len()];
    let mut step = element;
    for (&axis, &side) in order.iter().zip(&stored).rev() {
        if let Some(slot) = steps.get_mut(usize::from(axis)) {
            *slot = step;
        }
        step *= side;
    }
    let (Some(&last_side), Some(&last_step)) = (shape.last(), steps.last()) else {
        output.copy_from_slice(input);
        return Ok(());
    };
    let row = last_side as usize * element;
    if row == 0 {
        return Ok(());
    }
    let outer = shape.len() - 1;
    let (mut at, mut from) = (vec![0u64; outer], 0usize);
    for target in output.chunks_exact_mut(row) {
        match element {
            1 => gather::<1>(input, target, from, last_step),
            2 => gather::<2>(input, target, from, last_step),
            4 => gather::<4>(input, target, from, last_step),
            8 => gather::<8>(input, target, from, last_step),
            _ => {
                for (i, cell) in target.chunks_exact_mut(element).enumerate() {
                    let begin = from + i * last_step;
                    if let Some(stored) = input.get(begin..begin + element) {
                        cell.copy_from_slice(stored);
                    }
                }
            }
        }
        for d in (0..outer).rev() {
            let (Some(i), Some(&side), Some(&step)) = (at.get_mut(d), shape.get(d), steps.get(d)) else { break };
            *i += 1;
            from += step;
            if *i < side {
                break;
            }
            from -= step * side as usize;
            *i = 0;
        }
    }
    Ok(())
}

fn gather<const N: usize>(input: &[u8], target: &mut [u8], from: usize, step: usize) {
    let stored = input.get(from..).unwrap_or_default();
    for (i, cell) in target.as_chunks_mut::<N>().0.iter_mut().enumerate() {
        if let Some(found) = stored.get(i * step..).and_then(|s| s.first_chunk::<N>()) {
            *cell = *found;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_go_where_they_belong() {
        let shape = [2u64, 3, 4];
        for (order, element) in [([2u8, 1, 0], 1usize), ([1, 2, 0], 2), ([0, 2, 1], 3), ([2, 0, 1], 8), ([0, 1, 2], 4)] {
            // Cell (i, j, k) holds its C-order number; stored along the permuted axes.
            let number = |at: [u64; 3]| at[0] * 12 + at[1] * 4 + at[2];
            let stored: [u64; 3] = order.map(|a| shape[usize::from(a)]);
            let mut input = Vec::new();
            for a in 0..stored[0] {
                for b in 0..stored[1] {
                    for c in 0..stored[2] {
                        let mut at = [0; 3];
                        order.iter().zip([a, b, c]).for_each(|(&axis, i)| at[usize::from(axis)] = i);
                        input.extend(std::iter::repeat_n(number(at) as u8, element));
                    }
                }
            }
            let mut output = vec![0; input.len()];
            undo(&input, &mut output, &shape, &order, element).unwrap();
            let want: Vec<u8> = (0..24u8).flat_map(|n| std::iter::repeat_n(n, element)).collect();
            assert_eq!(output, want, "{order:?}");
        }
        let mut one = [0; 4];
        undo(&[1, 2, 3, 4], &mut one, &[], &[], 4).unwrap();
        assert_eq!(one, [1, 2, 3, 4]);
        assert!(undo(&[0; 5], &mut [0; 5], &[2, 3], &[1, 0], 1).is_err());
        assert!(undo(&[0; 6], &mut [0; 6], &[2, 3], &[1], 1).is_err());
        assert!(undo(&[0; 6], &mut [0; 6], &[2, 3], &[1, 7], 1).is_err());
        assert!(undo(&[], &mut [], &[2, 0], &[1, 0], 1).is_ok());
    }
}
