//! The door in front of the service: who calls is asked for a token where there are tokens, a panic in one request is answered
//! as INTERNAL and harms no other, and `GetSchema`, which the Flight SQL service trait leaves out, is answered.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use arrow::ipc::writer::IpcWriteOptions;
use arrow_flight::flight_service_server::FlightService;
use arrow_flight::sql::{Any, Command};
use arrow_flight::{
    Action, Criteria, Empty, FlightData, FlightDescriptor, FlightInfo, HandshakeRequest, PollInfo, SchemaAsIpc, SchemaResult, Ticket,
};
use futures::FutureExt;
use prost::Message;
use tonic::{Code, Request, Response, Status, Streaming};

use super::service::Service;
use super::statement::form_of;
use super::status;
use crate::access::{Gate, Role, gate};
use crate::metrics::Metrics;
use crate::pool::secret;

/// What clients talk to.
#[derive(Clone)]
pub struct Door {
    service: Arc<Service>,
    gate: Gate,
    metrics: Arc<Metrics>,
}

impl Door {
    /// A door in front of a service.
    pub fn new(service: Service, gate: Gate, metrics: Arc<Metrics>) -> Door {
        Door { service: Arc::new(service), gate, metrics }
    }

    /// The call with the role of its caller among its extensions, where [`role_of`] finds it, and with the caller's address, where
    /// tonic looks for it. Every call comes by here when only its headers are read: of those that may not come in, no body is.
    pub fn admitted(&self, request: Request<()>) -> Result<Request<()>, Status> {
        let mut request = gate::addressed(request);
        let role = self.counted(self.role(&request))?;
        request.extensions_mut().insert(role);
        Ok(request)
    }

    /// Nodes show the pool's secret in place of a token. They read everything anyway, and change nothing.
    fn role(&self, request: &Request<()>) -> Result<Role, Status> {
        if !self.service.pool().has_secret() || !secret::is_shown(request) {
            return self.gate.enter(request.metadata(), request.extensions());
        }
        gate::only_over_tls(request.extensions())?;
        self.service.pool().knows(request)?;
        Ok(Role::Reader)
    }

    fn counted<T>(&self, entered: Result<T, Status>) -> Result<T, Status> {
        entered.inspect_err(|status| {
            if status.code() == Code::Unauthenticated {
                self.metrics.unauthenticated.add(1);
            }
        })
    }
}

/// The role of an admitted call. What was not admitted may do least.
pub fn role_of<T>(request: &Request<T>) -> Role {
    request.extensions().get().copied().unwrap_or(Role::Reader)
}

async fn guarded<T>(work: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
    AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|panic| Err(status::panicked(panic.as_ref())))
}

#[tonic::async_trait]
impl FlightService for Door {
    type HandshakeStream = <Service as FlightService>::HandshakeStream;
    type ListFlightsStream = <Service as FlightService>::ListFlightsStream;
    type DoGetStream = <Service as FlightService>::DoGetStream;
    type DoPutStream = <Service as FlightService>::DoPutStream;
    type DoActionStream = <Service as FlightService>::DoActionStream;
    type ListActionsStream = <Service as FlightService>::ListActionsStream;
    type DoExchangeStream = <Service as FlightService>::DoExchangeStream;

    async fn handshake(&self, request: Request<Streaming<HandshakeRequest>>) -> Result<Response<Self::HandshakeStream>, Status> {
        let token = self.counted(self.gate.welcome(request.metadata(), request.extensions()))?;
        let mut response = guarded(self.service.handshake(request)).await?;
        if let Some(token) = token {
            response.metadata_mut().insert("authorization", token);
        }
        Ok(response)
    }

    async fn list_flights(&self, request: Request<Criteria>) -> Result<Response<Self::ListFlightsStream>, Status> {
        guarded(self.service.list_flights(request)).await
    }

    async fn get_flight_info(&self, request: Request<FlightDescriptor>) -> Result<Response<FlightInfo>, Status> {
        guarded(self.service.get_flight_info(request)).await
    }

    async fn poll_flight_info(&self, request: Request<FlightDescriptor>) -> Result<Response<PollInfo>, Status> {
        guarded(self.service.poll_flight_info(request)).await
    }

    async fn get_schema(&self, request: Request<FlightDescriptor>) -> Result<Response<SchemaResult>, Status> {
        guarded(async {
            let form = form_of(request.metadata())?;
            let any = Any::decode(request.get_ref().cmd.as_ref()).map_err(|e| Status::invalid_argument(format!("command: {e}")))?;
            let command = Command::try_from(any).map_err(|e| Status::invalid_argument(format!("command: {e}")))?;
            let schema = self.service.schema_of(command, form).await?;
            let result: SchemaResult = SchemaAsIpc::new(&schema, &IpcWriteOptions::default()).try_into().map_err(status::internal)?;
            Ok(Response::new(result))
        })
        .await
    }

    async fn do_get(&self, request: Request<Ticket>) -> Result<Response<Self::DoGetStream>, Status> {
        guarded(self.service.do_get(request)).await
    }

    async fn do_put(&self, request: Request<Streaming<FlightData>>) -> Result<Response<Self::DoPutStream>, Status> {
        guarded(self.service.do_put(request)).await
    }

    async fn do_exchange(&self, request: Request<Streaming<FlightData>>) -> Result<Response<Self::DoExchangeStream>, Status> {
        guarded(self.service.do_exchange(request)).await
    }

    async fn do_action(&self, request: Request<Action>) -> Result<Response<Self::DoActionStream>, Status> {
        guarded(self.service.do_action(request)).await
    }

    async fn list_actions(&self, request: Request<Empty>) -> Result<Response<Self::ListActionsStream>, Status> {
        guarded(self.service.list_actions(request)).await
    }
}
