//! One data set: its header to [`IndexedArray`], without the chunk references (`chunks.rs`) and dimension names (`dimensions.rs`).

use std::rc::Rc;

use hdf5_reader::io::Cursor;
use hdf5_reader::messages::dataspace::{self, DataspaceType, UNLIMITED};
use hdf5_reader::messages::filter_pipeline;
use hdf5_reader::messages::{
    MSG_DATA_LAYOUT, MSG_DATASPACE, MSG_DATATYPE, MSG_EXTERNAL_FILES, MSG_FILL_VALUE, MSG_FILL_VALUE_OLD, MSG_FILTER_PIPELINE, fill_value,
};

use super::attribute::{AttributeList, attributes, elements};
use super::chunks::{self, Layout};
use super::datatype::{StoredType, number};
use super::dimensions::Along;
use super::file::File;
use super::filter::codec;
use super::header::Header;
use super::{Parsed, Reason, text};
use crate::array::{ArrayMetadata, Attributes, DataType, Scalar};
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

/// The array that a data set is, measured along `dimensions`; its attributes are left to the caller.
pub(super) fn array(file: &File, dataset: &Dataset, dimensions: &[Along]) -> Parsed<IndexedArray> {
    if dataset.null {
        return Err("empty: it has a null dataspace".into());
    }
    let stored = StoredType::parse(&dataset.body(file, MSG_DATATYPE)?.ok_or("data set without a datatype")?)?;
    let (data_type, byte_order) = stored.cells()?;
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
    let mut array = IndexedArray {
        metadata: ArrayMetadata {
            path: dataset.path.clone(),
            dimensions: dimensions.iter().map(|d| d.name.clone()).collect(),
            shape,
            data_type,
            byte_order,
            chunk_shape: place.chunk_shape,
            edge: place.edge,
            codecs: place.codecs,
            fill_value: fill(file, dataset, &stored)?,
            attributes: Attributes::default(),
        },
        manifest: place.manifest,
    };
    if data_type == DataType::Text {
        text::make_inline(file, &mut array, stored.size)?;
    }
    Ok(array)
}

/// The fill value message's value (file format specification, IV.A.2.e and f); the old message counts where there is no new one.
fn fill(file: &File, dataset: &Dataset, stored: &StoredType) -> Parsed<Option<Scalar>> {
    let (o, l) = (file.offset_size, file.length_size);
    let message = if let Some(body) = dataset.body(file, MSG_FILL_VALUE)? {
        fill_value::parse_new(&mut Cursor::new(&body), o, l, body.len()).map_err(|e| Reason::from(e).at("fill value"))?
    } else if let Some(body) = dataset.body(file, MSG_FILL_VALUE_OLD)? {
        fill_value::parse_old(&mut Cursor::new(&body), o, l, body.len()).map_err(|e| Reason::from(e).at("fill value"))?
    } else {
        return Ok(None);
    };
    let (data_type, order) = stored.cells()?;
    match message.value.filter(|_| message.defined && !data_type.is_text()) {
        None => Ok(None),
        Some(bytes) => match number(&bytes, data_type, order) {
            Some(value) => Ok(Some(value)),
            None => Err(format!("fill value of {} bytes for a type of {}", bytes.len(), stored.size).into()),
        },
    }
}
