//! From sources to indexed files: listing them, and reading the headers of several at once.

use std::collections::HashSet;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};

use super::filename::Patterns;
use super::source::{Sharing, Source};
use super::{Catalog, CubeDefinition, Granule, GranuleId, Progress, pages};
use crate::array::Attributes;
use crate::convention::{self, Variable};
use crate::format::{self, Refused};
use crate::object::{Listed, ObjectVersion, Objects};
use crate::{Error, Result};

/// The files that a definition names.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Listing {
    /// Locations in the order of the sources, each once.
    pub files: Vec<String>,
    /// Their versions, where listing told them.
    pub versions: Vec<Option<ObjectVersion>>,
    /// Files whose names do not match the definition's patterns.
    pub skipped: Vec<Refused>,
    /// Files that are named one by one, not through a folder or pattern: these must be readable.
    pub named: HashSet<String>,
}

/// Lists the files of a definition. A source without files is an error, unless `refreshing`.
pub async fn list(objects: &Objects, definition: &CubeDefinition, patterns: &Patterns, refreshing: bool) -> Result<Listing> {
    if definition.sources.is_empty() {
        return Err(Error::User(format!("cube {} names no files", definition.name)));
    }
    let mut listing = Listing::default();
    let mut seen = HashSet::new();
    for source in &definition.sources {
        let files = match objects.list_versions(source).await {
            Ok(files) => files,
            Err(Error::NotFound(_)) if refreshing => continue,
            Err(error) => return Err(error),
        };
        if files.is_empty() && !refreshing {
            return Err(Error::NotFound(format!("{source} names no file")));
        }
        let last = |path: &str| path.trim_end_matches('/').rsplit('/').next().unwrap_or("").to_owned();
        let named = matches!(files.as_slice(), [only] if last(&only.location) == last(source));
        for Listed { location: file, version } in files.into_iter().filter(|file| seen.insert(file.location.clone())) {
            match patterns.capture(&file) {
                Ok(_) => {
                    if named {
                        listing.named.insert(file.clone());
                    }
                    listing.files.push(file);
                    listing.versions.push(version);
                }
                Err(reason) => listing.skipped.push(Refused { path: file, reason }),
            }
        }
    }
    leave_sidecars_out(&mut listing);
    if listing.files.is_empty() {
        let why = listing.skipped.first().map_or(String::new(), |s| format!(" ({}: {})", s.path, s.reason));
        return Err(Error::NotFound(format!(
            "cube {}: {} names no file that can be used{why}",
            definition.name,
            definition.sources.join(", ")
        )));
    }
    Ok(listing)
}

/// Objects that belong to a file beside them (GDAL's masks, overviews and metadata of `scene.tif`) are no granules of their own.
fn leave_sidecars_out(listing: &mut Listing) {
    const SUFFIXES: [&str; 3] = [".msk", ".ovr", ".aux.xml"];
    let all: HashSet<String> = listing.files.iter().cloned().collect();
    let beside = |file: &str| -> Option<String> {
        let base = SUFFIXES.iter().find_map(|suffix| file.strip_suffix(suffix))?;
        all.get(base).cloned()
    };
    let files = std::mem::take(&mut listing.files).into_iter().zip(std::mem::take(&mut listing.versions));
    let (kept, left): (Vec<_>, Vec<_>) = files.partition(|(file, _)| beside(file).is_none());
    (listing.files, listing.versions) = kept.into_iter().unzip();
    let reason = |file: &str| format!("belongs to {}", beside(file).unwrap_or_default());
    listing.skipped.extend(left.into_iter().map(|(path, _)| Refused { reason: reason(&path), path }));
}

/// Files as indexed: granules of the catalog to be.
#[derive(Debug, Default)]
pub struct Files {
    /// The granules, in the order of the files.
    pub sources: Vec<Source>,
    /// Their packed chunk references.
    pub pages: NewPages,
    /// Files that are not used.
    pub skipped: Vec<Refused>,
    /// What conventions had to guess.
    pub warnings: Vec<String>,
}

/// Packed chunk references of new granules: the pages of each array.
pub type NewPages = Vec<(GranuleId, Vec<Vec<Vec<u8>>>)>;

/// One file as indexed, not yet a granule of the catalog.
#[derive(Debug, Clone, PartialEq)]
struct IndexedFile {
    granule: Granule,
    variables: Vec<Variable>,
    stored_bytes: Vec<u64>,
    /// Packed chunk references: the pages of each array.
    pages: Vec<Vec<Vec<u8>>>,
    warnings: Vec<String>,
}

impl Files {
    /// Takes a file in as the granule of this number. What it has in common with others is kept once, so that of many files at
    /// a time only what tells them apart is held.
    fn add(&mut self, id: GranuleId, file: IndexedFile, sharing: &mut Sharing) {
        let location = &file.granule.location;
        self.warnings.extend(file.warnings.into_iter().map(|w| format!("{location}: {w}")));
        let granule = Granule { id, ..file.granule };
        self.sources.push(Source::new(granule, file.variables, &file.stored_bytes, sharing));
        self.pages.push((id, file.pages));
    }
}

