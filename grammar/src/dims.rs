//! The tree of `DIMS` and `DIMS EXCEPT (time)`: the axes of the cubes in the FROM clause.

use std::fmt;

use crate::error::GrammarError;
use crate::name::Ident;
use crate::syntax::{Rule, Source};

/// All axes in scope but those named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dims {
    /// The axes left out, in the order typed; none for plain `DIMS`.
    pub except: Vec<Ident>,
}

impl Dims {
    /// Reads the construct that the part of `source` is.
    pub(crate) fn read(source: &Source<'_>) -> Result<Self, GrammarError> {
        let mut except: Vec<Ident> = Vec::new();
        for pair in source.parse(Rule::dims)? {
            if pair.as_rule() == Rule::axis_name {
                let axis = Ident::from_typed(pair.as_str());
                if except.iter().any(|earlier| earlier.value == axis.value) {
                    return Err(source.error(source.span(&pair).start, format!("the axis {axis} is named twice")));
                }
                except.push(axis);
            }
        }
        Ok(Self { except })
    }

    /// The plain function call: `dims()` or `dims_except('time', 'lat')`.
    pub(crate) fn plain(&self) -> String {
        if self.except.is_empty() {
            return "dims()".to_string();
        }
        format!("dims_except({})", self.except.iter().map(Ident::literal).collect::<Vec<_>>().join(", "))
    }
}

impl fmt::Display for Dims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.except.is_empty() {
            return f.write_str("DIMS");
        }
        write!(f, "DIMS EXCEPT ({})", self.except.iter().map(Ident::to_string).collect::<Vec<_>>().join(", "))
    }
}
