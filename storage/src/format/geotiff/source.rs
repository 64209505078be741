//! Where header bytes come from: an object through its block cache, or bytes in memory.

use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;

use crate::Result;
use crate::object::ObjectReader;

/// Ranged reads of one object.
#[async_trait]
pub(super) trait Source: Send + Sync {
    /// What errors name: path or URL.
    fn location(&self) -> &str;

    /// Bytes in the object.
    fn size(&self) -> u64;

    /// Exactly these bytes; the caller has checked that they lie inside the object.
    async fn read(&self, range: Range<u64>) -> Result<Bytes>;
}

#[async_trait]
impl Source for ObjectReader {
    fn location(&self) -> &str {
        ObjectReader::location(self)
    }

    fn size(&self) -> u64 {
        ObjectReader::size(self)
    }

    async fn read(&self, range: Range<u64>) -> Result<Bytes> {
        ObjectReader::read(self, range).await
    }
}
