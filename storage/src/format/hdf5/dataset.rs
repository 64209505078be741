//! One data set: its header to [`IndexedArray`]s, without the chunk references (`chunks.rs`) and dimension names (`dimensions.rs`).

use std::rc::Rc;

use hdf5_reader::io::Cursor;
use hdf5_reader::messages::dataspace::{self, DataspaceType, UNLIMITED};
use hdf5_reader::messages::{MSG_DATA_LAYOUT, MSG_DATASPACE, MSG_DATATYPE};

use super::attribute::{AttributeList, attributes, elements};
use super::data::{Data, data};
use super::datatype::StoredType;
use super::dimensions::Along;
use super::file::File;
use super::header::Header;
use super::leaf::{Leaf, leaves};
use super::value::cell;
use super::{Parsed, guarded, text, virtual_set};
use crate::array::{ArrayMetadata, AttributeValue, Attributes, ChunkManifest, ChunkRef, DataType, Scalar};
use crate::codec::decode_chunk;
use crate::format::IndexedArray;

/// What netCDF-4 writes into the attribute NAME of a dimension without coordinate variable.
const PHANTOM: &str = "This is a netCDF dimension but not a netCDF variable";

/// A data set with what its neighbours must know to name its dimensions.
pub(super) struct Dataset {
    /// The file that it is in.
    pub file: Rc<File>,
    /// Path in the granule.
    pub path: String,
    /// Address of its header: what dimension lists refer to.
    pub address: u64,
    /// Cells along each dimension.
    pub shape: Vec<u64>,
    /// Longest that each dimension may become; `None`: as long as it is; [`UNLIMITED`].
    pub max: Option<Vec<u64>>,
    /// No cells and no dimensions at all (HDF5's null dataspace).
    pub null: bool,
    /// It is a dimension scale: others may be measured along it.
    pub scale: bool,
    /// Its attributes.
    pub attributes: AttributeList,
    header: Rc<Header>,
}

impl Dataset {
    /// Reads shape and attributes.
    pub(super) fn read(file: &Rc<File>, address: u64, path: &str, header: &Rc<Header>) -> Parsed<Dataset> {
        let message = header.find(MSG_DATASPACE).ok_or("data set without a dataspace")?;
        let space = || -> Parsed<_> {
            let body = file.body(message)?;
            Ok(dataspace::parse(&mut Cursor::new(&body), file.offset_size, file.length_size, body.len())?)
        };
        let space = space().map_err(|r| r.at("dataspace"))?;
        let attributes = attributes(file, header);
        let scale = attributes.get("CLASS").and_then(|a| a.text(file)).is_some_and(|t| t == "DIMENSION_SCALE");
        elements(&space)?;
        let layout = header.find(MSG_DATA_LAYOUT).map(|m| file.body(m)).transpose()?.unwrap_or_default();
        let shape = match virtual_set::is_virtual(&layout) {
            true => virtual_set::extent(file, &layout, &space.dims, space.max_dims.as_deref()).map_err(|r| r.at("virtual data set"))?,
            false => space.dims,
        };
        Ok(Dataset {
            file: file.clone(),
            path: path.into(),
            address,
            shape,
            max: space.max_dims,
            null: space.dataspace_type == DataspaceType::Null,
            scale,
            attributes,
            header: header.clone(),
        })
    }

    /// The group that it stands in: `/` or `/a/b`.
    pub(super) fn group(&self) -> &str {
        match self.path.rfind('/') {
            Some(0) | None => "/",
            Some(i) => &self.path[..i],
        }
    }

    /// The last part of its path.
    pub(super) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    /// True when it has this attribute.
    pub(super) fn has(&self, attribute: &str) -> bool {
        self.attributes.get(attribute).is_some()
    }

    /// True for the placeholder of a netCDF dimension that has no coordinate variable.
    pub(super) fn is_phantom(&self) -> bool {
        self.scale && self.attributes.get("NAME").and_then(|a| a.text(&self.file)).is_some_and(|t| t.starts_with(PHANTOM))
    }

    /// True when dimension `d` grows without limit.
    pub(super) fn unlimited(&self, d: usize) -> bool {
        self.max.as_ref().and_then(|m| m.get(d)) == Some(&UNLIMITED)
    }

    /// The bytes of its first message of a type.
    pub(super) fn body(&self, kind: u16) -> Parsed<Option<Vec<u8>>> {
        self.header.find(kind).map(|m| self.file.body(m).map(|b| b.into_owned())).transpose()
    }
}

/// The arrays that a data set is, measured along `dimensions`: itself, or the members of its compound type, each with its path;
/// attributes but those of an enumeration are left to the caller.
pub(super) fn arrays(dataset: &Dataset, dimensions: &[Along]) -> Parsed<Vec<(String, Parsed<IndexedArray>)>> {
    // A type that is not read is a better reason than anything about its storage.
    if let (false, Some(body)) = (dataset.null, dataset.body(MSG_DATATYPE)?)
        && let [Err((_, reason))] = leaves(&StoredType::parse(&body)?)?.as_slice()
    {
        return Err(reason.clone());
    }
    let longest: Vec<u64> = dimensions.iter().map(|d| d.length).collect();
    let whole = Whole { data: data(dataset, &longest)?, dataset, dimensions };
    let each = leaves(&whole.data.stored)?.into_iter().map(|leaf| match leaf {
        Ok(leaf) => (format!("{}{}", dataset.path, leaf.suffix), guarded(|| whole.array(&leaf))),
        Err((suffix, reason)) => (format!("{}{suffix}", dataset.path), Err(reason)),
    });
    Ok(each.collect())
}

