//! Failures of nodes, told apart from mistakes in queries. Errors cross processes as text (datafusion-distributed keeps only the
//! words of errors that it does not know), so ours are written in a form that is found again.

use std::error::Error;

use datafusion::error::DataFusionError;
use graticule_query::{ErrorKind, QueryError};
use serde::{Deserialize, Serialize};

/// In front of the JSON of a failure.
const MARK: &str = "graticule-pool-error:";

/// What went wrong in the pool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Failure {
    /// A node died, hung, or cannot do its part: others can.
    Node {
        /// Its URL.
        node: String,
        /// For people.
        reason: String,
    },
    /// The catalog changed between planning here and planning there: nobody's fault.
    Outdated,
    /// The query's own error, met on a node.
    Query {
        /// Of [`ErrorKind`].
        kind: String,
        /// For people.
        message: String,
    },
    /// A file changed since it was indexed.
    Changed {
        /// Path or URL.
        object: String,
        /// Which mark differs.
        what: String,
    },
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{MARK}{}", serde_json::to_string(self).unwrap_or_default())
    }
}

impl Error for Failure {}

impl From<Failure> for DataFusionError {
    fn from(failure: Failure) -> Self {
        DataFusionError::External(Box::new(failure))
    }
}

const KINDS: [(&str, ErrorKind); 7] = [
    ("user", ErrorKind::User),
    ("not found", ErrorKind::NotFound),
    ("forbidden", ErrorKind::Forbidden),
    ("data", ErrorKind::Data),
    ("resources", ErrorKind::Resources),
    ("unsupported", ErrorKind::Unsupported),
    ("internal", ErrorKind::Internal),
];

impl Failure {
    /// The failure inside an error, also one that has crossed processes.
    pub fn of(error: &DataFusionError) -> Option<Failure> {
        let text = error.to_string();
        let (_, json) = text.split_once(MARK)?;
        serde_json::Deserializer::from_str(json).into_iter().next()?.ok()
    }

    /// A query's own error, to cross processes.
    pub fn query(error: &QueryError) -> Failure {
        let kind = KINDS.iter().find(|(_, kind)| *kind == error.kind).map_or("internal", |(name, _)| name);
        Failure::Query { kind: kind.to_owned(), message: error.message.clone() }
    }

    /// An error that a leaf met on node `node`: files that this node cannot read are its failure, all else is the query's.
    pub fn met(error: DataFusionError, node: &str) -> DataFusionError {
        use graticule_storage::Error as Stored;
        if Failure::of(&error).is_some() {
            return error;
        }
        match find_stored(&error) {
            Some(stored @ (Stored::NotFound(_) | Stored::Forbidden { .. } | Stored::Io { .. })) => {
                Failure::Node { node: node.to_owned(), reason: stored.to_string() }.into()
            }
            Some(Stored::Changed { object, what }) => Failure::Changed { object: object.clone(), what: what.clone() }.into(),
            _ => match &error {
                // Those that datafusion-distributed knows keep their kind.
                DataFusionError::External(_) | DataFusionError::Context(..) | DataFusionError::Shared(_) => {
                    Failure::query(&crate::flight::status::query_error(&error)).into()
                }
                _ => error,
            },
        }
    }

    /// The error as it would be had the query run in this process; `None` for a node's failure.
    pub fn into_own(self) -> Option<DataFusionError> {
        match self {
            Failure::Node { .. } | Failure::Outdated => None,
            Failure::Query { kind, message } => {
                let kind = KINDS.iter().find(|(name, _)| *name == kind).map_or(ErrorKind::Internal, |(_, kind)| *kind);
                Some(DataFusionError::External(Box::new(QueryError::new(kind, message))))
            }
            Failure::Changed { object, what } => {
                Some(DataFusionError::External(Box::new(graticule_storage::Error::Changed { object, what })))
            }
        }
    }
}

fn find_stored(error: &DataFusionError) -> Option<&graticule_storage::Error> {
    match error {
        DataFusionError::External(inner) => inner.downcast_ref::<graticule_storage::Error>().or_else(|| find_stored(inner.downcast_ref()?)),
        DataFusionError::Context(_, inner) => find_stored(inner),
        DataFusionError::Shared(inner) => find_stored(inner),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_found_after_they_were_only_words() {
        let failure = Failure::Node { node: "http://h:1/".into(), reason: "it said \"no\" {}".into() };
        let words = format!("External error: Shared: {failure} and so on");
        assert_eq!(Failure::of(&DataFusionError::Execution(words)), Some(failure));
        assert_eq!(Failure::of(&DataFusionError::Execution("no".into())), None);
        assert_eq!(Failure::of(&DataFusionError::Execution(format!("{MARK}garbage"))), None);
    }

    #[test]
    fn a_file_that_a_node_cannot_read_is_its_failure_and_bad_data_is_not() {
        let met = |stored: graticule_storage::Error| Failure::of(&Failure::met(DataFusionError::External(Box::new(stored)), "n"));
        let io = graticule_storage::Error::Io { object: "/a".into(), reason: "gone".into() };
        assert_eq!(met(io), Some(Failure::Node { node: "n".into(), reason: "/a: gone".into() }));
        let Some(Failure::Query { kind, message }) = met(graticule_storage::Error::data("/a", "bad chunk")) else { panic!() };
        assert_eq!((kind.as_str(), message.as_str()), ("data", "/a: bad chunk"));
        let changed = met(graticule_storage::Error::Changed { object: "/a".into(), what: "size".into() }).unwrap();
        let own = changed.into_own().unwrap();
        assert!(matches!(find_stored(&own), Some(graticule_storage::Error::Changed { .. })));
    }
}
