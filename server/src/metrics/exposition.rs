//! Everything that is counted, as Prometheus reads it (text format 0.0.4).

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::histogram::ENDS;
use super::{Metrics, Outcome};
use crate::config::Settings;
use crate::database::Database;
use crate::limits::Limits;

/// What is looked at when somebody asks how the server is.
#[derive(Clone)]
pub struct Observed {
    /// What the door counts.
    pub metrics: Arc<Metrics>,
    /// Who runs and who waits.
    pub limits: Limits,
    /// What the engine and the reader know.
    pub database: Arc<Database>,
    /// The limits that were set.
    pub settings: Arc<Settings>,
}

/// Text under construction.
struct Page(String);

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a String does not fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.head(name, "counter", help);
        let _ = writeln!(self.0, "{name} {value}");
    }

    fn gauge(&mut self, name: &str, help: &str, value: u64) {
        self.head(name, "gauge", help);
        let _ = writeln!(self.0, "{name} {value}");
    }

    fn labelled(&mut self, name: &str, label: &str, value: &str, number: impl std::fmt::Display) {
        let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let _ = writeln!(self.0, "{name}{{{label}=\"{value}\"}} {number}");
    }
}

impl Observed {
    /// All of it.
    pub fn page(&self) -> String {
        let (metrics, mut page) = (&self.metrics, Page(String::with_capacity(8192)));
        page.head("graticule_build_info", "gauge", "Version of the program.");
        page.labelled("graticule_build_info", "version", env!("CARGO_PKG_VERSION"), 1);

        page.head("graticule_queries_total", "counter", "Statements that have ended, by how.");
        for (outcome, count) in Outcome::ALL.iter().zip(&metrics.queries) {
            page.labelled("graticule_queries_total", "outcome", outcome.name(), count.get());
        }
        page.gauge("graticule_queries_running", "Statements that run now.", self.limits.running() as u64);
        page.gauge("graticule_queries_waiting", "Statements that wait in line.", self.limits.waiting() as u64);
        page.gauge("graticule_queries_limit", "Statements that may run at the same time.", self.limits.most_running() as u64);
        self.seconds(&mut page);
        page.counter("graticule_rows_sent_total", "Rows of answers; tiles in array form.", metrics.rows_sent.get());
        page.counter("graticule_bytes_sent_total", "Bytes of answers.", metrics.bytes_sent.get());

        let reader = self.database.reader().statistics();
        page.counter("graticule_bytes_read_total", "Bytes of chunks fetched from files and object stores.", reader.bytes_read);
        page.counter("graticule_chunks_decoded_total", "Chunks that were fetched and decoded.", reader.chunks_read);
        page.counter("graticule_decoded_bytes_total", "Bytes that they were decoded to.", reader.bytes_decoded);
        page.counter("graticule_cache_hits_total", "Chunks found decoded in the cache.", reader.chunks_cached);
        page.counter("graticule_cache_misses_total", "Chunks not found in the cache.", reader.chunks_read);
        page.gauge("graticule_cache_bytes", "Bytes in the cache of decoded chunks.", reader.cache_used);
        page.gauge("graticule_cache_limit_bytes", "Bytes that may be in it.", self.settings.cache.0);
        let used = self.database.engine().memory_used() as u64;
        page.gauge("graticule_memory_bytes", "Bytes that running queries have reserved.", used);
        page.gauge("graticule_memory_limit_bytes", "Bytes that they may reserve.", self.settings.memory.0);

        let open = metrics.connections.load(Ordering::Relaxed) as u64;
        page.gauge("graticule_connections", "Connections of clients that are open.", open);
        page.counter("graticule_connections_refused_total", "Connections that were one too many.", metrics.connections_refused.get());
        page.counter("graticule_tls_handshakes_failed_total", "TLS handshakes that failed.", metrics.handshakes_failed.get());
        page.counter("graticule_unauthenticated_total", "Calls without a token that is known.", metrics.unauthenticated.get());
        for family in metrics.families.lock().iter() {
            page.head(family.name, "gauge", family.help);
            for (value, number) in (family.read)() {
                page.labelled(family.name, family.label, &value, number);
            }
        }
        page.0
    }

    fn seconds(&self, page: &mut Page) {
        let name = "graticule_query_seconds";
        let (totals, sum) = self.metrics.seconds.totals();
        page.head(name, "histogram", "Time from fetching a ticket to the end of its answer, waiting in line included.");
        let bucket = format!("{name}_bucket");
        let ends = ENDS.iter().map(f64::to_string).chain(["+Inf".to_owned()]);
        for (end, total) in ends.zip(&totals) {
            page.labelled(&bucket, "le", &end, total);
        }
        let _ = writeln!(page.0, "{name}_sum {sum}\n{name}_count {}", totals.last().copied().unwrap_or_default());
    }
}
