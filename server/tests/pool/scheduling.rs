//! Cutting and writing down a plan over a million chunks costs no more than reading their numbers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::physical_plan::ExecutionPlan;
use datafusion_distributed::{DistributedCodec, DistributedLeafExec, NetworkBoundaryExt};
use datafusion_proto::bytes::physical_plan_to_bytes_with_proto_converter;
use datafusion_proto::physical_plan::DeduplicatingProtoConverter;
use futures::TryStreamExt;
use graticule_query::{Engine, Form, Parameters};
use graticule_server::config::{IN_MEMORY, Settings};
use graticule_server::database::Database;
use graticule_server::pool::channel::Channels;
use graticule_server::pool::credentials::Credentials;
use graticule_server::pool::spread::{Spread, spread};
use graticule_storage::catalog::NoProgress;
use graticule_storage::object::Objects;
use url::Url;
use uuid::Uuid;

async fn run(engine: &Engine, text: &str) {
    let prepared = engine.prepare(text, Form::Rows, Parameters::Values(vec![])).await.unwrap();
    let _: Vec<_> = prepared.run(Arc::new(NoProgress)).await.unwrap().try_collect().await.unwrap();
}

/// The bytes that each node gets.
fn sent(spread: &Spread, nodes: usize) -> Vec<usize> {
    let codec = DistributedCodec::new_combined_with_user(spread.state.config());
    let mut sizes = vec![0; nodes];
    spread
        .plan
        .apply(|node| {
            let Some(stage) = node.as_network_boundary().and_then(|b| b.input_stage().local_plan().cloned()) else {
                return Ok(TreeNodeRecursion::Continue);
            };
            for (number, size) in sizes.iter_mut().enumerate() {
                let part: Arc<dyn ExecutionPlan> = stage
                    .clone()
                    .transform_up(|node| {
                        let mine = node.downcast_ref::<DistributedLeafExec>().and_then(|leaf| leaf.variants().get(number).cloned());
                        Ok(mine.map_or_else(|| Transformed::no(node), Transformed::yes))
                    })
                    .data()?;
                *size += physical_plan_to_bytes_with_proto_converter(part, &codec, &DeduplicatingProtoConverter::default())?.len();
            }
            Ok(TreeNodeRecursion::Continue)
        })
        .unwrap();
    sizes
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures; `make test-long` runs it"]
async fn long_a_plan_over_a_million_chunks_is_cut_and_sent_soon() {
    // A chunk that was never written is missing, so that a million of them are one small file.
    let folder = tempfile::tempdir().unwrap();
    let array = folder.path().join("large.zarr/v");
    std::fs::create_dir_all(&array).unwrap();
    std::fs::write(folder.path().join("large.zarr/zarr.json"), r#"{"zarr_format": 3, "node_type": "group", "attributes": {}}"#).unwrap();
    let metadata = r#"{"zarr_format": 3, "node_type": "array", "shape": [10000, 1280, 1280], "data_type": "float32", "dimension_names": ["time", "y", "x"],
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [1, 128, 128]}}, "chunk_key_encoding": {"name": "default"},
        "fill_value": 0.0, "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}], "attributes": {}}"#;
    std::fs::write(array.join("zarr.json"), metadata).unwrap();
    let settings = Settings { data_dir: IN_MEMORY.into(), threads: 2, ..Settings::default() };
    let database = Database::open(&settings, Objects::anywhere()).await.unwrap();
    let engine = database.engine();
    run(engine, &format!("CREATE CUBE large FROM '{}/large.zarr'", folder.path().display())).await;
    // Tiles of one chunk each: the worst case.
    run(engine, "SET graticule.tile_cells = 16384").await;
    let nodes: Vec<Url> = (1..=4).map(|n| Url::parse(&format!("http://10.0.0.{n}:7000/")).unwrap()).collect();
    for text in ["SELECT max(v) AS m FROM large", "SELECT time, max(v) AS m FROM large GROUP BY time", "SELECT v FROM large WHERE v > 1"] {
        let prepared = engine.prepare(text, Form::Rows, Parameters::Values(vec![])).await.unwrap();
        let begun = Instant::now();
        let mut last = begun;
        let mut step = |name: &str| {
            let took = last.elapsed();
            last = Instant::now();
            eprintln!("{text}: {name} {:.0} ms", took.as_secs_f64() * 1e3);
        };
        assert!(prepared.reads(16 << 20));
        step("worth it");
        let recipe = prepared.recipe(4).unwrap();
        let shared = Arc::new(engine.shared(&recipe).await.unwrap());
        step("planned again");
        let spread = spread(&shared, &nodes, Uuid::new_v4(), &Channels::new(Credentials::read(&settings).unwrap()), false).await.unwrap();
        step("cut");
        let sizes = sent(&spread, nodes.len());
        step("written down");
        let took = begun.elapsed();
        eprintln!("{text}: {took:?} in all; {sizes:?} bytes");
        assert!(sizes.iter().all(|&size| size > 50), "{sizes:?}");
        // Dev builds do not optimise this crate.
        let most = Duration::from_secs(if cfg!(debug_assertions) { 60 } else { 2 });
        assert!(took < most, "{took:?}");
    }
}
