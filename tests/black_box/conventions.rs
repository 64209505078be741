//! Cubes whose axes are not those of every day (model calendars, coordinates of two dimensions, text): queries against what
//! cftime, xarray and numpy say of the same files (`corpus/cf/cubes.json`), dense and row by row, rows and arrays.

use arrow::array::AsArray;
use arrow::compute;
use arrow::datatypes::DataType;
use graticule_query::{Engine, Form};
use serde_json::Value;

use super::engine::{ask, cells, empty, numbers, root};

async fn engine(dense: bool) -> Engine {
    let engine = empty(1 << 30).await;
    for cube in ["model", "reform", "curved", "stations"] {
        let files = root().join("tests/corpus/cf").join(if cube == "model" { "model_*.nc".to_owned() } else { format!("{cube}.nc") });
        ask(&engine, &format!("CREATE CUBE {cube} FROM '{}'", files.display()), Form::Rows).await.unwrap();
    }
    ask(&engine, &format!("SET graticule.dense = {dense}"), Form::Rows).await.unwrap();
    engine
}

fn agrees(what: &str, truth: &Value, found: &[Option<f64>]) -> Result<(), String> {
    let values: Vec<f64> = found.iter().flatten().copied().collect();
    let (sum, wanted) = (values.iter().sum::<f64>(), truth["sum"].as_f64().unwrap());
    let counts = Some(values.len() as u64) == truth["count"].as_u64();
    match counts && (sum - wanted).abs() <= 1e-6 * wanted.abs().max(1.0) {
        true => Ok(()),
        false => Err(format!("{what}: {} values, sum {sum}; {} and {wanted} expected", values.len(), truth["count"])),
    }
}

