//! Encoding kernels: a run of stored cells to values and their validity, a block at a time.
//! value = stored * scale + offset in `f64`, rounded once (netCDF Users Guide, attribute conventions).

use super::cell::{Cast, Stored};
use super::missing::{Missing, Validity};
use crate::array::{DataType, Encoding};

/// Cells converted at a time: small enough that a block's bytes, values and flags stay in the first-level cache.
const BLOCK: usize = 4096;

/// A decoded value's type.
pub(super) trait Value: Copy + Default {
    /// True for floating point.
    const FLOAT: bool;
    /// Rounded to the type, where it has such a value.
    fn from_f64(v: f64) -> Self;
    /// Rounded to the nearest integer; `None` where the type does not reach that far.
    fn from_f64_checked(v: f64) -> Option<Self>;
    /// Exactly; `None` where the type does not reach that far.
    fn from_i128(v: i128) -> Option<Self>;
}

macro_rules! value_integer {
    ($($t:ty)*) => {$(
        impl Value for $t {
            const FLOAT: bool = false;
            fn from_f64(v: f64) -> Self {
                v as $t
            }
            fn from_f64_checked(v: f64) -> Option<Self> {
                v.is_finite().then(|| v.round() as i128).and_then(Self::from_i128)
            }
            fn from_i128(v: i128) -> Option<Self> {
                <$t>::try_from(v).ok()
            }
        }
    )*};
}
value_integer!(i8 i16 i32 i64 u8 u16 u32 u64);

macro_rules! value_float {
    ($($t:ty)*) => {$(
        impl Value for $t {
            const FLOAT: bool = true;
            fn from_f64(v: f64) -> Self {
                v as $t
            }
            fn from_f64_checked(v: f64) -> Option<Self> {
                Some(v as $t)
            }
            fn from_i128(v: i128) -> Option<Self> {
                Some(v as $t)
            }
        }
    )*};
}
value_float!(f32 f64);

/// How a stored number becomes a value.
#[derive(Debug, Clone, Copy)]
enum Rule {
    /// The same number in another type that holds it.
    Cast,
    /// To floating point.
    Linear { scale: f64, offset: f64 },
    /// To floating point, rounded to single precision first.
    Single { scale: f64, offset: f64 },
    /// To integers: exact where scale and offset are whole; NULL where the type does not reach that far.
    Counted { scale: f64, offset: f64, whole: Option<(i128, i128)> },
}

/// The conversion from stored cells `S` to values `T` by one encoding.
#[derive(Debug)]
pub(super) struct Kernel<S> {
    rule: Rule,
    missing: Missing<S>,
}

impl<S: Stored> Kernel<S> {
    pub(super) fn new<T: Value>(encoding: &Encoding, decoded: DataType) -> Self {
        let (scale, offset) = (encoding.scale, encoding.offset);
        let whole = |v: f64| (v.fract() == 0.0 && v.abs() < 1e19).then_some(v as i128);
        let rule = if T::FLOAT && !encoding.is_packed() {
            Rule::Cast
        } else if T::FLOAT && encoding.single {
            Rule::Single { scale, offset }
        } else if T::FLOAT {
            Rule::Linear { scale, offset }
        } else if !encoding.is_packed() && holds(decoded, encoding.stored) {
            Rule::Cast
        } else {
            Rule::Counted { scale, offset, whole: whole(scale).zip(whole(offset)) }
        };
        Kernel { rule, missing: Missing::new(encoding) }
    }

    /// Converts `cells` into `values` from position `at` on, which is at most `values.len()`: past the end they are
    /// appended, so that a buffer that is filled in order is written once.
    pub(super) fn run<T: Value>(&self, cells: &[u8], at: usize, values: &mut Vec<T>, validity: &mut Validity, flags: &mut Vec<u8>)
    where
        S: Cast<T>,
    {
        let mut at = at;
        for block in cells.chunks(BLOCK * S::SIZE) {
            let count = block.len() / S::SIZE;
            if at < values.len() && at + count > values.len() {
                values.resize(at + count, T::default());
            }
            let mut some_missing = !self.missing.never() && self.missing.flag(block, flags);
            match self.rule {
                Rule::Cast => write(block, at, count, values, |s: S| s.cast()),
                Rule::Single { scale, offset } => {
                    write(block, at, count, values, |s: S| T::from_f64(f64::from((s.to_f64() * scale + offset) as f32)));
                }
                Rule::Linear { scale, offset } => write(block, at, count, values, |s: S| T::from_f64(s.to_f64() * scale + offset)),
                Rule::Counted { scale, offset, whole } => {
                    if !some_missing {
                        flags.clear();
                        flags.resize(count, 0);
                    }
                    let mut flag = flags.iter_mut();
                    write(block, at, count, values, |s: S| {
                        let (value, flag) = (counted(s, scale, offset, whole), flag.next());
                        if let (None, Some(flag)) = (value, flag) {
                            *flag = 1;
                            some_missing = true;
                        }
                        value.unwrap_or_default()
                    });
                }
            }
            match some_missing {
                true => validity.set_flags(at, flags),
                false => validity.set(at, count, true),
            }
            at += count;
        }
    }

