//! The socket: bound at once, served until told to stop, then given some time for what is running.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arrow_flight::flight_service_server::FlightServiceServer;
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tonic::Request;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Server;

use super::answer::Runner;
use super::door::Door;
use super::incoming::Incoming;
use super::service::Service;
use super::statement::Planner;
use crate::access::tls::Clients;
use crate::access::{Gate, Tokens, exposure, tls};
use crate::config::Settings;
use crate::database::Database;
use crate::limits::Limits;
use crate::metrics::{Metrics, Observed};
use crate::pool::Pool;
use crate::sockets::not_bound;

/// What may be on its way in one stream or connection before the receiver has taken it: enough for loopback and for
/// 10 Gbit/s over 10 ms.
const WINDOW: u32 = 32 << 20;
/// Largest HTTP/2 frame that is sent.
const FRAME: u32 = (1 << 20) - 1;
/// Calls of one connection at a time; more wait at the client.
const MOST_STREAMS: u32 = 128;
/// Largest message that a client may send: parameters of prepared statements.
const MOST_RECEIVED: usize = 64 << 20;
/// How long running queries are waited for at the end.
pub const GRACE: Duration = Duration::from_secs(10);
/// How long clients are told that their queries were ended.
const FAREWELL: Duration = Duration::from_millis(500);

/// A Flight SQL server on a bound socket.
pub struct FlightServer {
    listener: TcpListener,
    address: SocketAddr,
    door: Door,
    tls: Option<TlsAcceptor>,
    observed: Observed,
    pool: Arc<Pool>,
}

impl FlightServer {
    /// Binds the address of the settings. Errors are one readable line.
    pub async fn bind(settings: &Settings, database: Arc<Database>) -> Result<FlightServer, String> {
        let clients = settings.tls_client_ca.as_deref().map_or(Clients::Anybody, Clients::Certified);
        let tls = tls::acceptor(settings, clients)?;
        let gate = match &settings.tokens {
            Some(file) => Gate::Tokens(Arc::new(Tokens::read(file)?)),
            None => Gate::Open,
        };
        let limits = Limits::new(settings.max_concurrent, settings.query_timeout.0);
        let workers = database.workers().cloned().ok_or("the database is closed")?;
        let listener = TcpListener::bind(&settings.listen).await.map_err(|e| not_bound("--listen", &settings.listen, &e))?;
        let address = listener.local_addr().map_err(|e| not_bound("--listen", &settings.listen, &e))?;
        if let Some(warning) = exposure::check(settings, address)? {
            tracing::warn!("{warning}");
        }
        let metrics = Arc::new(Metrics::default());
        let pool = Pool::new(settings, database.engine())?;
        let seen = pool.clone();
        metrics.add_gauges("graticule_nodes", "Nodes of the pool, by their state.", "state", move || seen.states());
        let seen = pool.clone();
        metrics.add_gauges("graticule_pool_open", "What is kept for queries that run on nodes now.", "what", move || seen.open());
        let runner = Runner { workers, limits: limits.clone(), metrics: metrics.clone(), pool: pool.clone() };
        let door = Door::new(Service::new(Planner { database: database.clone(), runner }), gate, metrics.clone());
        let observed = Observed { metrics, limits, database, settings: Arc::new(settings.clone()) };
        Ok(FlightServer { listener, address, door, tls, observed, pool })
    }

    /// The address that it listens on, with the port that was free.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What clients connect to: `grpc://` or `grpcs://` and the address.
    pub fn url(&self) -> String {
        format!("{}://{}", if self.tls.is_some() { "grpcs" } else { "grpc" }, self.address)
    }

    /// What it counts, for whoever wants to look at it.
    pub fn observed(&self) -> Observed {
        self.observed.clone()
    }

    /// The nodes that run large queries.
    pub fn pool(&self) -> Arc<Pool> {
        self.pool.clone()
    }

    /// Serves until `stop` is ready. Then no query is taken any more, and those that run get [`GRACE`] to end.
    pub async fn run(self, stop: impl Future<Output = ()> + Send) -> Result<(), String> {
        let door = self.door.clone();
        let service = FlightServiceServer::new(self.door).max_decoding_message_size(MOST_RECEIVED).max_encoding_message_size(usize::MAX);
        let service = InterceptedService::new(service, move |call: Request<()>| door.admitted(call));
        let limits = self.observed.limits.clone();
        let incoming = Incoming::new(self.listener, self.tls, self.observed.metrics);
        let (stopping, stopped) = tokio::sync::oneshot::channel::<()>();
        let serving = Server::builder()
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .max_frame_size(FRAME)
            .max_concurrent_streams(MOST_STREAMS)
            .http2_keepalive_interval(Some(Duration::from_secs(30)))
            .http2_keepalive_timeout(Some(Duration::from_secs(20)))
            .add_service(service)
            .serve_with_incoming_shutdown(incoming, async {
                // An error means that the other end is gone, and then it is time to stop as well.
                let _ = stopped.await;
            });
        tokio::pin!(serving);
        tokio::select! {
            ended = &mut serving => return ended.map_err(|e| format!("the server ended: {e}")),
            () = stop => {}
        }
        limits.close();
        let _ = stopping.send(());
        let ended = match timeout(GRACE, &mut serving).await {
            Ok(ended) => ended,
            Err(_) => {
                tracing::warn!("queries were still running after {} seconds and are ended", GRACE.as_secs());
                limits.end();
                // A moment for telling their clients.
                timeout(FAREWELL, serving).await.unwrap_or(Ok(()))
            }
        };
        ended.map_err(|e| format!("the server ended: {e}"))
    }
}
