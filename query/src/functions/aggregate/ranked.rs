//! Aggregates that need all values of a group at once:
//!
//! * `quantile(v, p)`: with the n values in order, h = (n - 1) p, and a, b the values at floor(h) and the next: a + (b - a) *
//!   (h - floor(h)), `numpy.quantile`'s default ("linear"). p is a constant from 0 to 1. Always `Float64`.
//! * `median(v)` = `quantile(v, 0.5)`: for an even number of integers the mean of the two in the middle, not truncated.
//! * `mode(v)`: the value that occurs most often, of several the smallest; in v's own type.
//!
//! NULL values are skipped; no value gives NULL. A NaN that arithmetic made makes a quantile NaN, as it does a mean; for
//! `mode` all NaN are one value, larger than the others. With DISTINCT each value counts once.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, Float64Array, Int64Array, ListArray, PrimitiveArray};
use datafusion::arrow::buffer::{BooleanBuffer, OffsetBuffer};
use datafusion::arrow::compute;
use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::common::{exec_err, plan_err};
use datafusion::error::Result;

use crate::dense::reduce::grouped::{Grouped, bytes_of, column, primitive, take_front};
use crate::dense::reduce::kernel::{CellMap, Target};
use crate::dense::reduce::number::{Number, with_number_type};

/// What is made of the values of a group.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Rank {
    /// A quantile: the fraction.
    Quantile(f64),
    /// The most frequent value.
    Mode,
    /// How many different values there are: `count(DISTINCT v)`, where -0 and 0 are two, as in DataFusion's.
    Different,
}

impl Rank {
    /// A quantile; an error when `p` is not from 0 to 1.
    pub fn quantile(p: f64) -> Result<Rank> {
        if !(0.0..=1.0).contains(&p) {
            return plan_err!("quantile(v, p): p must be from 0 to 1, not {p}");
        }
        Ok(Rank::Quantile(p))
    }
}

/// Where the values of the groups stand.
#[derive(Debug)]
enum Store<N> {
    /// One vector a group, and the bytes that they hold.
    Lists(Vec<Vec<N>>, usize),
    /// One after the other: where each group begins, how many values it has, and all values; room for each is known before.
    Flat(Vec<usize>, Vec<u32>, Vec<N>),
}

impl<N: Number> Store<N> {
    fn groups(&self) -> usize {
        match self {
            Store::Lists(lists, _) => lists.len(),
            Store::Flat(_, lengths, _) => lengths.len(),
        }
    }

    fn group(&self, g: usize) -> &[N] {
        match self {
            Store::Lists(lists, _) => &lists[g],
            Store::Flat(starts, lengths, values) => &values[starts[g]..starts[g] + lengths[g] as usize],
        }
    }

    fn group_mut(&mut self, g: usize) -> &mut [N] {
        match self {
            Store::Lists(lists, _) => &mut lists[g],
            Store::Flat(starts, lengths, values) => &mut values[starts[g]..starts[g] + lengths[g] as usize],
        }
    }

    fn push(&mut self, g: usize, run: &[N]) {
        match self {
            Store::Lists(lists, held) => {
                let before = lists[g].capacity();
                lists[g].extend_from_slice(run);
                *held += (lists[g].capacity() - before) * size_of::<N>();
            }
            Store::Flat(starts, lengths, values) => {
                let at = starts[g] + lengths[g] as usize;
                values[at..at + run.len()].copy_from_slice(run);
                lengths[g] += run.len() as u32;
            }
        }
    }

    /// One value to each of the groups from `first` on.
    fn push_row(&mut self, first: usize, run: &[N]) {
        match self {
            Store::Flat(starts, lengths, values) => {
                let groups = starts[first..first + run.len()].iter().zip(&mut lengths[first..first + run.len()]);
                for ((start, length), v) in groups.zip(run) {
                    values[start + *length as usize] = *v;
                    *length += 1;
                }
            }
            Store::Lists(..) => (0..run.len()).for_each(|i| self.push(first + i, &run[i..i + 1])),
        }
    }
}

/// The values of every group. State: a list of them.
#[derive(Debug)]
struct Ranked<T: ArrowPrimitiveType> {
    store: Store<T::Native>,
    rank: Rank,
    distinct: bool,
    data_type: DataType,
}

/// States for values of `data_type`, a number or an instant.
pub(super) fn ranked(rank: Rank, distinct: bool, data_type: &DataType) -> Result<Box<dyn Grouped>> {
    with_number_type!(&stored_type(data_type), T => Ok(Box::new(Ranked::<T> {
        store: Store::Lists(vec![], 0),
        rank,
        distinct,
        data_type: data_type.clone(),
    })))
}

