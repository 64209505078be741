//! A server with nodes, all in this process and on loopback: what they say to each other goes through sockets as in any pool.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::UInt64Type;
use graticule_query::{Engine, Form, Parameters, QueryError};
use graticule_server::config::{EngineFlags, IN_MEMORY, Settings};
use graticule_server::database::Database;
use graticule_server::flight::server::FlightServer;
use graticule_server::node::{Node, NodeSettings};
use graticule_server::pool::Pool;
use graticule_server::units::ByteSize;
use graticule_storage::catalog::NoProgress;
use graticule_storage::object::Objects;

use super::engine::{collect, create_relations, numbers};

/// A server with nodes. Whatever there is to read, queries run on the nodes where their plans allow it.
pub struct Nodes {
    database: Arc<Database>,
    pool: Arc<Pool>,
    /// Statements asked.
    pub asked: Arc<AtomicUsize>,
    /// Of these, how many ran on nodes.
    pub used: Arc<AtomicUsize>,
    /// End when dropped.
    stops: Vec<tokio::sync::oneshot::Sender<()>>,
}

impl Nodes {
    /// Starts a server and so many nodes.
    pub async fn start(count: usize) -> Nodes {
        let settings = Settings {
            listen: "127.0.0.1:0".into(),
            data_dir: IN_MEMORY.into(),
            threads: 2,
            memory: ByteSize(1 << 30),
            cache: ByteSize(8 << 20),
            pool_from: ByteSize(0),
            ..Settings::default()
        };
        let database = Arc::new(Database::open(&settings, Objects::anywhere()).await.unwrap());
        let server = FlightServer::bind(&settings, database.clone()).await.unwrap();
        let (join, pool) = (format!("grpc://{}", server.address()), server.pool());
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        tokio::spawn(server.run(async {
            let _ = stopped.await;
        }));
        let mut stops = vec![stop];
        for _ in 0..count {
            let flags = EngineFlags { memory: Some(ByteSize(1 << 30)), cache: Some(ByteSize(32 << 20)), threads: Some(1) };
            let settings = Settings::embedded(&flags);
            let settings = NodeSettings { join: join.clone(), listen: None, advertise: None, root: vec![], settings };
            let node = Node::join(&settings).await.unwrap();
            let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
            tokio::spawn(node.run(async {
                let _ = stopped.await;
            }));
            stops.push(stop);
        }
        // The cubes of the corpus are small: tiles of some chunks each, so that there is something to share.
        super::engine::ask(database.engine(), "SET graticule.tile_cells = 512", Form::Rows).await.unwrap();
        Nodes { database, pool, asked: Arc::default(), used: Arc::default(), stops }
    }

    /// The server's engine.
    pub fn engine(&self) -> &Engine {
        self.database.engine()
    }

    /// Tells the last node to stop, and waits until the server knows.
    pub async fn stop_one(&mut self) {
        let before = self.column("state").await;
        drop(self.stops.pop());
        while self.column("state").await.len() == before.len() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// A column of `SHOW NODES` as text.
    async fn column(&self, name: &str) -> Vec<String> {
        let batches = super::engine::ask(self.engine(), &format!("SELECT {name} FROM nodes()"), Form::Rows).await.unwrap();
        batches
            .iter()
            .flat_map(|b| b.column(0).as_string::<i32>().iter().map(|v| v.unwrap_or_default().to_owned()).collect::<Vec<_>>())
            .collect()
    }

    /// Chunks that the nodes have read so far, and that they found in their caches.
    async fn chunks(&self) -> (u64, u64) {
        // Nodes tell every second.
        tokio::time::sleep(Duration::from_millis(1300)).await;
        let query = "SELECT sum(chunks_read), sum(chunks_from_cache) FROM nodes()";
        let batches = super::engine::ask(self.engine(), query, Form::Rows).await.unwrap();
        let of = |i: usize| batches[0].column(i).as_primitive::<UInt64Type>().value(0);
        (of(0), of(1))
    }

    /// Runs one statement to its end, on the nodes where that goes.
    pub async fn ask(&self, text: &str, form: Form) -> Result<Vec<RecordBatch>, QueryError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let prepared = self.engine().prepare(text, form, Parameters::Values(vec![])).await?;
        match self.pool.run(&prepared).await? {
            Some(stream) => {
                self.used.fetch_add(1, Ordering::Relaxed);
                collect(stream).await
            }
            None => collect(prepared.run(Arc::new(NoProgress)).await?).await,
        }
    }
}

