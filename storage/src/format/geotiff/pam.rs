//! GDAL's sidecar `.aux.xml`: nodata, scale, offset, unit and name of bands, which count before those of the file, and items of
//! metadata. Statistics, histograms and georeferencing in it are not read.

use quick_xml::XmlVersion;
use quick_xml::events::Event;
use quick_xml::reader::Reader;

use super::gdal_metadata::number;
use crate::array::{AttributeValue, Attributes};

/// Elements inside one another; damage beyond.
const DEEPEST: usize = 32;

/// The attributes of each of `bands` bands, under the names that the file's own have (`nodata`, `scale_factor` ...), and the
/// names of elements that say where the image lies, which are not read. What stands behind a fault of the XML is left out.
pub(super) fn read(xml: &str, bands: usize) -> (Vec<Attributes>, Vec<String>) {
    let mut reader = Reader::from_str(xml);
    let mut of_band = vec![Attributes::default(); bands];
    let mut ignored = Vec::new();
    let (mut path, mut band, mut text) = (Vec::<String>::new(), None, String::new());
    loop {
        match reader.read_event() {
            Ok(Event::Start(e)) => {
                let name = e.local_name().as_ref().to_string();
                if path.len() == 1 && name == "PAMRasterBand" {
                    let attribute = e.attributes().flatten().find(|a| a.key.as_ref() == "band");
                    let value = attribute.and_then(|a| a.normalized_value(XmlVersion::Implicit1_0).ok().map(|v| v.into_owned()));
                    band = value.and_then(|v| v.trim().parse::<usize>().ok()).and_then(|n| n.checked_sub(1));
                }
                if path.len() == 1 && matches!(name.as_str(), "GeoTransform" | "SRS" | "GCPList") {
                    ignored.push(name.clone());
                }
                if path.len() >= DEEPEST {
                    return (of_band, ignored);
                }
                path.push(name);
                text.clear();
            }
            Ok(Event::Text(part)) => text.push_str(&part),
            Ok(Event::CData(part)) => text.push_str(&part),
            Ok(Event::GeneralRef(reference)) => {
                match (reference.resolve_char_ref(), quick_xml::escape::resolve_predefined_entity(&reference)) {
                    (Ok(Some(c)), _) => text.push(c),
                    (_, Some(part)) => text.push_str(part),
                    _ => {}
                }
            }
            Ok(Event::End(_)) => {
                let name = path.pop().unwrap_or_default();
                let slot = if path.len() == 2 { band.and_then(|b: usize| of_band.get_mut(b)) } else { None };
                if let Some(slot) = slot {
                    let value = std::mem::take(&mut text);
                    match name.as_str() {
                        "NoDataValue" | "NoDataValueAsInt64" | "NoDataValueAsUInt64" => slot.set("nodata", AttributeValue::Text(value)),
                        "Scale" => slot.set("scale_factor", number(value)),
                        "Offset" => slot.set("add_offset", number(value)),
                        "UnitType" => slot.set("units", AttributeValue::Text(value)),
                        "Description" => slot.set("long_name", AttributeValue::Text(value)),
                        _ => {}
                    }
                } else if path.len() == 1 {
                    band = None;
                }
            }
            Ok(Event::Eof) | Err(_) => return (of_band, ignored),
            Ok(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_counts_of_a_band() {
        let xml = r#"<PAMDataset><SRS>x</SRS><PAMRasterBand band="2"><NoDataValue>-7</NoDataValue><Scale>0.5</Scale><Offset>3</Offset>
            <UnitType>K&amp;</UnitType><Description>hi</Description><Metadata><MDI key="STATISTICS_MEAN">4</MDI></Metadata>
            </PAMRasterBand><PAMRasterBand band="9"><Scale>1</Scale></PAMRasterBand></PAMDataset>"#;
        let (bands, ignored) = read(xml, 2);
        assert_eq!((bands[0].0.len(), bands[1].0.len(), ignored), (0, 5, vec!["SRS".to_string()]));
        assert_eq!((bands[1].text("nodata"), bands[1].number("scale_factor"), bands[1].text("units")), (Some("-7"), Some(0.5), Some("K&")));
        assert_eq!(read("<PAMDataset><PAMRasterBand band=\"1\"><Scale>2</Scale><Off", 1).0[0].number("scale_factor"), Some(2.0));
        assert!(read(&"<a>".repeat(100), 1).1.is_empty());
    }
}
