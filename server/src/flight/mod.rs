//! The Flight SQL door.
//!
//! * [`server`]: the socket, from binding to the graceful end; `incoming`: connections, with TLS and without; `linger`: closing
//!   without losing an answer.
//! * `door`: panics and `GetSchema`; `service`: each message to what it means.
//! * `statement`: planning, parameters, tickets; `pending`: what tickets stand for.
//! * `answer`: queries on their threads; `travel`: back-pressure and deadlines of what is sent, also by nodes; `sizing`: batches of a
//!   size that travels well.
//! * `metadata`: catalogs, tables, types, abilities; `status`: errors on the wire.

mod answer;
mod door;
mod incoming;
mod linger;
mod metadata;
mod pending;
pub mod server;
mod service;
pub(crate) mod sizing;
mod statement;
pub mod status;
pub(crate) mod travel;

pub use incoming::Incoming;
pub use metadata::KEYWORDS;
