//! HDF-EOS5's structure metadata (`/HDFEOS INFORMATION/StructMetadata.0`), a text in ODL: which dimensions the fields of
//! grids, swaths and zonal averages have (HDF-EOS Interface Based on HDF5, volume 1, section 2).

use std::collections::HashMap;

/// A grid, a swath or a zonal average.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Structure {
    /// The group that holds all of its kind: `GRIDS`, `SWATHS`, `ZAS`.
    pub kind: &'static str,
    /// Its name, and that of its group.
    pub name: String,
    /// What stands in it directly: `XDim`, `UpperLeftPointMtrs`, `Projection` ...
    pub parameters: HashMap<String, String>,
    /// Length of each dimension; -1 for one without limit.
    pub dimensions: HashMap<String, i64>,
    /// Name and dimensions of each field.
    pub fields: Vec<(String, Vec<String>)>,
}

impl Structure {
    /// A parameter's numbers: one, or a list in parentheses.
    pub(super) fn numbers(&self, parameter: &str) -> Option<Vec<f64>> {
        list(self.parameters.get(parameter)?).iter().map(|n| n.parse().ok()).collect()
    }
}

/// Structures are read up to this number.
const MOST: usize = 4096;

/// All structures that the text describes; lines that are not understood are left.
pub(super) fn structures(text: &str) -> Vec<Structure> {
    let mut found: Vec<Structure> = Vec::new();
    // Names of the groups and objects around a line.
    let mut around: Vec<&str> = Vec::new();
    let mut field: (Option<String>, Vec<String>) = (None, Vec::new());
    let mut dimension: (Option<String>, Option<i64>) = (None, None);
    for (key, value) in lines(text) {
        match key {
            "GROUP" | "OBJECT" => {
                around.push(value);
                if let [kind, _] = around.as_slice() {
                    let kind = match *kind {
                        "GridStructure" => "GRIDS",
                        "SwathStructure" => "SWATHS",
                        "ZaStructure" => "ZAS",
                        _ => continue,
                    };
                    if found.len() >= MOST {
                        return found;
                    }
                    found.push(Structure { kind, ..Structure::default() });
                }
                (field, dimension) = Default::default();
            }
            "END_GROUP" | "END_OBJECT" => {
                around.pop();
                let Some(structure) = found.last_mut() else { continue };
                if let (Some(name), dims) = std::mem::take(&mut field) {
                    structure.fields.push((name, dims));
                }
                if let (Some(name), Some(length)) = std::mem::take(&mut dimension) {
                    structure.dimensions.insert(name, length);
                }
            }
            _ => {
                let in_structure = matches!(around.first(), Some(&("GridStructure" | "SwathStructure" | "ZaStructure")));
                let Some(structure) = found.last_mut().filter(|_| in_structure) else { continue };
                match (around.len(), key) {
                    (2, "GridName" | "SwathName" | "ZaName") => structure.name = unquoted(value).into(),
                    (2, key) => {
                        structure.parameters.insert(key.into(), value.into());
                    }
                    (4, "DimensionName") => dimension.0 = Some(unquoted(value).into()),
                    (4, "Size") => dimension.1 = value.parse().ok(),
                    (4, "DimList") => field.1 = list(value).into_iter().map(str::to_string).collect(),
                    (4, key) if key.ends_with("FieldName") => field.0 = Some(unquoted(value).into()),
                    _ => {}
                }
            }
        }
    }
    found.retain(|s| !s.name.is_empty());
    found
}

/// `key=value` lines.
fn lines(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines().filter_map(|line| line.split_once('=')).map(|(key, value)| (key.trim(), value.trim()))
}

fn unquoted(value: &str) -> &str {
    value.trim().trim_matches('"')
}

/// The parts of `("a","b")`, or of a value alone.
fn list(value: &str) -> Vec<&str> {
    value.trim().trim_start_matches('(').trim_end_matches(')').split(',').map(unquoted).filter(|part| !part.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structures_have_names_dimensions_and_fields() {
        let text = "GROUP=GridStructure\n\tGROUP=GRID_1\n\t\tGridName=\"G\"\n\t\tXDim=4\n\t\tUpperLeftPointMtrs=(-1.5,2)\n\
            GROUP=Dimension\nOBJECT=Dimension_1\nDimensionName=\"Band\"\nSize=3\nEND_OBJECT=Dimension_1\nEND_GROUP=Dimension\n\
            GROUP=DataField\nOBJECT=DataField_1\nDataFieldName=\"f\"\nDimList=(\"YDim\",\"XDim\")\nMaxdimList=(\"Y\")\nEND_OBJECT=DataField_1\n\
            END_GROUP=DataField\nEND_GROUP=GRID_1\nEND_GROUP=GridStructure\nGROUP=PointStructure\nGROUP=P\nGridName=\"not\"\nEND_GROUP=P\nEND\n";
        let found = structures(text);
        assert_eq!(found.len(), 1);
        let grid = &found[0];
        assert_eq!((grid.kind, grid.name.as_str(), grid.dimensions.get("Band")), ("GRIDS", "G", Some(&3)));
        assert_eq!((grid.numbers("UpperLeftPointMtrs"), grid.numbers("XDim")), (Some(vec![-1.5, 2.0]), Some(vec![4.0])));
        assert_eq!(grid.fields, [("f".to_string(), vec!["YDim".to_string(), "XDim".to_string()])]);
        for end in 0..text.len() {
            structures(&text[..end]);
        }
    }
}
