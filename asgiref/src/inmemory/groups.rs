use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::message::Message;
use crate::name::{ChannelName, GroupName};

use super::group::Group;
use super::queue::{Effects, Moment, Pending, Queue};
use super::shards::{Shards, Table, shrink};

/// All groups of a layer, and for every channel the groups it is in.
///
/// Memberships begin and end under the lock of their channel's part of `of_channel`, so the two
/// views agree. Locks are taken in this order: `of_channel`, `groups`, one group, one queue.
pub(super) struct GroupTable {
    groups: Shards<Table<GroupName, Arc<Group>>>,
    of_channel: Shards<Table<ChannelName, HashSet<GroupName>>>,
    group_expiry: Duration,
}

impl GroupTable {
    pub(super) fn new(group_expiry: Duration) -> Self {
        Self {
            groups: Shards::new(),
            of_channel: Shards::new(),
            group_expiry,
        }
    }

    pub(super) fn add(
        &self,
        group: &GroupName,
        channel: &ChannelName,
        queue: &Arc<Queue>,
        now: Instant,
    ) {
        // Memberships last long: they must not keep the messages the names were found in.
        let (group, channel) = (&group.detached(), &channel.detached());
        let mut of_channel = self.of_channel.lock(channel.as_str());
        let members = Arc::clone(
            self.groups
                .lock(group.as_str())
                .entry(group.clone())
                .or_default(),
        );
        if members.add(channel, queue, now) {
            of_channel
                .entry(channel.clone())
                .or_default()
                .insert(group.clone());
        }
    }

    pub(super) fn discard(&self, group: &GroupName, channel: &ChannelName) {
        self.remove_if(group, channel, |_| true);
    }

    /// The members of `group`, after those have gone whose messages expired.
    pub(super) fn channels(&self, group: &GroupName, moment: &Moment) -> BTreeSet<ChannelName> {
        let Some(members) = self.get(group) else {
            return BTreeSet::new();
        };
        let mut expired = Vec::new();
        members.drop_expired(moment, &mut expired);
        self.evict(&expired, moment.expiry);
        members.channels(moment.now, self.group_expiry)
    }

    /// Sends `message` to every member.
    pub(super) fn send(&self, group: &GroupName, message: &Message, moment: &Moment) -> Effects {
        let mut effects = Effects::default();
        if let Some(members) = self.get(group) {
            members.send(message, moment, self.group_expiry, &mut effects);
        }
        effects
    }

    /// Ends the memberships of channels on which a message expired: nobody reads them any more.
    pub(super) fn evict(&self, expired: &[Pending], expiry: Duration) {
        for message in expired {
            let channel = message.channel();
            let mut left = Vec::new();
            let mut of_channel = self.of_channel.lock(channel.as_str());
            let Some(groups) = of_channel.get_mut(channel) else {
                continue;
            };
            groups.retain(|group| {
                let ended = self.get(group).is_none_or(|members| {
                    members.remove_if(channel, |added| message.ends_membership(added, expiry))
                });
                if ended {
                    left.push(group.clone());
                }
                !ended
            });
            if groups.is_empty() {
                of_channel.remove(channel);
            }
            drop(of_channel);
            for group in left {
                self.forget_if_empty(&group);
            }
        }
    }

    /// Ends memberships that are over in one part of the table; says whether any group is left in
    /// it.
    pub(super) fn sweep(&self, part: usize, now: Instant) -> bool {
        let groups: Vec<_> = self
            .groups
            .part(part)
            .iter()
            .map(|(group, members)| (group.clone(), Arc::clone(members)))
            .collect();
        for (group, members) in groups {
            let over = members.sweep(now, self.group_expiry);
            drop(members);
            for channel in over {
                self.remove_if(&group, &channel, |added| {
                    now.saturating_duration_since(added) >= self.group_expiry
                });
            }
            self.forget_if_empty(&group);
        }
        shrink(&mut self.of_channel.part(part));
        let mut groups = self.groups.part(part);
        shrink(&mut groups);
        !groups.is_empty()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.groups.iter().all(|groups| groups.is_empty())
    }

    /// Ends all memberships; `then` runs while nobody can begin a new one.
    pub(super) fn clear(&self, then: impl FnOnce()) {
        let mut of_channel = self.of_channel.lock_all();
        let mut groups = self.groups.lock_all();
        for part in &mut groups {
            part.values().for_each(|members| members.clear());
            part.clear();
        }
        of_channel.iter_mut().for_each(|part| part.clear());
        then();
    }

    fn get(&self, group: &GroupName) -> Option<Arc<Group>> {
        self.groups.lock(group.as_str()).get(group).cloned()
    }

    fn remove_if(
        &self,
        group: &GroupName,
        channel: &ChannelName,
        condition: impl Fn(Instant) -> bool,
    ) {
        let mut of_channel = self.of_channel.lock(channel.as_str());
        let Some(members) = self.get(group) else {
            return;
        };
        if members.remove_if(channel, condition)
            && let Some(groups) = of_channel.get_mut(channel)
        {
            groups.remove(group);
            if groups.is_empty() {
                of_channel.remove(channel);
            }
        }
        drop(of_channel);
        drop(members);
        self.forget_if_empty(group);
    }

    fn forget_if_empty(&self, group: &GroupName) {
        let mut groups = self.groups.lock(group.as_str());
        // Who holds another reference may be about to add a member.
        if groups
            .get(group)
            .is_some_and(|members| Arc::strong_count(members) == 1 && members.is_empty())
        {
            groups.remove(group);
        }
    }
}
