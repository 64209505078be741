//! `DIMS` by the text before and after.

use datafusion::sql::sqlparser::ast::Statement;
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;

use super::expand;
use crate::QueryError;
use crate::bind::coordinates::is_period;

fn expanded(sql: &str) -> Result<String, QueryError> {
    let axes_of = |table: &str| -> Option<Vec<String>> {
        let axes: &[&str] = match table {
            "era5" => &["time", "lat", "lon"],
            "s2" => &["time", "y", "x"],
            "dem" => &["y", "x"],
            "series" => &["time"],
            "odd" => &["Time", "my axis"],
            "era5.level_lat" => &["level", "lat"],
            _ => return None,
        };
        Some(axes.iter().map(|a| a.to_string()).collect())
    };
    let mut statements = Parser::parse_sql(&GenericDialect {}, sql).unwrap();
    let Statement::Query(query) = &mut statements[0] else { panic!("{sql}") };
    expand(query, &axes_of)?;
    let text = query.to_string();
    Parser::parse_sql(&GenericDialect {}, &text).unwrap();
    Ok(text)
}

fn check(cases: &[(&str, &str)]) {
    for (before, after) in cases {
        assert_eq!(expanded(before).unwrap(), *after, "\n  of {before}");
    }
}

#[test]
fn lists_of_one_select() {
    check(&[
        ("SELECT avg(t2m) FROM era5 GROUP BY dims_except('time')", "SELECT avg(t2m) FROM era5 GROUP BY lat, lon"),
        ("SELECT avg(t2m) FROM era5 GROUP BY DIMS_EXCEPT(time, 'LON'), month(time)", "SELECT avg(t2m) FROM era5 GROUP BY lat, month(time)"),
        (
            "SELECT dims(), t2m FROM era5 ORDER BY dims() DESC",
            "SELECT time, lat, lon, t2m FROM era5 ORDER BY time DESC, lat DESC, lon DESC",
        ),
        (
            "SELECT t2m - avg(t2m) OVER (PARTITION BY dims_except('time'), month(time)) FROM era5",
            "SELECT t2m - avg(t2m) OVER (PARTITION BY lat, lon, month(time)) FROM era5",
        ),
        (
            "SELECT avg(t2m) OVER w FROM era5 WINDOW w AS (PARTITION BY dims_except('time') ORDER BY dims_except('lat', 'lon'))",
            "SELECT avg(t2m) OVER w FROM era5 WINDOW w AS (PARTITION BY lat, lon ORDER BY time)",
        ),
        ("SELECT array_agg(t2m ORDER BY dims()) FROM era5", "SELECT array_agg(t2m ORDER BY time, lat, lon) FROM era5"),
        ("SELECT avg(t2m) FROM era5 GROUP BY ROLLUP (dims())", "SELECT avg(t2m) FROM era5 GROUP BY ROLLUP (time, lat, lon)"),
        ("SELECT count(*) FROM odd GROUP BY dims()", "SELECT count(*) FROM odd GROUP BY \"Time\", \"my axis\""),
        ("SELECT max(z) FROM era5.level_lat GROUP BY dims_except('lat')", "SELECT max(z) FROM era5.level_lat GROUP BY level"),
        ("SELECT avg(v) FROM series GROUP BY dims_except('time')", "SELECT avg(v) FROM series"),
        ("SELECT avg(v) FROM series GROUP BY dims_except('time') ORDER BY dims()", "SELECT avg(v) FROM series"),
        ("SELECT 1 FROM parcels", "SELECT 1 FROM parcels"),
    ]);
}

#[test]
fn after_group_by_the_keys_are_left() {
    check(&[
        (
            "SELECT dims(), avg(t2m) FROM era5 GROUP BY dims_except('time') ORDER BY dims()",
            "SELECT lat, lon, avg(t2m) FROM era5 GROUP BY lat, lon ORDER BY lat, lon",
        ),
        ("SELECT dims(), avg(t2m) FROM era5 GROUP BY 1, lat", "SELECT lat, avg(t2m) FROM era5 GROUP BY 1, lat"),
        ("SELECT lat AS la, dims() FROM era5 GROUP BY la", "SELECT lat AS la, lat FROM era5 GROUP BY la"),
    ]);
}

