//! Names as SQL reads them: without quotes in lower case, in quotes as they are.

use std::fmt;

use pest::iterators::Pair;

use crate::position::Span;
use crate::syntax::{Rule, Source};

/// One part of a name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ident {
    /// The name itself: lower-cased if it was typed without quotes.
    pub value: String,
    /// Whether it was typed in quotes. Prints with quotes if so.
    pub quoted: bool,
}

impl Ident {
    /// Reads a name as typed: `Era5`, `"Era 5"` or `` `Era 5` ``, quotes doubled inside of quotes.
    pub fn from_typed(typed: &str) -> Self {
        for quote in ['"', '`'] {
            if let Some(inner) = typed.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote)) {
                return Self { value: inner.replace(&format!("{quote}{quote}"), &quote.to_string()), quoted: true };
            }
        }
        Self { value: typed.to_ascii_lowercase(), quoted: false }
    }

    /// The name as a string literal of SQL.
    pub(crate) fn literal(&self) -> String {
        format!("'{}'", self.value.replace('\'', "''"))
    }
}

impl fmt::Display for Ident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.quoted {
            true => write!(f, "\"{}\"", self.value.replace('"', "\"\"")),
            false => f.write_str(&self.value),
        }
    }
}

/// A name of one or more parts: `era5`, `science.era5`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// The parts, outermost first; never empty when it comes from a text.
    pub parts: Vec<Ident>,
    /// Where it stands.
    pub span: Span,
}

impl Name {
    /// The values of the parts joined by dots, without quotes: the key of a cube in a catalog.
    pub fn dotted(&self) -> String {
        self.parts.iter().map(|part| part.value.as_str()).collect::<Vec<_>>().join(".")
    }

    /// Reads a `cube` or `relation` pair.
    pub(crate) fn read(source: &Source<'_>, pair: Pair<'_, Rule>) -> Self {
        let span = source.span(&pair);
        let parts = pair.into_inner().filter(|part| part.as_rule() == Rule::name).map(|part| Ident::from_typed(part.as_str())).collect();
        Self { parts, span }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, part) in self.parts.iter().enumerate() {
            if at > 0 {
                f.write_str(".")?;
            }
            part.fmt(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_printed_as_sql_does() {
        for (typed, value, printed) in [
            ("Era5", "era5", "era5"),
            ("\"Era 5\"", "Era 5", "\"Era 5\""),
            ("\"a\"\"b\"", "a\"b", "\"a\"\"b\""),
            ("`a``\"`", "a`\"", "\"a`\"\"\""),
        ] {
            let ident = Ident::from_typed(typed);
            assert_eq!((ident.value.as_str(), ident.to_string().as_str()), (value, printed));
        }
        assert_eq!(Ident::from_typed("\"it's\"").literal(), "'it''s'");
    }
}
