//! An engine over the cubes of `corpus/cubes`, in process, and what the runners ask of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute;
use arrow::datatypes::{DataType, Float64Type};
use futures::TryStreamExt;
use graticule_query::{Engine, EngineSettings, Form, Parameters, QueryError};
use graticule_storage::catalog::{Catalog, CatalogLocation, NoProgress};
use graticule_storage::object::Objects;
use graticule_storage::read::{ReadSettings, Reader};

/// The repository's root.
pub fn root() -> PathBuf {
    // Not `tests/..`: that path would lie in `tests`.
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(PathBuf::new, Path::to_path_buf)
}

/// An engine that knows no cube yet.
pub async fn empty(memory_bytes: u64) -> Engine {
    let objects = Objects::anywhere();
    let catalog = Arc::new(Catalog::open(CatalogLocation::Memory, objects.clone()).await.unwrap());
    let reader = Reader::new(objects, catalog.clone(), ReadSettings { cache_bytes: 8 << 20, threads: 2 }).unwrap();
    Engine::new(catalog, reader, EngineSettings { memory_bytes, threads: 2 }).unwrap()
}

/// An engine with the cube `weather`; dense rules on or off.
pub async fn weather(dense: bool) -> Engine {
    let engine = empty(1 << 30).await;
    let files = root().join("tests/corpus/cubes/weather_*.nc");
    ask(&engine, &format!("CREATE CUBE weather FROM '{}'", files.display()), Form::Rows).await.unwrap();
    ask(&engine, &format!("SET graticule.dense = {dense}"), Form::Rows).await.unwrap();
    engine
}

/// Runs one statement to its end.
pub async fn ask(engine: &Engine, text: &str, form: Form) -> Result<Vec<RecordBatch>, QueryError> {
    let prepared = engine.prepare(text, form, Parameters::Values(vec![])).await?;
    let stream = prepared.run(Arc::new(NoProgress)).await?;
    stream.try_collect().await.map_err(|e: datafusion::error::DataFusionError| match e {
        datafusion::error::DataFusionError::External(inner) => match inner.downcast::<QueryError>() {
            Ok(error) => *error,
            Err(other) => panic!("an error of another room: {other}"),
        },
        other => panic!("an error that is not ours: {other}"),
    })
}

/// A column of an answer as numbers, `None` where NULL.
pub fn numbers(batches: &[RecordBatch], column: usize) -> Vec<Option<f64>> {
    let of = |b: &RecordBatch| {
        let wide = compute::cast(b.column(column), &DataType::Float64).unwrap();
        wide.as_primitive::<Float64Type>().iter().collect::<Vec<_>>()
    };
    batches.iter().flat_map(of).collect()
}

/// The cells of the first variable of an array answer, tile after tile.
pub fn cells(batches: &[RecordBatch]) -> Vec<Option<f64>> {
    let mut all = Vec::new();
    for batch in batches {
        let tensors = batch.column(1).as_struct();
        let data = tensors.column(0).as_list::<i32>();
        for i in 0..data.len() {
            let wide = compute::cast(&data.value(i), &DataType::Float64).unwrap();
            all.extend(wide.as_primitive::<Float64Type>().iter());
        }
    }
    all
}
