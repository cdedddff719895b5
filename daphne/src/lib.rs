#![doc = include_str!("../README.md")]
//!
//! # Where to begin
//!
//! [`Server::builder`] makes a server; [`ServerBuilder`] lists its options and limits. [`layers`]
//! opens channel layers by URL, as the program does.
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
mod runtimes;
mod server;
mod shared;
mod signals;
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
pub use signals::stop_signal;
