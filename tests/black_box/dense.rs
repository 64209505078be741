//! The main test of the engine: a dense plan and a row plan give the same answer, for queries made at random.

use graticule_query::{Engine, Form};

use super::engine::{ask, numbers, viewed, weather};

/// A small generator of numbers, the same in every run (Marsaglia's xorshift).
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n as u64) as usize
    }

    pub(super) fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }
}

const KEYS: &[&str] = &[
    "time",
    "latitude",
    "longitude",
    "month(time)",
    "hour(time)",
    "date_trunc('day', time)",
    "floor(latitude / 30)",
    "season(time)",
    "longitude % 45",
    "abs(latitude)",
    "coarsen(latitude, 4)",
    "coarsen(time, 30)",
    "width_bucket(longitude, 0, 360, 7)",
    "date_bin(INTERVAL '5 days', time)",
    "lsm",
    "lsm + floor(latitude / 60)",
    "floor(latitude / 45) + floor(longitude / 90)",
];
const VALUES: &[&str] = &["t2m", "tp", "lsm", "t2m - 273.15", "tp * 1000", "t2m * lsm", "CASE WHEN lsm = 1 THEN t2m END", "lsm + 1"];
const FUNCTIONS: &[&str] = &[
    "count(?)",
    "sum(?)",
    "avg(?)",
    "min(?)",
    "max(?)",
    "var(?)",
    "var_pop(?)",
    "stddev(?)",
    "stddev_pop(?)",
    "median(?)",
    "quantile(?, 0.3)",
    "mode(floor(?))",
    "wavg(?, cos(radians(latitude)))",
    "wsum(?, lsm)",
    "wavg(?, tp)",
    "arg_max(?, time)",
    "arg_min(?, latitude)",
    "corr(?, latitude)",
    "covar_samp(?, tp)",
    "regr_slope(?, longitude + 1)",
    "regr_count(?, tp)",
    "histogram(?, -10, 320, 7)[4]",
    "count(DISTINCT floor(?))",
    "first_value(time ORDER BY time)",
    "last_value(latitude ORDER BY latitude DESC)",
    "first_value(longitude ORDER BY abs(longitude - 100))",
];
const FROM: &[&str] = &[
    "weather",
    "weather",
    "weather",
    "weather[latitude(-40:60)]",
    "weather[longitude(-60:60)]",
    "weather[time('2020-02')]",
    "weather[time(INDEX 5:300:7), latitude(INDEX 3:15:2)]",
    "weather[longitude(30)]",
    "seen[latitude(-40:60)]",
    "weather[longitude(60:300)] JOIN other USING DIMS",
    "weather[time(INDEX 5:300:7)] LEFT JOIN other USING DIMS",
];
const FILTERS: &[&str] = &["", " FILTER (WHERE t2m > 280)", " FILTER (WHERE tp < 0.001 AND lsm = 0)", " FILTER (WHERE latitude > 0)"];
const WHERE: &[&str] = &[
    "",
    " WHERE latitude BETWEEN -30 AND 60",
    " WHERE month(time) = 2",
    " WHERE t2m > 285",
    " WHERE tp > 0.01 AND longitude < 100",
    " WHERE latitude + longitude > 50",
    " WHERE time IN (TIMESTAMP '2020-01-05', TIMESTAMP '2020-03-01T06:00:00')",
    " WHERE t2m IS NULL",
    " WHERE latitude > 100",
];

fn query(dice: &mut Dice) -> String {
    let mut keys: Vec<&str> = (0..dice.below(4)).map(|_| dice.pick(KEYS)).collect();
    keys.sort_unstable();
    keys.dedup();
    let mut columns: Vec<String> = keys.iter().enumerate().map(|(i, k)| format!("{k} AS k{i}")).collect();
    for i in 0..1 + dice.below(3) {
        let (of, filter) = (dice.pick(FUNCTIONS).replace('?', dice.pick(VALUES)), dice.pick(FILTERS));
        // What stands behind the aggregate itself comes after its filter.
        let (aggregate, rest) = of.split_at(of.find('[').unwrap_or(of.len()));
        let whole = if rest.is_empty() { format!("{aggregate}{filter}") } else { format!("({aggregate}{filter}){rest}") };
        columns.push(format!("{whole} AS v{i}"));
    }
    if dice.below(3) == 0 {
        columns.push("count(*) AS n".into());
    }
    let group = if keys.is_empty() { String::new() } else { format!(" GROUP BY {}", keys.join(", ")) };
    let order: Vec<String> = (0..keys.len()).map(|i| format!("k{i}")).collect();
    let order = if keys.is_empty() { String::new() } else { format!(" ORDER BY {}", order.join(", ")) };
    format!("SELECT {} FROM {}{}{group}{order}", columns.join(", "), dice.pick(FROM), dice.pick(WHERE))
}

