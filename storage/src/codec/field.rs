//! One member out of records that keep all of theirs together (HDF5 compound types).

/// Takes `length` bytes at `offset` of each record of `record` bytes; `offset + length <= record`, `length` is not 0.
/// `output` holds one member a record.
pub(super) fn undo(input: &[u8], output: &mut [u8], record: usize, offset: usize, length: usize) {
    match length {
        1 => take::<1>(input, output, record, offset),
        2 => take::<2>(input, output, record, offset),
        4 => take::<4>(input, output, record, offset),
        8 => take::<8>(input, output, record, offset),
        _ => {
            for (o, r) in output.chunks_exact_mut(length).zip(input.chunks_exact(record)) {
                if let Some(member) = r.get(offset..offset + length) {
                    o.copy_from_slice(member);
                }
            }
        }
    }
}

fn take<const N: usize>(input: &[u8], output: &mut [u8], record: usize, offset: usize) {
    let (output, _) = output.as_chunks_mut::<N>();
    for (o, r) in output.iter_mut().zip(input.chunks_exact(record)) {
        if let Some(member) = r.get(offset..).and_then(|r| r.first_chunk::<N>()) {
            *o = *member;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_one_member() {
        let input: Vec<u8> = (0..60).collect();
        for length in [1usize, 2, 3, 4, 5, 8] {
            for offset in 0..=12 - length {
                let mut out = vec![0; 5 * length];
                undo(&input, &mut out, 12, offset, length);
                let expected: Vec<u8> = (0..5).flat_map(|r| (r * 12 + offset..r * 12 + offset + length).map(|i| i as u8)).collect();
                assert_eq!(out, expected);
            }
        }
    }
}
