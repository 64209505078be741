//! The tree of a subset, `era5[time('2020'), lat(40:60)] AS e`: reading it and printing it. What it becomes in plain SQL
//! is in `desugar.rs`.

use std::fmt;

use pest::iterators::Pair;

use crate::error::GrammarError;
use crate::name::{Ident, Name};
use crate::position::Span;
use crate::syntax::{Rule, Source};
use crate::tokens::Tokens;
use crate::words::can_be_alias;

/// A relation with axes selected in brackets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subset {
    /// The cube, view or CTE.
    pub relation: Name,
    /// What is selected, in the order typed; never empty, no axis twice.
    pub axes: Vec<AxisSpec>,
    /// The alias behind the bracket.
    pub alias: Option<Ident>,
    /// From the name to the alias.
    pub span: Span,
}

/// The selection on one axis: `lat(40:60)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AxisSpec {
    /// The name of the axis.
    pub axis: Ident,
    /// What is selected.
    pub selection: Selection,
    /// From the name to the closing parenthesis.
    pub span: Span,
}

/// What a subset takes from an axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// `40:60`, `40:`, `:60` (one end is always there): coordinates in the closed interval.
    Trim {
        /// The end before the colon.
        low: Option<Value>,
        /// The end after the colon.
        high: Option<Value>,
    },
    /// `48.85`, `'2020-01'`, `$1`: a coordinate or a period.
    At(Value),
    /// `EXACT 48.75`: a coordinate that exists.
    Exact(Value),
    /// `INDEX 0:23:6`: positions, both ends included.
    IndexRange {
        /// The first position.
        first: Option<Value>,
        /// The last position.
        last: Option<Value>,
        /// The step; 1 if left out.
        step: Option<Value>,
    },
    /// `INDEX -1`: one position.
    Index(Value),
    /// `IN (850, 500, 250)`: these coordinates; never empty.
    In(Vec<Value>),
}

/// A constant expression as typed, without gaps at its ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// The text.
    pub text: String,
    /// Where it stands.
    pub span: Span,
}

impl Subset {
    /// Reads one subset, with or without an alias, and nothing else.
    pub fn parse(text: &str) -> Result<Self, GrammarError> {
        Tokens::read(text)?;
        let subset = Self::read(&Source::whole(text))?;
        match &subset.alias {
            Some(alias) if !alias.quoted && !can_be_alias(&alias.value) => {
                Err(GrammarError::new(text, subset.span.end, format!("`{alias}` is a keyword: as an alias it is written in quotes")))
            }
            _ => Ok(subset),
        }
    }

    /// Reads the subset that the part of `source` is. Its brackets are balanced and not nested too deep.
    pub(crate) fn read(source: &Source<'_>) -> Result<Self, GrammarError> {
        Self::read_as(source, Rule::subset)
    }

    /// Reads brackets that stand behind a relation that is no name: the name is empty.
    pub(crate) fn read_behind(source: &Source<'_>) -> Result<Self, GrammarError> {
        Self::read_as(source, Rule::selection)
    }

    fn read_as(source: &Source<'_>, rule: Rule) -> Result<Self, GrammarError> {
        let mut subset = Self { relation: Name { parts: Vec::new(), span: source.part }, axes: Vec::new(), alias: None, span: source.part };
        for pair in source.parse(rule)? {
            match pair.as_rule() {
                Rule::relation => subset.relation = Name::read(source, pair),
                Rule::axis => {
                    let axis = AxisSpec::read(source, pair)?;
                    if subset.axes.iter().any(|earlier| earlier.axis.value == axis.axis.value) {
                        return Err(source.error(axis.span.start, format!("the axis {} is named twice", axis.axis)));
                    }
                    subset.axes.push(axis);
                }
                Rule::alias => {
                    subset.alias = pair.into_inner().find(|part| part.as_rule() == Rule::name).map(|part| Ident::from_typed(part.as_str()));
                }
                _ => {}
            }
        }
        Ok(subset)
    }
}

impl AxisSpec {
    fn read(source: &Source<'_>, pair: Pair<'_, Rule>) -> Result<Self, GrammarError> {
        let span = source.span(&pair);
        let mut axis = Ident { value: String::new(), quoted: false };
        let mut selection = None;
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::axis_name => axis = Ident::from_typed(part.as_str()),
                Rule::spec => selection = Selection::read(source, &axis, part)?,
                Rule::comma => {
                    let message = format!(
                        "one value or one range per axis: write {axis}(a:b) for a range, {axis}(IN (a, b)) for a list of coordinates"
                    );
                    return Err(source.error(source.span(&part).start, message));
                }
                Rule::close_paren if selection.is_none() => {
                    let message = format!("{axis}() selects nothing: write a value or a range, or leave the axis out");
                    return Err(source.error(source.span(&part).start, message));
                }
                _ => {}
            }
        }
        match selection {
            Some(selection) => Ok(Self { axis, selection, span }),
            None => Err(source.error(span.start, format!("{axis}() selects nothing"))),
        }
    }
}

/// The values and colons of a range, in order.
pub(crate) struct Bounds {
    parts: Vec<Option<Value>>,
    /// Offsets of the colons.
    pub colons: Vec<usize>,
}

