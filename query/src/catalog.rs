//! The storage catalog as a DataFusion schema: every cube is a table.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::{MemorySchemaProvider, SchemaProvider, TableProvider};
use datafusion::error::Result;
use futures::FutureExt;
use graticule_storage::catalog::Catalog;
use graticule_storage::read::Reader;

use crate::located::Located;
use crate::table::CubeTable;
use crate::view::{AXIS, View};

/// Cubes, and beside them whatever else was registered (views).
pub(crate) struct CubeSchema {
    catalog: Arc<Catalog>,
    reader: Reader,
    located: Arc<Located>,
    others: MemorySchemaProvider,
}

impl std::fmt::Debug for CubeSchema {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CubeSchema")
    }
}

impl CubeSchema {
    /// The cubes of a catalog, read by `reader`.
    pub fn new(catalog: Arc<Catalog>, reader: Reader) -> Self {
        CubeSchema { catalog, reader, located: Arc::default(), others: MemorySchemaProvider::new() }
    }

    /// A cube as a table.
    pub fn cube(&self, name: &str) -> Option<CubeTable> {
        Some(CubeTable::new(View::whole(self.catalog.cube(name)?), Arc::new(self.reader.clone()), self.located.clone()))
    }

    /// What reads the files.
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// Where cubes come from.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// The columns of a cube or view that are axes of cubes, slowest first; `None` for what has none.
    pub fn axes(&self, name: &str) -> Option<Vec<String>> {
        if let Some(cube) = self.catalog.cube(name) {
            return Some(cube.grid.axes.iter().map(|a| a.name.clone()).collect());
        }
        let view = self.others.table(name).now_or_never()?.ok()??;
        let schema = view.schema();
        let axes: Vec<String> = schema.fields().iter().filter(|f| f.metadata().contains_key(AXIS)).map(|f| f.name().clone()).collect();
        (!axes.is_empty()).then_some(axes)
    }
}

#[async_trait]
impl SchemaProvider for CubeSchema {
    fn table_names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.catalog.cubes().iter().map(|c| c.name.clone()).collect();
        names.extend(self.others.table_names());
        names
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        match self.cube(name) {
            Some(table) => Ok(Some(Arc::new(table))),
            None => self.others.table(name).await,
        }
    }

    fn register_table(&self, name: String, table: Arc<dyn TableProvider>) -> Result<Option<Arc<dyn TableProvider>>> {
        if self.catalog.cube(&name).is_some() {
            return datafusion::common::plan_err!("there is a cube of the name {name} already");
        }
        self.others.register_table(name, table)
    }

    fn deregister_table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        self.others.deregister_table(name)
    }

    fn table_exist(&self, name: &str) -> bool {
        self.catalog.cube(name).is_some() || self.others.table_exist(name)
    }
}
