//! `first_value(v ORDER BY f(axis))` and `last_value`: the value at the coordinate that comes first, or last, in the order.
//!
//! A NULL there is the answer unless NULL is ignored, as in DataFusion, whose state layout this is: value, what it was ordered
//! by, whether there is one. Cells that tie (other axes are reduced as well) may give any of theirs.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, BooleanArray, UInt32Array, make_array};
use datafusion::arrow::buffer::{BooleanBuffer, NullBuffer};
use datafusion::arrow::compute::{self, SortOptions};
use datafusion::arrow::datatypes::{DataType, UInt32Type};
use datafusion::arrow::row::{RowConverter, SortField};
use datafusion::common::not_impl_err;
use datafusion::error::Result;

use super::accumulate::MakeGrouped;
use super::grouped::{Grouped, bytes_of, column, primitive, take_front};
use super::kernel::{CellMap, Target};
use super::ordered::{from_words, to_words};

/// Which end of which order.
#[derive(Debug, Clone)]
pub(crate) struct Edge {
    /// The last instead of the first.
    pub last: bool,
    /// Direction of the order.
    pub options: SortOptions,
    /// Whether cells with NULL are left out.
    pub ignore_nulls: bool,
}

impl Edge {
    /// For the values that the order has along its axis: the rank of each position, first first, and how states are made.
    pub fn ranks(&self, along: &ArrayRef, value: &DataType) -> Result<(ArrayRef, MakeGrouped)> {
        let converter = RowConverter::new(vec![SortField::new_with_options(along.data_type().clone(), self.options)])?;
        let rows = converter.convert_columns(std::slice::from_ref(along))?;
        let mut order: Vec<u32> = (0..rows.num_rows() as u32).collect();
        order.sort_by(|&a, &b| rows.row(a as usize).cmp(&rows.row(b as usize)));
        let mut ranks = vec![0u32; order.len()];
        let mut firsts: Vec<u32> = Vec::new();
        for (i, &position) in order.iter().enumerate() {
            if i == 0 || rows.row(order[i - 1] as usize) != rows.row(position as usize) {
                firsts.push(position);
            }
            ranks[position as usize] = firsts.len() as u32 - 1;
        }
        let by = compute::take(along, &UInt32Array::from(firsts), None)?;
        let (last, data_type) = (self.last, value.clone());
        let make = move || {
            Ok(Box::new(EdgeValues { words: vec![], valid: vec![], rank: vec![], last, data_type: data_type.clone(), by: by.clone() })
                as Box<dyn Grouped>)
        };
        let grouped = MakeGrouped { make: Arc::new(make), group_bytes: 16, cell_bytes: 0, skips_null: self.ignore_nulls, counts: false };
        Ok((Arc::new(UInt32Array::from(ranks)), grouped))
    }
}

/// No cell yet.
const NONE: u32 = u32::MAX;

/// The value of every group that is first or last so far.
#[derive(Debug)]
struct EdgeValues {
    words: Vec<u64>,
    valid: Vec<bool>,
    rank: Vec<u32>,
    last: bool,
    data_type: DataType,
    /// What each rank stands for.
    by: ArrayRef,
}

impl EdgeValues {
    #[inline(always)]
    fn one(&mut self, g: usize, rank: u32, word: u64, valid: bool) {
        let before = self.rank[g];
        if before == NONE || (if self.last { rank > before } else { rank < before }) {
            (self.rank[g], self.words[g], self.valid[g]) = (rank, word, valid);
        }
    }
}

impl Grouped for EdgeValues {
    fn resize(&mut self, groups: usize) {
        self.words.resize(groups, 0);
        self.valid.resize(groups, false);
        self.rank.resize(groups, NONE);
    }

    fn update(&mut self, map: &CellMap, values: &[ArrayRef], chosen: Option<&BooleanBuffer>) -> Result<()> {
        let ranks = primitive::<UInt32Type>(column(values, 1)?)?;
        let values = column(values, 0)?;
        let (words, nulls) = (to_words(values)?, values.logical_nulls().filter(|n| n.null_count() > 0));
        let valid = |i: usize| nulls.as_ref().is_none_or(|n| n.is_valid(i));
        map.for_each_run(chosen, |start, n, target| {
            for i in start..start + n {
                let g = match target {
                    Target::One(g) => g,
                    Target::Row(g) => g + i - start,
                    Target::Scatter(g, numbers) => g + numbers[i - start] as usize,
                };
                self.one(g, ranks.value(i), words[i], valid(i));
            }
        });
        Ok(())
    }

    fn merge(&mut self, _: &[ArrayRef], _: &[usize]) -> Result<()> {
        not_impl_err!("states of first_value are merged by DataFusion")
    }

    fn state(&mut self) -> Result<Vec<ArrayRef>> {
        let ranks = UInt32Array::from_iter(self.rank.iter().map(|&r| (r != NONE).then_some(r)));
        let set = BooleanArray::from_iter(self.rank.iter().map(|&r| Some(r != NONE)));
        Ok(vec![self.value()?, compute::take(&self.by, &ranks, None)?, Arc::new(set)])
    }

    fn value(&mut self) -> Result<ArrayRef> {
        let values = from_words(&self.words, &self.data_type)?;
        let nulls = NullBuffer::from(self.valid.clone());
        Ok(make_array(values.to_data().into_builder().nulls(Some(nulls)).build()?))
    }

    fn take_first(&mut self, n: usize) -> Box<dyn Grouped> {
        Box::new(EdgeValues {
            words: take_front(&mut self.words, n),
            valid: take_front(&mut self.valid, n),
            rank: take_front(&mut self.rank, n),
            last: self.last,
            data_type: self.data_type.clone(),
            by: self.by.clone(),
        })
    }

    fn bytes(&self) -> usize {
        bytes_of(&self.words) + bytes_of(&self.valid) + bytes_of(&self.rank)
    }
}
