//! The tree of statements: those of the dialect, and everything else as a query for the SQL planner.

use std::fmt;

use pest::iterators::{Pair, Pairs};

use crate::desugar::Desugared;
use crate::error::GrammarError;
use crate::name::{Ident, Name};
use crate::position::Span;
use crate::scan::desugar;
use crate::syntax::{Rule, Source};
use crate::tokens::{Kind, Tokens};
use crate::words::{nearest, nearest_statement};

/// One statement.
#[derive(Clone, Debug, PartialEq)]
pub enum Statement {
    /// Everything that is not of the dialect alone: SELECT, WITH, VALUES, INSERT, SET, CREATE TABLE, ...
    Query(Desugared),
    /// `EXPLAIN [ANALYZE] [VERBOSE] <query>`
    Explain {
        /// Run the query and report what it did.
        analyze: bool,
        /// Report more.
        verbose: bool,
        /// The query to explain.
        query: Desugared,
    },
    /// `CREATE CUBE ...`
    CreateCube(CreateCube),
    /// `REFRESH CUBE era5`
    RefreshCube {
        /// The cube.
        name: Name,
    },
    /// `ANALYZE CUBE era5`
    AnalyzeCube {
        /// The cube.
        name: Name,
    },
    /// `DROP CUBE [IF EXISTS] era5`
    DropCube {
        /// The cube.
        name: Name,
        /// No error if there is none.
        if_exists: bool,
    },
    /// `SHOW CUBES`
    ShowCubes,
    /// `DESCRIBE CUBE era5`
    DescribeCube {
        /// The cube.
        name: Name,
    },
    /// `SHOW GRANULES OF era5`
    ShowGranules {
        /// The cube.
        name: Name,
    },
    /// `COPY (<query>) TO 'out.nc'`
    Copy {
        /// The query.
        query: Desugared,
        /// Where to write; its ending says in which format.
        target: String,
        /// Where the target stands.
        span: Span,
    },
}

/// `CREATE [OR REPLACE] CUBE [IF NOT EXISTS] name FROM sources clauses`
#[derive(Clone, Debug, PartialEq)]
pub struct CreateCube {
    /// The name of the cube.
    pub name: Name,
    /// Replace a cube of that name.
    pub or_replace: bool,
    /// Leave a cube of that name as it is.
    pub if_not_exists: bool,
    /// Paths and URLs, with patterns; at least one.
    pub sources: Vec<Literal>,
    /// Axes whose coordinates stand in file names; no name twice.
    pub axes: Vec<FilenameAxis>,
    /// The pattern that finds the name of the variable in file names.
    pub variable: Option<Literal>,
    /// Which granule counts where several cover a cell.
    pub overlap: Option<Overlap>,
    /// The value that means missing.
    pub nodata: Option<f64>,
    /// The coordinate reference system, for files that do not say.
    pub crs: Option<Literal>,
    /// The statement as typed, without gaps and semicolons at its ends: it can be kept and parsed again.
    pub text: String,
}

/// A string in single quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Literal {
    /// The string, without its quotes.
    pub value: String,
    /// Where it stands.
    pub span: Span,
}

/// `AXIS time FROM FILENAME '_(\d{8})T' FORMAT '%Y%m%d'`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilenameAxis {
    /// The name of the axis.
    pub axis: String,
    /// A regular expression; its group is the coordinate.
    pub pattern: Literal,
    /// How to read the coordinate as a time (strftime); a number if left out.
    pub format: Option<Literal>,
    /// Where the clause stands.
    pub span: Span,
}

/// Which granule counts where several cover a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlap {
    /// None: it is an error.
    Error,
    /// The one modified last.
    Newest,
    /// The first in order of names.
    First,
}

