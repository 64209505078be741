//! The Flight SQL calls: a query's FlightInfo, its streams from every endpoint, updates, and prepared statements for parameters.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

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
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use prost::Message;
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Request, Status};

use crate::channel::{channel, node_channel};
use crate::options::Options;
use crate::value::{Value, to_batch};
use crate::wire::{ENDPOINTS_HEADER, ENDPOINTS_ONE, FORM_ARRAY, FORM_HEADER};
use crate::{Batches, Error, Result, shares};

/// Location that means "fetch it on the connection that you have" (Flight's specification).
const REUSE_CONNECTION: &str = "arrow-flight-reuse-connection://";

/// A FlightInfo carries every coordinate of irregular axes, and a batch some MiB; tonic's 4 MiB would refuse both.
const MAX_MESSAGE: usize = usize::MAX;

/// For how long a server is asked for whole answers after one of its nodes could not be reached.
const AVOID_NODES: Duration = Duration::from_secs(60);

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
    url: Arc<str>,
    nodes: Arc<Mutex<Nodes>>,
}

/// Connections to the nodes of a server, by URL.
#[derive(Debug, Default)]
struct Nodes {
    open: HashMap<String, Connection>,
    /// When one was last found unreachable.
    unreached: Option<Instant>,
}

impl Connection {
    /// Connects to `grpc://host:port` or `grpcs://host:port`.
    pub(crate) async fn open(url: &str, options: &Options) -> Result<Connection> {
        Ok(Connection::over(channel(url, options).await?, url, options))
    }

    fn over(channel: Channel, url: &str, options: &Options) -> Connection {
        let flight = FlightServiceClient::with_interceptor(channel, Credentials(options.clone()));
        let flight = flight.max_decoding_message_size(MAX_MESSAGE).max_encoding_message_size(MAX_MESSAGE);
        Connection { flight, options: options.clone(), url: url.into(), nodes: Arc::default() }
    }

    /// The connection to a place that the server named. It is shown tickets, and no token: it does not know tokens.
    pub(crate) async fn node(&self, url: &str) -> Result<Connection> {
        let open = self.nodes().open.get(url).cloned();
        if let Some(node) = open {
            return Ok(node);
        }
        let options = self.options.without_token();
        let node = Connection::over(node_channel(url, &options).await?, url, &options);
        self.nodes().open.insert(url.to_owned(), node.clone());
        Ok(node)
    }

    /// For a while the server is asked for whole answers, for which it asks its nodes.
    pub(crate) fn cannot_reach(&self, url: &str) {
        let mut nodes = self.nodes();
        nodes.open.remove(url);
        nodes.unreached = Some(Instant::now());
    }

    fn nodes(&self) -> std::sync::MutexGuard<'_, Nodes> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The URLs of other places that have an endpoint's stream.
    pub(crate) fn nodes_of<'a>(&self, endpoint: &'a FlightEndpoint) -> impl Iterator<Item = &'a str> {
        endpoint.location.iter().map(|location| location.uri.as_str()).filter(|uri| !self.is_here(uri))
    }

    /// True when this server has the stream of an endpoint, too.
    pub(crate) fn has(&self, endpoint: &FlightEndpoint) -> bool {
        endpoint.location.is_empty() || endpoint.location.iter().any(|location| self.is_here(&location.uri))
    }

    fn is_here(&self, uri: &str) -> bool {
        uri.starts_with(REUSE_CONNECTION) || *uri == *self.url
    }

    /// Plans a query in rows and opens its answer.
    pub(crate) fn ask(self, text: String, parameters: Vec<Value>) -> BoxFuture<'static, Result<Batches>> {
        async move {
            let info = self.query(&text, &parameters, Form::Rows).await?;
            self.fetch(info, Form::Rows).await
        }
        .boxed()
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

    /// The streams of all endpoints: in order where the server says that order matters, else as they come. Tiles come from nodes
    /// that have them.
    pub(crate) async fn fetch(&self, info: FlightInfo, form: Form) -> Result<Batches> {
        let ordered = info.ordered;
        let declared = if info.schema.is_empty() { None } else { Some(info.clone().try_decode_schema()?) };
        if form == Form::Array
            && let Some(schema) = &declared
            && info.endpoint.iter().any(|endpoint| self.nodes_of(endpoint).next().is_some())
        {
            return Ok(Batches::new(Arc::new(schema.clone()), shares::batches(self, info.endpoint)));
        }
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
        let mut request = with_form(Request::new(FlightDescriptor::new_cmd(command)), form);
        if self.nodes().unreached.is_some_and(|since| since.elapsed() < AVOID_NODES) {
            request.metadata_mut().insert(ENDPOINTS_HEADER, tonic::metadata::MetadataValue::from_static(ENDPOINTS_ONE));
        }
        Ok(self.flight.clone().get_flight_info(request).await?.into_inner())
    }

    async fn endpoint_stream(&self, endpoint: FlightEndpoint, form: Form) -> Result<EndpointStream> {
        let ticket = endpoint.ticket.clone().ok_or_else(|| Error::answer("an endpoint has no ticket"))?;
        let mut failed = None;
        if !self.has(&endpoint) {
            for url in self.nodes_of(&endpoint) {
                match self.node(url).await {
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

    /// The stream of a ticket, from here.
    pub(crate) async fn do_get(&self, ticket: Ticket, form: Form) -> Result<EndpointStream> {
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
pub(crate) struct EndpointStream {
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

    pub(crate) fn into_stream(self) -> impl futures::Stream<Item = Result<arrow::record_batch::RecordBatch>> {
        stream::iter(self.first.map(Ok)).chain(self.stream.map_err(Error::from))
    }
}

fn with_form<T>(mut request: Request<T>, form: Form) -> Request<T> {
    if form == Form::Array {
        request.metadata_mut().insert(FORM_HEADER, tonic::metadata::MetadataValue::from_static(FORM_ARRAY));
    }
    request
}