    /// One cell; `None` where it is missing.
    pub(super) fn one<T: Value>(&self, cell: &[u8]) -> Option<T>
    where
        S: Cast<T>,
    {
        let (mut values, mut validity) = (Vec::with_capacity(1), Validity::new(1, true));
        self.run(cell, 0, &mut values, &mut validity, &mut Vec::new());
        values.first().copied().filter(|_| validity.finish().is_none())
    }
}

/// The two loops that decoding spends its time in.
fn write<S: Stored, T: Value>(block: &[u8], at: usize, count: usize, values: &mut Vec<T>, mut convert: impl FnMut(S) -> T) {
    match values.get_mut(at..at + count) {
        Some(target) => {
            for (value, cell) in target.iter_mut().zip(S::cells(block)) {
                *value = convert(cell);
            }
        }
        None => values.extend(S::cells(block).map(convert)),
    }
}

/// stored * scale + offset as an integer. Of a floating-point count the whole part is multiplied exactly and only the
/// fraction is rounded: days as `f64` to nanoseconds would lose them otherwise.
fn counted<S: Stored, T: Value>(cell: S, scale: f64, offset: f64, whole: Option<(i128, i128)>) -> Option<T> {
    let Some((whole_scale, whole_offset)) = whole else {
        return T::from_f64_checked(cell.to_f64() * scale + offset);
    };
    let (count, rest) = match cell.to_i128() {
        Some(count) => (count, 0),
        None => {
            let (v, count) = (cell.to_f64(), cell.to_f64().floor());
            if count.is_nan() || count.abs() >= 1e19 {
                return None;
            }
            (count as i128, ((v - count) * scale).round() as i128)
        }
    };
    T::from_i128(count.checked_mul(whole_scale)?.checked_add(whole_offset)?.checked_add(rest)?)
}

/// True when an integer type holds every value of a stored type.
fn holds(decoded: DataType, stored: DataType) -> bool {
    if decoded == stored {
        return true;
    }
    let wider = decoded.size() > stored.size();
    decoded.is_integer() && stored.is_integer() && wider && (stored.is_unsigned() || !decoded.is_unsigned())
}

#[cfg(test)]
mod tests {
    use half::f16;
    use proptest::prelude::*;

    use super::*;
    use crate::array::{Scalar, TimeUnit};

    /// The definition, a cell at a time.
    fn model(v: f64, e: &Encoding) -> Option<f64> {
        let missing = v.is_nan()
            || e.missing.iter().any(|m| m.as_f64() == v)
            || e.valid_min.is_some_and(|m| v < m.as_f64())
            || e.valid_max.is_some_and(|m| v > m.as_f64());
        (!missing).then_some(v * e.scale + e.offset)
    }

    fn run<S: Cast<T>, T: Value>(stored: &[u8], encoding: &Encoding, split: usize) -> Vec<Option<T>> {
        let kernel = Kernel::<S>::new::<T>(encoding, encoding.decoded);
        let cells = stored.len() / S::SIZE;
        let (mut values, mut validity, mut flags) = (Vec::new(), Validity::new(cells, true), Vec::new());
        // In two runs, the second reaching over what is there: appended, overwritten and straddling.
        let split = split.min(cells);
        kernel.run(&stored[..split * S::SIZE], 0, &mut values, &mut validity, &mut flags);
        let back = split / 2;
        kernel.run(&stored[back * S::SIZE..], back, &mut values, &mut validity, &mut flags);
        let valid = validity.to_bytes().unwrap_or_else(|| vec![1; cells]);
        values.into_iter().zip(valid).map(|(v, ok)| (ok == 1).then_some(v)).collect()
    }

    fn encodings(stored: DataType, decoded: DataType) -> impl Strategy<Value = Encoding> {
        let scalar = prop_oneof![(-40i64..40).prop_map(Scalar::Int), (-40i32..40).prop_map(|v| Scalar::Float(f64::from(v) / 2.0))];
        let scale = prop_oneof![Just((1.0, 0.0)), Just((0.01, 273.15)), Just((2.0, -5.0))];
        let limit = prop::option::weighted(0.3, scalar.clone());
        (scale, prop::collection::vec(scalar, 0..4), limit.clone(), limit).prop_map(
            move |((scale, offset), missing, valid_min, valid_max)| Encoding {
                decoded,
                scale,
                offset,
                missing,
                valid_min,
                valid_max,
                ..Encoding::identity(stored)
            },
        )
    }

