//! Settings of a server: flags, then environment (`GRATICULE_...`), then `graticule.toml`, then the defaults.
//! What is set more than once is taken from the first of these.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use figment::Figment;
use figment::providers::{Format, Serialized, Toml};
use serde::{Deserialize, Serialize};

use crate::units::{ByteSize, Span};

/// The data directory that keeps nothing.
pub const IN_MEMORY: &str = ":memory:";

/// How the engine is set up: flags and environment. What is `None` was not given.
#[derive(Debug, Clone, Default, Args, Serialize)]
pub struct EngineFlags {
    /// Memory that all queries together may use [default: 4GiB]
    #[arg(long, env = "GRATICULE_MEMORY", value_name = "SIZE", hide_env_values = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<ByteSize>,
    /// Cache of decoded chunks [default: 1GiB]
    #[arg(long, env = "GRATICULE_CACHE", value_name = "SIZE", hide_env_values = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache: Option<ByteSize>,
    /// CPU threads [default: all that this process may use]
    #[arg(long, env = "GRATICULE_THREADS", value_name = "N", hide_env_values = true, value_parser = clap::value_parser!(u64).range(1..=4096))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads: Option<u64>,
}

/// How the server is set up: flags and environment. What is `None` or empty was not given.
#[derive(Debug, Clone, Default, Args, Serialize)]
pub struct ServerFlags {
    /// Address of the Flight SQL door; port 0 takes any free port [default: 127.0.0.1:8815]
    #[arg(long, env = "GRATICULE_LISTEN", value_name = "HOST:PORT", hide_env_values = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<String>,
    /// Where the catalog is kept; `:memory:` keeps nothing [default: the user's data directory]
    #[arg(long, env = "GRATICULE_DATA_DIR", value_name = "DIR", hide_env_values = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_dir: Option<PathBuf>,
    /// Only objects under these may be indexed; repeatable, or separated by commas [default: the PATHs given]
    #[arg(long, env = "GRATICULE_ROOT", value_name = "DIR|URL", hide_env_values = true, value_delimiter = ',')]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub root: Vec<String>,
    #[command(flatten)]
    #[serde(flatten)]
    /// How the engine is set up.
    pub engine: EngineFlags,
    /// Queries that run at the same time; more wait in line [default: twice the threads, at least 4]
    #[arg(long, env = "GRATICULE_MAX_CONCURRENT", value_name = "N", hide_env_values = true, value_parser = clap::value_parser!(u64).range(1..=65536))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_concurrent: Option<u64>,
    /// A query that takes longer, waiting included, is ended [default: 10m]
    #[arg(long, env = "GRATICULE_QUERY_TIMEOUT", value_name = "TIME", hide_env_values = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query_timeout: Option<Span>,
    /// Certificate chain in PEM: the door speaks TLS (clients: grpcs://)
    #[arg(long, env = "GRATICULE_TLS_CERT", value_name = "FILE", hide_env_values = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_cert: Option<PathBuf>,
    /// Its private key in PEM
    #[arg(long, env = "GRATICULE_TLS_KEY", value_name = "FILE", hide_env_values = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_key: Option<PathBuf>,
    /// Only clients with a certificate signed by one of these authorities (PEM) may connect
    #[arg(long, env = "GRATICULE_TLS_CLIENT_CA", value_name = "FILE", hide_env_values = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_client_ca: Option<PathBuf>,
    /// Ask for tokens: a file of `reader TOKEN` and `admin TOKEN` lines
    #[arg(long, env = "GRATICULE_TOKENS", value_name = "FILE", hide_env_values = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<PathBuf>,
    /// Listen where others can connect although neither tokens nor TLS are set up
    #[arg(long, env = "GRATICULE_INSECURE", hide_env_values = true, value_parser = clap::builder::FalseyValueParser::new())]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub insecure: bool,
    /// Address of /healthz, /readyz and /metrics (Prometheus) [default: none]
    #[arg(long, env = "GRATICULE_HTTP", value_name = "HOST:PORT", hide_env_values = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<String>,
    /// File with the secret that nodes of the pool must know [default: none, and nodes on loopback only]
    #[arg(long, env = "GRATICULE_POOL_SECRET", value_name = "FILE", hide_env_values = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool_secret: Option<PathBuf>,
    /// Nodes speak TLS, with certificates signed by one of these authorities (PEM), and want the server's (--tls-cert) to be [default: none]
    #[arg(long, env = "GRATICULE_POOL_CA", value_name = "FILE", hide_env_values = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool_ca: Option<PathBuf>,
    /// Queries that read less run in the server itself, also when there are nodes [default: 16MiB]
    #[arg(long, env = "GRATICULE_POOL_FROM", value_name = "SIZE", hide_env_values = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool_from: Option<ByteSize>,
    /// A node that neither answers a query that waits for it nor reads anything for so long has failed it [default: 2m]
    #[arg(long, env = "GRATICULE_POOL_PATIENCE", value_name = "TIME", hide_env_values = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool_patience: Option<Span>,
    /// File of settings [default: graticule.toml in the current folder, when there is one]
    #[arg(long, env = "GRATICULE_CONFIG", value_name = "FILE", hide_env_values = true)]
    #[serde(skip)]
    pub config: Option<PathBuf>,
}

