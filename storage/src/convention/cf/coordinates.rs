//! Coordinates (CF chapters 4, 5 and 7.1): what a coordinate variable measures, and its cells as the coordinates and
//! bounds of an axis. Pure: the cells were read elsewhere.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType as ArrowType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type};
use arrow::datatypes::{UInt8Type, UInt16Type, UInt32Type, UInt64Type};

use super::time::{self, Numbers, TimeReference};
use crate::array::{Attributes, Axis, AxisRole, Calendar, Coordinates, TimeUnit};

/// What a coordinate variable measures: by `standard_name`, `units`, `axis`, `positive`, and its name, in that order.
pub fn role(name: &str, attributes: &Attributes) -> AxisRole {
    let text = |name: &str| attributes.text(name).unwrap_or("").trim().to_ascii_lowercase();
    let standard_name = text("standard_name");
    match standard_name.split_whitespace().next().unwrap_or("") {
        "time" => return AxisRole::Time,
        "latitude" => return AxisRole::Latitude,
        "longitude" => return AxisRole::Longitude,
        "projection_x_coordinate" | "grid_longitude" | "projection_x_angular_coordinate" => return AxisRole::X,
        "projection_y_coordinate" | "grid_latitude" | "projection_y_angular_coordinate" => return AxisRole::Y,
        "air_pressure" | "altitude" | "height" | "depth" | "model_level_number" => return AxisRole::Vertical,
        s if (s.starts_with("atmosphere_") || s.starts_with("ocean_")) && s.ends_with("_coordinate") => return AxisRole::Vertical,
        _ => {}
    }
    let units = text("units");
    match units.as_str() {
        "degrees_north" | "degree_north" | "degrees_n" | "degree_n" | "degreesn" | "degreen" => return AxisRole::Latitude,
        "degrees_east" | "degree_east" | "degrees_e" | "degree_e" | "degreese" | "degreee" => return AxisRole::Longitude,
        "level" | "layer" | "sigma_level" => return AxisRole::Vertical,
        u if time::is_time(u) => return if standard_name.is_empty() { AxisRole::Time } else { AxisRole::Other },
        _ => {}
    }
    match text("axis").as_str() {
        "t" => return AxisRole::Time,
        "x" => return AxisRole::X,
        "y" => return AxisRole::Y,
        "z" => return AxisRole::Vertical,
        _ => {}
    }
    let pressure = ["pa", "hpa", "kpa", "mb", "mbar", "millibar", "millibars", "bar", "dbar", "decibar", "atmosphere", "atm"];
    if matches!(text("positive").as_str(), "up" | "down") || pressure.contains(&units.as_str()) {
        return AxisRole::Vertical;
    }
    role_of_name(name)
}

/// What a coordinate variable of this name measures, where nothing else says so.
pub fn role_of_name(name: &str) -> AxisRole {
    match name.to_ascii_lowercase().as_str() {
        "time" | "valid_time" => AxisRole::Time,
        "lat" | "latitude" | "lats" => AxisRole::Latitude,
        "lon" | "longitude" | "lons" | "long" => AxisRole::Longitude,
        "x" => AxisRole::X,
        "y" => AxisRole::Y,
        "z" | "lev" | "level" | "plev" | "pressure" | "pressure_level" | "height" | "depth" | "altitude" | "isobaric" => AxisRole::Vertical,
        _ => AxisRole::Other,
    }
}

