//! What file names say: coordinates (`AXIS .. FROM FILENAME`) and variables (`VARIABLE FROM FILENAME`).

use std::sync::Arc;

use regex::Regex;

use super::{AxisFromFilename, CubeDefinition};
use crate::array::{Attributes, Axis, AxisRole, Coordinates, TimeUnit};
use crate::convention::cf::coordinates::role_of_name;
use crate::{Error, Result};

/// The compiled patterns of a definition.
#[derive(Debug)]
pub struct Patterns {
    axes: Vec<(AxisFromFilename, Regex)>,
    variable: Option<Regex>,
}

/// What one file name says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Captured {
    /// One text an `AXIS .. FROM FILENAME`, in the definition's order.
    pub axes: Vec<String>,
    /// The variable's name in lower case.
    pub variable: Option<String>,
}

impl Patterns {
    /// Compiles the patterns; each needs a group that captures.
    pub fn new(definition: &CubeDefinition) -> Result<Patterns> {
        let compile = |what: &str, pattern: &str| {
            let regex = Regex::new(pattern).map_err(|e| Error::User(format!("{what} FROM FILENAME: {e}")))?;
            if regex.captures_len() < 2 {
                return Err(Error::User(format!(
                    "{what} FROM FILENAME '{pattern}': the pattern needs a group in parentheses that holds the value"
                )));
            }
            Ok(regex)
        };
        let mut axes: Vec<(AxisFromFilename, Regex)> = Vec::new();
        for axis in &definition.axes_from_filename {
            if axes.iter().any(|(known, _)| known.axis == axis.axis) {
                return Err(Error::User(format!("AXIS {} FROM FILENAME is given twice", axis.axis)));
            }
            axes.push((axis.clone(), compile(&format!("AXIS {}", axis.axis), &axis.pattern)?));
        }
        let variable = definition.variable_from_filename.as_deref().map(|p| compile("VARIABLE", p)).transpose()?;
        Ok(Patterns { axes, variable })
    }

    /// What the name of a file says; the error is the reason for leaving the file out. Patterns are looked for in the file's
    /// name first, then in its whole path.
    pub fn capture(&self, location: &str) -> Result<Captured, String> {
        let name = location.rsplit('/').next().unwrap_or(location);
        let find = |what: &str, regex: &Regex| {
            [name, location]
                .iter()
                .find_map(|text| regex.captures(text)?.get(1))
                .map(|found| found.as_str().to_owned())
                .ok_or_else(|| format!("its name does not match {what} FROM FILENAME '{}'", regex.as_str()))
        };
        Ok(Captured {
            axes: self.axes.iter().map(|(axis, regex)| find(&format!("AXIS {}", axis.axis), regex)).collect::<Result<_, _>>()?,
            variable: self.variable.as_ref().map(|regex| find("VARIABLE", regex).map(|name| name.to_lowercase())).transpose()?,
        })
    }

    /// The axes of one cell that each file's name gives, all of one type an axis. `files` are locations with what was captured.
    pub fn axes(&self, files: &[(&str, &Captured)]) -> Result<Vec<Vec<Arc<Axis>>>> {
        let mut axes = vec![Vec::with_capacity(self.axes.len()); files.len()];
        for (number, (axis, _)) in self.axes.iter().enumerate() {
            let texts: Vec<&str> = files.iter().map(|(_, captured)| captured.axes.get(number).map_or("", String::as_str)).collect();
            let role = if axis.format.is_some() { AxisRole::Time } else { role_of_name(&axis.axis) };
            for (coordinates, into) in parse(axis, &texts, files)?.into_iter().zip(&mut axes) {
                into.push(Arc::new(Axis {
                    name: axis.axis.clone(),
                    role,
                    calendar: matches!(coordinates, Coordinates::Time(..)).then(|| "standard".to_owned()),
                    coordinates,
                    bounds: None,
                    units: None,
                    attributes: Attributes::default(),
                }));
            }
        }
        Ok(axes)
    }
}

/// Captured texts as coordinates of one cell each: times by the format, else integers, else numbers, else labels.
fn parse(axis: &AxisFromFilename, texts: &[&str], files: &[(&str, &Captured)]) -> Result<Vec<Coordinates>> {
    if let Some(format) = &axis.format {
        return texts
            .iter()
            .zip(files)
            .map(|(text, (file, _))| {
                let nanoseconds = instant(text, format).map_err(|why| Error::Grid {
                    object: (*file).to_owned(),
                    axis: axis.axis.clone(),
                    what: format!("\"{text}\" in its name is not a time of FORMAT '{format}': {why}"),
                })?;
                Ok(Coordinates::Time(TimeUnit::Nanosecond, vec![nanoseconds]))
            })
            .collect();
    }
    if let Some(integers) = texts.iter().map(|t| t.parse::<i64>().ok()).collect::<Option<Vec<_>>>() {
        return Ok(integers.into_iter().map(|v| Coordinates::Int64(vec![v])).collect());
    }
    if let Some(numbers) = texts.iter().map(|t| t.parse::<f64>().ok().filter(|v| v.is_finite())).collect::<Option<Vec<_>>>() {
        return Ok(numbers.into_iter().map(|v| Coordinates::Float64(vec![v])).collect());
    }
    Ok(texts.iter().map(|&t| Coordinates::Text(vec![t.to_owned()])).collect())
}

