//! What Flight SQL clients ask about the server: catalogs, schemas, tables, keys, types, abilities. Cubes are shown as
//! tables of one schema, their axes as the primary key.

use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, Int32Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow_flight::error::FlightError;
use arrow_flight::sql::metadata::{SqlInfoData, SqlInfoDataBuilder, XdbcTypeInfo, XdbcTypeInfoData, XdbcTypeInfoDataBuilder};
use arrow_flight::sql::{
    CommandGetDbSchemas, CommandGetPrimaryKeys, CommandGetSqlInfo, CommandGetTableTypes, CommandGetTables, CommandGetXdbcTypeInfo,
    Nullable, Searchable, SqlInfo, SqlSupportedTransaction, XdbcDataType,
};
use graticule_query::{Engine, Form, Parameters};
use graticule_storage::catalog::Cube;
use tonic::Status;

use super::status;

/// The one catalog, as SQL names it.
pub const CATALOG: &str = "graticule";
/// The schema that cubes are in, as SQL names it.
pub const SCHEMA: &str = "public";
/// What a cube is called among table types.
const TABLE_TYPE: &str = "TABLE";

fn wrong(error: FlightError) -> Status {
    status::from_flight(error)
}

/// The catalogs: one.
pub fn catalogs() -> Result<RecordBatch, Status> {
    let mut builder = arrow_flight::sql::metadata::GetCatalogsBuilder::new();
    builder.append(CATALOG);
    builder.build().map_err(wrong)
}

/// The schemas that a command asks for.
pub fn schemas(command: CommandGetDbSchemas) -> Result<RecordBatch, Status> {
    let mut builder = command.into_builder();
    builder.append(CATALOG, SCHEMA);
    builder.build().map_err(wrong)
}

/// The kinds of tables.
pub fn table_types() -> Result<RecordBatch, Status> {
    let mut builder = CommandGetTableTypes::default().into_builder();
    builder.append(TABLE_TYPE);
    builder.build().map_err(wrong)
}

/// The tables that a command asks for, with the columns of each where it asks for them.
pub async fn tables(engine: &Engine, command: CommandGetTables) -> Result<RecordBatch, Status> {
    let with_columns = command.include_schema;
    let mut builder = command.into_builder();
    for cube in engine.catalog().cubes() {
        let columns = if with_columns { columns(engine, &cube.name).await? } else { Arc::new(Schema::empty()) };
        builder.append(CATALOG, SCHEMA, &cube.name, TABLE_TYPE, &columns).map_err(wrong)?;
    }
    builder.build().map_err(wrong)
}

/// The columns of a cube: those of a query for all of them. Planning reads no data.
pub async fn columns(engine: &Engine, cube: &str) -> Result<SchemaRef, Status> {
    let text = format!("SELECT * FROM \"{}\"", cube.replace('"', "\"\""));
    let prepared = engine.prepare(&text, Form::Rows, Parameters::Unknown).await.map_err(|e| status::from_query(&e))?;
    Ok(super::sizing::travelling(&prepared.schema()))
}

/// The axes of a cube: together they name a cell.
pub fn primary_keys(engine: &Engine, command: &CommandGetPrimaryKeys) -> Result<RecordBatch, Status> {
    let ours = |asked: &Option<String>, name: &str| asked.as_deref().is_none_or(|asked| asked == name);
    let cube = engine.catalog().cube(&command.table).filter(|_| ours(&command.catalog, CATALOG) && ours(&command.db_schema, SCHEMA));
    let axes: Vec<String> = cube.map_or_else(Vec::new, |cube: Arc<Cube>| cube.grid.axes.iter().map(|axis| axis.name.clone()).collect());
    let all = |text: &str| Arc::new(StringArray::from(vec![text; axes.len()])) as ArrayRef;
    let sequence = Int32Array::from_iter_values((1..).take(axes.len()));
    let (catalog, schema, table) = (all(CATALOG), all(SCHEMA), all(&command.table));
    let key_name = Arc::new(StringArray::from(vec![None::<&str>; axes.len()]));
    let columns: Vec<ArrayRef> = vec![catalog, schema, table, Arc::new(StringArray::from(axes)), Arc::new(sequence), key_name];
    RecordBatch::try_new(PRIMARY_KEYS.clone(), columns).map_err(status::internal)
}

static PRIMARY_KEYS: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![
        Field::new("catalog_name", DataType::Utf8, true),
        Field::new("db_schema_name", DataType::Utf8, true),
        Field::new("table_name", DataType::Utf8, false),
        Field::new("column_name", DataType::Utf8, false),
        Field::new("key_sequence", DataType::Int32, false),
        Field::new("key_name", DataType::Utf8, true),
    ]))
});

/// Keys from one table into another: cubes have none.
pub fn foreign_keys() -> RecordBatch {
    RecordBatch::new_empty(FOREIGN_KEYS.clone())
}

static FOREIGN_KEYS: LazyLock<SchemaRef> = LazyLock::new(|| {
    let text = |name: &str, nullable| Field::new(name, DataType::Utf8, nullable);
    Arc::new(Schema::new(vec![
        text("pk_catalog_name", true),
        text("pk_db_schema_name", true),
        text("pk_table_name", false),
        text("pk_column_name", false),
        text("fk_catalog_name", true),
        text("fk_db_schema_name", true),
        text("fk_table_name", false),
        text("fk_column_name", false),
        Field::new("key_sequence", DataType::Int32, false),
        text("fk_key_name", true),
        text("pk_key_name", true),
        Field::new("update_rule", DataType::UInt8, false),
        Field::new("delete_rule", DataType::UInt8, false),
    ]))
});

