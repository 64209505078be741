//! Array constructs to plain SQL, with a map from every place of the SQL back to the text the user typed.

use std::sync::Arc;

use crate::around::{Along, Around};
use crate::dims::Dims;
use crate::error::GrammarError;
use crate::position::{Position, Span};
use crate::subset::{AxisSpec, Selection, Subset, Value};

/// Plain SQL made from a text. Text without array constructs is the same, byte for byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Desugared {
    /// The plain SQL.
    pub sql: String,
    text: Arc<str>,
    pieces: Vec<Piece>,
}

/// A stretch of the SQL, up to the next piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Piece {
    /// Where it starts in the SQL.
    sql: usize,
    /// Where it comes from in the text.
    text: usize,
    /// Copied: places inside of it have places of their own in the text. Otherwise it stands for the construct as a whole.
    copied: bool,
}

impl Desugared {
    /// The whole text the user typed; for EXPLAIN and COPY this is more than the query.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The place in [`Self::text`] of a line and column of [`Self::sql`], both from 1, columns in characters, as sqlparser
    /// reports them. Line 0 (unknown) is the start of the query.
    pub fn original(&self, line: u64, column: u64) -> Position {
        self.original_offset(Position::at(&self.sql, line, column).offset)
    }

    /// The place in [`Self::text`] of a byte offset of [`Self::sql`].
    pub fn original_offset(&self, offset: usize) -> Position {
        let at = self.pieces.partition_point(|piece| piece.sql <= offset);
        let offset = match at.checked_sub(1).and_then(|at| self.pieces.get(at)) {
            Some(piece) if piece.copied => piece.text.saturating_add(offset - piece.sql),
            Some(piece) => piece.text,
            None => 0,
        };
        Position::of(&self.text, offset)
    }

    /// An error about a place of [`Self::sql`], shown in the text the user typed.
    pub fn error(&self, line: u64, column: u64, message: impl Into<String>) -> GrammarError {
        GrammarError::new(&self.text, self.original(line, column).offset, message)
    }
}

/// Writes SQL from left to right over a text.
pub(crate) struct Weaver<'a> {
    text: &'a str,
    /// Everything before this offset of the text is written or left out.
    done: usize,
    end: usize,
    sql: String,
    pieces: Vec<Piece>,
}

impl<'a> Weaver<'a> {
    /// Over the bytes of `text` from `start` up to `end`.
    pub(crate) fn new(text: &'a str, start: usize, end: usize) -> Self {
        Self { text, done: start, end, sql: String::new(), pieces: Vec::new() }
    }

    /// Copies the text up to `offset`.
    fn copy_to(&mut self, offset: usize) {
        if let Some(copied) = self.text.get(self.done..offset).filter(|copied| !copied.is_empty()) {
            self.pieces.push(Piece { sql: self.sql.len(), text: self.done, copied: true });
            self.sql.push_str(copied);
            self.done = offset;
        }
    }

    /// Writes `sql` instead of the text up to `offset`; it stands for the place `origin`.
    fn put(&mut self, sql: &str, origin: usize, offset: usize) {
        self.pieces.push(Piece { sql: self.sql.len(), text: origin, copied: false });
        self.sql.push_str(sql);
        self.done = self.done.max(offset);
    }

    /// Copies the rest.
    pub(crate) fn finish(mut self) -> Desugared {
        self.copy_to(self.end);
        Desugared { sql: self.sql, text: self.text.into(), pieces: self.pieces }
    }

    /// Replaces `DIMS ...`, which stands from `start` to `end`.
    pub(crate) fn dims(&mut self, dims: &Dims, start: usize, end: usize) {
        self.copy_to(start);
        self.put(&dims.plain(), start, end);
    }

    /// Replaces `USING DIMS`: the condition `dims()` is that all common axes are equal.
    pub(crate) fn using_dims(&mut self, start: usize, end: usize) {
        self.copy_to(start);
        self.put("ON dims()", start, end);
    }

    /// Replaces `ALONG (...)`: the partitions of a window are the other axes.
    pub(crate) fn along(&mut self, along: &Along) {
        let Span { start, end } = along.span;
        self.copy_to(start);
        self.put("OVER (PARTITION BY dims_except(", along.axes.first().map_or(start, |(_, span)| span.start), start);
        for (at, (axis, span)) in along.axes.iter().enumerate() {
            self.put(&format!("{}{}", if at > 0 { ", " } else { "" }, axis.literal()), span.start, span.end);
        }
        self.put("))", end.saturating_sub(1), end);
    }

    /// Replaces `AROUND (...) EDGE ...`: a window ordered by how far it reaches. Bounds are copied in place.
    pub(crate) fn around(&mut self, around: &Around) {
        let Span { start, end } = around.span;
        self.copy_to(start);
        self.put("OVER (ORDER BY ", start, start);
        for (at, reach) in around.axes.iter().enumerate() {
            let from = reach.span.start;
            self.put(&format!("{}around({}", if at > 0 { ", " } else { "" }, reach.axis.literal()), from, from);
            for bound in reach.bounds.iter().flatten() {
                match bound {
                    Some(value) => {
                        self.put(", ", value.span.start, value.span.start);
                        self.copy_to(value.span.end);
                    }
                    None => self.put(", NULL", from, self.done),
                }
            }
            self.put(")", from, reach.span.end);
        }
        if let Some((edge, span)) = &around.edge {
            self.put(&format!(", edge({})", edge.literal()), span.start, span.end);
        }
        self.put(")", start, end);
    }

