//! Which cells are missing: flags a block at a time, packed into validity bits only when something is missing.

use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer};

use super::cell::Stored;
use crate::array::Encoding;

/// The missing rules of an encoding in terms of stored values.
#[derive(Debug, Clone)]
pub(super) struct Missing<S> {
    limits: Option<(S, S)>,
    values: Vec<S>,
}

impl<S: Stored> Missing<S> {
    pub(super) fn new(encoding: &Encoding) -> Self {
        let limited = encoding.valid_min.is_some() || encoding.valid_max.is_some();
        Missing {
            limits: limited.then(|| S::limits(encoding.valid_min, encoding.valid_max)),
            // A NaN among them says nothing more: NaN is always missing.
            values: encoding.missing.iter().filter_map(|&s| S::equal_to(s)).filter(|&v| !is_nan(v)).collect(),
        }
    }

    /// True when no cell can be missing.
    pub(super) fn never(&self) -> bool {
        !S::FLOAT && self.limits.is_none() && self.values.is_empty()
    }

    /// True when one of the cells is missing: nothing is written, so that blocks without any, by far the most, cost little.
    fn any(&self, cells: &[u8]) -> bool {
        match (self.limits, self.values.as_slice()) {
            (Some((min, max)), values) => {
                S::cells(cells).fold(false, |any, s| any | !((s >= min) & (s <= max))) || values.iter().any(|&v| found(cells, v))
            }
            (None, []) => S::cells(cells).fold(false, |any, s| any | is_nan(s)),
            (None, &[a, ref more @ ..]) => {
                S::cells(cells).fold(false, |any, s| any | (s == a) | is_nan(s)) || more.iter().any(|&v| found(cells, v))
            }
        }
    }

    /// Sets `flags` to one byte a cell, 1 where it is missing, and returns true when one is; else the flags mean nothing.
    /// Loops that the compiler vectorises.
    pub(super) fn flag(&self, cells: &[u8], flags: &mut Vec<u8>) -> bool {
        flags.clear();
        if !self.any(cells) {
            return false;
        }
        let mut values = self.values.as_slice();
        match (self.limits, values) {
            (Some((min, max)), _) => flags.extend(S::cells(cells).map(|s| u8::from(!((s >= min) & (s <= max))))),
            (None, &[a, b, ref more @ ..]) => {
                values = more;
                flags.extend(S::cells(cells).map(|s| u8::from((s == a) | (s == b) | is_nan(s))));
            }
            (None, &[a]) => {
                values = &[];
                flags.extend(S::cells(cells).map(|s| u8::from((s == a) | is_nan(s))));
            }
            (None, []) => flags.extend(S::cells(cells).map(|s| u8::from(is_nan(s)))),
        }
        for &value in values {
            for (flag, s) in flags.iter_mut().zip(S::cells(cells)) {
                *flag |= u8::from(s == value);
            }
        }
        true
    }
}

fn found<S: Stored>(cells: &[u8], value: S) -> bool {
    S::cells(cells).fold(false, |any, s| any | (s == value))
}

#[allow(clippy::eq_op)]
fn is_nan<S: Stored>(s: S) -> bool {
    S::FLOAT && s != s
}

/// Validity of a column under construction: one bit a cell, made only when some cell may be NULL.
#[derive(Debug)]
pub(super) struct Validity {
    cells: usize,
    bits: Option<Vec<u8>>,
}

impl Validity {
    /// All cells valid, or all NULL.
    pub(super) fn new(cells: usize, valid: bool) -> Self {
        Validity { cells, bits: (!valid).then(|| vec![0; cells.div_ceil(8)]) }
    }

    /// Makes a run of cells valid or NULL.
    pub(super) fn set(&mut self, at: usize, cells: usize, valid: bool) {
        if cells == 0 || (valid && self.bits.is_none()) {
            return;
        }
        let (bits, end) = (self.bits(), at + cells);
        let mut put = |byte: usize, mask: u8| {
            if let Some(b) = bits.get_mut(byte) {
                *b = if valid { *b | mask } else { *b & !mask };
            }
        };
        let (first, last) = (at / 8, (end - 1) / 8);
        let (head, tail) = (0xffu8 << (at % 8), 0xffu8 >> (7 - (end - 1) % 8));
        if first == last {
            put(first, head & tail);
            return;
        }
        put(first, head);
        put(last, tail);
        if let Some(middle) = bits.get_mut(first + 1..last) {
            middle.fill(if valid { 0xff } else { 0 });
        }
    }

