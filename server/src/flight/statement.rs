//! Statements: planned when they are asked for, run when their ticket is fetched; those with an effect run once, at once.

use std::net::IpAddr;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow_flight::sql::{ProstMessageExt, TicketStatementQuery};
use arrow_flight::{FlightEndpoint, Ticket};
use datafusion::common::ScalarValue;
use graticule_query::{Form, Parameters, Prepared};
use parking_lot::Mutex;
use prost::Message;
use tonic::metadata::MetadataMap;
use tonic::{Request, Status};

use super::answer::Runner;
use super::door::role_of;
use super::pending::{Table, Work};
use super::sizing::travelling;
use super::status;
use crate::access::Role;
use crate::access::gate::only_admin;
use crate::database::Database;
use crate::metrics::Outcome;
use crate::pool::bulk::Bulk;

/// Header that asks for a form: `rows` or `array`.
pub const FORM_HEADER: &str = "graticule-form";

/// Header of a client that cannot reach nodes, or does not want to: its value is `one`.
const ENDPOINTS_HEADER: &str = "graticule-endpoints";

/// Longest text of a statement, bytes.
const LONGEST_TEXT: usize = 4 << 20;
/// Rows of parameters that one execution may bring.
const MOST_PARAMETER_ROWS: usize = 10_000;
/// Bytes of an answer of a statement with an effect that are held for its client.
const MOST_HELD_BYTES: usize = 64 << 20;

/// The form that a request asks for; `None` when it says nothing.
pub fn form_of(metadata: &MetadataMap) -> Result<Option<Form>, Status> {
    match metadata.get(FORM_HEADER).map(|value| value.to_str()) {
        None => Ok(None),
        Some(Ok("rows")) => Ok(Some(Form::Rows)),
        Some(Ok("array")) => Ok(Some(Form::Array)),
        Some(_) => Err(Status::invalid_argument(format!("header {FORM_HEADER}: only `rows` and `array` are known"))),
    }
}

/// Who asks for a statement.
#[derive(Debug, Clone, Copy)]
pub struct Caller {
    /// What it may do.
    pub role: Role,
    /// From where it calls.
    pub from: Option<IpAddr>,
    /// Whether it goes to nodes for what it asks for.
    pub to_nodes: bool,
}

impl Caller {
    /// The caller of an admitted request.
    pub fn of<T>(request: &Request<T>) -> Caller {
        let one = request.metadata().get(ENDPOINTS_HEADER).is_some_and(|value| value == "one");
        Caller { role: role_of(request), from: request.remote_addr().map(|address| address.ip()), to_nodes: !one }
    }
}

/// Rows of values for `$1`, `$2` ...
pub type ParameterRows = Arc<[Vec<ScalarValue>]>;

/// A prepared statement of a client.
#[derive(Clone)]
pub struct Statement {
    /// The text, as typed.
    pub text: Arc<str>,
    /// The form asked for when it was prepared.
    pub form: Form,
    /// The rows of parameters bound last; `None`: nothing was bound.
    pub bound: Arc<Mutex<Option<ParameterRows>>>,
}

impl Statement {
    /// A statement without bound parameters.
    pub fn new(text: &str, form: Form) -> Statement {
        Statement { text: text.into(), form, bound: Arc::default() }
    }

    /// The rows of parameters to run it with; one empty row when nothing is bound.
    pub fn parameter_rows(&self) -> ParameterRows {
        self.bound.lock().clone().unwrap_or_else(|| Arc::new([vec![]]))
    }

    /// Binds these rows of parameters in place of the ones before.
    pub fn bind(&self, batches: &[RecordBatch]) -> Result<(), Status> {
        let rows = parameter_rows(batches)?;
        // A client that binds a schema and no rows binds nothing.
        let bound = if batches.iter().all(|b| b.num_columns() == 0) { None } else { Some(rows.into()) };
        *self.bound.lock() = bound;
        Ok(())
    }
}

/// The rows of parameters in batches: the first column is `$1`.
fn parameter_rows(batches: &[RecordBatch]) -> Result<Vec<Vec<ScalarValue>>, Status> {
    let count: usize = batches.iter().map(RecordBatch::num_rows).sum();
    if count > MOST_PARAMETER_ROWS {
        return Err(Status::invalid_argument(format!(
            "{count} rows of parameters were bound; at most {MOST_PARAMETER_ROWS} are taken at once"
        )));
    }
    let mut rows = Vec::with_capacity(count);
    for batch in batches {
        for row in 0..batch.num_rows() {
            let values: Result<Vec<ScalarValue>, _> =
                batch.columns().iter().map(|column| ScalarValue::try_from_array(column, row)).collect();
            rows.push(values.map_err(|e| Status::invalid_argument(format!("parameters: {e}")))?);
        }
    }
    Ok(rows)
}

/// A statement that waits for its client.
pub struct Kept {
    /// Where its answer is fetched.
    pub endpoints: Vec<FlightEndpoint>,
    /// The schema of its answer.
    pub schema: SchemaRef,
}

/// Plans and keeps statements.
pub struct Planner {
    /// The rooms behind the door.
    pub database: Arc<Database>,
    /// Where queries run.
    pub runner: Runner,
}

impl Planner {
    /// Plans a statement, on the query threads.
    pub async fn plan(&self, text: &str, form: Form, parameters: Parameters) -> Result<Prepared, Status> {
        let planned = self.planned(text, form, parameters).await;
        planned.inspect_err(|status| self.runner.metrics.ended(Outcome::of(status)))
    }

