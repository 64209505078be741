//! Aggregates of neighbourhoods: values become states, states are merged along one axis after the other, and what is left
//! are the results. Every aggregate here can be split like that: the neighbourhood of a cell is a box.

use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, UInt64Array};
use datafusion::arrow::buffer::{BooleanBuffer, NullBuffer};
use datafusion::arrow::compute;
use datafusion::arrow::datatypes::{DataType, Float64Type, Int64Type, UInt64Type};
use datafusion::common::internal_err;
use datafusion::error::Result;

use super::passes::{Cut, Frames, pass};
use crate::dense::reduce::Function;

/// The cells of a box, and the frames that are merged along some of its axes.
pub(crate) struct Moving<'a> {
    /// Cells of the input along each axis.
    pub shape: Vec<usize>,
    /// Axis and frames.
    pub frames: &'a [(usize, Frames)],
    /// The values; `None` to count cells.
    pub values: Option<&'a ArrayRef>,
    /// Cells that count; `None`: all.
    pub counted: Option<BooleanBuffer>,
    /// Type of the result.
    pub output: &'a DataType,
}

/// Whether [`Moving::compute`] has a form of an aggregate of values of this type.
pub(crate) fn has_form(function: Function, input: &DataType, output: &DataType) -> bool {
    let number = input.is_integer() || matches!(input, DataType::Float32 | DataType::Float64);
    match function {
        Function::Count => true,
        Function::Sum => number && matches!(output, DataType::Float64 | DataType::Int64 | DataType::UInt64),
        Function::Avg | Function::Variance { .. } => number && *output == DataType::Float64,
        Function::Min | Function::Max => number && input == output,
        Function::Grouped => false,
    }
}

/// Count, mean, and sum of squared differences from it.
type Moments = (f64, f64, f64);

/// Both groups together (Chan, Golub, LeVeque 1983).
#[inline]
fn together((na, ma, sa): Moments, (nb, mb, sb): Moments) -> Moments {
    let n = na + nb;
    if n == 0.0 {
        return (0.0, 0.0, 0.0);
    }
    let d = mb - ma;
    (n, ma + d * (nb / n), sa + sb + d * d * (na * nb / n))
}

