//! Grid mappings (CF section 5.6): which variable describes the projection of a data variable, and what CRS it names.

use super::projection;
use crate::array::{AttributeValue, Attributes};

/// True for a variable that only carries a projection's parameters.
pub fn is_grid_mapping(attributes: &Attributes) -> bool {
    ["grid_mapping_name", "crs_wkt", "spatial_ref"].iter().any(|name| attributes.get(name).is_some())
}

/// Names in a `grid_mapping` attribute with the coordinates that each is for (none in the short form):
/// `crs`, or `crsOSGB: x y crsWGS84: lat lon`.
pub fn references(attribute: &str) -> Vec<(String, Vec<String>)> {
    let mut found: Vec<(String, Vec<String>)> = Vec::new();
    let long = attribute.contains(':');
    for word in attribute.split_whitespace() {
        match (word.strip_suffix(':'), found.last_mut()) {
            (Some(name), _) => found.push((name.to_owned(), Vec::new())),
            (None, Some((_, coordinates))) if long => coordinates.push(word.to_owned()),
            _ => found.push((word.to_owned(), Vec::new())),
        }
    }
    found
}

/// The CRS of a grid mapping: `EPSG:n` where its attributes name one, else their WKT, else WKT from the projection's parameters
/// (see [`projection`]). `None` where that cannot be made, with the reason among `warnings`.
pub fn crs(attributes: &Attributes, warnings: &mut Vec<String>) -> Option<String> {
    if let Some(named) = named(attributes) {
        return Some(named);
    }
    attributes.get("grid_mapping_name")?;
    projection::crs(attributes).map_err(|why| warnings.push(format!("its projection makes no CRS: {why}"))).ok()
}

/// The CRS that attributes name: `EPSG:n` where they say so, else WKT.
fn named(attributes: &Attributes) -> Option<String> {
    let wkt = ["crs_wkt", "spatial_ref", "esri_pe_string"]
        .iter()
        .filter_map(|name| attributes.text(name))
        .map(str::trim)
        .find(|text| !text.is_empty());
    if let Some(code) = wkt.and_then(epsg) {
        return Some(code);
    }
    for name in ["epsg_code", "epsg", "EPSG", "EPSG_code", "proj4", "proj4text", "proj4_params"] {
        let code = match attributes.get(name) {
            Some(AttributeValue::Integers(_, v)) => v.first().filter(|&&n| n > 0).map(|n| format!("EPSG:{n}")),
            Some(value) => value.as_text().and_then(epsg),
            None => None,
        };
        if code.is_some() {
            return code;
        }
    }
    wkt.map(str::to_owned)
}

/// The EPSG code of the whole of a CRS: `EPSG:n` (also as a URN or `+init=epsg:n`), bare digits, or WKT whose outermost
/// node carries an EPSG `AUTHORITY` or `ID`.
fn epsg(text: &str) -> Option<String> {
    let text = text.trim();
    let code = |digits: &str| digits.parse::<u32>().ok().filter(|&n| n > 0).map(|n| format!("EPSG:{n}"));
    if text.contains(['[', '(']) {
        return outermost_authority(text).and_then(|n| code(&n));
    }
    let lower = text.to_ascii_lowercase();
    if let Some(at) = lower.find("epsg:") {
        let rest = lower[at..].split_whitespace().next().unwrap_or("");
        return rest.rsplit(':').next().and_then(code);
    }
    code(text)
}

/// The code of the EPSG `AUTHORITY["EPSG","n"]` or `ID["EPSG",n]` that stands directly in the outermost node of WKT.
fn outermost_authority(wkt: &str) -> Option<String> {
    let mut depth = 0usize;
    let mut quoted = false;
    let mut keyword = String::new();
    let mut found = None;
    for (at, c) in wkt.char_indices() {
        match c {
            '"' => quoted = !quoted,
            _ if quoted => {}
            '[' | '(' => {
                depth += 1;
                if depth == 2 && (keyword.eq_ignore_ascii_case("AUTHORITY") || keyword.eq_ignore_ascii_case("ID")) {
                    let inside = wkt[at + c.len_utf8()..].split([']', ')']).next().unwrap_or("");
                    let mut parts = inside.split(',').map(|p| p.trim().trim_matches('"'));
                    if parts.next().is_some_and(|name| name.eq_ignore_ascii_case("EPSG")) {
                        found = parts.next().map(str::to_owned);
                    }
                }
                keyword.clear();
            }
            ']' | ')' => depth = depth.saturating_sub(1),
            c if c.is_ascii_alphanumeric() || c == '_' => keyword.push(c),
            _ => keyword.clear(),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(list: &[(&str, &str)]) -> Option<String> {
        let attributes = Attributes(list.iter().map(|(n, v)| (n.to_string(), AttributeValue::Text(v.to_string()))).collect());
        crs(&attributes, &mut vec![])
    }

    #[test]
    fn the_outermost_authority_counts() {
        let utm = r#"PROJCS["WGS 84 / UTM zone 31N",GEOGCS["WGS 84",AUTHORITY["EPSG","4326"]],UNIT["metre",1],AUTHORITY["EPSG","32631"]]"#;
        assert_eq!(named(&[("crs_wkt", utm)]).as_deref(), Some("EPSG:32631"));
        let no_code = r#"PROJCS["mine [ID(1)]",GEOGCS["WGS 84",AUTHORITY["EPSG","4326"]],UNIT["metre",1]]"#;
        assert_eq!(named(&[("spatial_ref", no_code)]).as_deref(), Some(no_code));
        assert_eq!(
            named(&[("crs_wkt", r#"GEOGCRS["WGS 84",DATUM["x",ELLIPSOID["y",1,2]],ID["EPSG",4326]]"#)]).as_deref(),
            Some("EPSG:4326")
        );
    }

    #[test]
    fn codes_are_found_where_files_put_them() {
        assert_eq!(named(&[("epsg_code", "EPSG:27700")]).as_deref(), Some("EPSG:27700"));
        assert_eq!(named(&[("proj4", "+init=epsg:3857 +no_defs")]).as_deref(), Some("EPSG:3857"));
        assert_eq!(named(&[("spatial_ref", "EPSG:3413")]).as_deref(), Some("EPSG:3413"));
        assert_eq!(named(&[("grid_mapping_name", "latitude_longitude")]).as_deref(), Some("EPSG:4326"));
        assert_eq!(named(&[("grid_mapping_name", "rotated_latitude_longitude")]), None);
    }

    #[test]
    fn references_of_both_forms() {
        assert_eq!(references("crs"), [("crs".to_owned(), vec![])]);
        let long = references("crsOSGB: x y crsWGS84: lat lon");
        assert_eq!(
            long,
            [("crsOSGB".into(), vec!["x".into(), "y".into()]), ("crsWGS84".to_owned(), vec!["lat".to_owned(), "lon".to_owned()])]
        );
    }
}