/// Parses exactly one statement; semicolons may follow.
pub fn parse(text: &str) -> Result<Statement, GrammarError> {
    let tokens = Tokens::read(text)?;
    let end = (0..tokens.len()).find(|at| tokens.is_mark(*at, ';')).unwrap_or(tokens.len());
    if end == 0 {
        return Err(tokens.error(0, "there is no statement"));
    }
    if let Some(second) = (end..tokens.len()).find(|at| !tokens.is_mark(*at, ';')) {
        return Err(tokens.error(second, "one statement at a time: a second one begins here"));
    }
    let source = Source::whole(text);
    if let Some(statement) = of_the_dialect(&tokens, 0, &source)? {
        return Ok(statement);
    }
    match tokens.word(0).map(str::to_ascii_uppercase).as_deref() {
        Some("EXPLAIN") => explain(&tokens, end),
        Some("COPY") => copy(&tokens, &source),
        _ => {
            known_statement(&tokens, 0)?;
            Ok(Statement::Query(desugar(&tokens, 0..end, 0, text.len())?))
        }
    }
}

/// An error for a first word that was meant to be another one.
fn known_statement(tokens: &Tokens<'_>, at: usize) -> Result<(), GrammarError> {
    match tokens.word(at).and_then(nearest_statement) {
        Some(meant) => Err(tokens.error(at, format!("no statement begins with `{}`: did you mean {meant}?", tokens.str(at)))),
        None => Ok(()),
    }
}

/// The statements about cubes, from token `first` on, where `source` begins. `None` for all others.
fn of_the_dialect(tokens: &Tokens<'_>, first: usize, source: &Source<'_>) -> Result<Option<Statement>, GrammarError> {
    let second = |word| tokens.is_word(first + 1, word);
    let statement = match tokens.word(first).map(str::to_ascii_uppercase).as_deref() {
        Some("CREATE") => {
            let at = first + if second("OR") { 3 } else { 1 };
            if !tokens.is_word(at, "CUBE") {
                return misspelt(tokens, at, &["CUBE"]);
            }
            Statement::CreateCube(CreateCube::read(source)?)
        }
        Some("REFRESH") => Statement::RefreshCube { name: cube(source, source.parse(Rule::refresh_cube)?) },
        Some("ANALYZE") if second("CUBE") => Statement::AnalyzeCube { name: cube(source, source.parse(Rule::analyze_cube)?) },
        Some("DROP") if second("CUBE") => {
            let pairs = source.parse(Rule::drop_cube)?;
            let if_exists = pairs.clone().any(|pair| pair.as_rule() == Rule::if_exists);
            Statement::DropCube { name: cube(source, pairs), if_exists }
        }
        Some("DROP") => return misspelt(tokens, first + 1, &["CUBE"]),
        Some("SHOW") if second("CUBES") => source.parse(Rule::show_cubes).map(|_| Statement::ShowCubes)?,
        Some("SHOW") if second("GRANULES") => Statement::ShowGranules { name: cube(source, source.parse(Rule::show_granules)?) },
        Some("SHOW") => return misspelt(tokens, first + 1, &["CUBES", "GRANULES"]),
        // `DESCRIBE cube` describes a table of that name.
        Some("DESCRIBE" | "DESC") if second("CUBE") && tokens.is_name(first + 2) => {
            Statement::DescribeCube { name: cube(source, source.parse(Rule::describe_cube)?) }
        }
        _ => return Ok(None),
    };
    Ok(Some(statement))
}

fn misspelt(tokens: &Tokens<'_>, at: usize, known: &[&'static str]) -> Result<Option<Statement>, GrammarError> {
    match tokens.word(at).and_then(|word| nearest(word, known)) {
        Some(meant) => Err(tokens.error(at, format!("unknown word `{}`: did you mean {meant}?", tokens.str(at)))),
        None => Ok(None),
    }
}

fn cube(source: &Source<'_>, mut pairs: Pairs<'_, Rule>) -> Name {
    let name = pairs.find(|pair| pair.as_rule() == Rule::cube).map(|pair| Name::read(source, pair));
    name.unwrap_or(Name { parts: Vec::new(), span: source.part })
}