impl Moving<'_> {
    /// One value a cell of the result.
    pub fn compute(&self, function: Function) -> Result<ArrayRef> {
        match (function, self.values) {
            (Function::Count, _) => Ok(Arc::new(Int64Array::from_iter_values(self.counts().into_iter().map(|n| n as i64)))),
            (Function::Sum, Some(_)) if *self.output != DataType::Float64 => self.integer_sum(),
            (Function::Sum | Function::Avg, Some(_)) => self.float_sum(function == Function::Avg),
            (Function::Min, Some(_)) => self.extreme(false),
            (Function::Max, Some(_)) => self.extreme(true),
            (Function::Variance { population, root }, Some(_)) => self.variance(population, root),
            (function, _) => internal_err!("{function:?} has no moving form"),
        }
    }

    /// Merges along every axis.
    fn merged<S: Copy>(&self, states: Vec<S>, empty: S, merge: impl Fn(S, S) -> S + Copy) -> Vec<S> {
        let mut shape = self.shape.clone();
        let mut states = states;
        for (axis, frames) in self.frames {
            let (outer, inner) = (shape[..*axis].iter().product(), shape[axis + 1..].iter().product());
            states = pass(&states, Cut { outer, len: shape[*axis], inner }, frames, empty, merge);
            shape[*axis] = frames.ranges.len();
        }
        states
    }

    fn cells(&self) -> usize {
        self.shape.iter().product()
    }

    fn is_counted(&self, i: usize) -> bool {
        self.counted.as_ref().is_none_or(|c| c.value(i))
    }

    /// Cells that count in every neighbourhood.
    fn counts(&self) -> Vec<u64> {
        if self.counted.is_some() {
            return self.merged((0..self.cells()).map(|i| u64::from(self.is_counted(i))).collect(), 0, |a, b| a + b);
        }
        // All of them: the product of the frames' lengths.
        let mut counts = vec![1u64];
        for (d, &n) in self.shape.iter().enumerate() {
            let along: Vec<u64> = match self.frames.iter().find(|(axis, _)| *axis == d) {
                Some((_, frames)) => frames.lengths().map(u64::from).collect(),
                None => vec![1; n],
            };
            counts = counts.iter().flat_map(|&c| along.iter().map(move |&l| c * l)).collect();
        }
        counts
    }

    fn floats(&self) -> Result<Vec<f64>> {
        let Some(values) = self.values else { return internal_err!("values are missing") };
        Ok(compute::cast(values, &DataType::Float64)?.as_primitive::<Float64Type>().values().to_vec())
    }

    fn float_sum(&self, average: bool) -> Result<ArrayRef> {
        let values = self.floats()?;
        let (sums, counts): (Vec<f64>, Vec<u64>) = match &self.counted {
            None => (self.merged(values, 0.0, |a, b| a + b), self.counts()),
            Some(counted) => {
                let states = values.iter().zip(counted).map(|(&v, c)| if c { (v, 1.0) } else { (0.0, 0.0) }).collect();
                self.merged(states, (0.0, 0.0), |a: (f64, f64), b| (a.0 + b.0, a.1 + b.1)).into_iter().map(|(s, n)| (s, n as u64)).unzip()
            }
        };
        let some = NullBuffer::from_iter(counts.iter().map(|&n| n > 0));
        let sums: Vec<f64> = if average { sums.iter().zip(&counts).map(|(s, &n)| s / n as f64).collect() } else { sums };
        Ok(Arc::new(Float64Array::new(sums.into(), Some(some).filter(|n| n.null_count() > 0))))
    }

    /// Wraps around, as DataFusion's does.
    fn integer_sum(&self) -> Result<ArrayRef> {
        let Some(values) = self.values else { return internal_err!("values are missing") };
        let bits: Vec<i64> = match self.output {
            DataType::UInt64 => {
                compute::cast(values, &DataType::UInt64)?.as_primitive::<UInt64Type>().values().iter().map(|&v| v as i64).collect()
            }
            _ => compute::cast(values, &DataType::Int64)?.as_primitive::<Int64Type>().values().to_vec(),
        };
        let states = bits.into_iter().enumerate().map(|(i, v)| if self.is_counted(i) { v } else { 0 }).collect();
        let sums = self.merged(states, 0, i64::wrapping_add);
        let some = Some(NullBuffer::from_iter(self.counts().iter().map(|&n| n > 0)));
        Ok(match self.output {
            DataType::UInt64 => Arc::new(UInt64Array::new(sums.into_iter().map(|v| v as u64).collect::<Vec<_>>().into(), some)),
            _ => Arc::new(Int64Array::new(sums.into(), some)),
        })
    }

    fn extreme(&self, largest: bool) -> Result<ArrayRef> {
        let Some(values) = self.values else { return internal_err!("values are missing") };
        let found: ArrayRef = match values.data_type() {
            DataType::UInt64 => {
                let values = values.as_primitive::<UInt64Type>().values();
                let (best, some) = self.best(values, |a, b| if largest { a.max(b) } else { a.min(b) });
                Arc::new(UInt64Array::new(best.into(), some))
            }
            t if t.is_integer() => {
                let wide = compute::cast(values, &DataType::Int64)?;
                let (best, some) = self.best(wide.as_primitive::<Int64Type>().values(), |a, b| if largest { a.max(b) } else { a.min(b) });
                Arc::new(Int64Array::new(best.into(), some))
            }
            _ => {
                let wide = compute::cast(values, &DataType::Float64)?;
                // A computed NaN is larger than all numbers, as in DataFusion's order.
                let (best, some) =
                    self.best(wide.as_primitive::<Float64Type>().values(), |a: f64, b: f64| match a.total_cmp(&b).is_lt() == largest {
                        true => b,
                        false => a,
                    });
                Arc::new(Float64Array::new(best.into(), some))
            }
        };
        Ok(compute::cast(&found, self.output)?)
    }

    fn best<T: Copy + Default>(&self, values: &[T], better: impl Fn(T, T) -> T + Copy) -> (Vec<T>, Option<NullBuffer>) {
        let nothing = || self.frames.iter().any(|(_, frames)| frames.lengths().any(|n| n == 0));
        match &self.counted {
            None if !nothing() => (self.merged(values.to_vec(), T::default(), better), None),
            _ => {
                let states = values.iter().enumerate().map(|(i, &v)| (v, self.is_counted(i))).collect();
                let merge = |a: (T, bool), b: (T, bool)| match (a.1, b.1) {
                    (true, true) => (better(a.0, b.0), true),
                    (true, false) => a,
                    _ => b,
                };
                let (best, some): (Vec<T>, Vec<bool>) = self.merged(states, (T::default(), false), merge).into_iter().unzip();
                (best, Some(NullBuffer::from(some)))
            }
        }
    }

    fn variance(&self, population: bool, root: bool) -> Result<ArrayRef> {
        let states = self.floats()?.into_iter().enumerate();
        let states = states.map(|(i, v)| if self.is_counted(i) { (1.0, v, 0.0) } else { (0.0, 0.0, 0.0) }).collect();
        let moments = self.merged(states, (0.0, 0.0, 0.0), together);
        let divisor = |n: f64| if population { n } else { n - 1.0 };
        let value = |&(n, _, squares): &Moments| {
            let variance = squares / divisor(n);
            if root { variance.sqrt() } else { variance }
        };
        let some = NullBuffer::from_iter(moments.iter().map(|&(n, _, _)| divisor(n) > 0.0));
        Ok(Arc::new(Float64Array::new(moments.iter().map(value).collect::<Vec<_>>().into(), Some(some))))
    }
}

