//! `graticule node --join`: a query node that joins a server's pool, and leaves it gracefully.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use super::Failure;
use super::serve::stop_signal;
use crate::config::{EngineFlags, Settings};
use crate::node::{Node, NodeSettings};
use crate::sockets::raise_open_files;

/// What `node` takes.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The server whose pool to join, such as grpc://host:8815; grpcs:// where it speaks TLS
    #[arg(long, env = "GRATICULE_JOIN", value_name = "URL", hide_env_values = true)]
    join: String,
    /// Where to take work [default: any free port of the address that reaches the server]
    #[arg(long, env = "GRATICULE_LISTEN", value_name = "HOST:PORT", hide_env_values = true)]
    listen: Option<String>,
    /// The address that the server is told, where it reaches this node by another one
    #[arg(long, env = "GRATICULE_ADVERTISE", value_name = "HOST:PORT", hide_env_values = true)]
    advertise: Option<String>,
    /// Only objects under these are read; repeatable, or separated by commas [default: all that the server's catalog names]
    #[arg(long, env = "GRATICULE_ROOT", value_name = "DIR|URL", hide_env_values = true, value_delimiter = ',')]
    root: Vec<String>,
    /// File with the secret of the pool [default: none, and a server on loopback only]
    #[arg(long, env = "GRATICULE_POOL_SECRET", value_name = "FILE", hide_env_values = true)]
    pool_secret: Option<PathBuf>,
    /// Certificate chain in PEM: the node speaks TLS, and shows it to the server
    #[arg(long, env = "GRATICULE_TLS_CERT", value_name = "FILE", hide_env_values = true, requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Its private key in PEM
    #[arg(long, env = "GRATICULE_TLS_KEY", value_name = "FILE", hide_env_values = true, requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Authorities (PEM) that have signed the certificates of the server and of the nodes [default: those of this machine, for the server]
    #[arg(long, env = "GRATICULE_POOL_CA", value_name = "FILE", hide_env_values = true)]
    pool_ca: Option<PathBuf>,
    #[command(flatten)]
    engine: EngineFlags,
}

/// Takes work until SIGINT or SIGTERM, finishes what runs, and leaves.
pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let stop = stop_signal()?;
    raise_open_files();
    let settings = NodeSettings {
        join: arguments.join,
        listen: arguments.listen,
        advertise: arguments.advertise,
        root: arguments.root,
        settings: Settings {
            pool_secret: arguments.pool_secret,
            tls_cert: arguments.tls_cert,
            tls_key: arguments.tls_key,
            pool_ca: arguments.pool_ca,
            ..Settings::embedded(&arguments.engine)
        },
    };
    let node = Node::join(&settings).await?;
    {
        let mut out = std::io::stdout().lock();
        writeln!(out, "joined {} as {}", settings.join, node.url())?;
        out.flush()?;
    }
    Ok(node.run(stop).await?)
}