/// Nanoseconds since 1970 of a text in a strftime format; parts that the format lacks are the first of their kind.
fn instant(text: &str, format: &str) -> Result<i64, String> {
    use chrono::format::{Parsed, StrftimeItems, parse};
    let mut parsed = Parsed::new();
    parse(&mut parsed, text, StrftimeItems::new(format)).map_err(|e| e.to_string())?;
    let has_day = parsed.ordinal().is_some() || parsed.isoweek().is_some() || parsed.timestamp().is_some();
    if !has_day {
        if parsed.month().is_none() {
            parsed.set_month(1).map_err(|e| e.to_string())?;
        }
        if parsed.day().is_none() {
            parsed.set_day(1).map_err(|e| e.to_string())?;
        }
    }
    if parsed.timestamp().is_none() {
        if parsed.hour_mod_12().is_none() && parsed.hour_div_12().is_none() {
            parsed.set_hour(0).map_err(|e| e.to_string())?;
        }
        if parsed.minute().is_none() {
            parsed.set_minute(0).map_err(|e| e.to_string())?;
        }
    }
    let offset = parsed.offset().unwrap_or(0);
    let time = parsed.to_naive_datetime_with_offset(offset).map_err(|e| e.to_string())?.and_utc();
    let seconds = chrono::TimeDelta::try_seconds(offset.into()).ok_or("bad offset")?;
    (time - seconds).timestamp_nanos_opt().ok_or_else(|| "it is before 1677 or after 2262".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition(axis: &str, pattern: &str, format: Option<&str>, variable: Option<&str>) -> CubeDefinition {
        CubeDefinition {
            axes_from_filename: vec![AxisFromFilename { axis: axis.into(), pattern: pattern.into(), format: format.map(Into::into) }],
            variable_from_filename: variable.map(Into::into),
            ..CubeDefinition::default()
        }
    }

    fn coordinates(definition: &CubeDefinition, files: &[&str]) -> Vec<Coordinates> {
        let patterns = Patterns::new(definition).unwrap();
        let captured: Vec<Captured> = files.iter().map(|f| patterns.capture(f).unwrap()).collect();
        let files: Vec<(&str, &Captured)> = files.iter().copied().zip(&captured).collect();
        patterns.axes(&files).unwrap().into_iter().map(|axes| axes[0].coordinates.clone()).collect()
    }

    #[test]
    fn sentinel_scenes() {
        let definition = definition("time", r"_(\d{8})_", Some("%Y%m%d"), Some(r"_(B04|B08|SCL)\.tif$"));
        let patterns = Patterns::new(&definition).unwrap();
        let captured = patterns.capture("/data/x_19990101_y/S2_20240601_B04.tif").unwrap();
        assert_eq!(captured, Captured { axes: vec!["20240601".into()], variable: Some("b04".into()) });
        let left_out = patterns.capture("/data/S2_20240601_B11.tif").unwrap_err();
        assert!(left_out.contains("VARIABLE FROM FILENAME"), "{left_out}");
        let found = coordinates(&definition, &["/data/S2_20240601_B04.tif"]);
        assert_eq!(found, [Coordinates::Time(TimeUnit::Nanosecond, vec![1_717_200_000_000_000_000])]);
    }

    #[test]
    fn formats_may_lack_parts() {
        let second = 1_000_000_000;
        assert_eq!(instant("202401", "%Y%m"), Ok(1_704_067_200 * second));
        assert_eq!(instant("1970", "%Y"), Ok(0));
        assert_eq!(instant("1970002T06", "%Y%jT%H"), Ok((86_400 + 6 * 3_600) * second));
        assert_eq!(instant("19700101T060102Z", "%Y%m%dT%H%M%SZ"), Ok((6 * 3_600 + 62) * second));
        assert_eq!(instant("1970-01-01 01:00 +0100", "%Y-%m-%d %H:%M %z"), Ok(0));
        assert!(instant("20241301", "%Y%m%d").is_err());
    }

    #[test]
    fn numbers_and_labels() {
        let member = definition("member", r"_r([^_]+)_", None, None);
        assert_eq!(coordinates(&member, &["a_r001_", "a_r2_"]), [Coordinates::Int64(vec![1]), Coordinates::Int64(vec![2])]);
        assert_eq!(coordinates(&member, &["a_r1.5_", "a_r2_"]), [Coordinates::Float64(vec![1.5]), Coordinates::Float64(vec![2.0])]);
        assert_eq!(coordinates(&member, &["a_r1_", "a_rx_"]), [Coordinates::Text(vec!["1".into()]), Coordinates::Text(vec!["x".into()])]);
        assert!(matches!(Patterns::new(&definition("t", r"\d+", None, None)), Err(Error::User(m)) if m.contains("group")));
    }
}
