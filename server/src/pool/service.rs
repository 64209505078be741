//! What nodes ask of the server: Flight actions at its door, each with the pool's secret.

use std::pin::Pin;
use std::time::Instant;

use arrow_flight::Action;
use futures::{Stream, StreamExt, stream};
use prost::Message;
use tonic::{Request, Status};
use url::{Host, Url};
use uuid::Uuid;

use super::Pool;
use super::membership::AGAIN;
use super::protocol::{BULK, GOODBYE, HELLO, Hello, OUTLINE, OutlineMessage, RECIPE, RECORDS, Records, Welcome};
use super::secret::is_loopback;

/// Bytes of records in one message, about.
const MESSAGE_BYTES: usize = 1 << 20;

/// Bytes of what a node says about itself, each.
const LONGEST: usize = 512;

/// Cores of a node, at most: as many as `--threads` takes.
const MOST_CORES: u32 = 4096;

/// Results of an action.
pub type Results = Pin<Box<dyn Stream<Item = Result<arrow_flight::Result, Status>> + Send>>;

/// True for the name of an action of the pool.
pub fn is_action(name: &str) -> bool {
    [HELLO, GOODBYE, OUTLINE, RECORDS, RECIPE, BULK].contains(&name)
}

fn results(messages: Vec<Vec<u8>>) -> Results {
    stream::iter(messages.into_iter().map(|body| Ok(arrow_flight::Result { body: body.into() }))).boxed()
}

fn read<T: Message + Default>(action: &Action) -> Result<T, Status> {
    T::decode(action.body.as_ref()).map_err(|e| Status::invalid_argument(format!("{}: {e}", action.r#type)))
}

impl Pool {
    /// True where only who knows a secret may join.
    pub fn has_secret(&self) -> bool {
        self.credentials.have_secret()
    }

    /// An error unless a call comes from somebody who may join.
    pub fn knows<T>(&self, request: &Request<T>) -> Result<(), Status> {
        self.credentials.check(request)
    }

    /// Answers an action of the pool.
    pub fn action(&self, request: Request<Action>) -> Result<Results, Status> {
        self.knows(&request)?;
        let action = request.into_inner();
        match action.r#type.as_str() {
            HELLO => {
                let hello = self.checked(read(&action)?)?;
                let (url, failure, now) = (hello.url.clone(), hello.failure.chars().take(LONGEST).collect::<String>(), Instant::now());
                let mut members = self.members.lock();
                members.hello(hello, now)?;
                if !failure.is_empty() {
                    members.failed(&url, &failure, now);
                }
                drop(members);
                let welcome = Welcome { again_millis: AGAIN.as_millis() as u64, cancelled: self.lately_cancelled() };
                Ok(results(vec![welcome.encode_to_vec()]))
            }
            GOODBYE => {
                self.members.lock().goodbye(&read(&action)?);
                Ok(results(vec![]))
            }
            OUTLINE => Ok(results(vec![OutlineMessage::from(self.engine.catalog().outline()).encode_to_vec()])),
            RECORDS => {
                let name = std::str::from_utf8(&action.body).map_err(|e| Status::invalid_argument(format!("{RECORDS}: {e}")))?;
                let records = self.engine.catalog().records_of(name).map_err(|e| Status::internal(e.to_string()))?;
                let (mut messages, mut message, mut bytes) = (vec![], Records::default(), 0);
                for (key, value) in records {
                    bytes += key.len() + value.len();
                    message.keys.push(key);
                    message.values.push(value);
                    if bytes > MESSAGE_BYTES {
                        messages.push(std::mem::take(&mut message).encode_to_vec());
                        bytes = 0;
                    }
                }
                messages.push(message.encode_to_vec());
                Ok(results(messages))
            }
            RECIPE => {
                let query = Uuid::from_slice(&action.body).map_err(|e| Status::invalid_argument(format!("{RECIPE}: {e}")))?;
                let recipe = self.recipes.lock().get(&query).cloned();
                let recipe = recipe.ok_or_else(|| Status::not_found("this query does not run any more"))?;
                Ok(results(vec![recipe.encode_to_vec()]))
            }
            BULK => {
                let query = Uuid::from_slice(&action.body).map_err(|e| Status::invalid_argument(format!("{BULK}: {e}")))?;
                Ok(results(vec![self.pending_bulk(&query)?.encode_to_vec()]))
            }
            other => Err(Status::unimplemented(format!("action `{other}` is not supported"))),
        }
    }

    /// A node whose address can be used: without a secret, one of this machine.
    fn checked(&self, hello: Hello) -> Result<Hello, Status> {
        // What is said here is shown to people, sent on in errors, and decides how plans are cut.
        if hello.url.len() > LONGEST || hello.build.len() > LONGEST {
            return Err(Status::invalid_argument(format!("a node's address and build have at most {LONGEST} bytes")));
        }
        if !(1..=MOST_CORES).contains(&hello.cores) {
            return Err(Status::invalid_argument(format!("a node of {} cores; it must be 1 to {MOST_CORES}", hello.cores)));
        }
        let url = Url::parse(&hello.url).map_err(|e| Status::invalid_argument(format!("the node's address {}: {e}", hello.url)))?;
        let more = url.path() != "/"
            || url.query().is_some()
            || url.fragment().is_some()
            || !url.username().is_empty()
            || url.password().is_some();
        if !matches!(url.scheme(), "http" | "https") || more || url.port_or_known_default().is_none_or(|port| port == 0) {
            return Err(Status::invalid_argument(format!("the node's address {url} is not http://host:port/ or https://host:port/")));
        }
        match (url.scheme() == "https", self.credentials.are_mutual()) {
            (true, true) | (false, false) => {}
            (true, false) => {
                return Err(Status::failed_precondition(
                    "the node speaks TLS and the server does not know its authority: start the server with --pool-ca FILE",
                ));
            }
            (false, true) => {
                return Err(Status::failed_precondition(
                    "nodes of this pool speak TLS: start the node with --tls-cert FILE --tls-key FILE --pool-ca FILE",
                ));
            }
        }
        let local = match url.host() {
            Some(Host::Ipv4(address)) => is_loopback(address.into()),
            Some(Host::Ipv6(address)) => is_loopback(address.into()),
            Some(Host::Domain(name)) => name == "localhost",
            None => return Err(Status::invalid_argument(format!("the node's address {url} names no host"))),
        };
        if !local && !self.credentials.have_secret() {
            return Err(Status::unauthenticated(format!(
                "this pool has no secret and gives no work to {url}, which is not on loopback; start server and nodes with --pool-secret FILE"
            )));
        }
        Ok(Hello { url: url.to_string(), ..hello })
    }
}
