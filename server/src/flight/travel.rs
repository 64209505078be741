//! Batches on their way to a client, from a server and from its nodes alike: sized, encoded, at most a few ahead of the client,
//! and ended with the answer, with the client, with a deadline, or when they are cancelled, whichever comes first.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow_flight::FlightData;
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::error::FlightError;
use datafusion::execution::SendableRecordBatchStream;
use futures::{FutureExt, Stream, StreamExt, TryStreamExt};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};
use tonic::Status;

use super::sizing::Sizing;
use super::status;
use crate::limits::Limits;

/// Encoded batches that wait for the client while the next is computed.
const AHEAD: usize = 2;

/// Rows that are ready are sent after this time, also when they are few.
const PATIENCE: Duration = Duration::from_millis(100);

/// The flow of one answer. Dropping it cancels the work.
pub struct Answer {
    messages: mpsc::Receiver<Result<FlightData, Status>>,
    work: JoinHandle<()>,
}

/// Where the messages of an [`Answer`] go.
pub struct Outlet(mpsc::Sender<Result<FlightData, Status>>);

impl Answer {
    /// Begins `work` on these threads.
    pub fn begin<W: Future<Output = ()> + Send + 'static>(workers: &Handle, work: impl FnOnce(Outlet) -> W) -> Answer {
        let (sender, messages) = mpsc::channel(AHEAD);
        Answer { messages, work: workers.spawn(work(Outlet(sender))) }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.work.abort();
    }
}

impl Stream for Answer {
    type Item = Result<FlightData, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.messages.poll_recv(cx)
    }
}

impl Outlet {
    /// Encodes and sends batches of this schema; `sent` is told the bytes of each message.
    pub async fn send(
        &self,
        batches: impl Stream<Item = Result<RecordBatch, Status>> + Send + 'static,
        schema: SchemaRef,
        sent: impl Fn(u64),
    ) -> Result<(), Status> {
        let batches = batches.map_err(|status| FlightError::Tonic(Box::new(status)));
        let mut encoded = FlightDataEncoderBuilder::new().with_schema(schema).with_max_flight_data_size(usize::MAX).build(batches);
        while let Some(message) = encoded.next().await {
            let message = message.map_err(status::from_flight)?;
            sent((message.data_header.len() + message.data_body.len()) as u64);
            if self.0.send(Ok(message)).await.is_err() {
                return Err(Status::cancelled("the client has left"));
            }
        }
        Ok(())
    }

    /// Ends the answer with an error, if there is one. Waits for the client.
    pub async fn end(self, ended: Result<(), Status>) {
        if let Err(status) = ended {
            let _ = self.0.send(Err(status)).await;
        }
    }
}

/// Batches of streams that run one after the other, in sizes that travel well.
pub struct Travelling {
    sizing: Sizing,
    ready: VecDeque<RecordBatch>,
}

impl Travelling {
    /// Batches that leave have this schema.
    pub fn new(schema: SchemaRef) -> Travelling {
        Travelling { sizing: Sizing::new(schema), ready: VecDeque::new() }
    }

    /// The next batch while `running` runs; `None` at its end, when a [`Travelling::rest`] may be there.
    pub async fn next(&mut self, running: &mut SendableRecordBatchStream) -> Result<Option<RecordBatch>, Status> {
        loop {
            if let Some(batch) = self.ready.pop_front() {
                return Ok(Some(batch));
            }
            let next = match timeout(PATIENCE, running.next()).await {
                Ok(next) => next,
                Err(_) => match self.sizing.flush().map_err(status::internal)? {
                    Some(batch) => return Ok(Some(batch)),
                    None => running.next().await,
                },
            };
            let Some(batch) = next else { return Ok(None) };
            let batch = batch.map_err(|e| status::from_datafusion(&e))?;
            self.ready.extend(self.sizing.push(&batch).map_err(status::internal)?);
        }
    }

    /// What is left when all streams have ended.
    pub fn rest(&mut self) -> Result<Option<RecordBatch>, Status> {
        self.sizing.flush().map_err(status::internal)
    }
}

/// Polls `work` until it ends, its deadline passes, or it is cancelled; a panic in it is an internal error.
pub async fn guarded<T>(
    work: impl Future<Output = Result<T, Status>>,
    deadline: Option<Instant>,
    mut cancelled: watch::Receiver<bool>,
    limits: &Limits,
) -> Result<T, Status> {
    let cancel = async {
        // The other end is dropped when the query is no longer listed; then nobody can cancel it any more.
        if cancelled.wait_for(|&yes| yes).await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    let work = AssertUnwindSafe(work).catch_unwind();
    let too_late = async {
        match deadline {
            Some(deadline) => sleep_until(deadline).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        ended = work => ended.unwrap_or_else(|panic| Err(status::panicked(panic.as_ref()))),
        () = too_late => Err(limits.too_long()),
        stopped = limits.ended() => Err(stopped),
        () = cancel => Err(Status::cancelled("the query was cancelled")),
    }
}
