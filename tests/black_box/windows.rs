//! Windows, neighbourhoods and aggregates along axes: a dense plan and a row plan give the same cells, for queries made at
//! random over data with missing values.

use graticule_query::Form;

use super::dense::{Dice, answer, close};
use super::engine::{ask, cells, numbers, viewed, weather};

const VALUES: &[&str] = &["t2m", "tp", "lsm", "t2m - 273.15", "CASE WHEN t2m > 270 THEN tp END", "lsm + 1"];
const FUNCTIONS: &[&str] = &["count", "sum", "avg", "min", "max", "var", "var_pop", "stddev", "stddev_pop"];
const FILTERS: &[&str] = &["", "", "", " FILTER (WHERE t2m > 275)", " FILTER (WHERE lsm = 1)"];
const SUBSETS: &[&str] = &[
    "time(INDEX 5:60), latitude(-40:40), longitude(-60:60)",
    "time(INDEX 0:90:3), latitude(0:60)",
    "time('2020-02-27':'2020-03-06'), longitude(0:90)",
    "time(INDEX 100:150), latitude(IN (50, 20, -30, -40)), longitude(100:300)",
    "time(INDEX 110:135), latitude(INDEX 3), longitude(:200)",
];
const WHERE: &[&str] =
    &["", "", "", " WHERE t2m > 270", " WHERE hour(time) <> 12", " WHERE latitude <> 20 AND lsm = 0", " WHERE longitude > 30"];
const FRAMES: &[&str] = &[
    "ROWS 3 PRECEDING",
    "ROWS BETWEEN 9 PRECEDING AND 2 FOLLOWING",
    "ROWS BETWEEN 2 FOLLOWING AND 7 FOLLOWING",
    "ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING",
    "ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING",
];
const TIMES: &[&str] = &[
    "RANGE BETWEEN INTERVAL '1 day' PRECEDING AND CURRENT ROW",
    "RANGE BETWEEN INTERVAL '13 hours' PRECEDING AND INTERVAL '2 days' FOLLOWING",
];
const EDGES: &[&str] = &["", "", " EDGE SHRINK", " EDGE NULL", " EDGE CLAMP", " EDGE WRAP"];

