//! The catalog: cubes made of granules, in an embedded store. Everything in it can be derived again from the files and
//! from the `CREATE CUBE` statements, which are kept beside it as plain text.
//!
//! A change (create, refresh, drop) indexes first, then is one atomic batch in the store, then becomes visible; the text file
//! follows. Nothing is locked while files are read: a change that another one has overtaken is refused.

mod build;
mod change;
mod cube;
mod definitions;
mod filename;
mod index;
mod mirror;
mod overviews;
mod pages;
mod records;
mod recover;
mod refresh;
mod serve;
mod source;
mod statistics;
mod store;
#[cfg(test)]
mod tests;
mod types;
mod views;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use quick_cache::sync::Cache;

pub use cube::{AxisFromFilename, Cube, CubeDefinition, CubeVariable, Overlap, Piece};
pub use mirror::{Outline, Record};
pub use statistics::{ChunkOf, ChunkStatistics, Extremes, StatisticsStore};
pub use store::{Batch, CatalogStore, DiskStore, MemoryStore};
pub use types::{CatalogLocation, ChunkPage, CreateMode, CreateReport, Granule, GranuleId, NoProgress, Progress, RefreshReport};

use self::change::Change;
use self::records::{Counters, DefinitionRecord};
use crate::array::{ChunkManifest, ChunkRef};
use crate::object::Objects;
use crate::{Error, Result};

/// Granules kept decoded.
const GRANULES_CACHED: usize = 8192;

/// Bytes of chunk references kept decoded, about.
const MANIFEST_CACHE_BYTES: u64 = 128 << 20;

/// Cubes, granules and manifests.
pub struct Catalog {
    objects: Objects,
    store: Arc<dyn CatalogStore>,
    statistics: StatisticsStore,
    /// The data directory, where there is one.
    folder: Option<PathBuf>,
    state: RwLock<State>,
    /// The statements of views, by name.
    views: RwLock<views::Views>,
    /// Held while a change is committed.
    counters: Mutex<Counters>,
    granules: Cache<GranuleId, Arc<Granule>>,
    pages: Cache<(GranuleId, u32, u32), Arc<ChunkManifest>, Weight>,
}

/// What the store holds, in memory; granules and manifests are loaded when they are asked for.
#[derive(Default)]
struct State {
    cubes: BTreeMap<String, Arc<Cube>>,
    definitions: BTreeMap<String, Arc<DefinitionRecord>>,
}

impl State {
    /// The definition that made a cube: of its own name, or of the main cube of a further table.
    fn owner(&self, cube: &str) -> Option<&Arc<DefinitionRecord>> {
        let by_name = self.definitions.get(cube);
        by_name.or_else(|| self.cubes.get(cube).and_then(|c| self.definitions.get(&c.definition.name)))
    }
}

/// A page's bytes in memory, about.
#[derive(Debug, Clone, Copy)]
struct Weight;

impl quick_cache::Weighter<(GranuleId, u32, u32), Arc<ChunkManifest>> for Weight {
    fn weight(&self, _: &(GranuleId, u32, u32), manifest: &Arc<ChunkManifest>) -> u64 {
        let inline = |c: &ChunkRef| if let ChunkRef::Inline(bytes) = c { bytes.len() } else { 0 };
        let extra: usize = manifest.chunks.iter().map(inline).sum();
        (128 + manifest.chunks.len() * size_of::<ChunkRef>() + extra) as u64
    }
}

impl Catalog {
    /// Where it reads from, and may.
    pub fn objects(&self) -> &Objects {
        &self.objects
    }

    /// Opens or makes the catalog. A folder in which another server works: [`Error::Resources`]. A store that does not open is
    /// set aside and built again from `cubes.sql`; files that cannot be read then leave their cubes out until `REFRESH CUBE`.
    pub async fn open(location: CatalogLocation, objects: Objects) -> Result<Catalog> {
        match location {
            CatalogLocation::Memory => Ok(Catalog::with_store(Arc::new(MemoryStore::default()), None, objects)),
            CatalogLocation::Folder(folder) => {
                let catalog = recover::open(folder.clone(), objects).await?;
                *catalog.views.write() = views::read(&folder)?;
                Ok(catalog)
            }
        }
    }

