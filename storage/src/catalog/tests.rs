//! The catalog on real netCDF-4 files (see `tests/corpus/cf/make_files.py`): create, refresh, drop, reopen, crashes, damage.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use tempfile::TempDir;

use super::*;
use crate::array::{Coordinates, Extent};

fn corpus(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/corpus/cf").join(name)
}

/// A folder with files of the corpus under other names.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, from) in files {
        put(folder.path(), name, from);
    }
    folder
}

fn put(folder: &Path, name: &str, from: &str) {
    let to = folder.join(name);
    std::fs::create_dir_all(to.parent().unwrap()).unwrap();
    std::fs::copy(corpus(from), to).unwrap();
}

fn days() -> TempDir {
    folder(&[("b.nc", "day1.nc"), ("a.nc", "day3.nc"), ("c.nc", "day2.nc")])
}

fn definition(name: &str, source: impl AsRef<Path>) -> CubeDefinition {
    let source = source.as_ref().display().to_string();
    CubeDefinition {
        name: name.into(),
        statement: format!("CREATE CUBE {name} FROM '{source}'"),
        sources: vec![source],
        ..CubeDefinition::default()
    }
}

async fn open(data: &Path) -> Catalog {
    Catalog::open(CatalogLocation::Folder(data.to_owned()), Objects::anywhere()).await.unwrap()
}

async fn memory() -> Catalog {
    Catalog::open(CatalogLocation::Memory, Objects::anywhere()).await.unwrap()
}

async fn create(catalog: &Catalog, definition: CubeDefinition) -> Result<CreateReport> {
    catalog.create_cube(definition, CreateMode::New, &NoProgress).await
}

fn hours(cube: &Cube) -> Vec<String> {
    let time = &cube.grid.axes[cube.grid.position("time").unwrap()].coordinates;
    (0..time.len() as usize).map(|i| time.display(i)[5..13].to_owned()).collect()
}

#[derive(Default)]
struct Counted(AtomicU64, AtomicU64);

impl Progress for Counted {
    fn start(&self, _: &str, total: u64) {
        self.1.store(total, Ordering::Relaxed);
    }
    fn advance(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }
    fn finish(&self) {}
}

#[tokio::test]
async fn a_cube_of_three_days() {
    let (files, catalog, progress) = (days(), memory().await, Counted::default());
    std::fs::write(files.path().join("notes.txt"), "not data").unwrap();
    let report = catalog.create_cube(definition("era5", files.path()), CreateMode::New, &progress).await.unwrap();
    assert_eq!((report.cubes, report.granules, report.skipped.len()), (vec!["era5".to_owned()], 3, 1));
    assert!(report.skipped[0].path.ends_with("notes.txt") && report.skipped[0].reason.contains("format"), "{:?}", report.skipped);
    assert_eq!((progress.0.into_inner(), progress.1.into_inner()), (4, 4));
    let cube = catalog.cube("era5").unwrap();
    assert_eq!(
        (cube.grid.shape(), hours(&cube)),
        (vec![6, 3, 4], ["01-01T00", "01-01T12", "01-02T00", "01-02T12", "01-03T00", "01-03T12"].map(String::from).to_vec())
    );
    let variable = &cube.variables[cube.variable("t2m").unwrap()];
    let scales: Vec<f64> = variable.pieces.iter().map(|p| p.encoding.scale).collect();
    assert_eq!(scales, [0.01, 0.02, 0.01]);
    assert_eq!(cube.variables.iter().map(|v| v.name.as_str()).collect::<Vec<_>>(), ["t2m", "mask", "height"]);
    // Granules come in the order of the sources, and each piece finds its chunks.
    let granules = catalog.granules("era5").unwrap();
    assert!(granules[0].location.ends_with("a.nc") && granules[0].attributes.text("title").is_some());
    for piece in &variable.pieces {
        let (granule, manifest) = (catalog.granule(piece.granule).unwrap(), catalog.manifest(piece.granule, piece.array).unwrap());
        let array = &granule.arrays[piece.array as usize];
        assert_eq!((array.path.as_str(), manifest.chunks.len() as u64), ("/t2m", array.chunk_grid().len()));
        assert_eq!(manifest.stored_bytes(), piece.stored_bytes);
    }
    assert!(matches!(catalog.manifest(variable.pieces[0].granule, 99), Err(Error::NotFound(_))));
    assert!(matches!(catalog.chunk_page(variable.pieces[0].granule, 99, 0), Err(Error::NotFound(_))));
    let past = catalog.chunk_page(variable.pieces[0].granule, variable.pieces[0].array, 5000).unwrap();
    assert_eq!((past.chunks, past.manifest.get(904)), (4096..8192, ChunkRef::Missing));
    assert!(matches!(catalog.granules("era"), Err(Error::NotFound(m)) if m.contains("did you mean era5?")));
}

