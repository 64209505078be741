//! Variables by name over all granules, each part with its axes: those of the file and those that the file's name gives.

use std::collections::HashMap;
use std::sync::Arc;

use crate::array::{AttributeValue, Attributes, Axis, DataType, Encoding, Scalar, TimeUnit};
use crate::catalog::filename::{Captured, Patterns};
use crate::catalog::source::{Source, SourceVariable};
use crate::catalog::{CubeDefinition, Granule};
use crate::{Error, Result};

/// One granule's part of a variable.
#[derive(Debug, Clone)]
pub struct Part<'a> {
    /// Position of the granule among the sources.
    pub order: usize,
    /// The granule.
    pub granule: &'a Granule,
    /// Number of the array.
    pub array: u32,
    /// Slowest first; axes that the file lacks stand in front.
    pub axes: Vec<Arc<Axis>>,
    /// Chunk shape along `axes`: 1 along those that the file lacks.
    pub chunk_shape: Vec<u64>,
    /// From stored cells to values.
    pub encoding: Arc<Encoding>,
    /// `EPSG:n` or WKT.
    pub crs: Option<Arc<str>>,
    /// Bytes stored.
    pub stored_bytes: u64,
}

impl<'a> Part<'a> {
    /// Cells, saturating.
    pub fn cells(&self) -> u64 {
        self.axes.iter().fold(1u64, |n, a| n.saturating_mul(a.len()))
    }

    /// The axis of this name.
    pub fn axis(&self, name: &str) -> Option<&Arc<Axis>> {
        self.axes.iter().find(|a| a.name == name)
    }

    /// Attributes of the array.
    pub fn attributes(&self) -> Attributes {
        self.granule.arrays.get(self.array as usize).map(|a| a.attributes.clone()).unwrap_or_default()
    }

    /// Puts an axis of one cell in front.
    pub fn prepend(&mut self, axis: Arc<Axis>) {
        self.axes.insert(0, axis);
        self.chunk_shape.insert(0, 1);
    }
}

/// All parts of one variable, in the order of the sources.
#[derive(Debug, Clone)]
pub struct Group<'a> {
    /// The variable's name.
    pub name: String,
    /// One part a granule that has it.
    pub parts: Vec<Part<'a>>,
}

impl<'a> Group<'a> {
    /// Cells of all parts, saturating.
    pub fn cells(&self) -> u64 {
        self.parts.iter().fold(0u64, |n, p| n.saturating_add(p.cells()))
    }

    /// Names of the attributes that not all parts have with the same value, in order of appearance.
    pub fn differing_attributes(&self) -> Vec<String> {
        let of = |part: &Part<'a>| part.granule.arrays.get(part.array as usize).map(|a| &a.attributes);
        let Some(first) = self.parts.first().and_then(of) else { return Vec::new() };
        let mut differing: Vec<String> = Vec::new();
        for other in self.parts.iter().skip(1).filter_map(of).filter(|other| *other != first) {
            for (name, _) in first.0.iter().chain(&other.0) {
                let same = match (first.get(name), other.get(name)) {
                    (Some(a), Some(b)) => same(a, b),
                    _ => false,
                };
                if !same && !differing.contains(name) {
                    differing.push(name.clone());
                }
            }
        }
        differing
    }

    /// The type that can hold the values of all parts, and the unit when they are instants.
    pub fn decoded(&self) -> Result<(DataType, Option<TimeUnit>)> {
        let mut parts = self.parts.iter();
        let Some(first) = parts.next() else { return Err(Error::Internal("a variable of no granule".into())) };
        let mut decoded = (first.encoding.decoded, first.encoding.time);
        for part in parts {
            let other = (part.encoding.decoded, part.encoding.time);
            decoded = common(decoded, other).ok_or_else(|| Error::Grid {
                object: part.granule.location.clone(),
                axis: self.name.clone(),
                what: format!("values of type {} do not go with {} in {}", other.0.name(), decoded.0.name(), first.granule.location),
            })?;
        }
        Ok(decoded)
    }
}

/// True for equal values; NaN equals NaN here.
fn same(a: &AttributeValue, b: &AttributeValue) -> bool {
    match (a, b) {
        (AttributeValue::Floats(t, x), AttributeValue::Floats(u, y)) => {
            t == u && x.len() == y.len() && x.iter().zip(y).all(|(x, y)| x == y || x.is_nan() && y.is_nan())
        }
        _ => a == b,
    }
}

