//! GeoTIFF and TIFF: directories to arrays. Bands of the first image are `/band_1` ..., of its overviews
//! `/overview_1/band_1` ... (largest first), of further pages `/page_2/band_1` ...; geo tags become attributes that
//! `convention::geokeys` reads.

mod directory;
mod field;
mod gdal_metadata;
mod layout;
pub(crate) mod nodata;
mod segments;
mod source;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;

use async_trait::async_trait;

use self::directory::{Directory, Header};
use self::field::tag;
use self::layout::Layout;
use self::source::Source;
use super::{Format, IndexedArray, IndexedGranule, Refused};
use crate::array::{ArrayMetadata, AttributeValue, Attributes, DataType};
use crate::codec::Codec;
use crate::object::ObjectReader;
use crate::{Error, Result};

/// TIFF 6.0, BigTIFF and GeoTIFF 1.1.
#[derive(Debug, Clone, Copy, Default)]
pub struct GeoTiff;

#[async_trait]
impl Format for GeoTiff {
    fn name(&self) -> &'static str {
        "GeoTIFF"
    }

    fn detect(&self, head: &[u8]) -> bool {
        Header::read(head).is_some()
    }

    async fn index(&self, object: &ObjectReader) -> Result<IndexedGranule> {
        index(object).await
    }
}

/// What a directory is in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Page,
    Overview,
    Mask,
}

async fn index(source: &dyn Source) -> Result<IndexedGranule> {
    let object = source.location();
    let head = source.read(0..source.size().min(16)).await?;
    let header = Header::read(&head).ok_or_else(|| Error::data(object, "expected a TIFF header (II or MM, then 42 or 43)"))?;
    let directories = directory::read_all(source, header).await?;
    let mut granule = IndexedGranule { format: "tiff".into(), refused: directories.refused, ..Default::default() };
    let Some((first, rest)) = directories.main.split_first() else { return Ok(granule) };
    let described = |t: u16| t > tag::YCBCR_SUBSAMPLING || matches!(t, tag::IMAGE_DESCRIPTION | tag::SOFTWARE | tag::DATE_TIME);
    for (t, e) in first.damaged().filter(|(t, _)| described(*t)) {
        granule.refused.push(Refused { path: "/".into(), reason: format!("{} is not readable: {e}", tag::name(t)) });
    }
    let geo = [tag::GEO_KEY_DIRECTORY, tag::MODEL_PIXEL_SCALE, tag::MODEL_TIEPOINT, tag::MODEL_TRANSFORMATION];
    if geo.iter().any(|&t| first.has(t)) {
        granule.format = "geotiff".into();
    }
    let mut reading = Reading { source, shared: Shared::default() };
    reading.describe(first, &mut granule);
    reading.image(first, Layout::of(first, header, object), "", &mut granule);

    let mut overviews = Vec::new();
    for (i, directory) in rest.iter().enumerate() {
        let number = i + 2;
        match kind(directory, object) {
            Kind::Page => {
                let layout = Layout::of(directory, header, object);
                reading.image(directory, layout, &format!("/page_{number}"), &mut granule);
            }
            Kind::Overview => overviews.push((directory, Layout::of(directory, header, object))),
            Kind::Mask => granule.refused.push(mask(&format!("/directory_{number}"))),
        }
    }
    for (i, directory) in directories.sub.iter().enumerate() {
        match kind(directory, object) {
            Kind::Mask => granule.refused.push(mask(&format!("/sub_directory_{}", i + 1))),
            _ => overviews.push((directory, Layout::of(directory, header, object))),
        }
    }
    // Files keep them in any order.
    overviews.sort_by_key(|(_, layout)| Reverse(layout.as_ref().map_or(0, |l| l.width.saturating_mul(l.height))));
    for (i, (directory, layout)) in overviews.into_iter().enumerate() {
        reading.image(directory, layout, &format!("/overview_{}", i + 1), &mut granule);
    }
    Ok(granule)
}

fn mask(path: &str) -> Refused {
    Refused { path: path.into(), reason: "a transparency mask (NewSubfileType bit 2): masks are not applied".into() }
}

fn kind(directory: &Directory, object: &str) -> Kind {
    let first = |tag| directory.first(object, tag).ok().flatten();
    let flags = first(tag::NEW_SUBFILE_TYPE).unwrap_or(0);
    if flags & 4 != 0 || first(tag::PHOTOMETRIC) == Some(4) {
        Kind::Mask
    } else if flags & 1 != 0 || first(tag::SUBFILE_TYPE) == Some(2) {
        Kind::Overview
    } else {
        Kind::Page
    }
}

/// What the first directory says for all: GDAL writes it there only.
#[derive(Default)]
struct Shared {
    bands: Vec<Attributes>,
    nodata: Option<String>,
}

struct Reading<'a> {
    source: &'a dyn Source,
    shared: Shared,
}

