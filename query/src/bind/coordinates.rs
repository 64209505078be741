//! From coordinates to positions: what a subset's value, range or list selects of one axis.
//!
//! Coordinate space is closed intervals in the axis's units; what comes out are positions in view space.

use std::sync::Arc;

use chrono::{DateTime, Datelike, Months, NaiveDate, NaiveDateTime, TimeDelta};
use datafusion::arrow::array::{Array, ArrayRef, AsArray, Float32Array, Float64Array};
use datafusion::arrow::compute;
use datafusion::arrow::datatypes::{DataType, Float64Type, Int64Type, TimeUnit};
use datafusion::common::ScalarValue;
use graticule_storage::array::{Axis, AxisRole, Calendar, Coordinates};

use crate::view::AxisView;

/// What a subset asks of one axis, with every value known.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Spec {
    /// Closed interval; `None` is an open end.
    Trim(Option<ScalarValue>, Option<ScalarValue>),
    /// The cell that holds the value, or a period.
    At(ScalarValue),
    /// A coordinate that exists.
    Exact(ScalarValue),
    /// Positions, both ends included, negative from the end.
    Index {
        /// First; `None`: 0.
        from: Option<i64>,
        /// Last; `None`: the end.
        to: Option<i64>,
        /// Every how many.
        step: i64,
    },
    /// One position, negative from the end.
    IndexAt(i64),
    /// These coordinates, in the axis's order.
    In(Vec<ScalarValue>),
}

/// What is selected of an axis.
#[derive(Debug, Clone)]
pub(crate) struct Selected {
    /// Positions in view space.
    pub positions: Vec<u64>,
    /// New coordinates, where a longitude was seen across the seam.
    pub coordinates: Option<ArrayRef>,
    /// True for a slice.
    pub fixed: bool,
}

impl Selected {
    fn range(positions: Vec<u64>) -> Self {
        Selected { positions, coordinates: None, fixed: false }
    }

    fn one(position: u64) -> Self {
        Selected { positions: vec![position], coordinates: None, fixed: true }
    }
}

/// Selects on one axis. Errors are sentences that name the axis and what it has.
pub(crate) fn select(axis: &Axis, seen: &AxisView, spec: &Spec) -> Result<Selected, String> {
    let line = Line::new(axis, seen)?;
    match spec {
        Spec::Index { from, to, step } => line.by_index(*from, *to, *step),
        Spec::IndexAt(i) => Ok(Selected::one(line.position(*i)?)),
        Spec::Trim(low, high) => {
            let low = low.as_ref().map(|v| line.bounds_of(v)).transpose()?.map(|(low, _)| low);
            let high = high.as_ref().map(|v| line.bounds_of(v)).transpose()?.map(|(_, high)| high);
            line.trim(low, high)
        }
        Spec::At(value) => match line.bounds_of(value)? {
            (low, high) if low == high => line.at(low, value),
            (low, high) => line.trim(Some(low), Some(high)),
        },
        Spec::Exact(value) => Ok(Selected::one(line.exact(value)?)),
        Spec::In(values) => {
            let mut positions = values.iter().map(|v| line.exact(v)).collect::<Result<Vec<_>, _>>()?;
            positions.sort_unstable();
            positions.dedup();
            Ok(Selected::range(positions))
        }
    }
}

/// The coordinates of an axis as numbers; instants as counts of their unit; labels by number only.
struct Line<'a> {
    axis: &'a Axis,
    coordinates: &'a ArrayRef,
    /// Counts a second of a time axis.
    per_second: Option<i64>,
    /// The calendar of an axis whose times are text: its numbers are microseconds.
    calendar: Option<Calendar>,
    values: Option<Vec<f64>>,
}

