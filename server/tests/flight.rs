//! The Flight SQL door from outside, on queries that need no files: answers, errors, limits, cancellation, parameters, metadata.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Int64Type};
use arrow_flight::FlightInfo;
use arrow_flight::error::FlightError;
use arrow_flight::sql::client::FlightSqlServiceClient;
use arrow_flight::sql::{CommandGetTables, CommandGetXdbcTypeInfo, SqlInfo};
use futures::{StreamExt, TryStreamExt};
use graticule_client::Client;
use graticule_server::config::{IN_MEMORY, Settings};
use graticule_server::database::Database;
use graticule_server::flight::server::FlightServer;
use graticule_server::units::Span;
use graticule_storage::object::Objects;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};

/// A query that takes longer than anybody waits, and gives many rows.
const ENDLESS: &str = "SELECT a.n FROM generate_series(1, 100000000000) AS a(n)";
/// A query that takes as long and gives one row.
const LONG: &str = "SELECT sum(a.n) FROM generate_series(1, 100000000000) AS a(n)";

struct Server {
    url: String,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    ended: tokio::task::JoinHandle<Result<(), String>>,
}

impl Server {
    async fn start(settings: Settings) -> Server {
        let settings = Settings { listen: "127.0.0.1:0".into(), data_dir: IN_MEMORY.into(), ..settings };
        let database = Arc::new(Database::open(&settings, Objects::anywhere()).await.unwrap());
        let server = FlightServer::bind(&settings, database).await.unwrap();
        let url = format!("grpc://{}", server.address());
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let ended = tokio::spawn(server.run(async {
            let _ = stopped.await;
        }));
        Server { url, stop: Some(stop), ended }
    }

    async fn default() -> Server {
        Server::start(Settings { max_concurrent: 4, ..Settings::default() }).await
    }

    async fn client(&self) -> Client {
        Client::connect(&self.url).await.unwrap()
    }

    async fn flight(&self) -> FlightSqlServiceClient<Channel> {
        let endpoint = Endpoint::from_shared(self.url.replace("grpc://", "http://")).unwrap();
        FlightSqlServiceClient::new(endpoint.connect().await.unwrap())
    }
}

async fn rows(client: &mut FlightSqlServiceClient<Channel>, info: FlightInfo) -> Result<Vec<RecordBatch>, FlightError> {
    let ticket = info.endpoint[0].ticket.clone().unwrap();
    client.do_get(ticket).await?.try_collect().await
}

