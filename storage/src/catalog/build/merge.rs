//! One axis of a cube from the axes of its granules: whether they agree, and where each one's cells lie on their union.

use std::collections::HashMap;
use std::sync::Arc;

use crate::array::{Axis, Calendar, Coordinates, TimeUnit};
use crate::convention::cf::coordinates::in_unit;
use crate::convention::cf::time::TimeReference;
use crate::{Error, Result};

/// Cells of a granule's axis that lie side by side on the cube's axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// First cell on the granule's axis.
    pub from: u64,
    /// First cell on the cube's axis.
    pub to: u64,
    /// Cells.
    pub length: u64,
}

/// An axis of a granule with the file that it comes from, for messages.
#[derive(Debug, Clone, Copy)]
pub struct Segment<'a> {
    /// The axis.
    pub axis: &'a Arc<Axis>,
    /// The file.
    pub file: &'a str,
}

impl Segment<'_> {
    /// The error that this segment does not fit.
    pub fn error(&self, what: String) -> Error {
        Error::Grid { object: self.file.to_owned(), axis: self.axis.name.clone(), what }
    }
}

/// Where floating-point coordinates count as equal: a millionth of a cell, but not finer than single precision can tell
/// where one of both is single.
pub fn tolerance(coordinates: &Coordinates, values: &[f64]) -> f64 {
    let largest = values.iter().filter(|v| v.is_finite()).fold(0.0f64, |m, v| m.max(v.abs()));
    let cell = values.windows(2).map(|w| (w[1] - w[0]).abs()).filter(|&d| d > 0.0).fold(f64::INFINITY, f64::min);
    let cell = if cell.is_finite() { cell * 1e-6 } else { largest * 1e-9 };
    if matches!(coordinates, Coordinates::Float32(_)) { cell.max(largest * 2.0 * f64::from(f32::EPSILON)) } else { cell }
}

/// Where two axes differ first, as "expected, found"; `None` where all coordinates agree.
pub fn difference(expected: &Axis, found: &Axis) -> Option<String> {
    let (a, b) = (&expected.coordinates, &found.coordinates);
    let kinds = || format!("expected {} coordinates, found {}", kind(a), kind(b));
    let at = match (a, b) {
        (Coordinates::Index(_), Coordinates::Index(_)) => None,
        (Coordinates::Text(x), Coordinates::Text(y)) => x.iter().zip(y).position(|(x, y)| x != y),
        (Coordinates::Text(_) | Coordinates::Index(_), _) | (_, Coordinates::Text(_) | Coordinates::Index(_)) => return Some(kinds()),
        (Coordinates::Time(u, x), Coordinates::Time(v, y)) => {
            let unit = coarser(*u, *v);
            in_unit(*u, x, unit).iter().zip(&in_unit(*v, y, unit)).position(|(x, y)| x != y)
        }
        _ if in_calendar(expected).is_some() && in_calendar(expected).map(|c| c.0) == in_calendar(found).map(|c| c.0) => {
            let counts = |axis: &Axis| in_calendar(axis).map(|c| c.1).unwrap_or_default();
            counts(expected).iter().zip(&counts(found)).position(|(x, y)| x != y)
        }
        (Coordinates::Time(..) | Coordinates::Calendar(..), _) | (_, Coordinates::Time(..) | Coordinates::Calendar(..)) => {
            return Some(kinds());
        }
        _ => {
            let (Some(x), Some(y)) = (a.to_f64(), b.to_f64()) else { return Some(kinds()) };
            let tolerance = tolerance(a, &x).max(tolerance(b, &y));
            x.iter().zip(&y).position(|(x, y)| !((x - y).abs() <= tolerance || x.is_nan() && y.is_nan()))
        }
    };
    match at {
        Some(i) => Some(format!("coordinate {i}: expected {}, found {}", a.display(i), b.display(i))),
        None if a.len() != b.len() => {
            let i = a.len().min(b.len());
            let show = |c: &Coordinates| if i < c.len() { c.display(i as usize) } else { "none".to_owned() };
            Some(format!("{} cells expected, {} found; coordinate {i}: expected {}, found {}", a.len(), b.len(), show(a), show(b)))
        }
        None if expected.units != found.units && !a.is_empty() && !matches!(a, Coordinates::Time(..) | Coordinates::Calendar(..)) => {
            let unit = |axis: &Axis| axis.units.clone().unwrap_or_else(|| "none".to_owned());
            Some(format!("expected units {}, found {}", unit(expected), unit(found)))
        }
        None => None,
    }
}

