//! The `graticule` program: the Flight SQL door, configuration, and the command line. How a plan is made is not known here.
//!
//! * [`config`]: settings from flags, environment and file; [`units`]: sizes and times as people write them.
//! * [`database`]: catalog, reader, engine and query threads put together.
//! * [`limits`]: who may run now.
//! * [`flight`]: the Flight SQL door.
//! * [`cli`]: one file for each command.

pub mod cli;
pub mod config;
pub mod database;
pub mod flight;
pub mod limits;
pub mod units;
