//! From a plan for one process to one for a pool: datafusion-distributed cuts it into stages, we say which nodes of the plan may
//! run in several places, what each place does of a leaf, and where the places are.
//!
//! Leaves, what happens to each of their streams, and partial aggregates run on the nodes; everything that needs rows of several
//! of them together (final aggregates, joins, windows, limits) runs here, so that nodes never talk to each other.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{not_impl_err, plan_err};
use datafusion::error::Result;
use datafusion::execution::context::QueryPlanner;
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::limit::LocalLimitExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::union::UnionExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties, Partitioning};
use datafusion_distributed::{
    DesiredTaskCountEvent, DesiredTaskCountEventResponse, DistributedCodec, DistributedExec, DistributedExt, DistributedLeafExec,
    NetworkBoundaryExt, NetworkShuffleExec, RouteTasksEvent, RouteTasksEventResponse, ScaleUpLeafNodeEvent, ScaleUpLeafNodeEventResponse,
    SessionStateBuilderExt, WorkerResolver,
};
use datafusion_proto::bytes::physical_plan_to_bytes_with_proto_converter;
use datafusion_proto::physical_plan::DeduplicatingProtoConverter;
use graticule_query::{SharedPlan, splittable};
use tonic::codegen::http::{HeaderMap, HeaderValue};
use url::Url;
use uuid::Uuid;

use super::channel::Channels;
use super::codec::PlanCodec;
use super::placement::place;
use super::protocol::QUERY_HEADER;
use crate::traces;

/// A plan that runs on nodes, and the session's state that it runs in.
pub struct Spread {
    /// The plan.
    pub plan: Arc<dyn ExecutionPlan>,
    /// Its state.
    pub state: SessionState,
}

/// A planner that has planned already.
#[derive(Debug)]
struct Planned(Arc<dyn ExecutionPlan>);

#[async_trait]
impl QueryPlanner for Planned {
    async fn create_physical_plan(&self, _: &LogicalPlan, _: &dyn Session) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self.0.clone())
    }
}

/// The nodes of one query: those that were ready when it began, whatever happens to the pool meanwhile.
struct Pinned(Vec<Url>);

impl WorkerResolver for Pinned {
    fn get_urls(&self) -> Result<Vec<Url>> {
        Ok(self.0.clone())
    }
}

