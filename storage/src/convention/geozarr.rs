//! Zarr's own conventions for places: `spatial:transform`, `proj:code` and their kin (GeoZarr, STAC's projection), GDAL's `_CRS`.
//! They fill in what CF does not say: a CRS, and coordinates of dimensions that have none.

use serde_json::Value;

use super::cf::grid_mapping;
use super::{Described, Variable};
use crate::array::{AttributeValue, Attributes, AxisRole, Coordinates};
use crate::format::IndexedGranule;

/// Adds what these attributes say to what CF found.
pub(super) fn apply(granule: &IndexedGranule, described: &mut Described) {
    for variable in &mut described.variables {
        let Some(array) = granule.arrays.get(variable.array) else { continue };
        let around = around(granule, array.metadata.group());
        let levels: Vec<&Attributes> = std::iter::once(&array.metadata.attributes).chain(around).collect();
        if variable.crs.is_none() {
            variable.crs = levels.iter().find_map(|attributes| crs(attributes));
        }
        if let Some(transform) = levels.iter().find_map(|attributes| Transform::of(attributes)) {
            let warning = transform.apply(variable, &levels);
            if let Some(warning) = warning.filter(|w| !described.warnings.contains(w)) {
                described.warnings.push(warning);
            }
        }
    }
}

/// Attributes of a group and of those around it, the innermost first.
fn around<'a>(granule: &'a IndexedGranule, group: &str) -> Vec<&'a Attributes> {
    let mut found = Vec::new();
    let mut path = group.trim_end_matches('/');
    while !path.is_empty() {
        found.extend(granule.groups.iter().find(|(name, _)| name == path).map(|(_, attributes)| attributes));
        path = path.rfind('/').and_then(|at| path.get(..at)).unwrap_or("");
    }
    found.push(&granule.attributes);
    found
}

/// The CRS that attributes name: `EPSG:n`, or WKT.
fn crs(attributes: &Attributes) -> Option<String> {
    let code = attributes.text("proj:code").map(str::trim).filter(|code| code.contains(':')).map(str::to_owned);
    let number = attributes.number("proj:epsg").filter(|n| *n > 0.0 && n.fract() == 0.0).map(|n| format!("EPSG:{n}"));
    let wkt = |text: &str| grid_mapping::crs(&Attributes(vec![("crs_wkt".into(), AttributeValue::Text(text.into()))]), &mut Vec::new());
    let of_gdal = || {
        let crs: Value = serde_json::from_str(attributes.text("_CRS")?).ok()?;
        let of_url = crs.get("url").and_then(Value::as_str).and_then(|url| {
            let (rest, code) = url.rsplit_once('/')?;
            rest.contains("EPSG").then(|| code.parse::<u32>().ok()).flatten().map(|n| format!("EPSG:{n}"))
        });
        of_url.or_else(|| crs.get("wkt").and_then(Value::as_str).and_then(wkt)).or_else(|| identified(crs.get("projjson")?))
    };
    let json = || identified(&serde_json::from_str(attributes.text("proj:projjson")?).ok()?);
    code.or(number).or_else(|| attributes.text("proj:wkt2").and_then(wkt)).or_else(json).or_else(of_gdal)
}

/// The identifier of a CRS in PROJJSON.
fn identified(projjson: &Value) -> Option<String> {
    let id = projjson.get("id")?;
    Some(format!("{}:{}", id.get("authority")?.as_str()?, id.get("code")?))
}

/// From positions to places: x = a * column + b * row + c, y = d * column + e * row + f.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Transform([f64; 6]);

impl Transform {
    fn of(attributes: &Attributes) -> Option<Transform> {
        let numbers = ["spatial:transform", "proj:transform"].iter().find_map(|name| attributes.get(name)?.numbers())?;
        Some(Transform(numbers.get(..6)?.try_into().ok()?)).filter(|t| t.0.iter().all(|v| v.is_finite()))
    }

