//! A line over an axis, drawn with braille dots.

use textplots::{Chart, LabelBuilder, LabelFormat, Plot, Shape};

use super::map::number;

/// Draws points (x rising, y) as a line in `width` by `height` characters; `label` writes an x.
pub fn draw(points: &[(f64, f64)], unit: &str, label: impl Fn(f64) -> String + 'static, width: usize, height: usize) -> String {
    let points: Vec<(f64, f64)> = points.iter().copied().filter(|(x, y)| x.is_finite() && y.is_finite()).collect();
    let (Some(first), Some(last)) = (points.first().copied(), points.last().copied()) else { return "  (no values)\n".into() };
    if last.0 <= first.0 {
        return format!("  {} at {}\n", number(first.1), label(first.0));
    }
    // Counted from the first, so that single precision is enough for instants.
    let shifted: Vec<(f32, f32)> = points.iter().map(|(x, y)| ((x - first.0) as f32, *y as f32)).collect();
    let start = first.0;
    let dots = |characters: usize, per: usize, least: usize| u32::try_from((characters * per).max(least)).unwrap_or(200);
    let unit = unit.to_string();
    let shape = Shape::Lines(&shifted);
    let mut chart = Chart::new(dots(width, 2, 64), dots(height, 4, 16), 0.0, (last.0 - start) as f32);
    let chart = chart
        .x_label_format(LabelFormat::Custom(Box::new(move |x| label(start + f64::from(x)))))
        .y_label_format(LabelFormat::Custom(Box::new(move |y| format!("{} {unit}", number(f64::from(y))))))
        .lineplot(&shape);
    chart.axis();
    chart.figures();
    chart.to_string().lines().map(|line| format!("  {}\n", line.trim_end())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_its_ends_written() {
        let points: Vec<(f64, f64)> = (0..100).map(|i| (f64::from(i), f64::from(i * i))).collect();
        let drawn = draw(&points, "m", |x| format!("day {x:.0}"), 60, 8);
        assert!(drawn.contains("9801 m") && drawn.contains("day 0") && drawn.contains("day 99"), "{drawn}");
    }

    #[test]
    fn few_points_are_no_line() {
        assert_eq!(draw(&[], "m", |x| x.to_string(), 60, 8), "  (no values)\n");
        assert_eq!(draw(&[(1.0, 2.0)], "m", |x| x.to_string(), 60, 8), "  2.00 at 1\n");
    }
}
