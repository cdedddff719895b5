//! A channel layer in this process's memory.

mod builder;
mod group;
mod groups;
mod queue;
mod recipients;
mod shards;
mod shared;
mod sweeper;
mod waiter;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::task::coop::consume_budget;
use tokio::task::yield_now;

use crate::config::LayerConfig;
use crate::error::Result;
use crate::layer::{ChannelLayer, Flush, Groups, Statistics};
use crate::message::Message;
use crate::name::{ChannelName, ChannelPattern, GroupName};
use crate::recipient::{Attachment, Recipient};
use crate::statistics::{ChannelStatistics, GlobalStatistics};

pub use builder::InMemoryChannelLayerBuilder;

use shared::Shared;

/// A channel layer in this process's memory: for `runserver`, for tests, and for programs whose
/// protocol server and workers share a process.
///
/// Provides groups, flush and statistics. Nothing is encoded or copied: a message is handed over
/// by reference count. A clone is another handle to the same layer.
///
/// Time is tokio's: under a paused clock (`tokio::time::pause`) expiry is exact and costs no
/// waiting. What nobody uses any more is given back in the background, by a task on the runtime
/// of the caller (whose timer must be enabled) that runs only while there is something to watch.
/// A channel is forgotten, and with it its own figures, when it is empty, nobody waits for it, it
/// is in no group, and nothing was sent to it for as long as a message lives.
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
        Self {
            shared: Arc::new(Shared::new(config)),
        }
    }

    /// How many channels the layer holds in memory: those with messages, with readers waiting,
    /// in a group, or used lately.
    #[must_use]
    pub fn channel_count(&self) -> usize {
        self.shared.channel_count()
    }
}

#[async_trait]
impl ChannelLayer for InMemoryChannelLayer {
    // ---- ASGI API

    async fn send(&self, channel: &ChannelName, message: Message) -> Result<()> {
        let moment = self.shared.moment();
        let sent = self.shared.send(channel, message, &moment);
        self.shared.sweeper.ensure_running(&self.shared, &moment);
        sent
    }

    async fn receive(&self, channels: &[ChannelName]) -> Result<(ChannelName, Message)> {
        check_receivable(channels)?;
        // A reader of a channel that is never empty lets other tasks of its thread run.
        consume_budget().await;
        if let Some(received) = self.shared.try_receive(channels, &self.shared.moment()) {
            return Ok(received);
        }
        // Those who are ready to run may be about to send. Several messages of theirs are then
        // taken in one go, instead of each waking a reader that waits: under load that is half
        // the cost of a message.
        yield_now().await;
        let mut moment = self.shared.moment();
        if let Some(received) = self.shared.try_receive(channels, &moment) {
            return Ok(received);
        }
        loop {
            if let Some(received) = self.shared.wait_and_receive(channels, moment).await {
                return Ok(received);
            }
            moment = self.shared.moment();
        }
    }

    async fn try_receive(
        &self,
        channels: &[ChannelName],
    ) -> Result<Option<(ChannelName, Message)>> {
        check_receivable(channels)?;
        Ok(self.shared.try_receive(channels, &self.shared.moment()))
    }

    async fn new_channel(&self, pattern: &ChannelPattern) -> Result<ChannelName> {
        loop {
            let name = pattern.generate();
            if !self.shared.is_in_use(&name) {
                return Ok(name);
            }
        }
    }

    fn attach(
        &self,
        channels: &[ChannelName],
        recipient: Arc<dyn Recipient>,
    ) -> Option<Attachment> {
        check_receivable(channels).ok()?;
        Some(self.shared.attach(channels, &recipient))
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
        let moment = self.shared.moment();
        let queue = self.shared.queue(channel, &moment);
        self.shared.groups.add(group, channel, &queue, moment.now);
        self.shared.sweeper.ensure_running(&self.shared, &moment);
        Ok(())
    }

    async fn group_discard(&self, group: &GroupName, channel: &ChannelName) -> Result<()> {
        self.shared.groups.discard(group, channel);
        Ok(())
    }

    async fn group_channels(&self, group: &GroupName) -> Result<BTreeSet<ChannelName>> {
        Ok(self.shared.groups.channels(group, &self.shared.moment()))
    }

    async fn send_group(&self, group: &GroupName, message: Message) -> Result<()> {
        let moment = self.shared.moment();
        self.shared.send_group(group, &message, &moment);
        self.shared.sweeper.ensure_running(&self.shared, &moment);
        Ok(())
    }
}

#[async_trait]
impl Flush for InMemoryChannelLayer {
    async fn flush(&self) -> Result<()> {
        self.shared.flush();
        Ok(())
    }
}

#[async_trait]
impl Statistics for InMemoryChannelLayer {
    async fn global_statistics(&self) -> Result<GlobalStatistics> {
        Ok(self.shared.global_statistics())
    }

    async fn channel_statistics(&self, channel: &ChannelName) -> Result<ChannelStatistics> {
        Ok(self.shared.channel_statistics(channel))
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
