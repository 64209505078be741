//! The same query planned in several processes. A [`Recipe`] says all that planning depends on beside the catalog, so that engines
//! over equal catalogs make equal plans; a node of a plan then travels as its number in it ([`SharedPlan::encode`]), and a leaf
//! as its number and the tiles that are somebody's to do. Nothing here knows of sockets, or who the others are.

mod codec;
mod split;
mod units;

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::config::ConfigExtension;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, SessionState};
use datafusion::logical_expr::ScalarUDF;
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::placeholder_row::PlaceholderRowExec;
use graticule_grammar::{Desugared, Statement};

pub use split::{Splittable, Unit, splittable};

use crate::dense::{CubeExec, admission};
use crate::geometry::{join::ZonalJoinExec, sample_exec::SampleExec};
use crate::optimizer::DenseOptions;
use crate::result::ScatterExec;
use crate::{Engine, Form, Parameters, Prepared, QueryError, explain};

/// Fewest streams of a leaf that is shared out: with one, an operator that must see all rows could stand right on it.
const FEWEST_STREAMS: usize = 2;

/// What the plan of a query depends on, beside the catalog and the build.
#[derive(Debug, Clone, PartialEq)]
pub struct Recipe {
    /// The statement, as typed.
    pub text: String,
    /// How its answer is laid out.
    pub form: Form,
    /// The values of `$1`, `$2` ...
    pub parameters: Vec<ScalarValue>,
    /// What `now()` is.
    pub began: Option<DateTime<Utc>>,
    /// The session's settings.
    pub settings: Vec<(String, String)>,
}

/// A query planned from a [`Recipe`].
pub struct SharedPlan {
    /// The plan for one process.
    pub plan: Arc<dyn ExecutionPlan>,
    /// The session's state that it was made in, and runs in.
    pub state: SessionState,
    text: Arc<Desugared>,
    engine: Engine,
    /// The nodes of ours, parents first.
    ours: Vec<Arc<dyn ExecutionPlan>>,
}

impl std::fmt::Debug for SharedPlan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SharedPlan").field("text", &self.text.text()).finish_non_exhaustive()
    }
}

impl Prepared {
    /// What other processes need to plan this query, with leaves in `streams` streams each; `None` for statements that are no
    /// query and for queries that read no cube, or more than cubes.
    pub fn recipe(&self, streams: usize) -> Option<Recipe> {
        let (plan, text, asked) = self.as_query()?;
        if !reads_cubes_only(plan) {
            return None;
        }
        let Parameters::Values(parameters) = &asked.parameters else { return None };
        let mut settings: BTreeMap<String, String> =
            entries(&self.engine().context.state()).into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
        settings.insert("datafusion.execution.target_partitions".into(), streams.max(FEWEST_STREAMS).to_string());
        // What a scalar subquery finds is handed over inside one process only.
        settings.insert("datafusion.optimizer.enable_physical_uncorrelated_scalar_subquery".into(), "false".into());
        Some(Recipe {
            text: text.text().to_owned(),
            form: asked.form,
            parameters: parameters.clone(),
            began: asked.began,
            settings: settings.into_iter().collect(),
        })
    }

    /// True when both answer in the same columns.
    pub fn is_like(&self, shared: &SharedPlan) -> bool {
        self.as_query().is_some_and(|(plan, ..)| plan.schema().fields() == shared.plan.schema().fields())
    }