fn code(error: &graticule_client::Error) -> Code {
    match error {
        graticule_client::Error::Query { code, .. } => *code,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_rows_arrive_once_and_in_messages_that_any_client_takes() {
    let server = Server::default().await;
    // The plain client of arrow-flight refuses messages over 4 MiB.
    let mut client = server.flight().await;
    let info = client.execute("SELECT n, n * 2 AS m FROM generate_series(1, 3000000) AS t(n)".into(), None).await.unwrap();
    let batches = rows(&mut client, info).await.unwrap();
    let count: usize = batches.iter().map(RecordBatch::num_rows).sum();
    let sum: i64 = batches.iter().flat_map(|b| b.column(0).as_primitive::<Int64Type>().values().iter()).sum();
    assert_eq!((count, sum), (3_000_000, 3_000_000 * 3_000_001 / 2));
    assert!((12..=30).contains(&batches.len()), "48 MB in batches of about 4 MiB, not in {}", batches.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_say_whose_fault_it_is_and_where() {
    let server = Server::default().await;
    let mut client = server.client().await;
    let error = client.sql("SELECT\n  nope FROM generate_series(1, 2) AS t(n)").await.unwrap_err();
    let graticule_client::Error::Query { code, line, column, message } = error else { panic!("{error:?}") };
    assert_eq!((code, line, column), (Code::InvalidArgument, Some(2), Some(3)), "{message}");
    let error =
        client.sql("SELECT CAST(concat('x', n) AS BIGINT) FROM generate_series(1, 5) AS t(n)").await.unwrap().collect().await.unwrap_err();
    assert_eq!(self::code(&error), Code::InvalidArgument, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_takes_too_long_is_ended_with_its_limit() {
    let limit = Span(Duration::from_millis(300));
    let server = Server::start(Settings { query_timeout: limit, max_concurrent: 1, ..Settings::default() }).await;
    let begun = Instant::now();
    let error = server.client().await.sql(LONG).await.unwrap().collect().await.unwrap_err();
    assert_eq!(code(&error), Code::DeadlineExceeded);
    assert!(error.to_string().contains("300ms"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_frees_its_place() {
    let server = Server::start(Settings { max_concurrent: 1, ..Settings::default() }).await;
    let mut client = server.client().await;
    let mut endless = client.sql(ENDLESS).await.unwrap();
    assert!(endless.next().await.unwrap().is_ok());
    drop(endless);
    let next = async { client.sql("SELECT 1").await.unwrap().collect().await };
    let batches = tokio::time::timeout(Duration::from_secs(10), next).await.expect("the place was not freed").unwrap();
    assert_eq!(batches[0].num_rows(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_client_holds_the_query_back() {
    let server = Server::default().await;
    let mut client = server.client().await;
    let mut endless = client.sql(ENDLESS).await.unwrap();
    let first = endless.next().await.unwrap().unwrap();
    // What windows and queues hold is there at once; nothing more is computed while nobody reads.
    tokio::time::sleep(Duration::from_millis(800)).await;
    let mut ahead = first.num_rows();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(20) {
        ahead += endless.next().await.unwrap().unwrap().num_rows();
    }
    assert!(ahead < 40_000_000, "{ahead} rows, {} MB, were computed ahead", ahead * 8 / 1_000_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_is_cancelled_by_its_flight_info() {
    let server = Server::default().await;
    let mut client = server.flight().await;
    let info = client.execute(LONG.into(), None).await.unwrap();
    let mut other = server.flight().await;
    let fetched = tokio::spawn({
        let info = info.clone();
        async move { rows(&mut other, info).await }
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    let request = arrow_flight::CancelFlightInfoRequest::new(info.clone());
    let body = prost::Message::encode_to_vec(&request);
    let action = arrow_flight::Action { r#type: "CancelFlightInfo".into(), body: body.into() };
    client.inner_mut().do_action(action).await.unwrap();
    let FlightError::Tonic(status) = fetched.await.unwrap().unwrap_err() else { panic!("not a status") };
    assert_eq!(status.code(), Code::Cancelled);
    // Its ticket is gone with it.
    let FlightError::Tonic(status) = rows(&mut client, info).await.unwrap_err() else { panic!("not a status") };
    assert_eq!(status.code(), Code::NotFound);
    assert!(status.message().contains("run the query again"), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_are_bound_row_by_row() {
    let server = Server::default().await;
    let mut client = server.flight().await;
    let mut statement = client.prepare("SELECT CAST($1 AS BIGINT) * 2 AS twice".into(), None).await.unwrap();
    assert_eq!(statement.dataset_schema().unwrap().field(0).data_type(), &DataType::Int64);
    assert_eq!(statement.parameter_schema().unwrap().fields().len(), 1);
    let values = RecordBatch::try_from_iter([("p", Arc::new(Int64Array::from(vec![21, 4])) as _)]).unwrap();
    statement.set_parameters(values).unwrap();
    let info = statement.execute().await.unwrap();
    let batches = rows(&mut client, info).await.unwrap();
    let twice: Vec<i64> = batches.iter().flat_map(|b| b.column(0).as_primitive::<Int64Type>().values().to_vec()).collect();
    assert_eq!(twice, [42, 8]);
    statement.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_describes_itself() {
    let server = Server::default().await;
    let mut client = server.flight().await;
    for info in [
        client.get_catalogs().await.unwrap(),
        client.get_db_schemas(Default::default()).await.unwrap(),
        client.get_table_types().await.unwrap(),
        client.get_sql_info(vec![SqlInfo::FlightSqlServerName]).await.unwrap(),
        client.get_xdbc_type_info(CommandGetXdbcTypeInfo { data_type: None }).await.unwrap(),
    ] {
        let promised = info.clone().try_decode_schema().unwrap();
        let batches = rows(&mut client, info).await.unwrap();
        assert!(batches[0].num_rows() >= 1);
        assert_eq!(batches[0].schema().as_ref(), &promised);
    }
    let tables = client.get_tables(CommandGetTables { include_schema: true, ..Default::default() }).await.unwrap();
    assert!(rows(&mut client, tables).await.unwrap().iter().all(|b| b.num_columns() == 5));
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_lets_running_queries_end_and_takes_no_new_ones() {
    let mut server = Server::default().await;
    let mut client = server.client().await;
    let mut running = client.sql("SELECT n FROM generate_series(1, 20000000) AS t(n)").await.unwrap();
    let mut count = running.next().await.unwrap().unwrap().num_rows();
    server.stop.take().unwrap().send(()).unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    // Of a connection of its own: nothing comes between the running query and its answer.
    let taken = match Client::connect(&server.url).await {
        Ok(mut other) => other.sql("SELECT 1").await.is_ok(),
        Err(_) => false,
    };
    assert!(!taken, "a new query was taken");
    while let Some(batch) = running.next().await {
        count += batch.unwrap().num_rows();
    }
    assert_eq!(count, 20_000_000);
    drop((running, client));
    server.ended.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use_is_one_readable_line() {
    let first = Server::default().await;
    let settings =
        Settings { listen: first.url.replace("grpc://", ""), data_dir: IN_MEMORY.into(), max_concurrent: 1, ..Settings::default() };
    let database = Arc::new(Database::open(&settings, Objects::anywhere()).await.unwrap());
    let error = FlightServer::bind(&settings, database).await.err().unwrap();
    assert!(error.contains("in use") && !error.contains('\n'), "{error}");
}
