//! The storage catalog as a DataFusion schema: every cube is a table. Views are only described here; see `bind/views.rs`.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::catalog::{MemorySchemaProvider, SchemaProvider, Session, TableProvider};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use graticule_storage::catalog::Catalog;
use graticule_storage::read::Reader;
use parking_lot::Mutex;

use crate::located::Located;
use crate::table::CubeTable;
use crate::view::View;

/// Cubes and views, and beside them whatever else was registered.
pub(crate) struct CubeSchema {
    catalog: Arc<Catalog>,
    reader: Reader,
    located: Arc<Located>,
    /// What views answer with, as far as they were planned.
    views: Mutex<HashMap<String, SchemaRef>>,
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
        CubeSchema { catalog, reader, located: Arc::default(), views: Mutex::default(), others: MemorySchemaProvider::new() }
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

    /// The axes of a cube, slowest first; `None` for what is none.
    pub fn axes(&self, name: &str) -> Option<Vec<String>> {
        let cube = self.catalog.cube(name)?;
        Some(cube.grid.axes.iter().map(|a| a.name.clone()).collect())
    }

    /// The `CREATE VIEW` statement of a view.
    pub fn view(&self, name: &str) -> Option<String> {
        self.catalog.view(name)
    }

    /// Notes what a view answers with, for those who ask about tables.
    pub fn describe_view(&self, name: &str, schema: SchemaRef) {
        self.views.lock().insert(name.to_owned(), schema);
    }

    /// What a view looks like to those who ask about tables. Queries never meet it: views are put into them as CTEs.
    fn described(&self, name: &str) -> Option<Arc<dyn TableProvider>> {
        let statement = self.view(name)?;
        let schema = self.views.lock().get(name).cloned().unwrap_or_else(|| Arc::new(Schema::empty()));
        Some(Arc::new(DescribedView { schema, statement }))
    }
}

/// A view as `information_schema` sees it.
#[derive(Debug)]
struct DescribedView {
    schema: SchemaRef,
    statement: String,
}

#[async_trait]
impl TableProvider for DescribedView {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    fn get_table_definition(&self) -> Option<&str> {
        Some(&self.statement)
    }

    async fn scan(&self, _: &dyn Session, _: Option<&Vec<usize>>, _: &[Expr], _: Option<usize>) -> Result<Arc<dyn ExecutionPlan>> {
        datafusion::common::plan_err!("a view can be read in FROM and JOIN of a query only")
    }
}

#[async_trait]
impl SchemaProvider for CubeSchema {
    fn table_names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.catalog.cubes().iter().map(|c| c.name.clone()).collect();
        names.extend(self.catalog.views().into_keys());
        names.extend(self.others.table_names());
        names
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        match self.cube(name) {
            Some(table) => Ok(Some(Arc::new(table))),
            None => match self.described(name) {
                Some(view) => Ok(Some(view)),
                None => self.others.table(name).await,
            },
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
        self.catalog.cube(name).is_some() || self.view(name).is_some() || self.others.table_exist(name)
    }
}