fn kind(coordinates: &Coordinates) -> &'static str {
    match coordinates {
        Coordinates::Index(_) => "no",
        Coordinates::Time(..) => "time",
        Coordinates::Calendar(Calendar::Standard, _) => "time before 1582",
        Coordinates::Calendar(Calendar::ProlepticGregorian, _) => "proleptic_gregorian time",
        Coordinates::Calendar(Calendar::Julian, _) => "julian time",
        Coordinates::Calendar(Calendar::NoLeap, _) => "noleap time",
        Coordinates::Calendar(Calendar::AllLeap, _) => "all_leap time",
        Coordinates::Calendar(Calendar::Days360, _) => "360_day time",
        Coordinates::Text(_) => "text",
        Coordinates::Float32(_) | Coordinates::Float64(_) => "floating-point",
        Coordinates::Int32(_) | Coordinates::Int64(_) => "integer",
    }
}

/// The times of an axis in microseconds of their calendar, where dates tell the calendar; instants of the standard calendar go
/// with its times before 1582.
fn in_calendar(axis: &Axis) -> Option<(Calendar, Vec<i64>)> {
    match &axis.coordinates {
        Coordinates::Calendar(calendar, v) => Some((*calendar, v.clone())),
        Coordinates::Time(unit, v) if Calendar::from_name(axis.calendar.as_deref()) == Some(Calendar::Standard) => {
            Some((Calendar::Standard, in_unit(*unit, v, TimeUnit::Microsecond)))
        }
        _ => None,
    }
}

fn coarser(a: TimeUnit, b: TimeUnit) -> TimeUnit {
    if a.per_second() <= b.per_second() { a } else { b }
}