/// What the server can do.
pub fn sql_info(command: CommandGetSqlInfo) -> Result<RecordBatch, Status> {
    let data = SQL_INFO.as_ref().map_err(|e| Status::internal(e.clone()))?;
    command.into_builder(data).build().map_err(wrong)
}

static SQL_INFO: LazyLock<Result<SqlInfoData, String>> = LazyLock::new(|| {
    let mut builder = SqlInfoDataBuilder::new();
    builder.append(SqlInfo::FlightSqlServerName, "Graticule");
    builder.append(SqlInfo::FlightSqlServerVersion, env!("CARGO_PKG_VERSION"));
    builder.append(SqlInfo::FlightSqlServerArrowVersion, "1.3");
    builder.append(SqlInfo::FlightSqlServerReadOnly, false);
    builder.append(SqlInfo::FlightSqlServerSql, true);
    builder.append(SqlInfo::FlightSqlServerSubstrait, false);
    builder.append(SqlInfo::FlightSqlServerTransaction, SqlSupportedTransaction::None as i32);
    builder.append(SqlInfo::FlightSqlServerCancel, true);
    builder.append(SqlInfo::FlightSqlServerBulkIngestion, false);
    builder.append(SqlInfo::SqlDdlCatalog, false);
    builder.append(SqlInfo::SqlDdlSchema, false);
    builder.append(SqlInfo::SqlDdlTable, false);
    builder.append(SqlInfo::SqlIdentifierCase, 3_i32);
    builder.append(SqlInfo::SqlIdentifierQuoteChar, "\"");
    builder.append(SqlInfo::SqlQuotedIdentifierCase, 1_i32);
    builder.append(SqlInfo::SqlAllTablesAreSelectable, true);
    builder.append(SqlInfo::SqlNullOrdering, 0_i32);
    builder.append(SqlInfo::SqlKeywords, &KEYWORDS[..]);
    builder.append(SqlInfo::SqlSupportsColumnAliasing, true);
    builder.append(SqlInfo::SqlNullPlusNullIsNull, true);
    builder.append(SqlInfo::SqlSupportsTableCorrelationNames, true);
    builder.append(SqlInfo::SqlSupportsExpressionsInOrderBy, true);
    builder.append(SqlInfo::SqlSupportsOrderByUnrelated, true);
    builder.append(SqlInfo::SqlTransactionsSupported, false);
    builder.build().map_err(|e| e.to_string())
});

/// The words of the array dialect that SQL does not have.
pub const KEYWORDS: [&str; 14] =
    ["ALONG", "AROUND", "AXIS", "CUBE", "CUBES", "DIMS", "EDGE", "EXACT", "GRANULES", "INDEX", "NODATA", "OVERLAP", "REFRESH", "VARIABLE"];

/// The types of columns that clients of the older interfaces are told about.
pub fn xdbc_types(command: CommandGetXdbcTypeInfo) -> Result<RecordBatch, Status> {
    let data = XDBC_TYPES.as_ref().map_err(|e| Status::internal(e.clone()))?;
    command.into_builder(data).build().map_err(wrong)
}

static XDBC_TYPES: LazyLock<Result<XdbcTypeInfoData, String>> = LazyLock::new(|| {
    let quoted = Some("'");
    let types = [
        ("boolean", XdbcDataType::XdbcBit, 1, None),
        ("tinyint", XdbcDataType::XdbcTinyint, 3, None),
        ("smallint", XdbcDataType::XdbcSmallint, 5, None),
        ("integer", XdbcDataType::XdbcInteger, 10, None),
        ("bigint", XdbcDataType::XdbcBigint, 19, None),
        ("real", XdbcDataType::XdbcReal, 24, None),
        ("double", XdbcDataType::XdbcDouble, 53, None),
        ("decimal", XdbcDataType::XdbcDecimal, 38, None),
        ("varchar", XdbcDataType::XdbcVarchar, i32::MAX, quoted),
        ("varbinary", XdbcDataType::XdbcVarbinary, i32::MAX, quoted),
        ("date", XdbcDataType::XdbcDate, 10, quoted),
        ("timestamp", XdbcDataType::XdbcTimestamp, 29, quoted),
    ];
    let mut builder = XdbcTypeInfoDataBuilder::new();
    for (name, data_type, column_size, quote) in types {
        builder.append(XdbcTypeInfo {
            type_name: name.into(),
            data_type,
            sql_data_type: data_type,
            column_size: Some(column_size),
            literal_prefix: quote.map(String::from),
            literal_suffix: quote.map(String::from),
            nullable: Nullable::NullabilityNullable,
            case_sensitive: quote.is_some(),
            searchable: Searchable::Full,
            unsigned_attribute: Some(false),
            local_type_name: Some(name.into()),
            ..XdbcTypeInfo::default()
        });
    }
    builder.build().map_err(|e| e.to_string())
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_description_can_be_built() {
        assert_eq!(catalogs().unwrap().num_rows(), 1);
        assert_eq!(schemas(CommandGetDbSchemas::default()).unwrap().num_rows(), 1);
        let other = CommandGetDbSchemas { catalog: Some("other".into()), db_schema_filter_pattern: None };
        assert_eq!(schemas(other).unwrap().num_rows(), 0);
        assert_eq!(table_types().unwrap().num_rows(), 1);
        assert!(sql_info(CommandGetSqlInfo { info: vec![] }).unwrap().num_rows() > 15);
        assert_eq!(sql_info(CommandGetSqlInfo { info: vec![SqlInfo::FlightSqlServerName as u32] }).unwrap().num_rows(), 1);
        assert_eq!(xdbc_types(CommandGetXdbcTypeInfo { data_type: None }).unwrap().num_rows(), 12);
        assert_eq!(foreign_keys().num_columns(), 13);
    }
}
