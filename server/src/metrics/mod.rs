//! What the server counts about itself. `exposition` writes it as text for Prometheus; `histogram` holds times.

mod exposition;
mod histogram;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tonic::{Code, Status};
use tracing::Span;

pub use exposition::Observed;
use histogram::Histogram;

use crate::traces;

/// Something that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds to it.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How a query ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// With its answer.
    Ok,
    /// The query was wrong, or asked for what there is not.
    Refused,
    /// The caller may not.
    Denied,
    /// A file is damaged, or has changed.
    Data,
    /// By its client.
    Cancelled,
    /// By its deadline.
    Timeout,
    /// For lack of memory, or of a place in the line.
    Overloaded,
    /// The server was stopping.
    Unavailable,
    /// By a mistake of ours.
    Internal,
}

impl Outcome {
    const ALL: [Outcome; 9] = [
        Outcome::Ok,
        Outcome::Refused,
        Outcome::Denied,
        Outcome::Data,
        Outcome::Cancelled,
        Outcome::Timeout,
        Outcome::Overloaded,
        Outcome::Unavailable,
        Outcome::Internal,
    ];

    fn name(self) -> &'static str {
        match self {
            Outcome::Ok => "ok",
            Outcome::Refused => "refused",
            Outcome::Denied => "denied",
            Outcome::Data => "data",
            Outcome::Cancelled => "cancelled",
            Outcome::Timeout => "timeout",
            Outcome::Overloaded => "overloaded",
            Outcome::Unavailable => "unavailable",
            Outcome::Internal => "internal",
        }
    }

    /// The outcome that a client is told as this status.
    pub fn of(status: &Status) -> Outcome {
        match status.code() {
            Code::Ok => Outcome::Ok,
            Code::InvalidArgument | Code::NotFound | Code::Unimplemented | Code::OutOfRange | Code::AlreadyExists => Outcome::Refused,
            Code::PermissionDenied | Code::Unauthenticated => Outcome::Denied,
            Code::DataLoss | Code::FailedPrecondition => Outcome::Data,
            Code::Cancelled => Outcome::Cancelled,
            Code::DeadlineExceeded => Outcome::Timeout,
            Code::ResourceExhausted => Outcome::Overloaded,
            Code::Unavailable => Outcome::Unavailable,
            Code::Internal | Code::Unknown | Code::Aborted => Outcome::Internal,
        }
    }
}

type Read = Box<dyn Fn() -> Vec<(String, f64)> + Send + Sync>;

/// Gauges of one name, one for each value of a label, read when somebody asks.
struct Family {
    name: &'static str,
    help: &'static str,
    label: &'static str,
    read: Read,
}

impl fmt::Debug for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// The counters of one server.
#[derive(Debug, Default)]
pub struct Metrics {
    queries: [Counter; Outcome::ALL.len()],
    seconds: Histogram,
    /// Rows of answers, tiles in array form.
    pub rows_sent: Counter,
    /// Bytes of answers before TLS.
    pub bytes_sent: Counter,
    /// Calls without a token that is known.
    pub unauthenticated: Counter,
    /// Connections that did not end their TLS handshake.
    pub handshakes_failed: Counter,
    /// Connections that were one too many.
    pub connections_refused: Counter,
    /// Connections that are open.
    pub connections: Arc<AtomicUsize>,
    families: Mutex<Vec<Family>>,
}

impl Metrics {
    /// Counts a statement that ended before it ran.
    pub fn ended(&self, outcome: Outcome) {
        if let Some(counter) = self.queries.get(outcome as usize) {
            counter.add(1);
        }
    }

    /// Measures a query from now on.
    pub fn begin(self: &Arc<Self>) -> Measured {
        Measured { metrics: self.clone(), begun: Instant::now(), outcome: None, span: traces::query() }
    }

    /// Adds gauges that others know, such as nodes by their state: one for each value of `label`. `name` is written as it is;
    /// its convention is `graticule_what_unit`.
    pub fn add_gauges(
        &self,
        name: &'static str,
        help: &'static str,
        label: &'static str,
        read: impl Fn() -> Vec<(String, f64)> + Send + Sync + 'static,
    ) {
        self.families.lock().push(Family { name, help, label, read: Box::new(read) });
    }

    fn observe(&self, outcome: Outcome, time: Duration) {
        self.ended(outcome);
        self.seconds.observe(time);
    }
}

/// A query that runs. One that is dropped before it has ended was cancelled.
#[derive(Debug)]
pub struct Measured {
    metrics: Arc<Metrics>,
    begun: Instant,
    outcome: Option<Outcome>,
    span: Span,
}

impl Measured {
    /// The query in traces: work for it is done inside.
    pub fn span(&self) -> Span {
        self.span.clone()
    }

    /// It has ended.
    pub fn end<T>(mut self, ended: &Result<T, Status>) {
        self.outcome = Some(ended.as_ref().err().map_or(Outcome::Ok, Outcome::of));
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        let outcome = self.outcome.unwrap_or(Outcome::Cancelled);
        traces::ended(&self.span, outcome.name(), outcome != Outcome::Ok);
        self.metrics.observe(outcome, self.begun.elapsed());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_stand_at_their_places() {
        for (i, outcome) in Outcome::ALL.into_iter().enumerate() {
            assert_eq!(outcome as usize, i);
        }
    }

    #[test]
    fn a_query_that_is_dropped_was_cancelled() {
        let metrics = Arc::new(Metrics::default());
        drop(metrics.begin());
        metrics.begin().end(&Ok(()));
        metrics.begin().end::<()>(&Err(Status::deadline_exceeded("too long")));
        let counts: Vec<u64> = metrics.queries.iter().map(Counter::get).collect();
        assert_eq!(counts, [1, 0, 0, 0, 1, 1, 0, 0, 0]);
    }
}
