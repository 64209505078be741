//! GeoParquet (1.0, 1.1) to rows: the primary column of the file's `geo` metadata as well-known binary, all other columns as they are.

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::reader::ChunkReader;
use serde_json::Value;

use super::tables::{GEOM, geometry_field, named_crs, with_crs};

/// Rows at most.
const ROWS: usize = 50_000_000;

/// The rows of a file, or what is wrong with it. There is one batch at least.
pub(crate) fn read(bytes: impl ChunkReader + 'static) -> Result<Vec<RecordBatch>, String> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(|e| format!("GeoParquet is expected: {e}"))?;
    let entries = builder.metadata().file_metadata().key_value_metadata();
    let geo = entries.into_iter().flatten().find(|entry| entry.key == "geo").and_then(|entry| entry.value.as_deref());
    let Some(geo) = geo else { return Err("Parquet without the metadata `geo`: it is not GeoParquet".into()) };
    let geo: Value = serde_json::from_str(geo).map_err(|e| format!("the metadata `geo` is no JSON: {e}"))?;
    let Some(primary) = geo.get("primary_column").and_then(Value::as_str) else {
        return Err("the metadata `geo` names no primary_column".into());
    };
    let described = geo.get("columns").and_then(|c| c.get(primary)).cloned().unwrap_or(Value::Null);
    match described.get("encoding").and_then(Value::as_str) {
        Some("WKB") => {}
        other => {
            return Err(format!("column {primary} is encoded as {}; WKB is supported", other.unwrap_or("nothing that is named")));
        }
    }
    if described.get("edges").and_then(Value::as_str) == Some("spherical") {
        return Err(format!("column {primary} has spherical edges; planar ones are supported"));
    }
    let system = match described.get("crs") {
        // The standard's own default is longitude and latitude of WGS 84.
        None => Some("EPSG:4326".to_owned()),
        Some(Value::Null) => None,
        Some(crs) => match named_crs(crs) {
            Some(named) => Some(if named == "OGC:CRS84" { "EPSG:4326".into() } else { named }),
            None => return Err(format!("the coordinate reference system of column {primary} has no identifier (`id`)")),
        },
    };
    let own = builder.schema().clone();
    let Ok(at) = own.index_of(primary) else {
        return Err(format!("there is no column {primary}, the primary_column of the metadata `geo`"));
    };
    if own.fields().iter().enumerate().any(|(i, f)| i != at && f.name() == GEOM) {
        return Err(format!("a column beside {primary} is named {GEOM}, as the column of geometries is; give it another name"));
    }
    let schema = schema(&own, at, system.as_deref());
    let rows = builder.metadata().file_metadata().num_rows();
    if usize::try_from(rows).map_or(true, |n| n > ROWS) {
        return Err(format!("{rows} rows; at most {ROWS} are read"));
    }
    let mut batches = Vec::new();
    let mut number = 0usize;
    for batch in builder.build().map_err(|e| e.to_string())? {
        let batch = batch.map_err(|e| e.to_string())?;
        let mut columns = batch.columns().to_vec();
        let geometries = compute::cast(&columns[at], &DataType::Binary).map_err(|e| format!("column {primary}: {e}"))?;
        for i in 0..geometries.len() {
            number += 1;
            if let Some(geometry) = super::functions::geometry_at(&geometries, i).map_err(|e| e.to_string())? {
                geometry.shape().map_err(|e| format!("feature {number}: {}", e.strip_backtrace()))?;
            }
        }
        columns[at] = geometries;
        batches.push(RecordBatch::try_new(schema.clone(), columns).map_err(|e| e.to_string())?);
    }
    if batches.is_empty() {
        batches.push(RecordBatch::new_empty(schema));
    }
    Ok(batches)
}

fn schema(own: &Schema, at: usize, system: Option<&str>) -> SchemaRef {
    let field = |(i, field): (usize, &Arc<Field>)| match i == at {
        true => Arc::new(with_crs(geometry_field(GEOM), system)),
        false => Arc::new(field.as_ref().clone().with_metadata(Default::default())),
    };
    Arc::new(Schema::new(own.fields().iter().enumerate().map(field).collect::<Vec<_>>()))
}
