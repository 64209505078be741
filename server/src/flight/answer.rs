//! Answers on their way out: a query runs on the query threads, at most a few batches ahead of its client, and ends with
//! the answer, with the client, with its deadline, or when it is cancelled, whichever comes first.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow_flight::FlightData;
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::error::FlightError;
use datafusion::execution::SendableRecordBatchStream;
use futures::{FutureExt, Stream, StreamExt, TryStreamExt, stream};
use graticule_query::Prepared;
use graticule_storage::catalog::NoProgress;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};
use tonic::Status;

use super::sizing::{Sizing, travelling};
use super::status;
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::pool::Pool;

/// Encoded batches that wait for the client while the next is computed.
const AHEAD: usize = 2;

/// Rows that are ready are sent after this time, also when they are few.
const PATIENCE: Duration = Duration::from_millis(100);

/// Where queries run.
#[derive(Clone)]
pub struct Runner {
    /// The query threads.
    pub workers: Handle,
    /// Who may run now.
    pub limits: Limits,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// The nodes that run large queries.
    pub pool: Arc<Pool>,
}

/// The flow of one answer. Dropping it cancels the query.
pub struct Answer {
    messages: mpsc::Receiver<Result<FlightData, Status>>,
    work: JoinHandle<()>,
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

impl Runner {
    /// Runs planned statements one after the other and streams their rows as one answer under the schema of the first.
    /// `cancelled` turns true when somebody cancels it.
    pub fn stream(&self, statements: Vec<Prepared>, schema: SchemaRef, cancelled: watch::Receiver<bool>) -> Answer {
        let (sender, messages) = mpsc::channel(AHEAD);
        let (limits, deadline, pool) = (self.limits.clone(), self.limits.deadline(), self.pool.clone());
        let (metrics, measured) = (self.metrics.clone(), self.metrics.begin());
        let work = self.workers.spawn(async move {
            let flow = async {
                let permit = limits.admit().await?;
                let rows = Rows::new(statements, schema.clone(), pool);
                let counted = metrics.clone();
                let batches = stream::try_unfold(rows, |mut rows| async { Ok(rows.next().await?.map(|batch| (batch, rows))) })
                    .inspect_ok(move |batch: &RecordBatch| counted.rows_sent.add(batch.num_rows() as u64))
                    .map_err(|status: Status| FlightError::Tonic(Box::new(status)));
                let mut encoded = FlightDataEncoderBuilder::new().with_schema(schema).with_max_flight_data_size(usize::MAX).build(batches);
                while let Some(message) = encoded.next().await {
                    let message = message.map_err(status::from_flight)?;
                    metrics.bytes_sent.add((message.data_header.len() + message.data_body.len()) as u64);
                    if sender.send(Ok(message)).await.is_err() {
                        return Err(Status::cancelled("the client has left"));
                    }
                }
                drop(permit);
                Ok(())
            };
            // What was held is let go before the client is told, since telling waits for the client.
            let ended = guarded(flow, Some(deadline), cancelled, &limits).await;
            measured.end(&ended);
            if let Err(status) = ended {
                let _ = sender.send(Err(status)).await;
            }
        });
        Answer { messages, work }
    }

    /// Runs a planned statement to its end and returns its rows: for statements with an effect, whose answers are small.
    /// Errors when they are more than `most_bytes`. Dropping the future cancels the statement. Statements with an effect
    /// have no deadline, since indexing an archive takes as long as the archive is large.
    pub async fn collect(&self, statement: Prepared, most_bytes: usize) -> Result<Vec<RecordBatch>, Status> {
        let (limits, pool) = (self.limits.clone(), self.pool.clone());
        let deadline = (!statement.has_effect()).then(|| limits.deadline());
        let (_never, cancelled) = watch::channel(false);
        let measured = self.metrics.begin();
        let work = async move {
            let flow = async {
                let permit = limits.admit().await?;
                let schema = travelling(&statement.schema());
                let (mut gathered, mut bytes) = (vec![], 0usize);
                let mut rows = Rows::new(vec![statement], schema, pool);
                while let Some(batch) = rows.next().await? {
                    bytes = bytes.saturating_add(batch.get_array_memory_size());
                    if bytes > most_bytes {
                        return Err(Status::resource_exhausted(format!(
                            "the answer to this statement is larger than the {most_bytes} bytes that are kept for it"
                        )));
                    }
                    gathered.push(batch);
                }
                drop(permit);
                Ok(gathered)
            };
            let ended = guarded(flow, deadline, cancelled, &limits).await;
            measured.end(&ended);
            ended
        };
        self.on_workers(work).await
    }

    /// Runs `work` on the query threads; dropping the future ends it, a panic in it is an internal error.
    pub async fn on_workers<T: Send + 'static>(&self, work: impl Future<Output = Result<T, Status>> + Send + 'static) -> Result<T, Status> {
        struct AbortOnDrop<T>(JoinHandle<T>);
        impl<T> Drop for AbortOnDrop<T> {
            fn drop(&mut self) {
                self.0.abort();
            }
        }
        let mut task = AbortOnDrop(self.workers.spawn(work));
        match (&mut task.0).await {
            Ok(result) => result,
            Err(e) if e.is_panic() => Err(status::panicked(e.into_panic().as_ref())),
            Err(_) => Err(Status::unavailable("the server is stopping")),
        }
    }
}

/// Polls `work` until it ends, its deadline passes, or it is cancelled; a panic in it is an internal error.
async fn guarded<T>(
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

/// The rows of statements run one after the other, in batches sized for travel.
struct Rows {
    statements: VecDeque<Prepared>,
    running: Option<SendableRecordBatchStream>,
    sizing: Sizing,
    ready: VecDeque<RecordBatch>,
    pool: Arc<Pool>,
}

impl Rows {
    fn new(statements: Vec<Prepared>, schema: SchemaRef, pool: Arc<Pool>) -> Rows {
        Rows { statements: statements.into(), running: None, sizing: Sizing::new(schema), ready: VecDeque::new(), pool }
    }

    /// The next batch; `None` at the end.
    async fn next(&mut self) -> Result<Option<RecordBatch>, Status> {
        loop {
            if let Some(batch) = self.ready.pop_front() {
                return Ok(Some(batch));
            }
            let Some(running) = &mut self.running else {
                let Some(statement) = self.statements.pop_front() else {
                    return self.sizing.flush().map_err(status::internal);
                };
                let on_nodes = self.pool.run(&statement).await.map_err(|e| status::from_query(&e))?;
                self.running = Some(match on_nodes {
                    Some(running) => running,
                    None => statement.run(Arc::new(NoProgress)).await.map_err(|e| status::from_query(&e))?,
                });
                continue;
            };
            let next = match timeout(PATIENCE, running.next()).await {
                Ok(next) => next,
                Err(_) => match self.sizing.flush().map_err(status::internal)? {
                    Some(batch) => return Ok(Some(batch)),
                    None => running.next().await,
                },
            };
            match next {
                Some(batch) => {
                    let batch = batch.map_err(|e| status::from_datafusion(&e))?;
                    self.ready.extend(self.sizing.push(&batch).map_err(status::internal)?);
                }
                None => self.running = None,
            }
        }
    }
}
