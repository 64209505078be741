//! Errors on the wire: whose fault it is becomes a gRPC code, the place in the text becomes metadata.

use std::error::Error;

use arrow::error::ArrowError;
use arrow_flight::error::FlightError;
use datafusion::error::DataFusionError;
use graticule_query::{ErrorKind, QueryError};
use tonic::metadata::MetadataValue;
use tonic::{Code, Status};

use crate::pool::run::NodeLost;

/// Metadata key of the line, from 1, that an error points at.
pub const LINE: &str = "graticule-line";
/// Metadata key of the column, in characters from 1, that an error points at.
pub const COLUMN: &str = "graticule-column";

/// Metadata key of an error after which asking again is safe, and may help; its value is `safe`.
pub const RETRY: &str = "graticule-retry";

/// Longest message that is sent: gRPC puts it into a header, and headers of some 16 KiB are refused by clients.
const LONGEST_MESSAGE: usize = 4096;

/// The code of a kind of error.
fn code(kind: ErrorKind) -> Code {
    match kind {
        ErrorKind::User => Code::InvalidArgument,
        ErrorKind::NotFound => Code::NotFound,
        ErrorKind::Forbidden => Code::PermissionDenied,
        ErrorKind::Data => Code::DataLoss,
        ErrorKind::Resources => Code::ResourceExhausted,
        ErrorKind::Unsupported => Code::Unimplemented,
        ErrorKind::Internal => Code::Internal,
    }
}

/// A query error as clients see it.
pub fn from_query(error: &QueryError) -> Status {
    let mut status = Status::new(code(error.kind), shortened(&error.message));
    if let Some(position) = error.position {
        let metadata = status.metadata_mut();
        metadata.insert(LINE, MetadataValue::from(position.line));
        metadata.insert(COLUMN, MetadataValue::from(position.column));
    }
    if error.kind == ErrorKind::Internal {
        tracing::error!(error = %error.message, "internal error");
    }
    status
}

/// An error that surfaced while an answer was flowing.
pub fn from_datafusion(error: &DataFusionError) -> Status {
    if let Some(lost) = find::<NodeLost>(error) {
        let mut status = Status::unavailable(shortened(&lost.to_string()));
        status.metadata_mut().insert(RETRY, MetadataValue::from_static("safe"));
        return status;
    }
    match find::<graticule_storage::Error>(error) {
        // Not damaged, only newer than the index: the caller can mend it with REFRESH CUBE and ask again.
        Some(changed @ graticule_storage::Error::Changed { .. }) => Status::failed_precondition(shortened(&changed.to_string())),
        _ => from_query(&query_error(error)),
    }
}

/// What a stream reports, as the query room's own error: one of ours that travelled inside DataFusion's comes out again.
pub fn query_error(error: &DataFusionError) -> QueryError {
    if let Some(ours) = find::<QueryError>(error) {
        return ours.clone();
    }
    if let Some(stored) = find::<graticule_storage::Error>(error) {
        return QueryError::new(storage_kind(stored), stored.to_string());
    }
    let root = error.find_root();
    let kind = match root {
        DataFusionError::ResourcesExhausted(_) => ErrorKind::Resources,
        DataFusionError::NotImplemented(_) => ErrorKind::Unsupported,
        DataFusionError::ArrowError(arrow, _) if arithmetic(arrow) => ErrorKind::User,
        DataFusionError::Plan(_) | DataFusionError::SchemaError(..) | DataFusionError::SQL(..) | DataFusionError::Execution(_) => {
            ErrorKind::User
        }
        _ => ErrorKind::Internal,
    };
    QueryError::new(kind, root.strip_backtrace())
}

/// The outermost error of this type, the error itself included.
fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut cause = Some(error);
    while let Some(e) = cause {
        if let Some(found) = e.downcast_ref::<E>() {
            return Some(found);
        }
        cause = inside(e);
    }
    None
}

/// The next error inside this one. `Box` and `Arc` around an error hide it from `downcast_ref`, so they are opened here.
fn inside<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    if let Some(datafusion) = error.downcast_ref::<DataFusionError>() {
        return match datafusion {
            DataFusionError::External(e) => Some(e.as_ref()),
            DataFusionError::Shared(e) => Some(e.as_ref()),
            DataFusionError::Context(_, e) | DataFusionError::Diagnostic(_, e) => Some(e.as_ref()),
            DataFusionError::ArrowError(e, _) => Some(e.as_ref()),
            DataFusionError::Collection(errors) => errors.first().map(|e| e as _),
            other => other.source(),
        };
    }
    if let Some(ArrowError::ExternalError(e)) = error.downcast_ref::<ArrowError>() {
        return Some(e.as_ref());
    }
    error.source()
}