/// Servers run these on tasks of their own.
#[tokio::test]
async fn changes_can_be_spawned() {
    fn spawnable<T: Send>(_: T) {}
    let catalog = memory().await;
    spawnable(catalog.create_cube(definition("c", "/nowhere"), CreateMode::New, &NoProgress));
    spawnable(catalog.refresh_cube("c", &NoProgress));
    spawnable(catalog.serve_paths(&[], &NoProgress));
    spawnable(Catalog::open(CatalogLocation::Memory, Objects::anywhere()));
}

#[tokio::test]
async fn modes_names_and_failures() {
    let (files, catalog) = (days(), memory().await);
    let source = files.path().join("*.nc");
    create(&catalog, definition("c", &source)).await.unwrap();
    assert!(matches!(create(&catalog, definition("c", &source)).await, Err(Error::User(m)) if m.contains("exists")));
    let left = catalog.create_cube(definition("c", "/nowhere"), CreateMode::IfAbsent, &NoProgress).await.unwrap();
    assert_eq!((left.cubes, left.granules), (vec!["c".to_owned()], 3));
    let before = catalog.granules("c").unwrap();
    catalog.create_cube(definition("c", files.path().join("a.nc")), CreateMode::OrReplace, &NoProgress).await.unwrap();
    assert_eq!((catalog.granules("c").unwrap().len(), catalog.cube("c").unwrap().grid.shape()), (1, vec![2, 3, 4]));
    assert!(matches!(catalog.granule(before[1].id), Ok(_) | Err(Error::NotFound(_))));
    assert!(matches!(create(&catalog, definition("x", "/nowhere/*.nc")).await, Err(Error::NotFound(_))));
    put(files.path(), "grid.nc", "grid.nc");
    let error = create(&catalog, definition("x", &source)).await.unwrap_err().to_string();
    assert!(error.contains("grid.nc: axis lat: coordinate 0: expected 50, found 50.1"), "{error}");
    assert!(catalog.cube("x").is_none());
    // A file that is no data by itself is an error; so is a broken one among good ones.
    std::fs::write(files.path().join("text.nc"), "text").unwrap();
    assert!(matches!(create(&catalog, definition("x", files.path().join("text.nc"))).await, Err(Error::Unsupported { .. })));
    std::fs::remove_file(files.path().join("grid.nc")).unwrap();
    let whole = std::fs::read(files.path().join("a.nc")).unwrap();
    std::fs::write(files.path().join("broken.nc"), &whole[..600]).unwrap();
    let error = create(&catalog, definition("x", &source)).await.unwrap_err().to_string();
    assert!(error.contains("broken.nc"), "{error}");
    assert!(catalog.drop_cube("c").unwrap() && !catalog.drop_cube("c").unwrap() && catalog.cubes().is_empty());
}

