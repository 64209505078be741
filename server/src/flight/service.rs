//! The Flight SQL service: each message to what it means. The work itself is in `statement`, `answer` and `metadata`.

use std::pin::Pin;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::ipc::writer::IpcWriteOptions;
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::error::FlightError;
use arrow_flight::flight_service_server::FlightService;
use arrow_flight::sql::server::{FlightSqlService, PeekableFlightDataStream};
use arrow_flight::sql::{
    ActionCancelQueryRequest, ActionCancelQueryResult, ActionClosePreparedStatementRequest, ActionCreatePreparedStatementRequest,
    ActionCreatePreparedStatementResult, Any, Command, CommandGetCatalogs, CommandGetCrossReference, CommandGetDbSchemas,
    CommandGetExportedKeys, CommandGetImportedKeys, CommandGetPrimaryKeys, CommandGetSqlInfo, CommandGetTableTypes, CommandGetTables,
    CommandGetXdbcTypeInfo, CommandPreparedStatementQuery, CommandPreparedStatementUpdate, CommandStatementQuery, CommandStatementUpdate,
    DoPutPreparedStatementResult, SqlInfo, TicketStatementQuery,
};
use arrow_flight::{
    Action, ActionType, CancelFlightInfoRequest, CancelFlightInfoResult, CancelStatus, FlightDescriptor, FlightEndpoint, FlightInfo,
    HandshakeRequest, HandshakeResponse, IpcMessage, SchemaAsIpc, Ticket,
};
use futures::{Stream, StreamExt, TryStreamExt, stream};
use graticule_query::{Form, Parameters};
use prost::Message;
use tonic::{Request, Response, Status, Streaming};

use super::answer::Part;
use super::door::role_of;
use super::metadata;
use super::pending::{Pending, Table, Work};
use super::sizing::travelling;
use super::statement::{Caller, Planner, Statement, form_of};
use super::status;
use crate::access::gate::only_admin;
use crate::pool::bulk::ShareTicket;
use crate::pool::{Pool, service as pool};

/// The stream of a `DoGet` answer.
type Data = Pin<Box<dyn Stream<Item = Result<arrow_flight::FlightData, Status>> + Send>>;

/// Name of the action that cancels a query by its flight info.
const CANCEL_FLIGHT_INFO: &str = "CancelFlightInfo";

/// `CANCEL_RESULT_CANCELLED` of `FlightSql.proto`, which arrow-flight does not name in public.
const CANCELLED: i32 = 1;

/// Bytes of parameters that one binding may bring.
const MOST_PARAMETER_BYTES: usize = 64 << 20;

/// The Flight SQL service of one database.
pub struct Service {
    planner: Planner,
    pending: Table<Pending>,
    prepared: Table<Statement>,
}

impl Service {
    /// A service without tickets.
    pub fn new(planner: Planner) -> Service {
        Service { planner, pending: Table::new(), prepared: Table::lasting() }
    }

    /// The nodes of this server.
    pub fn pool(&self) -> &Pool {
        &self.planner.runner.pool
    }

    fn statement(&self, handle: &[u8]) -> Result<Statement, Status> {
        self.prepared
            .get(handle)
            .ok_or_else(|| Status::not_found("this prepared statement is not known: it was closed, or the server was started again since"))
    }

    /// The schema of the answer to a command, without running it.
    pub async fn schema_of(&self, command: Command, form: Option<Form>) -> Result<SchemaRef, Status> {
        let (text, form) = match &command {
            Command::CommandStatementQuery(query) => (Arc::from(query.query.as_str()), form.unwrap_or_default()),
            Command::CommandPreparedStatementQuery(query) => {
                let statement = self.statement(&query.prepared_statement_handle)?;
                (statement.text, form.unwrap_or(statement.form))
            }
            _ => return Ok(self.describe(command).await?.schema()),
        };
        let prepared = self.planner.plan(&text, form, Parameters::Unknown).await?;
        Ok(travelling(&prepared.schema()))
    }

