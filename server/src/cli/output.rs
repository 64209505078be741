//! Answers written out: as a table for people, or as CSV, JSON or an Arrow IPC stream for programs.

use std::io::Write;

use arrow::csv::WriterBuilder as CsvBuilder;
use arrow::ipc::writer::StreamWriter;
use arrow::json::WriterBuilder as JsonBuilder;
use arrow::json::writer::JsonArray;
use clap::ValueEnum;
use futures::StreamExt;

use super::Failure;
use super::source::Answer;
use super::table::Table;

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Columns side by side, for people
    Table,
    /// Comma-separated, with a line of names first
    Csv,
    /// One array of objects
    Json,
    /// Arrow IPC stream
    Arrow,
}

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// Rows.
    pub rows: u64,
    /// False when there were more rows than were asked for.
    pub complete: bool,
}

/// Writes the rows of an answer as they come; at most `most_rows` of them. Memory is bounded by a batch, and for a table by
/// the rows that its widths are taken from.
pub async fn write(answer: Answer, format: Format, most_rows: u64, out: &mut (dyn Write + Send)) -> Result<Written, Failure> {
    let mut sink = Sink::new(format, &answer, out)?;
    let mut batches = answer.batches;
    let mut rows = 0;
    let mut complete = true;
    while let Some(batch) = batches.next().await {
        let mut batch = batch?;
        let left = most_rows - rows;
        if batch.num_rows() as u64 > left {
            complete = false;
            batch = batch.slice(0, usize::try_from(left).unwrap_or(usize::MAX));
        }
        rows += batch.num_rows() as u64;
        sink.write(&batch)?;
        if !complete {
            break;
        }
    }
    sink.finish()?;
    Ok(Written { rows, complete })
}

enum Sink<'a> {
    Table(Box<Table>, &'a mut (dyn Write + Send)),
    Csv(Box<arrow::csv::Writer<&'a mut (dyn Write + Send)>>),
    Json(arrow::json::Writer<&'a mut (dyn Write + Send), JsonArray>),
    Arrow(Box<StreamWriter<&'a mut (dyn Write + Send)>>),
}

fn told(error: arrow::error::ArrowError) -> Failure {
    match error {
        arrow::error::ArrowError::IoError(_, e) => e.into(),
        other => other.to_string().into(),
    }
}

impl<'a> Sink<'a> {
    fn new(format: Format, answer: &Answer, out: &'a mut (dyn Write + Send)) -> Result<Sink<'a>, Failure> {
        Ok(match format {
            Format::Table => Sink::Table(Box::new(Table::new(answer.schema.clone())), out),
            Format::Csv => {
                let mut writer = CsvBuilder::new().with_header(true).build(out);
                // The names are written also when there are no rows.
                writer.write(&arrow::array::RecordBatch::new_empty(answer.schema.clone())).map_err(told)?;
                Sink::Csv(Box::new(writer))
            }
            Format::Json => Sink::Json(JsonBuilder::new().with_explicit_nulls(true).build(out)),
            Format::Arrow => Sink::Arrow(Box::new(StreamWriter::try_new(out, &answer.schema).map_err(told)?)),
        })
    }

    fn write(&mut self, batch: &arrow::array::RecordBatch) -> Result<(), Failure> {
        match self {
            Sink::Table(table, out) => table.write(batch, *out),
            Sink::Csv(writer) => writer.write(batch).map_err(told),
            Sink::Json(writer) => writer.write(batch).map_err(told),
            Sink::Arrow(writer) => writer.write(batch).map_err(told),
        }
    }

    fn finish(self) -> Result<(), Failure> {
        match self {
            Sink::Table(table, out) => table.finish(out),
            Sink::Csv(writer) => Ok(writer.into_inner().flush()?),
            Sink::Json(mut writer) => {
                writer.finish().map_err(told)?;
                let out = writer.into_inner();
                writeln!(out)?;
                Ok(out.flush()?)
            }
            Sink::Arrow(mut writer) => {
                writer.finish().map_err(told)?;
                Ok(writer.get_mut().flush()?)
            }
        }
    }
}
