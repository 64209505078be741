//! Group keys that are functions of one axis each: a number of its value for every position of the axis.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, Float32Array, Float64Array, Scalar, UInt32Array};
use datafusion::arrow::compute;
use datafusion::arrow::compute::kernels::numeric;
use datafusion::arrow::datatypes::DataType;
use datafusion::arrow::row::{RowConverter, SortField};
use datafusion::error::Result;

use super::blocks::Block;
use super::take;

/// One key: a function of the coordinates of one axis.
#[derive(Debug, Clone)]
pub(crate) struct AxisKey {
    /// Position of the axis in the grid.
    pub axis: usize,
    /// True when the key is the axis's own coordinate.
    pub is_axis: bool,
    /// The values that the key takes: in axis order where all differ or where they never rise along the axis (`coarsen` of a
    /// falling axis), else rising.
    pub values: ArrayRef,
    /// For each position of the view along the axis: the number of its value.
    pub ids: Arc<[u32]>,
}

impl AxisKey {
    /// The key whose value at each position of the axis is given.
    pub fn new(axis: usize, is_axis: bool, at_positions: ArrayRef) -> Result<AxisKey> {
        let at_positions = without_negative_zero(at_positions)?;
        let converter = RowConverter::new(vec![SortField::new(at_positions.data_type().clone())])?;
        let rows = converter.convert_columns(std::slice::from_ref(&at_positions))?;
        let mut order: Vec<u32> = (0..rows.num_rows() as u32).collect();
        order.sort_by(|&a, &b| rows.row(a as usize).cmp(&rows.row(b as usize)));
        let mut ids = vec![0u32; order.len()];
        let mut firsts: Vec<u32> = Vec::new();
        for (i, &position) in order.iter().enumerate() {
            if i == 0 || rows.row(order[i - 1] as usize) != rows.row(position as usize) {
                firsts.push(position);
            }
            ids[position as usize] = firsts.len() as u32 - 1;
        }
        if firsts.len() == ids.len() {
            let ids = (0..ids.len() as u32).collect();
            return Ok(AxisKey { axis, is_axis, values: at_positions, ids });
        }
        if ids.is_sorted_by(|a, b| a >= b) {
            firsts.reverse();
            let last = firsts.len() as u32 - 1;
            ids.iter_mut().for_each(|id| *id = last - *id);
        }
        let values = compute::take(&at_positions, &UInt32Array::from(firsts), None)?;
        Ok(AxisKey { axis, is_axis, values, ids: ids.into() })
    }
}

/// 0 for -0, which SQL takes for the same value.
fn without_negative_zero(values: ArrayRef) -> Result<ArrayRef> {
    match values.data_type() {
        DataType::Float32 => Ok(numeric::add(&values, &Scalar::new(Float32Array::from(vec![0.0])))?),
        DataType::Float64 => Ok(numeric::add(&values, &Scalar::new(Float64Array::from(vec![0.0])))?),
        _ => Ok(values),
    }
}

/// All groups of a reduction: the product of its keys, the last one fastest.
#[derive(Debug, Clone, Default)]
pub(crate) struct GroupSpace {
    /// In `GROUP BY` order.
    pub keys: Vec<AxisKey>,
}

impl GroupSpace {
    /// Number of groups, those without cells included. Saturates.
    pub fn len(&self) -> usize {
        self.keys.iter().fold(1, |n: usize, k| n.saturating_mul(k.values.len()))
    }

    /// True when two keys belong to one axis, so that some groups can have no cells.
    pub fn has_gaps(&self) -> bool {
        self.keys.iter().enumerate().any(|(i, k)| self.keys[..i].iter().any(|l| l.axis == k.axis))
    }

    /// The key values of every group of a block, one array a key that is shown (`None`: all are).
    pub fn key_columns(&self, block: &Block, shown: Option<&[usize]>) -> Result<Vec<ArrayRef>> {
        let sizes: Vec<usize> = block.key_ids.iter().map(Vec::len).collect();
        let mut columns = Vec::with_capacity(self.keys.len());
        for (k, key) in self.keys.iter().enumerate().filter(|(k, _)| shown.is_none_or(|shown| shown.contains(k))) {
            let outer: usize = sizes[..k].iter().product();
            let inner: usize = sizes[k + 1..].iter().product();
            let mut ids: Vec<u32> = Vec::with_capacity(outer * sizes[k] * inner);
            for &id in &block.key_ids[k] {
                ids.extend(std::iter::repeat_n(id, inner));
            }
            let once = ids.len();
            for _ in 1..outer {
                ids.extend_from_within(..once);
            }
            if outer == 0 {
                ids.clear();
            }
            columns.push(take(&key.values, ids)?);
        }
        Ok(columns)
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::Int32Array;

    use super::*;

    #[test]
    fn a_falling_axis_keeps_its_order() {
        let key = AxisKey::new(0, true, Arc::new(Float32Array::from(vec![90.0, 45.0, 0.0]))).unwrap();
        assert_eq!(key.ids.as_ref(), [0, 1, 2]);
        assert_eq!(key.values.as_ref(), &Float32Array::from(vec![90.0, 45.0, 0.0]) as &dyn Array);
    }

    #[test]
    fn a_coarser_falling_axis_keeps_its_order() {
        let key = AxisKey::new(0, false, Arc::new(Float32Array::from(vec![80.0, 80.0, 40.0, 40.0, 0.0]))).unwrap();
        assert_eq!(key.ids.as_ref(), [0, 0, 1, 1, 2]);
        assert_eq!(key.values.as_ref(), &Float32Array::from(vec![80.0, 40.0, 0.0]) as &dyn Array);
    }

    #[test]
    fn both_zeros_are_one_value() {
        let key = AxisKey::new(0, false, Arc::new(Float32Array::from(vec![-15.0, -0.0, 0.0, 15.0, 0.0]))).unwrap();
        assert_eq!(key.ids.as_ref(), [0, 1, 1, 2, 1]);
    }

    #[test]
    fn repeated_values_are_numbered_by_size() {
        let key = AxisKey::new(0, false, Arc::new(Int32Array::from(vec![12, 1, 1, 2, 12]))).unwrap();
        assert_eq!(key.ids.as_ref(), [2, 0, 0, 1, 2]);
        assert_eq!(key.values.as_ref(), &Int32Array::from(vec![1, 2, 12]) as &dyn Array);
    }
}
