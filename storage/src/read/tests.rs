//! Tiles of in-memory cubes over real files: crops, edges, broadcast, gaps and fill values against a model that looks at
//! one cell at a time; and what happens when files lie.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{Float32Type, Float64Type, Int32Type};
use proptest::prelude::*;

use super::plan::Index;
use super::*;
use crate::array::*;
use crate::catalog::*;
use crate::codec::Codec;

/// Granules of one file each, and their manifests.
#[derive(Default)]
struct InMemory {
    granules: HashMap<GranuleId, Arc<Granule>>,
    manifests: HashMap<(GranuleId, u32), Arc<ChunkManifest>>,
}

impl Index for InMemory {
    fn granule(&self, id: GranuleId) -> Result<Arc<Granule>> {
        self.granules.get(&id).cloned().ok_or_else(|| Error::Internal("no granule".into()))
    }

    /// Three chunks a page.
    fn page(&self, granule: GranuleId, array: u32, chunk: u64) -> Result<ChunkPage> {
        let manifest = self.manifests.get(&(granule, array)).ok_or_else(|| Error::Internal("no manifest".into()))?;
        if manifest.keys.is_some() {
            return Ok(ChunkPage { chunks: 0..u64::MAX, manifest: Arc::clone(manifest) });
        }
        let first = chunk / 3 * 3;
        let chunks = manifest.chunks.iter().skip(first as usize).take(3).cloned().collect();
        Ok(ChunkPage { chunks: first..first + 3, manifest: Arc::new(ChunkManifest::new(chunks)) })
    }
}

/// Numbers that look random and are the same every time.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// A cube, and the value of each cell of each variable on its own axes (C order).
struct Made {
    reader: Reader,
    cube: Arc<Cube>,
    model: Vec<Vec<Option<f64>>>,
    _folder: tempfile::TempDir,
}

pub(super) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

pub(super) fn metadata(shape: Vec<u64>, chunk_shape: Vec<u64>, data_type: DataType) -> ArrayMetadata {
    ArrayMetadata {
        path: "/v".into(),
        dimensions: shape.iter().map(|n| format!("d{n}")).collect(),
        shape,
        data_type,
        byte_order: ByteOrder::Little,
        chunk_shape,
        edge: EdgeChunks::Clipped,
        codecs: vec![],
        fill_value: None,
        attributes: Attributes::default(),
    }
}

fn granule(id: GranuleId, location: &str, arrays: Vec<ArrayMetadata>) -> Granule {
    let version = runtime().block_on(Objects::anywhere().version(location)).unwrap();
    Granule {
        id,
        location: location.into(),
        version,
        format: "test".into(),
        arrays: arrays.into_iter().map(Arc::new).collect(),
        refused: vec![],
        attributes: Arc::default(),
        objects: vec![],
    }
}

fn cube_of(axes: &[u64], variables: Vec<CubeVariable>) -> Cube {
    Cube {
        name: "c".into(),
        grid: Grid { axes: axes.iter().enumerate().map(|(i, &n)| Axis::of_positions(format!("a{i}"), n)).collect(), crs: None },
        variables,
        attributes: Attributes::default(),
        definition: Arc::new(CubeDefinition::default()),
        generation: 1,
    }
}

const STORED: [(DataType, DataType); 3] =
    [(DataType::Int16, DataType::Float32), (DataType::Float64, DataType::Float64), (DataType::Int32, DataType::Int32)];

fn encoding(number: usize) -> Encoding {
    let (stored, decoded) = STORED[number];
    let packed = decoded == DataType::Float32;
    Encoding {
        decoded,
        scale: if packed { 0.5 } else { 1.0 },
        offset: if packed { 10.0 } else { 0.0 },
        missing: vec![Scalar::Int(-9)],
        ..Encoding::identity(stored)
    }
}

fn store(number: usize, value: i64, order: ByteOrder) -> Vec<u8> {
    let mut bytes = match STORED[number].0 {
        DataType::Int16 => (value as i16).to_ne_bytes().to_vec(),
        DataType::Int32 => (value as i32).to_ne_bytes().to_vec(),
        _ if value == -8 => f64::NAN.to_ne_bytes().to_vec(),
        _ => (value as f64).to_ne_bytes().to_vec(),
    };
    if (order == ByteOrder::Big) == cfg!(target_endian = "little") {
        bytes.reverse();
    }
    bytes
}

