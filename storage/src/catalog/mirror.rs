//! A mirror: a catalog in memory that follows another one, definition by definition, for nodes that keep nothing of their own.
//! Records travel as they lie in the store; granules have numbers that are never used twice, so what is there already stays.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::records::{self, CubeRecord, DefinitionRecord};
use super::{Batch, Catalog, GranuleId, MemoryStore, State};
use crate::object::Objects;
use crate::{Error, Result};

/// What a catalog holds, in short: enough to tell what a mirror of it lacks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Outline {
    /// The commit that each definition was changed by last.
    pub definitions: BTreeMap<String, u64>,
    /// The statements of views.
    pub views: BTreeMap<String, String>,
}

impl Outline {
    /// A number that another outline has only by chance.
    pub fn fingerprint(&self) -> u64 {
        // Keys are fixed: the same in every process of one build.
        let mut hasher = std::hash::DefaultHasher::new();
        self.hash(&mut hasher);
        hasher.finish()
    }
}

/// A key of the store and its value.
pub type Record = (Vec<u8>, Vec<u8>);

impl Catalog {
    /// What this catalog holds now.
    pub fn outline(&self) -> Outline {
        let definitions = self.state.read().definitions.iter().map(|(name, record)| (name.clone(), record.generation)).collect();
        Outline { definitions, views: self.views() }
    }

    /// The records of a definition that a mirror needs; none when there is no such definition. Statistics stay here.
    pub fn records_of(&self, definition: &str) -> Result<Vec<Record>> {
        let Some(record) = self.state.read().definitions.get(definition).cloned() else { return Ok(vec![]) };
        let mut keys = vec![format!("d/{definition}").into_bytes()];
        keys.extend(record.cubes.iter().map(|cube| format!("c/{cube}").into_bytes()));
        keys.extend(record.granules.iter().map(|&id| records::granule_key(id)));
        let mut found = Vec::with_capacity(keys.len());
        for key in keys {
            if let Some(value) = self.store.get(&key)? {
                found.push((key, value));
            }
        }
        for &id in &record.granules {
            self.store.scan(&records::granule_pages_prefix(id), &mut |key, value| {
                found.push((key.to_vec(), value.to_vec()));
                Ok(())
            })?;
        }
        Ok(found)
    }

    /// A catalog in memory that holds nothing yet.
    pub fn mirror(objects: Objects) -> Catalog {
        Catalog::with_store(Arc::new(MemoryStore::default()), None, objects)
    }

    /// The definitions that differ from those of `outline` and are in it.
    pub fn lacking(&self, outline: &Outline) -> Vec<String> {
        let mine = self.outline().definitions;
        outline.definitions.iter().filter(|(name, generation)| mine.get(*name) != Some(generation)).map(|(name, _)| name.clone()).collect()
    }

