//! Runs a chain of codecs backwards: works out the length after each step, keeps intermediate bytes in buffers of the
//! thread, and lets the last step that needs a new buffer write straight into the result.

use std::cell::RefCell;

use super::*;
use crate::Result;
use crate::array::DataType;

/// Buffers larger than this are not kept for the next chunk.
const LARGEST_SPARE: usize = 16 << 20;
/// Buffers that a thread keeps: those between two steps, and those of chunks that were let go.
const MOST_SPARE: usize = 4;

thread_local! {
    static SPARE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// Bytes between two steps.
enum Held<'a> {
    Stored(&'a [u8]),
    /// A buffer of the thread and the bytes used of it.
    Spare(Vec<u8>, usize),
    Owned(Vec<u8>),
}

impl Held<'_> {
    fn bytes(&self) -> &[u8] {
        match self {
            Held::Stored(b) => b,
            Held::Spare(b, n) => b.get(..*n).unwrap_or(b),
            Held::Owned(b) => b,
        }
    }

    fn give_back(self) {
        if let Held::Spare(b, _) = self {
            keep(b);
        }
    }

    fn into_vec(self) -> Vec<u8> {
        if let Held::Owned(b) = self {
            return b;
        }
        let copy = self.bytes().to_vec();
        self.give_back();
        copy
    }
}

fn keep(b: Vec<u8>) {
    if b.capacity() > LARGEST_SPARE {
        return;
    }
    // A thread that ends keeps nothing.
    let _ = SPARE.try_with(|spare| {
        let mut spare = spare.borrow_mut();
        if spare.len() < MOST_SPARE {
            spare.push(b);
        }
    });
}

/// See [`super::recycled`].
pub(super) struct Recycled(pub Vec<u8>);

