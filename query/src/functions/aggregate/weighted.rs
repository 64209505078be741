//! `wsum(v, w)` = sum of v*w, and `wavg(v, w)` = sum of v*w / sum of w, over the cells where neither is NULL.
//!
//! NULL where there is no such cell, and for `wavg` where the weights add up to 0. A weight may be 0 or negative.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, Float64Array, UInt64Array};
use datafusion::arrow::buffer::{BooleanBuffer, NullBuffer};
use datafusion::arrow::datatypes::{Float64Type, UInt64Type};
use datafusion::error::Result;

use crate::dense::reduce::grouped::{Grouped, bytes_of, column, primitive, take_front};
use crate::dense::reduce::kernel::{CellMap, Target};
use crate::dense::reduce::number::{Number, with_number_type};

/// Sums of products and of weights, and cells counted. State: these three.
#[derive(Debug)]
pub(super) struct Weighted {
    products: Vec<f64>,
    weights: Vec<f64>,
    count: Vec<u64>,
    average: bool,
}

impl Weighted {
    /// No group yet. `average`: divide by the sum of weights.
    pub fn new(average: bool) -> Self {
        Weighted { products: vec![], weights: vec![], count: vec![], average }
    }

    fn add<T: Number>(&mut self, map: &CellMap, values: &[T], weights: &[f64], chosen: Option<&BooleanBuffer>) {
        let (products, sums, count) = (&mut self.products, &mut self.weights, &mut self.count);
        map.for_each_run(chosen, |start, n, target| {
            let run = values[start..start + n].iter().zip(&weights[start..start + n]);
            match target {
                Target::One(g) => {
                    let (product, weight) = sums_of(&values[start..start + n], &weights[start..start + n]);
                    products[g] += product;
                    sums[g] += weight;
                    count[g] += n as u64;
                }
                Target::Row(g) => {
                    let groups = products[g..g + n].iter_mut().zip(&mut sums[g..g + n]).zip(&mut count[g..g + n]);
                    for (((p, s), c), (v, w)) in groups.zip(run) {
                        *p += v.float() * w;
                        *s += w;
                        *c += 1;
                    }
                }
                Target::Scatter(base, numbers) => {
                    for (&i, (v, w)) in numbers.iter().zip(run) {
                        let g = base + i as usize;
                        products[g] += v.float() * w;
                        sums[g] += w;
                        count[g] += 1;
                    }
                }
            }
        });
    }
}

/// Sums of v*w and of w in four lanes, so that additions do not wait for each other.
fn sums_of<T: Number>(values: &[T], weights: &[f64]) -> (f64, f64) {
    let (mut products, mut sums) = ([0.0f64; 4], [0.0f64; 4]);
    let (v, w) = (values.chunks_exact(4), weights.chunks_exact(4));
    let rest = v.remainder().iter().zip(w.remainder()).fold((0.0, 0.0), |(p, s), (v, w)| (p + v.float() * w, s + w));
    for (v, w) in v.zip(w) {
        for i in 0..4 {
            products[i] += v[i].float() * w[i];
            sums[i] += w[i];
        }
    }
    (products.iter().sum::<f64>() + rest.0, sums.iter().sum::<f64>() + rest.1)
}

impl Grouped for Weighted {
    fn resize(&mut self, groups: usize) {
        self.products.resize(groups, 0.0);
        self.weights.resize(groups, 0.0);
        self.count.resize(groups, 0);
    }

    fn update(&mut self, map: &CellMap, values: &[ArrayRef], chosen: Option<&BooleanBuffer>) -> Result<()> {
        let weights = crate::dense::reduce::grouped::as_type::<Float64Type>(column(values, 1)?)?;
        let values = column(values, 0)?;
        with_number_type!(values.data_type(), T => self.add(map, primitive::<T>(values)?.values(), weights.values(), chosen));
        Ok(())
    }

    fn merge(&mut self, states: &[ArrayRef], groups: &[usize]) -> Result<()> {
        let (products, weights) = (primitive::<Float64Type>(column(states, 0)?)?, primitive::<Float64Type>(column(states, 1)?)?);
        let count = primitive::<UInt64Type>(column(states, 2)?)?;
        for (i, &g) in groups.iter().enumerate() {
            self.products[g] += products.value(i);
            self.weights[g] += weights.value(i);
            self.count[g] += count.value(i);
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ArrayRef>> {
        Ok(vec![
            Arc::new(Float64Array::from(self.products.clone())),
            Arc::new(Float64Array::from(self.weights.clone())),
            Arc::new(UInt64Array::from(self.count.clone())),
        ])
    }

    fn value(&mut self) -> Result<ArrayRef> {
        let some = |g: usize| self.count[g] > 0 && !(self.average && self.weights[g] == 0.0);
        let valid = NullBuffer::from_iter((0..self.count.len()).map(some));
        let values: Vec<f64> = match self.average {
            true => self.products.iter().zip(&self.weights).map(|(p, w)| p / w).collect(),
            false => self.products.clone(),
        };
        Ok(Arc::new(Float64Array::new(values.into(), Some(valid))))
    }

    fn take_first(&mut self, n: usize) -> Box<dyn Grouped> {
        Box::new(Weighted {
            products: take_front(&mut self.products, n),
            weights: take_front(&mut self.weights, n),
            count: take_front(&mut self.count, n),
            average: self.average,
        })
    }

    fn bytes(&self) -> usize {
        bytes_of(&self.products) + bytes_of(&self.weights) + bytes_of(&self.count)
    }
}
