//! Accumulators: one value a group, updated a run of cells at a time, and their way out: state rows in the layout of
//! DataFusion's own aggregates, or final values.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, ArrowPrimitiveType, Float64Array, Int64Array, PrimitiveArray, UInt64Array};
use datafusion::arrow::buffer::{BooleanBuffer, NullBuffer};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::internal_err;
use datafusion::error::Result;
use graticule_storage::catalog::ChunkStatistics;

use super::accumulate::Function;
use super::grouped::{Grouped, valid_cells};
use super::kernel::{CellMap, Target};
use super::number::{Number, with_number_type};
use super::{Aggregate, and};
use crate::dense::known::{self, Answered};
use crate::dense::program::{Cells, evaluate, true_cells};

/// The states of all aggregates for the groups of one block.
pub(crate) struct Accumulators {
    /// One entry an aggregate.
    pub columns: Vec<Column>,
    seen: Option<Vec<bool>>,
}

impl Accumulators {
    /// Empty states for `groups` groups; `sparse`: note which groups have a cell at all.
    pub fn new(aggregates: &[Aggregate], groups: usize, sparse: bool) -> Result<Accumulators> {
        let columns = aggregates.iter().map(|a| Column::new(a, groups)).collect::<Result<_>>()?;
        Ok(Accumulators { columns, seen: sparse.then(|| vec![false; groups]) })
    }

    /// Bytes that [`Accumulators::new`] allocates.
    pub fn bytes(aggregates: &[Aggregate], groups: usize) -> usize {
        groups.saturating_mul(aggregates.iter().map(Aggregate::group_bytes).sum::<usize>() + 1)
    }

    /// Makes room for more groups.
    pub fn resize(&mut self, groups: usize) {
        self.columns.iter_mut().for_each(|column| column.resize(groups));
        if let Some(seen) = &mut self.seen {
            seen.resize(groups, false);
        }
    }

    /// Says how many cells each group can have at most, before any is added.
    pub fn prepare(&mut self, cells: &[usize]) {
        for column in &mut self.columns {
            if let Column::Grouped(state) = column {
                state.prepare(cells);
            }
        }
    }

    /// The value of every group, of the first aggregate.
    pub fn into_only_final(self) -> Result<ArrayRef> {
        match self.columns.into_iter().next() {
            Some(column) => column.into_final(),
            None => internal_err!("a reduction without an aggregate"),
        }
    }

    /// The groups that have a cell, where that was noted.
    pub fn present(&self) -> Option<BooleanBuffer> {
        self.seen.as_ref().map(|seen| BooleanBuffer::collect_bool(seen.len(), |i| seen[i]))
    }

    /// Notes the groups that have a cell.
    pub fn see(&mut self, map: &CellMap, chosen: Option<&BooleanBuffer>) {
        if let Some(seen) = &mut self.seen {
            map.for_each_run(chosen, |_, n, target| match target {
                Target::One(g) => seen[g] = true,
                Target::Row(g) => seen[g..g + n].fill(true),
                Target::Scatter(g, numbers) => numbers.iter().for_each(|&i| seen[g + i as usize] = true),
            });
        }
    }

    /// Adds the cells of one tile by what is known of its chunks.
    pub fn add_known(&mut self, aggregates: &[Aggregate], tile: &Answered, map: &CellMap) -> Result<()> {
        self.see(map, None);
        for ((aggregate, column), chunks) in aggregates.iter().zip(&mut self.columns).zip(&tile.aggregates) {
            match chunks {
                None => column.count(map, None)?,
                Some(chunks) => column.add_known(aggregate, chunks)?,
            }
        }
        Ok(())
    }

