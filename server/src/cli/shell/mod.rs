//! `graticule shell`: statements typed one after the other, with history, completion and timings.

mod completion;

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use rustyline::config::Configurer;
use rustyline::error::ReadlineError;
use rustyline::history::DefaultHistory;
use rustyline::{CompletionType, Config, Editor};

use self::completion::{Assistant, Names};
use super::Failure;
use super::lexis::statements;
use super::output::{self, Format};
use super::paint::Depth;
use super::source::{Refusal, Source, SourceArguments};
use crate::units::elapsed;

/// What `shell` takes.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    source: SourceArguments,
}

/// Rows of an answer that are shown unless `\rows` says otherwise.
const ROWS_SHOWN: u64 = 100;

const HELP: &str = "\
Statements end with ; and may go over several lines. Tab completes, Ctrl-C ends a running query, Ctrl-D leaves.
  \\d            the cubes            (SHOW CUBES)
  \\d NAME       one cube             (DESCRIBE CUBE name)
  \\rows N       show at most N rows  (0: all)
  \\format F     table, csv or json
  \\timing       show times, or not
  \\?            this help
  \\q            leave
The array dialect in one line:
  SELECT avg(t2m) FROM era5[time('2020'), lat(40:60)] GROUP BY DIMS EXCEPT (time);";

struct Shell {
    source: Source,
    format: Format,
    rows: u64,
    timing: bool,
    failed: bool,
}

/// What to do after a line.
#[derive(PartialEq, Eq)]
enum Next {
    Line,
    Leave,
}

/// Reads and runs statements until the end of input.
pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let source = Source::open(&arguments.source).await?;
    let mut shell = Shell { source, format: Format::Table, rows: ROWS_SHOWN, timing: true, failed: false };
    if std::io::stdin().is_terminal() { shell.talk().await } else { shell.script().await }
}

/// Where the history is kept; `None` for a user without a home.
fn history_file() -> Option<PathBuf> {
    directories::ProjectDirs::from("", "", "graticule").map(|dirs| dirs.data_local_dir().join("history"))
}

impl Shell {
    /// With somebody at the terminal.
    async fn talk(&mut self) -> Result<(), Failure> {
        let config = Config::builder().auto_add_history(false).history_ignore_space(true).completion_type(CompletionType::List).build();
        let mut editor: Editor<Assistant, DefaultHistory> = Editor::with_config(config).map_err(|e| format!("no terminal: {e}"))?;
        editor.set_helper(Some(Assistant::new(self.names().await, Depth::of_stdout())));
        editor.set_max_history_size(10_000).map_err(|e| e.to_string())?;
        let history = history_file();
        if let Some(file) = &history {
            // The first time there is none.
            let _ = editor.load_history(file);
        }
        println!("Graticule {}. \\? shows what can be typed, \\q leaves.", env!("CARGO_PKG_VERSION"));
        loop {
            let text = match editor.readline("graticule> ") {
                Ok(text) => text,
                Err(ReadlineError::Interrupted) => continue,
                Err(ReadlineError::Eof) => break,
                Err(e) => return Err(format!("cannot read what is typed: {e}").into()),
            };
            if !text.trim().is_empty() {
                let _ = editor.add_history_entry(text.trim());
            }
            let before = self.source.changes();
            if self.line(&text).await? == Next::Leave {
                break;
            }
            if self.source.changes() != before {
                let names = self.names().await;
                if let Some(assistant) = editor.helper_mut() {
                    assistant.know(names);
                }
            }
        }
        if let Some(file) = &history {
            if let Some(folder) = file.parent() {
                let _ = std::fs::create_dir_all(folder);
            }
            if let Err(e) = editor.save_history(file) {
                tracing::warn!("the history was not kept: {}: {e}", file.display());
            }
        }
        Ok(())
    }

    /// With a file or a pipe as input: no prompt, no times, all rows; an error where anything failed.
    async fn script(&mut self) -> Result<(), Failure> {
        (self.rows, self.timing) = (u64::MAX, false);
        let mut text = String::new();
        for line in std::io::stdin().lines() {
            let line = line?;
            if text.trim().is_empty() && line.trim_start().starts_with('\\') {
                if self.line(&line).await? == Next::Leave {
                    text.clear();
                    break;
                }
                continue;
            }
            text.push_str(&line);
            text.push('\n');
            if statements(&text).1 && self.line(&std::mem::take(&mut text)).await? == Next::Leave {
                break;
            }
        }
        // The last statement may leave out its semicolon.
        self.line(&text).await?;
        if self.failed { Err(Failure::Quiet) } else { Ok(()) }
    }

