//! Filters of a pipeline to codecs (registered filters: HDF Group, `RegisteredFilterPlugins.md`).

use hdf5_reader::messages::filter_pipeline::FilterDescription;

use super::Parsed;
use crate::codec::{BitshuffleInner, Codec, Lz4Framing};

/// The codec that a filter is, on elements of `element` bytes; other filters are refused by number and name.
pub(super) fn codec(filter: &FilterDescription, element: u32) -> Parsed<Codec> {
    let value = |i: usize| filter.client_data.get(i).copied();
    let parameters = || filter.client_data.clone();
    let name = match filter.id {
        1 => return Ok(Codec::Deflate),
        2 => return Ok(Codec::Shuffle { element: value(0).filter(|&n| n > 0).unwrap_or(element) }),
        3 => return Ok(Codec::Fletcher32),
        4 => return Ok(Codec::Szip { parameters: parameters() }),
        5 => return Ok(Codec::NBit { parameters: parameters() }),
        6 => return Ok(Codec::ScaleOffset { parameters: parameters() }),
        305 => "lzo",
        307 => return Ok(Codec::Bzip2),
        32000 => return Ok(Codec::Lzf),
        32001 => return Ok(Codec::Blosc),
        32004 => return Ok(Codec::Lz4 { framing: Lz4Framing::Hdf5 }),
        32008 => return bitshuffle(filter, element),
        32013 => "zfp",
        32015 => return Ok(Codec::Zstd),
        32017 => "sz",
        32022 => "granular bitround",
        32023 => "sz3",
        32026 => "blosc2",
        _ => filter.name.as_deref().filter(|n| !n.is_empty()).unwrap_or("unknown"),
    };
    Err(format!("filter {} ({name})", filter.id).into())
}

/// Client values of bitshuffle: version (2), bytes an element, elements a block, compressor, its level.
fn bitshuffle(filter: &FilterDescription, element: u32) -> Parsed<Codec> {
    let value = |i: usize| filter.client_data.get(i).copied().unwrap_or(0);
    let inner = match value(4) {
        0 => BitshuffleInner::None,
        2 => BitshuffleInner::Lz4,
        3 => BitshuffleInner::Zstd,
        other => return Err(format!("filter 32008 (bitshuffle) with compressor {other}").into()),
    };
    let element = if value(2) > 0 { value(2) } else { element };
    Ok(Codec::Bitshuffle { element, block: value(3), inner })
}
