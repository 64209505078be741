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
    ("weighted mean", "SELECT wavg(t2m, cos(radians(latitude))) AS v FROM weather GROUP BY time"),
    ("weighted sum", "SELECT wsum(t2m, cos(radians(latitude))) AS v FROM weather GROUP BY DIMS EXCEPT (latitude)"),
    ("time median", "SELECT median(t2m) AS v FROM weather GROUP BY DIMS EXCEPT (time)"),
    ("median of a band", "SELECT median(t2m) AS v FROM weather GROUP BY floor(latitude / 30)"),
    ("time quantile", "SELECT quantile(t2m, 0.9) AS v FROM weather GROUP BY DIMS EXCEPT (time)"),
    ("monthly quantile", "SELECT quantile(t2m, 0.05) AS v FROM weather GROUP BY month(time), latitude, longitude"),
    ("mode of counts", "SELECT mode(floor(t2m / 5)) AS v FROM weather GROUP BY DIMS EXCEPT (time)"),
    (
        "hour of the maximum",
        "SELECT (date_part('epoch', arg_max(t2m, time)) - 1577836800) / 3600 AS v FROM weather GROUP BY DIMS EXCEPT (time)",
    ),
    (
        "hour of the minimum",
        "SELECT (date_part('epoch', arg_min(t2m, time)) - 1577836800) / 3600 AS v FROM weather GROUP BY DIMS EXCEPT (time)",
    ),
    ("correlation", "SELECT corr(round(CAST(t2m AS DOUBLE), 2), tp) AS v FROM weather GROUP BY DIMS EXCEPT (time)"),
    ("covariance", "SELECT covar_samp(round(CAST(t2m AS DOUBLE), 2), tp) AS v FROM weather GROUP BY DIMS EXCEPT (time)"),
    (
        "slope",
        "SELECT regr_slope(round(CAST(t2m AS DOUBLE), 2), date_part('epoch', time) / 3600) AS v FROM weather GROUP BY DIMS EXCEPT (time)",
    ),
    ("coarse", "SELECT avg(t2m) AS v FROM weather GROUP BY time, coarsen(latitude, 4), coarsen(longitude, 5)"),
    ("coarse from 60", "SELECT avg(t2m) AS v FROM weather[latitude(:60)] GROUP BY coarsen(latitude, 4)"),
    ("bands", "SELECT avg(t2m) AS v FROM weather GROUP BY width_bucket(latitude, -90, 90, 6)"),
    ("first and last", "SELECT last_value(tp ORDER BY time) - first_value(tp ORDER BY time) AS v FROM weather GROUP BY DIMS EXCEPT (time)"),
    ("different values", "SELECT count(DISTINCT floor(t2m / 5)) AS v FROM weather GROUP BY DIMS EXCEPT (time)"),
    ("anomaly", "SELECT t2m - avg(t2m) OVER (PARTITION BY DIMS EXCEPT (time), month(time)) AS v FROM weather"),
    ("along longitude", "SELECT max(t2m) ALONG (longitude) AS v FROM weather"),
    ("rolling mean", "SELECT avg(t2m) AROUND (time(-6:0)) AS v FROM weather"),
    ("rolling mean", "SELECT avg(t2m) OVER (PARTITION BY latitude, longitude ORDER BY time ROWS 6 PRECEDING) AS v FROM weather"),
    ("rolling deviation", "SELECT stddev(t2m) AROUND (time(-8:0)) AS v FROM weather"),
    ("three days around", "SELECT avg(t2m) AROUND (time(INTERVAL '-3 days' : INTERVAL '3 days')) AS v FROM weather"),
    ("running sum", "SELECT sum(tp) AROUND (time(:0)) AS v FROM weather"),
    ("focal mean", "SELECT avg(t2m) AROUND (latitude(-1:1), longitude(-1:1)) AS v FROM weather[time(INDEX 0:23)]"),
    ("focal mean, edges missing", "SELECT avg(t2m) AROUND (latitude(-1:1), longitude(-1:1)) EDGE NULL AS v FROM weather[time(INDEX 0:23)]"),
    (
        "focal mean, edges repeated",
        "SELECT avg(t2m) AROUND (latitude(-1:1), longitude(-1:1)) EDGE CLAMP AS v FROM weather[time(INDEX 0:23)]",
    ),
    ("focal mean, around the globe", "SELECT avg(t2m) AROUND (longitude(-2:2)) EDGE WRAP AS v FROM weather[time(INDEX 0:23)]"),
    ("focal maximum", "SELECT max(t2m) AROUND (latitude(-2:2), longitude(-1:1)) AS v FROM weather[time(INDEX 0:23)]"),
    (
        "weighted neighbours",
        "SELECT convolve(t2m, [[1, 2, 0], [0, -4, 3], [0.5, 0, 1]]) AROUND (latitude, longitude) AS v FROM weather[time(INDEX 0:23)]",
    ),
];

/// The same for queries that have no array form.
const LISTS: &[(&str, &str)] = &[
    ("histogram", "SELECT unnest(histogram(t2m, 240, 300, 12)) AS v FROM weather"),
    ("land and sea", "SELECT avg(t2m) AS v FROM weather GROUP BY lsm"),
    ("land and sea by month", "SELECT avg(t2m) AS v FROM weather GROUP BY month(time), lsm"),
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
        for (name, query) in LISTS {
            let what = format!("{name}, dense={dense}");
            let rows = ask(&engine, query, Form::Rows).await.unwrap_or_else(|e| panic!("{what}: {e}"));
            agrees(&what, &truth[name], &numbers(&rows, rows[0].num_columns() - 1));
        }
    }
}

/// Count and sum of cells are those of the truth.
pub fn agrees(what: &str, truth: &serde_json::Value, found: &[Option<f64>]) {
    let values: Vec<f64> = found.iter().flatten().copied().collect();
    assert_eq!(found.len() as u64, truth["cells"].as_u64().unwrap(), "{what}: cells");
    assert_eq!(values.len() as u64, truth["count"].as_u64().unwrap(), "{what}: cells that are not missing");
    let (sum, wanted) = (values.iter().sum::<f64>(), truth["sum"].as_f64().unwrap());
    assert!((sum - wanted).abs() <= 1e-6 * wanted.abs().max(1.0), "{what}: sum {sum}, xarray says {wanted}");
}
