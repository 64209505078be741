//! The schema metadata `graticule.axes`: JSON that tells a client everything about the axes of an array answer.

use std::sync::Arc;

use base64::Engine as _;
use datafusion::arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch};
use datafusion::arrow::compute;
use datafusion::arrow::datatypes::{DataType, Field, Float64Type, Int64Type, Schema, TimeUnit};
use datafusion::arrow::ipc::writer::StreamWriter;
use datafusion::error::Result;
use graticule_storage::array::{Axis, Calendar, Coordinates};
use graticule_storage::convention::cf::time::TimeReference;
use serde_json::{Value, json};

use crate::view::View;

/// One axis of an answer.
#[derive(Debug, Clone)]
pub(crate) struct ResultAxis {
    /// Its name in the answer.
    pub name: String,
    /// Its coordinates, one a cell.
    pub coordinates: ArrayRef,
    /// The cube's axis, when the answer has that axis itself and not a function of it.
    pub source: Option<Axis>,
    /// Lower and upper bound of each cell, where the files have a bounds variable; in the unit of the cube's coordinates.
    pub bounds: Option<Vec<[f64; 2]>>,
}

impl ResultAxis {
    /// An axis of a view, under the name that it has in the answer.
    pub fn of(view: &View, axis: usize, name: &str) -> ResultAxis {
        let (source, seen) = (&view.cube.grid.axes[axis], &view.axes[axis]);
        let named = bounds_name(source).is_some();
        let bounds = source.bounds.as_ref().filter(|_| named).and_then(|bounds| {
            let seen_bounds = seen.runs.iter().cloned().flatten().map(|at| bounds.get(at as usize).copied());
            let mut found = seen_bounds.collect::<Option<Vec<_>>>()?;
            // A longitude that is seen across the seam takes its bounds along.
            if let (Some(own), Some(shown)) = (numbers(&source.coordinates.to_arrow()), numbers(&seen.coordinates)) {
                let positions = seen.runs.iter().cloned().flatten();
                for ((pair, at), shown) in found.iter_mut().zip(positions).zip(shown) {
                    let shift = shown - own[at as usize];
                    pair.iter_mut().for_each(|b| *b += shift);
                }
            }
            Some(found)
        });
        ResultAxis { name: name.to_owned(), coordinates: seen.coordinates.clone(), source: Some(source.clone()), bounds }
    }

    /// A function of an axis.
    pub fn computed(name: &str, coordinates: ArrayRef) -> ResultAxis {
        ResultAxis { name: name.to_owned(), coordinates, source: None, bounds: None }
    }
}

/// The name of the variable that holds an axis's bounds.
fn bounds_name(axis: &Axis) -> Option<&str> {
    ["bounds", "climatology"].into_iter().find_map(|name| axis.attributes.text(name)).map(str::trim)
}

/// Floating-point coordinates.
fn numbers(values: &ArrayRef) -> Option<Vec<f64>> {
    let wide = values.data_type().is_floating().then(|| compute::cast(values, &DataType::Float64).ok())??;
    Some(wide.as_primitive::<Float64Type>().values().to_vec())
}

/// The JSON.
pub(crate) fn axes_json(axes: &[ResultAxis], view: &View) -> Result<String> {
    let axes = axes.iter().map(axis_json).collect::<Result<Vec<_>>>()?;
    let grid = &view.cube.grid;
    let mut scalars = Vec::new();
    for (number, axis) in grid.axes.iter().enumerate().filter(|(i, _)| view.axes[*i].fixed && view.axes[*i].len() == 1) {
        let one = ResultAxis { bounds: None, ..ResultAxis::of(view, number, &axis.name) };
        let mut scalar = axis_json(&one)?;
        scalar["value"] = single(&sent(&one))?;
        if let Some(map) = scalar.as_object_mut() {
            map.remove("size");
        }
        scalars.push(scalar);
    }
    Ok(json!({ "axes": axes, "crs": grid.crs, "scalars": scalars, "attributes": view.cube.attributes.to_json() }).to_string())
}

