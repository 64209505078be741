//! An inspection for people.

use std::fmt;

use super::{InspectedArray, Inspection};
use crate::array::{Axis, Coordinates};

/// `time 2013-01-01T00:00:00 .. 2014-12-31T18:00:00`; `None` for an axis of positions.
pub(super) fn axis(axis: &Axis) -> Option<String> {
    if matches!(axis.coordinates, Coordinates::Index(_)) || axis.is_empty() {
        return None;
    }
    let (first, last) = (axis.coordinates.display(0), axis.coordinates.display(axis.len() as usize - 1));
    let units = axis.units.as_deref().filter(|_| !matches!(axis.coordinates, Coordinates::Time(..) | Coordinates::Calendar(..)));
    Some(format!("{} {first} .. {last}{}", axis.name, units.map(|u| format!(" {u}")).unwrap_or_default()))
}

/// Bytes as people write them: `1.5 MiB`.
fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if value < 1024.0 {
            return if unit == "B" { format!("{bytes} B") } else { format!("{value:.1} {unit}") };
        }
        value /= 1024.0;
    }
    format!("{value:.1} TiB")
}

impl fmt::Display for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = |n: u64| if n == 1 { "" } else { "s" };
        let (arrays, requests) = (self.arrays.len() as u64, self.requests);
        writeln!(f, "{}", self.location)?;
        writeln!(
            f,
            "{}, {}, {arrays} array{}, {requests} request{} and {} for the headers",
            self.format,
            size(self.size),
            s(arrays),
            s(requests),
            size(self.bytes)
        )?;
        for array in &self.arrays {
            write!(f, "\n{array}")?;
        }
        if !self.attributes.0.is_empty() {
            writeln!(f, "\nattributes of the file")?;
            for (name, value) in &self.attributes.0 {
                writeln!(f, "    {name}: {}", short(&value.to_json()))?;
            }
        }
        if !self.refused.is_empty() {
            writeln!(f, "\nnot read")?;
            for refused in &self.refused {
                writeln!(f, "    {}: {}", refused.path, refused.reason)?;
            }
        }
        if !self.warnings.is_empty() {
            writeln!(f, "\nwarnings")?;
            for warning in &self.warnings {
                writeln!(f, "    {warning}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for InspectedArray {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let m = &self.metadata;
        let dimensions: Vec<String> = m.dimensions.iter().zip(&m.shape).map(|(name, n)| format!("{name} {n}")).collect();
        let (stored, decoded) = (m.data_type.name(), self.decoded_dtype());
        let becomes = if stored == decoded { String::new() } else { format!(" -> {decoded}") };
        writeln!(f, "{} ({}) {stored}{becomes}", m.path, dimensions.join(", "))?;
        let (written, all) = self.chunks;
        let chunk: Vec<String> = m.chunk_shape.iter().map(u64::to_string).collect();
        let codecs: Vec<&str> = m.codecs.iter().map(|c| c.name()).collect();
        let codecs = if codecs.is_empty() { "not compressed".into() } else { codecs.join(" + ") };
        let chunk = if chunk.is_empty() { "1".into() } else { chunk.join("x") };
        let written = written.map(|n| format!(" ({n} written, {})", size(self.stored_bytes))).unwrap_or_default();
        writeln!(f, "    chunks: {all} of {chunk} cells{written}, {codecs}")?;
        for axis in &self.axes {
            writeln!(f, "    axis: {axis}")?;
        }
        if let Some((of, factor)) = &self.overview_of {
            let factor: Vec<String> = factor.iter().map(f64::to_string).collect();
            writeln!(f, "    overview of {of}, {} times coarser", factor.join(" x "))?;
        }
        if let Some(mask) = &self.masked_by {
            writeln!(f, "    missing where {mask} is 0")?;
        }
        if let Some(crs) = &self.crs {
            writeln!(f, "    crs: {}", short(&crs.as_str().into()))?;
        }
        let e = &self.encoding;
        if e.is_packed() && e.time.is_none() {
            writeln!(f, "    value = stored * {} + {}", e.scale, e.offset)?;
        }
        let mut missing: Vec<String> = e.missing.iter().map(|m| m.as_f64().to_string()).collect();
        missing.extend(e.valid_min.map(|v| format!("below {}", v.as_f64())));
        missing.extend(e.valid_max.map(|v| format!("above {}", v.as_f64())));
        if !missing.is_empty() {
            writeln!(f, "    missing (stored): {}", missing.join(", "))?;
        }
        for (name, value) in &m.attributes.0 {
            writeln!(f, "    {name}: {}", short(&value.to_json()))?;
        }
        if let Some(Some(s)) = self.stats {
            match s.count {
                0 => writeln!(f, "    stats: every cell is missing")?,
                _ => writeln!(f, "    stats: count {}, min {}, max {}, mean {}", s.count, s.min, s.max, s.mean)?,
            }
        }
        for (index, value) in &self.values_at {
            writeln!(f, "    {index:?} = {value}")?;
        }
        Ok(())
    }
}

/// A value on one line, cut where it gets long.
fn short(value: &serde_json::Value) -> String {
    let text = match value {
        serde_json::Value::String(s) => s.replace('\n', " "),
        other => other.to_string(),
    };
    match text.char_indices().nth(160) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text,
    }
}