impl AsRef<[u8]> for Recycled {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Recycled {
    fn drop(&mut self) {
        keep(std::mem::take(&mut self.0));
    }
}

/// A buffer for a result of `len` bytes, whatever they hold. Much larger spare ones stay here: a result may be kept for long,
/// and is accounted for by its length.
fn result(len: usize) -> Vec<u8> {
    let mut b = SPARE.with_borrow_mut(|spare| {
        let fits = spare.iter().position(|b| (len..=len + len / 4).contains(&b.capacity()));
        fits.map(|at| spare.swap_remove(at)).unwrap_or_default()
    });
    match b.capacity() < len {
        true => b = vec![0; len],
        false => b.resize(len, 0),
    }
    if cfg!(debug_assertions) {
        // So that tests see it when a codec does not write all of its result.
        b.fill(0xA5);
    }
    b
}

/// A buffer of the thread of at least `len` bytes. Where none is large enough, a new one: zeroed memory that is not written to
/// costs nothing, so that a chunk whose header claims too much ends before it takes as much.
fn spare(len: usize) -> Vec<u8> {
    let mut b = SPARE.with_borrow_mut(Vec::pop).unwrap_or_default();
    if b.capacity() < len {
        return vec![0; len];
    }
    if b.len() < len {
        b.resize(len, 0);
    }
    b
}

/// See [`super::decode_chunk`].
pub(super) fn decode(codecs: &[Codec], skip: u32, stored: &[u8], decoded_len: usize) -> Result<Vec<u8>> {
    let applied = codecs.iter().enumerate().filter(|(i, _)| !matches!(skip.checked_shr(*i as u32), Some(s) if s & 1 == 1));
    // In encoding order: each codec with the length that undoing it must give, unknown behind a compressor.
    let mut steps: Vec<(&Codec, Option<usize>)> = Vec::with_capacity(codecs.len());
    let mut length = Some(decoded_len);
    for (_, codec) in applied {
        steps.push((codec, length));
        length = match length {
            Some(n) => encoded_len(codec, n)?,
            None => None,
        };
    }
    if let Some(expected) = length {
        exactly("stored", expected, stored.len())?;
    }
    // The step, counted from the front, that writes the result.
    let last_new = steps.iter().position(|(c, _)| needs_new_buffer(c));
    let mut held = Held::Stored(stored);
    for (i, &(codec, expected)) in steps.iter().enumerate().rev() {
        // Behind a compressor (a chunk compressed twice) nothing but the next known length bounds the bytes.
        let known = steps[..i].iter().rev().find_map(|s| s.1).unwrap_or(decoded_len);
        held = undo(codec, held, expected, known, last_new == Some(i))?;
    }
    let decoded = held.into_vec();
    exactly("decoded", decoded_len, decoded.len())?;
    Ok(decoded)
}

/// Undoes codecs of a chunk whose decoded length nothing tells: at most `most` bytes. Buffers double until the chunk fits.
pub(super) fn decode_any_length(codecs: &[Codec], skip: u32, stored: &[u8], most: usize) -> Result<Vec<u8>> {
    let applied = codecs.iter().enumerate().filter(|(i, _)| !matches!(skip.checked_shr(*i as u32), Some(s) if s & 1 == 1));
    let applied: Vec<&Codec> = applied.map(|(_, codec)| codec).collect();
    if applied.is_empty() {
        return Ok(stored.to_vec());
    }
    let mut room = stored.len().saturating_mul(4).clamp(64 << 10, most.max(1));
    loop {
        let mut held = Held::Stored(stored);
        let mut failed = None;
        for codec in applied.iter().rev() {
            let told = told_length(codec, held.bytes());
            if told.is_some_and(|n| n > most) {
                return Err(damaged(format!("{}: {} bytes, at most {most} are read", codec.name(), told.unwrap_or_default())));
            }
            match undo(codec, held, told, room, false) {
                Ok(next) => held = next,
                Err(error) => {
                    failed = Some(error);
                    held = Held::Owned(Vec::new());
                    break;
                }
            }
        }
        match failed {
            None => return Ok(held.into_vec()),
            Some(error) if room >= most || !wants_room(&error) => return Err(error),
            Some(_) => room = room.saturating_mul(4).min(most),
        }
    }
}

/// The decoded length, where a codec's header tells it.
fn told_length(codec: &Codec, stored: &[u8]) -> Option<usize> {
    let word = |at: usize| stored.get(at..)?.first_chunk::<4>().map(|b| u32::from_le_bytes(*b) as usize);
    match codec {
        Codec::Blosc => word(4),
        Codec::Lz4 { framing: Lz4Framing::Numcodecs } => word(0),
        _ => None,
    }
}

/// True for the error of a codec whose output has no room in its buffer (ours, and libzstd's words).
fn wants_room(error: &Error) -> bool {
    matches!(error, Error::Data { what, .. } if what.contains("found more") || what.contains("buffer is too small"))
}

/// Bytes that `decoded` bytes have once encoded; `None` for compressors.
fn encoded_len(codec: &Codec, decoded: usize) -> Result<Option<usize>> {
    let too_large = || damaged(format!("{}: {decoded} bytes are too many", codec.name()));
    match codec {
        _ if compressor(codec).is_some() => Ok(None),
        Codec::Fletcher32 => decoded.checked_add(fletcher32::LENGTH).map(Some).ok_or_else(too_large),
        Codec::Crc32 { .. } | Codec::Crc32c { .. } | Codec::Adler32 { .. } => {
            decoded.checked_add(checksum::LENGTH).map(Some).ok_or_else(too_large)
        }
        Codec::Interleave { samples, .. } => decoded.checked_mul(*samples as usize).map(Some).ok_or_else(too_large),
        Codec::Tiff(codec) => codec.encoded_len(decoded),
        Codec::Delta { decoded: from, encoded: to }
        | Codec::FixedScaleOffset { decoded: from, encoded: to, .. }
        | Codec::AsType { decoded: from, encoded: to } => {
            let cells = decoded.checked_div(from.size()).filter(|n| n * from.size() == decoded);
            let cells = cells.ok_or_else(|| damaged(format!("{}: {decoded} bytes are not whole cells", codec.name())))?;
            cells.checked_mul(to.size()).map(Some).ok_or_else(too_large)
        }
        Codec::PackedBools => Ok(Some(packed_bools::encoded_len(decoded))),
        Codec::Plane { .. } => Ok(Some(plane::PLACE)),
        Codec::Field { .. } | Codec::Integer { .. } | Codec::Float(_) => {
            let (from, to) = elements(codec)?;
            if !decoded.is_multiple_of(to) {
                return Err(damaged(format!("{}: {decoded} bytes are not whole elements of {to} bytes", codec.name())));
            }
            (decoded / to).checked_mul(from).map(Some).ok_or_else(too_large)
        }
        _ => Ok(Some(decoded)),
    }
}

/// Decodes into the second slice and gives the number of bytes written.
type Decompress<'c> = Box<dyn Fn(&[u8], &mut [u8]) -> Result<usize> + 'c>;

/// For a codec whose encoded length depends on the data: how many bytes one stored byte can become at most, and how.
/// See [`super::largest_ratio`].
pub(super) fn largest_ratio(codecs: &[Codec]) -> Option<usize> {
    let ratio = |codec: &Codec| match codec {
        Codec::Tiff(TiffCodec::ReverseBits) => None,
        Codec::Tiff(tiff) => Some(tiff.largest_ratio()),
        other => compressor(other).map(|(ratio, _)| ratio),
    };
    codecs.iter().find_map(ratio).filter(|&ratio| ratio < usize::MAX)
}

fn compressor(codec: &Codec) -> Option<(usize, Decompress<'_>)> {
    // Where a header of some bytes may stand for a chunk of any size, only the expected length bounds it.
    const ANY: usize = usize::MAX;
    Some(match codec {
        Codec::Deflate => (deflate::LARGEST_RATIO, Box::new(deflate::undo)),
        Codec::TiffDeflate => (deflate::LARGEST_RATIO, Box::new(deflate::undo_front)),
        Codec::Gzip => (deflate::LARGEST_RATIO, Box::new(deflate::undo_gzip)),
        Codec::RawDeflate => (deflate::LARGEST_RATIO, Box::new(deflate::undo_raw)),
        // How much a header may stand for is not known; only the expected length bounds it.
        Codec::Pcodec { data_type } => (ANY, Box::new(|input, output| pcodec::undo(input, output, *data_type))),
        Codec::Zarrs(chain) => (ANY, Box::new(|input, output| chain.undo(input, output))),
        Codec::Lzw => (lzw::LARGEST_RATIO, Box::new(lzw::undo)),
        Codec::PackBits => (packbits::LARGEST_RATIO, Box::new(packbits::undo)),
        Codec::Zstd => (zstd::LARGEST_RATIO, Box::new(zstd::undo)),
        Codec::Bzip2 => (bzip2::LARGEST_RATIO, Box::new(bzip2::undo)),
        Codec::Lz4 { framing } => (lz4::LARGEST_RATIO, Box::new(|input, output| lz4::undo(input, output, *framing))),
        Codec::Lzma { filters } => (lzma::LARGEST_RATIO, Box::new(|input, output| lzma::undo(input, output, filters))),
        Codec::Blosc => (zstd::LARGEST_RATIO, Box::new(blosc::undo)),
        Codec::Lzf => (lzf::LARGEST_RATIO, Box::new(lzf::undo)),
        Codec::Bitshuffle { element, block, inner } => {
            let (element, block) = (*element as usize, *block as usize);
            (zstd::LARGEST_RATIO, Box::new(move |input, output| bitshuffle::undo(input, output, element, block, *inner)))
        }
        Codec::Szip { parameters } => (szip::LARGEST_RATIO, Box::new(|input, output| szip::undo(input, output, parameters))),
        Codec::NBit { parameters } => (nbit::LARGEST_RATIO, Box::new(|input, output| nbit::undo(input, output, parameters))),
        Codec::ScaleOffset { parameters } => (ANY, Box::new(|input, output| scale_offset::undo(input, output, parameters))),
        _ => return None,
    })
}

fn needs_new_buffer(codec: &Codec) -> bool {
    if let Codec::Tiff(codec) = codec {
        return *codec != TiffCodec::ReverseBits;
    }
    use Codec::{AsType, Delta, Field, FixedScaleOffset, Float, Integer, Interleave, PackedBools, Shuffle, Transpose, Utf32};
    let moves = matches!(codec, Shuffle { .. } | Interleave { .. } | Delta { .. } | FixedScaleOffset { .. } | AsType { .. } | PackedBools);
    let moves = moves || matches!(codec, Field { .. } | Integer { .. } | Float(_) | Transpose { .. } | Utf32 { .. } | Codec::Plane { .. });
    moves || compressor(codec).is_some()
}

/// Bytes an element of a codec that changes them, encoded and decoded; neither is 0.
fn elements(codec: &Codec) -> Result<(usize, usize)> {
    let fits = match *codec {
        Codec::Field { record, offset, length } if length > 0 && offset.checked_add(length).is_some_and(|end| end <= record) => {
            Some((record as usize, length as usize))
        }
        Codec::Integer { size: size @ 1..=8, offset, precision, .. }
            if precision > 0 && offset.checked_add(precision).is_some_and(|end| end <= size * 8) =>
        {
            Some((size as usize, number::widened(size as usize)))
        }
        Codec::Float(fields) => fields.cells().map(|t| (fields.size as usize, t.size())),
        _ => None,
    };
    fits.ok_or_else(|| damaged(format!("{}: {codec:?} does not fit together", codec.name())))
}

fn exactly(what: &str, expected: usize, found: usize) -> Result<()> {
    if expected == found { Ok(()) } else { Err(damaged(format!("{what}: expected {expected} bytes, found {found}"))) }
}

/// Undoes one codec. `expected` is the length that it must give, where known; otherwise it may give little more than
/// `known`, the length after the next step for which one is known. `last`: write into a buffer that becomes the result.
fn undo<'a>(codec: &Codec, held: Held<'a>, expected: Option<usize>, known: usize, last: bool) -> Result<Held<'a>> {
    if let Some((largest_ratio, decompress)) = compressor(codec) {
        return compressed(codec, held, expected, known, last, largest_ratio, decompress);
    }
    let checked = |held: Held<'a>, at, of| {
        let data = checksum::verify(held.bytes(), at, codec.name(), of)?;
        Ok(part(held, data))
    };
    match codec {
        Codec::Transpose { shape, order, element } => {
            let n = held.bytes().len();
            return into_new(held, n, last, |input, output| transpose::undo(input, output, shape, order, *element as usize));
        }
        Codec::Utf32 { characters, order } => {
            let n = held.bytes().len();
            return into_new(held, n, last, |input, output| texts::undo_utf32(input, output, *characters as usize, *order));
        }
        Codec::Plane { columns, terms } => {
            let Some(n) = expected else { return Err(Error::unsupported("chunk", "a plane under other codecs")) };
            return into_new(held, n, last, |input, output| plane::undo(input, *columns, *terms, output));
        }
        Codec::VlenUtf8 | Codec::JsonTexts => return Err(Error::unsupported("chunk", format!("{} of cells", codec.name()))),
        _ => {}
    }
    match *codec {
        Codec::Tiff(TiffCodec::ReverseBits) => Ok(in_place(held, |data| data.iter_mut().for_each(|b| *b = b.reverse_bits()))),
        Codec::Tiff(ref tiff) => {
            let decompress: Decompress<'_> = Box::new(|input, output| tiff.undo(input, output));
            compressed(codec, held, expected, known, last, tiff.largest_ratio(), decompress)
        }
        Codec::Shuffle { element } => {
            let element = not_zero(codec, element)?;
            let n = held.bytes().len();
            into_new(held, n, last, |input, output| {
                shuffle::undo(input, output, element);
                Ok(())
            })
        }
        Codec::Interleave { samples, sample, element } => {
            let (all, pixel) = (not_zero(codec, samples)?, not_zero(codec, element)?);
            let (bytes, found) = (all.saturating_mul(pixel), held.bytes().len());
            if sample >= samples || !found.is_multiple_of(bytes) {
                return Err(damaged(format!("interleave: {found} bytes are not whole pixels of {samples} samples of {element} bytes")));
            }
            into_new(held, found / all, last, |input, output| {
                interleave::undo(input, output, all, sample as usize, pixel);
                Ok(())
            })
        }
        Codec::Fletcher32 => {
            let n = fletcher32::verify(held.bytes())?;
            Ok(part(held, 0..n))
        }
        Codec::Crc32 { at } => checked(held, at, checksum::crc32),
        Codec::Crc32c { at } => checked(held, at, checksum::crc32c),
        Codec::Adler32 { at } => checked(held, at, checksum::adler32),
        Codec::Delta { decoded, encoded } => {
            let n = cells(codec, &held, decoded, encoded)?;
            into_new(held, n, last, |input, output| cell::undo_delta(input, output, decoded, encoded))
        }
        Codec::FixedScaleOffset { scale, offset, decoded, encoded } => {
            let n = cells(codec, &held, decoded, encoded)?;
            into_new(held, n, last, |input, output| cell::undo_scale(input, output, scale, offset, decoded, encoded))
        }
        Codec::AsType { decoded, encoded } => {
            let n = cells(codec, &held, decoded, encoded)?;
            into_new(held, n, last, |input, output| cell::undo_as_type(input, output, decoded, encoded))
        }
        Codec::PackedBools => {
            let n = expected.ok_or_else(|| Error::unsupported("chunk", "packbits behind a compressor"))?;
            into_new(held, n, last, packed_bools::undo)
        }
        Codec::Field { .. } | Codec::Integer { .. } | Codec::Float(_) => {
            let ((from, to), found) = (elements(codec)?, held.bytes().len());
            if !found.is_multiple_of(from) {
                return Err(damaged(format!("{}: {found} bytes are not whole elements of {from} bytes", codec.name())));
            }
            into_new(held, found / from * to, last, |input, output| {
                match *codec {
                    Codec::Integer { offset, precision, signed, order, .. } => {
                        number::undo_integer(input, output, from, (offset, precision), signed, order);
                    }
                    Codec::Float(fields) => number::undo_float(input, output, &fields, fields.cells().unwrap_or(DataType::Float64)),
                    Codec::Field { offset, .. } => field::undo(input, output, from, offset as usize, to),
                    _ => (),
                }
                Ok(())
            })
        }
        Codec::PaddedText { size, spaces } => {
            let size = not_zero(codec, size)?;
            Ok(in_place(held, |data| padded_text::undo(data, size, spaces)))
        }
        Codec::HorizontalPredictor { row, samples, element, order } => {
            if !matches!(element, 1 | 2 | 4 | 8) {
                return Err(damaged(format!("predictor2: samples of {element} bytes")));
            }
            let (row, samples) = rows(codec, row, samples, element, held.bytes().len())?;
            Ok(in_place(held, |data| horizontal_predictor::undo(data, row, samples, element as usize, order)))
        }
        Codec::FloatPredictor { row, samples, element } => {
            let (row, samples) = rows(codec, row, samples, element, held.bytes().len())?;
            Ok(in_place(held, |data| float_predictor::undo(data, row, samples, element as usize)))
        }
        // The compressors, handled above.
        _ => Err(Error::Internal(format!("{}: neither a compressor nor another codec", codec.name()))),
    }
}

