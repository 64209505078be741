//! CF calendars (CF section 4.4.1): dates to day numbers and back, each by the calendar's own rule, and instants as text.
//! No units, no values.

use serde::{Deserialize, Serialize};

/// Microseconds in a day.
const DAY: i64 = 86_400_000_000;

/// A CF calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Calendar {
    /// Julian before 1582-10-15, Gregorian from then on; CF's default, also called `gregorian`.
    Standard,
    /// Gregorian at all times; has a year 0.
    ProlepticGregorian,
    /// Every fourth year is a leap year.
    Julian,
    /// 365 days a year.
    NoLeap,
    /// 366 days a year.
    AllLeap,
    /// Twelve months of 30 days.
    Days360,
}

const MONTHS: [i64; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

impl Calendar {
    /// The calendar of this CF name, whatever its case; the default when there is none; `None` for unknown names.
    pub fn from_name(name: Option<&str>) -> Option<Calendar> {
        let Some(name) = name.map(|n| n.trim().to_ascii_lowercase()).filter(|n| !n.is_empty()) else {
            return Some(Calendar::Standard);
        };
        Some(match name.as_str() {
            "standard" | "gregorian" => Calendar::Standard,
            "proleptic_gregorian" => Calendar::ProlepticGregorian,
            "julian" => Calendar::Julian,
            "noleap" | "365_day" => Calendar::NoLeap,
            "all_leap" | "366_day" => Calendar::AllLeap,
            "360_day" => Calendar::Days360,
            _ => return None,
        })
    }

    /// Its CF name.
    pub fn name(self) -> &'static str {
        match self {
            Calendar::Standard => "standard",
            Calendar::ProlepticGregorian => "proleptic_gregorian",
            Calendar::Julian => "julian",
            Calendar::NoLeap => "noleap",
            Calendar::AllLeap => "all_leap",
            Calendar::Days360 => "360_day",
        }
    }

    /// True where its dates since 1582-10-15 are the dates that clocks show, so that instants can be timestamps.
    pub fn is_civil(self) -> bool {
        matches!(self, Calendar::Standard | Calendar::ProlepticGregorian)
    }

    fn is_leap(self, year: i64) -> bool {
        let gregorian = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        match self {
            Calendar::Standard if year > 1582 => gregorian,
            Calendar::Standard | Calendar::Julian => year % 4 == 0,
            Calendar::ProlepticGregorian => gregorian,
            Calendar::NoLeap | Calendar::Days360 => false,
            Calendar::AllLeap => true,
        }
    }

    /// Days from 1970-01-01 to a date, both of this calendar; `year` is astronomical (0 is the year before 1), `month` from 1.
    /// `None` for a date that the calendar lacks.
    ///
    /// In the standard calendar days are counted through the gap of 1582 (Julian 1582-10-04 is followed by Gregorian
    /// 1582-10-15), so that the count is the same as the proleptic Gregorian one for every instant.
    pub fn days(self, year: i64, month: i64, day: i64) -> Option<i64> {
        if !(1..=12).contains(&month) || day < 1 || year.abs() > 10_000_000 {
            return None;
        }
        let length = match self {
            Calendar::Days360 => 30,
            _ if month == 2 && self.is_leap(year) => 29,
            _ => MONTHS[(month - 1) as usize],
        };
        if day > length {
            return None;
        }
        let day_of_year = |leap: bool| {
            let before: i64 = MONTHS[..(month - 1) as usize].iter().sum();
            before + i64::from(leap && month > 2) + day - 1
        };
        Some(match self {
            Calendar::ProlepticGregorian => gregorian_days(year, month, day),
            Calendar::Julian => julian_days(year, month, day) - julian_days(1970, 1, 1),
            Calendar::NoLeap => 365 * (year - 1970) + day_of_year(false),
            Calendar::AllLeap => 366 * (year - 1970) + day_of_year(true),
            Calendar::Days360 => 360 * (year - 1970) + 30 * (month - 1) + day - 1,
            Calendar::Standard => match (year, month, day) {
                date if date >= (1582, 10, 15) => gregorian_days(year, month, day),
                date if date <= (1582, 10, 4) => julian_days(year, month, day),
                _ => return None,
            },
        })
    }
}

/// A date and a time of day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DateTime {
    /// Astronomical year: 0 is the year before 1.
    pub year: i64,
    /// From 1.
    pub month: i64,
    /// From 1.
    pub day: i64,
    /// From 1.
    pub day_of_year: i64,
    /// Microseconds since midnight.
    pub microseconds: i64,
}

impl Calendar {
    /// Microseconds from 1970-01-01T00:00 of this calendar to a date in it; `None` for a date that it lacks.
    fn at(self, year: i64, month: i64, day: i64) -> Option<i64> {
        self.days(year, month, day)?.checked_mul(DAY)
    }

