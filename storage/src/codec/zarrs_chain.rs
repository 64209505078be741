//! Chains of Zarr v3 codecs that the crate zarrs decodes: shards in shards, `packbits` and other array codecs that are rare.

use std::num::NonZeroU64;
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::{Deserialize, Serialize};
use zarrs::array::codec::api::{ArrayToBytesCodecTraits, CodecOptions};
use zarrs::array::{CodecChain, DataType, FillValue, FillValueMetadata};
use zarrs::metadata::v3::MetadataV3;

use super::damaged;
use crate::{Error, Result};

/// An array's codecs, and what they were applied to, as its `zarr.json` has them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZarrsChain {
    /// JSON list of codecs, in encoding order.
    pub codecs: String,
    /// JSON of the data type.
    pub data_type: String,
    /// JSON of the fill value.
    pub fill: String,
    /// Cells of a chunk along each axis.
    pub shape: Vec<u64>,
}

struct Built {
    chain: CodecChain,
    shape: Vec<NonZeroU64>,
    data_type: DataType,
    fill: FillValue,
}

impl ZarrsChain {
    /// Refuses a chain that zarrs has not all codecs for.
    pub fn check(&self) -> Result<()> {
        self.build().map(drop)
    }

    fn build(&self) -> Result<Built> {
        let refused = |what: String| Error::unsupported("chunk", what);
        let made = catch_unwind(AssertUnwindSafe(|| {
            let codecs: Vec<MetadataV3> = serde_json::from_str(&self.codecs).map_err(|e| e.to_string())?;
            let data_type: MetadataV3 = serde_json::from_str(&self.data_type).map_err(|e| e.to_string())?;
            let fill: FillValueMetadata = serde_json::from_str(&self.fill).map_err(|e| e.to_string())?;
            let shape: Option<Vec<NonZeroU64>> = self.shape.iter().map(|&n| NonZeroU64::new(n)).collect();
            let data_type = DataType::from_metadata(&data_type).map_err(|e| e.to_string())?;
            let fill = data_type.fill_value_v3(&fill).map_err(|e| e.to_string())?;
            let chain = CodecChain::from_metadata(&codecs).map_err(|e| e.to_string())?;
            Ok(Built { chain, shape: shape.ok_or("a chunk without cells")?, data_type, fill })
        }));
        made.unwrap_or_else(|_| Err("codecs that zarrs cannot set up".to_owned())).map_err(refused)
    }

    /// Decodes a chunk into `output`, cells in native byte order, and gives the number of bytes written.
    pub(super) fn undo(&self, input: &[u8], output: &mut [u8]) -> Result<usize> {
        let Built { chain, shape, data_type, fill } = self.build()?;
        // Threads are ours to share out.
        let options = CodecOptions::default().with_concurrent_target(1);
        let decoded = catch_unwind(AssertUnwindSafe(|| {
            let decoded = chain.decode(input.into(), &shape, &data_type, &fill, &options).map_err(|e| e.to_string())?;
            decoded.into_fixed().map(|bytes| bytes.into_owned()).map_err(|e| e.to_string())
        }));
        let decoded = decoded.unwrap_or_else(|_| Err("the bytes cannot be decoded".into())).map_err(|e| damaged(format!("zarrs: {e}")))?;
        let room = output.get_mut(..decoded.len());
        let room = room.ok_or_else(|| damaged(format!("zarrs: more than the expected bytes, {}", decoded.len())))?;
        room.copy_from_slice(&decoded);
        Ok(decoded.len())
    }
}
