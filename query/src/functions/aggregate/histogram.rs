//! `histogram(v, lo, hi, n)`: how many cells fall into each of n bins of equal width from lo to hi, a list of n counts.
//!
//! Bin i holds lo + i*(hi-lo)/n <= v < lo + (i+1)*(hi-lo)/n, the last one hi as well, as in `numpy.histogram`. NULL, NaN and
//! values outside are not counted. lo, hi and n are constants; lo < hi, 1 <= n <= 65536. A group of nothing has n zeros.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int64Array, ListArray};
use datafusion::arrow::buffer::{BooleanBuffer, OffsetBuffer};
use datafusion::arrow::datatypes::{DataType, Field, Int64Type};
use datafusion::common::{exec_err, plan_err};
use datafusion::error::Result;

use crate::dense::reduce::grouped::{Grouped, bytes_of, column, primitive, take_front};
use crate::dense::reduce::kernel::{CellMap, Target};
use crate::dense::reduce::number::{Number, with_number_type};

/// Bins above which a histogram is a mistake.
const MOST_BINS: i64 = 1 << 16;

/// The bins.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Bins {
    low: f64,
    high: f64,
    /// n + 1 edges, as `numpy.linspace` gives them.
    edges: Arc<[f64]>,
}

impl Bins {
    /// Errors say which of the three is wrong.
    pub fn new(low: f64, high: f64, n: i64) -> Result<Bins> {
        if !(low.is_finite() && high.is_finite() && low < high) {
            return plan_err!("histogram(v, lo, hi, n): lo must be less than hi, not {low} and {high}");
        }
        if !(1..=MOST_BINS).contains(&n) {
            return plan_err!("histogram(v, lo, hi, n): n must be from 1 to {MOST_BINS}, not {n}");
        }
        let step = (high - low) / n as f64;
        let mut edges: Vec<f64> = (0..=n).map(|i| low + i as f64 * step).collect();
        if let Some(last) = edges.last_mut() {
            *last = high;
        }
        Ok(Bins { low, high, edges: edges.into() })
    }

    fn len(&self) -> usize {
        self.edges.len() - 1
    }

    /// The bin of a value: computed, then set right by the edges themselves, as numpy does.
    #[inline(always)]
    fn of(&self, v: f64) -> Option<usize> {
        if !(v >= self.low && v <= self.high) {
            return None;
        }
        let n = self.len();
        let mut bin = (((v - self.low) / (self.high - self.low) * n as f64) as usize).min(n - 1);
        if v < self.edges[bin] {
            bin -= 1;
        } else if bin + 1 < n && v >= self.edges[bin + 1] {
            bin += 1;
        }
        Some(bin)
    }
}

/// Type of the list that a histogram is.
pub(super) fn list_of_counts() -> DataType {
    DataType::List(Arc::new(Field::new_list_field(DataType::Int64, true)))
}

/// Counts, n a group. State: the list itself.
#[derive(Debug)]
pub(super) struct Histogram {
    counts: Vec<i64>,
    groups: usize,
    bins: Bins,
}

impl Histogram {
    /// No group yet.
    pub fn new(bins: Bins) -> Self {
        Histogram { counts: vec![], groups: 0, bins }
    }

    fn add<T: Number>(&mut self, map: &CellMap, values: &[T], chosen: Option<&BooleanBuffer>) {
        let (counts, bins, n) = (&mut self.counts, &self.bins, self.bins.len());
        map.for_each_run(chosen, |start, len, target| {
            let found = values[start..start + len].iter().map(|v| bins.of(v.float()));
            match target {
                Target::One(g) => {
                    let counts = &mut counts[g * n..(g + 1) * n];
                    found.flatten().for_each(|bin| counts[bin] += 1);
                }
                Target::Row(g) => found.enumerate().for_each(|(i, bin)| {
                    if let Some(bin) = bin {
                        counts[(g + i) * n + bin] += 1;
                    }
                }),
                Target::Scatter(g, numbers) => found.zip(numbers).for_each(|(bin, &i)| {
                    if let Some(bin) = bin {
                        counts[(g + i as usize) * n + bin] += 1;
                    }
                }),
            }
        });
    }
}

impl Grouped for Histogram {
    fn resize(&mut self, groups: usize) {
        self.groups = groups;
        self.counts.resize(groups.saturating_mul(self.bins.len()), 0);
    }

    fn update(&mut self, map: &CellMap, values: &[ArrayRef], chosen: Option<&BooleanBuffer>) -> Result<()> {
        let values = column(values, 0)?;
        with_number_type!(values.data_type(), T => self.add(map, primitive::<T>(values)?.values(), chosen));
        Ok(())
    }

    fn merge(&mut self, states: &[ArrayRef], groups: &[usize]) -> Result<()> {
        let n = self.bins.len();
        let Some(lists) = column(states, 0)?.as_list_opt::<i32>() else { return exec_err!("the state of a histogram is no list") };
        for (i, &g) in groups.iter().enumerate().filter(|(i, _)| lists.is_valid(*i)) {
            let list = primitive::<Int64Type>(&lists.value(i))?;
            self.counts[g * n..(g + 1) * n].iter_mut().zip(list.values()).for_each(|(c, more)| *c += more);
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.value()?])
    }

    fn value(&mut self) -> Result<ArrayRef> {
        let n = self.bins.len();
        if i32::try_from(self.counts.len()).is_err() {
            return exec_err!("{} groups with {n} bins each are more than one batch holds; ask for less", self.groups);
        }
        let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(n, self.groups));
        let item = Arc::new(Field::new_list_field(DataType::Int64, true));
        Ok(Arc::new(ListArray::try_new(item, offsets, Arc::new(Int64Array::from(self.counts.clone())), None)?))
    }

    fn take_first(&mut self, n: usize) -> Box<dyn Grouped> {
        let first = n.min(self.groups);
        self.groups -= first;
        Box::new(Histogram { counts: take_front(&mut self.counts, first * self.bins.len()), groups: first, bins: self.bins.clone() })
    }

    fn bytes(&self) -> usize {
        bytes_of(&self.counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_are_numpys() {
        // np.histogram's bin of each, by np.digitize over np.linspace(0, 1, 11) and the last edge included.
        let bins = Bins::new(0.0, 1.0, 10).unwrap();
        let cases =
            [(0.0, Some(0)), (0.1, Some(1)), (0.3, Some(2)), (0.30000000000000004, Some(3)), (0.7, Some(6)), (0.7000000000000001, Some(7))];
        for (v, bin) in cases {
            assert_eq!(bins.of(v), bin, "{v}");
        }
        assert_eq!((bins.of(1.0), bins.of(1.0000001), bins.of(-1e-9), bins.of(f64::NAN)), (Some(9), None, None, None));
    }

    #[test]
    fn bounds_in_the_wrong_order_are_refused() {
        assert!(Bins::new(1.0, 1.0, 3).unwrap_err().to_string().contains("lo must be less than hi"));
        assert!(Bins::new(0.0, 1.0, 0).unwrap_err().to_string().contains("n must be from 1"));
    }
}
