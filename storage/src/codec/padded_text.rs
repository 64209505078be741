//! Texts of a fixed length that end at a NUL or before spaces, with NULs behind their end instead (HDF5 string padding).

/// Makes each text of `size` bytes, not 0, end in NULs. `spaces`: it ended before the spaces at its end; else at its first NUL.
pub(super) fn undo(data: &mut [u8], size: usize, spaces: bool) {
    for cell in data.chunks_exact_mut(size) {
        let end = match spaces {
            true => cell.iter().rposition(|&b| b != b' ').map_or(0, |i| i + 1),
            false => cell.iter().position(|&b| b == 0).unwrap_or(size),
        };
        if let Some(rest) = cell.get_mut(end..) {
            rest.fill(0);
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn ends_are_cleared() {
        let mut data = *b"a b   ab\0def\0xxxxx";
        super::undo(&mut data[..6], 6, true);
        super::undo(&mut data[6..], 6, false);
        assert_eq!(&data, b"a b\0\0\0ab\0\0\0\0\0\0\0\0\0\0");
    }
}
