//! Connections to nodes: deadlines, keep-alive, the pool's secret, and errors that name the node.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion_distributed::grpc::{BoxCloneSyncChannel, create_worker_client};
use datafusion_distributed::{
    ChannelResolver, CoordinatorToWorkerMsg, ExecuteTaskRequest, GetWorkerInfoRequest, GetWorkerInfoResponse, SetPlanRequest,
    WorkerChannel, WorkerToCoordinatorMsg,
};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use parking_lot::Mutex;
use tonic::codegen::http::HeaderMap;
use tonic::transport::{Channel, Endpoint};
use url::Url;

use super::credentials::Credentials;
use super::failure::Failure;
use super::progress::Progress;
use super::protocol;

/// A node must take a connection within this time.
const CONNECT: Duration = Duration::from_secs(2);
/// A node must begin to answer within this time; planning a query over a large catalog is in it.
const ANSWER: Duration = Duration::from_secs(30);
/// A connection on which nothing comes is asked for a sign of life after this time ...
const ALIVE: Duration = Duration::from_secs(2);
/// ... and given up when none has come after this.
const DEAD: Duration = Duration::from_secs(5);
/// What may be on its way before the receiver has taken it.
const WINDOW: u32 = 32 << 20;
/// Connections kept; a pool that has had more nodes than this begins anew.
const KEPT: usize = 4096;

/// Deadlines and keep-alive, for whom a pool talks to.
pub fn patient(endpoint: Endpoint) -> Endpoint {
    endpoint
        .connect_timeout(CONNECT)
        .timeout(ANSWER)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(ALIVE)
        .keep_alive_timeout(DEAD)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
}

/// Connections to nodes, by URL. Cheap to clone.
#[derive(Clone)]
pub struct Channels {
    /// What queries wait for.
    pub progress: Progress,
    credentials: Credentials,
    open: Arc<Mutex<HashMap<Url, Channel>>>,
}

impl Channels {
    /// No connection yet.
    pub fn new(credentials: Credentials) -> Channels {
        Channels { progress: Progress::default(), credentials, open: Arc::default() }
    }

    /// The connection to a node, made anew by itself when it breaks.
    fn channel(&self, url: &Url) -> Result<Channel> {
        let mut open = self.open.lock();
        if let Some(channel) = open.get(url) {
            return Ok(channel.clone());
        }
        if open.len() >= KEPT {
            open.clear();
        }
        let channel = self.credentials.channel(url.as_str(), patient).map_err(DataFusionError::Configuration)?;
        open.insert(url.clone(), channel.clone());
        Ok(channel)
    }
}

#[async_trait]
impl ChannelResolver for Channels {
    async fn get_worker_client_for_url(&self, url: &Url) -> Result<Box<dyn WorkerChannel>> {
        let inner = create_worker_client(BoxCloneSyncChannel::new(self.channel(url)?));
        Ok(Box::new(NodeChannel { inner, credentials: self.credentials.clone(), channels: self.clone(), url: url.clone() }))
    }
}

/// A connection to one node.
struct NodeChannel {
    inner: Box<dyn WorkerChannel>,
    credentials: Credentials,
    channels: Channels,
    url: Url,
}

/// Errors that the node itself did not send are failures of the node.
fn named(url: &Url, channels: &Channels) -> impl Fn(DataFusionError) -> DataFusionError + Clone + Send + Sync + 'static {
    let (url, channels) = (url.clone(), channels.clone());
    move |error| {
        let Some(reason) = transport(&error) else { return error };
        // The next query connects anew.
        channels.open.lock().remove(&url);
        Failure::Node { node: url.to_string(), reason }.into()
    }
}

/// What broke, when it was the connection.
fn transport(error: &DataFusionError) -> Option<String> {
    if Failure::of(error).is_some() {
        return None;
    }
    match error {
        DataFusionError::External(inner) => {
            let Some(status) = inner.downcast_ref::<tonic::Status>() else {
                return inner.downcast_ref::<DataFusionError>().and_then(transport).or_else(|| {
                    // What arrow-flight could not read was cut off.
                    inner.downcast_ref::<arrow_flight::error::FlightError>().map(|e| e.to_string())
                });
            };
            // The innermost cause says most: those around it repeat it.
            let mut cause = std::error::Error::source(status);
            let mut innermost = None;
            while let Some(e) = cause {
                innermost = Some(e.to_string());
                cause = e.source();
            }
            Some(match innermost {
                Some(innermost) => format!("the connection broke: {innermost}"),
                None => format!("{:?}: {}", status.code(), status.message()),
            })
        }
        DataFusionError::Shared(inner) => transport(inner),
        DataFusionError::Context(_, inner) => transport(inner),
        // datafusion-distributed's own deadline.
        DataFusionError::Execution(message) if message.contains("timed-out while waiting for the plan") => {
            Some("it did not make its plan in time".into())
        }
        _ => None,
    }
}

#[async_trait]
impl WorkerChannel for NodeChannel {
    async fn coordinator_channel(
        &mut self,
        mut headers: HeaderMap,
        request: SetPlanRequest,
        messages: BoxStream<'static, CoordinatorToWorkerMsg>,
        metrics: ExecutionPlanMetricsSet,
        context: &Arc<TaskContext>,
    ) -> Result<BoxStream<'static, Result<WorkerToCoordinatorMsg>>> {
        self.credentials.put(&mut headers);
        let (named, query) = (named(&self.url, &self.channels), protocol::query_of(&headers)?);
        let (messages, watched) = self.channels.progress.watch_end(query, &self.url, messages);
        let answer = self.inner.coordinator_channel(headers, request, messages, metrics, context).await.map_err(&named)?;
        Ok(watched.watch(answer.map_err(named).boxed()))
    }

    async fn execute_task(
        &mut self,
        mut headers: HeaderMap,
        request: ExecuteTaskRequest,
        metrics: ExecutionPlanMetricsSet,
        context: &Arc<TaskContext>,
    ) -> Result<Vec<BoxStream<'static, Result<RecordBatch>>>> {
        self.credentials.put(&mut headers);
        let (named, query) = (named(&self.url, &self.channels), protocol::query_of(&headers)?);
        let streams = self.inner.execute_task(headers, request, metrics, context).await.map_err(&named)?;
        let watched = |stream: BoxStream<'static, Result<RecordBatch>>| {
            self.channels.progress.watch(query, &self.url, stream.map_err(named.clone()).boxed())
        };
        Ok(streams.into_iter().map(watched).collect())
    }

    async fn get_worker_info(&mut self, request: GetWorkerInfoRequest) -> Result<GetWorkerInfoResponse> {
        self.inner.get_worker_info(request).await.map_err(named(&self.url, &self.channels))
    }
}
