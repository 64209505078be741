//! Packed data (CF section 8.1; netCDF Users Guide, attribute conventions): `scale_factor`, `add_offset`, `_Unsigned`.

use crate::array::{Attributes, DataType, Encoding};

/// The packing that attributes declare for cells stored as `stored`; nothing is missing yet. What is ignored is told in
/// `warnings`.
///
/// Values of packed types of 16 bits or fewer are `Float32`, of wider ones `Float64`; values that are not packed keep
/// their type (half precision widens to `Float32`).
pub fn packing(stored: DataType, attributes: &Attributes, warnings: &mut Vec<String>) -> Encoding {
    let stored = match attributes.text("_Unsigned") {
        Some(text) if text.trim().eq_ignore_ascii_case("true") => stored.unsigned(),
        Some(text) if text.trim().eq_ignore_ascii_case("false") => signed(stored),
        _ => stored,
    };
    let mut encoding = Encoding::identity(stored);
    if stored == DataType::Float16 {
        encoding.decoded = DataType::Float32;
    }
    if stored.is_text() {
        return encoding;
    }
    let mut factor = |name: &str| {
        let value = attributes.get(name)?;
        match value.number() {
            Some(number) if number.is_finite() => Some(number),
            _ => {
                warnings.push(format!("{name} {} is not a number and is ignored", value.to_json()));
                None
            }
        }
    };
    (encoding.scale, encoding.offset) = (factor("scale_factor").unwrap_or(1.0), factor("add_offset").unwrap_or(0.0));
    if encoding.is_packed() {
        encoding.decoded = if stored.size() <= 2 { DataType::Float32 } else { DataType::Float64 };
    }
    encoding
}

/// The signed type of the same width, or the type itself.
fn signed(data_type: DataType) -> DataType {
    match data_type {
        DataType::UInt8 => DataType::Int8,
        DataType::UInt16 => DataType::Int16,
        DataType::UInt32 => DataType::Int32,
        DataType::UInt64 => DataType::Int64,
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::array::AttributeValue::{Floats, Text};

    fn attributes(list: &[(&str, crate::array::AttributeValue)]) -> Attributes {
        Attributes(list.iter().map(|(n, v)| (n.to_string(), v.clone())).collect())
    }

    #[test]
    fn numbers_stored_as_text_are_numbers_and_other_text_is_ignored() {
        let mut warnings = vec![];
        let found = packing(
            DataType::Int16,
            &attributes(&[("scale_factor", Text("0.005".into())), ("add_offset", Text("none".into()))]),
            &mut warnings,
        );
        assert_eq!((found.scale, found.offset, found.decoded), (0.005, 0.0, DataType::Float32));
        assert_eq!(warnings, ["add_offset \"none\" is not a number and is ignored"]);
    }

    #[test]
    fn decoded_type_follows_the_packed_width() {
        let scaled = attributes(&[("scale_factor", Floats(DataType::Float64, vec![0.5]))]);
        for (stored, decoded) in [
            (DataType::Int8, DataType::Float32),
            (DataType::UInt16, DataType::Float32),
            (DataType::Int32, DataType::Float64),
            (DataType::Float32, DataType::Float64),
        ] {
            assert_eq!(packing(stored, &scaled, &mut vec![]).decoded, decoded);
        }
        assert_eq!(packing(DataType::Int16, &Attributes::default(), &mut vec![]), Encoding::identity(DataType::Int16));
    }

    #[test]
    fn unsigned_is_a_matter_of_the_attribute() {
        let unsigned = attributes(&[("_Unsigned", Text("True".into()))]);
        assert_eq!(packing(DataType::Int16, &unsigned, &mut vec![]).stored, DataType::UInt16);
        assert_eq!(packing(DataType::Float32, &unsigned, &mut vec![]).stored, DataType::Float32);
        let not = attributes(&[("_Unsigned", Text("false".into()))]);
        assert_eq!(packing(DataType::UInt8, &not, &mut vec![]).stored, DataType::Int8);
    }
}
