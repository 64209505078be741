//! kerchunk references in Parquet: a folder with a consolidated `.zmetadata` and, for each array, files `refs.N.parq` of
//! `record_size` references each, in C order of the chunks.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use ::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType as ArrowType, Int64Type};
use bytes::Bytes;
use serde_json::Value;

use super::Reference;
use crate::array::{ChunkGrid, KeyEncoding};
use crate::format::IndexedGranule;
use crate::format::zarr::parse_json;
use crate::object::{ObjectReader, below};
use crate::{Error, Result};

/// Largest file of references, bytes.
const LARGEST: u64 = 1 << 30;
/// Chunks of one array.
const CHUNKS: u64 = 1 << 26;

/// True for a `.zmetadata` that speaks of Parquet references.
pub(in crate::format) fn is_parquet(document: &Value) -> bool {
    document.get("record_size").is_some()
}

/// Indexes a folder of references, whose `.zmetadata` is `object`.
pub(in crate::format) async fn index(object: &ObjectReader) -> Result<IndexedGranule> {
    let bad = |what: String| Error::data(object.location(), what);
    let document = parse_json(&object.read(0..object.size()).await?).map_err(|why| bad(format!(".zmetadata is {why}")))?;
    let record = document
        .get("record_size")
        .and_then(Value::as_u64)
        .filter(|&n| n > 0)
        .ok_or_else(|| bad("record_size is no number above 0".into()))?;
    let documents = document.get("metadata").and_then(Value::as_object).ok_or_else(|| bad(".zmetadata without metadata".into()))?;
    let mut references = BTreeMap::new();
    let mut refused = Vec::new();
    for (key, document) in documents {
        references.insert(key.clone(), Reference::Inline(document.to_string().into()));
        let Some(path) = key.strip_suffix("/.zarray") else { continue };
        match array(object, path, document, record, &mut references).await? {
            Ok(()) => {}
            Err(why) => refused.push(crate::format::Refused { path: format!("/{path}"), reason: why }),
        }
    }
    for r in &refused {
        references.retain(|key, _| !key.starts_with(&format!("{}/", r.path.trim_start_matches('/'))));
    }
    let mut granule = super::index(object, "kerchunk", references).await?;
    granule.refused.extend(refused);
    Ok(granule)
}

/// Adds the references of one array; why it is refused, otherwise.
async fn array(
    object: &ObjectReader,
    path: &str,
    document: &Value,
    record: u64,
    references: &mut BTreeMap<String, Reference>,
) -> Result<std::result::Result<(), String>> {
    let sizes =
        |key: &str| document.get(key).and_then(Value::as_array).and_then(|l| l.iter().map(Value::as_u64).collect::<Option<Vec<u64>>>());
    let (Some(shape), Some(chunk)) = (sizes("shape"), sizes("chunks")) else { return Ok(Err("its .zarray has no shape or chunks".into())) };
    if shape.len() != chunk.len() {
        return Ok(Err(format!("chunks of shape {chunk:?} in an array of shape {shape:?}")));
    }
    let grid = ChunkGrid::new(&shape, &chunk);
    if grid.len() > CHUNKS {
        return Ok(Err(format!("{} chunks (at most {CHUNKS})", grid.len())));
    }
    for number in 0..grid.len().div_ceil(record) {
        let location = below(object.location(), &format!("{path}/refs.{number}.parq"));
        let Some((bytes, _)) = object.objects().read_all(&location, LARGEST).await? else {
            // A file without any reference is not written.
            continue;
        };
        let read = tokio::task::spawn_blocking(move || {
            catch_unwind(AssertUnwindSafe(|| rows(bytes, record))).unwrap_or_else(|_| Err("the file cannot be read".into()))
        });
        let read = read.await.map_err(|e| Error::Internal(format!("indexing {}: {e}", object.location())))?;
        let rows = match read {
            Ok(rows) => rows,
            Err(why) => return Ok(Err(format!("{location}: {why}"))),
        };
        for (i, row) in (number * record..grid.len()).zip(rows) {
            let Some(reference) = row else { continue };
            let mut key = format!("{path}/");
            KeyEncoding::DOTTED.push(&grid.coordinates(i), &mut key);
            references.insert(key, reference);
        }
    }
    Ok(Ok(()))
}

/// The references of a file; `None` for chunks never written.
fn rows(bytes: Bytes, most: u64) -> std::result::Result<Vec<Option<Reference>>, String> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(|e| e.to_string())?;
    let told = builder.metadata().file_metadata().num_rows();
    if u64::try_from(told).is_ok_and(|n| n > most) {
        return Err(format!("{told} references where {most} were expected"));
    }
    let reader = builder.with_batch_size(8192).build().map_err(|e| e.to_string())?;
    let mut found = Vec::new();
    for batch in reader {
        add(&batch.map_err(|e| e.to_string())?, &mut found)?;
        if found.len() as u64 > most {
            return Err(format!("more than {most} references"));
        }
    }
    Ok(found)
}

fn add(batch: &RecordBatch, found: &mut Vec<Option<Reference>>) -> std::result::Result<(), String> {
    let column = |name: &str, to: &ArrowType| -> std::result::Result<Option<arrow::array::ArrayRef>, String> {
        batch.column_by_name(name).map(|c| cast(c, to).map_err(|e| format!("column {name}: {e}"))).transpose()
    };
    let path = column("path", &ArrowType::Utf8)?;
    let (offset, size) = (column("offset", &ArrowType::Int64)?, column("size", &ArrowType::Int64)?);
    let raw = column("raw", &ArrowType::Binary)?;
    if path.is_none() && raw.is_none() {
        return Err("neither a column path nor a column raw".into());
    }
    let number = |column: &Option<arrow::array::ArrayRef>, i: usize| {
        let column = column.as_ref().map(|c| c.as_primitive::<Int64Type>()).filter(|c| c.is_valid(i));
        let value = column.map_or(0, |c| c.value(i));
        u64::try_from(value).map_err(|_| format!("{value} is no place in a file"))
    };
    for i in 0..batch.num_rows() {
        let inline = raw.as_ref().map(|r| r.as_binary::<i32>()).filter(|r| r.is_valid(i)).map(|r| Bytes::copy_from_slice(r.value(i)));
        let file = path.as_ref().map(|p| p.as_string::<i32>()).filter(|p| p.is_valid(i)).map(|p| p.value(i)).filter(|p| !p.is_empty());
        found.push(match (inline, file) {
            (Some(bytes), _) => Some(Reference::Inline(bytes)),
            (None, Some(file)) => {
                let (offset, size) = (number(&offset, i)?, number(&size, i)?);
                // Neither stands for all of the file.
                Some(Reference::file(file, (offset > 0 || size > 0).then_some((offset, size))))
            }
            (None, None) => None,
        });
    }
    Ok(())
}