/// Answers one question in every way that it can be asked.
async fn answer(engine: &Engine, what: &str, truth: &Value) -> Result<(), String> {
    let query = truth["query"].as_str().unwrap().replace("{cube}", truth["cube"].as_str().unwrap());
    let what = format!("{what}: {query}");
    let rows = ask(engine, &query, Form::Rows).await;
    if let Some(part) = truth["error"].as_str() {
        return match rows {
            Err(error) if error.to_string().contains(part) => Ok(()),
            Err(error) => Err(format!("{what}: {error}")),
            Ok(_) => Err(format!("{what}: no error")),
        };
    }
    let rows = rows.map_err(|e| format!("{what}: {e}"))?;
    if let Some(texts) = truth["texts"].as_array() {
        let of = |b: &arrow::array::RecordBatch| {
            let column = compute::cast(b.column(b.num_columns() - 1), &DataType::Utf8).unwrap();
            column.as_string::<i32>().iter().map(|t| t.unwrap_or("NULL").to_owned()).collect::<Vec<_>>()
        };
        let found: Vec<String> = rows.iter().flat_map(of).collect();
        let wanted: Vec<&str> = texts.iter().filter_map(Value::as_str).collect();
        return if found == wanted { Ok(()) } else { Err(format!("{what}: {found:?}")) };
    }
    let last = rows.first().map_or(0, |b| b.num_columns() - 1);
    let found = numbers(&rows, last);
    if found.len() as u64 != truth["cells"].as_u64().unwrap() {
        return Err(format!("{what}: {} rows, {} expected", found.len(), truth["cells"]));
    }
    agrees(&what, truth, &found)?;
    if let Some(shape) = truth["shape"].as_array() {
        let array = ask(engine, &query, Form::Array).await.map_err(|e| format!("{what} as array: {e}"))?;
        agrees(&format!("{what} as array"), truth, &cells(&array))?;
        let prepared = engine.prepare(&query, Form::Array, Default::default()).await.map_err(|e| e.to_string())?;
        let axes: Value = serde_json::from_str(&prepared.schema().metadata()["graticule.axes"]).unwrap();
        let sizes: Vec<Value> = axes["axes"].as_array().unwrap().iter().map(|a| a["size"].clone()).collect();
        if sizes != *shape {
            return Err(format!("{what}: shape {sizes:?}, {shape:?} expected"));
        }
    }
    if let Some(most) = truth["chunks"].as_u64() {
        let plan = ask(engine, &format!("EXPLAIN {query}"), Form::Rows).await.map_err(|e| e.to_string())?;
        let text: String =
            plan.iter().flat_map(|b| b.column(1).as_string::<i32>().iter().flatten().map(str::to_owned).collect::<Vec<_>>()).collect();
        let chunks = text.split("chunks=").nth(1).and_then(|t| t.split(',').next()).and_then(|n| n.parse::<u64>().ok());
        // The coordinates' own chunks are among them.
        if chunks.is_none_or(|n| n > most + 2 * most) {
            return Err(format!("{what}: {chunks:?} chunks, {most} expected: {text}"));
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn unusual_axes_answer_as_xarray_does() {
    let text = std::fs::read_to_string(root().join("tests/corpus/cf/cubes.json")).unwrap();
    let questions: Vec<Value> = serde_json::from_str(&text).unwrap();
    let mut wrong = Vec::new();
    for dense in [true, false] {
        let engine = engine(dense).await;
        for truth in &questions {
            wrong.extend(answer(&engine, &format!("dense={dense}"), truth).await.err());
        }
    }
    assert!(wrong.is_empty(), "{} of {} wrong:\n{}", wrong.len(), 2 * questions.len(), wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn names_and_periods_are_taken_as_they_are_written() {
    let engine = engine(true).await;
    let text = |batches: Vec<arrow::array::RecordBatch>| arrow::util::pretty::pretty_format_batches(&batches).unwrap().to_string();
    let described = text(ask(&engine, "DESCRIBE CUBE stations", Form::Rows).await.unwrap());
    for part in ["\"air temperature\"", "\"Select\"", "\"a.b\"", " station_name ", "Utf8"] {
        assert!(described.contains(part), "{part}: {described}");
    }
    assert!(text(ask(&engine, "DESCRIBE CUBE model", Form::Rows).await.unwrap()).contains("Utf8 (360_day times)"));
    let plan = text(ask(&engine, "EXPLAIN SELECT \"air temperature\" FROM stations", Form::Rows).await.unwrap());
    assert!(plan.contains("read=[\"air temperature\"]"), "{plan}");
    // A period keeps its axis among DIMS, also where it stands in a parameter, and an instant takes it away.
    for (value, columns) in [("2001-02", 3), ("2001-02-30", 3), ("2001-02-30T12:00", 2)] {
        let parameters = graticule_query::Parameters::Values(vec![datafusion::common::ScalarValue::Utf8(Some(value.into()))]);
        let prepared = engine.prepare("SELECT DIMS, t FROM model[time($1)]", Form::Rows, parameters).await.unwrap();
        assert_eq!(prepared.schema().fields().len(), columns, "{value}");
    }
    let error = ask(&engine, "SELECT DIMS, avg(t) FROM modle GROUP BY DIMS", Form::Rows).await.unwrap_err().to_string();
    assert!(error.contains("there is no cube `modle`; did you mean `model`?"), "{error}");
}

/// Cells of a rotated image lie where GDAL's transform puts them (`corpus/tiff/cases.json`, from rasterio), and are found there.
#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_image_is_asked_by_its_coordinates() {
    let corpus = root().join("tests/corpus/tiff");
    let cases: Value = serde_json::from_slice(&std::fs::read(corpus.join("cases.json")).unwrap()).unwrap();
    let case = &cases["rotated"];
    let t: Vec<f64> = case["transform"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect();
    let (height, width) = (case["height"].as_u64().unwrap(), case["width"].as_u64().unwrap());
    let centres: Vec<(f64, f64)> = (0..height)
        .flat_map(|row| (0..width).map(move |column| (column as f64 + 0.5, row as f64 + 0.5)))
        .map(|(c, r)| (t[2] + t[0] * c + t[1] * r, t[5] + t[3] * c + t[4] * r))
        .collect();
    for dense in [true, false] {
        let engine = empty(1 << 30).await;
        ask(&engine, &format!("CREATE CUBE turned FROM '{}'", corpus.join("rotated.tif").display()), Form::Rows).await.unwrap();
        ask(&engine, &format!("SET graticule.dense = {dense}"), Form::Rows).await.unwrap();
        for (name, of) in [("xc", 0), ("yc", 1)] {
            let found = cells(&ask(&engine, &format!("SELECT {name} FROM turned"), Form::Array).await.unwrap());
            let apart = |(found, centre): (&Option<f64>, &(f64, f64))| (found.unwrap() - if of == 0 { centre.0 } else { centre.1 }).abs();
            assert_eq!(found.len(), centres.len());
            assert!(found.iter().zip(&centres).map(apart).fold(0.0, f64::max) < 1e-6, "{name}");
        }
        let (low, high) = (t[2] + 200.0, t[2] + 500.0);
        let query = format!("SELECT count(band_1) FROM turned WHERE xc BETWEEN {low} AND {high} AND yc < {}", t[5] - 300.0);
        let wanted = centres.iter().filter(|(x, y)| (low..=high).contains(x) && *y < t[5] - 300.0).count();
        assert!(wanted > 50);
        assert_eq!(numbers(&ask(&engine, &query, Form::Rows).await.unwrap(), 0), [Some(wanted as f64)]);
    }
}
