//! The stored cells of one data set: their type, where they lie, what cells have that were never written.

use hdf5_reader::io::Cursor;
use hdf5_reader::messages::filter_pipeline;
use hdf5_reader::messages::{
    MSG_DATA_LAYOUT, MSG_DATATYPE, MSG_EXTERNAL_FILES, MSG_FILL_VALUE, MSG_FILL_VALUE_OLD, MSG_FILTER_PIPELINE, fill_value,
};

use super::chunks::{self, Layout, Place};
use super::dataset::Dataset;
use super::datatype::StoredType;
use super::filter::codec;
use super::{Parsed, Reason, external, virtual_set};
use crate::array::{ChunkGrid, ChunkRef};

/// The stored cells of a data set.
#[derive(Debug)]
pub(super) struct Data {
    /// Type of an element.
    pub stored: StoredType,
    /// Elements along each dimension.
    pub shape: Vec<u64>,
    /// Where they lie.
    pub place: Place,
    /// The fill value, bytes of one element.
    pub fill: Option<Vec<u8>>,
}

impl Data {
    /// True when every chunk was written.
    pub(super) fn is_written(&self) -> bool {
        let chunks = &self.place.manifest.chunks;
        let all = ChunkGrid::new(&self.shape, &self.place.chunk_shape).len();
        chunks.len() as u64 == all && !chunks.contains(&ChunkRef::Missing)
    }
}

/// The stored cells of a data set. `longest`: the length of each dimension that is shared with longer data sets, else 0.
pub(super) fn data(dataset: &Dataset, longest: &[u64]) -> Parsed<Data> {
    if dataset.null {
        return Err("empty: it has a null dataspace".into());
    }
    let file = &dataset.file;
    let mut stored = StoredType::parse(&dataset.body(MSG_DATATYPE)?.ok_or("data set without a datatype")?)?;
    let layout = dataset.body(MSG_DATA_LAYOUT)?.ok_or("data set without a data layout")?;
    let mut shape = dataset.shape.clone();
    let fill = fill(dataset, stored.size)?;
    let place = if let Some(files) = dataset.body(MSG_EXTERNAL_FILES)? {
        external::place(dataset, &files, stored.size)?
    } else if virtual_set::is_virtual(&layout) {
        let (own, place) = virtual_set::place(dataset, &layout, &stored, fill.as_deref())?;
        stored = own;
        place
    } else {
        let layout = Layout::parse(file, &layout, dataset, stored.size)?;
        // Along an unlimited dimension of netCDF, a variable that was not written to the end is as long as the dimension.
        if layout.is_chunked() {
            shape.iter_mut().zip(longest).for_each(|(n, longest)| *n = (*n).max(*longest));
        }
        let filters = match dataset.body(MSG_FILTER_PIPELINE)? {
            Some(body) => {
                filter_pipeline::parse(&mut Cursor::new(&body), file.offset_size, file.length_size, body.len())
                    .map_err(|e| Reason::from(e).at("filter pipeline"))?
                    .filters
            }
            None => Vec::new(),
        };
        let codecs = filters.iter().map(|f| codec(f, stored.size)).collect::<Parsed<Vec<_>>>()?;
        chunks::place(file, dataset, &shape, layout, &codecs, stored.size)?
    };
    Ok(Data { stored, shape, place, fill })
}

/// The fill value message's bytes (file format specification, IV.A.2.e and f), one element of `size` bytes; the old message
/// counts where there is no new one.
fn fill(dataset: &Dataset, size: u32) -> Parsed<Option<Vec<u8>>> {
    let (o, l) = (dataset.file.offset_size, dataset.file.length_size);
    let message = if let Some(body) = dataset.body(MSG_FILL_VALUE)? {
        fill_value::parse_new(&mut Cursor::new(&body), o, l, body.len()).map_err(|e| Reason::from(e).at("fill value"))?
    } else if let Some(body) = dataset.body(MSG_FILL_VALUE_OLD)? {
        fill_value::parse_old(&mut Cursor::new(&body), o, l, body.len()).map_err(|e| Reason::from(e).at("fill value"))?
    } else {
        return Ok(None);
    };
    match message.value.filter(|_| message.defined) {
        Some(bytes) if bytes.len() != size as usize => Err(format!("fill value of {} bytes for a type of {size}", bytes.len()).into()),
        value => Ok(value),
    }
}
