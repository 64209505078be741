//! Raw data in files of their own, which the message of external files lists (file format specification, IV.A.2.h): contiguous
//! data, cut where the files end.

use hdf5_reader::io::Cursor;
use hdf5_reader::local_heap::LocalHeap;
use hdf5_reader::messages::external_files;

use super::chunks::{PIECE, Place, reserve};
use super::dataset::Dataset;
use super::{Parsed, Reason};
use crate::array::{ChunkGrid, ChunkManifest, ChunkRef, EdgeChunks};

/// A run of bytes of one object.
struct Segment {
    object: u32,
    offset: u64,
    length: u64,
}

/// Where the cells of a data set of `element` bytes a cell lie, whose message of external files is `body`.
pub(super) fn place(dataset: &Dataset, body: &[u8], element: u32) -> Parsed<Place> {
    let shape = &dataset.shape;
    let bytes = shape.iter().try_fold(u64::from(element), |n, &d| n.checked_mul(d)).ok_or("more bytes than 64 bits count")?;
    let segments = segments(dataset, body, bytes).map_err(|r| r.at("external raw data"))?;
    if bytes == 0 {
        let chunk_shape = shape.iter().map(|&n| n.max(1)).collect();
        return Ok(Place { chunk_shape, edge: EdgeChunks::Clipped, codecs: Vec::new(), manifest: ChunkManifest::default() });
    }
    // Every piece must end where a segment ends, or before.
    let unit = segments.iter().map(|s| s.length).fold(0, gcd);
    let (chunk_shape, piece) = pieces(shape, element.into(), unit)?;
    let grid = ChunkGrid::new(shape, &chunk_shape);
    reserve(&dataset.file, grid.len())?;
    let mut chunks = Vec::new();
    for segment in segments {
        let mut at = 0;
        while at < segment.length {
            let length = piece.min(segment.length - at);
            chunks.push(ChunkRef::Stored { object: segment.object, offset: segment.offset + at, length, skip: 0 });
            at += length;
        }
    }
    if chunks.len() as u64 != grid.len() {
        return Err(Reason(format!("external raw data in {} pieces, expected {}", chunks.len(), grid.len())));
    }
    Ok(Place { chunk_shape, edge: EdgeChunks::Clipped, codecs: Vec::new(), manifest: ChunkManifest::new(chunks) })
}

fn segments(dataset: &Dataset, body: &[u8], bytes: u64) -> Parsed<Vec<Segment>> {
    let file = &dataset.file;
    let (o, l) = (file.offset_size, file.length_size);
    let message = external_files::parse(&mut Cursor::new(body), o, l, body.len())?;
    let heap = LocalHeap::parse_at_storage(file.storage.as_ref(), message.heap_address, o, l)?;
    let (mut found, mut left) = (Vec::new(), bytes);
    for slot in message.slots {
        let name = heap.get_string_storage(slot.name_offset, file.storage.as_ref())?;
        let Some((object, size)) = file.raw(&name)? else { return Err(format!("the file {name} is not there").into()) };
        // The last file may have room for any number of bytes.
        let length = left.min(if Cursor::is_undefined_offset(slot.size, l) { u64::MAX } else { slot.size });
        if slot.offset.checked_add(length).is_none_or(|end| end > size) {
            return Err(format!("bytes {}.. of the file {name}, {length} of them, but it has {size}", slot.offset).into());
        }
        if length > 0 {
            found.push(Segment { object, offset: slot.offset, length });
        }
        left -= length;
    }
    if left > 0 {
        return Err(format!("its files have {} bytes, expected {bytes}", bytes - left).into());
    }
    Ok(found)
}

/// Shape and bytes of pieces along the leading axes that fit into `unit` bytes a whole number of times.
fn pieces(shape: &[u64], element: u64, unit: u64) -> Parsed<(Vec<u64>, u64)> {
    let mut chunk_shape = vec![1; shape.len()];
    let mut piece = element;
    if !unit.is_multiple_of(element) {
        return Err("external raw data: a file ends inside of a cell".into());
    }
    for (d, (side, &n)) in chunk_shape.iter_mut().zip(shape).enumerate().rev() {
        // A side that leaves a shorter piece at the end is for the first axis only, and there for the last segment only.
        let fits = gcd(unit / piece, n);
        let most = (PIECE / piece).max(1);
        *side = if fits <= most { fits } else { (1..=most).rev().find(|s| fits.is_multiple_of(*s)).unwrap_or(1) };
        piece *= *side;
        if *side < n || d == 0 {
            break;
        }
    }
    Ok((chunk_shape, piece))
}

/// Greatest common divisor; of 0 and `n`, `n`.
pub(super) fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}
