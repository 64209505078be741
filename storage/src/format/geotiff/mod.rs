//! GeoTIFF and TIFF: directories to arrays. Bands of the first image are `/band_1` ..., of its overviews
//! `/overview_1/band_1` ... (largest first), of further pages `/page_2/band_1` ..., each with its `mask` where it has one; complex
//! bands are two arrays (`/band_1.real`, `/band_1.imag`). Geo tags become attributes that `convention::geokeys` reads.

mod compression;
mod directory;
mod field;
mod gdal_metadata;
mod images;
mod layout;
pub(crate) mod nodata;
mod pam;
mod samples;
mod segments;
mod sidecar;
mod source;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;

use async_trait::async_trait;

use self::directory::{Directory, Header};
use self::field::tag;
use self::images::{File, Image, Shared};
use self::layout::Layout;
use self::sidecar::Sidecars;
use self::source::Source;
use super::{Format, IndexedGranule, Refused};
use crate::object::{ObjectReader, VersionedObject};
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
        index(object, sidecar::find(object).await?).await
    }
}

/// What a directory is in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Page,
    Overview,
    Mask,
}

/// A page with what belongs to it.
struct Page<'a> {
    image: Image<'a>,
    overviews: Vec<Image<'a>>,
    masks: Vec<Image<'a>>,
}

/// The directories of one file.
async fn directories(source: &dyn Source) -> Result<(Header, directory::Directories)> {
    let head = source.read(0..source.size().min(16)).await?;
    let header = Header::read(&head);
    let header = header.ok_or_else(|| Error::data(source.location(), "expected a TIFF header (II or MM, then 42 or 43)"))?;
    Ok((header, directory::read_all(source, header).await?))
}

async fn index(source: &dyn Source, sidecars: Sidecars) -> Result<IndexedGranule> {
    let object = source.location();
    let (header, directories) = directories(source).await?;
    let mut granule = IndexedGranule { format: "tiff".into(), refused: directories.refused, ..Default::default() };
    let Some(first) = directories.main.first() else { return Ok(granule) };
    let described = |t: u16| t > tag::REFERENCE_BLACK_WHITE || matches!(t, tag::IMAGE_DESCRIPTION | tag::SOFTWARE | tag::DATE_TIME);
    for (t, e) in first.damaged().filter(|(t, _)| described(*t)) {
        granule.refused.push(Refused { path: "/".into(), reason: format!("{} is not readable: {e}", tag::name(t)) });
    }
    let geo = [tag::GEO_KEY_DIRECTORY, tag::MODEL_PIXEL_SCALE, tag::MODEL_TIEPOINT, tag::MODEL_TRANSFORMATION];
    if geo.iter().any(|&t| first.has(t)) {
        granule.format = "geotiff".into();
    }
    let file = File { source, number: 0 };
    let image = |directory, group: String| Image { file, directory, layout: Layout::of(directory, header, object), group };
    let mut pages: Vec<Page> = Vec::new();
    for (i, directory) in directories.main.iter().enumerate() {
        let number = i + 1;
        // The first directory is the image, whatever it calls itself.
        let kind = if i == 0 { Kind::Page } else { kind(directory, object) };
        match (kind, pages.last_mut()) {
            (Kind::Overview, Some(page)) => page.overviews.push(image(directory, format!("/directory_{number}"))),
            (Kind::Mask, Some(page)) => page.masks.push(image(directory, format!("/directory_{number}"))),
            _ => {
                let group = if i == 0 { String::new() } else { format!("/page_{number}") };
                pages.push(Page { image: image(directory, group), overviews: Vec::new(), masks: Vec::new() });
            }
        }
    }
    for (i, directory) in directories.sub.iter().enumerate() {
        let Some(page) = pages.first_mut() else { break };
        let sub = image(directory, format!("/sub_directory_{}", i + 1));
        match kind(directory, object) {
            Kind::Mask => page.masks.push(sub),
            // Pyramids need not say so; what is larger than the image is another one.
            _ if is_smaller(&sub, &page.image) => page.overviews.push(sub),
            _ => pages.push(Page { image: sub, overviews: Vec::new(), masks: Vec::new() }),
        }
    }
    let beside = [
        (&sidecars.masks, Kind::Mask, "mask"),
        (&sidecars.overview_masks, Kind::Mask, "overview_mask"),
        (&sidecars.overviews, Kind::Overview, "overview"),
    ];
    let mut opened = Vec::new();
    for (reader, is, what) in beside.into_iter().filter_map(|(reader, is, what)| Some((reader.as_ref()?, is, what))) {
        let number = granule.object_number(VersionedObject { location: reader.location().into(), version: reader.version().clone() })?;
        match self::directories(reader).await {
            Ok((header, directories)) => opened.push((File { source: reader, number }, header, directories.main, is, what)),
            Err(e) => granule.refused.push(Refused { path: format!("/external_{what}"), reason: e.to_string() }),
        }
    }
    for (file, header, directories, is, what) in &opened {
        let Some(page) = pages.first_mut() else { break };
        for (i, directory) in directories.iter().enumerate() {
            let layout = Layout::of(directory, *header, file.source.location());
            let image = Image { file: *file, directory, layout, group: format!("/external_{what}_{}", i + 1) };
            match (*is, kind(directory, file.source.location())) {
                (Kind::Mask, _) | (_, Kind::Mask) => page.masks.push(image),
                _ => page.overviews.push(image),
            }
        }
    }
    let mut pam = sidecars.pam;
    for page in pages {
        add(page, pam.take(), &mut granule)?;
    }
    Ok(granule)
}

