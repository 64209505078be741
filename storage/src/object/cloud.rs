//! Remote stores: one client a bucket or server, made when it is first asked for. Credentials and endpoints come from the
//! environment (`AWS_*`, `GOOGLE_*`, `AZURE_*`), as the stores' own tools read them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::http::HttpBuilder;
use object_store::{BackoffConfig, ClientConfigKey, ObjectStore, RetryConfig};
use parking_lot::Mutex;
use quick_cache::sync::Cache;

use super::ObjectVersion;
use super::url::RemoteUrl;
use crate::{Error, Result};

/// Tries after the first one, for answers of the 5xx kind, connections that fail or break, and timeouts.
const RETRIES: usize = 5;
/// No try begins later than this after the first one. A connection is given up after 5 s, a request after 30 s (object_store's
/// defaults; `AWS_TIMEOUT`, `AWS_CONNECT_TIMEOUT` and their kin change them).
const RETRY_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a version that a store has told counts as its version now, where nothing else is asked of the store.
const FRESH: Duration = Duration::from_secs(5);
/// Versions remembered.
const VERSIONS: usize = 65_536;

/// The remote stores in use, and the versions that they told lately.
#[derive(Debug)]
pub(super) struct Stores {
    clients: Mutex<HashMap<String, Arc<dyn ObjectStore>>>,
    versions: Cache<String, (Instant, ObjectVersion)>,
    /// Root documents of chunk stores, by the stores' locations.
    documents: Cache<String, &'static str>,
}

impl Default for Stores {
    fn default() -> Self {
        Stores { clients: Mutex::default(), versions: Cache::new(VERSIONS), documents: Cache::new(VERSIONS) }
    }
}

impl Stores {
    /// The client of a URL's store.
    pub(super) fn client(&self, url: &RemoteUrl) -> Result<Arc<dyn ObjectStore>> {
        let mut clients = self.clients.lock();
        if let Some(known) = clients.get(&url.store) {
            return Ok(known.clone());
        }
        let made = connect(&url.store).map_err(|e| Error::User(format!("{}: {e}", url.location())))?;
        clients.insert(url.store.clone(), made.clone());
        Ok(made)
    }

    /// Notes the version that a store has just told.
    pub(super) fn told(&self, location: &str, version: &ObjectVersion) {
        self.versions.insert(location.to_owned(), (Instant::now(), version.clone()));
    }

    /// Notes that a location is a chunk store with this root document.
    pub(super) fn found_document(&self, location: &str, name: &'static str) {
        self.documents.insert(location.to_owned(), name);
    }

    /// The root document of a chunk store that was found before.
    pub(super) fn document(&self, location: &str) -> Option<&'static str> {
        self.documents.get(location)
    }

    /// The version that the store told a moment ago.
    pub(super) fn fresh(&self, location: &str) -> Option<ObjectVersion> {
        self.versions.get(location).filter(|(when, _)| when.elapsed() < FRESH).map(|(_, version)| version)
    }
}

/// Makes the client of a store such as `s3://bucket`.
fn connect(store: &str) -> Result<Arc<dyn ObjectStore>, String> {
    let backoff = BackoffConfig { init_backoff: Duration::from_millis(100), max_backoff: Duration::from_secs(5), base: 2.0 };
    let retry = RetryConfig { backoff, max_retries: RETRIES, retry_timeout: RETRY_TIMEOUT };
    let scheme = store.split(':').next().unwrap_or_default();
    let insecure = |endpoint: &[&str], allow: &str| {
        let endpoint = endpoint.iter().find_map(|name| std::env::var(name).ok());
        let allowed = std::env::var(allow).is_ok_and(|v| matches!(v.to_ascii_lowercase().as_str(), "true" | "1" | "yes" | "on"));
        match endpoint.filter(|e| e.starts_with("http://") && !allowed) {
            Some(endpoint) => Err(format!("the endpoint {endpoint} is not encrypted; set {allow}=true to allow that")),
            None => Ok(()),
        }
    };
    let text = |e: object_store::Error| e.to_string();
    Ok(match scheme {
        "s3" => {
            insecure(&["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"], "AWS_ALLOW_HTTP")?;
            Arc::new(AmazonS3Builder::from_env().with_url(store).with_retry(retry).build().map_err(text)?)
        }
        "gs" => Arc::new(GoogleCloudStorageBuilder::from_env().with_url(store).with_retry(retry).build().map_err(text)?),
        "az" | "abfs" | "abfss" => Arc::new(MicrosoftAzureBuilder::from_env().with_url(store).with_retry(retry).build().map_err(text)?),
        _ => {
            let builder = HttpBuilder::new().with_url(store).with_retry(retry);
            Arc::new(builder.with_config(ClientConfigKey::AllowHttp, "true").build().map_err(text)?)
        }
    })
}