    /// The date and time that lie this many microseconds after 1970-01-01T00:00 of this calendar.
    pub fn date(self, microseconds: i64) -> DateTime {
        let days = microseconds.div_euclid(DAY);
        // Years are at least 360 days long; the estimate is corrected by looking.
        let estimate = match self {
            Calendar::Days360 => 1970 + days.div_euclid(360),
            Calendar::NoLeap => 1970 + days.div_euclid(365),
            Calendar::AllLeap => 1970 + days.div_euclid(366),
            _ => 1970 + (days as f64 / 365.2475).floor() as i64,
        };
        let first = |year: i64| self.days(year, 1, 1).unwrap_or(i64::MAX);
        let mut year = estimate;
        while first(year) > days {
            year -= 1;
        }
        while first(year + 1) <= days {
            year += 1;
        }
        let month = (1..=12).rev().find(|&m| self.days(year, m, 1).is_some_and(|first| first <= days)).unwrap_or(1);
        let mut day = days - self.days(year, month, 1).unwrap_or(days) + 1;
        let mut day_of_year = days - first(year) + 1;
        // The ten days that 1582 lacks are counted as if it had them, as in cftime.
        if self == Calendar::Standard && year == 1582 && (month, day) > (10, 4) {
            day_of_year += 10;
            day += if month == 10 { 10 } else { 0 };
        }
        DateTime { year, month, day, day_of_year, microseconds: microseconds.rem_euclid(DAY) }
    }

    /// ISO 8601 text of an instant given as in [`Calendar::date`], which sorts as time does: `2001-02-30T12:00:00`, with up to
    /// six decimals where there are some. `None` for years that have no text of four digits: those before 0 (before 1 in the
    /// calendars that have no year 0) and after 9999.
    pub fn text(self, microseconds: i64) -> Option<String> {
        // A margin of a year keeps the search for the year short.
        if microseconds.unsigned_abs() > 9_000 * 366 * DAY as u64 {
            return None;
        }
        let DateTime { year, month, day, microseconds, .. } = self.date(microseconds);
        let first = if matches!(self, Calendar::Standard | Calendar::Julian) { 1 } else { 0 };
        if !(first..=9999).contains(&year) {
            return None;
        }
        let (seconds, rest) = (microseconds / 1_000_000, microseconds % 1_000_000);
        let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
        let mut text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}");
        if rest > 0 {
            text.push_str(format!(".{rest:06}").trim_end_matches('0'));
        }
        Some(text)
    }

    /// The stretch of time that a text stands for, as its first microsecond and the first after it: a year (`2001`), a month
    /// (`2001-02`), a day (`2001-02-30`); an instant (`2001-02-30T12`, `2001-02-30T12:30:15.5`) is its own end. The error says
    /// what is wrong with it.
    pub fn period(self, text: &str) -> Result<(i64, i64), String> {
        let wrong = || format!("'{text}' is no date or time; write 2001, 2001-02, 2001-02-03 or 2001-02-03T04:05:06");
        let trimmed = text.trim();
        let trimmed = trimmed.strip_suffix(['Z', 'z']).unwrap_or(trimmed);
        let (date, clock) = match trimmed.split_once(['T', 't', ' ']) {
            Some((date, clock)) => (date, Some(clock)),
            None => (trimmed, None),
        };
        let number = |part: &str, widths: std::ops::RangeInclusive<usize>| -> Result<i64, String> {
            let digits = widths.contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
            digits.then(|| part.parse().ok()).flatten().ok_or_else(wrong)
        };
        let lacks = || format!("the calendar {} has no {date}", self.name());
        let parts: Vec<&str> = date.split('-').collect();
        let (first, after) = match (parts.as_slice(), clock) {
            ([year], None) => {
                let year = number(year, 4..=4)?;
                (self.at(year, 1, 1), self.at(year + 1, 1, 1))
            }
            ([year, month], None) => {
                let (year, month) = (number(year, 4..=4)?, number(month, 1..=2)?);
                let next = if month == 12 { self.at(year + 1, 1, 1) } else { self.at(year, month + 1, 1) };
                (self.at(year, month, 1), next)
            }
            ([year, month, day], clock) => {
                let first = self.at(number(year, 4..=4)?, number(month, 1..=2)?, number(day, 1..=2)?).ok_or_else(lacks)?;
                match clock {
                    None => (Some(first), first.checked_add(DAY)),
                    Some(clock) => {
                        let at = first.checked_add(time_of_day(clock).ok_or_else(wrong)?);
                        (at, at)
                    }
                }
            }
            _ => return Err(wrong()),
        };
        first.zip(after).ok_or_else(lacks)
    }
}