fn value(number: usize, stored: i64) -> Option<f64> {
    let e = encoding(number);
    let nan = stored == -8 && e.stored == DataType::Float64;
    (stored != -9 && !nan).then_some(stored as f64 * e.scale + e.offset)
}

/// The position of a cell in a C-order buffer.
fn position(shape: &[u64], at: &[u64]) -> usize {
    shape.iter().zip(at).fold(0, |p, (n, i)| p * n + i) as usize
}

/// All cells of a box, C order.
fn cells(extent: &Extent) -> Vec<Vec<u64>> {
    extent.ranges().iter().fold(vec![vec![]], |all, r| {
        all.into_iter().flat_map(|at: Vec<u64>| r.clone().map(move |i| [at.as_slice(), &[i]].concat())).collect()
    })
}

fn make(seed: u64) -> Made {
    let mut random = Random(seed);
    let folder = tempfile::tempdir().unwrap();
    let axes: Vec<u64> = (0..1 + random.below(4)).map(|_| 1 + random.below(9)).collect();
    let (mut index, mut variables, mut model) = (InMemory::default(), vec![], vec![]);
    for (number, &(_, decoded)) in STORED.iter().enumerate() {
        let own: Vec<usize> = (0..axes.len()).filter(|_| !random.one_in(3)).collect();
        let shape: Vec<u64> = own.iter().map(|&a| axes[a]).collect();
        let mut values = vec![None; shape.iter().product::<u64>() as usize];
        let mut pieces = vec![];
        for extent in split(&shape, &mut random) {
            if !own.is_empty() && random.one_in(6) {
                continue; // a gap
            }
            let id = index.granules.len() as u64 + 1;
            pieces.push(make_piece(id, number, &extent, &shape, folder.path(), &mut random, &mut index, &mut values));
        }
        variables.push(CubeVariable::new(format!("v{number}"), own, decoded, None, pieces));
        model.push(values);
    }
    let cube = Arc::new(cube_of(&axes, variables));
    let settings = ReadSettings { cache_bytes: if random.one_in(4) { 0 } else { 1 << 20 }, threads: 1 };
    let reader = Reader::over(Objects::anywhere(), Arc::new(index), settings).unwrap();
    Made { reader, cube, model, _folder: folder }
}

/// Cuts a box along one axis.
fn split(shape: &[u64], random: &mut Random) -> Vec<Extent> {
    let whole = Extent::of_shape(shape);
    if shape.is_empty() {
        return vec![whole];
    }
    let axis = random.below(shape.len() as u64) as usize;
    let (mut start, mut parts) = (0, vec![]);
    while start < shape[axis] {
        let end = (start + 1 + random.below(4)).min(shape[axis]);
        let mut ranges = whole.ranges().to_vec();
        ranges[axis] = start..end;
        parts.push(Extent::new(ranges));
        start = end;
    }
    parts
}