/// Puts different axes of one name together: their coordinates in one order, each once. Returns the axis of the cube and, for
/// each segment, where its cells lie on it.
pub fn union(segments: &[Segment]) -> Result<(Axis, Vec<Vec<Run>>)> {
    let Some(first) = segments.first() else { return Err(Error::Internal("an axis of no granule".into())) };
    if segments.iter().all(|s| Arc::ptr_eq(s.axis, first.axis)) {
        let run = Run { from: 0, to: 0, length: first.axis.len() };
        return Ok((first.axis.as_ref().clone(), vec![vec![run]; segments.len()]));
    }
    if segments.iter().any(|s| matches!(s.axis.coordinates, Coordinates::Calendar(..)))
        && let Some(times) = segments.iter().map(|s| in_calendar(s.axis)).collect::<Option<Vec<_>>>()
        && let Some(calendar) = times.first().map(|t| t.0).filter(|calendar| times.iter().all(|t| t.0 == *calendar))
    {
        let counts: Vec<Vec<i64>> = times.into_iter().map(|t| t.1).collect();
        let (values, runs) = ordered(segments, &counts, |a, b| a == b)?;
        return Ok((assemble(segments, &runs, Coordinates::Calendar(calendar, values)), runs));
    }
    let same_kind = |s: &&Segment| kind(&s.axis.coordinates) == kind(&first.axis.coordinates);
    let numeric = |s: &Segment| matches!(kind(&s.axis.coordinates), "integer" | "floating-point");
    if let Some(other) = segments.iter().find(|s| !(same_kind(s) || numeric(s) && numeric(first))) {
        let kinds = (kind(&first.axis.coordinates), kind(&other.axis.coordinates));
        return Err(other.error(format!("expected {} coordinates as in {}, found {}", kinds.0, first.file, kinds.1)));
    }
    let counted = matches!(first.axis.coordinates, Coordinates::Time(..));
    if let Some(other) = segments.iter().find(|s| !counted && in_units_of(first.axis, s.axis).is_none()) {
        let unit = |s: &Segment| s.axis.units.clone().unwrap_or_else(|| "none".to_owned());
        return Err(other.error(format!("expected units {} as in {}, found {}", unit(first), first.file, unit(other))));
    }
    let same_units = segments.iter().all(|s| s.axis.units == first.axis.units);
    match &first.axis.coordinates {
        Coordinates::Index(_) => Err(first.error(
            "its cells have no coordinates that tell where those of the other files lie; \
             AXIS .. FROM FILENAME gives an axis to files that have none"
                .to_owned(),
        )),
        Coordinates::Text(_) => Ok(union_of_labels(segments)),
        Coordinates::Calendar(..) => Err(first.error("its calendar is not that of the other files".to_owned())),
        Coordinates::Time(..) => {
            let unit = segments.iter().fold(TimeUnit::Nanosecond, |unit, s| match s.axis.coordinates {
                Coordinates::Time(u, _) => coarser(unit, u),
                _ => unit,
            });
            let counts = |s: &Segment| match &s.axis.coordinates {
                Coordinates::Time(u, v) => in_unit(*u, v, unit),
                _ => Vec::new(),
            };
            let (values, runs) = ordered(segments, &segments.iter().map(counts).collect::<Vec<_>>(), |a, b| a == b)?;
            Ok((assemble(segments, &runs, Coordinates::Time(unit, values)), runs))
        }
        _ if same_units && segments.iter().all(|s| kind(&s.axis.coordinates) == "integer") => {
            let integers = |s: &Segment| match &s.axis.coordinates {
                Coordinates::Int32(v) => v.iter().map(|&v| v.into()).collect(),
                Coordinates::Int64(v) => v.clone(),
                _ => Vec::new(),
            };
            let (values, runs) = ordered(segments, &segments.iter().map(integers).collect::<Vec<_>>(), |a, b| a == b)?;
            let narrow = segments.iter().all(|s| matches!(s.axis.coordinates, Coordinates::Int32(_)));
            let coordinates =
                if narrow { Coordinates::Int32(values.iter().map(|&v| v as i32).collect()) } else { Coordinates::Int64(values) };
            Ok((assemble(segments, &runs, coordinates), runs))
        }
        _ => {
            let numbers: Vec<Vec<f64>> = segments.iter().map(|s| in_units_of(first.axis, s.axis).unwrap_or_default()).collect();
            let tolerance = segments.iter().zip(&numbers).map(|(s, v)| tolerance(&s.axis.coordinates, v)).fold(0.0, f64::max);
            let (values, runs) = ordered(segments, &numbers, |a, b| (a - b).abs() <= tolerance)?;
            let single = segments.iter().all(|s| matches!(s.axis.coordinates, Coordinates::Float32(_)));
            let coordinates =
                if single { Coordinates::Float32(values.iter().map(|&v| v as f32).collect()) } else { Coordinates::Float64(values) };
            Ok((assemble(segments, &runs, coordinates), runs))
        }
    }
}

/// The coordinates of an axis as numbers in the units of another: as they are where units are the same; converted where both
/// are times in one model calendar (`days since` different years); `None` where units differ otherwise.
fn in_units_of(axis: &Axis, other: &Axis) -> Option<Vec<f64>> {
    let values = other.coordinates.to_f64().unwrap_or_default();
    if axis.units == other.units {
        return Some(values);
    }
    let reference = |a: &Axis| TimeReference::parse(a.units.as_deref()?, a.calendar.as_deref()).ok().map(|(reference, _)| reference);
    let (to, from) = (reference(axis)?, reference(other)?);
    (to.calendar == from.calendar).then(|| values.into_iter().map(|v| from.rebase(v, &to)).collect())
}

