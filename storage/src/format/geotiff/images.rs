//! Images to arrays: the bands of one directory, their attributes, and what GDAL's own tags add.

use super::super::{IndexedArray, IndexedGranule, Refused};
use super::directory::Directory;
use super::field::tag;
use super::layout::Layout;
use super::samples::Samples;
use super::source::Source;
use super::{gdal_metadata, nodata, segments};
use crate::array::{ArrayMetadata, AttributeValue, Attributes, ChunkRef, DataType};
use crate::codec::Codec;
use crate::{Error, Result};

/// What a page says for its overviews as well: GDAL writes it there only.
#[derive(Default)]
pub(super) struct Shared {
    bands: Vec<Attributes>,
    nodata: Option<String>,
    /// What PAM's sidecar says of each band: it counts before the rest.
    pub(super) pam: Vec<Attributes>,
}

impl Shared {
    /// The text that means "missing" in a band of a directory.
    fn nodata(&self, directory: &Directory, band: u64) -> Option<String> {
        let of_pam = self.pam.get(band as usize).and_then(|a| a.text("nodata")).map(str::to_string);
        let of_file = match directory.field(tag::GDAL_NODATA) {
            Ok(Some(field)) => field.text(),
            _ => self.nodata.clone(),
        };
        of_pam.or(of_file).filter(|text| !text.trim().is_empty())
    }
}

/// A file of a granule: the one that was asked for, or one beside it.
#[derive(Clone, Copy)]
pub(super) struct File<'a> {
    pub(super) source: &'a dyn Source,
    /// The number by which chunk references name it.
    pub(super) number: u32,
}

/// Reads the attributes of a directory and, for its image and the overviews of it, those of the bands. XML that is not
/// well-formed is told in `refused`.
pub(super) fn describe(directory: &Directory, object: &str, path: &str, refused: &mut Vec<Refused>) -> (Attributes, Shared) {
    let bands = directory.first(object, tag::SAMPLES_PER_PIXEL).ok().flatten().unwrap_or(1).min(u64::from(u16::MAX));
    let field = |tag| directory.field(tag).ok().flatten();
    let (mut attributes, mut shared) = (Attributes::default(), Shared::default());
    if let Some(xml) = field(tag::GDAL_METADATA).and_then(|f| f.text()) {
        let (of_all, of_bands, fault) = gdal_metadata::read(&xml, bands as usize);
        attributes = of_all;
        shared.bands = of_bands;
        if let Some(fault) = fault {
            refused.push(Refused { path: path.into(), reason: format!("GDAL_METADATA is not well-formed XML: {fault}") });
        }
    }
    shared.nodata = field(tag::GDAL_NODATA).and_then(|f| f.text());
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
    (attributes, shared)
}

/// One directory as an image: what its pixels are, or why they are not read.
pub(super) struct Image<'a> {
    pub(super) file: File<'a>,
    pub(super) directory: &'a Directory,
    pub(super) layout: Result<Layout>,
    /// Where its arrays go: the empty text for the root.
    pub(super) group: String,
}

impl Image<'_> {
    /// Columns and rows, where they are known.
    pub(super) fn size(&self) -> Option<(u64, u64)> {
        self.layout.as_ref().ok().map(|l| (l.width, l.height))
    }

    /// Adds its bands to the granule, or the reason why they are not read; gives the numbers of the arrays added.
    pub(super) fn add(&self, shared: &Shared, granule: &mut IndexedGranule) -> Vec<usize> {
        self.push(granule, |layout, planes| bands(self.directory, layout, &self.group, planes, shared))
    }

    /// Adds it as the mask of an image in `group`: 1 where that image's cells are seen, 0 where they are missing. One array for
    /// all bands, or one a band.
    pub(super) fn add_as_mask(&self, group: &str, granule: &mut IndexedGranule) -> Vec<usize> {
        self.push(granule, |layout, planes| {
            (0..layout.bands)
                .map(|band| {
                    let name = if layout.bands == 1 { "mask".into() } else { format!("mask_{}", band + 1) };
                    array(layout, planes, band, 0, format!("{group}/{name}"))
                })
                .collect()
        })
    }

    fn push(&self, granule: &mut IndexedGranule, arrays: impl FnOnce(&Layout, &segments::Segments) -> Vec<IndexedArray>) -> Vec<usize> {
        let source = self.file.source;
        let object = source.location();
        let read = self.layout.as_ref().map_err(Clone::clone).and_then(|layout| {
            let mut segments = segments::read(object, source.size(), self.directory, layout)?;
            segments.planes.iter_mut().for_each(|plane| in_object(&mut plane.chunks, self.file.number));
            // Chunky bands each list the same segments: a claimed number of samples must not outgrow the object.
            let chunks = segments.planes.iter().map(|p| p.chunks.len() as u64).sum::<u64>();
            let listed = chunks.saturating_mul(layout.bands / layout.planes() * layout.samples.parts);
            let most = (1 << 20) + source.size() / 16;
            if listed > most {
                return Err(Error::data(object, format!("{} bands list {listed} segments, more than {most}", layout.bands)));
            }
            Ok(arrays(layout, &segments))
        });
        let before = granule.arrays.len();
        match read {
            Ok(bands) => granule.arrays.extend(bands),
            Err(e) => {
                let path = if self.group.is_empty() { "/".to_string() } else { self.group.clone() };
                let reason = match e {
                    Error::Unsupported { feature, .. } => format!("unsupported {feature}"),
                    other => format!("{other} (directory at byte {})", self.directory.at),
                };
                granule.refused.push(Refused { path, reason });
            }
        }
        (before..granule.arrays.len()).collect()
    }
}