/// Writes a file with the array of one piece and enters its cells into the model.
#[allow(clippy::too_many_arguments)]
fn make_piece(
    id: GranuleId,
    number: usize,
    extent: &Extent,
    shape: &[u64],
    folder: &std::path::Path,
    random: &mut Random,
    index: &mut InMemory,
    model: &mut [Option<f64>],
) -> Piece {
    // Dimensions of the array: the axis of the variable, if any, cells before and after the piece, and the chunk's side.
    struct Dimension {
        axis: Option<usize>,
        before: u64,
        len: u64,
        side: u64,
    }
    let (mut dimensions, mut offset, mut chunk_shape) = (vec![], vec![0; extent.ndim()], vec![1; extent.ndim()]);
    for (axis, r) in extent.ranges().iter().enumerate() {
        let cells = r.end - r.start;
        if cells == 1 && random.one_in(3) {
            continue; // the file lacks this axis
        }
        if random.one_in(6) {
            dimensions.push(Dimension { axis: None, before: 0, len: 1, side: 1 + random.below(3) });
        }
        let (before, after) = if random.one_in(3) { (random.below(3), random.below(3)) } else { (0, 0) };
        let len = before + cells + after;
        let side = 1 + random.below(len + 1);
        (offset[axis], chunk_shape[axis]) = (before, side);
        dimensions.push(Dimension { axis: Some(axis), before, len, side });
    }
    let mut array = metadata(dimensions.iter().map(|d| d.len).collect(), dimensions.iter().map(|d| d.side).collect(), STORED[number].0);
    array.edge = if random.one_in(2) { EdgeChunks::Padded } else { EdgeChunks::Clipped };
    array.byte_order = if random.one_in(3) { ByteOrder::Big } else { ByteOrder::Little };
    array.fill_value = [None, Some(Scalar::Int(-9)), Some(Scalar::Int(7))][random.below(3) as usize];
    let fill = array.fill_value.map_or(0, |f| f.as_f64() as i64);
    if random.one_in(2) {
        array.codecs.push(Codec::Shuffle { element: array.data_type.size() as u32 });
    }
    let grid = array.chunk_grid();
    let (mut bytes, mut chunks) = (vec![0xAA; random.below(20) as usize], vec![]);
    for at in cells(&Extent::of_shape(&grid.counts())) {
        let inside = grid.extent(&at);
        let written = if random.one_in(5) { None } else { Some(random.below(1 << 40)) };
        let stored = chunk::stored_shape(&array, &at);
        let mut chunk = vec![];
        for cell in cells(&Extent::at(&inside.origin(), &stored)) {
            let own = written.map_or(fill, |salt| Random(salt + position(&stored, &cell) as u64).below(60) as i64 - 10);
            chunk.push(store(number, own, array.byte_order));
            // The cell of the variable that lies here, if it is one.
            let mut place: Vec<u64> = extent.origin();
            let belongs = dimensions.iter().zip(&cell).all(|(d, &i)| match d.axis {
                Some(axis) if i >= d.before && i - d.before < extent.shape()[axis] => {
                    place[axis] += i - d.before;
                    true
                }
                Some(_) => false,
                None => i == 0,
            });
            if belongs {
                model[position(shape, &place)] = value(number, own);
            }
        }
        if written.is_none() {
            chunks.push(ChunkRef::Missing);
            continue;
        }
        let size = array.data_type.size();
        let shuffle = !array.codecs.is_empty() && !random.one_in(4);
        let data: Vec<u8> = match shuffle {
            true => (0..size).flat_map(|b| chunk.iter().map(move |c| c[b])).collect(),
            false => chunk.concat(),
        };
        if random.one_in(6) && (shuffle || array.codecs.is_empty()) {
            chunks.push(ChunkRef::Inline(data.into()));
            continue;
        }
        bytes.extend(std::iter::repeat_n(0x55, random.below(9) as usize));
        let skip = u32::from(!array.codecs.is_empty() && !shuffle);
        chunks.push(ChunkRef::Stored { object: 0, offset: bytes.len() as u64, length: data.len() as u64, skip });
        bytes.extend(data);
    }
    let path = folder.join(format!("{id}"));
    std::fs::write(&path, &bytes).unwrap();
    index.granules.insert(id, Arc::new(granule(id, path.to_str().unwrap(), vec![array])));
    index.manifests.insert((id, 0), Arc::new(ChunkManifest::new(chunks)));
    Piece { granule: id, array: 0, extent: extent.clone(), offset, chunk_shape, stored_bytes: 0, encoding: Arc::new(encoding(number)) }
}

