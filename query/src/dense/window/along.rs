//! Aggregates along axes, broadcast back: two passes over the tiles. The first reduces them to groups, as a query with GROUP
//! BY would; the second looks every cell's group up. Memory: one value a group, accounted for.

use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, UInt32Array, new_null_array};
use datafusion::arrow::compute;
use datafusion::arrow::datatypes::Schema;
use datafusion::common::internal_err;
use datafusion::error::Result;
use datafusion::execution::memory_pool::MemoryReservation;

use crate::dense::program::Program;
use crate::dense::reduce::{Aggregate, GroupSpace, Reduction, Split};
use crate::dense::source::Source;

/// Groups that a table may have; their numbers are 32 bits.
pub(crate) const MOST_GROUPS: usize = 1 << 28;

/// One aggregate along axes. It is told apart by its address.
#[derive(Debug)]
pub(crate) struct Along {
    /// What is read and computed for the first pass.
    pub program: Program,
    /// The groups: functions of the axes that stay.
    pub groups: Arc<GroupSpace>,
    /// What is computed for each.
    pub aggregate: Aggregate,
}

/// What the first passes found.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    /// With the memory that is accounted for them.
    found: Vec<(Arc<Along>, ArrayRef, Arc<MemoryReservation>)>,
}

impl Tables {
    /// These and the values of all groups of one more, with the memory that they take.
    pub fn with(&self, along: Arc<Along>, values: ArrayRef, reservation: Arc<MemoryReservation>) -> Tables {
        let mut found = self.found.clone();
        found.push((along, values, reservation));
        Tables { found }
    }
}

impl Along {
    /// The reduction that the first pass is.
    pub fn reduction(&self) -> Reduction {
        let (groups, aggregates) = (self.groups.clone(), vec![self.aggregate.clone()]);
        Reduction {
            groups,
            joint: None,
            zonal: None,
            aggregates,
            split: Split::Output,
            schema: Arc::new(Schema::empty()),
            shown: None,
            after: vec![],
        }
    }

    /// The value of every cell's group over a box of view space, C order.
    pub fn look_up(&self, source: &Source, extent: &[Range<u64>]) -> Result<ArrayRef> {
        let Some((_, values, _)) = source.tables.found.iter().find(|(known, ..)| std::ptr::eq(known.as_ref(), self)) else {
            return internal_err!("an aggregate along axes was not computed beforehand");
        };
        let numbers = self.numbers(extent);
        if values.is_empty() {
            return Ok(new_null_array(values.data_type(), numbers.len()));
        }
        Ok(compute::take(values, &UInt32Array::from(numbers), None)?)
    }

    /// The number of every cell's group.
    fn numbers(&self, extent: &[Range<u64>]) -> Vec<u32> {
        let keys = &self.groups.keys;
        let mut strides = vec![1u32; keys.len()];
        for k in (1..keys.len()).rev() {
            strides[k - 1] = strides[k] * keys[k].values.len() as u32;
        }
        let mut numbers = vec![0u32];
        for (d, range) in extent.iter().enumerate() {
            let mut along = vec![0u32; (range.end - range.start) as usize];
            for (key, stride) in keys.iter().zip(&strides).filter(|(key, _)| key.axis == d) {
                let ids = &key.ids[range.start as usize..range.end as usize];
                along.iter_mut().zip(ids).for_each(|(sum, id)| *sum += id * stride);
            }
            numbers = numbers.iter().flat_map(|&n| along.iter().map(move |&a| n + a)).collect();
        }
        numbers
    }
}
