//! Well-known text (OGC 06-103r4, clause 7) to shapes: `POLYGON ((0 0, 4 0, 4 3, 0 0))`. Z and M are skipped.

use datafusion::error::Result;

use super::shape::{Line, Point, Shape, invalid};

/// Collections inside collections at most.
const DEPTH: usize = 16;

/// Reads one geometry; `SRID=4326;` in front of it (EWKT) is given as well.
pub(crate) fn read(text: &str) -> Result<(Shape, Option<u32>)> {
    let trimmed = text.trim();
    let (srid, body) = match trimmed.split_once(';') {
        Some((head, body)) => {
            let number = head.trim().to_ascii_uppercase();
            let number = number.strip_prefix("SRID=").and_then(|n| n.trim().parse().ok());
            match number {
                Some(number) => (Some(number), body),
                None => return Err(invalid(format!("well-known text begins with '{head};'; SRID=<number>; is expected"))),
            }
        }
        None => (None, trimmed),
    };
    let mut cursor = Cursor { text: body, at: 0 };
    let mut shape = Shape::default();
    cursor.geometry(&mut shape, DEPTH)?;
    match cursor.rest() {
        "" => Ok((shape.checked()?, srid)),
        _ => Err(cursor.expected("the end")),
    }
}

struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    fn rest(&mut self) -> &'a str {
        let rest = self.text.get(self.at..).unwrap_or("");
        let trimmed = rest.trim_start();
        self.at += rest.len() - trimmed.len();
        trimmed
    }

    fn expected(&mut self, what: &str) -> datafusion::error::DataFusionError {
        let found: String = self.rest().chars().take(20).collect();
        let found = if found.is_empty() { "the end".to_owned() } else { format!("'{found}'") };
        invalid(format!("well-known text: {what} is expected at character {}, found {found}", self.at + 1))
    }

    /// The next word, as far as letters go.
    fn word(&mut self) -> String {
        let rest = self.rest();
        let end = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        self.at += end;
        rest[..end].to_ascii_uppercase()
    }

    fn sign(&mut self, sign: char) -> bool {
        let found = self.rest().starts_with(sign);
        self.at += usize::from(found);
        found
    }

    fn point(&mut self) -> Result<Point> {
        let mut values = [0.0; 4];
        let mut n = 0;
        loop {
            let rest = self.rest();
            let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || "+-.".contains(c))).unwrap_or(rest.len());
            if end == 0 && n >= 2 {
                return Ok([values[0], values[1]]);
            }
            match (rest[..end].parse(), values.get_mut(n)) {
                (Ok(value), Some(place)) => *place = value,
                _ => return Err(self.expected("a coordinate")),
            }
            self.at += end;
            n += 1;
        }
    }

    /// What stands between parentheses, separated by commas; nothing for `EMPTY`.
    fn list(&mut self, mut item: impl FnMut(&mut Self) -> Result<()>) -> Result<()> {
        if self.rest().get(..5).is_some_and(|word| word.eq_ignore_ascii_case("EMPTY")) {
            self.at += 5;
            return Ok(());
        }
        if !self.sign('(') {
            return Err(self.expected("( or EMPTY"));
        }
        loop {
            item(self)?;
            if self.sign(')') {
                return Ok(());
            }
            if !self.sign(',') {
                return Err(self.expected(", or )"));
            }
        }
    }

    fn line(&mut self) -> Result<Line> {
        let mut line = Vec::new();
        self.list(|c| c.point().map(|p| line.push(p)))?;
        Ok(line)
    }

    fn rings(&mut self) -> Result<Vec<Line>> {
        let mut rings = Vec::new();
        self.list(|c| c.line().map(|ring| rings.push(ring)))?;
        Ok(rings)
    }

    fn geometry(&mut self, into: &mut Shape, depth: usize) -> Result<()> {
        let Some(depth) = depth.checked_sub(1) else { return Err(invalid("well-known text has too many collections inside each other")) };
        let start = self.at;
        let kind = self.word();
        let before = self.at;
        if !matches!(self.word().as_str(), "Z" | "M" | "ZM") {
            self.at = before;
        }
        match kind.as_str() {
            "POINT" => self.list(|c| c.point().map(|p| into.points.push(p))),
            "LINESTRING" => self.line().map(|line| into.lines.push(line)),
            "POLYGON" => self.rings().map(|rings| into.polygons.push(rings)),
            "MULTIPOINT" => self.list(|c| {
                let inner = c.sign('(');
                into.points.push(c.point()?);
                if inner && !c.sign(')') { Err(c.expected(")")) } else { Ok(()) }
            }),
            "MULTILINESTRING" => self.list(|c| c.line().map(|line| into.lines.push(line))),
            "MULTIPOLYGON" => self.list(|c| c.rings().map(|rings| into.polygons.push(rings))),
            "GEOMETRYCOLLECTION" => self.list(|c| c.geometry(into, depth)),
            _ => {
                self.at = start;
                Err(self.expected("POINT, LINESTRING, POLYGON, a MULTI of these or GEOMETRYCOLLECTION"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_read() {
        let shape = |text: &str| read(text).unwrap().0;
        assert_eq!(shape("point(1 -2.5e1)").points, [[1.0, -25.0]]);
        assert_eq!(shape("POLYGON Z ((0 0 5, 4 0 5, 4 3 5, 0 0 5), (1 1 1,2 1 1,2 2 1,1 1 1))").polygons[0].len(), 2);
        assert_eq!(shape("MULTIPOINT (1 2, (3 4))").points, [[1.0, 2.0], [3.0, 4.0]]);
        assert_eq!(shape("MULTIPOLYGON (((0 0,1 0,1 1,0 0)),((5 5,6 5,6 6,5 5)))").polygons.len(), 2);
        let all = shape("GEOMETRYCOLLECTION (POINT (1 2), LINESTRING (0 0, 1 1), POLYGON EMPTY)");
        assert_eq!((all.points.len(), all.lines.len(), all.polygons.len()), (1, 1, 1));
        assert_eq!(read("SRID=32631;POINT(1 2)").unwrap().1, Some(32631));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (text, expected) in [
            ("POLYGON (0 0, 1 1)", "( or EMPTY is expected at character 10"),
            ("POLYGON ((0 0, 1 1)", ", or ) is expected at character 20, found the end"),
            ("POINT (1)", "a coordinate is expected at character 9, found ')'"),
            ("CIRCLE (1 2)", "POINT, LINESTRING, POLYGON"),
            ("POINT (1 2) x", "the end is expected"),
            ("POINT (nan 2)", "no place"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
