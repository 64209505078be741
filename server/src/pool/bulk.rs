//! Bulk answers: arrays whose tiles clients fetch from the nodes themselves, the share of each node under a ticket of its own. The
//! ticket is what lets a client in at a node: the server names a pending answer only to nodes, and only as long as it may begin.
//! Any share can be had from the server too, under the same ticket, so that a node that fails costs time and no answer.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_flight::sql::{ProstMessageExt, TicketStatementQuery};
use arrow_flight::{FlightEndpoint, Ticket};
use datafusion::execution::SendableRecordBatchStream;
use graticule_query::{ErrorKind, Form, Prepared, QueryError, SharedPlan};
use prost::Message;
use tonic::Status;
use url::{Host, Url};
use uuid::Uuid;

use super::Pool;
use super::placement::place;
use super::protocol::{BulkMessage, RecipeMessage};
use super::secret::is_loopback;

/// How long nodes may begin with shares of an answer.
const BEGINS: Duration = Duration::from_secs(600);
/// How long nodes are told that an answer was cancelled: each says hello several times meanwhile.
const TOLD: Duration = Duration::from_secs(10);
/// Cancelled answers that nodes are told of at most; the work for others ends when their clients go away.
const MOST_TOLD: usize = 1024;
/// The location that means "on the connection that you have".
const REUSE_CONNECTION: &str = "arrow-flight-reuse-connection://?";

/// The ticket of a share: that of the answer, and the share's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShareTicket {
    /// The answer.
    pub query: Uuid,
    /// The share.
    pub share: u32,
}

impl ShareTicket {
    /// As the handle of a Flight SQL ticket.
    pub fn handle(self) -> Vec<u8> {
        [self.query.as_bytes().as_slice(), &self.share.to_le_bytes()].concat()
    }

    /// From a handle; `None` where it is no share's.
    pub fn read(handle: &[u8]) -> Option<ShareTicket> {
        let (query, share) = handle.split_first_chunk::<16>()?;
        Some(ShareTicket { query: Uuid::from_bytes(*query), share: u32::from_le_bytes(share.try_into().ok()?) })
    }
}

/// A bulk answer that is planned.
pub struct Bulk {
    /// Its number, which is that of its tickets.
    pub query: Uuid,
    shared: Arc<SharedPlan>,
    nodes: Vec<String>,
    /// Where clients fetch shares: those that have something in them.
    places: Vec<(u32, String)>,
    _listed: Listed,
}

/// Answers that nodes may begin with, and those that were cancelled.
#[derive(Default)]
pub struct Listings {
    pending: HashMap<Uuid, (Instant, Arc<BulkMessage>)>,
    cancelled: VecDeque<(Instant, Uuid)>,
}

/// Keeps an answer where nodes can ask for it.
struct Listed {
    pool: Arc<Pool>,
    query: Uuid,
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.pool.bulk.lock().pending.remove(&self.query);
    }
}

/// Where a client at `from` reaches a node; `None` where it does not, or must not: one that came over TLS is not sent to a place
/// without it. The only place that knows the schemes of both.
fn location(url: &str, from: Option<IpAddr>, private: bool) -> Option<String> {
    let url = Url::parse(url).ok()?;
    let scheme = match url.scheme() {
        "https" => "grpcs",
        "http" if !private => "grpc",
        _ => return None,
    };
    let (host, local) = match url.host()? {
        Host::Ipv4(address) => (address.to_string(), is_loopback(address.into())),
        Host::Ipv6(address) => (format!("[{address}]"), is_loopback(address.into())),
        Host::Domain(name) => (name.to_owned(), name == "localhost"),
    };
    if local && !from.is_some_and(is_loopback) {
        return None;
    }
    Some(format!("{scheme}://{host}:{}", url.port_or_known_default()?))
}

/// Runs one share of the leaf that a plan is: the same units on the server and on every node.
pub fn run_share(shared: &SharedPlan, nodes: &[String], share: u32) -> Result<SendableRecordBatchStream, QueryError> {
    let leaf = shared.leaf().ok_or_else(|| QueryError::new(ErrorKind::Internal, "a bulk answer that is no leaf"))?;
    let names: Vec<&str> = nodes.iter().map(String::as_str).collect();
    let units = usize::try_from(share).ok().and_then(|share| place(&leaf.units(), &names).into_iter().nth(share));
    let units = units.ok_or_else(|| QueryError::new(ErrorKind::NotFound, format!("this answer has no share {share}")))?;
    shared.run_units(units.into())
}

impl Bulk {
    /// One endpoint a node: at the node, or else at the server.
    pub fn endpoints(&self) -> Vec<FlightEndpoint> {
        let endpoint = |(share, location): &(u32, String)| {
            let ticket = ShareTicket { query: self.query, share: *share }.handle();
            let ticket = TicketStatementQuery { statement_handle: ticket.into() }.as_any().encode_to_vec();
            FlightEndpoint::new().with_ticket(Ticket::new(ticket)).with_location(location).with_location(REUSE_CONNECTION)
        };
        self.places.iter().map(endpoint).collect()
    }

    /// The shares that have something in them.
    pub fn shares(&self) -> impl Iterator<Item = u32> {
        self.places.iter().map(|(share, _)| *share)
    }

