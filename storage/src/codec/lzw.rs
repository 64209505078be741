//! TIFF's LZW (TIFF 6.0 section 13), and the streams of LSB-first codes that older writers made.

use std::cell::RefCell;

use weezl::decode::Decoder;
use weezl::{BitOrder, LzwStatus};

use super::damaged;
use crate::Result;

/// More bytes than one stored byte can become: a code of 9 bits or more stands for at most 4096 bytes.
pub(super) const LARGEST_RATIO: usize = 4096;

thread_local! {
    static DECODER: RefCell<Decoder> = RefCell::new(Decoder::with_tiff_size_switch(BitOrder::Msb, 8));
}

/// Decodes until `output` is full or the stream ends, and gives the number of bytes written. What a writer put behind the
/// rows of the image is left alone, as libtiff does.
pub(super) fn undo(input: &[u8], output: &mut [u8]) -> Result<usize> {
    // libtiff's test: a first code of 9 bits that is the clear code with its low bits first.
    if matches!(input, [0, second, ..] if second & 1 == 1) {
        return run(&mut Decoder::new(BitOrder::Lsb, 8), input, output);
    }
    DECODER.with_borrow_mut(|decoder| {
        decoder.reset();
        run(decoder, input, output)
    })
}

fn run(decoder: &mut Decoder, mut input: &[u8], output: &mut [u8]) -> Result<usize> {
    let mut written = 0;
    while let Some(rest) = output.get_mut(written..).filter(|rest| !rest.is_empty()) {
        let step = decoder.decode_bytes(input, rest);
        written += step.consumed_out;
        input = input.get(step.consumed_in..).unwrap_or_default();
        match step.status {
            Ok(LzwStatus::Ok) if step.consumed_in > 0 || step.consumed_out > 0 => {}
            Ok(_) => break,
            Err(_) if written == output.len() => break,
            Err(_) => return Err(damaged(format!("lzw: an invalid code after {written} of {} bytes", output.len()))),
        }
    }
    Ok(written)
}
