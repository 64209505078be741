//! Axes that are described, not read: `axis(from, to, step)`, both ends included where the steps meet them.

use chrono::{Months, NaiveDateTime, TimeDelta};
use datafusion::arrow::datatypes::{DataType, IntervalMonthDayNano};
use datafusion::common::ScalarValue;
use graticule_storage::array::{Attributes, Axis, AxisRole, Coordinates, TimeUnit};
use graticule_storage::convention::cf::coordinates::role;

use crate::bind::period;

/// Cells of an axis at most.
const MOST: f64 = (1u64 << 28) as f64;
/// A part of a step by which the last coordinate may miss the end, so that `axis(0, 1, 0.1)` has eleven cells.
const NEAR: f64 = 1e-6;

/// The axis of this name from `from` by `step` up to `to`: numbers, or instants with an interval. Errors are sentences that
/// name the axis.
pub(crate) fn axis(name: &str, from: &ScalarValue, to: &ScalarValue, step: &ScalarValue) -> Result<Axis, String> {
    let coordinates = match step {
        ScalarValue::IntervalMonthDayNano(Some(step)) => instants(from, to, *step),
        _ => numbers(from, to, step),
    };
    let coordinates = coordinates.map_err(|why| format!("axis {name}: {why}"))?;
    let attributes = Attributes::default();
    let role = match coordinates {
        Coordinates::Time(..) => AxisRole::Time,
        _ => role(name, &attributes),
    };
    Ok(Axis { name: name.to_string(), role, coordinates, bounds: None, units: None, calendar: None, attributes })
}

fn numbers(from: &ScalarValue, to: &ScalarValue, step: &ScalarValue) -> Result<Coordinates, String> {
    let number = |what: &str, v: &ScalarValue| match v.cast_to(&DataType::Float64) {
        Ok(ScalarValue::Float64(Some(n))) if n.is_finite() && !matches!(v, ScalarValue::Utf8(_)) => Ok(n),
        _ => Err(format!(
            "{what} is {v}, and a number is expected (times go by intervals: axis('2020-01-01', '2020-12-31', INTERVAL '1 day'))"
        )),
    };
    let (first, last, by) = (number("its start", from)?, number("its end", to)?, number("its step", step)?);
    let count = count(first, last, by)?;
    let whole = [from, to, step].iter().all(|v| v.data_type().is_integer());
    if whole && first.abs().max(last.abs()) + by.abs() < 9e15 {
        return Ok(Coordinates::Int64((0..count as i64).map(|i| first as i64 + i * by as i64).collect()));
    }
    Ok(Coordinates::Float64((0..count).map(|i| coordinate(first, by, i)).collect()))
}

/// The coordinate `i` steps from the first: the number that people would write, 0.3 and not three times 0.1, where the step is
/// one part of a whole (0.1, 0.25, 0.05).
pub(crate) fn coordinate(first: f64, by: f64, i: u64) -> f64 {
    let parts = by.recip().round();
    let start = first * parts;
    let even = (parts * by - 1.0).abs() < 1e-12 && (start - start.round()).abs() < 1e-9 && start.abs() < 1e12;
    if even { (start.round() + i as f64) / parts } else { first + i as f64 * by }
}

/// Cells of an axis from `first` to `last`, both included.
pub(crate) fn count(first: f64, last: f64, by: f64) -> Result<u64, String> {
    if by == 0.0 {
        return Err("its step is 0; give the distance from one coordinate to the next".into());
    }
    let steps = (last - first) / by;
    if steps < -NEAR {
        return Err(format!("its step {by} leads away from its end: from {first} to {last} it is {}", -by));
    }
    let whole = steps.round();
    let steps = if (steps - whole).abs() < NEAR { whole } else { steps.floor() };
    if !(0.0..MOST).contains(&steps) {
        return Err(format!("from {first} to {last} by {by} it would have {} cells, more than {MOST}", steps + 1.0));
    }
    Ok(steps as u64 + 1)
}