/// The values of all segments in the direction that they share, equal ones once, and where each segment's lie.
fn ordered<T: PartialOrd + Copy>(segments: &[Segment], values: &[Vec<T>], equal: impl Fn(T, T) -> bool) -> Result<(Vec<T>, Vec<Vec<Run>>)> {
    let falls = |v: &[T]| v.first() > v.last();
    let leader = values.iter().position(|v| v.len() > 1);
    let falling = leader.and_then(|i| values.get(i)).is_some_and(|v| falls(v));
    for (segment, v) in segments.iter().zip(values) {
        let in_order = |w: &[T]| if falling { w[0] > w[1] } else { w[0] < w[1] };
        if v.len() > 1 && falls(v) != falling {
            let leader = leader.and_then(|i| segments.get(i)).map_or("", |s| s.file);
            let direction = |falling| if falling { "falling" } else { "rising" };
            return Err(segment.error(format!(
                "expected {} coordinates as in {leader}, found {}",
                direction(falling),
                direction(!falling)
            )));
        }
        if let Some(i) = v.windows(2).position(|w| !in_order(w)) {
            let show = |i| segment.axis.coordinates.display(i);
            return Err(segment.error(format!(
                "coordinate {}: {} after {} is out of order, so that the file cannot be put together with others",
                i + 1,
                show(i + 1),
                show(i)
            )));
        }
    }
    // Values beside where they come from, in the cube's order.
    let mut all: Vec<(T, u32, u32)> = Vec::with_capacity(values.iter().map(Vec::len).sum());
    for (segment, v) in values.iter().enumerate() {
        all.extend(v.iter().enumerate().map(|(i, &value)| (value, segment as u32, i as u32)));
    }
    all.sort_by(|a, b| {
        let order = a.0.partial_cmp(&b.0).unwrap_or(std::cmp::Ordering::Equal);
        if falling { order.reverse() } else { order }
    });
    let mut merged: Vec<T> = Vec::new();
    let mut runs: Vec<Vec<Run>> = vec![Vec::new(); segments.len()];
    for (value, segment, i) in all {
        if !merged.last().is_some_and(|&last| equal(last, value)) {
            merged.push(value);
        }
        let to = merged.len() as u64 - 1;
        if let Some(runs) = runs.get_mut(segment as usize) {
            extend(runs, u64::from(i), to);
        }
    }
    Ok((merged, runs))
}

fn extend(runs: &mut Vec<Run>, from: u64, to: u64) {
    match runs.last_mut() {
        Some(run) if run.from + run.length == from && run.to + run.length == to => run.length += 1,
        _ => runs.push(Run { from, to, length: 1 }),
    }
}

/// Labels in the order in which files name them; sorted where each file has one.
fn union_of_labels(segments: &[Segment]) -> (Axis, Vec<Vec<Run>>) {
    let labels = |s: &Segment| match &s.axis.coordinates {
        Coordinates::Text(v) => v.clone(),
        _ => Vec::new(),
    };
    let mut merged: Vec<String> = Vec::new();
    let mut known: HashMap<String, u64> = HashMap::new();
    for label in segments.iter().flat_map(labels) {
        if !known.contains_key(&label) {
            known.insert(label.clone(), merged.len() as u64);
            merged.push(label);
        }
    }
    if segments.iter().all(|s| s.axis.len() == 1) {
        merged.sort();
        known = merged.iter().enumerate().map(|(i, label)| (label.clone(), i as u64)).collect();
    }
    let runs = segments
        .iter()
        .map(|s| {
            let mut runs = Vec::new();
            for (i, label) in labels(s).iter().enumerate() {
                extend(&mut runs, i as u64, known.get(label).copied().unwrap_or(0));
            }
            runs
        })
        .collect::<Vec<_>>();
    (assemble(segments, &runs, Coordinates::Text(merged)), runs)
}

