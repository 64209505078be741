//! `CREATE EXTERNAL TABLE t STORED AS GEOJSON | GEOPARQUET LOCATION '...'`: a file of geometries as a table in memory.
//!
//! One column a property, and `geom`: well-known binary whose field metadata names the coordinate reference system, as GeoArrow
//! has it. The file is read once, when the table is made; its bytes are counted to the memory of all queries. Tables live as
//! long as the engine; unlike views they are not kept in the catalog.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{DataType, Field, SchemaRef};
use datafusion::catalog::{MemTable, Session, TableProvider, TableProviderFactory};
use datafusion::common::{Statistics, plan_err, stats::Precision};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::logical_expr::{CreateExternalTable, Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use graticule_storage::catalog::Catalog;
use serde_json::Value;

use super::{geojson, geoparquet};
use crate::crs::Crs;
use crate::table::of_rows;

/// The column of geometries.
pub(crate) const GEOM: &str = "geom";
/// Bytes of a file at most: all of it is read into memory.
const FILE_BYTES: u64 = 1 << 30;
/// The same for GeoJSON, which takes some times as much while it is read.
const TEXT_BYTES: u64 = 128 << 20;

const EXTENSION: &str = "ARROW:extension:name";
const EXTENSION_METADATA: &str = "ARROW:extension:metadata";

/// A field of geometries of no known system.
pub(crate) fn geometry_field(name: &str) -> Field {
    with_crs(Field::new(name, DataType::Binary, true), None)
}

/// The field with this coordinate reference system.
pub(crate) fn with_crs(field: Field, crs: Option<&str>) -> Field {
    let metadata = match crs {
        Some(crs) if crs.contains(':') && !crs.contains('[') => serde_json::json!({"crs": crs, "crs_type": "authority_code"}),
        Some(crs) => serde_json::json!({"crs": crs}),
        None => serde_json::json!({}),
    };
    let entries = [(EXTENSION.to_owned(), "geoarrow.wkb".to_owned()), (EXTENSION_METADATA.to_owned(), metadata.to_string())];
    field.with_metadata(entries.into())
}

/// The coordinate reference system that a field of geometries names.
pub(crate) fn crs_of(field: &Field) -> Option<String> {
    let metadata: Value = serde_json::from_str(field.metadata().get(EXTENSION_METADATA)?).ok()?;
    named_crs(metadata.get("crs")?)
}

/// A system as text, or as PROJJSON with an identifier.
pub(crate) fn named_crs(crs: &Value) -> Option<String> {
    if let Some(text) = crs.as_str() {
        return Some(text.to_owned());
    }
    let id = crs.get("id")?;
    let code = id.get("code")?;
    let code = code.as_str().map_or_else(|| code.to_string(), str::to_owned);
    Some(format!("{}:{code}", id.get("authority")?.as_str()?))
}

/// A format of files of geometries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// RFC 7946.
    GeoJson,
    /// GeoParquet 1.
    GeoParquet,
}

impl Format {
    /// All, with the word that stands behind STORED AS.
    pub const ALL: [(&'static str, Format); 2] = [("GEOJSON", Format::GeoJson), ("GEOPARQUET", Format::GeoParquet)];
}

/// Makes tables of files.
pub(crate) struct GeometryTables {
    format: Format,
    catalog: Arc<Catalog>,
}

impl std::fmt::Debug for GeometryTables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "GeometryTables({:?})", self.format)
    }
}

impl GeometryTables {
    /// Of a format, from where the catalog may read.
    pub fn new(format: Format, catalog: Arc<Catalog>) -> Self {
        GeometryTables { format, catalog }
    }
}

/// A file of geometries.
#[derive(Debug)]
pub(crate) struct GeometryTable {
    rows: MemTable,
    count: usize,
    /// Gives the memory back when the table is gone.
    _held: MemoryReservation,
}

#[async_trait]
impl TableProviderFactory for GeometryTables {
    async fn create(&self, state: &dyn Session, command: &CreateExternalTable) -> Result<Arc<dyn TableProvider>> {
        let [location] = command.locations.as_slice() else {
            return plan_err!("CREATE EXTERNAL TABLE {}: one LOCATION is expected, not {}", command.name, command.locations.len());
        };
        let unexpected = [
            (!command.schema.fields().is_empty(), "columns: they are those of the file"),
            (!command.options.is_empty(), "OPTIONS"),
            (!command.table_partition_cols.is_empty(), "PARTITIONED BY"),
            (!command.order_exprs.is_empty(), "WITH ORDER"),
            (command.unbounded, "UNBOUNDED"),
        ];
        if let Some((_, what)) = unexpected.iter().find(|(there, _)| *there) {
            return plan_err!("CREATE EXTERNAL TABLE {}: a table of geometries takes no {what}", command.name);
        }
        let external = |e: graticule_storage::Error| DataFusionError::External(Box::new(e));
        let location = crate::bind::statements::absolute(location)?;
        let limit = if self.format == Format::GeoJson { TEXT_BYTES } else { FILE_BYTES };
        let read = self.catalog.objects().read_all(&location, limit).await.map_err(external)?;
        let Some((bytes, _)) = read else {
            return Err(external(graticule_storage::Error::NotFound(format!("there is no file {location}"))));
        };
        let held = MemoryConsumer::new(format!("table {}", command.name)).register(&state.runtime_env().memory_pool);
        // While text is read, its tree stands beside it.
        let while_reading = bytes.len().saturating_mul(if self.format == Format::GeoJson { 8 } else { 4 });
        held.try_grow(while_reading)?;
        let (format, place) = (self.format, location.clone());
        let work = move || match format {
            Format::GeoJson => geojson::read(&bytes).map(|batch| vec![batch]),
            Format::GeoParquet => geoparquet::read(bytes),
        };
        let done = tokio::task::spawn_blocking(work).await.map_err(|e| DataFusionError::ExecutionJoin(Box::new(e)))?;
        let batches = done.map_err(|why| external(graticule_storage::Error::data(place, why)))?;
        let schema = batches.first().map(RecordBatch::schema).ok_or_else(|| DataFusionError::Internal("a table without a batch".into()))?;
        if let Some(system) = schema.field_with_name(GEOM).ok().and_then(crs_of) {
            Crs::read(&system).map_err(DataFusionError::Plan)?;
        }
        held.try_resize(batches.iter().map(RecordBatch::get_array_memory_size).sum())?;
        let count = batches.iter().map(RecordBatch::num_rows).sum();
        Ok(Arc::new(GeometryTable { rows: MemTable::try_new(schema, vec![batches])?, count, _held: held }))
    }
}

#[async_trait]
impl TableProvider for GeometryTable {
    fn schema(&self) -> SchemaRef {
        self.rows.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn statistics(&self) -> Option<Statistics> {
        Some(of_rows(&self.schema(), Precision::Exact(self.count)))
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.rows.scan(state, projection, filters, limit).await
    }
}