/// Bytes that a codec which computes with cells makes of `held`.
fn cells(codec: &Codec, held: &Held<'_>, decoded: CellType, encoded: CellType) -> Result<usize> {
    let found = held.bytes().len();
    let whole = found.checked_div(encoded.size()).filter(|n| n * encoded.size() == found);
    let bytes = whole.and_then(|n| n.checked_mul(decoded.size()));
    bytes.ok_or_else(|| damaged(format!("{}: {found} bytes are not whole cells of {}", codec.name(), encoded.data_type.name())))
}

/// Keeps only a range of the bytes.
fn part(held: Held<'_>, range: std::ops::Range<usize>) -> Held<'_> {
    match held {
        Held::Stored(b) => Held::Stored(b.get(range).unwrap_or_default()),
        Held::Spare(mut b, n) => {
            let range = range.start.min(n)..range.end.min(n);
            let length = range.len();
            b.copy_within(range, 0);
            Held::Spare(b, length)
        }
        Held::Owned(mut b) => {
            b.truncate(range.end);
            b.drain(..range.start.min(b.len()));
            Held::Owned(b)
        }
    }
}

fn not_zero(codec: &Codec, n: u32) -> Result<usize> {
    if n == 0 { Err(damaged(format!("{}: a size of 0", codec.name()))) } else { Ok(n as usize) }
}

/// Row and pixel length of a predictor, when `found` bytes are whole rows.
fn rows(codec: &Codec, row: u32, samples: u32, element: u32, found: usize) -> Result<(usize, usize)> {
    let (row, samples, element) = (not_zero(codec, row)?, not_zero(codec, samples)?, not_zero(codec, element)?);
    if !row.checked_mul(element).is_some_and(|bytes| found.is_multiple_of(bytes)) {
        return Err(damaged(format!("{}: {found} bytes are not whole rows of {row} samples of {element} bytes", codec.name())));
    }
    Ok((row, samples))
}

fn in_place<'a>(held: Held<'a>, change: impl FnOnce(&mut [u8])) -> Held<'a> {
    match held {
        Held::Spare(mut b, n) => {
            change(b.get_mut(..n).unwrap_or_default());
            Held::Spare(b, n)
        }
        Held::Stored(_) | Held::Owned(_) => {
            let mut b = held.into_vec();
            change(&mut b);
            Held::Owned(b)
        }
    }
}

