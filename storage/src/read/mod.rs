//! Reading: extents of cubes to tiles. Fetching is async, decoding is sync, and no function exists in both.

mod analyze;
mod cache;
mod cell;
mod chunk;
mod column;
mod convert;
mod copy;
mod decode;
mod fetch;
mod keyed;
mod known;
mod missing;
mod plan;
mod summary;
mod whole;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arrow::array::ArrayRef;

use crate::array::{ChunkRef, Extent};
use crate::catalog::{Catalog, Cube};
use crate::object::Objects;
use crate::{Error, Result};
pub use analyze::AnalyzeReport;
use cache::ChunkCache;
use column::BroadcastAxis;
pub use fetch::Fetched;
pub use known::KnownChunk;
use plan::Index;
pub(crate) use whole::OpenArray;
pub use whole::{decode_cells, read_whole};

/// How reading is set up.
#[derive(Debug, Clone, Copy)]
pub struct ReadSettings {
    /// Bound of the cache of decoded chunks, bytes.
    pub cache_bytes: u64,
    /// CPU threads.
    pub threads: usize,
}

/// What to read: an extent in the cube's axes, and variables by number.
#[derive(Debug, Clone, PartialEq)]
pub struct TileRequest {
    /// Cells wanted, in the cube's axes.
    pub extent: Extent,
    /// Numbers of [`Cube::variables`].
    pub variables: Vec<usize>,
}

/// What a tile cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TileMetrics {
    /// Chunks fetched and decoded.
    pub chunks_read: u64,
    /// Chunks found decoded in the cache.
    pub chunks_cached: u64,
    /// Bytes fetched.
    pub bytes_read: u64,
    /// Time to fetch.
    pub fetch_nanos: u64,
    /// Time to decode and copy.
    pub decode_nanos: u64,
}

/// The cells of one extent: one array a requested variable, C order, NULL where missing.
#[derive(Debug, Clone)]
pub struct Tile {
    /// Which cells, in the cube's axes.
    pub extent: Extent,
    /// `extent.cells()` long each; variables on fewer axes are broadcast.
    pub columns: Vec<ArrayRef>,
    /// What it cost.
    pub metrics: TileMetrics,
}

/// What requests would read, from the index alone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Estimate {
    /// Chunks that are stored.
    pub chunks: u64,
    /// Their bytes; of chunks that are objects of their own, which are not looked at, the bytes decoded.
    pub bytes: u64,
}

/// Reads tiles of cubes. Cheap to clone; clones share cache and threads.
///
/// The way of a tile: [`Reader::fetch`] on the async runtime, then [`Reader::decode`] on a thread of [`Reader::cpu`].
#[derive(Clone)]
pub struct Reader {
    inner: Arc<Inner>,
}

struct Inner {
    objects: Objects,
    index: Arc<dyn Index>,
    cache: ChunkCache,
    cpu: Arc<rayon::ThreadPool>,
    totals: Totals,
    /// True while statistics are being written.
    writing: AtomicBool,
}

#[derive(Default)]
struct Totals {
    bytes_decoded: AtomicU64,
    chunks_read: AtomicU64,
    chunks_cached: AtomicU64,
    bytes_read: AtomicU64,
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reader")
    }
}

/// What a reader did since its start, and what its cache holds now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReaderStatistics {
    /// Chunks fetched and decoded.
    pub chunks_read: u64,
    /// Chunks found decoded in the cache.
    pub chunks_cached: u64,
    /// Bytes fetched.
    pub bytes_read: u64,
    /// Bytes that chunks were decoded to.
    pub bytes_decoded: u64,
    /// Bytes in the cache now.
    pub cache_used: u64,
}

impl Reader {
    /// A reader with its own cache and CPU threads (named `graticule-cpu-N`).
    pub fn new(objects: Objects, catalog: Arc<Catalog>, settings: ReadSettings) -> Result<Reader> {
        Reader::over(objects, catalog, settings)
    }

