//! The door of a node for clients: shares of bulk answers, for whoever has a ticket that the server knows. Nothing else is
//! answered here. A client that is refused, or whose share ends with an error, fetches it from the server.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow_flight::flight_service_server::FlightService;
use arrow_flight::sql::{Any, Command};
use arrow_flight::{
    Action, ActionType, Criteria, Empty, FlightData, FlightDescriptor, FlightInfo, HandshakeRequest, HandshakeResponse, PollInfo,
    PutResult, SchemaResult, Ticket,
};
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::stream::BoxStream;
use futures::{Stream, TryStreamExt, stream};
use parking_lot::Mutex;
use prost::Message;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};
use tonic::{Request, Response, Status, Streaming};
use uuid::Uuid;

use super::mirror::Mirror;
use super::task::Task;
use crate::flight::sizing::travelling;
use crate::flight::status;
use crate::flight::travel::{Answer, Travelling, guarded};
use crate::limits::Limits;
use crate::pool::bulk::{ShareTicket, run_share};
use crate::pool::failure::Failure;
use crate::pool::protocol::BulkMessage;
use crate::pool::run::{NodeLost, keep_kind};

/// Tickets that the server is asked about at a time: strangers can make a node ask.
pub const MOST_ASKED: usize = 16;

/// What a stream of data is.
type Data = BoxStream<'static, Result<FlightData, Status>>;

/// What tells shares of an answer that it is cancelled, and how many there are.
type Told = (watch::Sender<bool>, usize);

/// Shares that clients fetch now, by their answer.
#[derive(Clone, Default)]
pub struct Fetched(Arc<Mutex<HashMap<Uuid, Told>>>);

/// One share that a client fetches.
struct Fetching {
    fetched: Fetched,
    query: Uuid,
}

impl Fetched {
    fn begin(&self, query: Uuid) -> (Fetching, watch::Receiver<bool>) {
        let mut fetched = self.0.lock();
        let (cancel, count) = fetched.entry(query).or_insert_with(|| (watch::Sender::new(false), 0));
        *count += 1;
        (Fetching { fetched: self.clone(), query }, cancel.subscribe())
    }

    /// The server says that these answers were cancelled.
    pub fn cancel(&self, queries: &[Vec<u8>]) {
        let fetched = self.0.lock();
        for (cancel, _) in queries.iter().filter_map(|query| fetched.get(&Uuid::from_slice(query).ok()?)) {
            cancel.send_replace(true);
        }
    }
}

impl Drop for Fetching {
    fn drop(&mut self) {
        let mut fetched = self.fetched.0.lock();
        if let Some((_, count)) = fetched.get_mut(&self.query) {
            *count -= 1;
            if *count == 0 {
                fetched.remove(&self.query);
            }
        }
    }
}

/// The flow of a share, counted until its client has it or has gone.
struct Share {
    answer: Answer,
    _counted: Task,
    _fetching: Fetching,
}

impl Stream for Share {
    type Item = Result<FlightData, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.answer).poll_next(cx)
    }
}

/// Answers clients. Cheap to clone.
#[derive(Clone)]
pub struct Door {
    /// Where plans come from.
    pub mirror: Arc<Mirror>,
    /// This node.
    pub url: String,
    /// Where shares are made.
    pub workers: Handle,
    /// Who may fetch now; closed when the node is about to leave.
    pub limits: Limits,
    /// Streams that run.
    pub running: Arc<AtomicU64>,
    /// Bytes that clients fetched.
    pub sent: Arc<AtomicU64>,
    /// Shares that clients fetch.
    pub fetched: Fetched,
    /// Tickets that the server is asked about.
    pub asking: Arc<Semaphore>,
    /// What this node could not do, until the server was told.
    pub failure: Arc<Mutex<Option<String>>>,
}

impl Door {
    /// What the server says of a ticket.
    async fn asked(&self, query: Uuid) -> Result<BulkMessage, Status> {
        let Ok(_asking) = self.asking.try_acquire() else {
            return Err(Status::resource_exhausted(format!("this node is asking about {MOST_ASKED} tickets already")));
        };
        self.mirror.bulk(query).await
    }

    fn share(&self, ticket: ShareTicket, message: BulkMessage) -> Share {
        let counted = Task::new(&self.running);
        let (fetching, cancelled) = self.fetched.begin(ticket.query);
        let limits = self.limits.timed(Duration::from_millis(message.timeout_millis));
        let door = self.clone();
        let answer = Answer::begin(&self.workers, |outlet| async move {
            let flow = async {
                let permit = limits.admit().await?;
                let rows = door.rows(ticket, &message).await?;
                let schema = rows.schema.clone();
                let batches = stream::try_unfold(rows, |mut rows| async { Ok(rows.next().await?.map(|batch| (batch, rows))) });
                outlet
                    .send(batches, schema, |bytes| {
                        door.sent.fetch_add(bytes, Ordering::AcqRel);
                    })
                    .await?;
                drop(permit);
                Ok(())
            };
            let ended = guarded(flow, Some(limits.deadline()), cancelled, &limits).await;
            outlet.end(ended).await;
        });
        Share { answer, _counted: counted, _fetching: fetching }
    }

