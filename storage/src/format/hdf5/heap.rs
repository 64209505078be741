//! Values in the global heap: variable-length texts and lists of references (file format specification, III.E).

use hdf5_reader::io::Cursor;

use super::Parsed;
use super::file::File;
use super::value::{Padding, padded_text};

/// Bytes of a reference into the global heap.
pub(super) fn reference_size(file: &File) -> usize {
    8 + usize::from(file.offset_size)
}

/// The bytes that a reference into the global heap leads to, at most `unit` times its count; `None` where it leads nowhere.
pub(super) fn bytes(file: &File, reference: &[u8], unit: u64) -> Parsed<Option<Vec<u8>>> {
    let mut cursor = Cursor::new(reference);
    let count = u64::from(cursor.read_u32_le()?);
    let address = cursor.read_offset(file.offset_size)?;
    let index = cursor.read_u32_le()?;
    // Fields that were never written are all zero; libhdf5 takes such an address for a NULL pointer.
    if address == 0 || file.nowhere(address) {
        return Ok(None);
    }
    if count == 0 || index == 0 {
        return Ok(Some(Vec::new()));
    }
    let heap = file.heap(address)?;
    let object = u16::try_from(index).ok().and_then(|i| heap.get_object(i));
    let object = object.ok_or_else(|| format!("global heap at byte {} has no object {index}", address.saturating_add(file.base)))?;
    let length = count.saturating_mul(unit).min(object.data.len() as u64);
    file.charge(length)?;
    Ok(Some(object.data.get(..length as usize).unwrap_or_default().to_vec()))
}

/// The text that each reference of `data` leads to; `None` where it leads nowhere.
pub(super) fn texts(file: &File, data: &[u8]) -> Parsed<Vec<Option<String>>> {
    let each = data.chunks_exact(reference_size(file));
    // C strings: whatever follows a NUL is not text.
    each.map(|r| Ok(bytes(file, r, 1)?.map(|b| padded_text(&b, Padding::NullTerminated)))).collect()
}

/// The object addresses that each reference of `data` leads to.
pub(super) fn addresses(file: &File, data: &[u8]) -> Parsed<Vec<Vec<u64>>> {
    let each = data.chunks_exact(reference_size(file));
    each.map(|r| {
        let list = bytes(file, r, u64::from(file.offset_size))?.unwrap_or_default();
        list.chunks_exact(usize::from(file.offset_size)).map(|a| Ok(Cursor::new(a).read_offset(file.offset_size)?)).collect()
    })
    .collect()
}