impl Selection {
    fn read(source: &Source<'_>, axis: &Ident, spec: Pair<'_, Rule>) -> Result<Option<Self>, GrammarError> {
        let start = source.span(&spec).start;
        let Some(form) = spec.into_inner().next() else { return Ok(None) };
        let end = source.span(&form).end;
        let rule = form.as_rule();
        match rule {
            Rule::among => {
                let values = form.into_inner().filter(|part| part.as_rule() == Rule::value).map(|part| Value::read(source, &part));
                Ok(Some(Self::In(values.collect())))
            }
            Rule::bounds => {
                let bounds = Bounds::read(source, form);
                let (range, step) = (!bounds.colons.is_empty(), bounds.colons.get(1).copied());
                match (bounds.take(), step) {
                    (_, Some(at)) => Err(source.error(at, format!("a step stands with positions only: {axis}(INDEX first:last:step)"))),
                    ([Some(value), None, None], None) if !range => Ok(Some(Self::At(value))),
                    ([None, None, _], None) => {
                        Err(source.error(start, format!("{axis}(:) is the whole axis: give the range an end, or leave the axis out")))
                    }
                    ([low, high, _], None) => Ok(Some(Self::Trim { low, high })),
                }
            }
            Rule::exact | Rule::index => {
                let Some(inner) = form.into_inner().find(|part| part.as_rule() == Rule::bounds) else {
                    let word = if rule == Rule::exact { "EXACT 48.75" } else { "INDEX 0, INDEX 0:23 or INDEX 0:23:6" };
                    return Err(source.error(end, format!("a value is missing: write {word}")));
                };
                let bounds = Bounds::read(source, inner);
                let (first_colon, third_colon) = (bounds.colons.first().copied(), bounds.colons.get(2).copied());
                match (rule, bounds.take(), first_colon, third_colon) {
                    (Rule::exact, [Some(value), _, _], None, _) => Ok(Some(Self::Exact(value))),
                    (Rule::exact, _, at, _) => {
                        Err(source.error(at.unwrap_or(start), "EXACT takes one coordinate; the ends of a range need not exist"))
                    }
                    (_, _, _, Some(at)) => Err(source.error(at, "positions are written INDEX first:last:step")),
                    (_, [Some(value), _, _], None, _) => Ok(Some(Self::Index(value))),
                    (_, [None, None, None], _, _) => {
                        Err(source.error(start, format!("{axis}(INDEX :) is the whole axis: give the range an end, or leave the axis out")))
                    }
                    (_, [first, last, step], _, _) => Ok(Some(Self::IndexRange { first, last, step })),
                }
            }
            _ => Ok(None),
        }
    }

    /// All values, in the order typed.
    pub fn values(&self) -> Vec<&Value> {
        match self {
            Self::Trim { low, high } => [low, high].into_iter().flatten().collect(),
            Self::At(value) | Self::Exact(value) | Self::Index(value) => vec![value],
            Self::IndexRange { first, last, step } => [first, last, step].into_iter().flatten().collect(),
            Self::In(values) => values.iter().collect(),
        }
    }
}

impl Bounds {
    pub(crate) fn read(source: &Source<'_>, pair: Pair<'_, Rule>) -> Self {
        let mut bounds = Self { parts: vec![None], colons: Vec::new() };
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::colon => {
                    bounds.colons.push(source.span(&part).start);
                    bounds.parts.push(None);
                }
                Rule::value => {
                    if let Some(last) = bounds.parts.last_mut() {
                        *last = Some(Value::read(source, &part));
                    }
                }
                _ => {}
            }
        }
        bounds
    }

    /// The first three parts.
    pub(crate) fn take(self) -> [Option<Value>; 3] {
        let mut parts = self.parts.into_iter();
        [parts.next().flatten(), parts.next().flatten(), parts.next().flatten()]
    }
}

impl Value {
    fn read(source: &Source<'_>, pair: &Pair<'_, Rule>) -> Self {
        Self { text: pair.as_str().to_string(), span: source.span(pair) }
    }
}

impl fmt::Display for Subset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[", self.relation)?;
        for (at, axis) in self.axes.iter().enumerate() {
            write!(f, "{}{axis}", if at > 0 { ", " } else { "" })?;
        }
        f.write_str("]")?;
        self.alias.as_ref().map_or(Ok(()), |alias| write!(f, " AS {alias}"))
    }
}

impl fmt::Display for AxisSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", self.axis, self.selection)
    }
}

impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |value: &Option<Value>| value.as_ref().map_or(String::new(), |value| value.text.clone());
        match self {
            Self::Trim { low, high } => write!(f, "{}:{}", text(low), text(high)),
            Self::At(value) => f.write_str(&value.text),
            Self::Exact(value) => write!(f, "EXACT {}", value.text),
            Self::IndexRange { first, last, step: None } => write!(f, "INDEX {}:{}", text(first), text(last)),
            // The gap keeps an absent end from making `::`, which is a cast in front of a word.
            Self::IndexRange { first, last, step } => write!(f, "INDEX {}:{} :{}", text(first), text(last), text(step)),
            Self::Index(value) => write!(f, "INDEX {}", value.text),
            Self::In(values) => write!(f, "IN ({})", values.iter().map(|value| value.text.as_str()).collect::<Vec<_>>().join(", ")),
        }
    }
}
