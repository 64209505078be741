//! Pcodec, the numerical codec of numcodecs and zarrs (`pcodec`), in its standalone format.

use std::panic::{AssertUnwindSafe, catch_unwind};

use pco::data_types::Number;
use pco::standalone::simple_decompress_into;

use super::damaged;
use crate::array::DataType;
use crate::{Error, Result};

/// Decodes little-endian numbers into `output`, which they fill, and gives the number of bytes written.
pub(super) fn undo(input: &[u8], output: &mut [u8], data_type: DataType) -> Result<usize> {
    match data_type {
        DataType::Int8 => numbers(input, output, i8::to_le_bytes),
        DataType::UInt8 => numbers(input, output, u8::to_le_bytes),
        DataType::Int16 => numbers(input, output, i16::to_le_bytes),
        DataType::Int32 => numbers(input, output, i32::to_le_bytes),
        DataType::Int64 => numbers(input, output, i64::to_le_bytes),
        DataType::UInt16 => numbers(input, output, u16::to_le_bytes),
        DataType::UInt32 => numbers(input, output, u32::to_le_bytes),
        DataType::UInt64 => numbers(input, output, u64::to_le_bytes),
        DataType::Float16 => numbers(input, output, half::f16::to_le_bytes),
        DataType::Float32 => numbers(input, output, f32::to_le_bytes),
        DataType::Float64 => numbers(input, output, f64::to_le_bytes),
        other => Err(Error::unsupported("chunk", format!("pcodec of {}", other.name()))),
    }
}

fn numbers<T: Number + Default, const N: usize>(input: &[u8], output: &mut [u8], bytes: fn(T) -> [u8; N]) -> Result<usize> {
    let (cells, rest) = output.as_chunks_mut::<N>();
    if !rest.is_empty() {
        return Err(damaged(format!("pcodec: expected {} bytes, which are not whole numbers", cells.len() * N + rest.len())));
    }
    // One more than is expected, to notice a chunk that holds more.
    let mut decoded = vec![T::default(); cells.len() + 1];
    let progress = catch_unwind(AssertUnwindSafe(|| simple_decompress_into(input, &mut decoded)));
    let progress = progress.map_err(|_| damaged("pcodec: the bytes cannot be decoded"))?.map_err(|e| damaged(format!("pcodec: {e}")))?;
    if progress.n_processed != cells.len() || !progress.finished {
        return Err(damaged(format!("pcodec: expected {} numbers, found {}", cells.len(), progress.n_processed)));
    }
    cells.iter_mut().zip(decoded).for_each(|(cell, number)| *cell = bytes(number));
    Ok(cells.len() * N)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back() {
        let given: Vec<f32> = (0..3000).map(|i| (i as f32 * 0.01).sin()).collect();
        let packed = pco::standalone::simple_compress(&given, &pco::ChunkConfig::default()).unwrap();
        let mut output = vec![0; 12_000];
        assert_eq!(undo(&packed, &mut output, DataType::Float32).unwrap(), 12_000);
        let want: Vec<u8> = given.iter().flat_map(|v| v.to_le_bytes()).collect();
        assert_eq!(output, want);
        assert!(undo(&packed, &mut output[..11_996], DataType::Float32).is_err());
        assert!(undo(&packed, &mut vec![0; 12_004], DataType::Float32).is_err());
        assert!(undo(&packed, &mut output, DataType::Int32).is_err());
        assert!(undo(&packed[..packed.len() / 2], &mut output, DataType::Float32).is_err());
        assert!(undo(&[], &mut output, DataType::Float32).is_err());
        for i in 0..packed.len().min(200) {
            let mut broken = packed.clone();
            broken[i] ^= 0x55;
            let _ = undo(&broken, &mut output, DataType::Float32);
        }
    }
}
