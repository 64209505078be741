//! `graticule demo`: serves the sample data and shows what can be asked, each query with its answer drawn in the terminal.

mod map;
mod series;
mod tour;

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Float64Type, TimeUnit, TimestampSecondType};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use clap::Args;
use console::Term;
use graticule_client::{Axis, Client, Dataset, Options};
use graticule_storage::object::Objects;

use self::map::Raster;
use self::tour::{Drawn, STOPS, Stop};
use super::Failure;
use super::paint::Depth;
use super::source::Refusal;
use super::table::Table;
use crate::config::{IN_MEMORY, Settings};
use crate::database::Database;
use crate::flight::server::FlightServer;
use crate::units::elapsed;

/// What `demo` takes.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Folder of the sample data, as `demo/make_data.py` makes it
    #[arg(long, value_name = "DIR", default_value = "demo-data")]
    data: PathBuf,
}

/// Serves the sample data in this process, asks it over the wire as any client would, and shows the answers.
pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let folder = std::fs::canonicalize(&arguments.data).ok().filter(|folder| folder.join("reanalysis").is_dir());
    let Some(folder) = folder.as_deref().and_then(|folder| folder.to_str()) else {
        let asked = arguments.data.display();
        return Err(format!("{asked}: the sample data are not there; make them with `python demo/make_data.py` (or `make demo`)").into());
    };
    let settings = Settings { data_dir: IN_MEMORY.into(), listen: "127.0.0.1:0".into(), max_concurrent: 4, ..Settings::default() };
    let objects = Objects::new(&[folder.to_string()]).map_err(|e| e.to_string())?;
    let database = Arc::new(Database::open(&settings, objects).await?);
    let server = FlightServer::bind(&settings, database).await?;
    let url = format!("grpc://{}", server.address());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(server.run(async {
        let _ = stopped.await;
    }));
    let client = Client::connect_with(&url, &Options::new()).await.map_err(Refusal::from)?;
    let mut guide = Guide::new(client);
    let ended = guide.tour(&url, folder).await;
    let _ = stop.send(());
    drop(guide);
    let _ = tokio::time::timeout(Duration::from_secs(2), serving).await;
    ended
}

/// Shows one stop after the other.
struct Guide {
    client: Client,
    depth: Depth,
    width: usize,
    height: usize,
    number: usize,
    out: std::io::Stdout,
}

impl Guide {
    fn new(client: Client) -> Guide {
        let (lines, columns) = Term::stdout().size_checked().unwrap_or((40, 100));
        // Two of margin; a map leaves room for its query on the screen.
        let (width, height) = (usize::from(columns).clamp(40, 124) - 4, usize::from(lines).saturating_sub(14).clamp(12, 36));
        Guide { client, depth: Depth::of_stdout(), width, height, number: 0, out: std::io::stdout() }
    }

    async fn tour(&mut self, url: &str, folder: &str) -> Result<(), Failure> {
        let name = self.depth.style("1", "Graticule");
        writeln!(
            self.out,
            "\n{name} serves the sample data of {folder} at {url}.\nEvery query below goes over the wire, as yours would.\n"
        )?;
        for (about, sql) in tour::cubes(folder) {
            self.announce(about, &sql)?;
            let begun = Instant::now();
            let batches = self.client.sql(&sql).await.map_err(Refusal::from)?.collect().await.map_err(Refusal::from)?;
            self.took(begun)?;
            self.table(&batches)?;
        }
        for stop in &STOPS {
            self.stop(stop).await?;
        }
        let own = ["graticule serve /path/to/your/files", "graticule shell"].map(|line| self.depth.style("1", line));
        writeln!(self.out, "Now your own data:\n\n    {}\n    {}    {}\n", own[0], own[1], self.depth.style("2", "(in another terminal)"))?;
        Ok(())
    }

    /// The sentence and the query.
    fn announce(&mut self, about: &str, sql: &str) -> Result<(), Failure> {
        self.number += 1;
        writeln!(self.out, "{} {about}\n", self.depth.style("1;33", &format!("{}.", self.number)))?;
        for line in self.depth.statement(sql).lines() {
            writeln!(self.out, "    {line}")?;
        }
        Ok(self.out.flush()?)
    }

    fn took(&mut self, begun: Instant) -> Result<(), Failure> {
        let time = self.depth.style("2", &elapsed(begun.elapsed()));
        Ok(writeln!(self.out, "\n  {time}")?)
    }

    async fn stop(&mut self, stop: &Stop) -> Result<(), Failure> {
        self.announce(stop.about, stop.sql)?;
        let begun = Instant::now();
        match &stop.drawn {
            Drawn::Map(gradient, unit) => {
                let answer = self.client.array(stop.sql).await.map_err(Refusal::from)?;
                self.took(begun)?;
                let raster = raster(&answer)?;
                let drawn = map::draw(&raster, *gradient, unit, self.depth, self.width, self.height);
                writeln!(self.out, "{drawn}")?;
            }
            Drawn::Table | Drawn::Text | Drawn::Series(_) => {
                let batches = self.client.sql(stop.sql).await.map_err(Refusal::from)?.collect().await.map_err(Refusal::from)?;
                self.took(begun)?;
                match &stop.drawn {
                    Drawn::Series(unit) => self.series(&batches, unit)?,
                    Drawn::Text => self.text(&batches)?,
                    _ => self.table(&batches)?,
                }
            }
        }
        Ok(())
    }

