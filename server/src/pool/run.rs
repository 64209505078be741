//! A query on the pool: planned for the nodes that are ready, run, and planned again without a node that fails, as long as its
//! client has no row yet.

use std::sync::Arc;
use std::time::{Duration, Instant};

use datafusion::arrow::array::RecordBatch;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::execute_stream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::{StreamExt, stream};
use graticule_query::{Prepared, QueryError, Recipe, SharedPlan};
use graticule_storage::catalog::NoProgress;
use tokio::time::timeout;
use url::Url;
use uuid::Uuid;

use super::Pool;
use super::failure::Failure;
use super::protocol::RecipeMessage;
use super::spread::{Spread, spread};

/// How often a query is planned again.
const AGAIN: usize = 2;

/// A client is told: a node was lost when rows of its answer had been sent, or too many were lost.
#[derive(Debug, Clone, thiserror::Error)]
#[error("node {node} failed while the query ran ({reason}); nothing was changed, and asking again is safe")]
pub struct NodeLost {
    /// Its URL.
    pub node: String,
    /// What happened.
    pub reason: String,
}

/// A query that is planned for nodes. They ask for its recipe as long as it lives.
pub struct Planned {
    /// Its plan.
    pub spread: Spread,
    /// Its nodes; the first does the first task of each stage, and so on.
    pub nodes: Vec<Url>,
    shared: Arc<SharedPlan>,
    listed: Listed,
}

/// A query that runs on nodes.
pub struct Running {
    answer: SendableRecordBatchStream,
    shared: Arc<SharedPlan>,
    listed: Listed,
}

impl Planned {
    /// Runs it.
    pub fn begin(self) -> Result<Running, QueryError> {
        let Planned { spread, shared, listed, .. } = self;
        let answer = execute_stream(spread.plan, spread.state.task_ctx()).map_err(|e| shared.error(e))?;
        Ok(Running { answer, shared, listed })
    }
}

/// Keeps the recipe of a query where nodes can ask for it.
struct Listed {
    pool: Arc<Pool>,
    query: Uuid,
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.pool.recipes.lock().remove(&self.query);
    }
}

impl Running {
    /// The next rows. A node that holds them up for too long has failed: it answers signs of life, so nobody else would notice.
    pub async fn next(&mut self) -> Option<Result<RecordBatch, DataFusionError>> {
        let (pool, query) = (&self.listed.pool, self.listed.query);
        let (began, look) = (Instant::now(), (pool.patience / 4).max(Duration::from_millis(10)));
        loop {
            if let Ok(next) = timeout(look, self.answer.next()).await {
                return next;
            }
            // Only time in which somebody wanted rows counts: a client that reads slowly makes its nodes wait.
            if began.elapsed() >= pool.patience
                && let Some(failure) = pool.held_up(query)
            {
                return Some(Err(failure.into()));
            }
        }
    }
}

/// One query through all its attempts.
struct Attempts {
    pool: Arc<Pool>,
    prepared: Prepared,
    recipe: Recipe,
    running: Option<Running>,
    /// The answer, where it is made in this process after all.
    here: Option<SendableRecordBatchStream>,
    again: usize,
    sent: bool,
    ended: bool,
}

impl Pool {
    /// Runs a planned statement on the nodes of the pool; `None` where it runs in this process: no node is ready, there is
    /// little to read, or its plan does not spread.
    pub async fn run(self: &Arc<Self>, prepared: &Prepared) -> Result<Option<SendableRecordBatchStream>, QueryError> {
        let nodes = self.members.lock().ready(Instant::now());
        if nodes.is_empty() || !prepared.reads(self.least_bytes) {
            return Ok(None);
        }
        let streams = nodes.iter().map(|node| node.cores as usize).max().unwrap_or(1);
        let Some(recipe) = prepared.recipe(streams) else { return Ok(None) };
        if let Some(analyze) = prepared.explains() {
            return self.explain(&recipe, prepared, analyze).await;
        }
        let Some(running) = self.start(&recipe, prepared).await? else { return Ok(None) };
        let schema = prepared.schema();
        let state = Attempts {
            pool: self.clone(),
            prepared: prepared.clone(),
            recipe,
            running: Some(running),
            here: None,
            again: 0,
            sent: false,
            ended: false,
        };
        let batches = stream::unfold(state, |mut state| async move {
            let next = state.next().await?;
            state.ended = next.is_err();
            Some((next, state))
        });
        Ok(Some(Box::pin(RecordBatchStreamAdapter::new(schema, batches))))
    }

    /// Plans a recipe for the nodes that are ready now and begins to run it; `None` where it does not spread.
    async fn start(self: &Arc<Self>, recipe: &Recipe, prepared: &Prepared) -> Result<Option<Running>, QueryError> {
        self.plan(recipe, prepared, false).await?.map(Planned::begin).transpose()
    }

