//! What server and nodes say to each other about the pool: Flight actions at the server's door, protobuf inside. (Work itself
//! travels by datafusion-distributed's own service.) A pool is of one build, so messages need no versions beside the protocol's.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Field, Schema};
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use chrono::DateTime;
use datafusion::common::ScalarValue;
use datafusion::error::DataFusionError;
use graticule_query::{Form, Recipe};
use graticule_storage::catalog::Outline;
use tonic::codegen::http::HeaderMap;
use uuid::Uuid;

/// A node says that it is there, and how it is: [`Hello`], answered by [`Welcome`].
pub const HELLO: &str = "graticule.pool.hello";
/// A node leaves: [`Hello`], answered by nothing.
pub const GOODBYE: &str = "graticule.pool.goodbye";
/// What the catalog holds in short: nothing, answered by [`OutlineMessage`].
pub const OUTLINE: &str = "graticule.pool.outline";
/// The records of a cube's definition: its name, answered by several [`Records`].
pub const RECORDS: &str = "graticule.pool.records";
/// How a running query is planned: its number, answered by [`RecipeMessage`].
pub const RECIPE: &str = "graticule.pool.recipe";
/// How a pending bulk answer is planned and shared out: its number, answered by [`BulkMessage`].
pub const BULK: &str = "graticule.pool.bulk";

/// Header of a node's work: the number of the query that it is of.
pub const QUERY_HEADER: &str = "graticule-pool-query";

/// The query whose work these headers are of.
pub fn query_of(headers: &HeaderMap) -> Result<Uuid, DataFusionError> {
    let query = headers.get(QUERY_HEADER).and_then(|value| Uuid::parse_str(value.to_str().ok()?).ok());
    query.ok_or_else(|| DataFusionError::Configuration(format!("the header {QUERY_HEADER} is missing")))
}

/// Version of these messages.
pub const PROTOCOL: u32 = 1;

/// What tells builds apart whose plans may differ: a hash of the sources (see `build.rs`). A plan is made on each node from the
/// same text, so every node must run the same code.
pub fn build() -> &'static str {
    concat!(env!("CARGO_PKG_VERSION"), "-", env!("GRATICULE_SOURCES"))
}

/// A node and how it is.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Hello {
    /// Where it takes work: `http://host:port/`.
    #[prost(string, tag = "1")]
    pub url: String,
    /// A number that another start of the node would not have.
    #[prost(fixed64, tag = "2")]
    pub instance: u64,
    /// Of [`build`].
    #[prost(string, tag = "3")]
    pub build: String,
    /// Of [`PROTOCOL`].
    #[prost(uint32, tag = "4")]
    pub protocol: u32,
    /// CPU threads.
    #[prost(uint32, tag = "5")]
    pub cores: u32,
    /// Bytes that queries may use.
    #[prost(uint64, tag = "6")]
    pub memory: u64,
    /// Bytes of decoded chunks kept.
    #[prost(uint64, tag = "7")]
    pub cached: u64,
    /// Bytes of decoded chunks that may be kept.
    #[prost(uint64, tag = "8")]
    pub cache: u64,
    /// Tasks that run.
    #[prost(uint64, tag = "9")]
    pub running: u64,
    /// Chunks read and decoded since it started.
    #[prost(uint64, tag = "10")]
    pub chunks_read: u64,
    /// Chunks found decoded since it started.
    #[prost(uint64, tag = "11")]
    pub chunks_cached: u64,
    /// Set when it takes no more work.
    #[prost(bool, tag = "12")]
    pub draining: bool,
    /// Bytes that clients fetched from it since it started.
    #[prost(uint64, tag = "13")]
    pub sent: u64,
    /// What it could not do for clients lately; empty where all went well.
    #[prost(string, tag = "14")]
    pub failure: String,
}

/// A node is in the pool.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Welcome {
    /// When it is to say hello again.
    #[prost(uint64, tag = "1")]
    pub again_millis: u64,
    /// Bulk answers that were cancelled lately.
    #[prost(bytes = "vec", repeated, tag = "2")]
    pub cancelled: Vec<Vec<u8>>,
}

/// A pair of texts.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Pair {
    /// The first.
    #[prost(string, tag = "1")]
    pub key: String,
    /// The second.
    #[prost(string, tag = "2")]
    pub value: String,
}

/// An [`Outline`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct OutlineMessage {
    /// Changes of definitions, by name.
    #[prost(btree_map = "string, uint64", tag = "1")]
    pub definitions: BTreeMap<String, u64>,
    /// Statements of views, by name.
    #[prost(btree_map = "string, string", tag = "2")]
    pub views: BTreeMap<String, String>,
}

/// Records of the catalog.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Records {
    /// Keys.
    #[prost(bytes = "vec", repeated, tag = "1")]
    pub keys: Vec<Vec<u8>>,
    /// Values, as many.
    #[prost(bytes = "vec", repeated, tag = "2")]
    pub values: Vec<Vec<u8>>,
}

