//! A [Redis](https://redis.io) channel layer.
//!
//! The recommended layer for production: one or many Redis servers between any number of protocol
//! servers and workers, on any number of machines.
//! Keys, values and times to live are those of Python's `asgi_redis` 1.4, so that a Python site
//! can move to this implementation one process at a time over the same servers.
//!
//! ```no_run
//! use asgi_redis::RedisChannelLayer;
//! use asgiref::{ChannelLayer as _, ChannelName, message};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> asgiref::Result<()> {
//! let layer = RedisChannelLayer::from_url("redis://localhost:6379/0?capacity=200")?;
//! let thumbnails = ChannelName::new("thumbnails")?;
//! layer.send(&thumbnails, message! { "picture" => 42 }).await?;
//! let (_, message) = layer.receive(&[thumbnails]).await?;
//! assert_eq!(message.int("picture")?, 42);
//! # Ok(())
//! # }
//! ```
//!
//! # Options
//!
//! Layers, options, keys and values on the wire, what happens when something fails, and limits are
//! in the [README](https://docs.rs/crate/asgi-redis).
//!
//! # Structure
//!
//! The backend crates mirror each other: a file of the same name does the same job in each.
//!
//! * `config`: the builder and what a URL or a TOML table may say; shares its vocabulary with
//!   every layer.
//! * `connection`: one for commands, shared by all callers, one for each receiving task, and how
//!   each is restored.
//! * `counters`: what a process has seen go wrong.
//! * `error`: the transport's own errors and what they become in [`asgiref::Error`].
//! * `flush`: the flush extension.
//! * `groups`: the groups extension.
//! * `keys`: names of the keys: message bodies, channel lists, group sets, statistics counters.
//! * `layer`: the ASGI API: send, receive, new channel.
//! * `receive`: the tasks that take messages off the servers, and the callers that wait.
//! * `local`: normal channels in shared memory on this machine, the others in Redis.
//! * `ring`: which server holds a single-reader channel, a process-specific channel or a group.
//! * `script`, `lua/`: server-side scripts: the steps that must be atomic.
//! * `sentinel`, `cluster`: servers found, and followed through failover, by Redis Sentinel and by
//!   Redis Cluster.
//! * `shard`: one server and its keys, and what is written on all of them.
//! * `statistics`: the statistics extension.
#![forbid(unsafe_code)]

mod cluster;
mod config;
mod connection;
mod counters;
mod error;
mod flush;
mod groups;
mod keys;
mod layer;
#[cfg(feature = "local")]
mod local;
mod receive;
mod ring;
mod script;
mod sentinel;
mod shard;
mod statistics;

use std::sync::Arc;

use asgiref::config::LayerSettings;
use asgiref::{ChannelLayer, Result};

pub use cluster::{RedisClusterChannelLayer, RedisClusterChannelLayerBuilder};
pub use config::RedisChannelLayerBuilder;
pub use counters::Figures;
pub use error::Error;
pub use layer::RedisChannelLayer;
#[cfg(feature = "local")]
pub use local::{RedisLocalChannelLayer, RedisLocalChannelLayerBuilder};
pub use sentinel::{RedisSentinelChannelLayer, RedisSentinelChannelLayerBuilder};

/// URL schemes that name a layer of this crate.
pub const SCHEMES: &[&str] = &[
    "redis",
    "rediss",
    "redis+unix",
    "redis+sentinel",
    "redis+cluster",
    #[cfg(feature = "local")]
    "redis+local",
];

/// The layer that a URL or a TOML table describes, of the kind its scheme says.
///
/// ```
/// let layer = asgi_redis::from_settings(&"redis://localhost:6379/0?capacity=200".parse()?)?;
/// assert_eq!(layer.to_string(), "RedisChannelLayer(localhost:6379)");
/// # Ok::<(), asgiref::Error>(())
/// ```
///
/// # Errors
///
/// [`asgiref::Error::Config`], naming the option that is unknown or cannot be used;
/// [`asgiref::Error::Backend`] if Sentinels had to be asked and did not answer.
pub fn from_settings(settings: &LayerSettings) -> Result<Arc<dyn ChannelLayer>> {
    settings.require_scheme(SCHEMES)?;
    let scheme = settings.scheme();
    if RedisSentinelChannelLayer::SCHEMES.contains(&scheme) {
        return Ok(Arc::new(RedisSentinelChannelLayer::from_settings(
            settings,
        )?));
    }
    if RedisClusterChannelLayer::SCHEMES.contains(&scheme) {
        return Ok(Arc::new(RedisClusterChannelLayer::from_settings(settings)?));
    }
    #[cfg(feature = "local")]
    if RedisLocalChannelLayer::SCHEMES.contains(&scheme) {
        return Ok(Arc::new(RedisLocalChannelLayer::from_settings(settings)?));
    }
    Ok(Arc::new(RedisChannelLayer::from_settings(settings)?))
}
