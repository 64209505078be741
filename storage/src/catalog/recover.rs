//! Opening the catalog of a data directory: `catalog/` is the store, `cubes.sql` the statements. A store that does not open, or
//! that has lost commits which `cubes.sql` knows of, is set aside and built again.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::change::Change;
use super::definitions::{self, Definitions};
use super::records::{self, Counters, CubeRecord, DefinitionRecord};
use super::{Catalog, CatalogStore, CubeDefinition, DiskStore, NoProgress, State};
use crate::object::Objects;
use crate::{Error, Result};

const STORE: &str = "catalog";

/// Opens the catalog in `folder`, which is made where it is not there.
pub async fn open(folder: PathBuf, objects: Objects) -> Result<Catalog> {
    std::fs::create_dir_all(&folder).map_err(|e| Error::Io { object: folder.display().to_string(), reason: e.to_string() })?;
    let path = folder.join(STORE);
    let store = match DiskStore::open(&path) {
        Ok(store) => Some(store),
        Err(error @ Error::Data { .. }) => {
            tracing::warn!("{error}");
            None
        }
        Err(error) => return Err(error),
    };
    // Read only once the folder is ours. A store that is whole does without.
    let written = definitions::read(&folder).map(Option::unwrap_or_default);
    if let Some(store) = store {
        let generation = written.as_ref().map_or(0, |w| w.generation);
        match load(&store, generation) {
            Ok(Loaded::Whole(counters, state)) => {
                let catalog = Catalog::with_store(Arc::new(store), Some(folder), objects);
                *catalog.counters.lock() = counters;
                *catalog.state.write() = state;
                if counters.generation != generation {
                    catalog.write_definitions(counters.generation)?;
                }
                return Ok(catalog);
            }
            Ok(Loaded::Empty) => return rebuild(store, folder, objects, written?).await,
            Err(error) => tracing::warn!("{error}"),
        }
    }
    let written = written?;
    let aside = set_aside(&path)?;
    tracing::warn!("the catalog's store {} does not open and was set aside as {}", path.display(), aside.display());
    rebuild(DiskStore::open(&path)?, folder, objects, written).await
}

/// What a store that opened holds.
enum Loaded {
    /// Nothing at all.
    Empty,
    Whole(Counters, State),
}

/// Reads all but granules and manifests. `written` is the change after which `cubes.sql` was written.
fn load(store: &dyn CatalogStore, written: u64) -> Result<Loaded> {
    let Some(counters) = store.get(b"n")? else {
        // Records without counters are no store of ours.
        let mut any = false;
        store.scan(b"", &mut |_, _| {
            any = true;
            Ok(())
        })?;
        return if any { Err(Error::data("catalog", "the store has records but no counters")) } else { Ok(Loaded::Empty) };
    };
    let counters: Counters = records::decode(&counters, "the counters")?;
    if counters.generation < written {
        let what = format!("the store is at change {}, {} at change {}", counters.generation, definitions::FILE, written);
        return Err(Error::data("catalog", what));
    }
    let mut state = State::default();
    store.scan(b"d/", &mut |key, value| {
        let name = String::from_utf8_lossy(key.get(2..).unwrap_or_default()).into_owned();
        let record: DefinitionRecord = records::decode(value, &name)?;
        state.definitions.insert(name, Arc::new(record));
        Ok(())
    })?;
    store.scan(b"c/", &mut |key, value| {
        let name = String::from_utf8_lossy(key.get(2..).unwrap_or_default()).into_owned();
        let record: CubeRecord = records::decode(value, &name)?;
        let cube = record.into_cube().ok_or_else(|| Error::data("catalog", format!("the record of cube {name} contradicts itself")))?;
        state.cubes.insert(name, Arc::new(cube));
        Ok(())
    })?;
    let lost = state.definitions.values().flat_map(|d| &d.cubes).find(|cube| !state.cubes.contains_key(*cube));
    match lost {
        Some(cube) => Err(Error::data("catalog", format!("the record of cube {cube} is lost"))),
        None => Ok(Loaded::Whole(counters, state)),
    }
}

/// Renames a store's folder to `<folder>.broken-<seconds since 1970>`.
fn set_aside(path: &Path) -> Result<PathBuf> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let name = |n: u64| PathBuf::from(format!("{}.broken-{}", path.display(), now + n));
    let aside = (0..).map(name).find(|aside| !aside.exists()).unwrap_or_else(|| name(0));
    std::fs::rename(path, &aside).map_err(|e| Error::Io { object: path.display().to_string(), reason: e.to_string() })?;
    Ok(aside)
}

/// Fills an empty store from the definitions. All are noted first, so that none is lost when this is interrupted.
async fn rebuild(store: DiskStore, folder: PathBuf, objects: Objects, written: Definitions) -> Result<Catalog> {
    let catalog = Catalog::with_store(Arc::new(store), Some(folder), objects);
    // Changes go on from the last one that was written, so that an interrupted rebuild does not look like lost commits.
    {
        let mut counters = catalog.counters.lock();
        counters.generation = counters.generation.max(written.generation);
    }
    let mut definitions: Vec<CubeDefinition> = Vec::new();
    for definition in written.definitions {
        // The last statement of a name counts.
        definitions.retain(|d| d.name != definition.name);
        definitions.push(definition);
    }
    if definitions.is_empty() {
        return Ok(catalog);
    }
    Change::note_all(&catalog, &definitions)?;
    for (number, definition) in definitions.iter().enumerate() {
        tracing::info!("building cube {} again ({} of {})", definition.name, number + 1, definitions.len());
        let before = catalog.state.read().definitions.get(&definition.name).cloned();
        let made = Change::create(&catalog, definition.clone(), before.clone(), &NoProgress).await;
        let done = made.and_then(|(change, _)| change.commit(&catalog));
        if let Err(error) = done {
            tracing::warn!("cube {} could not be built again: {error}", definition.name);
            Change::note(definition.clone(), before, error.to_string()).commit(&catalog)?;
        }
    }
    Ok(catalog)
}
