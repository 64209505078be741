//! A cube of our own making as a table: axes, variables without granules, and where its values come from.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::default_table_source::provider_as_source;
use datafusion::common::TableReference;
use datafusion::error::Result;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};
use graticule_storage::array::{Attributes, Axis, Grid};
use graticule_storage::catalog::{Cube, CubeVariable};
use graticule_storage::read::{Estimate, Reader, Tile, TileMetrics, TileRequest};

use crate::dense::supply::{Fetched, Supply};
use crate::table::CubeTable;
use crate::view::{View, even_cuts};

/// A cube that no catalog knows.
pub(crate) fn cube(name: &str, axes: Vec<Axis>, crs: Option<String>, variables: Vec<CubeVariable>, attributes: Attributes) -> Arc<Cube> {
    let grid = Grid { axes, crs };
    Arc::new(Cube { name: name.to_string(), grid, variables, attributes, definition: Arc::default(), generation: 0 })
}

/// The scan of a view of such a cube.
pub(crate) fn scan(view: View, supply: Arc<dyn Supply>) -> Result<LogicalPlan> {
    let name = view.cube.name.clone();
    let table = CubeTable::new(view, supply, Arc::default());
    LogicalPlanBuilder::scan(TableReference::bare(name), provider_as_source(Arc::new(table)), None)?.build()
}

/// The scan of a cube of coordinates: axes, and no variable.
pub(crate) fn coordinates(axes: Vec<Axis>, reader: &Reader) -> Result<LogicalPlan> {
    let cube = cube("grid", axes, None, vec![], Attributes::default());
    let cuts = even_cuts(&cube.grid.shape());
    scan(View::derived(cube, cuts), Arc::new(NoValues(reader.clone())))
}

/// The supply of a cube without variables.
#[derive(Debug)]
struct NoValues(Reader);

#[async_trait]
impl Supply for NoValues {
    async fn fetch(&self, _: &Arc<Cube>, request: TileRequest) -> Result<Fetched> {
        Ok(Box::new(move || Ok(Tile { extent: request.extent, columns: vec![], metrics: TileMetrics::default() })))
    }

    fn reader(&self) -> &Reader {
        &self.0
    }

    fn estimate(&self, _: &Arc<Cube>, _: &[TileRequest]) -> Result<Estimate> {
        Ok(Estimate::default())
    }

    fn stored_bytes(&self, _: &Arc<Cube>, _: &[usize]) -> u64 {
        0
    }
}
