//! The flat token list of a text, with brackets paired: what everything else looks for islands in.

use crate::error::GrammarError;
use crate::position::Span;
use crate::syntax::{Rule, Source};

/// Brackets inside of brackets that a text may have. SQL that people and tools write stays far below it.
pub(crate) const MAX_NESTING: usize = 128;

/// Bytes that pest reads at a time, and the bytes at the end of a window in which a token may look cut (`1e+` of `1e+5`).
const WINDOW: usize = 16 << 10;
const CUT: usize = 8;

/// What a token is. Gaps and comments are no tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A name or keyword without quotes.
    Word,
    /// A quoted name.
    Quoted,
    /// A literal in quotes of any kind.
    Text,
    Number,
    Parameter,
    /// `::`
    Cast,
    /// Any other single character.
    Mark(char),
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Token {
    pub kind: Kind,
    pub span: Span,
    /// For an opening bracket the index of its closing one.
    pub partner: usize,
}

/// All tokens of a text. Brackets of all three kinds are balanced.
pub(crate) struct Tokens<'a> {
    pub text: &'a str,
    list: Vec<Token>,
}

impl<'a> Tokens<'a> {
    /// Reads a text. Errors: a quote, comment or bracket without its end, and nesting beyond [`MAX_NESTING`].
    pub(crate) fn read(text: &'a str) -> Result<Self, GrammarError> {
        let mut list: Vec<Token> = Vec::new();
        let mut open: Vec<(usize, char)> = Vec::new();
        let mut windows = Windows { text, from: 0, size: WINDOW };
        while let Some(pairs) = windows.next()? {
            for (rule, span) in pairs {
                Self::take(text, rule, span, &mut list, &mut open)?;
            }
        }
        if open.is_empty() { Ok(Self { text, list }) } else { Err(never_closed(text, &list, &open)) }
    }

    /// Adds one token and pairs its bracket.
    fn take(text: &str, rule: Rule, span: Span, list: &mut Vec<Token>, open: &mut Vec<(usize, char)>) -> Result<(), GrammarError> {
        let shown = text.get(span.start..span.end).unwrap_or_default();
        let kind = match rule {
            Rule::EOI => return Ok(()),
            Rule::word => Kind::Word,
            Rule::quoted => Kind::Quoted,
            Rule::text => Kind::Text,
            Rule::number => Kind::Number,
            Rule::parameter => Kind::Parameter,
            Rule::cast_mark => Kind::Cast,
            Rule::unclosed => return Err(GrammarError::new(text, span.start, unclosed(shown))),
            _ => Kind::Mark(shown.chars().next().unwrap_or(' ')),
        };
        match kind {
            Kind::Mark(mark @ ('(' | '[' | '{')) => {
                if open.len() >= MAX_NESTING {
                    let message = format!("brackets are nested more than {MAX_NESTING} deep");
                    return Err(GrammarError::new(text, span.start, message));
                }
                open.push((list.len(), mark));
            }
            Kind::Mark(mark @ (')' | ']' | '}')) => match open.pop() {
                Some((at, opening)) if closing(opening) == mark => {
                    let partner = list.len();
                    if let Some(token) = list.get_mut(at) {
                        token.partner = partner;
                    }
                }
                Some((_, opening)) => {
                    let message = format!("expected `{}` to close `{opening}`, found `{mark}`", closing(opening));
                    return Err(GrammarError::new(text, span.start, message));
                }
                None => return Err(GrammarError::new(text, span.start, format!("`{mark}` closes nothing"))),
            },
            Kind::Mark(';') if !open.is_empty() => return Err(never_closed(text, list, open)),
            _ => {}
        }
        list.push(Token { kind, span, partner: 0 });
        Ok(())
    }

    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    pub(crate) fn get(&self, at: usize) -> Option<&Token> {
        self.list.get(at)
    }

    pub(crate) fn kind(&self, at: usize) -> Option<Kind> {
        self.get(at).map(|token| token.kind)
    }

    /// The text of a token as typed; empty past the end.
    pub(crate) fn str(&self, at: usize) -> &'a str {
        self.get(at).and_then(|token| self.text.get(token.span.start..token.span.end)).unwrap_or_default()
    }

    /// The offset where a token starts; past the last token, the end of the text.
    pub(crate) fn start(&self, at: usize) -> usize {
        self.get(at).map_or(self.text.len(), |token| token.span.start)
    }

    /// The word at `at`, if it is a name or keyword without quotes.
    pub(crate) fn word(&self, at: usize) -> Option<&'a str> {
        (self.kind(at) == Some(Kind::Word)).then(|| self.str(at))
    }

    pub(crate) fn is_word(&self, at: usize, word: &str) -> bool {
        self.word(at).is_some_and(|found| found.eq_ignore_ascii_case(word))
    }

    pub(crate) fn is_mark(&self, at: usize, mark: char) -> bool {
        self.kind(at) == Some(Kind::Mark(mark))
    }

    pub(crate) fn is_name(&self, at: usize) -> bool {
        matches!(self.kind(at), Some(Kind::Word | Kind::Quoted))
    }

    /// The closing bracket of the opening one at `at`.
    pub(crate) fn partner(&self, at: usize) -> usize {
        self.get(at).map_or(at, |token| token.partner)
    }

    pub(crate) fn error(&self, at: usize, message: impl Into<String>) -> GrammarError {
        GrammarError::new(self.text, self.start(at), message)
    }
}

/// Parses a text in windows, so that a text that goes wrong early is not read to its end, and memory stays small.
struct Windows<'a> {
    text: &'a str,
    from: usize,
    size: usize,
}