#[tokio::test]
async fn refresh_reads_what_changed() {
    let (files, data) = (days(), tempfile::tempdir().unwrap());
    let catalog = open(data.path()).await;
    create(&catalog, definition("c", files.path())).await.unwrap();
    let same = catalog.refresh_cube("c", &NoProgress).await.unwrap();
    assert_eq!(same, RefreshReport { unchanged: 3, ..RefreshReport::default() });
    let generation = catalog.cube("c").unwrap().generation;
    let kept = catalog.granules("c").unwrap().iter().find(|g| g.location.ends_with("a.nc")).unwrap().id;
    // Day 1 goes, day 2 changes, and its overlap of one hour is refused before anything changes.
    std::fs::remove_file(files.path().join("b.nc")).unwrap();
    put(files.path(), "c.nc", "changed.nc");
    put(files.path(), "d.nc", "overlap.nc");
    let error = catalog.refresh_cube("c", &NoProgress).await.unwrap_err().to_string();
    assert!(error.contains("axis time: 2024-01-02T12:00:00 is also in") && error.contains("d.nc") && error.contains("c.nc"), "{error}");
    assert_eq!((catalog.cube("c").unwrap().generation, catalog.granules("c").unwrap().len()), (generation, 3));
    std::fs::remove_file(files.path().join("d.nc")).unwrap();
    put(files.path(), "sub/e.nc", "day1.nc");
    let report = catalog.refresh_cube("c", &NoProgress).await.unwrap();
    assert_eq!(report, RefreshReport { added: 1, changed: 1, removed: 1, unchanged: 1 });
    let cube = catalog.cube("c").unwrap();
    assert_eq!(hours(&cube), ["01-01T00", "01-01T12", "01-02T00", "01-02T06", "01-02T12", "01-03T00", "01-03T12"]);
    assert!(cube.generation > generation && catalog.granules("c").unwrap().iter().any(|g| g.id == kept));
    // What is refreshed once more is what is on disk.
    drop(catalog);
    let catalog = open(data.path()).await;
    assert_eq!(catalog.cube("c").unwrap(), cube);
    assert_eq!(catalog.refresh_cube("c", &NoProgress).await.unwrap().unchanged, 3);
    std::fs::remove_dir_all(files.path().join("sub")).unwrap();
    assert_eq!(catalog.refresh_cube("c", &NoProgress).await.unwrap().removed, 1);
}

#[tokio::test]
async fn a_catalog_outlives_its_process() {
    let (files, data) = (days(), tempfile::tempdir().unwrap());
    let catalog = open(data.path()).await;
    create(&catalog, definition("one", files.path())).await.unwrap();
    create(&catalog, definition("two", files.path().join("a.nc"))).await.unwrap();
    catalog.drop_cube("two").unwrap();
    let other = Catalog::open(CatalogLocation::Folder(data.path().to_owned()), Objects::anywhere()).await;
    assert!(matches!(other, Err(Error::Resources(m)) if m.contains("in use by another server")));
    let (cube, granules) = (catalog.cube("one").unwrap(), catalog.granules("one").unwrap());
    let manifest = catalog.manifest(granules[0].id, 0).unwrap();
    drop(catalog);
    let catalog = open(data.path()).await;
    assert_eq!((catalog.cubes(), catalog.granules("one").unwrap()), (vec![cube], granules.clone()));
    assert_eq!(catalog.manifest(granules[0].id, 0).unwrap(), manifest);
    // Numbers of granules go on.
    create(&catalog, definition("two", files.path().join("a.nc"))).await.unwrap();
    assert!(catalog.granules("two").unwrap()[0].id > granules.iter().map(|g| g.id).max().unwrap());
}

fn broken(data: &Path) -> usize {
    let names = std::fs::read_dir(data).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned());
    names.filter(|n| n.starts_with("catalog.broken-")).count()
}

#[tokio::test]
async fn a_damaged_store_is_set_aside_and_built_again() {
    let (files, data) = (days(), tempfile::tempdir().unwrap());
    let catalog = open(data.path()).await;
    create(&catalog, definition("c", files.path())).await.unwrap();
    let gone = folder(&[("x.nc", "day1.nc")]);
    create(&catalog, definition("gone", gone.path())).await.unwrap();
    let grid = catalog.cube("c").unwrap().grid.clone();
    drop(catalog);
    let lost = gone.path().to_owned();
    drop(gone);
    for (round, damage) in ["records.redb", "all"].into_iter().enumerate() {
        let store = data.path().join("catalog");
        for entry in std::fs::read_dir(&store).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() && (damage == "all" || path.file_name().unwrap() == damage) {
                let bytes = std::fs::read(&path).unwrap();
                std::fs::write(&path, bytes.iter().map(|b| b ^ 0xa5).collect::<Vec<u8>>()).unwrap();
            }
        }
        let catalog = open(data.path()).await;
        assert_eq!(catalog.cube("c").map(|c| c.grid.clone()).as_ref(), Some(&grid), "{damage}");
        // A cube whose files are gone is not forgotten.
        let failures = catalog.failures();
        assert!(
            matches!(failures.as_slice(), [(name, why)] if name == "gone" && why.contains(&lost.display().to_string())),
            "{failures:?}"
        );
        println!("{damage}: {} set aside after round {round}", broken(data.path()));
        drop(catalog);
        let catalog = open(data.path()).await;
        assert_eq!((catalog.cubes().len(), catalog.failures().len()), (1, 1));
    }
    // A store that is gone altogether is built again as well; the cube comes back with its files.
    std::fs::remove_dir_all(data.path().join("catalog")).unwrap();
    put(&lost, "x.nc", "day1.nc");
    let catalog = open(data.path()).await;
    assert_eq!((catalog.cubes().len(), catalog.failures()), (2, vec![]));
    std::fs::remove_dir_all(lost).unwrap();
}

