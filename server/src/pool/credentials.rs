//! How the server and the nodes of a pool know each other: by a secret, and over TLS by certificates of their authority.

use graticule_client::{Options, lazy_channel};
use tonic::Request;
use tonic::Status;
use tonic::codegen::http::HeaderMap;
use tonic::transport::{Channel, Endpoint};

use super::secret::PoolSecret;
use crate::access::gate::Arrival;
use crate::access::secret::read_private;
use crate::config::Settings;

/// What one shows and what it wants to see. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    secret: PoolSecret,
    /// For connections to others.
    options: Options,
    /// Others have certificates.
    mutual: bool,
}

impl Credentials {
    /// Reads the files that the settings of a server or a node name. A node may know the authority of its server and have no
    /// certificate of its own: then it takes work without TLS. Errors are one readable line.
    pub fn read(settings: &Settings) -> Result<Credentials, String> {
        let mut options = Options::new();
        if let Some(file) = &settings.pool_ca {
            options = options.tls_ca_file(file).map_err(|e| format!("--pool-ca: {e}"))?;
        }
        let mutual = settings.pool_ca.is_some() && settings.tls_cert.is_some();
        if let (true, Some(certificate), Some(key)) = (mutual, &settings.tls_cert, &settings.tls_key) {
            let chain = std::fs::read(certificate).map_err(|e| format!("{}: {e}", certificate.display()))?;
            options = options.tls_identity(chain, read_private(key)?);
        }
        Ok(Credentials { secret: PoolSecret::read(settings.pool_secret.as_deref())?, options, mutual })
    }

    /// True where only who knows a secret may join.
    pub fn have_secret(&self) -> bool {
        self.secret.is_set()
    }

    /// True where nodes speak TLS.
    pub fn are_mutual(&self) -> bool {
        self.mutual
    }

    /// A channel to another one of the pool, that connects when it is used.
    pub fn channel(&self, url: &str, tuned: impl FnOnce(Endpoint) -> Endpoint) -> Result<Channel, String> {
        lazy_channel(url, &self.options, tuned).map_err(|e| e.to_string())
    }

    /// Puts the secret into the headers of a request.
    pub fn put(&self, headers: &mut HeaderMap) {
        self.secret.put(headers);
    }

    /// Whether a call to the server comes from a node.
    pub fn check<T>(&self, request: &Request<T>) -> Result<(), Status> {
        self.secret.check(request)
    }

    /// Whether a call to a node comes from its server.
    pub fn check_server<T>(&self, request: &Request<T>) -> Result<(), Status> {
        if self.mutual && !request.extensions().get::<Arrival>().is_some_and(|arrival| arrival.certified) {
            return Err(Status::unauthenticated(
                "this node takes work over TLS only, from a server with a certificate of the pool's authority (--pool-ca)",
            ));
        }
        self.secret.check(request)
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use tonic::metadata::MetadataMap;
    use tonic::transport::server::TcpConnectInfo;

    use super::*;

    #[test]
    fn a_node_of_a_pool_with_certificates_takes_work_from_who_shows_one() {
        let folder = tempfile::tempdir().unwrap();
        let secret = folder.path().join("secret");
        std::fs::write(&secret, "0123456789abcdef").unwrap();
        let tls = |name: &str| Some(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/corpus/tls").join(name));
        let settings = Settings { pool_secret: Some(secret), pool_ca: tls("ca.pem"), ..Settings::default() };
        assert!(!Credentials::read(&settings).unwrap().are_mutual());
        let credentials = Credentials::read(&Settings { tls_cert: tls("server.pem"), tls_key: tls("server.key"), ..settings }).unwrap();
        let mut headers = HeaderMap::new();
        credentials.put(&mut headers);
        let call = |certified: bool, headers: HeaderMap| {
            let mut request = Request::new(());
            *request.metadata_mut() = MetadataMap::from_headers(headers);
            let peer = TcpConnectInfo { local_addr: None, remote_addr: None };
            request.extensions_mut().insert(Arrival { lacks_tls: false, certified, peer });
            credentials.check_server(&request)
        };
        assert!(call(true, headers.clone()).is_ok());
        assert!(call(false, headers).unwrap_err().message().contains("--pool-ca"));
        assert!(call(true, HeaderMap::new()).unwrap_err().message().contains("secret is missing"));
    }
}