/// The number type in which values are kept: instants as counts of their unit.
fn stored_type(t: &DataType) -> DataType {
    match t {
        DataType::Date32 | DataType::Time32(_) => DataType::Int32,
        t if t.is_temporal() => DataType::Int64,
        other => other.clone(),
    }
}

/// The type of what comes out, for values of this type.
pub(super) fn output_type(rank: Rank, t: &DataType) -> DataType {
    match rank {
        Rank::Quantile(_) => DataType::Float64,
        Rank::Mode => t.clone(),
        Rank::Different => DataType::Int64,
    }
}

impl<T: ArrowPrimitiveType> Ranked<T>
where
    T::Native: Number,
{
    fn stored(&self, values: &ArrayRef) -> Result<PrimitiveArray<T>> {
        if values.data_type() == &T::DATA_TYPE { primitive(values) } else { primitive(&compute::cast(values, &T::DATA_TYPE)?) }
    }
}

/// The quantile of values, which come out in another order.
pub(super) fn quantile_of<N: Number>(values: &mut [N], p: f64) -> Option<f64> {
    if values.is_empty() {
        return None;
    }
    if values.iter().any(|v| v.partial_cmp(v).is_none()) {
        return Some(f64::NAN);
    }
    let h = (values.len() - 1) as f64 * p;
    let below = (h.floor() as usize).min(values.len() - 1);
    let (_, a, above) = values.select_nth_unstable_by(below, |a, b| a.compare(*b));
    let a = a.float();
    let t = h - below as f64;
    if t == 0.0 {
        return Some(a);
    }
    let b = above.iter().copied().reduce(|m, v| if v < m { v } else { m }).map_or(a, Number::float);
    // The two forms are numpy's: each is exact at its end.
    Some(if a == b {
        a
    } else if t < 0.5 {
        a + (b - a) * t
    } else {
        b - (b - a) * (1.0 - t)
    })
}

/// The smallest of the most frequent values, which come out in order.
pub(super) fn mode_of<N: Number>(values: &mut [N]) -> Option<N> {
    values.sort_unstable_by(order);
    let mut best: Option<(usize, N)> = None;
    for run in values.chunk_by(|a, b| order(a, b).is_eq()) {
        if best.is_none_or(|(n, _)| run.len() > n) {
            best = Some((run.len(), run[0]));
        }
    }
    best.map(|(_, v)| v)
}

/// Numbers by size, -0 the same as 0, every NaN the same and last.
fn order<N: Number>(a: &N, b: &N) -> std::cmp::Ordering {
    let nan = |v: &N| v.partial_cmp(v).is_none();
    a.partial_cmp(b).unwrap_or_else(|| nan(a).cmp(&nan(b)))
}

/// How many values there are that differ in some bit.
fn different<N: Number>(values: &mut [N]) -> usize {
    values.sort_unstable_by(|a, b| a.compare(*b));
    values.chunk_by(|a, b| a.is_eq(*b)).count()
}

/// Moves each value to the front once; gives how many there are.
pub(super) fn distinct<N: Number>(values: &mut [N]) -> usize {
    values.sort_unstable_by(order);
    let mut n = 0;
    for i in 0..values.len() {
        if n == 0 || order(&values[n - 1], &values[i]).is_ne() {
            values[n] = values[i];
            n += 1;
        }
    }
    n
}