#[tokio::test]
async fn the_store_of_an_earlier_version_is_built_again() {
    let (files, data) = (days(), tempfile::tempdir().unwrap());
    let catalog = open(data.path()).await;
    create(&catalog, definition("c", files.path())).await.unwrap();
    drop(catalog);
    let store = data.path().join("catalog");
    std::fs::remove_file(store.join("records.redb")).unwrap();
    ["conf", "db"].into_iter().for_each(|name| std::fs::write(store.join(name), b"of another kind").unwrap());
    let catalog = open(data.path()).await;
    assert_eq!((catalog.cubes().len(), catalog.granules("c").unwrap().len(), broken(data.path())), (1, 3, 1));
}

#[tokio::test]
async fn a_store_behind_its_text_is_built_again() {
    let (files, data) = (days(), tempfile::tempdir().unwrap());
    let catalog = open(data.path()).await;
    create(&catalog, definition("one", files.path().join("a.nc"))).await.unwrap();
    drop(catalog);
    let keep = tempfile::tempdir().unwrap();
    copy_all(&data.path().join("catalog"), keep.path());
    let catalog = open(data.path()).await;
    create(&catalog, definition("two", files.path())).await.unwrap();
    drop(catalog);
    std::fs::remove_dir_all(data.path().join("catalog")).unwrap();
    copy_all(keep.path(), &data.path().join("catalog"));
    let catalog = open(data.path()).await;
    assert_eq!((catalog.cubes().len(), broken(data.path())), (2, 1));
}

fn copy_all(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() { copy_all(&path, &target) } else { std::fs::copy(&path, &target).map(|_| ()).unwrap() }
    }
}

/// The child of the crash test: makes cubes of the files until it is killed.
#[tokio::test]
async fn crash_child() {
    let (Some(data), Some(files)) = (std::env::var_os("CRASH_DATA"), std::env::var_os("CRASH_FILES")) else { return };
    let catalog = open(Path::new(&data)).await;
    println!("ready");
    for round in 0.. {
        let sources = if round % 2 == 0 { PathBuf::from(&files) } else { PathBuf::from(&files).join("a.nc") };
        catalog.create_cube(definition("c", sources), CreateMode::OrReplace, &NoProgress).await.unwrap();
        if round % 5 == 4 {
            catalog.drop_cube("c").unwrap();
        }
    }
}