/// Settings of a server, complete.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Address of the Flight SQL door.
    pub listen: String,
    /// Where the catalog is kept, or [`IN_MEMORY`].
    pub data_dir: PathBuf,
    /// Only objects under these may be indexed; empty: only what is given to `serve`.
    pub root: Vec<String>,
    /// Bytes that all queries together may use.
    pub memory: ByteSize,
    /// Bytes of the cache of decoded chunks.
    pub cache: ByteSize,
    /// CPU threads.
    pub threads: u64,
    /// Queries that run at the same time; 0: twice the threads, at least 4.
    pub max_concurrent: u64,
    /// Longest time of a query.
    pub query_timeout: Span,
    /// Certificate chain in PEM; the door speaks TLS where there is one.
    pub tls_cert: Option<PathBuf>,
    /// Its private key in PEM.
    pub tls_key: Option<PathBuf>,
    /// Authorities of clients' certificates in PEM; clients without one are turned away where there is a file.
    pub tls_client_ca: Option<PathBuf>,
    /// File of tokens; none is asked for without.
    pub tokens: Option<PathBuf>,
    /// Listen where others can connect although neither tokens nor TLS are set up.
    pub insecure: bool,
    /// Address of health and metrics; none without.
    pub http: Option<String>,
    /// File with the pool's secret.
    pub pool_secret: Option<PathBuf>,
    /// Authorities of the certificates of a pool's server and nodes.
    pub pool_ca: Option<PathBuf>,
    /// Stored bytes that a query must read to run on nodes.
    pub pool_from: ByteSize,
    /// How long a node may neither answer a query nor read anything.
    pub pool_patience: Span,
}

impl Default for Settings {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(2, |n| n.get() as u64);
        Settings {
            listen: "127.0.0.1:8815".into(),
            data_dir: default_data_dir(),
            root: vec![],
            memory: ByteSize(4 << 30),
            cache: ByteSize(1 << 30),
            threads,
            max_concurrent: 0,
            query_timeout: Span(Duration::from_secs(600)),
            tls_cert: None,
            tls_key: None,
            tls_client_ca: None,
            tokens: None,
            insecure: false,
            http: None,
            pool_secret: None,
            pool_ca: None,
            pool_from: ByteSize(16 << 20),
            pool_patience: Span(Duration::from_secs(120)),
        }
    }
}

/// The user's data directory; a hidden folder of the current one for a user without a home.
fn default_data_dir() -> PathBuf {
    directories::ProjectDirs::from("", "", "graticule").map_or_else(|| PathBuf::from(".graticule"), |dirs| dirs.data_dir().to_path_buf())
}

impl Settings {
    /// Flags and environment over the file of settings over the defaults. A file named by `--config` must exist.
    /// Errors are one readable line.
    pub fn resolve(flags: &ServerFlags) -> Result<Settings, String> {
        let file = match &flags.config {
            Some(file) if !file.is_file() => return Err(format!("{}: no such file of settings", file.display())),
            Some(file) => file.clone(),
            None => PathBuf::from("graticule.toml"),
        };
        Self::layered(flags, &file)
    }

    fn layered(flags: &impl Serialize, file: &Path) -> Result<Settings, String> {
        let mut figment = Figment::from(Serialized::defaults(Settings::default()));
        if file.is_file() {
            figment = figment.merge(Toml::file_exact(file));
        }
        let mut settings: Settings = figment.merge(Serialized::defaults(flags)).extract().map_err(|e| readable(&e))?;
        if settings.threads == 0 {
            return Err("threads must be at least 1".into());
        }
        if settings.max_concurrent == 0 {
            settings.max_concurrent = settings.threads.saturating_mul(2).max(4);
        }
        Ok(settings)
    }

