//! Where the values of a cube come from: files, or another leaf (a cube that is derived from cubes). A box of cube space is
//! fetched on the async runtime first and made on a CPU thread then; no function does both.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::error::{DataFusionError, Result};
use graticule_storage::catalog::Cube;
use graticule_storage::read::{Estimate, Reader, Tile, TileRequest};

/// A box whose bytes are there: what is left to do is work for a CPU thread. It gives one array a requested variable, as long
/// as the box has cells, C order, NULL where missing.
pub(crate) type Fetched = Box<dyn FnOnce() -> Result<Tile> + Send>;

/// Gives the values of a cube's variables, box by box.
#[async_trait]
pub(crate) trait Supply: fmt::Debug + Send + Sync {
    /// Fetches what the box (in cube space) of these variables is made of.
    async fn fetch(&self, cube: &Arc<Cube>, request: TileRequest) -> Result<Fetched>;

    /// The reader at the bottom; its CPU threads do the work.
    fn reader(&self) -> &Reader;

    /// From the index alone: chunks and stored bytes that these requests would read.
    fn estimate(&self, cube: &Arc<Cube>, requests: &[TileRequest]) -> Result<Estimate>;

    /// Bytes stored of these variables, all chunks together.
    fn stored_bytes(&self, cube: &Arc<Cube>, variables: &[usize]) -> u64;

    /// Bytes that making the box takes beside the values themselves and one copy of them.
    fn working_bytes(&self, _cube: &Arc<Cube>, _request: &TileRequest) -> usize {
        0
    }

    /// The reader that can tell what is known of chunks; `None` where values are made of others.
    fn known(&self) -> Option<&Reader> {
        None
    }

    /// What EXPLAIN says of it; nothing of files.
    fn describe(&self) -> String {
        String::new()
    }
}

#[async_trait]
impl Supply for Reader {
    async fn fetch(&self, cube: &Arc<Cube>, request: TileRequest) -> Result<Fetched> {
        let fetched = Reader::fetch(self, cube, request).await.map_err(external)?;
        let reader = self.clone();
        Ok(Box::new(move || reader.decode(fetched).map_err(external)))
    }

    fn reader(&self) -> &Reader {
        self
    }

    fn known(&self) -> Option<&Reader> {
        Some(self)
    }

    fn estimate(&self, cube: &Arc<Cube>, requests: &[TileRequest]) -> Result<Estimate> {
        Reader::estimate(self, cube, requests).map_err(external)
    }

    fn stored_bytes(&self, cube: &Arc<Cube>, variables: &[usize]) -> u64 {
        let pieces = variables.iter().filter_map(|&v| cube.variables.get(v)).flat_map(|v| &v.pieces);
        pieces.fold(0, |sum: u64, piece| sum.saturating_add(piece.stored_bytes))
    }
}

fn external(error: graticule_storage::Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}
