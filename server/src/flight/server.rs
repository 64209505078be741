//! The socket: bound at once, served until told to stop, then given some time for what is running.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arrow_flight::flight_service_server::FlightServiceServer;
use futures::TryStreamExt;
use tokio::net::TcpListener;
use tokio::time::timeout;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

use super::answer::Runner;
use super::door::Door;
use super::linger::Lingering;
use super::service::Service;
use super::statement::Planner;
use crate::config::Settings;
use crate::database::Database;
use crate::limits::Limits;

/// What may be on its way in one stream or connection before the receiver has taken it: enough for loopback and for
/// 10 Gbit/s over 10 ms.
const WINDOW: u32 = 32 << 20;
/// Largest HTTP/2 frame that is sent.
const FRAME: u32 = (1 << 20) - 1;
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
    limits: Limits,
}

impl FlightServer {
    /// Binds the address of the settings. Errors are one readable line.
    pub async fn bind(settings: &Settings, database: Arc<Database>) -> Result<FlightServer, String> {
        let limits = Limits::new(settings.max_concurrent, settings.query_timeout.0);
        let workers = database.workers().cloned().ok_or("the database is closed")?;
        let listener = TcpListener::bind(&settings.listen).await.map_err(|e| not_bound(&settings.listen, &e))?;
        let address = listener.local_addr().map_err(|e| not_bound(&settings.listen, &e))?;
        let runner = Runner { workers, limits: limits.clone() };
        let door = Door::new(Service::new(Planner { database, runner }));
        Ok(FlightServer { listener, address, door, limits })
    }

    /// The address that it listens on, with the port that was free.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` is ready. Then no query is taken any more, and those that run get [`GRACE`] to end.
    pub async fn run(self, stop: impl Future<Output = ()> + Send) -> Result<(), String> {
        let service = FlightServiceServer::new(self.door).max_decoding_message_size(MOST_RECEIVED).max_encoding_message_size(usize::MAX);
        // Without nodelay a small answer waits 40 ms for the acknowledgement of what went before.
        let incoming = TcpIncoming::from(self.listener).with_nodelay(Some(true)).map_ok(Lingering::new);
        let (stopping, stopped) = tokio::sync::oneshot::channel::<()>();
        let serving = Server::builder()
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .max_frame_size(FRAME)
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
        self.limits.close();
        let _ = stopping.send(());
        let ended = match timeout(GRACE, &mut serving).await {
            Ok(ended) => ended,
            Err(_) => {
                tracing::warn!("queries were still running after {} seconds and are ended", GRACE.as_secs());
                self.limits.end();
                // A moment for telling their clients.
                timeout(FAREWELL, serving).await.unwrap_or(Ok(()))
            }
        };
        ended.map_err(|e| format!("the server ended: {e}"))
    }
}

/// Why an address could not be listened on, and what would help.
fn not_bound(address: &str, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => format!("{address} is in use by another program (another graticule?); choose another with --listen"),
        io::ErrorKind::PermissionDenied => format!("{address}: this user may not listen there; ports below 1024 need more rights"),
        io::ErrorKind::AddrNotAvailable => format!("{address} is not an address of this machine"),
        io::ErrorKind::InvalidInput => format!("--listen {address}: write it like 127.0.0.1:8815"),
        _ => format!("cannot listen on {address}: {error}"),
    }
}
