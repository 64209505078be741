//! What is known of chunks never changes an answer, spares reading, and is forgotten with the file; what needs too much memory is
//! refused before it runs, and what can be cut into blocks runs within little.

use std::path::Path;

use arrow::array::AsArray;
use graticule_query::{Engine, ErrorKind, Form};

use super::engine::{ask, cells, empty, numbers};

/// A CDF-5 file of one variable `v` on (`t`, `y`, `x`), `t` being the record dimension; cells big-endian, in C order.
fn file(path: &Path, nc_type: u32, [t, y, x]: [u64; 3], cells: &[u8]) {
    let mut out = b"CDF\x05".to_vec();
    let name = |out: &mut Vec<u8>, name: &str| {
        out.extend((name.len() as u64).to_be_bytes());
        out.extend(name.bytes().chain(std::iter::repeat(0)).take(name.len().next_multiple_of(4)));
    };
    out.extend(t.to_be_bytes());
    out.extend(10u32.to_be_bytes());
    out.extend(3u64.to_be_bytes());
    for (dimension, length) in [("t", 0), ("y", y), ("x", x)] {
        name(&mut out, dimension);
        out.extend(length.to_be_bytes());
    }
    out.extend([0; 12]);
    out.extend(11u32.to_be_bytes());
    out.extend(1u64.to_be_bytes());
    name(&mut out, "v");
    out.extend(3u64.to_be_bytes());
    (0..3u64).for_each(|dimension| out.extend(dimension.to_be_bytes()));
    out.extend([0; 12]);
    out.extend(nc_type.to_be_bytes());
    out.extend((cells.len() as u64 / t).to_be_bytes());
    let begin = out.len() as u64 + 8;
    out.extend(begin.to_be_bytes());
    out.extend(cells);
    std::fs::write(path, out).unwrap();
}

const SHAPE: [u64; 3] = [8, 600, 600];

/// A hundred more in each record; some cells missing, and all of record 3.
fn floats(path: &Path, more: f32) {
    let plane = SHAPE[1] * SHAPE[2];
    let value = |i: u64| match (i / plane, i % plane) {
        (3, _) => f32::NAN,
        (_, at) if at % 101 == 7 => f32::NAN,
        (0, 12) => -0.0,
        (t, at) => t as f32 * 100.0 + (at % 97) as f32 + more,
    };
    let cells: Vec<u8> = (0..SHAPE[0] * plane).flat_map(|i| value(i).to_be_bytes()).collect();
    file(path, 5, SHAPE, &cells);
}

async fn over(path: &Path, memory: u64) -> Engine {
    let engine = empty(memory).await;
    ask(&engine, &format!("CREATE CUBE c FROM '{}'", path.display()), Form::Rows).await.unwrap();
    engine
}

/// All numbers of an answer, column after column.
async fn answer(engine: &Engine, question: &str) -> Vec<Option<f64>> {
    let batches = ask(engine, question, Form::Rows).await.unwrap_or_else(|e| panic!("{question}: {e}"));
    let columns = batches.first().map_or(0, |b| b.num_columns());
    (0..columns).flat_map(|c| numbers(&batches, c)).collect()
}

async fn text(engine: &Engine, question: &str) -> String {
    let batches = ask(engine, question, Form::Rows).await.unwrap();
    let lines = batches.iter().flat_map(|b| b.column(1).as_string::<i32>().iter().flatten().map(str::to_owned).collect::<Vec<_>>());
    lines.collect::<Vec<_>>().join("\n")
}

/// The number behind `name=` in a text, all occurrences added up.
fn number_of(text: &str, name: &str) -> u64 {
    let digits = |at: usize| text[at + name.len()..].chars().skip(1).take_while(char::is_ascii_digit).collect::<String>();
    text.match_indices(&format!("{name}=")).filter_map(|(at, _)| digits(at).parse::<u64>().ok()).sum()
}

