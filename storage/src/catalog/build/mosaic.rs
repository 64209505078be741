//! Tiles side by side on one horizontal axis: parts of one regular grid, whatever their order and whatever lies between them.

use super::merge::{self, Run, Segment};
use crate::array::{Axis, Coordinates};
use crate::{Error, Result};

/// How far off the common grid a tile may lie, in cells: the slack of coordinates that were computed, each in its own file.
const SLACK: f64 = 1e-3;
/// Cells between tiles are only filled in where the axis stays this short.
const LONGEST: u64 = 1 << 26;

/// The axis on which different segments lie side by side, and where the cells of each lie on it.
///
/// Segments of one regular grid (the same step, whole steps apart) are placed by counting steps; cells between them that no file
/// has get coordinates as well, so that the axis stays regular. Segments that are not regular must lie wholly beside each other, or
/// agree where they meet. Anything else is refused: the first coordinate that differs, and why.
pub fn mosaic(segments: &[Segment], warnings: &mut Vec<String>) -> Result<(Axis, Vec<Vec<Run>>)> {
    let Some(first) = segments.first() else { return Err(Error::Internal("an axis of no granule".into())) };
    match Steps::of(segments)? {
        Some(steps) => steps.place(segments, warnings),
        None => {
            let (axis, runs) = merge::union(segments)?;
            match runs.iter().zip(segments).position(|(runs, _)| runs.len() > 1) {
                None => Ok((axis, runs)),
                // The first one is interleaved by some other: that one is told.
                Some(0) => {
                    let other = segments.iter().skip(1).find(|s| merge::interleave(first.axis, s.axis)).unwrap_or(first);
                    Err(refused(first, other, ""))
                }
                Some(number) => Err(refused(first, segments.get(number).unwrap_or(first), "")),
            }
        }
    }
}

fn refused(first: &Segment, other: &Segment, why: &str) -> Error {
    let difference = merge::difference(first.axis, other.axis).unwrap_or_else(|| "its cells lie between those of another file".to_owned());
    other.error(format!("{difference} (as in {}){why}", first.file))
}

/// A regular grid: coordinate = origin + number * step.
struct Steps {
    origin: f64,
    step: f64,
    /// Number of each segment's first cell, counted from `origin`; may be below 0.
    numbers: Vec<i64>,
}

impl Steps {
    /// The grid of which all segments are parts; `None` where some segment is not regular, or none has two cells.
    fn of(segments: &[Segment]) -> Result<Option<Steps>> {
        let numbers: Option<Vec<Vec<f64>>> = segments
            .iter()
            .map(|s| match s.axis.coordinates {
                Coordinates::Text(_) | Coordinates::Time(..) | Coordinates::Index(_) => None,
                _ => s.axis.coordinates.to_f64().filter(|v| !v.is_empty()),
            })
            .collect();
        let (Some(first), Some(values)) = (segments.first(), numbers) else { return Ok(None) };
        if let Some(other) = segments.iter().find(|s| s.axis.units != first.axis.units) {
            let unit = |s: &Segment| s.axis.units.clone().unwrap_or_else(|| "none".to_owned());
            return Err(other.error(format!("expected units {} as in {}, found {}", unit(first), first.file, unit(other))));
        }
        // The longest segment knows its step best.
        let longest = segments.iter().max_by_key(|s| s.axis.len()).unwrap_or(first);
        let Some(step) = merge::step(longest.axis).filter(|s| s.is_finite() && *s != 0.0) else { return Ok(None) };
        let origin = values.first().and_then(|v| v.first()).copied().unwrap_or(0.0);
        let largest = values.iter().flatten().fold(0.0f64, |m, v| m.max(v.abs()));
        let single = segments.iter().any(|s| matches!(s.axis.coordinates, Coordinates::Float32(_)));
        let rounding = if single { 4.0 * f64::from(f32::EPSILON) } else { 4.0 * f64::EPSILON } * largest / step.abs();
        let slack = SLACK.max(rounding);
        if slack > 0.25 {
            return Ok(None);
        }
        let mut steps = Steps { origin, step, numbers: Vec::with_capacity(segments.len()) };
        for (segment, v) in segments.iter().zip(&values) {
            if v.len() > 1 {
                let Some(own) = merge::step(segment.axis) else { return Ok(None) };
                // At its end a tile may be off by the slack.
                if ((own - step) * (v.len() - 1) as f64).abs() > slack * step.abs() {
                    // Where it is the first one that differs from the longest, it is the longest that differs from the first.
                    let (other, its, expected) = if std::ptr::eq(segment, first) { (longest, step, own) } else { (segment, own, step) };
                    return Err(refused(first, other, &format!(": its cells are {its} apart, {expected} were expected")));
                }
            }
            let apart = (v.first().copied().unwrap_or(origin) - origin) / step;
            if !((apart - apart.round()).abs() <= slack && apart.abs() < 1e15) {
                let off = apart - apart.round();
                return Err(refused(first, segment, &format!(": it lies {off:.3} of a cell off that grid, whose cells are {step} apart")));
            }
            steps.numbers.push(apart.round() as i64);
        }
        Ok(Some(steps))
    }

