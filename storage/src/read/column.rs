//! A column under construction: parts are written at their place, gaps stay NULL, missing axes are broadcast at the end.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float32Array, Float64Array, Int8Array, Int16Array, Int32Array, Int64Array, StringArray, TimestampMicrosecondArray,
    TimestampNanosecondArray, TimestampSecondArray, UInt8Array, UInt16Array, UInt32Array, UInt64Array,
};

use super::cell::{Cast, Stored, with_stored};
use super::convert::{Kernel, Value};
use super::copy::Copy;
use super::missing::Validity;
use crate::array::{DataType, Encoding, TimeUnit};
use crate::{Error, Result};

/// Cells to put into a column.
#[derive(Debug, Clone, Copy)]
pub(super) enum Cells<'a> {
    /// Stored cells in native byte order.
    Stored(&'a [u8]),
    /// One stored cell, the same everywhere.
    Same(&'a [u8]),
    /// Texts of any length.
    Texts(&'a [Option<String>]),
}

/// Values of one type, in the variable's own axes.
#[derive(Debug)]
pub(super) struct Builder<T> {
    cells: usize,
    values: Vec<T>,
    validity: Validity,
    flags: Vec<u8>,
}

impl<T: Value> Builder<T> {
    fn new(cells: usize, in_order: bool, covered: bool) -> Self {
        // What is filled in order is appended; otherwise the cells must be there before they are written.
        let values = if in_order { Vec::with_capacity(cells) } else { vec![T::default(); cells] };
        Builder { cells, values, validity: Validity::new(cells, covered), flags: Vec::new() }
    }

    fn add<S: Stored + Cast<T>>(&mut self, cells: Cells<'_>, encoding: &Encoding, decoded: DataType, copy: &Copy) -> Result<()> {
        let kernel = Kernel::<S>::new::<T>(encoding, decoded);
        match cells {
            Cells::Stored(bytes) => copy.runs(|from, to, count| {
                let run = bytes.get(from * S::SIZE..(from + count) * S::SIZE).ok_or_else(outside)?;
                self.reach(to);
                kernel.run(run, to, &mut self.values, &mut self.validity, &mut self.flags);
                Ok(())
            }),
            Cells::Same(cell) => {
                let value = kernel.one::<T>(cell);
                copy.runs(|_, to, count| {
                    if self.values.len() < to + count {
                        self.values.resize(to + count, T::default());
                    }
                    let run = self.values.get_mut(to..to + count).ok_or_else(outside)?;
                    run.fill(value.unwrap_or_default());
                    self.validity.set(to, count, value.is_some());
                    Ok(())
                })
            }
            Cells::Texts(_) => Err(Error::Internal("texts for a column of numbers".into())),
        }
    }

    fn reach(&mut self, at: usize) {
        if self.values.len() < at {
            self.values.resize(at, T::default());
        }
    }

    fn finish(mut self, axes: &[BroadcastAxis]) -> (Vec<T>, Option<arrow::buffer::NullBuffer>) {
        self.reach(self.cells);
        if axes.iter().all(|a| a.own) {
            return (self.values, self.validity.finish());
        }
        let valid = self.validity.to_bytes().map(|valid| Validity::from_bytes(&broadcast(&valid, axes)));
        (broadcast(&self.values, axes), valid.and_then(Validity::finish))
    }
}

/// Texts in the variable's own axes.
#[derive(Debug)]
pub(super) struct Texts {
    values: Vec<Option<Arc<str>>>,
}

impl Texts {
    fn add(&mut self, cells: Cells<'_>, encoding: &Encoding, copy: &Copy) -> Result<()> {
        let size = encoding.stored.size();
        copy.runs(|from, to, count| {
            let target = self.values.get_mut(to..to + count).ok_or_else(outside)?;
            match cells {
                Cells::Texts(texts) => {
                    let texts = texts.get(from..from + count).ok_or_else(outside)?;
                    for (value, text) in target.iter_mut().zip(texts) {
                        *value = text.as_deref().map(Arc::from);
                    }
                }
                Cells::Stored(bytes) if size > 0 => {
                    let run = bytes.get(from * size..(from + count) * size).ok_or_else(outside)?;
                    for (value, cell) in target.iter_mut().zip(run.chunks_exact(size)) {
                        *value = Some(fixed_text(cell));
                    }
                }
                Cells::Same(cell) => target.fill(Some(fixed_text(cell))),
                Cells::Stored(_) => target.fill(Some(Arc::from(""))),
            }
            Ok(())
        })
    }

    fn finish(self, axes: &[BroadcastAxis]) -> Result<ArrayRef> {
        let positions: Vec<u32> = broadcast(&(0..self.values.len() as u32).collect::<Vec<_>>(), axes);
        let text = |i: &u32| self.values.get(*i as usize).and_then(|v| v.as_deref());
        let bytes = positions.iter().fold(0u64, |n, i| n.saturating_add(text(i).map_or(0, |t| t.len() as u64)));
        if bytes > i32::MAX as u64 {
            return Err(Error::Resources(format!("a tile with {bytes} bytes of text is too large (at most {})", i32::MAX)));
        }
        Ok(Arc::new(positions.iter().map(text).collect::<StringArray>()))
    }
}

/// Text without the NULs that pad it. Bytes that are not UTF-8 are read as Latin-1, as old files mean them.
fn fixed_text(cell: &[u8]) -> Arc<str> {
    let end = cell.iter().rposition(|&b| b != 0).map_or(0, |i| i + 1);
    let text = cell.get(..end).unwrap_or_default();
    match std::str::from_utf8(text) {
        Ok(text) => Arc::from(text),
        Err(_) => Arc::from(text.iter().map(|&b| char::from(b)).collect::<String>()),
    }
}

/// One axis of a tile, as a variable sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BroadcastAxis {
    /// Cells along it.
    pub(super) len: usize,
    /// False when the variable does not have it.
    pub(super) own: bool,
}

/// Repeats cells along the axes that are not `own`. No axis is empty.
fn broadcast<T: std::marker::Copy>(own: &[T], axes: &[BroadcastAxis]) -> Vec<T> {
    fn emit<T: std::marker::Copy>(own: &[T], axes: &[BroadcastAxis], out: &mut Vec<T>) {
        match axes {
            [axis, inner @ ..] if axes.iter().any(|a| !a.own) => {
                if axis.own {
                    own.chunks((own.len() / axis.len.max(1)).max(1)).for_each(|part| emit(part, inner, out));
                } else {
                    let start = out.len();
                    emit(own, inner, out);
                    let end = out.len();
                    match out.get(start).copied() {
                        Some(one) if end - start == 1 => out.resize(start + axis.len, one),
                        _ => (1..axis.len).for_each(|_| out.extend_from_within(start..end)),
                    }
                }
            }
            _ => out.extend_from_slice(own),
        }
    }
    let mut out = Vec::with_capacity(axes.iter().map(|a| a.len).product());
    emit(own, axes, &mut out);
    out
}

fn outside() -> Error {
    Error::Internal("a copy reaches out of its chunk or its tile".into())
}

macro_rules! columns {
    ($($name:ident: $t:ty => $array:ident;)*) => {
        /// A column under construction, by the type of its values.
        #[derive(Debug)]
        pub(super) enum Column {
            $($name(Builder<$t>),)*
            Text(Texts),
        }

        impl Column {
            /// `in_order`: parts come in the order of their cells. `covered`: every cell will be written.
            pub(super) fn new(decoded: DataType, cells: usize, in_order: bool, covered: bool) -> Column {
                match decoded {
                    $(DataType::$name => Column::$name(Builder::new(cells, in_order, covered)),)*
                    DataType::Float16 => Column::Float32(Builder::new(cells, in_order, covered)),
                    DataType::FixedText(_) | DataType::Text => Column::Text(Texts { values: vec![None; cells] }),
                }
            }

            /// Writes a part at its place.
            pub(super) fn add(&mut self, cells: Cells<'_>, encoding: &Encoding, copy: &Copy) -> Result<()> {
                match self {
                    $(Column::$name(builder) => with_stored!(
                        encoding.stored,
                        S => builder.add::<S>(cells, encoding, DataType::$name, copy),
                        Err(Error::Internal("text cells for a column of numbers".into()))
                    ),)*
                    Column::Text(texts) => texts.add(cells, encoding, copy),
                }
            }

            /// The finished array: one value a cell of `axes`, C order.
            pub(super) fn finish(self, axes: &[BroadcastAxis], time: Option<TimeUnit>) -> Result<ArrayRef> {
                match (self, time) {
                    (Column::Int64(builder), Some(unit)) => {
                        let (values, nulls) = builder.finish(axes);
                        Ok(match unit {
                            TimeUnit::Second => Arc::new(TimestampSecondArray::new(values.into(), nulls)),
                            TimeUnit::Microsecond => Arc::new(TimestampMicrosecondArray::new(values.into(), nulls)),
                            TimeUnit::Nanosecond => Arc::new(TimestampNanosecondArray::new(values.into(), nulls)),
                        })
                    }
                    (_, Some(_)) => Err(Error::Internal("times that are not 64-bit integers".into())),
                    $((Column::$name(builder), None) => {
                        let (values, nulls) = builder.finish(axes);
                        Ok(Arc::new($array::new(values.into(), nulls)))
                    })*
                    (Column::Text(texts), None) => texts.finish(axes),
                }
            }
        }
    };
}
columns! {
    Int8: i8 => Int8Array;
    Int16: i16 => Int16Array;
    Int32: i32 => Int32Array;
    Int64: i64 => Int64Array;
    UInt8: u8 => UInt8Array;
    UInt16: u16 => UInt16Array;
    UInt32: u32 => UInt32Array;
    UInt64: u64 => UInt64Array;
    Float32: f32 => Float32Array;
    Float64: f64 => Float64Array;
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn broadcast_repeats_along_missing_axes(axes in prop::collection::vec((1usize..5, any::<bool>()), 0..5)) {
            let axes: Vec<_> = axes.into_iter().map(|(len, own)| BroadcastAxis { len, own }).collect();
            let own: Vec<u32> = (0..axes.iter().filter(|a| a.own).map(|a| a.len).product::<usize>() as u32).collect();
            let cells: usize = axes.iter().map(|a| a.len).product();
            let want: Vec<u32> = (0..cells).map(|cell| {
                let (mut rest, mut position, mut stride) = (cell, 0, 1);
                for a in axes.iter().rev() {
                    if a.own {
                        position += rest % a.len * stride;
                        stride *= a.len;
                    }
                    rest /= a.len;
                }
                position as u32
            }).collect();
            prop_assert_eq!(broadcast(&own, &axes), want);
        }
    }

    #[test]
    fn fixed_text_loses_only_its_padding() {
        assert_eq!(&*fixed_text(b"ab\0c\0\0"), "ab\0c");
        assert_eq!(&*fixed_text(b"\0\0"), "");
        assert_eq!(&*fixed_text(b"ab  "), "ab  ");
        assert_eq!(&*fixed_text("Ørsted\0".as_bytes()), "Ørsted");
        assert_eq!(&*fixed_text(&[0x4d, 0xfc, 0x6e]), "Mün");
    }
}
