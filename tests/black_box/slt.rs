//! Runs every file of `slt/` twice: with dense rules, and without. `GRATICULE_SLT_UPDATE=1` rewrites the answers.

use arrow::util::display::{ArrayFormatter, FormatOptions};
use async_trait::async_trait;
use graticule_query::{Engine, Form, QueryError};
use sqllogictest::{AsyncDB, DBOutput, DefaultColumnType, Runner};

use super::engine::{ask, root, weather};

struct Cubes(Engine);

#[async_trait]
impl AsyncDB for Cubes {
    type Error = QueryError;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, QueryError> {
        let batches = ask(&self.0, sql, Form::Rows).await?;
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

#[tokio::test(flavor = "multi_thread")]
async fn questions_have_the_answers_written_down() {
    let update = std::env::var("GRATICULE_SLT_UPDATE").is_ok();
    let mut files: Vec<_> = std::fs::read_dir(root().join("tests/slt")).unwrap().map(|f| f.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    for file in files {
        for dense in [true, false] {
            let engine = weather(dense).await;
            let mut runner = Runner::new(move || {
                let engine = engine.clone();
                async move { Ok(Cubes(engine)) }
            });
            if update && dense {
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
                runner.run_file_async(&file).await.unwrap_or_else(|e| panic!("{}, dense={dense}: {e}", file.display()));
            }
        }
    }
}