/// Rows of an answer as text, sorted.
fn rows(batches: &[RecordBatch]) -> Vec<String> {
    let options = arrow::util::display::FormatOptions::default().with_null("NULL");
    let mut found = vec![];
    for batch in batches {
        let columns: Vec<_> = batch.columns().iter().map(|c| arrow::util::display::ArrayFormatter::try_new(c, &options).unwrap()).collect();
        found.extend((0..batch.num_rows()).map(|i| columns.iter().map(|c| c.value(i).to_string()).collect::<Vec<_>>().join("|")));
    }
    found.sort();
    found
}

const QUESTIONS: [&str; 9] = [
    "SELECT count(*), count(t2m), min(t2m), max(t2m) FROM weather",
    "SELECT time, min(t2m), max(tp) FROM weather GROUP BY time",
    "SELECT max(t2m) AS m FROM weather GROUP BY DIMS EXCEPT (time)",
    "SELECT latitude, longitude, t2m FROM weather[time(INDEX 3)] WHERE t2m > 280",
    "SELECT month(time) AS m, count(t2m) FROM weather GROUP BY month(time) ORDER BY m",
    "SELECT t2m FROM weather ORDER BY t2m DESC LIMIT 7",
    "SELECT max(t2m) AROUND (latitude(-1:1), longitude(-1:1)) AS m FROM weather[time(INDEX 0:3)]",
    "SELECT median(t2m) FROM weather GROUP BY latitude",
    "SELECT count(*) FROM (SELECT max(t2m) AS m FROM weather GROUP BY time) WHERE m > (SELECT avg(t2m) FROM weather)",
];

#[tokio::test(flavor = "multi_thread")]
async fn three_nodes_answer_as_one_process_does() {
    let nodes = Nodes::start(3).await;
    create_relations(nodes.engine()).await;
    for dense in [true, false] {
        nodes.ask(&format!("SET graticule.dense = {dense}"), Form::Rows).await.unwrap();
        for question in QUESTIONS {
            let before = nodes.used.load(Ordering::Relaxed);
            let alone = super::engine::ask(nodes.engine(), question, Form::Rows).await.unwrap();
            let spread = nodes.ask(question, Form::Rows).await.unwrap_or_else(|e| panic!("{question}: {e}"));
            assert_eq!(rows(&spread), rows(&alone), "{question}, dense {dense}");
            if dense {
                assert_eq!(nodes.used.load(Ordering::Relaxed), before + 1, "{question}");
            }
        }
    }
    nodes.ask("SET graticule.dense = true", Form::Rows).await.unwrap();
    for question in
        ["SELECT t2m - 273.15 AS c FROM weather[latitude(0:40)]", "SELECT max(t2m) AS m FROM weather GROUP BY DIMS EXCEPT (time)"]
    {
        let alone = super::engine::ask(nodes.engine(), question, Form::Array).await.unwrap();
        let spread = nodes.ask(question, Form::Array).await.unwrap();
        assert_eq!(super::engine::array(&spread), super::engine::array(&alone), "{question}");
    }
    // What is typed in between is known to the nodes at once.
    nodes.ask("CREATE VIEW warm AS SELECT t2m FROM weather WHERE t2m > 290", Form::Rows).await.unwrap();
    let alone = super::engine::ask(nodes.engine(), "SELECT count(*) FROM warm", Form::Rows).await.unwrap();
    assert_eq!(numbers(&nodes.ask("SELECT count(*) FROM warm", Form::Rows).await.unwrap(), 0), numbers(&alone, 0));
    nodes.ask("DROP CUBE era5", Form::Rows).await.unwrap();
    assert!(nodes.ask("SELECT count(*) FROM era5", Form::Rows).await.is_err());
    nodes.ask("SELECT max(t2m) FROM weather", Form::Rows).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_stay_warm_where_they_are() {
    let mut nodes = Nodes::start(4).await;
    create_relations(nodes.engine()).await;
    // Tiles of these cubes are few; as many units as there are.
    let question = "SELECT min(t2m), max(t2m), min(tp), max(tp) FROM weather";
    nodes.ask(question, Form::Rows).await.unwrap();
    let first = nodes.chunks().await;
    assert!(first.0 > 0, "{first:?}");
    nodes.ask(question, Form::Rows).await.unwrap();
    let second = nodes.chunks().await;
    assert!((second.0 - first.0) * 100 < first.0 * 5, "{first:?} {second:?}");
    nodes.stop_one().await;
    let answer = nodes.ask(question, Form::Rows).await.unwrap();
    assert_eq!(rows(&answer), rows(&super::engine::ask(nodes.engine(), question, Form::Rows).await.unwrap()));
}
