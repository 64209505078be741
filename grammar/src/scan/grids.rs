//! Relations that are grids: `REGRID(era5, lat => axis(-90, 90, 1))`, `WARP(...)`, `GRID(...)`. They are plain calls already;
//! what is left to do are the relation inside, `USING OVERVIEWS` and a subset behind, and the alias that a relation in FROM goes by.

use super::{Clause, Place, Scan};
use crate::error::GrammarError;
use crate::position::Span;
use crate::subset::Subset;
use crate::syntax::Source;

impl<'a> Scan<'a> {
    /// Handles the name of a call that is a grid. Of REGRID and WARP the first argument is a relation as in FROM.
    pub(super) fn grid(&mut self, at: usize) -> usize {
        let close = self.tokens.partner(at + 1);
        let overviews = self.tokens.is_word(close + 1, "USING") && self.tokens.is_word(close + 2, "OVERVIEWS");
        let overviews = overviews && close + 2 < self.range.end && !self.tokens.is_word(at, "GRID");
        let last = if overviews { close + 2 } else { close };
        if overviews {
            self.overviews.push(close);
        }
        let subset = last + 1 < self.range.end && self.tokens.is_mark(last + 1, '[');
        if subset {
            self.weaver.open_subset(self.tokens.start(at));
            self.brackets.push(last + 1);
        } else if !self.frame.grid && self.alias_behind(last) == last {
            self.unnamed.push((close, self.name_of_grid(at)));
        }
        self.frame.clause = Clause::From(Place::Relation);
        self.enter(at + 1, false);
        if !self.tokens.is_word(at, "GRID") {
            self.frame.clause = Clause::From(Place::Start);
            self.frame.grid = true;
        }
        at + 2
    }

    /// The name by which the columns of a grid without alias are qualified: that of the relation at its bottom.
    fn name_of_grid(&self, mut at: usize) -> &'a str {
        while self.tokens.is_mark(at + 1, '(') && self.tokens.is_name(at + 2) && !self.tokens.is_word(at, "GRID") {
            at += 2;
            while self.tokens.is_mark(at + 1, '.') && self.tokens.is_name(at + 2) {
                at += 2;
            }
        }
        self.tokens.str(at)
    }

    /// Handles the closing parenthesis of a call: `USING OVERVIEWS` behind it becomes an argument, and a grid without alias gets one.
    /// Gives the token behind all of it.
    pub(super) fn grid_closed(&mut self, at: usize) -> usize {
        let overviews = self.overviews.pop_if(|close| *close == at).is_some();
        let last = if overviews { at + 2 } else { at };
        let end = self.tokens.get(last).map_or(self.tokens.text.len(), |token| token.span.end);
        if overviews {
            self.weaver.overviews(self.tokens.start(at), self.tokens.start(at + 1), end);
        }
        if let Some((_, name)) = self.unnamed.pop_if(|(close, _)| *close == at) {
            self.weaver.alias(name, end);
        }
        last + 1
    }

    /// Replaces the subset behind a grid, whose bracket opens at `at`.
    pub(super) fn subset_of_grid(&mut self, at: usize) -> Result<usize, GrammarError> {
        let close = self.tokens.partner(at);
        let end_of = |at: usize| self.tokens.get(at).map_or(self.tokens.text.len(), |token| token.span.end);
        let part = Span::new(self.tokens.start(at), end_of(self.alias_behind(close)));
        let subset = Subset::read_behind(&Source { text: self.tokens.text, part })?;
        if self.tokens.is_mark(close + 1, '[') {
            return Err(self.tokens.error(close + 1, "all axes of a subset stand in one pair of brackets"));
        }
        let before = self.before(at).map(|last| if self.tokens.is_word(last, "OVERVIEWS") { last.saturating_sub(2) } else { last });
        let opening = before.and_then(|close| self.opening_of(close));
        let name = opening.and_then(|open| self.before(open)).map_or("grid", |name| self.name_of_grid(name));
        let alias = (!self.frame.grid).then_some(name);
        self.weaver.selection(&subset, alias, part.start, end_of(close));
        self.enter(at, true);
        Ok(at + 1)
    }
}
