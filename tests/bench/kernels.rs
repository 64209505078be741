//! The kernels of the engine against the memory of the machine, on one core: `cargo bench -p graticule-tests --bench kernels`.
//!
//! Each question is asked of one engine with one thread over a Zarr store made here: a smooth field with noise in its low bits,
//! int16 with scale and offset, shuffled and deflated. `decode` begins at the stored bytes every time; all others find the
//! chunks decoded in the cache and use no statistics, so that the kernel is what is measured. Throughput counts the cells as
//! float32; `memory` sums and copies as many bytes.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use futures::StreamExt;
use graticule_query::{Engine, EngineSettings, Form, Parameters};
use graticule_storage::catalog::{Catalog, CatalogLocation, NoProgress};
use graticule_storage::object::Objects;
use graticule_storage::read::{ReadSettings, Reader};
use libdeflater::{CompressionLvl, Compressor};
use tokio::runtime::Runtime;

/// Cells along time, latitude, longitude.
const SHAPE: [usize; 3] = [96, 360, 720];
/// Cells of a chunk.
const CHUNK: [usize; 3] = [24, 90, 180];
const CELLS: usize = SHAPE[0] * SHAPE[1] * SHAPE[2];

/// What is asked: a name, the question, and whether the answer is rows or arrays.
const QUESTIONS: &[(&str, &str, Form)] = &[
    ("fetch", "SELECT v FROM field", Form::Array),
    ("mean of all", "SELECT avg(v) FROM field", Form::Rows),
    ("mean by time", "SELECT time, avg(v) FROM field GROUP BY time", Form::Rows),
    ("map of means", "SELECT avg(v) AS m FROM field GROUP BY latitude, longitude", Form::Array),
    ("map of variances", "SELECT var_pop(v) AS m FROM field GROUP BY latitude, longitude", Form::Array),
    ("map of maxima", "SELECT max(v) AS m FROM field GROUP BY latitude, longitude", Form::Array),
    ("map of medians", "SELECT median(v) AS m FROM field GROUP BY latitude, longitude", Form::Array),
    ("histogram", "SELECT histogram(v, 200.0005, 330.0005, 100) FROM field", Form::Rows),
    (
        "map of counts, two predicates",
        "SELECT count(*) FILTER (WHERE v > 280 AND v * 2 < 580) AS n FROM field GROUP BY latitude, longitude",
        Form::Array,
    ),
    ("3 x 3 means", "SELECT avg(v) AROUND (latitude(-1:1), longitude(-1:1)) AS m FROM field", Form::Array),
    ("9 x 9 maxima", "SELECT max(v) AROUND (latitude(-4:4), longitude(-4:4)) AS m FROM field", Form::Array),
    ("arithmetic", "SELECT (v - 273.15) * 1.8 + 32 AS f FROM field", Form::Array),
];

fn kernels(c: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    store(&folder.path().join("field.zarr"));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let mut group = c.benchmark_group("kernels");
    group.sample_size(10).measurement_time(Duration::from_secs(3)).throughput(Throughput::Bytes(4 * CELLS as u64));
    memory(&mut group);
    let cold = engine(&runtime, folder.path(), 0);
    group.bench_function("decode (inflate, unshuffle, scale)", |b| {
        b.iter(|| ask(&runtime, &cold, "SELECT v FROM field", Form::Array));
    });
    let warm = engine(&runtime, folder.path(), 1 << 30);
    for &(name, question, form) in QUESTIONS {
        ask(&runtime, &warm, question, form);
        group.bench_function(name, |b| b.iter(|| ask(&runtime, &warm, question, form)));
    }
    group.finish();
}

fn memory(group: &mut criterion::BenchmarkGroup<'_, criterion::measurement::WallTime>) {
    let source = vec![1.0f32; CELLS];
    group.bench_function("memory: sum", |b| {
        b.iter(|| black_box(&source).chunks_exact(64).fold([0.0f32; 64], |sums, block| std::array::from_fn(|i| sums[i] + block[i])));
    });
    let mut target = vec![0.0f32; CELLS];
    group.bench_function("memory: copy", |b| b.iter(|| black_box(&mut target).copy_from_slice(black_box(&source))));
    group
        .bench_function("memory: copy to fresh pages", |b| b.iter_batched(|| (), |()| black_box(&source).clone(), BatchSize::PerIteration));
}

