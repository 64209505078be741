//! A field drawn as a map in a terminal: two cells a character as coloured half blocks, or shades of grey characters where
//! there are no colours; with a legend.

use colorous::Gradient;

use crate::cli::paint::Depth;

/// A field on two axes.
#[derive(Debug, Clone)]
pub struct Raster {
    /// Cells from north (or the first row) to south, each row from west to east; NaN where missing.
    pub values: Vec<f64>,
    /// Rows.
    pub rows: usize,
    /// Columns.
    pub columns: usize,
}

/// Characters from little to much, for terminals without colours; a space is missing.
const SHADES: [char; 9] = ['.', ':', '-', '=', '+', '*', '#', '%', '@'];

impl Raster {
    /// The same field with north above: turned over when the coordinate of its rows rises.
    pub fn north_up(mut self, y: &[f64]) -> Raster {
        if let (Some(first), Some(last)) = (y.first(), y.last())
            && first < last
            && self.columns > 0
        {
            self.values = self.values.chunks(self.columns).rev().flatten().copied().collect();
        }
        self
    }

    /// The same field with Greenwich in the middle: longitudes beyond 180 degrees go to the west.
    pub fn centred(mut self, longitudes: &[f64]) -> Raster {
        let west = longitudes.iter().filter(|&&x| x >= 180.0).count();
        if west > 0 && longitudes.len() == self.columns {
            for row in self.values.chunks_mut(self.columns) {
                row.rotate_right(west);
            }
        }
        self
    }

    /// The field in `rows` by `columns` cells or fewer, each the mean of those that it covers.
    fn shrunk(&self, rows: usize, columns: usize) -> Raster {
        let (rows, columns) = (rows.clamp(1, self.rows.max(1)), columns.clamp(1, self.columns.max(1)));
        let mut sums = vec![(0.0, 0u32); rows * columns];
        for (y, line) in self.values.chunks(self.columns.max(1)).enumerate() {
            for (x, value) in line.iter().enumerate().filter(|(_, v)| v.is_finite()) {
                let cell = (y * rows / self.rows) * columns + x * columns / self.columns;
                if let Some((sum, count)) = sums.get_mut(cell) {
                    *sum += value;
                    *count += 1;
                }
            }
        }
        let values = sums.into_iter().map(|(sum, count)| if count == 0 { f64::NAN } else { sum / f64::from(count) }).collect();
        Raster { values, rows, columns }
    }

    /// The range of values that colours are spread over: without the most extreme hundredth at either end.
    fn range(&self) -> Option<(f64, f64)> {
        let mut values: Vec<f64> = self.values.iter().copied().filter(|v| v.is_finite()).collect();
        values.sort_by(f64::total_cmp);
        let hundredth = values.len() / 100;
        let last = values.len().checked_sub(1 + hundredth)?;
        Some((*values.get(hundredth)?, *values.get(last)?))
    }

    fn cell(&self, row: usize, column: usize) -> f64 {
        if column < self.columns { self.values.get(row * self.columns + column).copied().unwrap_or(f64::NAN) } else { f64::NAN }
    }
}

/// Draws a field in at most `width` characters and `height` lines, with a legend below. `unit` stands behind its numbers.
pub fn draw(raster: &Raster, gradient: Gradient, unit: &str, depth: Depth, width: usize, height: usize) -> String {
    let Some((low, high)) = raster.range() else { return "  (no values)\n".into() };
    // A half block is about as wide as it is high.
    let scale = (width as f64 / raster.columns.max(1) as f64).min(2.0 * height as f64 / raster.rows.max(1) as f64).min(1.0);
    let small = |n: usize| ((n as f64 * scale).round() as usize).max(1);
    let shrunk = raster.shrunk(small(raster.rows), small(raster.columns));
    let share = |value: f64| if high > low { ((value - low) / (high - low)).clamp(0.0, 1.0) } else { 0.5 };
    let mut out = String::new();
    for row in (0..shrunk.rows).step_by(2) {
        out.push_str("  ");
        for column in 0..shrunk.columns {
            let (top, bottom) = (shrunk.cell(row, column), shrunk.cell(row + 1, column));
            out.push_str(&character(top, bottom, &share, gradient, depth));
        }
        out.push_str(if depth == Depth::None { "\n" } else { "\x1b[0m\n" });
    }
    out.push_str(&legend(low, high, unit, gradient, depth, shrunk.columns));
    out
}