#[tokio::test(flavor = "multi_thread")]
async fn dense_is_rows() {
    let (dense, rows) = (viewed(true).await, viewed(false).await);
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    let mut in_the_leaf = 0;
    for i in 0..120 {
        let text = query(&mut dice);
        let (a, b) = (answer(&dense, &text).await, answer(&rows, &text).await);
        assert_eq!(a.len(), b.len(), "query {i}: {text}");
        for (column, (x, y)) in a.iter().zip(&b).enumerate() {
            assert_eq!(x.len(), y.len(), "query {i}, column {column}: rows of {text}");
            for (row, (p, q)) in x.iter().zip(y).enumerate() {
                assert!(close(*p, *q), "query {i}, column {column}, row {row}: dense {p:?}, rows {q:?} of {text}");
            }
        }
        let plan = ask(&dense, &format!("EXPLAIN {text}"), Form::Rows).await.unwrap();
        let plan = arrow::util::pretty::pretty_format_batches(&plan).unwrap().to_string();
        in_the_leaf += usize::from(plan.contains("dense reduce"));
    }
    assert!(in_the_leaf > 105, "only {in_the_leaf} of 120 queries ran dense");
}

/// The columns of numbers of an answer.
pub(super) async fn answer(engine: &Engine, text: &str) -> Vec<Vec<Option<f64>>> {
    let batches = ask(engine, text, Form::Rows).await.unwrap_or_else(|e| panic!("{text}: {e}"));
    let columns = batches.first().map_or(0, |b| b.num_columns());
    let numeric =
        |c: &usize| !matches!(batches[0].column(*c).data_type(), arrow::datatypes::DataType::Utf8 | arrow::datatypes::DataType::Utf8View);
    (0..columns).filter(numeric).map(|c| numbers(&batches, c)).collect()
}

/// Whether two numbers differ by rounding only.
pub(super) fn close(a: Option<f64>, b: Option<f64>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1.0) || (a.is_nan() && b.is_nan()),
        (a, b) => a == b,
    }
}

/// A query, and what EXPLAIN says of it.
const EXPLAINED: &[(&str, &[&str])] = &[
    ("SELECT avg(t2m) FROM weather GROUP BY month(time), latitude", &["dense reduce=[", "groups=57 "]),
    ("SELECT wavg(t2m, cos(radians(latitude))) FROM weather GROUP BY time", &["along an axis=[cos(radians(", "dense reduce=["]),
    ("SELECT median(t2m) FROM weather GROUP BY latitude, longitude", &["dense reduce=[", "split=output"]),
    ("SELECT count(DISTINCT lsm) FROM weather GROUP BY latitude, longitude", &["dense reduce=[", "split=output"]),
    ("SELECT first_value(t2m ORDER BY time) FROM weather GROUP BY latitude, longitude", &["dense reduce=[", "rank of"]),
    ("SELECT avg(t2m) FROM weather GROUP BY lsm, hour(time)", &["dense reduce=[", "groups=4 for each value met"]),
    ("SELECT approx_distinct(t2m) FROM weather", &["not dense", "approx_distinct: this aggregate has no dense form"]),
    ("SELECT count(*) FROM weather GROUP BY floor(t2m)", &["not dense", "depends on values, and so on every axis"]),
    ("SELECT median(t2m) FROM weather GROUP BY lsm", &["not dense", "with aggregates that need whole groups"]),
    ("SELECT first_value(t2m ORDER BY tp) FROM weather", &["not dense", "depends on values"]),
    ("SELECT sum(a.tp) FROM weather a JOIN weather b USING (time, latitude, longitude)", &["dense reduce=[", "aligned=[weather, weather]"]),
];

#[tokio::test(flavor = "multi_thread")]
async fn explain_says_what_is_dense_and_why_not() {
    let engine = weather(true).await;
    let explain = async |query: &str| {
        let plan = ask(&engine, &format!("EXPLAIN {query}"), Form::Rows).await.unwrap();
        arrow::util::pretty::pretty_format_batches(&plan).unwrap().to_string()
    };
    for (query, expected) in EXPLAINED {
        let plan = explain(query).await;
        for text in *expected {
            assert!(plan.contains(text), "{query}: no `{text}` in\n{plan}");
        }
        assert_eq!(plan.contains("not dense"), expected.contains(&"not dense"), "{query}:\n{plan}");
    }
    // Blocks are cut until all values of one fit; a month of all cells does not.
    let whole = numbers(&ask(&engine, "SELECT median(t2m) AS m FROM weather GROUP BY DIMS EXCEPT (time)", Form::Rows).await.unwrap(), 0);
    ask(&engine, "SET graticule.block_bytes = 6000", Form::Rows).await.unwrap();
    let query = "SELECT median(t2m) AS m FROM weather GROUP BY DIMS EXCEPT (time)";
    let plan = explain(query).await;
    let tiles: usize = plan.split("tiles=").nth(1).and_then(|t| t.split(|c: char| !c.is_ascii_digit()).next()).unwrap().parse().unwrap();
    assert!(tiles > 100, "{plan}");
    let cut = numbers(&ask(&engine, query, Form::Rows).await.unwrap(), 0);
    let sum = |v: &[Option<f64>]| v.iter().flatten().sum::<f64>();
    assert_eq!((whole.len(), sum(&whole).round()), (cut.len(), sum(&cut).round()));
    assert!(explain("SELECT median(t2m) FROM weather GROUP BY month(time)").await.contains("graticule.block_bytes"));
}
