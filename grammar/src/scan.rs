//! Finds the islands: walks over the tokens of a query, keeps track of the clause it is in, and hands every array construct
//! to its tree. What stands where it cannot mean anything is an error here, so that nothing reaches the planner misread.

mod grids;

use std::ops::Range;

use crate::around::{Along, Around};
use crate::desugar::{Desugared, Weaver};
use crate::dims::Dims;
use crate::error::GrammarError;
use crate::position::Span;
use crate::subset::Subset;
use crate::syntax::Source;
use crate::tokens::{Kind, Tokens};
use crate::words::{can_be_alias, can_be_operand, ends_item};

/// The part of a query that a token stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Clause {
    /// Before any clause of a query, and in statements that are none: nothing of ours is looked for but misplaced subsets.
    Outside,
    /// SELECT, GROUP BY, PARTITION BY or ORDER BY: a list whose items may be DIMS.
    List,
    From(Place),
    /// Behind ON, up to the next comma or JOIN.
    On,
    /// Any other expression.
    Expression,
}

/// How far a relation in FROM has been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// A relation begins here.
    Start,
    /// Behind a name, call or parenthesis.
    Relation,
    /// Behind AS.
    As,
    /// Behind the alias.
    Alias,
    /// Between relations: join words, samples.
    Between,
}

/// One level of brackets.
#[derive(Clone, Copy)]
struct Frame {
    clause: Clause,
    /// A SELECT or FROM has been seen on this level, so that FROM opens a clause.
    query: bool,
    /// The arguments of a call, where FROM belongs to `extract(year FROM time)`.
    call: bool,
    /// Inside of the brackets of a subset.
    subset: bool,
    /// Inside of the parentheses of a grid: the relation there ends at a comma.
    grid: bool,
    /// The first token of the level.
    start: usize,
    /// The clause that is computed before windows are, while inside of one.
    before_windows: Option<&'static str>,
}

struct Scan<'a> {
    tokens: &'a Tokens<'a>,
    range: Range<usize>,
    frame: Frame,
    outer: Vec<Frame>,
    weaver: Weaver<'a>,
    /// Brackets behind grids that are still to come.
    brackets: Vec<usize>,
    /// Closing parentheses of grids without alias, and the names that these get.
    unnamed: Vec<(usize, &'a str)>,
    /// The parentheses that close a grid which `USING OVERVIEWS` stands behind.
    overviews: Vec<usize>,
}

/// Replaces the array constructs in the tokens of `range`; the SQL is the text from byte `from` up to byte `to`.
pub(crate) fn desugar(tokens: &Tokens<'_>, range: Range<usize>, from: usize, to: usize) -> Result<Desugared, GrammarError> {
    let frame =
        Frame { clause: Clause::Outside, query: false, call: false, subset: false, grid: false, start: range.start, before_windows: None };
    let mut at = range.start;
    let mut scan = Scan {
        tokens,
        range,
        frame,
        outer: Vec::new(),
        weaver: Weaver::new(tokens.text, from, to),
        brackets: Vec::new(),
        unnamed: Vec::new(),
        overviews: Vec::new(),
    };
    while at < scan.range.end {
        at = scan.step(at)?;
    }
    Ok(scan.weaver.finish())
}

