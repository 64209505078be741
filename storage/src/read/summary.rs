//! What the cells of a chunk come to (lowest, highest, sum, counts), computed from decoded values in one pass of eight lanes.

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, PrimitiveArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType as ArrowType, TimeUnit};

use super::copy::Copy;
use super::plan::{ColumnPlan, Part};
use crate::Result;
use crate::array::ChunkRef;
use crate::catalog::{ChunkOf, ChunkStatistics, Extremes, StatisticsStore};

const LANES: usize = 8;

/// Notes what whole chunks in the columns of a tile come to, where that is not known yet. True when it is time to write.
pub(super) fn note(columns: &[(&ColumnPlan, &ArrayRef)], store: &StatisticsStore) -> Result<bool> {
    let mut wanted: Vec<(&ArrayRef, &Part)> = Vec::new();
    for (plan, values) in columns {
        // A column that was repeated along an axis of others has no place for its own cells.
        if plan.decoded.is_text() || !plan.axes.iter().all(|axis| axis.own || axis.len == 1) {
            continue;
        }
        // The index does not know the version of a chunk that is an object of its own: what is known of it may be of another.
        let lasting = |part: &&Part| part.whole && !matches!(part.reference, ChunkRef::Key { .. });
        wanted.extend(plan.parts.iter().filter(lasting).map(|part| (*values, part)));
    }
    if wanted.is_empty() {
        return Ok(false);
    }
    let known = store.get(&wanted.iter().map(|(_, part)| part.chunk_of()).collect::<Vec<ChunkOf>>());
    let mut found = Vec::new();
    for ((values, part), _) in wanted.into_iter().zip(known).filter(|(_, known)| known.is_none()) {
        if let Some(statistics) = of_values(values, &part.copy)? {
            found.push((part.chunk_of(), statistics));
        }
    }
    Ok(!found.is_empty() && store.note(found))
}

/// What the cells that a copy wrote come to; `None` for types that have no order of ours, and where NaN is among the values.
fn of_values(values: &ArrayRef, copy: &Copy) -> Result<Option<ChunkStatistics>> {
    use arrow::datatypes as t;
    match values.data_type() {
        ArrowType::Int8 => of_type::<t::Int8Type>(values, copy),
        ArrowType::Int16 => of_type::<t::Int16Type>(values, copy),
        ArrowType::Int32 => of_type::<t::Int32Type>(values, copy),
        ArrowType::Int64 => of_type::<t::Int64Type>(values, copy),
        ArrowType::UInt8 => of_type::<t::UInt8Type>(values, copy),
        ArrowType::UInt16 => of_type::<t::UInt16Type>(values, copy),
        ArrowType::UInt32 => of_type::<t::UInt32Type>(values, copy),
        ArrowType::UInt64 => of_type::<t::UInt64Type>(values, copy),
        ArrowType::Float32 => of_type::<t::Float32Type>(values, copy),
        ArrowType::Float64 => of_type::<t::Float64Type>(values, copy),
        ArrowType::Timestamp(TimeUnit::Second, _) => of_type::<t::TimestampSecondType>(values, copy),
        ArrowType::Timestamp(TimeUnit::Microsecond, _) => of_type::<t::TimestampMicrosecondType>(values, copy),
        ArrowType::Timestamp(TimeUnit::Nanosecond, _) => of_type::<t::TimestampNanosecondType>(values, copy),
        _ => Ok(None),
    }
}

fn of_type<T: ArrowPrimitiveType>(values: &ArrayRef, copy: &Copy) -> Result<Option<ChunkStatistics>>
where
    T::Native: Number,
{
    let Some(array) = values.as_any().downcast_ref::<PrimitiveArray<T>>() else { return Ok(None) };
    let nulls = array.nulls().filter(|nulls| nulls.null_count() > 0);
    let mut summary = Summary::<T::Native>::new();
    let each = |work: &mut dyn FnMut(&[T::Native], usize)| {
        copy.runs(|_, to, count| {
            if let Some(run) = array.values().get(to..to + count) {
                work(run, to);
            }
            Ok(())
        })
    };
    each(&mut |run, to| summary.add(run, nulls.map(|nulls| (nulls, to))))?;
    let Some(mut found) = summary.finish() else { return Ok(None) };
    if let Some(Extremes::Float(low, high)) = &mut found.extremes
        && (*low == 0.0 || *high == 0.0)
    {
        // Comparing does not tell the zeros apart; where a negative one is among the cells, both signs may be wrong.
        let mut negative = false;
        each(&mut |run, _| negative |= run.iter().any(|v| v.is_negative_zero()))?;
        let zero = if negative { -0.0 } else { 0.0 };
        [low, high].into_iter().filter(|end| **end == 0.0).for_each(|end| *end = zero);
    }
    Ok(Some(found))
}