/// Errors of values, not of ours: a division by zero, an overflow, a text that is not a number.
fn arithmetic(error: &ArrowError) -> bool {
    matches!(
        error,
        ArrowError::DivideByZero
            | ArrowError::ArithmeticOverflow(_)
            | ArrowError::CastError(_)
            | ArrowError::ParseError(_)
            | ArrowError::ComputeError(_)
    )
}

/// Whose fault a storage error is.
fn storage_kind(error: &graticule_storage::Error) -> ErrorKind {
    use graticule_storage::Error as Stored;
    match error {
        Stored::User(_) => ErrorKind::User,
        Stored::NotFound(_) => ErrorKind::NotFound,
        Stored::Forbidden { .. } => ErrorKind::Forbidden,
        Stored::Unsupported { .. } => ErrorKind::Unsupported,
        Stored::Resources(_) => ErrorKind::Resources,
        Stored::Internal(_) => ErrorKind::Internal,
        _ => ErrorKind::Data,
    }
}

/// An error of the encoder.
pub fn from_flight(error: FlightError) -> Status {
    match error {
        FlightError::Tonic(status) => *status,
        other => Status::internal(shortened(&other.to_string())),
    }
}

/// An error of building an answer that should not be possible.
pub fn internal(error: impl std::fmt::Display) -> Status {
    tracing::error!(%error, "internal error");
    Status::internal(shortened(&error.to_string()))
}

/// What a caller is told when a request panicked.
pub fn panicked(panic: &(dyn std::any::Any + Send)) -> Status {
    let what =
        panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("unknown cause");
    internal(format_args!("a mistake in the server ended this request: {what}; please report it"))
}

/// The message, cut at a character where it is longer than a header may be.
fn shortened(message: &str) -> String {
    if message.len() <= LONGEST_MESSAGE {
        return message.to_string();
    }
    let mut end = LONGEST_MESSAGE;
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    format!("{} ...", message.get(..end).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn our_error_comes_out_of_datafusion_again() {
        let ours = || Box::new(QueryError::new(ErrorKind::Forbidden, "no"));
        let wrapped = [
            DataFusionError::External(ours()),
            DataFusionError::Context("while".into(), Box::new(DataFusionError::External(ours()))),
            DataFusionError::Shared(Arc::new(DataFusionError::External(ours()))),
            DataFusionError::ArrowError(Box::new(ArrowError::ExternalError(ours())), None),
        ];
        for error in wrapped {
            let status = from_datafusion(&error);
            assert_eq!((status.code(), status.message()), (Code::PermissionDenied, "no"), "{error:?}");
        }
    }

    #[test]
    fn asking_again_is_safe_where_a_node_was_lost() {
        let lost = NodeLost { node: "http://h:1/".into(), reason: "gone".into() };
        let status = from_datafusion(&DataFusionError::External(Box::new(lost)));
        assert_eq!((status.code(), status.metadata().get(RETRY).unwrap().to_str().unwrap()), (Code::Unavailable, "safe"));
        assert!(from_datafusion(&DataFusionError::Internal("x".into())).metadata().get(RETRY).is_none());
    }

    #[test]
    fn storage_errors_keep_whose_fault_it_is() {
        let error = DataFusionError::External(Box::new(graticule_storage::Error::NotFound("no cube `a`".into())));
        assert_eq!(from_datafusion(&error).code(), Code::NotFound);
    }

    #[test]
    fn values_that_do_not_fit_are_the_users() {
        let error = DataFusionError::ArrowError(Box::new(ArrowError::DivideByZero), None);
        assert_eq!(from_datafusion(&error).code(), Code::InvalidArgument);
        assert_eq!(from_datafusion(&DataFusionError::Internal("x".into())).code(), Code::Internal);
    }

    #[test]
    fn long_messages_are_cut_between_characters() {
        let cut = shortened(&"é".repeat(5000));
        assert!(cut.len() <= LONGEST_MESSAGE + 4 && cut.ends_with(" ..."));
    }
}
