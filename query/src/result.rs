//! The forms of an answer.

/// How the answer to a query is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Form {
    /// One row per cell or group, as in any SQL engine.
    #[default]
    Rows,
    /// One row per tile: `origin` and one tensor a variable; axes in the schema metadata `graticule.axes`.
    Array,
}