    /// Plans and begins a share.
    async fn rows(&self, ticket: ShareTicket, message: &BulkMessage) -> Result<Rows, Status> {
        let shared = self.mirror.leaf(ticket.query, message, &self.url).await.map_err(|e| status::from_datafusion(&self.named(e)))?;
        let running = run_share(&shared, &message.nodes, ticket.share).map_err(|e| status::from_query(&e))?;
        let schema = travelling(&shared.plan.schema());
        let (door, met) = (self.clone(), running.schema());
        let running = running.map_err(move |error| keep_kind(door.named(Failure::met(error, &door.url)), &shared));
        let running = Box::pin(RecordBatchStreamAdapter::new(met, running));
        Ok(Rows { running: Some(running), travelling: Travelling::new(schema.clone()), schema })
    }

    /// An error as clients are told it. What this node cannot do is told to the server as well.
    fn named(&self, error: DataFusionError) -> DataFusionError {
        let lost = |reason| DataFusionError::External(Box::new(NodeLost { node: self.url.clone(), reason }));
        match Failure::of(&error) {
            Some(Failure::Node { reason, .. }) => {
                *self.failure.lock() = Some(reason.clone());
                lost(reason)
            }
            Some(Failure::Outdated) => lost("the catalog was changed meanwhile".to_owned()),
            Some(own) => own.into_own().unwrap_or(error),
            None => error,
        }
    }
}

/// The batches of a share.
struct Rows {
    running: Option<SendableRecordBatchStream>,
    travelling: Travelling,
    schema: SchemaRef,
}

impl Rows {
    async fn next(&mut self) -> Result<Option<RecordBatch>, Status> {
        if let Some(running) = &mut self.running {
            if let Some(batch) = self.travelling.next(running).await? {
                return Ok(Some(batch));
            }
            self.running = None;
        }
        self.travelling.rest()
    }
}

fn refused<T>(what: &str) -> Result<T, Status> {
    Err(Status::unimplemented(format!("{what}: this is a node, which gives clients what they have tickets for (DoGet); ask the server")))
}

#[tonic::async_trait]
impl FlightService for Door {
    type HandshakeStream = BoxStream<'static, Result<HandshakeResponse, Status>>;
    type ListFlightsStream = BoxStream<'static, Result<FlightInfo, Status>>;
    type DoGetStream = Data;
    type DoPutStream = BoxStream<'static, Result<PutResult, Status>>;
    type DoActionStream = BoxStream<'static, Result<arrow_flight::Result, Status>>;
    type ListActionsStream = BoxStream<'static, Result<ActionType, Status>>;
    type DoExchangeStream = Data;

    async fn do_get(&self, request: Request<Ticket>) -> Result<Response<Data>, Status> {
        self.limits.open()?;
        let any = Any::decode(request.into_inner().ticket).map_err(|e| Status::invalid_argument(format!("ticket: {e}")))?;
        let ticket = match Command::try_from(any) {
            Ok(Command::TicketStatementQuery(ticket)) => ShareTicket::read(&ticket.statement_handle),
            _ => None,
        };
        let ticket = ticket.ok_or_else(|| Status::invalid_argument("this is no ticket of a share; such tickets come from the server"))?;
        let message = self.asked(ticket.query).await?;
        if usize::try_from(ticket.share).is_ok_and(|share| share >= message.nodes.len()) {
            return Err(Status::not_found(format!("this answer has no share {}", ticket.share)));
        }
        Ok(Response::new(Box::pin(self.share(ticket, message))))
    }

    async fn handshake(&self, _: Request<Streaming<HandshakeRequest>>) -> Result<Response<Self::HandshakeStream>, Status> {
        refused("Handshake")
    }

    async fn list_flights(&self, _: Request<Criteria>) -> Result<Response<Self::ListFlightsStream>, Status> {
        refused("ListFlights")
    }

    async fn get_flight_info(&self, _: Request<FlightDescriptor>) -> Result<Response<FlightInfo>, Status> {
        refused("GetFlightInfo")
    }

    async fn poll_flight_info(&self, _: Request<FlightDescriptor>) -> Result<Response<PollInfo>, Status> {
        refused("PollFlightInfo")
    }

    async fn get_schema(&self, _: Request<FlightDescriptor>) -> Result<Response<SchemaResult>, Status> {
        refused("GetSchema")
    }

    async fn do_put(&self, _: Request<Streaming<FlightData>>) -> Result<Response<Self::DoPutStream>, Status> {
        refused("DoPut")
    }

    async fn do_exchange(&self, _: Request<Streaming<FlightData>>) -> Result<Response<Data>, Status> {
        refused("DoExchange")
    }

    async fn do_action(&self, _: Request<Action>) -> Result<Response<Self::DoActionStream>, Status> {
        refused("DoAction")
    }

    async fn list_actions(&self, _: Request<Empty>) -> Result<Response<Self::ListActionsStream>, Status> {
        refused("ListActions")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_fetches_is_told_that_the_answer_was_cancelled() {
        let fetched = Fetched::default();
        let (query, other) = (Uuid::new_v4(), Uuid::new_v4());
        let (one, told) = fetched.begin(query);
        let (two, told_too) = fetched.begin(query);
        let (three, untold) = fetched.begin(other);
        fetched.cancel(&[query.as_bytes().to_vec(), vec![1, 2, 3], Uuid::new_v4().as_bytes().to_vec()]);
        assert!(*told.borrow() && *told_too.borrow() && !*untold.borrow());
        drop((one, two));
        assert_eq!(fetched.0.lock().len(), 1);
        drop(three);
        assert!(fetched.0.lock().is_empty());
    }
}