    /// Adds the cells of one tile.
    pub fn update(&mut self, aggregates: &[Aggregate], cells: &Cells, map: &CellMap) -> Result<()> {
        self.see(map, cells.mask.as_ref());
        for (aggregate, column) in aggregates.iter().zip(&mut self.columns) {
            let filter = match &aggregate.filter {
                Some(expr) => Some(true_cells(&evaluate(expr, cells)?)?),
                None => None,
            };
            let chosen = and(cells.mask.as_ref(), filter.as_ref());
            if let Column::Grouped(state) = column {
                let chosen_cells = Cells { batch: cells.batch.clone(), mask: chosen.clone() };
                let values = aggregate.arguments.iter().map(|e| evaluate(e, &chosen_cells)).collect::<Result<Vec<_>>>()?;
                let skips = aggregate.grouped.as_ref().is_none_or(|g| g.skips_null);
                let chosen = if skips { valid_cells(&values, chosen) } else { chosen };
                state.update(map, &values, chosen.as_ref())?;
                continue;
            }
            match aggregate.arguments.first() {
                None => column.count(map, chosen.as_ref())?,
                Some(expr) => {
                    let values = evaluate(expr, &Cells { batch: cells.batch.clone(), mask: chosen.clone() })?;
                    let valid = values.logical_nulls();
                    let chosen = and(chosen.as_ref(), valid.as_ref().filter(|n| n.null_count() > 0).map(|n| n.inner()));
                    column.update(map, &values, chosen.as_ref())?;
                }
            }
        }
        Ok(())
    }
}

/// The state of one aggregate for every group.
pub(crate) enum Column {
    /// Cells counted.
    Count(Vec<i64>),
    /// Integer sum (wrapping, as DataFusion's) and whether anything was added.
    SumInt(Vec<i64>, Vec<bool>, DataType),
    /// Sum and count; `avg` where the flag is set, else `sum`.
    Sum(Vec<f64>, Vec<u64>, bool),
    /// Extremes, in the argument's own type.
    Extreme(Box<dyn Extreme>),
    /// Count, first value, and sums of differences from it and of their squares: exact enough for data far from zero.
    Moments { count: Vec<u64>, shift: Vec<f64>, sum: Vec<f64>, squares: Vec<f64>, population: bool, root: bool },
    /// Any other aggregate.
    Grouped(Box<dyn Grouped>),
}

impl Column {
    fn new(aggregate: &Aggregate, n: usize) -> Result<Column> {
        Ok(match aggregate.function {
            Function::Count => Column::Count(vec![0; n]),
            Function::Sum if aggregate.output != DataType::Float64 => Column::SumInt(vec![0; n], vec![false; n], aggregate.output.clone()),
            Function::Sum => Column::Sum(vec![0.0; n], vec![0; n], false),
            Function::Avg => Column::Sum(vec![0.0; n], vec![0; n], true),
            Function::Min => Column::Extreme(extreme(&aggregate.input, n, false)?),
            Function::Max => Column::Extreme(extreme(&aggregate.input, n, true)?),
            Function::Variance { population, root } => {
                Column::Moments { count: vec![0; n], shift: vec![0.0; n], sum: vec![0.0; n], squares: vec![0.0; n], population, root }
            }
            Function::Grouped => {
                let Some(grouped) = &aggregate.grouped else { return internal_err!("an aggregate without states") };
                let mut state = (grouped.make)()?;
                state.resize(n);
                Column::Grouped(state)
            }
        })
    }

    fn resize(&mut self, n: usize) {
        match self {
            Column::Count(counts) => counts.resize(n, 0),
            Column::SumInt(sums, seen, _) => {
                sums.resize(n, 0);
                seen.resize(n, false);
            }
            Column::Sum(sums, counts, _) => {
                sums.resize(n, 0.0);
                counts.resize(n, 0);
            }
            Column::Extreme(state) => state.resize(n),
            Column::Moments { count, shift, sum, squares, .. } => {
                count.resize(n, 0);
                [shift, sum, squares].into_iter().for_each(|v| v.resize(n, 0.0));
            }
            Column::Grouped(state) => state.resize(n),
        }
    }

    fn count(&mut self, map: &CellMap, chosen: Option<&BooleanBuffer>) -> Result<()> {
        let Column::Count(counts) = self else { return internal_err!("an aggregate without argument is not a count") };
        map.for_each_run(chosen, |_, n, target| match target {
            Target::One(g) => counts[g] += n as i64,
            Target::Row(g) => counts[g..g + n].iter_mut().for_each(|c| *c += 1),
            Target::Scatter(g, numbers) => numbers.iter().for_each(|&i| counts[g + i as usize] += 1),
        });
        Ok(())
    }

