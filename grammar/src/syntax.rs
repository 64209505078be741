//! The only door to pest: runs one rule of `array.pest` and turns its failures into errors that say what was expected.

use pest::Parser;
use pest::error::{Error, ErrorVariant, InputLocation};
use pest::iterators::{Pair, Pairs};

use crate::error::GrammarError;
use crate::position::Span;
use crate::words::{nearest, quote_found};

#[derive(pest_derive::Parser)]
#[grammar = "array.pest"]
struct ArrayGrammar;

/// A text and the part of it that is being parsed: pest sees the part, errors show the whole.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    /// The whole text the user typed.
    pub text: &'a str,
    /// The part to parse.
    pub part: Span,
}

impl<'a> Source<'a> {
    pub(crate) fn whole(text: &'a str) -> Self {
        Self { text, part: Span::new(0, text.len()) }
    }

    /// Parses the part as `rule` and gives the pairs inside of it.
    pub(crate) fn parse(&self, rule: Rule) -> Result<Pairs<'a, Rule>, GrammarError> {
        let part = self.text.get(self.part.start..self.part.end).unwrap_or_default();
        match ArrayGrammar::parse(rule, part) {
            Ok(mut pairs) => Ok(pairs.next().map(Pair::into_inner).unwrap_or(pairs)),
            Err(error) => Err(self.explain(rule, &error, part)),
        }
    }

    /// The place of a pair in the whole text.
    pub(crate) fn span(&self, pair: &Pair<'_, Rule>) -> Span {
        let span = pair.as_span();
        Span::new(self.part.start + span.start(), self.part.start + span.end())
    }

    /// An error at a byte offset of the whole text.
    pub(crate) fn error(&self, offset: usize, message: impl Into<String>) -> GrammarError {
        GrammarError::new(self.text, offset, message)
    }

    fn explain(&self, rule: Rule, error: &Error<Rule>, part: &str) -> GrammarError {
        let at = match error.location {
            InputLocation::Pos(at) | InputLocation::Span((at, _)) => at,
        };
        let (expected, refused) = match &error.variant {
            ErrorVariant::ParsingError { positives, negatives } => (positives.as_slice(), negatives.as_slice()),
            ErrorVariant::CustomError { message } => return self.error(self.part.start + at, message.clone()),
        };
        let found = quote_found(part.get(at..).unwrap_or_default());
        let message = if refused.contains(&Rule::kw_from) {
            format!("expected the name of a cube, found {found}")
        } else if expected.contains(&Rule::kw_overlap) && found.starts_with('`') && found.chars().nth(1).is_some_and(char::is_alphabetic) {
            unknown_clause(&found)
        } else {
            expectation(rule, expected, &found)
        };
        self.error(self.part.start + at, message)
    }
}

/// The error for a word where a clause of CREATE CUBE may stand.
fn unknown_clause(found: &str) -> String {
    let guess = nearest(found, &["AXIS", "VARIABLE", "OVERLAP", "NODATA", "CRS"]);
    let guess = guess.map_or_else(String::new, |name| format!(", did you mean {name}?"));
    format!(
        "unknown clause {found}{guess} (the clauses are AXIS name FROM FILENAME '...' [FORMAT '...'], VARIABLE FROM FILENAME '...', \
         OVERLAP ERROR | NEWEST | FIRST, NODATA number, CRS '...')"
    )
}

/// "expected `)`, found `]`", with a hint where one is known.
fn expectation(rule: Rule, expected: &[Rule], found: &str) -> String {
    let mut names: Vec<String> = Vec::new();
    for rule in expected {
        let name = describe(*rule);
        // That a name could go on with a dot is true and no help.
        if (*rule != Rule::dot || expected.len() == 1) && !names.contains(&name) {
            names.push(name);
        }
    }
    if !matches!(rule, Rule::subset | Rule::selection | Rule::dims | Rule::along | Rule::around) {
        names.iter_mut().filter(|name| *name == "a name").for_each(|name| *name = "the name of a cube".to_string());
    }
    let keywords: Vec<&str> = names.iter().map(String::as_str).filter(|name| name.chars().all(|c| c.is_ascii_uppercase())).collect();
    let guess = nearest(found, &keywords).map_or_else(String::new, |name| format!(", did you mean {name}?"));
    let hint = match rule {
        Rule::subset | Rule::selection if expected.iter().any(|rule| matches!(rule, Rule::axis | Rule::axis_name)) => {
            ": an axis is written with its selection in parentheses, as in [lat(40:60)]"
        }
        Rule::subset | Rule::selection if expected == [Rule::open_paren] => ", as in [lat(40:60)] and [lev(IN (850, 500))]",
        Rule::along => ": names of axes stand behind ALONG, as in avg(t2m) ALONG (time)",
        Rule::around if expected.iter().any(|rule| matches!(rule, Rule::kw_shrink | Rule::reach | Rule::axis_name)) => {
            ", as in avg(v) AROUND (y(-1:1), x(-1:1)) EDGE CLAMP"
        }
        Rule::dims => ": names of axes stand behind DIMS EXCEPT, as in DIMS EXCEPT (time, lat)",
        _ => "",
    };
    let list = match names.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => "something else".to_string(),
    };
    format!("expected {list}, found {found}{guess}{hint}")
}

/// What a rule is called in an error.
fn describe(rule: Rule) -> String {
    match rule {
        Rule::open_paren => "`(`".into(),
        Rule::close_paren => "`)`".into(),
        Rule::open_bracket => "`[`".into(),
        Rule::close_bracket => "`]`".into(),
        Rule::comma => "`,`".into(),
        Rule::colon => "`:`".into(),
        Rule::dot => "`.`".into(),
        Rule::semicolon | Rule::EOI => "the end of the statement".into(),
        Rule::axis | Rule::axis_name | Rule::reach => "the name of an axis".into(),
        Rule::alias | Rule::name | Rule::relation => "a name".into(),
        Rule::cube => "the name of a cube".into(),
        Rule::literal | Rule::string => "a string in single quotes".into(),
        Rule::number | Rule::signed_number => "a number".into(),
        Rule::value | Rule::bounds => "a value".into(),
        Rule::or_replace => "OR REPLACE".into(),
        Rule::if_exists => "IF EXISTS".into(),
        Rule::if_not_exists => "IF NOT EXISTS".into(),
        other => {
            let name = format!("{other:?}");
            name.strip_prefix("kw_").map(str::to_uppercase).unwrap_or(name.replace('_', " "))
        }
    }
}