/// An engine with one thread that knows the cube `field`.
fn engine(runtime: &Runtime, folder: &Path, cache_bytes: u64) -> Engine {
    let objects = Objects::anywhere();
    let catalog = Arc::new(runtime.block_on(Catalog::open(CatalogLocation::Memory, objects.clone())).unwrap());
    let reader = Reader::new(objects, catalog.clone(), ReadSettings { cache_bytes, threads: 1 }).unwrap();
    let engine = Engine::new(catalog, reader, EngineSettings { memory_bytes: 4 << 30, threads: 1 }).unwrap();
    ask(runtime, &engine, &format!("CREATE CUBE field FROM '{}'", folder.join("field.zarr").display()), Form::Rows);
    ask(runtime, &engine, "SET graticule.statistics = false", Form::Rows);
    engine
}

/// Runs a question to its end and lets its answer go, batch by batch.
fn ask(runtime: &Runtime, engine: &Engine, question: &str, form: Form) {
    runtime.block_on(async {
        let prepared = engine.prepare(question, form, Parameters::Values(vec![])).await.unwrap();
        let mut batches = prepared.run(Arc::new(NoProgress)).await.unwrap();
        while let Some(batch) = batches.next().await {
            black_box(batch.unwrap());
        }
    });
}

/// A Zarr v2 store with one variable over time, latitude and longitude.
fn store(folder: &Path) {
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    };
    write(".zgroup", br#"{"zarr_format": 2}"#);
    write(".zattrs", br#"{"Conventions": "CF-1.8"}"#);
    let starts = [
        ("time", 0.0, 6.0, "hours since 2020-01-01"),
        ("latitude", 89.75, -0.5, "degrees_north"),
        ("longitude", 0.25, 0.5, "degrees_east"),
    ];
    for ((name, start, step, units), n) in starts.into_iter().zip(SHAPE) {
        let cells: Vec<u8> = (0..n).flat_map(|i| (start + step * i as f64).to_le_bytes()).collect();
        write(&format!("{name}/.zarray"), zarray(&[n], &[n], "<f8", "null", "null").as_bytes());
        write(
            &format!("{name}/.zattrs"),
            format!(r#"{{"_ARRAY_DIMENSIONS": ["{name}"], "units": "{units}", "standard_name": "{name}"}}"#).as_bytes(),
        );
        write(&format!("{name}/0"), &cells);
    }
    write(
        "v/.zarray",
        zarray(&SHAPE, &CHUNK, "<i2", r#"{"id": "zlib", "level": 4}"#, r#"[{"id": "shuffle", "elementsize": 2}]"#).as_bytes(),
    );
    let attributes =
        r#"{"_ARRAY_DIMENSIONS": ["time", "latitude", "longitude"], "scale_factor": 0.0022, "add_offset": 262.5, "_FillValue": -32767}"#;
    write("v/.zattrs", attributes.as_bytes());
    let counts: Vec<usize> = SHAPE.iter().zip(CHUNK).map(|(n, c)| n / c).collect();
    let mut compressor = Compressor::new(CompressionLvl::new(4).unwrap());
    let mut noise = 1u32;
    for t in 0..counts[0] {
        for y in 0..counts[1] {
            for x in 0..counts[2] {
                let mut planes = (Vec::new(), Vec::new());
                for cell in 0..CHUNK.iter().product() {
                    let (i, j, k) = (cell / (CHUNK[1] * CHUNK[2]), cell / CHUNK[2] % CHUNK[1], cell % CHUNK[2]);
                    let (i, j, k) = ((t * CHUNK[0] + i) as f64, (y * CHUNK[1] + j) as f64, (x * CHUNK[2] + k) as f64);
                    noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    let smooth = 12_000.0 * (j * std::f64::consts::PI / SHAPE[1] as f64).sin() + 3_000.0 * (k / 60.0 + i / 9.0).cos();
                    let [low, high] = (smooth as i16 + (noise >> 28) as i16).to_le_bytes();
                    planes.0.push(low);
                    planes.1.push(high);
                }
                planes.0.append(&mut planes.1);
                let mut stored = vec![0; compressor.zlib_compress_bound(planes.0.len())];
                let length = compressor.zlib_compress(&planes.0, &mut stored).unwrap();
                write(&format!("v/{t}.{y}.{x}"), &stored[..length]);
            }
        }
    }
}

fn zarray(shape: &[usize], chunks: &[usize], dtype: &str, compressor: &str, filters: &str) -> String {
    format!(
        r#"{{"zarr_format": 2, "shape": {shape:?}, "chunks": {chunks:?}, "dtype": "{dtype}", "compressor": {compressor}, "filters": {filters}, "fill_value": null, "order": "C"}}"#
    )
}

criterion_group!(benches, kernels);
criterion_main!(benches);
