//! Sixty questions to cubes as users have them, among them joins along axes and views, against what xarray says of the same files
//! (`corpus/relations/answers.json`): dense and row by row, rows and arrays.

use graticule_query::{Engine, Form};

use super::dense::close;
use super::engine::{array, ask, numbers, relations};

/// The views that the questions name.
const VIEWS: &[&str] = &[
    "CREATE VIEW ndvi AS SELECT CASE WHEN scl IN (4, 5, 6) THEN (b08 - b04) / (b08 + b04) END AS ndvi FROM s2",
    "CREATE VIEW greener AS SELECT ndvi * elevation AS v FROM ndvi JOIN dem USING DIMS",
    "CREATE VIEW smooth AS SELECT avg(t2m) AROUND (time(-3:0)) AS m FROM era5",
    "CREATE VIEW monthly AS SELECT month(time) AS month, avg(t2m) AS m FROM era5 GROUP BY month(time), DIMS EXCEPT (time)",
];

async fn engine(dense: bool) -> Engine {
    let engine = relations(dense).await;
    for view in VIEWS {
        ask(&engine, view, Form::Rows).await.unwrap_or_else(|e| panic!("{view}: {e}"));
    }
    engine
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_questions_have_the_answers_of_xarray() {
    let text = std::fs::read_to_string(super::engine::root().join("tests/corpus/relations/answers.json")).unwrap();
    let questions: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    assert!(questions.len() >= 60);
    let mut wrong = Vec::new();
    for dense in [true, false] {
        let engine = engine(dense).await;
        for question in &questions {
            let (name, sql) = (question["name"].as_str().unwrap(), question["sql"].as_str().unwrap());
            if let Err(why) = rows_agree(&engine, sql, question).await {
                wrong.push(format!("{name} (rows, dense={dense}): {why}\n  {sql}"));
            }
            if let Err(why) = array_agrees(&engine, sql, question).await {
                wrong.push(format!("{name} (array, dense={dense}): {why}\n  {sql}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

async fn rows_agree(engine: &Engine, sql: &str, truth: &serde_json::Value) -> Result<(), String> {
    let batches = ask(engine, sql, Form::Rows).await.map_err(|e| e.message)?;
    let found = match batches.first() {
        Some(first) => numbers(&batches, first.num_columns() - 1),
        None => vec![],
    };
    // Groups without cells have no row, and cells that a predicate takes away neither.
    agree(truth, &found, found.len() as u64)
}

async fn array_agrees(engine: &Engine, sql: &str, truth: &serde_json::Value) -> Result<(), String> {
    let batches = ask(engine, sql, Form::Array).await.map_err(|e| e.message)?;
    let (axes, found) = array(&batches);
    agree(truth, &found, truth["cells"].as_u64().unwrap()).map_err(|why| format!("{why}; axes {axes:?}"))?;
    for (at, wanted) in truth["some"].as_object().unwrap() {
        let cell = found[at.parse::<usize>().unwrap()];
        let wanted = wanted.as_f64();
        let near = match (cell, wanted) {
            (Some(a), Some(b)) => (a - b).abs() <= 1e-4 * b.abs().max(1.0),
            (a, b) => a == b,
        };
        if !near {
            return Err(format!("cell {at} is {cell:?}, xarray says {wanted:?}; axes {axes:?}"));
        }
    }
    Ok(())
}

/// Number, sum and sum of squares of the cells that are there.
fn agree(truth: &serde_json::Value, found: &[Option<f64>], cells: u64) -> Result<(), String> {
    if found.len() as u64 != cells {
        return Err(format!("{} cells, xarray has {cells}", found.len()));
    }
    let there: Vec<f64> = found.iter().flatten().copied().collect();
    if there.len() as u64 != truth["count"].as_u64().unwrap() {
        return Err(format!("{} cells are there, in xarray {}", there.len(), truth["count"]));
    }
    for (what, value) in [("sum", there.iter().sum::<f64>()), ("squares", there.iter().map(|v| v * v).sum())] {
        let wanted = truth[what].as_f64().unwrap();
        // Anomalies add up to nothing but the rounding of what they are taken from.
        if (value - wanted).abs() > 2e-6 * wanted.abs().max(there.len() as f64) {
            return Err(format!("{what} {value}, xarray says {wanted}"));
        }
    }
    Ok(())
}

/// The ten queries of the dialect's page, but for the one about polygons. What comes first is a number that numpy gives.
const TEN: &[(usize, &str)] = &[
    (4, "SELECT t2m FROM era5[time('2020-01-01T06:00'), lat(40:60), lon(-10:20)]"),
    (2880, "SELECT (b08 - b04) / (b08 + b04) AS ndvi FROM s2[time('2024-06')]"),
    (162, "SELECT avg(t2m) FROM era5[time('2020')] GROUP BY DIMS EXCEPT (time)"),
    (132, "SELECT time, wavg(t2m, cos(radians(lat))) AS t FROM era5 GROUP BY time"),
    (21384, "SELECT t2m - avg(t2m) OVER (PARTITION BY DIMS EXCEPT (time), month(time)) AS anomaly FROM era5"),
    (
        480,
        "WITH v AS (SELECT (b08 - b04) / (b08 + b04) AS ndvi, scl FROM s2[time('2024-06':'2024-08')]) \
         SELECT max(ndvi) FILTER (WHERE scl IN (4, 5, 6)) AS ndvi FROM v GROUP BY DIMS EXCEPT (time)",
    ),
    (480, "SELECT avg(elevation) AROUND (y(-1:1), x(-1:1)) AS smooth FROM dem"),
    (30, "SELECT avg(elevation) FROM dem GROUP BY coarsen(y, 4), coarsen(x, 4)"),
    (4, "SELECT width_bucket(elevation, 0, 5000, 50) AS bin, count(*) AS n FROM dem GROUP BY bin ORDER BY bin"),
];

#[tokio::test(flavor = "multi_thread")]
async fn the_queries_of_the_dialects_page_run_and_run_dense() {
    let (dense, rows) = (engine(true).await, engine(false).await);
    for (count, sql) in TEN {
        let mut found = Vec::new();
        for engine in [&dense, &rows] {
            let batches = ask(engine, sql, Form::Rows).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
            let mut values = numbers(&batches, batches[0].num_columns() - 1);
            values.sort_by(|a, b| a.partial_cmp(b).unwrap());
            found.push(values);
        }
        assert_eq!(found[0].len(), *count, "{sql}");
        assert_eq!(found[1].len(), *count, "{sql}");
        assert!(found[0].iter().zip(&found[1]).all(|(a, b)| close(*a, *b)), "{sql}");
        let plan = ask(&dense, &format!("EXPLAIN {sql}"), Form::Rows).await.unwrap();
        let plan = arrow::util::pretty::pretty_format_batches(&plan).unwrap().to_string();
        assert!(!plan.contains("not dense") || sql.contains("width_bucket"), "{sql}: {plan}");
    }
}