    /// Runs a share in this process.
    pub fn run(&self, share: u32) -> Result<SendableRecordBatchStream, QueryError> {
        Ok(self.shared.readable(run_share(&self.shared, &self.nodes, share)?))
    }
}

impl Pool {
    /// Plans a statement whose answer a client at `from` is to fetch from the nodes that are ready; `None` where it has better
    /// ask the server for all of it: there is little to read, no node can be reached, or its cells do not come in boxes.
    pub async fn bulk(
        self: &Arc<Self>,
        prepared: &Prepared,
        from: Option<IpAddr>,
        timeout: Duration,
    ) -> Result<Option<Arc<Bulk>>, QueryError> {
        let nodes = self.members.lock().ready(Instant::now());
        let Some(locations) = nodes.iter().map(|node| location(&node.url, from, self.private)).collect::<Option<Vec<_>>>() else {
            return Ok(None);
        };
        if nodes.is_empty() || prepared.explains().is_some() || !prepared.reads(self.least_bytes) {
            return Ok(None);
        }
        let streams = nodes.iter().map(|node| node.cores as usize).max().unwrap_or(1);
        let Some(recipe) = prepared.recipe(streams).filter(|recipe| recipe.form == Form::Array) else { return Ok(None) };
        let Some((shared, catalog)) = self.settled(&recipe).await? else { return Ok(None) };
        let Some(leaf) = shared.leaf().filter(|_| shared.plan.schema() == prepared.schema()) else { return Ok(None) };
        let (Some(print), Ok(recipe)) = (shared.encode(&shared.plan), RecipeMessage::new(&recipe, catalog)) else { return Ok(None) };
        let nodes: Vec<String> = nodes.into_iter().map(|node| node.url).collect();
        let shares = place(&leaf.units(), &nodes.iter().map(String::as_str).collect::<Vec<_>>());
        let numbered = (0u32..).zip(shares.iter().zip(locations)).filter(|(_, (units, _))| !units.is_empty());
        let places: Vec<(u32, String)> = numbered.map(|(share, (_, location))| (share, location)).collect();
        if places.is_empty() {
            return Ok(None);
        }
        let timeout_millis = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        let message = BulkMessage { recipe: Some(recipe), nodes: nodes.clone(), leaf: print, timeout_millis };
        let query = Uuid::new_v4();
        self.bulk.lock().pending.insert(query, (Instant::now(), Arc::new(message)));
        let listed = Listed { pool: self.clone(), query };
        Ok(Some(Arc::new(Bulk { query, shared, nodes, places, _listed: listed })))
    }

    /// What a node must know of a pending answer.
    pub(super) fn pending_bulk(&self, query: &Uuid) -> Result<Arc<BulkMessage>, Status> {
        let bulk = self.bulk.lock();
        let pending = bulk.pending.get(query).filter(|(since, _)| since.elapsed() < BEGINS);
        pending.map(|(_, message)| message.clone()).ok_or_else(|| Status::not_found("no answer of this ticket is pending"))
    }

    /// A bulk answer was cancelled: nodes are told.
    pub fn cancelled_bulk(&self, query: Uuid) {
        let mut bulk = self.bulk.lock();
        bulk.pending.remove(&query);
        bulk.cancelled.push_back((Instant::now(), query));
        if bulk.cancelled.len() > MOST_TOLD {
            bulk.cancelled.pop_front();
        }
    }

    /// The answers that were cancelled lately.
    pub(super) fn lately_cancelled(&self) -> Vec<Vec<u8>> {
        let mut bulk = self.bulk.lock();
        bulk.cancelled.retain(|(since, _)| since.elapsed() < TOLD);
        bulk.cancelled.iter().map(|(_, query)| query.as_bytes().to_vec()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tickets_come_back_and_garbage_does_not() {
        let ticket = ShareTicket { query: Uuid::new_v4(), share: 70_000 };
        assert_eq!(ShareTicket::read(&ticket.handle()), Some(ticket));
        for garbage in [&b""[..], &[0; 16], &[0; 19], &[0; 21]] {
            assert_eq!(ShareTicket::read(garbage), None);
        }
    }

    #[test]
    fn clients_are_sent_only_where_they_may_and_can_go() {
        let (here, there) = (Some("127.0.0.1".parse().unwrap()), Some("10.0.0.7".parse().unwrap()));
        for (url, from, private, expected) in [
            ("http://10.0.0.1:7000/", there, false, Some("grpc://10.0.0.1:7000")),
            ("http://10.0.0.1:7000/", there, true, None),
            ("https://node.example:7000/", there, true, Some("grpcs://node.example:7000")),
            ("http://127.0.0.1:7000/", here, false, Some("grpc://127.0.0.1:7000")),
            ("http://127.0.0.1:7000/", there, false, None),
            ("http://localhost:7000/", None, false, None),
            ("http://[2001:db8::1]:7000/", there, false, Some("grpc://[2001:db8::1]:7000")),
            ("ftp://10.0.0.1/", there, false, None),
        ] {
            assert_eq!(location(url, from, private).as_deref(), expected, "{url}");
        }
    }
}
