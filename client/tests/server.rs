//! The client against the real program, on a GeoTIFF whose cells follow a formula (tests/corpus/tiff/make_tiff.py). The
//! program is looked for in GRATICULE and beside the tests; without it there is nothing to ask, and the tests say so.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use arrow::array::AsArray;
use arrow::datatypes::{Float64Type, Int64Type};
use futures::TryStreamExt;
use graticule_client::{Client, Error, Values};

/// Cell of row r and column c of globe.tif.
fn cell(r: usize, c: usize) -> i16 {
    ((7 * r + 3 * c + r * c / 5) % 100) as i16 - 50
}

struct Server {
    child: Child,
    url: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/corpus").canonicalize().unwrap()
}

fn program() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("GRATICULE") {
        return Some(named.into());
    }
    let beside = std::env::current_exe().ok()?.parent()?.parent()?.join("graticule");
    beside.exists().then_some(beside)
}

/// A server that may read the corpus; `None`, and a line that says so, without the program.
fn serve() -> Option<Server> {
    let Some(program) = program() else {
        eprintln!("skipped: the program `graticule` is not built");
        return None;
    };
    let mut command = Command::new(program);
    command.args(["serve", "--listen", "127.0.0.1:0", "--data-dir", ":memory:", "--root"]).arg(corpus());
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let url = line.split_whitespace().last().unwrap_or_default().to_owned();
    Some(Server { child, url })
}

async fn globe(server: &Server) -> Client {
    let mut db = Client::connect(&server.url).await.unwrap();
    db.execute(&format!("CREATE CUBE globe FROM '{}/tiff/globe.tif'", corpus().display())).await.unwrap();
    db
}

#[tokio::test]
async fn rows_parameters_and_errors() {
    let Some(server) = serve() else { return };
    let mut db = globe(&server).await;
    let batches = db.sql("SELECT count(*) AS n, sum(band_1) AS s FROM globe").await.unwrap().collect().await.unwrap();
    assert_eq!(batches[0].column(0).as_primitive::<Int64Type>().value(0), 37 * 44);
    let sum: i64 = (0..37).flat_map(|r| (0..44).map(move |c| i64::from(cell(r, c)))).sum();
    assert_eq!(batches[0].column(1).as_primitive::<Int64Type>().value(0), sum);

    let mut stream = db.sql_with("SELECT $1 * 2.0 AS a, $2 AS b", &[20.5.into(), "x".into()]).await.unwrap();
    assert_eq!(stream.schema().field(1).name(), "b");
    let row = stream.try_next().await.unwrap().unwrap();
    assert_eq!((row.column(0).as_primitive::<Float64Type>().value(0), row.column(1).as_string::<i32>().value(0)), (41.0, "x"));

    let error = db.sql("SELECT\n band_9 FROM globe").await.unwrap_err();
    let Error::Query { message, line, column, .. } = error else { panic!("{error}") };
    assert!(message.contains("band_9"), "{message}");
    assert_eq!((line, column), (Some(2), Some(2)));

    let cubes = db.cubes().await.unwrap();
    assert_eq!(cubes.iter().map(|b| b.num_rows()).sum::<usize>(), 1);
    assert_eq!(cubes[0].column(0).as_string::<i32>().value(0), "globe");
}

#[tokio::test]
async fn arrays_have_their_cells_and_axes() {
    let Some(server) = serve() else { return };
    let mut db = globe(&server).await;
    let found = db.array("SELECT band_1 FROM globe").await.unwrap();
    let Values::Int16(cells) = &found.variables[0].values else { panic!("{:?}", found.variables[0].values) };
    assert_eq!(cells.shape(), [37, 44]);
    assert!(cells.indexed_iter().all(|(at, &v)| v == cell(at[0], at[1])));
    assert_eq!((found.axes[0].size, found.axes[1].size), (37, 44));
    assert_eq!(found.crs.as_deref(), Some("EPSG:4326"));
    // The centre of the first pixel: 50 - 0.25 / 2.
    let y = found.axes[0].coordinates.as_ref().unwrap();
    assert_eq!((found.axes[0].name.as_str(), y.as_primitive::<Float64Type>().value(0)), ("y", 49.875));

    let rows = db.array("SELECT avg(band_1) AS v FROM globe GROUP BY DIMS EXCEPT (x)").await.unwrap();
    let mean = rows.variable("v").unwrap();
    assert_eq!(mean.dims.len(), 1);
    let want = (0..44).map(|c| f64::from(cell(5, c))).sum::<f64>() / 44.0;
    assert!((mean.values.to_f64().unwrap()[[5]] - want).abs() < 1e-9);
}

#[tokio::test]
async fn a_cube_of_netcdf_files_has_the_values_of_xarray() {
    let Some(server) = serve() else { return };
    let mut db = Client::connect(&server.url).await.unwrap();
    db.execute(&format!("CREATE CUBE weather FROM '{}/cubes/weather_*.nc'", corpus().display())).await.unwrap();
    let truth: serde_json::Value = serde_json::from_slice(&std::fs::read(corpus().join("cubes/truth.json")).unwrap()).unwrap();
    let mean = "SELECT avg(t2m) AS v FROM weather GROUP BY DIMS EXCEPT (time)";

    let map = db.array(mean).await.unwrap();
    assert_eq!(map.axes.iter().map(|a| a.size).collect::<Vec<_>>(), [19, 24]);
    let cells = map.variable("v").unwrap().values.to_f64().unwrap();
    let rows = db.sql(mean).await.unwrap().collect().await.unwrap();
    let column: Vec<f64> =
        rows.iter().flat_map(|b| b.column_by_name("v").unwrap().as_primitive::<Float64Type>().values().to_vec()).collect();
    for sum in [cells.sum(), column.iter().sum()] {
        let want = truth["time mean"]["sum"].as_f64().unwrap();
        assert!((sum - want).abs() < 1e-6 * want, "{sum} {want}");
    }
    assert_eq!((cells.len(), column.len()), (456, 456));
}

#[tokio::test]
async fn nobody_there_is_a_connection_error() {
    assert!(matches!(Client::connect("grpc://127.0.0.1:1").await, Err(Error::Connection { .. })));
    assert!(matches!(Client::connect("ftp://127.0.0.1:1").await, Err(Error::Connection { .. })));
}
