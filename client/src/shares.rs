//! Arrays from several places at once: the tiles of each endpoint are read by a task of its own, in any order. A node that cannot
//! be reached, or fails in the middle, costs time and no answer: its share is read again from the server, under the same ticket.
//! Tiles carry their place, so those that had come from the node are put there once more.

use std::sync::Arc;
use std::time::Duration;

use arrow::record_batch::RecordBatch;
use arrow_flight::FlightEndpoint;
use futures::{Stream, StreamExt, stream};
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::connection::{Connection, Form};
use crate::{Error, Result};

/// Batches that wait to be put in their places; with 4 MiB a batch some 32 MB.
const AHEAD: usize = 8;

/// How long a node may keep tiles back that are waited for: it answers signs of life, and nobody else would notice.
const STALLED: Duration = Duration::from_secs(60);

/// What comes: a batch, or `None` at the end of a share.
type Come = Result<Option<RecordBatch>>;

/// The batches of all endpoints; an error when a share comes neither from its node nor from the server. Dropping it cancels them.
pub(crate) fn batches(server: &Connection, endpoints: Vec<FlightEndpoint>) -> impl Stream<Item = Result<RecordBatch>> + Send + 'static {
    let (sender, come) = mpsc::channel(AHEAD);
    // What nodes fail to give is asked of the server one share after the other: it has one's work for all of its cores.
    let of_server = Arc::new(Mutex::new(()));
    let left = endpoints.len();
    let mut tasks = JoinSet::new();
    for endpoint in endpoints {
        tasks.spawn(read(server.clone(), endpoint, sender.clone(), of_server.clone()));
    }
    drop(sender);
    stream::unfold(Some((come, left, tasks)), |state| async {
        let (mut come, mut left, tasks) = state?;
        while left > 0 {
            match come.recv().await {
                Some(Ok(Some(batch))) => return Some((Ok(batch), Some((come, left, tasks)))),
                Some(Ok(None)) => left -= 1,
                Some(Err(error)) => return Some((Err(error), None)),
                None => return Some((Err(Error::answer("a share ended early")), None)),
            }
        }
        None
    })
}

/// One share: from its node, or else from the server.
async fn read(server: Connection, endpoint: FlightEndpoint, sender: mpsc::Sender<Come>, of_server: Arc<Mutex<()>>) {
    let mut failed = None;
    for url in server.nodes_of(&endpoint) {
        match from_node(&server, url, &endpoint, &sender).await {
            Ok(()) => return end(&sender, Ok(None)).await,
            Err(error) => failed = Some(error),
        }
    }
    let ended = match failed {
        Some(error) if !server.has(&endpoint) => Err(error),
        _ => {
            let _one = of_server.lock().await;
            // It watches its own time.
            from(&server, &endpoint, &sender, Duration::MAX).await
        }
    };
    end(&sender, ended.map(|()| None)).await;
}

async fn end(sender: &mpsc::Sender<Come>, ended: Come) {
    // Nobody is there when the answer is not wanted any more.
    let _ = sender.send(ended).await;
}

/// A share from a node. The server has the last word on errors, also on that of a query that fails.
async fn from_node(server: &Connection, url: &str, endpoint: &FlightEndpoint, sender: &mpsc::Sender<Come>) -> Result<()> {
    let tried = match server.node(url).await {
        Ok(node) => from(&node, endpoint, sender, STALLED).await,
        Err(error) => Err(error),
    };
    if let Err(Error::Connection { .. }) = &tried {
        server.cannot_reach(url);
    }
    tried
}

async fn from(place: &Connection, endpoint: &FlightEndpoint, sender: &mpsc::Sender<Come>, patience: Duration) -> Result<()> {
    let stalled = |_| Error::connection(format!("no tile came for {} s", patience.as_secs()));
    let ticket = endpoint.ticket.clone().ok_or_else(|| Error::answer("an endpoint has no ticket"))?;
    let mut tiles = timeout(patience, place.do_get(ticket, Form::Array)).await.map_err(stalled)??.into_stream().boxed();
    while let Some(batch) = timeout(patience, tiles.next()).await.map_err(stalled)? {
        if sender.send(Ok(Some(batch?))).await.is_err() {
            break;
        }
    }
    Ok(())
}