fn explain(tokens: &Tokens<'_>, end: usize) -> Result<Statement, GrammarError> {
    let (mut analyze, mut verbose) = (false, false);
    let mut at = 1;
    loop {
        match tokens.word(at).map(str::to_ascii_uppercase).as_deref() {
            Some("ANALYZE") if !analyze => analyze = true,
            Some("VERBOSE") if !verbose => verbose = true,
            Some("FORMAT") => return Err(tokens.error(at, "EXPLAIN has one format: leave FORMAT out")),
            Some("EXPLAIN" | "COPY") => return Err(tokens.error(at, "EXPLAIN takes a query")),
            _ => break,
        }
        at += 1;
    }
    if at >= end {
        return Err(tokens.error(at, "EXPLAIN takes a query: none follows"));
    }
    let source = Source { text: tokens.text, part: Span::new(tokens.start(at), tokens.text.len()) };
    if of_the_dialect(tokens, at, &source)?.is_some() {
        return Err(tokens.error(at, "EXPLAIN takes a query"));
    }
    known_statement(tokens, at)?;
    let query = desugar(tokens, at..end, tokens.start(at), tokens.text.len())?;
    Ok(Statement::Explain { analyze, verbose, query })
}

fn copy(tokens: &Tokens<'_>, source: &Source<'_>) -> Result<Statement, GrammarError> {
    if !tokens.is_mark(1, '(') {
        return Err(tokens.error(1, "COPY takes a query in parentheses: COPY (SELECT * FROM era5) TO 'era5.nc'"));
    }
    let close = tokens.partner(1);
    let begins = ["SELECT", "WITH", "VALUES", "FROM", "TABLE"].iter().any(|word| tokens.is_word(2, word));
    if !begins && tokens.kind(2) != Some(Kind::Mark('(')) {
        return Err(tokens.error(2, "COPY takes a query"));
    }
    let query = desugar(tokens, 2..close, tokens.start(2), tokens.start(close))?;
    let rest = Source { part: Span::new(tokens.start(close + 1), source.part.end), ..*source };
    let Some(target) = rest.parse(Rule::copy_target)?.find(|pair| pair.as_rule() == Rule::literal) else {
        return Err(tokens.error(close + 1, "COPY takes a target: TO 'era5.nc'"));
    };
    let Literal { value: target, span } = Literal::read(&rest, &target);
    Ok(Statement::Copy { query, target, span })
}

impl Literal {
    fn read(source: &Source<'_>, pair: &Pair<'_, Rule>) -> Self {
        let typed = pair.as_str();
        let inner = typed.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')).unwrap_or(typed);
        Self { value: inner.replace("''", "'"), span: source.span(pair) }
    }
}

impl CreateCube {
    fn read(source: &Source<'_>) -> Result<Self, GrammarError> {
        let text = source.text.trim_end_matches(|c: char| c == ';' || c.is_whitespace()).trim_start().to_string();
        let mut create = Self {
            name: Name { parts: Vec::new(), span: source.part },
            or_replace: false,
            if_not_exists: false,
            sources: Vec::new(),
            axes: Vec::new(),
            variable: None,
            overlap: None,
            nodata: None,
            crs: None,
            text,
        };
        for pair in source.parse(Rule::create_cube)? {
            let start = source.span(&pair).start;
            let literals = |pair: Pair<'_, Rule>| {
                pair.into_inner()
                    .filter(|part| part.as_rule() == Rule::literal)
                    .map(|part| Literal::read(source, &part))
                    .collect::<Vec<_>>()
            };
            let twice = |clause| Err(source.error(start, format!("the clause {clause} stands twice")));
            match pair.as_rule() {
                Rule::or_replace => create.or_replace = true,
                Rule::if_not_exists if create.or_replace => {
                    return Err(source.error(start, "OR REPLACE and IF NOT EXISTS exclude each other"));
                }
                Rule::if_not_exists => create.if_not_exists = true,
                Rule::cube => create.name = Name::read(source, pair),
                Rule::literal => create.sources.push(Literal::read(source, &pair)),
                Rule::axis_clause => create.axis(FilenameAxis::read(source, pair)?, source)?,
                Rule::variable_clause if create.variable.is_some() => return twice("VARIABLE"),
                Rule::variable_clause => create.variable = literals(pair).pop(),
                Rule::overlap_clause if create.overlap.is_some() => return twice("OVERLAP"),
                Rule::overlap_clause => create.overlap = Overlap::read(pair),
                Rule::nodata_clause if create.nodata.is_some() => return twice("NODATA"),
                Rule::nodata_clause => create.nodata = Some(nodata(source, pair)?),
                Rule::crs_clause if create.crs.is_some() => return twice("CRS"),
                Rule::crs_clause => create.crs = literals(pair).pop(),
                _ => {}
            }
        }
        Ok(create)
    }

    fn axis(&mut self, axis: FilenameAxis, source: &Source<'_>) -> Result<(), GrammarError> {
        if self.axes.iter().any(|earlier| earlier.axis == axis.axis) {
            return Err(source.error(axis.span.start, format!("the axis {} is named twice", axis.axis)));
        }
        self.axes.push(axis);
        Ok(())
    }
}