/// The character for two cells above each other.
fn character(top: f64, bottom: f64, share: &dyn Fn(f64) -> f64, gradient: Gradient, depth: Depth) -> String {
    let colour = |value: f64| gradient.eval_continuous(share(value)).as_tuple();
    match (depth, top.is_finite(), bottom.is_finite()) {
        (_, false, false) if depth == Depth::None => " ".into(),
        (Depth::None, has_top, has_bottom) => {
            let value = match (has_top, has_bottom) {
                (true, true) => (top + bottom) / 2.0,
                (true, false) => top,
                _ => bottom,
            };
            shade(share(value)).to_string()
        }
        (_, false, false) => "\x1b[0m ".into(),
        (_, true, false) => format!("\x1b[0m{}▀", depth.colour(false, colour(top))),
        (_, false, true) => format!("\x1b[0m{}▄", depth.colour(false, colour(bottom))),
        (_, true, true) => format!("{}{}▀", depth.colour(false, colour(top)), depth.colour(true, colour(bottom))),
    }
}

fn shade(share: f64) -> char {
    let step = (share * (SHADES.len() - 1) as f64).round() as usize;
    SHADES.get(step).copied().unwrap_or('?')
}

/// The scale of colours between the numbers at its ends.
fn legend(low: f64, high: f64, unit: &str, gradient: Gradient, depth: Depth, width: usize) -> String {
    let length = width.clamp(10, 30);
    let steps = (0..length).map(|i| i as f64 / (length - 1) as f64);
    let bar: String = match depth {
        Depth::None => steps.map(shade).collect(),
        _ => steps.map(|s| format!("{} ", depth.colour(true, gradient.eval_continuous(s).as_tuple()))).collect::<String>() + "\x1b[0m",
    };
    format!("  {} {bar} {} {unit}\n", number(low), number(high))
}

/// A number as short as its size allows.
pub fn number(value: f64) -> String {
    let text = match value.abs() {
        a if a >= 100.0 => format!("{value:.0}"),
        a if a >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    };
    if text.trim_start_matches('-').chars().all(|c| matches!(c, '0' | '.')) { "0".into() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raster(rows: usize, columns: usize, value: impl Fn(usize, usize) -> f64) -> Raster {
        let values = (0..rows).flat_map(|r| (0..columns).map(move |c| (r, c))).map(|(r, c)| value(r, c)).collect();
        Raster { values, rows, columns }
    }

    #[test]
    fn without_colours_shades_go_from_little_to_much() {
        let drawn = draw(&raster(2, 9, |_, c| c as f64), colorous::VIRIDIS, "K", Depth::None, 80, 20);
        assert_eq!(drawn.lines().next().unwrap(), "  .:-=+*#%@");
        assert!(drawn.lines().last().unwrap().ends_with("8.00 K"), "{drawn}");
    }

    #[test]
    fn missing_is_blank_and_nothing_is_said() {
        let drawn = draw(&raster(2, 3, |_, c| if c == 1 { f64::NAN } else { c as f64 }), colorous::VIRIDIS, "", Depth::None, 80, 20);
        assert_eq!(drawn.lines().next().unwrap(), "  . @");
        assert_eq!(draw(&raster(2, 2, |_, _| f64::NAN), colorous::VIRIDIS, "", Depth::True, 80, 20), "  (no values)\n");
    }

    #[test]
    fn large_fields_fit() {
        let drawn = draw(&raster(1000, 1000, |r, c| (r + c) as f64), colorous::VIRIDIS, "", Depth::None, 60, 20);
        let lines: Vec<&str> = drawn.lines().collect();
        assert_eq!(lines.len(), 21);
        assert!(lines.iter().take(20).all(|l| l.chars().count() == 42));
    }

    #[test]
    fn half_blocks_hold_two_cells() {
        let drawn = draw(&raster(2, 1, |r, _| r as f64), colorous::VIRIDIS, "", Depth::True, 80, 20);
        assert!(drawn.starts_with("  \x1b[38;2;68;1;84m\x1b[48;2;253;231;37m▀\x1b[0m\n"), "{drawn:?}");
    }

    #[test]
    fn north_is_above_and_greenwich_in_the_middle() {
        let field = raster(2, 4, |r, c| (10 * r + c) as f64).north_up(&[-1.0, 1.0]).centred(&[0.0, 90.0, 180.0, 270.0]);
        assert_eq!(field.values, [12.0, 13.0, 10.0, 11.0, 2.0, 3.0, 0.0, 1.0]);
    }

    #[test]
    fn numbers_are_short() {
        for (value, text) in [(0.0, "0"), (-0.001, "0"), (1234.5, "1234"), (-12.34, "-12.3"), (0.5, "0.50")] {
            assert_eq!(number(value), text);
        }
    }
}
