//! The one error type of this room: whose fault, one clear message, and the place in the text that the user typed.
//! What DataFusion says is put into the words of the dialect in `datafusion.rs`.

mod datafusion;

use ::datafusion::error::DataFusionError;
use ::datafusion::sql::sqlparser::ast::Ident;
use ::datafusion::sql::sqlparser::tokenizer::Span;
use graticule_grammar::{Desugared, GrammarError, Position, render};

use crate::bind::names::did_you_mean;

/// Names that a message lists at most.
const LISTED: usize = 30;

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
    /// Where in the SQL that was parsed, until [`QueryError::located`] makes a position of it.
    place: Option<Place>,
}

/// A place in the SQL that was parsed, which is not the text that the user typed where array constructs were in it.
#[derive(Debug, Clone, PartialEq)]
enum Place {
    /// Line and column, both from 1.
    At(u64, u64),
    /// Where this word stands, if it stands in one place only.
    Word(String),
}

impl QueryError {
    /// An error without a place.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        QueryError { kind, message: message.into(), position: None, place: None }
    }

    /// The user's mistake.
    pub fn user(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::User, message)
    }

    /// At the start of a span of the SQL that was parsed. An earlier place stays: it is nearer to the cause.
    pub(crate) fn at(self, span: Span) -> Self {
        self.at_line(span.start.line, span.start.column)
    }

    /// At a line and column (from 1) of the SQL that was parsed; line 0 is unknown.
    fn at_line(mut self, line: u64, column: u64) -> Self {
        if line > 0 && !matches!(self.place, Some(Place::At(..))) {
            self.place = Some(Place::At(line, column));
        }
        self
    }

    /// Where `word` stands, if it stands in one place only.
    fn at_word(mut self, word: &str) -> Self {
        if self.place.is_none() {
            self.place = Some(Place::Word(word.to_owned()));
        }
        self
    }

    /// With its place in the text that the user typed, and the line of text with a caret at the end of the message.
    pub fn located(mut self, query: &Desugared) -> Self {
        if self.position.is_some() {
            return self;
        }
        let position = match self.place.take() {
            Some(Place::At(line, column)) => Some(query.original(line, column)),
            Some(Place::Word(word)) => only_word(&query.sql, &word).map(|offset| query.original_offset(offset)),
            None => None,
        };
        if let Some(position) = position {
            self.message = render(query.text(), position, &self.message);
            self.position = Some(position);
        }
        self
    }

    /// The place in the SQL that was parsed.
    #[cfg(test)]
    pub(crate) fn line_and_column(&self) -> Option<(u64, u64)> {
        match self.place {
            Some(Place::At(line, column)) => Some((line, column)),
            _ => None,
        }
    }

    /// A cube (or other table) that does not exist; `known` are those that do.
    pub(crate) fn no_such_cube(name: &str, known: &[String]) -> Self {
        if known.iter().any(|k| k == name) {
            // `scene.tif` is a table of a schema; `"scene.tif"` is a cube.
            let quoted = Ident::with_quote('"', name);
            return Self::new(ErrorKind::NotFound, format!("cube `{name}` does not exist; the name needs quotes: {quoted}"));
        }
        let suggestion = did_you_mean(name, known.iter().map(String::as_str));
        let list = if known.is_empty() { "there are none: CREATE CUBE makes one".to_owned() } else { format!("cubes: {}", listed(known)) };
        Self::new(ErrorKind::NotFound, format!("cube `{name}` does not exist{suggestion} ({list})"))
    }
}

/// Names in a row, not too many of them.
fn listed(names: &[String]) -> String {
    let shown = names.iter().take(LISTED).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().checked_sub(LISTED) {
        None | Some(0) => shown,
        Some(more) => format!("{shown} and {more} more"),
    }
}

/// The byte offset of a word that stands in a text exactly once, whatever its case.
fn only_word(text: &str, word: &str) -> Option<usize> {
    let (lower, wanted) = (text.to_ascii_lowercase(), word.to_ascii_lowercase());
    let in_word = |c: char| c.is_alphanumeric() || c == '_';
    let whole = |&(at, found): &(usize, &str)| {
        let before = lower.get(..at).and_then(|s| s.chars().next_back());
        let after = lower.get(at + found.len()..).and_then(|s| s.chars().next());
        !before.is_some_and(in_word) && !after.is_some_and(in_word)
    };
    if wanted.is_empty() {
        return None;
    }
    let mut places = lower.match_indices(&wanted).filter(whole);
    match (places.next(), places.next()) {
        (Some((at, _)), None) => Some(at),
        _ => None,
    }
}

