//! Many ranges of one object in few requests: near ranges are merged, requests run in parallel.

use std::ops::Range;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};

use super::ObjectVersion;
use super::store::Opened;
use crate::{Error, Result};

/// Ranges with a gap of at most this many bytes are fetched together.
const GAP: u64 = 64 * 1024;
/// The same for remote objects, where a request costs as much time as some hundred thousand bytes.
const REMOTE_GAP: u64 = 256 * 1024;
/// Largest request that merging makes, bytes. A single range may be larger.
const REQUEST: u64 = 16 * 1024 * 1024;
/// Shares of the requests of one call that are under way at once.
const PARALLEL: usize = 8;

/// The ranges, in the order given; each lies inside `expected.size`.
pub(super) async fn read(object: &Opened, expected: &ObjectVersion, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
    let requests = merge(ranges, if object.is_remote() { REMOTE_GAP } else { GAP });
    let share = requests.len().div_ceil(PARALLEL).max(1);
    let shares: Vec<Vec<Range<u64>>> = requests.chunks(share).map(<[_]>::to_vec).collect();
    let shares = futures::stream::iter(shares).map(|share| async move { object.get(expected, &share).await }).buffered(PARALLEL);
    let answers: Vec<Bytes> = shares.try_concat().await?;
    ranges
        .iter()
        .map(|range| {
            if range.is_empty() {
                return Ok(Bytes::new());
            }
            let i = requests.partition_point(|r| r.start <= range.start).saturating_sub(1);
            let (Some(request), Some(answer)) = (requests.get(i), answers.get(i)) else {
                return Err(Error::Internal("a range without its request".into()));
            };
            let at = |position: u64| position.checked_sub(request.start).and_then(|p| usize::try_from(p).ok());
            match (at(range.start), at(range.end)) {
                (Some(start), Some(end)) if end <= answer.len() => Ok(answer.slice(start..end)),
                _ => Err(Error::Internal("a range outside its request".into())),
            }
        })
        .collect()
}

/// Requests that cover all ranges that are not empty; sorted, disjoint, each range wholly inside one of them.
fn merge(ranges: &[Range<u64>], gap: u64) -> Vec<Range<u64>> {
    let mut sorted: Vec<_> = ranges.iter().filter(|r| !r.is_empty()).cloned().collect();
    sorted.sort_unstable_by_key(|r| (r.start, r.end));
    let mut requests: Vec<Range<u64>> = Vec::new();
    for range in sorted {
        match requests.last_mut() {
            // What begins inside a request must end inside it, or the answer's slice would fall between two requests.
            Some(last) if range.start < last.end => last.end = last.end.max(range.end),
            Some(last) if range.start - last.end <= gap && range.end - last.start <= REQUEST => last.end = range.end,
            _ => requests.push(range),
        }
    }
    requests
}

#[cfg(test)]
mod tests {
    #![allow(clippy::single_range_in_vec_init)] // lists of one range are meant

    use super::*;
    use proptest::prelude::*;

    #[test]
    fn near_ranges_become_one_request_and_far_ones_do_not() {
        assert_eq!(merge(&[100..200, 0..10, 200..300], GAP), vec![0..300]);
        assert_eq!(merge(&[0..10, 10 + GAP..20 + GAP, 22 + 2 * GAP..30 + 2 * GAP], GAP), vec![0..20 + GAP, 22 + 2 * GAP..30 + 2 * GAP]);
        assert_eq!(merge(&[0..REQUEST - 5, REQUEST - 5..REQUEST + 5], GAP), vec![0..REQUEST - 5, REQUEST - 5..REQUEST + 5]);
        assert_eq!(merge(&[7..7], GAP), Vec::<Range<u64>>::new());
    }

    proptest! {
        #[test]
        fn every_range_lies_in_one_request(ranges in prop::collection::vec((0u64..40_000_000, 0u64..3_000_000), 0..40)) {
            let ranges: Vec<_> = ranges.into_iter().map(|(start, length)| start..start + length).collect();
            let requests = merge(&ranges, GAP);
            prop_assert!(requests.windows(2).all(|w| w[0].end <= w[1].start));
            for range in ranges.iter().filter(|r| !r.is_empty()) {
                prop_assert!(requests.iter().any(|r| r.start <= range.start && range.end <= r.end));
            }
        }
    }
}
