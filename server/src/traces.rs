//! The log, and traces by OpenTelemetry where `OTEL_EXPORTER_OTLP_ENDPOINT` says where to send them (OTLP over gRPC): a span for each
//! query, and below it one for each leaf of its plan that a node runs.
//!
//! The usual variables work: `OTEL_SERVICE_NAME`, `OTEL_TRACES_SAMPLER`, `OTEL_BSP_SCHEDULE_DELAY` and so on.

use std::io::IsTerminal;

use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tonic::codegen::http::{HeaderMap, HeaderName, HeaderValue};
use tracing::{Level, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

/// Where traces go; none are made without.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"];
/// What spans of traces are told by.
const TARGET: &str = "graticule::traces";
/// Longest part of a statement that is sent, in characters.
const LONGEST_TEXT: usize = 2_000;

/// Sends what is left when dropped.
pub struct Traces(Option<SdkTracerProvider>);

/// Begins to log to stderr, and to trace where that was asked for. To be called where tokio runs. Errors are one readable line.
pub fn start() -> Result<Traces, String> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    let log = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal()).with_filter(filter);
    let asked = ENDPOINTS.iter().find(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()));
    let provider = asked.map(|name| provider().map_err(|e| format!("{name}: {e}"))).transpose()?;
    let spans = provider.as_ref().map(|provider| {
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("graticule")).with_location(false).with_threads(false);
        layer.with_filter(Targets::new().with_target(TARGET, Level::INFO))
    });
    tracing_subscriber::registry().with(log).with(spans).init();
    Ok(Traces(provider))
}

fn provider() -> Result<SdkTracerProvider, String> {
    let exporter = SpanExporter::builder().with_tonic().build().map_err(|e| e.to_string())?;
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).build())
}

impl Drop for Traces {
    fn drop(&mut self) {
        if let Some(Err(e)) = self.0.take().map(|provider| provider.shutdown()) {
            tracing::warn!("the last traces were not sent: {e}");
        }
    }
}

/// A query from when it may run to its end.
pub fn query() -> Span {
    tracing::info_span!(
        target: TARGET,
        "query",
        otel.kind = "server",
        db.system.name = "graticule",
        db.query.text = tracing::field::Empty,
        graticule.outcome = tracing::field::Empty,
        otel.status_code = tracing::field::Empty,
    )
}

/// What the query that runs asks.
pub fn asks(text: Option<&str>) {
    let span = Span::current();
    if let Some(text) = text.filter(|_| !span.is_disabled()) {
        let shortened: String = text.chars().take(LONGEST_TEXT).collect();
        span.record("db.query.text", shortened);
    }
}

/// How a query ended.
pub fn ended(span: &Span, outcome: &str, failed: bool) {
    span.record("graticule.outcome", outcome);
    if failed {
        span.record("otel.status_code", "ERROR");
    }
}

/// One stream of a leaf, on a node; of the query that `headers` tell of.
pub fn leaf(headers: &HeaderMap, node: &str, name: &str, stream: usize) -> Span {
    let span = tracing::info_span!(
        target: TARGET,
        "leaf",
        otel.kind = "server",
        otel.name = name,
        graticule.node = node,
        graticule.stream = stream,
    );
    if !span.is_disabled() {
        // An error means that no traces are made.
        let _ = span.set_parent(TraceContextPropagator::new().extract(&Headers(headers)));
    }
    span
}

/// Tells others of the query that runs.
pub fn tell(headers: &mut HeaderMap) {
    TraceContextPropagator::new().inject_context(&Span::current().context(), &mut HeadersMut(headers));
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}

struct HeadersMut<'a>(&'a mut HeaderMap);

impl Injector for HeadersMut<'_> {
    fn set(&mut self, key: &str, value: String) {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(key), HeaderValue::try_from(value)) {
            self.0.insert(name, value);
        }
    }
}
