//! The engine: one DataFusion session set up for cubes. Everything is registered here and nowhere else.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::{CatalogProvider, MemoryCatalogProvider, TableFunctionImpl};
use datafusion::common::ScalarValue;
use datafusion::error::DataFusionError;
use datafusion::execution::memory_pool::{GreedyMemoryPool, TrackConsumersPool};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::{FunctionRegistry, SendableRecordBatchStream, SessionState, SessionStateBuilder};
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::{Analyzer, AnalyzerRule, Optimizer};
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::physical_plan::{EmptyRecordBatchStream, ExecutionPlan};
use datafusion::prelude::{SessionConfig, SessionContext};
use graticule_grammar::{Desugared, Statement};
use graticule_storage::catalog::{Catalog, Progress};
use graticule_storage::read::Reader;

use crate::bind::arithmetic::CubeArithmetic;
use crate::bind::calendars::CalendarTimes;
use crate::bind::subset::SubsetPlanner;
use crate::bind::{align, around, statements, views};
use crate::catalog::CubeSchema;
use crate::dense::admission;
use crate::geometry::tables::{Format, GeometryTables};
use crate::optimizer::{self, DenseOptions};
use crate::result::array;
use crate::views::ViewChange;
use crate::{ErrorKind, Form, QueryError, explain, functions, geometry, plan};

/// Name of the catalog and schema in which cubes stand.
const CATALOG: &str = "graticule";
const SCHEMA: &str = "public";
/// Consumers that an error about memory names.
const NAMED_CONSUMERS: std::num::NonZeroUsize = std::num::NonZeroUsize::MIN.saturating_add(4);

/// Limits of the engine.
#[derive(Debug, Clone, Copy)]
pub struct EngineSettings {
    /// Bytes that all queries together may hold (DataFusion's memory pool).
    pub memory_bytes: u64,
    /// CPU threads.
    pub threads: usize,
}

impl EngineSettings {
    /// Partitions of a plan: half as many more than threads, so that a thread finds work while other partitions wait for bytes.
    fn partitions(self) -> usize {
        let threads = self.threads.max(1);
        threads + threads.div_ceil(2)
    }
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
    pub(crate) context: SessionContext,
    catalog: Arc<Catalog>,
    pub(crate) cubes: Arc<CubeSchema>,
}

/// A statement that is planned and not yet run. Planning reads no chunk.
#[derive(Clone)]
pub struct Prepared {
    schema: SchemaRef,
    parameters: SchemaRef,
    work: Work,
    engine: Engine,
}

#[derive(Clone)]
enum Work {
    /// A cube statement.
    Statement(Box<Statement>),
    /// A query.
    Query { plan: Arc<dyn ExecutionPlan>, text: Arc<Desugared>, asked: Arc<Asked> },
    /// EXPLAIN of a query.
    Explain { analyze: bool, plan: Arc<dyn ExecutionPlan>, text: Arc<Desugared>, asked: Arc<Asked> },
    /// `CREATE VIEW` and `DROP VIEW`.
    View(Arc<ViewChange>),
    /// `SET` and the like.
    Session { plan: Box<LogicalPlan>, text: Arc<Desugared> },
    /// A query whose parameters have no values yet.
    Unbound,
}

