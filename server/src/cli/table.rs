//! Rows as a table for people. Widths come from the first rows; later rows are written as they come, so that a long answer
//! takes no memory.

use std::io::Write;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::util::display::{ArrayFormatter, FormatOptions};

use super::Failure;

/// Rows whose widths are looked at before the first is written.
const LOOKED_AT: usize = 1000;
/// Characters of a cell that are shown.
const WIDEST: usize = 120;
/// How a missing value is shown.
const MISSING: &str = "NULL";

/// A table that is being written.
pub struct Table {
    schema: SchemaRef,
    /// Rows that wait for the widths; `None` once these are known.
    waiting: Option<Vec<Vec<String>>>,
    widths: Vec<usize>,
}

impl Table {
    /// A table of these columns.
    pub fn new(schema: SchemaRef) -> Table {
        let widths = schema.fields().iter().map(|f| width(f.name())).collect();
        Table { schema, waiting: Some(vec![]), widths }
    }

    /// Takes rows.
    pub fn write(&mut self, batch: &RecordBatch, out: &mut dyn Write) -> Result<(), Failure> {
        let options = FormatOptions::default().with_null(MISSING).with_display_error(true);
        let columns: Result<Vec<ArrayFormatter<'_>>, _> =
            batch.columns().iter().map(|c| ArrayFormatter::try_new(c.as_ref(), &options)).collect();
        let columns = columns.map_err(|e| e.to_string())?;
        for row in 0..batch.num_rows() {
            let cells: Vec<String> = columns.iter().map(|c| shown(&c.value(row).to_string())).collect();
            match &mut self.waiting {
                Some(waiting) => {
                    for (widest, cell) in self.widths.iter_mut().zip(&cells) {
                        *widest = (*widest).max(width(cell));
                    }
                    waiting.push(cells);
                    if waiting.len() >= LOOKED_AT {
                        self.begin(out)?;
                    }
                }
                None => self.line(&cells, out)?,
            }
        }
        Ok(())
    }

    /// Writes the head and the rows that waited.
    fn begin(&mut self, out: &mut dyn Write) -> Result<(), Failure> {
        let Some(waiting) = self.waiting.take() else { return Ok(()) };
        let names: Vec<String> = self.schema.fields().iter().map(|f| f.name().clone()).collect();
        self.line(&names, out)?;
        let rules: Vec<String> = self.widths.iter().map(|&w| "─".repeat(w + 2)).collect();
        writeln!(out, "{}", rules.join("┼"))?;
        for cells in &waiting {
            self.line(cells, out)?;
        }
        Ok(())
    }

    /// One row; numbers stand to the right.
    fn line(&self, cells: &[String], out: &mut dyn Write) -> Result<(), Failure> {
        let mut line = String::new();
        for (i, ((cell, &widest), field)) in cells.iter().zip(&self.widths).zip(self.schema.fields()).enumerate() {
            let space = " ".repeat(widest.saturating_sub(width(cell)));
            let (before, after) = if field.data_type().is_numeric() { (space.as_str(), "") } else { ("", space.as_str()) };
            let bar = if i == 0 { "" } else { "│" };
            line.push_str(&format!("{bar} {before}{cell}{after} "));
        }
        Ok(writeln!(out, "{}", line.trim_end())?)
    }

    /// Writes what is left.
    pub fn finish(mut self, out: &mut dyn Write) -> Result<(), Failure> {
        self.begin(out)?;
        Ok(out.flush()?)
    }
}

/// A cell as it is shown. The lines of a text are kept apart by a mark, except where it is the whole row (a plan).
fn shown(cell: &str) -> String {
    let cell: String = cell
        .chars()
        .map(|c| {
            if c == '\n' {
                '⏎'
            } else if c.is_control() {
                ' '
            } else {
                c
            }
        })
        .collect();
    match cell.char_indices().nth(WIDEST) {
        Some((end, _)) => format!("{}…", cell.get(..end).unwrap_or_default()),
        None => cell,
    }
}

/// Characters; wide scripts are not looked at more closely.
fn width(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Float32Array, StringArray};

    use super::*;

    #[test]
    fn numbers_stand_right_and_text_left() {
        let names = Arc::new(StringArray::from(vec![Some("a"), Some("bcd"), None])) as ArrayRef;
        let values = Arc::new(Float32Array::from(vec![1.0, 22.5, -3.25])) as ArrayRef;
        let batch = RecordBatch::try_from_iter([("name", names), ("v", values)]).unwrap();
        let mut table = Table::new(batch.schema());
        let mut out = vec![];
        table.write(&batch, &mut out).unwrap();
        table.finish(&mut out).unwrap();
        let expected = " name │     v\n──────┼───────\n a    │   1.0\n bcd  │  22.5\n NULL │ -3.25\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
