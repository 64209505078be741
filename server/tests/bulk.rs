//! Arrays fetched from the nodes of a pool of real processes: whole whatever happens to the nodes, for tickets that are good only.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use arrow::array::{Array, AsArray};
use arrow::datatypes::UInt64Type;
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::sql::{Any, CommandStatementQuery, ProstMessageExt, TicketStatementQuery};
use arrow_flight::{Action, CancelFlightInfoRequest, FlightData, FlightDescriptor, FlightInfo, Ticket};
use futures::TryStreamExt;
use graticule_client::{Client, Dataset};
use graticule_server::pool::protocol::{HELLO, Hello, PROTOCOL, build};
use prost::Message;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Streaming};

/// Cells along time, y and x.
const SHAPE: [u32; 3] = [120, 512, 512];
const CELLS: &str = "SELECT v FROM large";
/// For what takes long on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Cell x of row y of step t is (31 t + 7 y + x) modulo 1,000: rows are windows of one sequence.
fn row_begins(t: usize, y: usize) -> usize {
    (31 * t + 7 * y) % 1000
}

fn sequence() -> Vec<f32> {
    (0..2000u16).map(|n| f32::from(n % 1000)).collect()
}

/// Something that runs until dropped.
struct Process {
    child: Child,
    said: String,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Process {
    /// Starts the program and waits for its first line.
    fn start(arguments: &[&str]) -> Process {
        let mut child = Command::new(env!("CARGO_BIN_EXE_graticule")).args(arguments).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).unwrap();
        assert!(!said.is_empty(), "{arguments:?} said nothing");
        Process { child, said }
    }

    fn server() -> Process {
        let set = ["serve", "--listen", "127.0.0.1:0", "--data-dir", ":memory:", "--threads", "1", "--cache", "16MiB", "--root", "/"];
        Process::start(&[&set[..], &["--pool-from", "1KiB"]].concat())
    }

    fn node(server: &Process) -> Process {
        Process::start(&["node", "--join", &server.url(), "--threads", "1", "--cache", "1KiB"])
    }

    fn url(&self) -> String {
        self.said.split_whitespace().last().unwrap_or_default().to_owned()
    }

    fn terminate(&self) {
        Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
    }
}

/// A netCDF classic file of one float variable.
fn file(folder: &Path) -> PathBuf {
    let mut head: Vec<u8> = b"CDF\x02".to_vec();
    let word = |head: &mut Vec<u8>, n: u32| head.extend(n.to_be_bytes());
    let name = |head: &mut Vec<u8>, name: &str| {
        head.extend((name.len() as u32).to_be_bytes());
        head.extend(name.as_bytes());
        head.extend(std::iter::repeat_n(0, name.len().next_multiple_of(4) - name.len()));
    };
    [0, 10, 3].into_iter().for_each(|n| word(&mut head, n));
    for (axis, length) in ["time", "y", "x"].into_iter().zip(SHAPE) {
        name(&mut head, axis);
        word(&mut head, length);
    }
    [0, 0, 11, 1].into_iter().for_each(|n| word(&mut head, n));
    name(&mut head, "v");
    [3, 0, 1, 2, 0, 0, 5, SHAPE.iter().product::<u32>() * 4].into_iter().for_each(|n| word(&mut head, n));
    let begin = head.len() as u64 + 8;
    head.extend(begin.to_be_bytes());
    let path = folder.join("large.nc");
    let mut file = std::io::BufWriter::new(std::fs::File::create(&path).unwrap());
    file.write_all(&head).unwrap();
    let [times, rows, columns] = SHAPE.map(|n| n as usize);
    let sequence: Vec<u8> = sequence().into_iter().flat_map(f32::to_be_bytes).collect();
    for t in 0..times {
        for y in 0..rows {
            let begin = 4 * row_begins(t, y);
            file.write_all(&sequence[begin..begin + 4 * columns]).unwrap();
        }
    }
    path
}

/// A server with the cube, and nodes.
async fn pool(folder: &Path, count: usize) -> (Process, Vec<Process>, Client) {
    let server = Process::server();
    let nodes: Vec<Process> = (0..count).map(|_| Process::node(&server)).collect();
    let mut db = Client::connect(&server.url()).await.unwrap();
    db.execute(&format!("CREATE CUBE large FROM '{}'", file(folder).display())).await.unwrap();
    (server, nodes, db)
}

