//! Who may run now: at most so many queries at a time, a bounded line of waiting ones, a deadline for each, and an end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;
use tonic::Status;

use crate::units::Span;

/// How many may wait in line for each one that runs.
const WAITING_PER_RUNNING: usize = 16;

/// Admits queries. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Limits {
    inner: Arc<Inner>,
    timeout: Duration,
}

#[derive(Debug)]
struct Inner {
    running: Arc<Semaphore>,
    max_running: usize,
    waiting: AtomicUsize,
    closed: AtomicBool,
    ended: watch::Sender<bool>,
}

/// The right to run one query; it ends when dropped.
#[derive(Debug)]
pub struct Permit {
    _running: OwnedSemaphorePermit,
}

/// Counts one waiting query for as long as it lives, also when its future is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Limits {
    /// At most `max_running` queries at a time, each ended `timeout` after it was asked for.
    pub fn new(max_running: u64, timeout: Duration) -> Limits {
        let max_running = usize::try_from(max_running).unwrap_or(usize::MAX).clamp(1, Semaphore::MAX_PERMITS);
        Limits {
            inner: Arc::new(Inner {
                running: Arc::new(Semaphore::new(max_running)),
                max_running,
                waiting: AtomicUsize::new(0),
                closed: AtomicBool::new(false),
                ended: watch::Sender::new(false),
            }),
            timeout,
        }
    }

    /// The same places for queries of another timeout.
    pub fn timed(&self, timeout: Duration) -> Limits {
        Limits { inner: self.inner.clone(), timeout }
    }

    /// How long a query may take.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// When a query that is asked for now must have ended.
    pub fn deadline(&self) -> Instant {
        let now = Instant::now();
        // A timeout beyond what the clock can count is no timeout: a century does for it.
        now.checked_add(self.timeout).unwrap_or_else(|| now + Duration::from_secs(100 * 365 * 86400))
    }

    /// Waits for a place. Errors: UNAVAILABLE when the server is stopping, RESOURCE_EXHAUSTED when the line is full.
    /// The caller watches the deadline.
    pub async fn admit(&self) -> Result<Permit, Status> {
        let inner = &self.inner;
        self.open()?;
        if let Ok(permit) = inner.running.clone().try_acquire_owned() {
            return Ok(Permit { _running: permit });
        }
        let longest = inner.max_running.saturating_mul(WAITING_PER_RUNNING);
        let ahead = inner.waiting.fetch_add(1, Ordering::AcqRel);
        let _waiting = Waiting(&inner.waiting);
        if ahead >= longest {
            return Err(Status::resource_exhausted(format!(
                "{} queries are running and {longest} are waiting, which is the most that this server takes (--max-concurrent {}); try again later",
                inner.max_running, inner.max_running
            )));
        }
        match inner.running.clone().acquire_owned().await {
            Ok(permit) => Ok(Permit { _running: permit }),
            Err(_) => Err(stopping()),
        }
    }

    /// Queries that run now.
    pub fn running(&self) -> usize {
        self.inner.max_running.saturating_sub(self.inner.running.available_permits())
    }

    /// Queries that wait in line.
    pub fn waiting(&self) -> usize {
        self.inner.waiting.load(Ordering::Acquire)
    }

    /// Queries that may run at the same time.
    pub fn most_running(&self) -> usize {
        self.inner.max_running
    }

    /// An error once [`Limits::close`] was called.
    pub fn open(&self) -> Result<(), Status> {
        if self.inner.closed.load(Ordering::Acquire) { Err(stopping()) } else { Ok(()) }
    }

    /// No query is admitted any more; those that wait are turned away, those that run go on.
    pub fn close(&self) {
        self.inner.closed.store(true, Ordering::Release);
        self.inner.running.close();
    }

    /// Those that still run are ended.
    pub fn end(&self) {
        self.inner.ended.send_replace(true);
    }

    /// Ready once [`Limits::end`] was called, with what a running query is told.
    pub async fn ended(&self) -> Status {
        // The sender lives as long as this.
        let _ = self.inner.ended.subscribe().wait_for(|&ended| ended).await;
        Status::unavailable("the server was stopped while this query ran")
    }

    /// What a query that took too long is told.
    pub fn too_long(&self) -> Status {
        Status::deadline_exceeded(format!("the query took longer than {} (--query-timeout) and was ended", Span(self.timeout)))
    }
}

fn stopping() -> Status {
    Status::unavailable("the server is stopping and takes no new queries")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_runs_some_wait_the_rest_are_turned_away() {
        let limits = Limits::new(1, Duration::from_secs(1));
        let first = limits.admit().await.unwrap();
        let waiting: Vec<_> = (0..WAITING_PER_RUNNING)
            .map(|_| {
                let limits = limits.clone();
                tokio::spawn(async move { limits.admit().await.map(drop) })
            })
            .collect();
        while limits.inner.waiting.load(Ordering::Acquire) < WAITING_PER_RUNNING {
            tokio::task::yield_now().await;
        }
        let refused = limits.admit().await.unwrap_err();
        assert_eq!((limits.running(), limits.waiting(), limits.most_running()), (1, WAITING_PER_RUNNING, 1));
        assert_eq!(refused.code(), tonic::Code::ResourceExhausted);
        assert!(refused.message().contains("--max-concurrent 1"), "{refused}");
        drop(first);
        for one in waiting {
            one.await.unwrap().unwrap();
        }
        assert_eq!(limits.inner.waiting.load(Ordering::Acquire), 0);
    }

    #[tokio::test]
    async fn giving_up_leaves_the_line() {
        let limits = Limits::new(1, Duration::from_secs(1));
        let _first = limits.admit().await.unwrap();
        assert!(tokio::time::timeout(Duration::from_millis(5), limits.admit()).await.is_err());
        assert_eq!(limits.inner.waiting.load(Ordering::Acquire), 0);
    }

    #[tokio::test]
    async fn a_closed_door_turns_everybody_away() {
        let limits = Limits::new(1, Duration::from_secs(1));
        let running = limits.admit().await.unwrap();
        let waiting = tokio::spawn({
            let limits = limits.clone();
            async move { limits.admit().await.map(drop) }
        });
        tokio::task::yield_now().await;
        limits.close();
        assert_eq!(waiting.await.unwrap().unwrap_err().code(), tonic::Code::Unavailable);
        assert_eq!(limits.admit().await.unwrap_err().code(), tonic::Code::Unavailable);
        drop(running);
    }
}
