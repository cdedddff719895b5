use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use tokio::time::Instant;

use crate::message::Message;
use crate::name::ChannelName;

use super::queue::{Effects, Moment, Pending, Queue};
use super::shards::shrink;

/// The members of one group, by the queue they share, so that a send locks each queue once.
#[derive(Default)]
pub(super) struct Group {
    queues: RwLock<HashMap<ChannelName, QueueMembers>>,
}

struct QueueMembers {
    queue: Arc<Queue>,
    members: Members,
}

/// When each member was added last. A normal channel is the only member on its queue.
enum Members {
    One(ChannelName, Instant),
    Many(HashMap<ChannelName, Instant>),
}

impl Group {
    /// Adds or renews a member; true if it is new.
    pub(super) fn add(&self, channel: &ChannelName, queue: &Arc<Queue>, now: Instant) -> bool {
        let mut queues = self.write();
        let Some(entry) = queues.get_mut(channel.non_local()) else {
            let members = Members::One(channel.clone(), now);
            let queue = Arc::clone(queue);
            queues.insert(channel.to_non_local(), QueueMembers { queue, members });
            return true;
        };
        match &mut entry.members {
            Members::One(known, added) if known == channel => {
                *added = now;
                false
            }
            Members::One(known, added) => {
                let members = HashMap::from([(known.clone(), *added), (channel.clone(), now)]);
                entry.members = Members::Many(members);
                true
            }
            Members::Many(members) => members.insert(channel.clone(), now).is_none(),
        }
    }

    /// Removes a member that was added at a time that meets `condition`; true if it is no member
    /// now.
    pub(super) fn remove_if(
        &self,
        channel: &ChannelName,
        condition: impl Fn(Instant) -> bool,
    ) -> bool {
        let mut queues = self.write();
        let Some(entry) = queues.get_mut(channel.non_local()) else {
            return true;
        };
        let empty = match &mut entry.members {
            Members::One(known, _) if known != channel => return true,
            Members::One(_, added) if !condition(*added) => return false,
            Members::One(..) => true,
            Members::Many(members) => {
                match members.get(channel) {
                    None => return true,
                    Some(added) if !condition(*added) => return false,
                    Some(_) => members.remove(channel),
                };
                members.is_empty()
            }
        };
        if empty {
            queues.remove(channel.non_local());
        }
        true
    }

    pub(super) fn is_empty(&self) -> bool {
        self.read().is_empty()
    }

    /// The members added less than `group_expiry` ago.
    pub(super) fn channels(&self, now: Instant, group_expiry: Duration) -> BTreeSet<ChannelName> {
        let mut channels = BTreeSet::new();
        self.for_each(|channel, added| {
            if now.saturating_duration_since(added) < group_expiry {
                channels.insert(channel.clone());
            }
        });
        channels
    }

    /// The other members; gives back room that was only needed once.
    pub(super) fn sweep(&self, now: Instant, group_expiry: Duration) -> Vec<ChannelName> {
        let mut over = Vec::new();
        self.for_each(|channel, added| {
            if now.saturating_duration_since(added) >= group_expiry {
                over.push(channel.clone());
            }
        });
        let mut queues = self.write();
        shrink(&mut queues);
        for entry in queues.values_mut() {
            if let Members::Many(members) = &mut entry.members {
                shrink(members);
            }
        }
        over
    }

    /// Sends to the members added less than `group_expiry` ago.
    pub(super) fn send(
        &self,
        message: &Message,
        moment: &Moment,
        group_expiry: Duration,
        effects: &mut Effects,
    ) {
        let live = |added: Instant| moment.now.saturating_duration_since(added) < group_expiry;
        for QueueMembers { queue, members } in self.read().values() {
            match members {
                Members::One(channel, added) => {
                    let member = live(*added).then_some((channel, *added));
                    queue.push_to_members(member.into_iter(), message, moment, effects);
                }
                Members::Many(members) => {
                    let members = members
                        .iter()
                        .map(|(channel, added)| (channel, *added))
                        .filter(|(_, added)| live(*added));
                    queue.push_to_members(members, message, moment, effects);
                }
            }
        }
    }

    /// Takes what is expired out of the members' queues.
    pub(super) fn drop_expired(&self, moment: &Moment, expired: &mut Vec<Pending>) {
        for QueueMembers { queue, .. } in self.read().values() {
            queue.drop_expired(moment, expired);
        }
    }

    pub(super) fn clear(&self) {
        self.write().clear();
    }

    fn for_each(&self, mut f: impl FnMut(&ChannelName, Instant)) {
        for QueueMembers { members, .. } in self.read().values() {
            match members {
                Members::One(channel, added) => f(channel, *added),
                Members::Many(members) => {
                    members
                        .iter()
                        .for_each(|(channel, added)| f(channel, *added));
                }
            }
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, HashMap<ChannelName, QueueMembers>> {
        self.queues.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<ChannelName, QueueMembers>> {
        self.queues.write().unwrap_or_else(PoisonError::into_inner)
    }
}