const QUESTIONS: [&str; 24] = [
    "SELECT count(*), count(v), sum(v), avg(v), min(v), max(v) FROM c",
    "SELECT t, count(*), count(v), sum(v), avg(v), min(v), max(v) FROM c GROUP BY t ORDER BY t",
    "SELECT floor(t / 3) AS k, avg(v), count(v) FROM c GROUP BY k ORDER BY k",
    "SELECT count(*), sum(v), min(v) FROM c[t(INDEX 2:5)]",
    "SELECT count(*), sum(v) FROM c[y(INDEX 100:250), x(INDEX 0:599)]",
    "SELECT count(*), sum(v) FROM c WHERE v > 650",
    "SELECT count(*), sum(v) FROM c WHERE v > 10000",
    "SELECT count(*), sum(v) FROM c WHERE v BETWEEN 120 AND 180.5",
    "SELECT count(*), sum(v) FROM c WHERE v >= 100 AND v < 200 AND y < 300",
    "SELECT count(*), sum(v) FROM c WHERE v IN (5, 405, 999)",
    "SELECT count(*), sum(v) FROM c WHERE v NOT BETWEEN 50 AND 790",
    "SELECT t, count(*) FROM c WHERE v IS NULL GROUP BY t ORDER BY t",
    "SELECT t, count(*) FROM c WHERE v IS NOT NULL GROUP BY t ORDER BY t",
    "SELECT count(*) FROM c WHERE v = 0 OR v > 790",
    "SELECT count(*), min(v) FROM c WHERE v <= 0",
    "SELECT count(*) FROM c WHERE NOT v > 20",
    "SELECT t, count(v) FILTER (WHERE v > 650), max(v) FILTER (WHERE v > 650) FROM c GROUP BY t ORDER BY t",
    "SELECT max(v) FILTER (WHERE v > 650) FROM c",
    "SELECT t, count(*), max(v) FILTER (WHERE v < 50) FROM c GROUP BY t ORDER BY t",
    "SELECT y, avg(v) FROM c WHERE v > 600 GROUP BY y HAVING count(v) > 2 ORDER BY y LIMIT 5",
    "SELECT t, y, x, v FROM c WHERE v > 795.5 ORDER BY t, y, x LIMIT 20",
    "SELECT t, max(m) FROM (SELECT t, v - avg(v) ALONG (t) AS m FROM c) GROUP BY t ORDER BY t",
    "SELECT count(*), sum(d) FROM (SELECT v, v - lag(v) OVER (PARTITION BY y, x ORDER BY t) AS d FROM c[y(INDEX 0:9)]) WHERE v > 700",
    "SELECT count(*) FROM (SELECT v, avg(v) AROUND (t(-1:1)) AS s FROM c[y(INDEX 0:99)]) WHERE v > 650 AND s > 600",
];