/// The sums of weighted neighbours: weights by offset in C order, `weights` as many as each frame product has cells.
pub(crate) fn convolve(moving: &Moving<'_>, shape: &[usize], weights: &[f64]) -> Result<ArrayRef> {
    let values = moving.floats()?;
    let dims = moving.shape.len();
    let out_shape: Vec<usize> =
        (0..dims).map(|d| moving.frames.iter().find(|(a, _)| *a == d).map_or(moving.shape[d], |(_, f)| f.ranges.len())).collect();
    let cells: usize = out_shape.iter().product();
    let mut sums = vec![0.0f64; cells];
    let mut counts = vec![0u32; cells];
    for (at, &weight) in weights.iter().enumerate() {
        // The offset along each of the frames' axes.
        let mut rest = at;
        let mut offset = vec![0usize; shape.len()];
        for (slot, &n) in offset.iter_mut().zip(shape).rev() {
            *slot = rest % n;
            rest /= n;
        }
        // For every position of the result along each axis the position of the neighbour, if there is one.
        let along: Vec<Vec<Option<u32>>> = (0..dims)
            .map(|d| match moving.frames.iter().position(|(a, _)| *a == d) {
                None => (0..moving.shape[d] as u32).map(Some).collect(),
                Some(k) => neighbour(&moving.frames[k].1, offset[k]),
            })
            .collect();
        let Some((fast, slow)) = along.split_last() else { continue };
        let mut bases: Vec<Option<usize>> = vec![Some(0)];
        for (d, list) in slow.iter().enumerate() {
            let n = moving.shape[d];
            bases = bases.iter().flat_map(|b| list.iter().map(move |j| b.zip(*j).map(|(b, j)| b * n + j as usize))).collect();
        }
        let (n, width) = (moving.shape[dims - 1], fast.len());
        // Along the fastest axis the neighbours are one stretch, but for what an edge puts at its ends.
        for (row, base) in bases.iter().enumerate() {
            let Some(base) = base else { continue };
            let (sums, counts) = (&mut sums[row * width..][..width], &mut counts[row * width..][..width]);
            for stretch in stretches(fast) {
                let from = base * n + fast[stretch.start].unwrap_or(0) as usize;
                let values = &values[from..from + stretch.len()];
                let (sums, counts) = (&mut sums[stretch.clone()], &mut counts[stretch]);
                match &moving.counted {
                    None => {
                        sums.iter_mut().zip(values).for_each(|(s, v)| *s += weight * v);
                        counts.iter_mut().for_each(|c| *c += 1);
                    }
                    Some(counted) => {
                        for (i, (s, c)) in sums.iter_mut().zip(counts).enumerate() {
                            if counted.value(from + i) {
                                *s += weight * values[i];
                                *c += 1;
                            }
                        }
                    }
                }
            }
        }
    }
    let some = NullBuffer::from_iter(counts.iter().map(|&c| c > 0));
    Ok(Arc::new(Float64Array::new(sums.into(), Some(some).filter(|n| n.null_count() > 0))))
}

/// The input row of the neighbour at an offset of every frame; frames of a convolution are never cut, `u32::MAX` among
/// their rows is beyond the end.
fn neighbour(frames: &Frames, offset: usize) -> Vec<Option<u32>> {
    let row = |r: &Range<u32>| frames.rows.get(r.start as usize + offset).copied().filter(|&row| row != u32::MAX);
    frames.ranges.iter().map(row).collect()
}

/// Stretches of positions that are there and follow each other.
fn stretches(list: &[Option<u32>]) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    for (i, at) in list.iter().enumerate() {
        let Some(at) = at else { continue };
        match found.last_mut() {
            Some(last) if last.end == i && list[i - 1].is_some_and(|before| before + 1 == *at) => last.end = i + 1,
            _ => found.push(i..i + 1),
        }
    }
    found
}