/// A number as summaries see it.
trait Number: std::marker::Copy + PartialOrd + Default {
    /// Nothing is higher, nothing is lower.
    const ENDS: (Self, Self);
    fn float(self) -> f64;
    /// 0 for floats, whose conversion would take longer than all the rest.
    fn integer(self) -> i64;
    fn is_negative_zero(self) -> bool;
    fn extremes(low: Self, high: Self) -> Extremes;
}

macro_rules! numbers {
    ($($t:ty: $kind:ident as $wide:ty, $high:expr, $low:expr, $whole:literal;)*) => {$(impl Number for $t {
        const ENDS: (Self, Self) = ($high, $low);
        #[inline(always)]
        fn float(self) -> f64 { self as f64 }
        #[inline(always)]
        fn integer(self) -> i64 { if $whole { self as i64 } else { 0 } }
        #[inline(always)]
        fn is_negative_zero(self) -> bool { self as f64 == 0.0 && (self as f64).is_sign_negative() }
        fn extremes(low: Self, high: Self) -> Extremes { Extremes::$kind(low as $wide, high as $wide) }
    })*};
}
numbers! {
    i8: Signed as i64, i8::MAX, i8::MIN, true;
    i16: Signed as i64, i16::MAX, i16::MIN, true;
    i32: Signed as i64, i32::MAX, i32::MIN, true;
    i64: Signed as i64, i64::MAX, i64::MIN, true;
    u8: Unsigned as u64, u8::MAX, u8::MIN, true;
    u16: Unsigned as u64, u16::MAX, u16::MIN, true;
    u32: Unsigned as u64, u32::MAX, u32::MIN, true;
    u64: Unsigned as u64, u64::MAX, u64::MIN, true;
    f32: Float as f64, f32::INFINITY, f32::NEG_INFINITY, false;
    f64: Float as f64, f64::INFINITY, f64::NEG_INFINITY, false;
}

/// What was seen so far, by lane.
struct Summary<T> {
    valid: u64,
    missing: u64,
    low: [T; LANES],
    high: [T; LANES],
    sum: [f64; LANES],
    integers: [i64; LANES],
}

impl<T: Number> Summary<T> {
    fn new() -> Summary<T> {
        Summary { valid: 0, missing: 0, low: [T::ENDS.0; LANES], high: [T::ENDS.1; LANES], sum: [0.0; LANES], integers: [0; LANES] }
    }

    /// Adds cells; `nulls` come with the position of the first of them.
    fn add(&mut self, run: &[T], nulls: Option<(&NullBuffer, usize)>) {
        let Some((nulls, at)) = nulls else { return self.all(run) };
        let bits = nulls.inner().slice(at, run.len());
        let chunks = bits.bit_chunks();
        for (cells, word) in run.chunks(64).zip(chunks.iter_padded()) {
            let whole = u64::MAX >> (64 - cells.len());
            match word & whole {
                0 => self.missing += cells.len() as u64,
                word if word == whole => self.all(cells),
                word => self.some(cells, word),
            }
        }
    }

    #[inline(always)]
    fn all(&mut self, run: &[T]) {
        self.valid += run.len() as u64;
        let (lanes, rest) = run.as_chunks::<LANES>();
        let (mut low, mut high, mut sum, mut integers) = (self.low, self.high, self.sum, self.integers);
        for cells in lanes {
            for lane in 0..LANES {
                let v = cells[lane];
                low[lane] = if v < low[lane] { v } else { low[lane] };
                high[lane] = if v > high[lane] { v } else { high[lane] };
                sum[lane] += v.float();
                integers[lane] = integers[lane].wrapping_add(v.integer());
            }
        }
        for (lane, &v) in rest.iter().enumerate() {
            low[lane] = if v < low[lane] { v } else { low[lane] };
            high[lane] = if v > high[lane] { v } else { high[lane] };
            sum[lane] += v.float();
            integers[lane] = integers[lane].wrapping_add(v.integer());
        }
        (self.low, self.high, self.sum, self.integers) = (low, high, sum, integers);
    }

    /// Up to 64 cells of which some are missing: those are replaced by what changes nothing.
    fn some(&mut self, run: &[T], word: u64) {
        let valid = u64::from(word.count_ones());
        self.valid += valid;
        self.missing += run.len() as u64 - valid;
        for (group, cells) in run.chunks(LANES).enumerate() {
            for (lane, &v) in cells.iter().enumerate() {
                let is = word >> (group * LANES + lane) & 1 == 1;
                let (low, high, value) = if is { (v, v, v) } else { (T::ENDS.0, T::ENDS.1, T::default()) };
                self.low[lane] = if low < self.low[lane] { low } else { self.low[lane] };
                self.high[lane] = if high > self.high[lane] { high } else { self.high[lane] };
                self.sum[lane] += value.float();
                self.integers[lane] = self.integers[lane].wrapping_add(value.integer());
            }
        }
    }