fn values(array: &ArrayRef) -> Vec<Option<f64>> {
    match array.data_type() {
        arrow::datatypes::DataType::Float32 => array.as_primitive::<Float32Type>().iter().map(|v| v.map(f64::from)).collect(),
        arrow::datatypes::DataType::Float64 => array.as_primitive::<Float64Type>().iter().collect(),
        _ => array.as_primitive::<Int32Type>().iter().map(|v| v.map(f64::from)).collect(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn tiles_hold_what_the_model_holds(seed: u64) {
        let made = make(seed);
        let runtime = runtime();
        let mut random = Random(seed ^ 1);
        let shape = made.cube.grid.shape();
        for _ in 0..3 {
            let ranges = shape.iter().map(|&n| { let a = random.below(n); a..a + 1 + random.below(n - a) }).collect();
            let request = TileRequest { extent: Extent::new(ranges), variables: vec![2, 0, 1] };
            let estimate = made.reader.estimate(&made.cube, std::slice::from_ref(&request)).unwrap();
            for _again in [false, true] {
                let fetched = runtime.block_on(made.reader.fetch(&made.cube, request.clone())).unwrap();
                let tile = made.reader.decode(fetched).unwrap();
                prop_assert!(tile.metrics.chunks_read <= estimate.chunks);
                for (&number, column) in request.variables.iter().zip(&tile.columns) {
                    let variable = &made.cube.variables[number];
                    let want: Vec<_> = cells(&request.extent).iter().map(|at| {
                        let own: Vec<u64> = variable.axes.iter().map(|&a| at[a]).collect();
                        let own_shape: Vec<u64> = variable.axes.iter().map(|&a| shape[a]).collect();
                        made.model[number][position(&own_shape, &own)]
                    }).collect();
                    prop_assert_eq!(column.data_type(), &variable.arrow_type());
                    prop_assert_eq!(values(column), want, "{} {}", &variable.name, &request.extent);
                }
            }
        }
    }
}

/// A cube of one variable that is one array with one chunk a row of `chunk_shape`.
fn one_array(array: ArrayMetadata, encoding: Encoding, chunks: Vec<ChunkRef>, file: &std::path::Path) -> (Reader, Arc<Cube>) {
    let granule = granule(1, file.to_str().unwrap(), vec![array]);
    one_granule(granule, encoding, ChunkManifest::new(chunks), Objects::anywhere())
}

/// A cube of one variable without packing, whose granule has further objects.
pub(super) fn cube_over(
    array: ArrayMetadata,
    manifest: ChunkManifest,
    location: &str,
    further: Vec<crate::object::VersionedObject>,
    objects: Objects,
) -> (Reader, Arc<Cube>) {
    let encoding = Encoding::identity(array.data_type);
    let granule = Granule { objects: further, ..granule(1, location, vec![array]) };
    one_granule(granule, encoding, manifest, objects)
}

fn one_granule(granule: Granule, encoding: Encoding, manifest: ChunkManifest, objects: Objects) -> (Reader, Arc<Cube>) {
    let array = granule.arrays[0].clone();
    let extent = Extent::of_shape(&array.shape);
    let piece = Piece {
        granule: 1,
        array: 0,
        offset: vec![0; extent.ndim()],
        chunk_shape: array.chunk_shape.clone(),
        stored_bytes: 0,
        encoding: Arc::new(encoding.clone()),
        extent,
    };
    let variable = CubeVariable::new("v", (0..array.shape.len()).collect(), encoding.decoded, encoding.time, vec![piece]);
    let cube = Arc::new(cube_of(&array.shape, vec![variable]));
    let mut index = InMemory::default();
    index.granules.insert(1, Arc::new(granule));
    index.manifests.insert((1, 0), Arc::new(manifest));
    let settings = ReadSettings { cache_bytes: 1 << 28, threads: 1 };
    (Reader::over(objects, Arc::new(index), settings).unwrap(), cube)
}

pub(super) fn read(reader: &Reader, cube: &Arc<Cube>) -> Result<Tile> {
    let request = TileRequest { extent: cube.grid.extent(), variables: (0..cube.variables.len()).collect() };
    let fetched = runtime().block_on(reader.fetch(cube, request))?;
    reader.decode(fetched)
}

fn stored(offset: u64, length: u64) -> ChunkRef {
    ChunkRef::Stored { object: 0, offset, length, skip: 0 }
}

#[test]
fn texts_are_read_from_files_and_from_the_index() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), b"ab\0c\0\0xyz").unwrap();
    let fixed = metadata(vec![4], vec![2], DataType::FixedText(3));
    let fixed_chunks = vec![stored(0, 6), stored(6, 3)];
    // Contiguous text: the last chunk would be cut; here it is one cell short, which must be an error.
    let (reader, cube) = one_array(fixed.clone(), Encoding::identity(DataType::FixedText(3)), fixed_chunks.clone(), file.path());
    assert!(matches!(read(&reader, &cube), Err(Error::Data { range: Some(r), .. }) if r == (6..9)));
    let fixed = ArrayMetadata { shape: vec![3], ..fixed };
    let (reader, cube) = one_array(fixed, Encoding::identity(DataType::FixedText(3)), fixed_chunks, file.path());
    let texts: Vec<_> = read(&reader, &cube).unwrap().columns[0].as_string::<i32>().iter().map(|t| t.map(str::to_string)).collect();
    assert_eq!(texts, vec![Some("ab".into()), Some("c".into()), Some("xyz".into())]);
    let any = metadata(vec![2, 2], vec![1, 2], DataType::Text);
    let chunks = vec![ChunkRef::Inline(r#"["a",null]"#.into()), ChunkRef::Missing];
    let (reader, cube) = one_array(any.clone(), Encoding::identity(DataType::Text), chunks, file.path());
    let texts: Vec<_> = read(&reader, &cube).unwrap().columns[0].as_string::<i32>().iter().map(|t| t.map(str::to_string)).collect();
    assert_eq!(texts, vec![Some("a".into()), None, Some("".into()), Some("".into())]);
    for bad in [r#"["a"]"#, r#"[1,2]"#, "{"] {
        let chunks = vec![ChunkRef::Inline(bad.into()), ChunkRef::Missing];
        let (reader, cube) = one_array(any.clone(), Encoding::identity(DataType::Text), chunks, file.path());
        assert!(matches!(read(&reader, &cube), Err(Error::Data { .. })), "{bad}");
    }
}

#[test]
fn bad_chunks_are_errors_that_name_file_array_and_bytes() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), [0u8; 100]).unwrap();
    let plain = metadata(vec![10], vec![10], DataType::Int32);
    let identity = || Encoding::identity(DataType::Int32);
    let name = format!("{}:/v", file.path().display());
    let short = one_array(plain.clone(), identity(), vec![stored(8, 39)], file.path());
    let e = read(&short.0, &short.1).unwrap_err();
    assert!(matches!(&e, Error::Data { object, range: Some(r), .. } if *object == name && *r == (8..47)), "{e}");
    let deflated = ArrayMetadata { codecs: vec![Codec::Deflate], ..plain.clone() };
    let garbage = one_array(deflated, identity(), vec![stored(0, 40)], file.path());
    let e = read(&garbage.0, &garbage.1).unwrap_err();
    assert!(matches!(&e, Error::Data { object, range: Some(r), .. } if *object == name && *r == (0..40)), "{e}");
    for outside in [stored(70, 40), stored(u64::MAX, 40), stored(3, u64::MAX)] {
        let (reader, cube) = one_array(plain.clone(), identity(), vec![outside], file.path());
        let e = read(&reader, &cube).unwrap_err();
        assert!(matches!(&e, Error::Data { object, range: Some(_), .. } if *object == name), "{e}");
    }
    let huge = ArrayMetadata { chunk_shape: vec![1 << 40], ..plain.clone() };
    let (reader, cube) = one_array(huge, identity(), vec![stored(0, 40)], file.path());
    // Clipped chunks end with the array; padded ones claim all of it.
    assert!(read(&reader, &cube).is_ok());
    for side in [1 << 28, (1 << 28) + 1, u64::MAX] {
        let padded = ArrayMetadata { chunk_shape: vec![side], edge: EdgeChunks::Padded, ..plain.clone() };
        let (reader, cube) = one_array(padded, identity(), vec![stored(0, 40)], file.path());
        let e = read(&reader, &cube).unwrap_err();
        let refused = matches!(&e, Error::Unsupported { object, feature } if *object == name && feature.contains("1073741824"));
        assert_eq!(refused, side > 1 << 28, "{e}");
    }
}