    fn table(&mut self, batches: &[RecordBatch]) -> Result<(), Failure> {
        let Some(first) = batches.first() else { return Ok(writeln!(self.out)?) };
        let mut table = Table::new(first.schema());
        let mut text = vec![];
        for batch in batches {
            table.write(batch, &mut text)?;
        }
        table.finish(&mut text)?;
        for line in String::from_utf8_lossy(&text).lines() {
            writeln!(self.out, "  {line}")?;
        }
        Ok(writeln!(self.out)?)
    }

    /// Columns of several lines of text, one below the other: plans.
    fn text(&mut self, batches: &[RecordBatch]) -> Result<(), Failure> {
        let options = FormatOptions::default();
        for batch in batches {
            let columns: Result<Vec<ArrayFormatter<'_>>, _> =
                batch.columns().iter().map(|c| ArrayFormatter::try_new(c.as_ref(), &options)).collect();
            for row in 0..batch.num_rows() {
                for column in columns.as_deref().unwrap_or_default() {
                    for line in column.value(row).to_string().lines().flat_map(|line| folded(line, self.width)) {
                        writeln!(self.out, "  {line}")?;
                    }
                }
            }
        }
        Ok(writeln!(self.out)?)
    }

    /// The second column over the first.
    fn series(&mut self, batches: &[RecordBatch], unit: &str) -> Result<(), Failure> {
        let Some(first) = batches.first() else { return Ok(writeln!(self.out, "  (no rows)\n")?) };
        let rows = concat_batches(&first.schema(), batches).map_err(|e| e.to_string())?;
        let (Some(x), Some(y)) = (rows.columns().first(), rows.columns().get(1)) else { return self.table(batches) };
        let is_time = matches!(x.data_type(), DataType::Timestamp(..));
        let points: Vec<(f64, f64)> = numbers(x)?.into_iter().zip(numbers(y)?).collect();
        let label = move |x: f64| if is_time { date(x) } else { map::number(x) };
        let drawn = series::draw(&points, unit, label, self.width.saturating_sub(12).min(90), 12);
        Ok(writeln!(self.out, "{drawn}")?)
    }
}

/// A line in pieces of at most `width` characters, cut at spaces; what goes on is set in further than where it began.
fn folded(line: &str, width: usize) -> Vec<String> {
    let indent = " ".repeat(line.chars().take_while(|c| *c == ' ').count() + 4);
    let mut pieces = vec![];
    let mut piece = String::new();
    for word in line.split_inclusive(' ') {
        if !piece.trim().is_empty() && piece.chars().count() + word.trim_end().chars().count() > width {
            pieces.push(std::mem::replace(&mut piece, indent.clone()).trim_end().to_string());
        }
        piece.push_str(word);
    }
    pieces.push(piece.trim_end().to_string());
    pieces
}

/// A column as numbers: instants as seconds since 1970, missing values as NaN.
fn numbers(column: &ArrayRef) -> Result<Vec<f64>, Failure> {
    let told = |e: arrow::error::ArrowError| Failure::from(e.to_string());
    if matches!(column.data_type(), DataType::Timestamp(..)) {
        let seconds = cast(column, &DataType::Timestamp(TimeUnit::Second, None)).map_err(told)?;
        return Ok(seconds.as_primitive::<TimestampSecondType>().iter().map(|v| v.map_or(f64::NAN, |s| s as f64)).collect());
    }
    let floats = cast(column, &DataType::Float64).map_err(told)?;
    Ok(floats.as_primitive::<Float64Type>().iter().map(|v| v.unwrap_or(f64::NAN)).collect())
}

/// The day of an instant in seconds since 1970.
fn date(seconds: f64) -> String {
    let text = arrow::array::TimestampSecondArray::from(vec![seconds as i64]);
    let text = ArrayFormatter::try_new(&text, &FormatOptions::default()).map(|f| f.value(0).to_string()).unwrap_or_default();
    text.split('T').next().unwrap_or_default().to_string()
}

/// The one variable of an answer in array form as a field with north above.
fn raster(answer: &Dataset) -> Result<Raster, Failure> {
    let variable = answer.variables.first().ok_or_else(|| "the answer has no variable".to_string())?;
    // An axis of one cell (a period that holds one scene) takes nothing away from a map.
    let long: Vec<(usize, &String)> = variable.values.shape().iter().copied().zip(&variable.dims).filter(|(size, _)| *size != 1).collect();
    let [(rows, y), (columns, x)] = long.as_slice() else {
        return Err(format!("the answer has {} dimensions and not two", long.len()).into());
    };
    let values = variable.values.to_f64().ok_or_else(|| "the answer is text".to_string())?;
    let raster = Raster { rows: *rows, columns: *columns, values: values.iter().copied().collect() };
    let coordinates = |name: &str| answer.axis(name).and_then(|axis: &Axis| axis.coordinates.as_ref()).map_or(Ok(vec![]), numbers);
    let raster = raster.north_up(&coordinates(y)?);
    let role = answer.axis(x).and_then(|axis| axis.role.as_deref().map(str::to_ascii_lowercase));
    Ok(if role.as_deref() == Some("longitude") || x.starts_with("lon") { raster.centred(&coordinates(x)?) } else { raster })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_folded_at_spaces() {
        assert_eq!(folded("  CubeExec: a=1, b=2, c=3", 16), ["  CubeExec: a=1,", "      b=2, c=3"]);
        assert_eq!(folded("short", 16), ["short"]);
        assert_eq!(folded("averyveryverylongword", 5), ["averyveryverylongword"]);
    }

    #[test]
    fn instants_are_written_as_days() {
        assert_eq!(date(1_689_422_400.0), "2023-07-15");
    }
}
