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

/// Values whose places are computed together, without a branch.
const BLOCK: usize = 256;
/// Tallies that take turns, so that equal values after each other need not wait for one another.
const TALLIES: usize = 4;
/// Added to a small number, it leaves the nearest integer in the low bits.
const INTEGER: f64 = 6_755_399_441_055_744.0;

/// The bins.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Bins {
    low: f64,
    high: f64,
    /// Bins a unit.
    scale: f64,
    /// Nearer than this to an edge, in bins, rounding may have moved a value over it.
    doubt: f64,
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
        let scale = n as f64 / (high - low);
        // The product is off by some units in the last place of n, an edge by some of the larger bound.
        let doubt = 1e-9 + 4.0 * f64::EPSILON * low.abs().max(high.abs()) * scale;
        Ok(Bins { low, high, scale, doubt, edges: edges.into() })
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
        let mut bin = (((v - self.low) * self.scale) as usize).min(n - 1);
        if v < self.edges[bin] {
            bin -= 1;
        } else if bin + 1 < n && v >= self.edges[bin + 1] {
            bin += 1;
        }
        Some(bin)
    }

    /// The place of each value of a block: 0 below the bins (and NaN), 1 + the bin, or 1 + n above. False when a value is too
    /// near to an edge to tell.
    #[inline]
    fn places<T: Number>(&self, block: &[T], places: &mut [u32; BLOCK]) -> bool {
        let above = self.len() as f64 + 0.75;
        let mut clear = true;
        for (place, v) in places.iter_mut().zip(block) {
            let p = (v.float() - self.low) * self.scale;
            let p = if p > -0.75 { p } else { -0.75 };
            let p = if p < above { p } else { above };
            let nearest = (p + INTEGER) - INTEGER;
            clear &= (p - nearest).abs() >= self.doubt;
            *place = (p + 0.5 + INTEGER).to_bits() as u32;
        }
        clear
    }

    /// Adds many values to the counts of one group.
    fn count<T: Number>(&self, values: &[T], counts: &mut [i64], tallies: &mut [Vec<u32>; TALLIES]) {
        let mut places = [0; BLOCK];
        tallies.iter_mut().for_each(|t| {
            t.clear();
            t.resize(self.len() + 2, 0);
        });
        for block in values.chunks(BLOCK) {
            if self.places(block, &mut places) {
                for (i, &place) in places[..block.len()].iter().enumerate() {
                    tallies[i % TALLIES][place as usize] += 1;
                }
            } else {
                block.iter().filter_map(|v| self.of(v.float())).for_each(|bin| counts[bin] += 1);
            }
        }
        for tally in tallies {
            counts.iter_mut().zip(&tally[1..]).for_each(|(count, &more)| *count += i64::from(more));
        }
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
        let mut tallies = [const { vec![] }; TALLIES];
        map.for_each_run(chosen, |start, len, target| {
            let found = values[start..start + len].iter().map(|v| bins.of(v.float()));
            match target {
                Target::One(g) => {
                    let counts = &mut counts[g * n..(g + 1) * n];
                    // Tallies cost some steps a bin: only where there are more values than that.
                    match len > TALLIES * n && u32::try_from(len).is_ok() {
                        true => bins.count(&values[start..start + len], counts, &mut tallies),
                        false => found.flatten().for_each(|bin| counts[bin] += 1),
                    }
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
    fn many_values_are_counted_as_one_by_one() {
        let cases =
            [(0.0, 1.0, 10), (-3.0, 5.0, 7), (1e9, 1e9 + 1e-3, 50), (200.0005, 330.0005, 100), (0.0, 1e-300, 3), (-1e300, 1e300, 4)];
        for (low, high, n) in cases {
            let bins = Bins::new(low, high, n).unwrap();
            let values: Vec<f64> = (0..5000)
                .map(|i| match i % 11 {
                    0 => bins.edges[i % (n as usize + 1)],
                    1 => bins.edges[i % (n as usize + 1)].next_down(),
                    2 => f64::NAN,
                    3 => f64::INFINITY,
                    4 => f64::NEG_INFINITY,
                    // Outside by a little, and everywhere inside; blocks after the first half hold no doubtful ones.
                    _ => low + (high - low) * ((i as f64 * 0.618_033_988).fract() * 1.1 - 0.05),
                })
                .enumerate()
                .map(|(i, v)| if i > 2500 && i % 11 < 2 { high * 2.0 + 1.0 } else { v })
                .collect();
            let mut expected = vec![0; n as usize];
            values.iter().filter_map(|&v| bins.of(v)).for_each(|bin| expected[bin] += 1);
            let mut counts = vec![0; n as usize];
            bins.count::<f64>(&values, &mut counts, &mut [const { vec![] }; TALLIES]);
            assert_eq!(counts, expected, "{low}..{high} in {n}");
        }
    }

    #[test]
    fn bounds_in_the_wrong_order_are_refused() {
        assert!(Bins::new(1.0, 1.0, 3).unwrap_err().to_string().contains("lo must be less than hi"));
        assert!(Bins::new(0.0, 1.0, 0).unwrap_err().to_string().contains("n must be from 1"));
    }
}
