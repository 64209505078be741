//! The secret of a pool: who knows it may join, and may give nodes work. Without one a pool stays on loopback.

use std::net::IpAddr;
use std::path::Path;

use tonic::codegen::http::{HeaderMap, HeaderValue};
use tonic::{Request, Status};

use crate::access::Secret;

/// Header that carries it.
const HEADER: &str = "graticule-pool-secret";

/// What server and nodes have in common; or nothing.
#[derive(Debug, Clone, Default)]
pub struct PoolSecret(Option<Secret>);

impl PoolSecret {
    /// Reads a file; white space at its ends does not count. Errors are one readable line.
    pub fn read(file: Option<&Path>) -> Result<PoolSecret, String> {
        let secret = file.map(Secret::read).transpose().map_err(|e| format!("--pool-secret {e}"))?;
        Ok(PoolSecret(secret))
    }

    /// True where there is one.
    pub fn is_set(&self) -> bool {
        self.0.is_some()
    }

    /// Puts it into the headers of a request.
    pub fn put(&self, headers: &mut HeaderMap) {
        if let Some(mut value) = self.0.as_ref().and_then(|secret| HeaderValue::from_str(secret.reveal()).ok()) {
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
        match request.metadata().get(HEADER) {
            Some(shown) if secret.matches(shown.as_bytes()) => Ok(()),
            Some(_) => Err(Status::unauthenticated("this is not the pool's secret; server and nodes need the same --pool-secret FILE")),
            None => Err(Status::unauthenticated("the pool's secret is missing; start the node with --pool-secret FILE")),
        }
    }
}

/// Whether a request shows a secret of a pool, this one's or another's.
pub fn is_shown<T>(request: &Request<T>) -> bool {
    request.metadata().contains_key(HEADER)
}

/// Whether an address is of this machine's loopback, also as IPv6 writes IPv4.
pub fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use tonic::metadata::MetadataMap;

    use super::*;

    fn secret(text: &str) -> Result<PoolSecret, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        std::fs::write(&file, text).unwrap();
        PoolSecret::read(Some(&file))
    }

    fn request(with: &PoolSecret) -> Request<()> {
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
        assert!(mine.check(&request(&PoolSecret::default())).unwrap_err().message().contains("missing"));
        // Nobody knows where a request without a connection comes from.
        assert!(PoolSecret::default().check(&request(&PoolSecret::default())).is_err());
        assert_eq!(format!("{mine:?}"), "PoolSecret(Some(Secret(..)))");
    }

    #[test]
    fn a_secret_that_is_none_is_refused() {
        assert!(secret("short").unwrap_err().contains("16 characters"));
        assert!(PoolSecret::read(Some(Path::new("/nowhere/secret"))).unwrap_err().contains("/nowhere/secret"));
        assert!(!PoolSecret::read(None).unwrap().is_set());
    }

    #[test]
    fn loopback_is_loopback_in_both_families() {
        for (address, yes) in [("127.0.0.1", true), ("::1", true), ("::ffff:127.0.0.1", true), ("10.0.0.1", false), ("0.0.0.0", false)] {
            assert_eq!(is_loopback(address.parse().unwrap()), yes, "{address}");
        }
    }
}
