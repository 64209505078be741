//! CF times (CF section 4.4): `units` like `hours since 1900-01-01 00:00:0.0` and a calendar, to instants. Arithmetic is
//! in exact integers of nanoseconds; floating-point times are rounded to what their type can tell apart.

use crate::array::{Calendar, Coordinates, DataType, Encoding, TimeUnit};

const SECOND: i128 = 1_000_000_000;
const DAY: i128 = 86_400 * SECOND;

/// The first instant of the Gregorian calendar, 1582-10-15.
const REFORM: i128 = -141_427 * DAY;

/// A year as UDUNITS defines it: 365.242198781 days.
const YEAR: i128 = 31_556_925_974_678_400;

/// What `units` and `calendar` of a time variable say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeReference {
    /// The calendar in which the epoch is a date.
    pub calendar: Calendar,
    /// Nanoseconds from 1970-01-01T00:00Z to the epoch, counted in that calendar.
    pub epoch: i128,
    /// Nanoseconds in one unit.
    pub unit: i128,
}

/// Unpacked times as numbers in the file's units.
#[derive(Debug, Clone, PartialEq)]
pub enum Numbers {
    /// Integers of any width.
    Integers(Vec<i64>),
    /// Single-precision values, widened.
    Singles(Vec<f64>),
    /// Double-precision values.
    Doubles(Vec<f64>),
}

/// True for units of the form `X since Y`.
pub fn is_time(units: &str) -> bool {
    split_units(units).is_some()
}

fn split_units(units: &str) -> Option<(&str, &str)> {
    let at = units.to_ascii_lowercase().find(" since ")?;
    Some((units[..at].trim(), units[at + 7..].trim()))
}

impl TimeReference {
    /// Reads `units` and `calendar`. With it comes a warning where something had to be guessed; the error says in one line
    /// why these units cannot be read as time.
    pub fn parse(units: &str, calendar: Option<&str>) -> Result<(TimeReference, Option<String>), String> {
        let Some((unit, epoch)) = split_units(units) else {
            return Err(format!("units {units:?} are not of the form \"X since Y\""));
        };
        let Some(calendar) = Calendar::from_name(calendar) else {
            return Err(format!("calendar {:?} is not known", calendar.unwrap_or_default()));
        };
        let (unit, guessed) = nanoseconds_of(unit, calendar).map_err(|why| format!("units {units:?}: {why}"))?;
        let epoch = Epoch::parse(epoch).ok_or_else(|| format!("units {units:?}: the reference time {epoch:?} is not a date"))?;
        let (calendar, year, warning) = match calendar {
            // CF has no year 0 in calendars of the real world before 1582; files that use it mean the proleptic one.
            Calendar::Standard | Calendar::Julian if epoch.year == 0 => {
                (Calendar::ProlepticGregorian, 0, Some("year 0 is read in the proleptic Gregorian calendar".to_owned()))
            }
            Calendar::Standard | Calendar::Julian if epoch.year < 0 => (calendar, epoch.year + 1, None),
            _ => (calendar, epoch.year, None),
        };
        let days = calendar
            .days(year, epoch.month, epoch.day)
            .ok_or_else(|| format!("units {units:?}: the calendar {} has no such date", calendar.name()))?;
        let warning = warning.or(guessed).map(|what| format!("units {units:?}: {what}"));
        Ok((TimeReference { calendar, epoch: i128::from(days) * DAY + epoch.nanoseconds, unit }, warning))
    }

    /// Nanoseconds since 1970 of an integer count.
    fn exact(&self, value: i64) -> i128 {
        self.epoch + i128::from(value) * self.unit
    }