#[test]
fn slices_fix_axes_and_trims_keep_them() {
    check(&[
        (
            "SELECT dims(), t2m FROM subset(era5, axis_at('time', '2020-01-01T06:00'), axis_range('lat', 40, 60)) AS era5",
            "SELECT lat, lon, t2m FROM subset(era5, axis_at('time', '2020-01-01T06:00'), axis_range('lat', 40, 60)) AS era5",
        ),
        (
            "SELECT dims(), t2m FROM subset(era5, axis_at('time', '2020-01'))",
            "SELECT time, lat, lon, t2m FROM subset(era5, axis_at('time', '2020-01'))",
        ),
        (
            "SELECT avg(t2m) FROM subset(era5, axis_at('time', $1)) GROUP BY dims_except('time')",
            "SELECT avg(t2m) FROM subset(era5, axis_at('time', $1)) GROUP BY lat, lon",
        ),
        ("SELECT dims() FROM subset('era5', axis_exact('lat', 48.75))", "SELECT time, lon FROM subset('era5', axis_exact('lat', 48.75))"),
        (
            "SELECT dims() FROM subset(era5, axis_index('lat', -1), axis_index('lon', 0, 9))",
            "SELECT time, lon FROM subset(era5, axis_index('lat', -1), axis_index('lon', 0, 9))",
        ),
        (
            "SELECT dims() FROM regrid(subset(era5, axis_at('time', now())), lat => axis(-90, 90, 1.0))",
            "SELECT lat, lon FROM regrid(subset(era5, axis_at('time', now())), lat => axis(-90, 90, 1.0))",
        ),
    ]);
    for (text, expected) in
        [("2020", true), ("2020-01", true), ("2020-01-15", true), ("2020-01-15T00", false), ("20", false), ("B02", false)]
    {
        assert_eq!(is_period(text), expected, "{text}");
    }
}