fn check(found: &Dataset) {
    let cells = found.variable("v").unwrap().values.as_f32().unwrap();
    assert_eq!(cells.shape(), SHAPE.map(|n| n as usize));
    let [_, rows, columns] = SHAPE.map(|n| n as usize);
    let sequence = sequence();
    for (i, row) in cells.as_slice().unwrap().chunks(columns).enumerate() {
        let begin = row_begins(i / rows, i % rows);
        assert_eq!(row, &sequence[begin..begin + columns], "row {i}");
    }
}

/// What clients fetched from each node.
async fn sent(db: &mut Client) -> Vec<u64> {
    let batches = db.sql("SELECT sent_bytes FROM nodes() ORDER BY address").await.unwrap().collect().await.unwrap();
    batches.iter().flat_map(|batch| batch.column(0).as_primitive::<UInt64Type>().values().to_vec()).collect()
}

async fn flight(url: &str) -> FlightServiceClient<Channel> {
    let url = url.replace("grpc://", "http://");
    let channel = Endpoint::from_shared(url).unwrap().connect().await.unwrap();
    FlightServiceClient::new(channel).max_decoding_message_size(usize::MAX)
}

/// Plans a query in array form and leaves it pending.
async fn planned(server: &Process, text: &str) -> FlightInfo {
    let command = CommandStatementQuery { query: text.to_owned(), transaction_id: None }.as_any().encode_to_vec();
    let mut request = Request::new(FlightDescriptor::new_cmd(command));
    request.metadata_mut().insert("graticule-form", "array".parse().unwrap());
    flight(&server.url()).await.get_flight_info(request).await.unwrap().into_inner()
}

