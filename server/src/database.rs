//! The rooms behind the doors put together: objects, catalog, reader, engine, and the threads that queries run on.

use std::sync::Arc;

use graticule_query::{Engine, EngineSettings};
use graticule_storage::catalog::{Catalog, CreateReport, Progress};
use graticule_storage::object::Objects;
use graticule_storage::read::{ReadSettings, Reader};
use tokio::runtime::{Handle, Runtime};

use crate::config::Settings;

/// Stack of a query thread. DataFusion's planner and optimizer recurse over expressions: 30 predicates joined by AND take 2 MiB in a
/// debug build. Pages that are not touched cost nothing.
const STACK: usize = 256 << 20;

/// An open database: everything that a query needs. It ends when dropped.
pub struct Database {
    objects: Objects,
    engine: Engine,
    reader: Reader,
    workers: Option<Runtime>,
}

impl Database {
    /// Opens the catalog and starts the threads that queries run on. Only `objects` may be indexed and read.
    /// Errors are one readable line.
    pub async fn open(settings: &Settings, objects: Objects) -> Result<Database, String> {
        let threads = usize::try_from(settings.threads).unwrap_or(usize::MAX);
        let catalog = Catalog::open(settings.catalog_location(), objects.clone()).await.map_err(|e| e.to_string())?;
        let catalog = Arc::new(catalog);
        let read = ReadSettings { cache_bytes: settings.cache.0, threads };
        let reader = Reader::new(objects.clone(), catalog.clone(), read).map_err(|e| e.to_string())?;
        let engine = EngineSettings { memory_bytes: settings.memory.0, threads };
        let engine = Engine::new(catalog, reader.clone(), engine).map_err(|e| e.to_string())?;
        // Queries compute on threads of their own, so that a busy one cannot keep the door from answering.
        let workers = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name("graticule-query")
            .thread_stack_size(STACK)
            .enable_all()
            .build()
            .map_err(|e| format!("cannot start {threads} query threads: {e}"))?;
        Ok(Database { objects, engine, reader, workers: Some(workers) })
    }

    /// Text in, batches out.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// What reads files, and counts what it reads.
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// What may be indexed and read.
    pub fn objects(&self) -> &Objects {
        &self.objects
    }

    /// The threads that queries run on. `None` only while closing.
    pub fn workers(&self) -> Option<&Handle> {
        self.workers.as_ref().map(Runtime::handle)
    }

    /// Makes cubes of files and folders as `graticule serve PATH` does, on the query threads.
    pub async fn index(&self, paths: &[String], progress: Arc<dyn Progress>) -> Result<CreateReport, String> {
        let (catalog, paths) = (self.engine.catalog().clone(), paths.to_vec());
        let work = async move { catalog.serve_paths(&paths, progress.as_ref()).await.map_err(|e| e.to_string()) };
        match self.workers() {
            Some(workers) => workers.spawn(work).await.map_err(|e| format!("indexing ended early: {e}"))?,
            None => work.await,
        }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // A runtime must not be dropped where a task of another may be running; in the background it may.
        if let Some(workers) = self.workers.take() {
            workers.shutdown_background();
        }
    }
}
