//! `graticule sql`: one statement, its answer, and the end.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::Args;

use super::Failure;
use super::output::{self, Format};
use super::source::{Source, SourceArguments};

/// What `sql` takes.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The statement
    #[arg(value_name = "STATEMENT")]
    statement: String,
    #[command(flatten)]
    source: SourceArguments,
    /// How the answer is written
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Where it is written [default: standard output]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Runs the statement.
pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let mut source = Source::open(&arguments.source).await?;
    let answer = source.sql(&arguments.statement).await?;
    match &arguments.output {
        None => {
            output::write(answer, arguments.format, u64::MAX, &mut BufWriter::new(std::io::stdout())).await?;
        }
        Some(file) => {
            // Beside it first: a query that fails half-way leaves what was there before.
            let partial = partial(file);
            let named = |e: std::io::Error| Failure::Told(format!("{}: {e}", file.display()));
            let mut out = BufWriter::new(File::create(&partial).map_err(named)?);
            let written = output::write(answer, arguments.format, u64::MAX, &mut out).await;
            let written = written.and_then(|_| out.flush().map_err(named));
            drop(out);
            match written {
                Ok(()) => std::fs::rename(&partial, file).map_err(named)?,
                Err(failure) => {
                    let _ = std::fs::remove_file(&partial);
                    return Err(failure);
                }
            }
        }
    }
    Ok(())
}

/// The name under which a file is written before it is whole.
fn partial(file: &Path) -> PathBuf {
    let mut name = file.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{}.partial", std::process::id()));
    file.with_file_name(name)
}
