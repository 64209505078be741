//! One change of the catalog: what it replaces, what it writes, and the atomic step in which it happens.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use parking_lot::MutexGuard;

use super::build::{self, Built};
use super::filename::Patterns;
use super::index::{self, Files, NewPages};
use super::records::{self, Counters, CubeRecord, DefinitionRecord};
use super::source::{self, Source};
use super::{Batch, Catalog, CreateReport, Cube, CubeDefinition, GranuleId, Progress, definitions};
use crate::{Error, Result};

/// Warnings that a report carries; the rest is counted.
const WARNINGS: usize = 40;

/// A change, ready to be committed.
pub struct Change {
    name: String,
    /// What the catalog held when the change began; another change in between makes this one void.
    before: Option<Arc<DefinitionRecord>>,
    /// What it holds afterwards; `None` drops.
    after: Option<After>,
}

struct After {
    definition: Arc<CubeDefinition>,
    cubes: Vec<Cube>,
    sources: Vec<Source>,
    pages: NewPages,
    failure: Option<String>,
}

impl Change {
    /// Indexes the files of a definition and builds its cubes.
    pub async fn create(
        catalog: &Catalog,
        definition: CubeDefinition,
        before: Option<Arc<DefinitionRecord>>,
        progress: &dyn Progress,
    ) -> Result<(Change, CreateReport)> {
        let patterns = Patterns::new(&definition)?;
        let listing = index::list(&catalog.objects, &definition, &patterns, false).await?;
        let mut files = index::index(catalog, &listing.files, &listing.named, progress).await?;
        let skipped = [listing.skipped, std::mem::take(&mut files.skipped)].concat();
        if files.sources.is_empty() {
            let why = skipped.first().map_or(String::new(), |s| format!(": {}: {}", s.path, s.reason));
            return Err(Error::User(format!("cube {}: none of {} files can be used{why}", definition.name, skipped.len())));
        }
        let (definition, name) = (Arc::new(definition.clone()), definition.name);
        let mut change = Change { name, before, after: None };
        let mut report = CreateReport { granules: files.sources.len() as u64, skipped, ..CreateReport::default() };
        report.warnings = change.put_together(definition, &patterns, &listing.files, Vec::new(), files)?;
        report.cubes = change.after.iter().flat_map(|a| a.cubes.iter().map(|c| c.name.clone())).collect();
        Ok((change, report))
    }

    /// A change that replaces the granules of a definition: `kept` stay, `files` are new, `order` has all
    /// their locations in the order of the sources. Returns warnings beside it.
    pub fn replace(
        before: Arc<DefinitionRecord>,
        patterns: &Patterns,
        order: &[String],
        kept: Vec<Source>,
        files: Files,
    ) -> Result<(Change, Vec<String>)> {
        let (definition, name) = (before.definition.clone(), before.definition.name.clone());
        let mut change = Change { name, before: Some(before), after: None };
        let warnings = change.put_together(definition, patterns, order, kept, files)?;
        Ok((change, warnings))
    }

    /// True where every granule has a part in the main cube.
    pub fn is_one_grid(&self) -> bool {
        let Some(after) = &self.after else { return false };
        let pieces = after.cubes.first().into_iter().flat_map(|c| &c.variables).flat_map(|v| &v.pieces);
        let used: HashSet<GranuleId> = pieces.map(|p| p.granule).collect();
        after.sources.iter().all(|s| used.contains(&s.granule.id))
    }

    /// A change that forgets a definition and all that it made.
    pub fn drop(before: Arc<DefinitionRecord>) -> Change {
        Change { name: before.definition.name.clone(), before: Some(before), after: None }
    }

    /// A change that notes a definition whose files could not be indexed, and why.
    pub fn note(definition: CubeDefinition, before: Option<Arc<DefinitionRecord>>, failure: String) -> Change {
        let after =
            After { definition: Arc::new(definition.clone()), cubes: vec![], sources: vec![], pages: vec![], failure: Some(failure) };
        Change { name: definition.name, before, after: Some(after) }
    }

    /// Notes definitions that are about to be built again, all in one step, in a catalog that holds nothing yet.
    pub fn note_all(catalog: &Catalog, definitions: &[CubeDefinition]) -> Result<()> {
        let mut counters = catalog.counters.lock();
        let written = Counters { generation: counters.generation + 1, ..*counters };
        let mut batch = Batch::default();
        let mut noted = BTreeMap::new();
        for definition in definitions {
            let record = DefinitionRecord {
                definition: Arc::new(definition.clone()),
                cubes: vec![],
                granules: vec![],
                generation: written.generation,
                failure: Some("its files are being indexed again".into()),
            };
            batch.put(format!("d/{}", definition.name), records::encode(&record)?);
            noted.insert(definition.name.clone(), Arc::new(record));
        }
        batch.put("n", records::encode(&written)?);
        catalog.store.commit(batch)?;
        *counters = written;
        catalog.state.write().definitions = noted;
        Ok(())
    }

    /// Brings old and new granules into the order of the sources, builds.
    fn put_together(
        &mut self,
        definition: Arc<CubeDefinition>,
        patterns: &Patterns,
        order: &[String],
        kept: Vec<Source>,
        files: Files,
    ) -> Result<Vec<String>> {
        let Files { sources: new, pages, warnings, .. } = files;
        let mut sources = kept;
        sources.extend(new);
        let place: HashMap<&str, usize> = order.iter().enumerate().map(|(i, file)| (file.as_str(), i)).collect();
        sources.sort_by_key(|s| place.get(s.granule.location.as_str()).copied());
        let Built { cubes, warnings: built } = build::build(&definition, patterns, &sources, 0)?;
        self.after = Some(After { definition, cubes, sources, pages, failure: None });
        Ok(few([built, warnings].concat()))
    }

