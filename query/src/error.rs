//! The one error type of this room: whose fault, one clear message, and the place in the text that the user typed.

use datafusion::sql::sqlparser::tokenizer::Span;
use graticule_grammar::Position;

/// Whose fault it is; the server maps it to a status code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The query is wrong: syntax, names, types, subsets.
    User,
    /// Something that is asked for is not there.
    NotFound,
    /// The server may not read it.
    Forbidden,
    /// A file is damaged, unsupported, or changed since it was indexed.
    Data,
    /// A limit was reached: memory, time, concurrency.
    Resources,
    /// Not built.
    Unsupported,
    /// A mistake of ours.
    Internal,
}

/// What went wrong with a query.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct QueryError {
    /// Whose fault.
    pub kind: ErrorKind,
    /// What is wrong and what would help; where a place is known, followed by the line of text and a caret.
    pub message: String,
    /// Where in the text that the user typed.
    pub position: Option<Position>,
}

impl QueryError {
    /// An error without a place.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        QueryError { kind, message: message.into(), position: None }
    }

    /// The user's mistake.
    pub fn user(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::User, message)
    }
    /// At the start of a span of the text that sqlparser read; `located` later turns that into the user's place.
    pub(crate) fn at(mut self, span: Span) -> Self {
        let narrow = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        if span.start.line > 0 {
            self.position = Some(Position { line: narrow(span.start.line), column: narrow(span.start.column), offset: 0 });
        }
        self
    }
}