/// Decoded cells as coordinates, in the type users see, and the number of missing ones. Missing numbers become NaN, so
/// integers of which some are missing become `Float64`. `None` for a type that coordinates cannot have.
pub fn from_cells(cells: &ArrayRef) -> Option<(Coordinates, usize)> {
    macro_rules! integers {
        ($arrow:ty, $variant:ident, $native:ty) => {{
            let cells = cells.as_primitive::<$arrow>();
            if cells.null_count() > 0 {
                Coordinates::Float64(cells.iter().map(|v| v.map_or(f64::NAN, |v| v as f64)).collect())
            } else {
                Coordinates::$variant(cells.values().iter().map(|&v| v as $native).collect())
            }
        }};
    }
    let coordinates = match cells.data_type() {
        ArrowType::Int8 => integers!(Int8Type, Int32, i32),
        ArrowType::Int16 => integers!(Int16Type, Int32, i32),
        ArrowType::Int32 => integers!(Int32Type, Int32, i32),
        ArrowType::Int64 => integers!(Int64Type, Int64, i64),
        ArrowType::UInt8 => integers!(UInt8Type, Int32, i32),
        ArrowType::UInt16 => integers!(UInt16Type, Int32, i32),
        ArrowType::UInt32 => integers!(UInt32Type, Int64, i64),
        ArrowType::UInt64 => {
            let cells = cells.as_primitive::<UInt64Type>();
            match cells.iter().map(|v| v.and_then(|v| i64::try_from(v).ok())).collect() {
                Some(values) => Coordinates::Int64(values),
                None => Coordinates::Float64(cells.iter().map(|v| v.map_or(f64::NAN, |v| v as f64)).collect()),
            }
        }
        ArrowType::Float32 => Coordinates::Float32(cells.as_primitive::<Float32Type>().iter().map(|v| v.unwrap_or(f32::NAN)).collect()),
        ArrowType::Float64 => Coordinates::Float64(cells.as_primitive::<Float64Type>().iter().map(|v| v.unwrap_or(f64::NAN)).collect()),
        ArrowType::Utf8 => Coordinates::Text(cells.as_string::<i32>().iter().map(|v| v.unwrap_or("").to_owned()).collect()),
        _ => return None,
    };
    let missing = match &coordinates {
        Coordinates::Float32(v) => v.iter().filter(|v| v.is_nan()).count(),
        Coordinates::Float64(v) => v.iter().filter(|v| v.is_nan()).count(),
        _ => 0,
    };
    Some((coordinates, missing))
}

/// Labels of `length` bytes each, one after the other, without padding (NULs and blanks at the end); bytes that are no UTF-8
/// become the replacement character.
pub fn labels(stored: &[u8], length: usize) -> Coordinates {
    let label = |bytes: &[u8]| {
        let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
        String::from_utf8_lossy(&bytes[..end]).trim_end().to_owned()
    };
    Coordinates::Text(stored.chunks_exact(length.max(1)).map(label).collect())
}

/// Makes the axis of a dimension from its coordinate variable: decides its role, turns numbers into times where the units
/// say so, and warns of what makes it hard to search.
pub fn axis(dimension: &str, attributes: &Attributes, coordinates: Coordinates, missing: usize, warnings: &mut Vec<String>) -> Axis {
    let units = attributes.text("units").map(str::to_owned);
    let (coordinates, calendar) = match units.as_deref().filter(|u| time::is_time(u)) {
        Some(units) => times(units, attributes.text("calendar"), coordinates, dimension, warnings),
        None => (coordinates, None),
    };
    if missing > 0 {
        warnings.push(format!("axis {dimension}: {missing} of {} coordinates are missing", coordinates.len()));
    } else if let Some(what) = disorder(&coordinates) {
        warnings.push(format!("axis {dimension}: {what}"));
    }
    let role = role(dimension, attributes);
    Axis { name: dimension.to_owned(), role, coordinates, bounds: None, units, calendar, attributes: attributes.clone() }
}

fn times(
    units: &str,
    calendar: Option<&str>,
    coordinates: Coordinates,
    dimension: &str,
    warnings: &mut Vec<String>,
) -> (Coordinates, Option<String>) {
    let named = calendar.map(|c| Calendar::from_name(Some(c)).map_or_else(|| c.trim().to_ascii_lowercase(), |c| c.name().to_owned()));
    let Some(numbers) = numbers(&coordinates) else { return (coordinates, named) };
    let reference = match TimeReference::parse(units, calendar) {
        Ok((reference, warning)) => {
            warnings.extend(warning.map(|w| format!("axis {dimension}: {w}")));
            reference
        }
        Err(why) => {
            warnings.push(format!("axis {dimension}: {why}; its coordinates stay numbers"));
            return (coordinates, named);
        }
    };
    let name = reference.calendar.name().to_owned();
    match reference.coordinates(&numbers) {
        Some(instants) => (instants, Some(name)),
        None => {
            let why = "some of its times are missing or out of range";
            warnings.push(format!("axis {dimension}: {why}; its coordinates stay numbers ({units})"));
            (coordinates, Some(name))
        }
    }
}