    /// Settings of an engine inside this process, for one user: defaults and flags, no file.
    pub fn embedded(flags: &EngineFlags) -> Settings {
        let defaults = Settings::default();
        Settings {
            data_dir: IN_MEMORY.into(),
            memory: flags.memory.unwrap_or(defaults.memory),
            cache: flags.cache.unwrap_or(defaults.cache),
            threads: flags.threads.unwrap_or(defaults.threads),
            ..defaults
        }
    }

    /// Where the catalog is kept.
    pub fn catalog_location(&self) -> graticule_storage::catalog::CatalogLocation {
        use graticule_storage::catalog::CatalogLocation;
        if self.data_dir.as_os_str() == IN_MEMORY { CatalogLocation::Memory } else { CatalogLocation::Folder(self.data_dir.clone()) }
    }
}

/// A figment error as one line that names the file and the key.
fn readable(error: &figment::Error) -> String {
    let file = error.metadata.as_ref().and_then(|m| m.source.as_ref()).map(|source| format!("{source}: ")).unwrap_or_default();
    let key = if error.path.is_empty() { String::new() } else { format!("`{}`: ", error.path.join(".")) };
    format!("{file}{key}{}", error.kind).replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_file(text: &str, flags: &ServerFlags) -> Result<Settings, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("graticule.toml");
        std::fs::write(&file, text).unwrap();
        Settings::resolve(&ServerFlags { config: Some(file), ..flags.clone() })
    }

    #[test]
    fn flags_win_over_the_file_and_the_file_over_the_defaults() {
        let flags = ServerFlags { listen: Some("0.0.0.0:1".into()), ..ServerFlags::default() };
        let settings = with_file("listen = '0.0.0.0:2'\nmemory = '2GiB'\nquery_timeout = '1h'\nroot = ['/data']", &flags).unwrap();
        assert_eq!(settings.listen, "0.0.0.0:1");
        assert_eq!(settings.memory, ByteSize(2 << 30));
        assert_eq!(settings.query_timeout, Span(Duration::from_secs(3600)));
        assert_eq!(settings.cache, ByteSize(1 << 30));
        assert_eq!(settings.root, ["/data"]);
    }

    #[test]
    fn engine_flags_are_seen() {
        let engine = EngineFlags { threads: Some(3), ..EngineFlags::default() };
        let settings = with_file("threads = 7", &ServerFlags { engine, ..ServerFlags::default() }).unwrap();
        assert_eq!((settings.threads, settings.max_concurrent), (3, 6));
    }

    #[test]
    fn access_is_set_in_the_file_and_by_flags() {
        let flags = ServerFlags { tokens: Some("/etc/tokens".into()), ..ServerFlags::default() };
        let settings =
            with_file("tls_cert = 'c.pem'\ntls_key = 'k.pem'\nhttp = '127.0.0.1:9100'\ninsecure = true\ntokens = 't'", &flags).unwrap();
        assert_eq!((settings.tls_cert, settings.tls_key), (Some("c.pem".into()), Some("k.pem".into())));
        assert_eq!((settings.tokens, settings.http, settings.insecure), (Some("/etc/tokens".into()), Some("127.0.0.1:9100".into()), true));
        let settings = with_file("", &ServerFlags::default()).unwrap();
        assert!(settings.tls_cert.is_none() && settings.tokens.is_none() && !settings.insecure);
    }

    #[test]
    fn a_mistake_in_the_file_names_the_file_and_the_key() {
        let error = with_file("memory = 'lots'", &ServerFlags::default()).unwrap_err();
        assert!(error.contains("graticule.toml") && error.contains("memory") && error.contains("lots"), "{error}");
        let error = with_file("memmory = '1GiB'", &ServerFlags::default()).unwrap_err();
        assert!(error.contains("memmory"), "{error}");
        assert!(!error.contains('\n'));
    }

    #[test]
    fn a_file_that_was_asked_for_must_exist() {
        let flags = ServerFlags { config: Some("/nowhere/graticule.toml".into()), ..ServerFlags::default() };
        assert!(Settings::resolve(&flags).unwrap_err().contains("/nowhere/graticule.toml"));
    }
}