#[tokio::test]
async fn a_killed_process_leaves_all_of_a_change_or_nothing() {
    let (files, data) = (days(), tempfile::tempdir().unwrap());
    for round in 0..8u64 {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "catalog::tests::crash_child", "--nocapture", "--test-threads=1"])
            .env("CRASH_DATA", data.path())
            .env("CRASH_FILES", files.path())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
        assert!(lines.any(|l| l.unwrap().contains("ready")));
        std::thread::sleep(std::time::Duration::from_millis(20 + round * 37));
        child.kill().unwrap();
        child.wait().unwrap();
        let catalog = open(data.path()).await;
        assert_eq!(catalog.failures(), vec![]);
        if let Some(cube) = catalog.cube("c") {
            let granules = catalog.granules("c").unwrap();
            let steps = cube.grid.shape()[0];
            assert!(matches!((granules.len(), steps), (3, 6) | (1, 2)), "{} granules, {steps} steps", granules.len());
            let all = Extent::of_shape(&[steps, 3, 4]);
            for piece in cube.pieces_meeting(cube.variable("t2m").unwrap(), &all) {
                assert_eq!(catalog.manifest(piece.granule, piece.array).unwrap().stored_bytes(), piece.stored_bytes);
            }
        }
        // Nothing of an unfinished change is left behind.
        let mut keys = std::collections::BTreeMap::<String, usize>::new();
        catalog
            .store
            .scan(b"", &mut |key, _| {
                *keys.entry(String::from_utf8_lossy(key.get(..2).unwrap_or(key)).into_owned()).or_default() += 1;
                Ok(())
            })
            .unwrap();
        let granules = catalog.cube("c").map_or(0, |_| catalog.granules("c").unwrap().len());
        assert_eq!(keys.get("g/").copied().unwrap_or(0), granules, "{keys:?}");
    }
    assert_eq!(broken(data.path()), 0);
}

#[tokio::test]
async fn paths_are_served() {
    let files =
        folder(&[("Era 5/a.nc", "day1.nc"), ("Era 5/b.nc", "day2.nc"), ("mixed/one.nc", "day1.nc"), ("mixed/2-grid.nc", "grid.nc")]);
    std::fs::write(files.path().join("mixed/readme.md"), "text").unwrap();
    let data = tempfile::tempdir().unwrap();
    let catalog = open(data.path()).await;
    let path = |name: &str| files.path().canonicalize().unwrap().join(name).display().to_string();
    let paths = [path("Era 5"), path("mixed"), path("Era 5/b.nc")];
    let report = catalog.serve_paths(&paths, &NoProgress).await.unwrap();
    assert_eq!(report.cubes, ["era_5", "_2_grid", "one", "b"]);
    assert!(report.skipped.iter().any(|s| s.path.ends_with("readme.md")) && report.granules == 5, "{report:?}");
    // The same again refreshes.
    put(files.path(), "Era 5/c.nc", "day3.nc");
    let report = catalog.serve_paths(&paths, &NoProgress).await.unwrap();
    assert_eq!((report.cubes, catalog.cubes().len()), (["era_5", "_2_grid", "one", "b"].map(String::from).to_vec(), 4));
    assert!(matches!(&catalog.cube("era_5").unwrap().grid.axes[0].coordinates, Coordinates::Time(_, v) if v.len() == 6));
    assert!(catalog.serve_paths(&[path("nothing")], &NoProgress).await.is_err());
}

#[tokio::test]
async fn scenes_by_date_and_band() {
    let files = tempfile::tempdir().unwrap();
    for scene in ["S2_20240611_B04", "S2_20240611_B08", "S2_20240601_B04", "S2_20240601_B11"] {
        std::fs::copy(corpus("../tiff/none_uint16.tif"), files.path().join(format!("{scene}.tif"))).unwrap();
    }
    let catalog = memory().await;
    let scenes = CubeDefinition {
        axes_from_filename: vec![AxisFromFilename { axis: "time".into(), pattern: r"_(\d{8})_".into(), format: Some("%Y%m%d".into()) }],
        variable_from_filename: Some(r"_(B04|B08|SCL)\.tif$".into()),
        nodata: Some(0.0),
        crs: Some("EPSG:32631".into()),
        ..definition("s2", files.path())
    };
    let report = create(&catalog, scenes).await.unwrap();
    assert_eq!((report.granules, report.skipped.len(), report.cubes), (3, 1, vec!["s2".to_owned()]));
    let cube = catalog.cube("s2").unwrap();
    assert_eq!(cube.grid.axes.iter().map(|a| a.name.as_str()).collect::<Vec<_>>(), ["time", "y", "x"]);
    assert_eq!((hours(&cube), cube.grid.crs.as_deref()), (["06-01T00", "06-11T00"].map(String::from).to_vec(), Some("EPSG:32631")));
    let pieces = |name: &str| cube.variables[cube.variable(name).unwrap()].pieces.len();
    assert_eq!((cube.variables.len(), pieces("b04"), pieces("b08")), (2, 2, 1));
}