    /// Becomes what `outline` says: `fetched` are the records of every definition that it lacked. Records that contradict
    /// themselves or the outline are an error, and nothing changes then.
    pub fn follow(&self, outline: &Outline, fetched: Vec<Vec<Record>>) -> Result<()> {
        let mut batch = Batch::default();
        let mut changed = State::default();
        for (key, value) in fetched.into_iter().flatten() {
            let name = || String::from_utf8_lossy(key.get(2..).unwrap_or_default()).into_owned();
            match key.get(..2) {
                Some(b"d/") => {
                    let record: DefinitionRecord = records::decode(&value, &name())?;
                    changed.definitions.insert(name(), Arc::new(record));
                }
                Some(b"c/") => {
                    let record: CubeRecord = records::decode(&value, &name())?;
                    let cube = record
                        .into_cube()
                        .ok_or_else(|| Error::data("catalog", format!("the record of cube {} contradicts itself", name())))?;
                    changed.cubes.insert(name(), Arc::new(cube));
                }
                _ => batch.put(key, value),
            }
        }
        let mut state = self.state.write();
        let keeps = |name: &String| !changed.definitions.contains_key(name) && outline.definitions.contains_key(name);
        let mut next = State::default();
        let mut gone: HashSet<GranuleId> = HashSet::new();
        for (name, record) in &state.definitions {
            if keeps(name) {
                next.definitions.insert(name.clone(), record.clone());
                next.cubes.extend(record.cubes.iter().filter_map(|cube| Some((cube.clone(), state.cubes.get(cube)?.clone()))));
            } else {
                gone.extend(&record.granules);
            }
        }
        next.definitions.extend(changed.definitions);
        next.cubes.extend(changed.cubes);
        let generations: BTreeMap<String, u64> = next.definitions.iter().map(|(name, r)| (name.clone(), r.generation)).collect();
        if generations != outline.definitions {
            return Err(Error::User("the catalog was changed by another statement in the meantime".into()));
        }
        let kept: BTreeSet<GranuleId> = next.definitions.values().flat_map(|r| r.granules.iter().copied()).collect();
        for id in gone.into_iter().filter(|id| !kept.contains(id)) {
            batch.delete(records::granule_key(id));
            self.store.scan(&records::granule_pages_prefix(id), &mut |key, _| {
                batch.delete(key);
                Ok(())
            })?;
        }
        self.store.commit(batch)?;
        *state = next;
        *self.views.write() = outline.views.clone();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{CatalogLocation, CreateMode, CubeDefinition, NoProgress};

    async fn with_cube(catalog: &Catalog, name: &str, pattern: &str) {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/corpus/cubes").canonicalize().unwrap();
        let sources = vec![folder.join(pattern).display().to_string()];
        let definition = CubeDefinition { name: name.into(), sources, statement: name.into(), ..CubeDefinition::default() };
        catalog.create_cube(definition, CreateMode::OrReplace, &NoProgress).await.unwrap();
    }

    fn catch_up(mirror: &Catalog, of: &Catalog) {
        let outline = of.outline();
        let fetched = mirror.lacking(&outline).iter().map(|name| of.records_of(name).unwrap()).collect();
        mirror.follow(&outline, fetched).unwrap();
    }

    #[tokio::test]
    async fn a_mirror_becomes_what_the_catalog_is() {
        let catalog = Catalog::open(CatalogLocation::Memory, Objects::anywhere()).await.unwrap();
        let mirror = Catalog::mirror(Objects::anywhere());
        with_cube(&catalog, "weather", "weather_*.nc").await;
        catalog.put_view("v", "CREATE VIEW v AS SELECT 1").unwrap();
        catch_up(&mirror, &catalog);
        assert_eq!((mirror.cube("weather"), mirror.views()), (catalog.cube("weather"), catalog.views()));
        assert_eq!(mirror.outline().fingerprint(), catalog.outline().fingerprint());
        let granules = catalog.granules("weather").unwrap();
        assert!(!granules.is_empty());
        for granule in &granules {
            assert_eq!(mirror.granule(granule.id).unwrap(), *granule);
            assert_eq!(mirror.manifest(granule.id, 0).unwrap(), catalog.manifest(granule.id, 0).unwrap());
        }
        // Another cube is added, the first replaced: only what differs is asked for, and what is gone is forgotten.
        with_cube(&catalog, "more", "weather_*.nc").await;
        assert_eq!(mirror.lacking(&catalog.outline()), ["more"]);
        with_cube(&catalog, "weather", "weather_*.nc").await;
        catch_up(&mirror, &catalog);
        assert_eq!(mirror.cube("weather"), catalog.cube("weather"));
        assert!(mirror.store.get(&records::granule_key(granules[0].id)).unwrap().is_none());
        // A half of the records, or another outline, changes nothing.
        catalog.drop_cube("more").unwrap();
        let outline = catalog.outline();
        let lies = Outline { definitions: [("nothing".to_owned(), 1)].into(), ..Outline::default() };
        assert!(mirror.follow(&lies, vec![]).is_err());
        assert!(mirror.follow(&outline, vec![vec![(b"c/weather".to_vec(), b"garbage".to_vec())]]).is_err());
        assert!(mirror.cube("more").is_some());
        catch_up(&mirror, &catalog);
        assert!(mirror.cube("more").is_none());
    }
}
