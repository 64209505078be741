//! The regular grid of chunks that tiles an array, in the array's own index space.

use super::Extent;

/// Shape of an array and of its chunks; edge chunks may reach over the array's end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChunkGrid {
    shape: Vec<u64>,
    chunk: Vec<u64>,
}

impl ChunkGrid {
    /// Both slowest axis first, of equal length; chunk sides of 0 count as 1.
    pub fn new(shape: &[u64], chunk: &[u64]) -> Self {
        debug_assert_eq!(shape.len(), chunk.len());
        ChunkGrid { shape: shape.to_vec(), chunk: chunk.iter().map(|&c| c.max(1)).collect() }
    }

    /// Chunks along each axis.
    pub fn counts(&self) -> Vec<u64> {
        self.shape.iter().zip(&self.chunk).map(|(n, c)| n.div_ceil(*c)).collect()
    }

    /// Number of chunks; 1 for an array without axes. Saturates.
    pub fn len(&self) -> u64 {
        self.counts().iter().fold(1u64, |a, &b| a.saturating_mul(b))
    }

    /// True when some axis has no cells.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Shape of a full chunk.
    pub fn chunk_shape(&self) -> &[u64] {
        &self.chunk
    }

    /// The C-order number of the chunk at these chunk coordinates.
    pub fn number(&self, at: &[u64]) -> u64 {
        self.counts().iter().zip(at).fold(0, |n, (c, i)| n * c + i)
    }

    /// The chunk coordinates of a C-order number below [`len`](Self::len).
    pub fn coordinates(&self, number: u64) -> Vec<u64> {
        let mut at = self.counts();
        let mut rest = number;
        for count in at.iter_mut().rev() {
            let n = (*count).max(1);
            (*count, rest) = (rest % n, rest / n);
        }
        at
    }

    /// The cells of the array that the chunk at these chunk coordinates holds (clipped at the array's end).
    pub fn extent(&self, at: &[u64]) -> Extent {
        Extent::new(at.iter().enumerate().map(|(d, &i)| i * self.chunk[d]..((i + 1) * self.chunk[d]).min(self.shape[d])).collect())
    }

    /// The chunk coordinates of every chunk that meets `extent`, in C order.
    pub fn meeting(&self, extent: &Extent) -> Vec<Vec<u64>> {
        if extent.is_empty() {
            return Vec::new();
        }
        let mut found = vec![Vec::with_capacity(self.shape.len())];
        for (d, r) in extent.ranges().iter().enumerate() {
            let (first, last) = (r.start / self.chunk[d], (r.end - 1) / self.chunk[d]);
            found = found.into_iter().flat_map(|at: Vec<u64>| (first..=last).map(move |i| [at.as_slice(), &[i]].concat())).collect();
        }
        found
    }
}