    fn over(objects: Objects, index: Arc<dyn Index>, settings: ReadSettings) -> Result<Reader> {
        let cpu = rayon::ThreadPoolBuilder::new()
            .num_threads(settings.threads.max(1))
            .thread_name(|i| format!("graticule-cpu-{i}"))
            .build()
            .map_err(|e| Error::Resources(format!("{} CPU threads could not be started: {e}", settings.threads)))?;
        let cache = ChunkCache::new(settings.cache_bytes)?;
        Ok(Reader {
            inner: Arc::new(Inner {
                objects,
                index,
                cache,
                cpu: Arc::new(cpu),
                totals: Totals::default(),
                writing: AtomicBool::new(false),
            }),
        })
    }

    /// Fetches every chunk that the request needs and that is not decoded in the cache. Objects that changed since they
    /// were indexed are an error even where the cache would do.
    pub async fn fetch(&self, cube: &Arc<Cube>, request: TileRequest) -> Result<Fetched> {
        let plans = plan::plan(&*self.inner.index, cube, &request)?;
        let fetched = fetch::fetch(&self.inner.objects, Some(&self.inner.cache), request.extent, plans).await?;
        let (totals, metrics) = (&self.inner.totals, &fetched.metrics);
        totals.chunks_read.fetch_add(metrics.chunks_read, Ordering::Relaxed);
        totals.chunks_cached.fetch_add(metrics.chunks_cached, Ordering::Relaxed);
        totals.bytes_read.fetch_add(metrics.bytes_read, Ordering::Relaxed);
        Ok(fetched)
    }

    /// Decodes on the calling thread; crops and applies the encoding while copying into the tile.
    pub fn decode(&self, fetched: Fetched) -> Result<Tile> {
        let bytes = fetched.bytes_to_decode();
        let (tile, due) = decode::tile(fetched, Some(&self.inner.cache), self.inner.index.statistics())?;
        self.inner.totals.bytes_decoded.fetch_add(bytes, Ordering::Relaxed);
        if due && !self.inner.writing.swap(true, Ordering::AcqRel) {
            // Statistics wait for the disk on a thread of their own.
            let inner = Arc::clone(&self.inner);
            let write = move || {
                if let Some(Err(error)) = inner.index.statistics().map(|store| store.write()) {
                    tracing::warn!("statistics of chunks could not be written: {error}");
                }
                inner.writing.store(false, Ordering::Release);
            };
            if std::thread::Builder::new().name("graticule-statistics".into()).spawn(write).is_err() {
                self.inner.writing.store(false, Ordering::Release);
            }
        }
        Ok(tile)
    }

    /// The CPU threads on which decoding and what follows should run.
    pub fn cpu(&self) -> &Arc<rayon::ThreadPool> {
        &self.inner.cpu
    }

    /// Bytes in the cache of decoded chunks.
    pub fn cache_used(&self) -> u64 {
        self.inner.cache.used()
    }

    /// Totals since the start.
    pub fn statistics(&self) -> ReaderStatistics {
        let totals = &self.inner.totals;
        ReaderStatistics {
            chunks_read: totals.chunks_read.load(Ordering::Relaxed),
            chunks_cached: totals.chunks_cached.load(Ordering::Relaxed),
            bytes_read: totals.bytes_read.load(Ordering::Relaxed),
            bytes_decoded: totals.bytes_decoded.load(Ordering::Relaxed),
            cache_used: self.cache_used(),
        }
    }

    /// From the index alone: chunks and stored bytes that these requests would read; a chunk that several need counts once.
    pub fn estimate(&self, cube: &Cube, requests: &[TileRequest]) -> Result<Estimate> {
        let mut estimate = Estimate::default();
        let (mut seen, mut keyed) = (HashSet::new(), HashSet::new());
        for request in requests {
            for column in plan::plan(&*self.inner.index, cube, request)? {
                for part in &column.parts {
                    let granule = part.source.granule.id;
                    let bytes = match part.reference {
                        // Bands that lie interleaved in the same bytes are read once.
                        ChunkRef::Stored { object, offset, length, .. } if seen.insert((granule, object, offset)) => length,
                        ChunkRef::Key { .. } if keyed.insert(part.key()) => part.decoded_len as u64,
                        _ => continue,
                    };
                    estimate.chunks += 1;
                    estimate.bytes = estimate.bytes.saturating_add(bytes);
                }
            }
        }
        Ok(estimate)
    }
}

#[cfg(test)]
mod cube_tests;
#[cfg(test)]
mod objects_tests;
#[cfg(test)]
mod tests;
