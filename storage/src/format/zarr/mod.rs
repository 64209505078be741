//! Zarr v2 and v3: stores as folders (or prefixes of remote stores) and as ZIP files. Metadata documents to arrays; chunks stay
//! where they are: in a folder each has a key that follows from its number, in a ZIP file each is a byte range.
//!
//! `json`, `attributes` JSON · `data_type`, `numcodecs`, `v3`, `document` one array's document · `hierarchy` the documents of a
//! store · `folder`, `flat`, `zip` where documents and chunks are · `arrays` documents to a granule.

mod arrays;
mod attributes;
mod data_type;
mod document;
mod flat;
mod folder;
mod hierarchy;
mod json;
mod numcodecs;
#[cfg(test)]
mod tests;
mod v3;
mod zip;

use async_trait::async_trait;

use super::{Format, IndexedGranule};
use crate::object::ObjectReader;
use crate::{Error, Result};

pub(super) use arrays::index_flat_into;
pub(super) use attributes::base64;
pub(super) use flat::{Flat, Place};
pub(super) use json::parse as parse_json;

/// Zarr stores, v2 and v3.
#[derive(Debug, Clone, Copy)]
pub struct Zarr;

#[async_trait]
impl Format for Zarr {
    fn name(&self) -> &'static str {
        "Zarr (folders and ZIP files)"
    }

    fn detect(&self, head: &[u8]) -> bool {
        head.starts_with(b"PK\x03\x04")
    }

    async fn index(&self, object: &ObjectReader) -> Result<IndexedGranule> {
        if let Some(document) = object.document() {
            if super::icechunk::is_root(document) {
                return super::icechunk::index(object).await;
            }
            if object.document() == Some(".zmetadata") && folder::is_reference_folder(object).await? {
                return super::kerchunk::index_parquet(object).await;
            }
            return arrays::index_folder(object).await;
        }
        match zip::open(object).await? {
            Some(flat) => index_flat_into(object, IndexedGranule { format: "zarr".into(), ..IndexedGranule::default() }, flat).await,
            None => Err(Error::unsupported(object.location(), "format: a ZIP archive without a Zarr store in it")),
        }
    }
}
