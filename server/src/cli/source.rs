//! Where statements of `sql` and `shell` run: on a server, or on an engine inside this process.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use clap::Args;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use graticule_client::Client;
use graticule_query::{Form, Parameters, QueryError};
use graticule_storage::object::Objects;

use super::{Failure, progress, serve};
use crate::config::{EngineFlags, Settings};
use crate::database::Database;
use crate::flight::status;

/// The server that is asked when nothing else is said.
const DEFAULT_URL: &str = "grpc://127.0.0.1:8815";

/// Where to run.
#[derive(Debug, Args)]
pub struct SourceArguments {
    /// Server to ask [default: grpc://127.0.0.1:8815]
    #[arg(long, env = "GRATICULE_URL", value_name = "URL", hide_env_values = true)]
    url: Option<String>,
    /// Files and folders to index and query inside this process, without a server
    #[arg(long, value_name = "PATH", num_args = 1.., conflicts_with = "url")]
    index: Vec<String>,
    #[command(flatten)]
    engine: EngineFlags,
}

/// Runs statements.
pub struct Source {
    place: Place,
    changes: u64,
}

enum Place {
    /// On a server.
    Server(Box<Client>),
    /// In this process.
    Embedded(Arc<Database>),
}

/// The answer to one statement, on its way.
pub struct Answer {
    /// Its columns.
    pub schema: SchemaRef,
    /// Its rows. Dropping it cancels the query.
    pub batches: BoxStream<'static, Result<RecordBatch, Refusal>>,
}

/// Why a statement gave no answer.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// What is wrong; where a place is known, followed by the line of text and a caret.
    pub message: String,
    /// Line and column, from 1.
    pub place: Option<(u32, u32)>,
}

impl From<QueryError> for Refusal {
    fn from(error: QueryError) -> Self {
        Refusal { place: error.position.map(|p| (p.line, p.column)), message: error.message }
    }
}

impl From<graticule_client::Error> for Refusal {
    fn from(error: graticule_client::Error) -> Self {
        let place = match &error {
            graticule_client::Error::Query { line: Some(line), column: Some(column), .. } => Some((*line, *column)),
            _ => None,
        };
        Refusal { message: error.to_string(), place }
    }
}

impl From<String> for Refusal {
    fn from(message: String) -> Self {
        Refusal { message, place: None }
    }
}

impl From<Refusal> for Failure {
    /// One line: the place in numbers instead of the caret.
    fn from(refusal: Refusal) -> Self {
        match refusal.place {
            Some((line, column)) => {
                let what = refusal.message.lines().next().unwrap_or_default();
                Failure::Told(format!("{what} (line {line}, column {column})"))
            }
            None => Failure::Told(refusal.message),
        }
    }
}

impl Source {
    /// Connects, or indexes what is to be indexed. Errors are one readable line.
    pub async fn open(arguments: &SourceArguments) -> Result<Source, String> {
        if arguments.index.is_empty() {
            let url = arguments.url.as_deref().unwrap_or(DEFAULT_URL);
            let client = Client::connect(url)
                .await
                .map_err(|e| format!("{e}; start a server with `graticule serve PATH`, or query files without one with --index PATH"))?;
            return Ok(Source { place: Place::Server(Box::new(client)), changes: 0 });
        }
        // The user's own process reads what the user may read.
        let database = Database::open(&Settings::embedded(&arguments.engine), Objects::anywhere()).await?;
        let report = database.index(&arguments.index, progress::bar()).await?;
        serve::tell(&report);
        Ok(Source { place: Place::Embedded(Arc::new(database)), changes: 0 })
    }

    /// How many statements were run that may have changed which cubes there are.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// Runs a statement.
    pub async fn sql(&mut self, text: &str) -> Result<Answer, Refusal> {
        let first = text.split_whitespace().next().unwrap_or_default();
        if ["create", "drop", "refresh"].iter().any(|word| first.eq_ignore_ascii_case(word)) {
            self.changes += 1;
        }
        match &mut self.place {
            Place::Server(client) => {
                let batches = client.sql(text).await?;
                Ok(Answer { schema: batches.schema(), batches: batches.map_err(Refusal::from).boxed() })
            }
            Place::Embedded(database) => {
                let (engine, text) = (database.engine().clone(), text.to_string());
                let workers = database.workers().cloned().ok_or_else(|| "the database is closed".to_string())?;
                let progress = progress::bar();
                let started = workers.spawn(async move {
                    let prepared = engine.prepare(&text, Form::Rows, Parameters::Values(vec![])).await?;
                    let batches = prepared.run(progress).await?;
                    Ok::<_, QueryError>((prepared.schema(), batches))
                });
                let (schema, mut batches) = started.await.map_err(|e| format!("the query ended early: {e}"))??;
                let (sender, receiver) = tokio::sync::mpsc::channel(2);
                workers.spawn(async move {
                    // The query ends when nobody wants its rows any more.
                    loop {
                        let next = tokio::select! {
                            next = batches.next() => next,
                            () = sender.closed() => break,
                        };
                        let Some(batch) = next else { break };
                        let batch = batch.map_err(|e| Refusal::from(status::query_error(&e)));
                        if sender.send(batch).await.is_err() {
                            break;
                        }
                    }
                });
                Ok(Answer { schema, batches: tokio_stream::wrappers::ReceiverStream::new(receiver).boxed() })
            }
        }
    }
}