/// The first segment's axis with the coordinates of all, and their bounds where all have some.
pub fn assemble(segments: &[Segment], runs: &[Vec<Run>], coordinates: Coordinates) -> Axis {
    let mut bounds = Some(vec![[f64::NAN; 2]; coordinates.len() as usize]);
    for (segment, runs) in segments.iter().zip(runs) {
        // Bounds of times count the axis's own unit.
        let scale = match (&segment.axis.coordinates, &coordinates) {
            (Coordinates::Time(from, _), Coordinates::Time(to, _)) => to.per_second() as f64 / from.per_second() as f64,
            (Coordinates::Time(from, _), Coordinates::Calendar(..)) => 1e6 / from.per_second() as f64,
            _ => 1.0,
        };
        match (&segment.axis.bounds, &mut bounds) {
            (Some(from), Some(into)) => {
                for run in runs {
                    let (from, into) = (from.iter().skip(run.from as usize), into.iter_mut().skip(run.to as usize));
                    for (from, into) in from.zip(into).take(run.length as usize) {
                        *into = from.map(|b| b * scale);
                    }
                }
            }
            _ => bounds = None,
        }
    }
    let first = segments.first().map(|s| s.axis.as_ref().clone()).unwrap_or_else(|| Axis::of_positions("", 0));
    Axis { coordinates, bounds, ..first }
}

/// True where two axes have cells between each other's: neither ends before the other begins.
pub fn interleave(a: &Axis, b: &Axis) -> bool {
    let (Some(a), Some(b)) = (a.coordinates.to_f64(), b.coordinates.to_f64()) else { return true };
    let span = |v: &[f64]| v.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(lo, hi), &x| (lo.min(x), hi.max(x)));
    let (a, b) = (span(&a), span(&b));
    a.0 <= b.1 && b.0 <= a.1
}

