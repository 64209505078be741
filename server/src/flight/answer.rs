//! The answers of a server: planned statements, and shares of bulk answers, run on the query threads when they are fetched.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::execution::SendableRecordBatchStream;
use futures::{TryStreamExt, stream};
use graticule_query::Prepared;
use graticule_storage::catalog::NoProgress;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tonic::Status;

use super::sizing::travelling;
use super::status;
use super::travel::{Answer, Travelling, guarded};
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::pool::Pool;
use crate::pool::bulk::Bulk;

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

/// Something that an answer is made of.
pub enum Part {
    /// All of a statement's answer.
    Statement(Prepared),
    /// One share of a bulk answer, in this process.
    Share(Arc<Bulk>, u32),
}

impl Part {
    async fn run(self, pool: &Arc<Pool>) -> Result<SendableRecordBatchStream, Status> {
        let running = match self {
            Part::Share(bulk, number) => bulk.run(number),
            Part::Statement(statement) => match pool.run(&statement).await {
                Ok(Some(on_nodes)) => Ok(on_nodes),
                Ok(None) => statement.run(Arc::new(NoProgress)).await,
                Err(error) => Err(error),
            },
        };
        running.map_err(|e| status::from_query(&e))
    }
}

impl Runner {
    /// Runs parts one after the other and streams their rows as one answer under the schema of the first.
    /// `cancelled` turns true when somebody cancels it.
    pub fn stream(&self, parts: Vec<Part>, schema: SchemaRef, cancelled: watch::Receiver<bool>) -> Answer {
        let (limits, deadline, pool) = (self.limits.clone(), self.limits.deadline(), self.pool.clone());
        let (metrics, measured) = (self.metrics.clone(), self.metrics.begin());
        Answer::begin(&self.workers, |outlet| async move {
            let flow = async {
                let permit = limits.admit().await?;
                let rows = Rows::new(parts, schema.clone(), pool);
                let counted = metrics.clone();
                let batches = stream::try_unfold(rows, |mut rows| async { Ok(rows.next().await?.map(|batch| (batch, rows))) })
                    .inspect_ok(move |batch: &RecordBatch| counted.rows_sent.add(batch.num_rows() as u64));
                outlet.send(batches, schema, |bytes| metrics.bytes_sent.add(bytes)).await?;
                drop(permit);
                Ok(())
            };
            // What was held is let go before the client is told, since telling waits for the client.
            let ended = guarded(flow, Some(deadline), cancelled, &limits).await;
            measured.end(&ended);
            outlet.end(ended).await;
        })
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
                let mut rows = Rows::new(vec![Part::Statement(statement)], schema, pool);
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

/// The rows of parts run one after the other, in batches sized for travel.
struct Rows {
    parts: VecDeque<Part>,
    running: Option<SendableRecordBatchStream>,
    travelling: Travelling,
    pool: Arc<Pool>,
}

impl Rows {
    fn new(parts: Vec<Part>, schema: SchemaRef, pool: Arc<Pool>) -> Rows {
        Rows { parts: parts.into(), running: None, travelling: Travelling::new(schema), pool }
    }

    /// The next batch; `None` at the end.
    async fn next(&mut self) -> Result<Option<RecordBatch>, Status> {
        loop {
            let Some(running) = &mut self.running else {
                let Some(part) = self.parts.pop_front() else { return self.travelling.rest() };
                self.running = Some(part.run(&self.pool).await?);
                continue;
            };
            match self.travelling.next(running).await? {
                Some(batch) => return Ok(Some(batch)),
                None => self.running = None,
            }
        }
    }
}
