//! Traces that real processes send to a collector: a span for a query, and below it what its nodes did.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use graticule_client::Client;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use crate::processes::{Process, sparse};
use crate::{LONG, ask, check};

/// Keeps what it is sent.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<Span>>>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(&self, request: Request<ExportTraceServiceRequest>) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let spans = request.into_inner().resource_spans.into_iter().flat_map(|r| r.scope_spans).flat_map(|s| s.spans);
        self.0.lock().unwrap().extend(spans);
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

fn attribute(span: &Span, key: &str) -> Option<String> {
    let value = span.attributes.iter().find(|a| a.key == key)?.value.as_ref()?.value.as_ref()?;
    match value {
        Value::StringValue(text) => Some(text.clone()),
        other => Some(format!("{other:?}")),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_and_what_nodes_do_for_it_are_one_trace() {
    let collector = Collector::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let serving = Server::builder().add_service(TraceServiceServer::new(collector.clone()));
    tokio::spawn(serving.serve_with_incoming(TcpIncoming::from(listener)));
    let traced = [("OTEL_EXPORTER_OTLP_ENDPOINT", address.as_str()), ("OTEL_BSP_SCHEDULE_DELAY", "100")];
    let folder = tempfile::tempdir().unwrap();
    let server = Process::server_with(&traced, &["--pool-from", "1MiB"]);
    let nodes: Vec<Process> = (0..2).map(|_| Process::node_with(&server, &traced, &[])).collect();
    let mut db = Client::connect(&server.url()).await.unwrap();
    db.execute(&format!("CREATE CUBE large FROM '{}'", sparse(folder.path()).display())).await.unwrap();
    check(&ask(&mut db, LONG).await);
    let deadline = Instant::now() + Duration::from_secs(60);
    let (query, leaves) = loop {
        let spans = collector.0.lock().unwrap().clone();
        let query = spans.iter().find(|span| attribute(span, "db.query.text").as_deref() == Some(LONG)).cloned();
        let of = |span: &&Span| query.as_ref().is_some_and(|query| span.parent_span_id == query.span_id);
        let leaves: Vec<Span> = spans.iter().filter(of).cloned().collect();
        let ran_on: BTreeSet<_> = leaves.iter().filter_map(|leaf| attribute(leaf, "graticule.node")).collect();
        if let Some(query) = query.filter(|_| ran_on.len() == nodes.len()) {
            break (query, leaves);
        }
        assert!(Instant::now() < deadline, "{spans:#?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert_eq!(query.name, "query");
    assert_eq!(attribute(&query, "graticule.outcome").as_deref(), Some("ok"));
    for leaf in leaves {
        assert_eq!((leaf.trace_id.as_slice(), leaf.name.as_str()), (query.trace_id.as_slice(), "CubeExec"));
        assert!(leaf.end_time_unix_nano >= leaf.start_time_unix_nano && leaf.start_time_unix_nano >= query.start_time_unix_nano);
    }
}
