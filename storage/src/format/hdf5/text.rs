//! Arrays of texts that are read while indexing and kept in the manifest as one inline chunk: those of any length as a JSON
//! list, those of a fixed length where cells that were never written have a text.

use bytes::Bytes;

use super::file::File;
use super::value::text;
use super::{Parsed, heap};
use crate::array::{ChunkManifest, ChunkRef, DataType, EdgeChunks, Extent};
use crate::codec::decode_chunk;
use crate::format::IndexedArray;

/// Arrays whose texts have more bytes than this are refused.
const MOST_TEXT: usize = 8 << 20;
/// References to texts, and texts of a fixed length, may fill this many bytes.
const MOST_CELLS: u64 = 16 << 20;

/// Replaces the chunks of `array`, which hold references of `element` bytes into the global heap, by the texts themselves;
/// NULL where a reference leads nowhere. `fill`: the reference of cells that were never written.
pub(super) fn make_inline(file: &File, array: &mut IndexedArray, element: u32, fill: Option<&[u8]>) -> Parsed<()> {
    if element as usize != heap::reference_size(file) {
        return Err(format!("variable-length text of {element} bytes a reference, expected {}", heap::reference_size(file)).into());
    }
    let references = gather(file, array, element as usize, fill)?;
    let texts = heap::texts(file, &references)?;
    let total: usize = texts.iter().flatten().map(String::len).sum();
    if total > MOST_TEXT {
        return Err(format!("variable-length texts of {total} bytes in all; at most {MOST_TEXT} are read").into());
    }
    keep(file, array, serde_json::to_vec(&texts).map_err(|e| e.to_string())?)
}

/// Puts the texts of an array of texts of fixed length into the index, when cells of it were never written and these have a
/// text, `fill`, which metadata has no place for.
pub(super) fn make_filled(file: &File, array: &mut IndexedArray, fill: &[u8]) -> Parsed<()> {
    let grid = array.metadata.chunk_grid();
    let written = array.manifest.chunks.iter().filter(|c| !matches!(c, ChunkRef::Missing)).count() as u64;
    if written == grid.len() || fill.iter().all(|&b| b == 0) {
        return Ok(());
    }
    let cells = gather(file, array, fill.len(), Some(fill)).map_err(|r| r.at("texts with a fill value"))?;
    keep(file, array, cells)
}

/// The text in an array of one text.
pub(super) fn only(file: &File, array: &IndexedArray) -> Parsed<String> {
    let meta = &array.metadata;
    match meta.data_type {
        DataType::FixedText(size) if meta.shape.iter().product::<u64>() == 1 => Ok(text(&gather(file, array, size as usize, None)?)),
        DataType::Text => match array.manifest.get(0) {
            ChunkRef::Inline(json) => {
                let texts: Vec<Option<String>> = serde_json::from_slice(&json).map_err(|e| e.to_string())?;
                Ok(texts.into_iter().flatten().next().unwrap_or_default())
            }
            _ => Ok(String::new()),
        },
        other => Err(format!("{} instead of one text", other.name()).into()),
    }
}

/// Makes `bytes` the only chunk.
fn keep(file: &File, array: &mut IndexedArray, bytes: Vec<u8>) -> Parsed<()> {
    file.charge(bytes.len() as u64)?;
    let meta = &mut array.metadata;
    let empty = meta.shape.contains(&0);
    meta.chunk_shape = meta.shape.iter().map(|&n| n.max(1)).collect();
    meta.edge = EdgeChunks::Clipped;
    meta.codecs = Vec::new();
    array.manifest = ChunkManifest::new(if empty { Vec::new() } else { vec![ChunkRef::Inline(Bytes::from(bytes))] });
    Ok(())
}

/// All cells of `size` bytes, C order; `fill` (else zeros) where nothing was written.
fn gather(file: &File, array: &IndexedArray, size: usize, fill: Option<&[u8]>) -> Parsed<Vec<u8>> {
    let meta = &array.metadata;
    let length = |shape: &[u64]| shape.iter().try_fold(size as u64, |n, &d| n.checked_mul(d)).filter(|&n| n <= MOST_CELLS);
    let bytes = length(&meta.shape).ok_or_else(|| format!("texts of shape {:?}, more than are read", meta.shape))?;
    let mut cells = vec![0u8; bytes as usize];
    if let Some(fill) = fill.filter(|f| f.len() == size && f.iter().any(|&b| b != 0)) {
        cells.chunks_exact_mut(size).for_each(|c| c.copy_from_slice(fill));
    }
    let grid = meta.chunk_grid();
    for (number, at) in grid.meeting(&Extent::of_shape(&meta.shape)).into_iter().enumerate() {
        let extent = grid.extent(&at);
        let shape: Vec<u64> = match meta.edge {
            EdgeChunks::Padded => meta.chunk_shape.clone(),
            EdgeChunks::Clipped => extent.ranges().iter().map(|r| r.end - r.start).collect(),
        };
        let decoded = length(&shape).ok_or_else(|| format!("texts in chunks of shape {shape:?}, larger than are read"))? as usize;
        let (stored, skip) = match array.manifest.get(number as u64) {
            ChunkRef::Missing | ChunkRef::Key { .. } => continue,
            ChunkRef::Inline(bytes) => (bytes.to_vec(), 0),
            ChunkRef::Stored { object, .. } if object != file.number => return Err("texts in another file".into()),
            ChunkRef::Stored { offset, length, skip, .. } => {
                let length = usize::try_from(length).map_err(|_| "chunk does not fit in memory")?;
                (file.storage.read_range(offset.saturating_sub(file.base), length)?.to_vec(), skip)
            }
        };
        let stored = decode_chunk(&meta.codecs, skip, &stored, decoded).map_err(|e| e.to_string())?;
        copy(&stored, &shape, extent.ranges(), &mut cells, &meta.shape, size).ok_or("chunk of texts too short")?;
    }
    Ok(cells)
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
