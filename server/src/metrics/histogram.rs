//! How long queries took, in buckets.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper ends of buckets, seconds.
pub const ENDS: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0];

/// Times by bucket, the last for all that are longer.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; ENDS.len() + 1],
    micros: AtomicU64,
}

impl Histogram {
    /// Takes one time.
    pub fn observe(&self, time: Duration) {
        let seconds = time.as_secs_f64();
        let bucket = ENDS.iter().position(|&end| seconds <= end).unwrap_or(ENDS.len());
        if let Some(bucket) = self.buckets.get(bucket) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.micros.fetch_add(u64::try_from(time.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Times up to each of [`ENDS`], then of all; and the sum of all in seconds.
    pub fn totals(&self) -> (Vec<u64>, f64) {
        let mut sum = 0;
        let buckets = self.buckets.iter().map(|bucket| {
            sum += bucket.load(Ordering::Relaxed);
            sum
        });
        (buckets.collect(), self.micros.load(Ordering::Relaxed) as f64 / 1e6)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_hold_all_that_is_shorter() {
        let histogram = Histogram::default();
        for millis in [1, 3, 700, 400_000] {
            histogram.observe(Duration::from_millis(millis));
        }
        let (totals, sum) = histogram.totals();
        assert_eq!(totals, [1, 1, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 4]);
        assert!((sum - 400.704).abs() < 1e-9, "{sum}");
    }
}
