//! How a client shows who it is, and whom it trusts: a token, authorities of certificates, a certificate of its own.

use std::fmt;
use std::path::Path;

use tonic::metadata::{Ascii, MetadataValue};

use crate::{Error, Result};

/// Environment variable with the token to show.
pub const TOKEN_VARIABLE: &str = "GRATICULE_TOKEN";

/// Environment variable with a file of authorities to trust, in PEM.
pub const TLS_CA_VARIABLE: &str = "GRATICULE_TLS_CA";

/// Options of a connection. Printing it shows no secret.
#[derive(Clone, Default)]
pub struct Options {
    /// `Bearer ...`, as it is sent.
    pub(crate) authorization: Option<MetadataValue<Ascii>>,
    /// Authorities in PEM, in place of those of this machine.
    pub(crate) tls_ca: Option<Vec<u8>>,
    /// Certificate chain and key in PEM.
    pub(crate) tls_identity: Option<(Vec<u8>, Vec<u8>)>,
}

impl Options {
    /// No token, and the authorities that this machine trusts.
    pub fn new() -> Options {
        Options::default()
    }

    /// What [`TOKEN_VARIABLE`] and [`TLS_CA_VARIABLE`] say; an error when they say something that cannot be used.
    pub fn from_environment() -> Result<Options> {
        let mut options = Options::new();
        if let Some(token) = std::env::var(TOKEN_VARIABLE).ok().filter(|token| !token.is_empty()) {
            options = options.token(&token).map_err(|e| Error::connection(format!("{TOKEN_VARIABLE}: {e}")))?;
        }
        if let Some(file) = std::env::var_os(TLS_CA_VARIABLE).filter(|file| !file.is_empty()) {
            options = options.tls_ca_file(Path::new(&file)).map_err(|e| Error::connection(format!("{TLS_CA_VARIABLE}: {e}")))?;
        }
        Ok(options)
    }

    /// Shows this token with every call. White space around it is not part of it.
    pub fn token(mut self, token: &str) -> Result<Options> {
        let token = token.trim();
        let value = (!token.is_empty()).then(|| MetadataValue::try_from(format!("Bearer {token}")).ok()).flatten();
        let mut value = value.ok_or_else(|| Error::connection("a token is a line of letters, digits and signs, without spaces"))?;
        value.set_sensitive(true);
        self.authorization = Some(value);
        Ok(self)
    }

    /// Shows the token that this file holds.
    pub fn token_file(self, file: &Path) -> Result<Options> {
        let text = std::fs::read_to_string(file).map_err(|e| Error::connection(format!("token file {}: {e}", file.display())))?;
        self.token(&text).map_err(|e| Error::connection(format!("token file {}: {e}", file.display())))
    }

    /// Trusts servers whose certificates were signed by one of these authorities (PEM), and no others. A certificate that was
    /// signed by itself is its own authority.
    pub fn tls_ca(mut self, pem: impl Into<Vec<u8>>) -> Options {
        self.tls_ca = Some(pem.into());
        self
    }

    /// [`Options::tls_ca`] from a file.
    pub fn tls_ca_file(self, file: &Path) -> Result<Options> {
        let pem = std::fs::read(file).map_err(|e| Error::connection(format!("file of authorities {}: {e}", file.display())))?;
        Ok(self.tls_ca(pem))
    }

    /// Shows this certificate chain with its key (both PEM) to servers that ask for one.
    pub fn tls_identity(mut self, certificates: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Options {
        self.tls_identity = Some((certificates.into(), key.into()));
        self
    }

    /// The same without the token: for a place that must not learn it.
    pub(crate) fn without_token(&self) -> Options {
        Options { authorization: None, ..self.clone() }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("token", &self.authorization.is_some())
            .field("tls_ca", &self.tls_ca.is_some())
            .field("tls_identity", &self.tls_identity.is_some())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_never_printed() {
        let options = Options::new().token(" correct-horse\n").unwrap().tls_identity("certificate", "private");
        let printed = format!("{options:?} {:?}", options.authorization);
        assert!(!printed.contains("horse") && !printed.contains("private"), "{printed}");
        assert_eq!(options.authorization.unwrap().to_str().unwrap(), "Bearer correct-horse");
    }

    #[test]
    fn what_is_no_token_is_refused() {
        assert!(Options::new().token(" \n").is_err());
        assert!(Options::new().token("two\nlines").is_err());
    }
}
