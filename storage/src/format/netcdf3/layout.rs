//! Where the cells of a variable lie: one after the other, or a slab in each record. Both are cut into virtual chunks, so
//! that a subset reads little more than its own bytes.

use super::header::{Header, Variable};
use crate::array::{ChunkGrid, ChunkManifest, ChunkRef};

/// A virtual chunk has at most this many bytes, unless one row of cells has more.
const PIECE: u64 = 1 << 20;
/// A variable of more chunks than this is refused.
const MOST_CHUNKS: u64 = 50_000_000;

/// The records of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Records {
    /// How many there are.
    pub count: u64,
    /// Bytes from one record to the next.
    pub stride: u64,
}

/// Shape and bytes of a variable.
#[derive(Debug)]
pub(super) struct Slab {
    /// Cells along each dimension but the record dimension.
    pub inner: Vec<u64>,
    /// It has a slab in each record.
    pub recorded: bool,
    /// Bytes of the whole, or of its part of one record, without padding.
    pub bytes: u64,
}

/// Why a variable is not read.
pub(super) type Measured<T> = Result<T, String>;

/// Shape and size of a variable.
pub(super) fn slab(header: &Header, variable: &Variable) -> Measured<Slab> {
    let (mut inner, mut recorded) = (Vec::new(), false);
    for (place, &number) in variable.dimensions.iter().enumerate() {
        let dimension = usize::try_from(number).ok().and_then(|n| header.dimensions.get(n));
        match dimension.ok_or_else(|| format!("it has dimension number {number} of {}", header.dimensions.len()))?.length {
            Some(length) => inner.push(length),
            None if place == 0 => recorded = true,
            None => return Err("the record dimension is not its first".into()),
        }
    }
    let bytes = inner.iter().try_fold(variable.data_type.size() as u64, |n, &d| n.checked_mul(d));
    Ok(Slab { inner, recorded, bytes: bytes.ok_or("it has more bytes than 64 bits count")? })
}

/// Number of records and the distance between them. Slabs are padded to four bytes, but that of a file's only record
/// variable is not.
///
/// Refused when some variable's part of a record is unknown: nothing else could be found in the records then.
pub(super) fn records(header: &Header, slabs: &[Measured<Slab>], size: u64) -> Measured<Records> {
    if let Some((_, v)) = slabs.iter().zip(&header.variables).find(|(s, _)| s.is_err()) {
        return Err(format!("the size of a record is unknown, because variable {} is not read", v.name));
    }
    let recorded = || slabs.iter().zip(&header.variables).filter_map(|(s, v)| s.as_ref().ok().filter(|s| s.recorded).map(|s| (s, v)));
    let padded = recorded().try_fold(0u64, |n, (s, _)| n.checked_add(s.bytes.checked_next_multiple_of(4)?));
    let padded = padded.ok_or("records of more bytes than 64 bits count")?;
    let stride = match recorded().next_back() {
        Some((last, _)) if last.bytes.next_multiple_of(4) == padded => last.bytes,
        _ => padded,
    };
    let count = match (header.records, recorded().map(|(_, v)| v.begin).min()) {
        (Some(count), _) => count,
        (None, Some(begin)) if stride > 0 => size.saturating_sub(begin) / stride,
        (None, _) => 0,
    };
    Ok(Records { count, stride })
}

/// Chunk shape and references of a variable in a file of `size` bytes. `charge` accounts for the index.
pub(super) fn place(
    slab: &Slab,
    begin: u64,
    element: u64,
    records: Records,
    size: u64,
    charge: impl FnOnce(u64) -> Measured<()>,
) -> Measured<(Vec<u64>, ChunkManifest)> {
    // Records of this variable alone follow each other without gaps, like any other axis.
    let interleaved = slab.recorded && records.stride != slab.bytes;
    let count = if slab.recorded { records.count } else { 1 };
    let shape: Vec<u64> = slab.recorded.then_some(count).into_iter().chain(slab.inner.iter().copied()).collect();
    let mut chunk = vec![1u64; shape.len()];
    let mut piece = element;
    for (d, &n) in shape.iter().enumerate().rev() {
        let side = if d == 0 && interleaved { 1 } else { n.min((PIECE / piece).max(1)).max(1) };
        if let Some(slot) = chunk.get_mut(d) {
            *slot = side;
        }
        piece = piece.saturating_mul(side);
        if side < n {
            break;
        }
    }
    let grid = ChunkGrid::new(&shape, &chunk);
    if grid.is_empty() {
        return Ok((chunk, ChunkManifest::default()));
    }
    inside(slab, begin, records, size)?;
    if grid.len() > MOST_CHUNKS {
        return Err(format!("{} chunks; at most {MOST_CHUNKS} are read", grid.len()));
    }
    charge(grid.len().saturating_mul(size_of::<ChunkRef>() as u64))?;
    // Within a slab (or the whole) pieces follow each other without gaps. The axis that is cut alone can leave a shorter one.
    let cut = chunk.iter().position(|&side| side > 1).unwrap_or(chunk.len().saturating_sub(1));
    let (side, n) = (chunk.get(cut).copied().unwrap_or(1), shape.get(cut).copied().unwrap_or(1));
    let (along, row) = (n.div_ceil(side), piece / side);
    let in_a_slab = if interleaved { grid.len() / count } else { grid.len() };
    let mut chunks = Vec::with_capacity(grid.len() as usize);
    for record in 0..if interleaved { count } else { 1 } {
        let mut offset = begin + record * records.stride;
        for number in 0..in_a_slab {
            let cells = if number % along == along - 1 { n - side * (along - 1) } else { side };
            chunks.push(ChunkRef::Stored { object: 0, offset, length: cells * row, skip: 0 });
            offset += cells * row;
        }
    }
    Ok((chunk, ChunkManifest::new(chunks)))
}

/// Checks that all cells lie in the file. The padding behind the last record may be cut off.
fn inside(slab: &Slab, begin: u64, records: Records, size: u64) -> Measured<()> {
    let last = if slab.recorded { records.stride.checked_mul(records.count.saturating_sub(1)) } else { Some(0) };
    let end = last.and_then(|n| n.checked_add(begin)?.checked_add(slab.bytes));
    match end {
        Some(end) if end <= size => Ok(()),
        _ => {
            let end = end.map_or("2^64 and more".into(), |n| n.to_string());
            Err(format!("its data lie at bytes {begin}..{end}, outside of the file, which has {size} bytes"))
        }
    }
}
