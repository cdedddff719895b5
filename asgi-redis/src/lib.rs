//! A [Redis](https://redis.io) channel layer.
//!
//! The recommended layer for production: one or many Redis servers between any number of protocol
//! servers and workers, on any number of machines.
//! Keys, values and times to live are those of Python's `asgi_redis` 1.4, so that a Python site
//! can move to this implementation one process at a time over the same servers.
#![forbid(unsafe_code)]

mod config;
mod connection;
mod counters;
mod envelope;
mod error;
mod flush;
mod groups;
mod keys;
mod layer;
mod receive;
mod ring;
mod script;
mod shard;
mod statistics;

pub use config::RedisChannelLayerBuilder;
pub use counters::Figures;
pub use error::Error;
pub use layer::RedisChannelLayer;

/// URL schemes that name this layer.
pub const SCHEMES: &[&str] = &["redis", "rediss", "redis+unix", "redis+sentinel"];
