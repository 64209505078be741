//! Queries against what xarray says of the same files (`corpus/cubes/truth.json`): dense and row by row, rows and arrays.

use graticule_query::Form;

use super::engine::{ask, cells, numbers, root, weather};

/// Name in `truth.json`, and the query whose last column it is about.
const QUESTIONS: &[(&str, &str)] = &[
    ("point", "SELECT t2m FROM weather[latitude(EXACT 50), longitude(EXACT 15)]"),
    ("box", "SELECT t2m FROM weather[time('2020-02-10T12:00'), latitude(30:60), longitude(0:45)]"),
    ("across the seam", "SELECT t2m FROM weather[time(INDEX 3), longitude(-30:15)]"),
    ("february", "SELECT t2m FROM weather[time('2020-02')]"),
    ("february", "SELECT t2m FROM weather WHERE time >= TIMESTAMP '2020-02-01' AND time < TIMESTAMP '2020-03-01'"),
    ("time mean", "SELECT avg(t2m) AS v FROM weather GROUP BY DIMS EXCEPT (time)"),
    ("daily max", "SELECT max(t2m) AS v FROM weather GROUP BY date_trunc('day', time), latitude, longitude"),
    ("monthly mean", "SELECT avg(t2m) AS v FROM weather GROUP BY month(time), latitude, longitude"),
    ("latitude mean", "SELECT avg(t2m) AS v FROM weather GROUP BY latitude"),
    ("hot and dry", "SELECT count(*) FILTER (WHERE t2m > 290 AND tp < 1e-4) AS v FROM weather GROUP BY latitude, longitude"),
    ("standard deviation", "SELECT stddev(t2m) AS v FROM weather GROUP BY DIMS EXCEPT (time)"),
    ("january and march", "SELECT max(t2m) AS v FROM weather WHERE month(time) IN (1, 3) GROUP BY time"),
    ("land only", "SELECT avg(t2m) FILTER (WHERE lsm = 1) AS v FROM weather GROUP BY time"),
    ("every sixth", "SELECT t2m FROM weather[time(INDEX 0:23:6)]"),
];

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_those_of_xarray() {
    let text = std::fs::read_to_string(root().join("tests/corpus/cubes/truth.json")).unwrap();
    let truth: serde_json::Value = serde_json::from_str(&text).unwrap();
    for dense in [true, false] {
        let engine = weather(dense).await;
        for (name, query) in QUESTIONS {
            let what = format!("{name}, dense={dense}");
            let rows = ask(&engine, query, Form::Rows).await.unwrap_or_else(|e| panic!("{what}: {e}"));
            agrees(&what, &truth[name], &numbers(&rows, rows[0].num_columns() - 1));
            let array = ask(&engine, query, Form::Array).await.unwrap_or_else(|e| panic!("{what} as array: {e}"));
            agrees(&format!("{what} as array"), &truth[name], &cells(&array));
        }
    }
}

fn agrees(what: &str, truth: &serde_json::Value, found: &[Option<f64>]) {
    let values: Vec<f64> = found.iter().flatten().copied().collect();
    assert_eq!(found.len() as u64, truth["cells"].as_u64().unwrap(), "{what}: cells");
    assert_eq!(values.len() as u64, truth["count"].as_u64().unwrap(), "{what}: cells that are not missing");
    let (sum, wanted) = (values.iter().sum::<f64>(), truth["sum"].as_f64().unwrap());
    assert!((sum - wanted).abs() <= 1e-6 * wanted.abs().max(1.0), "{what}: sum {sum}, xarray says {wanted}");
}