#[test]
fn ctes_and_derived_tables_carry_their_axes() {
    check(&[
        (
            "WITH v AS (SELECT (b08 - b04) / (b08 + b04) AS ndvi, scl FROM subset(s2, axis_range('time', '2024-06', '2024-08'))) \
             SELECT max(ndvi) FILTER (WHERE scl IN (4, 5, 6)) AS ndvi FROM v GROUP BY dims_except('time')",
            "WITH v AS (SELECT (b08 - b04) / (b08 + b04) AS ndvi, scl, y, x FROM subset(s2, axis_range('time', '2024-06', '2024-08'))) \
             SELECT max(ndvi) FILTER (WHERE scl IN (4, 5, 6)) AS ndvi FROM v GROUP BY y, x",
        ),
        // What is not needed is not added; what is there is not added twice.
        ("WITH v AS (SELECT b04 FROM s2) SELECT max(b04) FROM v", "WITH v AS (SELECT b04 FROM s2) SELECT max(b04) FROM v"),
        (
            "SELECT dims(), max(m) OVER (PARTITION BY dims_except('x')) FROM (SELECT x, b04 AS m FROM s2) AS v",
            "SELECT time, y, x, max(m) OVER (PARTITION BY time, y) FROM (SELECT x, b04 AS m, time, y FROM s2) AS v",
        ),
        ("SELECT dims() FROM (SELECT * FROM dem) AS v", "SELECT y, x FROM (SELECT * FROM dem) AS v"),
        // Through two queries.
        (
            "WITH a AS (SELECT b04 FROM s2), b AS (SELECT b04 * 2 AS d FROM a) SELECT max(d) FROM b GROUP BY dims_except('time', 'y')",
            "WITH a AS (SELECT b04, x FROM s2), b AS (SELECT b04 * 2 AS d, x FROM a) SELECT max(d) FROM b GROUP BY x",
        ),
        // Renamed and hidden axes.
        ("SELECT dims() FROM (SELECT time AS t, y FROM s2) AS v", "SELECT t, y, x FROM (SELECT time AS t, y, x FROM s2) AS v"),
        (
            "WITH v (a, b) AS (SELECT y, b04 FROM s2) SELECT max(b) FROM v GROUP BY dims()",
            "WITH v (a, b) AS (SELECT y, b04 FROM s2) SELECT max(b) FROM v GROUP BY a",
        ),
        (
            "SELECT dims() FROM (SELECT month(time) AS time, y FROM s2) AS v",
            "SELECT y, x FROM (SELECT month(time) AS time, y, x FROM s2) AS v",
        ),
        ("SELECT dims() FROM (SELECT DISTINCT y FROM s2) AS v", "SELECT y FROM (SELECT DISTINCT y FROM s2) AS v"),
        // A slice inside.
        (
            "WITH v AS (SELECT b04 FROM subset(s2, axis_at('time', '2024-06-01T10:00'))) SELECT dims(), b04 FROM v",
            "WITH v AS (SELECT b04, y, x FROM subset(s2, axis_at('time', '2024-06-01T10:00'))) SELECT y, x, b04 FROM v",
        ),
        // A subset of a CTE, and a CTE in a subquery.
        (
            "WITH v AS (SELECT b04 FROM s2) SELECT max(b04) FROM subset(v, axis_range('y', 1, 2)) AS v GROUP BY dims_except('time')",
            "WITH v AS (SELECT b04, y, x FROM s2) SELECT max(b04) FROM subset(v, axis_range('y', 1, 2)) AS v GROUP BY y, x",
        ),
        (
            "WITH v AS (SELECT b04 FROM dem) SELECT (SELECT max(m) FROM (SELECT avg(b04) AS m FROM v GROUP BY dims_except('x')) AS r) FROM parcels",
            "WITH v AS (SELECT b04, y FROM dem) SELECT (SELECT max(m) FROM (SELECT avg(b04) AS m FROM v GROUP BY y) AS r) FROM parcels",
        ),
    ]);
}

#[test]
fn aggregated_queries_carry_their_keys() {
    check(&[
        (
            "SELECT max(m) FROM (SELECT avg(t2m) AS m FROM era5 GROUP BY dims_except('time')) AS v GROUP BY dims_except('lon')",
            "SELECT max(m) FROM (SELECT avg(t2m) AS m, lat FROM era5 GROUP BY lat, lon) AS v GROUP BY lat",
        ),
        (
            "SELECT max(m) FROM (SELECT month(time) AS month, avg(t2m) AS m FROM era5 GROUP BY lat, month(time)) AS v GROUP BY dims()",
            "SELECT max(m) FROM (SELECT month(time) AS month, avg(t2m) AS m, lat FROM era5 GROUP BY lat, month(time)) AS v GROUP BY month, lat",
        ),
    ]);
    let error = expanded("SELECT dims() FROM (SELECT avg(t2m) AS m FROM era5 GROUP BY lat) AS v ORDER BY dims_except('time')").unwrap_err();
    assert_eq!(error.message, "there is no axis `time` here (axes: lat)");
}