fn instants(from: &ScalarValue, to: &ScalarValue, step: IntervalMonthDayNano) -> Result<Coordinates, String> {
    let instant = |what: &str, v: &ScalarValue| -> Result<(NaiveDateTime, NaiveDateTime), String> {
        let text = match v.cast_to(&DataType::Utf8) {
            Ok(ScalarValue::Utf8(Some(text))) => text,
            _ => return Err(format!("{what} is {v}, and an instant is expected, as '2020-01-01'")),
        };
        period(&text).ok_or_else(|| format!("{what} is '{text}', and an instant is expected, as '2020-01-01'"))
    };
    let ((first, _), (begin, after)) = (instant("its start", from)?, instant("its end", to)?);
    let IntervalMonthDayNano { months, days, nanoseconds } = step;
    let forward = months >= 0 && days >= 0 && nanoseconds >= 0 && (months > 0 || days > 0 || nanoseconds > 0);
    if !forward {
        return Err("its step goes backwards or nowhere; times of an axis rise, by an interval such as INTERVAL '6 hours'".into());
    }
    let mut found = Vec::new();
    for i in 0u32.. {
        let moved = |i: u32| -> Option<NaiveDateTime> {
            let month = first.checked_add_months(Months::new((months as u32).checked_mul(i)?))?;
            let day = month.checked_add_signed(TimeDelta::try_days(i64::from(days).checked_mul(i64::from(i))?)?)?;
            day.checked_add_signed(TimeDelta::nanoseconds(nanoseconds.checked_mul(i64::from(i))?))
        };
        // The end of a range may be a period (`'2020-12'`), which is in it to its last instant.
        let at = moved(i).filter(|at| *at < after || *at == begin);
        let Some(at) = at else { break };
        let count = at.and_utc().timestamp_nanos_opt().ok_or_else(|| format!("{at} is outside the years 1677 to 2262"))?;
        if found.len() as f64 >= MOST {
            return Err(format!("it would have more than {MOST} cells"));
        }
        found.push(count);
    }
    if found.is_empty() {
        return Err(format!("it ends ({begin}) before it begins ({first})"));
    }
    Ok(Coordinates::Time(TimeUnit::Nanosecond, found))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn int(v: i64) -> ScalarValue {
        ScalarValue::Int64(Some(v))
    }

    fn float(v: f64) -> ScalarValue {
        ScalarValue::Float64(Some(v))
    }

    #[test]
    fn both_ends_are_included() {
        let of = |a, b, c| axis("lat", &a, &b, &c).unwrap();
        assert_eq!(of(int(0), int(359), int(1)).len(), 360);
        assert_eq!(of(int(-90), int(90), float(1.0)).coordinates, Coordinates::Float64((-90..=90).map(f64::from).collect()));
        assert_eq!(of(float(0.0), float(1.0), float(0.1)).len(), 11);
        assert_eq!(of(int(5), int(0), int(-2)).coordinates, Coordinates::Int64(vec![5, 3, 1]));
        assert_eq!(of(int(7), int(7), int(1)).len(), 1);
        assert_eq!(of(float(-0.2), float(0.3), float(0.1)).coordinates, Coordinates::Float64(vec![-0.2, -0.1, 0.0, 0.1, 0.2, 0.3]));
        assert_eq!(of(int(0), int(1), int(1)).role, AxisRole::Latitude);
    }

    #[test]
    fn steps_that_lead_nowhere_are_refused() {
        let refused = |a, b, c| axis("x", &a, &b, &c).unwrap_err();
        assert!(refused(int(0), int(9), int(0)).contains("its step is 0"));
        assert!(refused(int(9), int(0), int(1)).contains("it is -1"), "{}", refused(int(9), int(0), int(1)));
        assert!(refused(int(0), int(9), float(1e-12)).contains("more than"));
        assert!(refused(ScalarValue::from("a"), int(9), int(1)).contains("a number is expected"));
        assert!(refused(float(f64::NAN), int(9), int(1)).starts_with("axis x: its start is NaN"));
    }

    #[test]
    fn times_go_by_intervals() {
        let text = ScalarValue::from;
        let by = |months, days, nanoseconds| ScalarValue::IntervalMonthDayNano(Some(IntervalMonthDayNano { months, days, nanoseconds }));
        let shown = |axis: Axis| (0..axis.len() as usize).map(|i| axis.coordinates.display(i)).collect::<Vec<_>>();
        let months = axis("time", &text("2020-01-31"), &text("2020-04"), &by(1, 0, 0)).unwrap();
        assert_eq!(shown(months), ["2020-01-31T00:00:00", "2020-02-29T00:00:00", "2020-03-31T00:00:00", "2020-04-30T00:00:00"]);
        let hours = axis("t", &text("2020-01-01"), &text("2020-01-01T12:00"), &by(0, 0, 6 * 3_600_000_000_000)).unwrap();
        assert_eq!((hours.len(), hours.role), (3, AxisRole::Time));
        assert!(axis("t", &text("2020"), &text("2021"), &by(0, 0, 0)).unwrap_err().contains("backwards or nowhere"));
        assert!(axis("t", &text("2020"), &text("2019"), &by(0, 1, 0)).unwrap_err().contains("before it begins"));
        assert!(axis("t", &text("soon"), &text("2019"), &by(0, 1, 0)).unwrap_err().contains("'soon'"));
    }
}
