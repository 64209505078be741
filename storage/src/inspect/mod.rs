//! What is in a file: arrays, axes, chunks, codecs, CRS, missing values; on demand values and statistics. Headers only
//! unless values are asked for. The program prints it (`graticule inspect`), as JSON or for people.

mod display;
mod kerchunk;
mod statistics;
mod stores;
mod value;

use std::sync::Arc;

use serde_json::{Value, json};

use crate::array::{ArrayMetadata, Attributes, Encoding, Extent};
use crate::convention::{self, Described};
use crate::format::{self, IndexedArray, IndexedGranule, Refused};
use crate::object::{ObjectReader, Objects};
use crate::read::OpenArray;
use crate::{Error, Result};
pub use kerchunk::{References, references};
pub use statistics::Statistics;

/// What to look at.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct InspectOptions {
    /// Read all data: count, min, max, mean of the values that are not missing.
    pub stats: bool,
    /// Only this array, by its path (`/air`).
    pub array: Option<String>,
    /// Give the values at these indices (slowest axis first) of the one array.
    pub at: Vec<Vec<u64>>,
    /// Values as stored: no packing, no missing data, times as numbers.
    pub raw: bool,
}

/// What is in a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Inspection {
    /// Canonical path or URL.
    pub location: String,
    /// Bytes of the file.
    pub size: u64,
    /// `netcdf4`, `hdf5`, `geotiff` ...
    pub format: String,
    /// Requests that reading the headers and coordinates took.
    pub requests: u64,
    /// Bytes that these brought.
    pub bytes: u64,
    /// Attributes of the root.
    pub attributes: Attributes,
    /// Its arrays, in the file's order.
    pub arrays: Vec<InspectedArray>,
    /// What is not read, and why.
    pub refused: Vec<Refused>,
    /// What had to be guessed or ignored.
    pub warnings: Vec<String>,
}

/// One array of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct InspectedArray {
    /// As the format describes it.
    pub metadata: ArrayMetadata,
    /// Bytes that its chunks take in the file.
    pub stored_bytes: u64,
    /// Chunks that were written (unknown where each is an object of its own), and all chunks.
    pub chunks: (Option<u64>, u64),
    /// From stored cells to values; instants where the array holds times in a real-world calendar.
    pub encoding: Encoding,
    /// `EPSG:4326` or WKT.
    pub crs: Option<String>,
    /// First and last coordinate of each axis that has coordinates: `time 2013-01-01T00:00:00 .. 2014-12-31T18:00:00`.
    pub axes: Vec<String>,
    /// Of an overview: the path of the array that it shows, and that array's cells to one of its own along each axis.
    pub overview_of: Option<(String, Vec<f64>)>,
    /// The path of the array that says where this one is missing.
    pub masked_by: Option<String>,
    /// When asked for; `Some(None)` for texts, which have none.
    pub stats: Option<Option<Statistics>>,
    /// The values asked for: index and value as JSON (missing: null; NaN and infinities: texts).
    pub values_at: Vec<(Vec<u64>, Value)>,
}

/// Looks into the file at `location`.
///
/// Errors: those of opening and indexing it; [`Error::Unsupported`] for one of which nothing is read; [`Error::NotFound`] for an array that it does not hold; [`Error::User`] for
/// an index outside of the array. An array whose data cannot be read becomes [`Inspection::refused`], unless it was asked
/// for by name.
pub async fn inspect(objects: &Objects, location: &str, options: InspectOptions) -> Result<Inspection> {
    let listed = objects.list(location).await?;
    if let Some(inspection) = stores::inspect(objects, location, &listed, &options).await? {
        return Ok(inspection);
    }
    match listed.as_slice() {
        [one] => inspect_one(objects, one.clone(), options).await,
        several => Err(Error::User(format!("{location} names {} files; inspect looks into one", several.len()))),
    }
}

