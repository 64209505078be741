//! Whole arrays outside of any cube: coordinates while indexing, and `inspect`.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::ArrayRef;

use super::chunk;
use super::column::{Cells, Column};
use super::copy::{Copy, strides};
use super::fetch::{self, ChunkBytes, Fetched};
use super::plan::{self, ColumnPlan, References, Source};
use super::{BroadcastAxis, decode};
use crate::array::{ChunkManifest, DataType, Encoding, Extent};
use crate::catalog::Granule;
use crate::format::IndexedArray;
use crate::object::{ObjectReader, Objects, VersionedObject};
use crate::{Error, Result};

/// Stored values of a whole array in native byte order, C order; of an array of [`DataType::Text`] a JSON list of strings.
/// Refused with [`Error::Resources`] when they would take more than `limit` bytes.
/// `object` and `further` are those of the array's granule.
pub async fn read_whole(
    objects: &Objects,
    object: &ObjectReader,
    further: &[VersionedObject],
    array: &IndexedArray,
    limit: u64,
) -> Result<Vec<u8>> {
    let open = OpenArray::new(objects, object, further, array)?;
    let extent = Extent::of_shape(&array.metadata.shape);
    open.check_size(&extent, limit)?;
    open.stored(&extent).await
}

/// Stored native-order bytes of any number of cells to values, NULL where missing. For [`DataType::Text`]: a JSON list.
pub fn decode_cells(stored: &[u8], encoding: &Encoding) -> Result<ArrayRef> {
    let bad = |what: String| Error::Internal(format!("stored cells of {}: {what}", encoding.stored.name()));
    if encoding.stored == DataType::Text {
        let texts: Vec<Option<String>> = serde_json::from_slice(stored).map_err(|e| bad(e.to_string()))?;
        return one_part(texts.len(), Cells::Texts(&texts), encoding);
    }
    let size = encoding.stored.size();
    if size == 0 || !stored.len().is_multiple_of(size) {
        return Err(bad(format!("{} bytes are not a whole number of cells", stored.len())));
    }
    one_part(stored.len() / size, Cells::Stored(stored), encoding)
}

fn one_part(cells: usize, source: Cells<'_>, encoding: &Encoding) -> Result<ArrayRef> {
    let mut column = Column::new(encoding.decoded, cells, true, true);
    column.add(source, encoding, &Copy::new(&[cells], &[1], &[1], 0, 0))?;
    column.finish(&[BroadcastAxis { len: cells, own: true }], encoding.time)
}

/// One array of a granule that is in no catalog.
pub(crate) struct OpenArray {
    objects: Objects,
    source: Source,
    manifest: Arc<ChunkManifest>,
    /// The array that masks it.
    mask: Option<(Source, Arc<ChunkManifest>)>,
}

impl OpenArray {
    /// Copies what reading needs out of the index. `object` and `further` are those of the array's granule.
    pub(crate) fn new(objects: &Objects, object: &ObjectReader, further: &[VersionedObject], array: &IndexedArray) -> Result<OpenArray> {
        let granule = Granule {
            id: 0,
            location: object.location().into(),
            version: object.version().clone(),
            format: String::new(),
            arrays: vec![Arc::new(array.metadata.clone())],
            refused: Vec::new(),
            attributes: Arc::default(),
            objects: further.to_vec(),
        };
        let source = Source::new(Arc::new(granule), 0)?;
        Ok(OpenArray { objects: objects.clone(), source, manifest: Arc::new(array.manifest.clone()), mask: None })
    }

    /// The same array, masked by another of its granule: needed for values by an encoding with a mask.
    pub(crate) fn masked_by(mut self, mask: &IndexedArray) -> Result<OpenArray> {
        let mut granule = self.source.granule.as_ref().clone();
        granule.arrays.push(Arc::new(mask.metadata.clone()));
        let granule = Arc::new(granule);
        self.source = Source::new(Arc::clone(&granule), 0)?;
        self.mask = Some((Source::new(granule, 1)?, Arc::new(mask.manifest.clone())));
        Ok(self)
    }

    /// Refuses an extent whose stored cells take more than `limit` bytes.
    fn check_size(&self, extent: &Extent, limit: u64) -> Result<()> {
        let array = self.source.metadata();
        let size = array.data_type.size().max(1) as u64;
        let bytes = extent.cells().saturating_mul(size);
        if bytes > limit {
            let name = chunk::name(&self.source.granule, array);
            return Err(Error::Resources(format!("{name}: {} cells of {size} bytes are more than {limit} bytes", extent.cells())));
        }
        Ok(())
    }