/// Microseconds since midnight of `h`, `h:m`, `h:m:s`, `h:m:s.f`; digits beyond the sixth are dropped.
fn time_of_day(clock: &str) -> Option<i64> {
    let mut parts = clock.split(':');
    let whole = |part: &str, below: i64| {
        let digits = (1..=2).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| part.parse::<i64>().ok()).flatten().filter(|&v| v < below)
    };
    let hours = whole(parts.next()?, 24)?;
    let minutes = parts.next().map_or(Some(0), |part| whole(part, 60))?;
    let (seconds, fraction) = match parts.next().map(|part| part.split_once('.').unwrap_or((part, ""))) {
        Some((seconds, fraction)) => (whole(seconds, 60)?, fraction),
        None => (0, ""),
    };
    if parts.next().is_some() || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let decimals = fraction.get(..6).unwrap_or(fraction);
    let micros = if decimals.is_empty() { 0 } else { decimals.parse::<i64>().ok()? * 10i64.pow(6 - decimals.len() as u32) };
    Some(((hours * 60 + minutes) * 60 + seconds) * 1_000_000 + micros)
}

/// Proleptic Gregorian days from 1970-01-01: years are counted from March, 400 of them have 146097 days.
fn gregorian_days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Days from the Gregorian 1970-01-01 to a Julian date: as above, but four years have 1461 days; the Julian
/// 1969-12-19 is that day.
fn julian_days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(4), year.rem_euclid(4));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 1461 + year_of_era * 365 + day_of_year - 719_470
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calendars_meet_where_they_should() {
        assert_eq!(Calendar::ProlepticGregorian.days(1970, 1, 1), Some(0));
        assert_eq!(Calendar::Standard.days(2000, 3, 1), Some(11_017));
        assert_eq!(Calendar::Standard.days(1582, 10, 15), Some(-141_427));
        assert_eq!(Calendar::Standard.days(1582, 10, 4), Some(-141_428));
        assert_eq!(Calendar::Standard.days(1582, 10, 10), None);
        assert_eq!(Calendar::Standard.days(1, 1, 1).zip(Calendar::ProlepticGregorian.days(1, 1, 1)).map(|(a, b)| a - b), Some(-2));
        assert_eq!(Calendar::Julian.days(1970, 1, 1), Some(0));
        assert_eq!(Calendar::Days360.days(1971, 2, 30), Some(360 + 59));
        assert_eq!(Calendar::NoLeap.days(2000, 2, 29), None);
        assert_eq!(Calendar::AllLeap.days(1971, 1, 1), Some(366));
        assert!(Calendar::Standard.days(1500, 2, 29).is_some());
    }
    const ALL: [Calendar; 6] =
        [Calendar::Standard, Calendar::ProlepticGregorian, Calendar::Julian, Calendar::NoLeap, Calendar::AllLeap, Calendar::Days360];

    #[test]
    fn dates_come_back() {
        for calendar in ALL {
            for day in (-730_000..730_000i64).step_by(17).chain(-141_500..-141_400) {
                let at = calendar.date(day * DAY + 5);
                assert_eq!(calendar.days(at.year, at.month, at.day), Some(day), "{calendar:?} {at:?}");
                assert_eq!(at.microseconds, 5);
            }
        }
        assert_eq!(Calendar::Standard.date(-141_428 * DAY).day_of_year, 277);
        let first = Calendar::Standard.date(-141_427 * DAY);
        assert_eq!((first.day, first.day_of_year), (15, 288));
    }

    #[test]
    fn text_sorts_as_time_does_and_is_its_own_period() {
        for calendar in ALL {
            let mut last = String::new();
            for i in 0..2_000i64 {
                let at = i * 7 * DAY / 3 - 40 * 365 * DAY + i * 250_000;
                let text = calendar.text(at).unwrap();
                assert!(text > last, "{last} {text}");
                assert_eq!(calendar.period(&text), Ok((at, at)));
                last = text;
            }
        }
        assert_eq!(Calendar::Days360.text(30 * DAY + 29 * DAY + DAY / 2).as_deref(), Some("1970-02-30T12:00:00"));
        assert_eq!(Calendar::Days360.text(i64::MIN), None);
        assert_eq!(Calendar::NoLeap.text(-1970 * 365 * DAY).as_deref(), Some("0000-01-01T00:00:00"));
        assert_eq!(Calendar::Julian.text(-1970 * 366 * DAY), None);
    }

    #[test]
    fn periods_are_those_of_the_calendar() {
        let days = |calendar: Calendar, text: &str| calendar.period(text).map(|(a, b)| (b - a) / DAY);
        assert_eq!(days(Calendar::Days360, "2001-02"), Ok(30));
        assert_eq!(days(Calendar::NoLeap, "2004-02"), Ok(28));
        assert_eq!(days(Calendar::AllLeap, "2001"), Ok(366));
        assert_eq!(days(Calendar::Standard, "1582"), Ok(355));
        assert_eq!(days(Calendar::Julian, "1900-12"), Ok(31));
        assert_eq!(days(Calendar::NoLeap, "2004-02-29"), Err("the calendar noleap has no 2004-02-29".into()));
        assert!(days(Calendar::NoLeap, "2004-13").is_err() && days(Calendar::NoLeap, "soon").is_err());
        assert!(Calendar::NoLeap.period("2001-01-01T24:00").is_err() && Calendar::NoLeap.period("2001-01-01T").is_err());
    }
}