impl<'a> Line<'a> {
    fn new(axis: &'a Axis, seen: &'a AxisView) -> Result<Self, String> {
        let coordinates = &seen.coordinates;
        let per_second = match coordinates.data_type() {
            DataType::Timestamp(TimeUnit::Second, _) => Some(1),
            DataType::Timestamp(TimeUnit::Millisecond, _) => Some(1_000),
            DataType::Timestamp(TimeUnit::Microsecond, _) => Some(1_000_000),
            DataType::Timestamp(TimeUnit::Nanosecond, _) => Some(1_000_000_000),
            _ => None,
        };
        let fail = |e: datafusion::arrow::error::ArrowError| e.to_string();
        let calendar = match &axis.coordinates {
            Coordinates::Calendar(calendar, _) => Some(*calendar),
            _ => None,
        };
        let values = match (coordinates.data_type(), per_second) {
            (DataType::Utf8, _) => match calendar {
                Some(calendar) => {
                    let texts = coordinates.as_string::<i32>().iter();
                    Some(texts.map(|t| Ok(calendar.period(t.unwrap_or_default())?.0 as f64)).collect::<Result<_, String>>()?)
                }
                None => None,
            },
            (_, Some(_)) => {
                let counts = compute::cast(coordinates, &DataType::Int64).map_err(fail)?;
                Some(counts.as_primitive::<Int64Type>().values().iter().map(|&c| c as f64).collect())
            }
            _ => Some(compute::cast(coordinates, &DataType::Float64).map_err(fail)?.as_primitive::<Float64Type>().values().to_vec()),
        };
        Ok(Line { axis, coordinates, per_second, calendar, values })
    }

    fn len(&self) -> u64 {
        self.coordinates.len() as u64
    }

    fn name(&self) -> &str {
        &self.axis.name
    }

    fn show(&self, position: u64) -> String {
        datafusion::arrow::util::display::array_value_to_string(self.coordinates, position as usize).unwrap_or_default()
    }

    fn numbers(&self) -> Result<&[f64], String> {
        self.values.as_deref().ok_or_else(|| format!("axis {} has labels, not numbers; use EXACT or IN with a label", self.name()))
    }

    /// A value as the closed interval that it stands for: a period, or an instant or number twice.
    fn bounds_of(&self, value: &ScalarValue) -> Result<(f64, f64), String> {
        let wrong = |what: &str| Err(format!("axis {} has {}, and {what} is none", self.name(), self.kind()));
        if let Some(per) = self.per_second {
            return match value {
                ScalarValue::Utf8(Some(text)) | ScalarValue::LargeUtf8(Some(text)) | ScalarValue::Utf8View(Some(text)) => {
                    let Some((first, after)) = period(text) else { return wrong(&format!("'{text}'")) };
                    let (first, after) = (count(first, per), count(after, per));
                    // Counts of nanoseconds have no f64 for "one less"; the next number below is close enough.
                    Ok((first as f64, if after > first { (after as f64).next_down() } else { first as f64 }))
                }
                other => match other.cast_to(self.coordinates.data_type()) {
                    Ok(v) => match v.cast_to(&DataType::Int64) {
                        Ok(ScalarValue::Int64(Some(c))) if !is_number(other) => Ok((c as f64, c as f64)),
                        _ => wrong(&other.to_string()),
                    },
                    Err(_) => wrong(&other.to_string()),
                },
            };
        }
        if let Some(calendar) = self.calendar {
            let text = match value {
                other if is_number(other) => return wrong(&other.to_string()),
                ScalarValue::Utf8(Some(text)) | ScalarValue::LargeUtf8(Some(text)) | ScalarValue::Utf8View(Some(text)) => text.clone(),
                other => match other.cast_to(&DataType::Utf8) {
                    Ok(ScalarValue::Utf8(Some(text))) => text,
                    _ => return wrong(&other.to_string()),
                },
            };
            let (first, after) = calendar.period(&text).map_err(|why| format!("axis {}: {why}", self.name()))?;
            // Microseconds of ten thousand years have no f64 for "one less"; the next number below is close enough.
            return Ok((first as f64, if after > first { (after as f64).next_down() } else { first as f64 }));
        }
        match value.cast_to(&DataType::Float64) {
            Ok(ScalarValue::Float64(Some(v))) if v.is_finite() => Ok((v, v)),
            _ if matches!(value, ScalarValue::Utf8(_) | ScalarValue::Utf8View(_)) && self.axis.calendar.is_some() => Err(format!(
                "axis {} counts {} in the calendar {}, which is not decoded to instants; give a number",
                self.name(),
                self.axis.units.as_deref().unwrap_or("time"),
                self.axis.calendar.as_deref().unwrap_or("?")
            )),
            _ => wrong(&value.to_string()),
        }
    }