/// Adds the arrays of a page, of its overviews (largest first; files keep them in any order), and of their masks.
fn add(mut page: Page<'_>, pam: Option<(String, VersionedObject)>, granule: &mut IndexedGranule) -> Result<()> {
    let (object, group) = (page.image.file.source.location(), page.image.group.clone());
    let path = if group.is_empty() { "/" } else { &group };
    let (attributes, mut shared) = images::describe(page.image.directory, object, path, &mut granule.refused);
    if let (Some((xml, version)), Ok(layout)) = (pam, &page.image.layout) {
        granule.object_number(version)?;
        let (bands, ignored) = pam::read(&xml, layout.bands as usize);
        shared.pam = bands;
        for element in ignored {
            granule.refused.push(Refused { path: "/".into(), reason: format!("{element} in the .aux.xml beside it is not read") });
        }
    }
    match group.as_str() {
        "" => granule.attributes = attributes,
        path => granule.groups.push((path.to_string(), attributes)),
    }
    page.overviews.sort_by_key(|image| Reverse(image.size().map_or(0, |(w, h)| w.saturating_mul(h))));
    for (i, overview) in page.overviews.iter_mut().enumerate() {
        overview.group = format!("{group}/overview_{}", i + 1);
    }
    let mut masks = page.masks;
    for image in std::iter::once(&page.image).chain(&page.overviews) {
        let bands = image.add(&shared, granule);
        if let Ok(Layout { samples, bands, .. }) = &image.layout
            && samples.parts > 1
        {
            for band in 1..=*bands {
                let path = format!("{}/band_{band}", image.group);
                let reason = format!("complex samples are read as two arrays, {path}.real and {path}.imag");
                granule.refused.push(Refused { path, reason });
            }
        }
        let mask = masks.iter().position(|mask| mask.size().is_some() && mask.size() == image.size());
        let masked = match mask.map(|i| masks.remove(i)) {
            Some(mask) => mask.add_as_mask(&image.group, granule),
            None => Vec::new(),
        };
        mask_bands(image, &shared, &bands, &masked, object, granule);
    }
    for mask in masks {
        let why = mask.layout.as_ref().err().map_or("it has the size of no image".into(), ToString::to_string);
        granule.refused.push(Refused { path: mask.group, reason: format!("a transparency mask that is not applied: {why}") });
    }
    Ok(())
}

/// Writes down which array masks which band: that of a mask directory, or else alpha.
fn mask_bands(image: &Image<'_>, shared: &Shared, bands: &[usize], masks: &[usize], object: &str, granule: &mut IndexedGranule) {
    let Ok(layout) = &image.layout else { return };
    let alpha = images::alpha(image.directory, layout, shared, object).and_then(|band| bands.get(band).copied());
    for (i, &band) in bands.iter().enumerate() {
        let mask = match (masks, alpha) {
            ([], Some(alpha)) if alpha != band => Some(alpha),
            ([], _) => None,
            ([one], _) => Some(*one),
            (each, _) => each.get(i / layout.samples.parts as usize).copied(),
        };
        granule.masks.extend(mask.map(|mask| (band, mask)));
    }
}

fn is_smaller(image: &Image<'_>, than: &Image<'_>) -> bool {
    match (image.size(), than.size()) {
        (Some((w, h)), Some((width, height))) => w <= width && h <= height && (w, h) != (width, height),
        _ => true,
    }
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
