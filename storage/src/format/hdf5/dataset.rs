//! One data set: its header to [`IndexedArray`]s, without the chunk references (`chunks.rs`) and dimension names (`dimensions.rs`).

use std::rc::Rc;

use hdf5_reader::io::Cursor;
use hdf5_reader::messages::dataspace::{self, DataspaceType, UNLIMITED};
use hdf5_reader::messages::filter_pipeline;
use hdf5_reader::messages::{
    MSG_DATA_LAYOUT, MSG_DATASPACE, MSG_DATATYPE, MSG_EXTERNAL_FILES, MSG_FILL_VALUE, MSG_FILL_VALUE_OLD, MSG_FILTER_PIPELINE, fill_value,
};

use super::attribute::{AttributeList, attributes, elements};
use super::chunks::{self, Layout, Place};
use super::datatype::StoredType;
use super::dimensions::Along;
use super::file::File;
use super::filter::codec;
use super::header::Header;
use super::leaf::{Leaf, leaves};
use super::value::cell;
use super::{Parsed, Reason, guarded, text};
use crate::array::{ArrayMetadata, AttributeValue, Attributes, ChunkGrid, ChunkManifest, ChunkRef, DataType, Scalar};
use crate::codec::decode_chunk;
use crate::format::IndexedArray;

/// What netCDF-4 writes into the attribute NAME of a dimension without coordinate variable.
const PHANTOM: &str = "This is a netCDF dimension but not a netCDF variable";