    fn kind(&self) -> &'static str {
        match self.coordinates.data_type() {
            _ if self.calendar.is_some() => "times of a calendar ('2020', '2020-02-30', '2020-02-28T12:00')",
            DataType::Timestamp(..) => "instants ('2020', '2020-01-15', '2020-01-15T12:00')",
            DataType::Utf8 => "labels",
            _ => "numbers",
        }
    }

    fn trim(&self, low: Option<f64>, high: Option<f64>) -> Result<Selected, String> {
        let values = self.numbers()?;
        if self.axis.role == AxisRole::Longitude
            && let (Some(low), Some(high)) = (low, high)
        {
            return self.longitudes(values, low, high);
        }
        let (low, high) = match (low, high) {
            (Some(a), Some(b)) if a > b => (b, a),
            (a, b) => (a.unwrap_or(f64::NEG_INFINITY), b.unwrap_or(f64::INFINITY)),
        };
        let inside = values.iter().enumerate().filter(|(_, v)| (low..=high).contains(*v)).map(|(i, _)| i as u64);
        Ok(Selected::range(inside.collect()))
    }

    /// Longitudes wrap: a position is seen where its longitude, or that plus or minus full turns, lies in the interval.
    fn longitudes(&self, values: &[f64], low: f64, high: f64) -> Result<Selected, String> {
        let low = if low > high { low - 360.0 } else { low };
        let mut found: Vec<(f64, u64)> = Vec::new();
        for (i, &v) in values.iter().enumerate() {
            let turn = ((low - v) / 360.0).ceil();
            // Longitudes in single precision can miss an end by a rounding error.
            let turn = if v + 360.0 * (turn - 1.0) >= low - 1e-9 { turn - 1.0 } else { turn };
            let shifted = v + 360.0 * turn;
            if shifted <= high + 1e-9 {
                found.push((shifted, i as u64));
            }
        }
        let falling = values.len() > 1 && values[0] > values[values.len() - 1];
        found.sort_by(|a, b| if falling { b.0.total_cmp(&a.0) } else { a.0.total_cmp(&b.0) });
        let moved = found.iter().any(|(c, i)| *c != values[*i as usize]);
        let in_order = found.windows(2).all(|w| w[0].1 < w[1].1);
        if !moved && !in_order {
            found.sort_by_key(|(_, i)| *i);
        }
        let coordinates: Option<ArrayRef> = moved.then(|| match self.coordinates.data_type() {
            DataType::Float32 => Arc::new(found.iter().map(|(c, _)| *c as f32).collect::<Float32Array>()) as ArrayRef,
            _ => {
                let shifted: ArrayRef = Arc::new(found.iter().map(|(c, _)| *c).collect::<Float64Array>());
                compute::cast(&shifted, self.coordinates.data_type()).unwrap_or(shifted)
            }
        });
        Ok(Selected { positions: found.into_iter().map(|(_, i)| i).collect(), coordinates, fixed: false })
    }

    /// The cell whose bounds hold the value; without bounds the nearest centre.
    fn at(&self, wanted: f64, value: &ScalarValue) -> Result<Selected, String> {
        let values = self.numbers()?;
        let turns: &[f64] = if self.axis.role == AxisRole::Longitude { &[0.0, 360.0, -360.0] } else { &[0.0] };
        let whole = values.len() as u64 == self.axis.len();
        for turn in turns {
            let v = wanted + turn;
            if let (Some(bounds), true) = (&self.axis.bounds, whole) {
                let inside = |b: &[f64; 2]| (b[0].min(b[1])..=b[0].max(b[1])).contains(&v);
                let nearest = bounds.iter().enumerate().filter(|(_, b)| inside(b)).min_by(|a, b| {
                    // On a bound that two cells share, the one that begins there.
                    (v - a.1[0].min(a.1[1])).total_cmp(&(v - b.1[0].min(b.1[1])))
                });
                if let Some((i, _)) = nearest {
                    return Ok(Selected::one(i as u64));
                }
                continue;
            }
            let Some((i, distance)) =
                values.iter().map(|c| (c - v).abs()).enumerate().min_by(|a, b| a.1.total_cmp(&b.1)).filter(|(_, d)| !d.is_nan())
            else {
                continue;
            };
            let neighbour = if i == 0 { 1 } else { i - 1 };
            let half = values.get(neighbour).map_or(0.0, |n| (n - values[i]).abs() / 2.0);
            if distance <= half * (1.0 + 1e-9) {
                return Ok(Selected::one(i as u64));
            }
            let inner = i > 0 && i + 1 < values.len();
            if inner {
                return Ok(Selected::one(i as u64));
            }
        }
        Err(self.outside(&shown(value)))
    }

    fn outside(&self, value: &str) -> String {
        match self.len() {
            0 => format!("axis {} has no cells", self.name()),
            n => format!("{value} is outside axis {}, which runs from {} to {}", self.name(), self.show(0), self.show(n - 1)),
        }
    }

    fn exact(&self, value: &ScalarValue) -> Result<u64, String> {
        let of_type = value.cast_to(self.coordinates.data_type()).ok().filter(|v| !v.is_null());
        if let (Some(wanted), true) = (&of_type, self.per_second.is_none() || !is_number(value)) {
            for i in 0..self.coordinates.len() {
                if ScalarValue::try_from_array(self.coordinates, i).is_ok_and(|c| c == *wanted) {
                    return Ok(i as u64);
                }
            }
        }
        let Some(values) = &self.values else {
            return Err(format!("axis {} has no label {}", self.name(), shown(value)));
        };
        let (wanted, _) = self.bounds_of(value)?;
        if self.calendar.is_some()
            && let Some(i) = values.iter().position(|v| *v == wanted)
        {
            return Ok(i as u64);
        }
        let mut near: Vec<usize> = (0..values.len()).collect();
        near.sort_by(|&a, &b| (values[a] - wanted).abs().total_cmp(&(values[b] - wanted).abs()));
        let near: Vec<String> = near.into_iter().take(2).map(|i| self.show(i as u64)).collect();
        Err(format!("axis {} has no coordinate {}; the nearest are {}", self.name(), shown(value), near.join(" and ")))
    }

    fn position(&self, i: i64) -> Result<u64, String> {
        let n = self.len() as i64;
        let at = if i < 0 { n + i } else { i };
        if (0..n).contains(&at) { Ok(at as u64) } else { Err(format!("position {i} is outside axis {}, which has {n} cells", self.name())) }
    }

    fn by_index(&self, from: Option<i64>, to: Option<i64>, step: i64) -> Result<Selected, String> {
        if step < 1 {
            return Err(format!("axis {}: a step of {step} selects nothing; give 1 or more", self.name()));
        }
        if self.len() == 0 {
            return Ok(Selected::range(vec![]));
        }
        let from = from.map_or(Ok(0), |i| self.position(i))?;
        let to = to.map_or(Ok(self.len() - 1), |i| self.position(i))?;
        Ok(Selected::range((from..=to).step_by(step as usize).collect()))
    }
}