#[test]
fn bands_and_members_of_the_same_bytes_are_fetched_and_decoded_once() {
    let field = |record, offset, length| Codec::Field { record, offset, length };
    same_bytes(|sample| vec![Codec::Interleave { samples: 3, sample, element: 2 }, Codec::Deflate]);
    same_bytes(|sample| vec![field(6, 2 * sample, 2), Codec::Deflate]);
    // The last two are members of a member, which is decoded further before it is shared.
    same_bytes(|sample| match sample {
        0 => vec![field(6, 0, 2), Codec::Deflate],
        _ => vec![field(4, 2 * (sample - 1), 2), field(6, 2, 4), Codec::Deflate],
    });
}

/// Reads three bands of int16, 0, 10 and 20 and their position's number, out of the same bytes.
fn same_bytes(codecs: impl Fn(u32) -> Vec<Codec>) {
    let file = tempfile::NamedTempFile::new().unwrap();
    let pixels: Vec<u8> = (0..4i16).flat_map(|p| [p, 10 + p, 20 + p]).flat_map(i16::to_be_bytes).collect();
    let mut compressor = libdeflater::Compressor::new(libdeflater::CompressionLvl::new(4).unwrap());
    let mut out = vec![0; compressor.zlib_compress_bound(pixels.len())];
    let n = compressor.zlib_compress(&pixels, &mut out).unwrap();
    std::fs::write(file.path(), &out[..n]).unwrap();
    let band = |sample| {
        let mut array = metadata(vec![2, 2], vec![2, 2], DataType::Int16);
        array.byte_order = ByteOrder::Big;
        array.codecs = codecs(sample);
        array
    };
    let mut index = InMemory::default();
    index.granules.insert(1, Arc::new(granule(1, file.path().to_str().unwrap(), (0..3).map(band).collect())));
    let encoding = Arc::new(Encoding::identity(DataType::Int16));
    let variables = (0..3).map(|array| {
        let piece = Piece {
            granule: 1,
            array,
            extent: Extent::of_shape(&[2, 2]),
            offset: vec![0, 0],
            chunk_shape: vec![2, 2],
            stored_bytes: n as u64,
            encoding: Arc::clone(&encoding),
        };
        CubeVariable::new(format!("band_{array}"), vec![0, 1], DataType::Int16, None, vec![piece])
    });
    let cube = Arc::new(cube_of(&[2, 2], variables.collect()));
    (0..3).for_each(|a| drop(index.manifests.insert((1, a), Arc::new(ChunkManifest::new(vec![stored(0, n as u64)])))));
    let reader = Reader::over(Objects::anywhere(), Arc::new(index), ReadSettings { cache_bytes: 1 << 20, threads: 1 }).unwrap();
    let request = TileRequest { extent: cube.grid.extent(), variables: vec![0, 1, 2] };
    assert_eq!(reader.estimate(&cube, &[request]).unwrap(), Estimate { chunks: 1, bytes: n as u64 });
    let tile = read(&reader, &cube).unwrap();
    assert_eq!(tile.metrics.bytes_read, n as u64);
    for (band, column) in tile.columns.iter().enumerate() {
        let values = column.as_primitive::<arrow::datatypes::Int16Type>().values().to_vec();
        assert_eq!(values, (0..4).map(|p| p + 10 * band as i16).collect::<Vec<_>>());
    }
}

