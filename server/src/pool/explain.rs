//! EXPLAIN and EXPLAIN ANALYZE of a query that runs on nodes: its stages, which node does which task, and what each of them read.

use std::sync::Arc;
use std::time::{Duration, Instant};

use datafusion::execution::SendableRecordBatchStream;
use datafusion_distributed::{DistributedMetricsFormat, display_plan_ascii, explain_analyze};
use graticule_query::{Prepared, QueryError, Recipe, explained};
use tokio::time::timeout;
use url::Url;

use super::Pool;
use super::run::told;
use crate::flight::status::query_error;

/// How long nodes are waited for that owe what they measured.
const PATIENCE: Duration = Duration::from_secs(10);

impl Pool {
    /// Explains a query as nodes would run it, or with `analyze` as they have; `None` where it runs in this process.
    pub(super) async fn explain(
        self: &Arc<Self>,
        recipe: &Recipe,
        prepared: &Prepared,
        analyze: bool,
    ) -> Result<Option<SendableRecordBatchStream>, QueryError> {
        let Some(planned) = self.plan(recipe, prepared, analyze).await? else { return Ok(None) };
        let (plan, nodes) = (planned.spread.plan.clone(), listed(&planned.nodes));
        let mut rows = vec![];
        if analyze {
            let (begun, mut answered) = (Instant::now(), 0);
            let mut running = planned.begin()?;
            while let Some(batch) = running.next().await {
                answered += batch.map_err(|e| query_error(&told(e, &running)))?.num_rows();
            }
            let took = begun.elapsed();
            // Some may have died after their last row.
            let measured = timeout(PATIENCE, explain_analyze(plan.clone(), DistributedMetricsFormat::PerTask)).await;
            let text = match measured {
                Ok(text) => text.map_err(|e| query_error(&e))?,
                Err(_) => format!("{}\nnot all nodes told what they measured", display_plan_ascii(plan.as_ref(), false)),
            };
            rows.push(("plan with metrics".to_owned(), text));
            rows.push(("nodes".to_owned(), nodes));
            rows.push(("total".to_owned(), format!("{answered} rows in {:.3} s", took.as_secs_f64())));
        } else {
            rows.push(("physical_plan".to_owned(), display_plan_ascii(plan.as_ref(), false)));
            rows.push(("nodes".to_owned(), nodes));
        }
        explained(rows).map(Some).map_err(|e| query_error(&e))
    }
}

/// Which node does which task.
fn listed(nodes: &[Url]) -> String {
    let of = |(task, url): (usize, &Url)| format!("task {task}: {}", url.authority());
    nodes.iter().enumerate().map(of).collect::<Vec<_>>().join("\n")
}
