//! The conformance suite, in every way the layer can be run. Each case has a virtual host of its
//! own.

mod support;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use asgi_rabbitmq::{GroupsForm, RabbitmqChannelLayer, RabbitmqChannelLayerBuilder};
use asgiref::{ChannelLayer, LayerConfig};

use support::broker::Broker;
use support::cluster::Cluster;

/// Long enough for a case that looks into hundreds of queues one after another, which takes the
/// broker milliseconds each.
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
                // Fewer than usual, of which none may be lost.
                const DELIVERIES: usize = 5_000;
                // For the broker, new queues are work.
                const AHEAD: usize = 4;

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
});

// The other queues and the other form of bodies.
mode!(encrypted_cluster: encrypted, at three_nodes, ignore {
    names_are_free: "the broker keeps names that begin with `amq.` to itself",
});

/// Groups in the form of Python's layer.
fn compatible() -> RabbitmqChannelLayerBuilder {
    builder().groups(GroupsForm::Compatible)
}

mode!(compatible_groups: compatible, at one_broker, ignore {
    capacity_group: "an exchange knows nothing of capacities",
    capacity_group_process: "an exchange knows nothing of capacities",
    discard_non_member: "the broker cannot be asked who is in a group",
    empty_group: "the broker cannot be asked who is in a group",
    flush_groups: "a message to a process-specific member comes by way of the dead letters, a little later",
    flush_is_seen_by_every_client: "the broker cannot be asked who is in a group",
    flush_removes_membership: "the broker cannot be asked who is in a group",
    group_add_twice_one_copy: "a message to a process-specific member comes by way of the dead letters, a little later",
    group_changes_under_load: "the broker cannot be asked who is in a group",
    group_channels: "the broker cannot be asked who is in a group",
    group_expiry: "the broker cannot be asked who is in a group",
    group_expiry_is_per_membership: "the broker cannot be asked who is in a group",
    group_members_of_every_kind: "a message to a process-specific member comes by way of the dead letters, a little later",
    group_message_expiry_drops_membership: "the broker cannot be asked who is in a group",
    group_of_a_thousand: "the broker cannot be asked who is in a group",
    group_send_drops_only_full_members: "an exchange knows nothing of capacities",
    groups_across_clients: "the broker cannot be asked who is in a group",
    groups_are_separate: "the broker cannot be asked who is in a group",
    groups_process: "a message to a process-specific member comes by way of the dead letters, a little later",
    local_expiry_drops_membership: "the broker cannot be asked who is in a group",
    longest_names: "one name of the broker has both that of the group and that of the member",
    membership_survives_idling: "the queue of an idle member goes, and its bindings with it",
    name_of_100_bytes: "a message to a process-specific member comes by way of the dead letters, a little later",
    names_are_free: "the broker keeps names that begin with `amq.` to itself",
    order_of_group_and_direct_sends: "a message that comes by way of the dead letters is overtaken",
    readd_extends_group_expiry: "the broker cannot be asked who is in a group",
    rejoining_after_expiry_lasts: "the broker cannot be asked who is in a group",
    statistics_global: "a sender does not learn how many members an exchange has",
    statistics_of_full_channels: "an exchange knows nothing of capacities",
});
