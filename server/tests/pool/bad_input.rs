//! Garbage at every port, connections that say nothing, nodes that tell nonsense, servers that go and come back.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use arrow::array::AsArray;
use arrow::datatypes::{Float64Type, Int64Type};
use arrow_flight::Action;
use arrow_flight::flight_service_client::FlightServiceClient;
use bytes::{Buf, BufMut};
use graticule_client::Client;
use graticule_server::pool::protocol::{GOODBYE, HELLO, Hello, OUTLINE, PROTOCOL, RECIPE, RECORDS, build};
use graticule_server::sockets::raise_open_files;
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

use crate::processes::{Process, constant};
use crate::{LONG, ask, check, pool, shown, state_of};

/// Messages as they are, whatever a method wants.
#[derive(Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Raw;
    type Decoder = Raw;

    fn encoder(&mut self) -> Raw {
        Raw
    }

    fn decoder(&mut self) -> Raw {
        Raw
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining()).to_vec()))
    }
}

/// Bytes that look like nothing, the same ones each time.
fn garbage(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..length).map(next).collect()
}

async fn channel(address: &str) -> Channel {
    Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap()
}

/// Sends bytes to a port and reads what comes, for a moment: it may keep the connection, but must not mind.
async fn send(address: &str, bytes: &[u8]) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // It may close before all is written.
    let _ = stream.write_all(bytes).await;
    let mut answer = vec![0; 4096];
    let _ = tokio::time::timeout(Duration::from_millis(300), stream.read(&mut answer)).await;
}

