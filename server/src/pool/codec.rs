//! How nodes of plans travel: those of ours by their number in a plan that both sides make, see `graticule_query::SharedPlan`.

use std::fmt;
use std::sync::Arc;

use datafusion::common::{internal_err, not_impl_err};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::physical_plan::ExecutionPlan;
use datafusion_proto::physical_plan::{PhysicalExtensionCodec, PhysicalProtoConverterExtension};
use graticule_query::SharedPlan;

use super::failure::Failure;

/// Encodes and decodes nodes of one plan.
pub struct PlanCodec {
    /// The plan.
    pub shared: Arc<SharedPlan>,
    /// What becomes of a leaf that was decoded.
    pub decoded: Option<Wrap>,
}

/// Puts something around a leaf.
pub type Wrap = Arc<dyn Fn(Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> + Send + Sync>;

impl fmt::Debug for PlanCodec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PlanCodec({:?})", self.shared)
    }
}

impl PhysicalExtensionCodec for PlanCodec {
    fn try_decode(
        &self,
        bytes: &[u8],
        inputs: &[Arc<dyn ExecutionPlan>],
        _: &TaskContext,
        _: &dyn PhysicalProtoConverterExtension,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let node = self.shared.decode(bytes, inputs).map_err(|error| {
            // Both made the plan of the same text: only what they know of the cubes can differ.
            tracing::warn!("a part of a plan that does not fit: {error}");
            DataFusionError::from(Failure::Outdated)
        })?;
        match &self.decoded {
            Some(wrap) if node.children().is_empty() => Ok(wrap(node)),
            _ => Ok(node),
        }
    }

    fn try_encode(&self, node: Arc<dyn ExecutionPlan>, bytes: &mut Vec<u8>, _: &dyn PhysicalProtoConverterExtension) -> Result<()> {
        match self.shared.encode(&node) {
            Some(encoded) => {
                bytes.extend(encoded);
                Ok(())
            }
            None if SharedPlan::is_ours(&node) => internal_err!("{} is of another plan", node.name()),
            None => not_impl_err!("{} does not travel", node.name()),
        }
    }
}