impl<T: ArrowPrimitiveType + std::fmt::Debug> Grouped for Ranked<T>
where
    T::Native: Number,
{
    fn resize(&mut self, groups: usize) {
        if let Store::Lists(lists, _) = &mut self.store {
            lists.resize(groups, vec![]);
        }
    }

    fn prepare(&mut self, cells: &[usize]) {
        let starts = cells.iter().scan(0, |next, &n| Some(std::mem::replace(next, *next + n))).collect();
        self.store = Store::Flat(starts, vec![0; cells.len()], vec![Default::default(); cells.iter().sum()]);
    }

    fn update(&mut self, map: &CellMap, values: &[ArrayRef], chosen: Option<&BooleanBuffer>) -> Result<()> {
        let values = self.stored(column(values, 0)?)?;
        let (values, store) = (values.values(), &mut self.store);
        map.for_each_run(chosen, |start, n, target| {
            let run = &values[start..start + n];
            match target {
                Target::One(g) => store.push(g, run),
                Target::Row(g) => store.push_row(g, run),
                Target::Scatter(g, numbers) => numbers.iter().enumerate().for_each(|(j, &i)| store.push(g + i as usize, &run[j..j + 1])),
            }
        });
        Ok(())
    }

    fn merge(&mut self, states: &[ArrayRef], groups: &[usize]) -> Result<()> {
        let Some(lists) = column(states, 0)?.as_list_opt::<i32>() else { return exec_err!("a state of ranked values is no list") };
        for (i, &g) in groups.iter().enumerate().filter(|(i, _)| lists.is_valid(*i)) {
            let list = self.stored(&lists.value(i))?;
            self.store.push(g, list.values());
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ArrayRef>> {
        let groups = || (0..self.store.groups()).map(|g| self.store.group(g));
        let total: usize = groups().map(<[_]>::len).sum();
        if i32::try_from(total).is_err() {
            return exec_err!("{total} values to rank are more than one batch holds; group by more, or ask for less");
        }
        let offsets = OffsetBuffer::from_lengths(groups().map(<[_]>::len));
        let values: ArrayRef = Arc::new(PrimitiveArray::<T>::from_iter_values(groups().flatten().copied()));
        let values = if *values.data_type() == self.data_type { values } else { compute::cast(&values, &self.data_type)? };
        let item = Arc::new(Field::new_list_field(self.data_type.clone(), true));
        Ok(vec![Arc::new(ListArray::try_new(item, offsets, values, None)?)])
    }

    fn value(&mut self) -> Result<ArrayRef> {
        let (once, rank, groups) = (self.distinct, self.rank, self.store.groups());
        let store = &mut self.store;
        let mut each = |g: usize| {
            let values = store.group_mut(g);
            let n = if once { distinct(values) } else { values.len() };
            match rank {
                Rank::Quantile(p) => (quantile_of(&mut values[..n], p), None),
                Rank::Mode => (None, mode_of(&mut values[..n])),
                Rank::Different => (Some(different(values) as f64), None),
            }
        };
        if rank == Rank::Different {
            return Ok(Arc::new(Int64Array::from_iter_values((0..groups).map(|g| each(g).0.unwrap_or(0.0) as i64))));
        }
        match rank {
            Rank::Quantile(_) | Rank::Different => Ok(Arc::new((0..groups).map(|g| each(g).0).collect::<Float64Array>())),
            Rank::Mode => {
                let modes: ArrayRef = Arc::new(PrimitiveArray::<T>::from_iter((0..groups).map(|g| each(g).1)));
                Ok(if *modes.data_type() == self.data_type { modes } else { compute::cast(&modes, &self.data_type)? })
            }
        }
    }

    fn take_first(&mut self, n: usize) -> Box<dyn Grouped> {
        let store = match &mut self.store {
            Store::Lists(lists, held) => {
                let first = take_front(lists, n);
                let of_first: usize = first.iter().map(bytes_of).sum();
                *held = held.saturating_sub(of_first);
                Store::Lists(first, of_first)
            }
            flat => {
                let mut lists: Vec<Vec<T::Native>> = (0..flat.groups()).map(|g| flat.group(g).to_vec()).collect();
                let first = take_front(&mut lists, n);
                *flat = Store::Lists(lists, 0);
                Store::Lists(first, 0)
            }
        };
        Box::new(Ranked::<T> { store, rank: self.rank, distinct: self.distinct, data_type: self.data_type.clone() })
    }

    fn bytes(&self) -> usize {
        match &self.store {
            Store::Lists(lists, held) => bytes_of(lists) + held,
            Store::Flat(starts, lengths, values) => bytes_of(starts) + bytes_of(lengths) + bytes_of(values),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_numpys() {
        // np.quantile of the same numbers.
        let cases = [(0.0, 1.0), (0.1, 1.4), (0.25, 2.0), (0.5, 5.0), (0.9, 8.2), (1.0, 9.0)];
        for (p, expected) in cases {
            assert_eq!(quantile_of(&mut [9i16, 2, 7, 1, 5], p), Some(expected), "{p}");
        }
        assert_eq!(quantile_of(&mut [4u8, 1], 0.5), Some(2.5));
        assert_eq!(quantile_of::<f32>(&mut [], 0.5), None);
        assert!(quantile_of(&mut [1.0, f64::NAN], 0.5).unwrap().is_nan());
        assert!(Rank::quantile(1.5).unwrap_err().to_string().contains("p must be from 0 to 1"));
    }

    #[test]
    fn of_several_modes_the_smallest() {
        assert_eq!(mode_of(&mut [3, 1, 3, 1, 2]), Some(1));
        assert_eq!(mode_of(&mut [0.0, -0.0, -5.0]), Some(0.0));
        assert_eq!(mode_of::<u8>(&mut []), None);
    }
}
