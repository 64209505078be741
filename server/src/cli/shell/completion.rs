//! What the shell helps with while typing: completion of cubes, columns and words, painting, and statements over several lines.

use std::borrow::Cow;

use arrow::array::AsArray;
use futures::StreamExt;
use rustyline::completion::{Completer, Pair};
use rustyline::error::ReadlineError;
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::Hinter;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Context, Helper};

use crate::cli::lexis::{Kind, Piece, pieces, statements};
use crate::cli::paint::{Depth, SQL_KEYWORDS};
use crate::cli::source::Source;
use crate::flight::KEYWORDS;

/// Functions that are completed.
const FUNCTIONS: [&str; 34] = [
    "abs",
    "avg",
    "ceil",
    "coalesce",
    "coarsen",
    "corr",
    "count",
    "date_bin",
    "date_trunc",
    "dayofyear",
    "exp",
    "first_value",
    "floor",
    "hour",
    "last_value",
    "ln",
    "max",
    "mean",
    "median",
    "min",
    "month",
    "now",
    "power",
    "quantile",
    "radians",
    "round",
    "season",
    "sqrt",
    "stddev",
    "sum",
    "wavg",
    "width_bucket",
    "wsum",
    "year",
];

/// Cubes and their columns.
#[derive(Debug, Clone, Default)]
pub struct Names {
    /// Each cube with its columns.
    cubes: Vec<(String, Vec<String>)>,
}

impl Names {
    /// Asks for the cubes and their columns. What cannot be asked is left out.
    pub async fn ask(source: &mut Source) -> Names {
        let mut names = Names::default();
        let Ok(mut answer) = source.sql("SHOW CUBES").await else { return names };
        let mut cubes = vec![];
        while let Some(Ok(batch)) = answer.batches.next().await {
            if let Some(first) = batch.columns().first().and_then(|c| c.as_string_opt::<i32>()) {
                cubes.extend(first.iter().flatten().map(String::from));
            }
        }
        for cube in cubes {
            let columns = match source.sql(&format!("SELECT * FROM {} LIMIT 0", name(&cube))).await {
                Ok(answer) => answer.schema.fields().iter().map(|f| f.name().clone()).collect(),
                Err(_) => vec![],
            };
            names.cubes.push((cube, columns));
        }
        names
    }
}

/// A name as SQL wants it written: quoted where it must be.
fn name(plain: &str) -> String {
    let simple = plain.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && plain.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if simple { plain.to_string() } else { format!("\"{}\"", plain.replace('"', "\"\"")) }
}

/// Completes, paints, and knows when a statement is whole.
pub struct Assistant {
    names: Names,
    depth: Depth,
}

impl Assistant {
    /// Completes these names and paints for a terminal of this depth.
    pub fn new(names: Names, depth: Depth) -> Assistant {
        Assistant { names, depth }
    }

    /// Completes other names from now on.
    pub fn know(&mut self, names: Names) {
        self.names = names;
    }

    /// Where the word before the cursor begins, and what it could become.
    fn candidates(&self, text: &str) -> (usize, Vec<String>) {
        let before = pieces(text);
        let (start, typed) = match before.last() {
            Some(Piece { kind: Kind::Word, range, .. }) => (range.start, text.get(range.clone()).unwrap_or_default()),
            Some(Piece { kind: Kind::Text | Kind::Comment | Kind::QuotedName | Kind::Number, .. }) => return (text.len(), vec![]),
            _ => (text.len(), ""),
        };
        let word = |piece: &Piece| if piece.kind == Kind::Word { text.get(piece.range.clone()).map(str::to_ascii_uppercase) } else { None };
        let words: Vec<String> = before.iter().filter(|p| p.range.start < start).filter_map(word).collect();
        let last = words.last().map(String::as_str).unwrap_or_default();
        let cubes = self.names.cubes.iter().map(|(cube, _)| name(cube));
        let fits = |candidate: &str| candidate.to_ascii_lowercase().starts_with(&typed.to_ascii_lowercase());
        if matches!(last, "FROM" | "JOIN" | "CUBE" | "OF") && !text.get(..start).is_some_and(|t| t.trim_end().ends_with(['[', '(', ']'])) {
            return (start, cubes.filter(|c| fits(c)).collect());
        }
        if typed.is_empty() {
            return (start, vec![]);
        }
        // Columns of the cubes that the text names already; of all cubes when it names none.
        let named =
            |cube: &str| before.iter().any(|p| text.get(p.range.clone()).is_some_and(|t| t.trim_matches('"').eq_ignore_ascii_case(cube)));
        let any = self.names.cubes.iter().any(|(cube, _)| named(cube));
        let columns =
            self.names.cubes.iter().filter(|(cube, _)| !any || named(cube)).flat_map(|(_, columns)| columns.iter().map(|c| name(c)));
        let lower = typed.chars().all(|c| !c.is_uppercase());
        let keywords = SQL_KEYWORDS.iter().chain(&KEYWORDS).map(|k| if lower { k.to_ascii_lowercase() } else { (*k).to_string() });
        let mut found: Vec<String> = columns.filter(|c| fits(c)).collect();
        found.extend(cubes.filter(|c| fits(c)));
        found.sort();
        found.extend(FUNCTIONS.iter().filter(|f| fits(f)).map(|f| format!("{f}(")));
        found.extend(keywords.filter(|k| fits(k)));
        let mut seen = std::collections::HashSet::new();
        found.retain(|c| seen.insert(c.clone()));
        (start, found)
    }
}

