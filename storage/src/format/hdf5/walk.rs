//! The tree of objects, from the root group on: what becomes an array, what a group, and what is refused.

use std::collections::{HashMap, HashSet, VecDeque};
use std::rc::Rc;

use hdf5_reader::messages::{
    MSG_DATA_LAYOUT, MSG_DATASPACE, MSG_DATATYPE, MSG_EXTERNAL_FILES, MSG_GROUP_INFO, MSG_LINK, MSG_LINK_INFO, MSG_SYMBOL_TABLE,
};

use super::attribute::{AttributeList, attributes};
use super::dataset::{self, Dataset};
use super::dimensions;
use super::file::File;
use super::header::Header;
use super::links::{Link, Target, links};
use super::{Parsed, Reason, guarded, hdfeos, text};
use crate::array::Attributes;
use crate::format::{IndexedArray, IndexedGranule, Refused};

/// Groups nest at most this deep.
const DEEPEST: usize = 128;
/// What looking for an object costs of a file's budget, bytes.
const OPENED: u64 = 1024;
/// Soft links that one soft link may lead over.
const MOST_HOPS: u32 = 32;

/// Attributes with which netCDF-4 and the dimension scale interface keep their own accounts.
pub(super) const HIDDEN: [&str; 8] =
    ["_NCProperties", "_Netcdf4Dimid", "_Netcdf4Coordinates", "_nc3_strict", "CLASS", "NAME", "DIMENSION_LIST", "REFERENCE_LIST"];

/// netCDF-C puts this in front of a variable that has a dimension's name but is not its coordinate variable.
const NOT_A_COORDINATE: &str = "_nc4_non_coord_";

/// Indexes the file.
pub(super) fn index(file: &Rc<File>) -> Parsed<IndexedGranule> {
    let mut walk = Walk::default();
    let root = file.header(file.root)?;
    if let Some(reason) = &file.truncated {
        walk.refuse("/", reason.clone());
    }
    walk.group(file, file.root, "/", &root, 0)?;
    walk.soft_links();
    Ok(walk.finish(file, &root))
}

/// The object at `path` of a file; `None` when there is none.
pub(super) fn object_at(file: &Rc<File>, path: &str) -> Parsed<Option<(Rc<File>, u64)>> {
    file.charge(OPENED)?;
    Walk::default().resolve(file, file.root, path, &mut 0)
}

/// An object: the number of its file, the address of its header.
type Id = (u32, u64);

#[derive(Default)]
struct Walk {
    links: HashMap<Id, Rc<Vec<Link>>>,
    groups: Vec<(String, Attributes)>,
    /// Path of each group, and of each object in the middle of being visited.
    seen: HashMap<Id, String>,
    datasets: Vec<Dataset>,
    /// Links by name: file and group that they are in, their path, target.
    soft: VecDeque<(Rc<File>, u64, String, Target)>,
    refused: Vec<Refused>,
}

/// What an object header describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Object {
    Group,
    Dataset,
    NamedType,
    Unknown,
}

fn object(header: &Header) -> Object {
    match () {
        () if [MSG_SYMBOL_TABLE, MSG_LINK_INFO, MSG_LINK, MSG_GROUP_INFO].iter().any(|&m| header.has(m)) => Object::Group,
        () if header.has(MSG_DATASPACE) || header.has(MSG_DATA_LAYOUT) || header.has(MSG_EXTERNAL_FILES) => Object::Dataset,
        () if header.has(MSG_DATATYPE) => Object::NamedType,
        () => Object::Unknown,
    }
}

fn child(group: &str, name: &str) -> String {
    format!("{}/{name}", group.trim_end_matches('/'))
}

impl Walk {
    fn refuse(&mut self, path: &str, reason: Reason) {
        self.refused.push(Refused { path: path.into(), reason: reason.0 });
    }

    fn group_links(&mut self, file: &File, address: u64, header: &Header) -> Parsed<Rc<Vec<Link>>> {
        if let Some(known) = self.links.get(&(file.number, address)) {
            return Ok(known.clone());
        }
        let found = Rc::new(guarded(|| links(file, header))?);
        self.links.insert((file.number, address), found.clone());
        Ok(found)
    }