    /// The answer to a command that asks about the server.
    async fn describe(&self, command: Command) -> Result<RecordBatch, Status> {
        let engine = self.planner.database.engine();
        match command {
            Command::CommandGetCatalogs(_) => metadata::catalogs(),
            Command::CommandGetDbSchemas(command) => metadata::schemas(command),
            Command::CommandGetTables(command) => {
                let engine = engine.clone();
                self.planner.runner.on_workers(async move { metadata::tables(&engine, command).await }).await
            }
            Command::CommandGetTableTypes(_) => metadata::table_types(),
            Command::CommandGetSqlInfo(command) => metadata::sql_info(command),
            Command::CommandGetXdbcTypeInfo(command) => metadata::xdbc_types(command),
            Command::CommandGetPrimaryKeys(command) => metadata::primary_keys(engine, &command),
            Command::CommandGetExportedKeys(_) | Command::CommandGetImportedKeys(_) | Command::CommandGetCrossReference(_) => {
                Ok(metadata::foreign_keys())
            }
            other => Err(Status::unimplemented(format!("{} is not supported", other.type_url()))),
        }
    }

    /// Flight info whose ticket is the command itself: descriptions are small and made when fetched.
    async fn described(&self, command: Command, request: Request<FlightDescriptor>) -> Result<Response<FlightInfo>, Status> {
        let ticket = command.clone().into_any().encode_to_vec();
        let schema = self.describe(command).await?.schema();
        info(&schema, vec![FlightEndpoint::new().with_ticket(Ticket::new(ticket))], request.into_inner())
    }

    /// A description as an answer.
    async fn description(&self, command: Command) -> Result<Response<Data>, Status> {
        let batch = self.describe(command).await?;
        let schema = batch.schema();
        Ok(Response::new(encoded(schema, vec![batch])))
    }

    /// Plans and keeps a statement; its flight info holds the ticket.
    async fn planned(
        &self,
        text: &str,
        form: Form,
        rows: &[Vec<datafusion::common::ScalarValue>],
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let kept = self.planner.keep(&self.pending, text, form, rows, Caller::of(&request)).await?;
        info(&kept.schema, kept.endpoints, request.into_inner())
    }

    /// Ends the query of a flight info.
    fn cancel(&self, info: &FlightInfo) -> Result<(), Status> {
        let mut found = false;
        for ticket in info.endpoint.iter().filter_map(|endpoint| endpoint.ticket.as_ref()) {
            let any = Any::decode(ticket.ticket.as_ref()).map_err(|e| Status::invalid_argument(format!("ticket: {e}")))?;
            if let Ok(Command::TicketStatementQuery(ticket)) = Command::try_from(any) {
                let share = ShareTicket::read(&ticket.statement_handle);
                let query = share.map_or(ticket.statement_handle, |share| share.query.as_bytes().to_vec().into());
                if self.pending.cancel(&query) {
                    found = true;
                    share.into_iter().for_each(|share| self.pool().cancelled_bulk(share.query));
                }
            }
        }
        if found { Ok(()) } else { Err(Status::not_found("no query with this ticket is waiting or running")) }
    }

    /// Reads the parameters that a client binds.
    async fn bound(&self, statement: &Statement, data: PeekableFlightDataStream) -> Result<(), Status> {
        let mut batches = FlightRecordBatchStream::new_from_flight_data(data.map_err(|status| FlightError::Tonic(Box::new(status))));
        let (mut gathered, mut bytes) = (vec![], 0usize);
        while let Some(batch) = batches.next().await {
            let batch = batch.map_err(|e| match e {
                FlightError::Tonic(status) => *status,
                other => Status::invalid_argument(format!("parameters: {other}")),
            })?;
            bytes = bytes.saturating_add(batch.get_array_memory_size());
            if bytes > MOST_PARAMETER_BYTES {
                return Err(Status::invalid_argument(format!("more than {MOST_PARAMETER_BYTES} bytes of parameters were bound")));
            }
            gathered.push(batch);
        }
        statement.bind(&gathered)
    }
}

/// Flight info of an answer that is fetched at these places.
fn info(schema: &Schema, endpoints: Vec<FlightEndpoint>, descriptor: FlightDescriptor) -> Result<Response<FlightInfo>, Status> {
    let info = FlightInfo::new().try_with_schema(schema).map_err(status::internal)?;
    Ok(Response::new(endpoints.into_iter().fold(info.with_descriptor(descriptor), FlightInfo::with_endpoint)))
}

