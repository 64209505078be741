//! From a URL or URL pattern to the remote objects that it names. Listings give versions beside names, so that nothing more is
//! asked about objects that did not change.

use std::collections::BTreeSet;

use futures::{StreamExt, TryStreamExt};
use glob::Pattern;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore};

use super::chunk_store::{ROOT_DOCUMENTS, stands_beside};
use super::cloud::Stores;
use super::list::MATCH;
use super::remote::{RemoteObject, failed, version_of};
use super::url::{RemoteUrl, has_wildcard};
use super::{Listed, ObjectVersion};
use crate::{Error, Result};

/// Folders listed at once.
const PARALLEL: usize = 8;
/// Objects that one pattern may name.
const OBJECTS: usize = 5_000_000;

/// The objects that a URL names: itself, those that match it, or those below it. Sorted.
pub(super) async fn list(url: &RemoteUrl, stores: &std::sync::Arc<Stores>) -> Result<Vec<Listed>> {
    if url.is_http() {
        return list_http(url, stores).await;
    }
    let client = stores.client(url)?;
    let pattern = url.location();
    if !url.folder && !url.has_wildcard() {
        match RemoteObject::new(stores, url)?.version().await {
            Ok(version) => return Ok(vec![Listed { location: pattern, version: Some(version) }]),
            Err(Error::NotFound(_)) => {}
            Err(error) => return Err(error),
        }
    }
    if !url.has_wildcard() && !url.key.is_empty() && RemoteObject::new(stores, url)?.chunk_store().await?.is_some() {
        return Ok(vec![Listed { location: pattern, version: None }]);
    }
    let walk = Walk { client: &*client, url };
    let (found, folders) = if url.has_wildcard() { walk.matching().await? } else { (walk.below(&url.path()?).await?, false) };
    let (found, chunk_stores) = fold_chunk_stores(found, &url.key);
    let mut found: Vec<Listed> = found
        .iter()
        // Stores mark folders by empty objects.
        .filter(|meta| meta.size > 0 || meta.location.as_ref() != url.key)
        .map(|meta| {
            let version: ObjectVersion = version_of(meta);
            Listed { location: url.with_key(meta.location.as_ref()).location(), version: Some(version) }
        })
        .collect();
    found.extend(chunk_stores.iter().map(|key| Listed { location: url.with_key(key).location(), version: None }));
    found.sort_by(|a, b| a.location.cmp(&b.location));
    found.dedup_by(|a, b| a.location == b.location);
    if !found.is_empty() {
        return Ok(found);
    }
    Err(Error::NotFound(match (url.has_wildcard(), folders) {
        (true, true) => format!("{pattern}: no object matches this pattern (it matches folders; end it in /** for the objects in them)"),
        (true, false) => format!("{pattern}: no object under {} matches this pattern", url.above_wildcards().location()),
        (false, _) => format!("{pattern}: there is no such object, and no object below it"),
    }))
}

/// Names of the folders directly below a URL, but for hidden ones; sorted.
pub(super) async fn folders(url: &RemoteUrl, stores: &std::sync::Arc<Stores>) -> Result<Vec<String>> {
    let location = url.location();
    if url.is_http() {
        let feature = "store without consolidated metadata over HTTP: servers do not tell what they hold";
        return Err(Error::unsupported(location, feature));
    }
    let listing = stores.client(url)?.list_with_delimiter(Some(&url.path()?)).await.map_err(|e| failed(&location, e))?;
    let names = listing.common_prefixes.iter().filter_map(|prefix| prefix.filename().map(str::to_owned));
    let mut names: Vec<String> = names.filter(|name| !name.starts_with('.')).collect();
    names.sort_unstable();
    Ok(names)
}

/// A server that only gives files away: the name is taken as it is.
async fn list_http(url: &RemoteUrl, stores: &std::sync::Arc<Stores>) -> Result<Vec<Listed>> {
    let location = url.location();
    let may_be_chunk_store = url.folder && !url.has_wildcard() && !url.key.is_empty();
    if may_be_chunk_store && RemoteObject::new(stores, url)?.chunk_store().await?.is_some() {
        return Ok(vec![Listed { location, version: None }]);
    }
    if url.has_wildcard() || url.folder {
        let what = if url.folder { "listing a folder" } else { "a pattern" };
        return Err(Error::unsupported(
            location,
            format!(
                "{what} over HTTP: servers do not tell what they hold; name the files one by one (buckets can be listed by s3://, gs://, az://)"
            ),
        ));
    }
    Ok(vec![Listed { location, version: None }])
}

