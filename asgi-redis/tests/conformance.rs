//! The layer passes the suite in each of its modes.

mod support;

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use asgi_redis::{
    RedisChannelLayer, RedisChannelLayerBuilder, RedisClusterChannelLayer, RedisLocalChannelLayer,
    RedisSentinelChannelLayer,
};
use asgiref::{ChannelLayer, LayerConfig};

use tempfile::TempDir;

use support::cluster::Cluster;
use support::sentinel::Sentinels;
use support::server::RedisServer;

/// Long enough for a case that receives a thousand messages one after another, unoptimised, beside
/// many others.
const EXPIRY: Duration = Duration::from_secs(3);
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

fn config() -> LayerConfig {
    LayerConfig::new()
        .expiry(EXPIRY)
        .group_expiry(4 * EXPIRY)
        .capacity(CAPACITY)
}

fn builder(prefix: &str, stats_prefix: &str) -> RedisChannelLayerBuilder {
    RedisChannelLayer::builder()
        .prefix(prefix)
        .stats_prefix(stats_prefix)
        .config(config())
}

macro_rules! mode {
    ($mode:ident: $layer:ty) => {
        mod $mode {
            use super::*;

            struct Mode;

            impl conformance::Harness for Mode {
                type Layer = $layer;
                const EXPIRY: Duration = EXPIRY;
                const CAPACITY: Option<usize> = Some(CAPACITY);

                async fn layer(&self) -> Self::Layer {
                    let mut layers = layers(1, super::$mode);
                    layers.pop().expect("one was made")
                }

                async fn clients(&self, count: usize) -> Vec<Arc<dyn ChannelLayer>> {
                    let layers = layers(count, super::$mode).into_iter();
                    layers.map(|layer| Arc::new(layer) as _).collect()
                }
            }

            conformance::suite!(Mode);
        }
    };
}

fn one_server(prefix: &str, stats_prefix: &str) -> RedisChannelLayer {
    let layer = builder(prefix, stats_prefix).host(RedisServer::shared().url());
    layer.build().expect("a layer")
}

mode!(one_server: RedisChannelLayer);

fn encrypted(prefix: &str, stats_prefix: &str) -> RedisChannelLayer {
    let layer = builder(prefix, stats_prefix)
        .host(RedisServer::shared().url())
        .symmetric_encryption_keys(["first key", "second key"]);
    layer.build().expect("a layer")
}

mode!(encrypted: RedisChannelLayer);

fn three_shards(prefix: &str, stats_prefix: &str) -> RedisChannelLayer {
    static SERVERS: OnceLock<Vec<RedisServer>> = OnceLock::new();
    let servers = SERVERS.get_or_init(|| RedisServer::several(3));
    let layer = builder(prefix, stats_prefix).hosts(servers.iter().map(RedisServer::url));
    layer.build().expect("a layer")
}

mode!(three_shards: RedisChannelLayer);

fn sentinel(prefix: &str, stats_prefix: &str) -> RedisSentinelChannelLayer {
    static SENTINELS: OnceLock<Sentinels> = OnceLock::new();
    let sentinels = SENTINELS.get_or_init(|| Sentinels::start(&["one", "two"]));
    RedisSentinelChannelLayer::builder()
        .sentinels(sentinels.urls())
        .prefix(prefix)
        .stats_prefix(stats_prefix)
        .config(config())
        .build()
        .expect("a layer")
}

mode!(sentinel: RedisSentinelChannelLayer);

fn cluster(prefix: &str, stats_prefix: &str) -> RedisClusterChannelLayer {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    let cluster = CLUSTER.get_or_init(Cluster::start);
    RedisClusterChannelLayer::builder()
        .nodes(cluster.urls())
        .parts(3)
        .prefix(prefix)
        .stats_prefix(stats_prefix)
        .config(config())
        .build()
        .expect("a layer")
}

mode!(cluster: RedisClusterChannelLayer);

/// Segments of shared memory take room until their folder is removed with the case.
struct Local {
    segments: TempDir,
}

impl Local {
    fn new() -> Self {
        let segments = TempDir::new().expect("a folder for segments");
        Self { segments }
    }

    fn make(&self, prefix: &str, stats_prefix: &str) -> RedisLocalChannelLayer {
        RedisLocalChannelLayer::builder()
            .host(RedisServer::shared().url())
            .directory(self.segments.path())
            .prefix(prefix)
            .stats_prefix(stats_prefix)
            .config(config())
            .build()
            .expect("a layer")
    }
}

impl conformance::Harness for Local {
    type Layer = RedisLocalChannelLayer;
    const EXPIRY: Duration = EXPIRY;
    const CAPACITY: Option<usize> = Some(CAPACITY);

    async fn layer(&self) -> Self::Layer {
        let (prefix, stats_prefix) = prefixes();
        self.make(&prefix, &stats_prefix)
    }

    async fn clients(&self, count: usize) -> Vec<Arc<dyn ChannelLayer>> {
        let (prefix, stats_prefix) = prefixes();
        let client = || Arc::new(self.make(&prefix, &stats_prefix)) as _;
        std::iter::repeat_with(client).take(count).collect()
    }
}

mod local {
    use super::Local;

    conformance::suite!(
        Local::new(),
        ignore {
            group_message_expiry_drops_membership: "groups are in Redis, normal channels are not",
        }
    );
}
