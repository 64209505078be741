//! The Flight SQL calls: a query's FlightInfo, its streams from every endpoint, updates, and prepared statements for parameters.

use std::sync::Arc;

use arrow::datatypes::Schema;
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::sql::{
    ActionClosePreparedStatementRequest, ActionCreatePreparedStatementRequest, ActionCreatePreparedStatementResult, Any,
    CommandPreparedStatementQuery, CommandStatementQuery, CommandStatementUpdate, DoPutPreparedStatementResult, DoPutUpdateResult,
    ProstMessageExt,
};
use arrow_flight::{Action, FlightData, FlightDescriptor, FlightEndpoint, FlightInfo, Ticket};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use prost::Message;
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Request, Status};

use crate::channel::{channel, is_secure};
use crate::options::Options;
use crate::value::{Value, to_batch};
use crate::wire::{FORM_ARRAY, FORM_HEADER};
use crate::{Batches, Error, Result};

/// Location that means "fetch it on the connection that you have" (Flight's specification).
const REUSE_CONNECTION: &str = "arrow-flight-reuse-connection://";

/// A FlightInfo carries every coordinate of irregular axes, and a batch some MiB; tonic's 4 MiB would refuse both.
const MAX_MESSAGE: usize = usize::MAX;

/// How an answer is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// One row per cell or group.
    Rows,
    /// One row per tile.
    Array,
}

/// Shows the token with every call.
#[derive(Debug, Clone)]
struct Credentials(Options);

impl Interceptor for Credentials {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0.authorization {
            request.metadata_mut().insert("authorization", value.clone());
        }
        Ok(request)
    }
}

/// An open HTTP/2 channel to one server.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    flight: FlightServiceClient<InterceptedService<Channel, Credentials>>,
    options: Options,
    secure: bool,
    url: Arc<str>,
}

impl Connection {
    /// Connects to `grpc://host:port` or `grpcs://host:port`.
    pub(crate) async fn open(url: &str, options: &Options) -> Result<Connection> {
        let channel = channel(url, options).await?;
        let flight = FlightServiceClient::with_interceptor(channel, Credentials(options.clone()));
        let flight = flight.max_decoding_message_size(MAX_MESSAGE).max_encoding_message_size(MAX_MESSAGE);
        Ok(Connection { flight, options: options.clone(), secure: is_secure(url)?, url: url.into() })
    }

    /// Connects to a place that the server named. A token that came over TLS is not sent on without it.
    async fn open_node(&self, url: &str) -> Result<Connection> {
        let readable = self.secure && !is_secure(url)?;
        let options = if readable { self.options.without_token() } else { self.options.clone() };
        Connection::open(url, &options).await
    }

    /// Plans a query on the server.
    pub(crate) async fn query(&self, text: &str, parameters: &[Value], form: Form) -> Result<FlightInfo> {
        let command = if parameters.is_empty() {
            CommandStatementQuery { query: text.to_owned(), transaction_id: None }.as_any()
        } else {
            let handle = self.prepare(text, form).await?;
            let bound = self.bind(&handle, parameters, form).await;
            let command = CommandPreparedStatementQuery { prepared_statement_handle: bound?.unwrap_or_else(|| handle.clone()) }.as_any();
            let info = self.flight_info(command.encode_to_vec(), form).await;
            // The ticket stands for itself; the server lets go of the statement. Its failure cannot change the answer.
            let closing = ActionClosePreparedStatementRequest { prepared_statement_handle: handle };
            let _ = self.action("ClosePreparedStatement", closing.as_any().encode_to_vec(), form).await;
            return info;
        };
        self.flight_info(command.encode_to_vec(), form).await
    }

    /// The streams of all endpoints: in order where the server says that order matters, else as they come.
    pub(crate) async fn fetch(&self, info: FlightInfo, form: Form) -> Result<Batches> {
        let ordered = info.ordered;
        let declared = if info.schema.is_empty() { None } else { Some(info.clone().try_decode_schema()?) };
        let mut streams = Vec::with_capacity(info.endpoint.len());
        for endpoint in info.endpoint {
            streams.push(self.endpoint_stream(endpoint, form).await?);
        }
        let schema = match declared {
            Some(schema) => Arc::new(schema),
            None => match streams.first_mut() {
                // The schema is the first message of every stream.
                Some(first) => first.known_schema().await?,
                None => Arc::new(Schema::empty()),
            },
        };
        let batches = streams.into_iter().map(|s| s.into_stream().boxed());
        if ordered {
            Ok(Batches::new(schema, stream::iter(batches).flatten()))
        } else {
            Ok(Batches::new(schema, stream::select_all(batches)))
        }
    }