    /// Replaces a subset whose bracket closes before `end`: values are copied in place, the marks between them replaced.
    /// `name` is the last part of the relation's name as typed, to be the alias where there is none and one can stand.
    pub(crate) fn subset(&mut self, subset: &Subset, name: Option<&str>, end: usize) {
        let start = subset.relation.span.start;
        self.open_subset(start);
        self.copy_to(subset.relation.span.end);
        self.selection(subset, name, start, end);
    }

    /// Begins the subset of a relation that stands from `start` on, and whose brackets follow later.
    pub(crate) fn open_subset(&mut self, start: usize) {
        self.copy_to(start);
        self.put("subset(", start, start);
    }

    /// Replaces `) USING OVERVIEWS` by one more argument; the parenthesis stands at `close`, the words from `start` to `end`.
    pub(crate) fn overviews(&mut self, close: usize, start: usize, end: usize) {
        self.copy_to(close);
        self.put(", overviews => true)", start, end);
    }

    /// Gives a relation that ends before `end` an alias.
    pub(crate) fn alias(&mut self, name: &str, end: usize) {
        self.copy_to(end);
        self.put(&format!(" AS {name}"), end, end);
    }

    /// Replaces the brackets of a subset, which close before `end`; what is in front of them is written up to `start`.
    pub(crate) fn selection(&mut self, subset: &Subset, name: Option<&str>, start: usize, end: usize) {
        self.copy_to(start);
        for axis in &subset.axes {
            self.put(", ", axis.span.start, self.done);
            self.axis(axis);
        }
        self.put(")", end.saturating_sub(1), end);
        if let (None, Some(name)) = (&subset.alias, name) {
            self.put(&format!(" AS {name}"), start, end);
        }
    }

    fn axis(&mut self, axis: &AxisSpec) {
        let (function, arguments): (_, Vec<Option<&Value>>) = match &axis.selection {
            Selection::Trim { low, high } => ("axis_trim", vec![low.as_ref(), high.as_ref()]),
            Selection::At(value) => ("axis_at", vec![Some(value)]),
            Selection::Exact(value) => ("axis_exact", vec![Some(value)]),
            Selection::IndexRange { first, last, step } => {
                ("axis_index", [first.as_ref(), last.as_ref()].into_iter().chain(step.as_ref().map(Some)).collect())
            }
            Selection::Index(value) => ("axis_index", vec![Some(value)]),
            Selection::In(values) => ("axis_in", values.iter().map(Some).collect()),
        };
        self.put(&format!("{function}({}", axis.axis.literal()), axis.span.start, axis.span.start);
        for argument in arguments {
            match argument {
                Some(value) => {
                    self.put(", ", value.span.start, value.span.start);
                    self.copy_to(value.span.end);
                }
                None => self.put(", NULL", axis.span.start, self.done),
            }
        }
        let step_left_out = matches!(&axis.selection, Selection::IndexRange { step: None, .. });
        self.put(if step_left_out { ", 1)" } else { ")" }, axis.span.start, axis.span.end);
    }
}

#[cfg(test)]
mod tests {
    use crate::{Position, Statement, parse};

    #[test]
    fn places_in_the_sql_have_their_place_in_the_text() {
        let text = "SELECT\n  é, t2m FROM /* x */ Main.\"Era 5\"[ time ( $1 : now() ), lat(:60)] WHERE q = 1";
        let Statement::Query(query) = parse(text).unwrap() else { panic!() };
        assert_eq!(
            query.sql,
            "SELECT\n  é, t2m FROM /* x */ subset(Main.\"Era 5\", axis_trim('time', $1, now()), axis_trim('lat', NULL, 60)) AS \"Era 5\" WHERE q = 1"
        );
        assert_eq!(query.text(), text);
        for word in ["SELECT", "é", "t2m", "Main", "\"Era 5\"[", "$1", "now", "60", "WHERE", "q = 1"] {
            let offset = query.sql.find(word.trim_end_matches('[')).unwrap();
            let Position { line, column, .. } = Position::of(&query.sql, offset);
            assert_eq!(query.original(line.into(), column.into()).offset, text.find(word).unwrap(), "{word}");
        }
        for (word, from) in [("axis_trim('lat'", "lat"), ("NULL", "lat"), (" AS", "Main"), ("subset", "Main")] {
            assert_eq!(query.original_offset(query.sql.find(word).unwrap()).offset, text.find(from).unwrap(), "{word}");
        }
        assert_eq!(query.original_offset(usize::MAX / 2).offset, text.len());
        assert_eq!(query.original(0, 0).offset, 0);
    }

    #[test]
    fn explain_and_copy_keep_the_place_in_the_whole_text() {
        for text in ["EXPLAIN  ANALYZE SELECT x FROM c[a(1)] WHERE b", "COPY ( SELECT x FROM c[a(1)] WHERE b ) TO 'o.nc'"] {
            let (Statement::Explain { query, .. } | Statement::Copy { query, .. }) = parse(text).unwrap() else { panic!() };
            assert!(query.sql.trim().starts_with("SELECT x FROM subset(c, axis_at('a', 1)) AS c WHERE b"), "{}", query.sql);
            assert_eq!(query.original_offset(query.sql.find("WHERE").unwrap()).offset, text.find("WHERE").unwrap());
            assert_eq!(query.original(0, 0).offset, text.find("SELECT").unwrap());
        }
    }
}