/// Looks into one file or chunk store.
async fn inspect_one(objects: &Objects, location: String, options: InspectOptions) -> Result<Inspection> {
    let object = objects.open(&location).await?;
    let granule = format::index(&object).await?;
    refuse_if_nothing_is_read(&location, &granule)?;
    let mut inspection = Inspection {
        location,
        size: object.size(),
        format: granule.format.clone(),
        requests: 0,
        bytes: 0,
        attributes: granule.attributes.clone(),
        arrays: Vec::new(),
        refused: granule.refused.clone(),
        warnings: Vec::new(),
    };
    let chosen = choose(&granule, &options)?;
    let described = match convention::describe(objects, &object, &granule).await {
        Ok(described) => described,
        Err(e) => Described { warnings: vec![format!("axes could not be read: {e}")], ..Described::default() },
    };
    (inspection.requests, inspection.bytes) = (object.requests(), object.bytes());
    inspection.warnings.clone_from(&described.warnings);
    for number in chosen {
        for warning in convention::encoding_warnings(&granule, number) {
            if !inspection.warnings.contains(&warning) {
                inspection.warnings.push(warning);
            }
        }
        let mut array = describe(&granule, number, &described)?;
        match read(objects, &object, &granule, number, &mut array, &options).await {
            Ok(()) => inspection.arrays.push(array),
            Err(e @ (Error::Data { .. } | Error::Unsupported { .. })) if options.array.is_none() => {
                inspection.refused.push(Refused { path: array.metadata.path, reason: e.to_string() });
            }
            Err(e) => return Err(e),
        }
    }
    Ok(inspection)
}

/// A file of which nothing is read is an error that tells why.
fn refuse_if_nothing_is_read(location: &str, granule: &IndexedGranule) -> Result<()> {
    if !granule.arrays.is_empty() || granule.refused.is_empty() {
        return Ok(());
    }
    let reason = |r: &Refused| match r.path.as_str() {
        "/" => r.reason.clone(),
        path => format!("{path}: {}", r.reason),
    };
    let mut reasons: Vec<String> = granule.refused.iter().take(4).map(reason).collect();
    if granule.refused.len() > reasons.len() {
        reasons.push(format!("and {} more", granule.refused.len() - reasons.len()));
    }
    let reasons = reasons.join("; ");
    Err(Error::unsupported(location, reasons.strip_prefix("unsupported ").unwrap_or(&reasons)))
}

/// Numbers of the arrays to look at.
fn choose(granule: &IndexedGranule, options: &InspectOptions) -> Result<Vec<usize>> {
    let Some(wanted) = &options.array else {
        if !options.at.is_empty() && granule.arrays.len() != 1 {
            return Err(Error::User(format!("values at an index need the array: the file holds {}", granule.arrays.len())));
        }
        return Ok((0..granule.arrays.len()).collect());
    };
    let path = format!("/{}", wanted.trim_start_matches('/'));
    if let Some(number) = granule.arrays.iter().position(|a| a.metadata.path == path) {
        return Ok(vec![number]);
    }
    if let Some(refused) = granule.refused.iter().find(|r| r.path == path) {
        return Err(Error::unsupported(path, refused.reason.clone()));
    }
    let mut paths: Vec<&str> = granule.arrays.iter().map(|a| a.metadata.path.as_str()).collect();
    paths.sort_by_key(|p| std::cmp::Reverse((strsim::jaro_winkler(p, &path) * 1e6) as u64));
    let near: Vec<&str> = paths.into_iter().take(3).collect();
    Err(Error::NotFound(format!("there is no array {path}; the nearest names are {}", near.join(", "))))
}

fn indexed(granule: &IndexedGranule, number: usize) -> Result<&IndexedArray> {
    granule.arrays.get(number).ok_or_else(|| Error::Internal(format!("there is no array {number}")))
}

fn describe(granule: &IndexedGranule, number: usize, described: &Described) -> Result<InspectedArray> {
    let IndexedArray { metadata, manifest } = indexed(granule, number)?;
    let variable = described.variables.iter().find(|v| v.array == number);
    let encoding = variable.map(|v| v.encoding.clone());
    let encoding = encoding.or_else(|| convention::time_encoding_of(granule, number));
    let encoding = encoding.unwrap_or_else(|| convention::encoding_of(granule, number));
    let overview = described.overviews.iter().find(|o| o.array == number);
    let path = |number: usize| granule.arrays.get(number).map(|a| a.metadata.path.clone());
    let axes = variable.map(|v| &v.axes).or(overview.map(|o| &o.axes));
    let written = manifest.chunks.iter().filter(|c| !matches!(c, crate::array::ChunkRef::Missing)).count() as u64;
    let written = manifest.keys.is_none().then_some(written);
    Ok(InspectedArray {
        metadata: metadata.clone(),
        stored_bytes: manifest.stored_bytes(),
        chunks: (written, metadata.chunk_grid().len()),
        crs: variable.and_then(|v| v.crs.clone()),
        axes: axes.map(|axes| axes.iter().filter_map(display::axis).collect()).unwrap_or_default(),
        overview_of: overview.and_then(|o| Some((path(o.of)?, o.factor.clone()))),
        masked_by: encoding.mask.and_then(|mask| path(mask as usize)),
        encoding,
        stats: None,
        values_at: Vec::new(),
    })
}