#[test]
fn a_changed_file_is_an_error_even_when_its_chunks_are_cached() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), [1u8; 40]).unwrap();
    let array = metadata(vec![10], vec![10], DataType::Int32);
    let (reader, cube) = one_array(array, Encoding::identity(DataType::Int32), vec![stored(0, 40)], file.path());
    assert_eq!(read(&reader, &cube).unwrap().metrics.chunks_read, 1);
    let again = read(&reader, &cube).unwrap().metrics;
    assert_eq!((again.chunks_read, again.chunks_cached, again.bytes_read), (0, 1, 0));
    std::fs::write(file.path(), [2u8; 41]).unwrap();
    assert!(matches!(read(&reader, &cube), Err(Error::Changed { .. })));
    std::fs::remove_file(file.path()).unwrap();
    assert!(matches!(read(&reader, &cube), Err(Error::NotFound(_))));
}

#[test]
fn requests_outside_of_the_cube_are_refused_and_empty_ones_are_empty() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), [1u8; 40]).unwrap();
    let array = metadata(vec![10], vec![10], DataType::Int32);
    let (reader, cube) = one_array(array, Encoding::identity(DataType::Int32), vec![stored(0, 40)], file.path());
    let fetch = |range: std::ops::Range<u64>, variable| {
        runtime().block_on(reader.fetch(&cube, TileRequest { extent: Extent::new(vec![range]), variables: vec![variable] }))
    };
    assert!(fetch(0..11, 0).is_err());
    assert!(fetch(0..10, 1).is_err());
    let empty = reader.decode(fetch(4..4, 0).unwrap()).unwrap();
    assert_eq!((empty.columns[0].len(), empty.metrics.chunks_read), (0, 0));
    assert!(reader.cpu().install(|| std::thread::current().name().unwrap().starts_with("graticule-cpu-")));
}