impl From<GrammarError> for QueryError {
    fn from(error: GrammarError) -> Self {
        QueryError { kind: ErrorKind::User, message: error.to_string(), position: Some(error.position), place: None }
    }
}

impl From<graticule_storage::Error> for QueryError {
    fn from(error: graticule_storage::Error) -> Self {
        use graticule_storage::Error;
        let kind = match &error {
            Error::User(_) => ErrorKind::User,
            Error::NotFound(_) => ErrorKind::NotFound,
            Error::Forbidden { .. } => ErrorKind::Forbidden,
            Error::Data { .. } | Error::Unsupported { .. } | Error::Changed { .. } | Error::Grid { .. } | Error::Io { .. } => {
                ErrorKind::Data
            }
            Error::Resources(_) => ErrorKind::Resources,
            Error::Internal(_) => ErrorKind::Internal,
        };
        QueryError::new(kind, error.to_string())
    }
}

/// Errors of ours travel through DataFusion as external ones and come out again as they went in.
impl From<QueryError> for DataFusionError {
    fn from(error: QueryError) -> Self {
        DataFusionError::External(Box::new(error))
    }
}

#[cfg(test)]
mod tests {
    use graticule_grammar::{Statement, parse};

    use super::*;

    fn desugared(text: &str) -> Desugared {
        let Statement::Query(query) = parse(text).unwrap() else { panic!("{text}") };
        query
    }

    #[test]
    fn places_are_those_of_the_text_that_was_typed() {
        let query = desugared("SELECT foo\nFROM era5[time('2020')] WHERE bar");
        let column = |text: &str| {
            let offset = query.sql.find(text).unwrap() - query.sql.find('\n').unwrap();
            offset as u64
        };
        let error = QueryError::user("no bar").at_line(2, column("bar")).located(&query);
        assert_eq!(error.message, "no bar\nline 2: FROM era5[time('2020')] WHERE bar\n                                      ^");
        assert_eq!(error.position.map(|p| (p.line, p.column, p.offset)), Some((2, 31, 41)));
        // Locating twice, or without a place, changes nothing.
        assert_eq!(error.clone().located(&query).message, error.message);
        assert_eq!(QueryError::user("x").located(&query).message, "x");
    }

    #[test]
    fn words_are_found_when_they_stand_once() {
        let query = desugared("SELECT Foo, bar, bar, food FROM era5");
        assert_eq!(QueryError::user("x").at_word("foo").located(&query).position.map(|p| p.offset), Some(7));
        assert_eq!(QueryError::user("x").at_word("bar").located(&query).position, None);
        assert_eq!(only_word("é foo", "foo"), Some(3));
        assert_eq!(only_word("abc", ""), None);
    }

    #[test]
    fn missing_cubes_list_the_others() {
        let known: Vec<String> = ["era5", "s2"].map(String::from).to_vec();
        assert_eq!(QueryError::no_such_cube("era", &known).message, "cube `era` does not exist; did you mean `era5`? (cubes: era5, s2)");
        let dotted = ["scene.tif".to_owned()];
        assert_eq!(
            QueryError::no_such_cube("scene.tif", &dotted).message,
            "cube `scene.tif` does not exist; the name needs quotes: \"scene.tif\""
        );
        assert_eq!(QueryError::no_such_cube("dem", &[]).message, "cube `dem` does not exist (there are none: CREATE CUBE makes one)");
        let many: Vec<String> = (0..40).map(|i| format!("c{i}")).collect();
        assert!(QueryError::no_such_cube("dem", &many).message.ends_with("c29 and 10 more)"));
    }

    #[test]
    fn storage_says_whose_fault_it_is() {
        use graticule_storage::Error;
        for (error, kind) in [
            (Error::User("a".into()), ErrorKind::User),
            (Error::NotFound("a".into()), ErrorKind::NotFound),
            (Error::Forbidden { object: "/a".into(), reason: "outside the roots".into() }, ErrorKind::Forbidden),
            (Error::data_at("/a.nc:/t", 3..9, "bad"), ErrorKind::Data),
            (Error::unsupported("/a.nc", "szip"), ErrorKind::Data),
            (Error::Changed { object: "/a".into(), what: "size".into() }, ErrorKind::Data),
            (Error::Resources("a".into()), ErrorKind::Resources),
            (Error::Internal("a".into()), ErrorKind::Internal),
        ] {
            let said = error.to_string();
            let ours = QueryError::from(error);
            assert_eq!((ours.kind, ours.message), (kind, said));
        }
    }
}
