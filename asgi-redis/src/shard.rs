//! What the parts of the layer have in common: the servers, and what is written there.

use std::sync::Arc;
use std::time::Duration;

use asgiref::codec::Codec;
use asgiref::{ChannelName, DroppedDeliveries, LayerConfig};

use crate::connection::{Command, Server};
use crate::counters::Counters;
use crate::error::Result;
use crate::groups::Hints;
use crate::keys::{Keys, Unique};
use crate::ring::Ring;
use crate::script::{self, Batches};

/// One server, or one part of a cluster, and the names of the keys there.
#[derive(Debug)]
pub(crate) struct Shard {
    pub(crate) server: Server,
    pub(crate) keys: Keys,
    /// Sends, which are made together.
    pub(crate) sends: Batches,
}

/// The servers and how they are used.
#[derive(Debug)]
pub(crate) struct Shards {
    /// What the layer is called in texts: its type and its servers.
    pub(crate) name: String,
    pub(crate) dropped: DroppedDeliveries,
    pub(crate) all: Vec<Shard>,
    pub(crate) ring: Ring,
    pub(crate) config: LayerConfig,
    pub(crate) codec: Codec,
    pub(crate) unique: Unique,
    pub(crate) counters: Arc<Counters>,
    pub(crate) hints: Hints,
    /// Whether these are parts of a cluster: what is published there goes to all nodes, and a
    /// script must be told the keys it touches.
    pub(crate) is_cluster: bool,
}

/// A message that expired unread: where it was and the key it had.
#[derive(Clone, Debug)]
pub(crate) struct Dead {
    pub(crate) queue: String,
    pub(crate) key: bytes::Bytes,
}

impl Shards {
    pub(crate) fn get(&self, index: usize) -> &Shard {
        &self.all[index]
    }

    pub(crate) fn expiry_ms(&self) -> i128 {
        milliseconds(self.config.message_expiry())
    }

    pub(crate) fn group_expiry_ms(&self) -> i128 {
        milliseconds(self.config.membership_expiry())
    }

    /// How many messages the server `shard` holds of `channel`. The capacity of a normal channel
    /// is shared by the servers.
    pub(crate) fn capacity_of(&self, channel: &ChannelName, shard: usize) -> i128 {
        let capacity = self.config.capacities().of(channel.non_local());
        let share = match self.ring.home(channel) {
            Some(_) => capacity,
            None => {
                let rest = usize::from(shard < capacity % self.ring.len());
                capacity / self.ring.len() + rest
            }
        };
        share as i128
    }

    /// The servers that may take a message to `channel`, in the order they are asked: `first`,
    /// and for a normal channel, whose share there may be used up, the others. All of them twice:
    /// while one is asked after the other, room becomes free where it was asked for already.
    pub(crate) fn targets(
        &self,
        channel: &ChannelName,
        first: usize,
    ) -> impl ExactSizeIterator<Item = usize> {
        let count = match self.ring.home(channel) {
            Some(_) => 1,
            None if self.ring.len() == 1 => 1,
            None => 2 * self.ring.len(),
        };
        let size = self.ring.len();
        (first..first + count).map(move |shard| shard % size)
    }

    /// Makes it known on all servers that messages expired unread, which ends memberships in
    /// groups, wherever those are.
    pub(crate) async fn expire(&self, dead: &[Dead]) -> Result<()> {
        if dead.is_empty() {
            return Ok(());
        }
        self.counters.expired(dead.len());
        let expiry = self.config.message_expiry().as_secs_f64();
        for shard in &self.all {
            let mut queues: Vec<&str> = dead.iter().map(|dead| dead.queue.as_str()).collect();
            queues.sort_unstable();
            queues.dedup();
            for queue in queues {
                let key = format!("{}{queue}", shard.keys.expired());
                let mut command = script::EXPIRE
                    .command([key], 64)
                    .int(self.group_expiry_ms());
                let mut any = false;
                for dead in dead.iter().filter(|dead| dead.queue == queue) {
                    if let Some(body) = Keys::read_body_key(&dead.key) {
                        command.push(&body.channel);
                        command.push(format!("{:.4}", body.sent + expiry));
                        any = true;
                    }
                }
                if any {
                    script::EXPIRE.run(&shard.server, command).await?;
                }
            }
        }
        Ok(())
    }

    /// The same, without waiting for it and whatever becomes of it.
    pub(crate) fn expire_later(self: &Arc<Self>, dead: Vec<Dead>) {
        if dead.is_empty() {
            return;
        }
        let shards = Arc::clone(self);
        tokio::spawn(async move {
            if let Err(error) = shards.expire(&dead).await {
                tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "cannot note which messages expired",
                );
            }
        });
    }

    /// Tells all servers that this process reads envelopes on `queue`.
    pub(crate) async fn announce_reader(&self, queue: &str, lifetime: Duration) -> Result<()> {
        for shard in &self.all {
            let key = format!("{}{queue}", shard.keys.reader());
            let command = Command::new("SET")
                .arg(key)
                .int(1)
                .arg("PX")
                .int(milliseconds(lifetime));
            shard.server.call(&Arc::new(command)).await?;
        }
        Ok(())
    }
}

/// At least one.
pub(crate) fn milliseconds(duration: Duration) -> i128 {
    (duration.as_millis() as i128).max(1)
}
