//! HDF5's shuffle filter: the first bytes of all elements, then the second bytes, and so on.
//!
//! Undoing it is a byte transpose. Elements of 2, 4 and 8 bytes are put together as words, which compilers turn into
//! vector code; each source plane is read once from front to back, so a chunk of any size streams through the cache.

/// Puts the elements of `element` bytes back together. Bytes after the last whole element stand unshuffled at the end.
/// `input` and `output` are of one length; `element` is not 0.
pub(super) fn undo(input: &[u8], output: &mut [u8], element: usize) {
    let count = input.len() / element;
    let whole = count * element;
    let (planes, rest) = input.split_at(whole);
    let (output, tail) = output.split_at_mut(whole);
    tail.copy_from_slice(rest);
    if count == 0 {
        return;
    }
    match element {
        1 => output.copy_from_slice(planes),
        2 => undo_2(planes, output, count),
        4 => undo_4(planes, output, count),
        8 => undo_8(planes, output, count),
        _ => undo_any(planes, output, element, count),
    }
}

fn undo_2(planes: &[u8], output: &mut [u8], count: usize) {
    let (a, b) = planes.split_at(count);
    for ((o, a), b) in output.chunks_exact_mut(2).zip(a).zip(b) {
        // Written apart: as one copy of two bytes this loop is not vectorised.
        o[0] = *a;
        o[1] = *b;
    }
}

fn undo_4(planes: &[u8], output: &mut [u8], count: usize) {
    let (ab, cd) = planes.split_at(2 * count);
    let ((a, b), (c, d)) = (ab.split_at(count), cd.split_at(count));
    for ((((o, a), b), c), d) in output.chunks_exact_mut(4).zip(a).zip(b).zip(c).zip(d) {
        o.copy_from_slice(&u32::from_le_bytes([*a, *b, *c, *d]).to_le_bytes());
    }
}

fn undo_8(planes: &[u8], output: &mut [u8], count: usize) {
    let (low, high) = planes.split_at(4 * count);
    let ((ab, cd), (ef, gh)) = (low.split_at(2 * count), high.split_at(2 * count));
    let ((a, b), (c, d)) = (ab.split_at(count), cd.split_at(count));
    let ((e, f), (g, h)) = (ef.split_at(count), gh.split_at(count));
    let planes = a.iter().zip(b).zip(c).zip(d).zip(e).zip(f).zip(g).zip(h);
    for (o, (((((((a, b), c), d), e), f), g), h)) in output.chunks_exact_mut(8).zip(planes) {
        o.copy_from_slice(&u64::from_le_bytes([*a, *b, *c, *d, *e, *f, *g, *h]).to_le_bytes());
    }
}

/// Elements of other sizes (texts, compounds), in blocks that stay in the first-level cache.
fn undo_any(planes: &[u8], output: &mut [u8], element: usize, count: usize) {
    let block = (16 * 1024 / element).max(16);
    for (b, out) in output.chunks_mut(block * element).enumerate() {
        for (byte, plane) in planes.chunks_exact(count).enumerate() {
            for (o, v) in out.chunks_exact_mut(element).zip(plane.iter().skip(b * block)) {
                o[byte] = *v;
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The filter as the HDF5 specification words it, the slow way.
    pub(in crate::codec) fn shuffle(data: &[u8], element: usize) -> Vec<u8> {
        let count = data.len() / element;
        let mut out: Vec<u8> = (0..element).flat_map(|b| (0..count).map(move |i| data[i * element + b])).collect();
        out.extend_from_slice(&data[count * element..]);
        out
    }

    #[test]
    fn every_element_size_and_odd_tails_come_back() {
        for element in [1, 2, 3, 4, 5, 8, 12, 16, 33] {
            for len in [0, 1, 7, 31, 64, 65, 1000, 40_003] {
                let data: Vec<u8> = (0..len).map(|i| (i * 131 + i / 251) as u8).collect();
                let mut out = vec![0; len];
                undo(&shuffle(&data, element), &mut out, element);
                assert_eq!(out, data, "element {element}, {len} bytes");
            }
        }
    }
}