impl Reading<'_> {
    /// Attributes of the granule and of the first image's bands.
    fn describe(&mut self, first: &Directory, granule: &mut IndexedGranule) {
        let object = self.source.location();
        let samples = first.first(object, tag::SAMPLES_PER_PIXEL).ok().flatten().unwrap_or(1).min(u64::from(u16::MAX));
        let field = |tag| first.field(tag).ok().flatten();
        if let Some(xml) = field(tag::GDAL_METADATA).and_then(|f| f.text()) {
            let (of_all, of_bands, fault) = gdal_metadata::read(&xml, samples as usize);
            granule.attributes = of_all;
            self.shared.bands = of_bands;
            if let Some(fault) = fault {
                granule.refused.push(Refused { path: "/".into(), reason: format!("GDAL_METADATA is not well-formed XML: {fault}") });
            }
        }
        self.shared.nodata = field(tag::GDAL_NODATA).and_then(|f| f.text());
        let attributes = &mut granule.attributes;
        for tag in [tag::IMAGE_DESCRIPTION, tag::SOFTWARE, tag::DATE_TIME] {
            if let Some(text) = field(tag).and_then(|f| f.text()) {
                attributes.set(tag::name(tag), AttributeValue::Text(text));
            }
        }
        for tag in [tag::MODEL_PIXEL_SCALE, tag::MODEL_TIEPOINT, tag::MODEL_TRANSFORMATION, tag::GEO_DOUBLE_PARAMS] {
            if let Some(numbers) = field(tag).and_then(|f| f.numbers()) {
                attributes.set(tag::name(tag), AttributeValue::Floats(DataType::Float64, numbers));
            }
        }
        if let Some(keys) = field(tag::GEO_KEY_DIRECTORY).and_then(|f| f.unsigned()) {
            let keys = keys.into_iter().map(|k| k.min(u64::from(u16::MAX)) as i64).collect();
            attributes.set(tag::name(tag::GEO_KEY_DIRECTORY), AttributeValue::Integers(DataType::UInt16, keys));
        }
        if let Some(field) = field(tag::GEO_ASCII_PARAMS) {
            attributes.set(tag::name(tag::GEO_ASCII_PARAMS), AttributeValue::Text(field.latin1()));
        }
    }

    /// Adds one image's bands below `group`, or the reason why they are not read.
    fn image(&self, directory: &Directory, layout: Result<Layout>, group: &str, granule: &mut IndexedGranule) {
        let bands = match layout {
            Ok(layout) => self.bands(directory, &layout, group),
            Err(e) => Err(e),
        };
        match bands {
            Ok(bands) => granule.arrays.extend(bands),
            Err(e) => {
                let path = if group.is_empty() { "/".to_string() } else { group.to_string() };
                let reason = match e {
                    Error::Unsupported { feature, .. } => format!("unsupported {feature}"),
                    other => format!("{other} (directory at byte {})", directory.at),
                };
                granule.refused.push(Refused { path, reason });
            }
        }
    }

    fn bands(&self, directory: &Directory, layout: &Layout, group: &str) -> Result<Vec<IndexedArray>> {
        let object = self.source.location();
        let segments = segments::read(object, self.source.size(), directory, layout)?;
        // Chunky bands each list the same segments: a claimed number of samples must not outgrow the object.
        let listed = segments.planes.iter().map(|p| p.chunks.len() as u64).sum::<u64>().saturating_mul(layout.samples / layout.planes());
        let most = (1 << 20) + self.source.size() / 16;
        if listed > most {
            return Err(Error::data(object, format!("{} bands list {listed} segments, more than {most}", layout.samples)));
        }
        let nodata = match directory.field(tag::GDAL_NODATA) {
            Ok(Some(field)) => field.text(),
            _ => self.shared.nodata.clone(),
        };
        let nodata = nodata.filter(|text| !text.trim().is_empty());
        let fill_value = nodata.as_deref().and_then(|text| nodata::parse(text, layout.data_type)).map(|n| n.fill);
        let band = |sample: u64| {
            let mut attributes = Attributes::default();
            if let Some(text) = &nodata {
                attributes.set("nodata", AttributeValue::Text(text.clone()));
            }
            for (name, value) in self.shared.bands.get(sample as usize).into_iter().flat_map(|a| &a.0) {
                attributes.set(name.clone(), value.clone());
            }
            let mut codecs = layout.codecs.clone();
            if layout.chunky && layout.samples > 1 {
                let (samples, element) = (layout.samples as u32, layout.element() as u32);
                codecs.insert(0, Codec::Interleave { samples, sample: sample as u32, element });
            }
            let metadata = ArrayMetadata {
                path: format!("{group}/band_{}", sample + 1),
                dimensions: vec!["y".into(), "x".into()],
                shape: vec![layout.height, layout.width],
                data_type: layout.data_type,
                byte_order: layout.byte_order,
                chunk_shape: segments.chunk_shape.clone(),
                edge: segments.edge,
                codecs,
                fill_value,
                attributes,
            };
            let plane = if layout.chunky { 0 } else { sample as usize };
            let manifest = segments.planes.get(plane).cloned().unwrap_or_default();
            IndexedArray { metadata, manifest }
        };
        Ok((0..layout.samples).map(band).collect())
    }
}
