//! GeoJSON (RFC 7946) to rows. Positions are longitude and latitude (EPSG:4326), unless the file names another system in the
//! `crs` member of the 2008 draft.
//!
//! A property is a column: whole numbers, numbers, truth values or text; anything else, and mixtures, are JSON text.

use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, BinaryBuilder, BooleanArray, Float64Array, Int64Array, RecordBatch, RecordBatchOptions, StringArray,
};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use serde_json::{Map, Value};

use super::shape::{Line, Point, Shape};
use super::tables::{GEOM, geometry_field, with_crs};
use super::wkb;
use crate::crs::epsg;

/// Geometries of collections inside collections at most.
const DEPTH: usize = 16;
/// Properties at most: more are a mistake in the file.
const COLUMNS: usize = 4096;

/// The rows of a file, or what is wrong with it: with the number of the feature, from 1.
pub(crate) fn read(bytes: &[u8]) -> Result<RecordBatch, String> {
    let document: Value = serde_json::from_slice(bytes).map_err(|e| format!("GeoJSON is expected: {e}"))?;
    let system = system(&document)?;
    let one;
    let features: &[Value] = match document.get("type").and_then(Value::as_str) {
        Some("FeatureCollection") => match document.get("features") {
            Some(Value::Array(features)) => features,
            other => return Err(format!("a FeatureCollection has a list `features`, and here it is {}", shown(other))),
        },
        Some("Feature") => {
            one = [document];
            &one
        }
        Some(_) => {
            one = [serde_json::json!({"type": "Feature", "properties": null, "geometry": document})];
            &one
        }
        None => return Err("GeoJSON is expected: an object with a member `type`".into()),
    };
    let mut names: Vec<String> = Vec::new();
    let mut geometries = BinaryBuilder::new();
    let mut has_id = false;
    for (i, feature) in features.iter().enumerate() {
        let at = |why: String| format!("feature {}: {why}", i + 1);
        if feature.get("type").and_then(Value::as_str) != Some("Feature") {
            return Err(at(format!("a Feature is expected, and its type is {}", shown(feature.get("type")))));
        }
        for name in properties(feature).map_err(at)?.into_iter().flat_map(|properties| properties.keys()) {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        if names.len() > COLUMNS {
            return Err(at(format!("more than {COLUMNS} different properties")));
        }
        has_id |= feature.get("id").is_some_and(|id| !id.is_null());
        match feature.get("geometry") {
            None | Some(Value::Null) => geometries.append_null(),
            Some(geometry) => {
                let mut shape = Shape::default();
                add(geometry, &mut shape, DEPTH).map_err(at)?;
                geometries.append_value(wkb::write(&shape));
            }
        }
    }
    if names.iter().any(|name| name == GEOM) {
        return Err(format!("a property is named {GEOM}, as the column of geometries is; give it another name"));
    }
    let values = |name: &str| features.iter().map(|f| f.get("properties").and_then(|p| p.get(name))).collect::<Vec<_>>();
    let mut fields = Vec::new();
    let mut columns: Vec<ArrayRef> = Vec::new();
    let mut push = |name: &str, values: Vec<Option<&Value>>| {
        let column = column(&values);
        fields.push(Field::new(name, column.data_type().clone(), true));
        columns.push(column);
    };
    if has_id && !names.iter().any(|name| name == "id") {
        push("id", features.iter().map(|f| f.get("id")).collect());
    }
    for name in &names {
        push(name, values(name));
    }
    fields.push(with_crs(geometry_field(GEOM), Some(&system)));
    columns.push(Arc::new(geometries.finish()));
    let options = RecordBatchOptions::new().with_row_count(Some(features.len()));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options).map_err(|e| e.to_string())
}

/// The coordinate reference system of a document.
fn system(document: &Value) -> Result<String, String> {
    let named = match document.get("crs") {
        None | Some(Value::Null) => return Ok("EPSG:4326".into()),
        Some(crs) => crs.get("properties").and_then(|p| p.get("name")).and_then(Value::as_str),
    };
    match named.and_then(epsg) {
        Some(code) => Ok(format!("EPSG:{code}")),
        None => Err(format!("the member crs names no EPSG code: {}", shown(document.get("crs")))),
    }
}

fn properties(feature: &Value) -> Result<Option<&Map<String, Value>>, String> {
    match feature.get("properties") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(properties)) => Ok(Some(properties)),
        other => Err(format!("properties is an object or null, and here it is {}", shown(other))),
    }
}