impl Engine {
    /// An engine over a catalog and a reader of its tiles.
    pub fn new(catalog: Arc<Catalog>, reader: Reader, settings: EngineSettings) -> Result<Engine, QueryError> {
        let internal = |e: DataFusionError| QueryError::new(ErrorKind::Internal, e.to_string());
        let mut config = SessionConfig::new()
            .with_target_partitions(settings.partitions())
            .with_batch_size(16 * 1024)
            .with_information_schema(true)
            .with_default_catalog_and_schema(CATALOG, SCHEMA)
            .with_create_default_catalog_and_schema(false)
            .with_option_extension(DenseOptions { block_bytes: block_bytes(&settings), ..DenseOptions::default() });
        // Leaves size themselves; see ARCHITECTURE.md, decisions.
        config.options_mut().optimizer.enable_round_robin_repartition = false;
        config.options_mut().optimizer.prefer_existing_sort = false;
        config.options_mut().sql_parser.collect_spans = true;
        let memory = usize::try_from(settings.memory_bytes).unwrap_or(usize::MAX);
        let pool = TrackConsumersPool::new(GreedyMemoryPool::new(memory), NAMED_CONSUMERS);
        let runtime = RuntimeEnvBuilder::new().with_memory_pool(Arc::new(pool)).build_arc().map_err(internal)?;
        let mut analyzer: Vec<Arc<dyn AnalyzerRule + Send + Sync>> = vec![Arc::new(CalendarTimes)];
        analyzer.extend(Analyzer::new().rules);
        let mut rules = optimizer::rules();
        rules.extend(PhysicalOptimizer::new().rules);
        // count(DISTINCT v) stays one aggregate, so that it can run dense; as two, the inner one would be keyed by values.
        let mut logical = Optimizer::new().rules;
        logical.retain(|rule| rule.name() != "single_distinct_aggregation_to_group_by");
        let mut builder = SessionStateBuilder::new();
        for (word, format) in Format::ALL {
            builder = builder.with_table_factory(word.into(), Arc::new(GeometryTables::new(format, catalog.clone())));
        }
        let mut state = builder
            .with_config(config)
            .with_runtime_env(runtime)
            .with_default_features()
            .with_optimizer_rules(logical)
            .with_analyzer_rules(analyzer)
            .with_physical_optimizer_rules(rules)
            .build();
        state.register_expr_planner(Arc::new(CubeArithmetic)).map_err(internal)?;
        let cubes = Arc::new(CubeSchema::new(catalog.clone(), reader));
        let provider = MemoryCatalogProvider::new();
        provider.register_schema(SCHEMA, cubes.clone()).map_err(internal)?;
        let context = SessionContext::new_with_state(state);
        context.register_catalog(CATALOG, Arc::new(provider));
        for function in functions::scalar_functions() {
            context.register_udf(function.as_ref().clone());
        }
        for function in functions::aggregate_functions() {
            context.register_udaf(function.as_ref().clone());
        }
        for function in functions::window_functions() {
            context.register_udwf(function.as_ref().clone());
        }
        Ok(Engine { context, catalog, cubes })
    }

    /// The catalog that it asks.
    pub fn catalog(&self) -> &Arc<Catalog> {
        &self.catalog
    }

    /// Bytes that running queries have reserved.
    pub fn memory_used(&self) -> usize {
        self.context.runtime_env().memory_pool.reserved()
    }

    /// Parses, binds and plans one statement: SQL, the array dialect, or a cube statement.
    pub async fn prepare(&self, text: &str, form: Form, parameters: Parameters) -> Result<Prepared, QueryError> {
        let statement = graticule_grammar::parse(text)?;
        match statement {
            Statement::Query(query) => self.query(query, form, parameters, None).await,
            Statement::Explain { analyze, query, .. } => self.query(query, form, parameters, Some(analyze)).await,
            Statement::Copy { .. } => Err(QueryError::new(
                ErrorKind::Unsupported,
                "COPY ... TO is not supported yet; fetch the answer with a client and write it there (xarray: to_netcdf, to_zarr)",
            )),
            statement => match statements::schema(&statement) {
                Some(schema) => Ok(self.prepared(schema, Work::Statement(Box::new(statement)))),
                None => Err(QueryError::new(ErrorKind::Internal, "a statement that nothing runs")),
            },
        }
    }

    fn prepared(&self, schema: SchemaRef, work: Work) -> Prepared {
        Prepared { schema, parameters: Arc::new(Schema::empty()), work, engine: self.clone() }
    }

    async fn query(&self, text: Desugared, form: Form, parameters: Parameters, explain: Option<bool>) -> Result<Prepared, QueryError> {
        let state = self.state(&parameters);
        self.query_in(state, Arc::new(text), form, parameters, explain).await
    }

