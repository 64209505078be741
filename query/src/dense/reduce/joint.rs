//! Group keys that depend on several axes, or on variables that have some of the axes only: zones given by a map, say.
//!
//! Their values are known when they are read. They are looked up once for each plane of the axes that they depend on, not for
//! each cell, and numbered as they come; a number of theirs stands for as many groups as the other keys make.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, UInt32Array};
use datafusion::arrow::buffer::BooleanBuffer;
use datafusion::arrow::compute;
use datafusion::arrow::datatypes::DataType;
use datafusion::arrow::row::{OwnedRow, RowConverter, SortField};
use datafusion::common::resources_err;
use datafusion::error::Result;
use datafusion::physical_expr::PhysicalExpr;

use super::take;
use crate::dense::program::{Cells, evaluate};
use crate::dense::tensor::first_along_others;

/// Cells of planes whose numbers are kept for the next tile on the same plane.
const MOST_KEPT: usize = 16 << 20;

/// The keys of a reduction that are not functions of one axis each, looked up together.
#[derive(Debug, Clone)]
pub(crate) struct JointKey {
    /// The axes that they depend on, rising.
    pub axes: Vec<usize>,
    /// The keys, over the columns of the program.
    pub exprs: Vec<Arc<dyn PhysicalExpr>>,
    /// Their types.
    pub types: Vec<DataType>,
    /// Where each stands among all keys of GROUP BY.
    pub places: Vec<usize>,
}

/// The values met so far and their numbers.
pub(crate) struct JointGroups {
    key: Arc<JointKey>,
    converter: RowConverter,
    numbers: HashMap<OwnedRow, u32>,
    /// By extent of a plane the number of each of its cells.
    planes: HashMap<Vec<Range<u64>>, Arc<[u32]>>,
    kept: usize,
}

impl JointGroups {
    /// None yet.
    pub fn new(key: Arc<JointKey>) -> Result<JointGroups> {
        let converter = RowConverter::new(key.types.iter().map(|t| SortField::new(t.clone())).collect())?;
        Ok(JointGroups { key, converter, numbers: HashMap::new(), planes: HashMap::new(), kept: 0 })
    }

    /// Values met.
    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Bytes held, about.
    pub fn bytes(&self) -> usize {
        self.kept * size_of::<u32>() + self.numbers.len() * (size_of::<(OwnedRow, u32)>() + 16 * self.key.types.len())
    }

    /// What each position along each axis adds to the number of a cell's group, with the axes from the first to the last of
    /// this key's taken as one. `along`: the same for the other keys, which make `others` groups; `view`: where the tile is.
    pub fn contributions(&mut self, view: &[Range<u64>], cells: &Cells, mut along: Vec<Vec<u32>>, others: usize) -> Result<Vec<Vec<u32>>> {
        let shape: Vec<u64> = view.iter().map(|r| r.end - r.start).collect();
        let numbers = self.plane(view, &shape, cells)?;
        if self.len().saturating_mul(others) > u32::MAX as usize {
            return resources_err!("the group keys make more than {} groups", u32::MAX);
        }
        let (Some(&first), Some(&last)) = (self.key.axes.first(), self.key.axes.last()) else { return Ok(along) };
        // The place in the plane, and what the other keys add.
        let mut merged: Vec<(u32, u32)> = vec![(0, 0)];
        for d in first..=last {
            let own = self.key.axes.contains(&d);
            let n = shape[d] as u32;
            let add = &along[d];
            let more = |&(place, sum): &(u32, u32)| {
                let at = move |i: u32| if own { place * n + i } else { place };
                add.iter().enumerate().map(move |(i, more)| (at(i as u32), sum + more)).collect::<Vec<_>>()
            };
            merged = merged.iter().flat_map(more).collect();
        }
        let merged = merged.into_iter().map(|(place, sum)| numbers[place as usize] * others as u32 + sum).collect();
        along.splice(first..=last, [merged]);
        Ok(along)
    }

    /// The number of every cell of the plane that a tile lies on.
    fn plane(&mut self, view: &[Range<u64>], shape: &[u64], cells: &Cells) -> Result<Arc<[u32]>> {
        let place: Vec<Range<u64>> = self.key.axes.iter().map(|&a| view[a].clone()).collect();
        if let Some(known) = self.planes.get(&place) {
            return Ok(known.clone());
        }
        let at = first_along_others(shape, &self.key.axes);
        let plane = compute::take_record_batch(&cells.batch, &at)?;
        let plane = Cells { batch: plane, mask: self.selected(shape, cells) };
        let values = self.key.exprs.iter().map(|e| evaluate(e, &plane)).collect::<Result<Vec<_>>>()?;
        let whole = plane.mask.is_none();
        let rows = self.converter.convert_columns(&values)?;
        let mut numbers: Vec<u32> = Vec::with_capacity(rows.num_rows());
        for i in 0..rows.num_rows() {
            // Cells that are not selected make no group.
            if plane.mask.as_ref().is_some_and(|mask| !mask.value(i)) {
                numbers.push(0);
            } else if i > 0 && rows.row(i) == rows.row(i - 1) && plane.mask.as_ref().is_none_or(|mask| mask.value(i - 1)) {
                numbers.push(numbers[i - 1]);
            } else {
                let next = self.numbers.len() as u32;
                numbers.push(*self.numbers.entry(rows.row(i).owned()).or_insert(next));
            }
        }
        let numbers: Arc<[u32]> = numbers.into();
        // Another tile on the plane may select other cells.
        if whole && self.kept + numbers.len() <= MOST_KEPT {
            self.kept += numbers.len();
            self.planes.insert(place, numbers.clone());
        }
        Ok(numbers)
    }

