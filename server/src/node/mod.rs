//! A query node: joins a server's pool, takes parts of plans, reads the objects itself, and keeps nothing but its caches.
//!
//! * `mirror`: the server's catalog, and the plans of its queries, made anew here.
//! * `worker`: parts of plans as they run here; `task`: each is counted, and is whole or an error.
//! * `bulk`: shares of answers that clients fetch here.

mod bulk;
mod mirror;
mod task;
mod worker;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use graticule_storage::object::Objects;
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};
use tonic::transport::Server;
use tonic::{Code, Status};
use uuid::Uuid;

use self::mirror::Mirror;
use crate::access::tls::{self, Clients};
use crate::config::Settings;
use crate::database::Database;
use crate::flight::Incoming;
use crate::limits::Limits;
use crate::pool::channel::Channels;
use crate::pool::credentials::Credentials;
use crate::pool::protocol::{self, Hello};
use crate::pool::secret::is_loopback;

/// How long a server that is not there yet, or has not noticed yet that the node before this one is gone, is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(500);
/// How often a node says that its server does not answer.
const TELL: Duration = Duration::from_secs(60);
/// How long parts of plans that run are waited for when the node is told to stop: whoever tells it decides how long it may take.
const GRACE: Duration = Duration::from_secs(900);
/// What may be on its way in one stream or connection before the receiver has taken it.
const WINDOW: u32 = 32 << 20;

/// How a node is set up.
#[derive(Debug, Clone)]
pub struct NodeSettings {
    /// The server's Flight address, `grpc://host:port`.
    pub join: String,
    /// Where to take work; `None`: any free port of the address that reaches the server.
    pub listen: Option<String>,
    /// The address to tell the server, where it is another one: `host:port`.
    pub advertise: Option<String>,
    /// Only objects under these are read; empty: all that the server's catalog names.
    pub root: Vec<String>,
    /// Memory, cache and threads; certificate, authority and secret of the pool.
    pub settings: Settings,
}

/// A node that listens and has joined.
pub struct Node {
    mirror: Arc<Mirror>,
    hello: Hello,
    running: Arc<AtomicU64>,
    clients: bulk::Door,
    database: Arc<Database>,
    stop: tokio::sync::oneshot::Sender<()>,
    serving: tokio::task::JoinHandle<Result<(), tonic::transport::Error>>,
}

