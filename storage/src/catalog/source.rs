//! A granule as the catalog builds cubes of it: what it is and its variables, with axes and encodings shared between granules.

use std::sync::Arc;

use super::Granule;
use super::records::{Shared, SourcesRecord, VariableRecord};
use crate::array::{ArrayMetadata, Attributes, Axis, Encoding};
use crate::convention::Variable;

/// One granule and its variables.
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    /// The granule.
    pub granule: Arc<Granule>,
    /// Its data variables.
    pub variables: Vec<SourceVariable>,
}

/// A variable of one granule.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceVariable {
    /// Its name in the file.
    pub name: String,
    /// Number of its array in [`Granule::arrays`].
    pub array: u32,
    /// One a dimension, slowest first.
    pub axes: Vec<Arc<Axis>>,
    /// From stored cells to values.
    pub encoding: Arc<Encoding>,
    /// `EPSG:n` or WKT.
    pub crs: Option<Arc<str>>,
    /// Bytes stored, all chunks together.
    pub stored_bytes: u64,
}

impl Source {
    /// A granule with what conventions found in it; equal axes and encodings of earlier granules are used again.
    /// `stored_bytes` are those of the granule's arrays.
    pub fn new(granule: Granule, variables: Vec<Variable>, stored_bytes: &[u64], sharing: &mut Sharing) -> Source {
        let variables = variables
            .into_iter()
            .map(|v| SourceVariable {
                name: v.name,
                array: v.array as u32,
                axes: v.axes.into_iter().map(|axis| sharing.axes.share(axis)).collect(),
                encoding: sharing.encodings.share(v.encoding),
                crs: v.crs.map(|crs| sharing.crs(&crs)),
                stored_bytes: stored_bytes.get(v.array).copied().unwrap_or(0),
            })
            .collect();
        Source { granule: Arc::new(sharing.granule(granule)), variables }
    }
}

/// What granules have in common, as seen so far: of a hundred thousand files nearly everything.
#[derive(Debug, Default)]
pub struct Sharing {
    axes: Shared<Axis>,
    encodings: Shared<Encoding>,
    crs: Vec<Arc<str>>,
    arrays: Shared<ArrayMetadata>,
    attributes: Shared<Attributes>,
}

impl Sharing {
    /// The same granule; what is equal to that of an earlier one is kept once.
    pub fn granule(&mut self, granule: Granule) -> Granule {
        let arrays = granule.arrays.into_iter().map(|array| self.arrays.shared(array)).collect();
        Granule { arrays, attributes: self.attributes.shared(granule.attributes), ..granule }
    }

    fn crs(&mut self, crs: &str) -> Arc<str> {
        if let Some(known) = self.crs.iter().find(|known| known.as_ref() == crs) {
            return known.clone();
        }
        let crs: Arc<str> = crs.into();
        self.crs.push(crs.clone());
        crs
    }
}

/// The record of what granules hold.
pub fn to_record(sources: &[Source]) -> SourcesRecord {
    let (mut axes, mut encodings, mut crs) = (Shared::default(), Shared::default(), Vec::<String>::new());
    let granules = sources
        .iter()
        .map(|source| {
            let variable = |v: &SourceVariable| VariableRecord {
                name: v.name.clone(),
                array: v.array,
                axes: v.axes.iter().map(|axis| axes.number(axis)).collect(),
                encoding: encodings.number(&v.encoding),
                crs: v.crs.as_deref().map(|name| {
                    let known = crs.iter().position(|k| k == name).unwrap_or_else(|| {
                        crs.push(name.to_owned());
                        crs.len() - 1
                    });
                    known as u32
                }),
                stored_bytes: v.stored_bytes,
            };
            source.variables.iter().map(variable).collect()
        })
        .collect();
    SourcesRecord { axes: axes.values, encodings: encodings.values, crs, granules }
}

/// The variables of each granule of a record; `None` where the record contradicts itself.
pub fn from_record(record: SourcesRecord) -> Option<Vec<Vec<SourceVariable>>> {
    let crs: Vec<Arc<str>> = record.crs.iter().map(|c| c.as_str().into()).collect();
    let variable = |v: VariableRecord| {
        Some(SourceVariable {
            name: v.name,
            array: v.array,
            axes: v.axes.iter().map(|&a| record.axes.get(a as usize).cloned()).collect::<Option<_>>()?,
            encoding: record.encodings.get(v.encoding as usize)?.clone(),
            crs: match v.crs {
                Some(number) => Some(crs.get(number as usize)?.clone()),
                None => None,
            },
            stored_bytes: v.stored_bytes,
        })
    };
    record.granules.into_iter().map(|variables| variables.into_iter().map(variable).collect()).collect()
}