#[test]
fn joins_qualify() {
    check(&[
        (
            "SELECT p.id, avg(t2m) FROM era5 JOIN parcels AS p ON st_covers(p.geom, cell(era5)) GROUP BY p.id, dims_except('lat', 'lon')",
            "SELECT p.id, avg(t2m) FROM era5 JOIN parcels AS p ON st_covers(p.geom, cell(era5)) GROUP BY p.id, era5.time",
        ),
        (
            "SELECT avg(a.t2m - b.z) FROM era5 AS a JOIN dem AS b ON a.lat = b.y GROUP BY dims_except('x')",
            "SELECT avg(a.t2m - b.z) FROM era5 AS a JOIN dem AS b ON a.lat = b.y GROUP BY a.time, a.lat, a.lon, b.y",
        ),
        (
            "SELECT avg(s2.b04 * dem.z) FROM s2 JOIN dem USING (y, x) GROUP BY dims_except('x')",
            "SELECT avg(s2.b04 * dem.z) FROM s2 JOIN dem USING(y, x) GROUP BY s2.time, s2.y",
        ),
        ("SELECT dims() FROM s2 NATURAL JOIN dem", "SELECT time, s2.y, s2.x FROM s2 NATURAL JOIN dem"),
        (
            "SELECT y, dems.z FROM s2 JOIN dem AS dems ON dims() WHERE y > 3 ORDER BY x",
            "SELECT s2.y, dems.z FROM s2 JOIN (SELECT * FROM dem AS \"using dims 1:46\") AS dems USING(y, x) WHERE s2.y > 3 ORDER BY s2.x",
        ),
        // A star leaves out what was added, an alias is not an axis.
        (
            "WITH v AS (SELECT b04 FROM s2) SELECT *, dem.z AS x FROM v JOIN dem ON dims() ORDER BY x",
            "WITH v AS (SELECT b04, y, x FROM s2) SELECT v.* EXCLUDE (y, x), dem.*, dem.z AS x FROM v JOIN (SELECT * FROM dem AS \"using dims 1:72\") AS dem USING(y, x) ORDER BY x",
        ),
        (
            "WITH v AS (SELECT b04 FROM s2) SELECT *, time FROM v WHERE time > 3",
            "WITH v AS (SELECT b04, time FROM s2) SELECT * EXCLUDE (time), time FROM v WHERE time > 3",
        ),
        (
            "SELECT dims() FROM (s2 AS a CROSS JOIN (SELECT z FROM dem) AS d)",
            "SELECT a.time, a.y, a.x FROM (s2 AS a CROSS JOIN (SELECT z FROM dem) AS d)",
        ),
    ]);
}

#[test]
fn set_operations() {
    check(&[
        (
            "SELECT dims() FROM (SELECT y, b04 FROM s2 UNION ALL SELECT y, z FROM dem) AS u ORDER BY dims()",
            "SELECT y FROM (SELECT y, b04 FROM s2 UNION ALL SELECT y, z FROM dem) AS u ORDER BY y",
        ),
        (
            "SELECT dims() FROM dem UNION ALL SELECT dims() FROM dem ORDER BY dims()",
            "SELECT y, x FROM dem UNION ALL SELECT y, x FROM dem ORDER BY y, x",
        ),
    ]);
}

#[test]
fn mistakes_are_named() {
    for (sql, message, line_column) in [
        (
            "SELECT avg(t2m) FROM era5\nGROUP BY dims_except('tme')",
            "there is no axis `tme` here; did you mean `time`? (axes: time, lat, lon)",
            (2, 22),
        ),
        ("SELECT dims() FROM parcels", "DIMS stands for the axes of the cubes in the FROM clause, and there is no cube in it", (1, 8)),
        (
            "SELECT 1 + dims() FROM era5",
            "DIMS can stand in SELECT, GROUP BY, PARTITION BY and ORDER BY as an item of its own, not inside an expression",
            (1, 12),
        ),
        (
            "SELECT t2m FROM era5 WHERE dims() = 1",
            "DIMS can stand in SELECT, GROUP BY, PARTITION BY and ORDER BY as an item of its own, not inside an expression",
            (1, 28),
        ),
        ("SELECT avg(t2m) FROM era5 GROUP BY dims_except(lat + 1)", "DIMS EXCEPT takes names of axes, not `lat + 1`", (1, 36)),
    ] {
        let error = expanded(sql).unwrap_err();
        assert_eq!((error.message.as_str(), error.line_and_column()), (message, Some(line_column)), "{sql}");
    }
    assert!(
        expanded("SELECT dims() FROM subset(series, axis_at('time', 3))").unwrap_err().message.starts_with("DIMS stands for no axis here")
    );
}

