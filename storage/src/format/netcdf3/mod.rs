//! netCDF classic: CDF-1, CDF-2 (64-bit offsets) and CDF-5 (64-bit data), by their headers alone.
//!
//! `cursor` bytes of the header · `header` its lists · `value` types and attributes · `layout` variables to virtual chunks.

mod cursor;
mod header;
mod layout;
#[cfg(test)]
mod tests;
mod value;

use std::collections::HashSet;

use async_trait::async_trait;

use super::{Format, IndexedArray, IndexedGranule, Refused};
use crate::array::{ArrayMetadata, ByteOrder, EdgeChunks};
use crate::object::ObjectReader;
use crate::{Error, Result};
use cursor::{Cursor, Stop};
use header::{Header, Variable};

/// netCDF files of the classic formats.
#[derive(Debug, Clone, Copy)]
pub struct Netcdf3;

/// Read first; most headers are shorter.
const FIRST: u64 = 64 * 1024;
/// Longer headers are refused.
const LONGEST: u64 = 256 << 20;

#[async_trait]
impl Format for Netcdf3 {
    fn name(&self) -> &'static str {
        "netCDF classic"
    }

    fn detect(&self, head: &[u8]) -> bool {
        matches!(head, [b'C', b'D', b'F', 1 | 2 | 5, ..])
    }

    async fn index(&self, object: &ObjectReader) -> Result<IndexedGranule> {
        let (location, size) = (object.location(), object.size());
        let mut length = FIRST.min(size);
        loop {
            let bytes = object.read(0..length).await?;
            match header::parse(&mut Cursor::new(location, &bytes, size)) {
                Ok(header) => return Ok(granule(header, size)),
                Err(Stop::Wrong(e)) => return Err(e),
                Err(Stop::More(end)) if end > LONGEST => {
                    return Err(Error::unsupported(location, format!("a header of more than {LONGEST} bytes")));
                }
                // At least twice as much, so that a long header is not parsed over and over.
                Err(Stop::More(end)) => length = end.max(2 * length).min(size).min(LONGEST.max(end)),
            }
        }
    }
}

/// The arrays of a file.
fn granule(mut header: Header, size: u64) -> IndexedGranule {
    let slabs: Vec<_> = header.variables.iter().map(|v| layout::slab(&header, v)).collect();
    let records = layout::records(&header, &slabs, size);
    let mut found = IndexedGranule { format: "netcdf3".into(), ..Default::default() };
    found.attributes = std::mem::take(&mut header.attributes);
    // Small files that describe huge indexes end here.
    let mut budget = size.saturating_mul(8).saturating_add(64 << 20);
    let mut names = HashSet::new();
    let variables = std::mem::take(&mut header.variables);
    for (variable, slab) in variables.into_iter().zip(slabs) {
        let path = format!("/{}", variable.name);
        let place = slab.and_then(|slab| {
            let records = if slab.recorded { records.clone()? } else { layout::Records { count: 1, stride: 0 } };
            if !names.insert(path.clone()) {
                return Err("a second variable of this name".into());
            }
            if variable.begin < header.length && slab.bytes > 0 {
                return Err(format!("its data begin at byte {}, inside the header of {} bytes", variable.begin, header.length));
            }
            let charge = |bytes| {
                budget = u64::checked_sub(budget, bytes).ok_or("its index would take more bytes than a file of this size may need")?;
                Ok(())
            };
            let element = variable.data_type.size() as u64;
            let (chunk_shape, manifest) = layout::place(&slab, variable.begin, element, records, size, charge)?;
            let metadata = metadata(path.clone(), &header, variable, slab, records.count, chunk_shape);
            Ok(IndexedArray { metadata, manifest })
        });
        match place {
            Ok(array) => found.arrays.push(array),
            Err(reason) => found.refused.push(Refused { path, reason }),
        }
    }
    found
}

fn metadata(path: String, header: &Header, v: Variable, slab: layout::Slab, records: u64, chunk_shape: Vec<u64>) -> ArrayMetadata {
    let name = |&number: &u64| header.dimensions.get(number as usize).map(|d| d.name.clone()).unwrap_or_default();
    ArrayMetadata {
        path,
        dimensions: v.dimensions.iter().map(name).collect(),
        shape: slab.recorded.then_some(records).into_iter().chain(slab.inner).collect(),
        data_type: v.data_type,
        byte_order: ByteOrder::Big,
        chunk_shape,
        edge: EdgeChunks::Clipped,
        codecs: Vec::new(),
        fill_value: None,
        attributes: v.attributes,
    }
}