    /// Plans a recipe for the nodes that are ready now; `None` where it does not spread.
    pub(super) async fn plan(
        self: &Arc<Self>,
        recipe: &Recipe,
        prepared: &Prepared,
        measured: bool,
    ) -> Result<Option<Planned>, QueryError> {
        let nodes = self.members.lock().ready(Instant::now());
        let urls: Vec<Url> = nodes.iter().filter_map(|node| Url::parse(&node.url).ok()).collect();
        if urls.is_empty() {
            return Ok(None);
        }
        let Some((shared, catalog)) = self.settled(recipe).await? else { return Ok(None) };
        // Where nodes are larger than the server, their plans may be larger than what it has room for.
        if !prepared.is_like(&shared) || shared.admit().is_err() {
            return Ok(None);
        }
        let query = Uuid::new_v4();
        let spread = match spread(&shared, &urls, query, &self.channels, measured).await {
            Ok(spread) => spread,
            Err(error) => {
                tracing::debug!("runs in this process: {error}");
                return Ok(None);
            }
        };
        let message = match RecipeMessage::new(recipe, catalog) {
            Ok(message) => message,
            Err(error) => {
                tracing::debug!("runs in this process: {error}");
                return Ok(None);
            }
        };
        self.recipes.lock().insert(query, Arc::new(message));
        let listed = Listed { pool: self.clone(), query };
        Ok(Some(Planned { spread, nodes: urls, shared, listed }))
    }
}

impl Pool {
    /// The plan of a recipe, and the fingerprint of the catalog that it was made over; `None` where that changes all the time.
    pub(super) async fn settled(&self, recipe: &Recipe) -> Result<Option<(Arc<SharedPlan>, u64)>, QueryError> {
        for _ in 0..=AGAIN {
            let before = self.engine.catalog().outline().fingerprint();
            let shared = Arc::new(self.engine.shared(recipe).await?);
            if self.engine.catalog().outline().fingerprint() == before {
                return Ok(Some((shared, before)));
            }
        }
        Ok(None)
    }

    /// The node that holds up a query: it owes something for too long, and reads nothing meanwhile.
    fn held_up(&self, query: Uuid) -> Option<Failure> {
        let now = Instant::now();
        let silent = self.channels.progress.silent(query, self.patience, now);
        let members = self.members.lock();
        let node = silent.into_iter().find(|node| members.idle(node.as_str(), now) >= self.patience)?;
        let reason = format!("it neither answered nor read anything for {} s", self.patience.as_secs_f64());
        Some(Failure::Node { node: node.to_string(), reason })
    }
}

impl Attempts {
    async fn next(&mut self) -> Option<Result<RecordBatch, DataFusionError>> {
        loop {
            if self.ended {
                return None;
            }
            if let Some(here) = &mut self.here {
                return here.next().await;
            }
            let running = self.running.as_mut()?;
            let error = match running.next().await {
                Some(Ok(batch)) => {
                    self.sent |= batch.num_rows() > 0;
                    return Some(Ok(batch));
                }
                Some(Err(error)) => error,
                None => return None,
            };
            let shared = running.shared.clone();
            let failure = Failure::of(&error);
            let (node, reason) = match &failure {
                Some(Failure::Node { node, reason }) => {
                    tracing::warn!("node {node} failed a query: {reason}");
                    self.pool.members.lock().failed(node, reason, Instant::now());
                    (node.clone(), reason.clone())
                }
                Some(Failure::Outdated) => ("of this pool".to_owned(), "the catalog was changed meanwhile".to_owned()),
                own => {
                    let own = own.clone().and_then(Failure::into_own).unwrap_or(error);
                    return Some(Err(keep_kind(own, &shared)));
                }
            };
            self.running = None;
            if self.sent {
                return Some(Err(DataFusionError::External(Box::new(NodeLost { node, reason }))));
            }
            self.again += 1;
            let started = if self.again > AGAIN { Ok(None) } else { self.pool.start(&self.recipe, &self.prepared).await };
            match started {
                Ok(Some(running)) => self.running = Some(running),
                // No row was sent and the nodes do not do: this process does.
                Ok(None) => match self.prepared.run(Arc::new(NoProgress)).await {
                    Ok(here) => self.here = Some(here),
                    Err(error) => return Some(Err(DataFusionError::External(Box::new(error)))),
                },
                Err(error) => return Some(Err(DataFusionError::External(Box::new(error)))),
            }
        }
    }
}

/// The error that a client is told when nothing is tried again.
pub fn told(error: DataFusionError, running: &Running) -> DataFusionError {
    match Failure::of(&error) {
        Some(Failure::Node { node, reason }) => DataFusionError::External(Box::new(NodeLost { node, reason })),
        own => keep_kind(own.and_then(Failure::into_own).unwrap_or(error), &running.shared),
    }
}

/// An error as users should read it; that of a file that changed stays what it is, since it has a code of its own.
pub fn keep_kind(error: DataFusionError, shared: &SharedPlan) -> DataFusionError {
    match &error {
        DataFusionError::External(inner) if inner.is::<graticule_storage::Error>() => error,
        _ => DataFusionError::External(Box::new(shared.error(error))),
    }
}
