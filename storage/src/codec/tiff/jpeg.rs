//! A JPEG stream of a TIFF strip or tile (TIFF Technical Note 2): joined with the tables that all streams of an image share,
//! checked marker by marker, then decoded by mozjpeg, whose inverse transform and upsampling are those of libjpeg-turbo.

use mozjpeg::{ColorSpace, Decompress};

use super::{damaged, guarded, unsupported, whole_rows};
use crate::Result;

/// Scans of a progressive stream; libtiff's limit.
const MOST_SCANS: usize = 100;

/// Decodes a stream of `width` pixels a row and `samples` samples a pixel into `output`. `rgb`: the samples are YCbCr and become
/// RGB; otherwise they are given as they are coded, whatever colours the stream claims.
pub(super) fn undo(input: &[u8], output: &mut [u8], width: u32, samples: u32, rgb: bool, tables: &[u8]) -> Result<usize> {
    let rows = whole_rows("jpeg", output.len(), width as usize * samples as usize)?;
    let mut stream = Stream { bytes: vec![0xff, 0xd8], frame: None, scans: 0 };
    if !tables.is_empty() {
        stream.append(tables, true)?;
    }
    stream.append(input, false)?;
    let Some(frame) = stream.frame else { return Err(damaged("jpeg: a stream without a frame header")) };
    if frame.precision != 8 {
        return Err(unsupported(format!("JPEG of {} bits a sample", frame.precision)));
    }
    if frame.width != width || (frame.height as usize) < rows || u32::from(frame.components) != samples {
        return Err(damaged(format!(
            "jpeg: expected {width} x {rows} pixels of {samples} samples, found {} x {} of {}",
            frame.width, frame.height, frame.components
        )));
    }
    // The last strip may reach below the image, by less than a strip.
    if frame.height as usize > rows.saturating_mul(2).saturating_add(4096) {
        return Err(damaged(format!("jpeg: expected {rows} rows, found {}", frame.height)));
    }
    // Components are numbered from 1 and no marker tells of colours: libjpeg takes three for YCbCr, four for CMYK.
    let as_coded = match samples {
        1 => ColorSpace::JCS_GRAYSCALE,
        3 => ColorSpace::JCS_YCbCr,
        4 => ColorSpace::JCS_CMYK,
        n => return Err(unsupported(format!("JPEG of {n} samples a pixel"))),
    };
    guarded("jpeg", || {
        let bad = |e: std::io::Error| damaged(format!("jpeg: {e}"));
        let decoder = Decompress::new_mem(&stream.bytes).map_err(bad)?;
        let space = if rgb && samples == 3 { ColorSpace::JCS_RGB } else { as_coded };
        let mut decoder = decoder.to_colorspace(space).map_err(bad)?;
        if decoder.width() != width as usize || decoder.height() < rows {
            return Err(damaged(format!("jpeg: an image of {} x {} pixels came out", decoder.width(), decoder.height())));
        }
        decoder.read_scanlines_into::<u8>(output).map_err(bad)?;
        Ok(output.len())
    })
}

/// What a frame header says.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Frame {
    precision: u8,
    width: u32,
    height: u32,
    components: u8,
    ids: [u8; 4],
}

/// A stream under construction: what decoding needs of both parts, in order.
struct Stream {
    bytes: Vec<u8>,
    frame: Option<Frame>,
    scans: usize,
}

impl Stream {
    /// Appends the segments of one datastream; `tables`: one that holds tables only. Application data and comments are left
    /// out, and components are numbered from 1, so that nothing but the TIFF tags tells about colours.
    fn append(&mut self, input: &[u8], tables: bool) -> Result<()> {
        let at = |at: usize| input.get(at).copied();
        let mut position = 2;
        if input.get(..2) != Some(&[0xff, 0xd8]) {
            return Err(damaged("jpeg: expected a start of image"));
        }
        loop {
            // Fill bytes may stand before a marker.
            while at(position) == Some(0xff) && at(position + 1) == Some(0xff) {
                position += 1;
            }
            let (Some(0xff), Some(marker)) = (at(position), at(position + 1)) else {
                return match (tables, at(position)) {
                    (true, None) => Ok(()),
                    (_, None) => Err(damaged(format!("jpeg: the stream of {} bytes ends before its end marker", input.len()))),
                    _ => Err(damaged(format!("jpeg: expected a marker at byte {position}"))),
                };
            };
            match marker {
                0xd9 => {
                    if !tables {
                        self.bytes.extend([0xff, 0xd9]);
                    }
                    return Ok(());
                }
                0x01 | 0xd0..=0xd8 => {
                    position += 2;
                    continue;
                }
                _ => {}
            }
            let (Some(high), Some(low)) = (at(position + 2), at(position + 3)) else {
                return Err(damaged("jpeg: a segment is cut off"));
            };
            let length = usize::from(u16::from_be_bytes([high, low]));
            let end = position + 2 + length;
            let Some(segment) = input.get(position + 4..end).filter(|_| length >= 2) else {
                return Err(damaged(format!("jpeg: a segment of {length} bytes at byte {position} reaches over the end")));
            };
            position = end;
            match marker {
                0xe0..=0xef | 0xfe => {}
                // Frame headers; the rest of the range are tables (DHT, JPG, DAC).
                0xc0..=0xcf if !matches!(marker, 0xc4 | 0xc8 | 0xcc) => {
                    let (frame, segment) = self.frame_header(segment)?;
                    self.frame = Some(frame);
                    self.segment(marker, &segment);
                }
                0xda => {
                    let header = self.scan_header(segment)?;
                    self.segment(marker, &header);
                    let data = input.get(position..).unwrap_or_default();
                    let length = entropy_coded(data);
                    self.bytes.extend(data.get(..length).unwrap_or_default());
                    position += length;
                    self.scans += 1;
                    if self.scans > MOST_SCANS {
                        return Err(damaged(format!("jpeg: more than {MOST_SCANS} scans")));
                    }
                }
                _ => self.segment(marker, segment),
            }
        }
    }

