//! Statistics of up to 4096 chunks as bytes: `version  length  zlib(columns)` as of chunk references; a column holds one number of all
//! chunks, so that what is alike lies side by side.

use std::collections::HashMap;

use super::{ChunkStatistics, Extremes};
use crate::Result;
use crate::catalog::pages::{put, take};
use crate::catalog::records::{deflate, inflate};

/// What is known, by the chunk's place in the page.
pub type Page = HashMap<u16, ChunkStatistics>;

const VERSION: u8 = 1;
/// The version of the program that found them.
const PROGRAM: &str = env!("CARGO_PKG_VERSION");

/// Kind of the extremes, and both by their bits.
fn bits(statistics: &ChunkStatistics) -> (u8, u64, u64) {
    match statistics.extremes {
        None => (0, 0, 0),
        Some(Extremes::Float(low, high)) => (1, low.to_bits(), high.to_bits()),
        Some(Extremes::Signed(low, high)) => (2, low as u64, high as u64),
        Some(Extremes::Unsigned(low, high)) => (3, low, high),
    }
}

/// A page as bytes.
pub fn to_bytes(page: &Page) -> Result<Vec<u8>> {
    let mut chunks: Vec<(&u16, &ChunkStatistics)> = page.iter().collect();
    chunks.sort_unstable_by_key(|(at, _)| **at);
    let mut out = Vec::with_capacity(chunks.len() * 40);
    // Another version may decode other values of the same bytes.
    put(&mut out, PROGRAM.len() as u64);
    out.extend_from_slice(PROGRAM.as_bytes());
    put(&mut out, chunks.len() as u64);
    chunks.iter().for_each(|(at, _)| put(&mut out, u64::from(**at)));
    chunks.iter().for_each(|(_, s)| put(&mut out, s.valid));
    chunks.iter().for_each(|(_, s)| put(&mut out, s.missing));
    chunks.iter().for_each(|(_, s)| out.push(bits(s).0));
    let words: [fn(&ChunkStatistics) -> u64; 4] = [|s| bits(s).1, |s| bits(s).2, |s| s.sum.to_bits(), |s| s.integers as u64];
    for word in words {
        chunks.iter().for_each(|(_, s)| out.extend_from_slice(&word(s).to_le_bytes()));
    }
    deflate(VERSION, &out)
}

/// The page of its bytes; `None` where they are damaged or of another version.
pub fn of_bytes(bytes: &[u8]) -> Option<Page> {
    let columns = inflate(VERSION, bytes)?;
    let rest = &mut columns.as_slice();
    let length = usize::try_from(take(rest)?).ok()?;
    let (program, after) = rest.split_at_checked(length)?;
    *rest = after;
    if program != PROGRAM.as_bytes() {
        return None;
    }
    let count = usize::try_from(take(rest)?).ok().filter(|n| *n <= super::PAGE_CHUNKS as usize)?;
    let mut numbers = || (0..count).map(|_| take(rest)).collect::<Option<Vec<u64>>>();
    let (places, valid, missing) = (numbers()?, numbers()?, numbers()?);
    let (kinds, words) = rest.split_at_checked(count)?;
    let words: Vec<u64> = words.chunks_exact(8).filter_map(|w| Some(u64::from_le_bytes(w.try_into().ok()?))).collect();
    if words.len() != count * 4 {
        return None;
    }
    let word = |column: usize, i: usize| words.get(column * count + i).copied();
    let mut page = Page::with_capacity(count);
    for (i, kind) in kinds.iter().enumerate() {
        let (low, high) = (word(0, i)?, word(1, i)?);
        let extremes = match kind {
            0 => None,
            1 => Some(Extremes::Float(f64::from_bits(low), f64::from_bits(high))),
            2 => Some(Extremes::Signed(low as i64, high as i64)),
            3 => Some(Extremes::Unsigned(low, high)),
            _ => return None,
        };
        let (sum, integers) = (f64::from_bits(word(2, i)?), word(3, i)? as i64);
        let statistics = ChunkStatistics { valid: *valid.get(i)?, missing: *missing.get(i)?, extremes, sum, integers };
        page.insert(u16::try_from(*places.get(i)?).ok()?, statistics);
    }
    (page.len() == count).then_some(page)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_statistics() -> impl Strategy<Value = ChunkStatistics> {
        let extremes = prop_oneof![
            Just(None),
            (any::<i64>(), any::<i64>()).prop_map(|(a, b)| Some(Extremes::Signed(a, b))),
            (any::<u64>(), any::<u64>()).prop_map(|(a, b)| Some(Extremes::Unsigned(a, b))),
            (any::<f64>(), any::<f64>()).prop_map(|(a, b)| Some(Extremes::Float(a, b))),
        ];
        (any::<u64>(), any::<u64>(), extremes, any::<f64>(), any::<i64>())
            .prop_map(|(valid, missing, extremes, sum, integers)| ChunkStatistics { valid, missing, extremes, sum, integers })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(100) })]

        #[test]
        fn a_page_comes_back_as_it_was(page in proptest::collection::hash_map(0..4096u16, any_statistics(), 0..60)) {
            let bytes = to_bytes(&page).unwrap();
            prop_assert_eq!(of_bytes(&bytes), Some(page));
            prop_assert_eq!(of_bytes(&bytes[..bytes.len() - 1]), None);
        }

        #[test]
        fn any_bytes_are_safe(bytes in any::<Vec<u8>>()) {
            let _ = of_bytes(&bytes);
        }
    }
}
