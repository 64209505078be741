//! What a node knows of its server: a mirror of the catalog, brought up to date when a query needs it, and the plans of queries
//! that run, made here from their recipes.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow_flight::Action;
use arrow_flight::flight_service_client::FlightServiceClient;
use datafusion::error::DataFusionError;
use futures::TryStreamExt;
use graticule_query::{Engine, SharedPlan};
use graticule_storage::catalog::Outline;
use parking_lot::Mutex;
use prost::Message;
use tokio::sync::OnceCell;
use tonic::codegen::http::HeaderMap;
use tonic::metadata::MetadataMap;
use tonic::transport::Channel;
use tonic::{Request, Status};
use uuid::Uuid;

use crate::pool::channel::patient;
use crate::pool::credentials::Credentials;
use crate::pool::failure::Failure;
use crate::pool::protocol::{
    BULK, BulkMessage, GOODBYE, HELLO, Hello, OUTLINE, OutlineMessage, RECIPE, RECORDS, RecipeMessage, Records, Welcome,
};

/// Plans kept: parts of one query come one after the other, soon.
const PLANS: usize = 64;

/// A plan that is made once, by whoever asks first.
type Made = Arc<OnceCell<Arc<SharedPlan>>>;

/// The server as a node sees it.
pub struct Mirror {
    server: FlightServiceClient<Channel>,
    credentials: Credentials,
    engine: Engine,
    /// Held while the catalog is brought up to date.
    following: tokio::sync::Mutex<()>,
    plans: Mutex<VecDeque<(Uuid, Made)>>,
}

/// Why a plan could not be made.
enum Wrong {
    Outdated,
    Told(String),
}

impl From<Status> for Wrong {
    fn from(status: Status) -> Self {
        Wrong::Told(format!("the server does not answer it: {}", status.message()))
    }
}

impl Mirror {
    /// Of the server at this URL; connects when first asked.
    pub fn new(server: &str, credentials: Credentials, engine: Engine) -> Result<Mirror, String> {
        let server = FlightServiceClient::new(credentials.channel(server, patient)?).max_decoding_message_size(usize::MAX);
        Ok(Mirror { server, credentials, engine, following: Default::default(), plans: Default::default() })
    }

    async fn ask(&self, action: &str, body: Vec<u8>) -> Result<Vec<arrow_flight::Result>, Status> {
        let mut headers = HeaderMap::new();
        self.credentials.put(&mut headers);
        let mut request = Request::new(Action { r#type: action.to_owned(), body: body.into() });
        *request.metadata_mut() = MetadataMap::from_headers(headers);
        self.server.clone().do_action(request).await?.into_inner().try_collect().await
    }

    async fn ask_one<T: Message + Default>(&self, action: &str, body: Vec<u8>) -> Result<T, Status> {
        let results = self.ask(action, body).await?;
        let first = results.first().ok_or_else(|| Status::internal(format!("{action}: no answer")))?;
        T::decode(first.body.as_ref()).map_err(|e| Status::internal(format!("{action}: {e}")))
    }

    /// Says that this node is there.
    pub async fn hello(&self, hello: &Hello) -> Result<Welcome, Status> {
        self.ask_one(HELLO, hello.encode_to_vec()).await
    }

    /// Says that this node leaves.
    pub async fn goodbye(&self, hello: &Hello) -> Result<(), Status> {
        self.ask(GOODBYE, hello.encode_to_vec()).await.map(drop)
    }

    /// Brings the catalog to where the server's was when it planned.
    async fn follow(&self, wanted: u64) -> Result<(), Wrong> {
        let catalog = self.engine.catalog();
        let _one = self.following.lock().await;
        if catalog.outline().fingerprint() == wanted {
            return Ok(());
        }
        let outline = Outline::from(self.ask_one::<OutlineMessage>(OUTLINE, vec![]).await?);
        let mut fetched = vec![];
        for name in catalog.lacking(&outline) {
            let mut records = vec![];
            for result in self.ask(RECORDS, name.into_bytes()).await? {
                let message = Records::decode(result.body.as_ref()).map_err(|e| Wrong::Told(e.to_string()))?;
                records.extend(message.keys.into_iter().zip(message.values));
            }
            fetched.push(records);
        }
        match catalog.follow(&outline, fetched) {
            Ok(()) if outline.fingerprint() == wanted => Ok(()),
            Ok(()) | Err(graticule_storage::Error::User(_)) => Err(Wrong::Outdated),
            Err(error) => Err(Wrong::Told(error.to_string())),
        }
    }

    async fn fetch(&self, query: Uuid) -> Result<Arc<SharedPlan>, Wrong> {
        self.make(self.ask_one(RECIPE, query.as_bytes().to_vec()).await?).await
    }

    async fn make(&self, message: RecipeMessage) -> Result<Arc<SharedPlan>, Wrong> {
        let wanted = message.catalog;
        self.follow(wanted).await?;
        let recipe = message.recipe().map_err(Wrong::Told)?;
        let shared = self.engine.shared(&recipe).await.map_err(|e| Wrong::Told(format!("it cannot plan the query: {}", e.message)))?;
        // Another query may have brought the catalog further meanwhile.
        if self.engine.catalog().outline().fingerprint() != wanted {
            return Err(Wrong::Outdated);
        }
        Ok(Arc::new(shared))
    }

    /// The plan of a running query. An error is this node's failure, `node` its name.
    pub async fn plan(&self, query: Uuid, node: &str) -> Result<Arc<SharedPlan>, DataFusionError> {
        self.kept(query, node, self.fetch(query)).await
    }

    /// What the server says of a pending bulk answer; an error where there is none of this number.
    pub async fn bulk(&self, query: Uuid) -> Result<BulkMessage, Status> {
        self.ask_one(BULK, query.as_bytes().to_vec()).await
    }

    /// The leaf that a bulk answer is. An error is this node's failure, `node` its name.
    pub async fn leaf(&self, query: Uuid, message: &BulkMessage, node: &str) -> Result<Arc<SharedPlan>, DataFusionError> {
        let recipe = message.recipe.clone().unwrap_or_default();
        let shared = self.kept(query, node, self.make(recipe)).await?;
        // Units are shared out by their numbers: they must be those of the server.
        let same = shared.decode(&message.leaf, &[]);
        same.map_err(|e| DataFusionError::from(Failure::Node { node: node.to_owned(), reason: e.to_string() }))?;
        Ok(shared)
    }

    async fn kept(
        &self,
        query: Uuid,
        node: &str,
        make: impl Future<Output = Result<Arc<SharedPlan>, Wrong>>,
    ) -> Result<Arc<SharedPlan>, DataFusionError> {
        let made = {
            let mut plans = self.plans.lock();
            match plans.iter().find(|(known, _)| *known == query) {
                Some((_, made)) => made.clone(),
                None => {
                    let made = Made::default();
                    plans.push_back((query, made.clone()));
                    if plans.len() > PLANS {
                        plans.pop_front();
                    }
                    made
                }
            }
        };
        made.get_or_try_init(|| make).await.cloned().map_err(|wrong| match wrong {
            Wrong::Outdated => Failure::Outdated.into(),
            Wrong::Told(reason) => Failure::Node { node: node.to_owned(), reason }.into(),
        })
    }
}
