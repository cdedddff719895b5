use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::message::Message;
use crate::name::{ChannelName, GroupName};

use super::queue::Queue;
use super::shards::Shards;

/// All groups of a layer, and for every channel the groups it is in.
///
/// Memberships are added and removed under the lock of their channel's entry in `of_channel`, so
/// the two views agree. Locks are taken in this order: `of_channel`, `groups`, one group, one
/// queue.
pub(super) struct GroupTable {
    groups: Shards<GroupName, Arc<Group>>,
    of_channel: Shards<ChannelName, Vec<GroupName>>,
    group_expiry: Duration,
}

#[derive(Default)]
struct Group {
    /// Members by the queue they share, so that a send locks each queue once.
    queues: Mutex<HashMap<ChannelName, QueueMembers>>,
}

struct QueueMembers {
    queue: Arc<Queue>,
    members: Members,
}

/// When each member's membership expires. A normal channel is the only member on its queue.
enum Members {
    One(ChannelName, Instant),
    Many(HashMap<ChannelName, Instant>),
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
        let expires = now + self.group_expiry;
        let mut of_channel = self.of_channel.lock(channel.as_str());
        let members = Arc::clone(
            self.groups
                .lock(group.as_str())
                .entry(group.clone())
                .or_default(),
        );
        if members.add(channel, queue, expires) {
            of_channel
                .entry(channel.clone())
                .or_default()
                .push(group.clone());
        }
    }

    pub(super) fn discard(&self, group: &GroupName, channel: &ChannelName) {
        self.remove_if(group, channel, |_| true);
    }

    pub(super) fn channels(&self, group: &GroupName, now: Instant) -> BTreeSet<ChannelName> {
        let mut channels = BTreeSet::new();
        if let Some(members) = self.get(group) {
            members.for_each(|channel, expires| {
                if expires > now {
                    channels.insert(channel.clone());
                }
            });
        }
        channels
    }

    /// Sends `message` to every member; returns the channels of messages that expired unread.
    pub(super) fn send(
        &self,
        group: &GroupName,
        message: &Message,
        now: Instant,
        expires: Instant,
        second: u64,
    ) -> Vec<ChannelName> {
        let mut expired = Vec::new();
        if let Some(group) = self.get(group) {
            for QueueMembers { queue, members } in group.lock().values() {
                let live = |until: &Instant| *until > now;
                match members {
                    Members::One(channel, until) if live(until) => {
                        queue.push(
                            channel.clone(),
                            message.clone(),
                            now,
                            expires,
                            second,
                            &mut expired,
                        );
                    }
                    Members::One(..) => {}
                    Members::Many(members) => {
                        let channels = members
                            .iter()
                            .filter(|(_, until)| live(until))
                            .map(|(name, _)| name);
                        queue.push_all(channels, message, now, expires, second, &mut expired);
                    }
                }
            }
        }
        expired
    }

    /// Ends all memberships of channels on which a message expired unread: nobody reads them any
    /// more. One added again after `now` stays.
    pub(super) fn evict(&self, channels: &[ChannelName], now: Instant) {
        for channel in channels {
            let groups = self
                .of_channel
                .lock(channel.as_str())
                .get(channel.as_str())
                .cloned();
            for group in groups.into_iter().flatten() {
                self.remove_if(&group, channel, |expires| {
                    expires <= now + self.group_expiry
                });
            }
        }
    }

    /// Ends memberships that are over; says whether any membership is left.
    pub(super) fn sweep(&self, now: Instant) -> bool {
        let mut over = Vec::new();
        self.groups.for_each(|group, members| {
            members.for_each(|channel, expires| {
                if expires <= now {
                    over.push((group.clone(), channel.clone()));
                }
            });
        });
        for (group, channel) in over {
            self.remove_if(&group, &channel, |expires| expires <= now);
        }
        self.of_channel.retain(|_, _| true);
        self.groups
            .retain(|_, members| Arc::strong_count(members) > 1 || !members.lock().is_empty())
    }

    pub(super) fn clear(&self) {
        self.of_channel.retain(|_, _| false);
        self.groups.for_each(|_, members| members.lock().clear());
        self.groups
            .retain(|_, members| Arc::strong_count(members) > 1);
    }

    fn get(&self, group: &GroupName) -> Option<Arc<Group>> {
        self.groups
            .lock(group.as_str())
            .get(group.as_str())
            .cloned()
    }

    fn remove_if(
        &self,
        group: &GroupName,
        channel: &ChannelName,
        condition: impl FnOnce(Instant) -> bool,
    ) {
        let mut of_channel = self.of_channel.lock(channel.as_str());
        let Some(members) = self.get(group) else {
            return;
        };
        if !members.remove_if(channel, condition) {
            return;
        }
        if let Some(groups) = of_channel.get_mut(channel.as_str()) {
            groups.retain(|known| known != group);
            if groups.is_empty() {
                of_channel.remove(channel.as_str());
            }
        }
        drop(members);
        let mut groups = self.groups.lock(group.as_str());
        // Whoever holds another reference is about to add a member.
        if groups
            .get(group.as_str())
            .is_some_and(|members| Arc::strong_count(members) == 1 && members.lock().is_empty())
        {
            groups.remove(group.as_str());
        }
    }
}

impl Group {
    /// Adds or renews a member; true if it is new.
    fn add(&self, channel: &ChannelName, queue: &Arc<Queue>, expires: Instant) -> bool {
        let mut queues = self.lock();
        let Some(entry) = queues.get_mut(channel.non_local()) else {
            let members = Members::One(channel.clone(), expires);
            queues.insert(
                channel.to_non_local(),
                QueueMembers {
                    queue: Arc::clone(queue),
                    members,
                },
            );
            return true;
        };
        match &mut entry.members {
            Members::One(known, until) if known == channel => {
                *until = expires;
                false
            }
            Members::One(known, until) => {
                let members = HashMap::from([(known.clone(), *until), (channel.clone(), expires)]);
                entry.members = Members::Many(members);
                true
            }
            Members::Many(members) => members.insert(channel.clone(), expires).is_none(),
        }
    }

    /// Removes a member whose expiry meets `condition`; true if it was there and did.
    fn remove_if(&self, channel: &ChannelName, condition: impl FnOnce(Instant) -> bool) -> bool {
        let mut queues = self.lock();
        let Some(entry) = queues.get_mut(channel.non_local()) else {
            return false;
        };
        let (removed, empty) = match &mut entry.members {
            Members::One(known, until) => {
                let removed = known == channel && condition(*until);
                (removed, removed)
            }
            Members::Many(members) => {
                let removed = members.get(channel).is_some_and(|until| condition(*until));
                if removed {
                    members.remove(channel);
                }
                (removed, members.is_empty())
            }
        };
        if empty {
            queues.remove(channel.non_local());
        }
        removed
    }

    fn for_each(&self, mut f: impl FnMut(&ChannelName, Instant)) {
        for QueueMembers { members, .. } in self.lock().values() {
            match members {
                Members::One(channel, expires) => f(channel, *expires),
                Members::Many(members) => {
                    members
                        .iter()
                        .for_each(|(channel, expires)| f(channel, *expires));
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ChannelName, QueueMembers>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