/// The step of a regular axis with two cells or more: `None` where steps differ by more than a millionth of themselves (or
/// what single precision cannot tell apart).
pub fn step(axis: &Axis) -> Option<f64> {
    let values = axis.coordinates.to_f64()?;
    let (first, last) = (values.first()?, values.last()?);
    let step = (last - first) / (values.len().checked_sub(1).filter(|&n| n > 0)? as f64);
    let slack = tolerance(&axis.coordinates, &values).max(step.abs() * 1e-6) * 2.0;
    values.windows(2).all(|w| (w[1] - w[0] - step).abs() <= slack).then_some(step)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis(coordinates: Coordinates) -> Arc<Axis> {
        Arc::new(Axis { coordinates, ..Axis::of_positions("a", 0) })
    }

    fn union_of(axes: &[Arc<Axis>]) -> Result<(Axis, Vec<Vec<Run>>)> {
        let files: Vec<String> = (0..axes.len()).map(|i| format!("file{i}")).collect();
        union(&axes.iter().zip(&files).map(|(axis, file)| Segment { axis, file }).collect::<Vec<_>>())
    }

    #[test]
    fn segments_in_any_order_make_one_rising_axis() {
        let (merged, runs) =
            union_of(&[axis(Coordinates::Int32(vec![5, 6])), axis(Coordinates::Int32(vec![1, 2])), axis(Coordinates::Int32(vec![2, 3]))])
                .unwrap();
        assert_eq!(merged.coordinates, Coordinates::Int32(vec![1, 2, 3, 5, 6]));
        assert_eq!(runs.iter().map(|r| r[0].to).collect::<Vec<_>>(), [3, 0, 1]);
    }

    #[test]
    fn falling_axes_stay_falling_and_interleaved_ones_split() {
        let (merged, runs) = union_of(&[axis(Coordinates::Float64(vec![9.0, 5.0])), axis(Coordinates::Float64(vec![7.0, 3.0]))]).unwrap();
        assert_eq!(merged.coordinates, Coordinates::Float64(vec![9.0, 7.0, 5.0, 3.0]));
        assert_eq!(runs[1], [Run { from: 0, to: 1, length: 1 }, Run { from: 1, to: 3, length: 1 }]);
        let both = union_of(&[axis(Coordinates::Float64(vec![9.0, 5.0])), axis(Coordinates::Float64(vec![1.0, 2.0]))]).unwrap_err();
        assert!(both.to_string().contains("file1: axis a: expected falling"), "{both}");
    }

    #[test]
    fn time_units_meet_in_the_coarser_one() {
        let old = axis(Coordinates::Time(TimeUnit::Microsecond, vec![-62_135_596_800_000_000]));
        let new = axis(Coordinates::Time(TimeUnit::Nanosecond, vec![1_000_000_000]));
        let (merged, _) = union_of(&[new, old]).unwrap();
        assert_eq!(merged.coordinates, Coordinates::Time(TimeUnit::Microsecond, vec![-62_135_596_800_000_000, 1_000_000]));
    }

    #[test]
    fn agreement_is_to_a_millionth_of_a_cell() {
        let one = axis(Coordinates::Float64(vec![0.0, 0.25, 0.5]));
        assert_eq!(difference(&one, &axis(Coordinates::Float64(vec![0.0, 0.250_000_1, 0.5]))), None);
        assert_eq!(
            difference(&one, &axis(Coordinates::Float64(vec![0.0, 0.2501, 0.5]))).as_deref(),
            Some("coordinate 1: expected 0.25, found 0.2501")
        );
        let short = difference(&one, &axis(Coordinates::Float64(vec![0.0, 0.25]))).unwrap();
        assert_eq!(short, "3 cells expected, 2 found; coordinate 2: expected 0.5, found none");
        let single = axis(Coordinates::Float32((0..1800).map(|i| (f64::from(i) * 0.1 - 90.0) as f32).collect()));
        let double = axis(Coordinates::Float64((0..1800).map(|i| f64::from(i) * 0.1 - 90.0).collect()));
        assert_eq!(difference(&single, &double), None);
        assert!(difference(&one, &axis(Coordinates::Index(3))).is_some());
    }

    #[test]
    fn model_times_since_different_years_meet() {
        let since = |year: u32, v: Vec<f64>| {
            let (units, calendar) = (Some(format!("days since {year}-01-01")), Some("noleap".to_owned()));
            Arc::new(Axis { units, calendar, ..axis(Coordinates::Float64(v)).as_ref().clone() })
        };
        let (merged, runs) = union_of(&[since(2001, vec![0.5, 1.5]), since(2000, vec![363.5, 364.5])]).unwrap();
        assert_eq!(merged.coordinates, Coordinates::Float64(vec![-1.5, -0.5, 0.5, 1.5]));
        assert_eq!((merged.units.as_deref(), runs[0][0].to), (Some("days since 2001-01-01"), 2));
    }

    #[test]
    fn times_of_a_calendar_meet_by_their_dates() {
        let times = |calendar: Calendar, texts: &[&str]| {
            axis(Coordinates::Calendar(calendar, texts.iter().map(|t| calendar.period(t).unwrap().0).collect()))
        };
        let days = Calendar::Days360;
        let (merged, runs) = union_of(&[times(days, &["2001-02-30", "2001-03-01"]), times(days, &["2001-02-28", "2001-02-29"])]).unwrap();
        assert_eq!((merged.coordinates.display(2), runs[0][0].to), ("2001-02-30T00:00:00".into(), 2));
        let other = union_of(&[times(days, &["2001-01-01"]), times(Calendar::NoLeap, &["2001-01-02"])]).unwrap_err().to_string();
        assert!(other.contains("expected 360_day time coordinates") && other.contains("found noleap time"), "{other}");
        // A file after the reform of 1582 goes on where one before it ends.
        let late = axis(Coordinates::Time(TimeUnit::Nanosecond, vec![0]));
        let late = Arc::new(Axis { calendar: Some("standard".into()), ..late.as_ref().clone() });
        let (merged, _) = union_of(&[late, times(Calendar::Standard, &["1500-02-29"])]).unwrap();
        assert_eq!([merged.coordinates.display(0), merged.coordinates.display(1)], ["1500-02-29T00:00:00", "1970-01-01T00:00:00"]);
    }

    #[test]
    fn labels_keep_the_files_order() {
        let text = |v: &[&str]| axis(Coordinates::Text(v.iter().map(|s| s.to_string()).collect()));
        assert_eq!(union_of(&[text(&["c", "a"]), text(&["a", "b"])]).unwrap().0.coordinates, text(&["c", "a", "b"]).coordinates);
        assert_eq!(union_of(&[text(&["c"]), text(&["a"])]).unwrap().0.coordinates, text(&["a", "c"]).coordinates);
    }
}
