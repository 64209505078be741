//! Geometries and cells against shapely, xarray, exactextract and rasterio (`corpus/geometry/make.py`): which cells are covered and
//! touched, how much of each, zonal means; dense and row by row. And what is refused, and how.

use std::sync::Arc;

use arrow::array::AsArray;
use graticule_query::{Engine, EngineSettings, ErrorKind, Form};
use serde_json::Value;

use graticule_storage::catalog::{Catalog, CatalogLocation};
use graticule_storage::object::Objects;
use graticule_storage::read::{ReadSettings, Reader};

use super::dense::{answer, close};
use super::engine::{ask, numbers, root, weather};

async fn engine(dense: bool) -> Engine {
    let engine = weather(dense).await;
    let folder = root().join("tests/corpus");
    for statement in [
        format!("CREATE CUBE scene FROM '{}/cubes/mosaic/raster_*.tif'", folder.display()),
        format!("CREATE EXTERNAL TABLE parcels STORED AS GEOJSON LOCATION '{}/geometry/parcels.geojson'", folder.display()),
        format!("CREATE EXTERNAL TABLE fields STORED AS GEOPARQUET LOCATION '{}/geometry/scene.parquet'", folder.display()),
        format!("CREATE EXTERNAL TABLE fields_utm STORED AS GEOPARQUET LOCATION '{}/geometry/scene_utm.parquet'", folder.display()),
    ] {
        ask(&engine, &statement, Form::Rows).await.unwrap_or_else(|e| panic!("{statement}: {e}"));
    }
    engine
}

fn truth() -> Value {
    serde_json::from_str(&std::fs::read_to_string(root().join("tests/corpus/geometry/truth.json")).unwrap()).unwrap()
}

