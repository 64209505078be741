//! Which role a call has: by the token in its `authorization` header, as `Bearer TOKEN` or as `Basic` with the token as password.

use std::sync::Arc;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};
use tonic::transport::server::TcpConnectInfo;
use tonic::{Extensions, Request, Status};

use super::tokens::{Role, Tokens};

/// The header that carries the token.
const HEADER: &str = "authorization";

/// Go's Flight client sends Basic without padding, others with.
const BASE64: GeneralPurpose =
    GeneralPurpose::new(&alphabet::STANDARD, GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent));

/// Longest `authorization` header that is looked at, bytes.
const LONGEST: usize = 4096;

/// How a call reached the server; connections put it among the extensions of their calls.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// Without TLS, although the server speaks TLS.
    pub lacks_tls: bool,
    /// With a certificate that was asked for and is good.
    pub certified: bool,
    /// From where.
    pub peer: TcpConnectInfo,
}

/// The call with its caller's address where tonic looks for it.
pub fn addressed(mut request: Request<()>) -> Request<()> {
    if let Some(peer) = request.extensions().get::<Arrival>().map(|arrival| arrival.peer.clone()) {
        request.extensions_mut().insert(peer);
    }
    request
}

/// Lets calls in. Cheap to clone.
#[derive(Debug, Clone)]
pub enum Gate {
    /// Everybody is an admin.
    Open,
    /// By token.
    Tokens(Arc<Tokens>),
}

impl Gate {
    /// The role of a call. Errors: UNAVAILABLE when it came without TLS and must not, UNAUTHENTICATED without a token that is known.
    pub fn enter(&self, metadata: &MetadataMap, extensions: &Extensions) -> Result<Role, Status> {
        only_over_tls(extensions)?;
        let Gate::Tokens(tokens) = self else { return Ok(Role::Admin) };
        let token = presented(metadata)?.ok_or_else(|| {
            Status::unauthenticated(
                "this server asks for a token: set GRATICULE_TOKEN, or give token=... to connect(), --token-file to the program, or the token as the password of any user",
            )
        })?;
        tokens.role(&token).ok_or_else(|| Status::unauthenticated("the server does not know this token; ask whoever runs it for one"))
    }

    /// The answer to a handshake: what the client shows from now on, where tokens are asked for.
    pub fn welcome(&self, metadata: &MetadataMap, extensions: &Extensions) -> Result<Option<MetadataValue<Ascii>>, Status> {
        self.enter(metadata, extensions)?;
        let (Gate::Tokens(_), Some(token)) = (self, presented(metadata)?) else { return Ok(None) };
        let token = std::str::from_utf8(&token).map_err(|_| unreadable())?;
        let mut value = MetadataValue::try_from(format!("Bearer {token}")).map_err(|_| unreadable())?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

/// An error for a call that came without TLS to a server that speaks TLS.
pub fn only_over_tls(extensions: &Extensions) -> Result<(), Status> {
    match extensions.get::<Arrival>() {
        Some(arrival) if arrival.lacks_tls => Err(Status::unavailable("this server speaks TLS: use grpcs:// instead of grpc://")),
        _ => Ok(()),
    }
}

/// The token that a call shows; `None` when it shows none.
fn presented(metadata: &MetadataMap) -> Result<Option<Vec<u8>>, Status> {
    let Some(value) = metadata.get(HEADER) else { return Ok(None) };
    let value = value.to_str().ok().filter(|value| value.len() <= LONGEST).ok_or_else(unreadable)?;
    let (scheme, rest) = value.split_once(' ').ok_or_else(unreadable)?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Ok(Some(rest.as_bytes().to_vec()));
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(unreadable());
    }
    let decoded = BASE64.decode(rest).map_err(|_| unreadable())?;
    let colon = decoded.iter().position(|&b| b == b':').ok_or_else(unreadable)?;
    Ok(decoded.get(colon + 1..).map(<[u8]>::to_vec))
}

/// Says nothing of what was in it: it may be most of a token.
fn unreadable() -> Status {
    Status::unauthenticated("the authorization header is neither `Bearer TOKEN` nor `Basic` with the token as password")
}

/// An error unless the role is that of an admin.
pub fn only_admin(role: Role) -> Result<(), Status> {
    match role {
        Role::Admin => Ok(()),
        Role::Reader => Err(Status::permission_denied(
            "this token may only read; CREATE, DROP, REFRESH, ANALYZE, SET and other statements with an effect need one with the role admin",
        )),
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    fn gate() -> Gate {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "reader aaaaaaaaaaaaaaaaaaaa\nadmin bbbbbbbbbbbbbbbbbbbb").unwrap();
        Gate::Tokens(Arc::new(Tokens::read(file.path()).unwrap()))
    }

    fn entered(authorization: &str) -> Result<Role, Code> {
        let mut metadata = MetadataMap::new();
        metadata.insert(HEADER, authorization.parse().unwrap());
        let ended = gate().enter(&metadata, &Extensions::new());
        if let Err(status) = &ended {
            assert!(!status.message().contains("aaaa"), "{status}");
        }
        ended.map_err(|status| status.code())
    }

    #[test]
    fn a_token_is_a_bearer_or_a_password() {
        assert_eq!(entered("Bearer aaaaaaaaaaaaaaaaaaaa"), Ok(Role::Reader));
        assert_eq!(entered("bearer bbbbbbbbbbbbbbbbbbbb"), Ok(Role::Admin));
        let basic = |text: &str| entered(&format!("Basic {}", BASE64.encode(text)));
        assert_eq!(basic("anybody:bbbbbbbbbbbbbbbbbbbb"), Ok(Role::Admin));
        let unpadded = BASE64.encode("me:bbbbbbbbbbbbbbbbbbbb").trim_end_matches('=').to_owned();
        assert_eq!(entered(&format!("Basic {unpadded}")), Ok(Role::Admin));
        assert_eq!(basic(":aaaaaaaaaaaaaaaaaaaa"), Ok(Role::Reader));
        assert_eq!(basic("bbbbbbbbbbbbbbbbbbbb:"), Err(Code::Unauthenticated));
        for wrong in
            ["Bearer aaaaaaaaaaaaaaaaaaa", "Bearer", "Digest aaaaaaaaaaaaaaaaaaaa", "Basic aaaaaaaaaaaaaaaaaaaa!", "aaaaaaaaaaaaaaaaaaaa"]
        {
            assert_eq!(entered(wrong), Err(Code::Unauthenticated), "{wrong}");
        }
    }

    #[test]
    fn without_tokens_everybody_is_an_admin_and_without_a_token_nobody() {
        let (metadata, extensions) = (MetadataMap::new(), Extensions::new());
        assert_eq!(Gate::Open.enter(&metadata, &extensions).unwrap(), Role::Admin);
        let status = gate().enter(&metadata, &extensions).unwrap_err();
        assert!(status.code() == Code::Unauthenticated && status.message().contains("GRATICULE_TOKEN"), "{status}");
    }

    #[test]
    fn who_comes_without_tls_is_told() {
        let mut extensions = Extensions::new();
        extensions.insert(Arrival { lacks_tls: true, certified: false, peer: TcpConnectInfo { local_addr: None, remote_addr: None } });
        let status = Gate::Open.enter(&MetadataMap::new(), &extensions).unwrap_err();
        assert!(status.message().contains("grpcs://"), "{status}");
    }
}