impl Node {
    /// Listens, and joins the pool. Errors are one readable line: the server's reason, where it refuses.
    pub async fn join(settings: &NodeSettings) -> Result<Node, String> {
        let credentials = Credentials::read(&settings.settings)?;
        let authority = settings.settings.pool_ca.as_deref().filter(|_| credentials.are_mutual());
        let clients = authority.map_or(Clients::Anybody, Clients::CertifiedOrNot);
        let tls = tls::acceptor(&settings.settings, clients)?;
        let url = url::Url::parse(&settings.join).map_err(|e| format!("--join {}: {e}; write it like grpc://host:8815", settings.join))?;
        if url.port().is_none() || graticule_client::is_secure(&settings.join).is_err() {
            return Err(format!("--join {}: write it like grpc://host:8815, or grpcs://host:8815 for TLS", settings.join));
        }
        let listen = match &settings.listen {
            Some(listen) => listen.clone(),
            None => SocketAddr::new(own_address(&url).await, 0).to_string(),
        };
        let listener = TcpListener::bind(&listen).await.map_err(|e| format!("cannot listen on {listen}: {e}"))?;
        let address = listener.local_addr().map_err(|e| format!("cannot listen on {listen}: {e}"))?;
        if !credentials.have_secret() && !is_loopback(address.ip()) {
            return Err(format!(
                "a node runs what it is told, so it listens on {address} only with a secret; start server and nodes with --pool-secret FILE"
            ));
        }
        let told = match &settings.advertise {
            Some(advertise) => advertise.clone(),
            None if address.ip().is_unspecified() => SocketAddr::new(own_address(&url).await, address.port()).to_string(),
            None => address.to_string(),
        };
        let objects =
            if settings.root.is_empty() { Objects::anywhere() } else { Objects::new(&settings.root).map_err(|e| e.to_string())? };
        let database = Arc::new(Database::open(&settings.settings, objects).await?);
        let mirror = Arc::new(Mirror::new(&settings.join, credentials.clone(), database.engine().clone())?);
        let running = Arc::new(AtomicU64::new(0));
        let hello = Hello {
            url: format!("{}://{told}/", if tls.is_some() { "https" } else { "http" }),
            instance: Uuid::new_v4().as_u64_pair().0,
            build: protocol::build().to_owned(),
            protocol: protocol::PROTOCOL,
            cores: u32::try_from(settings.settings.threads).unwrap_or(u32::MAX),
            memory: settings.settings.memory.0,
            cache: settings.settings.cache.0,
            ..Hello::default()
        };
        let sessions = worker::Sessions {
            mirror: mirror.clone(),
            channels: Channels::new(credentials.clone()),
            url: hello.url.clone(),
            running: running.clone(),
        };
        // Where queries run, there is the stack that they need.
        let workers = database.workers().cloned().ok_or("the node is closed")?;
        let most = settings.settings.threads.saturating_mul(2).max(4);
        let clients = bulk::Door {
            mirror: mirror.clone(),
            url: hello.url.clone(),
            workers: workers.clone(),
            limits: Limits::new(most, Duration::ZERO),
            running: running.clone(),
            sent: Arc::default(),
            fetched: bulk::Fetched::default(),
            asking: Arc::new(Semaphore::new(bulk::MOST_ASKED)),
            failure: Arc::default(),
        };
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let server = Server::builder()
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .http2_keepalive_interval(Some(Duration::from_secs(10)))
            .http2_keepalive_timeout(Some(Duration::from_secs(20)));
        let incoming = Incoming::new(listener, tls, Arc::default());
        let door = worker::door(server, sessions, clients.clone(), database.engine().runtime(), credentials);
        let serving = door.serve_with_incoming_shutdown(incoming, async {
            // An error means that the other end is gone, and then it is time to stop as well.
            let _ = stopped.await;
        });
        let serving = workers.spawn(serving);
        let node = Node { mirror, hello, running, clients, database, stop, serving };
        node.first_hello().await?;
        Ok(node)
    }

    /// The address that the server was told.
    pub fn url(&self) -> &str {
        &self.hello.url
    }

    fn hello(&self, draining: bool) -> Hello {
        let seen = self.database.engine().reader().statistics();
        Hello {
            cached: seen.cache_used,
            chunks_read: seen.chunks_read,
            chunks_cached: seen.chunks_cached,
            running: self.running.load(Ordering::Acquire),
            draining,
            sent: self.clients.sent.load(Ordering::Acquire),
            failure: self.clients.failure.lock().take().unwrap_or_default(),
            ..self.hello.clone()
        }
    }