/// What became of one file.
enum Outcome {
    Indexed(Box<IndexedFile>),
    Skipped(Refused),
}

/// Indexes files, several at once; the result is in the order of `files`. Files of no known format and files without variables
/// are skipped, unless they are `named`; any other failure ends the work.
pub async fn index(catalog: &Catalog, files: &[String], named: &HashSet<String>, progress: &dyn Progress) -> Result<Files> {
    let objects = &catalog.objects;
    let first = catalog.take_granule_ids(files.len() as u64);
    let at_once = 2 * std::thread::available_parallelism().map_or(2, usize::from);
    progress.start("indexing", files.len() as u64);
    let mut outcomes = futures::stream::iter(files.iter().cloned().map(|file: String| {
        let (objects, must) = (objects.clone(), named.contains(&file));
        let work = tokio::spawn(async move { index_file(&objects, &file, must).await });
        async move { work.await.unwrap_or_else(|e| Err(Error::Internal(format!("indexing stopped: {e}")))) }
    }))
    .buffered(at_once)
    .zip(futures::stream::iter(first..));
    let (mut indexed, mut sharing) = (Files::default(), Sharing::default());
    let mut failure = None;
    while let Some((outcome, id)) = outcomes.next().await {
        progress.advance(1);
        match outcome {
            Ok(Outcome::Indexed(file)) => indexed.add(id, *file, &mut sharing),
            Ok(Outcome::Skipped(refused)) => indexed.skipped.push(refused),
            Err(error) => {
                failure = Some(error);
                break;
            }
        }
    }
    progress.finish();
    failure.map_or(Ok(indexed), Err)
}

async fn index_file(objects: &Objects, location: &str, must: bool) -> Result<Outcome> {
    let object = objects.open(location).await?;
    let mut indexed = match format::index(&object).await {
        Ok(indexed) => indexed,
        Err(Error::Unsupported { feature, .. }) if !must && names_no_format(&feature) => {
            return Ok(Outcome::Skipped(Refused { path: location.to_owned(), reason: format!("unsupported {feature}") }));
        }
        Err(error) => return Err(error),
    };
    convention::join_characters(&mut indexed);
    convention::geokeys::add_coordinates(&mut indexed);
    let mut described = convention::describe(objects, &object, &indexed).await?;
    for variable in &described.variables {
        let ignored = convention::encoding_warnings(&indexed, variable.array);
        described.warnings.extend(ignored.into_iter().map(|w| format!("variable {}: {w}", variable.name)));
    }
    if described.variables.is_empty() {
        let reason = match indexed.refused.first() {
            Some(refused) => format!("no variable in it can be read ({}: {})", refused.path, refused.reason),
            None => "it holds no variables".to_owned(),
        };
        return if must { Err(Error::data(location, reason)) } else { Ok(Outcome::Skipped(Refused { path: location.to_owned(), reason })) };
    }
    let file = IndexedFile::new(location, object.version().clone(), indexed, described)?;
    Ok(Outcome::Indexed(Box::new(file)))
}

impl IndexedFile {
    /// Packs what a format and the conventions found in a file.
    fn new(
        location: &str,
        version: ObjectVersion,
        indexed: format::IndexedGranule,
        described: convention::Described,
    ) -> Result<IndexedFile> {
        // Of chunks that are objects of their own, which are not looked at, the bytes decoded.
        let decoded = |m: &crate::array::ArrayMetadata| m.shape.iter().fold(m.data_type.size() as u64, |n, &side| n.saturating_mul(side));
        let stored = |a: &format::IndexedArray| if a.manifest.keys.is_some() { decoded(&a.metadata) } else { a.manifest.stored_bytes() };
        let stored_bytes = indexed.arrays.iter().map(stored).collect();
        let pages = indexed.arrays.iter().map(|a| pages::pack(&a.manifest)).collect::<Result<_>>()?;
        Ok(IndexedFile {
            granule: Granule {
                id: 0,
                location: location.to_owned(),
                version,
                format: indexed.format,
                arrays: indexed.arrays.into_iter().map(|a| Arc::new(a.metadata)).collect(),
                refused: indexed.refused,
                objects: indexed.objects,
                attributes: Arc::new(if described.attributes == Attributes::default() { indexed.attributes } else { described.attributes }),
            },
            variables: described.variables,
            stored_bytes,
            pages,
            warnings: described.warnings,
        })
    }
}

/// True where `format::index` found no format at all, as opposed to a feature that one of them lacks.
fn names_no_format(feature: &str) -> bool {
    feature.starts_with("format:")
}

impl Listing {
    /// The version of each file, several asked for at a time where listing did not tell them; `None` for those that are gone.
    pub async fn versions(&self, objects: &Objects) -> Result<Vec<Option<ObjectVersion>>> {
        futures::stream::iter(self.files.iter().cloned().zip(self.versions.iter().cloned()).map(|(file, known): (String, _)| async move {
            match known {
                Some(version) => Ok(Some(version)),
                None => match objects.version(&file).await {
                    Ok(version) => Ok(Some(version)),
                    Err(Error::NotFound(_)) => Ok(None),
                    Err(error) => Err(error),
                },
            }
        }))
        .buffered(16)
        .try_collect()
        .await
    }
}
