//! The protocol server of a Channels system: turns HTTP requests and WebSockets into messages on a
//! channel layer, and the application's messages into responses and frames.
//!
//! It knows no application. Whoever receives from `http.request`, `websocket.connect`,
//! `websocket.receive` and `websocket.disconnect` on the same layer is the application, in this
//! process or another one, and may be restarted while connections stay open.
//!
//! [`Server::builder`] makes a server; [`ServerBuilder`] lists its options.
#![forbid(unsafe_code)]

mod access_log;
mod builder;
mod connection;
mod counters;
mod disconnect;
mod endpoint;
mod error;
mod head;
mod http;
mod io;
pub mod layers;
mod listener;
mod options;
mod proxy_headers;
mod replies;
mod server;
mod shared;
mod target;
mod timer;
mod websocket;

pub use access_log::{AccessLog, Action, ActionLogger};
pub use builder::ServerBuilder;
pub use counters::Statistics;
pub use endpoint::Endpoint;
pub use error::{Error, Result};
pub use listener::BoundAddr;
pub use options::DisconnectMessages;
pub use server::{BoundServer, Server, ServerStatistics};
