//! The model layer's extensions.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use asgiref::{
    ChannelKind, ChannelName, ChannelStatistics, Error, Flush, GlobalStatistics, GroupName, Groups,
    Message, Result, Statistics,
};
use async_trait::async_trait;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep};

use super::distort::distort;
use super::fault::Fault;
use super::model::{GROUP_EXPIRY, Model};
use super::state::{Figures, State};

#[async_trait]
impl Groups for Model {
    fn group_expiry(&self) -> Duration {
        GROUP_EXPIRY
    }

    async fn group_add(&self, group: &GroupName, channel: &ChannelName) -> Result<()> {
        let single = channel.kind() == ChannelKind::SingleReader;
        if single && self.has(Fault::NoSingleReaderMembers) {
            return Err(Error::backend("model", "no single-reader members"));
        }
        self.state().add(self.client, group, channel);
        Ok(())
    }

    async fn group_discard(&self, group: &GroupName, channel: &ChannelName) -> Result<()> {
        let found = self.state().discard(self.client, group, channel);
        if !found && self.has(Fault::DiscardNeedsMember) {
            return Err(Error::backend("model", "no such member"));
        }
        Ok(())
    }

    async fn group_channels(&self, group: &GroupName) -> Result<BTreeSet<ChannelName>> {
        Ok(self.state().members(self.client, group))
    }

    async fn send_group(&self, group: &GroupName, message: Message) -> Result<()> {
        let message = distort(self.shared.fault, message)?;
        let members = self.state().reached(self.client, group);
        if members.is_empty() && self.has(Fault::SendNeedsMembers) {
            return Err(Error::backend("model", "no such group"));
        }
        if self.has(Fault::GroupSendRacesChanges) {
            let count = self.state().member_count();
            yield_now().await;
            if self.state().member_count() != count {
                return Err(Error::backend("model", "the group changed size"));
            }
        }
        for member in members {
            let sent = self
                .state()
                .push_to_member(self.client, member, message.clone());
            match sent {
                Err(error) if self.has(Fault::GroupSendFailsWhenFull) => return Err(error),
                Err(_) if self.has(Fault::GroupSendStopsWhenFull) => break,
                _ => {}
            }
        }
        if !self.has(Fault::GroupSendWakesNobody) {
            self.shared.changed.notify_waiters();
        }
        Ok(())
    }
}

#[async_trait]
impl Flush for Model {
    async fn flush(&self) -> Result<()> {
        self.shared.flushes.fetch_add(1, Ordering::Relaxed);
        if self.has(Fault::FlushIsLate) {
            let shared = Arc::clone(&self.shared);
            tokio::spawn(async move {
                sleep(Duration::from_secs(1)).await;
                shared.state().flush();
            });
            return Ok(());
        }
        self.state().flush();
        self.shared.changed.notify_waiters();
        Ok(())
    }
}

#[async_trait]
impl Statistics for Model {
    async fn global_statistics(&self) -> Result<GlobalStatistics> {
        let mut state = self.state();
        state.purge();
        let names: Vec<_> = state.figures.keys().cloned().collect();
        let mut sums = GlobalStatistics::default();
        for name in names {
            let one = figures_of(&state, &name);
            let add: fn(&mut u64, u64) = if self.has(Fault::GlobalIsBusiest) {
                |sum, value| *sum = (*sum).max(value)
            } else {
                |sum, value| *sum += value
            };
            add(&mut sums.messages_count, one.messages_count);
            add(
                &mut sums.messages_count_per_second,
                one.messages_count_per_second,
            );
            add(&mut sums.messages_pending, one.messages_pending);
            add(&mut sums.channel_full_count, one.channel_full_count);
            sums.messages_max_age = sums.messages_max_age.max(one.messages_max_age);
        }
        Ok(sums)
    }

    async fn channel_statistics(&self, channel: &ChannelName) -> Result<ChannelStatistics> {
        let mut state = self.state();
        state.purge();
        let name = state.figures_key(channel);
        Ok(figures_of(&state, &name))
    }
}

fn figures_of(state: &State, name: &str) -> ChannelStatistics {
    let now = Instant::now();
    let unused = Figures::default();
    let figures = state.figures.get(name).unwrap_or(&unused);
    let pending = state
        .queues
        .values()
        .flat_map(|queue| &queue.messages)
        .filter(|pending| state.figures_key(&pending.channel) == name);
    let ages = pending.map(|pending| now - pending.sent);
    let (count, age) = if state.has(Fault::AgeOfNewest) {
        (ages.clone().count(), ages.min())
    } else {
        (ages.clone().count(), ages.max())
    };
    let accepted = figures.accepted.len() as u64;
    let within = |at: &&Instant| now - **at < Duration::from_secs(1);
    let rate = figures.accepted.iter().filter(within).count() as u64;
    let mut told = ChannelStatistics::default();
    told.messages_count = accepted;
    told.messages_count_per_second = match state.fault {
        Fault::RateIsTotal => accepted,
        Fault::RateIsZero => 0,
        _ => rate,
    };
    told.messages_pending = match state.fault {
        Fault::PendingNeverFalls => accepted,
        Fault::PendingWithExpired => count as u64 + figures.expired,
        _ => count as u64,
    };
    told.messages_max_age = age.unwrap_or_default();
    told.channel_full_count = figures.refused;
    told
}