    /// Whether it would read so many stored bytes, from the index alone; what is no query reads none.
    pub fn reads(&self, least: u64) -> bool {
        let mut bytes = 0u64;
        if let Some((plan, ..)) = self.as_query() {
            let _ = plan.apply(|node| {
                bytes = bytes.saturating_add(splittable(node).map_or(0, |leaf| leaf.bytes_up_to(least.saturating_sub(bytes))));
                Ok(if bytes >= least { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
            });
        }
        bytes >= least
    }
}

/// The settings of a session as they can be set. DataFusion lists those of extensions without their prefix; ours is the only one.
fn entries(state: &SessionState) -> BTreeMap<String, Option<String>> {
    let full = |key: String| if key.contains('.') { key } else { format!("{}.{key}", DenseOptions::PREFIX) };
    state.config_options().entries().into_iter().map(|entry| (full(entry.key), entry.value)).collect()
}

/// True when every leaf is a cube (or nothing), and no table of this process alone hides in one.
fn reads_cubes_only(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let mut cubes = 0;
    let mut others = false;
    let _ = plan.apply(|node| {
        if let Some(leaf) = node.downcast_ref::<CubeExec>() {
            cubes += 1;
            others |= leaf.plan.reduction.as_ref().is_some_and(|r| r.zonal.is_some());
        } else if node.children().is_empty() {
            others |= node.downcast_ref::<EmptyExec>().is_none() && node.downcast_ref::<PlaceholderRowExec>().is_none();
        }
        Ok(TreeNodeRecursion::Continue)
    });
    cubes > 0 && !others
}

fn is_ours(node: &Arc<dyn ExecutionPlan>) -> bool {
    node.downcast_ref::<CubeExec>().is_some()
        || node.downcast_ref::<ZonalJoinExec>().is_some()
        || node.downcast_ref::<SampleExec>().is_some()
        || node.downcast_ref::<ScatterExec>().is_some()
}

impl Engine {
    /// Plans a recipe. Reads no chunk.
    pub async fn shared(&self, recipe: &Recipe) -> std::result::Result<SharedPlan, QueryError> {
        let internal = |e: DataFusionError| QueryError::new(crate::ErrorKind::Internal, e.to_string());
        let (Statement::Query(text) | Statement::Explain { query: text, .. }) = graticule_grammar::parse(&recipe.text)? else {
            return Err(QueryError::user("only queries are shared"));
        };
        let parameters = Parameters::Values(recipe.parameters.clone());
        let mut state = self.state(&parameters);
        let mine = entries(&state);
        let options = state.config_mut().options_mut();
        for (key, value) in recipe.settings.iter().filter(|(key, value)| mine.get(key).and_then(Option::as_ref) != Some(value)) {
            options.set(key, value).map_err(internal)?;
        }
        let options = state.config_options().clone();
        let properties = state.execution_props_mut();
        properties.mark_start_execution(options);
        if let Some(began) = recipe.began {
            properties.query_execution_start_time = Some(began);
        }
        let prepared = self.query_in(state.clone(), Arc::new(text), recipe.form, parameters, None).await?;
        let Some((plan, text, _)) = prepared.as_query() else {
            return Err(QueryError::user("only queries are shared"));
        };
        let mut ours = Vec::new();
        let _ = plan.apply(|node| {
            if is_ours(node) {
                ours.push(node.clone());
            }
            Ok(TreeNodeRecursion::Continue)
        });
        Ok(SharedPlan { plan: plan.clone(), state, text: text.clone(), engine: self.clone(), ours })
    }
}

impl SharedPlan {
    /// True for a node that only [`SharedPlan::encode`] can encode.
    pub fn is_ours(node: &Arc<dyn ExecutionPlan>) -> bool {
        is_ours(node)
    }

    /// The scalar functions that stand in nodes that are not ours, by name: some know more than their name tells, such as the
    /// axis that they count on. An error names one that means two things.
    pub fn functions(&self) -> Result<Vec<Arc<ScalarUDF>>> {
        let mut found: BTreeMap<String, Arc<ScalarUDF>> = BTreeMap::new();
        self.plan.apply(|node| {
            if !is_ours(node) {
                node.apply_expressions(&mut |expr| note_functions(expr, &mut found))?;
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(found.into_values().collect())
    }

    /// An error when some part of the plan cannot fit into the memory of this process.
    pub fn admit(&self) -> std::result::Result<(), QueryError> {
        admission::admit(&self.plan, &self.state.task_ctx())
    }

    /// A stream of the plan's answer with errors as users should read them.
    pub fn readable(&self, stream: SendableRecordBatchStream) -> SendableRecordBatchStream {
        explain::with_readable_errors(stream, self.engine.catalog().clone(), self.text.clone())
    }

    /// An error as users should read it.
    pub fn error(&self, error: DataFusionError) -> QueryError {
        self.engine.error(error, &self.text)
    }
}

fn note_functions(expr: &Arc<dyn PhysicalExpr>, found: &mut BTreeMap<String, Arc<ScalarUDF>>) -> Result<TreeNodeRecursion> {
    if let Some(call) = expr.downcast_ref::<ScalarFunctionExpr>() {
        match found.get(call.name()) {
            Some(known) if known.as_ref() != call.fun() => {
                return datafusion::common::not_impl_err!("{} of two different kinds in operators of one plan", call.name());
            }
            Some(_) => {}
            None => {
                found.insert(call.name().to_owned(), Arc::new(call.fun().clone()));
            }
        }
    }
    expr.children().into_iter().try_for_each(|child| note_functions(child, found).map(drop))?;
    Ok(TreeNodeRecursion::Continue)
}
