//! The `graticule` program: the Flight SQL door, configuration, and the command line. How a plan is made is not known here.
//!
//! * [`config`]: settings from flags, environment and file; [`units`]: sizes and times as people write them.
//! * [`database`]: catalog, reader, engine and query threads put together.
//! * [`limits`]: who may run now; [`access`]: who may come in; [`sockets`]: listening where anybody may connect.
//! * [`metrics`]: what the server counts; [`http`]: where machines read it.
//! * [`flight`]: the Flight SQL door.
//! * [`pool`]: the nodes of a server, and queries on them; [`node`]: such a node.
//! * [`cli`]: one file for each command.

pub mod access;
pub mod cli;
pub mod config;
pub mod database;
pub mod flight;
pub mod http;
pub mod limits;
pub mod metrics;
pub mod node;
pub mod pool;
pub mod sockets;
pub mod traces;
pub mod units;
