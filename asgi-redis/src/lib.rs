//! A [Redis](https://redis.io) channel layer.
//!
//! The recommended layer for production: one or many Redis servers between any number of protocol
//! servers and workers, on any number of machines.
//! Keys, values and times to live are those of Python's `asgi_redis` 1.4, so that a Python site
//! can move to this implementation one process at a time over the same servers.
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
//! * `connection`: connections: one for commands, one per receive loop for blocking reads, and how
//!   each is restored.
//! * `error`: the transport's own errors and what they become in [`asgiref::Error`].
//! * `flush`: the flush extension.
//! * `groups`: the groups extension.
//! * `keys`: names of the keys: message bodies, channel lists, group sets, statistics counters.
//! * `layer`: the ASGI API: send, receive, new channel.
//! * `local`: normal channels in shared memory on this machine, the others in Redis.
//! * `ring`: which server holds a single-reader channel, a process-specific channel or a group.
//! * `script`: server-side scripts: the steps that must be atomic.
//! * `sentinel`: servers found, and followed through failover, by Redis Sentinel.
//! * `statistics`: the statistics extension.
#![forbid(unsafe_code)]

mod config;
mod connection;
mod error;
mod flush;
mod groups;
mod keys;
mod layer;
mod local;
mod ring;
mod script;
mod sentinel;
mod statistics;

/// URL schemes that name this layer.
pub const SCHEMES: &[&str] = &["redis", "rediss", "redis+unix", "redis+sentinel"];