fn list(v: &Value) -> Vec<f64> {
    v.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

/// Cube, table, one plane of the cube, and the number of a cell in it.
const CUBES: &[(&str, &str, &str, &str)] = &[
    ("weather", "parcels", "weather[time(INDEX 0)]", "(90 - latitude) / 10 * 24 + longitude / 15"),
    ("scene", "fields", "scene", "round((5000000 - 5 - y) / 10) * 29 + round((x - 500005) / 10)"),
    ("scene", "fields_utm", "scene", "round((5000000 - 5 - y) / 10) * 29 + round((x - 500005) / 10)"),
];

#[tokio::test(flavor = "multi_thread")]
async fn cells_are_those_of_shapely() {
    let (engine, truth) = (engine(true).await, truth());
    for (cube, table, plane, number) in CUBES {
        for zone in truth[*cube].as_array().unwrap() {
            let id = &zone["id"];
            let select = |what: &str, on: &str| {
                format!(
                    "SELECT {number} AS n, {what} AS w FROM {plane} c JOIN {table} p ON {on}(p.geom, CELL(c)) WHERE p.id = {id} ORDER BY n"
                )
            };
            let covered = answer(&engine, &select("1", "ST_Covers")).await;
            let found: Vec<f64> = covered.first().into_iter().flatten().map(|n| n.unwrap()).collect();
            assert_eq!(found, list(&zone["covered"]), "{table} {id} covers");
            let touched = answer(&engine, &select("COVERAGE(p.geom, CELL(c))", "ST_Intersects")).await;
            let found: Vec<f64> = touched.first().into_iter().flatten().map(|n| n.unwrap()).collect();
            assert_eq!(found, list(&zone["touched"]), "{table} {id} touches");
            let shares = touched.get(1).into_iter().flatten().map(|n| n.unwrap());
            for (share, expected) in shares.zip(list(&zone["share"])) {
                assert!((share - expected).abs() < 2e-6, "{table} {id}: {share}, expected {expected}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn zonal_means_are_those_of_xarray() {
    let truth = truth();
    for dense in [true, false] {
        let engine = engine(dense).await;
        for (cube, table, value, name) in [
            ("weather", "parcels", "avg(t2m)", "mean"),
            ("weather", "parcels", "wavg(t2m, COVERAGE(p.geom, CELL(c)))", "weighted"),
            ("scene", "fields", "avg(band_1)", "mean"),
            ("scene", "fields", "wavg(band_1, COVERAGE(p.geom, CELL(c)))", "weighted"),
            ("scene", "fields_utm", "wavg(band_1, COVERAGE(p.geom, CELL(c)))", "weighted"),
        ] {
            let on = if name == "mean" { "ST_Covers" } else { "ST_Intersects" };
            let query =
                format!("SELECT p.id, {value} AS v FROM {cube} c JOIN {table} p ON {on}(p.geom, CELL(c)) GROUP BY p.id ORDER BY p.id");
            let found = answer(&engine, &query).await;
            let zones = truth[cube].as_array().unwrap();
            let expected: Vec<(f64, f64)> = zones.iter().filter_map(|z| Some((z["id"].as_f64()?, z[name].as_f64()?))).collect();
            let pairs: Vec<(f64, f64)> = found[0].iter().zip(&found[1]).map(|(id, v)| (id.unwrap(), v.unwrap())).collect();
            assert_eq!(pairs.len(), expected.len(), "{query}, dense={dense}: {pairs:?}");
            for (found, expected) in pairs.iter().zip(&expected) {
                assert_eq!(found.0, expected.0, "{query}");
                assert!((found.1 - expected.1).abs() < 2e-6 * expected.1.abs(), "{query}, dense={dense}: {found:?}, expected {expected:?}");
            }
        }
    }
}

/// Queries whose dense plan and row plan agree, and whether the first is dense.
const BOTH: &[(&str, bool)] = &[
    ("SELECT p.id, time, avg(t2m) AS v FROM weather w JOIN parcels p ON ST_Covers(p.geom, CELL(w)) GROUP BY p.id, time", true),
    (
        "SELECT p.even, month(time) AS m, max(t2m), min(tp), count(*), count(tp) FROM weather w JOIN parcels p ON ST_Covers(p.geom, CELL(w)) GROUP BY p.even, m",
        true,
    ),
    (
        "SELECT p.name, p.id, latitude, sum(tp), stddev(t2m) FROM weather w JOIN parcels p ON ST_Intersects(p.geom, CELL(w)) GROUP BY p.name, p.id, latitude",
        true,
    ),
    (
        "SELECT time, wavg(t2m, COVERAGE(p.geom, CELL(w)) * cos(radians(latitude))) FROM weather w JOIN parcels p ON ST_Intersects(p.geom, CELL(w)) GROUP BY time",
        true,
    ),
    (
        "SELECT p.id, wsum(t2m, COVERAGE(p.geom, CELL(w))), avg(t2m * p.share) FROM weather w JOIN parcels p ON ST_Covers(p.geom, CELL(w)) WHERE t2m > 270 AND p.id < 7 GROUP BY p.id",
        true,
    ),
    (
        "SELECT p.id, avg(t2m) FILTER (WHERE lsm = 1), longitude FROM weather w JOIN parcels p ON ST_Covers(p.geom, CELL(w)) WHERE latitude > 0 GROUP BY p.id, longitude",
        true,
    ),
    ("SELECT p.id, avg(t2m) FROM weather[longitude(-60:60)] w JOIN parcels p ON ST_Covers(p.geom, CELL(w)) GROUP BY p.id", true),
    (
        "SELECT p.id, avg(t2m) FROM parcels p JOIN weather[time(INDEX 0:100:7), latitude(-60:60)] w ON ST_Covers(p.geom, CELL(w)) GROUP BY p.id",
        true,
    ),
    ("SELECT count(*), avg(t2m) FROM weather w, parcels p WHERE ST_Covers(p.geom, CELL(w))", true),
    ("SELECT count(*) FROM weather w JOIN parcels p ON ST_Covers(p.geom, CELL(w)) WHERE p.id = 8", true),
    ("SELECT p.id, count(*) FROM weather w JOIN parcels p ON ST_Covers(p.geom, CELL(w)) WHERE p.id = 8 GROUP BY p.id", true),
    (
        "WITH c AS (SELECT time, latitude, longitude, t2m - 273.15 AS t FROM weather WHERE tp > 0.0001) SELECT p.id, avg(t) FROM c JOIN parcels p ON ST_Covers(p.geom, CELL(c)) GROUP BY p.id",
        true,
    ),
    ("SELECT avg(t2m) FROM weather WHERE ST_Covers('POLYGON((10 10, 100 20, 80 60, 10 10))', CELL(weather)) GROUP BY time", true),
    (
        "SELECT p.id, avg(t2m) FROM weather w JOIN (SELECT 1 AS id, ST_GeomFromText('POLYGON((10 10, 100 20, 80 60, 10 10))', 4326) AS geom) p ON ST_Covers(p.geom, CELL(w)) GROUP BY p.id",
        true,
    ),
    ("SELECT p.id, median(t2m) FROM weather w JOIN parcels p ON ST_Covers(p.geom, CELL(w)) GROUP BY p.id", false),
    ("SELECT p.id, count(t2m), count(*) FROM parcels p LEFT JOIN weather w ON ST_Covers(p.geom, CELL(w)) GROUP BY p.id", false),
    (
        "SELECT p.id, count(t2m), count(*) FROM parcels p LEFT JOIN weather w ON ST_Covers(p.geom, CELL(w)) AND t2m > 290 AND p.share * 1000 < t2m GROUP BY p.id",
        false,
    ),
    ("SELECT p.id, count(*) FROM weather w LEFT JOIN parcels p ON ST_Covers(p.geom, CELL(w)) GROUP BY p.id", false),
    ("SELECT p.id, count(*), count(t2m) FROM weather w FULL JOIN parcels p ON ST_Covers(p.geom, CELL(w)) GROUP BY p.id", false),
    ("SELECT p.id, avg(t2m) FROM weather w JOIN parcels p ON ST_Covers(p.geom, CELL(w)) AND t2m > p.share + 270 GROUP BY p.id", false),
    ("SELECT floor(t2m / 10) AS b, p.id, count(*) FROM weather w JOIN parcels p ON ST_Covers(p.geom, CELL(w)) GROUP BY b, p.id", false),
];

#[tokio::test(flavor = "multi_thread")]
async fn dense_is_rows() {
    let (dense, rows) = (engine(true).await, engine(false).await);
    for (text, in_the_leaf) in BOTH {
        let explained = ask(&dense, &format!("EXPLAIN {text}"), Form::Rows).await.unwrap_or_else(|e| panic!("{text}: {e}"));
        let plan = arrow::util::pretty::pretty_format_batches(&explained).unwrap().to_string();
        let zonal = text.contains("JOIN") || text.contains("parcels");
        assert_eq!(plan.contains("dense reduce"), *in_the_leaf, "{text}:\n{plan}");
        assert!(!zonal || plan.contains("zonal=[") == *in_the_leaf, "{text}:\n{plan}");
        assert!(!plan.contains("NestedLoopJoin"), "{text}:\n{plan}");
        let sorted = |columns: Vec<Vec<Option<f64>>>| {
            let n = columns.first().map_or(0, Vec::len);
            let mut all: Vec<Vec<Option<f64>>> = (0..n).map(|i| columns.iter().map(|c| c[i]).collect()).collect();
            all.sort_by(|a, b| a.partial_cmp(b).unwrap());
            all
        };
        let (a, b) = (sorted(answer(&dense, text).await), sorted(answer(&rows, text).await));
        assert_eq!(a.len(), b.len(), "rows of {text}");
        for (x, y) in a.iter().zip(&b) {
            assert!(x.iter().zip(y).all(|(p, q)| close(*p, *q)), "{text}: dense {x:?}, rows {y:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn plans_say_what_they_read() {
    let engine = engine(true).await;
    let query = "SELECT avg(t2m) FROM weather w JOIN parcels p ON ST_Covers(p.geom, CELL(w)) WHERE p.id = 3 GROUP BY p.id";
    let explained = ask(&engine, &format!("EXPLAIN {query}"), Form::Rows).await.unwrap();
    let plan = arrow::util::pretty::pretty_format_batches(&explained).unwrap().to_string();
    assert!(plan.contains("zonal=[st_covers of weather: 1 geometries, 1 with cells, 16 cells]"), "{plan}");
    assert!(plan.contains("latitude: 4 of 19, longitude: 4 of 24"), "{plan}");
    let columns = ask(&engine, "SELECT * FROM parcels", Form::Rows).await.unwrap();
    let schema = columns[0].schema();
    let metadata = schema.field_with_name("geom").unwrap().metadata().clone();
    assert_eq!(metadata["ARROW:extension:name"], "geoarrow.wkb");
    assert!(metadata["ARROW:extension:metadata"].contains("EPSG:4326"), "{metadata:?}");
    assert_eq!(columns[0].column_by_name("tags").unwrap().as_string::<i32>().value(1), r#"{"n":[1]}"#);
    let none = numbers(&ask(&engine, "SELECT count(*) FROM parcels WHERE geom IS NULL", Form::Rows).await.unwrap(), 0);
    assert_eq!(none, [Some(1.0)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_outside_of_the_roots_are_forbidden() {
    let folder = tempfile::tempdir().unwrap();
    let objects = Objects::new(&[folder.path().display().to_string()]).unwrap();
    let catalog = Arc::new(Catalog::open(CatalogLocation::Memory, objects.clone()).await.unwrap());
    let reader = Reader::new(objects, catalog.clone(), ReadSettings { cache_bytes: 1 << 20, threads: 1 }).unwrap();
    let engine = Engine::new(catalog, reader, EngineSettings { memory_bytes: 1 << 20, threads: 1 }).unwrap();
    let parcels = root().join("tests/corpus/geometry/parcels.geojson");
    let create = |path: &std::path::Path| format!("CREATE EXTERNAL TABLE t STORED AS GEOJSON LOCATION '{}'", path.display());
    let error = ask(&engine, &create(&parcels), Form::Rows).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Forbidden, "{error}");
    let inside = folder.path().join("parcels.geojson");
    std::fs::copy(&parcels, &inside).unwrap();
    ask(&engine, &create(&inside), Form::Rows).await.unwrap();
    ask(&engine, "DROP TABLE t", Form::Rows).await.unwrap();
    // More than all queries together may hold.
    let point = r#"{"type":"Feature","properties":{},"geometry":{"type":"Point","coordinates":[1,2]}}"#;
    let many = format!(r#"{{"type":"FeatureCollection","features":[{}]}}"#, vec![point; 20_000].join(","));
    std::fs::write(&inside, many).unwrap();
    let error = ask(&engine, &create(&inside), Form::Rows).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Resources, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn samples_are_those_of_xarray() {
    let (engine, truth) = (engine(true).await, truth());
    let points = root().join("tests/corpus/geometry/points.geojson");
    ask(&engine, &format!("CREATE EXTERNAL TABLE stations STORED AS GEOJSON LOCATION '{}'", points.display()), Form::Rows).await.unwrap();
    for (name, query) in [
        ("nearest", "SELECT id, t2m FROM SAMPLE(weather, stations) ORDER BY id"),
        ("bilinear", "SELECT s.id, s.t2m FROM SAMPLE(weather, stations, method => 'bilinear') s ORDER BY s.id"),
        (
            "mean",
            "WITH p AS (SELECT id, geom FROM stations) SELECT id, avg(t2m) AS v FROM SAMPLE(weather, p, method => 'nearest') GROUP BY id ORDER BY id",
        ),
    ] {
        let found = answer(&engine, query).await;
        let expected = truth["points"].as_array().unwrap();
        assert_eq!(found[0].len(), expected.len(), "{query}");
        for (i, point) in expected.iter().enumerate() {
            assert_eq!(found[0][i], point["id"].as_f64(), "{query}");
            let (a, b) = (found[1][i], point[name].as_f64());
            assert!(
                a.is_some() == b.is_some() && (a.unwrap_or(0.0) - b.unwrap_or(0.0)).abs() < 1e-4,
                "{query}, {}: {a:?}, expected {b:?}",
                point["id"]
            );
        }
    }
}
