//! What a leaf measures while it runs, for EXPLAIN ANALYZE.

use datafusion::physical_plan::metrics::{Count, ExecutionPlanMetricsSet, MetricBuilder, Time};
use graticule_storage::read::TileMetrics;

/// The counters and times of one partition; those of chunks are told by their reader.
#[derive(Clone)]
pub struct Measures {
    pub chunks_read: Count,
    pub chunks_cached: Count,
    pub bytes_read: Count,
    pub skipped: Count,
    pub answered: Count,
    pub fetch_time: Time,
    pub decode_time: Time,
    pub compute_time: Time,
}

impl Measures {
    pub fn new(metrics: &ExecutionPlanMetricsSet, partition: usize) -> Self {
        Measures {
            chunks_read: MetricBuilder::new(metrics).counter("chunks_read", partition),
            chunks_cached: MetricBuilder::new(metrics).counter("chunks_cached", partition),
            bytes_read: MetricBuilder::new(metrics).counter("bytes_read", partition),
            skipped: MetricBuilder::new(metrics).counter("chunks_skipped_by_statistics", partition),
            answered: MetricBuilder::new(metrics).counter("chunks_answered_by_statistics", partition),
            fetch_time: MetricBuilder::new(metrics).subset_time("fetch_time", partition),
            decode_time: MetricBuilder::new(metrics).subset_time("decode_time", partition),
            compute_time: MetricBuilder::new(metrics).subset_time("compute_time", partition),
        }
    }

    pub fn add(&self, tile: &TileMetrics) {
        self.chunks_read.add(tile.chunks_read as usize);
        self.chunks_cached.add(tile.chunks_cached as usize);
        self.bytes_read.add(tile.bytes_read as usize);
        self.fetch_time.add_duration(std::time::Duration::from_nanos(tile.fetch_nanos));
        self.decode_time.add_duration(std::time::Duration::from_nanos(tile.decode_nanos));
    }
}
