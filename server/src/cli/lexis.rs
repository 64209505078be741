//! The words of a statement, told apart just well enough for the command line: where statements end, and what is painted how.

use std::ops::Range;

/// What a piece of text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A name or a keyword.
    Word,
    /// `12`, `0.5`, `1e-3`.
    Number,
    /// `'...'` or `$$...$$`.
    Text,
    /// `"..."`.
    QuotedName,
    /// `-- ...` or `/* ... */`.
    Comment,
    /// A semicolon.
    End,
    /// Anything else: operators, brackets, space.
    Other,
}

/// A piece of text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// What it is.
    pub kind: Kind,
    /// Where it is, in bytes.
    pub range: Range<usize>,
    /// False for a quote or a comment that is not closed.
    pub closed: bool,
}

/// Cuts a text into pieces that cover it without gaps.
pub fn pieces(text: &str) -> Vec<Piece> {
    let mut pieces = vec![];
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let (kind, length, closed) = first(rest);
        let length = length.max(1);
        pieces.push(Piece { kind, range: at..at + length, closed });
        at += length;
    }
    pieces
}

/// Kind and length of the first piece, and whether it is closed.
fn first(text: &str) -> (Kind, usize, bool) {
    let Some(c) = text.chars().next() else { return (Kind::Other, 0, true) };
    let run = |more: &dyn Fn(char) -> bool| text.find(|c| !more(c)).unwrap_or(text.len());
    match c {
        ';' => (Kind::End, 1, true),
        '\'' => quoted(text, '\'', Kind::Text),
        '"' => quoted(text, '"', Kind::QuotedName),
        '-' if text.starts_with("--") => (Kind::Comment, text.find('\n').unwrap_or(text.len()), true),
        '/' if text.starts_with("/*") => comment(text),
        '$' => dollar(text),
        c if c.is_ascii_digit() => (Kind::Number, number(text), true),
        c if c.is_alphabetic() || c == '_' => (Kind::Word, run(&|c| c.is_alphanumeric() || c == '_' || c == '$'), true),
        c if c.is_whitespace() => (Kind::Other, run(&char::is_whitespace), true),
        c => (Kind::Other, c.len_utf8(), true),
    }
}

/// A quoted piece; the quote written twice stands for itself.
fn quoted(text: &str, quote: char, kind: Kind) -> (Kind, usize, bool) {
    let mut marks = text.char_indices().skip(1).filter(|(_, c)| *c == quote).map(|(i, _)| i).peekable();
    while let Some(mark) = marks.next() {
        if marks.peek() == Some(&(mark + 1)) {
            marks.next();
        } else {
            return (kind, mark + 1, true);
        }
    }
    (kind, text.len(), false)
}

/// A block comment; they nest.
fn comment(text: &str) -> (Kind, usize, bool) {
    let (mut depth, mut at) = (0usize, 0);
    let bytes = text.as_bytes();
    while let Some(pair) = bytes.get(at..at + 2) {
        match pair {
            b"/*" => (depth, at) = (depth + 1, at + 2),
            b"*/" => (depth, at) = (depth.saturating_sub(1), at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return (Kind::Comment, at, true);
        }
    }
    (Kind::Comment, text.len(), false)
}

/// `$tag$ ... $tag$`, or a parameter such as `$1`.
fn dollar(text: &str) -> (Kind, usize, bool) {
    let Some(tag) = text.get(1..).and_then(|rest| rest.find('$')).and_then(|end| text.get(..end + 2)) else {
        return (Kind::Other, 1, true);
    };
    let name = tag.trim_matches('$');
    if !name.chars().all(|c| c.is_alphanumeric() || c == '_') || name.starts_with(|c: char| c.is_ascii_digit()) {
        return (Kind::Other, 1, true);
    }
    match text.get(tag.len()..).and_then(|rest| rest.find(tag)) {
        Some(end) => (Kind::Text, tag.len() + end + tag.len(), true),
        None => (Kind::Text, text.len(), false),
    }
}

/// Length of a number; a range such as `40:60` is two of them.
fn number(text: &str) -> usize {
    let mut end = 0;
    let mut before = ' ';
    for (i, c) in text.char_indices() {
        let sign = matches!(c, '+' | '-') && matches!(before, 'e' | 'E');
        let exponent = matches!(c, 'e' | 'E') && before.is_ascii_digit();
        if !(c.is_ascii_digit() || c == '.' || c == '_' || exponent || sign) {
            break;
        }
        (end, before) = (i + 1, c);
    }
    end
}

/// The statements of a text, each without its semicolon, comments kept; and whether the text ends with a whole one.
pub fn statements(text: &str) -> (Vec<&str>, bool) {
    let mut found = vec![];
    let mut start = 0;
    let mut meaning = false;
    let mut whole = true;
    for piece in pieces(text) {
        let blank = text.get(piece.range.clone()).is_none_or(|t| t.trim().is_empty());
        match piece.kind {
            Kind::End => {
                found.extend(text.get(start..piece.range.start).filter(|_| meaning).map(str::trim));
                (start, meaning, whole) = (piece.range.end, false, true);
            }
            Kind::Comment if piece.closed => {}
            _ if blank => {}
            _ => (meaning, whole) = (true, false),
        }
    }
    if meaning {
        found.extend(text.get(start..).map(str::trim));
    }
    (found, whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<(Kind, &str)> {
        pieces(text).into_iter().map(|p| (p.kind, &text[p.range])).filter(|(_, t)| !t.trim().is_empty()).collect()
    }

    #[test]
    fn pieces_are_told_apart() {
        use Kind::*;
        assert_eq!(
            kinds("SELECT 'it''s', \"a;b\" -- c;\nFROM t[lat(40:60.5)] /* ; /* */ */;"),
            [
                (Word, "SELECT"),
                (Text, "'it''s'"),
                (Other, ","),
                (QuotedName, "\"a;b\""),
                (Comment, "-- c;"),
                (Word, "FROM"),
                (Word, "t"),
                (Other, "["),
                (Word, "lat"),
                (Other, "("),
                (Number, "40"),
                (Other, ":"),
                (Number, "60.5"),
                (Other, ")"),
                (Other, "]"),
                (Comment, "/* ; /* */ */"),
                (End, ";")
            ]
        );
        assert_eq!(
            kinds("$1 $$a;b$$ $x$ $$ $x$ 1e-3"),
            [(Other, "$"), (Number, "1"), (Text, "$$a;b$$"), (Text, "$x$ $$ $x$"), (Number, "1e-3")]
        );
    }

    #[test]
    fn statements_end_at_semicolons_that_count() {
        assert_eq!(statements("SELECT ';' ; SELECT 2;"), (vec!["SELECT ';'", "SELECT 2"], true));
        assert_eq!(statements("SELECT 1"), (vec!["SELECT 1"], false));
        assert_eq!(statements("SELECT 'a;"), (vec!["SELECT 'a;"], false));
        assert_eq!(statements("-- nothing;\n"), (vec![], true));
        assert_eq!(statements(";;"), (vec![], true));
        assert_eq!(statements("SELECT 1 /* ;"), (vec!["SELECT 1 /* ;"], false));
    }

    #[test]
    fn any_text_is_covered_without_gaps() {
        for text in ["", "é'", "$é$", "/*", "*/", "1..2", "\"\"\"", "😀;😀", "$", "-", "a$b$c"] {
            let mut end = 0;
            for piece in pieces(text) {
                assert_eq!(piece.range.start, end, "{text}");
                assert!(text.get(piece.range.clone()).is_some(), "{text}");
                end = piece.range.end;
            }
            assert_eq!(end, text.len());
        }
    }
}