    /// Makes cells from `at` on NULL where their flag is 1, valid where it is 0.
    pub(super) fn set_flags(&mut self, at: usize, flags: &[u8]) {
        let (head, body) = flags.split_at(flags.len().min((8 - at % 8) % 8));
        let bits = self.bits();
        let mut put = |cell: usize, flag: u8| {
            if let Some(b) = bits.get_mut(cell / 8) {
                *b = (*b & !(1 << (cell % 8))) | ((1 - flag) << (cell % 8));
            }
        };
        for (i, &flag) in head.iter().enumerate() {
            put(at + i, flag);
        }
        let start = at + head.len();
        let (eights, rest) = body.as_chunks::<8>();
        for (i, &flag) in rest.iter().enumerate() {
            put(start + eights.len() * 8 + i, flag);
        }
        if let Some(bytes) = bits.get_mut(start / 8..start / 8 + eights.len()) {
            for (byte, eight) in bytes.iter_mut().zip(eights) {
                *byte = !pack(eight);
            }
        }
    }

    fn bits(&mut self) -> &mut Vec<u8> {
        self.bits.get_or_insert_with(|| vec![0xff; self.cells.div_ceil(8)])
    }

    /// One byte a cell, 1 where it is valid; `None` when all are.
    pub(super) fn to_bytes(&self) -> Option<Vec<u8>> {
        let bits = self.bits.as_ref()?;
        Some((0..self.cells).map(|i| bits.get(i / 8).map_or(0, |b| (b >> (i % 8)) & 1)).collect())
    }

    /// Back from one byte a cell, 1 where it is valid.
    pub(super) fn from_bytes(valid: &[u8]) -> Self {
        let flags: Vec<u8> = valid.iter().map(|v| 1 - (v & 1)).collect();
        let mut validity = Validity::new(valid.len(), true);
        validity.set_flags(0, &flags);
        validity
    }

    /// For an Arrow array; `None` when nothing is NULL.
    pub(super) fn finish(self) -> Option<NullBuffer> {
        let nulls = NullBuffer::new(BooleanBuffer::new(Buffer::from_vec(self.bits?), 0, self.cells));
        (nulls.null_count() > 0).then_some(nulls)
    }
}

/// Eight bytes that are 0 or 1 as the bits of one: the product moves byte i to bit 56 + i, without carries.
fn pack(flags: &[u8; 8]) -> u8 {
    (u64::from_le_bytes(*flags).wrapping_mul(0x0102_0408_1020_4080) >> 56) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bits_follow_a_list_of_flags(
            cells in 1usize..200, valid: bool, steps in prop::collection::vec((0usize..200, 0usize..80, 0u8..3, any::<u64>()), 0..12)
        ) {
            let mut validity = Validity::new(cells, valid);
            let mut model = vec![valid; cells];
            for (at, n, kind, seed) in steps {
                let at = at % cells;
                let n = n.min(cells - at);
                if kind < 2 {
                    validity.set(at, n, kind == 1);
                    model[at..at + n].fill(kind == 1);
                } else {
                    let flags: Vec<u8> = (0..n).map(|i| (seed >> (i % 64) & 1) as u8).collect();
                    validity.set_flags(at, &flags);
                    for (m, f) in model[at..at + n].iter_mut().zip(&flags) { *m = *f == 0; }
                }
            }
            if let Some(bytes) = validity.to_bytes() {
                prop_assert_eq!(Validity::from_bytes(&bytes).to_bytes(), Some(bytes));
            }
            match validity.finish() {
                Some(nulls) => prop_assert_eq!(nulls.iter().collect::<Vec<_>>(), model),
                None => prop_assert!(model.iter().all(|v| *v)),
            }
        }
    }
}