/// A data set with what its neighbours must know to name its dimensions.
pub(super) struct Dataset {
    /// Path in the file.
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
    pub(super) fn read(file: &File, address: u64, path: &str, header: &Rc<Header>) -> Parsed<Dataset> {
        let message = header.find(MSG_DATASPACE).ok_or("data set without a dataspace")?;
        let space = || -> Parsed<_> {
            let body = file.body(message)?;
            Ok(dataspace::parse(&mut Cursor::new(&body), file.offset_size, file.length_size, body.len())?)
        };
        let space = space().map_err(|r| r.at("dataspace"))?;
        let attributes = attributes(file, header);
        let scale = attributes.get("CLASS").and_then(|a| a.text(file)).is_some_and(|t| t == "DIMENSION_SCALE");
        elements(&space)?;
        Ok(Dataset {
            path: path.into(),
            address,
            shape: space.dims,
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
    pub(super) fn is_phantom(&self, file: &File) -> bool {
        self.scale && self.attributes.get("NAME").and_then(|a| a.text(file)).is_some_and(|t| t.starts_with(PHANTOM))
    }

    /// True when dimension `d` grows without limit.
    pub(super) fn unlimited(&self, d: usize) -> bool {
        self.max.as_ref().and_then(|m| m.get(d)) == Some(&UNLIMITED)
    }

    fn body(&self, file: &File, kind: u16) -> Parsed<Option<Vec<u8>>> {
        self.header.find(kind).map(|m| file.body(m).map(|b| b.into_owned())).transpose()
    }
}

/// The arrays that a data set is, measured along `dimensions`: itself, or the members of its compound type, each with its path;
/// attributes but those of an enumeration are left to the caller.
pub(super) fn arrays(file: &File, dataset: &Dataset, dimensions: &[Along]) -> Parsed<Vec<(String, Parsed<IndexedArray>)>> {
    if dataset.null {
        return Err("empty: it has a null dataspace".into());
    }
    let stored = StoredType::parse(&dataset.body(file, MSG_DATATYPE)?.ok_or("data set without a datatype")?)?;
    let leaves = leaves(&stored)?;
    if let [Err((_, reason))] = leaves.as_slice() {
        return Err(reason.clone());
    }
    if dataset.body(file, MSG_EXTERNAL_FILES)?.is_some() {
        return Err("its data are in external raw files".into());
    }
    let layout = dataset.body(file, MSG_DATA_LAYOUT)?.ok_or("data set without a data layout")?;
    let layout = Layout::parse(file, &layout, dataset, stored.size)?;
    // Along an unlimited dimension of netCDF, a variable that was not written to the end is as long as the dimension.
    let chunked = layout.is_chunked();
    let shape: Vec<u64> = dataset.shape.iter().zip(dimensions).map(|(&n, d)| if chunked { n.max(d.length) } else { n }).collect();
    let filters = match dataset.body(file, MSG_FILTER_PIPELINE)? {
        Some(body) => {
            filter_pipeline::parse(&mut Cursor::new(&body), file.offset_size, file.length_size, body.len())
                .map_err(|e| Reason::from(e).at("filter pipeline"))?
                .filters
        }
        None => Vec::new(),
    };
    let codecs = filters.iter().map(|f| codec(f, stored.size)).collect::<Parsed<Vec<_>>>()?;
    let place = chunks::place(file, dataset, &shape, layout, &codecs, stored.size)?;
    let fill = fill(file, dataset, stored.size)?;
    let whole = Whole { file, dataset, dimensions, shape, place, fill };
    let each = leaves.into_iter().map(|leaf| match leaf {
        Ok(leaf) => (format!("{}{}", dataset.path, leaf.suffix), guarded(|| whole.array(&leaf))),
        Err((suffix, reason)) => (format!("{}{suffix}", dataset.path), Err(reason)),
    });
    Ok(each.collect())
}

/// What all arrays of one data set share.
struct Whole<'a> {
    file: &'a File,
    dataset: &'a Dataset,
    dimensions: &'a [Along],
    shape: Vec<u64>,
    place: Place,
    /// The fill value, bytes of one element.
    fill: Option<Vec<u8>>,
}

impl Whole<'_> {
    fn array(&self, leaf: &Leaf<'_>) -> Parsed<IndexedArray> {
        let (data_type, byte_order, _) = leaf.stored.cells()?;
        let path = format!("{}{}", self.dataset.path, leaf.suffix);
        let name = leaf.suffix.rsplit('.').next().filter(|n| !n.is_empty()).unwrap_or(self.dataset.name());
        let mut dimensions: Vec<String> = self.dimensions.iter().map(|d| d.name.clone()).collect();
        dimensions.extend((0..leaf.shape.len()).map(|place| leaf.dimension(name, place)));
        let with_leaf = |outer: &[u64]| [outer, &leaf.shape].concat();
        let fill = match self.fill.as_ref().map(|f| leaf_fill(f, leaf)).transpose() {
            // Nobody sees it where everything was written.
            Err(_) if self.written() => None,
            fill => fill?,
        };
        let codecs = [&leaf.codecs, self.place.codecs.as_slice()].concat();
        let mut array = IndexedArray {
            metadata: ArrayMetadata {
                dimensions,
                shape: with_leaf(&self.shape),
                data_type,
                byte_order,
                chunk_shape: with_leaf(&self.place.chunk_shape),
                edge: self.place.edge,
                codecs,
                fill_value: fill.as_ref().and_then(|f| cell(f, data_type, byte_order)),
                attributes: flags(leaf.stored, data_type),
                path,
            },
            manifest: self.manifest(leaf)?,
        };
        match data_type {
            DataType::Text => text::make_inline(self.file, &mut array, leaf.stored.size, fill.as_deref())?,
            DataType::FixedText(_) => text::make_filled(self.file, &mut array, fill.as_deref().unwrap_or_default())?,
            _ => (),
        }
        Ok(array)
    }

    /// True when every chunk was written.
    fn written(&self) -> bool {
        let chunks = &self.place.manifest.chunks;
        let all = ChunkGrid::new(&self.shape, &self.place.chunk_shape).len();
        chunks.len() as u64 == all && !chunks.contains(&ChunkRef::Missing)
    }

    /// The chunk references; filters that a chunk skips are counted behind the leaf's own steps.
    fn manifest(&self, leaf: &Leaf<'_>) -> Parsed<ChunkManifest> {
        let mut manifest = self.place.manifest.clone();
        if leaf.codecs.is_empty() {
            return Ok(manifest);
        }
        self.file.charge((manifest.chunks.len() as u64).saturating_mul(size_of::<ChunkRef>() as u64))?;
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

/// The fill value message's bytes (file format specification, IV.A.2.e and f), one element of `size` bytes; the old message
/// counts where there is no new one.
fn fill(file: &File, dataset: &Dataset, size: u32) -> Parsed<Option<Vec<u8>>> {
    let (o, l) = (file.offset_size, file.length_size);
    let message = if let Some(body) = dataset.body(file, MSG_FILL_VALUE)? {
        fill_value::parse_new(&mut Cursor::new(&body), o, l, body.len()).map_err(|e| Reason::from(e).at("fill value"))?
    } else if let Some(body) = dataset.body(file, MSG_FILL_VALUE_OLD)? {
        fill_value::parse_old(&mut Cursor::new(&body), o, l, body.len()).map_err(|e| Reason::from(e).at("fill value"))?
    } else {
        return Ok(None);
    };
    match message.value.filter(|_| message.defined) {
        Some(bytes) if bytes.len() != size as usize => Err(format!("fill value of {} bytes for a type of {size}", bytes.len()).into()),
        value => Ok(value),
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
