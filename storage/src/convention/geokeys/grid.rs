//! Where the cells of an image lie: tie points, scales and matrices to a transform, and the axes that it makes.

use super::LONGEST_AXIS;
use super::keys::{GeoKeys, key};
use crate::array::{AttributeValue, Attributes, Axis, AxisRole, Coordinates};

/// Six numbers in GDAL's order: x = t0 + column * t1 + row * t2, y = t3 + column * t4 + row * t5, of cell corners.
pub(super) type Transform = [f64; 6];

/// How an image lies in its CRS.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Placement {
    /// x depends on the column only, y on the row only.
    Axes(Transform),
    /// Rotated or sheared: both depend on both.
    Rotated(Transform),
    /// Not at all, or by ground control points.
    None,
}

impl Placement {
    /// That of an overview, whose cells are so many times as wide and as high.
    pub(super) fn coarser(self, across: f64, down: f64) -> Placement {
        let coarser = |[x, a, b, y, c, d]: Transform| [x, a * across, b * down, y, c * across, d * down];
        match self {
            Placement::Axes(t) => Placement::Axes(coarser(t)),
            Placement::Rotated(t) => Placement::Rotated(coarser(t)),
            Placement::None => Placement::None,
        }
    }
}

/// The placement that the tags tell, as GDAL reads it: a tie point with a pixel scale comes first, then the transformation
/// matrix; where a tie point is a cell's centre (pixel-is-point), the origin moves by half a cell; a negative scale of y is
/// taken for a positive one.
pub(super) fn placement(attributes: &Attributes, point: bool, warnings: &mut Vec<String>) -> Placement {
    let numbers = |name| attributes.get(name).and_then(AttributeValue::numbers).unwrap_or_default();
    let (scale, ties, matrix) = (numbers("ModelPixelScale"), numbers("ModelTiepoint"), numbers("ModelTransformation"));
    let mut t = match (scale.as_slice(), ties.as_slice(), matrix.as_slice()) {
        (&[sx, sy, ..], &[column, row, _, x, y, _, ..], _) if sx != 0.0 && sy != 0.0 => {
            let sy = -sy.abs();
            [x - column * sx, sx, 0.0, y - row * sy, 0.0, sy]
        }
        (_, _, &[a, b, _, x, c, d, _, y, _, _, _, _, _, _, _, _]) => [x, a, b, y, c, d],
        _ if has_control_points(attributes) => {
            warnings.push(format!("{} ground control points (ModelTiepoint) instead of a grid: x and y are positions", ties.len() / 6));
            return Placement::None;
        }
        _ => return Placement::None,
    };
    if point {
        t[0] -= 0.5 * (t[1] + t[2]);
        t[3] -= 0.5 * (t[4] + t[5]);
    }
    if t.iter().any(|v| !v.is_finite()) {
        warnings.push(format!("the transform {t:?} is not finite: x and y are positions"));
        return Placement::None;
    }
    if t[2] != 0.0 || t[4] != 0.0 {
        warnings.push(format!(
            "the grid is rotated (attribute GeoTransform = {t:?}): x and y are positions, their coordinates variables along both"
        ));
        return Placement::Rotated(t);
    }
    if t[1] == 0.0 || t[5] == 0.0 {
        warnings.push(format!("cells of size 0 (transform {t:?}): x and y are positions"));
        return Placement::None;
    }
    Placement::Axes(t)
}

/// True for tie points that no pixel scale and no matrix make a grid of.
pub(super) fn has_control_points(attributes: &Attributes) -> bool {
    let count = |name| attributes.get(name).and_then(AttributeValue::numbers).map_or(0, |v| v.len());
    count("ModelTiepoint") > 6 && count("ModelPixelScale") < 2 && count("ModelTransformation") != 16
}

/// Axes `y` and `x` of a band.
pub(super) fn axes(shape: &[u64], placement: Placement, keys: &GeoKeys, warnings: &mut Vec<String>) -> Vec<Axis> {
    let degrees = matches!(keys.short(key::ANGULAR_UNITS), None | Some(0 | 9102 | 9122));
    let geographic = keys.is_geographic() && degrees;
    let unit = match keys.short(key::LINEAR_UNITS) {
        _ if keys.is_geographic() => None,
        Some(9001) => Some("m"),
        Some(9002) => Some("ft"),
        Some(9003) => Some("US_survey_foot"),
        Some(9036) => Some("km"),
        _ => None,
    };
    let mut axis = |name: &str, n: u64, along: Option<(f64, f64)>, role: (AxisRole, AxisRole), degrees: &str| {
        let mut axis = Axis::of_positions(name, n);
        axis.role = role.0;
        let Some((origin, step)) = along else { return axis };
        if n > LONGEST_AXIS {
            let warning = format!("axis {name} has {n} cells, more than {LONGEST_AXIS}: its coordinates are positions");
            if !warnings.contains(&warning) {
                warnings.push(warning);
            }
            return axis;
        }
        axis.coordinates = Coordinates::Float64((0..n).map(|i| origin + (i as f64 + 0.5) * step).collect());
        if geographic {
            axis.role = role.1;
            axis.units = Some(degrees.into());
        } else {
            axis.units = unit.map(str::to_string);
        }
        axis
    };
    let transform = match placement {
        Placement::Axes(t) => Some(t),
        _ => None,
    };
    let &[height, width] = shape else { return Vec::new() };
    vec![
        axis("y", height, transform.map(|t| (t[3], t[5])), (AxisRole::Y, AxisRole::Latitude), "degrees_north"),
        axis("x", width, transform.map(|t| (t[0], t[1])), (AxisRole::X, AxisRole::Longitude), "degrees_east"),
    ]
}
