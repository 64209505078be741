//! Batches of a size that travels well: about four MiB, whatever the operators made.

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute;
use datafusion::error::Result;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::{StreamExt, TryStreamExt, stream};

/// Bytes that a batch should have.
const BATCH_BYTES: usize = 4 << 20;

/// The same rows in batches of about [`BATCH_BYTES`]. Nothing is held back longer than it takes to fill one batch.
pub(crate) fn rebatch(input: SendableRecordBatchStream) -> SendableRecordBatchStream {
    let schema = input.schema();
    let of = schema.clone();
    let state = (input, Vec::<RecordBatch>::new(), 0usize, false);
    let batches = stream::try_unfold(state, move |(mut input, mut held, mut bytes, mut ended)| {
        let schema = of.clone();
        async move {
            while !ended && bytes < BATCH_BYTES {
                match input.next().await.transpose()? {
                    Some(batch) if batch.num_rows() == 0 => {}
                    Some(batch) => {
                        bytes += bytes_of(&batch);
                        held.push(batch);
                    }
                    None => ended = true,
                }
            }
            match held.len() {
                0 => Ok(None),
                1 => Ok(held.pop().map(|b| (b, (input, held, 0, ended)))),
                _ => {
                    let joined = compute::concat_batches(&schema, &held)?;
                    held.clear();
                    Ok::<_, datafusion::error::DataFusionError>(Some((joined, (input, held, 0, ended))))
                }
            }
        }
    });
    let split = batches.map_ok(|b| stream::iter(pieces(b).into_iter().map(Result::Ok))).try_flatten();
    Box::pin(RecordBatchStreamAdapter::new(schema, split))
}

/// Bytes of the rows themselves: a slice counts only what it shows.
fn bytes_of(batch: &RecordBatch) -> usize {
    batch.columns().iter().map(|c| c.to_data().get_slice_memory_size().unwrap_or_else(|_| c.get_array_memory_size())).sum()
}

fn pieces(batch: RecordBatch) -> Vec<RecordBatch> {
    let bytes = bytes_of(&batch);
    let rows = batch.num_rows();
    if bytes <= 2 * BATCH_BYTES || rows < 2 {
        return vec![batch];
    }
    let each = rows.div_ceil(bytes.div_ceil(BATCH_BYTES)).max(1);
    (0..rows).step_by(each).map(|start| batch.slice(start, each.min(rows - start))).collect()
}
