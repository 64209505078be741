//! What indexing, refreshing, opening and planning cost. Prints figures, asserts nothing; not part of `cargo test`.
//!
//!     cargo bench -p graticule-storage --bench catalog -- index FOLDER      # any files that form one cube, twice: the second is warm
//!     cargo bench -p graticule-storage --bench catalog -- chunks 1000000    # one array of so many chunks
//!     cargo bench -p graticule-storage --bench catalog -- granules 100000   # one cube of so many files
//!     cargo bench -p graticule-storage --bench catalog -- listing 5000      # a refresh that finds nothing new
//!     cargo bench -p graticule-storage --bench catalog -- decode 64         # so many chunks decoded, with and without statistics
//!
//! Files are made in the temporary folder: sparse or tiny TIFFs, headers only.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use graticule_storage::array::Extent;
use graticule_storage::catalog::{AxisFromFilename, Catalog, CatalogLocation, CreateMode, Cube, CubeDefinition, NoProgress};
use graticule_storage::object::Objects;
use graticule_storage::read::{ReadSettings, Reader, TileRequest};

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let number = |default: u64| arguments.get(1).and_then(|n| n.parse().ok()).unwrap_or(default);
    match arguments.first().map(String::as_str) {
        Some("index") => index(arguments.get(1).expect("a folder")).await,
        Some("chunks") => chunks(number(1_000_000)).await,
        Some("granules") => granules(number(100_000)).await,
        Some("listing") => granules(number(5_000)).await,
        Some("decode") => decode(number(64)).await,
        Some("open") => reopen(arguments.get(1).expect("a data directory")).await,
        _ => eprintln!("one of: index FOLDER, chunks N, granules N, listing N, decode N, open DATA"),
    }
}

fn told(what: &str, started: Instant, count: u64) {
    let seconds = started.elapsed().as_secs_f64();
    println!("{what}: {:.1} ms ({:.0} a second)", seconds * 1e3, count as f64 / seconds);
}

async fn open(data: &Path) -> Catalog {
    Catalog::open(CatalogLocation::Folder(data.to_owned()), Objects::anywhere()).await.unwrap()
}

fn definition(name: &str, folder: &Path) -> CubeDefinition {
    let source = folder.display().to_string();
    let statement = format!("CREATE CUBE {name} FROM '{source}'");
    CubeDefinition { name: name.into(), sources: vec![source], statement, ..CubeDefinition::default() }
}

async fn create(catalog: &Catalog, definition: CubeDefinition) -> (Arc<Cube>, u64) {
    let name = definition.name.clone();
    let report = catalog.create_cube(definition, CreateMode::OrReplace, &NoProgress).await.unwrap();
    report.skipped.iter().take(3).for_each(|s| println!("skipped {}: {}", s.path, s.reason));
    (catalog.cube(&name).unwrap(), report.granules)
}

async fn index(folder: &str) {
    let data = tempfile::tempdir().unwrap();
    let catalog = open(data.path()).await;
    for run in ["cold or warm", "warm"] {
        let started = Instant::now();
        let (cube, files) = create(&catalog, definition("c", Path::new(folder))).await;
        told(&format!("index {files} files to {:?}, {run}", cube.grid.shape()), started, files);
    }
    finish(catalog, data.path()).await;
}

/// Refreshes, reopens, and tells what the catalog takes.
async fn finish(catalog: Catalog, data: &Path) -> Catalog {
    for run in ["", ", again"] {
        let started = Instant::now();
        let report = catalog.refresh_cube("c", &NoProgress).await.unwrap();
        told(&format!("refresh that finds {} files unchanged{run}", report.unchanged), started, report.unchanged);
    }
    drop(catalog);
    let bytes: u64 = walk(data);
    in_another_process(data);
    let started = Instant::now();
    let catalog = open(data).await;
    told("open the catalog", started, 1);
    println!("the catalog takes {:.1} MB on disk", bytes as f64 / 1e6);
    catalog
}

/// What a server sees that starts on this data directory: opening, planning one step, and its memory.
fn in_another_process(data: &Path) {
    std::process::Command::new(std::env::current_exe().unwrap()).arg("open").arg(data).status().unwrap();
}

async fn reopen(data: &str) {
    let started = Instant::now();
    let catalog = open(Path::new(data)).await;
    told("  another process opens the catalog", started, 1);
    let (reader, cube) = reading(catalog).await;
    let one = |n: u64| n / 2..n / 2 + 1;
    let extent = Extent::new(cube.grid.shape().iter().enumerate().map(|(d, &n)| if d == 0 { one(n) } else { 0..n }).collect());
    plan(&reader, &cube, "  the middle of the first axis", extent);
    memory();
}