/// Lets chunk references name the granule's object number `number`.
fn in_object(chunks: &mut [ChunkRef], number: u32) {
    for chunk in chunks {
        if let ChunkRef::Stored { object, .. } = chunk {
            *object = number;
        }
    }
}

/// The arrays of an image: one a band, two of complex ones.
fn bands(directory: &Directory, layout: &Layout, group: &str, planes: &segments::Segments, shared: &Shared) -> Vec<IndexedArray> {
    let Samples { data_type, parts, .. } = layout.samples;
    let each = (0..layout.bands).flat_map(|band| (0..parts).map(move |part| (band, part)));
    each.map(|(band, part)| {
        let path = format!("{group}/band_{}", band + 1);
        let path = match (parts, part) {
            (1, _) => path,
            (_, 0) => format!("{path}.real"),
            _ => format!("{path}.imag"),
        };
        let mut array = array(layout, planes, band, part, path);
        let attributes = &mut array.metadata.attributes;
        let nodata = shared.nodata(directory, band);
        if let Some(text) = &nodata {
            attributes.set("nodata", AttributeValue::Text(text.clone()));
        }
        for (name, value) in [&shared.bands, &shared.pam].into_iter().filter_map(|all| all.get(band as usize)).flat_map(|a| &a.0) {
            if name != "nodata" {
                attributes.set(name.clone(), value.clone());
            }
        }
        array.metadata.fill_value = nodata.as_deref().and_then(|text| nodata::parse(text, data_type)).map(|n| n.fill);
        array
    })
    .collect()
}

/// One band, or one part of a complex one, without attributes.
fn array(layout: &Layout, segments: &segments::Segments, band: u64, part: u64, path: String) -> IndexedArray {
    let Samples { data_type, parts, .. } = layout.samples;
    let mut codecs = layout.coding.codecs.clone();
    if layout.interleaved() > 1 {
        let first = if layout.chunky { band * parts } else { 0 };
        let (samples, sample, element) = (layout.interleaved() as u32, (first + part) as u32, data_type.size() as u32);
        codecs.insert(0, Codec::Interleave { samples, sample, element });
    }
    let metadata = ArrayMetadata {
        path,
        dimensions: vec!["y".into(), "x".into()],
        shape: vec![layout.height, layout.width],
        data_type,
        byte_order: layout.coding.byte_order,
        chunk_shape: segments.chunk_shape.clone(),
        edge: segments.edge,
        codecs,
        fill_value: None,
        attributes: Attributes::default(),
    };
    let plane = if layout.chunky { 0 } else { band as usize };
    let manifest = segments.planes.get(plane).cloned().unwrap_or_default();
    IndexedArray { metadata, manifest }
}

/// The band whose samples are alpha and mask the others, as GDAL has it: the last of two or four bands, told by ExtraSamples or
/// by GDAL's own colour interpretation, of 8 or 16 bits, where the bands declare no nodata.
pub(super) fn alpha(directory: &Directory, layout: &Layout, shared: &Shared, object: &str) -> Option<usize> {
    let last = layout.bands.checked_sub(1)? as usize;
    let fits = matches!(layout.bands, 2 | 4) && layout.samples.parts == 1;
    let declared = shared.nodata(directory, 0).is_some();
    if !fits || declared || !matches!(layout.samples.data_type, DataType::UInt8 | DataType::UInt16) {
        return None;
    }
    let extra = directory.unsigned(object, tag::EXTRA_SAMPLES).ok().flatten().unwrap_or_default();
    let told = shared.bands.get(last).and_then(|a| a.text("COLORINTERP"));
    let is_alpha = match told {
        Some(colour) => colour.eq_ignore_ascii_case("alpha"),
        None => matches!(extra.last(), Some(1 | 2)),
    };
    is_alpha.then_some(last)
}
