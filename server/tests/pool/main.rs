//! A pool of real processes on loopback: joining, secrets, builds; nodes that are killed, frozen, and told to stop while queries run.

mod bad_input;
mod hanging;
mod processes;
mod scheduling;
mod traces;

use std::path::Path;
use std::time::{Duration, Instant};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, Int64Type, UInt64Type};
use arrow_flight::Action;
use arrow_flight::flight_service_client::FlightServiceClient;
use datafusion::error::DataFusionError;
use datafusion_distributed::GetWorkerInfoRequest;
use datafusion_distributed::grpc::{BoxCloneSyncChannel, create_worker_client};
use futures::TryStreamExt;
use graticule_client::{Client, Error};
use graticule_server::pool::protocol::{HELLO, Hello, PROTOCOL, build};
use prost::Message;
use tonic::Code;

use crate::processes::{Process, SHAPE, sparse};

/// A server with a large cube, and nodes.
async fn pool(folder: &Path, count: usize, more: &[&str]) -> (Process, Vec<Process>, Client) {
    let server = Process::server(&[&["--pool-from", "1MiB"], more].concat());
    let nodes: Vec<Process> = (0..count).map(|_| Process::node(&server, &[])).collect();
    let mut db = Client::connect(&server.url()).await.unwrap();
    db.execute(&format!("CREATE CUBE large FROM '{}'", sparse(folder).display())).await.unwrap();
    (server, nodes, db)
}

async fn ask(db: &mut Client, text: &str) -> Vec<RecordBatch> {
    db.sql(text).await.unwrap().collect().await.unwrap()
}

/// Address, state and chunks read of each node.
async fn shown(db: &mut Client) -> Vec<(String, String, u64)> {
    let batches = ask(db, "SHOW NODES").await;
    let mut found = vec![];
    for batch in &batches {
        let text = |name: &str, i: usize| batch.column_by_name(name).unwrap().as_string::<i32>().value(i).to_owned();
        let chunks = batch.column_by_name("chunks_read").unwrap().as_primitive::<UInt64Type>();
        found.extend((0..batch.num_rows()).map(|i| (text("address", i), text("state", i), chunks.value(i))));
    }
    found
}

async fn state_of(db: &mut Client, node: &Process) -> Option<String> {
    shown(db).await.into_iter().find(|(address, ..)| *address == node.address()).map(|(_, state, _)| state)
}

fn check(batches: &[RecordBatch]) {
    let cells = SHAPE.iter().map(|&n| i64::from(n)).product::<i64>();
    assert_eq!(batches[0].column(0).as_primitive::<Int64Type>().value(0), cells);
    assert_eq!(batches[0].column(1).as_primitive::<Float64Type>().value(0), cells as f64);
}

/// A query that takes a while, with an answer that can be told.
const LONG: &str = "SELECT count(v) AS n, sum(sqrt(v * v + 1)) AS s FROM large";