    fn segment(&mut self, marker: u8, content: &[u8]) {
        self.bytes.extend([0xff, marker]);
        self.bytes.extend(((content.len() + 2) as u16).to_be_bytes());
        self.bytes.extend(content);
    }

    /// Reads a frame header and numbers its components.
    fn frame_header(&self, segment: &[u8]) -> Result<(Frame, Vec<u8>)> {
        let [precision, h1, h0, w1, w0, components, specifications @ ..] = segment else {
            return Err(damaged("jpeg: a frame header that is cut off"));
        };
        if self.frame.is_some() || !(1..=4).contains(components) || specifications.len() != 3 * usize::from(*components) {
            return Err(damaged(format!("jpeg: a second frame header, or one of {components} components")));
        }
        let (mut header, mut ids) = (segment.to_vec(), [0; 4]);
        for (i, (specification, id)) in header.get_mut(6..).unwrap_or_default().chunks_exact_mut(3).zip(&mut ids).enumerate() {
            if let Some(first) = specification.first_mut() {
                *id = std::mem::replace(first, i as u8 + 1);
            }
        }
        let (height, width) = (u16::from_be_bytes([*h1, *h0]).into(), u16::from_be_bytes([*w1, *w0]).into());
        Ok((Frame { precision: *precision, width, height, components: *components, ids }, header))
    }

    /// A scan header with the numbers that its components have now.
    fn scan_header(&self, segment: &[u8]) -> Result<Vec<u8>> {
        let Some(frame) = self.frame else { return Err(damaged("jpeg: a scan before the frame header")) };
        let (mut header, count) = (segment.to_vec(), usize::from(segment.first().copied().unwrap_or(0)));
        if header.len() != 4 + 2 * count {
            return Err(damaged(format!("jpeg: a scan header of {} bytes for {count} components", header.len())));
        }
        for selector in header.get_mut(1..1 + 2 * count).unwrap_or_default().chunks_exact_mut(2) {
            let known = frame.ids.iter().take(frame.components.into()).position(|id| Some(id) == selector.first());
            match (known, selector.first_mut()) {
                (Some(i), Some(id)) => *id = i as u8 + 1,
                _ => return Err(damaged("jpeg: a scan of a component that the frame lacks")),
            }
        }
        Ok(header)
    }
}

/// Bytes up to the next marker that is no restart.
fn entropy_coded(data: &[u8]) -> usize {
    let mut at = 0;
    while let Some(found) = data.get(at..).and_then(|rest| rest.iter().position(|&b| b == 0xff)) {
        at += found;
        match data.get(at + 1) {
            Some(0x00 | 0xd0..=0xd7) => at += 2,
            Some(0xff) => at += 1,
            Some(_) => return at,
            None => return data.len(),
        }
    }
    data.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A grey image of 16 x 16 pixels in which row r has the value 10 r, as mozjpeg writes it.
    fn stream(space: ColorSpace, components: usize) -> Vec<u8> {
        let mut encoder = mozjpeg::Compress::new(space);
        encoder.set_size(16, 16);
        encoder.set_quality(100.0);
        let mut encoder = encoder.start_compress(Vec::new()).unwrap();
        let pixels: Vec<u8> = (0..16 * 16 * components).map(|i| (i / (16 * components) * 10) as u8).collect();
        encoder.write_scanlines(&pixels).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn samples_come_as_coded_or_as_rgb() {
        let mut out = vec![0; 256];
        assert_eq!(undo(&stream(ColorSpace::JCS_GRAYSCALE, 1), &mut out, 16, 1, false, &[]).unwrap(), 256);
        assert!(out.iter().enumerate().all(|(i, &v)| (i as i32 / 16 * 10 - i32::from(v)).abs() <= 2));
        let rgb = stream(ColorSpace::JCS_RGB, 3);
        let mut out = vec![0; 768];
        undo(&rgb, &mut out, 16, 3, true, &[]).unwrap();
        assert!(out.iter().enumerate().all(|(i, &v)| (i as i32 / 48 * 10 - i32::from(v)).abs() <= 2), "{out:?}");
        undo(&rgb, &mut out, 16, 3, false, &[]).unwrap();
        assert!(out.chunks(3).all(|p| (i32::from(p[1]) - 128).abs() <= 1 && (i32::from(p[2]) - 128).abs() <= 1), "chroma of grey");
    }

    #[test]
    fn damaged_streams_are_errors() {
        let whole = stream(ColorSpace::JCS_RGB, 3);
        let message = |bytes: &[u8], width, samples| undo(bytes, &mut [0; 768], width, samples, true, &[]).unwrap_err().to_string();
        assert!(message(&whole[..whole.len() - 2], 16, 3).contains("ends before its end marker"));
        assert!(message(&whole[2..], 16, 3).contains("start of image"));
        assert!(message(&whole, 32, 3).contains("expected 32 x 8"));
        assert!(message(&whole, 256, 1).contains("found 16 x 16 of 3"));
        for cut in 0..whole.len() {
            assert!(undo(&whole[..cut], &mut [0; 768], 16, 3, true, &[]).is_err());
        }
        for at in 0..whole.len() {
            for value in [0, 0xff, whole[at] ^ 0x10] {
                let mut broken = whole.clone();
                broken[at] = value;
                let _ = undo(&broken, &mut [0; 768], 16, 3, true, &[]);
            }
        }
    }
}