    /// Runs a statement for its effect.
    pub(crate) async fn update(&self, text: &str) -> Result<Option<u64>> {
        let command = CommandStatementUpdate { query: text.to_owned(), transaction_id: None };
        let message = FlightData::new().with_descriptor(FlightDescriptor::new_cmd(command.as_any().encode_to_vec()));
        let mut results = self.flight.clone().do_put(stream::iter([message])).await?.into_inner();
        let Some(result) = results.message().await? else { return Ok(None) };
        let result = DoPutUpdateResult::decode(result.app_metadata).map_err(|e| Error::answer(e.to_string()))?;
        // Everything is done when the stream ends, also an error that comes late.
        while results.message().await?.is_some() {}
        Ok(u64::try_from(result.record_count).ok())
    }

    async fn flight_info(&self, command: Vec<u8>, form: Form) -> Result<FlightInfo> {
        let request = with_form(Request::new(FlightDescriptor::new_cmd(command)), form);
        Ok(self.flight.clone().get_flight_info(request).await?.into_inner())
    }

    async fn endpoint_stream(&self, endpoint: FlightEndpoint, form: Form) -> Result<EndpointStream> {
        let ticket = endpoint.ticket.ok_or_else(|| Error::answer("an endpoint has no ticket"))?;
        let here =
            endpoint.location.is_empty() || endpoint.location.iter().any(|l| l.uri.starts_with(REUSE_CONNECTION) || *l.uri == *self.url);
        let mut failed = None;
        if !here {
            for location in &endpoint.location {
                match Box::pin(self.open_node(&location.uri)).await {
                    Ok(node) => return node.do_get(ticket, form).await,
                    Err(e) => failed = Some(e),
                }
            }
        }
        match failed {
            Some(e) => Err(e),
            None => self.do_get(ticket, form).await,
        }
    }

    async fn do_get(&self, ticket: Ticket, form: Form) -> Result<EndpointStream> {
        let response = self.flight.clone().do_get(with_form(Request::new(ticket), form)).await?;
        let stream = FlightRecordBatchStream::new_from_flight_data(response.into_inner().map_err(Into::into));
        Ok(EndpointStream { first: None, stream })
    }

    async fn prepare(&self, text: &str, form: Form) -> Result<Bytes> {
        let request = ActionCreatePreparedStatementRequest { query: text.to_owned(), transaction_id: None };
        let body = self.action("CreatePreparedStatement", request.as_any().encode_to_vec(), form).await?;
        let body = body.ok_or_else(|| Error::answer("CreatePreparedStatement returned nothing"))?;
        let any = Any::decode(body).map_err(|e| Error::answer(e.to_string()))?;
        let result: Option<ActionCreatePreparedStatementResult> = any.unpack()?;
        Ok(result.ok_or_else(|| Error::answer("CreatePreparedStatement returned something else"))?.prepared_statement_handle)
    }

    /// Sends the parameters; a server without state answers with a new handle that holds them.
    async fn bind(&self, handle: &Bytes, parameters: &[Value], form: Form) -> Result<Option<Bytes>> {
        let command = CommandPreparedStatementQuery { prepared_statement_handle: handle.clone() };
        let batch = to_batch(parameters)?;
        let messages: Vec<FlightData> = FlightDataEncoderBuilder::new()
            .with_flight_descriptor(Some(FlightDescriptor::new_cmd(command.as_any().encode_to_vec())))
            .with_schema(batch.schema())
            .build(stream::iter([Ok(batch)]))
            .try_collect()
            .await?;
        let request = with_form(Request::new(stream::iter(messages)), form);
        let mut results = self.flight.clone().do_put(request).await?.into_inner();
        let Some(result) = results.message().await? else { return Ok(None) };
        let result = DoPutPreparedStatementResult::decode(result.app_metadata).map_err(|e| Error::answer(e.to_string()))?;
        Ok(result.prepared_statement_handle)
    }

    async fn action(&self, name: &str, body: Vec<u8>, form: Form) -> Result<Option<Bytes>> {
        let request = with_form(Request::new(Action { r#type: name.to_owned(), body: body.into() }), form);
        let mut results = self.flight.clone().do_action(request).await?.into_inner();
        Ok(results.message().await?.map(|r| r.body))
    }
}

/// One endpoint's answer, with room for a batch that was read early for its schema.
struct EndpointStream {
    first: Option<arrow::record_batch::RecordBatch>,
    stream: FlightRecordBatchStream,
}

impl EndpointStream {
    async fn known_schema(&mut self) -> Result<arrow::datatypes::SchemaRef> {
        self.first = self.stream.next().await.transpose()?;
        match (&self.first, self.stream.schema()) {
            (Some(batch), _) => Ok(batch.schema()),
            (None, Some(schema)) => Ok(schema.clone()),
            (None, None) => Err(Error::answer("a stream ended before its schema")),
        }
    }

    fn into_stream(self) -> impl futures::Stream<Item = Result<arrow::record_batch::RecordBatch>> {
        stream::iter(self.first.map(Ok)).chain(self.stream.map_err(Error::from))
    }
}

fn with_form<T>(mut request: Request<T>, form: Form) -> Request<T> {
    if form == Form::Array {
        request.metadata_mut().insert(FORM_HEADER, tonic::metadata::MetadataValue::from_static(FORM_ARRAY));
    }
    request
}
