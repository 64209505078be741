//! Room: client. Asks a Graticule server over Arrow Flight SQL: rows as record batches, arrays as `ndarray`s. It links no
//! engine. `channel` connects, with TLS where the URL says so, as `options` say; `connection` speaks Flight, `value` holds
//! parameters; array answers are fetched from nodes by `shares`, described by `layout`, put together by `assemble` and held by `dataset`.
//!
//! ```no_run
//! # async fn example() -> Result<(), graticule_client::Error> {
//! let mut db = graticule_client::Client::connect("grpc://127.0.0.1:8815").await?;
//! let batches = db.sql("SELECT time, avg(t2m) FROM era5 GROUP BY time").await?.collect().await?;
//! let warm = db.sql_with("SELECT count(*) FROM era5 WHERE t2m > $1", &[303.15.into()]).await?.collect().await?;
//! let map = db.array("SELECT avg(t2m) AS t FROM era5 GROUP BY DIMS EXCEPT (time)").await?;
//! let celsius = map.variable("t").and_then(|t| t.values.to_f64()).map(|t| t - 273.15);
//! # Ok(())
//! # }
//! ```

mod assemble;
mod batches;
mod channel;
mod connection;
mod dataset;
mod error;
mod layout;
mod options;
mod shares;
mod value;
pub mod wire;

use arrow::record_batch::RecordBatch;
use futures::TryStreamExt;

pub use batches::Batches;
pub use channel::{channel, is_secure, lazy_channel};
pub use dataset::{Axis, Dataset, NOT_A_TIME, Scalar, Values, Variable};
pub use error::Error;
pub use options::{Options, TLS_CA_VARIABLE, TOKEN_VARIABLE};
pub use value::Value;

use assemble::Assembly;
use connection::{Connection, Form};

/// Result of a call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A connection to a server. Cloning is cheap and shares the connection.
#[derive(Debug, Clone)]
pub struct Client {
    connection: Connection,
}

impl Client {
    /// Connects to `grpc://host:port` (also `grpc+tcp://` and `http://`), or over TLS to `grpcs://host:port` (`grpc+tls://`,
    /// `https://`), with the token and the authorities that the environment names ([`Options::from_environment`]). Fails when
    /// nobody answers there.
    pub async fn connect(url: &str) -> Result<Client> {
        Client::connect_with(url, &Options::from_environment()?).await
    }

    /// Connects as the options say; the environment is not looked at.
    pub async fn connect_with(url: &str, options: &Options) -> Result<Client> {
        Ok(Client { connection: Connection::open(url, options).await? })
    }

    /// Runs a query and streams its rows.
    pub async fn sql(&mut self, text: &str) -> Result<Batches> {
        self.sql_with(text, &[]).await
    }

    /// Runs a query with values for `$1`, `$2`, ... and streams its rows.
    pub async fn sql_with(&mut self, text: &str, parameters: &[Value]) -> Result<Batches> {
        let (connection, text, parameters) = (self.connection.clone(), text.to_owned(), parameters.to_vec());
        let ask = move || connection.clone().ask(text.clone(), parameters.clone());
        match ask().await {
            Err(error) if error.again_is_safe() => ask().await,
            answer => Ok(answer?.or_again(ask)),
        }
    }

    /// Runs a query and puts its arrays together, with axes, units and CRS.
    pub async fn array(&mut self, text: &str) -> Result<Dataset> {
        self.array_with(text, &[]).await
    }

    /// Like [`Client::array`], with values for `$1`, `$2`, ...
    pub async fn array_with(&mut self, text: &str, parameters: &[Value]) -> Result<Dataset> {
        match self.assembled(text, parameters).await {
            Err(error) if error.again_is_safe() => self.assembled(text, parameters).await,
            answer => answer,
        }
    }

    async fn assembled(&self, text: &str, parameters: &[Value]) -> Result<Dataset> {
        let info = self.connection.query(text, parameters, Form::Array).await?;
        let mut tiles = self.connection.fetch(info, Form::Array).await?;
        let mut assembly = Assembly::new(layout::parse(&tiles.schema())?)?;
        while let Some(batch) = tiles.try_next().await? {
            assembly.add(&batch)?;
        }
        Ok(assembly.finish())
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
