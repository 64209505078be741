//! `SHOW NODES`: a table function, so that nodes can be filtered and counted like anything else.

use std::sync::{Arc, Weak};
use std::time::Instant;

use datafusion::arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray, UInt32Array, UInt64Array};
use datafusion::catalog::{MemTable, TableFunctionArgs, TableFunctionImpl, TableProvider};
use datafusion::common::plan_err;
use datafusion::error::Result;

use super::Pool;
use super::membership::{Member, State};
use super::protocol::Hello;

/// Its name.
pub const FUNCTION: &str = "nodes";

/// What `SHOW NODES` stands for; `None` for other statements.
pub fn statement(text: &str) -> Option<String> {
    let mut words = text.trim().trim_end_matches(';').split_whitespace();
    let shows = words.next()?.eq_ignore_ascii_case("show") && words.next()?.eq_ignore_ascii_case("nodes") && words.next().is_none();
    shows.then(|| format!("SELECT * FROM {FUNCTION}()"))
}

/// The nodes of a pool as a table.
pub struct Nodes {
    /// The engine that the pool holds holds this.
    pool: Weak<Pool>,
}

impl std::fmt::Debug for Nodes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Nodes")
    }
}

impl Nodes {
    /// Of this pool.
    pub fn of(pool: &Arc<Pool>) -> Nodes {
        Nodes { pool: Arc::downgrade(pool) }
    }
}

impl TableFunctionImpl for Nodes {
    fn call_with_args(&self, arguments: TableFunctionArgs) -> Result<Arc<dyn TableProvider>> {
        if !arguments.exprs().is_empty() {
            return plan_err!("{FUNCTION}() takes no arguments");
        }
        let Some(pool) = self.pool.upgrade() else { return plan_err!("the pool is closed") };
        let batch = pool.table()?;
        Ok(Arc::new(MemTable::try_new(batch.schema(), vec![vec![batch]])?))
    }
}

/// A node, whether it gets work, seconds since it was heard of, and why it failed last.
type Row = (Hello, State, f64, String);

impl Pool {
    /// The server itself while it is alone: a pool of one, in process.
    fn myself(&self) -> Hello {
        let seen = self.engine.reader().statistics();
        Hello {
            url: "in process".into(),
            cores: self.engine.reader().cpu().current_num_threads() as u32,
            cached: seen.cache_used,
            chunks_read: seen.chunks_read,
            chunks_cached: seen.chunks_cached,
            ..Hello::default()
        }
    }

    /// How many nodes are in each state: for metrics.
    pub fn states(&self) -> Vec<(String, f64)> {
        let (now, members) = (Instant::now(), self.members.lock());
        let count = |state: State| members.all().filter(|member| member.state(now) == state).count() as f64;
        [State::Ready, State::Draining, State::Quarantined, State::Silent].map(|state| (state.name().to_owned(), count(state))).to_vec()
    }

    fn table(&self) -> Result<RecordBatch> {
        let now = Instant::now();
        let members = self.members.lock();
        let mut rows: Vec<Row> = members
            .all()
            .map(|m: &Member| (m.hello.clone(), m.state(now), now.saturating_duration_since(m.seen).as_secs_f64(), m.reason.clone()))
            .collect();
        drop(members);
        if rows.is_empty() {
            rows.push((self.myself(), State::Ready, 0.0, String::new()));
        }
        let text = |f: &dyn Fn(&Row) -> String| -> ArrayRef { Arc::new(StringArray::from_iter_values(rows.iter().map(f))) };
        let numbers = |f: &dyn Fn(&Hello) -> u64| -> ArrayRef { Arc::new(UInt64Array::from_iter_values(rows.iter().map(|row| f(&row.0)))) };
        let failure = rows.iter().map(|row| (!row.3.is_empty()).then(|| row.3.clone()));
        let columns: Vec<(&str, ArrayRef, bool)> = vec![
            ("address", text(&|row| row.0.url.trim_start_matches("http://").trim_end_matches('/').to_owned()), false),
            ("state", text(&|row| row.1.name().to_owned()), false),
            ("tasks", numbers(&|hello| hello.running), false),
            ("cores", Arc::new(UInt32Array::from_iter_values(rows.iter().map(|row| row.0.cores))), false),
            ("memory_bytes", numbers(&|hello| hello.memory), false),
            ("cached_bytes", numbers(&|hello| hello.cached), false),
            ("cache_bytes", numbers(&|hello| hello.cache), false),
            ("chunks_read", numbers(&|hello| hello.chunks_read), false),
            ("chunks_from_cache", numbers(&|hello| hello.chunks_cached), false),
            ("sent_bytes", numbers(&|hello| hello.sent), false),
            ("seen_seconds_ago", Arc::new(Float64Array::from_iter_values(rows.iter().map(|row| row.2))), false),
            ("last_failure", Arc::new(failure.collect::<StringArray>()), true),
        ];
        Ok(RecordBatch::try_from_iter_with_nullable(columns)?)
    }
}

#[cfg(test)]
mod tests {
    use super::statement;

    #[test]
    fn only_the_statement_itself_is_taken() {
        for text in ["SHOW NODES", " show\n nodes ; ", "Show Nodes;"] {
            assert!(statement(text).is_some(), "{text}");
        }
        for text in ["SHOW NODES OF x", "SELECT 'SHOW NODES'", "SHOW", "SHOW CUBES", ""] {
            assert!(statement(text).is_none(), "{text}");
        }
    }
}
