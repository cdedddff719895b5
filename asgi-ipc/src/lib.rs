//! A POSIX shared memory channel layer.
//!
//! For protocol servers and workers on one machine: no server to run, nothing on the network.
//! The memory layout is this crate's own; Python's `asgi_ipc` cannot read it.
//!
//! # Status
//!
//! This version contains the crate's structure and the URL schemes it will answer to; it does
//! not contain a layer. Use [`asgiref::InMemoryChannelLayer`] within one process.
//!
//! # Structure
//!
//! The three backend crates mirror each other: a file of the same name does the same job in each.
//!
//! * `config`: the builder and what a URL or a TOML table may say; shares its vocabulary with
//!   every layer.
//! * `error`: the transport's own errors and what they become in [`asgiref::Error`].
//! * `flush`: the flush extension.
//! * `groups`: the groups extension.
//! * `layer`: the ASGI API: send, receive, new channel.
//! * `lock`: locks that survive the death of the process holding them.
//! * `segment`: the shared memory segment: the one place of this crate with unsafe code.
//! * `statistics`: the statistics extension.
//! * `store`: channels, messages and groups inside a segment.
#![deny(unsafe_code)]

mod config;
mod error;
mod flush;
mod groups;
mod layer;
mod lock;
mod segment;
mod statistics;
mod store;

/// URL schemes that name this layer.
pub const SCHEMES: &[&str] = &["ipc"];