#[test]
fn whole_arrays_and_their_values() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let bytes: Vec<u8> = (0..6i16).chain([100, 101]).flat_map(i16::to_be_bytes).collect();
    std::fs::write(file.path(), &bytes).unwrap();
    let mut array = metadata(vec![3, 3], vec![2, 2], DataType::Int16);
    (array.byte_order, array.fill_value) = (ByteOrder::Big, Some(Scalar::Int(-9)));
    // Chunks of 2x2, 2x1, 1x2, 1x1 cells.
    let chunks = vec![stored(0, 8), stored(8, 4), stored(12, 4), ChunkRef::Missing];
    let indexed = crate::format::IndexedArray { metadata: array, manifest: ChunkManifest::new(chunks) };
    let object = runtime().block_on(Objects::anywhere().open(file.path().to_str().unwrap())).unwrap();
    let whole = runtime().block_on(read_whole(object.objects(), &object, &[], &indexed, 18)).unwrap();
    let want: Vec<u8> = [0i16, 1, 4, 2, 3, 5, 100, 101, -9].iter().flat_map(|v| v.to_ne_bytes()).collect();
    assert_eq!(whole, want);
    assert!(matches!(runtime().block_on(read_whole(object.objects(), &object, &[], &indexed, 17)), Err(Error::Resources(_))));
    let decoded = decode_cells(&whole, &encoding(0)).unwrap();
    assert_eq!(
        values(&decoded),
        [0.0, 1.0, 4.0, 2.0, 3.0, 5.0, 100.0, 101.0].map(|v| Some(v / 2.0 + 10.0)).into_iter().chain([None]).collect::<Vec<_>>()
    );
    assert!(decode_cells(&whole[..17], &encoding(0)).is_err());
    let texts = decode_cells(br#"["a",null]"#, &Encoding::identity(DataType::Text)).unwrap();
    assert_eq!(texts.as_string::<i32>().iter().collect::<Vec<_>>(), vec![Some("a"), None]);
}

/// The chunks of the reference workload: packed 16-bit integers, 24x103x206, shuffled and deflated. Prints ns a cell.
#[test]
#[ignore = "measures; run with --nocapture in a release build"]
fn decoding_speed() {
    let (shape, chunk) = (vec![240u64, 103, 206], vec![24u64, 103, 206]);
    let cells_a_chunk: u64 = chunk.iter().product();
    let mut random = Random(1);
    let (mut bytes, mut chunks, mut level) = (vec![], vec![], 0i16);
    for _ in 0..10 {
        let cells: Vec<i16> = (0..cells_a_chunk)
            .map(|_| {
                level = level.wrapping_add(random.below(41) as i16 - 20);
                level
            })
            .collect();
        let shuffled: Vec<u8> = (0..2).flat_map(|b| cells.iter().map(move |c| c.to_le_bytes()[b])).collect();
        let mut compressor = libdeflater::Compressor::new(libdeflater::CompressionLvl::new(4).unwrap());
        let mut out = vec![0; compressor.zlib_compress_bound(shuffled.len())];
        let n = compressor.zlib_compress(&shuffled, &mut out).unwrap();
        chunks.push(stored(bytes.len() as u64, n as u64));
        bytes.extend_from_slice(&out[..n]);
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &bytes).unwrap();
    let mut array = metadata(shape.clone(), chunk, DataType::Int16);
    array.codecs = vec![Codec::Shuffle { element: 2 }, Codec::Deflate];
    let missing = Encoding { missing: vec![Scalar::Int(i64::from(i16::MIN))], ..encoding(0) };
    let (reader, cube) = one_array(array, missing, chunks, file.path());
    println!("{:.2} bytes a cell", bytes.len() as f64 / shape.iter().product::<u64>() as f64);
    let crop = Extent::new(vec![0..240, 3..103, 5..205]);
    for (name, extent) in [("one chunk a tile", None), ("whole", Some(cube.grid.extent())), ("cropped", Some(crop))] {
        for cached in [false, true] {
            if !cached {
                reader.inner.cache.clear();
            }
            let extents = match &extent {
                Some(e) => vec![e.clone()],
                None => (0..10).map(|i| Extent::new(vec![i * 24..i * 24 + 24, 0..103, 0..206])).collect(),
            };
            let (mut nanos, mut fetch, mut cells) = (0, 0, 0);
            for extent in extents {
                cells += extent.cells();
                let fetched = runtime().block_on(reader.fetch(&cube, TileRequest { extent, variables: vec![0] })).unwrap();
                let tile = reader.decode(fetched).unwrap();
                nanos += tile.metrics.decode_nanos;
                fetch += tile.metrics.fetch_nanos;
            }
            let per = |n: u64| n as f64 / cells as f64;
            println!("{name}, cached {cached}: decode {:.2} ns a cell, fetch {:.2}", per(nanos), per(fetch));
        }
    }
}