impl Windows<'_> {
    /// The next tokens, `None` at the end. A token near the end of its window may be cut there, so it is left to the next
    /// window; a window without any token that is sure is doubled. So no byte is read more than a few times.
    fn next(&mut self) -> Result<Option<Vec<(Rule, Span)>>, GrammarError> {
        while self.from < self.text.len() {
            let mut end = self.from.saturating_add(self.size).min(self.text.len());
            while !self.text.is_char_boundary(end) {
                end += 1;
            }
            let last = end == self.text.len();
            let source = Source { text: self.text, part: Span::new(self.from, end) };
            let mut found: Vec<(Rule, Span)> = Vec::new();
            for pair in source.parse(Rule::tokens)? {
                let span = source.span(&pair);
                if last || span.end + CUT <= end {
                    found.push((pair.as_rule(), span));
                }
            }
            match found.last() {
                _ if last => self.from = end,
                Some((_, span)) => (self.from, self.size) = (span.end, WINDOW),
                None => {
                    self.size = self.size.saturating_mul(2);
                    continue;
                }
            }
            return Ok(Some(found));
        }
        Ok(None)
    }
}

fn never_closed(text: &str, list: &[Token], open: &[(usize, char)]) -> GrammarError {
    let (at, mark) = open.last().copied().unwrap_or((0, '('));
    GrammarError::new(text, list.get(at).map_or(0, |token| token.span.start), format!("`{mark}` is never closed"))
}

fn closing(opening: char) -> char {
    match opening {
        '(' => ')',
        '[' => ']',
        _ => '}',
    }
}

fn unclosed(rest: &str) -> String {
    match rest.chars().next() {
        Some('/') => "the comment `/*` is never closed (a path is written in single quotes)".into(),
        Some('"' | '`') => "the quoted name is never closed".into(),
        Some('$') => "the dollar-quoted string is never closed".into(),
        _ => "the string is never closed".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<&str> {
        let tokens = Tokens::read(text).unwrap();
        (0..tokens.len()).map(|at| tokens.str(at)).collect()
    }

    #[test]
    fn quotes_and_comments_are_one_token_or_none() {
        assert_eq!(read("'it''s [' x"), ["'it''s ['", "x"]);
        assert_eq!(read(r"E'a\'[' one'x' X'00'"), [r"E'a\'['", "one", "'x'", "X'00'"]);
        assert_eq!(
            read(r#""a""[" `b[` U&'\00e9' N'(' q'[it's]' nq'!it's!'"#),
            [r#""a""[""#, "`b[`", r"U&'\00e9'", "N'('", "q'[it's]'", "nq'!it's!'"]
        );
        assert_eq!(
            read("$$ ' [ $$ $tag$ $$ $t$ ( $tag$ $1 $x :$2 a$b$ [1]"),
            ["$$ ' [ $$", "$tag$ $$ $t$ ( $tag$", "$1", "$x", ":", "$2", "a$b$", "[", "1", "]"]
        );
        assert_eq!(read("a /* ( /* ' */ [ */ b -- ( ' \n c /**/ d /*/**/*/ e - - 1 --"), ["a", "b", "c", "d", "e", "-", "-", "1"]);
    }

    #[test]
    fn numbers_and_colons() {
        assert_eq!(read("40:60.5"), ["40", ":", "60.5"]);
        assert_eq!(
            read("40.:.5 1e-5 2E+3 1e x 0xfF t.a 1..2"),
            ["40.", ":", ".5", "1e-5", "2E+3", "1", "e", "x", "0xfF", "t", ".", "a", "1.", ".2"]
        );
        assert_eq!(read("12L:3 a //* b"), ["12L", ":", "3", "a", "//", "*", "b"]);
        assert_eq!(read("x::int:y ::: z"), ["x", "::", "int", ":", "y", "::", ":", "z"]);
        assert_eq!(read("größe_1 #tmp # @ @v"), ["größe_1", "#tmp", "#", "@", "@v"]);
    }

    #[test]
    fn what_has_no_end_is_an_error_at_its_start() {
        for (text, at) in [
            ("SELECT 'a", 7),
            ("a \"b", 2),
            ("a `b", 2),
            ("x /* /* */", 2),
            ("$a$ $b$", 0),
            ("(a", 0),
            ("a [(b)", 2),
            (r"E'a\'", 0),
            ("(a;)", 0),
        ] {
            assert_eq!(Tokens::read(text).err().map(|error| error.position.offset), Some(at), "{text}");
        }
        assert!(Tokens::read("(a]").err().unwrap().message.contains("expected `)`"));
        assert!(Tokens::read("a)").err().unwrap().message.contains("closes nothing"));
    }

    #[test]
    fn deep_nesting_of_brackets_and_comments_ends_soon() {
        for text in [
            "(".repeat(1 << 20),
            "([{".repeat(1 << 18),
            "/*".repeat(1 << 19),
            "'".repeat((1 << 20) + 1),
            "$a".repeat(1 << 19),
            "$$ ".repeat(349_525),
        ] {
            let started = std::time::Instant::now();
            assert!(Tokens::read(&text).is_err() || !text.starts_with('('));
            assert!(started.elapsed().as_secs() < 60, "{:?} {:.3}", started.elapsed(), &text);
        }
        let fits = format!("{}1{}", "(".repeat(MAX_NESTING), ")".repeat(MAX_NESTING));
        assert!(Tokens::read(&fits).is_ok());
    }
}
