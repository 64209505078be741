//! Channels: `grpc://` without and `grpcs://` with TLS, and what is wrong with a certificate in one line.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::ResolvesClientCert;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{
    AlertDescription, CertificateError, ClientConfig, Error as TlsError, InvalidMessage, OtherError, RootCertStore, SignatureScheme,
};
use tonic::transport::{Channel, Endpoint, Uri};
use tower::util::BoxCloneSyncService;

use crate::options::{Options, TLS_CA_VARIABLE};
use crate::{Error, Result};

/// HTTP/2 window: what may be in flight unread. Large enough that loopback and long lines both run at full speed.
const WINDOW: u32 = 16 << 20;

/// How long connecting may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long connecting to a node may take, and how long it may say nothing until it is asked for a sign of life.
const NODE_PATIENCE: Duration = Duration::from_secs(3);

/// How long a node may leave that out; it may be busy.
const NODE_SILENCE: Duration = Duration::from_secs(10);

/// How long a refusal after the handshake is waited for.
const REFUSAL: Duration = Duration::from_secs(2);

/// The port of `grpcs://host`.
const DEFAULT_PORT: u16 = 443;

/// What a client without a certificate is told where one is asked for.
const NO_CERTIFICATE: &str =
    "the server asks for a certificate of the client: give one with its key (tls_identity, --tls-client-cert --tls-client-key)";

/// True for a URL that is reached over TLS; an error for one that is not of a Graticule server.
pub fn is_secure(url: &str) -> Result<bool> {
    match url.split_once("://") {
        Some(("grpc" | "grpc+tcp" | "http", _)) | None => Ok(false),
        Some(("grpcs" | "grpc+tls" | "https", _)) => Ok(true),
        Some((scheme, _)) => Err(Error::connection(format!(
            "'{url}': the scheme '{scheme}' is not supported; use grpc://host:port, or grpcs://host:port for TLS"
        ))),
    }
}

/// An open HTTP/2 channel to `grpc://host:port` or `grpcs://host:port`. The token of the options is not sent by it: it belongs to calls.
pub async fn channel(url: &str, options: &Options) -> Result<Channel> {
    tuned_channel(url, options, |endpoint| endpoint).await
}

/// A channel to a node, for which there is another place to ask: one that cannot be reached, or is silent, is given up soon.
pub(crate) async fn node_channel(url: &str, options: &Options) -> Result<Channel> {
    let connected = tuned_channel(url, options, |endpoint| {
        endpoint.connect_timeout(NODE_PATIENCE).http2_keep_alive_interval(NODE_PATIENCE).keep_alive_timeout(NODE_SILENCE)
    });
    let late = |_| Error::connection(format!("cannot connect to {url}: nobody answers within {} s", NODE_PATIENCE.as_secs()));
    tokio::time::timeout(NODE_PATIENCE, connected).await.map_err(late)?
}

async fn tuned_channel(url: &str, options: &Options, tuned: impl FnOnce(Endpoint) -> Endpoint) -> Result<Channel> {
    let (endpoint, connector) = prepared(url, options)?;
    let endpoint = tuned(endpoint);
    let connected = match connector {
        Some(connector) => endpoint.connect_with_connector(connector).await,
        None => endpoint.connect().await,
    };
    connected.map_err(|e| Error::connection(format!("cannot connect to {url}: {}", root(&e))))
}

/// A channel that connects when it is used, and again after it broke. `tuned` may change its deadlines.
pub fn lazy_channel(url: &str, options: &Options, tuned: impl FnOnce(Endpoint) -> Endpoint) -> Result<Channel> {
    let (endpoint, connector) = prepared(url, options)?;
    let endpoint = tuned(endpoint);
    Ok(match connector {
        Some(connector) => endpoint.connect_with_connector_lazy(connector),
        None => endpoint.connect_lazy(),
    })
}

/// Makes connections over TLS.
type Connector = BoxCloneSyncService<Uri, TokioIo<BufReader<TlsStream<TcpStream>>>, io::Error>;

/// Where to connect to, and with what where that is TLS.
fn prepared(url: &str, options: &Options) -> Result<(Endpoint, Option<Connector>)> {
    let secure = is_secure(url)?;
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let address = rest.split('/').next().unwrap_or(rest);
    let wrong = |e: &dyn std::fmt::Display| Error::connection(format!("'{url}' is not an address like grpc://host:port: {e}"));
    let endpoint = Endpoint::from_shared(format!("http://{address}"))
        .map_err(|e| wrong(&e))?
        .connect_timeout(PATIENCE)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(Duration::from_secs(30))
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW);
    if !secure {
        return Ok((endpoint, None));
    }
    let origin = format!("https://{address}").parse::<Uri>().map_err(|e| wrong(&e))?;
    let host = endpoint.uri().host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let port = endpoint.uri().port_u16().unwrap_or(DEFAULT_PORT);
    let name = ServerName::try_from(host.clone()).map_err(|e| wrong(&e))?;
    let asked = Arc::new(Asked::default());
    let tls = TlsConnector::from(Arc::new(configuration(options, asked.clone())?));
    let connector = tower::service_fn(move |_: Uri| {
        let (tls, asked, host, name) = (tls.clone(), asked.clone(), host.clone(), name.clone());
        async move { connect(&tls, &asked, &host, port, name).await.map(TokioIo::new) }
    });
    Ok((endpoint.origin(origin), Some(BoxCloneSyncService::new(connector))))
}

