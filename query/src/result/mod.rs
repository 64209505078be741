//! The forms of an answer.
//!
//! * `axes`: carries the axes of a query along, selected or not, and says what they are.
//! * `array`: turns a plan of rows into one of tensors.
//! * `scatter`: the general way to an array, for plans whose cells do not come in boxes.
//! * `metadata`: the JSON of `graticule.axes`.

pub(crate) mod array;
mod axes;
mod metadata;
mod scatter;

pub(crate) use scatter::ScatterExec;

/// How the answer to a query is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Form {
    /// One row per cell or group, as in any SQL engine.
    #[default]
    Rows,
    /// One row per tile: `origin` and one tensor a variable; axes in the schema metadata `graticule.axes`.
    Array,
}
