//! What a server must have before other machines can reach it.

use std::net::SocketAddr;

use crate::config::Settings;

/// An error for a server that others could reach and that asks for nothing; a warning where half of the protection is missing.
pub fn check(settings: &Settings, address: SocketAddr) -> Result<Option<&'static str>, String> {
    let encrypted = settings.tls_cert.is_some();
    let asked = settings.tokens.is_some() || settings.tls_client_ca.is_some();
    if address.ip().to_canonical().is_loopback() {
        return Ok(None);
    }
    match (encrypted, asked) {
        (true, true) => Ok(None),
        _ if settings.insecure => Ok(None),
        (true, false) => Ok(Some("anybody who can reach this server may ask and change it: --tokens FILE asks for a token")),
        (false, true) => Ok(Some("tokens and answers can be read on their way: --tls-cert FILE --tls-key FILE encrypts them")),
        (false, false) => Err(format!(
            "{address} can be reached from other machines, and anybody there could read and change what is served: give \
             --tokens FILE to ask for tokens and --tls-cert FILE --tls-key FILE to encrypt, or listen on 127.0.0.1 only, or, in a \
             network that you trust, say --insecure"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(address: &str, change: impl Fn(&mut Settings)) -> Result<Option<&'static str>, String> {
        let mut settings = Settings::default();
        change(&mut settings);
        check(&settings, address.parse().unwrap())
    }

    #[test]
    fn loopback_needs_nothing() {
        for address in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            assert_eq!(checked(address, |_| {}), Ok(None));
        }
    }

    #[test]
    fn elsewhere_something_is_needed() {
        for address in ["0.0.0.0:1", "[::]:1", "10.0.0.7:1"] {
            let error = checked(address, |_| {}).unwrap_err();
            assert!(
                ["--tokens", "--tls-cert", "--insecure", address].iter().all(|part| error.contains(part)) && !error.contains('\n'),
                "{error}"
            );
            assert_eq!(checked(address, |s| s.insecure = true), Ok(None));
            assert!(checked(address, |s| s.tokens = Some("t".into())).unwrap().unwrap().contains("--tls-cert"));
            assert!(checked(address, |s| s.tls_cert = Some("c".into())).unwrap().unwrap().contains("--tokens"));
            let both = |s: &mut Settings| (s.tls_cert, s.tokens) = (Some("c".into()), Some("t".into()));
            assert_eq!(checked(address, both), Ok(None));
        }
    }
}