/// Numeric coordinates for [`TimeReference::coordinates`].
fn numbers(coordinates: &Coordinates) -> Option<Numbers> {
    Some(match coordinates {
        Coordinates::Int32(v) => Numbers::Integers(v.iter().map(|&v| v.into()).collect()),
        Coordinates::Int64(v) => Numbers::Integers(v.clone()),
        Coordinates::Float32(v) => Numbers::Singles(v.iter().map(|&v| v.into()).collect()),
        Coordinates::Float64(v) => Numbers::Doubles(v.clone()),
        Coordinates::Index(_) | Coordinates::Time(..) | Coordinates::Text(_) | Coordinates::Calendar(..) => return None,
    })
}

/// The cells of a bounds variable (`[n, 2]`, decoded) as the bounds of an axis, in the units of the axis's coordinates; bounds
/// inherit units and calendar from their coordinate variable. `None` where a bound is missing or the shape is another.
pub fn bounds(axis: &Axis, cells: &ArrayRef, attributes: &Attributes) -> Option<Vec<[f64; 2]>> {
    let (coordinates, missing) = from_cells(cells)?;
    if missing > 0 || coordinates.len() != axis.len().checked_mul(2)? {
        return None;
    }
    let per_second = match &axis.coordinates {
        Coordinates::Time(unit, _) => unit.per_second(),
        Coordinates::Calendar(..) => 1_000_000,
        _ => return Some(pairs(coordinates.to_f64()?.into_iter())),
    };
    let units = attributes.text("units").filter(|u| time::is_time(u)).or(axis.units.as_deref())?;
    let calendar = attributes.text("calendar").or(axis.attributes.text("calendar"));
    let (reference, _) = TimeReference::parse(units, calendar).ok()?;
    let instants = reference.instants(&numbers(&coordinates)?)?;
    let nanoseconds = 1_000_000_000 / i128::from(per_second);
    Some(pairs(instants.iter().map(|t| t.div_euclid(nanoseconds) as f64)))
}

fn pairs(mut values: impl Iterator<Item = f64>) -> Vec<[f64; 2]> {
    std::iter::from_fn(|| Some([values.next()?, values.next()?])).collect()
}

/// What keeps coordinates from being searched by halving: repeated, or rising and falling. `None` where they are fine.
fn disorder(coordinates: &Coordinates) -> Option<&'static str> {
    fn of<T: PartialOrd>(values: &[T]) -> Option<&'static str> {
        let rising = values.windows(2).all(|w| w[0] < w[1]);
        let falling = values.windows(2).all(|w| w[0] > w[1]);
        if rising || falling {
            return None;
        }
        let ordered = values.windows(2).all(|w| w[0] <= w[1]) || values.windows(2).all(|w| w[0] >= w[1]);
        Some(if ordered { "some coordinates are repeated" } else { "its coordinates neither rise nor fall throughout" })
    }
    match coordinates {
        Coordinates::Float32(v) => of(v),
        Coordinates::Float64(v) => of(v),
        Coordinates::Int32(v) => of(v),
        Coordinates::Int64(v) | Coordinates::Time(_, v) | Coordinates::Calendar(_, v) => of(v),
        Coordinates::Index(_) | Coordinates::Text(_) => None,
    }
}

/// True where numeric coordinates rise or fall throughout.
pub fn is_ordered(coordinates: &Coordinates) -> bool {
    !matches!(coordinates, Coordinates::Text(_)) && disorder(coordinates).is_none()
}

