//! The array dialect: text to tree, and array constructs to plain SQL with the places kept. This room knows no cube, no type
//! and no file: a name is a name here, and what it stands for is found out by the query room.
//!
//! [`parse`] reads one statement. Statements about cubes come back as trees. Everything else is SQL: the array constructs in
//! it are found (strings, comments, quoted names and dollar quotes are skipped), replaced by plain function calls, and every
//! place of the result keeps its place in the text, so that later errors can be shown in what the user typed:
//!
//! ```
//! use graticule_grammar::{Statement, parse};
//! let Statement::Query(query) = parse("SELECT avg(t2m) FROM era5[time('2020'), lat(40:60)] GROUP BY DIMS EXCEPT (time)")? else {
//!     unreachable!()
//! };
//! assert_eq!(query.sql, "SELECT avg(t2m) FROM subset(era5, axis_at('time', '2020'), axis_trim('lat', 40, 60)) AS era5 \
//!     GROUP BY dims_except('time')");
//! # Ok::<(), graticule_grammar::GrammarError>(())
//! ```
//!
//! | construct | plain function |
//! |---|---|
//! | `c[lat(40:60)]`, `lat(40:)`, `lat(:60)` | `subset(c, axis_trim('lat', 40, 60))`, `NULL` for an open end |
//! | `lat(48.85)`, `time('2020-01')` | `axis_at('lat', 48.85)`; whether a string is an instant or a period is not known here |
//! | `lat(EXACT 48.75)` | `axis_exact('lat', 48.75)` |
//! | `time(INDEX 0:23:6)`, `time(INDEX -1)` | `axis_index('time', 0, 23, 6)`, `axis_index('time', -1)` |
//! | `lev(IN (850, 500))` | `axis_in('lev', 850, 500)` |
//! | `avg(v) ALONG (time)` | `avg(v) OVER (PARTITION BY dims_except('time'))` |
//! | `avg(v) AROUND (y(-1:1), x(:0)) EDGE CLAMP` | `avg(v) OVER (ORDER BY around('y', -1, 1), around('x', NULL, 0), edge('clamp'))` |
//! | `convolve(v, w) AROUND (y, x)` | `convolve(v, w) OVER (ORDER BY around('y'), around('x'))` |
//! | `a JOIN b USING DIMS` | `a JOIN b ON dims()` |
//! | `DIMS`, `DIMS EXCEPT (time)` | `dims()`, `dims_except('time')` |
//!
//! The text is read as sqlparser's generic dialect reads it, which is DataFusion's default.

mod around;
mod desugar;
mod dims;
mod error;
mod name;
mod position;
mod scan;
mod statement;
mod subset;
mod syntax;
mod tokens;
mod words;

pub use around::{Along, Around, Edge, Reach};
pub use desugar::Desugared;
pub use dims::Dims;
pub use error::{GrammarError, render};
pub use name::{Ident, Name};
pub use position::{Position, Span};
pub use statement::{CreateCube, FilenameAxis, Literal, Overlap, Statement, parse};
pub use subset::{AxisSpec, Selection, Subset, Value};
