//! Whether a query moves: which streams of which nodes it waits for, and since when. Keep-alive tells nodes that are gone; this tells
//! those that answer it and do nothing, such as one whose file system hangs.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use datafusion::error::Result;
use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt};
use parking_lot::Mutex;
use url::Url;
use uuid::Uuid;

/// A stream of a node.
struct Entry {
    query: Uuid,
    node: Url,
    /// Somebody waits for its next item, or for its end, since then.
    waiting: Mutex<Option<Instant>>,
}

/// The open streams of all queries. Cheap to clone.
#[derive(Clone, Default)]
pub struct Progress {
    open: Arc<Mutex<HashMap<u64, Arc<Entry>>>>,
    next: Arc<AtomicU64>,
}

impl Progress {
    fn note(&self, query: Uuid, node: &Url) -> Noted {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let entry = Arc::new(Entry { query, node: node.clone(), waiting: Mutex::default() });
        self.open.lock().insert(number, entry.clone());
        Noted { open: self.open.clone(), number, entry }
    }

    /// The same stream, watched until it ends.
    pub fn watch<T: Send + 'static>(
        &self,
        query: Uuid,
        node: &Url,
        stream: BoxStream<'static, Result<T>>,
    ) -> BoxStream<'static, Result<T>> {
        Box::pin(Watched { stream, waits: false, items: true, noted: Some(self.note(query, node)) })
    }

    /// What is asked and what is answered where an answer may be silent as long as more may be asked: it is owed from then on.
    pub fn watch_end<Q: Send + 'static>(&self, query: Uuid, node: &Url, asked: BoxStream<'static, Q>) -> (BoxStream<'static, Q>, Owed) {
        let noted = self.note(query, node);
        let entry = noted.entry.clone();
        let ended = stream::poll_fn(move |_| {
            entry.waiting.lock().get_or_insert_with(Instant::now);
            Poll::Ready(None)
        });
        (asked.chain(ended).boxed(), Owed(noted))
    }

    /// The nodes from which a query has been waiting for something for this long.
    pub fn silent(&self, query: Uuid, patience: Duration, now: Instant) -> Vec<Url> {
        let waits = |entry: &Entry| entry.waiting.lock().is_some_and(|since| now.saturating_duration_since(since) >= patience);
        let open = self.open.lock();
        let mut nodes: Vec<Url> = open.values().filter(|e| e.query == query && waits(e)).map(|entry| entry.node.clone()).collect();
        nodes.sort();
        nodes.dedup();
        nodes
    }

    /// Streams that are open.
    pub fn open(&self) -> usize {
        self.open.lock().len()
    }
}

/// An answer that is owed once all has been asked.
pub struct Owed(Noted);

impl Owed {
    /// The answer, watched until it ends.
    pub fn watch<T: Send + 'static>(self, stream: BoxStream<'static, Result<T>>) -> BoxStream<'static, Result<T>> {
        Box::pin(Watched { stream, waits: false, items: false, noted: Some(self.0) })
    }
}

/// The entry of a stream; gone when dropped.
struct Noted {
    open: Arc<Mutex<HashMap<u64, Arc<Entry>>>>,
    number: u64,
    entry: Arc<Entry>,
}

impl Drop for Noted {
    fn drop(&mut self) {
        self.open.lock().remove(&self.number);
    }
}

struct Watched<T> {
    stream: BoxStream<'static, Result<T>>,
    /// Each item is waited for, not only the end.
    items: bool,
    waits: bool,
    noted: Option<Noted>,
}

impl<T> Stream for Watched<T> {
    type Item = Result<T>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = self.stream.as_mut().poll_next(cx);
        if matches!(next, Poll::Ready(None | Some(Err(_)))) {
            self.noted = None;
        }
        // Most polls change nothing: a stream is polled again when another one beside it is ready.
        if self.items && self.waits != next.is_pending() {
            self.waits = next.is_pending();
            if let Some(noted) = &self.noted {
                *noted.entry.waiting.lock() = self.waits.then(Instant::now);
            }
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

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

    #[test]
    fn an_end_is_owed_once_nothing_more_is_asked() {
        let (progress, query, later) = (Progress::default(), Uuid::new_v4(), Instant::now() + Duration::from_secs(100));
        let node = Url::parse("http://a:1/").unwrap();
        let (asking, asked) = futures::channel::mpsc::unbounded::<u8>();
        let (mut asked, answered) = progress.watch_end::<u8>(query, &node, asked.boxed());
        let mut answered = answered.watch::<u8>(stream::pending().boxed());
        assert!(asked.next().now_or_never().is_none() && answered.next().now_or_never().is_none());
        assert_eq!(progress.silent(query, Duration::from_secs(9), later), []);
        drop(asking);
        assert!(asked.next().now_or_never().unwrap().is_none() && answered.next().now_or_never().is_none());
        assert_eq!(progress.silent(query, Duration::from_secs(9), later), [node]);
        drop(answered);
        assert_eq!(progress.open(), 0);
    }
}
