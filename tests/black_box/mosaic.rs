//! Cubes of many files that differ in all but their grid (`corpus/cubes/make_mosaic.py`), against xarray and rasterio.merge: dense and
//! row by row, rows and arrays; what does not fit is refused by name.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use graticule_query::Form;

use super::engine::{ask, cells, empty, numbers, root};
use super::truth::agrees;

fn corpus() -> PathBuf {
    root().join("tests/corpus/cubes/mosaic")
}

/// Name in `mosaic.json`, and the query whose last column it is about.
const QUESTIONS: &[(&str, &str)] = &[
    ("tiles", "SELECT t2m FROM tiles"),
    ("tiles point", "SELECT t2m FROM tiles[lat(EXACT 47), lon(EXACT 1.25)]"),
    ("tiles box", "SELECT t2m FROM tiles[lat(45.5:48.5), lon(0:2)]"),
    ("tiles time mean", "SELECT avg(t2m) AS v FROM tiles GROUP BY lat, lon"),
    ("tiles space max", "SELECT max(t2m) AS v FROM tiles GROUP BY time"),
    ("raster", "SELECT band_1 FROM raster"),
    ("raster rows", "SELECT avg(band_1) AS v FROM raster GROUP BY y"),
    ("over first", "SELECT band_1 FROM over_first"),
    ("over newest", "SELECT band_1 FROM over_newest"),
];

#[tokio::test(flavor = "multi_thread")]
async fn mosaics_are_those_of_xarray_and_rasterio() {
    let text = std::fs::read_to_string(root().join("tests/corpus/cubes/mosaic.json")).unwrap();
    let truth: serde_json::Value = serde_json::from_str(&text).unwrap();
    let (folder, copies) = (corpus(), tempfile::tempdir().unwrap());
    for n in 0..3u64 {
        let copy = copies.path().join(format!("over_{n}.tif"));
        std::fs::copy(folder.join(format!("over_{n}.tif")), &copy).unwrap();
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_600_000_000 + n);
        std::fs::File::options().write(true).open(&copy).unwrap().set_modified(time).unwrap();
    }
    for dense in [true, false] {
        let engine = empty(1 << 30).await;
        for statement in [
            format!("CREATE CUBE tiles FROM '{}/tile_*.nc'", folder.display()),
            format!("CREATE CUBE raster FROM '{}/raster_*.tif'", folder.display()),
            format!("CREATE CUBE over_first FROM '{}/over_*.tif' OVERLAP FIRST", copies.path().display()),
            format!("CREATE CUBE over_newest FROM '{}' OVERLAP NEWEST", copies.path().display()),
            format!("SET graticule.dense = {dense}"),
        ] {
            ask(&engine, &statement, Form::Rows).await.unwrap_or_else(|e| panic!("{statement}: {e}"));
        }
        for (name, query) in QUESTIONS {
            let what = format!("{name}, dense={dense}");
            let rows = ask(&engine, query, Form::Rows).await.unwrap_or_else(|e| panic!("{what}: {e}"));
            agrees(&what, &truth[name], &numbers(&rows, rows[0].num_columns() - 1));
            let array = ask(&engine, query, Form::Array).await.unwrap_or_else(|e| panic!("{what} as array: {e}"));
            agrees(&format!("{what} as array"), &truth[name], &cells(&array));
        }
        let described = ask(&engine, "DESCRIBE CUBE tiles", Form::Rows).await.unwrap();
        let table = arrow::util::pretty::pretty_format_batches(&described).unwrap().to_string();
        let line = table.lines().find(|l| l.contains("t2m")).unwrap();
        for told in ["comment", "scale_factor", "_FillValue", "Float64", "(and others)"] {
            assert!(line.contains(told), "{told}: {line}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_do_not_fit_are_refused_by_name() {
    let (engine, folder) = (empty(1 << 30).await, corpus());
    for (files, says) in [
        (&["raster_00.tif", "zone_33.tif"][..], &["zone_33.tif", "crs", "EPSG:32632", "EPSG:32633", "a cube for each", "WARP"][..]),
        (&["raster_00.tif", "shifted.tif"], &["shifted.tif", "axis x", "coordinate 0", "0.333 of a cell"]),
        (&["over_0.tif", "over_1.tif"], &["over_1.tif", "over_0.tif", "OVERLAP NEWEST"]),
        (&["tile_0_00.nc", "raster_00.tif", "tile_9.nc"], &["tile_9.nc", "no such file"]),
    ] {
        let sources: Vec<String> = files.iter().map(|f| format!("'{}/{f}'", folder.display())).collect();
        let error = ask(&engine, &format!("CREATE CUBE x FROM {}", sources.join(", ")), Form::Rows).await.unwrap_err().to_string();
        for word in says {
            assert!(error.contains(word), "{word}: {error}");
        }
    }
}