fn into_new<'a>(held: Held<'a>, length: usize, last: bool, write: impl FnOnce(&[u8], &mut [u8]) -> Result<()>) -> Result<Held<'a>> {
    let mut b = if last { result(length) } else { spare(length) };
    let written = write(held.bytes(), b.get_mut(..length).unwrap_or_default());
    held.give_back();
    written?;
    Ok(if last { Held::Owned(b) } else { Held::Spare(b, length) })
}

fn compressed<'a>(
    codec: &Codec,
    held: Held<'a>,
    expected: Option<usize>,
    known: usize,
    last: bool,
    largest_ratio: usize,
    decompress: Decompress<'_>,
) -> Result<Held<'a>> {
    let input = held.bytes();
    let most = input.len().saturating_mul(largest_ratio);
    // What was compressed again grew by next to nothing the first time.
    let capacity = expected.unwrap_or_else(|| (known + known / 8).saturating_add(4096).min(most));
    if capacity > most {
        // Checked before anything of that size is allocated.
        let (name, found) = (codec.name(), input.len());
        return Err(damaged(format!("{name}: expected {capacity} bytes, but {found} stored bytes hold at most {most}")));
    }
    let mut b = if last && expected.is_some() { result(capacity) } else { spare(capacity) };
    let found = decompress(input, b.get_mut(..capacity).unwrap_or_default());
    held.give_back();
    let found = found?;
    if let Some(expected) = expected {
        exactly(codec.name(), expected, found)?;
    }
    Ok(if last && expected.is_some() { Held::Owned(b) } else { Held::Spare(b, found) })
}
