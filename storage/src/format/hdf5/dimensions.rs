//! Names of dimensions, by the rules of netCDF-4: dimension scales, dimension lists, netCDF's own dimension numbers, and
//! `phony_dim_N` for data sets that are measured along nothing (netCDF-C, libhdf5/hdf5open.c).

use std::collections::HashMap;

use super::dataset::Dataset;

/// One dimension of a data set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Along {
    /// Its name, without group.
    pub name: String,
    /// For an unlimited dimension that several data sets share, the length of the longest; else 0.
    pub length: u64,
}

/// How a dimension is known: by the file and address of its scale, or by its group and name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    Scale(u32, u64),
    Invented(i64),
}

/// A dimension of a group.
struct Dimension {
    key: Key,
    name: String,
    length: u64,
    unlimited: bool,
}

/// The dimensions of each data set, slowest first. `groups` are the paths of all groups, parents before children.
pub(super) fn along(datasets: &[Dataset], groups: &[&str]) -> Vec<Vec<Along>> {
    let mut known = Known::default();
    for d in datasets.iter().filter(|d| d.scale) {
        known.scale(d);
    }
    let mut found: Vec<Vec<Option<(Key, String)>>> = datasets.iter().map(|d| known.measured(d)).collect();

    // netCDF-C invents dimensions from the innermost groups outwards.
    let mut inside_out: Vec<&str> = Vec::new();
    post_order("/", groups, &mut inside_out);
    let place: HashMap<&str, usize> = inside_out.iter().enumerate().map(|(i, &g)| (g, i)).collect();
    let mut order: Vec<usize> = (0..datasets.len()).collect();
    order.sort_by_key(|&i| datasets.get(i).and_then(|d| place.get(d.group())));
    for i in order {
        if let (Some(d), Some(found)) = (datasets.get(i), found.get_mut(i)) {
            known.invent(d, found);
        }
    }

    let mut longest: HashMap<Key, u64> = HashMap::new();
    for (d, found) in datasets.iter().zip(&found) {
        for (i, (key, _)) in found.iter().enumerate().filter_map(|(i, f)| f.as_ref().map(|f| (i, f))) {
            if let (true, Key::Scale(..), Some(&n)) = (d.unlimited(i), key, d.shape.get(i)) {
                longest.entry(key.clone()).and_modify(|l| *l = n.max(*l)).or_insert(n);
            }
        }
    }
    let along = |d: &Dataset, i: usize, (key, name): (Key, String)| Along {
        length: if d.unlimited(i) { longest.get(&key).copied().unwrap_or(0) } else { 0 },
        name,
    };
    let all = |(d, found): (&Dataset, Vec<Option<(Key, String)>>)| {
        found.into_iter().enumerate().map(|(i, f)| along(d, i, f.unwrap_or((Key::Invented(-1), format!("dim_{i}"))))).collect()
    };
    datasets.iter().zip(found).map(all).collect()
}

/// The dimensions of a file.
#[derive(Default)]
struct Known<'a> {
    by_group: HashMap<&'a str, Vec<Dimension>>,
    by_scale: HashMap<(u32, u64), String>,
    by_id: HashMap<(u32, i64), (Key, String)>,
    next: i64,
}

impl<'a> Known<'a> {
    /// The dimension that a scale defines.
    fn scale(&mut self, d: &'a Dataset) {
        let file = &d.file;
        let told = d.attributes.get("_Netcdf4Dimid").and_then(|a| a.integers(file)).and_then(|v| v.first().copied());
        let id = told.unwrap_or(self.next);
        self.next = self.next.max(id.saturating_add(1));
        let (key, name) = (Key::Scale(file.number, d.address), d.name().to_string());
        self.by_scale.entry((file.number, d.address)).or_insert_with(|| name.clone());
        self.by_id.entry((file.number, id)).or_insert_with(|| (key.clone(), name.clone()));
        let length = d.shape.first().copied().unwrap_or(1);
        self.by_group.entry(d.group()).or_default().push(Dimension { key, name, length, unlimited: d.unlimited(0) });
    }

    /// The dimensions that the file itself tells of.
    fn measured(&self, d: &Dataset) -> Vec<Option<(Key, String)>> {
        let file = &d.file;
        let rank = d.shape.len();
        let ids = d.attributes.get("_Netcdf4Coordinates").and_then(|a| a.integers(file)).filter(|ids| ids.len() == rank);
        if let Some(found) =
            ids.and_then(|ids| ids.iter().map(|id| self.by_id.get(&(file.number, *id)).cloned()).collect::<Option<Vec<_>>>())
        {
            return found.into_iter().map(Some).collect();
        }
        let named = |address: u64| self.by_scale.get(&(file.number, address)).map(|name| (Key::Scale(file.number, address), name.clone()));
        let mut found = vec![None; rank];
        if d.scale {
            if let Some(first) = found.first_mut() {
                *first = named(d.address);
            }
        } else if let Some(lists) = d.attributes.get("DIMENSION_LIST").and_then(|a| a.addresses(file)) {
            for (found, list) in found.iter_mut().zip(lists) {
                *found = list.into_iter().find_map(named);
            }
        }
        found
    }

    /// Dimensions of the same length in the data set's group, or invented ones, where the file tells nothing.
    fn invent(&mut self, d: &'a Dataset, found: &mut [Option<(Key, String)>]) {
        let mut used: Vec<Key> = found.iter().flatten().map(|(key, _)| key.clone()).collect();
        let known = self.by_group.entry(d.group()).or_default();
        for (i, slot) in found.iter_mut().enumerate().filter(|(_, f)| f.is_none()) {
            let (length, unlimited) = (d.shape.get(i).copied().unwrap_or(1), d.unlimited(i));
            let same = known.iter().find(|k| k.length == length && k.unlimited == unlimited && !used.contains(&k.key));
            let (key, name) = match same {
                Some(k) => (k.key.clone(), k.name.clone()),
                None => {
                    let (key, name) = (Key::Invented(self.next), format!("phony_dim_{}", self.next));
                    self.next = self.next.saturating_add(1);
                    known.push(Dimension { key: key.clone(), name: name.clone(), length, unlimited });
                    (key, name)
                }
            };
            used.push(key.clone());
            *slot = Some((key, name));
        }
    }
}

fn post_order<'a>(group: &'a str, groups: &[&'a str], out: &mut Vec<&'a str>) {
    // Groups are few and their list is ordered; children of a group follow it.
    let is_child = |g: &str| {
        g != group && g.strip_prefix(group.trim_end_matches('/')).and_then(|r| r.strip_prefix('/')).is_some_and(|r| !r.contains('/'))
    };
    for child in groups.iter().copied().filter(|g| is_child(g)) {
        post_order(child, groups, out);
    }
    out.push(group);
}