    /// Adds chunks by their statistics, each to its group.
    fn add_known(&mut self, aggregate: &Aggregate, chunks: &[(usize, ChunkStatistics)]) -> Result<()> {
        if let Column::Extreme(state) = self {
            let (groups, values) = known::extremes(chunks, aggregate.function == Function::Max, &aggregate.input)?;
            return state.update(&CellMap::of_groups(&groups), &values, None);
        }
        for (g, chunk) in chunks.iter().filter(|(_, chunk)| chunk.valid > 0) {
            match self {
                Column::Count(counts) => counts[*g] += chunk.valid as i64,
                Column::SumInt(sums, seen, _) => {
                    sums[*g] = sums[*g].wrapping_add(chunk.integers);
                    seen[*g] = true;
                }
                Column::Sum(sums, counts, _) => {
                    sums[*g] += chunk.sum;
                    counts[*g] += chunk.valid;
                }
                _ => return internal_err!("an aggregate that statistics of chunks cannot answer"),
            }
        }
        Ok(())
    }

    fn update(&mut self, map: &CellMap, values: &ArrayRef, chosen: Option<&BooleanBuffer>) -> Result<()> {
        if let Column::Count(_) = self {
            return self.count(map, chosen);
        }
        if let Column::Extreme(state) = self {
            return state.update(map, values, chosen);
        }
        with_number_type!(values.data_type(), T => match values.as_any().downcast_ref::<PrimitiveArray<T>>() {
            Some(values) => self.add(map, values.values(), chosen),
            None => return internal_err!("an array is not of its own type"),
        });
        Ok(())
    }

    fn add<T: Number>(&mut self, map: &CellMap, values: &[T], chosen: Option<&BooleanBuffer>) {
        match self {
            Column::SumInt(sums, seen, _) => map.for_each_run(chosen, |start, n, target| {
                let run = &values[start..start + n];
                match target {
                    Target::One(g) => {
                        sums[g] = run.iter().fold(sums[g], |s, v| s.wrapping_add(v.integer()));
                        seen[g] = true;
                    }
                    Target::Row(g) => {
                        sums[g..g + n].iter_mut().zip(run).for_each(|(s, v)| *s = s.wrapping_add(v.integer()));
                        seen[g..g + n].fill(true);
                    }
                    Target::Scatter(g, numbers) => numbers.iter().zip(run).for_each(|(&i, v)| {
                        let g = g + i as usize;
                        sums[g] = sums[g].wrapping_add(v.integer());
                        seen[g] = true;
                    }),
                }
            }),
            Column::Sum(sums, counts, _) => map.for_each_run(chosen, |start, n, target| {
                let run = &values[start..start + n];
                match target {
                    Target::One(g) => {
                        sums[g] += sum_of(run);
                        counts[g] += n as u64;
                    }
                    Target::Row(g) => {
                        sums[g..g + n].iter_mut().zip(run).for_each(|(s, v)| *s += v.float());
                        counts[g..g + n].iter_mut().for_each(|c| *c += 1);
                    }
                    Target::Scatter(g, numbers) => numbers.iter().zip(run).for_each(|(&i, v)| {
                        sums[g + i as usize] += v.float();
                        counts[g + i as usize] += 1;
                    }),
                }
            }),
            Column::Moments { count, shift, sum, squares, .. } => {
                map.for_each_run(chosen, |start, n, target| {
                    let run = &values[start..start + n];
                    match target {
                        Target::One(g) => {
                            if let (0, Some(first)) = (count[g], run.first()) {
                                shift[g] = first.float();
                            }
                            let (d, dd) = moments_of(run, shift[g]);
                            count[g] += n as u64;
                            sum[g] += d;
                            squares[g] += dd;
                        }
                        Target::Row(g) => {
                            let groups = g..g + n;
                            let (count, shift) = (&mut count[groups.clone()], &mut shift[groups.clone()]);
                            let sums = sum[groups.clone()].iter_mut().zip(&mut squares[groups]);
                            for (((count, shift), (sum, squares)), v) in count.iter_mut().zip(shift).zip(sums).zip(run) {
                                let x = v.float();
                                *shift = if *count == 0 { x } else { *shift };
                                let d = x - *shift;
                                *count += 1;
                                *sum += d;
                                *squares += d * d;
                            }
                        }
                        Target::Scatter(g, numbers) => numbers.iter().zip(run).for_each(|(&i, v)| {
                            let (g, x) = (g + i as usize, v.float());
                            if count[g] == 0 {
                                shift[g] = x;
                            }
                            let d = x - shift[g];
                            count[g] += 1;
                            sum[g] += d;
                            squares[g] += d * d;
                        }),
                    }
                });
            }
            Column::Count(_) | Column::Extreme(_) | Column::Grouped(_) => {}
        }
    }