    /// Nanoseconds since 1970 of a floating-point count. `epsilon` is the relative spacing of the stored type: of all
    /// instants that the value cannot tell apart, the roundest is taken (whole seconds, milliseconds, microseconds).
    fn rounded(&self, value: f64, epsilon: f64) -> Option<i128> {
        if !value.is_finite() {
            return None;
        }
        let whole = value.trunc();
        if whole.abs() > 9e18 {
            return None;
        }
        let nanoseconds = whole as i128 * self.unit + ((value - whole) * self.unit as f64).round() as i128;
        let doubt = (value.abs() * epsilon * self.unit as f64) as i128;
        let at = self.epoch + nanoseconds;
        let quantum = [SECOND, SECOND / 1_000, SECOND / 1_000_000].into_iter().find(|q| distance(at, *q) <= doubt);
        Some(quantum.map_or(at, |q| (at + q / 2).div_euclid(q) * q))
    }

    /// Nanoseconds since 1970-01-01T00:00 of the calendar; `None` where a value is not a number.
    pub fn instants(&self, values: &Numbers) -> Option<Vec<i128>> {
        match values {
            Numbers::Integers(v) => Some(v.iter().map(|&v| self.exact(v)).collect()),
            Numbers::Singles(v) => v.iter().map(|&v| self.rounded(v, f64::from(f32::EPSILON) / 2.0)).collect(),
            Numbers::Doubles(v) => v.iter().map(|&v| self.rounded(v, f64::EPSILON / 2.0)).collect(),
        }
    }

    /// The times as coordinates. Where the calendar's dates are those of clocks, instants: in nanoseconds where all of them lie
    /// between 1677 and 2262, else in microseconds, else in seconds. In other calendars, and in the standard one where a time
    /// lies before the reform of 1582, times of that calendar. `None` where a value is not a number or no text can show it.
    pub fn coordinates(&self, values: &Numbers) -> Option<Coordinates> {
        let instants = self.instants(values)?;
        if !self.calendar.is_civil() || self.calendar == Calendar::Standard && instants.iter().any(|&t| t < REFORM) {
            let counts = instants.iter().map(|t| i64::try_from(t.div_euclid(1_000)).ok().filter(|&c| self.calendar.text(c).is_some()));
            return Some(Coordinates::Calendar(self.calendar, counts.collect::<Option<_>>()?));
        }
        [TimeUnit::Nanosecond, TimeUnit::Microsecond, TimeUnit::Second].into_iter().find_map(|unit| {
            let nanoseconds = SECOND / i128::from(unit.per_second());
            let counts = instants.iter().map(|t| i64::try_from(t.div_euclid(nanoseconds)).ok()).collect::<Option<Vec<i64>>>()?;
            Some(Coordinates::Time(unit, counts))
        })
    }

    /// A time of the calendar, in microseconds as in [`Coordinates::Calendar`], as a count of units since the epoch.
    pub fn count(&self, microseconds: i64) -> f64 {
        let apart = i128::from(microseconds) * 1_000 - self.epoch;
        // Whole units apart from the rest, so that whole counts come back whole.
        apart.div_euclid(self.unit) as f64 + apart.rem_euclid(self.unit) as f64 / self.unit as f64
    }

    /// The same times as counts of another reference in the same calendar (its units, since its epoch).
    pub fn rebase(&self, value: f64, to: &TimeReference) -> f64 {
        (value * self.unit as f64 + (self.epoch - to.epoch) as f64) / to.unit as f64
    }

    /// The encoding of an array of times whose packing is `packing`: its values are instants in microseconds, a range of
    /// 292,000 years in which [`Encoding::scale`] and [`Encoding::offset`] are exact. `None` where the calendar's dates are
    /// not civil ones or a unit is shorter than a microsecond.
    pub fn encoding(&self, packing: &Encoding) -> Option<Encoding> {
        let per = SECOND / 1_000_000;
        if !self.calendar.is_civil() || self.unit % per != 0 || self.epoch % per != 0 || packing.stored.is_text() {
            return None;
        }
        let unit = (self.unit / per) as f64;
        Some(Encoding {
            decoded: DataType::Int64,
            scale: packing.scale * unit,
            offset: packing.offset * unit + (self.epoch / per) as f64,
            time: Some(TimeUnit::Microsecond),
            ..packing.clone()
        })
    }
}

