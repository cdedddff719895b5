//! A channel layer in this process's memory.

mod builder;
mod groups;
mod queue;
mod shards;
mod sweeper;
mod waiter;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rand::Rng as _;
use tokio::time::Instant;

use crate::config::LayerConfig;
use crate::error::{Error, Result};
use crate::layer::{ChannelLayer, Flush, Groups, Statistics};
use crate::message::Message;
use crate::name::{ChannelName, ChannelPattern, GroupName};
use crate::statistics::{ChannelStatistics, GlobalStatistics};

pub use builder::InMemoryChannelLayerBuilder;

use groups::GroupTable;
use queue::{Queue, Totals};
use shards::Shards;
use sweeper::Sweeper;
use waiter::Registration;

/// A channel layer in this process's memory: for `runserver`, for tests, and for programs whose
/// protocol server and workers share a process.
///
/// Provides groups, flush and statistics. Nothing is encoded or copied: a message is handed over
/// by reference count. A clone is another handle to the same layer.
///
/// Time is tokio's: under a paused clock (`tokio::time::pause`) expiry is exact and costs no
/// waiting. Memory of channels and groups nobody uses any more is given back in the background,
/// by a task that runs only while there is something to watch; with it go the figures of such
/// channels.
///
/// ```
/// use asgiref::{ChannelLayer as _, ChannelName, InMemoryChannelLayer, message};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> asgiref::Result<()> {
/// let layer = InMemoryChannelLayer::new();
/// let channel = ChannelName::new("thumbnails")?;
/// layer.send(&channel, message! { "picture" => 42 }).await?;
///
/// let (from, message) = layer.receive(&[channel]).await?;
/// assert_eq!(from, "thumbnails");
/// assert_eq!(message.int("picture")?, 42);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct InMemoryChannelLayer {
    shared: Arc<Shared>,
}

/// What all handles to one layer share.
struct Shared {
    config: LayerConfig,
    /// Start of the count of seconds for the per-second figures.
    epoch: Instant,
    queues: Shards<ChannelName, Arc<Queue>>,
    groups: GroupTable,
    sweeper: Sweeper,
    /// Counts of queues that were forgotten, so that the layer's sums never go back.
    retired: std::sync::Mutex<Totals>,
}

impl InMemoryChannelLayer {
    /// A layer with the default configuration: 60 seconds expiry, a day of membership, 100
    /// messages per channel.
    #[must_use]
    pub fn new() -> Self {
        Self::with_config(LayerConfig::default())
    }

    /// A layer with the given expiry and capacities.
    #[must_use]
    pub fn with_config(config: LayerConfig) -> Self {
        let groups = GroupTable::new(config.membership_expiry());
        Self {
            shared: Arc::new(Shared {
                config,
                epoch: Instant::now(),
                queues: Shards::new(),
                groups,
                sweeper: Sweeper::new(),
                retired: std::sync::Mutex::default(),
            }),
        }
    }
}

impl Shared {
    /// The queue of a channel, made if there is none.
    fn queue(&self, channel: &ChannelName) -> Arc<Queue> {
        let name = channel.non_local();
        let mut shard = self.queues.lock(name);
        if let Some(queue) = shard.get(name) {
            return Arc::clone(queue);
        }
        let queue = Arc::new(Queue::new(self.config.capacities().of(name)));
        shard.insert(channel.to_non_local(), Arc::clone(&queue));
        queue
    }

    fn existing_queue(&self, channel: &ChannelName) -> Option<Arc<Queue>> {
        let name = channel.non_local();
        self.queues.lock(name).get(name).cloned()
    }

    fn second(&self, now: Instant) -> u64 {
        now.duration_since(self.epoch).as_secs()
    }

    /// Takes the first unexpired message of `queue`; channels whose messages expired lose their
    /// memberships.
    fn pop(&self, queue: &Queue) -> Option<(ChannelName, Message)> {
        let now = Instant::now();
        let mut expired = Vec::new();
        let popped = queue.pop(now, &mut expired);
        self.groups.evict(&expired, now);
        popped
    }

    /// One pass over `channels` from a random start, so that a busy channel does not starve the
    /// others.
    fn pop_any(&self, channels: &[ChannelName]) -> Option<(ChannelName, Message)> {
        let start = if channels.len() > 1 {
            rand::rng().random_range(0..channels.len())
        } else {
            0
        };
        let (before, from) = channels.split_at(start);
        from.iter()
            .chain(before)
            .find_map(|channel| self.pop(&*self.existing_queue(channel)?))
    }
}

#[async_trait]
impl ChannelLayer for InMemoryChannelLayer {
    // ---- ASGI API