    async fn planned(&self, text: &str, form: Form, parameters: Parameters) -> Result<Prepared, Status> {
        self.runner.limits.open()?;
        if text.len() > LONGEST_TEXT {
            return Err(Status::invalid_argument(format!("the statement has {} bytes; at most {LONGEST_TEXT} are taken", text.len())));
        }
        let text = crate::pool::show::statement(text).unwrap_or_else(|| text.to_string());
        let engine = self.database.engine().clone();
        self.runner.on_workers(async move { engine.prepare(&text, form, parameters).await.map_err(|e| status::from_query(&e)) }).await
    }

    /// Plans a statement that a caller of this role may run.
    async fn plan_for(&self, role: Role, text: &str, form: Form, row: &[ScalarValue]) -> Result<Prepared, Status> {
        let prepared = self.plan(text, form, Parameters::Values(row.to_vec())).await?;
        if prepared.has_effect() {
            only_admin(role).inspect_err(|status| self.runner.metrics.ended(Outcome::of(status)))?;
        }
        Ok(prepared)
    }

    /// Plans a query whose answer its client is to fetch from nodes, where it is one and they do.
    async fn bulk(&self, prepared: &Prepared, form: Form, caller: Caller) -> Result<Option<Arc<Bulk>>, Status> {
        if form != Form::Array || !caller.to_nodes {
            return Ok(None);
        }
        let (pool, prepared, timeout) = (self.runner.pool.clone(), prepared.clone(), self.runner.limits.timeout());
        let planning = async move { pool.bulk(&prepared, caller.from, timeout).await.map_err(|e| status::from_query(&e)) };
        self.runner.on_workers(planning).await
    }

    /// Plans a statement once for each row of parameters and keeps it for its tickets. One with an effect is run now.
    pub async fn keep(
        &self,
        pending: &Table<super::pending::Pending>,
        text: &str,
        form: Form,
        rows: &[Vec<ScalarValue>],
        caller: Caller,
    ) -> Result<Kept, Status> {
        let mut planned = Vec::with_capacity(rows.len());
        let mut schema = None;
        for row in rows {
            let prepared = self.plan_for(caller.role, text, form, row).await?;
            schema.get_or_insert_with(|| travelling(&prepared.schema()));
            planned.push(prepared);
        }
        let schema = match schema {
            Some(schema) => schema,
            None => travelling(&self.plan(text, form, Parameters::Unknown).await?.schema()),
        };
        let work = if planned.iter().any(Prepared::has_effect) {
            let mut held = vec![];
            for statement in planned {
                held.extend(self.runner.collect(statement, MOST_HELD_BYTES).await?);
            }
            Work::Held(Arc::new(held))
        } else {
            if let [one] = planned.as_slice()
                && let Some(bulk) = self.bulk(one, form, caller).await?
            {
                pending.keep_bulk(bulk.clone(), schema.clone(), self.runner.limits.timeout());
                return Ok(Kept { endpoints: bulk.endpoints(), schema });
            }
            Work::Planned(planned)
        };
        let ticket = pending.keep(work, schema.clone());
        let ticket = TicketStatementQuery { statement_handle: ticket.as_bytes().to_vec().into() };
        let here = FlightEndpoint::new().with_ticket(Ticket::new(ticket.as_any().encode_to_vec()));
        Ok(Kept { endpoints: vec![here], schema })
    }

    /// Runs a statement for its effect, once for each row of parameters. Returns the number of rows of its answers, which
    /// nobody wants, for a query, and 0 for a statement with an effect.
    pub async fn update(&self, text: &str, rows: &[Vec<ScalarValue>], role: Role) -> Result<i64, Status> {
        let mut count = 0i64;
        for row in rows {
            let prepared = self.plan_for(role, text, Form::Rows, row).await?;
            let effect = prepared.has_effect();
            let batches = self.runner.collect(prepared, MOST_HELD_BYTES).await?;
            if !effect {
                count += batches.iter().map(|b| i64::try_from(b.num_rows()).unwrap_or(i64::MAX)).sum::<i64>();
            }
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int64Array, StringArray};

    use super::*;

    fn batch(n: i64) -> RecordBatch {
        let numbers = Arc::new(Int64Array::from_iter_values(0..n)) as ArrayRef;
        let text = Arc::new(StringArray::from_iter_values((0..n).map(|i| i.to_string()))) as ArrayRef;
        RecordBatch::try_from_iter([("a", numbers), ("b", text)]).unwrap()
    }

    #[test]
    fn the_first_column_is_the_first_parameter() {
        let statement = Statement::new("SELECT $1, $2", Form::Rows);
        assert_eq!(statement.parameter_rows().as_ref(), [vec![]]);
        statement.bind(&[batch(1), batch(2)]).unwrap();
        let rows = statement.parameter_rows();
        assert_eq!(rows.len(), 3);
        assert_eq!(rows[2], [ScalarValue::Int64(Some(1)), ScalarValue::Utf8(Some("1".into()))]);
    }

    #[test]
    fn no_rows_run_nothing_and_no_columns_bind_nothing() {
        let statement = Statement::new("SELECT 1", Form::Rows);
        statement.bind(&[batch(0)]).unwrap();
        assert!(statement.parameter_rows().is_empty());
        statement.bind(&[]).unwrap();
        assert_eq!(statement.parameter_rows().len(), 1);
    }

    #[test]
    fn too_many_rows_are_refused() {
        let statement = Statement::new("SELECT $1", Form::Rows);
        assert!(statement.bind(&[batch(10_001)]).unwrap_err().message().contains("10001"));
    }

    #[test]
    fn the_form_is_a_header() {
        let mut metadata = MetadataMap::new();
        assert_eq!(form_of(&metadata).unwrap(), None);
        metadata.insert(FORM_HEADER, "array".parse().unwrap());
        assert_eq!(form_of(&metadata).unwrap(), Some(Form::Array));
        metadata.insert(FORM_HEADER, "triangle".parse().unwrap());
        assert!(form_of(&metadata).is_err());
    }
}
