//! What the parts of the layer have in common: the broker, and how it is used.

use std::sync::Arc;

use asgiref::codec::Codec;
use asgiref::{ChannelName, LayerConfig};

use crate::config::GroupsForm;
use crate::connection::Broker;
use crate::counters::Counters;
use crate::queues::Queues;
use crate::tally::Tally;
use crate::topology::Topology;

/// The broker and how it is used.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) broker: Arc<Broker>,
    pub(crate) topology: Topology,
    pub(crate) config: LayerConfig,
    pub(crate) groups: GroupsForm,
    pub(crate) codec: Codec,
    pub(crate) counters: Counters,
    pub(crate) queues: Queues,
    pub(crate) tally: Tally,
}

impl Site {
    pub(crate) fn capacity_of(&self, channel: &ChannelName) -> usize {
        self.config.capacities().of(channel.non_local())
    }
}