    /// Gives the variable's rows and columns coordinates where they have none. A warning where the grid is turned.
    fn apply(self, variable: &mut Variable, levels: &[&Attributes]) -> Option<String> {
        let Transform([a, b, c, d, e, f]) = self;
        let named = levels.iter().find_map(|attributes| match attributes.get("spatial:dimensions") {
            Some(AttributeValue::Texts(names)) => names.get(..2).map(<[String]>::to_vec),
            _ => None,
        });
        let position = |name: &str| variable.axes.iter().position(|axis| axis.name == name);
        let (row, column) = match named.as_deref() {
            Some([row, column]) => (position(row)?, position(column)?),
            _ => {
                let column = variable.axes.len().checked_sub(1)?;
                (column.checked_sub(1)?, column)
            }
        };
        let without = |axis: usize| variable.axes.get(axis).is_some_and(|axis| matches!(axis.coordinates, Coordinates::Index(_)));
        if !without(row) || !without(column) {
            return None;
        }
        if b != 0.0 || d != 0.0 {
            return Some(format!("variable {}: its grid is turned against its CRS; rows and columns have positions only", variable.name));
        }
        let node = levels.iter().find_map(|attributes| attributes.text("spatial:registration")) == Some("node");
        let geographic = variable.crs.as_deref().is_some_and(|crs| crs == "EPSG:4326" || crs.starts_with("GEOG"));
        let (x, y) = if geographic { (AxisRole::Longitude, AxisRole::Latitude) } else { (AxisRole::X, AxisRole::Y) };
        for (number, step, begin, role) in [(column, a, c, x), (row, e, f, y)] {
            if let Some(axis) = variable.axes.get_mut(number) {
                let shift = if node { 0.0 } else { 0.5 };
                axis.coordinates = Coordinates::Float64((0..axis.len()).map(|i| begin + (i as f64 + shift) * step).collect());
                axis.role = role;
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::array::{Axis, DataType, Encoding};

    fn variable(names: [&str; 3]) -> Variable {
        let axes = names.iter().map(|n| Axis::of_positions(*n, 2)).collect();
        let encoding = Encoding::identity(DataType::UInt8);
        Variable { name: "v".into(), array: 0, axes, encoding, attributes: Attributes::default(), crs: None }
    }

    fn attributes(list: &[(&str, AttributeValue)]) -> Attributes {
        Attributes(list.iter().map(|(n, v)| (n.to_string(), v.clone())).collect())
    }

    #[test]
    fn transforms_become_coordinates() {
        let floats = |v: &[f64]| AttributeValue::Floats(DataType::Float64, v.into());
        let texts = |v: [&str; 2]| AttributeValue::Texts(v.map(str::to_owned).into());
        let given =
            attributes(&[("spatial:transform", floats(&[10.0, 0.0, 100.0, 0.0, -10.0, 500.0])), ("spatial:dimensions", texts(["a", "b"]))]);
        let mut turned = variable(["a", "b", "band"]);
        assert_eq!(Transform::of(&given).unwrap().apply(&mut turned, &[&given]), None);
        assert_eq!(turned.axes[0].coordinates.to_f64(), Some(vec![495.0, 485.0]));
        assert_eq!((turned.axes[1].coordinates.to_f64(), turned.axes[1].role), (Some(vec![105.0, 115.0]), AxisRole::X));
        let stac = attributes(&[
            ("proj:transform", floats(&[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0])),
            ("spatial:registration", AttributeValue::Text("node".into())),
        ]);
        let mut last = variable(["t", "lat", "lon"]);
        last.crs = Some("EPSG:4326".into());
        assert_eq!(Transform::of(&stac).unwrap().apply(&mut last, &[&stac]), None);
        assert_eq!((last.axes[1].coordinates.to_f64(), last.axes[1].role), (Some(vec![0.0, 1.0]), AxisRole::Latitude));
        let rotated = attributes(&[("spatial:transform", floats(&[10.0, 0.1, 1.0, 0.15, -10.0, 5.0]))]);
        assert!(Transform::of(&rotated).unwrap().apply(&mut variable(["t", "y", "x"]), &[&rotated]).unwrap().contains("turned"));
        assert_eq!(Transform::of(&attributes(&[("spatial:transform", floats(&[1.0]))])), None);
    }

    #[test]
    fn crss_are_found_where_writers_put_them() {
        let text = |v: &str| AttributeValue::Text(v.into());
        for (name, value, want) in [
            ("proj:code", text("EPSG:32633"), Some("EPSG:32633")),
            ("proj:epsg", AttributeValue::Integers(DataType::Int64, vec![26711]), Some("EPSG:26711")),
            ("_CRS", text(r#"{"url": "http://www.opengis.net/def/crs/EPSG/0/26711"}"#), Some("EPSG:26711")),
            ("_CRS", text(r#"{"wkt": "PROJCRS[\"x\",ID[\"EPSG\",3413]]"}"#), Some("EPSG:3413")),
            ("proj:projjson", text(r#"{"id": {"authority": "EPSG", "code": 3857}}"#), Some("EPSG:3857")),
            ("proj:code", text("local"), None),
            ("_CRS", text("{"), None),
        ] {
            assert_eq!(crs(&attributes(&[(name, value)])).as_deref(), want, "{name}");
        }
    }
}