/// One window, and which axes it may not be asked about when they are fixed.
fn window(dice: &mut Dice, fixed_latitude: bool) -> String {
    let (value, filter) = (dice.pick(VALUES), dice.pick(FILTERS));
    let call = format!("{}({value}){filter}", dice.pick(FUNCTIONS));
    let axes: &[&str] = if fixed_latitude { &["time", "longitude"] } else { &["time", "latitude", "longitude"] };
    let others = |axis: &str| axes.iter().filter(|a| **a != axis).copied().collect::<Vec<_>>().join(", ");
    match dice.below(10) {
        0 => format!("{call} ALONG ({})", dice.pick(axes)),
        1 => format!("{call} OVER (PARTITION BY DIMS EXCEPT (time), hour(time))"),
        2 => format!("{call} OVER ()"),
        3 | 4 => {
            let axis = dice.pick(axes);
            let direction = dice.pick(&["", " DESC"]);
            // Only a shrinking or fixed frame has a value that does not depend on how ties fall; axes have none.
            format!("{call} OVER (PARTITION BY {} ORDER BY {axis}{direction} {})", others(axis), dice.pick(FRAMES))
        }
        5 => format!("{call} OVER (PARTITION BY {} ORDER BY time {})", others("time"), dice.pick(TIMES)),
        6 => format!("{call} AROUND ({}({}))", dice.pick(axes), dice.pick(&["-1:1", "-5:0", "0:3", "-20:20", ":0", "-2:", "2:4"])),
        7 => {
            let weights = dice.pick(&["[[1, 2, 3], [4, -5, 6], [0, 8, 9]]", "[[1, 0, 2, 0, 1]]"]);
            format!("convolve({value}, {weights}) AROUND (time, longitude){}", dice.pick(EDGES))
        }
        _ => {
            let reach = ["-1:1", "-2:0", "0:2", "-3:2", "1:2"];
            let mut named: Vec<String> = axes.iter().map(|a| format!("{a}({})", dice.pick(&reach))).collect();
            named.remove(dice.below(named.len()));
            format!("{call} AROUND ({}){}", named.join(", "), dice.pick(EDGES))
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dense_windows_are_those_of_rows() {
    let (dense, rows) = (viewed(true).await, viewed(false).await);
    let mut dice = Dice(0x0123_4567_89AB_CDEF);
    let mut in_the_leaf = 0;
    for i in 0..90 {
        let at = dice.below(SUBSETS.len());
        let columns: Vec<String> = (0..1 + dice.below(2)).map(|c| format!("{} AS v{c}", window(&mut dice, at == 4))).collect();
        let ways = ["weather[?]", "seen[?]", "weather[?]", "weather[?] JOIN other USING DIMS", "weather[?] LEFT JOIN other USING DIMS"];
        // Behind a slice there is no latitude to join on, nor in a view; turned longitudes are not those of the other cube.
        let usual = match at {
            0 => 3,
            4 => 1,
            _ => ways.len(),
        };
        let from = dice.pick(&ways[..usual]);
        let from = from.replace('?', SUBSETS[at]);
        let inner = format!("SELECT time, latitude, longitude, {} FROM {from}{}", columns.join(", "), dice.pick(WHERE));
        let text = format!("SELECT * FROM ({inner}) ORDER BY time, latitude, longitude");
        if let Err(error) = ask(&rows, &text, Form::Rows).await {
            // Five cells cannot be wrapped around four.
            assert!(error.message.contains("would meet some of them twice"), "query {i}: {error} of {text}");
            assert_eq!(ask(&dense, &text, Form::Rows).await.unwrap_err().message, error.message, "query {i}: {text}");
            continue;
        }
        let (a, b) = (answer(&dense, &text).await, answer(&rows, &text).await);
        assert_eq!(a.len(), b.len(), "query {i}: {text}");
        for (column, (x, y)) in a.iter().zip(&b).enumerate() {
            assert_eq!(x.len(), y.len(), "query {i}, column {column}: rows of {text}");
            for (row, (p, q)) in x.iter().zip(y).enumerate() {
                assert!(alike(*p, *q), "query {i}, column {column}, row {row}: dense {p:?}, rows {q:?} of {text}");
            }
        }
        let plan = ask(&dense, &format!("EXPLAIN {text}"), Form::Rows).await.unwrap();
        let plan = arrow::util::pretty::pretty_format_batches(&plan).unwrap().to_string();
        in_the_leaf += usize::from(!plan.contains("WindowAggExec"));
    }
    assert!(in_the_leaf > 55, "only {in_the_leaf} of 90 queries ran dense");
}

/// A spread of equal values is 0 but for the rounding of the way it is computed. DataFusion takes away from its sums what
/// leaves a frame; what is left can be below 0, and has no root.
fn alike(dense: Option<f64>, rows: Option<f64>) -> bool {
    let tiny = |v: Option<f64>| v.is_some_and(|v| v.abs() < 1e-5);
    close(dense, rows) || (tiny(dense) && (tiny(rows) || rows.is_some_and(f64::is_nan)))
}

#[tokio::test(flavor = "multi_thread")]
async fn windows_in_array_form_have_the_cells_of_rows() {
    let (dense, rows) = (weather(true).await, weather(false).await);
    for text in [
        "SELECT t2m - avg(t2m) AROUND (time(-4:4)) AS v FROM weather[time('2020-02-27':'2020-03-02')]",
        "SELECT max(t2m) AROUND (latitude(-1:1), longitude(-1:1)) EDGE WRAP AS v FROM weather[time(INDEX 3)]",
        "SELECT t2m / stddev(t2m) ALONG (latitude, longitude) AS v FROM weather[time(INDEX 0:9)]",
        "SELECT avg(a) AS v FROM (SELECT t2m - avg(t2m) ALONG (longitude) AS a FROM weather) GROUP BY DIMS EXCEPT (time)",
        "SELECT sum(m) AROUND (time(-1:0)) AS v FROM (SELECT max(t2m) AROUND (longitude(-2:2)) AS m FROM weather[time(INDEX 0:20)])",
    ] {
        let mut found = Vec::new();
        for engine in [&dense, &rows] {
            let batches = ask(engine, text, Form::Array).await.unwrap_or_else(|e| panic!("{text}: {e}"));
            assert!(batches[0].schema().metadata()["graticule.axes"].contains("longitude"), "{text}");
            found.push(sorted(cells(&batches)));
        }
        let by_row = ask(&rows, text, Form::Rows).await.unwrap();
        found.push(sorted(numbers(&by_row, 0)));
        for other in &found[1..] {
            assert_eq!(found[0].len(), other.len(), "{text}");
            assert!(found[0].iter().zip(other).all(|(a, b)| close(*a, *b)), "{text}");
        }
    }
}

fn sorted(mut cells: Vec<Option<f64>>) -> Vec<Option<f64>> {
    cells.sort_by(|a, b| a.partial_cmp(b).unwrap());
    cells
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_says_how_far_a_window_reaches() {
    let engine = weather(true).await;
    for (text, said) in [
        ("SELECT avg(t2m) AROUND (time(-6:0)) FROM weather", "halo=[time: 6+0]"),
        ("SELECT avg(t2m) AROUND (latitude(-1:1), longitude(-2:2)) FROM weather", "dense focal=[avg("),
        ("SELECT avg(t2m) AROUND (latitude(-1:1), longitude(-2:2)) FROM weather", "halo=[latitude: 1+1, longitude: 2+2]"),
        ("SELECT avg(t2m) OVER (PARTITION BY DIMS EXCEPT (time), month(time)) FROM weather", "by=[latitude, longitude, time] groups=1368"),
        ("SELECT median(t2m) AROUND (latitude(-1:1), longitude(-1:1)) FROM weather", "not dense"),
        ("SELECT lag(t2m) OVER (PARTITION BY latitude, longitude ORDER BY time) FROM weather", "lag has no dense form"),
    ] {
        let plan = ask(&engine, &format!("EXPLAIN {text}"), Form::Rows).await.unwrap_or_else(|e| panic!("{text}: {e}"));
        let plan = arrow::util::pretty::pretty_format_batches(&plan).unwrap().to_string();
        assert!(plan.contains(said), "{text}: {plan}");
    }
}