fn shown(value: &ScalarValue) -> String {
    match value {
        ScalarValue::Utf8(Some(s)) | ScalarValue::Utf8View(Some(s)) | ScalarValue::LargeUtf8(Some(s)) => format!("'{s}'"),
        other => other.to_string(),
    }
}

fn is_number(value: &ScalarValue) -> bool {
    value.data_type().is_numeric()
}

fn count(at: NaiveDateTime, per_second: i64) -> i64 {
    let utc: DateTime<chrono::Utc> = at.and_utc();
    let whole = utc.timestamp().saturating_mul(per_second);
    whole.saturating_add(i64::from(utc.timestamp_subsec_nanos()) / (1_000_000_000 / per_second))
}

/// True for `2020`, `2020-01`, `2020-01-15`: a stretch of time, not an instant.
pub(crate) fn is_period(text: &str) -> bool {
    // Between them the two model calendars have every date that any calendar has.
    let model = [Calendar::AllLeap, Calendar::Days360].into_iter().filter_map(|calendar| calendar.period(text).ok());
    period(text).is_some_and(|(first, after)| first < after) || model.into_iter().any(|(first, after)| first < after)
}

/// The period that a text stands for, as first instant and first instant after it; an instant is its own end.
pub(crate) fn period(text: &str) -> Option<(NaiveDateTime, NaiveDateTime)> {
    let text = text.trim().trim_end_matches('Z');
    let midnight = |d: NaiveDate| d.and_hms_opt(0, 0, 0);
    if let Some((date, time)) = text.split_once(['T', ' ']) {
        let date = NaiveDate::parse_from_str(date, "%Y-%m-%d").ok()?;
        let full = match time.matches(':').count() {
            0 => format!("{time}:00:00"),
            1 => format!("{time}:00"),
            _ => time.to_string(),
        };
        let at = date.and_time(chrono::NaiveTime::parse_from_str(&full, "%H:%M:%S%.f").ok()?);
        return Some((at, at));
    }
    let parts: Vec<&str> = text.split('-').collect();
    match parts.as_slice() {
        [year] if year.len() == 4 => {
            let first = NaiveDate::from_ymd_opt(year.parse().ok()?, 1, 1)?;
            Some((midnight(first)?, midnight(first.with_year(first.year() + 1)?)?))
        }
        [year, month] if year.len() == 4 && month.len() == 2 => {
            let first = NaiveDate::from_ymd_opt(year.parse().ok()?, month.parse().ok()?, 1)?;
            Some((midnight(first)?, midnight(first.checked_add_months(Months::new(1))?)?))
        }
        [_, _, _] => {
            let first = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
            Some((midnight(first)?, midnight(first)?.checked_add_signed(TimeDelta::days(1))?))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use graticule_storage::array::{Attributes, Coordinates, TimeUnit as StorageUnit};

    fn axis(role: AxisRole, coordinates: Coordinates) -> (Axis, AxisView) {
        let seen = AxisView { runs: Arc::new([0..coordinates.len()]), coordinates: coordinates.to_arrow(), fixed: false };
        let name = "a".to_string();
        (Axis { name, role, coordinates, bounds: None, units: None, calendar: None, attributes: Attributes::default() }, seen)
    }

    fn text(s: &str) -> ScalarValue {
        ScalarValue::Utf8(Some(s.into()))
    }

    fn number(v: f64) -> ScalarValue {
        ScalarValue::Float64(Some(v))
    }

    fn positions(of: &(Axis, AxisView), spec: Spec) -> Result<Vec<u64>, String> {
        select(&of.0, &of.1, &spec).map(|s| s.positions)
    }

    #[test]
    fn a_trim_is_closed_whichever_way_the_axis_runs() {
        let falling = axis(AxisRole::Latitude, Coordinates::Float32((0..=18).map(|i| 90.0 - 10.0 * i as f32).collect()));
        assert_eq!(positions(&falling, Spec::Trim(Some(number(40.0)), Some(number(60.0)))), Ok(vec![3, 4, 5]));
        assert_eq!(positions(&falling, Spec::Trim(Some(number(60.0)), Some(number(40.0)))), Ok(vec![3, 4, 5]));
        assert_eq!(positions(&falling, Spec::Trim(Some(number(75.0)), None)), Ok(vec![0, 1]));
        assert_eq!(positions(&falling, Spec::Trim(Some(number(41.0)), Some(number(42.0)))), Ok(vec![]));
    }

    #[test]
    fn longitudes_wrap_and_come_out_in_one_piece() {
        let global = axis(AxisRole::Longitude, Coordinates::Float32((0..36).map(|i| 10.0 * i as f32).collect()));
        let seen = select(&global.0, &global.1, &Spec::Trim(Some(number(-20.0)), Some(number(10.0)))).unwrap();
        assert_eq!(seen.positions, vec![34, 35, 0, 1]);
        assert_eq!(seen.coordinates.unwrap().as_ref(), &Float32Array::from(vec![-20.0, -10.0, 0.0, 10.0]) as &dyn Array);
        let plain = select(&global.0, &global.1, &Spec::Trim(Some(number(10.0)), Some(number(30.0)))).unwrap();
        assert!(plain.coordinates.is_none());
        assert_eq!(plain.positions, vec![1, 2, 3]);
        let over = select(&global.0, &global.1, &Spec::Trim(Some(number(350.0)), Some(number(10.0)))).unwrap();
        assert_eq!(over.positions, vec![35, 0, 1]);
        assert_eq!(positions(&global, Spec::At(number(-9.0))), Ok(vec![35]));
    }

    #[test]
    fn a_slice_takes_the_cell_that_holds_the_value_and_nothing_outside() {
        let rising = axis(AxisRole::Y, Coordinates::Float64(vec![5.0, 15.0, 25.0]));
        assert_eq!(positions(&rising, Spec::At(number(19.9))), Ok(vec![1]));
        assert_eq!(positions(&rising, Spec::At(number(29.0))), Ok(vec![2]));
        let error = positions(&rising, Spec::At(number(31.0))).unwrap_err();
        assert!(error.contains("runs from 5.0 to 25.0"), "{error}");
        let error = positions(&rising, Spec::Exact(number(14.0))).unwrap_err();
        assert!(error.contains("15.0 and 5.0"), "{error}");
    }

    #[test]
    fn periods_and_instants() {
        let day = 86_400_000_000_000i64;
        let first = 18_262 * day; // 2020-01-01
        let time = axis(AxisRole::Time, Coordinates::Time(StorageUnit::Nanosecond, (0..60).map(|i| first + i * day / 2).collect()));
        assert_eq!(positions(&time, Spec::At(text("2020-01-02"))), Ok(vec![2, 3]));
        assert_eq!(positions(&time, Spec::At(text("2020-01"))).unwrap().len(), 60);
        assert_eq!(positions(&time, Spec::At(text("2020-01-01T12:00"))), Ok(vec![1]));
        assert_eq!(positions(&time, Spec::Trim(Some(text("2020-01-30")), None)), Ok(vec![58, 59]));
        assert!(positions(&time, Spec::At(text("1999-01-01T00:00"))).unwrap_err().contains("outside axis a"));
        assert!(positions(&time, Spec::At(number(3.0))).is_err());
        assert!(positions(&time, Spec::At(text("soon"))).unwrap_err().contains("'soon'"));
    }

    #[test]
    fn periods_of_a_calendar() {
        let calendar = Calendar::Days360;
        let first = calendar.period("2001-02-28").unwrap().0;
        let time = axis(AxisRole::Time, Coordinates::Calendar(calendar, (0..60).map(|i| first + i * 43_200_000_000).collect()));
        assert_eq!(positions(&time, Spec::At(text("2001-02-30"))), Ok(vec![4, 5]));
        assert_eq!(positions(&time, Spec::At(text("2001-02"))).unwrap().len(), 6);
        assert_eq!(positions(&time, Spec::At(text("2001-02-30T12:00"))), Ok(vec![5]));
        assert_eq!(positions(&time, Spec::Exact(text("2001-03-01"))), Ok(vec![6]));
        assert_eq!(positions(&time, Spec::Trim(None, Some(text("2001-02-29")))), Ok(vec![0, 1, 2, 3]));
        assert_eq!(positions(&time, Spec::Trim(Some(text("2001-02-29")), Some(text("2001-02")))), Ok(vec![2, 3, 4, 5]));
        let error = positions(&time, Spec::At(text("2001-02-31"))).unwrap_err();
        assert_eq!(error, "axis a: the calendar 360_day has no 2001-02-31");
        assert!(positions(&time, Spec::At(number(3.0))).unwrap_err().contains("times of a calendar"));
        let outside = positions(&time, Spec::At(text("1999-02-30T00:00"))).unwrap_err();
        assert!(outside.contains("from 2001-02-28T00:00:00 to"), "{outside}");
    }

    #[test]
    fn positions_from_both_ends() {
        let five = axis(AxisRole::Other, Coordinates::Index(5));
        assert_eq!(positions(&five, Spec::IndexAt(-1)), Ok(vec![4]));
        assert_eq!(positions(&five, Spec::Index { from: Some(0), to: None, step: 2 }), Ok(vec![0, 2, 4]));
        assert_eq!(positions(&five, Spec::Index { from: Some(-2), to: Some(-1), step: 1 }), Ok(vec![3, 4]));
        assert!(positions(&five, Spec::IndexAt(5)).unwrap_err().contains("5 cells"));
        let labels = axis(AxisRole::Other, Coordinates::Text(vec!["a".into(), "b".into()]));
        assert_eq!(positions(&labels, Spec::In(vec![text("b")])), Ok(vec![1]));
        assert!(positions(&labels, Spec::Exact(text("c"))).is_err());
    }
}