    async fn send(&self, channel: &ChannelName, message: Message) -> Result<()> {
        let shared = &self.shared;
        let now = Instant::now();
        let queue = shared.queue(channel);
        let mut expired = Vec::new();
        let sent = queue.push(
            channel.clone(),
            message,
            now,
            now + shared.config.message_expiry(),
            shared.second(now),
            &mut expired,
        );
        shared.groups.evict(&expired, now);
        shared.sweeper.ensure_running(shared);
        if sent {
            Ok(())
        } else {
            Err(Error::ChannelFull {
                channel: channel.to_non_local(),
            })
        }
    }

    async fn receive(&self, channels: &[ChannelName]) -> Result<(ChannelName, Message)> {
        check_receivable(channels)?;
        loop {
            if let Some(received) = self.shared.pop_any(channels) {
                return Ok(received);
            }
            let registration =
                Registration::new(channels.iter().map(|channel| self.shared.queue(channel)));
            // A message may have come between the look and the registration.
            if let Some(received) = self.shared.pop_any(channels) {
                return Ok(received);
            }
            registration.notified().await;
        }
    }

    async fn try_receive(
        &self,
        channels: &[ChannelName],
    ) -> Result<Option<(ChannelName, Message)>> {
        check_receivable(channels)?;
        Ok(self.shared.pop_any(channels))
    }

    async fn new_channel(&self, pattern: &ChannelPattern) -> Result<ChannelName> {
        loop {
            let name = pattern.generate();
            if self.shared.existing_queue(&name).is_none() {
                return Ok(name);
            }
        }
    }

    fn is_process_local(&self) -> bool {
        true
    }

    // ---- Extensions

    fn as_groups(&self) -> Option<&dyn Groups> {
        Some(self)
    }

    fn as_flush(&self) -> Option<&dyn Flush> {
        Some(self)
    }

    fn as_statistics(&self) -> Option<&dyn Statistics> {
        Some(self)
    }
}

#[async_trait]
impl Groups for InMemoryChannelLayer {
    fn group_expiry(&self) -> Duration {
        self.shared.config.membership_expiry()
    }

    async fn group_add(&self, group: &GroupName, channel: &ChannelName) -> Result<()> {
        let shared = &self.shared;
        let queue = shared.queue(channel);
        shared.groups.add(group, channel, &queue, Instant::now());
        shared.sweeper.ensure_running(shared);
        Ok(())
    }

    async fn group_discard(&self, group: &GroupName, channel: &ChannelName) -> Result<()> {
        self.shared.groups.discard(group, channel);
        Ok(())
    }

    async fn group_channels(&self, group: &GroupName) -> Result<BTreeSet<ChannelName>> {
        Ok(self.shared.groups.channels(group, Instant::now()))
    }

    async fn send_group(&self, group: &GroupName, message: Message) -> Result<()> {
        let shared = &self.shared;
        let now = Instant::now();
        let expires = now + shared.config.message_expiry();
        let expired = shared
            .groups
            .send(group, &message, now, expires, shared.second(now));
        shared.groups.evict(&expired, now);
        shared.sweeper.ensure_running(shared);
        Ok(())
    }
}

#[async_trait]
impl Flush for InMemoryChannelLayer {
    async fn flush(&self) -> Result<()> {
        self.shared.groups.clear();
        self.shared.queues.for_each(|_, queue| queue.clear());
        Ok(())
    }
}

#[async_trait]
impl Statistics for InMemoryChannelLayer {
    async fn global_statistics(&self) -> Result<GlobalStatistics> {
        let now = Instant::now();
        let second = self.shared.second(now);
        let expiry = self.shared.config.message_expiry();
        let mut sums = GlobalStatistics::default();
        {
            let retired = self
                .shared
                .retired
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            sums.messages_count = retired.sent;
            sums.channel_full_count = retired.full;
        }
        self.shared.queues.for_each(|_, queue| {
            let one = queue.statistics(now, second, expiry);
            sums.messages_count += one.messages_count;
            sums.messages_count_per_second += one.messages_count_per_second;
            sums.messages_pending += one.messages_pending;
            sums.messages_max_age = sums.messages_max_age.max(one.messages_max_age);
            sums.channel_full_count += one.channel_full_count;
            sums.channel_full_count_per_second += one.channel_full_count_per_second;
        });
        Ok(sums)
    }

    async fn channel_statistics(&self, channel: &ChannelName) -> Result<ChannelStatistics> {
        let now = Instant::now();
        let expiry = self.shared.config.message_expiry();
        Ok(self
            .shared
            .existing_queue(channel)
            .map_or_else(ChannelStatistics::default, |queue| {
                queue.statistics(now, self.shared.second(now), expiry)
            }))
    }
}

impl Default for InMemoryChannelLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for InMemoryChannelLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InMemoryChannelLayer")
    }
}

impl fmt::Debug for InMemoryChannelLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InMemoryChannelLayer")
            .field("config", &self.shared.config)
            .finish_non_exhaustive()
    }
}

fn check_receivable(channels: &[ChannelName]) -> Result<()> {
    channels.iter().try_for_each(ChannelName::check_receivable)
}
