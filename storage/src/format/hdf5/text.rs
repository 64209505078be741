//! Arrays of variable-length texts: read while indexing and kept in the manifest as one inline chunk, a JSON list.

use bytes::Bytes;

use super::file::File;
use super::{Parsed, heap};
use crate::array::{ChunkManifest, ChunkRef, EdgeChunks, Extent};
use crate::codec::decode_chunk;
use crate::format::IndexedArray;

/// Arrays whose texts have more bytes than this are refused.
const MOST_TEXT: usize = 1 << 20;
/// References to texts may fill this many bytes.
const MOST_REFERENCES: u64 = 4 << 20;

/// Replaces the chunks of `array`, which hold references of `element` bytes into the global heap, by the texts themselves.
pub(super) fn make_inline(file: &File, array: &mut IndexedArray, element: u32) -> Parsed<()> {
    let (meta, size) = (&array.metadata, element as usize);
    if size != heap::reference_size(file) {
        return Err(format!("variable-length text of {size} bytes a reference, expected {}", heap::reference_size(file)).into());
    }
    let cells: u64 = meta.shape.iter().product();
    let bytes = cells.checked_mul(u64::from(element)).filter(|&n| n <= MOST_REFERENCES);
    let bytes = bytes.ok_or_else(|| format!("{cells} variable-length texts, more than are read"))?;
    let mut references = vec![0u8; bytes as usize];
    let grid = meta.chunk_grid();
    for (number, at) in grid.meeting(&Extent::of_shape(&meta.shape)).into_iter().enumerate() {
        let extent = grid.extent(&at);
        let shape: Vec<u64> = match meta.edge {
            EdgeChunks::Padded => meta.chunk_shape.clone(),
            EdgeChunks::Clipped => extent.ranges().iter().map(|r| r.end - r.start).collect(),
        };
        let length = shape.iter().try_fold(u64::from(element), |n, &d| n.checked_mul(d)).filter(|&n| n <= MOST_REFERENCES);
        let length = length.ok_or_else(|| format!("variable-length texts in chunks of shape {shape:?}, larger than are read"))? as usize;
        let stored = match array.manifest.get(number as u64) {
            ChunkRef::Missing | ChunkRef::Key { .. } => continue,
            ChunkRef::Inline(bytes) => bytes.to_vec(),
            ChunkRef::Stored { offset, length: stored, skip, .. } => {
                let stored = usize::try_from(stored).map_err(|_| "chunk does not fit in memory")?;
                let stored = file.storage.read_range(offset.saturating_sub(file.base), stored)?;
                decode_chunk(&meta.codecs, skip, &stored, length).map_err(|e| e.to_string())?
            }
        };
        copy(&stored, &shape, extent.ranges(), &mut references, &meta.shape, size).ok_or("chunk of references too short")?;
    }
    let texts = heap::texts(file, &references)?;
    let total: usize = texts.iter().map(String::len).sum();
    if total > MOST_TEXT {
        return Err(format!("variable-length texts of {total} bytes in all; at most {MOST_TEXT} are read").into());
    }
    let list = serde_json::to_vec(&texts).map_err(|e| e.to_string())?;
    file.charge(list.len() as u64)?;
    let meta = &mut array.metadata;
    meta.chunk_shape = meta.shape.iter().map(|&n| n.max(1)).collect();
    meta.edge = EdgeChunks::Clipped;
    meta.codecs = Vec::new();
    array.manifest = ChunkManifest::new(if cells == 0 { Vec::new() } else { vec![ChunkRef::Inline(Bytes::from(list))] });
    Ok(())
}

/// Copies the cells of `extent` from a chunk of `shape` that begins at the extent's origin into a C-order array of shape
/// `whole`; `None` when one is too short.
fn copy(chunk: &[u8], shape: &[u64], extent: &[std::ops::Range<u64>], out: &mut [u8], whole: &[u64], size: usize) -> Option<()> {
    let Some((last, outer)) = extent.split_last() else {
        out.get_mut(..size)?.copy_from_slice(chunk.get(..size)?);
        return Some(());
    };
    let run = usize::try_from(last.end - last.start).ok()? * size;
    let rows: u64 = outer.iter().map(|r| r.end - r.start).product();
    for row in 0..rows {
        let (mut rest, mut from, mut to) = (row, 0u64, last.start);
        let (mut from_stride, mut to_stride) = (*shape.last()?, *whole.last()?);
        for (d, r) in outer.iter().enumerate().rev() {
            let i = rest % (r.end - r.start);
            rest /= r.end - r.start;
            from += i * from_stride;
            to += (r.start + i) * to_stride;
            from_stride *= shape.get(d)?;
            to_stride *= whole.get(d)?;
        }
        let (from, to) = (usize::try_from(from).ok()? * size, usize::try_from(to).ok()? * size);
        out.get_mut(to..to + run)?.copy_from_slice(chunk.get(from..from + run)?);
    }
    Some(())
}