/// Takes the objects of chunk stores out of a listing, and hidden names; the keys of the outermost chunk stores are beside the rest.
/// `root`: the key that the listing began at; parts of it are not hidden.
fn fold_chunk_stores(found: Vec<ObjectMeta>, root: &str) -> (Vec<ObjectMeta>, BTreeSet<String>) {
    let keys: BTreeSet<&str> = found.iter().map(|meta| meta.location.as_ref()).collect();
    let below = |folder: &str, name: &str| if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
    let holds = |folder: &str, name: &str| {
        let prefix = format!("{}/", below(folder, name));
        keys.range(prefix.as_str()..).next().is_some_and(|key| key.starts_with(&prefix))
    };
    let mut stores = BTreeSet::new();
    for key in &keys {
        for document in ROOT_DOCUMENTS {
            let Some(folder) = key.strip_suffix(document).and_then(|folder| folder.strip_suffix('/')) else { continue };
            if stands_beside(document).is_none_or(|beside| holds(folder, beside)) {
                stores.insert(folder.to_owned());
            }
        }
    }
    let above = |key: &str| key.match_indices('/').any(|(at, _)| key.get(..at).is_some_and(|folder| stores.contains(folder)));
    let outermost: BTreeSet<String> = stores.iter().filter(|store| !above(store)).cloned().collect();
    let root_folder = root.split(['*', '?', '[']).next().unwrap_or_default();
    let hidden = |key: &str| key.strip_prefix(root_folder).unwrap_or(key).split('/').any(|part| part.starts_with('.'));
    let rest: Vec<ObjectMeta> =
        found.iter().filter(|meta| !above(meta.location.as_ref()) && !hidden(meta.location.as_ref())).cloned().collect();
    (rest, outermost)
}

struct Walk<'a> {
    client: &'a dyn ObjectStore,
    url: &'a RemoteUrl,
}

impl Walk<'_> {
    fn failed(&self, error: object_store::Error) -> Error {
        failed(&self.url.location(), error)
    }

    /// All objects below a folder.
    async fn below(&self, folder: &Path) -> Result<Vec<ObjectMeta>> {
        let mut listing = self.client.list(Some(folder));
        let mut found = Vec::new();
        while let Some(meta) = listing.next().await.transpose().map_err(|e| self.failed(e))? {
            found.push(meta);
            self.bounded(found.len())?;
        }
        Ok(found)
    }

    /// The objects that match the URL's pattern, part by part, so that only folders that can hold one are listed. True beside
    /// them where folders matched.
    async fn matching(&self) -> Result<(Vec<ObjectMeta>, bool)> {
        let parts: Vec<&str> = self.url.key.split('/').collect();
        let mut folders = vec![Path::default()];
        for (i, &part) in parts.iter().enumerate() {
            let last = i + 1 == parts.len();
            if part == "**" {
                let rest_of_pattern = self.compile(&parts.get(i..).unwrap_or_default().join("/"))?;
                let mut found = Vec::new();
                for folder in &folders {
                    let inside = |meta: &ObjectMeta| {
                        let rest = meta.location.as_ref().strip_prefix(folder.as_ref()).unwrap_or_default().trim_start_matches('/');
                        // What lies below a folder that matches may be its root document.
                        let mut folders = rest.match_indices('/').filter_map(|(at, _)| rest.get(..at));
                        rest_of_pattern.matches_with(rest, MATCH) || folders.any(|folder| rest_of_pattern.matches_with(folder, MATCH))
                    };
                    // A pattern that ends in `**` names whatever is below.
                    found.extend(self.below(folder).await?.into_iter().filter(|meta| last || inside(meta)));
                }
                return Ok((found, false));
            }
            if !last && !has_wildcard(part) {
                folders = folders.iter().map(|folder| folder.clone().join(part)).collect();
                continue;
            }
            let pattern = self.compile(part)?;
            let matches = |path: &Path| path.filename().is_some_and(|name| pattern.matches_with(name, MATCH));
            let client = self.client;
            let listings = std::mem::take(&mut folders).into_iter();
            let listings = listings.map(|folder: Path| async move { client.list_with_delimiter(Some(&folder)).await });
            let listings: Vec<_> = futures::stream::iter(listings).buffered(PARALLEL).try_collect().await.map_err(|e| self.failed(e))?;
            let (mut below, mut found) = (Vec::new(), Vec::new());
            for listing in listings {
                below.extend(listing.common_prefixes.into_iter().filter(matches));
                found.extend(listing.objects.into_iter().filter(|meta| matches(&meta.location)));
                self.bounded(below.len().max(found.len()))?;
            }
            if last {
                // Folders that match may be chunk stores: what lies in them tells.
                let inside = below.iter().cloned().map(|folder: Path| async move { client.list_with_delimiter(Some(&folder)).await });
                let inside: Vec<_> = futures::stream::iter(inside).buffered(PARALLEL).try_collect().await.map_err(|e| self.failed(e))?;
                for (folder, inside) in below.iter().zip(inside) {
                    let root = |meta: &&ObjectMeta| ROOT_DOCUMENTS.iter().any(|name| meta.location.as_ref() == format!("{folder}/{name}"));
                    if inside.objects.iter().any(|meta| root(&meta)) {
                        found.extend(inside.objects);
                    }
                }
                return Ok((found, !below.is_empty()));
            }
            folders = below;
        }
        Ok((Vec::new(), false))
    }

    fn compile(&self, pattern: &str) -> Result<Pattern> {
        Pattern::new(pattern).map_err(|e| Error::User(format!("{}: not a glob pattern: {e}", self.url.location())))
    }

    fn bounded(&self, count: usize) -> Result<()> {
        if count <= OBJECTS {
            return Ok(());
        }
        Err(Error::Resources(format!("{}: names more than {OBJECTS} objects", self.url.location())))
    }
}
