//! Array form: cells of a box as tensors, one row a box. The layout is `arrow.variable_shape_tensor` beside an `origin`.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, FixedSizeListArray, Int32Array, Int64Array, ListArray, RecordBatch, StructArray, UInt32Array,
};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::compute;
use datafusion::arrow::datatypes::{DataType, Field, Fields, Int64Type, Schema, SchemaRef};
use datafusion::error::Result;

use super::program::Cells;
use super::reduce::{Block, Reduction};
use super::tiles::TileRef;
use crate::view::View;

/// One variable of an array answer.
#[derive(Debug, Clone)]
pub(crate) struct TensorColumn {
    /// Its column among the cells.
    pub column: usize,
    /// The result axes that it has, rising; it has the same value along the others.
    pub dims: Vec<usize>,
    /// True for counts: a group without cells is 0, not missing.
    pub zero_when_absent: bool,
}

/// How cells become tensors.
#[derive(Debug, Clone)]
pub(crate) struct TensorLayout {
    /// `origin`, then one tensor a variable; `graticule.axes` in its metadata.
    pub schema: SchemaRef,
    /// Axes of the grid that are axes of the result, slowest first (unused after a reduction).
    pub axes: Vec<usize>,
    /// The variables.
    pub columns: Vec<TensorColumn>,
}

/// Type of the `origin` column.
fn origin_type() -> DataType {
    DataType::List(Arc::new(Field::new_list_field(DataType::Int64, false)))
}

/// Field metadata: names of the dimensions that a variable has, a JSON list.
const DIMS: &str = "graticule.dims";
/// Field metadata: the value of cells that no tile covers, where that is not "missing".
const ABSENT: &str = "graticule.absent";

/// The storage field of a tensor of cells like `of` with these dimensions. Texts have the layout but not the extension type,
/// which readers know for numbers only.
pub(crate) fn tensor_field(of: &Field, dims: &[String], zero_when_absent: bool) -> Field {
    let value = of.data_type();
    let mut metadata = std::collections::HashMap::from([(DIMS.to_string(), serde_json::json!(dims).to_string())]);
    if value.is_numeric() || value.is_temporal() || *value == DataType::Boolean {
        metadata.insert("ARROW:extension:name".into(), "arrow.variable_shape_tensor".into());
        metadata.insert("ARROW:extension:metadata".into(), serde_json::json!({ "dim_names": dims }).to_string());
    }
    if let Some(attributes) = of.metadata().get(crate::view::ATTRIBUTES) {
        metadata.insert(crate::view::ATTRIBUTES.to_string(), attributes.clone());
    }
    if zero_when_absent {
        metadata.insert(ABSENT.into(), "0".into());
    }
    Field::new(of.name(), DataType::Struct(tensor_fields(value, dims.len())), false).with_metadata(metadata)
}

fn tensor_fields(value: &DataType, ndim: usize) -> Fields {
    let data = DataType::List(Arc::new(Field::new_list_field(value.clone(), true)));
    let shape = DataType::FixedSizeList(Arc::new(Field::new_list_field(DataType::Int32, false)), ndim as i32);
    Fields::from(vec![Field::new("data", data, false), Field::new("shape", shape, false)])
}

/// The schema of an array answer.
pub(crate) fn tensor_schema(tensors: Vec<Field>, axes_json: String) -> SchemaRef {
    let mut fields = vec![Field::new("origin", origin_type(), false)];
    fields.extend(tensors);
    Arc::new(Schema::new_with_metadata(fields, [("graticule.axes".to_string(), axes_json)].into()))
}

impl TensorLayout {
    /// A tile of cells that were not reduced.
    pub fn tile(&self, view: &View, tile: &TileRef<'_>, cells: &Cells) -> Result<RecordBatch> {
        debug_assert_eq!(view.axes.len(), tile.segments.len());
        let extent = tile.view_extent().project(&self.axes);
        self.boxed(cells, &extent.origin(), &extent.shape())
    }

