//! Who may come in: TLS, tokens and roles, clients that speak something else, connections that say nothing, health and metrics.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_flight::sql::client::FlightSqlServiceClient;
use graticule_client::{Client, Error, Options};
use graticule_server::config::{IN_MEMORY, Settings};
use graticule_server::database::Database;
use graticule_server::flight::server::FlightServer;
use graticule_server::http::{HttpServer, Ready};
use graticule_server::sockets::raise_open_files;
use graticule_storage::object::Objects;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::Code;
use tonic::transport::Endpoint;

const READER: &str = "reader-0123456789abcdef";
const ADMIN: &str = "admin-0123456789abcdef";

fn certificate(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/corpus/tls").join(name)
}

fn pem(name: &str) -> Vec<u8> {
    std::fs::read(certificate(name)).unwrap()
}

fn over_tls(name: &str) -> Settings {
    let (tls_cert, tls_key) = (Some(certificate(&format!("{name}.pem"))), Some(certificate(&format!("{name}.key"))));
    Settings { tls_cert, tls_key, ..Settings::default() }
}

struct Server {
    url: String,
    address: String,
    http: String,
    ready: Ready,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    ended: tokio::task::JoinHandle<Result<(), String>>,
    _tokens: tempfile::NamedTempFile,
}

impl Server {
    async fn start(settings: Settings, asks: bool) -> Server {
        let tokens = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(tokens.path(), format!("reader {READER} # notebooks\nadmin {ADMIN}\n")).unwrap();
        let settings = Settings {
            listen: "127.0.0.1:0".into(),
            data_dir: IN_MEMORY.into(),
            max_concurrent: 4,
            tokens: asks.then(|| tokens.path().to_owned()),
            ..settings
        };
        let database = Arc::new(Database::open(&settings, Objects::anywhere()).await.unwrap());
        let server = FlightServer::bind(&settings, database).await.unwrap();
        let (url, address, ready) = (server.url(), server.address().to_string(), Ready::default());
        let http = HttpServer::bind("127.0.0.1:0").await.unwrap();
        let watched = http.address().to_string();
        tokio::spawn(http.run(server.observed(), ready.clone()));
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let ended = tokio::spawn(server.run(async {
            let _ = stopped.await;
        }));
        Server { url, address, http: watched, ready, stop: Some(stop), ended, _tokens: tokens }
    }

    async fn ask(&self, options: &Options) -> Result<usize, Error> {
        let mut client = Client::connect_with(&self.url, options).await?;
        let batches = client.sql("SELECT n FROM generate_series(1, 10) AS t(n)").await?.collect().await?;
        Ok(batches.iter().map(|b| b.num_rows()).sum())
    }

    /// Waits until a metric has a value.
    async fn comes_to(&self, name: &str, expected: f64) {
        let begun = Instant::now();
        while self.metric(name).await != expected {
            assert!(begun.elapsed() < Duration::from_secs(15), "{name} is {}", self.metric(name).await);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Status line and body.
    async fn get(&self, request: &str) -> (String, String) {
        let answer = said(&self.http, format!("{request}\r\nHost: x\r\n\r\n").as_bytes()).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        (head.lines().next().unwrap_or_default().to_owned(), body.to_owned())
    }

    /// The value of a metric.
    async fn metric(&self, name: &str) -> f64 {
        let (_, page) = self.get("GET /metrics HTTP/1.1").await;
        let line = page.lines().find(|line| line.rsplit_once(' ').is_some_and(|(n, _)| n == name));
        line.unwrap_or_else(|| panic!("no {name} in {page}")).rsplit_once(' ').unwrap().1.parse().unwrap()
    }
}

/// What a port answers to these bytes before it closes the connection.
async fn said(address: &str, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut answer)).await;
    let _ = read.expect("the connection was not closed");
    String::from_utf8_lossy(&answer).into_owned()
}

fn trusting() -> Options {
    Options::new().tls_ca(pem("ca.pem"))
}

fn token(token: &str) -> Options {
    Options::new().token(token).unwrap()
}