/// Calls a method with a body that is none, to the end of its answer.
async fn call(channel: &Channel, path: &'static str, body: Vec<u8>) -> Status {
    let mut grpc = Grpc::new(channel.clone());
    grpc.ready().await.unwrap();
    let called = async {
        let body = futures::stream::iter([body]);
        let mut answer = grpc.streaming(Request::new(body), PathAndQuery::from_static(path), Raw).await?.into_inner();
        while answer.message().await?.is_some() {}
        Ok(())
    };
    let ended: Result<(), Status> = tokio::time::timeout(Duration::from_secs(60), called).await.expect("a call that hangs");
    ended.expect_err(path)
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_at_every_port_harms_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let http = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let (server, mut nodes, mut db) = pool(folder.path(), 2, &["--http", &http]).await;
    let door = server.url().trim_start_matches("grpc://").to_owned();
    let node = nodes[0].address();
    let preface = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice(), &garbage(4096)].concat();
    let head = format!("POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", u64::MAX);
    for address in [&door, &node, &http] {
        for bytes in [
            garbage(1 << 16),
            preface.clone(),
            b"GET / HTTP/1.1\r\n\r\n".to_vec(),
            head.clone().into_bytes(),
            vec![0x16, 3, 1, 0xff, 0xff, 1],
            vec![0; 100],
        ] {
            send(address, &bytes).await;
        }
    }
    for body in
        [vec![], vec![0xff; 64], garbage(4096), garbage(1 << 20), Hello { url: "x".into(), cores: 9, ..Hello::default() }.encode_to_vec()]
    {
        let at_node = channel(&node).await;
        for path in
            ["/worker.WorkerService/ExecuteTask", "/worker.WorkerService/CoordinatorChannel", "/worker.WorkerService/Nothing", "/x.Y/Z"]
        {
            call(&at_node, path, body.clone()).await;
        }
        let at_door = channel(&door).await;
        for path in [
            "/arrow.flight.protocol.FlightService/GetFlightInfo",
            "/arrow.flight.protocol.FlightService/DoGet",
            "/arrow.flight.protocol.FlightService/DoPut",
            "/arrow.flight.protocol.FlightService/DoAction",
            "/arrow.flight.protocol.FlightService/DoExchange",
            "/arrow.flight.protocol.FlightService/Nothing",
        ] {
            call(&at_door, path, body.clone()).await;
        }
    }
    check(&ask(&mut db, LONG).await);
    assert!(nodes.iter_mut().all(|node| node.child.try_wait().unwrap().is_none()));
    assert_eq!(state_of(&mut db, &nodes[0]).await.as_deref(), Some("ready"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_idle_connections_at_a_node_and_at_the_server() {
    raise_open_files();
    let folder = tempfile::tempdir().unwrap();
    let (server, nodes, mut db) = pool(folder.path(), 2, &[]).await;
    let mut idle = vec![];
    for _ in 0..1000 {
        for address in [nodes[0].address(), server.url().trim_start_matches("grpc://").to_owned()] {
            idle.push(TcpStream::connect(address).await.unwrap());
        }
    }
    check(&ask(&mut db, LONG).await);
    let seen = shown(&mut db).await;
    assert!(seen.len() == 2 && seen.iter().all(|(_, state, chunks)| state == "ready" && *chunks > 0), "{seen:?}");
    // Others come in, too, and nodes still join.
    let more = Process::node(&server, &[]);
    assert!(more.said.starts_with("joined"), "{}", more.said);
    check(&ask(&mut Client::connect(&server.url()).await.unwrap(), LONG).await);
    drop(idle);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_tells_nonsense_is_refused_in_few_words() {
    let server = Process::server(&[]);
    let mut flight = FlightServiceClient::new(channel(server.url().trim_start_matches("grpc://")).await);
    let sound = Hello {
        url: "http://127.0.0.1:7001/".into(),
        instance: 1,
        build: build().into(),
        protocol: PROTOCOL,
        cores: 1,
        ..Hello::default()
    };
    let long = "x".repeat(1 << 20);
    for (nonsense, code) in [
        (Hello { url: String::new(), ..sound.clone() }, Code::InvalidArgument),
        (Hello { url: "http://127.0.0.1:0/".into(), ..sound.clone() }, Code::InvalidArgument),
        (Hello { url: "http://127.0.0.1:99999/".into(), ..sound.clone() }, Code::InvalidArgument),
        (Hello { url: "file:///etc/passwd".into(), ..sound.clone() }, Code::InvalidArgument),
        (Hello { url: "http://user:secret@127.0.0.1:7001/".into(), ..sound.clone() }, Code::InvalidArgument),
        (Hello { url: "http://127.0.0.1:7001/elsewhere?a=b".into(), ..sound.clone() }, Code::InvalidArgument),
        (Hello { url: format!("http://{long}:7001/"), ..sound.clone() }, Code::InvalidArgument),
        (Hello { build: long.clone(), ..sound.clone() }, Code::InvalidArgument),
        (Hello { cores: 0, ..sound.clone() }, Code::InvalidArgument),
        (Hello { cores: u32::MAX, ..sound.clone() }, Code::InvalidArgument),
        (Hello { protocol: u32::MAX, ..sound.clone() }, Code::FailedPrecondition),
        (Hello { url: "http://192.0.2.1:7001/".into(), ..sound.clone() }, Code::Unauthenticated),
    ] {
        let refused = flight.do_action(Action { r#type: HELLO.into(), body: nonsense.encode_to_vec().into() }).await.unwrap_err();
        assert_eq!(refused.code(), code, "{refused}");
        assert!(refused.message().len() < 1000, "{} characters", refused.message().len());
    }
    for (action, body, code) in [
        (GOODBYE, vec![0xff; 9], Some(Code::InvalidArgument)),
        (RECIPE, vec![1, 2, 3], Some(Code::InvalidArgument)),
        (RECIPE, vec![7; 16], Some(Code::NotFound)),
        (RECORDS, vec![0xff; 9], Some(Code::InvalidArgument)),
        (RECORDS, b"no such cube".to_vec(), None),
        (OUTLINE, garbage(100), None),
        ("graticule.pool.nothing", vec![], Some(Code::Unimplemented)),
    ] {
        let answer = flight.do_action(Action { r#type: action.into(), body: body.into() }).await;
        let found = match answer {
            Ok(answer) => answer.into_inner().message().await.err(),
            Err(refused) => Some(refused),
        };
        assert_eq!(found.as_ref().map(Status::code), code, "{action}: {found:?}");
    }
    // Figures that mean nothing are shown and change nothing.
    let large = Hello { memory: u64::MAX, cached: u64::MAX, running: u64::MAX, chunks_read: u64::MAX, ..sound };
    flight.do_action(Action { r#type: HELLO.into(), body: large.encode_to_vec().into() }).await.unwrap();
    let mut db = Client::connect(&server.url()).await.unwrap();
    assert_eq!(shown(&mut db).await, [("127.0.0.1:7001".to_owned(), "ready".to_owned(), u64::MAX)]);
}

/// A port of loopback that was free just now.
fn free() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_node_at_an_address_joins_when_the_one_before_is_gone() {
    let server = Process::server(&[]);
    let address = free().to_string();
    let mut first = Process::node(&server, &["--listen", &address]);
    first.child.kill().unwrap();
    first.child.wait().unwrap();
    let second = Process::node(&server, &["--listen", &address]);
    assert!(second.said.starts_with("joined"), "{}", second.said);
    let mut db = Client::connect(&server.url()).await.unwrap();
    assert_eq!(shown(&mut db).await.len(), 1);
}

/// Count and sum of the cube `v`.
async fn count_and_sum(db: &mut Client) -> (i64, f64) {
    let found = ask(db, "SELECT count(v) AS n, sum(v) AS s FROM cube").await;
    (found[0].column(0).as_primitive::<Int64Type>().value(0), found[0].column(1).as_primitive::<Float64Type>().value(0))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_comes_back_with_other_cubes_finds_its_nodes_and_no_old_values() {
    let folder = tempfile::tempdir().unwrap();
    let files = [1.0f32, 2.0].map(|value| constant(folder.path().join(format!("{value}.nc")), value));
    let listen = free().to_string();
    let serve = ["serve", "--listen", &listen, "--data-dir", ":memory:", "--threads", "1", "--root", "/", "--pool-from", "1KiB"];
    let mut server = Process::start(&serve);
    let url = server.url();
    // With a cache that has room for all: what it holds is of the first server's cubes.
    let mut node = Process::start(&["node", "--join", &url, "--threads", "1", "--cache", "64MiB"]);
    let cells = 160 * 256 * 256;
    for (round, file) in files.iter().enumerate() {
        if round > 0 {
            server.child.kill().unwrap();
            server.child.wait().unwrap();
            let deadline = Instant::now() + Duration::from_secs(30);
            while !node.log().contains("has not answered") {
                assert!(Instant::now() < deadline, "the node does not say that its server is gone: {}", node.log());
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            assert!(node.child.try_wait().unwrap().is_none(), "{}", node.log());
            server = Process::start(&serve);
        }
        let mut db = Client::connect(&url).await.unwrap();
        db.execute(&format!("CREATE CUBE cube FROM '{}'", file.display())).await.unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        while state_of(&mut db, &node).await.as_deref() != Some("ready") {
            assert!(Instant::now() < deadline, "the node does not join again: {}", node.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let before = shown(&mut db).await[0].2;
        for _ in 0..2 {
            assert_eq!(count_and_sum(&mut db).await, (cells, (round + 1) as f64 * cells as f64), "{}", node.log());
        }
        let deadline = Instant::now() + Duration::from_secs(30);
        while shown(&mut db).await[0].2 == before {
            assert!(Instant::now() < deadline, "the node read nothing: {} {}", node.log(), server.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    assert!(node.log().contains("answers again"), "{}", node.log());
}
