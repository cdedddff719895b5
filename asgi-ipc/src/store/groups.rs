//! Groups and memberships.
//!
//! A membership is in three lists: that of its group, for sending; that of its member, for ending
//! all memberships of a channel; and that of the two together, for finding it.

use std::collections::HashMap;
use std::time::Duration;

use crate::clock::Time;
use crate::layout::{Buckets, LIVE, Pool, channel, group, membership};
use crate::segment::Checked;

use super::channels::Channel;
use super::names::hash_pair;
use super::{Locked, Steps};

/// The segment has no room for a membership.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoRoom {
    /// In the memory for groups.
    Groups,
    /// In the memory for messages and channels.
    Channels,
}

/// A list memberships are in: its two fields.
#[derive(Clone, Copy)]
struct List {
    previous: usize,
    next: usize,
}

const OF_GROUP: List = List {
    previous: membership::GROUP_PREVIOUS,
    next: membership::GROUP_NEXT,
};
const OF_MEMBER: List = List {
    previous: membership::MEMBER_PREVIOUS,
    next: membership::MEMBER_NEXT,
};
const OF_PAIR: List = List {
    previous: membership::PAIR_PREVIOUS,
    next: membership::PAIR_NEXT,
};

impl Locked<'_> {
    /// Makes the channel (its queue's name and the local part) a member until `expiry` has passed.
    pub(crate) fn add(
        &self,
        group: &str,
        name: &str,
        local: &str,
        expiry: Duration,
    ) -> Checked<Result<(), NoRoom>> {
        let until = self.now.after(expiry);
        let Some(channel) = self.channel(name)? else {
            return Ok(Err(NoRoom::Channels));
        };
        // What expired before it joined must not end the membership.
        self.drop_expired(channel)?;
        if let Some(number) = self.find_membership(group, channel, local.as_bytes())? {
            let at = self.layout().memberships.at(number)?;
            self.set_long(at + membership::ADDED, self.now.0)?;
            self.set_long(at + membership::UNTIL, until.0)?;
            return Ok(Ok(()));
        }
        let Some(number) = self.allocate_or_reclaim(Pool::Memberships)? else {
            return Ok(Err(NoRoom::Groups));
        };
        let at = self.layout().memberships.at(number)?;
        if !self.write_local(at + membership::LOCAL, local.as_bytes())? {
            self.release(Pool::Memberships, number)?;
            return Ok(Err(NoRoom::Channels));
        }
        let Some(group) = self.group(group)? else {
            self.free_local(at + membership::LOCAL)?;
            self.release(Pool::Memberships, number)?;
            return Ok(Err(NoRoom::Groups));
        };
        self.set(at + membership::GROUP, group)?;
        self.set(at + membership::CHANNEL, channel.number)?;
        self.set_long(at + membership::ADDED, self.now.0)?;
        self.set_long(at + membership::UNTIL, until.0)?;
        self.set(at + membership::STATE, LIVE)?;
        self.link_membership(number, group, channel, local.as_bytes())?;
        Ok(Ok(()))
    }

    /// Ends a membership, if there is one.
    pub(crate) fn discard(&self, group: &str, name: &str, local: &str) -> Checked<()> {
        if let Some(channel) = self.find_channel(name)?
            && let Some(number) = self.find_membership(group, channel, local.as_bytes())?
        {
            self.remove_membership(number)?;
        }
        Ok(())
    }

    /// The names of the members.
    pub(crate) fn members(&self, group: &str) -> Checked<Vec<String>> {
        let mut names = Vec::new();
        // What expired on members' channels ends memberships, so it goes first.
        for number in self.memberships_of(group)? {
            let at = self.layout().memberships.at(number)?;
            if self.get(at + membership::STATE)? == LIVE
                && let Some(channel) = self.live_channel(self.get(at + membership::CHANNEL)?)?
            {
                self.drop_expired(channel)?;
            }
        }
        for number in self.memberships_of(group)? {
            let Some((channel, local)) = self.member(number)? else {
                continue;
            };
            let mut name = self.name_of(channel)?;
            name.push_str(&String::from_utf8_lossy(&local));
            names.push(name);
        }
        Ok(names)
    }

    /// Sends a message to all members; how many missed it because there was no room for them.
    pub(crate) fn send_group(
        &self,
        group: &str,
        message: &[u8],
        capacity_of: impl Fn(&str) -> usize,
        expiry: Duration,
    ) -> Checked<u64> {
        self.give_back_a_little()?;
        let numbers = self.memberships_of(group)?;
        if numbers.is_empty() {
            return Ok(0);
        }
        let body = self.store_body_or_reclaim(message)?;
        let expires = self.now.after(expiry);
        let mut capacities: HashMap<u32, usize> = HashMap::new();
        let mut missed = 0_u64;
        for number in numbers {
            let Some((channel, _)) = self.member(number)? else {
                continue;
            };
            let capacity = match capacities.get(&channel.number) {
                Some(capacity) => *capacity,
                None => {
                    let capacity = capacity_of(&self.name_of(channel)?);
                    capacities.insert(channel.number, capacity);
                    capacity
                }
            };
            let has_capacity = self.has_capacity(channel, capacity)?;
            // What expired just now may have ended this very membership.
            let Some((channel, local)) = self.member(number)? else {
                continue;
            };
            let sent = match body {
                Some(body) if has_capacity => {
                    self.share_body(body)?;
                    let sent = self.append(channel, &local, body, expires)?;
                    if !sent {
                        self.drop_body(body)?;
                    }
                    sent
                }
                _ => false,
            };
            if sent {
                self.count_sent(channel)?;
                self.wake(channel)?;
            } else {
                self.count_full(channel)?;
                missed += 1;
            }
        }
        if let Some(body) = body {
            self.drop_body(body)?;
        }
        Ok(missed)
    }

    /// Ends the memberships of a channel that began before `expired`.
    pub(super) fn end_memberships(
        &self,
        channel: Channel,
        local: &[u8],
        expired: Time,
    ) -> Checked<()> {
        let hash = self.member_hash(channel, local)?;
        let mut number = self.get(self.layout().member_buckets.at(hash))?;
        let mut steps = Steps::new(self.layout().memberships.count);
        while number != 0 {
            steps.step()?;
            let at = self.layout().memberships.at(number)?;
            let next = self.get(at + membership::MEMBER_NEXT)?;
            if self.get(at + membership::CHANNEL)? == channel.number
                && self.get_time(at + membership::ADDED)? < expired
                && self.is_local(at + membership::LOCAL, local)?
            {
                self.remove_membership(number)?;
            }
            number = next;
        }
        Ok(())
    }

    /// Puts a membership that is written into its lists.
    pub(super) fn link_membership(
        &self,
        number: u32,
        group: u32,
        channel: Channel,
        local: &[u8],
    ) -> Checked<()> {
        let at = self.layout().memberships.at(number)?;
        let member_hash = self.member_hash(channel, local)?;
        let pair_hash = hash_pair(group, member_hash);
        self.set(at + membership::MEMBER_HASH, member_hash)?;
        self.set(at + membership::PAIR_HASH, pair_hash)?;
        let group_at = self.layout().groups.at(group)?;
        self.insert(OF_GROUP, group_at + group::HEAD, number)?;
        let bucket = |buckets: Buckets, hash| buckets.at(hash);
        let layout = self.layout();
        self.insert(
            OF_MEMBER,
            bucket(layout.member_buckets, member_hash),
            number,
        )?;
        self.insert(OF_PAIR, bucket(layout.pair_buckets, pair_hash), number)?;
        self.change(group_at + group::COUNT, |count| count.saturating_add(1))?;
        self.change(channel.at + channel::MEMBERS, |count| {
            count.saturating_add(1)
        })
    }

    /// Ends a membership; a group without any is forgotten.
    pub(super) fn remove_membership(&self, number: u32) -> Checked<()> {
        let at = self.layout().memberships.at(number)?;
        // From here on it is none.
        self.set(at + membership::STATE, 0)?;
        let group = self.get(at + membership::GROUP)?;
        let group_at = self.layout().groups.at(group)?;
        let layout = self.layout();
        let member_bucket = layout
            .member_buckets
            .at(self.get(at + membership::MEMBER_HASH)?);
        let pair_bucket = layout
            .pair_buckets
            .at(self.get(at + membership::PAIR_HASH)?);
        self.take_out(OF_GROUP, group_at + group::HEAD, number)?;
        self.take_out(OF_MEMBER, member_bucket, number)?;
        self.take_out(OF_PAIR, pair_bucket, number)?;
        self.change(group_at + group::COUNT, |count| count.saturating_sub(1))?;
        let channel = self
            .layout()
            .channels
            .at(self.get(at + membership::CHANNEL)?)?;
        self.change(channel + channel::MEMBERS, |count| count.saturating_sub(1))?;
        self.free_local(at + membership::LOCAL)?;
        self.release(Pool::Memberships, number)?;
        if self.get(group_at + group::HEAD)? == 0 {
            self.remove_group(group)?;
        }
        Ok(())
    }

    // ---- Groups

    pub(super) fn find_group(&self, name: &str) -> Checked<Option<u32>> {
        let hash = self.hash(name.as_bytes());
        let mut number = self.get(self.layout().group_buckets.at(hash))?;
        let mut steps = Steps::new(self.layout().groups.count);
        while number != 0 {
            steps.step()?;
            let at = self.layout().groups.at(number)?;
            if self.get(at + group::HASH)? == hash
                && self.is_named(at + group::NAME_LENGTH, at + group::NAME, name.as_bytes())?
            {
                return Ok(Some(number));
            }
            number = self.get(at + group::NEXT)?;
        }
        Ok(None)
    }

    pub(super) fn link_group(&self, number: u32, hash: u32) -> Checked<()> {
        let at = self.layout().groups.at(number)?;
        let bucket = self.layout().group_buckets.at(hash);
        self.set(at + group::HASH, hash)?;
        self.set(at + group::NEXT, self.get(bucket)?)?;
        self.set(bucket, number)
    }

    /// Forgets a group without members.
    pub(super) fn remove_group(&self, number: u32) -> Checked<()> {
        let at = self.layout().groups.at(number)?;
        self.set(at + group::STATE, 0)?;
        let after = self.get(at + group::NEXT)?;
        let mut link = self.layout().group_buckets.at(self.get(at + group::HASH)?);
        let mut steps = Steps::new(self.layout().groups.count);
        loop {
            steps.step()?;
            let next = self.get(link)?;
            if next == number {
                self.set(link, after)?;
                return self.release(Pool::Groups, number);
            }
            link = self.layout().groups.at(next)? + group::NEXT;
        }
    }

    /// The group of this name, made if there is none; nothing if there is no room.
    fn group(&self, name: &str) -> Checked<Option<u32>> {
        if let Some(found) = self.find_group(name)? {
            return Ok(Some(found));
        }
        let Some(number) = self.allocate_or_reclaim(Pool::Groups)? else {
            return Ok(None);
        };
        let at = self.layout().groups.at(number)?;
        self.segment().clear(at, group::SIZE)?;
        self.write_name(at + group::NAME_LENGTH, at + group::NAME, name.as_bytes())?;
        self.set(at + group::STATE, LIVE)?;
        self.link_group(number, self.hash(name.as_bytes()))?;
        Ok(Some(number))
    }

    // ---- Memberships

    fn find_membership(&self, group: &str, channel: Channel, local: &[u8]) -> Checked<Option<u32>> {
        let Some(group) = self.find_group(group)? else {
            return Ok(None);
        };
        let hash = hash_pair(group, self.member_hash(channel, local)?);
        let mut number = self.get(self.layout().pair_buckets.at(hash))?;
        let mut steps = Steps::new(self.layout().memberships.count);
        while number != 0 {
            steps.step()?;
            let at = self.layout().memberships.at(number)?;
            if self.get(at + membership::GROUP)? == group
                && self.get(at + membership::CHANNEL)? == channel.number
                && self.is_local(at + membership::LOCAL, local)?
            {
                return Ok(Some(number));
            }
            number = self.get(at + membership::PAIR_NEXT)?;
        }
        Ok(None)
    }

    /// The memberships of a group, those that are over included.
    fn memberships_of(&self, group: &str) -> Checked<Vec<u32>> {
        let Some(group) = self.find_group(group)? else {
            return Ok(Vec::new());
        };
        let at = self.layout().groups.at(group)?;
        let mut numbers = Vec::new();
        let mut number = self.get(at + group::HEAD)?;
        let mut steps = Steps::new(self.layout().memberships.count);
        while number != 0 {
            steps.step()?;
            numbers.push(number);
            let at = self.layout().memberships.at(number)?;
            number = self.get(at + membership::GROUP_NEXT)?;
        }
        Ok(numbers)
    }

    /// The channel and the local part of a member; nothing if the membership is over, which is
    /// then ended.
    fn member(&self, number: u32) -> Checked<Option<(Channel, Vec<u8>)>> {
        let at = self.layout().memberships.at(number)?;
        if self.get(at + membership::STATE)? != LIVE {
            return Ok(None);
        }
        if self.get_time(at + membership::UNTIL)? <= self.now {
            self.remove_membership(number)?;
            return Ok(None);
        }
        let channel = self.live_channel(self.get(at + membership::CHANNEL)?)?;
        let local = self.read_local(at + membership::LOCAL)?;
        Ok(channel.map(|channel| (channel, local)))
    }

    fn member_hash(&self, channel: Channel, local: &[u8]) -> Checked<u32> {
        let channel_hash = self.get(channel.at + channel::HASH)?;
        Ok(self.hash_member(channel_hash, local))
    }

    /// Puts a membership at the beginning of a list.
    fn insert(&self, list: List, head: usize, number: u32) -> Checked<()> {
        let at = self.layout().memberships.at(number)?;
        let next = self.get(head)?;
        self.set(at + list.previous, 0)?;
        self.set(at + list.next, next)?;
        if next != 0 {
            self.set(self.layout().memberships.at(next)? + list.previous, number)?;
        }
        self.set(head, number)
    }

    fn take_out(&self, list: List, head: usize, number: u32) -> Checked<()> {
        let at = self.layout().memberships.at(number)?;
        let previous = self.get(at + list.previous)?;
        let next = self.get(at + list.next)?;
        match previous {
            0 => self.set(head, next)?,
            previous => self.set(self.layout().memberships.at(previous)? + list.next, next)?,
        }
        if next != 0 {
            self.set(
                self.layout().memberships.at(next)? + list.previous,
                previous,
            )?;
        }
        Ok(())
    }
}
