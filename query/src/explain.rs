//! EXPLAIN and EXPLAIN ANALYZE: the plan as a tree, what runs dense and what does not and why, chunks and bytes.

use std::sync::Arc;

use datafusion::arrow::array::{RecordBatch, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::config::ConfigOptions;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::display::DisplayableExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use futures::{TryStreamExt, stream};
use graticule_grammar::Desugared;
use graticule_storage::catalog::Catalog;

use crate::QueryError;
use crate::dense::CubeExec;
use crate::optimizer::{why_not_dense, why_window_not_dense};

/// The schema of what EXPLAIN answers: one row a topic.
pub(crate) fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("plan_type", DataType::Utf8, false), Field::new("plan", DataType::Utf8, false)]))
}

/// Explains a plan; with `analyze` it is run, and its answer thrown away.
pub(crate) async fn run(analyze: bool, plan: Arc<dyn ExecutionPlan>, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
    let mut rows: Vec<(String, String)> = Vec::new();
    let options = context.session_config().options().clone();
    if analyze {
        // What is told of the plan is from before it runs.
        let _ = DisplayableExecutionPlan::new(plan.as_ref()).indent(true).to_string();
        let started = std::time::Instant::now();
        let mut stream = execute_stream(plan.clone(), context)?;
        let mut answered = 0usize;
        while let Some(batch) = stream.try_next().await? {
            answered += batch.num_rows();
        }
        drop(stream);
        let text = DisplayableExecutionPlan::with_metrics(plan.as_ref()).indent(true).to_string();
        rows.push(("plan with metrics".into(), text));
        rows.push(("total".into(), format!("{answered} rows in {:.3} s", started.elapsed().as_secs_f64())));
    } else {
        rows.push(("physical_plan".into(), DisplayableExecutionPlan::new(plan.as_ref()).indent(true).to_string()));
    }
    let mut reasons = Vec::new();
    not_dense(&plan, &options, &mut reasons);
    if !reasons.is_empty() {
        rows.push(("not dense".into(), reasons.join("\n")));
    }
    explained(rows)
}

/// What EXPLAIN answers: topics, and what there is to say.
pub fn explained(rows: Vec<(String, String)>) -> Result<SendableRecordBatchStream> {
    let (types, plans): (Vec<String>, Vec<String>) = rows.into_iter().unzip();
    let batch = RecordBatch::try_new(schema(), vec![Arc::new(StringArray::from(types)), Arc::new(StringArray::from(plans))])?;
    Ok(one_batch(batch))
}

fn not_dense(plan: &Arc<dyn ExecutionPlan>, options: &ConfigOptions, reasons: &mut Vec<String>) {
    if let Some(reason) = plan.downcast_ref::<AggregateExec>().filter(|_| is_over_cube(plan)).and_then(|a| why_not_dense(a, options)) {
        reasons.push(reason);
    }
    reasons.extend(why_window_not_dense(plan, options));
    plan.children().into_iter().for_each(|child| not_dense(child, options, reasons));
}

fn is_over_cube(plan: &Arc<dyn ExecutionPlan>) -> bool {
    plan.downcast_ref::<CubeExec>().is_some() || plan.children().into_iter().any(is_over_cube)
}

/// A stream of one batch.
pub(crate) fn one_batch(batch: RecordBatch) -> SendableRecordBatchStream {
    Box::pin(RecordBatchStreamAdapter::new(batch.schema(), stream::iter([Ok(batch)])))
}

/// The same stream with errors as users should read them: a [`QueryError`] inside [`DataFusionError::External`].
pub(crate) fn with_readable_errors(
    input: SendableRecordBatchStream,
    catalog: Arc<Catalog>,
    text: Arc<Desugared>,
) -> SendableRecordBatchStream {
    let schema = input.schema();
    let readable = input.map_err(move |e| DataFusionError::External(Box::new(readable(e, &text, &catalog))));
    Box::pin(RecordBatchStreamAdapter::new(schema, readable))
}

/// An error as users should read it, with its place in their text.
pub(crate) fn readable(error: DataFusionError, text: &Desugared, catalog: &Catalog) -> QueryError {
    let cubes: Vec<String> = catalog.cubes().iter().map(|c| c.name.clone()).collect();
    QueryError::from_datafusion(error, Some(text), &cubes)
}