    macro_rules! against_the_model {
        ($($name:ident: $s:ty as $stored:ident => $t:ty as $decoded:ident, $cell:expr;)*) => {$(
            proptest! {
                #[test]
                fn $name(
                    encoding in encodings(DataType::$stored, DataType::$decoded),
                    cells in prop::collection::vec($cell, 1..300), long in prop::bool::weighted(0.05), split in 0usize..200
                ) {
                    let cells: Vec<$s> = if long { cells.iter().copied().cycle().take(9000).collect() } else { cells };
                    let stored: Vec<u8> = cells.iter().flat_map(|c| c.to_ne_bytes()).collect();
                    let want: Vec<Option<$t>> = cells.iter().map(|c| model(f64::from(*c), &encoding).map(|v| v as $t)).collect();
                    let got = run::<$s, $t>(&stored, &encoding, split);
                    prop_assert_eq!(got, want);
                    let kernel = Kernel::<$s>::new::<$t>(&encoding, encoding.decoded);
                    prop_assert_eq!(kernel.one::<$t>(&cells[0].to_ne_bytes()), model(f64::from(cells[0]), &encoding).map(|v| v as $t));
                }
            }
        )*};
    }
    against_the_model! {
        i16_to_f32: i16 as Int16 => f32 as Float32, -50i16..50;
        u8_to_f32: u8 as UInt8 => f32 as Float32, 0u8..=255;
        i8_to_f32: i8 as Int8 => f32 as Float32, any::<i8>();
        u16_to_f32: u16 as UInt16 => f32 as Float32, 0u16..80;
        i32_to_f64: i32 as Int32 => f64 as Float64, -50i32..50;
        u32_to_f64: u32 as UInt32 => f64 as Float64, any::<u32>();
        f32_to_f32: f32 as Float32 => f32 as Float32, prop_oneof![(-80i16..80).prop_map(|v| f32::from(v) / 2.0), Just(f32::NAN)];
        f64_to_f64: f64 as Float64 => f64 as Float64, prop_oneof![(-80i16..80).prop_map(|v| f64::from(v) / 2.0), Just(f64::NAN)];
        f16_to_f32: f16 as Float16 => f32 as Float32, (-80i16..80).prop_map(|v| f16::from_f32(f32::from(v) / 2.0));
    }

    #[test]
    fn integers_stay_exact_and_never_wrap() {
        let bytes = |v: &[i64]| v.iter().flat_map(|c| c.to_ne_bytes()).collect::<Vec<u8>>();
        let big = i64::MAX - 1;
        let identity = Encoding { missing: vec![Scalar::Int(i64::MIN)], ..Encoding::identity(DataType::Int64) };
        assert_eq!(run::<i64, i64>(&bytes(&[big, i64::MIN, 0]), &identity, 1), vec![Some(big), None, Some(0)]);
        let narrow = Encoding { decoded: DataType::Int16, ..Encoding::identity(DataType::Int64) };
        assert_eq!(run::<i64, i16>(&bytes(&[7, 70_000, -7]), &narrow, 0), vec![Some(7), None, Some(-7)]);
        let unsigned = Encoding { missing: vec![Scalar::UInt(u64::MAX)], ..Encoding::identity(DataType::UInt64) };
        assert_eq!(run::<u64, u64>(&bytes(&[-1, -2]), &unsigned, 0), vec![None, Some(u64::MAX - 1)]);
    }

    #[test]
    fn times_are_exact_integers() {
        let day = 86_400e9; // nanoseconds
        let epoch = -25_567.0 * day; // 1900-01-01
        let time = |stored| Encoding {
            decoded: DataType::Int64,
            scale: day,
            offset: epoch,
            time: Some(TimeUnit::Nanosecond),
            ..Encoding::identity(stored)
        };
        let at = |days: f64| Some(((days - 25_567.0) * 86_400.0) as i64 * 1_000_000_000);
        let ints: Vec<u8> = [40_000i32, 0, i32::MAX].iter().flat_map(|v| v.to_ne_bytes()).collect();
        assert_eq!(run::<i32, i64>(&ints, &time(DataType::Int32), 0), vec![at(40_000.0), at(0.0), None]);
        let floats: Vec<u8> = [40_000.25f64, f64::NAN, 1e300, 25_567.5].iter().flat_map(|v| v.to_ne_bytes()).collect();
        assert_eq!(run::<f64, i64>(&floats, &time(DataType::Float64), 0), vec![at(40_000.25), None, None, at(25_567.5)]);
        let single = Encoding { scale: 0.01, decoded: DataType::Float64, single: true, ..Encoding::identity(DataType::Int16) };
        assert_eq!(run::<i16, f64>(&7i16.to_ne_bytes(), &single, 0), vec![Some(f64::from(0.07f32))]);
        let part = Encoding { scale: 0.5, offset: 0.25, ..time(DataType::Int32) };
        assert_eq!(run::<i32, i64>(&ints[..4], &part, 0), vec![Some(20_000)]);
    }
}