/// The smallest type that holds all values of two: the wider of two integers of one sign; a signed one twice as wide as the
/// unsigned of two of different signs (`float64` beside `uint64`); the wider of two floats; `float32` for a float of at most 32 bits
/// beside an integer of at most 16, else `float64`; text for texts. Instants and texts go with their like only.
fn common(a: (DataType, Option<TimeUnit>), b: (DataType, Option<TimeUnit>)) -> Option<(DataType, Option<TimeUnit>)> {
    use DataType::*;
    if a == b {
        return Some(a);
    }
    if a.1.is_some() || b.1.is_some() {
        return None;
    }
    let (a, b) = (a.0, b.0);
    let joined = match (a, b) {
        (a, b) if a.is_text() && b.is_text() => Text,
        (a, b) if a.is_text() || b.is_text() => return None,
        (a, b) if a.is_float() && b.is_float() => {
            if a.size() >= b.size() {
                a
            } else {
                b
            }
        }
        (float, integer) | (integer, float) if float.is_float() => {
            if integer.size() <= 2 && float.size() <= 4 {
                Float32
            } else {
                Float64
            }
        }
        (a, b) if a.is_unsigned() == b.is_unsigned() => {
            if a.size() >= b.size() {
                a
            } else {
                b
            }
        }
        (a, b) => {
            let (unsigned, signed) = if a.is_unsigned() { (a, b) } else { (b, a) };
            match unsigned.size().saturating_mul(2).max(signed.size()) {
                2 => Int16,
                4 => Int32,
                8 => Int64,
                _ => Float64,
            }
        }
    };
    Some((joined, None))
}

/// Groups the variables of all granules by name, in the order of their first appearance. Applies what file names say and
/// `NODATA`.
pub fn groups<'a>(definition: &CubeDefinition, patterns: &Patterns, sources: &'a [Source]) -> Result<Vec<Group<'a>>> {
    let captured = sources
        .iter()
        .map(|s| patterns.capture(&s.granule.location).map_err(|why| Error::User(format!("{}: {why}", s.granule.location))))
        .collect::<Result<Vec<Captured>>>()?;
    let files: Vec<(&str, &Captured)> = sources.iter().map(|s| s.granule.location.as_str()).zip(&captured).collect();
    let from_names = patterns.axes(&files)?;
    let mut nodata = Nodata { value: definition.nodata, made: HashMap::new() };
    let mut groups: Vec<Group> = Vec::new();
    let mut numbers: HashMap<String, usize> = HashMap::new();
    for (order, ((source, captured), axes)) in sources.iter().zip(&captured).zip(from_names).enumerate() {
        for variable in &source.variables {
            let name = match &captured.variable {
                Some(name) if source.variables.len() == 1 => name.clone(),
                Some(name) => format!("{name}_{}", variable.name),
                None => variable.name.clone(),
            };
            let part = part(order, source, variable, &axes, nodata.apply(&variable.encoding))?;
            let number = *numbers.entry(name.clone()).or_insert(groups.len());
            match groups.get_mut(number) {
                Some(group) => group.parts.push(part),
                None => groups.push(Group { name, parts: vec![part] }),
            }
        }
    }
    Ok(groups)
}

fn part<'a>(
    order: usize,
    source: &'a Source,
    variable: &SourceVariable,
    from_name: &[Arc<Axis>],
    encoding: Arc<Encoding>,
) -> Result<Part<'a>> {
    let granule: &Granule = &source.granule;
    let Some(array) = granule.arrays.get(variable.array as usize) else {
        return Err(Error::Internal(format!("{}: a variable of no array", granule.location)));
    };
    let mut part = Part {
        order,
        granule,
        array: variable.array,
        axes: variable.axes.clone(),
        chunk_shape: array.chunk_shape.clone(),
        encoding,
        crs: variable.crs.clone(),
        stored_bytes: variable.stored_bytes,
    };
    for axis in from_name.iter().rev() {
        match part.axes.iter_mut().find(|a| a.name == axis.name) {
            None => part.prepend(axis.clone()),
            Some(own) if own.len() == 1 => *own = axis.clone(),
            Some(own) => {
                return Err(Error::Grid {
                    object: granule.location.clone(),
                    axis: axis.name.clone(),
                    what: format!("the file has {} cells along it, its name gives one", own.len()),
                });
            }
        }
    }
    Ok(part)
}

/// Adds `NODATA` to encodings, each made once.
struct Nodata {
    value: Option<f64>,
    made: HashMap<usize, (Arc<Encoding>, Arc<Encoding>)>,
}

impl Nodata {
    fn apply(&mut self, encoding: &Arc<Encoding>) -> Arc<Encoding> {
        let Some(value) = self.value.filter(|v| !v.is_nan()) else { return encoding.clone() };
        // The original is kept beside the new one, so that its address stays its own.
        let made = self.made.entry(Arc::as_ptr(encoding) as usize).or_insert_with(|| {
            let mut with = encoding.as_ref().clone();
            let scalar = match with.stored {
                stored if stored.is_text() => None,
                DataType::Float32 => Some(Scalar::Float(f64::from(value as f32))),
                stored if stored.is_float() => Some(Scalar::Float(value)),
                _ if value.fract() == 0.0 && value.abs() < 9.2e18 => Some(Scalar::Int(value as i64)),
                _ => None,
            };
            with.missing.extend(scalar);
            (encoding.clone(), Arc::new(with))
        });
        made.1.clone()
    }
}
