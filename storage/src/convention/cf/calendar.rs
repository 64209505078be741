//! CF calendars (CF section 4.4.1): a date to its day number, each by the calendar's own rule. No units, no values.

/// A CF calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
}
