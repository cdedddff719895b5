use std::sync::Arc;

use rand::Rng as _;
use tokio::time::Instant;

use crate::config::LayerConfig;
use crate::dropped::DroppedDeliveries;
use crate::error::{Error, Result};
use crate::message::Message;
use crate::name::{ChannelName, GroupName};
use crate::recipient::{Attachment, Recipient};
use crate::statistics::{ChannelStatistics, GlobalStatistics};

use super::groups::GroupTable;
use super::queue::{Effects, Full, Moment, Pending, Queue, Received, Totals};
use super::shards::{Shards, Table, shrink};
use super::sweeper::Sweeper;
use super::waiter::Registration;

/// What all handles to one layer share.
pub(super) struct Shared {
    pub(super) config: LayerConfig,
    /// Start of the count of seconds.
    epoch: Instant,
    channels: Shards<Channels>,
    pub(super) groups: GroupTable,
    pub(super) sweeper: Sweeper,
    dropped: DroppedDeliveries,
}

/// One part of the table of channels. Its lock may be held while a queue is locked, but not while
/// anything of the groups is.
#[derive(Default)]
struct Channels {
    /// By non-local part. A queue that is referred to from elsewhere stays in the table, so that
    /// there is never a second one of the same name.
    queues: Table<ChannelName, Arc<Queue>>,
    /// What queues have counted that are forgotten, so that the layer's sums never go back.
    forgotten: Totals,
}

impl Shared {
    pub(super) fn new(config: LayerConfig) -> Self {
        let groups = GroupTable::new(config.membership_expiry());
        Self {
            config,
            epoch: Instant::now(),
            channels: Shards::new(),
            groups,
            sweeper: Sweeper::new(),
            dropped: DroppedDeliveries::new("InMemoryChannelLayer"),
        }
    }

    pub(super) fn moment(&self) -> Moment {
        let now = Instant::now();
        Moment {
            now,
            second: now.saturating_duration_since(self.epoch).as_secs(),
            expiry: self.config.message_expiry(),
        }
    }

    pub(super) fn send(
        &self,
        channel: &ChannelName,
        message: Message,
        moment: &Moment,
    ) -> Result<()> {
        let mut expired = Vec::new();
        let name = channel.non_local();
        let sent = {
            let mut channels = self.channels.lock(name);
            match channels.queues.get(name) {
                Some(queue) => queue.push(channel, message, moment, &mut expired),
                None => channels.make(channel, &self.config, moment).push(
                    channel,
                    message,
                    moment,
                    &mut expired,
                ),
            }
        };
        self.groups.evict(&expired, moment.expiry);
        match sent {
            Ok(waker) => {
                if let Some(waker) = waker {
                    waker.wake();
                }
                Ok(())
            }
            Err(Full) => Err(Error::ChannelFull {
                channel: channel.to_non_local(),
            }),
        }
    }

    pub(super) fn send_group(&self, group: &GroupName, message: &Message, moment: &Moment) {
        let Effects {
            wakers,
            expired,
            dropped,
        } = self.groups.send(group, message, moment);
        self.dropped.add(group, dropped);
        wakers.into_iter().for_each(std::task::Waker::wake);
        self.groups.evict(&expired, moment.expiry);
    }

    /// A message from any of `channels` if there is one.
    pub(super) fn try_receive(
        &self,
        channels: &[ChannelName],
        moment: &Moment,
    ) -> Option<Received> {
        let mut expired = Vec::new();
        let received = from_random_start(channels).find_map(|channel| {
            let name = channel.non_local();
            self.channels
                .lock(name)
                .queues
                .get(name)?
                .pop(moment, &mut expired)
        });
        self.groups.evict(&expired, moment.expiry);
        received
    }

    /// A message from any of `channels`: now, or when one was waited for; nothing if somebody who
    /// did not wait was faster.
    pub(super) async fn wait_and_receive(
        self: &Arc<Self>,
        channels: &[ChannelName],
        moment: Moment,
    ) -> Option<Received> {
        let mut registration = Registration::new(channels.len()).await;
        if let Some(received) = self.receive_or_register(channels, &moment, &mut registration) {
            return Some(received);
        }
        let number = registration.claimed().await;
        let moment = self.moment();
        let mut expired = Vec::new();
        let received = registration.pop_claimed(number, &moment, &mut expired);
        self.groups.evict(&expired, moment.expiry);
        received
    }

    fn receive_or_register(
        self: &Arc<Self>,
        channels: &[ChannelName],
        moment: &Moment,
        registration: &mut Registration,
    ) -> Option<Received> {
        let mut expired = Vec::new();
        let received = from_random_start(channels).find_map(|channel| {
            registration.pop_or_join(self.queue(channel, moment), moment, &mut expired)
        });
        self.groups.evict(&expired, moment.expiry);
        self.sweeper.ensure_running(self, moment);
        received
    }

