//! The model layer's groups, and the rules for them it keeps or breaks.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use asgiref::{ChannelKind, ChannelName, GroupName};
use tokio::time::Instant;

use super::fault::Fault;
use super::model::{EXPIRY, GROUP_EXPIRY};
use super::state::State;

/// The members of one group.
pub(crate) type Members = BTreeMap<ChannelName, Membership>;

pub(crate) struct Membership {
    added: Instant,
    /// When it was added, or a message was sent to its channel.
    used: Instant,
    /// When it ends early, under one of the faults.
    ends: Option<Instant>,
    /// How many copies of a message the member gets.
    copies: usize,
}

impl State {
    fn group_key(&self, client: usize, group: &GroupName) -> String {
        match self.fault {
            Fault::GroupsOfClient => format!("{client} {group}"),
            Fault::IgnoresCase => group.as_str().to_lowercase(),
            _ => group.to_string(),
        }
    }

    pub(crate) fn add(&mut self, client: usize, group: &GroupName, channel: &ChannelName) {
        let fault = self.fault;
        // A layer that has not noticed that a message expired ends the wrong membership later.
        if fault != Fault::EvictsRejoined {
            self.purge();
        }
        let now = Instant::now();
        let key = self.group_key(client, group);
        let members = self.groups.entry(key).or_default();
        match members.get_mut(channel) {
            Some(known) => {
                known.used = now;
                if fault != Fault::NoProlonging {
                    known.added = now;
                }
                if fault == Fault::MembersTwice {
                    known.copies += 1;
                }
            }
            None => {
                let new = Membership {
                    added: now,
                    used: now,
                    ends: None,
                    copies: 1,
                };
                members.insert(channel.clone(), new);
            }
        }
        self.purge_at(now + Duration::from_secs(1));
    }

    /// Whether the channel was a member.
    pub(crate) fn discard(
        &mut self,
        client: usize,
        group: &GroupName,
        channel: &ChannelName,
    ) -> bool {
        self.purge();
        let key = self.group_key(client, group);
        let fault = self.fault;
        let mut found = false;
        for (name, members) in &mut self.groups {
            if fault == Fault::NoDiscard || *name != key && fault != Fault::DiscardsFromAll {
                continue;
            }
            if fault == Fault::DiscardsWholeProcess {
                members.retain(|known, _| known.non_local() != channel.non_local());
            } else {
                found |= members.remove(channel).is_some();
            }
        }
        found
    }

    pub(crate) fn members(&mut self, client: usize, group: &GroupName) -> BTreeSet<ChannelName> {
        self.purge();
        let key = self.group_key(client, group);
        let members = self.groups.get(&key).map(Members::keys);
        members.into_iter().flatten().cloned().collect()
    }

    /// The members a group send reaches.
    pub(crate) fn reached(&mut self, client: usize, group: &GroupName) -> Vec<ChannelName> {
        self.purge();
        let key = self.group_key(client, group);
        let members = self.groups.get(&key).into_iter().flatten();
        let mut members: Vec<_> = members
            .flat_map(|(member, known)| std::iter::repeat_n(member.clone(), known.copies))
            .collect();
        match self.fault {
            Fault::OneCopyForProcess => {
                let mut processes = BTreeSet::new();
                members.retain(|member| processes.insert(member.to_non_local()));
            }
            Fault::SmallGroups => members.truncate(500),
            Fault::GroupsAreChannels => members.extend(ChannelName::new(group.as_text().clone())),
            _ => {}
        }
        members
    }

    /// How many members all groups have, which changes when somebody comes or goes.
    pub(crate) fn member_count(&self) -> usize {
        self.groups.values().map(Members::len).sum()
    }

    /// Notes that a message was sent to `channel`.
    pub(crate) fn note_use(&mut self, channel: &ChannelName, now: Instant) {
        if !matches!(self.fault, Fault::IdleMembersEnd | Fault::ReadMembersEnd) {
            return;
        }
        let ends = self.has(Fault::ReadMembersEnd).then(|| now + EXPIRY);
        for members in self.groups.values_mut() {
            if let Some(known) = members.get_mut(channel) {
                known.used = now;
                known.ends = known.ends.or(ends);
            }
        }
    }

    /// Ends the memberships of a channel on which a message expired at `at`.
    pub(crate) fn evict(&mut self, channel: &ChannelName, at: Instant) {
        let process = channel.kind() == ChannelKind::ProcessSpecific;
        let fault = self.fault;
        match fault {
            Fault::NoEvictionOfProcess if process => return,
            Fault::NoEvictionOfNormal if !process => return,
            _ => {}
        }
        for members in self.groups.values_mut() {
            members.retain(|member, known| {
                let concerned = match fault {
                    Fault::EvictsWholeProcess => member.non_local() == channel.non_local(),
                    _ => member == channel,
                };
                let later = known.added > at && fault != Fault::EvictsRejoined;
                !concerned || later
            });
        }
    }

    /// Ends the memberships whose time is over.
    pub(crate) fn end_memberships(&mut self, now: Instant) {
        let fault = self.fault;
        for members in self.groups.values_mut() {
            let latest = members.values().map(|known| known.added).max();
            members.retain(|_, known| {
                let over = match fault {
                    Fault::NoGroupExpiry => false,
                    Fault::GroupEndsAsOne => latest.is_some_and(|at| now >= at + GROUP_EXPIRY),
                    _ => now >= known.added + GROUP_EXPIRY,
                };
                let idle = fault == Fault::IdleMembersEnd && now >= known.used + 2 * EXPIRY;
                let ended = known.ends.is_some_and(|ends| now >= ends);
                !(over || idle || ended)
            });
        }
        if self.member_count() > 0 {
            self.purge_at(now + Duration::from_secs(1));
        }
    }
}
