//! The command line: what can be typed, and how a command ends. Each command has a file of its own.

mod demo;
mod inspect;
mod lexis;
mod node;
mod output;
mod paint;
mod progress;
mod serve;
mod shell;
mod source;
mod sql;
mod table;

use std::fmt;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::traces;

/// Graticule: SQL and array queries over NetCDF and GeoTIFF files, in place.
#[derive(Debug, Parser)]
#[command(name = "graticule", version, propagate_version = true, disable_help_subcommand = true)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start a server; each PATH given is indexed in place first
    Serve(serve::Arguments),
    /// Join the pool of a server as a query node
    Node(node::Arguments),
    /// Run one statement and print its answer
    Sql(sql::Arguments),
    /// Type statements one after the other
    Shell(shell::Arguments),
    /// Show what is in a file: arrays, axes, chunks, codecs, CRS, missing values; reads headers only
    Inspect(inspect::Arguments),
    /// Serve the sample data and show what can be asked
    Demo(demo::Arguments),
}

/// How a command failed.
#[derive(Debug)]
pub enum Failure {
    /// One readable line for people.
    Told(String),
    /// Everything has been said already, or nobody listens.
    Quiet,
}

impl From<String> for Failure {
    fn from(message: String) -> Self {
        Failure::Told(message)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        // Whoever read our output has seen enough: `graticule sql ... | head`.
        if error.kind() == std::io::ErrorKind::BrokenPipe { Failure::Quiet } else { Failure::Told(error.to_string()) }
    }
}

impl fmt::Display for Failure {
    /// One line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Told(message) => {
                let lines: Vec<&str> = message.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
                f.write_str(&lines.join(" "))
            }
            Failure::Quiet => Ok(()),
        }
    }
}

/// Runs the command line of this process.
pub fn run() -> ExitCode {
    let arguments = CommandLine::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().thread_name("graticule-door").enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => {
            eprintln!("graticule: cannot start threads: {e}");
            return ExitCode::FAILURE;
        }
    };
    let ended = runtime.block_on(async {
        let _traces = traces::start()?;
        match arguments.command {
            Command::Serve(arguments) => serve::run(arguments).await,
            Command::Node(arguments) => node::run(arguments).await,
            Command::Sql(arguments) => sql::run(arguments).await,
            Command::Shell(arguments) => shell::run(arguments).await,
            Command::Inspect(arguments) => inspect::run(arguments).await,
            Command::Demo(arguments) => demo::run(arguments).await,
        }
    });
    // Work that is left over must not hold the process: the answer is out, or the failure is known.
    runtime.shutdown_background();
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Quiet) => ExitCode::FAILURE,
        Err(failure) => {
            eprintln!("graticule: {failure}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn a_failure_is_one_line() {
        assert_eq!(Failure::Told("no column `a`\n  SELECT a\n         ^\n".into()).to_string(), "no column `a` SELECT a ^");
    }
}
