//! Where statements of `sql` and `shell` run: on a server, or on an engine inside this process.

use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use clap::Args;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use graticule_client::{Client, Options, TLS_CA_VARIABLE};
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
    /// File of the token to show to the server [default: the token in GRATICULE_TOKEN]
    #[arg(long, env = "GRATICULE_TOKEN_FILE", value_name = "FILE", hide_env_values = true)]
    token_file: Option<PathBuf>,
    /// Authorities (PEM) to trust in place of this machine's, for grpcs:// with a certificate of your own
    #[arg(long, env = TLS_CA_VARIABLE, value_name = "FILE", hide_env_values = true)]
    tls_ca: Option<PathBuf>,
    /// Certificate (PEM) to show to a server that asks for one
    #[arg(long, env = "GRATICULE_TLS_CLIENT_CERT", value_name = "FILE", hide_env_values = true, requires = "tls_client_key")]
    tls_client_cert: Option<PathBuf>,
    /// Its private key (PEM)
    #[arg(long, env = "GRATICULE_TLS_CLIENT_KEY", value_name = "FILE", hide_env_values = true, requires = "tls_client_cert")]
    tls_client_key: Option<PathBuf>,
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

impl SourceArguments {
    /// How to connect: what the flags say over what the environment says.
    fn options(&self) -> Result<Options, String> {
        let mut options = Options::from_environment().map_err(|e| e.to_string())?;
        if let Some(file) = &self.token_file {
            options = options.token_file(file).map_err(|e| e.to_string())?;
        }
        if let Some(file) = &self.tls_ca {
            options = options.tls_ca_file(file).map_err(|e| e.to_string())?;
        }
        if let (Some(certificate), Some(key)) = (&self.tls_client_cert, &self.tls_client_key) {
            let read = |file: &PathBuf| std::fs::read(file).map_err(|e| format!("{}: {e}", file.display()));
            options = options.tls_identity(read(certificate)?, read(key)?);
        }
        Ok(options)
    }
}

impl Source {
    /// Connects, or indexes what is to be indexed. Errors are one readable line.
    pub async fn open(arguments: &SourceArguments) -> Result<Source, String> {
        if arguments.index.is_empty() {
            let url = arguments.url.as_deref().unwrap_or(DEFAULT_URL);
            let options = arguments.options()?;
            let client = Client::connect_with(url, &options).await.map_err(|e| match e.to_string() {
                e if url.starts_with("grpcs") => e,
                e => format!("{e}; start a server with `graticule serve PATH`, or query files without one with --index PATH"),
            })?;
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
