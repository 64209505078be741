//! Cubes on other grids against what xarray, numpy, scipy and GDAL make of the same files (`corpus/grids/truth.json`).

use datafusion::common::ScalarValue;
use graticule_query::{Engine, Form, Parameters};
use serde_json::Value;

use super::engine::{ask, ask_with, cells, empty, numbers, root};

fn truth() -> Value {
    serde_json::from_str(&std::fs::read_to_string(root().join("tests/corpus/grids/truth.json")).unwrap()).unwrap()
}

async fn engine(truth: &Value, dense: bool) -> Engine {
    let engine = empty(1 << 30).await;
    for (name, cube) in truth["cubes"].as_object().unwrap() {
        let files = root().join("tests/corpus").join(cube["files"].as_str().unwrap());
        let more = cube["clauses"].as_str().unwrap_or_default();
        ask(&engine, &format!("CREATE CUBE {name} FROM '{}' {more}", files.display()), Form::Rows).await.unwrap();
    }
    ask(&engine, &format!("SET graticule.dense = {dense}"), Form::Rows).await.unwrap();
    engine
}

/// How many values differ by more than the tolerance, and the first that does.
fn differing(got: &[Option<f64>], case: &Value) -> (usize, String) {
    let wanted: Vec<Option<f64>> = case["values"].as_array().unwrap().iter().map(Value::as_f64).collect();
    assert_eq!(got.len(), wanted.len(), "{}", case["name"]);
    let tolerance = case["tolerance"].as_f64().unwrap_or(1e-6);
    let near = |(a, b): (&Option<f64>, &Option<f64>)| match (a, b) {
        (Some(a), Some(b)) => (a - b).abs() <= tolerance * (1.0 + b.abs()),
        (a, b) => a.is_none() && b.is_none(),
    };
    let bad: Vec<usize> = (0..got.len()).filter(|&i| !near((&got[i], &wanted[i]))).collect();
    let first = bad.first().map_or(String::new(), |&i| format!("value {i}: {:?}, expected {:?}", got[i], wanted[i]));
    (bad.len(), first)
}

fn sorted(mut values: Vec<Option<f64>>) -> Vec<Option<f64>> {
    values.sort_by(|a, b| a.unwrap_or(f64::INFINITY).total_cmp(&b.unwrap_or(f64::INFINITY)));
    values
}

#[tokio::test(flavor = "multi_thread")]
async fn other_grids_hold_what_others_compute() {
    let (truth, mut wrong) = (truth(), Vec::new());
    for dense in [true, false] {
        let engine = engine(&truth, dense).await;
        for case in truth["cases"].as_array().unwrap() {
            let (name, sql) = (case["name"].as_str().unwrap(), case["sql"].as_str().unwrap());
            let order = case["order"].as_str().unwrap_or_default();
            let rows = ask(&engine, &format!("{sql} {order}"), Form::Rows).await.unwrap_or_else(|e| panic!("{name}: {e}"));
            let got = numbers(&rows, rows.first().map_or(0, |b| b.num_columns() - 1));
            let (bad, first) = differing(&got, case);
            let most = case["may_differ"].as_u64().unwrap_or(0) as usize;
            if bad > most {
                wrong.push(format!("{name}, dense={dense}: {bad} of {} values differ, {first}", got.len()));
            }
            if let Some(told) = case["explains"].as_str() {
                let plan = ask(&engine, &format!("EXPLAIN {sql}"), Form::Rows).await.unwrap();
                let plan = arrow::util::pretty::pretty_format_batches(&plan).unwrap().to_string();
                assert!(plan.contains(told), "{name}: EXPLAIN lacks {told}: {plan}");
            }
            let array = ask(&engine, sql, Form::Array).await.unwrap_or_else(|e| panic!("{name} as an array: {e}"));
            assert!(sorted(cells(&array)) == sorted(got), "{name}: an array of other values than the rows, dense={dense}");
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_warp_is_prepared_before_its_numbers_are_known() {
    let engine = engine(&truth(), true).await;
    let text = "SELECT count(*) AS n FROM WARP(utm, crs => 'EPSG:4326', resolution => $1, bounds => [$2, $3, $4, $5])";
    let prepared = engine.prepare(text, Form::Rows, Parameters::Unknown).await.unwrap();
    assert_eq!(prepared.schema().field(0).name(), "n");
    let values = [0.5, 8.0, 47.0, 10.0, 48.0].map(|v| ScalarValue::Float64(Some(v))).to_vec();
    assert_eq!(numbers(&ask_with(&engine, text, Form::Rows, values).await.unwrap(), 0), [Some(8.0)]);
}