fn axis_json(axis: &ResultAxis) -> Result<Value> {
    let source = axis.source.as_ref();
    let coordinates_as_sent = sent(axis);
    Ok(json!({
        "name": axis.name,
        "size": axis.coordinates.len(),
        "dtype": dtype(coordinates_as_sent.data_type()),
        "units": source.and_then(|a| a.units.clone()),
        "calendar": source.and_then(|a| a.calendar.clone()),
        "role": source.map(|a| format!("{:?}", a.role).to_lowercase()),
        "attributes": source.map_or(json!({}), |a| a.attributes.to_json()),
        "bounds": bounds_json(axis, &coordinates_as_sent)?,
        "coordinates": if source.is_some_and(is_positions) && starts_at_zero(&axis.coordinates) { Value::Null } else { coordinates(&coordinates_as_sent)? },
    }))
}

/// The bounds of the cells as clients get them, in the type of the coordinates: `n + 1` edges where each cell ends where the
/// next begins, else `n` pairs.
fn bounds_json(axis: &ResultAxis, sent: &ArrayRef) -> Result<Value> {
    let (Some(bounds), Some(source)) = (&axis.bounds, &axis.source) else { return Ok(Value::Null) };
    let Some(name) = bounds_name(source) else { return Ok(Value::Null) };
    let touching = !bounds.is_empty() && bounds.windows(2).all(|w| w[0][1] == w[1][0]);
    let (form, flat): (&str, Vec<f64>) = match touching {
        true => ("edges", bounds.iter().map(|b| b[0]).chain(bounds.last().map(|b| b[1])).collect()),
        false => ("pairs", bounds.iter().flatten().copied().collect()),
    };
    let values: ArrayRef = match &source.coordinates {
        Coordinates::Time(..) => compute::cast(&Int64Array::from_iter_values(flat.iter().map(|&v| v as i64)), sent.data_type())?,
        Coordinates::Calendar(calendar, _) => {
            let units = source.units.as_deref().and_then(|units| TimeReference::parse(units, Some(calendar.name())).ok());
            let Some((reference, _)) = units else { return Ok(Value::Null) };
            Arc::new(flat.iter().map(|&v| reference.count(v as i64)).collect::<Float64Array>())
        }
        _ => {
            let wide = Float64Array::from(flat);
            let exact = *sent.data_type() == DataType::Float32 && wide.values().iter().all(|&v| f64::from(v as f32) == v || v.is_nan());
            if exact { compute::cast(&wide, &DataType::Float32)? } else { Arc::new(wide) }
        }
    };
    Ok(json!({ "name": name, "dtype": dtype(values.data_type()), form: coordinates(&values)? }))
}

/// The coordinates as clients get them: times of a calendar that Arrow lacks as counts in the file's units, from which xarray
/// (and whoever knows cftime) makes dates of that calendar; all others as they are.
fn sent(axis: &ResultAxis) -> ArrayRef {
    let counts = || {
        let source = axis.source.as_ref()?;
        let Coordinates::Calendar(calendar, _) = &source.coordinates else { return None };
        let (reference, _) = TimeReference::parse(source.units.as_deref()?, Some(calendar.name())).ok()?;
        counts_of(axis.coordinates.as_string_opt::<i32>()?.iter(), *calendar, reference)
    };
    counts().unwrap_or_else(|| axis.coordinates.clone())
}

/// Whole numbers where all of them are, else floating-point ones.
fn counts_of<'a>(texts: impl Iterator<Item = Option<&'a str>>, calendar: Calendar, reference: TimeReference) -> Option<ArrayRef> {
    let counts: Vec<f64> = texts.map(|t| Some(reference.count(calendar.period(t?).ok()?.0))).collect::<Option<_>>()?;
    let whole = |v: &f64| v.fract() == 0.0 && v.abs() < 9e15;
    Some(match counts.iter().all(whole) {
        true => Arc::new(counts.into_iter().map(|v| v as i64).collect::<Int64Array>()),
        false => Arc::new(Float64Array::from(counts)),
    })
}

