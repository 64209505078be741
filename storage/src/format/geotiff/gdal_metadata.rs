//! The XML of the GDAL_METADATA tag: items of the data set and of single bands.

use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;

use crate::array::{AttributeValue, Attributes, DataType};

/// One `<Item name= sample= role= domain=>text</Item>`.
#[derive(Debug, Default, PartialEq)]
struct Item {
    name: String,
    sample: Option<usize>,
    role: Option<String>,
    domain: Option<String>,
    text: String,
}

impl Item {
    /// GDAL escapes texts twice and undoes both.
    fn finish(mut self) -> Item {
        if let Ok(std::borrow::Cow::Owned(text)) = quick_xml::escape::unescape(&self.text) {
            self.text = text;
        }
        self
    }
}

/// The items of the default domain: of the data set, and of each of `bands` bands under the names that CF gives them
/// (`scale_factor`, `add_offset`, `long_name`, `units`). XML that is not well-formed gives what stands before the fault,
/// and the fault.
pub(super) fn read(xml: &str, bands: usize) -> (Attributes, Vec<Attributes>, Option<String>) {
    let (items, fault) = items(xml);
    let mut of_all = Attributes::default();
    let mut of_band = vec![Attributes::default(); bands];
    for item in items.into_iter().filter(|i| i.domain.as_deref().unwrap_or_default().is_empty()) {
        let Some(sample) = item.sample else {
            of_all.set(item.name, AttributeValue::Text(item.text));
            continue;
        };
        let Some(band) = of_band.get_mut(sample) else { continue };
        match (item.role.as_deref(), item.name.as_str()) {
            (Some("scale"), _) | (None, "SCALE") => band.set("scale_factor", number(item.text)),
            (Some("offset"), _) | (None, "OFFSET") => band.set("add_offset", number(item.text)),
            (Some("description"), _) | (None, "DESCRIPTION") => band.set("long_name", AttributeValue::Text(item.text)),
            (Some("unittype"), _) | (None, "UNITTYPE") => band.set("units", AttributeValue::Text(item.text)),
            _ => band.set(item.name, AttributeValue::Text(item.text)),
        }
    }
    (of_all, of_band, fault)
}

pub(super) fn number(text: String) -> AttributeValue {
    match text.trim().parse() {
        Ok(v) => AttributeValue::Floats(DataType::Float64, vec![v]),
        Err(_) => AttributeValue::Text(text),
    }
}

fn items(xml: &str) -> (Vec<Item>, Option<String>) {
    let mut reader = Reader::from_str(xml);
    let mut items = Vec::new();
    let mut open: Option<Item> = None;
    loop {
        match reader.read_event() {
            Ok(Event::Start(e)) if e.local_name().as_ref() == "Item" => open = Some(begin(&e)),
            Ok(Event::Empty(e)) if e.local_name().as_ref() == "Item" => items.push(begin(&e)),
            Ok(Event::End(e)) if e.local_name().as_ref() == "Item" => items.extend(open.take().map(Item::finish)),
            Ok(Event::Text(text)) => {
                if let Some(item) = &mut open {
                    item.text.push_str(&text);
                }
            }
            Ok(Event::CData(text)) => {
                if let Some(item) = &mut open {
                    item.text.push_str(&text);
                }
            }
            Ok(Event::GeneralRef(reference)) => {
                if let Some(item) = &mut open {
                    match (reference.resolve_char_ref(), quick_xml::escape::resolve_predefined_entity(&reference)) {
                        (Ok(Some(c)), _) => item.text.push(c),
                        (_, Some(text)) => item.text.push_str(text),
                        _ => {}
                    }
                }
            }
            Ok(Event::Eof) => return (items, None),
            Ok(_) => {}
            Err(e) => return (items, Some(e.to_string())),
        }
    }
}

fn begin(start: &BytesStart<'_>) -> Item {
    let mut item = Item::default();
    for attribute in start.attributes().flatten() {
        let Ok(value) = attribute.normalized_value(XmlVersion::Implicit1_0) else { continue };
        match attribute.key.as_ref() {
            "name" => item.name = value.into_owned(),
            "sample" => item.sample = value.trim().parse().ok(),
            "role" => item.role = Some(value.to_ascii_lowercase()),
            "domain" => item.domain = Some(value.into_owned()),
            _ => {}
        }
    }
    item
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_of_the_set_and_of_bands() {
        let xml = r#"<GDALMetadata>
  <Item name="SOURCE">A &amp;amp; B &#60;x&gt;</Item>
  <Item name="OFFSET" sample="0" role="offset">-273.15</Item>
  <Item name="SCALE" sample="1" role="scale">0.01</Item>
  <Item name="DESCRIPTION" sample="1" role="description"><![CDATA[sea <surface>]]></Item>
  <Item name="UNITTYPE" sample="0" role="unittype">kelvin</Item>
  <Item name="STATISTICS_MEAN" sample="1">4.5</Item>
  <Item name="INTERLEAVE" domain="IMAGE_STRUCTURE">PIXEL</Item>
  <Item name="BEYOND" sample="7">x</Item><Item name="EMPTY"/>
</GDALMetadata>"#;
        let (all, bands, fault) = read(xml, 2);
        assert_eq!(fault, None);
        assert_eq!(all.text("SOURCE"), Some("A & B <x>"));
        assert_eq!(all.text("EMPTY"), Some(""));
        assert_eq!(all.0.len(), 2);
        assert_eq!(bands[0].number("add_offset"), Some(-273.15));
        assert_eq!(bands[0].text("units"), Some("kelvin"));
        assert_eq!(bands[1].number("scale_factor"), Some(0.01));
        assert_eq!(bands[1].text("long_name"), Some("sea <surface>"));
        assert_eq!(bands[1].text("STATISTICS_MEAN"), Some("4.5"));
        assert_eq!(read("<GDALMetadata> </GDALMetadata>", 1).0, Attributes::default());
    }

    #[test]
    fn broken_xml_keeps_what_came_before() {
        let (all, _, fault) = read("<GDALMetadata><Item name=\"A\">1</Item><Item name=</GDALMet", 1);
        assert_eq!(all.text("A"), Some("1"));
        assert!(fault.is_some());
    }
}
