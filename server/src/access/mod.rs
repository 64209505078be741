//! Who may come in, and what they may do.
//!
//! * [`tls`]: the server's certificate, and certificates of clients; [`tokens`]: the file of tokens and their roles.
//! * [`gate`]: which role a call has; [`exposure`]: what a server must have before others can reach it.
//! * [`secret`]: text that is compared in constant time and never printed.

pub mod exposure;
pub mod gate;
pub mod secret;
pub mod tls;
pub mod tokens;

pub use gate::Gate;
pub use secret::Secret;
pub use tokens::{Role, Tokens};
