//! A folder that is no chunk store, but holds nothing except chunk stores: one inspection, its arrays behind the stores' names.

use super::{InspectOptions, Inspection, inspect_one};
use crate::array::Attributes;
use crate::format::Refused;
use crate::object::Objects;
use crate::{Error, Result};

/// Looks into the stores of a folder; `None` where `listed`, what lies below `location`, is one file or store itself, or anything
/// but stores.
pub(super) async fn inspect(objects: &Objects, location: &str, listed: &[String], options: &InspectOptions) -> Result<Option<Inspection>> {
    let Ok(folder) = objects.canonical(location) else { return Ok(None) };
    let mut stores = Vec::with_capacity(listed.len());
    for store in listed {
        let Some(name) = store.strip_prefix(folder.as_str()).filter(|rest| rest.starts_with('/')) else { return Ok(None) };
        if objects.open(store).await?.document().is_none() {
            return Ok(None);
        }
        stores.push((name, store));
    }
    let mut all = Inspection {
        location: folder.clone(),
        size: 0,
        bytes: 0,
        format: "zarr".into(),
        requests: 0,
        attributes: Attributes::default(),
        arrays: Vec::new(),
        refused: Vec::new(),
        warnings: Vec::new(),
    };
    let wanted = options.array.as_ref().map(|path| format!("/{}", path.trim_start_matches('/')));
    let mut found = wanted.is_none();
    for (name, store) in stores {
        let mut options = options.clone();
        if let Some(path) = &wanted {
            match path.strip_prefix(name) {
                Some(inside) if inside.is_empty() || inside.starts_with('/') => {
                    options.array = Some(format!("/{}", inside.trim_start_matches('/')))
                }
                _ => continue,
            }
            found = true;
        }
        match inspect_one(objects, store.clone(), options).await {
            Ok(one) => {
                all.size += one.size;
                all.bytes += one.bytes;
                all.requests += one.requests;
                all.arrays.extend(one.arrays.into_iter().map(|mut array| {
                    array.metadata.path.insert_str(0, name);
                    array
                }));
                all.refused.extend(one.refused.into_iter().map(|r| Refused { path: format!("{name}{}", r.path), ..r }));
                all.warnings.extend(one.warnings.into_iter().map(|w| format!("{name}: {w}")));
            }
            Err(error) if wanted.is_some() => return Err(error),
            Err(error) => all.refused.push(Refused { path: format!("{name}/"), reason: error.to_string() }),
        }
    }
    match found {
        true => Ok(Some(all)),
        false => Err(Error::NotFound(format!("there is no array {} in the stores of {folder}", wanted.unwrap_or_default()))),
    }
}
