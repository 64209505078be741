//! The pool of nodes of a server: who is in it, and how queries run on it. A server without nodes never gets here.
//!
//! * `membership`, `credentials`, `secret`, `protocol`, `service`: nodes join, and ask for what they need.
//! * `bulk`: arrays that clients fetch from the nodes themselves.
//! * `spread`, `placement`, `codec`: a plan is cut into parts, one for each node; `run`: and run, again if need be.
//! * `channel`, `progress`, `failure`: connections to nodes, whether they move, and how they break.
//! * `show`: `SHOW NODES`; `explain`: `EXPLAIN` of what runs on nodes.
//!
//! A node plans the same query from the same text over a mirror of the catalog, so that of a plan only numbers travel; it reads
//! the objects itself. The query room makes the plans and knows nothing of this one.

pub mod bulk;
pub mod channel;
pub mod codec;
pub mod credentials;
mod explain;
pub mod failure;
pub mod membership;
pub mod placement;
pub mod progress;
pub mod protocol;
pub mod run;
pub mod secret;
pub mod service;
pub mod show;
pub mod spread;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use graticule_query::Engine;
use parking_lot::Mutex;
use uuid::Uuid;

use self::channel::Channels;
use self::credentials::Credentials;
use self::membership::Members;
use self::protocol::RecipeMessage;
use crate::config::Settings;

/// The nodes of a server, and the queries that run on them.
pub struct Pool {
    engine: Engine,
    credentials: Credentials,
    members: Mutex<Members>,
    channels: Channels,
    /// Stored bytes that a query must read to be worth other processes.
    least_bytes: u64,
    /// How long a node may neither answer nor read.
    patience: Duration,
    recipes: Mutex<HashMap<Uuid, Arc<RecipeMessage>>>,
    bulk: Mutex<bulk::Listings>,
    /// Clients come over TLS.
    private: bool,
}

impl Pool {
    /// A pool without nodes. Queries can ask for them: `nodes()`. Errors are one readable line.
    pub fn new(settings: &Settings, engine: &Engine) -> Result<Arc<Pool>, String> {
        let credentials = Credentials::read(settings)?;
        if settings.pool_ca.is_some() && !credentials.are_mutual() {
            return Err("--pool-ca needs --tls-cert and --tls-key: server and nodes show each other certificates".into());
        }
        let pool = Arc::new(Pool {
            engine: engine.clone(),
            channels: Channels::new(credentials.clone()),
            credentials,
            members: Mutex::default(),
            least_bytes: settings.pool_from.0,
            patience: settings.pool_patience.0,
            recipes: Mutex::default(),
            bulk: Mutex::default(),
            private: settings.tls_cert.is_some(),
        });
        engine.register_table_function(show::FUNCTION, Arc::new(show::Nodes::of(&pool)));
        Ok(pool)
    }

    /// What is kept for queries that run on nodes: for metrics.
    pub fn open(&self) -> Vec<(String, f64)> {
        let (queries, streams) = (self.recipes.lock().len(), self.channels.progress.open());
        vec![("queries".to_owned(), queries as f64), ("streams".to_owned(), streams as f64)]
    }
}