    /// One line, or several lines that make statements.
    async fn line(&mut self, text: &str) -> Result<Next, Failure> {
        let text = text.trim();
        if let Some(command) = text.strip_prefix('\\') {
            return self.command(command).await;
        }
        match text.trim_end_matches(';').trim().to_ascii_lowercase().as_str() {
            "help" => {
                println!("{HELP}");
                return Ok(Next::Line);
            }
            "quit" | "exit" => return Ok(Next::Leave),
            _ => {}
        }
        for statement in statements(text).0 {
            self.statement(statement).await?;
        }
        Ok(Next::Line)
    }

    async fn command(&mut self, command: &str) -> Result<Next, Failure> {
        let (name, rest) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
        let rest = rest.trim().trim_end_matches(';');
        match (name.trim_end_matches(';'), rest) {
            ("q", _) => return Ok(Next::Leave),
            ("d", "") => self.statement("SHOW CUBES").await?,
            ("d", cube) => self.statement(&format!("DESCRIBE CUBE {cube}")).await?,
            ("?" | "h" | "help", _) => println!("{HELP}"),
            ("timing", _) => {
                self.timing = !self.timing;
                println!("times are {}", if self.timing { "shown" } else { "not shown" });
            }
            ("rows", count) => match count.parse::<u64>() {
                Ok(count) => self.rows = if count == 0 { u64::MAX } else { count },
                Err(_) => self.refuse("\\rows wants a number; 0 shows all"),
            },
            ("format", format) => match <Format as clap::ValueEnum>::from_str(format, true) {
                Ok(Format::Arrow) => self.refuse("the Arrow format is for files: graticule sql --format arrow --output FILE"),
                Ok(format) => self.format = format,
                Err(_) => self.refuse("\\format wants table, csv or json"),
            },
            (other, _) => self.refuse(&format!("\\{other} is not known; \\? shows what is")),
        }
        Ok(Next::Line)
    }

    fn refuse(&mut self, what: &str) {
        self.failed = true;
        eprintln!("{what}");
    }

    /// Runs one statement and shows its answer; Ctrl-C ends it and not the shell.
    async fn statement(&mut self, text: &str) -> Result<(), Failure> {
        let begun = Instant::now();
        let (format, rows) = (self.format, self.rows);
        let work = async {
            let answer = self.source.sql(text).await?;
            Ok::<_, Shown>(output::write(answer, format, rows, &mut std::io::stdout()).await?)
        };
        let ended = tokio::select! {
            ended = work => ended,
            _ = tokio::signal::ctrl_c() => Err(Shown::Refusal(Refusal::from("ended by Ctrl-C".to_string()))),
        };
        match ended {
            Ok(written) => {
                if self.timing {
                    println!("{}", summary(written, begun.elapsed()));
                }
            }
            Err(Shown::Failure(Failure::Quiet)) => return Err(Failure::Quiet),
            Err(Shown::Failure(failure)) => self.refuse(&format!("error: {failure}")),
            Err(Shown::Refusal(refusal)) => self.refuse(&format!("error: {}", refusal.message)),
        }
        std::io::stdout().flush()?;
        Ok(())
    }

    /// Cubes and columns, for completion. What cannot be asked is not completed.
    async fn names(&mut self) -> Names {
        let work = async { Names::ask(&mut self.source).await };
        tokio::time::timeout(Duration::from_secs(5), work).await.unwrap_or_default()
    }
}

/// How a statement ended when it did not end well.
enum Shown {
    Refusal(Refusal),
    Failure(Failure),
}

impl From<Refusal> for Shown {
    fn from(refusal: Refusal) -> Self {
        Shown::Refusal(refusal)
    }
}

impl From<Failure> for Shown {
    fn from(failure: Failure) -> Self {
        Shown::Failure(failure)
    }
}

fn summary(written: output::Written, time: Duration) -> String {
    let rows = if written.rows == 1 { "row" } else { "rows" };
    let more = if written.complete { "" } else { ", more follow (\\rows 0 shows all)" };
    format!("({} {rows}{more}, {})", written.rows, elapsed(time))
}
