//! A node that answers every sign of life and does nothing: what a node looks like whose file system hangs.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use arrow_flight::Action;
use arrow_flight::flight_service_client::FlightServiceClient;
use bytes::Bytes;
use graticule_client::Client;
use graticule_server::pool::protocol::{HELLO, Hello, PROTOCOL, build};
use hyper::body::Frame;
use prost::Message;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::codegen::{Body as HttpBody, Service};
use tonic::server::NamedService;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Endpoint, Server};

use crate::processes::{Process, sparse};
use crate::{LONG, ask, check};

/// Takes every call, and never says anything.
#[derive(Clone)]
struct Mute;

struct Nothing;

impl HttpBody for Nothing {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Pending
    }
}

impl NamedService for Mute {
    const NAME: &'static str = "worker.WorkerService";
}

impl Service<Request<Body>> for Mute {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        let mut answer = Response::new(Body::new(Nothing));
        answer.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
        ready(Ok(answer))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_does_nothing_costs_a_retry() {
    let folder = tempfile::tempdir().unwrap();
    let server = Process::server(&["--pool-from", "1MiB", "--pool-patience", "2s"]);
    let node = Process::node(&server, &[]);
    let mut db = Client::connect(&server.url()).await.unwrap();
    db.execute(&format!("CREATE CUBE large FROM '{}'", sparse(folder.path()).display())).await.unwrap();
    // Alone a node may take as long as it wants, as long as it reads.
    check(&ask(&mut db, LONG).await);
    let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}/", incoming.local_addr().unwrap());
    tokio::spawn(Server::builder().add_service(Mute).serve_with_incoming(incoming));
    let hello = Hello { url: url.clone(), instance: 1, build: build().into(), protocol: PROTOCOL, cores: 1, ..Hello::default() };
    let join = server.url().replace("grpc://", "http://");
    let mut flight = FlightServiceClient::new(Endpoint::from_shared(join).unwrap().connect().await.unwrap());
    flight.do_action(Action { r#type: HELLO.into(), body: hello.encode_to_vec().into() }).await.unwrap();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let _ = flight.do_action(Action { r#type: HELLO.into(), body: hello.encode_to_vec().into() }).await;
        }
    });
    let begun = Instant::now();
    check(&ask(&mut db, LONG).await);
    assert!(begun.elapsed() > Duration::from_secs(2), "nobody waited for it: {:?}", begun.elapsed());
    let failures = ask(&mut db, "SELECT address, state, last_failure FROM nodes() WHERE last_failure IS NOT NULL").await;
    let told = arrow::util::pretty::pretty_format_batches(&failures).unwrap().to_string();
    let address = url.trim_start_matches("http://").trim_end_matches('/');
    assert!(told.contains(address) && told.contains("neither answered nor read") && !told.contains(&node.address()), "{told}");
}
