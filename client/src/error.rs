//! What can go wrong for a client: the query, the connection, or an answer that is not understood.

use arrow_flight::error::FlightError;
use tonic::{Code, Status};

use crate::wire::{COLUMN_HEADER, LINE_HEADER, RETRY_HEADER};

/// Why a call failed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The server refused the query or failed while it ran it.
    #[error("{message}")]
    Query {
        /// What is wrong and what would help, as the server says it.
        message: String,
        /// Line of the text that was sent, from 1, where a place is known.
        line: Option<u32>,
        /// Column in characters, from 1.
        column: Option<u32>,
        /// The gRPC status: `InvalidArgument`, `NotFound`, `ResourceExhausted`, ...
        /// `Unavailable` only where the server says that asking again is safe ([`Error::again_is_safe`]).
        code: Code,
    },
    /// The server cannot be reached, the connection broke, or the server does not know the token.
    #[error("{message}")]
    Connection {
        /// Where to and why.
        message: String,
    },
    /// The server answered something that this client does not understand.
    #[error("cannot understand the server's answer: {message}")]
    Answer {
        /// What is wrong with it.
        message: String,
    },
}

impl Error {
    pub(crate) fn connection(message: impl Into<String>) -> Self {
        Error::Connection { message: message.into() }
    }

    /// True where the server says that asking again is safe, and may help: it lost a node while it answered. `sql` and `array`
    /// have done so once, where nothing of the answer had been handed over.
    pub fn again_is_safe(&self) -> bool {
        matches!(self, Error::Query { code: Code::Unavailable, .. })
    }

    pub(crate) fn answer(message: impl Into<String>) -> Self {
        Error::Answer { message: message.into() }
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        let number = |key: &str| status.metadata().get(key).and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok());
        // A broken transport has a source (hyper's error); what the server says has none.
        let broken =
            std::error::Error::source(&status).is_some() && matches!(status.code(), Code::Unknown | Code::Internal | Code::Cancelled);
        let again = status.code() == Code::Unavailable && status.metadata().get(RETRY_HEADER).is_some_and(|v| v == "safe");
        if !again && (status.code() == Code::Unavailable || status.code() == Code::Unauthenticated || broken) {
            return Error::connection(match (std::error::Error::source(&status), status.message()) {
                (Some(source), _) => format!("the connection failed: {}", crate::channel::root(source)),
                (None, "") => format!("the connection failed: {}", status.code()),
                (None, text) => text.to_owned(),
            });
        }
        Error::Query {
            message: if status.message().is_empty() { status.code().to_string() } else { status.message().to_owned() },
            line: number(LINE_HEADER),
            column: number(COLUMN_HEADER),
            code: status.code(),
        }
    }
}

impl From<FlightError> for Error {
    fn from(error: FlightError) -> Self {
        match error {
            FlightError::Tonic(status) => Error::from(*status),
            other => Error::answer(other.to_string()),
        }
    }
}

impl From<arrow::error::ArrowError> for Error {
    fn from(error: arrow::error::ArrowError) -> Self {
        Error::answer(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic::metadata::MetadataMap;

    #[test]
    fn a_status_with_a_place_is_a_query_error() {
        let mut trailers = MetadataMap::new();
        trailers.insert(LINE_HEADER, 2.into());
        trailers.insert(COLUMN_HEADER, 17.into());
        let error = Error::from(Status::with_metadata(Code::InvalidArgument, "unknown column 'tm2'", trailers));
        assert!(
            matches!(error, Error::Query { ref message, line: Some(2), column: Some(17), code: Code::InvalidArgument } if message == "unknown column 'tm2'")
        );
    }

    #[test]
    fn a_lost_node_is_told_apart_from_a_lost_server() {
        let mut trailers = MetadataMap::new();
        trailers.insert(RETRY_HEADER, "safe".parse().unwrap());
        assert!(Error::from(Status::with_metadata(Code::Unavailable, "node n failed", trailers)).again_is_safe());
        assert!(!Error::from(Status::unavailable("the server is stopping")).again_is_safe());
    }

    #[test]
    fn unavailable_is_a_connection_error() {
        assert!(matches!(Error::from(Status::unavailable("connection refused")), Error::Connection { .. }));
        assert!(matches!(Error::from(Status::internal("a mistake of ours")), Error::Query { line: None, .. }));
    }
}
