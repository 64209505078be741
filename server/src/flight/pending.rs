//! Queries that are planned and not yet fetched, and those that are being fetched, by their random ticket. Bounded in
//! number and in time, so that clients that never come back cost little.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use graticule_query::Prepared;
use parking_lot::Mutex;
use tokio::sync::watch;
use tonic::Status;
use uuid::Uuid;

use crate::pool::bulk::Bulk;

/// Tickets that are kept; the oldest is forgotten for a new one.
const MOST_TICKETS: usize = 4096;
/// How long a ticket is good.
const LIFETIME: Duration = Duration::from_secs(600);
/// How long a prepared statement is good: a client may keep one open all day.
const STATEMENT_LIFETIME: Duration = Duration::from_secs(86400);

/// What a ticket stands for.
#[derive(Clone)]
pub enum Work {
    /// Statements to run when the ticket is fetched, one answer after the other.
    Planned(Vec<Prepared>),
    /// An answer that clients fetch in shares, from nodes or from here.
    Bulk(Arc<Bulk>),
    /// The answer of a statement with an effect, which has run.
    Held(Arc<Vec<RecordBatch>>),
}

/// A query behind a ticket.
#[derive(Clone)]
pub struct Pending {
    /// What to do.
    pub work: Work,
    /// The schema that was promised.
    pub schema: SchemaRef,
    cancel: watch::Sender<bool>,
}

impl Pending {
    /// Turns true when the query is cancelled.
    pub fn cancelled(&self) -> watch::Receiver<bool> {
        self.cancel.subscribe()
    }
}

/// Entries by ticket or handle; each is good for some time after its last use.
pub struct Table<T> {
    entries: Mutex<HashMap<Uuid, Kept<T>>>,
    most: usize,
    lifetime: Duration,
}

/// An entry and its time.
struct Kept<T> {
    used: Instant,
    lifetime: Duration,
    entry: T,
}

impl<T> Kept<T> {
    fn is_good(&self, now: Instant) -> bool {
        now.duration_since(self.used) < self.lifetime
    }
}

impl<T: Clone> Table<T> {
    /// An empty table for tickets.
    pub fn new() -> Table<T> {
        Table::bounded(MOST_TICKETS, LIFETIME)
    }

    /// An empty table for what clients keep open.
    pub fn lasting() -> Table<T> {
        Table::bounded(MOST_TICKETS, STATEMENT_LIFETIME)
    }

    fn bounded(most: usize, lifetime: Duration) -> Table<T> {
        Table { entries: Mutex::new(HashMap::new()), most, lifetime }
    }

    /// Keeps an entry under a new random name.
    pub fn insert(&self, entry: T) -> Uuid {
        let name = Uuid::new_v4();
        self.insert_as(name, self.lifetime, entry);
        name
    }

    /// Keeps an entry under a name that nobody can guess, for this time after its last use.
    fn insert_as(&self, name: Uuid, lifetime: Duration, entry: T) {
        let now = Instant::now();
        let mut entries = self.entries.lock();
        entries.retain(|_, kept| kept.is_good(now));
        if entries.len() >= self.most
            && let Some(oldest) = entries.iter().min_by_key(|(_, kept)| kept.used).map(|(name, _)| *name)
        {
            entries.remove(&oldest);
        }
        entries.insert(name, Kept { used: now, lifetime, entry });
    }

    /// The entry of this name; its time begins again.
    pub fn get(&self, name: &[u8]) -> Option<T> {
        let name = Uuid::from_slice(name).ok()?;
        let now = Instant::now();
        let mut entries = self.entries.lock();
        let kept = entries.get_mut(&name)?;
        if !kept.is_good(now) {
            entries.remove(&name);
            return None;
        }
        kept.used = now;
        Some(kept.entry.clone())
    }

    /// Forgets the entry of this name and returns it.
    pub fn remove(&self, name: &[u8]) -> Option<T> {
        let name = Uuid::from_slice(name).ok()?;
        self.entries.lock().remove(&name).map(|kept| kept.entry)
    }
}

impl Table<Pending> {
    /// Keeps a query and returns its ticket.
    pub fn keep(&self, work: Work, schema: SchemaRef) -> Uuid {
        self.insert(Pending { work, schema, cancel: watch::Sender::new(false) })
    }

    /// Keeps a bulk answer, whose tickets begin with its number, for as long as a node may fail that has begun with a share in
    /// time, and has `timeout` for it.
    pub fn keep_bulk(&self, bulk: Arc<Bulk>, schema: SchemaRef, timeout: Duration) {
        let pending = Pending { schema, cancel: watch::Sender::new(false), work: Work::Bulk(bulk.clone()) };
        self.insert_as(bulk.query, LIFETIME.saturating_add(timeout), pending);
    }

    /// The query of a ticket. A ticket may be fetched again until its time is over.
    pub fn find(&self, ticket: &[u8]) -> Result<Pending, Status> {
        self.get(ticket).ok_or_else(|| {
            Status::not_found("this ticket is not known: it was cancelled, it is older than 10 minutes, or the server was started again since; run the query again")
        })
    }

    /// Ends the query of a ticket, running or not; false when there is none.
    pub fn cancel(&self, ticket: &[u8]) -> bool {
        match self.remove(ticket) {
            Some(pending) => {
                pending.cancel.send_replace(true);
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_makes_room() {
        let table = Table::bounded(2, LIFETIME);
        let names: Vec<Uuid> = (0..3)
            .map(|i| {
                std::thread::sleep(Duration::from_millis(2));
                table.insert(i)
            })
            .collect();
        let kept: Vec<Option<i32>> = names.iter().map(|n| table.get(n.as_bytes())).collect();
        assert_eq!(kept, [None, Some(1), Some(2)]);
    }

    #[test]
    fn time_ends_a_ticket() {
        let table = Table::bounded(2, Duration::from_millis(20));
        let name = table.insert(1);
        assert_eq!(table.get(name.as_bytes()), Some(1));
        std::thread::sleep(Duration::from_millis(25));
        assert_eq!(table.get(name.as_bytes()), None);
    }

    #[test]
    fn cancelling_tells_the_one_who_runs_it() {
        let table = Table::new();
        let ticket = table.keep(Work::Planned(vec![]), Arc::new(arrow::datatypes::Schema::empty()));
        let cancelled = table.find(ticket.as_bytes()).unwrap().cancelled();
        assert!(!*cancelled.borrow());
        assert!(table.cancel(ticket.as_bytes()));
        assert!(*cancelled.borrow());
        assert!(!table.cancel(ticket.as_bytes()));
        assert_eq!(table.find(ticket.as_bytes()).err().unwrap().code(), tonic::Code::NotFound);
        assert!(table.find(b"nonsense").is_err());
    }
}