    /// Visits a group: its data sets first, then its groups, as netCDF-C does.
    fn group(&mut self, file: &Rc<File>, address: u64, path: &str, header: &Header, depth: usize) -> Parsed<()> {
        self.seen.insert((file.number, address), path.into());
        let place = self.groups.len();
        let list = guarded(|| Ok(attributes(file, header)))?;
        let shown = self.shown(file, path, list, true);
        self.groups.insert(place, (path.into(), shown));
        let links = match self.group_links(file, address, header) {
            Ok(links) => links,
            Err(reason) if depth > 0 => {
                self.refuse(path, reason.at("links of the group"));
                return Ok(());
            }
            Err(reason) => return Err(reason.at("links of the root group")),
        };
        let mut below = Vec::new();
        for link in links.iter() {
            let path = child(path, &link.name);
            match &link.target {
                Target::Elsewhere(what) => self.refuse(&path, Reason(what.clone())),
                target @ (Target::Soft(_) | Target::External(..)) => self.soft.push_back((file.clone(), address, path, target.clone())),
                Target::Hard(address) => match guarded(|| file.header(*address)) {
                    Err(reason) => self.refuse(&path, reason),
                    Ok(header) => match object(&header) {
                        Object::Group => below.push((*address, path, header)),
                        Object::Dataset => self.dataset(file, *address, path, &header),
                        Object::NamedType => {}
                        Object::Unknown => self.refuse(&path, "neither group nor data set nor named type".into()),
                    },
                },
            }
        }
        for (address, path, header) in below {
            self.group_below(file, address, &path, &header, depth + 1);
        }
        Ok(())
    }

    /// Visits a group unless it was visited or lies too deep.
    fn group_below(&mut self, file: &Rc<File>, address: u64, path: &str, header: &Header, depth: usize) {
        if let Some(first) = self.seen.get(&(file.number, address)) {
            let reason = format!("another link to the group {first}, which is read under that name");
            self.refuse(path, reason.into());
        } else if depth > DEEPEST {
            self.refuse(path, format!("groups nested deeper than {DEEPEST} levels").into());
        } else if let Err(reason) = self.group(file, address, path, header, depth) {
            self.refuse(path, reason);
        }
    }

    fn dataset(&mut self, file: &Rc<File>, address: u64, path: String, header: &Rc<Header>) {
        let path = match path.rsplit_once('/') {
            Some((group, name)) => match name.strip_prefix(NOT_A_COORDINATE) {
                Some(name) => child(group, name),
                None => path,
            },
            None => path,
        };
        match guarded(|| Dataset::read(file, address, &path, header)) {
            Ok(dataset) => self.datasets.push(dataset),
            Err(reason) => self.refuse(&path, reason),
        }
    }

    /// Follows soft and external links after all hard ones, so that an object has its hard link's name first.
    fn soft_links(&mut self) {
        while let Some((file, group, path, target)) = self.soft.pop_front() {
            let found = self.follow(&file, group, &target, &mut 0).and_then(|found| {
                let (file, address) = found.ok_or("it is not there")?;
                let header = guarded(|| file.header(address))?;
                Ok((file, address, header))
            });
            let (what, outside) = match &target {
                Target::External(file, path) => (format!("external link to {path} in file {file}"), true),
                Target::Soft(path) => (format!("soft link to {path}"), false),
                _ => continue,
            };
            match found {
                Err(reason) => self.refuse(&path, reason.at(&what)),
                Ok((file, address, header)) => match object(&header) {
                    Object::Dataset => self.dataset(&file, address, path, &header),
                    Object::Group if outside => {
                        let depth = path.matches('/').count();
                        self.group_below(&file, address, &path, &header, depth);
                    }
                    Object::Group => {
                        let reason = format!("{}, which is read under that name", what.replacen(" to ", " to the group ", 1));
                        self.refuse(&path, reason.into());
                    }
                    Object::NamedType => {}
                    Object::Unknown => self.refuse(&path, format!("{what}: neither group nor data set nor named type").into()),
                },
            }
        }
    }

    /// The object that a link in `group` leads to; `None` when there is none.
    fn follow(&mut self, file: &Rc<File>, group: u64, target: &Target, hops: &mut u32) -> Parsed<Option<(Rc<File>, u64)>> {
        match target {
            Target::Hard(address) => Ok(Some((file.clone(), *address))),
            Target::Soft(path) => self.resolve(file, group, path, hops),
            Target::External(name, path) => match guarded(|| file.other(name))? {
                Some(other) => self.resolve(&other, other.root, path, hops),
                None => Err("that file is not there".into()),
            },
            Target::Elsewhere(what) => Err(what.as_str().into()),
        }
    }