    /// The cells of the plane over which some cell of the tile is selected; `None`: all.
    fn selected(&self, shape: &[u64], cells: &Cells) -> Option<BooleanBuffer> {
        let mask = cells.mask.as_ref()?;
        let mut places = vec![0usize];
        for (d, &n) in shape.iter().enumerate() {
            let own = self.key.axes.contains(&d);
            places = places.iter().flat_map(|&p| (0..n as usize).map(move |i| if own { p * n as usize + i } else { p })).collect();
        }
        let plane: u64 = self.key.axes.iter().map(|&a| shape[a]).product();
        let mut some = vec![false; plane as usize];
        mask.set_indices().for_each(|i| some[places[i]] = true);
        Some(BooleanBuffer::from(some))
    }

    /// One array a key of this and of the other keys (`axis_keys`, one row each of `others` groups), in GROUP BY order.
    pub fn key_columns(&self, axis_keys: Vec<ArrayRef>, others: usize) -> Result<Vec<ArrayRef>> {
        let mut met: Vec<(&OwnedRow, u32)> = self.numbers.iter().map(|(row, &n)| (row, n)).collect();
        met.sort_unstable_by_key(|(_, n)| *n);
        let values = self.converter.convert_rows(met.iter().map(|(row, _)| row.row()))?;
        let groups = met.len() * others;
        let mut axis_keys = axis_keys.into_iter();
        let mut joint = self.key.places.iter().zip(values).collect::<HashMap<_, _>>();
        let mut columns = Vec::new();
        for place in 0..axis_keys.len() + joint.len() {
            columns.push(match joint.remove(&place) {
                Some(values) => take(&values, (0..groups).map(|g| (g / others) as u32).collect())?,
                None => match axis_keys.next() {
                    Some(values) => compute::take(&values, &UInt32Array::from_iter_values((0..groups).map(|g| (g % others) as u32)), None)?,
                    None => return datafusion::common::internal_err!("a group key without values"),
                },
            });
        }
        Ok(columns)
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{Array, Int32Array, RecordBatch, StringArray};
    use datafusion::physical_expr::expressions::Column;

    use super::*;

    /// Zones on (y, x) of a box (time 2, y 2, x 3) of which the first y is row 5.
    fn tile(zones: [&str; 6]) -> Cells {
        let twice: Vec<&str> = zones.iter().chain(&zones).copied().collect();
        let batch = RecordBatch::try_from_iter([("zone", Arc::new(StringArray::from(twice)) as ArrayRef)]).unwrap();
        Cells { batch, mask: None }
    }

    #[test]
    fn a_plane_is_numbered_once_and_other_keys_are_added() {
        let key =
            JointKey { axes: vec![1, 2], exprs: vec![Arc::new(Column::new("zone", 0))], types: vec![DataType::Utf8], places: vec![1] };
        let mut groups = JointGroups::new(Arc::new(key)).unwrap();
        let view = [0..2, 5..7, 0..3];
        let along = vec![vec![0, 1], vec![0, 0], vec![0, 0, 0]];
        let found = groups.contributions(&view, &tile(["a", "b", "b", "c", "a", "a"]), along.clone(), 2).unwrap();
        assert_eq!(found, vec![vec![0, 1], vec![0, 2, 2, 4, 0, 0]]);
        // The same plane is not looked at again; another one is.
        assert_eq!(groups.contributions(&view, &tile(["x"; 6]), along.clone(), 2).unwrap(), found);
        let next = groups.contributions(&[0..2, 7..9, 0..3], &tile(["d", "d", "d", "a", "d", "c"]), along, 2).unwrap();
        assert_eq!(next[1], vec![6, 6, 6, 0, 6, 4]);
        let times: ArrayRef = Arc::new(Int32Array::from(vec![10, 20]));
        let columns = groups.key_columns(vec![times], 2).unwrap();
        assert_eq!(columns[0].as_ref(), &Int32Array::from(vec![10, 20, 10, 20, 10, 20, 10, 20]) as &dyn Array);
        assert_eq!(columns[1].as_ref(), &StringArray::from(vec!["a", "a", "b", "b", "c", "c", "d", "d"]) as &dyn Array);
    }
}
