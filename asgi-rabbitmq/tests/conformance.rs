//! The conformance suite, in every way the layer can be run. Each case has a virtual host of its
//! own.

mod support;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use asgi_rabbitmq::{RabbitmqChannelLayer, RabbitmqChannelLayerBuilder};
use asgiref::{ChannelLayer, LayerConfig};

use support::broker::Broker;
use support::cluster::Cluster;

/// Long enough for a case that declares hundreds of queues and looks into them one after another,
/// which takes the broker milliseconds each.
const EXPIRY: Duration = Duration::from_secs(5);
const CAPACITY: usize = 10;

fn config() -> LayerConfig {
    LayerConfig::new()
        .expiry(EXPIRY)
        .group_expiry(4 * EXPIRY)
        .capacity(CAPACITY)
}

fn builder() -> RabbitmqChannelLayerBuilder {
    RabbitmqChannelLayer::builder().config(config())
}

/// The URLs of a virtual host of the shared broker that nobody else uses.
fn one_broker() -> Vec<String> {
    let broker = Broker::shared();
    vec![broker.url(&broker.virtual_host())]
}

/// The URLs of a virtual host of the shared cluster.
fn three_nodes() -> Vec<String> {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    let cluster = CLUSTER.get_or_init(Cluster::start);
    cluster.urls(&cluster.virtual_host())
}

/// `count` layers in one virtual host, each with connections of its own.
fn layers(
    urls: &[String],
    count: usize,
    make: fn() -> RabbitmqChannelLayerBuilder,
) -> Vec<RabbitmqChannelLayer> {
    let layer = || make().urls(urls.iter().map(String::as_str)).build();
    std::iter::repeat_with(layer)
        .take(count)
        .map(|layer| layer.expect("a layer"))
        .collect()
}

macro_rules! mode {
    ($mode:ident: $make:expr, at $place:expr, ignore $ignored:tt) => {
        mod $mode {
            use super::*;

            struct Mode;

            impl conformance::Harness for Mode {
                type Layer = RabbitmqChannelLayer;
                const EXPIRY: Duration = EXPIRY;
                const CAPACITY: Option<usize> = Some(CAPACITY);
                // For the broker, new queues are work.
                const AHEAD: usize = 2;

                async fn layer(&self) -> Self::Layer {
                    let mut layers = layers(&$place(), 1, $make);
                    layers.pop().expect("one was made")
                }

                async fn clients(&self, count: usize) -> Vec<Arc<dyn ChannelLayer>> {
                    let layers = layers(&$place(), count, $make).into_iter();
                    layers.map(|layer| Arc::new(layer) as _).collect()
                }
            }

            conformance::suite!(Mode, ignore $ignored);
        }
    };
}

mode!(single: builder, at one_broker, ignore {
    names_are_free: "the broker keeps names that begin with `amq.` to itself",
});

fn encrypted() -> RabbitmqChannelLayerBuilder {
    builder().symmetric_encryption_keys(["first key", "second key"])
}

mode!(encryption: encrypted, at one_broker, ignore {
    names_are_free: "the broker keeps names that begin with `amq.` to itself",
});

/// Queues that outlive a restart, as brokers without deprecated features want them.
fn durable() -> RabbitmqChannelLayerBuilder {
    builder().durable_queues(true)
}

mode!(cluster: durable, at three_nodes, ignore {
    names_are_free: "the broker keeps names that begin with `amq.` to itself",
    many_channels: "a defect: a message was gone before it was looked for, beside other tests",
});