fn walk(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
    entries.map(|p| if p.is_dir() { walk(&p) } else { p.metadata().unwrap().len() }).sum()
}

fn plan(reader: &Reader, cube: &Arc<Cube>, what: &str, extent: Extent) {
    for run in ["", ", again"] {
        let started = Instant::now();
        let cuts: usize = cube.cuts(&[0]).iter().map(Vec::len).sum();
        let request = TileRequest { extent: extent.clone(), variables: vec![0] };
        let estimate = reader.estimate(cube, &[request]).unwrap();
        told(&format!("plan {what}: {} chunks, {cuts} cuts{run}", estimate.chunks), started, 1);
    }
}

async fn reading(catalog: Catalog) -> (Reader, Arc<Cube>) {
    let cube = catalog.cube("c").unwrap();
    (Reader::new(Objects::anywhere(), Arc::new(catalog), ReadSettings { cache_bytes: 0, threads: 1 }).unwrap(), cube)
}

/// One tiled BigTIFF of `count` chunks whose lengths differ; its data are a hole.
async fn chunks(count: u64) {
    let side = (count as f64).sqrt() as u64;
    let (folder, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let lengths: Vec<u64> = (0..side * side).map(|i| 300 + (i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 50)).collect();
    let begin = 4096 + 16 * side * side;
    let offsets: Vec<u64> =
        lengths.iter().scan(begin, |at, n| Some(std::mem::replace(at, *at + n + u64::from(*n % 7 == 0) * 2328))).collect();
    let entries: Vec<Entry> = vec![
        (256, 4, vec![side * 16]),
        (257, 4, vec![side * 16]),
        (258, 3, vec![8]),
        (259, 3, vec![8]),
        (262, 3, vec![1]),
        (277, 3, vec![1]),
        (322, 3, vec![16]),
        (323, 3, vec![16]),
        (324, 16, offsets.clone()),
        (325, 4, lengths.clone()),
    ];
    let file = folder.path().join("many.tif");
    std::fs::write(&file, tiff(&entries, &[], true)).unwrap();
    std::fs::File::options().write(true).open(&file).unwrap().set_len(offsets.last().unwrap() + lengths.last().unwrap()).unwrap();
    let catalog = open(data.path()).await;
    let before = walk(data.path());
    let started = Instant::now();
    create(&catalog, definition("c", &file)).await;
    told(&format!("index an array of {} chunks", side * side), started, side * side);
    drop(catalog);
    let bytes = walk(data.path());
    println!("{:.2} bytes a chunk on disk", bytes.saturating_sub(before) as f64 / (side * side) as f64);
    in_another_process(data.path());
    let started = Instant::now();
    let catalog = open(data.path()).await;
    told("open the catalog", started, 1);
    let (reader, cube) = reading(catalog).await;
    plan(&reader, &cube, "a row of chunks", Extent::new(vec![160..176, 0..side * 16]));
    plan(&reader, &cube, "a window of 100 by 100 chunks", Extent::new(vec![1600..3200, 1600..3200]));
    memory();
}

/// Tiny files, one instant each, on one grid.
async fn granules(count: u64) {
    let (folder, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let started = Instant::now();
    let entries: Vec<Entry> = vec![
        (256, 3, vec![4]),
        (257, 3, vec![4]),
        (258, 3, vec![8]),
        (259, 3, vec![1]),
        (262, 3, vec![1]),
        (273, 4, vec![8]),
        (277, 3, vec![1]),
        (278, 3, vec![4]),
        (279, 4, vec![16]),
        (33550, 12, [10.0f64, 10.0, 0.0].map(f64::to_bits).to_vec()),
        (33922, 12, [0.0f64, 0.0, 0.0, 500_000.0, 5_000_000.0, 0.0].map(f64::to_bits).to_vec()),
        (34735, 3, vec![1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32_631]),
    ];
    let whole = tiff(&entries, &[7; 16], false);
    for i in 0..count {
        let inside = folder.path().join(format!("{:03}", i / 1000));
        if i % 1000 == 0 {
            std::fs::create_dir(&inside).unwrap();
        }
        std::fs::File::create(inside.join(format!("s_{i:06}.tif"))).unwrap().write_all(&whole).unwrap();
    }
    told(&format!("write {count} files"), started, count);
    let axis = AxisFromFilename { axis: "step".into(), pattern: r"s_(\d+)\.tif$".into(), format: None };
    let definition = CubeDefinition { axes_from_filename: vec![axis], ..definition("c", folder.path()) };
    let catalog = open(data.path()).await;
    let started = Instant::now();
    memory();
    let (cube, files) = create(&catalog, definition).await;
    told(&format!("index {files} files to {:?}", cube.grid.shape()), started, files);
    memory();
    let catalog = finish(catalog, data.path()).await;
    let (reader, cube) = reading(catalog).await;
    plan(&reader, &cube, "one step", Extent::new(vec![count / 2..count / 2 + 1, 0..4, 0..4]));
    plan(&reader, &cube, "2,000 steps", Extent::new(vec![0..count.min(2000), 0..4, 0..4]));
    memory();
}

/// Strips of 16-bit cells, stored as they are: the cheapest decoding, so that statistics cost the most beside it.
async fn decode(count: u64) {
    let (folder, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (width, rows) = (1024u64, 512u64);
    let pixels: Vec<u8> = (0..count * width * rows).flat_map(|i| ((i.wrapping_mul(0x9E37_79B9) >> 20) as u16).to_le_bytes()).collect();
    let entries: Vec<Entry> = vec![
        (256, 4, vec![width]),
        (257, 4, vec![count * rows]),
        (258, 3, vec![16]),
        (259, 3, vec![1]),
        (262, 3, vec![1]),
        (273, 16, (0..count).map(|i| 16 + i * width * rows * 2).collect()),
        (277, 3, vec![1]),
        (278, 4, vec![rows]),
        (279, 4, vec![width * rows * 2; count as usize]),
    ];
    let file = folder.path().join("strips.tif");
    std::fs::write(&file, tiff(&entries, &pixels, true)).unwrap();
    drop(pixels);
    let catalog = open(data.path()).await;
    create(&catalog, definition("c", &file)).await;
    let (reader, cube) = reading(catalog).await;
    for what in ["statistics gathered", "statistics known", "statistics known"] {
        let (mut nanos, mut cells) = (0, 0);
        for strip in 0..count {
            let extent = Extent::new(vec![strip * rows..(strip + 1) * rows, 0..width]);
            let fetched = reader.fetch(&cube, TileRequest { extent, variables: vec![0] }).await.unwrap();
            let tile = reader.decode(fetched).unwrap();
            nanos += tile.metrics.decode_nanos;
            cells += tile.extent.cells();
        }
        println!("decode {count} strips, {what}: {:.3} ms a million cells", nanos as f64 / cells as f64);
    }
}

fn memory() {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().filter(|l| l.starts_with("VmHWM") || l.starts_with("VmRSS")).for_each(|l| println!("{l}"));
}

/// Tag, type and values of a directory entry.
type Entry = (u16, u16, Vec<u64>);

/// A TIFF file: header, `pixels`, one directory.
fn tiff(entries: &[Entry], pixels: &[u8], big: bool) -> Vec<u8> {
    let put = |out: &mut Vec<u8>, value: u64, bytes: usize| out.extend_from_slice(&value.to_le_bytes()[..bytes]);
    let word = if big { 8 } else { 4 };
    let mut out = b"II".to_vec();
    if big {
        [43, 8, 0].into_iter().for_each(|v| put(&mut out, v, 2));
    } else {
        put(&mut out, 42, 2);
    }
    let at = out.len() + word;
    put(&mut out, (at + pixels.len()) as u64, word);
    out.extend_from_slice(pixels);
    let directory = out.len() + if big { 8 } else { 2 } + entries.len() * (4 + 2 * word) + word;
    let (mut head, mut rest) = (Vec::new(), Vec::new());
    put(&mut head, entries.len() as u64, if big { 8 } else { 2 });
    for (tag, kind, values) in entries {
        let size = match kind {
            3 => 2,
            4 => 4,
            _ => 8,
        };
        let mut bytes = Vec::new();
        values.iter().for_each(|&v| put(&mut bytes, v, size));
        put(&mut head, (*tag).into(), 2);
        put(&mut head, (*kind).into(), 2);
        put(&mut head, values.len() as u64, word);
        if bytes.len() <= word {
            bytes.resize(word, 0);
            head.extend_from_slice(&bytes);
        } else {
            put(&mut head, (directory + rest.len()) as u64, word);
            rest.extend_from_slice(&bytes);
        }
    }
    put(&mut head, 0, word);
    [out, head, rest].concat()
}