/// The message of an error of connecting: one line.
fn refusal(ended: Result<usize, Error>) -> String {
    match ended.unwrap_err() {
        Error::Connection { message } => {
            assert!(!message.contains('\n'), "{message}");
            message
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_needs_an_authority_that_is_known_a_name_that_fits_and_a_day_before_the_last() {
    let server = Server::start(over_tls("server"), false).await;
    assert!(server.url.starts_with("grpcs://"));
    assert_eq!(server.ask(&trusting()).await.unwrap(), 10);
    let error = refusal(server.ask(&Options::new().tls_ca(pem("other-ca.pem"))).await);
    assert!(error.contains("unknown authority") && error.contains("--tls-ca"), "{error}");
    let expired = Server::start(over_tls("expired"), false).await;
    let error = refusal(expired.ask(&trusting()).await);
    assert!(error.contains("has expired") && error.contains(&expired.url), "{error}");
    let elsewhere = Server::start(over_tls("elsewhere"), false).await;
    let error = refusal(elsewhere.ask(&trusting()).await);
    assert!(error.contains("not for 127.0.0.1") && error.contains("elsewhere.example"), "{error}");
    assert_eq!(elsewhere.metric("graticule_tls_handshakes_failed_total").await, 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_speak_tls_where_it_is_spoken_is_told_and_the_other_way_round() {
    let server = Server::start(over_tls("server"), true).await;
    let mut plain = Client::connect_with(&server.url.replace("grpcs://", "grpc://"), &token(ADMIN)).await.unwrap();
    let error = plain.sql("SELECT 1").await.unwrap_err();
    assert!(
        matches!(&error, Error::Connection { message } if message == "this server speaks TLS: use grpcs:// instead of grpc://"),
        "{error:?}"
    );
    assert!(said(&server.address, b"GET / HTTP/1.1\r\n\r\n").await.contains("grpcs://"));

    let open = Server::start(Settings::default(), false).await;
    let error = Client::connect_with(&open.url.replace("grpc://", "grpcs://"), &trusting()).await.unwrap_err().to_string();
    assert!(error.contains("does not speak TLS: use grpc://"), "{error}");
    assert!(said(&open.address, b"GET / HTTP/1.1\r\n\r\n").await.contains("Flight SQL client"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_may_ask_for_certificates_of_clients() {
    let server = Server::start(Settings { tls_client_ca: Some(certificate("ca.pem")), ..over_tls("server") }, false).await;
    assert_eq!(server.ask(&trusting().tls_identity(pem("client.pem"), pem("client.key"))).await.unwrap(), 10);
    let error = refusal(server.ask(&trusting()).await);
    assert!(error.contains("certificate of the client"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_asked_for_and_readers_change_nothing() {
    let server = Server::start(Settings::default(), true).await;
    for options in [Options::new(), token("not-a-token-0123456789"), token(&READER[1..])] {
        let error = refusal(server.ask(&options).await);
        assert!(error.contains("token") && !error.contains("0123456789"), "{error}");
    }
    assert_eq!(server.metric("graticule_unauthenticated_total").await, 3.0);
    assert_eq!(server.ask(&token(READER)).await.unwrap(), 10);
    assert_eq!(server.ask(&token(ADMIN)).await.unwrap(), 10);

    let mut reader = Client::connect_with(&server.url, &token(READER)).await.unwrap();
    let mut admin = Client::connect_with(&server.url, &token(ADMIN)).await.unwrap();
    for statement in [
        "CREATE CUBE c FROM '/nowhere/*.nc'",
        "CREATE OR REPLACE VIEW v AS SELECT 1 AS a",
        "DROP VIEW v",
        "DROP CUBE c",
        "REFRESH CUBE c",
        "ANALYZE CUBE c",
        "SET graticule.dense = true",
        "CREATE TABLE t AS SELECT 1 AS a",
    ] {
        for error in [reader.sql(statement).await.unwrap_err(), reader.execute(statement).await.unwrap_err()] {
            let Error::Query { code, message, .. } = error else { panic!("{error:?}") };
            assert!(code == Code::PermissionDenied && message.contains("admin"), "{statement}: {message}");
        }
        // An admin gets as far as the statement itself.
        match admin.execute(statement).await {
            Ok(_) => {}
            Err(Error::Query { message, .. }) => assert!(!message.contains("token"), "{message}"),
            Err(other) => panic!("{other:?}"),
        }
    }
    // A statement that an admin has prepared is still the reader's when the reader runs it.
    for statement in ["SHOW CUBES", "EXPLAIN SELECT 1", "SELECT 1"] {
        reader.sql(statement).await.unwrap().collect().await.unwrap();
    }
    assert!(server.metric("graticule_queries_total{outcome=\"denied\"}").await >= 16.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_asks_for_the_token_and_the_handshake_takes_it_as_a_password() {
    let server = Server::start(Settings::default(), true).await;
    let channel = || async { Endpoint::from_shared(server.url.replace("grpc://", "http://")).unwrap().connect().await.unwrap() };
    let mut client = FlightSqlServiceClient::new(channel().await);
    assert!(client.handshake("anybody", "wrong-0123456789abcdef").await.is_err());
    let inner = client.inner_mut();
    let descriptor = || arrow_flight::FlightDescriptor::new_cmd(vec![]);
    let none = || futures::stream::empty::<arrow_flight::FlightData>();
    let codes = [
        inner.list_flights(arrow_flight::Criteria::default()).await.err(),
        inner.get_flight_info(descriptor()).await.err(),
        inner.poll_flight_info(descriptor()).await.err(),
        inner.get_schema(descriptor()).await.err(),
        inner.do_get(arrow_flight::Ticket::default()).await.err(),
        inner.do_put(none()).await.err(),
        inner.do_exchange(none()).await.err(),
        inner.do_action(arrow_flight::Action::default()).await.err(),
        inner.list_actions(arrow_flight::Empty {}).await.err(),
        inner.handshake(futures::stream::empty()).await.err(),
    ];
    for (i, status) in codes.into_iter().enumerate() {
        assert_eq!(status.unwrap().code(), Code::Unauthenticated, "call {i}");
    }
    // Any user: from now on the client shows what the handshake gave it.
    client.handshake("anybody", READER).await.unwrap();
    let info = client.execute("SELECT 1".into(), None).await.unwrap();
    client.do_get(info.endpoint[0].ticket.clone().unwrap()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_others_can_reach_must_ask_for_something() {
    let settings = Settings { listen: "0.0.0.0:0".into(), data_dir: IN_MEMORY.into(), max_concurrent: 1, ..Settings::default() };
    let database = Arc::new(Database::open(&settings, Objects::anywhere()).await.unwrap());
    let error = FlightServer::bind(&settings, database.clone()).await.err().unwrap();
    assert!(error.contains("--tokens") && error.contains("--insecure") && !error.contains('\n'), "{error}");
    for allowed in [Settings { insecure: true, ..settings.clone() }, Settings { listen: settings.listen.clone(), ..over_tls("server") }] {
        FlightServer::bind(&Settings { max_concurrent: 1, ..allowed }, database.clone()).await.unwrap();
    }
    let missing = Settings { tokens: Some("/nowhere/tokens".into()), listen: "127.0.0.1:0".into(), ..settings };
    assert!(FlightServer::bind(&missing, database).await.err().unwrap().contains("/nowhere/tokens"));
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_and_a_thousand_silent_connections_harm_nobody() {
    assert!(raise_open_files() > 4500, "this test opens 2,000 connections and holds both ends");
    for settings in [Settings::default(), over_tls("server")] {
        let server = Server::start(settings, false).await;
        let mut noise = vec![0u8; 5000];
        for (i, byte) in noise.iter_mut().enumerate() {
            *byte = (i * 7919 % 251) as u8;
        }
        let http2 = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff".as_slice(), &noise].concat();
        let tls = [b"\x16\x03\x01\x13\x00".as_slice(), &noise].concat();
        let noises = [&noise[..], &noise[100..], &http2, &tls, b"PRIxyz", b"\0", b"PO", b"\xff\xff\xff\xff\xff"];
        let (door, http) = (noises.map(|bytes| said(&server.address, bytes)), noises.map(|bytes| said(&server.http, bytes)));
        futures::future::join_all(door.into_iter().chain(http)).await;
        let mut silent = Vec::new();
        for _ in 0..1000 {
            silent.push(TcpStream::connect(&server.address).await.unwrap());
            silent.push(TcpStream::connect(&server.http).await.unwrap());
        }
        let begun = Instant::now();
        assert_eq!(server.ask(&trusting()).await.unwrap(), 10);
        assert_eq!(server.get("GET /healthz HTTP/1.1").await.0, "HTTP/1.1 200 OK");
        assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
        // They are let go after some time, also one that has said half a word.
        let mut half = TcpStream::connect(&server.address).await.unwrap();
        half.write_all(b"PRI * HT").await.unwrap();
        for mut last in [silent.remove(0), half] {
            let closed = tokio::time::timeout(Duration::from_secs(25), last.read_to_end(&mut Vec::new())).await;
            assert!(closed.is_ok(), "a silent connection stays");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn health_readiness_and_metrics() {
    let mut server = Server::start(Settings::default(), false).await;
    assert_eq!(server.get("GET /readyz HTTP/1.1").await.0, "HTTP/1.1 503 Service Unavailable");
    server.ready.set(true);
    for (request, expected) in [
        ("GET /readyz HTTP/1.1", "200 OK"),
        ("GET /healthz HTTP/1.1", "200 OK"),
        ("HEAD /metrics HTTP/1.1", "200 OK"),
        ("GET /metrics?x=1 HTTP/1.1", "200 OK"),
        ("GET / HTTP/1.1", "404 Not Found"),
        ("GET /metrics/ HTTP/1.1", "404 Not Found"),
        ("GET /../etc/passwd HTTP/1.1", "404 Not Found"),
        ("POST /metrics HTTP/1.1", "405 Method Not Allowed"),
    ] {
        assert_eq!(server.get(request).await.0, format!("HTTP/1.1 {expected}"), "{request}");
    }
    let mut client = Client::connect_with(&server.url, &Options::new()).await.unwrap();
    let mut running = client.sql("SELECT a.n FROM generate_series(1, 100000000000) AS a(n)").await.unwrap();
    futures::StreamExt::next(&mut running).await.unwrap().unwrap();
    assert_eq!(server.metric("graticule_queries_running").await, 1.0);
    drop(running);
    server.ask(&Options::new()).await.unwrap();
    assert!(client.sql("SELECT nothing").await.is_err());
    for (outcome, expected) in [("ok", 1.0), ("refused", 1.0), ("cancelled", 1.0), ("internal", 0.0)] {
        server.comes_to(&format!("graticule_queries_total{{outcome=\"{outcome}\"}}"), expected).await;
    }
    assert_eq!(server.metric("graticule_query_seconds_count").await, 2.0);
    assert_eq!(server.metric("graticule_query_seconds_bucket{le=\"+Inf\"}").await, 2.0);
    assert!(server.metric("graticule_rows_sent_total").await >= 10.0);
    assert!(server.metric("graticule_bytes_sent_total").await >= 80.0);
    server.comes_to("graticule_connections", 1.0).await;
    let (_, page) = server.get("GET /metrics HTTP/1.1").await;
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        let family = name.split('{').next().unwrap();
        let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| family.strip_suffix(end)).unwrap_or(family);
        assert!(page.contains(&format!("# TYPE {family} ")) && page.contains(&format!("# HELP {family} ")), "{line}");
        assert!(value.parse::<f64>().is_ok(), "{line}");
    }
    // Stopping is told before the port is closed.
    let mut running = client.sql("SELECT a.n FROM generate_series(1, 100000000000) AS a(n)").await.unwrap();
    futures::StreamExt::next(&mut running).await.unwrap().unwrap();
    server.stop.take().unwrap().send(()).unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(server.get("GET /readyz HTTP/1.1").await.1, "stopping\n");
    assert_eq!(server.get("GET /healthz HTTP/1.1").await.0, "HTTP/1.1 200 OK");
    drop((running, client));
    server.ended.await.unwrap().unwrap();
}