    /// State columns, in the order and types of DataFusion's aggregate of the same name.
    pub fn into_state(self) -> Result<Vec<ArrayRef>> {
        Ok(match self {
            Column::Sum(sums, counts, true) => {
                let some = where_true(&counts, |&c| c > 0);
                // DataFusion takes a count that is not NULL for a group that has values.
                vec![Arc::new(UInt64Array::new(counts.into(), some.clone())), Arc::new(Float64Array::new(sums.into(), some))]
            }
            Column::Moments { count, shift, sum, squares, .. } => {
                let mean: Vec<f64> = means(&count, &shift, &sum).collect();
                let m2: Vec<f64> = second_moments(&count, &sum, &squares).collect();
                vec![Arc::new(UInt64Array::from(count)), Arc::new(Float64Array::from(mean)), Arc::new(Float64Array::from(m2))]
            }
            Column::Grouped(mut state) => state.state()?,
            other => vec![other.into_final()?],
        })
    }

    /// The value of every group; NULL where there is none.
    pub fn into_final(self) -> Result<ArrayRef> {
        Ok(match self {
            Column::Count(counts) => Arc::new(Int64Array::from(counts)),
            Column::SumInt(sums, seen, output) => {
                let sums = Int64Array::new(sums.into(), where_true(&seen, |&s| s));
                match output {
                    // The same bits: both wrap.
                    DataType::UInt64 => Arc::new(sums.unary::<_, datafusion::arrow::datatypes::UInt64Type>(|v| v as u64)),
                    _ => Arc::new(sums),
                }
            }
            Column::Sum(sums, counts, average) => {
                let some = where_true(&counts, |&c| c > 0);
                let values = if average { sums.iter().zip(&counts).map(|(s, &c)| s / c as f64).collect() } else { sums };
                Arc::new(Float64Array::new(values.into(), some))
            }
            Column::Extreme(state) => state.into_array(),
            Column::Grouped(mut state) => state.value()?,
            Column::Moments { count, sum, squares, population, root, .. } => {
                let divisors: Vec<u64> = count.iter().map(|c| if population { *c } else { c.saturating_sub(1) }).collect();
                let value = |(m2, d): (f64, &u64)| {
                    let variance = m2 / *d as f64;
                    if root { variance.sqrt() } else { variance }
                };
                let values: Vec<f64> = second_moments(&count, &sum, &squares).zip(&divisors).map(value).collect();
                Arc::new(Float64Array::new(values.into(), where_true(&divisors, |&d| d > 0)))
            }
        })
    }
}

/// Validity of groups of which those are valid that hold `is`; `None`: all, which is the rule and costs no bits.
fn where_true<T>(groups: &[T], is: impl Fn(&T) -> bool) -> Option<NullBuffer> {
    let all = groups.iter().fold(true, |all, g| all & is(g));
    (!all).then(|| NullBuffer::new(BooleanBuffer::collect_bool(groups.len(), |i| is(&groups[i]))))
}

fn means<'a>(count: &'a [u64], shift: &'a [f64], sum: &'a [f64]) -> impl Iterator<Item = f64> + 'a {
    count.iter().zip(shift).zip(sum).map(|((&n, k), s)| if n == 0 { 0.0 } else { k + s / n as f64 })
}

/// Sum of squared differences from the mean (shifted-data formula; Chan, Golub, LeVeque 1983), never below 0.
fn second_moments<'a>(count: &'a [u64], sum: &'a [f64], squares: &'a [f64]) -> impl Iterator<Item = f64> + 'a {
    count.iter().zip(sum).zip(squares).map(|((&n, s), q)| if n == 0 { 0.0 } else { (q - s * s / n as f64).max(0.0) })
}

