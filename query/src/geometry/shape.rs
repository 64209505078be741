//! A geometry as the rasteriser wants it: polygons as rings, lines and points, in one coordinate system, x before y.

use datafusion::error::{DataFusionError, Result};

/// x, then y.
pub(crate) type Point = [f64; 2];

/// A ring or a line. The last point of a ring need not repeat the first.
pub(crate) type Line = Vec<Point>;

/// The parts of a geometry. Polygons: the outer ring first, then holes; a cell inside is one that an odd number of rings is
/// around (even-odd rule), so that the direction of rings says nothing and a ring that crosses itself has a meaning.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Shape {
    /// Rings of each polygon.
    pub polygons: Vec<Vec<Line>>,
    /// Lines.
    pub lines: Vec<Line>,
    /// Points.
    pub points: Vec<Point>,
}

impl Shape {
    /// All its lines of points.
    pub fn paths(&self) -> impl Iterator<Item = &Line> {
        self.polygons.iter().flatten().chain(&self.lines)
    }

    /// All its points.
    pub fn coordinates(&self) -> impl Iterator<Item = &Point> {
        self.paths().flatten().chain(&self.points)
    }

    /// Lowest x, lowest y, highest x, highest y; `None` for an empty geometry.
    pub fn bounds(&self) -> Option<[f64; 4]> {
        let mut all = self.coordinates();
        let &[x, y] = all.next()?;
        Some(all.fold([x, y, x, y], |[a, b, c, d], &[x, y]| [a.min(x), b.min(y), c.max(x), d.max(y)]))
    }

    /// The same with every point changed.
    pub fn try_map(mut self, mut change: impl FnMut(&mut Point) -> Result<()>) -> Result<Shape> {
        let paths = self.polygons.iter_mut().flatten().chain(&mut self.lines).flatten();
        for point in paths.chain(&mut self.points) {
            change(point)?;
        }
        Ok(self)
    }

    /// Sum of the polygons' areas in squares of the coordinates' unit; holes count off, whichever way they run.
    pub fn area(&self) -> f64 {
        let of = |rings: &Vec<Line>| {
            let mut areas = rings.iter().map(|ring| signed_area(ring).abs());
            let outer = areas.next().unwrap_or(0.0);
            outer - areas.sum::<f64>()
        };
        self.polygons.iter().map(of).sum()
    }

    /// An error for coordinates that are no numbers.
    pub fn checked(self) -> Result<Shape> {
        let bad = self.coordinates().find(|p| !p.iter().all(|v| v.is_finite())).copied();
        match bad {
            Some([x, y]) => Err(invalid(format!("a geometry has the point ({x}, {y}), which is no place"))),
            None => Ok(self),
        }
    }
}

/// The error for a geometry that cannot be read.
pub(crate) fn invalid(message: impl Into<String>) -> DataFusionError {
    DataFusionError::Execution(message.into())
}

/// The edges of a ring, the closing one included.
pub(crate) fn ring_edges(ring: &[Point]) -> impl Iterator<Item = (Point, Point)> + '_ {
    let next = ring.iter().skip(1).chain(ring.first());
    ring.iter().zip(next).map(|(a, b)| (*a, *b)).filter(|(a, b)| a != b)
}

/// Area of a ring by the shoelace formula, positive where it runs counterclockwise.
pub(crate) fn signed_area(ring: &[Point]) -> f64 {
    // Around its first point: places far from zero would lose digits.
    let Some(&[ox, oy]) = ring.first() else { return 0.0 };
    ring_edges(ring).map(|([ax, ay], [bx, by])| (ax - ox) * (by - oy) - (bx - ox) * (ay - oy)).sum::<f64>() / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas_of_polygons_with_holes() {
        let square = |a: f64, b: f64| vec![[a, a], [b, a], [b, b], [a, b], [a, a]];
        let shape = Shape { polygons: vec![vec![square(0.0, 10.0), square(2.0, 4.0)]], ..Shape::default() };
        assert_eq!(shape.area(), 96.0);
        assert_eq!(shape.bounds(), Some([0.0, 0.0, 10.0, 10.0]));
        assert_eq!(Shape::default().bounds(), None);
    }
}