/// Runs a query over `s2`, a table of 2 times, 2 rows and 2 columns with `b04` = 10 time + 2 y + x, and `dem` with `z` = y.
async fn answer(sql: &str) -> Vec<String> {
    use std::sync::Arc;

    use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch};
    use datafusion::arrow::util::display::array_value_to_string;
    use datafusion::prelude::SessionContext;
    use datafusion::sql::parser::Statement as Parsed;

    let context = SessionContext::new();
    let table = |cells: Vec<(&str, Vec<i64>)>| {
        RecordBatch::try_from_iter(cells.into_iter().map(|(n, v)| (n, Arc::new(Int64Array::from(v)) as ArrayRef))).unwrap()
    };
    let s2: Vec<[i64; 4]> = (0..8).map(|i| [i / 4, i / 2 % 2, i % 2, 10 * (i / 4) + 2 * (i / 2 % 2) + i % 2]).collect();
    let column = |c: usize| s2.iter().map(|row| row[c]).collect::<Vec<_>>();
    context.register_batch("s2", table(vec![("time", column(0)), ("y", column(1)), ("x", column(2)), ("b04", column(3))])).unwrap();
    context.register_batch("dem", table(vec![("y", vec![0, 0, 1, 1]), ("x", vec![0, 1, 0, 1]), ("z", vec![0, 0, 1, 1])])).unwrap();
    let state = context.state();
    let mut statement = state.sql_to_statement(sql, &datafusion::config::Dialect::Generic).unwrap();
    let Parsed::Statement(inner) = &mut statement else { panic!("{sql}") };
    let Statement::Query(query) = inner.as_mut() else { panic!("{sql}") };
    let axes = |name: &str| match name {
        "s2" => Some(["time", "y", "x"].map(String::from).to_vec()),
        "dem" => Some(["y", "x"].map(String::from).to_vec()),
        _ => None,
    };
    expand(query, &axes).unwrap();
    let plan = state.statement_to_plan(statement).await.unwrap();
    let mut rows = vec![];
    for batch in context.execute_logical_plan(plan).await.unwrap().collect().await.unwrap() {
        for row in 0..batch.num_rows() {
            rows.push(batch.columns().iter().map(|c| array_value_to_string(c, row).unwrap()).collect::<Vec<_>>().join(" "));
        }
    }
    rows
}

#[tokio::test]
async fn what_comes_out_is_what_the_planner_takes() {
    let cte = "WITH v AS (SELECT b04 * 2 AS d FROM s2) SELECT dims(), max(d) FROM v GROUP BY dims_except('time') ORDER BY dims()";
    assert_eq!(answer(cte).await, ["0 0 20", "0 1 22", "1 0 24", "1 1 26"]);
    let window = "SELECT dims_except('y', 'x'), b04 - avg(b04) OVER (PARTITION BY dims_except('time')) FROM s2 ORDER BY dims()";
    assert_eq!(answer(window).await, ["0 -5.0", "0 -5.0", "0 -5.0", "0 -5.0", "1 5.0", "1 5.0", "1 5.0", "1 5.0"]);
    let join = "SELECT dims_except('x'), sum(b04 * z) FROM s2 JOIN dem USING (y, x) GROUP BY dims_except('x') ORDER BY dims()";
    assert_eq!(answer(join).await, ["0 0 0", "0 1 5", "1 0 0", "1 1 25"]);
    let on = "SELECT dims(), max(a.b04) FROM s2 AS a JOIN (SELECT z, y FROM dem) AS d ON a.y = d.y GROUP BY dims_except('time', 'x') ORDER BY dims()";
    assert_eq!(answer(on).await, ["0 11", "1 13"]);
    let named = "SELECT sum(b04) OVER w FROM s2 WINDOW w AS (PARTITION BY dims_except('x') ORDER BY x) ORDER BY dims() LIMIT 4";
    assert_eq!(answer(named).await, ["0", "1", "2", "5"]);
}