/// A schema as prepared statements carry it.
fn schema_bytes(schema: &Schema) -> Result<prost::bytes::Bytes, Status> {
    let IpcMessage(bytes) = SchemaAsIpc::new(schema, &IpcWriteOptions::default()).try_into().map_err(status::internal)?;
    Ok(bytes)
}

/// Batches that are there, as an answer.
fn encoded(schema: SchemaRef, batches: Vec<RecordBatch>) -> Data {
    let batches = stream::iter(batches.into_iter().map(Ok));
    FlightDataEncoderBuilder::new().with_schema(schema).build(batches).map_err(status::from_flight).boxed()
}

#[tonic::async_trait]
impl FlightSqlService for Service {
    type FlightService = Service;

    /// The door has asked who calls, and adds to the answer what the client shows from now on.
    async fn do_handshake(
        &self,
        _request: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<Pin<Box<dyn Stream<Item = Result<HandshakeResponse, Status>> + Send>>>, Status> {
        let welcome = HandshakeResponse { protocol_version: 0, payload: prost::bytes::Bytes::new() };
        Ok(Response::new(stream::iter([Ok(welcome)]).boxed()))
    }

    async fn get_flight_info_statement(
        &self,
        query: CommandStatementQuery,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let form = form_of(request.metadata())?.unwrap_or_default();
        self.planned(&query.query, form, &[vec![]], request).await
    }

    async fn get_flight_info_prepared_statement(
        &self,
        query: CommandPreparedStatementQuery,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let statement = self.statement(&query.prepared_statement_handle)?;
        let form = form_of(request.metadata())?.unwrap_or(statement.form);
        self.planned(&statement.text, form, &statement.parameter_rows(), request).await
    }

    async fn do_get_statement(&self, ticket: TicketStatementQuery, _request: Request<Ticket>) -> Result<Response<Data>, Status> {
        self.planner.runner.limits.open()?;
        let share = ShareTicket::read(&ticket.statement_handle);
        let pending = self.pending.find(share.as_ref().map_or(&ticket.statement_handle, |share| share.query.as_bytes()))?;
        let cancelled = pending.cancelled();
        let stream = |parts| self.planner.runner.stream(parts, pending.schema.clone(), cancelled).boxed();
        Ok(Response::new(match (pending.work, share) {
            (Work::Bulk(bulk), Some(share)) => stream(vec![Part::Share(bulk, share.share)]),
            (Work::Bulk(bulk), None) => stream(bulk.shares().map(|share| Part::Share(bulk.clone(), share)).collect()),
            (_, Some(_)) => return Err(Status::not_found("this answer has no shares")),
            (Work::Planned(statements), None) => stream(statements.into_iter().map(Part::Statement).collect()),
            (Work::Held(batches), None) => encoded(pending.schema, batches.to_vec()),
        }))
    }

    /// A prepared statement that is fetched by its handle instead of by a ticket.
    async fn do_get_prepared_statement(
        &self,
        query: CommandPreparedStatementQuery,
        request: Request<Ticket>,
    ) -> Result<Response<Data>, Status> {
        let statement = self.statement(&query.prepared_statement_handle)?;
        let form = form_of(request.metadata())?.unwrap_or(statement.form);
        let rows = statement.parameter_rows();
        let here = Caller { to_nodes: false, ..Caller::of(&request) };
        let kept = self.planner.keep(&self.pending, &statement.text, form, &rows, here).await?;
        let ticket = kept.endpoints.into_iter().find_map(|endpoint| endpoint.ticket).unwrap_or_default();
        let any = Any::decode(ticket.ticket).map_err(status::internal)?;
        let Ok(Command::TicketStatementQuery(ticket)) = Command::try_from(any) else {
            return Err(status::internal("a ticket of another kind"));
        };
        self.do_get_statement(ticket, request).await
    }

    async fn do_action_create_prepared_statement(
        &self,
        query: ActionCreatePreparedStatementRequest,
        request: Request<Action>,
    ) -> Result<ActionCreatePreparedStatementResult, Status> {
        let form = form_of(request.metadata())?.unwrap_or_default();
        let planned = self.planner.plan(&query.query, form, Parameters::Unknown).await?;
        let handle = self.prepared.insert(Statement::new(&query.query, form));
        Ok(ActionCreatePreparedStatementResult {
            prepared_statement_handle: handle.as_bytes().to_vec().into(),
            dataset_schema: schema_bytes(&travelling(&planned.schema()))?,
            parameter_schema: schema_bytes(&planned.parameter_schema())?,
        })
    }

    async fn do_action_close_prepared_statement(
        &self,
        query: ActionClosePreparedStatementRequest,
        _request: Request<Action>,
    ) -> Result<(), Status> {
        self.prepared.remove(&query.prepared_statement_handle);
        Ok(())
    }

    async fn do_put_prepared_statement_query(
        &self,
        query: CommandPreparedStatementQuery,
        request: Request<PeekableFlightDataStream>,
    ) -> Result<DoPutPreparedStatementResult, Status> {
        let statement = self.statement(&query.prepared_statement_handle)?;
        self.bound(&statement, request.into_inner()).await?;
        Ok(DoPutPreparedStatementResult { prepared_statement_handle: Some(query.prepared_statement_handle) })
    }

    async fn do_put_prepared_statement_update(
        &self,
        query: CommandPreparedStatementUpdate,
        request: Request<PeekableFlightDataStream>,
    ) -> Result<i64, Status> {
        let (statement, role) = (self.statement(&query.prepared_statement_handle)?, role_of(&request));
        self.bound(&statement, request.into_inner()).await?;
        self.planner.update(&statement.text, &statement.parameter_rows(), role).await
    }

    async fn do_put_statement_update(
        &self,
        update: CommandStatementUpdate,
        request: Request<PeekableFlightDataStream>,
    ) -> Result<i64, Status> {
        self.planner.update(&update.query, &[vec![]], role_of(&request)).await
    }

    async fn do_action_cancel_query(
        &self,
        query: ActionCancelQueryRequest,
        _request: Request<Action>,
    ) -> Result<ActionCancelQueryResult, Status> {
        let info = FlightInfo::decode(query.info).map_err(|e| Status::invalid_argument(format!("flight info: {e}")))?;
        self.cancel(&info)?;
        Ok(ActionCancelQueryResult { result: CANCELLED })
    }

    async fn do_action_fallback(&self, request: Request<Action>) -> Result<Response<<Self as FlightService>::DoActionStream>, Status> {
        if pool::is_action(&request.get_ref().r#type) {
            // Without a secret nodes are who could change everything anyway: others would get the plans of all.
            if !self.pool().has_secret() {
                only_admin(role_of(&request))?;
            }
            return Ok(Response::new(self.pool().action(request)?));
        }
        let action = request.into_inner();
        if action.r#type != CANCEL_FLIGHT_INFO {
            return Err(Status::unimplemented(format!("action `{}` is not supported", action.r#type)));
        }
        let request = CancelFlightInfoRequest::decode(action.body).map_err(|e| Status::invalid_argument(format!("flight info: {e}")))?;
        self.cancel(&request.info.unwrap_or_default())?;
        let result = CancelFlightInfoResult { status: CancelStatus::Cancelled.into() };
        Ok(Response::new(stream::iter([Ok(arrow_flight::Result { body: result.encode_to_vec().into() })]).boxed()))
    }

    async fn list_custom_actions(&self) -> Option<Vec<Result<ActionType, Status>>> {
        let description =
            "Cancels a query by its flight info.\nRequest Message: CancelFlightInfoRequest\nResponse Message: CancelFlightInfoResult";
        Some(vec![Ok(ActionType { r#type: CANCEL_FLIGHT_INFO.into(), description: description.into() })])
    }

    async fn get_flight_info_catalogs(&self, q: CommandGetCatalogs, r: Request<FlightDescriptor>) -> Result<Response<FlightInfo>, Status> {
        self.described(Command::CommandGetCatalogs(q), r).await
    }

    async fn get_flight_info_schemas(&self, q: CommandGetDbSchemas, r: Request<FlightDescriptor>) -> Result<Response<FlightInfo>, Status> {
        self.described(Command::CommandGetDbSchemas(q), r).await
    }

    async fn get_flight_info_tables(&self, q: CommandGetTables, r: Request<FlightDescriptor>) -> Result<Response<FlightInfo>, Status> {
        self.described(Command::CommandGetTables(q), r).await
    }

    async fn get_flight_info_table_types(
        &self,
        q: CommandGetTableTypes,
        r: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        self.described(Command::CommandGetTableTypes(q), r).await
    }

    async fn get_flight_info_sql_info(&self, q: CommandGetSqlInfo, r: Request<FlightDescriptor>) -> Result<Response<FlightInfo>, Status> {
        self.described(Command::CommandGetSqlInfo(q), r).await
    }

    async fn get_flight_info_primary_keys(
        &self,
        q: CommandGetPrimaryKeys,
        r: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        self.described(Command::CommandGetPrimaryKeys(q), r).await
    }

    async fn get_flight_info_exported_keys(
        &self,
        q: CommandGetExportedKeys,
        r: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        self.described(Command::CommandGetExportedKeys(q), r).await
    }

    async fn get_flight_info_imported_keys(
        &self,
        q: CommandGetImportedKeys,
        r: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        self.described(Command::CommandGetImportedKeys(q), r).await
    }

    async fn get_flight_info_cross_reference(
        &self,
        q: CommandGetCrossReference,
        r: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        self.described(Command::CommandGetCrossReference(q), r).await
    }

    async fn get_flight_info_xdbc_type_info(
        &self,
        q: CommandGetXdbcTypeInfo,
        r: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        self.described(Command::CommandGetXdbcTypeInfo(q), r).await
    }

    async fn do_get_catalogs(&self, q: CommandGetCatalogs, _: Request<Ticket>) -> Result<Response<Data>, Status> {
        self.description(Command::CommandGetCatalogs(q)).await
    }

    async fn do_get_schemas(&self, q: CommandGetDbSchemas, _: Request<Ticket>) -> Result<Response<Data>, Status> {
        self.description(Command::CommandGetDbSchemas(q)).await
    }

    async fn do_get_tables(&self, q: CommandGetTables, _: Request<Ticket>) -> Result<Response<Data>, Status> {
        self.description(Command::CommandGetTables(q)).await
    }

    async fn do_get_table_types(&self, q: CommandGetTableTypes, _: Request<Ticket>) -> Result<Response<Data>, Status> {
        self.description(Command::CommandGetTableTypes(q)).await
    }

    async fn do_get_sql_info(&self, q: CommandGetSqlInfo, _: Request<Ticket>) -> Result<Response<Data>, Status> {
        self.description(Command::CommandGetSqlInfo(q)).await
    }

    async fn do_get_primary_keys(&self, q: CommandGetPrimaryKeys, _: Request<Ticket>) -> Result<Response<Data>, Status> {
        self.description(Command::CommandGetPrimaryKeys(q)).await
    }

    async fn do_get_exported_keys(&self, q: CommandGetExportedKeys, _: Request<Ticket>) -> Result<Response<Data>, Status> {
        self.description(Command::CommandGetExportedKeys(q)).await
    }

    async fn do_get_imported_keys(&self, q: CommandGetImportedKeys, _: Request<Ticket>) -> Result<Response<Data>, Status> {
        self.description(Command::CommandGetImportedKeys(q)).await
    }

    async fn do_get_cross_reference(&self, q: CommandGetCrossReference, _: Request<Ticket>) -> Result<Response<Data>, Status> {
        self.description(Command::CommandGetCrossReference(q)).await
    }

    async fn do_get_xdbc_type_info(&self, q: CommandGetXdbcTypeInfo, _: Request<Ticket>) -> Result<Response<Data>, Status> {
        self.description(Command::CommandGetXdbcTypeInfo(q)).await
    }

    async fn register_sql_info(&self, _id: i32, _result: &SqlInfo) {}
}
