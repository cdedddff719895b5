//! The layer passes the suite in each of its modes.

mod support;

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use asgi_redis::{
    RedisChannelLayer, RedisChannelLayerBuilder, RedisClusterChannelLayer,
    RedisSentinelChannelLayer,
};
use asgiref::ChannelLayer;

use support::cluster::Cluster;
use support::sentinel::Sentinels;
use support::server::RedisServer;

/// Long enough for a case that receives a thousand messages one after another, unoptimised, beside
/// many others.
const EXPIRY: Duration = Duration::from_secs(2);
const CAPACITY: usize = 10;

/// Prefixes for keys and statistics that no other case has.
fn prefixes() -> (String, String) {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    (format!("case{number}:"), format!("case{number}-meta:"))
}

/// `count` layers on the same servers, each with connections of its own.
fn layers<L: ChannelLayer>(count: usize, make: impl Fn(&str, &str) -> L) -> Vec<L> {
    let (prefix, stats_prefix) = prefixes();
    (0..count).map(|_| make(&prefix, &stats_prefix)).collect()
}

fn builder(prefix: &str, stats_prefix: &str) -> RedisChannelLayerBuilder {
    RedisChannelLayer::builder()
        .prefix(prefix)
        .stats_prefix(stats_prefix)
        .expiry(EXPIRY)
        .group_expiry(4 * EXPIRY)
        .capacity(CAPACITY)
}

fn three_servers() -> impl Iterator<Item = String> {
    static SERVERS: OnceLock<Vec<RedisServer>> = OnceLock::new();
    let servers = SERVERS.get_or_init(|| RedisServer::several(3));
    servers.iter().map(RedisServer::url)
}

macro_rules! mode {
    ($mode:ident, $layer:ty, $make:expr) => {
        mod $mode {
            use super::*;

            struct Mode;

            impl conformance::Harness for Mode {
                type Layer = $layer;
                const EXPIRY: Duration = EXPIRY;
                const CAPACITY: Option<usize> = Some(CAPACITY);

                async fn layer(&self) -> Self::Layer {
                    let mut layers = layers(1, $make);
                    layers.pop().expect("one was made")
                }

                async fn clients(&self, count: usize) -> Vec<Arc<dyn ChannelLayer>> {
                    let layers = layers(count, $make).into_iter();
                    layers.map(|layer| Arc::new(layer) as _).collect()
                }
            }

            conformance::suite!(Mode);
        }
    };
}

mode!(one_server, RedisChannelLayer, |prefix, stats_prefix| {
    builder(prefix, stats_prefix)
        .host(RedisServer::shared().url())
        .build()
        .expect("a layer")
});

mode!(three_shards, RedisChannelLayer, |prefix, stats_prefix| {
    builder(prefix, stats_prefix)
        .hosts(three_servers())
        .build()
        .expect("a layer")
});

mode!(encrypted, RedisChannelLayer, |prefix, stats_prefix| {
    builder(prefix, stats_prefix)
        .host(RedisServer::shared().url())
        .symmetric_encryption_keys(["first key", "second key"])
        .build()
        .expect("a layer")
});

mode!(
    sentinel,
    RedisSentinelChannelLayer,
    |prefix, stats_prefix| {
        static SENTINELS: OnceLock<Sentinels> = OnceLock::new();
        let sentinels = SENTINELS.get_or_init(|| Sentinels::start(&["one", "two"]));
        RedisSentinelChannelLayer::builder()
            .sentinels(sentinels.urls())
            .prefix(prefix)
            .stats_prefix(stats_prefix)
            .expiry(EXPIRY)
            .group_expiry(4 * EXPIRY)
            .capacity(CAPACITY)
            .build()
            .expect("a layer")
    }
);

mode!(cluster, RedisClusterChannelLayer, |prefix, stats_prefix| {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    let cluster = CLUSTER.get_or_init(Cluster::start);
    RedisClusterChannelLayer::builder()
        .nodes(cluster.urls())
        .prefix(prefix)
        .stats_prefix(stats_prefix)
        .expiry(EXPIRY)
        .group_expiry(4 * EXPIRY)
        .capacity(CAPACITY)
        .build()
        .expect("a layer")
});