/// Extremes so far in the argument's type, and the groups that have one.
pub(crate) struct TypedExtreme<T: ArrowPrimitiveType> {
    best: Vec<T::Native>,
    seen: Vec<bool>,
    largest: bool,
}

/// Extremes of any number type.
pub(crate) trait Extreme: Send {
    /// Makes room for more groups.
    fn resize(&mut self, groups: usize);
    /// Adds the chosen cells of a tile.
    fn update(&mut self, map: &CellMap, values: &ArrayRef, chosen: Option<&BooleanBuffer>) -> Result<()>;
    /// One value a group; NULL where there is none.
    fn into_array(self: Box<Self>) -> ArrayRef;
}

impl<T: ArrowPrimitiveType> Extreme for TypedExtreme<T>
where
    T::Native: Number,
{
    fn resize(&mut self, groups: usize) {
        self.best.resize(groups, Default::default());
        self.seen.resize(groups, false);
    }

    fn update(&mut self, map: &CellMap, values: &ArrayRef, chosen: Option<&BooleanBuffer>) -> Result<()> {
        let Some(values) = values.as_any().downcast_ref::<PrimitiveArray<T>>() else {
            return internal_err!("an extreme of {} is given {}", T::DATA_TYPE, values.data_type());
        };
        if self.largest {
            extremes(map, values.values(), chosen, &mut self.best, &mut self.seen, |new, old| new > old);
        } else {
            extremes(map, values.values(), chosen, &mut self.best, &mut self.seen, |new, old| new < old);
        }
        Ok(())
    }

    fn into_array(self: Box<Self>) -> ArrayRef {
        Arc::new(PrimitiveArray::<T>::new(self.best.into(), where_true(&self.seen, |&s| s)))
    }
}

fn extreme(t: &DataType, n: usize, largest: bool) -> Result<Box<dyn Extreme>> {
    with_number_type!(t, T => Ok(Box::new(TypedExtreme::<T> { best: vec![Default::default(); n], seen: vec![false; n], largest })))
}

#[inline]
fn extremes<T: Number>(
    map: &CellMap,
    values: &[T],
    chosen: Option<&BooleanBuffer>,
    best: &mut [T],
    seen: &mut [bool],
    better: impl Fn(T, T) -> bool + Copy,
) {
    map.for_each_run(chosen, |start, n, target| {
        let run = &values[start..start + n];
        let mut one = |g: usize, v: T| {
            if !seen[g] || better(v, best[g]) {
                best[g] = v;
                seen[g] = true;
            }
        };
        match target {
            Target::One(g) => {
                if let Some((&first, rest)) = run.split_first() {
                    one(g, rest.iter().fold(first, |b, &v| if better(v, b) { v } else { b }));
                }
            }
            Target::Row(g) => {
                let (best, seen) = (&mut best[g..g + n], &mut seen[g..g + n]);
                for ((b, s), &v) in best.iter_mut().zip(seen.iter_mut()).zip(run) {
                    *b = if !*s || better(v, *b) { v } else { *b };
                    *s = true;
                }
            }
            Target::Scatter(g, numbers) => numbers.iter().zip(run).for_each(|(&i, &v)| one(g + i as usize, v)),
        }
    });
}

/// Sums of the differences from `shift` and of their squares, in lanes as [`sum_of`].
fn moments_of<T: Number>(run: &[T], shift: f64) -> (f64, f64) {
    let (mut sums, mut squares) = ([0.0f64; 8], [0.0f64; 8]);
    for chunk in run.chunks(8) {
        for ((sum, square), v) in sums.iter_mut().zip(&mut squares).zip(chunk) {
            let d = v.float() - shift;
            *sum += d;
            *square += d * d;
        }
    }
    (sums.iter().sum(), squares.iter().sum())
}

/// Sum in eight lanes, so that additions do not wait for each other.
fn sum_of<T: Number>(run: &[T]) -> f64 {
    let mut lanes = [0.0f64; 8];
    let mut chunks = run.chunks_exact(8);
    for chunk in &mut chunks {
        for (lane, v) in lanes.iter_mut().zip(chunk) {
            *lane += v.float();
        }
    }
    lanes.iter().sum::<f64>() + chunks.remainder().iter().map(|v| v.float()).sum::<f64>()
}
