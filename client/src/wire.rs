//! Names that the server and its clients agree on, beyond Flight SQL itself.

/// Request header that chooses the form of the answer: absent or `rows`, or [`FORM_ARRAY`].
pub const FORM_HEADER: &str = "graticule-form";

/// Request header of a client that wants one endpoint, of the server itself, whatever nodes it has: [`ENDPOINTS_ONE`].
pub const ENDPOINTS_HEADER: &str = "graticule-endpoints";

/// See [`ENDPOINTS_HEADER`].
pub const ENDPOINTS_ONE: &str = "one";

/// One row a tile instead of one row a cell.
pub const FORM_ARRAY: &str = "array";

/// Schema metadata key of array answers: JSON that describes axes, scalars, CRS and global attributes.
pub const AXES_KEY: &str = "graticule.axes";

/// Field metadata key of array answers: JSON of the variable's attributes.
pub const ATTRIBUTES_KEY: &str = "graticule.attributes";

/// Field metadata key of array answers: JSON list of the variable's own dimensions. The extension type says them too, but
/// libraries that know the type hide its metadata, and text, which Arrow's tensors cannot hold, travels without it.
pub const DIMS_KEY: &str = "graticule.dims";

/// Field metadata key of array answers: `0` for counts, which are 0 and not missing in cells that no tile covers.
pub const ABSENT_KEY: &str = "graticule.absent";

/// Trailer of a failed call: `safe` where asking again is safe, and may help.
pub const RETRY_HEADER: &str = "graticule-retry";

/// Trailer of a failed call: line of the query's text, from 1.
pub const LINE_HEADER: &str = "graticule-line";

/// Trailer of a failed call: column in characters, from 1.
pub const COLUMN_HEADER: &str = "graticule-column";