/// Distance from the nearest multiple of `quantum`.
fn distance(value: i128, quantum: i128) -> i128 {
    let rest = value.rem_euclid(quantum);
    rest.min(quantum - rest)
}

/// Nanoseconds in a unit by its UDUNITS names, and a warning for units that are no fixed number of days to most people.
///
/// Months and years are those of UDUNITS (365.242198781 days, and a twelfth of that), as CF section 4.4 says, except in the
/// calendar of 360 days, where they are 30 and 360 days, as in cftime.
fn nanoseconds_of(unit: &str, calendar: Calendar) -> Result<(i128, Option<String>), String> {
    let fixed = match unit.to_ascii_lowercase().as_str() {
        "nanosecond" | "nanoseconds" | "nanosec" | "nanosecs" | "nsec" | "nsecs" | "ns" => 1,
        "microsecond" | "microseconds" | "microsec" | "microsecs" | "usec" | "usecs" | "us" | "µs" | "μs" => 1_000,
        "millisecond" | "milliseconds" | "millisec" | "millisecs" | "msec" | "msecs" | "ms" => 1_000_000,
        "second" | "seconds" | "sec" | "secs" | "s" => SECOND,
        "minute" | "minutes" | "min" | "mins" => 60 * SECOND,
        "hour" | "hours" | "hr" | "hrs" | "h" => 3_600 * SECOND,
        "day" | "days" | "d" => DAY,
        "week" | "weeks" => 7 * DAY,
        "fortnight" | "fortnights" => 14 * DAY,
        "common_year" | "common_years" => 365 * DAY,
        "leap_year" | "leap_years" => 366 * DAY,
        "julian_year" | "julian_years" => 365 * DAY + DAY / 4,
        "gregorian_year" | "gregorian_years" => 365 * DAY + DAY * 97 / 400,
        "month" | "months" | "mon" | "mons" if calendar == Calendar::Days360 => 30 * DAY,
        "year" | "years" | "yr" | "yrs" if calendar == Calendar::Days360 => 360 * DAY,
        "month" | "months" | "mon" | "mons" => {
            return Ok((YEAR / 12, Some("a month is a twelfth of 365.242198781 days, as UDUNITS defines it".into())));
        }
        "year" | "years" | "yr" | "yrs" | "tropical_year" | "tropical_years" => {
            return Ok((YEAR, Some("a year is 365.242198781 days, as UDUNITS defines it".into())));
        }
        other => return Err(format!("{other:?} is not a unit of time")),
    };
    Ok((fixed, None))
}

/// The date after `since`, its time of day and zone as nanoseconds of that day in UTC.
#[derive(Debug, PartialEq)]
struct Epoch {
    year: i64,
    month: i64,
    day: i64,
    nanoseconds: i128,
}

impl Epoch {
    /// `Y[-M[-D]]`, `YYYYMMDD`, `1 Jan 2000`, `Jan 1, 2000` or `2000-Jan-1`; then after a blank or `T` `h[:m[:s[.f]]]`; then a
    /// zone: `Z`, `UTC`, `GMT`, `+1`, `-06:00`, `+0530`.
    fn parse(text: &str) -> Option<Epoch> {
        let text = text.trim().trim_end_matches('.');
        let (year, month, day, rest) = match Self::named_month(text) {
            Some(found) => found,
            None => Self::numeric(text)?,
        };
        let mut rest = rest.trim_start_matches(['T', 't', ' ', '_', ',']).trim();
        let mut nanoseconds = 0;
        if rest.starts_with(|c: char| c.is_ascii_digit()) {
            let end = rest.find(|c: char| !(c.is_ascii_digit() || c == ':' || c == '.')).unwrap_or(rest.len());
            let (clock, zone) = rest.split_at(end);
            nanoseconds = clock_nanoseconds(clock)?;
            rest = zone.trim();
        }
        Some(Epoch { year, month, day, nanoseconds: nanoseconds - zone_nanoseconds(rest)? })
    }