    fn plan(&self, extent: &Extent, encoding: &Arc<Encoding>) -> Result<Vec<ColumnPlan>> {
        self.check_size(extent, 1 << 31)?;
        let shape: Vec<usize> = extent.shape().into_iter().map(|n| n as usize).collect();
        let cells = if extent.is_empty() { 0 } else { shape.iter().product() };
        let axes = shape.iter().map(|&len| BroadcastAxis { len, own: true }).collect();
        let (decoded, time, parts) = (encoding.decoded, encoding.time, Vec::new());
        let mut column = ColumnPlan { decoded, time, cells, axes, parts, masked_by: None, is_mask: false };
        if cells > 0 {
            plan::parts(
                &self.source,
                &mut References::whole(&self.manifest),
                encoding,
                extent.ranges(),
                &strides(&shape),
                0,
                &mut column.parts,
            )?;
        }
        if encoding.mask.is_none() {
            return Ok(vec![column]);
        }
        let Some((source, manifest)) = &self.mask else {
            return Err(Error::Internal(format!("{}: its mask is not open", chunk::name(&self.source.granule, self.source.metadata()))));
        };
        let mut mask = column.mask();
        if cells > 0 {
            plan::mask_parts(&self.source, source, &mut References::whole(manifest), extent.ranges(), &strides(&shape), 0, &mut mask)?;
        }
        column.masked_by = Some(1);
        Ok(vec![column, mask])
    }

    async fn fetch(&self, extent: &Extent, encoding: &Arc<Encoding>) -> Result<Fetched> {
        let plans = self.plan(extent, encoding)?;
        fetch::fetch(&self.objects, None, extent.clone(), plans).await
    }

    /// The values of an extent (inside the array's shape), C order.
    pub(crate) async fn values(&self, extent: &Extent, encoding: &Arc<Encoding>) -> Result<ArrayRef> {
        let fetched = self.fetch(extent, encoding).await?;
        let (mut tile, _) = decode::tile(fetched, None, None)?;
        tile.columns.pop().ok_or_else(|| Error::Internal("a tile without its column".into()))
    }

    /// The stored cells of an extent (inside the array's shape), native byte order, C order.
    pub(crate) async fn stored(&self, extent: &Extent) -> Result<Vec<u8>> {
        let array = self.source.metadata();
        let encoding = Arc::new(Encoding::identity(array.data_type));
        let fetched = self.fetch(extent, &encoding).await?;
        let Some((plan, chunks)) = fetched.columns.into_iter().next() else { return Ok(Vec::new()) };
        if array.data_type == DataType::Text {
            return texts_to_json(plan, chunks);
        }
        let size = array.data_type.size();
        let outside = || Error::Internal("a copy reaches out of its chunk or its array".into());
        let bytes = |at: usize, count: usize| -> Range<usize> { at * size..(at + count) * size };
        let mut stored = vec![0; plan.cells * size];
        for (part, chunk_bytes) in plan.parts.iter().zip(chunks) {
            if matches!(chunk_bytes, ChunkBytes::Missing) {
                let fill = chunk::fill_cell(array);
                part.copy.runs(|_, to, count| {
                    let target = stored.get_mut(bytes(to, count)).ok_or_else(outside)?;
                    target.chunks_exact_mut(size.max(1)).for_each(|cell| cell.copy_from_slice(&fill));
                    Ok(())
                })?;
                continue;
            }
            let cells = decode::cells(part, chunk_bytes, None, None)?;
            part.copy.runs(|from, to, count| {
                let run = cells.get(bytes(from, count)).ok_or_else(outside)?;
                stored.get_mut(bytes(to, count)).ok_or_else(outside)?.copy_from_slice(run);
                Ok(())
            })?;
        }
        Ok(stored)
    }
}

fn texts_to_json(plan: ColumnPlan, chunks: Vec<ChunkBytes>) -> Result<Vec<u8>> {
    use arrow::array::AsArray;
    let texts = decode::column(&plan, chunks, None, None)?;
    let texts: Vec<Option<&str>> = texts.as_string_opt::<i32>().map(|t| t.iter().collect()).unwrap_or_default();
    serde_json::to_vec(&texts).map_err(|e| Error::Internal(format!("texts to JSON: {e}")))
}
