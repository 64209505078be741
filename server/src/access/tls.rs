//! The server's certificate and key, and the authorities of clients' certificates, from PEM files.

use std::path::Path;
use std::sync::Arc;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::ServerCertVerifier;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{CertificateError, Error, InconsistentKeys, RootCertStore, ServerConfig};

use super::secret::read_private;
use crate::config::Settings;

/// Whose certificates are asked for.
#[derive(Debug, Clone, Copy)]
pub enum Clients<'a> {
    /// Nobody's.
    Anybody,
    /// Only clients with one that an authority in this file has signed may connect.
    Certified(&'a Path),
    /// Others may connect as well, see [`super::gate::Arrival::certified`].
    CertifiedOrNot(&'a Path),
}

/// Accepts TLS connections with the certificate of the settings; `None` when they name none. Errors are one readable line.
pub fn acceptor(settings: &Settings, clients: Clients<'_>) -> Result<Option<TlsAcceptor>, String> {
    let (certificate, key) = match (&settings.tls_cert, &settings.tls_key) {
        (None, None) => {
            return match clients {
                Clients::Anybody => Ok(None),
                Clients::Certified(_) => Err("--tls-client-ca needs --tls-cert and --tls-key".into()),
                Clients::CertifiedOrNot(_) => Err("certificates are asked for over TLS only: --tls-cert and --tls-key".into()),
            };
        }
        (Some(_), None) => return Err("--tls-cert needs --tls-key FILE, the key of the certificate".into()),
        (None, Some(_)) => return Err("--tls-key needs --tls-cert FILE, the certificate of the key".into()),
        (Some(certificate), Some(key)) => (certificate, key),
    };
    let chain = certificates(certificate)?;
    warn_if_expired(certificate, &chain);
    let private = PrivateKeyDer::from_pem_slice(read_private(key)?.as_bytes())
        .map_err(|e| format!("{}: no private key in PEM is in it: {e}", key.display()))?;
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().map_err(|e| e.to_string())?;
    let verifier = |file: &Path| Ok::<_, String>(WebPkiClientVerifier::builder_with_provider(Arc::new(roots(file)?), provider));
    let (verifier, file) = match clients {
        Clients::Anybody => (None, certificate.as_path()),
        Clients::Certified(file) => (Some(verifier(file)?), file),
        Clients::CertifiedOrNot(file) => (Some(verifier(file)?.allow_unauthenticated()), file),
    };
    let builder = match verifier {
        None => builder.with_no_client_auth(),
        Some(verifier) => builder.with_client_cert_verifier(verifier.build().map_err(|e| format!("{}: {e}", file.display()))?),
    };
    let mut configuration = builder.with_single_cert(chain, private).map_err(|e| match e {
        Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            format!("{} is not the key of the certificate {}", key.display(), certificate.display())
        }
        e => format!("{} and {}: {e}", certificate.display(), key.display()),
    })?;
    configuration.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Some(TlsAcceptor::from(Arc::new(configuration))))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let pem = std::fs::read(file).map_err(|e| format!("{}: {e}", file.display()))?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(format!("{}: no certificate in PEM is in it", file.display())),
        Err(e) => Err(format!("{}: not PEM: {e}", file.display())),
    }
}

fn roots(file: &Path) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file)? {
        roots.add(certificate).map_err(|e| format!("{}: {e}", file.display()))?;
    }
    Ok(roots)
}

/// Warns of a certificate that no client will accept. Which names it is for, and who signed it, are the clients' business.
fn warn_if_expired(file: &Path, chain: &[CertificateDer<'static>]) {
    let (Some(own), Some(last)) = (chain.first(), chain.last()) else { return };
    let mut roots = RootCertStore::empty();
    if roots.add(last.clone()).is_err() {
        return;
    }
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::new(ring::default_provider())).build();
    let (Ok(verifier), Ok(name)) = (verifier, ServerName::try_from("localhost")) else { return };
    let checked = verifier.verify_server_cert(own, chain.get(1..).unwrap_or_default(), &name, &[], UnixTime::now());
    match checked {
        Err(Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. })) => {
            tracing::warn!("the certificate {} has expired: no client will accept it", file.display());
        }
        Err(Error::InvalidCertificate(CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. })) => {
            tracing::warn!("the certificate {} is not valid yet: no client will accept it", file.display());
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn acceptor_of(certificate: &str, key: &str, ca: Option<&str>) -> Result<Option<TlsAcceptor>, String> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/corpus/tls");
        let named = |name: &str| (!name.is_empty()).then(|| folder.join(name));
        let ca: Option<PathBuf> = ca.and_then(named);
        let clients = ca.as_deref().map_or(Clients::Anybody, Clients::Certified);
        acceptor(&Settings { tls_cert: named(certificate), tls_key: named(key), ..Settings::default() }, clients)
    }

    #[test]
    fn certificates_are_read() {
        assert!(acceptor_of("", "", None).unwrap().is_none());
        assert!(acceptor_of("server.pem", "server.key", None).unwrap().is_some());
        assert!(acceptor_of("server.pem", "server.key", Some("ca.pem")).unwrap().is_some());
        // Only clients can tell: a server is not kept from starting.
        assert!(acceptor_of("expired.pem", "expired.key", None).unwrap().is_some());
    }

    #[test]
    fn mistakes_are_one_line_that_names_the_file() {
        for (certificate, key, ca, expected) in [
            ("server.pem", "", None, "--tls-key"),
            ("", "server.key", None, "--tls-cert"),
            ("", "", Some("ca.pem"), "--tls-cert"),
            ("nothing.pem", "server.key", None, "nothing.pem"),
            ("server.key", "server.key", None, "no certificate"),
            ("server.pem", "server.pem", None, "no private key"),
            ("server.pem", "client.key", None, "client.key is not the key"),
            ("server.pem", "server.key", Some("make.sh"), "no certificate"),
        ] {
            let error = acceptor_of(certificate, key, ca).err().unwrap();
            assert!(error.contains(expected) && !error.contains('\n'), "{error}");
        }
    }
}