    fn finish(self) -> Option<ChunkStatistics> {
        let sum: f64 = self.sum.iter().sum();
        // NaN, or infinities of both signs: what compares with it is not for the extremes to say.
        if sum.is_nan() {
            return None;
        }
        let low = self.low.into_iter().fold(T::ENDS.0, |a, b| if b < a { b } else { a });
        let high = self.high.into_iter().fold(T::ENDS.1, |a, b| if b > a { b } else { a });
        let extremes = (self.valid > 0).then(|| T::extremes(low, high));
        let integers = match extremes {
            Some(Extremes::Float(..)) | None => 0,
            _ => self.integers.iter().fold(0i64, |a, b| a.wrapping_add(*b)),
        };
        Some(ChunkStatistics { valid: self.valid, missing: self.missing, extremes, sum, integers })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Float32Array, Float64Array, Int64Array, StringArray, UInt64Array};
    use proptest::prelude::*;

    use super::*;

    fn of(values: ArrayRef) -> Option<ChunkStatistics> {
        let n = values.len();
        of_values(&values, &Copy::new(&[n], &[1], &[1], 0, 0)).unwrap()
    }

    proptest! {
        #[test]
        fn a_summary_is_what_a_loop_over_cells_finds(cells in prop::collection::vec(prop::option::weighted(0.8, -1000i32..1000), 0..400), holes in any::<bool>()) {
            let cells: Vec<Option<i32>> = if holes { cells } else { cells.into_iter().map(|c| Some(c.unwrap_or(0))).collect() };
            let valid: Vec<i32> = cells.iter().flatten().copied().collect();
            let floats: Float32Array = cells.iter().map(|c| c.map(|v| v as f32 / 8.0)).collect();
            let ends = valid.iter().min().zip(valid.iter().max());
            let sum: i64 = valid.iter().map(|&v| i64::from(v)).sum();
            let want = ChunkStatistics {
                valid: valid.len() as u64,
                missing: (cells.len() - valid.len()) as u64,
                extremes: ends.map(|(a, b)| Extremes::Float(f64::from(*a) / 8.0, f64::from(*b) / 8.0)),
                sum: sum as f64 / 8.0,
                integers: 0,
            };
            prop_assert_eq!(of(Arc::new(floats)), Some(want));
            let integers: Int64Array = cells.iter().map(|c| c.map(i64::from)).collect();
            let extremes = ends.map(|(a, b)| Extremes::Signed((*a).into(), (*b).into()));
            prop_assert_eq!(of(Arc::new(integers)), Some(ChunkStatistics { extremes, sum: sum as f64, integers: sum, ..want }));
        }
    }

    #[test]
    fn a_box_inside_a_tile_is_summed_alone() {
        // The middle two of four columns, in three rows of which the last is left out.
        let values: ArrayRef = Arc::new(Float64Array::from_iter((0..12).map(|i| (i != 5).then_some(f64::from(i)))));
        let copy = Copy::new(&[2, 2], &[2, 1], &[4, 1], 0, 1);
        let found = of_values(&values, &copy).unwrap().unwrap();
        assert_eq!((found.valid, found.missing, found.sum, found.extremes), (3, 1, 9.0, Some(Extremes::Float(1.0, 6.0))));
    }

    #[test]
    fn what_floats_cannot_say_is_left_open() {
        assert_eq!(of(Arc::new(Float32Array::from(vec![1.0, f32::NAN]))), None);
        assert_eq!(of(Arc::new(Float32Array::from(vec![f32::INFINITY, f32::NEG_INFINITY]))), None);
        let found = of(Arc::new(Float32Array::from(vec![1.0, f32::INFINITY]))).unwrap();
        assert_eq!((found.extremes, found.sum), (Some(Extremes::Float(1.0, f64::INFINITY)), f64::INFINITY));
        // Zeros: the sign is right where no negative one is among the cells.
        let signs = |values: Vec<f32>| match of(Arc::new(Float32Array::from(values))).unwrap().extremes {
            Some(Extremes::Float(a, b)) => (a.is_sign_negative(), b.is_sign_negative()),
            other => panic!("{other:?}"),
        };
        assert_eq!(
            (signs(vec![0.0, 2.0]), signs(vec![0.0, -0.0, 2.0]), signs(vec![0.0, -0.0])),
            ((false, false), (true, false), (true, true))
        );
        // Integers beyond 2^53 stay what they are.
        let large = vec![u64::MAX, u64::MAX - 1];
        assert_eq!(of(Arc::new(UInt64Array::from(large))).unwrap().extremes, Some(Extremes::Unsigned(u64::MAX - 1, u64::MAX)));
        assert_eq!(of(Arc::new(StringArray::from(vec!["a"]))), None);
        let nothing = of(Arc::new(Float32Array::from(vec![None::<f32>, None]))).unwrap();
        assert_eq!((nothing.valid, nothing.missing, nothing.extremes, nothing.sum), (0, 2, None, 0.0));
    }
}