    fn place(&self, segments: &[Segment], warnings: &mut Vec<String>) -> Result<(Axis, Vec<Vec<Run>>)> {
        let spans = || self.numbers.iter().zip(segments).map(|(&number, s)| (number, number.saturating_add(s.axis.len() as i64)));
        let begin = spans().map(|(begin, _)| begin).min().unwrap_or(0);
        let end = spans().map(|(_, end)| end).max().unwrap_or(0);
        let length = end.abs_diff(begin);
        if length > LONGEST {
            return merge::union(segments);
        }
        // Coordinates as files have them; of several files, the first one's.
        let mut values = vec![f64::NAN; length as usize];
        let mut runs = Vec::with_capacity(segments.len());
        for (segment, &number) in segments.iter().zip(&self.numbers) {
            let to = number.abs_diff(begin);
            for (slot, value) in values.iter_mut().skip(to as usize).zip(segment.axis.coordinates.to_f64().unwrap_or_default()) {
                if slot.is_nan() {
                    *slot = value;
                }
            }
            runs.push(vec![Run { from: 0, to, length: segment.axis.len() }]);
        }
        let mut between = 0u64;
        for (number, value) in (begin..).zip(&mut values).filter(|(_, value)| value.is_nan()) {
            *value = self.origin + number as f64 * self.step;
            between += 1;
        }
        let first = segments.first().map(|s| s.axis.as_ref());
        if let (Some(first), 1..) = (first, between) {
            warnings.push(format!("axis {}: {between} of {length} cells lie between the files and are missing", first.name));
        }
        let all = |test: fn(&Coordinates) -> bool| segments.iter().all(|s| test(&s.axis.coordinates));
        let coordinates = if all(|c| matches!(c, Coordinates::Float32(_))) {
            Coordinates::Float32(values.iter().map(|&v| v as f32).collect())
        } else if all(|c| matches!(c, Coordinates::Int32(_))) && values.iter().all(|v| v.fract() == 0.0) {
            Coordinates::Int32(values.iter().map(|&v| v as i32).collect())
        } else if all(|c| matches!(c, Coordinates::Int32(_) | Coordinates::Int64(_))) && values.iter().all(|v| v.fract() == 0.0) {
            Coordinates::Int64(values.iter().map(|&v| v as i64).collect())
        } else {
            Coordinates::Float64(values.clone())
        };
        let mut axis = merge::assemble(segments, &runs, coordinates);
        let half = self.step / 2.0;
        for (bounds, value) in axis.bounds.iter_mut().flatten().zip(&values).filter(|(bounds, _)| bounds[0].is_nan()) {
            *bounds = [value - half, value + half];
        }
        Ok((axis, runs))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn regular(first: f64, step: f64, n: u32) -> Arc<Axis> {
        of(Coordinates::Float64((0..n).map(|i| first + step * f64::from(i)).collect()))
    }

    fn of(coordinates: Coordinates) -> Arc<Axis> {
        Arc::new(Axis { coordinates, ..Axis::of_positions("x", 0) })
    }

    fn placed(axes: &[Arc<Axis>]) -> Result<(Axis, Vec<u64>, Vec<String>)> {
        let files: Vec<String> = (0..axes.len()).map(|i| format!("file{i}")).collect();
        let segments: Vec<Segment> = axes.iter().zip(&files).map(|(axis, file)| Segment { axis, file }).collect();
        let mut warnings = Vec::new();
        let (axis, runs) = mosaic(&segments, &mut warnings)?;
        assert!(runs.iter().all(|r| r.len() == 1));
        Ok((axis, runs.iter().map(|r| r[0].to).collect(), warnings))
    }

    #[test]
    fn tiles_are_placed_by_counting_steps() {
        // Far away, where steps that are no binary fractions have added up.
        let tenth = |k: u32| regular(440_720.0 + 0.1 * f64::from(k), 0.1, 1000);
        let (axis, to, warnings) = placed(&[tenth(5_000_000), tenth(5_001_000), tenth(4_999_500)]).unwrap();
        assert_eq!((axis.len(), to, warnings.len()), (2500, vec![500, 1500, 0], 0));
        // Falling, with a gap that is filled in, and a tile of one cell.
        let (axis, to, warnings) = placed(&[regular(90.0, -10.0, 2), regular(50.0, -10.0, 2), regular(10.0, -10.0, 1)]).unwrap();
        assert_eq!(axis.coordinates, regular(90.0, -10.0, 9).coordinates);
        assert_eq!((to, warnings.len()), (vec![0, 4, 8], 1));
        let single = |first: f32, n: u32| of(Coordinates::Float32((0..n).map(|i| first + i as f32 * 0.05).collect()));
        assert_eq!(placed(&[single(-180.0, 3600), single(0.0, 3600)]).unwrap().0.len(), 7200);
    }

    #[test]
    fn other_grids_are_refused_with_the_reason() {
        let error = |a: Arc<Axis>, b: Arc<Axis>| placed(&[a, b]).unwrap_err().to_string();
        let off = error(regular(0.0, 10.0, 4), regular(43.0, 10.0, 4));
        assert!(off.starts_with("file1: axis x: coordinate 0: expected 0, found 43 (as in file0): it lies 0.300 of a cell off"), "{off}");
        let step = error(regular(0.0, 30.0, 100), regular(0.0, 30.01, 100));
        assert!(
            step.contains("coordinate 1: expected 30, found 30.01") && step.contains("its cells are 30.01 apart, 30 were expected"),
            "{step}"
        );
        let flipped = error(regular(0.0, 10.0, 4), regular(30.0, -10.0, 4));
        assert!(flipped.contains("coordinate 0: expected 0, found 30") && flipped.contains("-10 apart"), "{flipped}");
        let irregular = error(of(Coordinates::Float64(vec![1.0, 2.0, 4.0])), of(Coordinates::Float64(vec![1.0, 3.0, 4.0])));
        assert!(irregular.contains("file1: axis x: coordinate 1: expected 2, found 3 (as in file0)"), "{irregular}");
        // Irregular ones that agree where they meet, or lie beside each other, go together.
        let agree = placed(&[of(Coordinates::Float64(vec![1.0, 2.0, 4.0])), of(Coordinates::Float64(vec![4.0, 9.0]))]).unwrap();
        assert_eq!((agree.0.len(), agree.1), (4, vec![0, 2]));
    }
}
