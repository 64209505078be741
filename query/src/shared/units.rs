//! A plan that is nothing but a leaf, run in parts: such are arrays whose cells come in boxes, so that each part can be made, and
//! fetched, in another place.

use std::sync::Arc;

use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::execute_stream;

use super::{SharedPlan, Splittable, splittable};
use crate::{ErrorKind, QueryError};

impl SharedPlan {
    /// The leaf that this plan is; `None` where something is to be done above it.
    pub fn leaf(&self) -> Option<&dyn Splittable> {
        splittable(&self.plan)
    }

    /// Runs these units of the leaf that this plan is. Errors of the stream are not yet as users should read them: see
    /// [`SharedPlan::readable`].
    pub fn run_units(&self, units: Arc<[u32]>) -> Result<SendableRecordBatchStream, QueryError> {
        let Some(leaf) = self.leaf() else {
            return Err(QueryError::new(ErrorKind::Internal, "a plan that is no leaf has no units"));
        };
        self.admit()?;
        execute_stream(leaf.with_units(units), self.state.task_ctx()).map_err(|e| self.error(e))
    }
}