    /// The object at `path`, from the file's root or from `group`; `None` when there is none.
    fn resolve(&mut self, file: &Rc<File>, group: u64, path: &str, hops: &mut u32) -> Parsed<Option<(Rc<File>, u64)>> {
        *hops += 1;
        if *hops > MOST_HOPS {
            return Err(format!("it leads over more than {MOST_HOPS} soft links").into());
        }
        let mut at = (file.clone(), if path.starts_with('/') { file.root } else { group });
        for name in path.split('/').filter(|n| !n.is_empty() && *n != ".") {
            let header = guarded(|| at.0.header(at.1))?;
            if object(&header) != Object::Group {
                return Ok(None);
            }
            let links = self.group_links(&at.0, at.1, &header)?;
            let Some(link) = links.iter().find(|l| l.name == name) else { return Ok(None) };
            match self.follow(&at.0, at.1, &link.target, hops)? {
                Some(found) => at = found,
                None => return Ok(None),
            }
        }
        Ok(Some(at))
    }

    /// The attributes that users see; `accounts`: the hidden ones are netCDF's or the dimension scales', not the user's own.
    fn shown(&mut self, file: &File, path: &str, list: AttributeList, accounts: bool) -> Attributes {
        let mut shown = Attributes::default();
        for (name, reason) in list.refused {
            let place = if name.is_empty() { path.to_string() } else { format!("{path}:{name}") };
            self.refuse(&place, reason.at("attribute"));
        }
        for a in list.list {
            if HIDDEN.contains(&a.name.as_str()) && (accounts || !["CLASS", "NAME"].contains(&a.name.as_str())) {
                continue;
            }
            match guarded(|| a.value(file)) {
                Ok(value) => shown.0.push((a.name, value)),
                Err(reason) => self.refuse(&format!("{path}:{}", a.name), reason.at("attribute")),
            }
        }
        shown
    }

    /// Tells under which names a compound data set is found.
    fn columns(&mut self, path: &str, found: &[(String, Parsed<IndexedArray>)]) {
        const SHOWN: usize = 8;
        let columns: Vec<&str> = found.iter().filter(|(_, a)| a.is_ok()).map(|(p, _)| p.as_str()).collect();
        if columns.is_empty() || columns == [path] {
            return;
        }
        let more = columns.len().saturating_sub(SHOWN);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let shown: Vec<&str> = columns.into_iter().take(SHOWN).collect();
        self.refuse(path, format!("compound: its members are read as the arrays {}{more}", shown.join(", ")).into());
    }

    fn finish(mut self, file: &Rc<File>, root: &Header) -> IndexedGranule {
        let mut datasets = std::mem::take(&mut self.datasets);
        let root_attributes = guarded(|| Ok(attributes(file, root))).unwrap_or_default();
        let marked = |d: &Dataset| d.is_phantom() || d.has("_Netcdf4Dimid") || d.has("_Netcdf4Coordinates");
        let netcdf =
            root_attributes.get("_NCProperties").is_some() || root_attributes.get("_nc3_strict").is_some() || datasets.iter().any(marked);
        let along = dimensions::along(&datasets, &self.groups.iter().map(|(p, _)| p.as_str()).collect::<Vec<_>>());

        let mut granule = IndexedGranule { format: if netcdf { "netcdf4" } else { "hdf5" }.into(), ..Default::default() };
        let mut taken = HashSet::new();
        let mut structure = String::new();
        for (dataset, dimensions) in datasets.iter_mut().zip(along) {
            if dataset.is_phantom() {
                continue;
            }
            let list = std::mem::take(&mut dataset.attributes);
            let accounts = netcdf || dataset.scale;
            let path = dataset.path.clone();
            if !taken.insert(path.clone()) {
                self.refuse(&path, "a second object of this name".into());
                continue;
            }
            let found = match guarded(|| dataset::arrays(dataset, &dimensions)) {
                Ok(found) => found,
                Err(reason) => {
                    self.refuse(&path, reason);
                    continue;
                }
            };
            if let (true, [(_, Ok(array))]) = (path.starts_with(hdfeos::METADATA), found.as_slice()) {
                match guarded(|| text::only(&dataset.file, array)) {
                    Ok(text) => structure.push_str(&text),
                    Err(reason) => self.refuse(&path, reason.at("structure metadata")),
                }
            }
            let attributes = self.shown(&dataset.file, &path, list, accounts);
            self.columns(&path, &found);
            for (path, array) in found {
                match array {
                    Ok(mut array) => {
                        let flags = std::mem::take(&mut array.metadata.attributes);
                        array.metadata.attributes = attributes.clone();
                        array.metadata.attributes.0.extend(flags.0.into_iter().filter(|(n, _)| attributes.get(n).is_none()));
                        granule.arrays.push(array);
                    }
                    Err(reason) => self.refuse(&path, reason),
                }
            }
        }
        let mut groups = self.groups.into_iter();
        granule.attributes = groups.next().map(|(_, a)| a).unwrap_or_default();
        granule.groups = groups.collect();
        granule.refused = self.refused;
        granule.objects = file.family.objects();
        hdfeos::apply(&mut granule, &structure);
        granule
    }
}