impl Scan<'_> {
    /// Handles the token at `at` and gives the next one.
    fn step(&mut self, at: usize) -> Result<usize, GrammarError> {
        if self.frame.clause == Clause::From(Place::Start)
            && let Some(next) = self.relation(at)?
        {
            return Ok(next);
        }
        match self.tokens.kind(at) {
            Some(Kind::Mark('(')) => {
                if self.frame.clause == Clause::From(Place::Alias) {
                    return Ok(self.tokens.partner(at) + 1); // the columns of an alias are names and nothing else
                }
                self.enter(at, false);
            }
            Some(Kind::Mark('[')) if self.brackets.pop_if(|bracket| *bracket == at).is_some() => return self.subset_of_grid(at),
            Some(Kind::Mark('[')) => {
                self.stray_bracket(at)?;
                self.enter(at, false);
            }
            Some(Kind::Mark('{')) => self.enter(at, false),
            Some(Kind::Mark(')' | ']' | '}')) => {
                if let Some(frame) = self.outer.pop() {
                    self.frame = frame;
                }
                return Ok(self.grid_closed(at));
            }
            Some(Kind::Mark(',')) if self.frame.grid => self.frame.clause = Clause::Expression,
            Some(Kind::Mark(',')) if matches!(self.frame.clause, Clause::From(_) | Clause::On) => {
                self.frame.clause = Clause::From(Place::Start);
            }
            Some(Kind::Word) => return self.word(at),
            Some(Kind::Quoted) => self.alias(),
            _ => {}
        }
        Ok(at + 1)
    }

    /// Opens a level of brackets.
    fn enter(&mut self, at: usize, subset: bool) {
        let clause = if self.frame.clause == Clause::Outside { Clause::Outside } else { Clause::Expression };
        let call = self.ends_operand_before(at);
        let Frame { subset: outer, before_windows, .. } = self.frame;
        let frame = Frame { clause, query: false, call, subset: subset || outer, grid: false, start: at + 1, before_windows };
        self.outer.push(std::mem::replace(&mut self.frame, frame));
    }

    /// The token before `at`, if it is in range.
    fn before(&self, at: usize) -> Option<usize> {
        at.checked_sub(1).filter(|before| self.range.contains(before))
    }

    /// Whether the token before `at` ends an operand: a name, a literal or a closing bracket.
    fn ends_operand_before(&self, at: usize) -> bool {
        self.before(at).is_some_and(|before| match self.tokens.kind(before) {
            Some(Kind::Word) => self.is_part_of_name(before) || can_be_operand(self.tokens.str(before)),
            Some(Kind::Quoted | Kind::Text | Kind::Number | Kind::Parameter | Kind::Mark(')' | ']' | '}')) => true,
            _ => false,
        })
    }

    /// Whether a word is a part of a dotted name, and so no keyword.
    fn is_part_of_name(&self, at: usize) -> bool {
        self.tokens.is_mark(at + 1, '.') || self.before(at).is_some_and(|before| self.tokens.is_mark(before, '.'))
    }

    /// A name behind a relation is its alias.
    fn alias(&mut self) {
        match self.frame.clause {
            Clause::From(Place::Relation | Place::As) => self.frame.clause = Clause::From(Place::Alias),
            Clause::From(_) => self.frame.clause = Clause::From(Place::Between),
            _ => {}
        }
    }

    /// Handles a word that is not the start of a relation.
    fn word(&mut self, at: usize) -> Result<usize, GrammarError> {
        let word = self.tokens.str(at);
        if self.is_part_of_name(at) || word.len() > 12 {
            self.alias();
            return Ok(at + 1);
        }
        let by = self.tokens.is_word(at + 1, "BY");
        let before = self.before(at);
        let follows = |word| before.is_some_and(|before| self.tokens.is_word(before, word));
        let in_from = matches!(self.frame.clause, Clause::From(_) | Clause::On);
        let query = self.frame.clause != Clause::Outside;
        match word.to_ascii_uppercase().as_str() {
            "SELECT" => self.open_query(at, Clause::List)?,
            "FROM" if follows("DISTINCT") && before.and_then(|at| self.before(at)).is_some_and(|at| self.is_or_not(at)) => {}
            "FROM" if self.frame.query || (!query || self.frame.start == at) && !self.frame.call && !follows("DELETE") => {
                self.open_query(at, Clause::From(Place::Start))?;
            }
            "JOIN" if in_from => self.frame.clause = Clause::From(Place::Start),
            "ON" if in_from => {
                self.frame.clause = Clause::On;
                self.frame.before_windows = Some("ON");
            }
            "AS" if in_from && self.frame.clause != Clause::On => self.frame.clause = Clause::From(Place::As),
            "USING" if in_from && self.tokens.is_word(at + 1, "DIMS") && !self.is_part_of_name(at + 1) => {
                let end = self.tokens.get(at + 1).map_or(self.tokens.text.len(), |token| token.span.end);
                if self.tokens.is_word(at + 2, "EXCEPT") && self.tokens.is_mark(at + 3, '(') && !self.begins_query(at + 3) {
                    return Err(self.tokens.error(at + 2, "USING DIMS takes all common axes; for some of them write USING (lat, lon)"));
                }
                self.weaver.using_dims(self.tokens.start(at), end);
                self.frame.clause = Clause::From(Place::Between);
                return Ok(at + 2);
            }
            word @ ("GROUP" | "ORDER" | "PARTITION") if by && query => {
                self.frame.clause = Clause::List;
                match word {
                    "GROUP" => self.frame.before_windows = Some("GROUP BY"),
                    "ORDER" => self.frame.before_windows = None,
                    _ => {}
                }
                return Ok(at + 2);
            }
            "SORT" | "CLUSTER" | "DISTRIBUTE" if by && query => self.frame.clause = Clause::Expression,
            word @ ("WHERE" | "HAVING" | "QUALIFY" | "PREWHERE") if query => {
                self.frame.clause = Clause::Expression;
                self.frame.before_windows = match word {
                    "QUALIFY" => None,
                    "HAVING" => Some("HAVING"),
                    _ => Some("WHERE"),
                };
            }
            "LIMIT" | "OFFSET" | "FETCH" | "WINDOW" if in_from || query && self.frame.query && self.ends_operand_before(at) => {
                self.frame.clause = Clause::Expression;
            }
            "VALUES" if self.tokens.is_mark(at + 1, '(') => self.frame.clause = Clause::Expression,
            "DIMS" if query => return self.dims(at),
            word @ ("ALONG" | "AROUND")
                if query
                    && self.tokens.is_mark(at + 1, '(')
                    && self.ends_operand_before(at)
                    && !matches!(self.frame.clause, Clause::From(_)) =>
            {
                return self.window(at, word == "ALONG");
            }
            _ if can_be_alias(word) => self.alias(),
            _ if in_from && self.frame.clause != Clause::On => self.frame.clause = Clause::From(Place::Between),
            _ => {}
        }
        Ok(at + 1)
    }

    fn is_or_not(&self, at: usize) -> bool {
        self.tokens.is_word(at, "IS") || self.tokens.is_word(at, "NOT")
    }

    fn open_query(&mut self, at: usize, clause: Clause) -> Result<(), GrammarError> {
        if self.frame.subset {
            return Err(self.tokens.error(at, "a value in a subset is a constant expression, not a query"));
        }
        self.frame.query = true;
        self.frame.clause = clause;
        self.frame.before_windows = None;
        Ok(())
    }

    /// Replaces ALONG (...) or AROUND (...), which stands behind an aggregate.
    fn window(&mut self, at: usize, along: bool) -> Result<usize, GrammarError> {
        let word = self.tokens.str(at).to_uppercase();
        let opening = self.before(at).filter(|close| self.tokens.is_mark(*close, ')')).and_then(|close| self.opening_of(close));
        let called =
            opening.and_then(|open| self.before(open)).filter(|name| self.tokens.is_name(*name) && self.ends_operand_before(name + 1));
        let filtered = opening.and_then(|open| self.before(open)).is_some_and(|name| self.tokens.is_word(name, "FILTER"));
        let over = opening.and_then(|open| self.before(open)).is_some_and(|name| self.tokens.is_word(name, "OVER"));
        let message = if over {
            Some(format!("OVER and {word} say both which cells an aggregate is of: write one of them"))
        } else if called.is_none() && !filtered {
            let example = if along { "avg(t2m) ALONG (time)" } else { "avg(t2m) AROUND (time(-1:1))" };
            Some(format!("{word} stands directly behind an aggregate: {example}"))
        } else {
            let clause = self.frame.before_windows;
            clause.map(|clause| {
                format!("{word} is computed after {clause}, so it cannot stand there: compute it in a sub-query and ask around it")
            })
        };
        if let Some(message) = message {
            return Err(self.tokens.error(at, message));
        }
        let close = self.tokens.partner(at + 1);
        let edge = !along
            && self.tokens.is_word(close + 1, "EDGE")
            && self.tokens.word(close + 2).is_some_and(|word| word.eq_ignore_ascii_case("NULL") || !ends_item(word));
        let last = if edge && close + 2 < self.range.end { close + 2 } else { close };
        for (word, message) in [
            ("FILTER", format!("FILTER stands in front of {word}: avg(t2m) FILTER (WHERE ...) {word} (...)")),
            ("OVER", format!("OVER and {word} say both which cells an aggregate is of: write one of them")),
            ("ALONG", "ALONG and AROUND follow one aggregate each: compute one of them in a sub-query".to_string()),
            ("AROUND", "ALONG and AROUND follow one aggregate each: compute one of them in a sub-query".to_string()),
        ] {
            if self.tokens.is_word(last + 1, word) && self.tokens.is_mark(last + 2, '(') {
                return Err(self.tokens.error(last + 1, message));
            }
        }
        let end = self.tokens.get(last).map_or(self.tokens.text.len(), |token| token.span.end);
        let source = Source { text: self.tokens.text, part: Span::new(self.tokens.start(at), end) };
        match along {
            true => self.weaver.along(&Along::read(&source)?),
            false => self.weaver.around(&Around::read(&source)?),
        }
        Ok(last + 1)
    }

    /// The bracket that the closing one at `close` closes, on the level at hand.
    fn opening_of(&self, close: usize) -> Option<usize> {
        (self.frame.start..close).rev().find(|at| self.tokens.is_mark(*at, '(') && self.tokens.partner(*at) == close)
    }

    /// Handles the start of a relation. `None` leaves the token to the general rules.
    fn relation(&mut self, at: usize) -> Result<Option<usize>, GrammarError> {
        if self.tokens.is_mark(at, '(') {
            self.frame.clause = Clause::From(Place::Relation);
            self.no_bracket(self.tokens.partner(at) + 1)?;
            self.enter(at, false);
            self.frame.clause = Clause::From(Place::Start);
            self.frame.query = true;
            return Ok(Some(at + 1));
        }
        if self.tokens.is_mark(at, '[') {
            return Err(self.tokens.error(at, "the name of a cube, a view or a CTE is missing in front of the bracket"));
        }
        if !self.tokens.is_name(at) {
            self.frame.clause = Clause::From(Place::Relation);
            self.no_bracket(at + 1)?;
            return Ok(None);
        }
        let mut last = at;
        while self.tokens.is_mark(last + 1, '.') && self.tokens.is_name(last + 2) {
            last += 2;
        }
        let single = last == at;
        let (call, bracket) = (self.tokens.is_mark(last + 1, '('), self.tokens.is_mark(last + 1, '['));
        match self.tokens.word(at).map(str::to_ascii_uppercase).as_deref() {
            Some("SELECT") => return Ok(None),
            Some("VALUES") if call => return Ok(None),
            Some("WITH") if single && !bracket => {
                self.frame.clause = Clause::Outside;
                return Ok(Some(at + 1));
            }
            Some("LATERAL") if single && (call || self.tokens.is_name(at + 1)) => return Ok(Some(at + 1)),
            Some("REGRID" | "WARP" | "GRID") if single && call => return Ok(Some(self.grid(at))),
            _ => {}
        }
        self.frame.clause = Clause::From(Place::Relation);
        if bracket {
            return self.subset(at, last).map(Some);
        }
        if call {
            self.no_bracket(self.tokens.partner(last + 1) + 1)?;
        }
        Ok(Some(last + 1))
    }

    /// A bracket behind something in FROM that has no axes.
    fn no_bracket(&self, at: usize) -> Result<(), GrammarError> {
        match self.tokens.is_mark(at, '[') && at < self.range.end {
            true => Err(self.tokens.error(at, "a subset stands directly behind the name of a cube, a view or a CTE")),
            false => Ok(()),
        }
    }

    /// Replaces the subset whose name is the tokens `first..=last`; the bracket follows. Its values are walked over next.
    fn subset(&mut self, first: usize, last: usize) -> Result<usize, GrammarError> {
        let close = self.tokens.partner(last + 1);
        let end_of = |at: usize| self.tokens.get(at).map_or(self.tokens.text.len(), |token| token.span.end);
        let part = Span::new(self.tokens.start(first), end_of(self.alias_behind(close)));
        let subset = Subset::read(&Source { text: self.tokens.text, part })?;
        if self.tokens.is_mark(close + 1, '[') {
            return Err(self.tokens.error(close + 1, "all axes of a subset stand in one pair of brackets"));
        }
        let alias = (!self.frame.grid).then(|| self.tokens.str(last));
        self.weaver.subset(&subset, alias, end_of(close));
        self.enter(last + 1, true);
        Ok(last + 2)
    }

    /// The last token of the alias behind a bracket or parenthesis that closes at `close`; `close` itself where there is none.
    fn alias_behind(&self, close: usize) -> usize {
        let explicit = self.tokens.is_word(close + 1, "AS") && self.tokens.is_name(close + 2);
        let implicit = match self.tokens.kind(close + 1) {
            Some(Kind::Quoted) => true,
            Some(Kind::Word) => can_be_alias(self.tokens.str(close + 1)) && !self.tokens.is_word(close + 1, "AS"),
            _ => false,
        };
        let end = close + 2 * usize::from(explicit) + usize::from(implicit);
        if end < self.range.end { end } else { close }
    }

    /// Refuses a bracket that looks like a subset where none can stand. Arrays and subscripts pass.
    fn stray_bracket(&self, at: usize) -> Result<(), GrammarError> {
        if let Clause::From(Place::Relation | Place::Alias | Place::As) = self.frame.clause {
            return Err(self.tokens.error(at, "a subset stands directly behind the name, before the alias: era5[lat(40:60)] AS e"));
        }
        let named = self.before(at).is_some_and(|before| self.tokens.is_name(before)) && self.ends_operand_before(at);
        if !named {
            return Ok(());
        }
        let (mut item, close) = (at + 1, self.tokens.partner(at));
        while self.tokens.is_name(item) && self.tokens.is_mark(item + 1, '(') {
            let next = self.tokens.partner(item + 1) + 1;
            if next >= close {
                let message = match self.frame.clause {
                    Clause::Outside => "a subset stands after FROM or JOIN of a query",
                    _ => {
                        "a subset stands after FROM or JOIN (an element of an array at the result of a function is written with \
                         parentheses: a[(f(x))])"
                    }
                };
                return Err(self.tokens.error(at - 1, message));
            }
            if !self.tokens.is_mark(next, ',') {
                break;
            }
            item = next + 1;
        }
        Ok(())
    }

    /// Handles the word DIMS inside of a query.
    fn dims(&mut self, at: usize) -> Result<usize, GrammarError> {
        let named_argument = self.tokens.is_mark(at + 1, '=') && self.tokens.is_mark(at + 2, '>');
        let alias = matches!(self.frame.clause, Clause::From(_))
            || self.before(at).is_some_and(|before| self.tokens.is_word(before, "AS"))
            || self.frame.clause == Clause::List && self.ends_operand_before(at);
        if self.tokens.is_mark(at + 1, '(') || named_argument || alias {
            self.alias();
            return Ok(at + 1);
        }
        let misplaced = "DIMS stands alone as an item of SELECT, GROUP BY, PARTITION BY or ORDER BY; \
                         a column of that name is written \"dims\"";
        let begins_item = self.before(at).is_some_and(|before| {
            self.tokens.is_mark(before, ',') || ["SELECT", "BY", "DISTINCT", "ALL"].iter().any(|word| self.tokens.is_word(before, word))
        });
        if self.frame.clause != Clause::List || !begins_item {
            return Err(self.tokens.error(at, misplaced));
        }
        let except = self.tokens.is_word(at + 1, "EXCEPT") && !self.begins_query(at + 2);
        let last = match except {
            true if self.tokens.is_mark(at + 2, '(') => self.tokens.partner(at + 2),
            true => return Err(self.tokens.error(at + 2, "the axes behind DIMS EXCEPT stand in parentheses: DIMS EXCEPT (time)")),
            false => at,
        };
        let next_ends_item = match self.tokens.kind(last + 1).filter(|_| last + 1 < self.range.end) {
            None | Some(Kind::Mark(',' | ')' | ';')) => true,
            Some(Kind::Word) => ends_item(self.tokens.str(last + 1)),
            _ => false,
        };
        if !next_ends_item {
            return Err(self.tokens.error(at, misplaced));
        }
        let (start, end) = (self.tokens.start(at), self.tokens.get(last).map_or(0, |token| token.span.end));
        let dims = Dims::read(&Source { text: self.tokens.text, part: Span::new(start, end) })?;
        self.weaver.dims(&dims, start, end);
        Ok(last + 1)
    }

    /// Whether a query begins behind the set operator EXCEPT.
    fn begins_query(&self, at: usize) -> bool {
        let at = if self.tokens.is_mark(at, '(') { at + 1 } else { at };
        let words = ["SELECT", "WITH", "VALUES", "FROM", "TABLE", "ALL", "DISTINCT"];
        self.tokens.is_mark(at, '(') || words.iter().any(|word| self.tokens.is_word(at, word))
    }
}
