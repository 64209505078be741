//! GeoTIFF against GDAL: our own fixtures, real files, broken files. Here: bytes in memory as objects, whole arrays.

mod codecs;
mod fixtures;
mod hand_made;
mod real_files;

use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;

use super::sidecar::Sidecars;
use super::source::Source;
use crate::array::{ByteOrder, ChunkRef, DataType, EdgeChunks, Scalar};
use crate::codec::decode_chunk;
use crate::format::{IndexedArray, IndexedGranule};
use crate::{Error, Result};

/// An object in memory.
struct Memory {
    name: String,
    bytes: Bytes,
}

#[async_trait]
impl Source for Memory {
    fn location(&self) -> &str {
        &self.name
    }

    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    async fn read(&self, range: Range<u64>) -> Result<Bytes> {
        assert!(range.start <= range.end && range.end <= self.size(), "{}: read of {range:?} is not inside the object", self.name);
        Ok(self.bytes.slice(range.start as usize..range.end as usize))
    }
}

fn index(name: &str, bytes: &Bytes) -> Result<IndexedGranule> {
    let memory = Memory { name: name.into(), bytes: bytes.clone() };
    futures::executor::block_on(super::index(&memory, Sidecars::default()))
}

/// The cells of an array in C order, as numbers (integers beyond 2^53 are rounded).
fn values(bytes: &[u8], array: &IndexedArray) -> Result<Vec<f64>> {
    let m = &array.metadata;
    let size = m.data_type.size();
    let (height, width) = (m.shape[0] as usize, m.shape[1] as usize);
    let mut out = vec![0.0; height * width];
    let grid = m.chunk_grid();
    assert_eq!(array.manifest.chunks.len() as u64, grid.len(), "{}: chunks tile the shape", m.path);
    let counts = grid.counts();
    for (n, chunk) in array.manifest.chunks.iter().enumerate() {
        let extent = grid.extent(&[n as u64 / counts[1], n as u64 % counts[1]]);
        let (rows, columns) = (extent.range(0), extent.range(1));
        let stored_shape = match m.edge {
            EdgeChunks::Padded => m.chunk_shape.clone(),
            EdgeChunks::Clipped => extent.shape(),
        };
        let decoded = match chunk {
            ChunkRef::Missing | ChunkRef::Key { .. } => None,
            ChunkRef::Inline(b) => Some(b.to_vec()),
            ChunkRef::Stored { offset, length, skip, .. } => {
                let stored = &bytes[*offset as usize..(offset + length) as usize];
                let length = stored_shape.iter().product::<u64>() as usize * size;
                Some(
                    decode_chunk(&m.codecs, *skip, stored, length)
                        .map_err(|e| Error::data(format!("{} chunk {n}", m.path), e.to_string()))?,
                )
            }
        };
        for row in rows.clone() {
            for column in columns.clone() {
                let at = ((row - rows.start) * stored_shape[1] + column - columns.start) as usize * size;
                out[row as usize * width + column as usize] = match &decoded {
                    Some(d) => number(&d[at..at + size], m.data_type, m.byte_order),
                    None => m.fill_value.map_or(0.0, Scalar::as_f64),
                };
            }
        }
    }
    Ok(out)
}

fn number(cell: &[u8], data_type: DataType, order: ByteOrder) -> f64 {
    let mut b = [0; 8];
    for (i, v) in cell.iter().enumerate() {
        b[if order == ByteOrder::Little { i } else { cell.len() - 1 - i }] = *v;
    }
    let bits = u64::from_le_bytes(b);
    match data_type {
        DataType::Int8 => f64::from(bits as i8),
        DataType::Int16 => f64::from(bits as i16),
        DataType::Int32 => f64::from(bits as i32),
        DataType::Int64 => bits as i64 as f64,
        DataType::Float16 => f64::from(half::f16::from_bits(bits as u16)),
        DataType::Float32 => f64::from(f32::from_bits(bits as u32)),
        DataType::Float64 => f64::from_bits(bits),
        _ => bits as f64,
    }
}
