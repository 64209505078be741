//! The one error type of this room. Variants say whose fault it is; each carries the object, place, expected and found.

use std::ops::Range;

/// What storage functions return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong between a file and a tile.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The caller asked for something that cannot be: an unknown name, an empty path list, a bad pattern.
    #[error("{0}")]
    User(String),
    /// A cube, array or file that is not there.
    #[error("{0}")]
    NotFound(String),
    /// A file that this server may not read: outside its roots, or permission denied.
    #[error("{object}: {reason}")]
    Forbidden {
        /// Path or URL.
        object: String,
        /// Why, and what would help.
        reason: String,
    },
    /// The bytes of a file are not what its format or its own headers promise.
    #[error("{object}{}: {what}", at(.range))]
    Data {
        /// Path or URL, with the array inside it where known (`/data/a.nc:/t2m`).
        object: String,
        /// The bytes in question, half-open, where known.
        range: Option<Range<u64>>,
        /// What was expected and what was found.
        what: String,
    },
    /// A file uses a feature that is not read (yet). Never wrong numbers instead.
    #[error("{object}: unsupported {feature}")]
    Unsupported {
        /// Path or URL, with the array inside it where known.
        object: String,
        /// The feature, in the words of the format's specification.
        feature: String,
    },
    /// A file is no longer the one that was indexed.
    #[error("{object} changed since it was indexed: {what}; run REFRESH CUBE to index it again")]
    Changed {
        /// Path or URL.
        object: String,
        /// Which mark differs: size, modification time or ETag; then and now.
        what: String,
    },
    /// The files of one cube do not fit on one grid.
    #[error("{object}: axis {axis}: {what}")]
    Grid {
        /// The file that does not fit.
        object: String,
        /// The axis on which it does not.
        axis: String,
        /// The first coordinate that differs, expected and found.
        what: String,
    },
    /// Memory, disk or time ran out.
    #[error("{0}")]
    Resources(String),
    /// Reading or writing failed below us.
    #[error("{object}: {reason}")]
    Io {
        /// Path or URL.
        object: String,
        /// What the system or the object store said.
        reason: String,
    },
    /// A mistake of ours.
    #[error("internal error: {0} (please report it)")]
    Internal(String),
}

fn at(range: &Option<Range<u64>>) -> String {
    range.as_ref().map_or(String::new(), |r| format!(", bytes {}..{}", r.start, r.end))
}

impl Error {
    /// Bad bytes in `object`, without a byte range.
    pub fn data(object: impl Into<String>, what: impl Into<String>) -> Self {
        Error::Data { object: object.into(), range: None, what: what.into() }
    }

    /// Bad bytes in `object` at `range`.
    pub fn data_at(object: impl Into<String>, range: Range<u64>, what: impl Into<String>) -> Self {
        Error::Data { object: object.into(), range: Some(range), what: what.into() }
    }

    /// A feature of a format that is not read.
    pub fn unsupported(object: impl Into<String>, feature: impl Into<String>) -> Self {
        Error::Unsupported { object: object.into(), feature: feature.into() }
    }
}