    /// The queue of a channel, made if there is none.
    pub(super) fn queue(&self, channel: &ChannelName, moment: &Moment) -> Arc<Queue> {
        let name = channel.non_local();
        let mut channels = self.channels.lock(name);
        match channels.queues.get(name) {
            Some(queue) => Arc::clone(queue),
            None => Arc::clone(channels.make(channel, &self.config, moment)),
        }
    }

    /// Offers the messages of `channels` to `recipient` until the attachment is dropped.
    pub(super) fn attach(
        &self,
        channels: &[ChannelName],
        recipient: &Arc<dyn Recipient>,
    ) -> Attachment {
        let moment = self.moment();
        let attach = |channel| {
            let queue = self.queue(channel, &moment);
            let number = queue.attach(Arc::clone(recipient));
            (queue, number)
        };
        let attached: Vec<_> = channels.iter().map(attach).collect();
        Attachment::new(move || {
            for (queue, number) in attached {
                queue.detach(number);
            }
        })
    }

    pub(super) fn is_in_use(&self, channel: &ChannelName) -> bool {
        let name = channel.non_local();
        self.channels.lock(name).queues.contains_key(name)
    }

    pub(super) fn channel_count(&self) -> usize {
        self.channels.iter().map(|part| part.queues.len()).sum()
    }

    /// Empties the layer while nobody can look at any part of it.
    pub(super) fn flush(&self) {
        // Dropped last, when all locks are released: the last reference to a message may be
        // among them.
        let mut messages = Vec::new();
        self.groups.clear(|| {
            for part in &mut self.channels.lock_all() {
                part.forgotten = Totals::default();
                messages.extend(part.queues.values().map(|queue| queue.reset()));
            }
        });
    }

    pub(super) fn channel_statistics(&self, channel: &ChannelName) -> ChannelStatistics {
        let moment = self.moment();
        let name = channel.non_local();
        self.channels
            .lock(name)
            .queues
            .get(name)
            .map_or_else(ChannelStatistics::default, |queue| {
                queue.statistics(&moment)
            })
    }

    pub(super) fn global_statistics(&self) -> GlobalStatistics {
        let moment = self.moment();
        let mut sums = GlobalStatistics::default();
        for part in self.channels.iter() {
            sums.messages_count += part.forgotten.sent;
            sums.channel_full_count += part.forgotten.full;
            for queue in part.queues.values() {
                let one = queue.statistics(&moment);
                sums.messages_count += one.messages_count;
                sums.messages_count_per_second += one.messages_count_per_second;
                sums.messages_pending += one.messages_pending;
                sums.messages_max_age = sums.messages_max_age.max(one.messages_max_age);
                sums.channel_full_count += one.channel_full_count;
                sums.channel_full_count_per_second += one.channel_full_count_per_second;
            }
        }
        sums
    }

    /// Drops expired messages and memberships, and queues of no use to anyone, in one part of the
    /// tables; says whether there is anything left to watch in it.
    pub(super) fn sweep(&self, part: usize) -> bool {
        let moment = self.moment();
        let mut expired: Vec<Pending> = Vec::new();
        let mut channels = self.channels.part(part);
        let Channels { queues, forgotten } = &mut *channels;
        queues.retain(|_, queue| {
            let unused = queue.sweep(&moment, &mut expired);
            // A second reference is a group's, or that of a call under way.
            let forget = unused && Arc::strong_count(queue) == 1;
            if forget {
                let totals = queue.totals();
                forgotten.sent += totals.sent;
                forgotten.full += totals.full;
            }
            !forget
        });
        shrink(queues);
        let mut any = !queues.is_empty();
        drop(channels);
        self.groups.evict(&expired, moment.expiry);
        any |= self.groups.sweep(part, moment.now);
        any
    }

    /// Whether there is nothing to watch.
    pub(super) fn is_empty(&self) -> bool {
        self.channel_count() == 0 && self.groups.is_empty()
    }
}

impl Channels {
    fn make(
        &mut self,
        channel: &ChannelName,
        config: &LayerConfig,
        moment: &Moment,
    ) -> &Arc<Queue> {
        let name = channel.to_non_local().detached();
        let capacity = config.capacities().of(name.as_str());
        self.queues
            .entry(name)
            .or_insert_with(|| Arc::new(Queue::new(capacity, moment.second)))
    }
}

/// The channels from a random one on, so that a busy channel does not starve the others.
fn from_random_start(channels: &[ChannelName]) -> impl Iterator<Item = &ChannelName> {
    let start = if channels.len() > 1 {
        rand::rng().random_range(0..channels.len())
    } else {
        0
    };
    let (before, from) = channels.split_at(start);
    from.iter().chain(before)
}