/// What all arrays of one data set share.
struct Whole<'a> {
    dataset: &'a Dataset,
    dimensions: &'a [Along],
    data: Data,
}

impl Whole<'_> {
    fn array(&self, leaf: &Leaf<'_>) -> Parsed<IndexedArray> {
        let (data_type, byte_order, _) = leaf.stored.cells()?;
        let path = format!("{}{}", self.dataset.path, leaf.suffix);
        let name = leaf.suffix.rsplit('.').next().filter(|n| !n.is_empty()).unwrap_or(self.dataset.name());
        let mut dimensions: Vec<String> = self.dimensions.iter().map(|d| d.name.clone()).collect();
        dimensions.extend((0..leaf.shape.len()).map(|place| leaf.dimension(name, place)));
        let with_leaf = |outer: &[u64]| [outer, &leaf.shape].concat();
        let fill = match self.data.fill.as_ref().map(|f| leaf_fill(f, leaf)).transpose() {
            // Nobody sees it where everything was written.
            Err(_) if self.data.is_written() => None,
            fill => fill?,
        };
        let codecs = [&leaf.codecs, self.data.place.codecs.as_slice()].concat();
        let mut array = IndexedArray {
            metadata: ArrayMetadata {
                dimensions,
                shape: with_leaf(&self.data.shape),
                data_type,
                byte_order,
                chunk_shape: with_leaf(&self.data.place.chunk_shape),
                edge: self.data.place.edge,
                codecs,
                fill_value: fill.as_ref().and_then(|f| cell(f, data_type, byte_order)),
                attributes: flags(leaf.stored, data_type),
                path,
            },
            manifest: self.manifest(leaf)?,
        };
        match data_type {
            DataType::Text => text::make_inline(&self.dataset.file, &mut array, leaf.stored.size, fill.as_deref())?,
            DataType::FixedText(_) => text::make_filled(&self.dataset.file, &mut array, fill.as_deref().unwrap_or_default())?,
            _ => (),
        }
        Ok(array)
    }

    /// The chunk references; filters that a chunk skips are counted behind the leaf's own steps.
    fn manifest(&self, leaf: &Leaf<'_>) -> Parsed<ChunkManifest> {
        let mut manifest = self.data.place.manifest.clone();
        if leaf.codecs.is_empty() {
            return Ok(manifest);
        }
        self.dataset.file.charge((manifest.chunks.len() as u64).saturating_mul(size_of::<ChunkRef>() as u64))?;
        let steps = leaf.codecs.len() as u32;
        for chunk in &mut manifest.chunks {
            if let ChunkRef::Stored { skip, .. } = chunk {
                let moved = u64::from(*skip).checked_shl(steps).and_then(|s| u32::try_from(s).ok());
                *skip = moved.ok_or("more filters than a chunk can skip")?;
            }
        }
        Ok(manifest)
    }
}

/// The fill value of a leaf's cells, in their byte order.
fn leaf_fill(element: &[u8], leaf: &Leaf<'_>) -> Parsed<Vec<u8>> {
    let size = match leaf.stored.cells()? {
        (DataType::Text, ..) => leaf.stored.size as usize,
        (t, ..) => t.size(),
    };
    let count = leaf.shape.iter().try_fold(size as u64, |n, &d| n.checked_mul(d)).and_then(|n| usize::try_from(n).ok());
    let bytes = decode_chunk(&leaf.codecs, 0, element, count.ok_or("fill value does not fit in memory")?).map_err(|e| e.to_string())?;
    let mut cells = bytes.chunks_exact(size.max(1));
    let first = cells.next().unwrap_or_default();
    if cells.any(|c| c != first) {
        return Err("fill value whose elements differ".into());
    }
    Ok(first.to_vec())
}

/// The names of an enumeration, as CF writes them: `flag_values` and `flag_meanings`.
fn flags(stored: &StoredType, data_type: DataType) -> Attributes {
    let mut attributes = Attributes::default();
    if !stored.names.is_empty() {
        let integer = |(_, value): &(String, Scalar)| match *value {
            Scalar::Int(v) => v,
            Scalar::UInt(v) => v as i64,
            Scalar::Float(v) => v as i64,
        };
        // Blanks separate the meanings.
        let meanings: Vec<String> = stored.names.iter().map(|(name, _)| name.replace(char::is_whitespace, "_")).collect();
        attributes.set("flag_values", AttributeValue::Integers(data_type, stored.names.iter().map(integer).collect()));
        attributes.set("flag_meanings", AttributeValue::Text(meanings.join(" ")));
    }
    attributes
}