/// Real collections: scenes on one grid go together, Landsat scenes of one place, each on a grid of its own, are refused (stacked
/// by index they would be off by pixels).
#[tokio::test]
async fn real_scenes() {
    let shared = std::env::var_os("GRATICULE_SHARED").map(PathBuf::from);
    let folder =
        shared.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared")).join("data/public/tiff_collections");
    if !folder.is_dir() {
        return;
    }
    let catalog = memory().await;
    let by_name = |name: &str, at: &str, axis: &str, pattern: &str, format: &str, variable: Option<&str>| CubeDefinition {
        axes_from_filename: vec![AxisFromFilename { axis: axis.into(), pattern: pattern.into(), format: Some(format.into()) }],
        variable_from_filename: variable.map(Into::into),
        ..definition(name, folder.join(at))
    };
    let scenes = by_name("landsat", "landsat8_l1tp_ny", "time", r"_(\d{8})_B", "%Y%m%d", Some(r"_(B\d+|BQA)\.TIF$"));
    let error = create(&catalog, scenes).await.unwrap_err();
    assert!(
        matches!(&error, Error::Grid { axis, what, .. } if ["x", "y"].contains(&axis.as_str()) && what.contains("expected")),
        "{error}"
    );
    println!("{error}");
    for (name, at, pattern, format) in
        [("openeo", "openeo_s2_timeseries", r"_(\d{4}-\d\d-\d\d)Z", "%Y-%m-%d"), ("lcmap", "lcmap_annual", r"_(\d{4})\.tif", "%Y")]
    {
        let report = create(&catalog, by_name(name, at, "time", pattern, format, None)).await.unwrap();
        let cube = catalog.cube(name).unwrap();
        println!("{name}: {:?} {:?} {:?}", cube.grid.shape(), cube.grid.crs, report.warnings);
        assert_eq!((cube.grid.shape()[0], report.cubes.len()), (report.granules, 1));
        assert!(cube.variables.iter().all(|v| v.pieces.len() as u64 == report.granules));
    }
}

#[tokio::test]
async fn changes_that_overtake_each_other_are_refused() {
    let (files, catalog) = (days(), memory().await);
    create(&catalog, definition("c", files.path())).await.unwrap();
    let before = catalog.state.read().definitions.get("c").cloned();
    let (change, _) = Change::create(&catalog, definition("c", files.path()), before, &NoProgress).await.unwrap();
    catalog.drop_cube("c").unwrap();
    assert!(matches!(change.commit(&catalog), Err(Error::User(m)) if m.contains("in the meantime")));
    assert!(catalog.cube("c").is_none());
}

/// Not part of every run: 2,000 files, which should take less than 2000 / 300 seconds on two cores.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn two_thousand_files() {
    let (files, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for member in 0..2_000 {
        put(files.path(), &format!("m_{member:04}.nc"), "day1.nc");
    }
    let catalog = open(data.path()).await;
    let axes_from_filename = vec![AxisFromFilename { axis: "member".into(), pattern: r"m_(\d+)\.nc$".into(), format: None }];
    for _ in 0..2 {
        let started = std::time::Instant::now();
        let definition = CubeDefinition { axes_from_filename: axes_from_filename.clone(), ..definition("c", files.path()) };
        catalog.create_cube(definition, CreateMode::OrReplace, &NoProgress).await.unwrap();
        let seconds = started.elapsed().as_secs_f64();
        println!("created in {seconds:.2} s: {:.0} files/s", 2_000.0 / seconds);
    }
    assert_eq!(catalog.cube("c").unwrap().grid.shape(), [2_000, 2, 3, 4]);
    let started = std::time::Instant::now();
    assert_eq!(catalog.refresh_cube("c", &NoProgress).await.unwrap().unchanged, 2_000);
    println!("refreshed in {:?}", started.elapsed());
    drop(catalog);
    let started = std::time::Instant::now();
    let catalog = open(data.path()).await;
    println!("opened in {:?}", started.elapsed());
    let started = std::time::Instant::now();
    catalog.granules("c").unwrap();
    println!("granules in {:?}", started.elapsed());
}