    /// The same in a session's state that is there.
    pub(crate) async fn query_in(
        &self,
        state: SessionState,
        text: Arc<Desugared>,
        form: Form,
        parameters: Parameters,
        explain: Option<bool>,
    ) -> Result<Prepared, QueryError> {
        let failed = |e| self.error(e, &text);
        let mut statement = state.sql_to_statement(&text.sql, &state.config_options().sql_parser.dialect).map_err(failed)?;
        if let Some(statement) = views::statement(&statement).map_err(|e| e.located(&text))? {
            if explain.is_some() {
                return Err(QueryError::user("EXPLAIN takes a query"));
            }
            let change = self.view_change(&state, statement, &text).await?;
            return Ok(self.prepared(Arc::new(Schema::empty()), Work::View(Arc::new(change))));
        }
        if plan::asks_about_tables(&statement) {
            self.describe_views(&state).await;
        }
        plan::rewrite(&mut statement, &self.cubes, &text, &parameters)?;
        plan::check_allowed(&statement)?;
        let (logical, types) = self.logical(&state, statement, &parameters).await.map_err(failed)?;
        let unbound = !types.fields().is_empty() && matches!(parameters, Parameters::Unknown);
        let mut prepared = if plan::is_session_statement(&logical) {
            let schema = Arc::new(Schema::empty());
            self.prepared(schema, Work::Session { plan: Box::new(logical), text: text.clone() })
        } else if unbound {
            self.prepared(Arc::new(logical.schema().as_arrow().clone()), Work::Unbound)
        } else {
            let physical = match form {
                Form::Rows => state.create_physical_plan(&logical).await,
                Form::Array => array::plan(&state, &logical).await,
            };
            let plan = physical.map_err(failed)?;
            let began = state.execution_props().query_execution_start_time;
            let asked = Arc::new(Asked { form, parameters, began });
            match explain {
                None => self.prepared(plan.schema(), Work::Query { plan, text: text.clone(), asked }),
                Some(analyze) => self.prepared(explain::schema(), Work::Explain { analyze, plan, text: text.clone(), asked }),
            }
        };
        prepared.parameters = types;
        Ok(prepared)
    }

    /// The logical plan of a statement whose names are resolved, and its parameters.
    pub(crate) async fn logical(
        &self,
        state: &SessionState,
        statement: datafusion::sql::parser::Statement,
        parameters: &Parameters,
    ) -> Result<(LogicalPlan, SchemaRef), DataFusionError> {
        let logical = state.statement_to_plan(statement).await?;
        let types = parameter_schema(&logical)?;
        let logical = match parameters {
            Parameters::Values(values) if !values.is_empty() => logical.with_param_values(values.clone())?,
            _ => logical,
        };
        let unbound = !types.fields().is_empty() && matches!(parameters, Parameters::Unknown);
        let fixed = !unbound && !plan::is_session_statement(&logical);
        let logical = if fixed { functions::coarsen::bind(logical)? } else { logical };
        let logical = around::bind(align::bind(logical)?, state)?;
        let logical = if fixed { geometry::cell::bind(logical)? } else { logical };
        Ok((logical, types))
    }

    /// The memory and files that queries share.
    pub fn runtime(&self) -> Arc<RuntimeEnv> {
        self.context.runtime_env()
    }

    /// Caches, CPU threads and what was read.
    pub fn reader(&self) -> &Reader {
        self.cubes.reader()
    }

    /// Makes a function that gives a table known to queries: `SELECT * FROM name()`.
    pub fn register_table_function(&self, name: &str, function: Arc<dyn TableFunctionImpl>) {
        self.context.register_udtf(name, function);
    }

    /// The session's state for one query: with its parameters, and the time at which it began.
    pub(crate) fn state(&self, parameters: &Parameters) -> SessionState {
        let planner = SubsetPlanner { parameters: parameters.clone(), cubes: self.cubes.clone() };
        let mut state = self.context.state();
        let options = state.config_options().clone();
        state.execution_props_mut().mark_start_execution(options);
        // The only error is that of a build without SQL.
        let _ = state.register_relation_planner(Arc::new(planner));
        state
    }

    pub(crate) fn error(&self, error: DataFusionError, text: &Desugared) -> QueryError {
        explain::readable(error, text, &self.catalog)
    }
}

/// How a query was asked, beside its text.
pub(crate) struct Asked {
    /// How the answer is laid out.
    pub form: Form,
    /// `$1`, `$2` ...
    pub parameters: Parameters,
    /// What `now()` is.
    pub began: Option<DateTime<Utc>>,
}