    /// The groups of a block: one tensor row a run of neighbouring keys.
    pub fn block(&self, reduction: &Reduction, block: &Block, cells: &Cells) -> Result<Vec<RecordBatch>> {
        let sizes: Vec<u64> = block.key_ids.iter().map(|ids| ids.len() as u64).collect();
        if let Some(origin) = block.origin() {
            return Ok(vec![self.boxed(cells, &origin, &sizes)?]);
        }
        debug_assert_eq!(reduction.groups.keys.len(), sizes.len());
        // Positions of each key's values that follow each other.
        let runs: Vec<Vec<std::ops::Range<usize>>> = block.key_ids.iter().map(|ids| consecutive(ids)).collect();
        let mut boxes: Vec<Vec<std::ops::Range<usize>>> = vec![vec![]];
        for list in &runs {
            boxes = boxes.into_iter().flat_map(|b| list.iter().map(move |r| [b.as_slice(), std::slice::from_ref(r)].concat())).collect();
        }
        boxes
            .into_iter()
            .map(|ranges| {
                let origin: Vec<u64> = ranges.iter().zip(&block.key_ids).map(|(r, ids)| u64::from(ids[r.start])).collect();
                let shape: Vec<u64> = ranges.iter().map(|r| r.len() as u64).collect();
                let mut rows = vec![0u32];
                for (r, size) in ranges.iter().zip(&sizes) {
                    rows = rows.iter().flat_map(|&b| r.clone().map(move |i| b * *size as u32 + i as u32)).collect();
                }
                let rows = UInt32Array::from(rows);
                let batch = compute::take_record_batch(&cells.batch, &rows)?;
                let mask = match &cells.mask {
                    Some(mask) => Some(compute::take(&BooleanArray::new(mask.clone(), None), &rows, None)?),
                    None => None,
                };
                let mask = mask.as_ref().and_then(|m| m.as_any().downcast_ref::<BooleanArray>()).map(|m| m.values().clone());
                self.boxed(&Cells { batch, mask }, &origin, &shape)
            })
            .collect()
    }

    /// One row: the cells of the box of the result at `origin` with `shape`, C order.
    pub fn boxed(&self, cells: &Cells, origin: &[u64], shape: &[u64]) -> Result<RecordBatch> {
        let origin: ArrayRef = Arc::new(Int64Array::from_iter_values(origin.iter().map(|&o| o as i64)));
        let mut columns = vec![one_list(origin, false)];
        for tensor in &self.columns {
            let mut values = cells.batch.column(tensor.column).clone();
            if let Some(mask) = &cells.mask
                && mask.count_set_bits() < mask.len()
            {
                let absent = BooleanArray::new(!mask, None);
                values = if tensor.zero_when_absent { values } else { compute::nullif(&values, &absent)? };
            }
            if tensor.zero_when_absent
                && values.null_count() > 0
                && let Some(counts) = values.as_primitive_opt::<Int64Type>()
            {
                values = Arc::new(Int64Array::from_iter_values(counts.iter().map(|n| n.unwrap_or(0))));
            }
            let own: Vec<u64> = tensor.dims.iter().map(|&d| shape[d]).collect();
            if own.len() < shape.len() {
                values = compute::take(&values, &first_along_others(shape, &tensor.dims), None)?;
            }
            let extents: ArrayRef = Arc::new(Int32Array::from_iter_values(own.iter().map(|&n| n as i32)));
            let item = Arc::new(Field::new_list_field(DataType::Int32, false));
            let extents: ArrayRef = Arc::new(FixedSizeListArray::try_new_with_length(item, own.len() as i32, extents, None, 1)?);
            let fields = tensor_fields(values.data_type(), own.len());
            columns.push(Arc::new(StructArray::try_new(fields, vec![one_list(values, true), extents], None)?));
        }
        Ok(RecordBatch::try_new(self.schema.clone(), columns)?)
    }
}

/// A list array of one list.
fn one_list(values: ArrayRef, nullable: bool) -> ArrayRef {
    let item = Arc::new(Field::new_list_field(values.data_type().clone(), nullable));
    Arc::new(ListArray::new(item, OffsetBuffer::from_lengths([values.len()]), values, None))
}

/// C-order numbers of the cells of a box that are first along every axis not in `dims`.
pub(crate) fn first_along_others(shape: &[u64], dims: &[usize]) -> UInt32Array {
    let mut numbers = vec![0u32];
    for (d, &n) in shape.iter().enumerate() {
        let count = if dims.contains(&d) { n as u32 } else { 1.min(n as u32) };
        numbers = numbers.iter().flat_map(|&b| (0..count).map(move |i| b * n as u32 + i)).collect();
    }
    UInt32Array::from(numbers)
}

/// Ranges of positions whose numbers follow each other.
fn consecutive(ids: &[u32]) -> Vec<std::ops::Range<usize>> {
    let mut runs: Vec<std::ops::Range<usize>> = Vec::new();
    for i in 0..ids.len() {
        match runs.last_mut() {
            Some(run) if ids[i - 1] + 1 == ids[i] => run.end += 1,
            _ => runs.push(i..i + 1),
        }
    }
    runs
}