fn is_positions(axis: &Axis) -> bool {
    matches!(axis.coordinates, Coordinates::Index(_))
}

fn starts_at_zero(positions: &ArrayRef) -> bool {
    positions.as_primitive_opt::<Int64Type>().is_some_and(|p| p.values().iter().enumerate().all(|(i, &v)| v == i as i64))
}

/// numpy's name of a column's type.
fn dtype(t: &DataType) -> String {
    match t {
        DataType::Timestamp(TimeUnit::Second, _) => "datetime64[s]".into(),
        DataType::Timestamp(TimeUnit::Millisecond, _) => "datetime64[ms]".into(),
        DataType::Timestamp(TimeUnit::Microsecond, _) => "datetime64[us]".into(),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => "datetime64[ns]".into(),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "str".into(),
        DataType::Boolean => "bool".into(),
        other => other.to_string().to_lowercase(),
    }
}

/// `start` and `step` where they give every coordinate exactly, else the coordinates themselves.
fn coordinates(values: &ArrayRef) -> Result<Value> {
    if let Some(regular) = regular(values)? {
        return Ok(regular);
    }
    let schema = Arc::new(Schema::new(vec![Field::new("coordinates", values.data_type().clone(), true)]));
    let mut bytes = Vec::new();
    let mut writer = StreamWriter::try_new(&mut bytes, &schema)?;
    writer.write(&RecordBatch::try_new(schema, vec![values.clone()])?)?;
    writer.finish()?;
    drop(writer);
    Ok(json!({ "ipc": base64::engine::general_purpose::STANDARD.encode(bytes) }))
}

fn regular(values: &ArrayRef) -> Result<Option<Value>> {
    let n = values.len();
    if n < 2 || values.null_count() > 0 {
        return Ok(None);
    }
    if matches!(values.data_type(), DataType::Timestamp(..)) || values.data_type().is_integer() {
        let counts = compute::cast(values, &DataType::Int64)?;
        let counts = counts.as_primitive::<Int64Type>().values();
        let step = counts[1].wrapping_sub(counts[0]);
        let even = counts.windows(2).all(|w| w[1].wrapping_sub(w[0]) == step);
        return Ok(even.then(|| json!({ "start": counts[0], "step": step })));
    }
    if !values.data_type().is_floating() {
        return Ok(None);
    }
    let wide = compute::cast(values, &DataType::Float64)?;
    let wide = wide.as_primitive::<Float64Type>().values();
    let start = wide[0];
    let step = (wide[n - 1] - start) / (n - 1) as f64;
    let single = *values.data_type() == DataType::Float32;
    let exact = wide.iter().enumerate().all(|(i, &v)| {
        let computed = start + i as f64 * step;
        if single { f64::from(computed as f32) == v } else { computed == v }
    });
    Ok((exact && start.is_finite() && step.is_finite()).then(|| json!({ "start": start, "step": step })))
}

/// The one coordinate of a fixed axis: a number, a count of the dtype's unit, or a text.
fn single(values: &ArrayRef) -> Result<Value> {
    Ok(match values.data_type() {
        DataType::Timestamp(..) => json!(compute::cast(values, &DataType::Int64)?.as_primitive::<Int64Type>().value(0)),
        t if t.is_integer() => json!(compute::cast(values, &DataType::Int64)?.as_primitive::<Int64Type>().value(0)),
        t if t.is_floating() => json!(compute::cast(values, &DataType::Float64)?.as_primitive::<Float64Type>().value(0)),
        _ => json!(datafusion::arrow::util::display::array_value_to_string(values, 0)?),
    })
}
