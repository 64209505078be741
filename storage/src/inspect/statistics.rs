//! Count, min, max and mean of an array's values, a block of whole chunks at a time.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType as ArrowType, Float64Type};
use serde_json::{Value, json};

use super::value;
use crate::array::{ArrayMetadata, Encoding, Extent};
use crate::read::OpenArray;
use crate::{Error, Result};

/// Stored bytes of the cells looked at together, unless one chunk has more.
const BLOCK: u64 = 16 << 20;
/// Values made `f64` at a time.
const PART: usize = 1 << 16;

/// Statistics of values that are not missing, in double precision.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Statistics {
    /// How many there are.
    pub count: u64,
    /// The smallest; NaN when there are none.
    pub min: f64,
    /// The largest; NaN when there are none.
    pub max: f64,
    /// Their mean; NaN when there are none.
    pub mean: f64,
}

impl Statistics {
    pub(super) fn to_json(self) -> Value {
        let number = |v: f64| if self.count == 0 { Value::Null } else { value::float(v) };
        json!({"count": self.count, "min": number(self.min), "max": number(self.max), "mean": number(self.mean)})
    }
}

/// A running sum whose rounding errors are carried along (Neumaier 1974).
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    sum: f64,
    lost: f64,
}

impl Sum {
    fn add(&mut self, v: f64) {
        let sum = self.sum + v;
        if sum.is_finite() {
            self.lost += if self.sum.abs() >= v.abs() { (self.sum - sum) + v } else { (v - sum) + self.sum };
        }
        self.sum = sum;
    }

    fn total(self) -> f64 {
        self.sum + self.lost
    }
}

#[derive(Debug)]
struct Running {
    count: u64,
    min: f64,
    max: f64,
    sum: Sum,
}

impl Running {
    fn add(&mut self, values: &ArrayRef) -> Result<()> {
        self.count += (values.len() - values.null_count()) as u64;
        // A part at a time, so that the copy in double precision stays small however large a chunk is.
        for start in (0..values.len()).step_by(PART) {
            let part = values.slice(start, PART.min(values.len() - start));
            let part = arrow::compute::cast(&part, &ArrowType::Float64).map_err(|e| Error::Internal(format!("numbers to float64: {e}")))?;
            let part = part.as_primitive_opt::<Float64Type>().ok_or_else(|| Error::Internal("not float64".into()))?;
            for v in part.iter().flatten() {
                self.min = self.min.min(v);
                self.max = self.max.max(v);
                self.sum.add(v);
            }
        }
        Ok(())
    }
}

/// The statistics of a whole array of numbers.
pub(super) async fn of(open: &OpenArray, metadata: &ArrayMetadata, encoding: &Arc<Encoding>) -> Result<Statistics> {
    let mut running = Running { count: 0, min: f64::INFINITY, max: f64::NEG_INFINITY, sum: Sum::default() };
    let blocks = Blocks::new(&metadata.shape, &metadata.chunk_shape, BLOCK / metadata.data_type.size().max(1) as u64);
    for block in blocks {
        running.add(&open.values(&block, encoding).await?)?;
    }
    let Running { count, min, max, sum } = running;
    Ok(match count {
        0 => Statistics { count, min: f64::NAN, max: f64::NAN, mean: f64::NAN },
        _ => Statistics { count, min, max, mean: sum.total() / count as f64 },
    })
}

/// Cuts an array into boxes of whole chunks of at most `cells` cells, or of one chunk; C order.
struct Blocks {
    shape: Vec<u64>,
    step: Vec<u64>,
    next: Option<Vec<u64>>,
}

impl Blocks {
    fn new(shape: &[u64], chunk: &[u64], cells: u64) -> Blocks {
        let mut step: Vec<u64> = chunk.iter().zip(shape).map(|(&c, &n)| c.clamp(1, n.max(1))).collect();
        for d in (0..step.len()).rev() {
            let size = step.iter().fold(1u64, |n, &s| n.saturating_mul(s));
            let chunks = (cells / size.max(1)).max(1);
            step[d] = step[d].saturating_mul(chunks).min(shape[d].max(1));
            if step[d] < shape[d] {
                break; // whole inner axes first, so that blocks are consecutive
            }
        }
        let next = shape.iter().all(|&n| n > 0).then(|| vec![0; shape.len()]);
        Blocks { shape: shape.to_vec(), step, next }
    }
}

impl Iterator for Blocks {
    type Item = Extent;

    fn next(&mut self) -> Option<Extent> {
        let at = self.next.take()?;
        let ends = at.iter().zip(&self.step).zip(&self.shape).map(|((&o, &s), &n)| o.saturating_add(s).min(n));
        let block = Extent::new(at.iter().zip(ends).map(|(&o, end)| o..end).collect());
        let mut next = at;
        for d in (0..next.len()).rev() {
            next[d] = next[d].saturating_add(self.step[d]);
            if next[d] < self.shape[d] {
                self.next = Some(next);
                break;
            }
            next[d] = 0;
        }
        Some(block)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_whole_chunks_and_cover_every_cell_once() {
        for (shape, chunk, cells) in [
            (vec![10, 7, 5], vec![3, 2, 5], 40),
            (vec![10, 7, 5], vec![3, 2, 5], 1),
            (vec![10, 7, 5], vec![3, 2, 5], 1 << 40),
            (vec![], vec![], 5),
            (vec![4, 0], vec![1, 1], 5),
            (vec![5], vec![u64::MAX], 2),
        ] {
            let blocks: Vec<Extent> = Blocks::new(&shape, &chunk, cells).collect();
            let all: u64 = shape.iter().product();
            assert_eq!(blocks.iter().map(Extent::cells).sum::<u64>(), all, "{blocks:?}");
            for (i, a) in blocks.iter().enumerate() {
                assert!(a.origin().iter().zip(&chunk).all(|(o, c)| o % c == 0), "{a}");
                assert!(blocks[i + 1..].iter().all(|b| a.intersection(b).is_none()));
            }
        }
        assert_eq!(Blocks::new(&[10, 7, 5], &[3, 2, 5], 1 << 40).count(), 1);
    }

    #[test]
    fn sums_keep_what_rounding_loses() {
        let mut sum = Sum::default();
        for v in [1e16, 1.0, -1e16, 1.0] {
            sum.add(v);
        }
        assert_eq!(sum.total(), 2.0);
        sum.add(f64::INFINITY);
        assert_eq!(sum.total(), f64::INFINITY);
    }
}
