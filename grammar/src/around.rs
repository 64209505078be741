//! The trees of `agg(v) ALONG (time)` and `agg(v) AROUND (y(-1:1), x(-1:1)) EDGE CLAMP`: what stands behind the aggregate.
//! What they become in plain SQL is in `desugar.rs`.

use pest::iterators::Pair;

use crate::error::GrammarError;
use crate::name::Ident;
use crate::position::Span;
use crate::subset::{Bounds, Value};
use crate::syntax::{Rule, Source};

/// Axes to reduce along: `ALONG (time)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Along {
    /// The axes and where each stands; never empty, none twice.
    pub axes: Vec<(Ident, Span)>,
    /// From the word to the closing parenthesis.
    pub span: Span,
}

/// A neighbourhood: `AROUND (y(-1:1), x(-1:1)) EDGE CLAMP`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Around {
    /// One entry an axis; never empty, no axis twice.
    pub axes: Vec<Reach>,
    /// What is beyond the ends of the axes, and where that is said.
    pub edge: Option<(Edge, Span)>,
    /// From the word to the end.
    pub span: Span,
}

/// How far a neighbourhood reaches along one axis: `y(-1:1)`. Without parentheses (`y`) the weights of `convolve` say it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reach {
    /// The axis.
    pub axis: Ident,
    /// The first and last offset, both included; `None`: up to the end of the axis. One of them is always there.
    pub bounds: Option<[Option<Value>; 2]>,
    /// From the name to the closing parenthesis.
    pub span: Span,
}

/// What a neighbourhood takes for cells beyond the ends of an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// Nothing: it shrinks. The default.
    Shrink,
    /// The result is NULL.
    Null,
    /// The nearest cell.
    Clamp,
    /// The cells of the other end.
    Wrap,
}

impl Edge {
    /// Its name in plain SQL.
    pub(crate) fn literal(self) -> &'static str {
        match self {
            Edge::Shrink => "'shrink'",
            Edge::Null => "'null'",
            Edge::Clamp => "'clamp'",
            Edge::Wrap => "'wrap'",
        }
    }
}

impl Along {
    /// Reads the ALONG that the part of `source` is.
    pub(crate) fn read(source: &Source<'_>) -> Result<Self, GrammarError> {
        let mut axes: Vec<(Ident, Span)> = Vec::new();
        for pair in source.parse(Rule::along)?.filter(|pair| pair.as_rule() == Rule::axis_name) {
            let (axis, span) = (Ident::from_typed(pair.as_str()), source.span(&pair));
            if axes.iter().any(|(earlier, _)| earlier.value == axis.value) {
                return Err(source.error(span.start, format!("the axis {axis} is named twice")));
            }
            axes.push((axis, span));
        }
        Ok(Self { axes, span: source.part })
    }
}

impl Around {
    /// Reads the AROUND that the part of `source` is.
    pub(crate) fn read(source: &Source<'_>) -> Result<Self, GrammarError> {
        let mut around = Self { axes: Vec::new(), edge: None, span: source.part };
        for pair in source.parse(Rule::around)? {
            match pair.as_rule() {
                Rule::reach => {
                    let reach = Reach::read(source, pair)?;
                    if around.axes.iter().any(|earlier| earlier.axis.value == reach.axis.value) {
                        return Err(source.error(reach.span.start, format!("the axis {} is named twice", reach.axis)));
                    }
                    around.axes.push(reach);
                }
                Rule::edge => {
                    let span = source.span(&pair);
                    around.edge = pair.into_inner().last().map(|word| (Self::edge(word.as_rule()), span));
                }
                _ => {}
            }
        }
        let bare = |reach: &&Reach| reach.bounds.is_none();
        if let (Some(reach), true) = (around.axes.iter().find(bare), around.axes.iter().any(|reach| reach.bounds.is_some())) {
            let message = format!("how far along {0}? Write {0}(-1:1); only the weights of convolve say it for all axes", reach.axis);
            return Err(source.error(reach.span.start, message));
        }
        Ok(around)
    }

    fn edge(rule: Rule) -> Edge {
        match rule {
            Rule::kw_null => Edge::Null,
            Rule::kw_clamp => Edge::Clamp,
            Rule::kw_wrap => Edge::Wrap,
            _ => Edge::Shrink,
        }
    }
}

impl Reach {
    fn read(source: &Source<'_>, pair: Pair<'_, Rule>) -> Result<Self, GrammarError> {
        let span = source.span(&pair);
        let mut reach = Self { axis: Ident { value: String::new(), quoted: false }, bounds: None, span };
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::axis_name => reach.axis = Ident::from_typed(part.as_str()),
                Rule::bounds => reach.bounds = Some(Self::bounds(source, &reach.axis, part)?),
                Rule::close_paren if reach.bounds.is_none() => {
                    let message = format!("how far along {0}? Write {0}(-1:1)", reach.axis);
                    return Err(source.error(source.span(&part).start, message));
                }
                _ => {}
            }
        }
        Ok(reach)
    }

    fn bounds(source: &Source<'_>, axis: &Ident, pair: Pair<'_, Rule>) -> Result<[Option<Value>; 2], GrammarError> {
        let start = source.span(&pair).start;
        let bounds = Bounds::read(source, pair);
        if let Some(second) = bounds.colons.get(1) {
            return Err(source.error(*second, "a neighbourhood takes every cell between its ends: write y(-1:1), without a step"));
        }
        let is_range = !bounds.colons.is_empty();
        match bounds.take() {
            [Some(_), None, None] if !is_range => {
                Err(source
                    .error(start, format!("a neighbourhood has two ends: write {axis}(-1:1) for the cells beside and the cell itself")))
            }
            [None, None, _] => {
                let message = format!("{axis}(:) reaches over the whole axis: that is ALONG ({axis}); or give it an end");
                Err(source.error(start, message))
            }
            [low, high, _] => Ok([low, high]),
        }
    }
}
