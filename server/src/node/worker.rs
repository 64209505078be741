//! Parts of plans as they run on a node: each in a session's state made for it, that has the settings and functions of its query.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use arrow_flight::flight_service_server::FlightServiceServer;
use async_trait::async_trait;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::{FunctionRegistry, SendableRecordBatchStream, SessionState, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::metrics::MetricsSet;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use datafusion_distributed::{
    DistributedConfig, DistributedExt, Worker, WorkerPlanRewriteEvent, WorkerPlanRewriteEventResponse, WorkerQueryContext,
    WorkerSessionBuilder,
};
use futures::TryStreamExt;
use tonic::codegen::http::HeaderMap;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Server;
use tonic::transport::server::Router;
use tonic::{Request, Status};

use super::bulk;
use super::mirror::Mirror;
use super::task::Whole;
use crate::access::gate;
use crate::pool::channel::Channels;
use crate::pool::codec::PlanCodec;
use crate::pool::credentials::Credentials;
use crate::pool::failure::Failure;
use crate::pool::protocol;
use crate::traces;

/// Largest message that a client may send.
const LARGEST_TICKET: usize = 64 << 10;

/// Makes the state of a part of a plan.
pub struct Sessions {
    /// Where plans come from.
    pub mirror: Arc<Mirror>,
    /// Connections to other nodes.
    pub channels: Channels,
    /// This node.
    pub url: String,
    /// Streams of parts of plans that run.
    pub running: Arc<AtomicU64>,
}

#[async_trait]
impl WorkerSessionBuilder for Sessions {
    async fn build_session_state(&self, context: WorkerQueryContext) -> Result<SessionState> {
        let query = protocol::query_of(&context.headers)?;
        let shared = self.mirror.plan(query, &self.url).await?;
        let mut builder = context.builder;
        let config = builder.config().get_or_insert_default();
        let distributed = DistributedConfig::from_config_options(config.options())?.clone();
        *config.options_mut() = shared.state.config_options().as_ref().clone();
        config.options_mut().extensions.insert(distributed);
        let (node, running) = (self.url.clone(), self.running.clone());
        let headers = Arc::new(context.headers);
        let wrap = move |leaf| {
            let leaf = NodeLeaf { leaf, node: node.clone(), headers: headers.clone() };
            Arc::new(leaf) as Arc<dyn ExecutionPlan>
        };
        let whole = {
            let node = self.url.clone();
            move |part: WorkerPlanRewriteEvent<'_>| {
                let whole = Whole::new(part.plan, node.clone(), running.clone());
                Ok(WorkerPlanRewriteEventResponse::new(Arc::new(whole)))
            }
        };
        let codec = PlanCodec { shared: shared.clone(), decoded: Some(Arc::new(wrap)) };
        let mut state = builder
            .with_distributed_user_codec(codec)
            .with_distributed_worker_plan_rewrite_handler(whole)
            .with_distributed_channel_resolver(self.channels.clone())
            .with_scalar_functions(shared.state.scalar_functions().values().cloned().collect())
            .with_aggregate_functions(shared.state.aggregate_functions().values().cloned().collect())
            .with_window_functions(shared.state.window_functions().values().cloned().collect())
            .build();
        // Those that know more than their name tells.
        for function in shared.functions()? {
            state.register_udf(function)?;
        }
        Ok(state)
    }
}

/// Adds the doors of a node: parts of plans, for the server of its pool, and shares of answers, for clients with tickets.
pub fn door(mut server: Server, sessions: Sessions, bulk: bulk::Door, runtime: Arc<RuntimeEnv>, credentials: Credentials) -> Router {
    let worker = Worker::from_session_builder(sessions).with_runtime_env(runtime).with_version(protocol::build());
    let checked = move |request: Request<()>| -> std::result::Result<Request<()>, Status> {
        let request = gate::addressed(request);
        gate::only_over_tls(request.extensions())?;
        credentials.check_server(&request)?;
        Ok(request)
    };
    let bulk = FlightServiceServer::new(bulk).max_decoding_message_size(LARGEST_TICKET).max_encoding_message_size(usize::MAX);
    let over_tls = |request: Request<()>| -> std::result::Result<Request<()>, Status> {
        gate::only_over_tls(request.extensions())?;
        Ok(request)
    };
    server.add_service(InterceptedService::new(worker.into_worker_server(), checked)).add_service(InterceptedService::new(bulk, over_tls))
}

/// A leaf whose errors say on which node they were met, in a form that crosses processes.
#[derive(Debug)]
struct NodeLeaf {
    leaf: Arc<dyn ExecutionPlan>,
    node: String,
    /// Of the call that brought it: they tell which trace it is of.
    headers: Arc<HeaderMap>,
}

impl DisplayAs for NodeLeaf {
    fn fmt_as(&self, kind: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.leaf.fmt_as(kind, f)
    }
}

impl ExecutionPlan for NodeLeaf {
    fn name(&self) -> &str {
        self.leaf.name()
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.leaf.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![]
    }

    fn apply_expressions(&self, f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>) -> Result<TreeNodeRecursion> {
        self.leaf.apply_expressions(f)
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let node = self.node.clone();
        let span = traces::leaf(&self.headers, &self.node, self.leaf.name(), partition);
        let stream = self.leaf.execute(partition, context).map_err(|e| Failure::met(e, &node))?;
        let schema = stream.schema();
        let told = stream.map_err(move |e| {
            let _ = &span;
            Failure::met(e, &node)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, told)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        self.leaf.metrics()
    }
}