    /// Year, month and day in digits, and what follows them.
    fn numeric(text: &str) -> Option<(i64, i64, i64, &str)> {
        let (negative, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let end = rest.find(|c: char| !(c.is_ascii_digit() || c == '-' || c == '/')).unwrap_or(rest.len());
        let (date, rest) = rest.split_at(end);
        let parts: Vec<i64> = date.split(['-', '/']).map(|p| p.parse().ok()).collect::<Option<_>>()?;
        let (year, month, day) = match parts[..] {
            [packed] if date.len() == 8 => (packed / 10_000, packed / 100 % 100, packed % 100),
            [y] => (y, 1, 1),
            [y, m] => (y, m, 1),
            [y, m, d] => (y, m, d),
            _ => return None,
        };
        Some((if negative { year.checked_neg()? } else { year }, month, day, rest))
    }

    /// The same of a date whose month has an English name or its first three letters or more.
    fn named_month(text: &str) -> Option<(i64, i64, i64, &str)> {
        const MONTHS: [&str; 12] =
            ["january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december"];
        let mut rest = text;
        let mut words = [""; 3];
        for word in &mut words {
            rest = rest.trim_start_matches([' ', '-', ',', '/', '.']);
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
            (*word, rest) = rest.split_at(end);
        }
        let month_of = |word: &str| {
            let word = word.to_ascii_lowercase();
            let found = MONTHS.iter().position(|name| word.len() >= 3 && name.starts_with(&word))?;
            i64::try_from(found).ok().map(|m| m + 1)
        };
        let number = |word: &str| word.bytes().all(|b| b.is_ascii_digit()).then(|| word.parse::<i64>().ok()).flatten();
        let [a, b, c] = words;
        let (year, month, day) = if let Some(month) = month_of(a) {
            (number(c)?, month, number(b)?)
        } else if a.len() > 2 {
            (number(a)?, month_of(b)?, number(c)?)
        } else {
            (number(c)?, month_of(b)?, number(a)?)
        };
        Some((year, month, day, rest))
    }
}

/// `h`, `h:m`, `h:m:s`, `h:m:s.f`, or `hhmm` and `hhmmss`.
fn clock_nanoseconds(clock: &str) -> Option<i128> {
    let mut parts: Vec<&str> = clock.split(':').collect();
    if let [digits] = parts[..]
        && matches!(digits.len(), 4 | 6)
        && digits.bytes().all(|b| b.is_ascii_digit())
    {
        parts = (0..digits.len()).step_by(2).map(|i| &digits[i..i + 2]).collect();
    }
    let (last, whole) = parts.split_last()?;
    let mut nanoseconds = 0;
    for (part, unit, limit) in whole.iter().zip([3_600, 60]).zip([24, 59]).map(|((p, u), l)| (p, u, l)) {
        let value: i128 = part.parse().ok()?;
        if value > limit {
            return None;
        }
        nanoseconds += value * unit * SECOND;
    }
    let (unit, limit) = *[(3_600, 24), (60, 59), (1, 60)].get(whole.len())?;
    let (integer, fraction) = last.split_once('.').unwrap_or((last, ""));
    let integer: i128 = if integer.is_empty() { 0 } else { integer.parse().ok()? };
    if integer > limit || fraction.len() > 18 || (!fraction.is_empty() && !fraction.bytes().all(|b| b.is_ascii_digit())) {
        return None;
    }
    let fraction = if fraction.is_empty() { 0 } else { fraction.parse::<i128>().ok()? * unit * SECOND / 10i128.pow(fraction.len() as u32) };
    Some(nanoseconds + integer * unit * SECOND + fraction)
}

/// What a time zone is ahead of UTC.
fn zone_nanoseconds(zone: &str) -> Option<i128> {
    let zone = zone.trim();
    let bare = ["utc", "gmt", "z"]
        .into_iter()
        .find_map(|name| zone.get(..name.len()).filter(|z| z.eq_ignore_ascii_case(name)).map(|_| zone[name.len()..].trim()))
        .unwrap_or(zone);
    if bare.is_empty() {
        return Some(0);
    }
    let (sign, digits) = match bare.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, bare.strip_prefix('+').unwrap_or(bare)),
    };
    let (hours, minutes) = match digits.split_once(':') {
        Some((h, m)) => (h, m),
        None if digits.len() > 2 => digits.split_at_checked(digits.len() - 2)?,
        None => (digits, "0"),
    };
    let (hours, minutes): (i128, i128) = (hours.parse().ok()?, minutes.parse().ok()?);
    ((0..=18).contains(&hours) && (0..=59).contains(&minutes)).then_some(sign * (hours * 3_600 + minutes * 60) * SECOND)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// The table that `tests/corpus/cf/make_times.py` asked cftime for.
    fn table() -> Vec<Value> {
        serde_json::from_str(include_str!("../../../../tests/corpus/cf/times.json")).unwrap()
    }

    #[test]
    fn times_are_those_of_cftime() {
        for case in table() {
            let (units, calendar) = (case["units"].as_str().unwrap(), case["calendar"].as_str());
            let parsed = TimeReference::parse(units, calendar);
            if case["refused"] == true {
                assert!(parsed.is_err(), "{units} {calendar:?}");
                continue;
            }
            let (reference, _) = parsed.unwrap();
            assert_eq!(reference.epoch, i128::from(case["epoch"].as_i64().unwrap()) * 1_000, "{units} {calendar:?}");
            let floats = || case["values"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect();
            let numbers = match case["type"].as_str().unwrap() {
                "f4" => Numbers::Singles(floats()),
                "f8" => Numbers::Doubles(floats()),
                _ => Numbers::Integers(case["values"].as_array().unwrap().iter().map(|v| v.as_i64().unwrap()).collect()),
            };
            let expected: Vec<i64> = case["microseconds"].as_array().unwrap().iter().map(|v| v.as_i64().unwrap()).collect();
            match reference.coordinates(&numbers) {
                Some(Coordinates::Time(unit, counts)) => {
                    let per = 1_000_000 / i128::from(unit.per_second().min(1_000_000));
                    let divide = i128::from(unit.per_second() / unit.per_second().min(1_000_000));
                    let found: Vec<i64> = counts.iter().map(|&c| (i128::from(c) * per).div_euclid(divide) as i64).collect();
                    assert_eq!(found, expected, "{units} {calendar:?}");
                }
                Some(Coordinates::Calendar(calendar, counts)) => {
                    assert_eq!(counts, expected, "{units} {calendar:?}");
                    let texts: Vec<String> = counts.iter().map(|&c| calendar.text(c).unwrap()).collect();
                    let expected: Vec<&str> = case["text"].as_array().unwrap().iter().map(|v| v.as_str().unwrap()).collect();
                    assert_eq!(texts, expected, "{units} {calendar:?}");
                }
                other => panic!("{units} {calendar:?}: {other:?}"),
            }
        }
    }

    #[test]
    fn units_that_udunits_knows_and_cftime_does_not() {
        let epoch = |units: &str| TimeReference::parse(units, None).unwrap().0;
        assert_eq!(epoch("weeks since 1970-01-01").unit, 7 * DAY);
        assert_eq!(epoch("fortnights since 1970-01-01").unit, 14 * DAY);
        let of = |units: &str, calendar| TimeReference::parse(units, calendar).map(|(r, warning)| (r.unit, warning.is_some()));
        assert_eq!(of("months since 1970-01-01", None), Ok((YEAR / 12, true)));
        assert_eq!(of("years since 1970-01-01", Some("noleap")), Ok((YEAR, true)));
        assert_eq!(of("months since 1970-01-01", Some("360_day")), Ok((30 * DAY, false)));
        for written in ["Jan 2, 2000", "2 Jan 2000", "2 January 2000", "2000-Jan-2", "20000102", "2000/1/2", "2-JAN-2000"] {
            assert_eq!(epoch(&format!("days since {written}")).epoch, 10_958 * DAY, "{written}");
            assert_eq!(epoch(&format!("days since {written} 01:00 +01:00")).epoch, 10_958 * DAY, "{written}");
        }
        assert_eq!(epoch("hours since 1970-01-01 10").epoch, 10 * 3_600 * SECOND);
        assert_eq!(epoch("hours since 1970-02").epoch, 31 * DAY);
        assert_eq!(epoch("seconds since 1970-1-1 0:00:00 0:00").epoch, 0);
        assert_eq!(epoch("hours since 1970-01-01T00:00:00.5+0530").epoch, SECOND / 2 - (5 * 60 + 30) * 60 * SECOND);
        // The example of CF section 4.4; cftime ignores a zone of one digit.
        assert_eq!(epoch("seconds since 1992-10-8 15:15:42.5 -6:00").epoch, 718_578_942_500_000_000);
        let (zero, warning) = TimeReference::parse("hour since 0000-01-01 00:00:00", None).unwrap();
        assert_eq!((zero.calendar, warning.is_some(), zero.epoch), (Calendar::ProlepticGregorian, true, -719_528 * DAY));
        for bad in [
            "days since",
            "days since ",
            "days since 2000-01-01 25:00",
            "days since 2000-01-01 00:00 +99:00",
            "days since 99999999999999999999-1-1",
        ] {
            assert!(TimeReference::parse(bad, None).is_err(), "{bad}");
        }
    }

    #[test]
    fn units_of_count_follow_the_range() {
        let of = |units: &str, v: Vec<i64>| TimeReference::parse(units, None).unwrap().0.coordinates(&Numbers::Integers(v)).unwrap();
        assert_eq!(of("days since 2000-01-01", vec![1]), Coordinates::Time(TimeUnit::Nanosecond, vec![946_771_200_000_000_000]));
        assert!(matches!(of("days since 2300-01-01", vec![1]), Coordinates::Time(TimeUnit::Microsecond, _)));
        assert!(matches!(of("seconds since 2300-01-01", vec![i64::MAX / 1_000]), Coordinates::Time(TimeUnit::Second, _)));
        let reference = TimeReference::parse("days since 2300-01-01", None).unwrap().0;
        assert_eq!(reference.coordinates(&Numbers::Integers(vec![i64::MAX])), None);
        assert_eq!(reference.coordinates(&Numbers::Doubles(vec![f64::NAN])), None);
    }

    #[test]
    fn encodings_of_times_are_exact() {
        let reference = TimeReference::parse("hours since 1900-01-01", None).unwrap().0;
        let encoding = reference.encoding(&Encoding::identity(DataType::Int32)).unwrap();
        assert_eq!((encoding.scale, encoding.offset, encoding.time), (3.6e9, -2_208_988_800e6, Some(TimeUnit::Microsecond)));
        assert!(TimeReference::parse("days since 1900-01-01", Some("noleap")).unwrap().0.encoding(&encoding).is_none());
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn any_units_are_safe(units in "(days|hours|s|[a-z]{0,4}) since [-+0-9:. TZ/]{0,24}", calendar in "[a-z0-9_]{0,8}", value in proptest::prelude::any::<f64>()) {
            if let Ok((reference, _)) = TimeReference::parse(&units, Some(&calendar)) {
                reference.coordinates(&Numbers::Doubles(vec![value]));
                reference.coordinates(&Numbers::Integers(vec![i64::MAX, i64::MIN]));
            }
        }
    }
}
