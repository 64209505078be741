//! Runs every file of `slt/` four ways: dense, as rows, and dense with what is known of chunks, all of them or some; and on pools of
//! three nodes and of one, dense and as rows.
//! `GRATICULE_SLT_UPDATE=1` rewrites the answers.

use arrow::util::display::{ArrayFormatter, FormatOptions};
use async_trait::async_trait;
use graticule_query::{Engine, Form, QueryError};
use sqllogictest::{AsyncDB, DBOutput, DefaultColumnType, Runner};

use super::engine::{ask, create_relations, relations, root};
use super::nodes::Nodes;

/// The engine of a server, alone or with nodes.
enum Cubes {
    Alone(Engine),
    Pool(Nodes),
}

#[async_trait]
impl AsyncDB for Cubes {
    type Error = QueryError;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, QueryError> {
        let batches = match self {
            Cubes::Alone(engine) => ask(engine, sql, Form::Rows).await?,
            Cubes::Pool(nodes) => nodes.ask(sql, Form::Rows).await?,
        };
        let columns = batches.first().map_or(0, |b| b.num_columns());
        if columns == 0 {
            return Ok(DBOutput::StatementComplete(0));
        }
        let options = FormatOptions::default().with_null("NULL");
        let mut rows = Vec::new();
        for batch in &batches {
            let formatters: Vec<_> = batch.columns().iter().map(|c| ArrayFormatter::try_new(c, &options).unwrap()).collect();
            rows.extend((0..batch.num_rows()).map(|i| formatters.iter().map(|f| f.value(i).to_string()).collect()));
        }
        Ok(DBOutput::Rows { types: vec![DefaultColumnType::Any; columns], rows })
    }

    async fn shutdown(&mut self) {}
}

/// What a file is run with, and the statements that come before it.
const WAYS: [(&str, &[&str]); 4] = [
    ("dense", &["SET graticule.statistics = false"]),
    ("rows, chunks known", &["SET graticule.dense = false", "ANALYZE CUBE weather"]),
    ("dense, chunks known", &["ANALYZE CUBE weather"]),
    (
        "dense, some chunks known",
        &[
            "SELECT max(t2m) FROM weather[time('2020-01')]",
            "SELECT avg(tp) FROM weather[time('2020-02-10':'2020-03-10'), latitude(-60:60)]",
        ],
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn questions_have_the_answers_written_down() {
    let update = std::env::var("GRATICULE_SLT_UPDATE").is_ok();
    let mut files: Vec<_> = std::fs::read_dir(root().join("tests/slt")).unwrap().map(|f| f.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    for file in files {
        for (way, before) in WAYS {
            let engine = relations(true).await;
            for statement in before {
                ask(&engine, statement, Form::Rows).await.unwrap();
            }
            let mut runner = Runner::new(move || {
                let engine = engine.clone();
                async move { Ok(Cubes::Alone(engine)) }
            });
            if update && way == "dense" {
                runner
                    .update_test_file(
                        &file,
                        " ",
                        sqllogictest::default_validator,
                        sqllogictest::default_normalizer,
                        sqllogictest::default_column_validator,
                    )
                    .await
                    .unwrap();
            } else {
                runner.run_file_async(&file).await.unwrap_or_else(|e| panic!("{}, {way}: {e}", file.display()));
            }
        }
    }
}

/// Nodes, and the statements that come before a file.
const POOLS: [(usize, &[&str]); 3] = [(3, &[]), (3, &["SET graticule.dense = false"]), (1, &[])];

#[tokio::test(flavor = "multi_thread")]
async fn pools_have_the_same_answers() {
    let mut files: Vec<_> = std::fs::read_dir(root().join("tests/slt")).unwrap().map(|f| f.unwrap().path()).collect();
    files.sort();
    for file in files {
        for (count, before) in POOLS {
            let nodes = Nodes::start(count).await;
            create_relations(nodes.engine()).await;
            for statement in before {
                nodes.ask(statement, Form::Rows).await.unwrap();
            }
            let (used, asked) = (nodes.used.clone(), nodes.asked.clone());
            let mut pool = Some(nodes);
            let mut runner = Runner::new(move || {
                let nodes = pool.take();
                async move { Ok(Cubes::Pool(nodes.expect("one connection"))) }
            });
            runner.run_file_async(&file).await.unwrap_or_else(|e| panic!("{}, {count} nodes, {before:?}: {e}", file.display()));
            let count_of = |n: &std::sync::atomic::AtomicUsize| n.load(std::sync::atomic::Ordering::Relaxed);
            eprintln!("{}, {count} nodes, {before:?}: {} of {} statements ran on nodes", file.display(), count_of(&used), count_of(&asked));
        }
    }
}