/// Spreads a plan over `nodes`. An error, where it cannot be: then it runs in one process.
///
/// `measured`: nodes tell afterwards what they did.
pub async fn spread(shared: &Arc<SharedPlan>, nodes: &[Url], query: Uuid, channels: &Channels, measured: bool) -> Result<Spread> {
    // Names that mean two things are found out here and not on a node.
    shared.functions()?;
    let mut routes = nodes.to_vec();
    let mut names: Vec<String> = nodes.iter().map(Url::to_string).collect();
    if let [only] = nodes {
        // datafusion-distributed leaves a stage of one task in this process, so a node alone gets two parts.
        routes.push(only.clone());
        names.push(format!("{only} once more"));
    }
    let count = routes.len();
    let mut headers = HeaderMap::new();
    if let Ok(value) = HeaderValue::from_str(&query.to_string()) {
        headers.insert(QUERY_HEADER, value);
    }
    traces::tell(&mut headers);
    let state = SessionStateBuilder::new_from_existing(shared.state.clone())
        .with_query_planner(Arc::new(Planned(shared.plan.clone())))
        .with_distributed_planner()
        .with_distributed_worker_resolver(Pinned(nodes.to_vec()))
        .with_distributed_channel_resolver(channels.clone())
        .with_distributed_user_codec(PlanCodec { shared: shared.clone(), decoded: None })
        .with_distributed_passthrough_headers(headers)?
        .with_distributed_metrics_collection(measured)?
        .with_distributed_children_isolator_unions(false)?
        .with_distributed_broadcast_joins(false)?
        .with_distributed_max_tasks_per_stage(count)?
        .with_distributed_desired_task_count_handler(move |event: DesiredTaskCountEvent<'_>| tasks(event.plan, count).map(Ok))
        .with_distributed_scale_up_leaf_node_handler(move |event: ScaleUpLeafNodeEvent<'_>| share_out(&event, &names))
        .with_distributed_route_tasks_handler(move |event: RouteTasksEvent<'_>| {
            // A single task could go to any node; those that are many go to their own.
            let urls = routes.iter().take(event.task_count).cloned().collect();
            Some(Ok(RouteTasksEventResponse::new(urls)))
        })
        .build();
    let nothing = LogicalPlan::default();
    let plan = state.query_planner().create_physical_plan(&nothing, &state).await?;
    if plan.downcast_ref::<DistributedExec>().is_none() {
        return not_impl_err!("nothing of the plan runs on nodes");
    }
    validate(&plan)?;
    travels(&plan, &state)?;
    Ok(Spread { plan, state })
}

/// In how many places a node of the plan may run; `None`: in as many as its inputs.
fn tasks(node: &Arc<dyn ExecutionPlan>, count: usize) -> Option<DesiredTaskCountEventResponse> {
    if let Some(leaf) = splittable(node) {
        // An operator that must see all rows may stand right on a leaf of one stream.
        let one = leaf.streams() < 2;
        return Some(if one { DesiredTaskCountEventResponse::maximum(1) } else { DesiredTaskCountEventResponse::desired(count) });
    }
    let stream_by_stream = node.downcast_ref::<FilterExec>().is_some()
        || node.downcast_ref::<ProjectionExec>().is_some()
        || node.downcast_ref::<UnionExec>().is_some()
        || node.downcast_ref::<LocalLimitExec>().is_some()
        || node.downcast_ref::<RepartitionExec>().is_some()
        || node.downcast_ref::<SortExec>().is_some_and(SortExec::preserve_partitioning)
        || node.downcast_ref::<AggregateExec>().is_some_and(|a| *a.mode() == AggregateMode::Partial);
    // Those that bring streams together are where stages end.
    let ends = node.downcast_ref::<CoalescePartitionsExec>().is_some() || node.downcast_ref::<SortPreservingMergeExec>().is_some();
    if stream_by_stream || ends || node.is_network_boundary() || node.downcast_ref::<DistributedLeafExec>().is_some() {
        return None;
    }
    Some(DesiredTaskCountEventResponse::maximum(1))
}

/// What each node does of a leaf.
fn share_out(event: &ScaleUpLeafNodeEvent<'_>, names: &[String]) -> Option<Result<ScaleUpLeafNodeEventResponse>> {
    let leaf = splittable(event.plan)?;
    if event.task_count <= 1 {
        return None;
    }
    if event.task_count != names.len() {
        return Some(plan_err!("a stage of {} tasks in a pool of {} nodes", event.task_count, names.len()));
    }
    let shares = place(&leaf.units(), &names.iter().map(String::as_str).collect::<Vec<_>>());
    let variants = shares.into_iter().map(|share| leaf.with_units(share.into()));
    let shared = DistributedLeafExec::try_new(event.plan.clone(), variants);
    Some(shared.map(|leaf| ScaleUpLeafNodeEventResponse::new(Arc::new(leaf))))
}

/// Refuses plans that datafusion-distributed 4.0.0 would answer wrongly or not at all.
///
/// * Its shuffle declares the order of its input and mixes the rows of several producers.
/// * A leaf of one stream may have an operator right above it that must see all rows.
/// * Range partitioning does not cross stages.
/// * Every variant of a leaf must be there, once.
pub fn validate(plan: &Arc<dyn ExecutionPlan>) -> Result<()> {
    let mut wrong = None;
    plan.apply(|node| {
        let boundary = node.as_network_boundary();
        let producers = boundary.map_or(1, |b| b.input_stage().task_count());
        if node.downcast_ref::<NetworkShuffleExec>().is_some() && producers > 1 && node.output_ordering().is_some() {
            wrong = Some("a shuffle of several producers that declares an order");
        }
        if matches!(node.output_partitioning(), Partitioning::Range(_)) {
            wrong = Some("partitions by range");
        }
        if let Some(leaf) = node.downcast_ref::<DistributedLeafExec>()
            && leaf.variants().len() > 1
            && node.output_partitioning().partition_count() < 2
        {
            wrong = Some("a leaf of one stream in several places");
        }
        if let Some(boundary) = boundary.filter(|b| b.input_stage().task_count() > 1)
            && let Some(stage) = boundary.input_stage().local_plan()
            && let Some(reason) = undivided(stage)?
        {
            wrong = Some(reason);
        }
        Ok(if wrong.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    match wrong {
        Some(reason) => not_impl_err!("{reason}, which does not cross stages"),
        None => Ok(()),
    }
}

/// A leaf in a stage of several tasks that gives all of its rows in each of them.
fn undivided(stage: &Arc<dyn ExecutionPlan>) -> Result<Option<&'static str>> {
    let mut found = None;
    stage.apply(|node| {
        if node.is_network_boundary() {
            return Ok(TreeNodeRecursion::Jump);
        }
        if node.children().is_empty() && node.downcast_ref::<DistributedLeafExec>().is_none() {
            found = Some("a leaf that is not divided among the tasks of its stage");
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}

/// Every stage can be written down: found out here, where the plan can still run in one process.
fn travels(plan: &Arc<dyn ExecutionPlan>, state: &SessionState) -> Result<()> {
    let codec = DistributedCodec::new_combined_with_user(state.config());
    let mut stages: BTreeMap<usize, Arc<dyn ExecutionPlan>> = BTreeMap::new();
    plan.apply(|node| {
        if let Some(stage) = node.as_network_boundary().map(|b| b.input_stage())
            && let Some(plan) = stage.local_plan()
        {
            stages.insert(stage.num(), plan.clone());
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    for stage in stages.into_values() {
        let one = stage.transform_up(|node| {
            let first = node.downcast_ref::<DistributedLeafExec>().and_then(|leaf| leaf.variants().first().cloned());
            Ok(first.map_or_else(|| Transformed::no(node), Transformed::yes))
        });
        physical_plan_to_bytes_with_proto_converter(one.data()?, &codec, &DeduplicatingProtoConverter::default())?;
    }
    Ok(())
}
