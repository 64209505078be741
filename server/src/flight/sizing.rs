//! Batches of a size that travels well: small ones are put together, large ones are cut between rows, and types that
//! older clients do not know become the ones that they do.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use arrow::error::ArrowError;

/// Bytes of a batch that is sent. With its header it stays under the 4 MiB that gRPC clients take unless told otherwise.
pub const BATCH_BYTES: usize = (4 << 20) - (128 << 10);

/// A batch of at least this size is sent as it is instead of being copied together with others.
const LARGE_ENOUGH: usize = BATCH_BYTES / 2;

/// Gathers batches of one schema and gives them back in sizes near [`BATCH_BYTES`], in order.
pub struct Sizing {
    schema: SchemaRef,
    gathered: Vec<RecordBatch>,
    bytes: usize,
}

impl Sizing {
    /// Batches that leave have this schema (see [`travelling`]).
    pub fn new(schema: SchemaRef) -> Sizing {
        Sizing { schema, gathered: vec![], bytes: 0 }
    }

    /// Takes a batch and returns those that are ready to leave. Errors when the batch does not fit the schema.
    pub fn push(&mut self, batch: &RecordBatch) -> Result<Vec<RecordBatch>, ArrowError> {
        if batch.num_rows() == 0 {
            return Ok(vec![]);
        }
        let batch = fitted(batch, &self.schema)?;
        let bytes = size(&batch)?;
        let mut ready = vec![];
        if bytes >= LARGE_ENOUGH {
            ready.extend(self.flush()?);
            cut(&batch, bytes, &mut ready);
            return Ok(ready);
        }
        if self.bytes + bytes > BATCH_BYTES {
            ready.extend(self.flush()?);
        }
        self.gathered.push(batch);
        self.bytes += bytes;
        Ok(ready)
    }

    /// What is gathered, as one batch.
    pub fn flush(&mut self) -> Result<Option<RecordBatch>, ArrowError> {
        self.bytes = 0;
        let mut gathered = std::mem::take(&mut self.gathered);
        match gathered.len() {
            0 | 1 => Ok(gathered.pop()),
            _ => concat_batches(&self.schema, &gathered).map(Some),
        }
    }
}

/// Bytes of the rows of a batch, not of the buffers that they may be a part of.
fn size(batch: &RecordBatch) -> Result<usize, ArrowError> {
    batch.columns().iter().try_fold(0, |sum: usize, column| Ok(sum.saturating_add(column.to_data().get_slice_memory_size()?)))
}

/// Cuts a batch between rows into equal parts of at most [`BATCH_BYTES`]; a single row is never cut.
fn cut(batch: &RecordBatch, bytes: usize, into: &mut Vec<RecordBatch>) {
    let rows = batch.num_rows();
    let parts = bytes.div_ceil(BATCH_BYTES).clamp(1, rows);
    let step = rows.div_ceil(parts);
    let mut from = 0;
    while from < rows {
        let length = step.min(rows - from);
        into.push(batch.slice(from, length));
        from += length;
    }
}

/// The schema under which batches of this schema are sent: text and binary views become the plain types.
pub fn travelling(schema: &SchemaRef) -> SchemaRef {
    if !schema.fields().iter().any(|f| plain(f.data_type()).is_some()) {
        return schema.clone();
    }
    let fields: Vec<FieldRef> = schema
        .fields()
        .iter()
        .map(|field| match plain(field.data_type()) {
            Some(data_type) => Arc::new(Field::clone(field).with_data_type(data_type)),
            None => field.clone(),
        })
        .collect();
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

/// The plain type of a view type. Views inside of nested types stay.
fn plain(data_type: &DataType) -> Option<DataType> {
    match data_type {
        DataType::Utf8View => Some(DataType::Utf8),
        DataType::BinaryView => Some(DataType::Binary),
        _ => None,
    }
}

/// The batch under the schema that was promised: column by column, so that only what differs is converted.
fn fitted(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    if batch.num_columns() != schema.fields().len() {
        return Err(ArrowError::SchemaError(format!("{} columns were promised and {} came", schema.fields().len(), batch.num_columns())));
    }
    let columns: Result<Vec<ArrayRef>, ArrowError> = batch
        .columns()
        .iter()
        .zip(schema.fields())
        .map(|(column, field)| if column.data_type() == field.data_type() { Ok(column.clone()) } else { cast(column, field.data_type()) })
        .collect();
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(schema.clone(), columns?, &options)
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, StringArray, StringViewArray};

    use super::*;

    fn numbers(from: i64, to: i64) -> RecordBatch {
        RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from_iter_values(from..to)) as ArrayRef)]).unwrap()
    }

    fn through(batches: &[RecordBatch]) -> Vec<RecordBatch> {
        let mut sizing = Sizing::new(batches[0].schema());
        let mut out: Vec<_> = batches.iter().flat_map(|b| sizing.push(b).unwrap()).collect();
        out.extend(sizing.flush().unwrap());
        let rows = concat_batches(&batches[0].schema(), &out).unwrap();
        assert_eq!(rows, concat_batches(&batches[0].schema(), batches).unwrap(), "nothing is lost and order is kept");
        out
    }

    #[test]
    fn small_batches_are_put_together() {
        let small: Vec<_> = (0..200).map(|i| numbers(i * 8192, (i + 1) * 8192)).collect();
        let sent = through(&small);
        assert_eq!(sent.len(), 4, "200 batches of 64 KiB are 12.5 MiB");
        assert!(sent.iter().all(|b| size(b).unwrap() <= BATCH_BYTES));
    }

    #[test]
    fn large_batches_are_cut() {
        let sent = through(&[numbers(0, 10), numbers(10, 2_000_000), numbers(2_000_000, 2_000_001)]);
        assert!(sent.iter().all(|b| size(b).unwrap() <= BATCH_BYTES));
        assert_eq!(sent.len(), 6);
    }

    #[test]
    fn a_slice_counts_its_own_rows_only() {
        let large = numbers(0, 4_000_000);
        let slices: Vec<_> = (0..10).map(|i| large.slice(i * 100, 100)).collect();
        assert_eq!(through(&slices).len(), 1);
    }

    #[test]
    fn one_row_is_never_cut() {
        let text = "x".repeat(9 << 20);
        let batch = RecordBatch::try_from_iter([("t", Arc::new(StringArray::from(vec![text.as_str(), "y"])) as ArrayRef)]).unwrap();
        assert_eq!(through(&[batch]).len(), 2);
    }

    #[test]
    fn views_become_plain_types() {
        let batch = RecordBatch::try_from_iter([("t", Arc::new(StringViewArray::from(vec!["a", "b"])) as ArrayRef)]).unwrap();
        let schema = travelling(&batch.schema());
        let mut sizing = Sizing::new(schema.clone());
        assert!(sizing.push(&batch).unwrap().is_empty());
        let sent = sizing.flush().unwrap().unwrap();
        assert_eq!(sent.column(0).as_ref(), &StringArray::from(vec!["a", "b"]) as &dyn Array);
        assert_eq!(sent.schema(), schema);
    }

    #[test]
    fn what_does_not_fit_the_promise_is_an_error() {
        let mut sizing = Sizing::new(Arc::new(Schema::empty()));
        assert!(sizing.push(&numbers(0, 1)).is_err());
    }
}