    /// Writes the change in one atomic batch, then makes it visible.
    pub fn commit(self, catalog: &Catalog) -> Result<()> {
        let mut counters = catalog.counters.lock();
        let now = catalog.state.read().definitions.get(&self.name).cloned();
        if now.as_ref().map(|r| r.generation) != self.before.as_ref().map(|r| r.generation) {
            return Err(Error::User(format!("cube {} was changed by another statement in the meantime", self.name)));
        }
        let generation = counters.generation + 1;
        let mut batch = Batch::default();
        let kept: HashSet<GranuleId> = self.after.iter().flat_map(|a| a.sources.iter().map(|s| s.granule.id)).collect();
        let gone: Vec<GranuleId> = self.before.iter().flat_map(|r| r.granules.iter().copied()).filter(|id| !kept.contains(id)).collect();
        let _forgotten = self.forget(catalog, &gone, &mut batch)?;
        let mut record = None;
        let mut cubes = Vec::new();
        if let Some(after) = self.after {
            let written = Arc::new(DefinitionRecord {
                definition: after.definition,
                cubes: after.cubes.iter().map(|c| c.name.clone()).collect(),
                granules: after.sources.iter().map(|s| s.granule.id).collect(),
                generation,
                failure: after.failure,
            });
            batch.put(format!("d/{}", self.name), records::encode(written.as_ref())?);
            batch.put(format!("s/{}", self.name), records::encode(&source::to_record(&after.sources))?);
            let new: BTreeMap<GranuleId, _> = after.pages.into_iter().collect();
            for source in after.sources.iter().filter(|s| new.contains_key(&s.granule.id)) {
                batch.put(records::granule_key(source.granule.id), records::encode(source.granule.as_ref())?);
            }
            for (id, arrays) in new {
                for (array, pages) in arrays.into_iter().enumerate() {
                    for (page, bytes) in pages.into_iter().enumerate() {
                        batch.put(records::page_key(id, array as u32, page as u32), bytes);
                    }
                }
            }
            for cube in after.cubes {
                let cube = Arc::new(Cube { generation, ..cube });
                batch.put(format!("c/{}", cube.name), records::encode(&CubeRecord::new(&cube))?);
                cubes.push(cube);
            }
            record = Some(written);
        }
        // Names of other definitions may have been taken since this change began.
        if let Some(taken) =
            cubes.iter().find_map(|c| catalog.state.read().cubes.get(&c.name).filter(|o| o.definition.name != self.name).cloned())
        {
            return Err(Error::User(format!("the name {} is taken by cube {}", taken.name, taken.definition.name)));
        }
        let written = Counters { generation, ..*counters };
        batch.put("n", records::encode(&written)?);
        catalog.store.commit(batch)?;
        *counters = written;
        {
            let mut state = catalog.state.write();
            for name in self.before.iter().flat_map(|r| &r.cubes) {
                state.cubes.remove(name);
            }
            state.cubes.extend(cubes.into_iter().map(|c| (c.name.clone(), c)));
            match record {
                Some(record) => state.definitions.insert(self.name, record),
                None => state.definitions.remove(&self.name),
            };
        }
        // The store has the change; a text file that lags behind is brought up when the catalog is opened next.
        if let Err(error) = catalog.write_definitions(generation) {
            tracing::warn!("the list of cubes could not be written: {error}");
        }
        Ok(())
    }

    fn forget<'a>(&self, catalog: &'a Catalog, gone: &[GranuleId], batch: &mut Batch) -> Result<MutexGuard<'a, ()>> {
        let forgotten = catalog.statistics.forget(gone, batch)?;
        for &id in gone {
            batch.delete(records::granule_key(id));
            catalog.store.scan(&records::granule_pages_prefix(id), &mut |key, _| {
                batch.delete(key);
                Ok(())
            })?;
        }
        if let Some(before) = &self.before {
            batch.delete(format!("d/{}", self.name));
            batch.delete(format!("s/{}", self.name));
            for cube in &before.cubes {
                batch.delete(format!("c/{cube}"));
            }
        }
        Ok(forgotten)
    }
}

/// The first warnings, and how many more there are.
fn few(mut warnings: Vec<String>) -> Vec<String> {
    let more = warnings.len().saturating_sub(WARNINGS);
    if more > 0 {
        warnings.truncate(WARNINGS);
        warnings.push(format!("and {more} warnings more"));
    }
    warnings
}

impl Catalog {
    /// Numbers that no granule has had.
    pub(super) fn take_granule_ids(&self, count: u64) -> GranuleId {
        let mut counters = self.counters.lock();
        let first = counters.granule;
        counters.granule += count;
        first
    }

    /// Writes `cubes.sql`, where there is a data directory.
    pub(super) fn write_definitions(&self, generation: u64) -> Result<()> {
        let Some(folder) = &self.folder else { return Ok(()) };
        let state = self.state.read();
        definitions::write(folder, generation, state.definitions.values().map(|r| r.definition.as_ref()))
    }
}
