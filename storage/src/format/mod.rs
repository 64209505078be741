//! Formats: from the bytes of a granule's headers to array metadata and chunk references. Detection is by magic bytes.

pub mod geotiff;
mod hdf5;
mod icechunk;
mod kerchunk;
mod netcdf3;
mod zarr;

use async_trait::async_trait;

use crate::array::{ArrayMetadata, Attributes, ChunkManifest};
use crate::object::{ObjectReader, VersionedObject};
use crate::{Error, Result};

pub use geotiff::GeoTiff;
pub use hdf5::Hdf5;
pub use kerchunk::Kerchunk;
pub use netcdf3::Netcdf3;
pub use zarr::Zarr;

/// One array as indexed: what it is and where its chunks lie.
#[derive(Debug, Clone, PartialEq)]
pub struct IndexedArray {
    /// What it is.
    pub metadata: ArrayMetadata,
    /// Where its chunks lie.
    pub manifest: ChunkManifest,
}

/// Something in a granule that is not read, and why.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Refused {
    /// Path in the granule.
    pub path: String,
    /// Why, in one line.
    pub reason: String,
}

/// A granule as its format describes it, before conventions.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct IndexedGranule {
    /// `netcdf4`, `hdf5`, `geotiff`, ...
    pub format: String,
    /// Attributes of the root (and of the GeoTIFF directory: its geo tags, see `convention::geokeys`).
    pub attributes: Attributes,
    /// Attributes of the other groups, by path.
    pub groups: Vec<(String, Attributes)>,
    /// Arrays, in the file's order.
    pub arrays: Vec<IndexedArray>,
    /// What was left out.
    pub refused: Vec<Refused>,
    /// Objects beside the granule's own that hold chunks ([`ChunkRef::Stored`](crate::array::ChunkRef::Stored), `object` n is
    /// number n - 1 here) or metadata. Their versions are checked as the granule's own is; each was opened through
    /// [`ObjectReader::objects`], so it lies under the roots.
    pub objects: Vec<VersionedObject>,
    /// Arrays that say where others are missing: numbers of the masked array and of its mask, whose cells are 0 there.
    pub masks: Vec<(usize, usize)>,
}

impl IndexedGranule {
    /// The number by which chunk references name a further object; an object that is there already keeps its number.
    pub fn object_number(&mut self, object: VersionedObject) -> Result<u32> {
        let known = self.objects.iter().position(|o| *o == object);
        let position = known.unwrap_or_else(|| {
            self.objects.push(object);
            self.objects.len() - 1
        });
        u32::try_from(position + 1).map_err(|_| Error::Internal("a granule of more than 2^32 objects".into()))
    }

    /// An array by its path.
    pub fn array(&self, path: &str) -> Option<&IndexedArray> {
        self.arrays.iter().find(|a| a.metadata.path == path)
    }
}

/// Bytes at the start of an object that detection looks at.
pub const HEAD: u64 = 4096;

/// One file format.
///
/// To the implementor: read headers only, through the reader's block cache; bound every allocation by the object's size;
/// return errors and never panic on any bytes; check that every chunk's range lies inside the object. An object inside the
/// file that cannot be read goes to [`IndexedGranule::refused`], and does not hide its neighbours.
#[async_trait]
pub trait Format: Send + Sync {
    /// The format's name in messages.
    fn name(&self) -> &'static str;

    /// True when the object, whose first bytes are `head` (at most [`HEAD`]), is of this format.
    fn detect(&self, head: &[u8]) -> bool;

    /// Reads the headers.
    async fn index(&self, object: &ObjectReader) -> Result<IndexedGranule>;
}

/// All formats, in the order in which they are asked.
pub fn formats() -> &'static [&'static dyn Format] {
    &[&Hdf5, &GeoTiff, &Netcdf3, &Zarr, &Kerchunk]
}

/// Detects the format by magic bytes (a chunk store by the document that stands for it) and indexes the object.
pub async fn index(object: &ObjectReader) -> Result<IndexedGranule> {
    if object.document().is_some() {
        return Zarr.index(object).await;
    }
    let head = object.read(0..object.size().min(HEAD)).await?;
    let names = || formats().iter().map(|f| f.name()).collect::<Vec<_>>().join(", ");
    if let Some(format) = formats().iter().find(|f| f.detect(&head)) {
        return format.index(object).await.map_err(|error| match error {
            // A ZIP archive or JSON of another kind.
            Error::Unsupported { object, feature } if feature.starts_with("format:") => {
                Error::Unsupported { object, feature: format!("{feature}; formats that are read: {}", names()) }
            }
            other => other,
        });
    }
    if Hdf5::behind_user_block(object).await? {
        return Hdf5.index(object).await;
    }
    Err(Error::unsupported(object.location(), format!("format: {}; formats that are read: {}", first_bytes(&head), names())))
}

/// What the first bytes of an object look like, for people.
fn first_bytes(head: &[u8]) -> String {
    let start = &head[..head.len().min(8)];
    let known: [(&[u8], &str); 5] = [
        (b"CDF", "a netCDF file of an unknown version"),
        (b"GRIB", "a GRIB file"),
        (b"\x1f\x8b", "a gzip file"),
        (b"\x0e\x03\x13\x01", "an HDF4 file"),
        (b"\x00\x00\x00\x0cjP  ", "a JPEG 2000 file"),
    ];
    match known.iter().find(|(magic, _)| start.starts_with(magic)) {
        Some((_, what)) => format!("it looks like {what}"),
        None if head.is_empty() => "it is empty".into(),
        None => format!("it begins with the bytes \"{}\"", start.escape_ascii()),
    }
}