#[tokio::test(flavor = "multi_thread")]
async fn what_is_known_of_chunks_spares_reading_and_never_changes_an_answer() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.nc");
    floats(&path, 0.0);
    let plain = over(&path, 1 << 30).await;
    ask(&plain, "SET graticule.statistics = false", Form::Rows).await.unwrap();
    let known = over(&path, 1 << 30).await;
    let report = answer(&known, "ANALYZE CUBE c").await;
    let chunks = report[1].unwrap();
    assert!(chunks >= 8.0 && report[2] == Some(8.0 * 600.0 * 600.0 * 4.0) && report[3..] == [Some(0.0), Some(0.0)], "{report:?}");
    let again = answer(&known, "ANALYZE CUBE c").await;
    assert_eq!(again[1..], [Some(0.0), Some(0.0), Some(chunks), Some(0.0)]);
    let some = over(&path, 1 << 30).await;
    answer(&some, "SELECT max(v) FROM c[t(INDEX 0:2)]").await;
    let rows = over(&path, 1 << 30).await;
    ask(&rows, "SET graticule.dense = false", Form::Rows).await.unwrap();
    ask(&rows, "ANALYZE CUBE c", Form::Rows).await.unwrap();
    for question in QUESTIONS {
        let expected = answer(&plain, question).await;
        for (name, engine) in [("known", &known), ("some", &some), ("rows", &rows)] {
            let found = answer(engine, question).await;
            let near = |a: &Option<f64>, b: &Option<f64>| match (a, b) {
                (Some(a), Some(b)) => (a - b).abs() <= 1e-9 * a.abs().max(1.0),
                (a, b) => a == b,
            };
            assert!(
                found.len() == expected.len() && found.iter().zip(&expected).all(|(a, b)| near(a, b)),
                "{name}: {question}: {found:?} instead of {expected:?}"
            );
        }
    }
    let question = "SELECT v FROM c[y(INDEX 0:299)] WHERE v > 650";
    let of = |batches: Vec<arrow::array::RecordBatch>| cells(&batches).into_iter().flatten().fold((0u64, 0.0), |(n, s), v| (n + 1, s + v));
    let expected = of(ask(&plain, question, Form::Array).await.unwrap());
    assert_eq!(of(ask(&known, question, Form::Array).await.unwrap()), expected);
    assert!(expected.0 > 10_000);

    // What it saved is told: most chunks for a predicate, all of them for sums.
    let explained = text(&known, "EXPLAIN SELECT count(*) FROM c WHERE v > 650").await;
    assert!(explained.contains("chunks skipped, 0 chunks answered]") && explained.contains("decoded="), "{explained}");
    let analyzed = text(&known, "EXPLAIN ANALYZE SELECT count(*) FROM c WHERE v > 650").await;
    assert!(number_of(&analyzed, "chunks_skipped_by_statistics") as f64 >= chunks / 2.0, "{analyzed}");
    let analyzed = text(&known, "EXPLAIN ANALYZE SELECT t, avg(v) FROM c WHERE t > 0 GROUP BY t").await;
    assert_eq!(number_of(&analyzed, "chunks_answered_by_statistics") as f64, chunks * 7.0 / 8.0, "{analyzed}");
    assert_eq!((number_of(&analyzed, "bytes_read"), number_of(&analyzed, "chunks_read")), (0, 0), "{analyzed}");
    let analyzed = text(&plain, "EXPLAIN ANALYZE SELECT avg(v) FROM c").await;
    assert_eq!(number_of(&analyzed, "chunks_answered_by_statistics"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_known_goes_with_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.nc");
    floats(&path, 0.0);
    let engine = over(&path, 1 << 30).await;
    ask(&engine, "ANALYZE CUBE c", Form::Rows).await.unwrap();
    let before = answer(&engine, "SELECT max(v), count(v) FROM c WHERE t > 0").await;
    floats(&path, 1000.0);
    std::fs::File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_modified(std::time::SystemTime::now() + std::time::Duration::from_secs(9))
        .unwrap();
    // Answered without a byte of it, it would have been the old answer.
    let error = ask(&engine, "SELECT max(v) FROM c WHERE t > 0", Form::Rows).await.unwrap_err();
    assert!(error.to_string().contains("REFRESH") || error.to_string().contains("changed"), "{error}");
    ask(&engine, "REFRESH CUBE c", Form::Rows).await.unwrap();
    let after = answer(&engine, "SELECT max(v), count(v) FROM c WHERE t > 0").await;
    assert_eq!(after, [before[0].map(|v| v + 1000.0), before[1]]);
    assert_eq!(answer(&engine, "SELECT count(*) FROM c WHERE v > 1500").await[0].map(|n| n > 0.0), Some(true));
}

#[tokio::test(flavor = "multi_thread")]
async fn integers_beyond_what_floats_hold_are_exact() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.nc");
    let base = 1i64 << 53;
    let cells: Vec<u8> = (0..64i64).flat_map(|i| (base + i).to_be_bytes()).collect();
    file(&path, 10, [4, 4, 4], &cells);
    let engine = over(&path, 1 << 30).await;
    ask(&engine, "ANALYZE CUBE c", Form::Rows).await.unwrap();
    for (question, expected) in [
        (format!("SELECT count(*) FROM c WHERE v = {}", base + 1), 1.0),
        (format!("SELECT count(*) FROM c WHERE v > {}", base + 63), 0.0),
        (format!("SELECT count(*) FROM c WHERE v >= {}", base + 63), 1.0),
        (format!("SELECT count(*) FROM c WHERE v < {}", base + 1), 1.0),
        (format!("SELECT min(v) - {base} FROM c"), 0.0),
        (format!("SELECT max(v) - {base} FROM c"), 63.0),
        (format!("SELECT sum(v) - {} FROM c", base * 64), 2016.0),
    ] {
        assert_eq!(answer(&engine, &question).await, [Some(expected)], "{question}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_median_over_ten_thousand_steps_takes_little_memory() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.nc");
    let [t, y, x] = [10_000u64, 60, 60];
    let value = |t: u64, at: u64| ((t * 7919 + at * 31) % 10_007) as i16;
    let cells: Vec<u8> = (0..t).flat_map(|step| (0..y * x).flat_map(move |at| value(step, at).to_be_bytes())).collect();
    file(&path, 3, [t, y, x], &cells);
    drop(cells);
    // The pool refuses what goes beyond it: that there is an answer says that the peak is below.
    let engine = over(&path, 64 << 20).await;
    let question = "SELECT y, x, median(v) AS m FROM c GROUP BY y, x ORDER BY y, x";
    let explained = text(&engine, &format!("EXPLAIN {question}")).await;
    assert!(explained.contains("split=output") && explained.contains("memory="), "{explained}");
    let batches = ask(&engine, question, Form::Rows).await.unwrap();
    let found = numbers(&batches, 2);
    assert_eq!(found.len() as u64, y * x);
    for at in [0, 1, 59, 60, 1_234, 3_599] {
        let mut all: Vec<i16> = (0..t).map(|step| value(step, at)).collect();
        all.sort_unstable();
        let median = (f64::from(all[4_999]) + f64::from(all[5_000])) / 2.0;
        assert_eq!(found[at as usize], Some(median), "cell {at}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_fit_is_refused_before_it_runs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.nc");
    floats(&path, 0.0);
    let engine = over(&path, 6 << 20).await;
    let error = ask(&engine, "SELECT y, x, avg(v), stddev(v) FROM c GROUP BY y, x", Form::Rows).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Resources, "{error}");
    let said = error.to_string();
    assert!(said.contains("of memory at once") && said.contains("6.0 MiB") && said.contains("--memory"), "{said}");
    // All values of a group, which no cut makes fewer.
    let error = ask(&engine, "SELECT median(v) FROM c", Form::Rows).await.unwrap_err();
    assert!(error.kind == ErrorKind::Resources && error.to_string().contains("all values"), "{error}");
    // A scan streams, however large the cube is.
    let engine = over(&path, 40 << 20).await;
    assert_eq!(ask(&engine, "SELECT v FROM c", Form::Rows).await.unwrap().iter().map(|b| b.num_rows()).sum::<usize>(), 2_880_000);
}