/// Finer times as counts of `unit`, rounded down.
pub fn in_unit(from: TimeUnit, counts: &[i64], unit: TimeUnit) -> Vec<i64> {
    let (from, to) = (i128::from(from.per_second()), i128::from(unit.per_second()));
    counts.iter().map(|&c| (i128::from(c) * to).div_euclid(from) as i64).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Float64Array, Int32Array, UInt64Array};

    use super::*;
    use crate::array::AttributeValue::Text;

    fn attributes(list: &[(&str, &str)]) -> Attributes {
        Attributes(list.iter().map(|(n, v)| (n.to_string(), Text(v.to_string()))).collect())
    }

    #[test]
    fn roles() {
        assert_eq!(role("foo", &attributes(&[("units", "degrees_North")])), AxisRole::Latitude);
        assert_eq!(role("rlon", &attributes(&[("standard_name", "grid_longitude"), ("units", "degrees"), ("axis", "X")])), AxisRole::X);
        assert_eq!(role("t0", &attributes(&[("units", "hours since 1900-01-01")])), AxisRole::Time);
        assert_eq!(role("p", &attributes(&[("units", "hPa")])), AxisRole::Vertical);
        assert_eq!(role("x", &attributes(&[])), AxisRole::X);
        assert_eq!(role("band", &attributes(&[])), AxisRole::Other);
    }

    #[test]
    fn missing_and_huge_coordinates() {
        let cells: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), None]));
        let (coordinates, missing) = from_cells(&cells).unwrap();
        assert!(matches!(&coordinates, Coordinates::Float64(v) if v[0] == 1.0 && v[1].is_nan()));
        let mut warnings = vec![];
        axis("x", &Attributes::default(), coordinates, missing, &mut warnings);
        assert_eq!(warnings, ["axis x: 1 of 2 coordinates are missing"]);
        let cells: ArrayRef = Arc::new(UInt64Array::from(vec![u64::MAX]));
        assert!(matches!(from_cells(&cells), Some((Coordinates::Float64(_), 0))));
    }

    #[test]
    fn model_calendars_are_times_of_their_own() {
        let axis_of = |calendar: &str, first: f64, warnings: &mut Vec<String>| {
            let attributes = attributes(&[("units", "days since 1850-01-01"), ("calendar", calendar)]);
            axis("time", &attributes, Coordinates::Float64(vec![first, first + 59.5]), 0, warnings)
        };
        let mut warnings = vec![];
        let mut found = axis_of("365_day", 0.5, &mut warnings);
        let texts = |axis: &Axis| [axis.coordinates.display(0), axis.coordinates.display(1)];
        assert_eq!(texts(&found), ["1850-01-01T12:00:00", "1850-03-02T00:00:00"]);
        assert_eq!((found.calendar.as_deref(), found.role, warnings.len()), (Some("noleap"), AxisRole::Time, 0));
        assert_eq!(texts(&axis_of("360_DAY", 0.0, &mut warnings))[1], "1850-02-30T12:00:00");
        assert_eq!(texts(&axis_of("julian", 0.0, &mut warnings))[1], "1850-03-01T12:00:00");
        // Before the reform the standard calendar's dates are Julian ones.
        assert_eq!(texts(&axis_of("standard", -97_657.5, &mut warnings)), ["1582-08-06T12:00:00", "1582-10-15T00:00:00"]);
        assert!(matches!(axis_of("standard", -97_000.0, &mut warnings).coordinates, Coordinates::Time(..)));
        assert_eq!(warnings.len(), 0);
        let out = axis_of("noleap", 1e7, &mut warnings);
        assert!(matches!(out.coordinates, Coordinates::Float64(_)) && warnings.len() == 1);
        let cells: ArrayRef = Arc::new(Float64Array::from(vec![0.0, 1.0, 59.0, 60.0]));
        found.bounds = bounds(&found, &cells, &attributes(&[]));
        let micros = |text: &str| Calendar::NoLeap.period(text).unwrap().0 as f64;
        assert_eq!(found.bounds.unwrap()[1], [micros("1850-03-01"), micros("1850-03-02")]);
    }

    #[test]
    fn bounds_inherit_the_calendar() {
        let mut found = axis(
            "time",
            &attributes(&[("units", "days since 2000-01-01"), ("calendar", "gregorian")]),
            Coordinates::Float64(vec![0.5, 1.5]),
            0,
            &mut vec![],
        );
        let cells: ArrayRef = Arc::new(Float64Array::from(vec![0.0, 1.0, 1.0, 2.0]));
        found.bounds = bounds(&found, &cells, &attributes(&[("units", "days since 2000-01-01")]));
        let day = 86_400e9;
        let epoch = 946_684_800e9;
        assert_eq!(found.bounds, Some(vec![[epoch, epoch + day], [epoch + day, epoch + 2.0 * day]]));
    }

    #[test]
    fn labels_lose_their_padding() {
        let found = labels(b"abc\0\0de \0xtrail", 5);
        assert_eq!(found, Coordinates::Text(vec!["abc".into(), "de".into(), "trail".into()]));
    }

    #[test]
    fn disorder_is_told() {
        assert!(disorder(&Coordinates::Int32(vec![3, 2, 1])).is_none());
        assert_eq!(disorder(&Coordinates::Int32(vec![1, 1, 2])), Some("some coordinates are repeated"));
        assert!(disorder(&Coordinates::Int32(vec![1, 3, 2])).is_some());
        assert_eq!(in_unit(TimeUnit::Nanosecond, &[1_500, -1], TimeUnit::Microsecond), [1, -1]);
    }
}
