//! `arg_max(v, k)`: the k of the cell where v is largest; `arg_min(v, k)`: where it is smallest.
//!
//! Cells where v or k is NULL, or v is NaN, do not take part; among cells with the same v the smallest k is taken, so that
//! the answer does not depend on the order of cells. NULL where no cell takes part. v and k are numbers or instants.

use datafusion::arrow::array::{Array, ArrayRef, make_array};
use datafusion::arrow::buffer::{BooleanBuffer, NullBuffer};
use datafusion::arrow::datatypes::{DataType, Float64Type};
use datafusion::error::Result;

use crate::dense::reduce::and;
use crate::dense::reduce::grouped::{Grouped, as_type, bytes_of, column, take_front};
use crate::dense::reduce::kernel::{CellMap, Target};
use crate::dense::reduce::ordered::{float_word, from_words, to_words};

/// The best v of every group and its k, as words in order; for the smallest v its words are turned round. State: v, k.
#[derive(Debug)]
pub(super) struct ArgExtreme {
    value: Vec<u64>,
    key: Vec<u64>,
    seen: Vec<bool>,
    largest: bool,
    types: (DataType, DataType),
}

impl ArgExtreme {
    /// No group yet. `types`: of v and of k.
    pub fn new(largest: bool, types: (DataType, DataType)) -> Self {
        ArgExtreme { value: vec![], key: vec![], seen: vec![], largest, types }
    }

    /// Words of v, the best one largest, and where v is a number at all.
    fn words(&self, values: &ArrayRef) -> Result<(Vec<u64>, Option<BooleanBuffer>)> {
        let mut numbers = None;
        let mut words = match values.data_type() {
            DataType::Float32 | DataType::Float64 => {
                let floats = as_type::<Float64Type>(values)?;
                let floats = floats.values();
                if floats.iter().any(|v| v.is_nan()) {
                    numbers = Some(BooleanBuffer::collect_bool(floats.len(), |i| !floats[i].is_nan()));
                }
                // -0 and 0 are the same number.
                floats.iter().map(|v| float_word(v + 0.0)).collect()
            }
            _ => to_words(values)?,
        };
        if !self.largest {
            words.iter_mut().for_each(|w| *w = !*w);
        }
        Ok((words, numbers))
    }

    #[inline(always)]
    fn one(&mut self, g: usize, value: u64, key: u64) {
        if !self.seen[g] || value > self.value[g] || (value == self.value[g] && key < self.key[g]) {
            (self.value[g], self.key[g], self.seen[g]) = (value, key, true);
        }
    }

    fn column(&self, words: &[u64], t: &DataType) -> Result<ArrayRef> {
        let values = from_words(words, t)?;
        let nulls = NullBuffer::from(self.seen.clone());
        Ok(make_array(values.to_data().into_builder().nulls(Some(nulls)).build()?))
    }
}

impl Grouped for ArgExtreme {
    fn resize(&mut self, groups: usize) {
        self.value.resize(groups, 0);
        self.key.resize(groups, 0);
        self.seen.resize(groups, false);
    }

    fn update(&mut self, map: &CellMap, values: &[ArrayRef], chosen: Option<&BooleanBuffer>) -> Result<()> {
        let (words, numbers) = self.words(column(values, 0)?)?;
        let keys = to_words(column(values, 1)?)?;
        let chosen = and(chosen, numbers.as_ref());
        map.for_each_run(chosen.as_ref(), |start, n, target| {
            let run = words[start..start + n].iter().zip(&keys[start..start + n]);
            match target {
                Target::One(g) => run.for_each(|(&v, &k)| self.one(g, v, k)),
                Target::Row(g) => run.enumerate().for_each(|(i, (&v, &k))| self.one(g + i, v, k)),
                Target::Scatter(g, numbers) => run.zip(numbers).for_each(|((&v, &k), &i)| self.one(g + i as usize, v, k)),
            }
        });
        Ok(())
    }

    fn merge(&mut self, states: &[ArrayRef], groups: &[usize]) -> Result<()> {
        let (words, _) = self.words(column(states, 0)?)?;
        let keys = column(states, 1)?;
        let words_of_keys = to_words(keys)?;
        for (i, &g) in groups.iter().enumerate().filter(|(i, _)| keys.is_valid(*i)) {
            self.one(g, words[i], words_of_keys[i]);
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ArrayRef>> {
        let values: Vec<u64> = if self.largest { self.value.clone() } else { self.value.iter().map(|w| !w).collect() };
        Ok(vec![self.column(&values, &self.types.0)?, self.value()?])
    }

    fn value(&mut self) -> Result<ArrayRef> {
        self.column(&self.key, &self.types.1)
    }

    fn take_first(&mut self, n: usize) -> Box<dyn Grouped> {
        Box::new(ArgExtreme {
            value: take_front(&mut self.value, n),
            key: take_front(&mut self.key, n),
            seen: take_front(&mut self.seen, n),
            largest: self.largest,
            types: self.types.clone(),
        })
    }

    fn bytes(&self) -> usize {
        bytes_of(&self.value) + bytes_of(&self.key) + bytes_of(&self.seen)
    }
}
