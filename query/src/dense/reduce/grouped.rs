//! The state of one aggregate for many groups, behind one trait: a dense reduction updates it tile by tile, DataFusion's
//! accumulators update it batch by batch, so that both give the same answer by construction.

use std::fmt::Debug;

use datafusion::arrow::array::{Array, ArrayRef, PrimitiveArray};
use datafusion::arrow::buffer::BooleanBuffer;
use datafusion::arrow::compute;
use datafusion::arrow::datatypes::{ArrowPrimitiveType, DataType};
use datafusion::common::internal_err;
use datafusion::error::{DataFusionError, Result};

use super::and;
use super::kernel::CellMap;

/// The state of one aggregate, a group an index.
pub(crate) trait Grouped: Debug + Send + Sync {
    /// Makes room for this many groups; those that are new are empty.
    fn resize(&mut self, groups: usize);

    /// Says how many cells each group can have at most, before any is added, where that is known.
    fn prepare(&mut self, _cells: &[usize]) {}

    /// Adds the chosen cells (all when there is no mask); chosen cells have no NULL in any of `values`.
    fn update(&mut self, map: &CellMap, values: &[ArrayRef], chosen: Option<&BooleanBuffer>) -> Result<()>;

    /// Adds states that [`Grouped::state`] gave: row i to group `groups[i]`.
    fn merge(&mut self, states: &[ArrayRef], groups: &[usize]) -> Result<()>;

    /// The state columns, one row a group.
    fn state(&mut self) -> Result<Vec<ArrayRef>>;

    /// The value of every group; NULL where there is none. The state stays as it is.
    fn value(&mut self) -> Result<ArrayRef>;

    /// Takes the first `n` groups out; the others move to the front.
    fn take_first(&mut self, n: usize) -> Box<dyn Grouped>;

    /// Bytes held.
    fn bytes(&self) -> usize;
}

/// The cells of `chosen` (all when it is `None`) at which none of `values` is NULL.
pub(crate) fn valid_cells(values: &[ArrayRef], chosen: Option<BooleanBuffer>) -> Option<BooleanBuffer> {
    values.iter().fold(chosen, |chosen, array| {
        let nulls = array.logical_nulls().filter(|n| n.null_count() > 0);
        and(chosen.as_ref(), nulls.as_ref().map(|n| n.inner()))
    })
}

/// An array as one of type `T`; casts where it is of another type.
pub(crate) fn as_type<T: ArrowPrimitiveType>(array: &ArrayRef) -> Result<PrimitiveArray<T>> {
    match array.as_any().downcast_ref::<PrimitiveArray<T>>() {
        Some(array) => Ok(array.clone()),
        None => primitive(&compute::cast(array, &T::DATA_TYPE)?),
    }
}

/// An array that is of type `T`.
pub(crate) fn primitive<T: ArrowPrimitiveType>(array: &ArrayRef) -> Result<PrimitiveArray<T>> {
    match array.as_any().downcast_ref::<PrimitiveArray<T>>() {
        Some(array) => Ok(array.clone()),
        None => internal_err!("an array of {} is given for one of {}", array.data_type(), T::DATA_TYPE),
    }
}

/// Argument or state column `i`.
pub(crate) fn column(columns: &[ArrayRef], i: usize) -> Result<&ArrayRef> {
    columns.get(i).ok_or_else(|| DataFusionError::Internal(format!("an aggregate is given {} columns", columns.len())))
}

/// Takes the first `n` elements out of a vector.
pub(crate) fn take_front<T>(values: &mut Vec<T>, n: usize) -> Vec<T> {
    let rest = values.split_off(n.min(values.len()));
    std::mem::replace(values, rest)
}

/// Bytes that a vector holds.
pub(crate) fn bytes_of<T>(values: &Vec<T>) -> usize {
    values.capacity() * size_of::<T>()
}

/// True for the types that kernels dispatch on.
pub(crate) fn is_number(t: &DataType) -> bool {
    t.is_integer() || matches!(t, DataType::Float32 | DataType::Float64)
}
