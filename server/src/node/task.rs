//! Parts of plans that run here: counted, so that a node that is to leave can finish them, and whole, or else an error. A stream that
//! panics would look as if it had ended: datafusion-distributed 4.0.0 pulls it in a task that nobody joins.

use std::any::Any;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::metrics::MetricsSet;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, ReplaceChildrenOptions,
};
use futures::{FutureExt, StreamExt, stream};
use graticule_query::{ErrorKind, QueryError};

use crate::flight::status;
use crate::pool::failure::Failure;

/// Counts something that runs for as long as it lives.
pub struct Task(Arc<AtomicU64>);

impl Task {
    /// One more.
    pub fn new(running: &Arc<AtomicU64>) -> Task {
        running.fetch_add(1, Ordering::AcqRel);
        Task(running.clone())
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The first node of a part of a plan, in whose place it stands: with its inputs, its name and what it measures.
#[derive(Debug)]
pub struct Whole {
    plan: Arc<dyn ExecutionPlan>,
    node: String,
    running: Arc<AtomicU64>,
}

impl Whole {
    /// Of a part of a plan that runs on `node`.
    pub fn new(plan: Arc<dyn ExecutionPlan>, node: String, running: Arc<AtomicU64>) -> Whole {
        Whole { plan, node, running }
    }
}

fn panicked(node: &str, panic: &(dyn Any + Send)) -> DataFusionError {
    let told = status::panicked(panic);
    Failure::query(&QueryError::new(ErrorKind::Internal, format!("on node {node}: {}", told.message()))).into()
}

impl DisplayAs for Whole {
    fn fmt_as(&self, kind: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.plan.fmt_as(kind, f)
    }
}

impl ExecutionPlan for Whole {
    fn name(&self) -> &str {
        self.plan.name()
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.plan.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.plan.children()
    }

    fn apply_expressions(&self, f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>) -> Result<TreeNodeRecursion> {
        self.plan.apply_expressions(f)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
        let plan = self.plan.clone().replace_children(children, options)?;
        Ok(Arc::new(Whole::new(plan, self.node.clone(), self.running.clone())))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let begun = std::panic::catch_unwind(AssertUnwindSafe(|| self.plan.execute(partition, context)));
        let input = begun.unwrap_or_else(|panic| Err(panicked(&self.node, panic.as_ref())))?;
        let (schema, node, task) = (input.schema(), self.node.clone(), Task::new(&self.running));
        let whole = stream::unfold(Some((input, task)), move |running| {
            let node = node.clone();
            async move {
                let (mut input, task) = running?;
                match AssertUnwindSafe(input.next()).catch_unwind().await {
                    Ok(next) => Some((next?, Some((input, task)))),
                    Err(panic) => Some((Err(panicked(&node, panic.as_ref())), None)),
                }
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, whole)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        self.plan.metrics()
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{Int64Array, RecordBatch};
    use datafusion::arrow::datatypes::{DataType, Field, Schema};
    use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
    use futures::TryStreamExt;

    use super::*;

    /// One batch, and then a panic.
    #[derive(Debug)]
    struct Breaks(Arc<Schema>);

    impl PartitionStream for Breaks {
        fn schema(&self) -> &Arc<Schema> {
            &self.0
        }

        fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
            let batch = RecordBatch::try_new(self.0.clone(), vec![Arc::new(Int64Array::from(vec![1]))]).unwrap();
            let batches = stream::iter([0, 1]).map(move |n| if n == 0 { Ok(batch.clone()) } else { panic!("a kernel broke") });
            Box::pin(RecordBatchStreamAdapter::new(self.0.clone(), batches))
        }
    }

    #[tokio::test]
    async fn a_panic_is_an_error_and_not_an_end() {
        let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]));
        let partition: Arc<dyn PartitionStream> = Arc::new(Breaks(schema.clone()));
        let plan = StreamingTableExec::try_new(schema, vec![partition], None, vec![], false, None).unwrap();
        let running = Arc::default();
        let whole = Whole::new(Arc::new(plan), "http://here:1/".into(), running);
        let mut answer = whole.execute(0, Arc::default()).unwrap();
        assert_eq!(whole.running.load(Ordering::Acquire), 1);
        assert_eq!(answer.try_next().await.unwrap().unwrap().num_rows(), 1);
        let error = answer.try_next().await.unwrap_err();
        let Some(Failure::Query { kind, message }) = Failure::of(&error) else { panic!("{error}") };
        assert!(kind == "internal" && message.contains("http://here:1/"), "{message}");
        assert!(answer.try_next().await.unwrap().is_none());
        assert_eq!(whole.running.load(Ordering::Acquire), 0);
    }
}
