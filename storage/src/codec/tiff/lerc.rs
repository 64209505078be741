//! A LERC blob (Limited Error Raster Compression) of a TIFF strip or tile, as libtiff's codec lays it out.

use lerc_core::{DataType as LercType, PixelData};
use lerc_reader::InspectOptions;

use super::{damaged, guarded, whole_rows};
use crate::Result;
use crate::array::DataType;

/// Decodes a blob of `width` pixels a row into `output`, samples in little-endian order.
///
/// Pixels that the blob masks are NaN in floats. With `alpha`, a blob of one value less than `samples` says by its mask where
/// the last sample, 8 bits of alpha, is 255 and where 0.
pub(super) fn undo(input: &[u8], output: &mut [u8], width: u32, samples: u32, data_type: DataType, alpha: bool) -> Result<usize> {
    let element = data_type.size();
    let rows = whole_rows("lerc", output.len(), width as usize * samples as usize * element)?;
    guarded("lerc", || {
        let bad = |e: lerc_core::Error| damaged(format!("lerc: {e}"));
        let info = lerc_reader::inspect_first_with_options(input, InspectOptions::new().with_compute_value_range(false)).map_err(bad)?;
        if info.width != width || info.height as usize != rows {
            return Err(damaged(format!("lerc: expected {width} x {rows} pixels, found {} x {}", info.width, info.height)));
        }
        let masked_alpha = alpha && data_type == DataType::UInt8 && info.depth + 1 == samples;
        if info.depth != samples && !masked_alpha {
            return Err(damaged(format!("lerc: expected {samples} samples a pixel, found {}", info.depth)));
        }
        if lerc_type(data_type) != Some(info.data_type) {
            return Err(damaged(format!("lerc: expected samples of type {}, found {}", data_type.name(), info.data_type.name())));
        }
        let decoded = lerc_reader::decode_first(input).map_err(bad)?;
        if masked_alpha {
            let PixelData::U8(pixels) = &decoded.pixels else { return Err(damaged("lerc: samples of another type")) };
            let depth = info.depth as usize;
            for (i, (to, from)) in output.chunks_exact_mut(samples as usize).zip(pixels.chunks_exact(depth.max(1))).enumerate() {
                to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
                let valid = decoded.mask.as_ref().is_none_or(|mask| mask.get(i).is_some_and(|&v| v != 0));
                if let Some(last) = to.last_mut() {
                    *last = if valid { 255 } else { 0 };
                }
            }
            return Ok(output.len());
        }
        write(&decoded.pixels, output);
        if let (Some(mask), true) = (&decoded.mask, data_type.is_float()) {
            let pixels = output.chunks_exact_mut(samples as usize * element);
            // A NaN in either byte order.
            pixels.zip(mask).filter(|(_, valid)| **valid == 0).for_each(|(cells, _)| cells.fill(0xff));
        }
        Ok(output.len().min(decoded.pixels.len() * element))
    })
}

fn lerc_type(data_type: DataType) -> Option<LercType> {
    Some(match data_type {
        DataType::Int8 => LercType::I8,
        DataType::UInt8 => LercType::U8,
        DataType::Int16 => LercType::I16,
        DataType::UInt16 => LercType::U16,
        DataType::Int32 => LercType::I32,
        DataType::UInt32 => LercType::U32,
        DataType::Float32 => LercType::F32,
        DataType::Float64 => LercType::F64,
        _ => return None,
    })
}

fn write(pixels: &PixelData, output: &mut [u8]) {
    macro_rules! little_endian {
        ($values:expr, $n:literal) => {
            output.as_chunks_mut::<$n>().0.iter_mut().zip($values).for_each(|(o, v)| *o = v.to_le_bytes())
        };
    }
    match pixels {
        PixelData::I8(v) => little_endian!(v, 1),
        PixelData::U8(v) => little_endian!(v, 1),
        PixelData::I16(v) => little_endian!(v, 2),
        PixelData::U16(v) => little_endian!(v, 2),
        PixelData::I32(v) => little_endian!(v, 4),
        PixelData::U32(v) => little_endian!(v, 4),
        PixelData::F32(v) => little_endian!(v, 4),
        PixelData::F64(v) => little_endian!(v, 8),
    }
}
