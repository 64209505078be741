//! The engine: one DataFusion session set up for cubes. Everything is registered here and nowhere else.

use std::sync::Arc;

use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;
use graticule_storage::catalog::{Catalog, Progress};
use graticule_storage::read::Reader;

use crate::{ErrorKind, Form, QueryError};

/// Limits of the engine.
#[derive(Debug, Clone, Copy)]
pub struct EngineSettings {
    /// Bytes that all queries together may hold (DataFusion's memory pool).
    pub memory_bytes: u64,
    /// Partitions of a plan; usually the CPU threads.
    pub threads: usize,
}

/// Values for `$1`, `$2` ...
#[derive(Debug, Clone, Default)]
pub enum Parameters {
    /// Not known yet: plan for the schema only; running is an error if the text has parameters.
    #[default]
    Unknown,
    /// Known, first is `$1`.
    Values(Vec<ScalarValue>),
}

/// Text in, batches out. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    context: SessionContext,
    catalog: Arc<Catalog>,
}

/// A statement that is planned and not yet run. Planning reads no chunk.
#[derive(Clone)]
pub struct Prepared {
    schema: SchemaRef,
    parameters: SchemaRef,
    plan: LogicalPlan,
    context: SessionContext,
}

impl Engine {
    /// An engine over a catalog and a reader of its tiles.
    pub fn new(catalog: Arc<Catalog>, _reader: Reader, _settings: EngineSettings) -> Result<Engine, QueryError> {
        Ok(Engine { context: SessionContext::new(), catalog })
    }

    /// The catalog that it asks.
    pub fn catalog(&self) -> &Arc<Catalog> {
        &self.catalog
    }

    /// Parses, binds and plans one statement: SQL, the array dialect, or a cube statement.
    pub async fn prepare(&self, text: &str, _form: Form, _parameters: Parameters) -> Result<Prepared, QueryError> {
        let plan = self.context.state().create_logical_plan(text).await.map_err(|e| QueryError::new(ErrorKind::User, e.to_string()))?;
        Ok(Prepared {
            schema: Arc::new(plan.schema().as_arrow().clone()),
            parameters: Arc::new(Schema::empty()),
            plan,
            context: self.context.clone(),
        })
    }
}

impl Prepared {
    /// Schema of the answer, with `graticule.axes` in its metadata in array form.
    pub fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    /// The parameters `$1`... with the types that they were inferred to have (`Null` where unknown).
    pub fn parameter_schema(&self) -> SchemaRef {
        self.parameters.clone()
    }

    /// True for a statement with an effect (CREATE CUBE ...): run it exactly once.
    pub fn has_effect(&self) -> bool {
        false
    }

    /// Runs it. Dropping the stream cancels the work. `progress` is told about indexing.
    pub async fn run(&self, _progress: Arc<dyn Progress>) -> Result<SendableRecordBatchStream, QueryError> {
        let fail = |e: datafusion::error::DataFusionError| QueryError::new(ErrorKind::Internal, e.to_string());
        self.context.execute_logical_plan(self.plan.clone()).await.map_err(fail)?.execute_stream().await.map_err(fail)
    }
}
