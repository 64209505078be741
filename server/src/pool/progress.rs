//! Whether a query moves: which streams of which nodes it waits for, and since when. Keep-alive tells nodes that are gone; this tells
//! those that answer it and do nothing, such as one whose file system hangs.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use datafusion::error::Result;
use futures::Stream;
use futures::stream::BoxStream;
use parking_lot::Mutex;
use url::Url;
use uuid::Uuid;

/// A stream of a node.
struct Entry {
    query: Uuid,
    node: Url,
    /// Somebody waits for its next item since then.
    waiting: Option<Instant>,
}

/// The open streams of all queries. Cheap to clone.
#[derive(Clone, Default)]
pub struct Progress {
    open: Arc<Mutex<HashMap<u64, Entry>>>,
    next: Arc<AtomicU64>,
}

impl Progress {
    /// The same stream, watched until it ends.
    pub fn watch<T: Send + 'static>(
        &self,
        query: Uuid,
        node: &Url,
        stream: BoxStream<'static, Result<T>>,
    ) -> BoxStream<'static, Result<T>> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.open.lock().insert(number, Entry { query, node: node.clone(), waiting: None });
        Box::pin(Watched { stream, noted: Some(Noted { open: self.open.clone(), number, waiting: false }) })
    }

    /// The nodes from which a query has been waiting for something for this long.
    pub fn silent(&self, query: Uuid, patience: Duration, now: Instant) -> Vec<Url> {
        let silent =
            |entry: &&Entry| entry.query == query && entry.waiting.is_some_and(|since| now.saturating_duration_since(since) >= patience);
        let mut nodes: Vec<Url> = self.open.lock().values().filter(silent).map(|entry| entry.node.clone()).collect();
        nodes.sort();
        nodes.dedup();
        nodes
    }

    /// Streams that are open.
    pub fn open(&self) -> usize {
        self.open.lock().len()
    }
}

/// The entry of a stream; gone when dropped.
struct Noted {
    open: Arc<Mutex<HashMap<u64, Entry>>>,
    number: u64,
    waiting: bool,
}

impl Noted {
    fn waits(&mut self, waits: bool) {
        // Most polls change nothing: a stream is polled again when another one beside it is ready.
        if std::mem::replace(&mut self.waiting, waits) != waits
            && let Some(entry) = self.open.lock().get_mut(&self.number)
        {
            entry.waiting = waits.then(Instant::now);
        }
    }
}

impl Drop for Noted {
    fn drop(&mut self) {
        self.open.lock().remove(&self.number);
    }
}

struct Watched<T> {
    stream: BoxStream<'static, Result<T>>,
    noted: Option<Noted>,
}

impl<T> Stream for Watched<T> {
    type Item = Result<T>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = self.stream.as_mut().poll_next(cx);
        if matches!(next, Poll::Ready(None | Some(Err(_)))) {
            self.noted = None;
        }
        if let Some(noted) = &mut self.noted {
            noted.waits(next.is_pending());
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt, StreamExt, stream};

    use super::*;

    #[test]
    fn only_streams_that_are_waited_for_are_silent() {
        let (progress, query, start) = (Progress::default(), Uuid::new_v4(), Instant::now());
        let [a, b] = ["http://a:1/", "http://b:1/"].map(|url| Url::parse(url).unwrap());
        let (sender, receiver) = futures::channel::mpsc::unbounded::<Result<u8>>();
        let mut waited = progress.watch(query, &a, receiver.boxed());
        let _unasked = progress.watch(query, &b, stream::pending::<Result<u8>>().boxed());
        let later = start + Duration::from_secs(100);
        assert_eq!(progress.silent(query, Duration::from_secs(9), later), []);
        assert!(waited.next().now_or_never().is_none());
        assert_eq!(progress.silent(query, Duration::from_secs(9), later), [a]);
        assert_eq!(progress.silent(query, Duration::from_secs(9), start), []);
        assert_eq!(progress.silent(Uuid::new_v4(), Duration::from_secs(9), later), []);
        sender.unbounded_send(Ok(1)).unwrap();
        assert!(waited.next().now_or_never().is_some());
        assert_eq!(progress.silent(query, Duration::from_secs(9), later), []);
        // What has ended owes nothing, though it is still held.
        drop(sender);
        assert!(waited.next().now_or_never().unwrap().is_none());
        assert_eq!(progress.open(), 1);
    }
}