async fn cancel(server: &Process, info: &FlightInfo) {
    let body = CancelFlightInfoRequest { info: Some(info.clone()) }.encode_to_vec();
    let action = Action { r#type: "CancelFlightInfo".into(), body: body.into() };
    flight(&server.url()).await.do_action(action).await.unwrap();
}

/// The endpoint of an answer that is at this node.
fn ticket_for(info: &FlightInfo, node: &Process) -> Ticket {
    let url = node.url().replace("http://", "grpc://");
    let at_node = |uri: &str| uri == url.trim_end_matches('/');
    let endpoint = info.endpoint.iter().find(|endpoint| at_node(&endpoint.location[0].uri)).unwrap();
    assert!(endpoint.location[1].uri.starts_with("arrow-flight-reuse-connection://"));
    endpoint.ticket.clone().unwrap()
}

/// Bytes of the cells of a stream.
async fn bytes_of(stream: Streaming<FlightData>) -> u64 {
    let mut batches = FlightRecordBatchStream::new_from_flight_data(stream.map_err(Into::into));
    let mut bytes = 0;
    while let Some(batch) = batches.try_next().await.unwrap() {
        let tensors = batch.column_by_name("v").unwrap().as_struct();
        bytes += 4 * tensors.column_by_name("data").unwrap().as_list::<i32>().values().len() as u64;
    }
    bytes
}

async fn refused(client: &mut FlightServiceClient<Channel>, ticket: Ticket) -> Code {
    match client.do_get(ticket).await {
        Err(status) => status.code(),
        Ok(stream) => stream.into_inner().try_collect::<Vec<_>>().await.unwrap_err().code(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn arrays_from_nodes_are_those_of_a_server_alone() {
    let folder = tempfile::tempdir().unwrap();
    let other = tempfile::tempdir().unwrap();
    let (_alone, _, mut alone) = pool(other.path(), 0).await;
    let (server, _nodes, mut db) = pool(folder.path(), 3).await;
    assert_eq!(planned(&server, CELLS).await.endpoint.len(), 3);
    check(&db.array(CELLS).await.unwrap());
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let from_nodes = sent(&mut db).await;
    let all = u64::from(SHAPE.iter().product::<u32>()) * 4;
    assert!(from_nodes.len() == 3 && from_nodes.iter().all(|&bytes| bytes > all / 10), "{from_nodes:?}");
    assert!(from_nodes.iter().sum::<u64>() >= all, "{from_nodes:?}");
    for text in [
        "SELECT v * 2 AS a, v > 500 AS b FROM large[x(INDEX 100:300:3), time(INDEX 7:80)] WHERE v < 900",
        "SELECT avg(v) AS m, count(v) AS n FROM large GROUP BY DIMS EXCEPT (time)",
        "SELECT avg(v) OVER (PARTITION BY y, x ORDER BY time ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING) AS w FROM large[y(INDEX 0:63)]",
        "SELECT sum(v) AS s FROM large GROUP BY time",
        "SELECT v FROM large[time(INDEX 5:5), y(INDEX 5:5)]",
    ] {
        let (one, three) = (alone.array(text).await, db.array(text).await);
        let (one, three) = (one.unwrap_or_else(|e| panic!("{text}: {e}")), three.unwrap_or_else(|e| panic!("{text}: {e}")));
        assert_eq!(one.variables.len(), three.variables.len());
        for (a, b) in one.variables.iter().zip(&three.variables) {
            assert_eq!((&a.name, &a.dims, a.values.shape()), (&b.name, &b.dims, b.values.shape()), "{text}");
            let (a, b) = (a.values.to_f64().unwrap(), b.values.to_f64().unwrap());
            let same = |a: f64, b: f64| a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-12 * a.abs();
            assert!(a.iter().zip(&b).all(|(&a, &b)| same(a, b)), "{text}");
        }
    }
    // A query's own error is that of the server, with its words.
    let wrong = "SELECT 1 % cast(v AS BIGINT) AS w FROM large";
    assert_eq!(db.array(wrong).await.unwrap_err().to_string(), alone.array(wrong).await.unwrap_err().to_string());
    // Several rows of parameters, rows, and a client that does not want nodes get one endpoint.
    let mut request = Request::new(FlightDescriptor::new_cmd(
        CommandStatementQuery { query: CELLS.into(), transaction_id: None }.as_any().encode_to_vec(),
    ));
    request.metadata_mut().insert("graticule-form", "array".parse().unwrap());
    request.metadata_mut().insert("graticule-endpoints", "one".parse().unwrap());
    assert_eq!(flight(&server.url()).await.get_flight_info(request).await.unwrap().into_inner().endpoint.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_killed_while_it_sends_costs_no_cell() {
    let folder = tempfile::tempdir().unwrap();
    let (server, mut nodes, mut db) = pool(folder.path(), 3).await;
    let query = tokio::spawn(async move {
        let started = Instant::now();
        (db.array(CELLS).await, started.elapsed(), db)
    });
    tokio::time::sleep(Duration::from_millis(400)).await;
    nodes[1].child.kill().unwrap();
    let (found, took, mut db) = query.await.unwrap();
    check(&found.unwrap());
    assert!(took > Duration::from_millis(400), "the answer was there before the node was killed: {took:?}");
    // And another while the pool believes that the node is there.
    check(&db.array(CELLS).await.unwrap());
    nodes.iter_mut().for_each(|node| node.child.kill().unwrap());
    check(&Client::connect(&server.url()).await.unwrap().array(CELLS).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_cannot_be_reached_or_are_silent_are_done_without() {
    let folder = tempfile::tempdir().unwrap();
    let (server, _nodes, _db) = pool(folder.path(), 1).await;
    let mut asked = flight(&server.url()).await;
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let dead = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (instance, address) in [(1, dead), (2, silent.local_addr().unwrap())] {
        let url = format!("http://{address}/");
        let hello = Hello { url: url.clone(), instance, build: build().into(), protocol: PROTOCOL, cores: 1, ..Hello::default() };
        let says = |name: &str| Action { r#type: name.into(), body: hello.encode_to_vec().into() };
        asked.do_action(says(HELLO)).await.unwrap();
        assert_eq!(planned(&server, CELLS).await.endpoint.len(), 2, "{address}");
        asked.do_action(says(HELLO)).await.unwrap();
        let mut db = Client::connect(&server.url()).await.unwrap();
        let started = Instant::now();
        check(&db.array(CELLS).await.unwrap());
        assert!(started.elapsed() < PATIENCE, "{address}: {:?}", started.elapsed());
        asked.do_action(says("graticule.pool.goodbye")).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_answers_good_tickets_only() {
    let folder = tempfile::tempdir().unwrap();
    let (server, nodes, mut db) = pool(folder.path(), 1).await;
    let mut node = flight(&nodes[0].url()).await;
    let share = |handle: Vec<u8>| Ticket::new(TicketStatementQuery { statement_handle: handle.into() }.as_any().encode_to_vec());
    let command = CommandStatementQuery { query: CELLS.into(), transaction_id: None }.as_any().encode_to_vec();
    for garbage in [Ticket::new(vec![]), Ticket::new(vec![0xff; 40]), Ticket::new(command.clone()), share(vec![7; 19]), share(vec![])] {
        assert_eq!(refused(&mut node, garbage).await, Code::InvalidArgument);
    }
    assert_eq!(refused(&mut node, Ticket::new(vec![1; 1 << 20])).await, Code::OutOfRange);
    assert_eq!(refused(&mut node, share(vec![7; 20])).await, Code::NotFound);
    let descriptor = FlightDescriptor::new_cmd(command);
    assert_eq!(node.get_flight_info(descriptor).await.unwrap_err().code(), Code::Unimplemented);
    let action = Action { r#type: "graticule.pool.outline".into(), body: vec![].into() };
    assert_eq!(node.do_action(action).await.unwrap_err().code(), Code::Unimplemented);

    // A good one gives the whole share, twice if need be, and the server gives the same.
    let info = planned(&server, CELLS).await;
    let ticket = ticket_for(&info, &nodes[0]);
    let all = u64::from(SHAPE.iter().product::<u32>()) * 4;
    for client in [&mut node, &mut flight(&server.url()).await] {
        assert_eq!(bytes_of(client.do_get(ticket.clone()).await.unwrap().into_inner()).await, all);
    }
    // Another share than there are.
    let any = Any::decode(ticket.ticket.as_ref()).unwrap();
    let mut handle = any.unpack::<TicketStatementQuery>().unwrap().unwrap().statement_handle.to_vec();
    *handle.last_mut().unwrap() = 9;
    assert_eq!(refused(&mut node, share(handle.clone())).await, Code::NotFound);
    assert_eq!(refused(&mut flight(&server.url()).await, share(handle)).await, Code::NotFound);

    // One whose answer is cancelled while it is fetched, and afterwards.
    let mut stream = node.do_get(ticket.clone()).await.unwrap().into_inner();
    stream.message().await.unwrap().unwrap();
    cancel(&server, &info).await;
    // The node is told when it says hello; what is on its way comes still.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let ended = tokio::time::timeout(PATIENCE, stream.try_collect::<Vec<_>>()).await.unwrap();
    assert_eq!(ended.unwrap_err().code(), Code::Cancelled);
    assert_eq!(refused(&mut node, ticket.clone()).await, Code::NotFound);
    assert_eq!(refused(&mut flight(&server.url()).await, ticket).await, Code::NotFound);
    // None of this was held against the node.
    check(&db.array(CELLS).await.unwrap());
    let states = db.sql("SELECT state, last_failure FROM nodes()").await.unwrap().collect().await.unwrap();
    assert_eq!((states[0].column(0).as_string::<i32>().value(0), states[0].column(1).is_null(0)), ("ready", true));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_leaves_sends_to_the_end_what_it_has_begun() {
    let folder = tempfile::tempdir().unwrap();
    let (server, mut nodes, mut db) = pool(folder.path(), 2).await;
    let info = planned(&server, CELLS).await;
    let ticket = ticket_for(&info, &nodes[0]);
    let mut leaving = flight(&nodes[0].url()).await;
    let begun = leaving.do_get(ticket.clone()).await.unwrap().into_inner();
    nodes[0].terminate();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(nodes[0].child.try_wait().unwrap().is_none(), "the node left a client alone");
    assert_eq!(refused(&mut leaving, ticket.clone()).await, Code::Unavailable);
    assert_eq!(planned(&server, CELLS).await.endpoint.len(), 1);
    let by_server = bytes_of(flight(&server.url()).await.do_get(ticket).await.unwrap().into_inner()).await;
    assert!(by_server > 0);
    assert_eq!(bytes_of(begun).await, by_server);
    drop(leaving);
    let deadline = Instant::now() + PATIENCE;
    while nodes[0].child.try_wait().unwrap().is_none() {
        assert!(Instant::now() < deadline, "the node does not leave");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(nodes[0].child.wait().unwrap().success());
    check(&db.array(CELLS).await.unwrap());
}
