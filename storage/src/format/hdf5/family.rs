//! The objects of one granule: the file itself, and the files that its external links, virtual data sets and raw storage name.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use hdf5_reader::storage::DynStorage;

use super::file::File;
use super::{Parsed, Reason};
use crate::object::VersionedObject;

/// Opens objects that a file names, where they lie under the roots.
pub(super) trait Neighbours: Send + Sync {
    /// Where the file itself lies.
    fn location(&self) -> &str;

    /// The object that `name` means in this file; `None` when there is none.
    fn open(&self, name: &str) -> Parsed<Option<Neighbour>>;
}

/// An opened object.
pub(super) struct Neighbour {
    /// Its bytes.
    pub storage: DynStorage,
    /// What it is.
    pub object: VersionedObject,
    /// For what it names itself.
    pub neighbours: Arc<dyn Neighbours>,
}

/// A granule is spread over at most this many objects.
const MOST_OBJECTS: usize = 65_536;

/// Virtual data sets of virtual data sets nest at most this deep.
const DEEPEST: u32 = 4;

/// The objects of one granule.
#[derive(Default)]
pub(super) struct Family {
    /// By location; number 0 is the granule's own.
    numbers: RefCell<HashMap<String, u32>>,
    objects: RefCell<Vec<VersionedObject>>,
    depth: Cell<u32>,
    /// Files that somebody still holds.
    files: RefCell<HashMap<String, Weak<File>>>,
}

impl Family {
    /// The objects beside the granule's own, in the order of their numbers.
    pub(super) fn objects(&self) -> Vec<VersionedObject> {
        self.objects.borrow().clone()
    }

    /// Makes `file` the granule's own.
    pub(super) fn own(&self, location: &str, file: &Rc<File>) {
        self.numbers.borrow_mut().insert(location.into(), 0);
        self.files.borrow_mut().insert(location.into(), Rc::downgrade(file));
    }

    /// Runs `f`, which may come here again through what other files name, but not for ever.
    pub(super) fn deeper<T>(&self, f: impl FnOnce() -> Parsed<T>) -> Parsed<T> {
        let depth = self.depth.get();
        if depth >= DEEPEST {
            return Err(format!("virtual data sets nested deeper than {DEEPEST} levels").into());
        }
        self.depth.set(depth + 1);
        let found = f();
        self.depth.set(depth);
        found
    }

    fn number(&self, object: VersionedObject) -> Parsed<u32> {
        let mut numbers = self.numbers.borrow_mut();
        if let Some(&known) = numbers.get(&object.location) {
            return Ok(known);
        }
        let mut objects = self.objects.borrow_mut();
        if objects.len() >= MOST_OBJECTS {
            return Err(format!("more than {MOST_OBJECTS} files beside this one").into());
        }
        let number = objects.len() as u32 + 1;
        numbers.insert(object.location.clone(), number);
        objects.push(object);
        Ok(number)
    }
}

impl File {
    fn neighbour(&self, name: &str) -> Parsed<Option<Neighbour>> {
        let neighbours = self.neighbours.as_ref().ok_or_else(|| Reason(format!("the file {name}, which is not opened here")))?;
        let found = neighbours.open(name);
        match (&found, name.rsplit_once(['/', '\\'])) {
            // As libhdf5 does for links: what is not there may lie beside this file.
            (Ok(None), Some((folder, last))) if !last.is_empty() && !folder.contains("://") => neighbours.open(last),
            _ => found,
        }
    }

    /// The HDF5 file that this one means by `name`; `None` when there is none.
    pub(super) fn other(self: &Rc<File>, name: &str) -> Parsed<Option<Rc<File>>> {
        let Some(found) = self.neighbour(name)? else { return Ok(None) };
        let location = found.object.location.clone();
        if let Some(file) = self.family.files.borrow().get(&location).and_then(Weak::upgrade) {
            return Ok(Some(file));
        }
        let mut file = File::open(found.storage, 0, Some(found.neighbours), self.family.clone()).map_err(|r| r.at(&location))?;
        file.number = self.family.number(found.object)?;
        let file = Rc::new(file);
        self.family.files.borrow_mut().insert(location, Rc::downgrade(&file));
        Ok(Some(file))
    }

    /// The number and size of the object that this file means by `name`; `None` when there is none.
    pub(super) fn raw(&self, name: &str) -> Parsed<Option<(u32, u64)>> {
        let Some(found) = self.neighbour(name)? else { return Ok(None) };
        let size = found.object.version.size;
        Ok(Some((self.family.number(found.object)?, size)))
    }
}
