//! `REFRESH CUBE`: what changed among the files of a cube, reading only what is new or changed.

use std::collections::HashMap;
use std::sync::Arc;

use futures::StreamExt;

use super::change::Change;
use super::filename::Patterns;
use super::records::{self, DefinitionRecord, SourcesRecord};
use super::source::{self, Sharing, Source};
use super::{Catalog, Progress, RefreshReport, index};
use crate::{Error, Result};

/// Adds new files, reads changed ones again (by size, modification time, ETag), forgets removed ones.
pub async fn refresh(catalog: &Catalog, name: &str, progress: &dyn Progress) -> Result<RefreshReport> {
    let before = catalog.state.read().owner(name).cloned().ok_or_else(|| catalog.not_found(name))?;
    if before.failure.is_some() {
        let (change, report) = Change::create(catalog, before.definition.as_ref().clone(), Some(before.clone()), progress).await?;
        change.commit(catalog)?;
        return Ok(RefreshReport { added: report.granules, ..RefreshReport::default() });
    }
    let patterns = Patterns::new(&before.definition)?;
    let listing = index::list(&catalog.objects, &before.definition, &patterns, true).await?;
    // Where the records cannot be read, every file counts as changed.
    let known = sources(catalog, &before).unwrap_or_default();
    let mut known: HashMap<String, Source> = known.into_iter().map(|s| (s.granule.location.clone(), s)).collect();
    let versions = listing.versions(&catalog.objects).await?;
    let mut report = RefreshReport::default();
    let (mut kept, mut wanted, mut present) = (Vec::new(), Vec::new(), Vec::new());
    for (file, version) in listing.files.iter().zip(versions) {
        // A file that went between listing and looking is gone.
        let Some(version) = version else { continue };
        present.push(file.clone());
        match known.remove(file) {
            Some(source) if source.granule.version == version && unchanged(catalog, &source).await => kept.push(source),
            Some(_) => {
                report.changed += 1;
                wanted.push(file.clone());
            }
            None => wanted.push(file.clone()),
        }
    }
    report.unchanged = kept.len() as u64;
    let files = index::index(catalog, &wanted, &listing.named, progress).await?;
    for left_out in &files.skipped {
        tracing::debug!("{}: left out of cube {name}: {}", left_out.path, left_out.reason);
    }
    // A changed file that is not read any more is removed.
    let indexed = files.sources.len() as u64;
    let lost = files.skipped.iter().filter(|s| before_has(catalog, &before, &s.path)).count() as u64;
    report.changed -= lost.min(report.changed);
    report.added = indexed - report.changed.min(indexed);
    report.removed = known.len() as u64 + lost;
    if report == (RefreshReport { unchanged: report.unchanged, ..RefreshReport::default() }) {
        return Ok(report);
    }
    if kept.is_empty() && files.sources.is_empty() {
        return Err(Error::NotFound(format!("cube {name}: none of its files is left; DROP CUBE {name} forgets it")));
    }
    let (change, warnings) = Change::replace(before, &patterns, &present, kept, files)?;
    for warning in warnings {
        tracing::info!("cube {name}: {warning}");
    }
    change.commit(catalog)?;
    Ok(report)
}

/// True where the objects beside a granule's own are as they were. One that is gone or may not be read any more has changed;
/// indexing it again tells.
async fn unchanged(catalog: &Catalog, source: &Source) -> bool {
    let same = futures::stream::iter(source.granule.objects.clone()).map(|o| {
        let objects = catalog.objects.clone();
        async move { objects.version(&o.location).await.is_ok_and(|found| found == o.version) }
    });
    same.buffer_unordered(16).all(|same| async move { same }).await
}

fn before_has(catalog: &Catalog, before: &DefinitionRecord, location: &str) -> bool {
    before.granules.iter().any(|&id| catalog.granule(id).is_ok_and(|g| g.location == location))
}

/// What the granules of a definition hold, as indexed before.
fn sources(catalog: &Catalog, definition: &DefinitionRecord) -> Result<Vec<Source>> {
    let name = &definition.definition.name;
    let damaged = || Error::data("catalog", format!("the record of the granules of {name} is damaged"));
    let record = catalog.store.get(format!("s/{name}").as_bytes())?.ok_or_else(damaged)?;
    let record: SourcesRecord = records::decode(&record, name)?;
    let variables = source::from_record(record).filter(|v| v.len() == definition.granules.len()).ok_or_else(damaged)?;
    // Not by way of the cache of granules, which all of a cube's may not fit in.
    let mut sharing = Sharing::default();
    let granules = definition.granules.iter().map(|&id| catalog.load_granule(id).map(|granule| Arc::new(sharing.granule(granule))));
    granules.zip(variables).map(|(granule, variables)| Ok(Source { granule: granule?, variables })).collect()
}