/// A half of the memory, shared by the partitions; the other half is for tiles and answers.
fn block_bytes(settings: &EngineSettings) -> usize {
    usize::try_from(settings.memory_bytes).unwrap_or(usize::MAX) / (2 * settings.partitions())
}

/// `$1`... with the types that the plan infers for them.
fn parameter_schema(plan: &LogicalPlan) -> Result<SchemaRef, DataFusionError> {
    let mut types: Vec<(String, Option<DataType>)> = plan.get_parameter_types()?.into_iter().collect();
    types.sort_by_key(|(name, _)| name.trim_start_matches('$').parse::<u32>().unwrap_or(u32::MAX));
    let fields: Vec<Field> = types.into_iter().map(|(name, t)| Field::new(name, t.unwrap_or(DataType::Null), true)).collect();
    Ok(Arc::new(Schema::new(fields)))
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

    /// The text of a query, also of one to be explained, as typed; `None` for other statements.
    pub fn text(&self) -> Option<&str> {
        self.as_query().map(|(_, text, _)| text.text())
    }

    /// What is asked of a query that is to be explained: whether to run it. `None` for other statements.
    pub fn explains(&self) -> Option<bool> {
        match &self.work {
            Work::Explain { analyze, .. } => Some(*analyze),
            _ => None,
        }
    }

    /// The plan of a query, also of one to be explained, its text, and how it was asked; `None` for other statements.
    pub(crate) fn as_query(&self) -> Option<(&Arc<dyn ExecutionPlan>, &Arc<Desugared>, &Asked)> {
        match &self.work {
            Work::Query { plan, text, asked } | Work::Explain { plan, text, asked, .. } => Some((plan, text, asked)),
            _ => None,
        }
    }

    /// The engine that planned it.
    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// True for a statement with an effect (CREATE CUBE ...): run it exactly once.
    pub fn has_effect(&self) -> bool {
        match &self.work {
            Work::Statement(s) => statements::has_effect(s),
            Work::Session { .. } | Work::View(_) => true,
            _ => false,
        }
    }

    /// Runs it. Dropping the stream cancels the work. `progress` is told about indexing.
    pub async fn run(&self, progress: Arc<dyn Progress>) -> Result<SendableRecordBatchStream, QueryError> {
        let context = &self.engine.context;
        match &self.work {
            Work::View(change) => {
                self.engine.change_view(change)?;
                Ok(Box::pin(EmptyRecordBatchStream::new(Arc::new(Schema::empty()))))
            }
            Work::Statement(statement) if self.engine.is_about_views(statement) => {
                Ok(explain::one_batch(self.engine.about_views(statement).await?))
            }
            Work::Statement(statement) => {
                let batch =
                    statements::run((**statement).clone(), &self.engine.catalog, self.engine.cubes.reader(), progress.as_ref()).await?;
                Ok(explain::one_batch(batch))
            }
            Work::Query { plan, text, .. } => {
                let plan = plan.clone().reset_state().map_err(|e| self.engine.error(e, text))?;
                admission::admit(&plan, &context.task_ctx())?;
                let stream = datafusion::physical_plan::execute_stream(plan, context.task_ctx());
                let stream = stream.map_err(|e| self.engine.error(e, text))?;
                Ok(explain::with_readable_errors(stream, self.engine.catalog.clone(), text.clone()))
            }
            Work::Explain { analyze, plan, text, .. } => {
                if *analyze {
                    admission::admit(plan, &context.task_ctx())?;
                }
                explain::run(*analyze, plan.clone(), context.task_ctx()).await.map_err(|e| self.engine.error(e, text))
            }
            Work::Session { plan, text } => {
                let done = context.execute_logical_plan((**plan).clone()).await;
                let frame = done.map_err(|e| self.engine.error(e, text))?;
                frame.execute_stream().await.map_err(|e| self.engine.error(e, text))
            }
            Work::Unbound => {
                let names: Vec<&str> = self.parameters.fields().iter().map(|f| f.name().as_str()).collect();
                Err(QueryError::user(format!("the statement has parameters without values: {}", names.join(", "))))
            }
        }
    }
}
