//! Connections of the Flight door: each is looked at first. TLS is accepted where there is a certificate; one that speaks
//! something else is told what to use, and one that says nothing is let go.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::Stream;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Sleep, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

use super::linger::Lingering;
use crate::access::gate::Arrival;
use crate::metrics::Metrics;
use crate::sockets::{Counted, Newest, accept, most_connections};

/// How long a client may take to say its first word and to end a TLS handshake.
const PATIENCE: Duration = Duration::from_secs(10);

/// How soon to look again at a first word that is not whole.
const AGAIN: Duration = Duration::from_millis(5);

/// Of how many connections one may be silent.
const SILENT: usize = 4;

/// How HTTP/2 begins: `PRI * HTTP/2.0`.
const HTTP2: &[u8] = b"PRI";

/// Bytes of that beginning, all of them.
const PREFACE: usize = 24;

/// The first byte of a TLS handshake.
const TLS: u8 = 0x16;

/// A connection that speaks HTTP/2.
pub struct Connection {
    stream: Socket,
    lacks_tls: bool,
    /// Until the beginning of HTTP/2 has been read: bytes that lack, and when it is too late.
    beginning: Option<(usize, Pin<Box<Sleep>>)>,
    _counted: Counted,
}

enum Socket {
    Plain(Lingering),
    Tls(Box<TlsStream<Lingering>>),
}

/// The connections of a socket, those that speak HTTP/2. It ends when dropped, and the socket with it.
pub struct Incoming(mpsc::Receiver<Connection>);

impl Incoming {
    /// Listens; over TLS where there is an acceptor.
    pub fn new(listener: TcpListener, tls: Option<TlsAcceptor>, metrics: Arc<Metrics>) -> Incoming {
        let (sender, connections) = mpsc::channel(16);
        let most = most_connections();
        tokio::spawn(async move {
            let mut silent = Newest::new(most / SILENT);
            loop {
                let (stream, peer) = tokio::select! {
                    accepted = accept(&listener) => accepted,
                    () = sender.closed() => return,
                };
                let (sender, tls, metrics) = (sender.clone(), tls.clone(), metrics.clone());
                silent.spawn(async move {
                    let Ok(Some((stream, lacks_tls))) = greeted(stream, peer, tls, &metrics).await else { return };
                    let Some(counted) = Counted::new(&metrics.connections, most) else {
                        metrics.connections_refused.add(1);
                        tracing::warn!("{most} connections are open, the most that this process may have: one more was closed");
                        return;
                    };
                    let _ = sender.send(Connection::new(stream, lacks_tls, counted)).await;
                });
            }
        });
        Incoming(connections)
    }
}

impl Stream for Incoming {
    type Item = io::Result<Connection>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(cx).map(|next| next.map(Ok))
    }
}

/// Looks at the first bytes of a connection; true beside it when it lacks TLS and must not. `None`: it is over.
async fn greeted(stream: TcpStream, peer: SocketAddr, tls: Option<TlsAcceptor>, metrics: &Metrics) -> io::Result<Option<(Socket, bool)>> {
    // Without nodelay a small answer waits 40 ms for the acknowledgement of what went before.
    stream.set_nodelay(true)?;
    let mut first = [0; HTTP2.len()];
    let word = timeout(PATIENCE, first_word(&stream, &mut first)).await;
    let Ok(Ok(word)) = word else { return Ok(None) };
    let stream = Lingering::new(stream);
    match (tls, word) {
        (_, []) => Ok(None),
        (None, HTTP2) => Ok(Some((Socket::Plain(stream), false))),
        // Its first call is told, in words that every client shows.
        (Some(_), HTTP2) => Ok(Some((Socket::Plain(stream), true))),
        (Some(tls), [TLS, ..]) => match timeout(PATIENCE, tls.accept(stream)).await {
            Ok(Ok(stream)) => Ok(Some((Socket::Tls(Box::new(stream)), false))),
            Ok(Err(e)) => {
                metrics.handshakes_failed.add(1);
                tracing::info!("{peer}: TLS handshake failed: {e}");
                Ok(None)
            }
            Err(_) => Ok(None),
        },
        (None, [TLS, ..]) => told(stream, "this server does not speak TLS: use grpc://").await,
        (Some(_), _) => told(stream, "this is a Flight SQL server, and it speaks TLS: use a Flight SQL client with grpcs://").await,
        (None, _) => told(stream, "this is a Flight SQL server (gRPC over HTTP/2): use a Flight SQL client with grpc://").await,
    }
}

/// The first bytes, which stay unread: as many as tell what is spoken; none when the client has closed.
async fn first_word<'a>(stream: &TcpStream, bytes: &'a mut [u8; HTTP2.len()]) -> io::Result<&'a [u8]> {
    loop {
        let n = stream.peek(bytes).await?;
        let word = bytes.get(..n).unwrap_or_default();
        if n == 0 || n == bytes.len() || !HTTP2.starts_with(word) {
            break;
        }
        sleep(AGAIN).await;
    }
    let n = stream.peek(bytes).await?;
    Ok(bytes.get(..n).unwrap_or_default())
}

/// Says something to a client that speaks something else, as HTTP/1 does: most show it, or at least see that it is no TLS.
async fn told(mut stream: Lingering, text: &str) -> io::Result<Option<(Socket, bool)>> {
    let head = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\nContent-Length:";
    let answer = format!("{head} {}\r\n\r\n{text}\n", text.len() + 1);
    let say = async {
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await
    };
    let _ = timeout(PATIENCE, say).await;
    Ok(None)
}

impl Connection {
    fn new(stream: Socket, lacks_tls: bool, counted: Counted) -> Connection {
        Connection { stream, lacks_tls, beginning: Some((PREFACE, Box::pin(sleep(PATIENCE)))), _counted: counted }
    }

    /// Counts what was read of the beginning, and ends the connection when the rest does not come: HTTP/2 itself would wait for it.
    fn begun(&mut self, cx: &mut Context<'_>, read: usize) -> io::Result<()> {
        if let Some((lacks, late)) = &mut self.beginning {
            *lacks = lacks.saturating_sub(read);
            if *lacks == 0 {
                self.beginning = None;
            } else if late.as_mut().poll(cx).is_ready() {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
        Ok(())
    }
}

impl Connected for Connection {
    type ConnectInfo = Arrival;

    fn connect_info(&self) -> Arrival {
        let (peer, certified) = match &self.stream {
            Socket::Plain(stream) => (stream.connect_info(), false),
            Socket::Tls(stream) => {
                let (stream, session) = stream.get_ref();
                (stream.connect_info(), session.peer_certificates().is_some_and(|chain| !chain.is_empty()))
            }
        };
        Arrival { lacks_tls: self.lacks_tls, certified, peer }
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = match &mut self.stream {
            Socket::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Socket::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        };
        self.begun(cx, buffer.filled().len().saturating_sub(before))?;
        polled
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Socket::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Socket::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, slices: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Socket::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Socket::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Socket::Plain(stream) => stream.is_write_vectored(),
            Socket::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Socket::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Socket::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Socket::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Socket::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