    async fn first_hello(&self) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let refused = match self.mirror.hello(&self.hello(false)).await {
                Ok(_) => return Ok(()),
                Err(refused) => refused,
            };
            // What the server itself says stays as it is, and so do certificates.
            let said = std::error::Error::source(&refused).is_none() || is_of_tls(&refused);
            let last = (said || is_final(&refused)) && refused.code() != Code::AlreadyExists;
            if last || Instant::now() > deadline {
                return Err(format!("the server does not take this node: {}", reason(&refused)));
            }
            sleep(PAUSE).await;
        }
    }

    /// Takes work until `stop` is ready; then finishes what runs, leaves, and ends. A server that goes away is waited for.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<(), String> {
        let draining = AtomicBool::new(false);
        let says_hello = async {
            let mut lost: Option<Lost> = None;
            loop {
                let pause = match self.mirror.hello(&self.hello(draining.load(Ordering::Acquire))).await {
                    Ok(welcome) => {
                        if let Some(lost) = lost.take() {
                            tracing::warn!("the server answers again after {} s; this node is in its pool", lost.since.elapsed().as_secs());
                        }
                        self.clients.fetched.cancel(&welcome.cancelled);
                        Duration::from_millis(welcome.again_millis.clamp(100, 60_000))
                    }
                    Err(refused) if is_final(&refused) => {
                        return format!("the server does not take this node any more: {}", reason(&refused));
                    }
                    Err(refused) => {
                        lost.get_or_insert_with(Lost::now).tell(&refused);
                        PAUSE
                    }
                };
                sleep(pause).await;
            }
        };
        let drained = async {
            stop.await;
            draining.store(true, Ordering::Release);
            self.clients.limits.close();
            // Told at once, so that the server plans without this node.
            let _ = self.mirror.hello(&self.hello(true)).await;
            let done = async {
                while self.running.load(Ordering::Acquire) > 0 {
                    sleep(Duration::from_millis(50)).await;
                }
            };
            if timeout(GRACE, done).await.is_err() {
                tracing::warn!("parts of queries still ran after {} seconds and are ended", GRACE.as_secs());
                self.clients.limits.end();
            }
        };
        let ended = tokio::select! {
            refused = says_hello => Err(refused),
            () = drained => Ok(()),
        };
        let _ = timeout(Duration::from_secs(2), self.mirror.goodbye(&self.hello(true))).await;
        let _ = self.stop.send(());
        let _ = timeout(Duration::from_secs(5), self.serving).await;
        ended
    }
}

/// A server that does not answer.
struct Lost {
    since: Instant,
    /// When to say it again.
    tell: Instant,
}

impl Lost {
    fn now() -> Lost {
        Lost { since: Instant::now(), tell: Instant::now() }
    }

    /// Says so, and again now and then: whoever looks after this node may not have been there before.
    fn tell(&mut self, refused: &Status) {
        if Instant::now() >= self.tell {
            self.tell = Instant::now() + TELL;
            let seconds = self.since.elapsed().as_secs();
            tracing::warn!("the server has not answered for {seconds} s ({}); this node keeps trying", reason(refused));
        }
    }
}

/// True for what another try does not mend: the server says no. Connections break in many ways, and have other codes.
fn is_final(status: &Status) -> bool {
    use Code::{AlreadyExists, FailedPrecondition, InvalidArgument, PermissionDenied, Unauthenticated, Unimplemented};
    matches!(status.code(), AlreadyExists | FailedPrecondition | InvalidArgument | PermissionDenied | Unauthenticated | Unimplemented)
}

/// True when a connection failed because of what was shown or seen over TLS: the client makes such errors itself.
fn is_of_tls(status: &Status) -> bool {
    let mut cause = std::error::Error::source(status);
    while let Some(e) = cause {
        if e.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::Other) {
            return true;
        }
        cause = e.source();
    }
    false
}

/// The innermost cause says most: those around it repeat it.
fn reason(status: &Status) -> String {
    let mut cause = std::error::Error::source(status);
    let mut innermost = status.message().to_owned();
    while let Some(e) = cause {
        innermost = e.to_string();
        cause = e.source();
    }
    innermost
}

/// The address of this machine from which the server is reached; loopback where there is none.
async fn own_address(server: &url::Url) -> IpAddr {
    let found = async {
        let host = server.host_str()?.trim_start_matches('[').trim_end_matches(']').to_owned();
        let to = tokio::net::lookup_host((host, server.port()?)).await.ok()?.next()?;
        let from: SocketAddr = if to.is_ipv4() { SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0) } else { "[::]:0".parse().ok()? };
        // Nothing is sent: the system only chooses the way.
        let socket = UdpSocket::bind(from).await.ok()?;
        socket.connect(to).await.ok()?;
        Some(socket.local_addr().ok()?.ip())
    };
    found.await.unwrap_or(Ipv4Addr::LOCALHOST.into())
}
