//! The objects beside a TIFF file that GDAL reads with it: external masks, external overviews, and PAM's XML.

use crate::object::{ObjectReader, VersionedObject};
use crate::{Error, Result};

/// Largest `.aux.xml` that is read, bytes.
const LARGEST_XML: u64 = 16 << 20;

/// What stands beside a file.
#[derive(Debug, Default)]
pub(super) struct Sidecars {
    /// `scene.tif.msk`: masks of the image and, maybe, of its overviews.
    pub(super) masks: Option<ObjectReader>,
    /// `scene.tif.msk.ovr`: masks of its overviews.
    pub(super) overview_masks: Option<ObjectReader>,
    /// `scene.tif.ovr`: overviews.
    pub(super) overviews: Option<ObjectReader>,
    /// `scene.tif.aux.xml`, and its version.
    pub(super) pam: Option<(String, VersionedObject)>,
}

/// Looks for them. What may not be read there is as if it were not there; other failures are errors: a mask that is
/// overlooked would make wrong values.
pub(super) async fn find(object: &ObjectReader) -> Result<Sidecars> {
    // A URL with a query names one object only.
    if object.document().is_some() || (object.location().contains("://") && object.location().contains('?')) {
        return Ok(Sidecars::default());
    }
    let (masks, overviews, pam) = futures::join!(open(object, ".msk"), open(object, ".ovr"), pam(object));
    let masks = masks?;
    let overview_masks = match &masks {
        Some(mask) => open(mask, ".ovr").await?,
        None => None,
    };
    Ok(Sidecars { masks, overview_masks, overviews: overviews?, pam: pam? })
}

async fn open(object: &ObjectReader, suffix: &str) -> Result<Option<ObjectReader>> {
    match object.objects().open(&format!("{}{suffix}", object.location())).await {
        Ok(reader) => Ok(Some(reader)),
        Err(Error::NotFound(_) | Error::Forbidden { .. }) => Ok(None),
        Err(e) => Err(e),
    }
}

async fn pam(object: &ObjectReader) -> Result<Option<(String, VersionedObject)>> {
    let location = format!("{}.aux.xml", object.location());
    match object.objects().read_all(&location, LARGEST_XML).await {
        Ok(None) | Err(Error::NotFound(_) | Error::Forbidden { .. }) => Ok(None),
        Ok(Some((bytes, version))) => Ok(Some((String::from_utf8_lossy(&bytes).into_owned(), VersionedObject { location, version }))),
        Err(e) => Err(e),
    }
}
