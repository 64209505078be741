//! Room: client. Asks a Graticule server over Arrow Flight SQL: rows as record batches, arrays as `ndarray`s. It links no
//! engine. `connection` speaks Flight, `value` holds parameters, `dataset` puts array answers together.
//!
//! ```no_run
//! # async fn example() -> Result<(), graticule_client::Error> {
//! let mut db = graticule_client::Client::connect("grpc://127.0.0.1:8815").await?;
//! let batches = db.sql("SELECT time, avg(t2m) FROM era5 GROUP BY time").await?.collect().await?;
//! let warm = db.sql_with("SELECT count(*) FROM era5 WHERE t2m > $1", &[303.15.into()]).await?.collect().await?;
//! # Ok(())
//! # }
//! ```

mod batches;
mod connection;
mod error;
mod value;
pub mod wire;

use arrow::record_batch::RecordBatch;

pub use batches::Batches;
pub use error::Error;
pub use value::Value;

use connection::{Connection, Form};

/// Result of a call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A connection to a server. Cloning is cheap and shares the connection.
#[derive(Debug, Clone)]
pub struct Client {
    connection: Connection,
}

impl Client {
    /// Connects to `grpc://host:port` (also `grpc+tcp://` and `http://`); fails when nobody answers there.
    pub async fn connect(url: &str) -> Result<Client> {
        Ok(Client { connection: Connection::open(url).await? })
    }

    /// Runs a query and streams its rows.
    pub async fn sql(&mut self, text: &str) -> Result<Batches> {
        self.sql_with(text, &[]).await
    }

    /// Runs a query with values for `$1`, `$2`, ... and streams its rows.
    pub async fn sql_with(&mut self, text: &str, parameters: &[Value]) -> Result<Batches> {
        let (connection, info) = self.connection.query(text, parameters, Form::Rows).await?;
        connection.fetch(info, Form::Rows).await
    }

    /// Runs a statement that returns nothing (`CREATE CUBE ...`); the number of rows that the server says it affected,
    /// where it says so.
    pub async fn execute(&mut self, statement: &str) -> Result<Option<u64>> {
        self.connection.update(statement).await
    }

    /// The cubes of the server: what `SHOW CUBES` answers.
    pub async fn cubes(&mut self) -> Result<Vec<RecordBatch>> {
        self.sql("SHOW CUBES").await?.collect().await
    }
}
