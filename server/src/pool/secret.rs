//! The secret of a pool: who knows it may join, and may give nodes work. Without one a pool stays on loopback.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use subtle::ConstantTimeEq;
use tonic::codegen::http::{HeaderMap, HeaderValue};
use tonic::{Request, Status};

/// Header that carries it, in hexadecimal.
pub const HEADER: &str = "graticule-pool-secret";
/// Fewest bytes of a secret: shorter ones can be guessed.
const FEWEST_BYTES: usize = 16;
/// Most bytes: it travels in a header.
const MOST_BYTES: usize = 1024;

/// What server and nodes have in common; or nothing.
#[derive(Clone, Default)]
pub struct Secret(Option<Arc<str>>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "Secret(...)" } else { "Secret(none)" })
    }
}

impl Secret {
    /// Reads a file; white space at its ends does not count. Errors are one readable line.
    pub fn read(file: Option<&Path>) -> Result<Secret, String> {
        let Some(file) = file else { return Ok(Secret(None)) };
        let bytes = std::fs::read(file).map_err(|e| format!("--pool-secret {}: {e}", file.display()))?;
        let secret = bytes.trim_ascii();
        if !(FEWEST_BYTES..=MOST_BYTES).contains(&secret.len()) {
            return Err(format!(
                "--pool-secret {}: it has {} bytes and must have {FEWEST_BYTES} to {MOST_BYTES}; `openssl rand -hex 32` makes a good one",
                file.display(),
                secret.len()
            ));
        }
        let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Secret(Some(hex.into())))
    }

    /// True where there is one.
    pub fn is_set(&self) -> bool {
        self.0.is_some()
    }

    /// Puts it into the headers of a request.
    pub fn put(&self, headers: &mut HeaderMap) {
        if let Some(mut value) = self.0.as_ref().and_then(|secret| HeaderValue::from_str(secret).ok()) {
            value.set_sensitive(true);
            headers.insert(HEADER, value);
        }
    }

    /// Whether a request may come in: it knows the secret; without one it comes from this machine.
    pub fn check<T>(&self, request: &Request<T>) -> Result<(), Status> {
        let Some(secret) = &self.0 else {
            return match request.remote_addr() {
                Some(peer) if is_loopback(peer.ip()) => Ok(()),
                _ => Err(Status::unauthenticated(
                    "this pool has no secret and takes nodes of its own machine only; start server and nodes with --pool-secret FILE",
                )),
            };
        };
        let given = request.metadata().get(HEADER).map(|value| value.as_bytes()).unwrap_or_default();
        // The length is no secret; where they differ is.
        match bool::from(given.ct_eq(secret.as_bytes())) {
            true => Ok(()),
            false if given.is_empty() => {
                Err(Status::unauthenticated("the pool's secret is missing; start the node with --pool-secret FILE"))
            }
            false => Err(Status::unauthenticated("this is not the pool's secret; server and nodes need the same --pool-secret FILE")),
        }
    }
}

/// Whether an address is of this machine's loopback, also as IPv6 writes IPv4.
pub fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use tonic::metadata::MetadataMap;

    use super::*;

    fn secret(text: &str) -> Result<Secret, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        std::fs::write(&file, text).unwrap();
        Secret::read(Some(&file))
    }

    fn request(with: &Secret) -> Request<()> {
        let mut headers = HeaderMap::new();
        with.put(&mut headers);
        let mut request = Request::new(());
        *request.metadata_mut() = MetadataMap::from_headers(headers);
        request
    }

    #[test]
    fn only_who_knows_it_comes_in() {
        let (mine, same) = (secret("0123456789abcdef\n").unwrap(), secret(" 0123456789abcdef").unwrap());
        let other = secret("0123456789abcdeg").unwrap();
        assert!(mine.check(&request(&same)).is_ok());
        assert!(mine.check(&request(&other)).unwrap_err().message().contains("not the pool's secret"));
        assert!(mine.check(&request(&Secret::default())).unwrap_err().message().contains("missing"));
        // Nobody knows where a request without a connection comes from.
        assert!(Secret::default().check(&request(&Secret::default())).is_err());
        assert_eq!(format!("{mine:?}"), "Secret(...)");
    }

    #[test]
    fn a_secret_that_is_none_is_refused() {
        assert!(secret("short").unwrap_err().contains("5 bytes"));
        assert!(Secret::read(Some(Path::new("/nowhere/secret"))).unwrap_err().contains("/nowhere/secret"));
        assert!(!Secret::read(None).unwrap().is_set());
    }

    #[test]
    fn loopback_is_loopback_in_both_families() {
        for (address, yes) in [("127.0.0.1", true), ("::1", true), ("::ffff:127.0.0.1", true), ("10.0.0.1", false), ("0.0.0.0", false)] {
            assert_eq!(is_loopback(address.parse().unwrap()), yes, "{address}");
        }
    }
}