/// A value in a few characters.
fn shown(value: Option<&Value>) -> String {
    let text = value.map_or_else(|| "missing".to_owned(), Value::to_string);
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

/// A column of the narrowest type that holds all values.
fn column(values: &[Option<&Value>]) -> ArrayRef {
    let some = || values.iter().copied().flatten().filter(|v| !v.is_null());
    let kind = if some().next().is_none() {
        DataType::Utf8
    } else if some().all(Value::is_boolean) {
        DataType::Boolean
    } else if some().all(|v| v.as_i64().is_some()) {
        DataType::Int64
    } else if some().all(Value::is_number) {
        DataType::Float64
    } else {
        DataType::Utf8
    };
    match kind {
        DataType::Boolean => Arc::new(values.iter().map(|v| v.and_then(Value::as_bool)).collect::<BooleanArray>()),
        DataType::Int64 => Arc::new(values.iter().map(|v| v.and_then(Value::as_i64)).collect::<Int64Array>()),
        DataType::Float64 => Arc::new(values.iter().map(|v| v.and_then(Value::as_f64)).collect::<Float64Array>()),
        _ => {
            let text = |v: &Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
            Arc::new(values.iter().map(|v| v.filter(|v| !v.is_null()).map(text)).collect::<StringArray>())
        }
    }
}

/// Adds a geometry object.
fn add(geometry: &Value, shape: &mut Shape, depth: usize) -> Result<(), String> {
    let Some(depth) = depth.checked_sub(1) else { return Err("collections of geometries are too deep inside each other".into()) };
    let kind = geometry.get("type").and_then(Value::as_str);
    if kind == Some("GeometryCollection") {
        return list(geometry.get("geometries"), "geometries")?.iter().try_for_each(|g| add(g, shape, depth));
    }
    let coordinates = geometry.get("coordinates");
    let at = |v: &Value| Some(v.clone());
    match kind {
        Some("Point") => {
            // An empty list is an empty point.
            if coordinates.and_then(Value::as_array).is_none_or(|c| !c.is_empty()) {
                shape.points.push(point(coordinates)?);
            }
        }
        Some("MultiPoint") => shape.points.extend(line(coordinates)?),
        Some("LineString") => shape.lines.push(line(coordinates)?),
        Some("MultiLineString") => shape.lines.extend(lines(coordinates)?),
        Some("Polygon") => shape.polygons.push(lines(coordinates)?),
        Some("MultiPolygon") => {
            for polygon in list(coordinates, "coordinates")? {
                shape.polygons.push(lines(at(polygon).as_ref())?);
            }
        }
        _ => return Err(format!("a geometry is expected, and its type is {}", shown(geometry.get("type")))),
    }
    Ok(())
}

fn list<'a>(value: Option<&'a Value>, what: &str) -> Result<&'a Vec<Value>, String> {
    value.and_then(Value::as_array).ok_or_else(|| format!("a list ({what}) is expected, found {}", shown(value)))
}

fn point(value: Option<&Value>) -> Result<Point, String> {
    let numbers = value.and_then(Value::as_array).map(|v| v.iter().map(Value::as_f64).collect::<Vec<_>>());
    match numbers.as_deref() {
        Some([Some(x), Some(y), ..]) => Ok([*x, *y]),
        _ => Err(format!("a position of two numbers is expected, found {}", shown(value))),
    }
}

fn line(value: Option<&Value>) -> Result<Line, String> {
    list(value, "positions")?.iter().map(|p| point(Some(p))).collect()
}

fn lines(value: Option<&Value>) -> Result<Vec<Line>, String> {
    list(value, "rings or lines")?.iter().map(|l| line(Some(l))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::tables::crs_of;

    #[test]
    fn properties_become_typed_columns() {
        let text = r#"{"type": "FeatureCollection", "bbox": [0, 0, 1, 1], "features": [
            {"type": "Feature", "id": 7, "geometry": {"type": "Point", "coordinates": [1, 2, 3]},
             "properties": {"n": 1, "v": 1, "name": "a", "ok": true, "nested": {"k": [1]}, "mixed": 1}},
            {"type": "Feature", "id": 8, "geometry": null, "properties": {"n": null, "v": 2.5, "mixed": "x"}},
            {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": []}, "properties": null}]}"#;
        let batch = read(text.as_bytes()).unwrap();
        let types: Vec<(String, DataType)> = batch.schema().fields().iter().map(|f| (f.name().clone(), f.data_type().clone())).collect();
        let of = |name: &str| types.iter().find(|(n, _)| n == name).unwrap().1.clone();
        assert_eq!((of("id"), of("n"), of("v"), of("ok")), (DataType::Int64, DataType::Int64, DataType::Float64, DataType::Boolean));
        assert_eq!((of("name"), of("nested"), of("mixed"), of("geom")), (DataType::Utf8, DataType::Utf8, DataType::Utf8, DataType::Binary));
        assert_eq!(crs_of(batch.schema().field_with_name("geom").unwrap()).as_deref(), Some("EPSG:4326"));
        assert_eq!(batch.num_rows(), 3);
    }

    #[test]
    fn mistakes_are_told_with_the_feature() {
        let with = |geometry: &str| {
            let text = format!(
                r#"{{"type":"FeatureCollection","features":[{{"type":"Feature","properties":{{}},"geometry":null}},{{"type":"Feature","properties":{{}},"geometry":{geometry}}}]}}"#
            );
            read(text.as_bytes()).unwrap_err()
        };
        assert!(with(r#"{"type": "Circle"}"#).contains("feature 2: a geometry is expected, and its type is \"Circle\""));
        assert!(with(r#"{"type": "Point", "coordinates": ["a", 2]}"#).contains("feature 2: a position of two numbers"));
        assert!(with(r#"{"type": "Polygon", "coordinates": 5}"#).contains("feature 2: a list"));
        assert!(read(b"{").unwrap_err().contains("GeoJSON is expected"));
        assert!(read(b"[]").unwrap_err().contains("member `type`"));
        let crs = r#"{"type":"FeatureCollection","crs":{"type":"name","properties":{"name":"urn:ogc:def:crs:EPSG::32631"}},"features":[]}"#;
        assert_eq!(crs_of(read(crs.as_bytes()).unwrap().schema().field(0)).as_deref(), Some("EPSG:32631"));
    }
}