/// Reads what the options ask for.
async fn read(
    objects: &Objects,
    object: &ObjectReader,
    granule: &IndexedGranule,
    number: usize,
    array: &mut InspectedArray,
    options: &InspectOptions,
) -> Result<()> {
    if !options.stats && options.at.is_empty() {
        return Ok(());
    }
    let (metadata, indexed) = (&array.metadata, indexed(granule, number)?);
    let mut open = OpenArray::new(objects, object, &granule.objects, indexed)?;
    if let Some(mask) = array.encoding.mask {
        open = open.masked_by(self::indexed(granule, mask as usize)?)?;
    }
    if options.stats {
        // Of times the numbers in the file's units; their mean as an instant would say little.
        let encoding = match options.raw {
            true => Encoding::identity(metadata.data_type),
            false if array.encoding.time.is_some() => convention::encoding_of(granule, number),
            false => array.encoding.clone(),
        };
        array.stats = Some(match metadata.data_type.is_text() {
            true => None,
            false => Some(statistics::of(&open, metadata, &Arc::new(encoding)).await?),
        });
    }
    let encoding = Arc::new(array.encoding.clone());
    for index in &options.at {
        let inside = index.len() == metadata.shape.len() && index.iter().zip(&metadata.shape).all(|(i, n)| i < n);
        if !inside {
            return Err(Error::User(format!("index {index:?} is outside of {}, whose shape is {:?}", metadata.path, metadata.shape)));
        }
        let cell = Extent::new(index.iter().map(|&i| i..i + 1).collect());
        let value = match options.raw {
            true => value::stored(&open.stored(&cell).await?, metadata.data_type)?,
            false => value::decoded(&open.values(&cell, &encoding).await?)?,
        };
        array.values_at.push((index.clone(), value));
    }
    Ok(())
}

impl Inspection {
    /// As JSON; its keys are part of the public interface.
    pub fn to_json(&self) -> Value {
        json!({
            "format": self.format,
            "requests": self.requests,
            "bytes": self.bytes,
            "attributes": self.attributes.to_json(),
            "arrays": self.arrays.iter().map(InspectedArray::to_json).collect::<Vec<_>>(),
            "refused": self.refused.iter().map(|r| json!({"path": r.path, "reason": r.reason})).collect::<Vec<_>>(),
            "warnings": self.warnings,
        })
    }
}

impl InspectedArray {
    /// Name of the type of its values: numpy's.
    pub fn decoded_dtype(&self) -> String {
        match self.encoding.time {
            Some(crate::array::TimeUnit::Second) => "datetime64[s]".into(),
            Some(crate::array::TimeUnit::Microsecond) => "datetime64[us]".into(),
            Some(crate::array::TimeUnit::Nanosecond) => "datetime64[ns]".into(),
            None => self.encoding.decoded.name(),
        }
    }

    fn to_json(&self) -> Value {
        let metadata = &self.metadata;
        let mut json = json!({
            "path": metadata.path,
            "dims": metadata.dimensions,
            "shape": metadata.shape,
            "dtype": metadata.data_type.name(),
            "decoded_dtype": self.decoded_dtype(),
            "chunks": metadata.chunk_shape,
            "codecs": metadata.codecs.iter().map(|c| c.name()).collect::<Vec<_>>(),
            "crs": self.crs,
            "attributes": metadata.attributes.to_json(),
        });
        if let Some((of, factor)) = &self.overview_of {
            json["overview_of"] = json!({"path": of, "factor": factor});
        }
        if let Some(mask) = &self.masked_by {
            json["masked_by"] = mask.as_str().into();
        }
        if let Some(stats) = &self.stats {
            json["stats"] = stats.map_or(Value::Null, Statistics::to_json);
        }
        if !self.values_at.is_empty() {
            json["values_at"] = self.values_at.iter().map(|(index, value)| json!({"index": index, "value": value})).collect();
        }
        json
    }
}

#[cfg(test)]
mod tests;
