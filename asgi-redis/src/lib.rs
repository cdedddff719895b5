//! A [Redis](https://redis.io) channel layer.
//!
//! The recommended layer for production: one or many Redis servers between any number of protocol
//! servers and workers, on any number of machines.
//! Keys, values and times to live are those of Python's `asgi_redis` 1.4, so that a Python site
//! can move to this implementation one process at a time over the same servers.
#![forbid(unsafe_code)]

mod cluster;
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
pub use sentinel::{RedisSentinelChannelLayer, RedisSentinelChannelLayerBuilder};

/// URL schemes that name a layer of this crate.
pub const SCHEMES: &[&str] = &[
    "redis",
    "rediss",
    "redis+unix",
    "redis+sentinel",
    "redis+cluster",
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
    Ok(Arc::new(RedisChannelLayer::from_settings(settings)?))
}
