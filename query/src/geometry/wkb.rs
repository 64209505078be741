//! Well-known binary (OGC 06-103r4, clause 8; EWKB's flags are understood) to shapes, and shapes to well-known binary.
//!
//! Z and M are skipped. Lengths are those of the bytes that are there, never those that are claimed.

use datafusion::error::Result;

use super::shape::{Line, Point, Shape, invalid};

/// Collections inside collections at most.
const DEPTH: usize = 16;

/// Reads one geometry.
pub(crate) fn read(bytes: &[u8]) -> Result<Shape> {
    let mut shape = Shape::default();
    let mut cursor = Cursor { bytes, at: 0, little: true };
    cursor.geometry(&mut shape, DEPTH)?;
    shape.checked()
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    little: bool,
}

impl Cursor<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        let found = self.bytes.get(self.at..).and_then(|rest| rest.first_chunk::<N>());
        let Some(found) = found else {
            return Err(invalid(format!("well-known binary ends at byte {} where {N} more are expected", self.bytes.len())));
        };
        self.at += N;
        Ok(*found)
    }

    fn number(&mut self) -> Result<u32> {
        let bytes = self.take()?;
        Ok(if self.little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
    }

    fn float(&mut self) -> Result<f64> {
        let bytes = self.take()?;
        Ok(if self.little { f64::from_le_bytes(bytes) } else { f64::from_be_bytes(bytes) })
    }

    fn point(&mut self, dimensions: usize) -> Result<Point> {
        let point = [self.float()?, self.float()?];
        for _ in 2..dimensions {
            self.float()?;
        }
        Ok(point)
    }

    fn line(&mut self, dimensions: usize) -> Result<Line> {
        let claimed = self.number()? as usize;
        let room = (self.bytes.len() - self.at) / (8 * dimensions);
        if claimed > room {
            return Err(invalid(format!("well-known binary claims {claimed} points where there is room for {room}")));
        }
        (0..claimed).map(|_| self.point(dimensions)).collect()
    }

    fn geometry(&mut self, into: &mut Shape, depth: usize) -> Result<()> {
        let Some(depth) = depth.checked_sub(1) else { return Err(invalid("well-known binary has too many collections inside each other")) };
        let [order] = self.take()?;
        self.little = match order {
            0 => false,
            1 => true,
            other => return Err(invalid(format!("well-known binary begins with byte order {other}; 0 or 1 is expected"))),
        };
        let code = self.number()?;
        // EWKB keeps Z, M and the presence of an SRID in the highest bits, ISO adds thousands.
        let (kind, iso) = ((code & 0x0FFF_FFFF) % 1000, (code & 0x0FFF_FFFF) / 1000);
        if iso > 3 {
            return Err(invalid(format!("well-known binary has no geometry type {code}")));
        }
        let z = code & 0x8000_0000 != 0 || iso == 1 || iso == 3;
        let m = code & 0x4000_0000 != 0 || iso == 2 || iso == 3;
        if code & 0x2000_0000 != 0 {
            self.number()?;
        }
        let dimensions = 2 + usize::from(z) + usize::from(m);
        match kind {
            1 => {
                let point = self.point(dimensions)?;
                // An empty point is one of NaN.
                if !point.iter().all(|v| v.is_nan()) {
                    into.points.push(point);
                }
            }
            2 => into.lines.push(self.line(dimensions)?),
            3 => {
                let rings = self.number()?;
                let mut polygon = Vec::new();
                for _ in 0..rings {
                    polygon.push(self.line(dimensions)?);
                }
                into.polygons.push(polygon);
            }
            4..=7 => {
                for _ in 0..self.number()? {
                    self.geometry(into, depth)?;
                }
            }
            other => return Err(invalid(format!("well-known binary has geometry type {other}: curves and surfaces are not supported"))),
        }
        Ok(())
    }
}

/// Writes a shape as one geometry of the simplest type that holds it.
pub(crate) fn write(shape: &Shape) -> Vec<u8> {
    let mut parts: Vec<Vec<u8>> = Vec::new();
    parts.extend(shape.points.iter().map(point));
    parts.extend(shape.lines.iter().map(|line| [head(2), points(line)].concat()));
    parts.extend(shape.polygons.iter().map(|rings| polygon(rings)));
    if parts.len() == 1 {
        return parts.concat();
    }
    let kind = match (shape.points.len(), shape.lines.len(), shape.polygons.len()) {
        (1.., 0, 0) => 4,
        (0, 1.., 0) => 5,
        (0, 0, 1..) => 6,
        _ => 7,
    };
    [head(kind), count(parts.len()), parts.concat()].concat()
}

fn head(kind: u32) -> Vec<u8> {
    [&[1u8][..], &kind.to_le_bytes()].concat()
}

fn count(n: usize) -> Vec<u8> {
    u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes().to_vec()
}

fn point(point: &Point) -> Vec<u8> {
    [head(1), point.iter().flat_map(|v| v.to_le_bytes()).collect()].concat()
}

fn points(line: &Line) -> Vec<u8> {
    [count(line.len()), line.iter().flatten().flat_map(|v| v.to_le_bytes()).collect()].concat()
}

fn polygon(rings: &[Line]) -> Vec<u8> {
    let closed = |ring: &Line| if ring.first() == ring.last() { points(ring) } else { points(&[&ring[..], &ring[..1]].concat()) };
    [head(3), count(rings.len()), rings.iter().flat_map(closed).collect()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some() -> Shape {
        let ring = vec![[0.0, 0.0], [4.0, 0.0], [4.0, 3.0], [0.0, 0.0]];
        Shape { polygons: vec![vec![ring.clone(), ring.clone()], vec![ring.clone()]], lines: vec![ring], points: vec![[7.0, 8.0]] }
    }

    #[test]
    fn what_is_written_is_read() {
        let all = some();
        assert_eq!(read(&write(&all)).unwrap(), all);
        let polygons = Shape { polygons: all.polygons.clone(), ..Shape::default() };
        assert_eq!(read(&write(&polygons)).unwrap(), polygons);
        assert_eq!(read(&write(&Shape::default())).unwrap(), Shape::default());
    }

    #[test]
    fn cut_and_changed_bytes_are_errors_and_no_panic() {
        let bytes = write(&some());
        for end in 0..bytes.len() {
            assert!(read(&bytes[..end]).is_err(), "cut at {end}");
        }
        for at in 0..bytes.len() {
            for value in [0, 1, 7, 127, 255] {
                let mut changed = bytes.clone();
                changed[at] = value;
                let _ = read(&changed);
            }
        }
    }

    #[test]
    fn other_byte_orders_and_dimensions() {
        let mut bytes = vec![0];
        bytes.extend(1001u32.to_be_bytes());
        [1.5f64, 2.5, 99.0].iter().for_each(|v| bytes.extend(v.to_be_bytes()));
        assert_eq!(read(&bytes).unwrap().points, [[1.5, 2.5]]);
        let mut bytes = vec![1];
        bytes.extend((1u32 | 0x2000_0000 | 0x8000_0000).to_le_bytes());
        bytes.extend(4326u32.to_le_bytes());
        [1.5f64, 2.5, 99.0].iter().for_each(|v| bytes.extend(v.to_le_bytes()));
        assert_eq!(read(&bytes).unwrap().points, [[1.5, 2.5]]);
    }
}