impl Completer for Assistant {
    type Candidate = Pair;

    fn complete(&self, line: &str, position: usize, _: &Context<'_>) -> Result<(usize, Vec<Pair>), ReadlineError> {
        let (start, found) = self.candidates(line.get(..position).unwrap_or(line));
        Ok((start, found.into_iter().map(|text| Pair { display: text.clone(), replacement: text }).collect()))
    }
}

impl Validator for Assistant {
    fn validate(&self, context: &mut ValidationContext<'_>) -> Result<ValidationResult, ReadlineError> {
        Ok(if is_whole(context.input()) { ValidationResult::Valid(None) } else { ValidationResult::Incomplete })
    }
}

/// True for a command of the shell and for text that ends with a semicolon.
fn is_whole(text: &str) -> bool {
    let trimmed = text.trim();
    let alone = matches!(trimmed.to_ascii_lowercase().as_str(), "help" | "quit" | "exit");
    trimmed.starts_with('\\') || alone || statements(trimmed).1
}

impl Highlighter for Assistant {
    fn highlight<'l>(&self, line: &'l str, _: usize) -> Cow<'l, str> {
        if self.depth == Depth::None { Cow::Borrowed(line) } else { Cow::Owned(self.depth.statement(line)) }
    }

    fn highlight_char(&self, _: &str, _: usize, kind: CmdKind) -> bool {
        self.depth != Depth::None && kind != CmdKind::MoveCursor
    }
}

impl Hinter for Assistant {
    type Hint = String;
}

impl Helper for Assistant {}

#[cfg(test)]
mod tests {
    use super::*;

    fn assistant() -> Assistant {
        let columns = |names: &[&str]| names.iter().map(|n| n.to_string()).collect();
        let cubes = vec![("era5".into(), columns(&["time", "lat", "t2m", "tp"])), ("S2".into(), columns(&["time", "b04"]))];
        Assistant::new(Names { cubes }, Depth::None)
    }

    fn complete(text: &str) -> Vec<String> {
        assistant().candidates(text).1
    }

    #[test]
    fn cubes_follow_from() {
        assert_eq!(complete("SELECT * FROM "), ["era5", "\"S2\""]);
        assert_eq!(complete("SELECT * FROM e"), ["era5"]);
        assert_eq!(complete("DESCRIBE CUBE er"), ["era5"]);
        assert_eq!(assistant().candidates("SELECT * FROM e").0, 14);
    }

    #[test]
    fn columns_are_those_of_the_cube_that_is_named() {
        assert_eq!(complete("SELECT t2"), ["t2m"]);
        assert_eq!(complete("SELECT b0"), ["b04"]);
        assert!(complete("SELECT * FROM era5 WHERE b0").is_empty());
        assert_eq!(complete("SELECT * FROM era5[la"), ["lat", "last_value(", "last"]);
    }

    #[test]
    fn keywords_keep_the_case_that_is_typed() {
        assert_eq!(complete("SEL"), ["SELECT"]);
        assert_eq!(complete("sel"), ["select"]);
        assert_eq!(complete("x GROUP BY DI"), ["DISTINCT", "DIMS"]);
        assert!(complete("SELECT 'sel").is_empty());
    }

    #[test]
    fn a_statement_is_whole_at_its_semicolon() {
        assert!(!is_whole("SELECT 1"));
        assert!(is_whole("SELECT 1;"));
        assert!(!is_whole("SELECT ';"));
        assert!(is_whole("\\d"));
        assert!(is_whole("help"));
        assert!(is_whole(""));
    }
}