#[tokio::test(flavor = "multi_thread")]
async fn nodes_join_work_and_leave() {
    let folder = tempfile::tempdir().unwrap();
    let (server, mut nodes, mut db) = pool(folder.path(), 2, &[]).await;
    assert!(nodes.iter().all(|node| node.said.starts_with("joined grpc://")), "{}", nodes[0].said);
    check(&ask(&mut db, LONG).await);
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let seen = shown(&mut db).await;
    assert_eq!(seen.len(), 2);
    // Both did their part, and about as much.
    assert!(seen.iter().all(|(_, state, chunks)| state == "ready" && *chunks > 100), "{seen:?}");
    // Told to stop it leaves, and ends well.
    nodes[0].signal("TERM");
    assert!(nodes[0].child.wait().unwrap().success());
    assert_eq!(state_of(&mut db, &nodes[0]).await, None);
    check(&ask(&mut db, LONG).await);
    drop(nodes);
    drop(server);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_alone_is_a_pool_of_one() {
    let server = Process::server(&[]);
    let mut db = Client::connect(&server.url()).await.unwrap();
    let seen = shown(&mut db).await;
    assert_eq!(seen.iter().map(|(address, state, _)| (address.as_str(), state.as_str())).collect::<Vec<_>>(), [("in process", "ready")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_killed_in_the_middle_costs_a_retry() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, mut nodes, mut db) = pool(folder.path(), 3, &[]).await;
    let query = tokio::spawn(async move {
        let started = Instant::now();
        (ask(&mut db, LONG).await, started.elapsed(), db)
    });
    tokio::time::sleep(Duration::from_millis(400)).await;
    nodes[1].child.kill().unwrap();
    let (answer, took, mut db) = query.await.unwrap();
    check(&answer);
    assert!(took > Duration::from_millis(400), "the query was over before the node was killed: {took:?}");
    assert_ne!(state_of(&mut db, &nodes[1]).await.as_deref(), Some("ready"));
    assert_eq!(state_of(&mut db, &nodes[0]).await.as_deref(), Some("ready"));
    check(&ask(&mut db, LONG).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_freezes_costs_a_retry() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, nodes, mut db) = pool(folder.path(), 3, &[]).await;
    let query = tokio::spawn(async move {
        let started = Instant::now();
        (ask(&mut db, LONG).await, started.elapsed(), db)
    });
    tokio::time::sleep(Duration::from_millis(400)).await;
    nodes[2].signal("STOP");
    let (answer, took, mut db) = query.await.unwrap();
    check(&answer);
    assert!(took < Duration::from_secs(60), "{took:?}");
    assert_ne!(state_of(&mut db, &nodes[2]).await.as_deref(), Some("ready"));
    // Awake again it is as good as before, after a while.
    nodes[2].signal("CONT");
    let deadline = Instant::now() + Duration::from_secs(40);
    while state_of(&mut db, &nodes[2]).await.as_deref() != Some("ready") {
        assert!(Instant::now() < deadline, "{:?}", shown(&mut db).await);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_first_rows_the_client_is_told_which_node_failed() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, mut nodes, mut db) = pool(folder.path(), 2, &[]).await;
    let mut rows = db.sql("SELECT time, y, x, v FROM large WHERE v < 1").await.unwrap();
    assert!(rows.try_next().await.unwrap().is_some());
    nodes.iter_mut().for_each(|node| node.child.kill().unwrap());
    let error = loop {
        match rows.try_next().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("an answer that was cut off and looks whole"),
            Err(error) => break error,
        }
    };
    let (message, Error::Query { code: Code::Unavailable, .. }) = (error.to_string(), &error) else { panic!("{error:?}") };
    assert!(error.again_is_safe());
    assert!(message.contains("asking again is safe") && nodes.iter().any(|node| message.contains(&node.address())), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_stops_the_work_on_the_nodes() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, nodes, mut db) = pool(folder.path(), 2, &[]).await;
    let mut rows = db.sql("SELECT time, y, x, v FROM large WHERE v < 1").await.unwrap();
    assert!(rows.try_next().await.unwrap().is_some());
    drop(rows);
    let ticks = |node: &Process| -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", node.child.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    };
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before: Vec<u64> = nodes.iter().map(ticks).collect();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let after: Vec<u64> = nodes.iter().map(ticks).collect();
    assert!(before.iter().zip(&after).all(|(b, a)| a - b < 15), "hundredths of a second: {before:?} {after:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_cannot_read_is_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let (server, nodes, mut db) = pool(folder.path(), 1, &[]).await;
    let blind = Process::node(&server, &["--root", elsewhere.path().to_str().unwrap()]);
    check(&ask(&mut db, LONG).await);
    let failure = ask(&mut db, &format!("SELECT last_failure FROM nodes() WHERE address = '{}'", blind.address())).await;
    let failure = failure[0].column(0).as_string::<i32>().value(0);
    assert!(failure.contains("may be read"), "{failure}");
    assert_eq!(state_of(&mut db, &nodes[0]).await.as_deref(), Some("ready"));
    // A mistake in the query is nobody's failure.
    let error = db.sql("SELECT sum(1 % cast(v AS BIGINT)) FROM large").await.unwrap().collect().await.unwrap_err();
    assert!(error.to_string().contains("zero"), "{error}");
    assert_eq!(state_of(&mut db, &nodes[0]).await.as_deref(), Some("ready"));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_knows_the_secret_joins() {
    let folder = tempfile::tempdir().unwrap();
    let [secret, other] = ["secret", "other"].map(|name| folder.path().join(name));
    std::fs::write(&secret, "0123456789abcdef0123456789abcdef\n").unwrap();
    std::fs::write(&other, "0123456789abcdef0123456789abcdee\n").unwrap();
    let [secret, other] = [&secret, &other].map(|path| path.to_str().unwrap());
    let server = Process::server(&["--pool-from", "1KiB", "--pool-secret", secret]);
    for (more, reason) in [(vec![], "secret is missing"), (vec!["--pool-secret", other], "not the pool's secret")] {
        let refused = Process::node(&server, &more);
        assert!(refused.said.contains(reason), "{}", refused.said);
    }
    let node = Process::node(&server, &["--pool-secret", secret]);
    assert!(node.said.starts_with("joined"), "{}", node.said);
    let mut db = Client::connect(&server.url()).await.unwrap();
    db.execute(&format!("CREATE CUBE large FROM '{}'", sparse(folder.path()).display())).await.unwrap();
    check(&ask(&mut db, LONG).await);
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert!(shown(&mut db).await[0].2 > 0);
    // The node's own door, too: work is taken from those only who know the secret.
    let endpoint = tonic::transport::Endpoint::from_shared(node.url()).unwrap();
    let mut stranger = create_worker_client(BoxCloneSyncChannel::new(endpoint.connect().await.unwrap()));
    let Err(DataFusionError::External(refused)) = stranger.get_worker_info(GetWorkerInfoRequest {}).await else { panic!("let in") };
    let refused = refused.downcast::<tonic::Status>().unwrap();
    assert_eq!(refused.code(), Code::Unauthenticated, "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_nobody_asked_for_is_no_token() {
    let folder = tempfile::tempdir().unwrap();
    let tokens = folder.path().join("tokens");
    std::fs::write(&tokens, "reader reader-0123456789abcdef\nadmin admin-0123456789abcdef\n").unwrap();
    let server = Process::server(&["--tokens", tokens.to_str().unwrap()]);
    let channel = tonic::transport::Endpoint::from_shared(server.url().replace("grpc://", "http://")).unwrap().connect().await.unwrap();
    let mut flight = FlightServiceClient::new(channel);
    let hello = Hello {
        url: "http://127.0.0.1:7001/".into(),
        instance: 1,
        build: build().into(),
        protocol: PROTOCOL,
        cores: 1,
        ..Hello::default()
    };
    for (header, value, expected) in [
        ("graticule-pool-secret", "0123456789abcdef", Code::Unauthenticated),
        ("authorization", "Bearer reader-0123456789abcdef", Code::PermissionDenied),
    ] {
        let mut request = tonic::Request::new(Action { r#type: HELLO.into(), body: hello.encode_to_vec().into() });
        request.metadata_mut().insert(header, value.parse().unwrap());
        let refused = flight.do_action(request).await.unwrap_err();
        assert_eq!(refused.code(), expected, "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_without_a_secret_stays_on_loopback() {
    let server = Process::server(&[]);
    let refused = Process::node(&server, &["--listen", "0.0.0.0:0"]);
    assert!(refused.said.contains("--pool-secret"), "{}", refused.said);
    let refused = Process::node(&server, &["--advertise", "192.0.2.1:7000"]);
    assert!(refused.said.contains("no secret"), "{}", refused.said);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_builds_and_taken_addresses_are_refused_with_the_reason() {
    let server = Process::server(&[]);
    let channel = tonic::transport::Endpoint::from_shared(server.url().replace("grpc://", "http://")).unwrap().connect().await.unwrap();
    let mut flight = FlightServiceClient::new(channel);
    let hello = |instance: u64, build: &str| {
        let hello =
            Hello { url: "http://127.0.0.1:7001/".into(), instance, build: build.into(), protocol: PROTOCOL, cores: 1, ..Hello::default() };
        Action { r#type: HELLO.into(), body: hello.encode_to_vec().into() }
    };
    let refused = flight.do_action(hello(1, "0.0.1-abc")).await.unwrap_err();
    assert!(refused.code() == Code::FailedPrecondition && refused.message().contains("0.0.1-abc"), "{refused}");
    flight.do_action(hello(1, build())).await.unwrap();
    let refused = flight.do_action(hello(2, build())).await.unwrap_err();
    assert!(refused.code() == Code::AlreadyExists && refused.message().contains("127.0.0.1:7001"), "{refused}");
    let garbage = Action { r#type: HELLO.into(), body: vec![0xff; 40].into() };
    assert_eq!(flight.do_action(garbage).await.unwrap_err().code(), Code::InvalidArgument);
    // A node at which nobody is costs retries, and the answer comes all the same.
    let folder = tempfile::tempdir().unwrap();
    let mut db = Client::connect(&server.url()).await.unwrap();
    db.execute(&format!("CREATE CUBE large FROM '{}'", sparse(folder.path()).display())).await.unwrap();
    flight.do_action(hello(1, build())).await.unwrap();
    check(&ask(&mut db, LONG).await);
}