/// A connection after its handshake. Errors say what to do.
async fn connect(
    tls: &TlsConnector,
    asked: &Asked,
    host: &str,
    port: u16,
    name: ServerName<'static>,
) -> io::Result<BufReader<TlsStream<TcpStream>>> {
    let stream = TcpStream::connect((host, port)).await?;
    stream.set_nodelay(true)?;
    let handshake = tokio::time::timeout(PATIENCE, tls.connect(name, stream)).await;
    let done = handshake.map_err(|_| io::Error::other("the server did not answer the TLS handshake; without TLS, use grpc://"))?;
    let mut stream = BufReader::new(done.map_err(said)?);
    if asked.0.load(Ordering::Relaxed) {
        // In TLS 1.3 the refusal comes after the handshake: a server that does without a certificate begins to speak instead.
        if let Ok(Err(e)) = tokio::time::timeout(REFUSAL, stream.fill_buf()).await {
            return Err(said(e));
        }
    }
    Ok(stream)
}

/// An error of a TLS connection in our words.
fn said(e: io::Error) -> io::Error {
    match explained(&e) {
        Some(text) => io::Error::other(text),
        None if e.kind() == io::ErrorKind::UnexpectedEof => {
            io::Error::other("the server closed the connection during the TLS handshake; without TLS, use grpc://")
        }
        None => e,
    }
}

/// Set when a server asks for a certificate of the client and there is none.
#[derive(Debug, Default)]
struct Asked(AtomicBool);

impl ResolvesClientCert for Asked {
    fn resolve(&self, _authorities: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.store(true, Ordering::Relaxed);
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

/// What the client accepts and shows.
fn configuration(options: &Options, asked: Arc<Asked>) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    match &options.tls_ca {
        Some(pem) => {
            for certificate in certificates(pem, "authorities")? {
                roots.add(certificate).map_err(|e| Error::connection(format!("the file of authorities: {e}")))?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| Error::connection(format!("TLS cannot be used: {e}")))?
        .with_root_certificates(roots);
    let mut configuration = match &options.tls_identity {
        None => builder.with_client_cert_resolver(asked),
        Some((chain, key)) => {
            let key = PrivateKeyDer::from_pem_slice(key).map_err(|e| Error::connection(format!("the client's key: {e}")))?;
            builder
                .with_client_auth_cert(certificates(chain, "the client's certificate")?, key)
                .map_err(|e| Error::connection(format!("the client's certificate and key: {e}")))?
        }
    };
    configuration.alpn_protocols = vec![b"h2".to_vec()];
    Ok(configuration)
}

/// The certificates of a PEM file; an error when there are none.
fn certificates(pem: &[u8], what: &str) -> Result<Vec<CertificateDer<'static>>> {
    let found: std::result::Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(Error::connection(format!("{what}: no certificate in PEM is in the file"))),
        Err(e) => Err(Error::connection(format!("{what}: not PEM: {e}"))),
    }
}

/// The innermost cause, in our words where it is one of TLS.
pub(crate) fn root(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = Some(error);
    while let Some(e) = cause {
        text = e.to_string();
        if let Some(known) = e.downcast_ref::<io::Error>().and_then(explained) {
            return known;
        }
        cause = e.source();
    }
    text
}

/// A TLS error inside of an error of a socket, as one line that says what to do.
fn explained(error: &io::Error) -> Option<String> {
    let tls = error.get_ref()?.downcast_ref::<TlsError>()?;
    Some(match tls {
        TlsError::InvalidCertificate(why) => of_certificate(why),
        TlsError::InvalidMessage(InvalidMessage::InvalidContentType) => "the server does not speak TLS: use grpc://".to_owned(),
        TlsError::AlertReceived(AlertDescription::CertificateRequired) => NO_CERTIFICATE.to_owned(),
        TlsError::AlertReceived(alert) => format!("the server ended the TLS handshake: {alert:?}"),
        other => format!("TLS: {other}"),
    })
}

fn of_certificate(why: &CertificateError) -> String {
    match why {
        CertificateError::ExpiredContext { time, not_after } => {
            let days = time.as_secs().saturating_sub(not_after.as_secs()) / 86_400;
            format!("the server's certificate has expired {days} days ago; whoever runs the server must renew it")
        }
        CertificateError::Expired => "the server's certificate has expired; whoever runs the server must renew it".to_owned(),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the server's certificate is not valid yet; look at the clocks of both machines".to_owned()
        }
        CertificateError::UnknownIssuer => format!(
            "the server's certificate was signed by an unknown authority; if it is yours, name its file (tls_ca, --tls-ca, {TLS_CA_VARIABLE})"
        ),
        CertificateError::NotValidForName => "the server's certificate is for other names than that of the URL".to_owned(),
        CertificateError::NotValidForNameContext { expected, presented } => {
            format!("the server's certificate is not for {}, but for {}", expected.to_str(), presented.join(", "))
        }
        CertificateError::Other(OtherError(inner)) if inner.to_string().contains("CaUsedAsEndEntity") => {
            "the server shows the certificate of an authority (CA:TRUE), which is none of a server; docs/security.md says how to make one"
                .to_owned()
        }
        other => format!("the server's certificate is not accepted: {other}"),
    }
}