/// A [`Recipe`], and the catalog for which it is.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RecipeMessage {
    /// The statement.
    #[prost(string, tag = "1")]
    pub text: String,
    /// In array form.
    #[prost(bool, tag = "2")]
    pub array: bool,
    /// Parameters: an Arrow IPC stream of one row.
    #[prost(bytes = "vec", tag = "3")]
    pub parameters: Vec<u8>,
    /// `now()`, in nanoseconds since 1970.
    #[prost(int64, optional, tag = "4")]
    pub began: Option<i64>,
    /// Settings.
    #[prost(message, repeated, tag = "5")]
    pub settings: Vec<Pair>,
    /// Fingerprint of the catalog's outline.
    #[prost(fixed64, tag = "6")]
    pub catalog: u64,
}

/// A bulk answer: any node can do any share of it.
#[derive(Clone, PartialEq, prost::Message)]
pub struct BulkMessage {
    /// The plan, which is a leaf.
    #[prost(message, optional, tag = "1")]
    pub recipe: Option<RecipeMessage>,
    /// The nodes among which it was shared out, by URL. The share of a node has its number here.
    #[prost(string, repeated, tag = "2")]
    pub nodes: Vec<String>,
    /// The leaf as the server has it: where it is another one on a node, units are numbered otherwise.
    #[prost(bytes = "vec", tag = "3")]
    pub leaf: Vec<u8>,
    /// How long a share may take.
    #[prost(uint64, tag = "4")]
    pub timeout_millis: u64,
}

impl From<Outline> for OutlineMessage {
    fn from(outline: Outline) -> Self {
        OutlineMessage { definitions: outline.definitions, views: outline.views }
    }
}

impl From<OutlineMessage> for Outline {
    fn from(message: OutlineMessage) -> Self {
        Outline { definitions: message.definitions, views: message.views }
    }
}

impl RecipeMessage {
    /// A recipe on its way.
    pub fn new(recipe: &Recipe, catalog: u64) -> Result<RecipeMessage, String> {
        Ok(RecipeMessage {
            text: recipe.text.clone(),
            array: recipe.form == Form::Array,
            parameters: packed(&recipe.parameters).map_err(|e| format!("parameters: {e}"))?,
            began: recipe.began.and_then(|t| t.timestamp_nanos_opt()),
            settings: recipe.settings.iter().map(|(key, value)| Pair { key: key.clone(), value: value.clone() }).collect(),
            catalog,
        })
    }

    /// The recipe.
    pub fn recipe(self) -> Result<Recipe, String> {
        Ok(Recipe {
            text: self.text,
            form: if self.array { Form::Array } else { Form::Rows },
            parameters: unpacked(&self.parameters).map_err(|e| format!("parameters: {e}"))?,
            began: self.began.map(DateTime::from_timestamp_nanos),
            settings: self.settings.into_iter().map(|pair| (pair.key, pair.value)).collect(),
        })
    }
}

fn packed(values: &[ScalarValue]) -> datafusion::error::Result<Vec<u8>> {
    let columns = values.iter().map(|value| value.to_array()).collect::<datafusion::error::Result<Vec<ArrayRef>>>()?;
    let fields: Vec<Field> = columns.iter().map(|column| Field::new("", column.data_type().clone(), true)).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    let batch = RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)?;
    let mut bytes = vec![];
    let mut writer = StreamWriter::try_new(&mut bytes, &batch.schema())?;
    writer.write(&batch)?;
    writer.finish()?;
    drop(writer);
    Ok(bytes)
}

fn unpacked(bytes: &[u8]) -> datafusion::error::Result<Vec<ScalarValue>> {
    let mut values = vec![];
    for batch in StreamReader::try_new(bytes, None)? {
        let batch = batch?;
        if batch.num_rows() == 0 {
            continue;
        }
        for column in batch.columns() {
            values.push(ScalarValue::try_from_array(column, 0)?);
        }
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recipe_comes_back_as_it_went() {
        let recipe = Recipe {
            text: "SELECT $1".into(),
            form: Form::Array,
            parameters: vec![ScalarValue::Int64(Some(4)), ScalarValue::Utf8(None), ScalarValue::Float64(Some(f64::NAN))],
            began: Some(DateTime::from_timestamp_nanos(1_700_000_000_123_456_789)),
            settings: vec![("a.b".into(), "c".into())],
        };
        let back = RecipeMessage::new(&recipe, 7).unwrap().recipe().unwrap();
        assert_eq!(back, recipe);
        let none = Recipe { parameters: vec![], began: None, ..recipe };
        assert_eq!(RecipeMessage::new(&none, 7).unwrap().recipe().unwrap(), none);
        assert!(RecipeMessage { parameters: vec![1, 2, 3], ..RecipeMessage::default() }.recipe().is_err());
    }
}
