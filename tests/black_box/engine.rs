//! An engine over the cubes of `corpus/cubes`, in process, and what the runners ask of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute;
use arrow::datatypes::{DataType, Float64Type};
use datafusion::common::ScalarValue;
use datafusion::execution::SendableRecordBatchStream;
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

/// The same with two views of it: `seen`, which is all of it, and `other`, whose `o` is missing in places and not on all latitudes.
pub async fn viewed(dense: bool) -> Engine {
    let engine = weather(dense).await;
    for view in [
        "CREATE VIEW seen AS SELECT t2m, tp, lsm FROM weather",
        "CREATE VIEW other AS SELECT tp * 100 + lsm AS o FROM weather[latitude(INDEX 0:17)] WHERE t2m > 255",
    ] {
        ask(&engine, view, Form::Rows).await.unwrap();
    }
    engine
}

/// An engine with `weather` and the cubes of `corpus/relations`; dense rules on or off.
pub async fn relations(dense: bool) -> Engine {
    let engine = empty(1 << 30).await;
    create_relations(&engine).await;
    ask(&engine, &format!("SET graticule.dense = {dense}"), Form::Rows).await.unwrap();
    engine
}

/// Makes `weather` and the cubes of `corpus/relations`.
pub async fn create_relations(engine: &Engine) {
    let files = root().join("tests/corpus/cubes/weather_*.nc");
    ask(engine, &format!("CREATE CUBE weather FROM '{}'", files.display()), Form::Rows).await.unwrap();
    for cube in ["era5", "orography", "climate", "coarse", "shifted", "s2", "dem"] {
        let file = root().join(format!("tests/corpus/relations/{cube}.nc"));
        ask(engine, &format!("CREATE CUBE {cube} FROM '{}'", file.display()), Form::Rows).await.unwrap();
    }
}

/// Runs one statement to its end.
pub async fn ask(engine: &Engine, text: &str, form: Form) -> Result<Vec<RecordBatch>, QueryError> {
    ask_with(engine, text, form, vec![]).await
}

/// The same with values for its parameters.
pub async fn ask_with(engine: &Engine, text: &str, form: Form, values: Vec<ScalarValue>) -> Result<Vec<RecordBatch>, QueryError> {
    let prepared = engine.prepare(text, form, Parameters::Values(values)).await?;
    collect(prepared.run(Arc::new(NoProgress)).await?).await
}

/// All of a stream; its error is one of ours.
pub async fn collect(stream: SendableRecordBatchStream) -> Result<Vec<RecordBatch>, QueryError> {
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

/// The axes of an array answer with their lengths, and the cells of its first variable in C order.
pub fn array(batches: &[RecordBatch]) -> (Vec<(String, usize)>, Vec<Option<f64>>) {
    let Some(first) = batches.first() else { return (vec![], vec![]) };
    let schema = first.schema();
    let described: serde_json::Value = serde_json::from_str(&schema.metadata()["graticule.axes"]).unwrap();
    let axes = described["axes"].as_array().unwrap().iter();
    let axes: Vec<(String, usize)> = axes.map(|a| (a["name"].as_str().unwrap().to_owned(), a["size"].as_u64().unwrap() as usize)).collect();
    let absent = schema.field(1).metadata().get("graticule.absent").map(|v| v.parse().unwrap());
    let mut all: Vec<Option<f64>> = vec![absent; axes.iter().map(|(_, n)| n).product()];
    for batch in batches {
        let origins = batch.column(0).as_list::<i32>();
        let tensors = batch.column(1).as_struct();
        let (data, shapes) = (tensors.column(0).as_list::<i32>(), tensors.column(1).as_fixed_size_list());
        for row in 0..batch.num_rows() {
            let integers = |values: &dyn Array| -> Vec<usize> {
                let wide = compute::cast(values, &DataType::Int64).unwrap();
                wide.as_primitive::<arrow::datatypes::Int64Type>().values().iter().map(|&v| v as usize).collect()
            };
            let (origin, shape) = (integers(&origins.value(row)), integers(&shapes.value(row)));
            let values = compute::cast(&data.value(row), &DataType::Float64).unwrap();
            for (i, value) in values.as_primitive::<Float64Type>().iter().enumerate() {
                let (mut rest, mut at, mut stride) = (i, 0, 1);
                for d in (0..shape.len()).rev() {
                    at += (origin[d] + rest % shape[d]) * stride;
                    rest /= shape[d];
                    stride *= axes[d].1;
                }
                all[at] = value;
            }
        }
    }
    (axes, all)
}