impl FilenameAxis {
    fn read(source: &Source<'_>, pair: Pair<'_, Rule>) -> Result<Self, GrammarError> {
        let span = source.span(&pair);
        let mut axis = String::new();
        let mut literals = Vec::new();
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::axis_name => axis = Ident::from_typed(part.as_str()).value,
                Rule::literal => literals.push(Literal::read(source, &part)),
                _ => {}
            }
        }
        let mut literals = literals.into_iter();
        let Some(pattern) = literals.next() else { return Err(source.error(span.end, "expected a pattern")) };
        let format = literals.next();
        let end = format.as_ref().map_or(pattern.span.end, |format| format.span.end);
        Ok(Self { axis, pattern, format, span: Span::new(span.start, end) })
    }
}

impl Overlap {
    fn read(pair: Pair<'_, Rule>) -> Option<Self> {
        pair.into_inner().find_map(|part| match part.as_rule() {
            Rule::kw_error => Some(Self::Error),
            Rule::kw_newest => Some(Self::Newest),
            Rule::kw_first => Some(Self::First),
            _ => None,
        })
    }
}

fn nodata(source: &Source<'_>, pair: Pair<'_, Rule>) -> Result<f64, GrammarError> {
    let start = source.span(&pair).start;
    let Some(typed) = pair.into_inner().find(|part| part.as_rule() == Rule::signed_number) else { return Ok(f64::NAN) };
    let typed: String = typed.as_str().chars().filter(|c| !c.is_whitespace()).collect();
    match typed.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(value),
        _ => Err(source.error(start, format!("NODATA takes a decimal number that fits a 64-bit float, found {typed}"))),
    }
}

impl fmt::Display for Overlap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "ERROR",
            Self::Newest => "NEWEST",
            Self::First => "FIRST",
        })
    }
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}'", self.value.replace('\'', "''"))
    }
}

/// Prints the statement from its tree, clauses in the order of the documentation.
impl fmt::Display for CreateCube {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let or_replace = if self.or_replace { "OR REPLACE " } else { "" };
        let if_not_exists = if self.if_not_exists { "IF NOT EXISTS " } else { "" };
        write!(f, "CREATE {or_replace}CUBE {if_not_exists}{} FROM ", self.name)?;
        for (at, source) in self.sources.iter().enumerate() {
            write!(f, "{}{source}", if at > 0 { ", " } else { "" })?;
        }
        for axis in &self.axes {
            write!(f, " AXIS {} FROM FILENAME {}", Ident { value: axis.axis.clone(), quoted: true }, axis.pattern)?;
            axis.format.as_ref().map_or(Ok(()), |format| write!(f, " FORMAT {format}"))?;
        }
        self.variable.as_ref().map_or(Ok(()), |pattern| write!(f, " VARIABLE FROM FILENAME {pattern}"))?;
        self.overlap.map_or(Ok(()), |overlap| write!(f, " OVERLAP {overlap}"))?;
        self.nodata.map_or(Ok(()), |nodata| write!(f, " NODATA {nodata:?}"))?;
        self.crs.as_ref().map_or(Ok(()), |crs| write!(f, " CRS {crs}"))
    }
}