    fn with_store(store: Arc<dyn CatalogStore>, folder: Option<PathBuf>, objects: Objects) -> Catalog {
        let one_shard = quick_cache::OptionsBuilder::new()
            .estimated_items_capacity(1024)
            .weight_capacity(MANIFEST_CACHE_BYTES)
            .shards(1)
            .build()
            .unwrap_or_else(|_| unreachable!("all options are given"));
        Catalog {
            objects,
            statistics: StatisticsStore::new(store.clone()),
            store,
            folder,
            state: RwLock::default(),
            views: RwLock::default(),
            counters: Mutex::new(Counters::begin()),
            granules: Cache::new(GRANULES_CACHED),
            pages: Cache::with_options(one_shard, Weight, Default::default(), Default::default()),
        }
    }

    /// All cubes, by name.
    pub fn cubes(&self) -> Vec<Arc<Cube>> {
        self.state.read().cubes.values().cloned().collect()
    }

    /// A cube by name.
    pub fn cube(&self, name: &str) -> Option<Arc<Cube>> {
        self.state.read().cubes.get(name).cloned()
    }

    /// Cubes that are defined and could not be built when the catalog was built again, with the reason. `REFRESH CUBE` tries
    /// again.
    pub fn failures(&self) -> Vec<(String, String)> {
        let state = self.state.read();
        state.definitions.iter().filter_map(|(name, record)| Some((name.clone(), record.failure.clone()?))).collect()
    }

    /// Indexes the sources and commits the cube in one atomic step.
    ///
    /// Files of no known format in a folder or pattern are left out and reported; a file of a known format that cannot be read
    /// fails the whole, as does a file named by itself.
    pub async fn create_cube(&self, definition: CubeDefinition, mode: CreateMode, progress: &dyn Progress) -> Result<CreateReport> {
        let before = self.state.read().definitions.get(&definition.name).cloned();
        match (&before, mode) {
            (Some(_), CreateMode::New) => {
                let name = &definition.name;
                return Err(Error::User(format!("cube {name} exists; CREATE OR REPLACE CUBE or DROP CUBE {name} makes room")));
            }
            (Some(before), CreateMode::IfAbsent) => {
                return Ok(CreateReport { cubes: before.cubes.clone(), granules: before.granules.len() as u64, ..CreateReport::default() });
            }
            _ => {}
        }
        self.check_name(&definition.name)?;
        let (change, report) = Change::create(self, definition, before, progress).await?;
        change.commit(self)?;
        Ok(report)
    }

    /// Names that no cube of another definition has.
    fn check_name(&self, name: &str) -> Result<()> {
        if name.trim().is_empty() {
            return Err(Error::User("a cube needs a name".into()));
        }
        if self.views.read().contains_key(name) {
            return Err(Error::User(format!("there is a view of the name {name}; DROP VIEW {name} makes room")));
        }
        match self.state.read().cubes.get(name).filter(|cube| cube.definition.name != name) {
            Some(cube) => Err(Error::User(format!("{name} is a table of cube {}", cube.definition.name))),
            None => Ok(()),
        }
    }

    /// Adds new files, reads changed ones again, forgets removed ones. A further table's name refreshes the cube that it belongs to.
    pub async fn refresh_cube(&self, name: &str, progress: &dyn Progress) -> Result<RefreshReport> {
        refresh::refresh(self, name, progress).await
    }

    /// Forgets a cube; false when there was none. A further table cannot be dropped by itself.
    pub fn drop_cube(&self, name: &str) -> Result<bool> {
        let Some(owner) = self.state.read().owner(name).cloned() else { return Ok(false) };
        if owner.definition.name != name {
            return Err(Error::User(format!("{name} is a table of cube {0}; DROP CUBE {0} drops both", owner.definition.name)));
        }
        Change::drop(owner).commit(self)?;
        Ok(true)
    }

