//! Sends that wait until the consumer ends ([Consumer atomicity]).
//!
//! [Consumer atomicity]: https://channels.readthedocs.io/en/1.x/concepts.html

use std::sync::Arc;
use std::time::Duration;

use asgiref::{ChannelLayer, ChannelLayerExt as _, ChannelName, GroupName, Message};

/// Where a held message goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Channel(ChannelName),
    Group(GroupName),
}

impl Target {
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Channel(name) => name.as_str(),
            Self::Group(name) => name.as_str(),
        }
    }
}

impl From<ChannelName> for Target {
    fn from(name: ChannelName) -> Self {
        Self::Channel(name)
    }
}

impl From<GroupName> for Target {
    fn from(name: GroupName) -> Self {
        Self::Group(name)
    }
}

/// One held message.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) target: Target,
    pub(crate) message: Message,
    /// The layer to send on if it is not the one the consumer's message came on.
    pub(crate) layer: Option<Arc<dyn ChannelLayer>>,
}

/// The held messages of one consumer, in order. The first has a place of its own because most
/// consumers send one message.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    first: Option<Held>,
    rest: Vec<Held>,
}

impl Pending {
    pub(crate) fn push(&mut self, held: Held) {
        if self.first.is_none() {
            self.first = Some(held);
        } else {
            self.rest.push(held);
        }
    }

    /// Puts `held` before everything else.
    pub(crate) fn push_front(&mut self, held: Held) {
        if let Some(second) = self.first.replace(held) {
            self.rest.insert(0, second);
        }
    }

    /// Sends everything in order and returns how many messages could not be sent; that is
    /// logged.
    ///
    /// A full channel is tried again for up to `limit`. Once that is over, the consumer's later
    /// messages to the same channel are dropped too: a reader must not see a sequence with holes.
    pub(crate) async fn flush(self, own: &dyn ChannelLayer, limit: Duration) -> u64 {
        let mut given_up: Vec<(Target, u64)> = Vec::new();
        let mut dropped = 0;
        for held in self.first.into_iter().chain(self.rest) {
            if let Some((_, lost)) = given_up.iter_mut().find(|(to, _)| *to == held.target) {
                *lost += 1;
                dropped += 1;
                continue;
            }
            let layer = held.layer.as_deref().unwrap_or(own);
            if let Err(error) = send(layer, &held.target, held.message, limit).await {
                dropped += 1;
                if error.is_channel_full() {
                    given_up.push((held.target, 1));
                    continue;
                }
                tracing::error!(
                    target_name = held.target.as_str(),
                    error = &error as &dyn std::error::Error,
                    "a message of a consumer was dropped",
                );
            }
        }
        for (target, lost) in given_up {
            tracing::error!(
                target_name = target.as_str(),
                lost,
                waited = ?limit,
                "messages of a consumer were dropped, because the channel stayed full: it needs \
                 more capacity, or more workers",
            );
        }
        dropped
    }
}

/// Sends `message`, waiting up to `limit` for room on a channel that is full.
async fn send(
    layer: &dyn ChannelLayer,
    target: &Target,
    message: Message,
    limit: Duration,
) -> asgiref::Result<()> {
    match target {
        Target::Channel(name) => layer.send_within(name, message, limit).await,
        Target::Group(name) => layer.require_groups()?.send_group(name, message).await,
    }
}
