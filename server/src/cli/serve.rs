//! `graticule serve`: opens the catalog, indexes what is given, listens, and ends gracefully.

use std::io::Write;
use std::sync::Arc;

use clap::Args;
use graticule_storage::catalog::CreateReport;
use graticule_storage::object::Objects;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{Failure, progress};
use crate::config::{ServerFlags, Settings};
use crate::database::Database;
use crate::flight::server::FlightServer;
use crate::http::{HttpServer, Ready};
use crate::sockets::raise_open_files;

/// What `serve` takes.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Files and folders to index in place before serving them; a file becomes a cube named after it, a folder whose files form one grid becomes one cube
    #[arg(value_name = "PATH|URL")]
    paths: Vec<String>,
    #[command(flatten)]
    server: ServerFlags,
}

/// Serves until SIGINT or SIGTERM.
pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let settings = Settings::resolve(&arguments.server)?;
    raise_open_files();
    let roots = if settings.root.is_empty() { &arguments.paths } else { &settings.root };
    let objects = Objects::new(roots).map_err(|e| e.to_string())?;
    let database = Arc::new(Database::open(&settings, objects).await?);
    if settings.root.is_empty() {
        allow_indexed(&database)?;
    }
    // Bound before indexing, so that a port in use is told at once and not after an hour.
    let server = FlightServer::bind(&settings, database.clone()).await?;
    let ready = Ready::default();
    if let Some(address) = &settings.http {
        let http = HttpServer::bind(address).await?;
        eprintln!("health and metrics on http://{}", http.address());
        tokio::spawn(http.run(server.observed(), ready.clone()));
    }
    if !arguments.paths.is_empty() {
        let report = database.index(&arguments.paths, progress::bar()).await?;
        tell(&report);
        if report.cubes.is_empty() && !report.skipped.is_empty() {
            return Err(format!("nothing to serve: no file of {} could be read", arguments.paths.join(", ")).into());
        }
    }
    let stop = stop_signal()?;
    {
        let mut out = std::io::stdout().lock();
        writeln!(out, "listening on {}", server.url())?;
        out.flush()?;
    }
    ready.set(true);
    Ok(server.run(stop).await?)
}

/// Without `--root`, what is in the catalog already may still be read: it was allowed when it was indexed.
fn allow_indexed(database: &Database) -> Result<(), String> {
    for cube in database.engine().catalog().cubes() {
        for source in &cube.definition.sources {
            database.objects().allow(without_pattern(source)).map_err(|e| e.to_string())?;
        }
    }
    Ok(())
}

/// The folder that a glob pattern cannot leave; a path without a pattern as it is.
fn without_pattern(source: &str) -> &str {
    match source.find(['*', '?', '[']) {
        None => source,
        Some(pattern) => {
            source.get(..pattern).and_then(|before| before.rfind('/').and_then(|slash| before.get(..=slash))).unwrap_or(source)
        }
    }
}

/// What was indexed, guessed and left out, for people.
pub fn tell(report: &CreateReport) {
    for warning in &report.warnings {
        eprintln!("warning: {warning}");
    }
    for skipped in &report.skipped {
        eprintln!("skipped {}: {}", skipped.path, skipped.reason);
    }
    if !report.cubes.is_empty() {
        let files = if report.granules == 1 { "file" } else { "files" };
        eprintln!("indexed {} {files}: {}", report.granules, report.cubes.join(", "));
    }
}

/// Ready at the first SIGINT or SIGTERM; a second one ends the process at once.
pub fn stop_signal() -> Result<impl Future<Output = ()> + Send, String> {
    let listen = |kind| signal(kind).map_err(|e| format!("cannot listen to signals: {e}"));
    let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    let (told, stop) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        either(&mut interrupt, &mut terminate).await;
        let _ = told.send(());
        either(&mut interrupt, &mut terminate).await;
        eprintln!("graticule: stopped by a second signal");
        std::process::exit(130);
    });
    Ok(async move {
        let _ = stop.await;
    })
}

async fn either(a: &mut Signal, b: &mut Signal) {
    tokio::select! {
        _ = a.recv() => {}
        _ = b.recv() => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_cut_at_its_folder() {
        assert_eq!(without_pattern("/data/era5/*.nc"), "/data/era5/");
        assert_eq!(without_pattern("/data/era5/a*/b.nc"), "/data/era5/");
        assert_eq!(without_pattern("/data/era5/a.nc"), "/data/era5/a.nc");
    }
}