    fn not_found(&self, name: &str) -> Error {
        let state = self.state.read();
        let nearest = state.cubes.keys().map(|known| (strsim::jaro_winkler(known, name), known)).max_by(|a, b| a.0.total_cmp(&b.0));
        let hint = nearest.filter(|(alike, _)| *alike > 0.8).map_or(String::new(), |(_, known)| format!("; did you mean {known}?"));
        Error::NotFound(format!("there is no cube {name}{hint}"))
    }

    /// The granules of a cube, in the order of its sources.
    pub fn granules(&self, cube: &str) -> Result<Vec<Arc<Granule>>> {
        let owner = self.state.read().owner(cube).cloned();
        let owner = owner.ok_or_else(|| self.not_found(cube))?;
        owner.granules.iter().map(|&id| self.granule(id)).collect()
    }

    /// A granule by number.
    pub fn granule(&self, id: GranuleId) -> Result<Arc<Granule>> {
        self.granules.get_or_insert_with(&id, || self.load_granule(id).map(Arc::new))
    }

    fn load_granule(&self, id: GranuleId) -> Result<Granule> {
        let record = self.store.get(&records::granule_key(id))?.ok_or_else(|| Error::NotFound(format!("there is no granule {id}")))?;
        records::decode(&record, &format!("granule {id}"))
    }

    /// The page of an array's chunk references that has those of `chunk` (C-order number), loaded on demand and kept within bounds.
    /// Chunks past the last page are missing.
    pub fn chunk_page(&self, granule: GranuleId, array: u32, chunk: u64) -> Result<ChunkPage> {
        let (per_page, number) = (pages::PAGE_CHUNKS as u64, chunk / pages::PAGE_CHUNKS as u64);
        let mut manifest = self.page(granule, array, u32::try_from(number).unwrap_or(u32::MAX))?;
        if manifest.chunks.is_empty() && manifest.keys.is_none() && number > 0 {
            // Past the last page; but a rule of keys has one page for all chunks.
            let first = self.page(granule, array, 0)?;
            manifest = if first.keys.is_some() { first } else { manifest };
        }
        let chunks = if manifest.keys.is_some() { 0..u64::MAX } else { number * per_page..(number + 1).saturating_mul(per_page) };
        Ok(ChunkPage { chunks, manifest })
    }

    fn page(&self, granule: GranuleId, array: u32, number: u32) -> Result<Arc<ChunkManifest>> {
        self.pages.get_or_insert_with(&(granule, array, number), || {
            let packed = self.store.get(&records::page_key(granule, array, number))?;
            if packed.is_none() {
                self.check_array(granule, array)?;
            }
            pages::unpack(packed.as_deref()).map(Arc::new)
        })
    }

    /// What is known of the values in chunks.
    pub(crate) fn statistics(&self) -> &StatisticsStore {
        &self.statistics
    }

    /// All chunk references of an array.
    pub fn manifest(&self, granule: GranuleId, array: u32) -> Result<Arc<ChunkManifest>> {
        let mut packed = Vec::new();
        self.store.scan(&records::manifest_prefix(granule, array), &mut |_, page| {
            packed.push(page.to_vec());
            Ok(())
        })?;
        if packed.is_empty() {
            self.check_array(granule, array)?;
        }
        pages::unpack(packed.iter().map(Vec::as_slice)).map(Arc::new)
    }

    /// An array without chunks has no pages; an array that is not there is an error.
    fn check_array(&self, granule: GranuleId, array: u32) -> Result<()> {
        let known = self.granule(granule)?.arrays.len();
        if array as usize >= known {
            return Err(Error::NotFound(format!("granule {granule} has {known} arrays, no number {array}")));
        }
        Ok(())
    }

    /// Makes cubes of files and folders as `graticule serve PATH` does: a file becomes a cube named after its stem, a folder
    /// whose files form one grid one cube named after the folder, else each of its files its own. Cubes that were served before are
    /// refreshed. What was left out is reported with the reason.
    pub async fn serve_paths(&self, paths: &[String], progress: &dyn Progress) -> Result<CreateReport> {
        serve::serve(self, paths, progress).await
    }
}
