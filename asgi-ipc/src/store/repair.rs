//! Making a store whole again whose lock was held by a process that died, or that was written to
//! by something else.
//!
//! From what says what exists (channels by name, their queues, messages' bodies, memberships)
//! everything else is made anew. What is not well formed is dropped, which after a death is at
//! most what the dead process was about to write.

use asgiref::{ChannelName, GroupName};

use crate::layout::block;
use crate::layout::{LIVE, Pool, channel, client, group, header, local, membership, node};
use crate::segment::{Checked, Damage};

use super::channels::Channel;
use super::queue::{self, Front, Queue as _};
use super::{Locked, Store};

impl Locked<'_> {
    /// Makes the store whole, and wakes those that the dead should have woken.
    pub(super) fn repair(&self) -> Checked<()> {
        self.forget_the_dead()?;
        self.rebuild()?;
        let repairs = self.get(header::REPAIRS)?.saturating_add(1);
        self.set(header::REPAIRS, repairs)?;
        tracing::info!(
            repairs,
            "the segment was repaired after a process ended half-way"
        );
        self.wake_forgotten()?;
        self.wake_again()
    }

    /// Makes everything anew that follows from what exists; nothing does while the store is being
    /// flushed.
    pub(super) fn rebuild(&self) -> Checked<()> {
        self.set(header::DIRTY, 1)?;
        let flushing = self.get(header::FLUSHING)? != 0;
        if flushing {
            self.segment().clear(header::SENT, 24)?;
            self.segment().clear(header::FULL, 24)?;
        }
        let mut kept = Kept::new(self.store);
        self.rebuild_channels(flushing, &mut kept)?;
        self.rebuild_groups(flushing, &mut kept)?;
        for (number, references) in (1..).zip(&kept.references) {
            if *references > 0 {
                let at = self.layout().blocks.at(number)?;
                self.set(at + block::REFERENCES, *references)?;
            }
        }
        self.keep_held(&mut kept)?;
        self.rebuild_pool(Pool::Nodes, &kept.nodes)?;
        self.rebuild_pool(Pool::Blocks, &kept.blocks)?;
        self.set(header::FLUSHING, 0)?;
        self.set(header::DIRTY, 0)
    }

    fn rebuild_channels(&self, flushing: bool, kept: &mut Kept) -> Checked<()> {
        let buckets = self.layout().channel_buckets;
        self.segment().clear(buckets.start(), buckets.size())?;
        let mut channels = Marks::new(self.layout().channels.count);
        for number in 1..=self.highest(Pool::Channels)? {
            let at = self.layout().channels.at(number)?;
            let channel = Channel { number, at };
            let front = queue::close(&self.store.queue(channel))?;
            let Some(name) = self.name_to_keep(channel, flushing)? else {
                self.set(at + channel::STATE, 0)?;
                self.open_empty(channel, front.taken)?;
                continue;
            };
            channels.mark(number)?;
            let hash = self.hash(name.as_bytes());
            self.set(at + channel::HASH, hash)?;
            self.set(at + channel::MEMBERS, 0)?;
            self.link_channel(channel, hash)?;
            if flushing {
                self.clear_counter(at + channel::SENT)?;
                self.clear_counter(at + channel::FULL)?;
                self.open_empty(channel, front.taken)?;
            } else {
                self.rebuild_queue(channel, front, kept)?;
            }
        }
        self.rebuild_pool(Pool::Channels, &channels)
    }

    /// The name of a channel that remains.
    fn name_to_keep(&self, channel: Channel, flushing: bool) -> Checked<Option<String>> {
        if self.get(channel.at + channel::STATE)? != LIVE
            || flushing && !self.is_waited_for(channel)?
        {
            return Ok(None);
        }
        let name = match self.name_of(channel) {
            Ok(name) => name,
            Err(Damage(_)) => return Ok(None),
        };
        let valid = ChannelName::new(name.as_str()).is_ok_and(|valid| valid.non_local() == name);
        // Those before it are in the buckets already.
        Ok((valid && self.find_channel(&name)?.is_none()).then_some(name))
    }

    /// Makes a queue whole that is closed, and opens it.
    fn rebuild_queue(&self, channel: Channel, front: Front, kept: &mut Kept) -> Checked<()> {
        let queue = self.store.queue(channel);
        let (mut first, mut tail, mut length) = (0, 0, 0_u32);
        let mut number = front.oldest().unwrap_or(0);
        // A place that is in a queue already ends the list: the rest is that queue's.
        while let Ok(at) = self.layout().nodes.at(number)
            && kept.seen.mark(number).is_ok()
        {
            let next = self.get(at + node::NEXT)?;
            if self.keep_message(at, kept).is_ok() {
                kept.nodes.mark(number)?;
                match tail {
                    0 => first = number,
                    tail => queue.set_next(tail, number)?,
                }
                (tail, length) = (number, length + 1);
            }
            number = next;
        }
        if tail != 0 {
            queue.set_next(tail, 0)?;
        }
        queue.set_tail(tail)?;
        let put = front.taken.wrapping_add(length);
        self.set(channel.at + channel::PUT, put)?;
        self.set(channel.at + channel::TAKEN, front.taken)?;
        self.set_long(channel.at + channel::FRESH_UNTIL, 0)?;
        queue.set_front(Front::new(first, front.taken))
    }

    /// Marks what a message in a queue uses, if it is well formed.
    fn keep_message(&self, at: usize, kept: &mut Kept) -> Checked<()> {
        let body = self.get(at + node::BODY)?;
        self.check_body(body, kept)?;
        self.keep_local(at + node::LOCAL, kept)?;
        self.keep_body(body, kept)?;
        // Whether the body is in other queues as well is not known yet. Until it is, nobody takes
        // the message without the lock, although its queue may be open already.
        self.set(at + node::ALONE, 0)
    }

    fn keep_local(&self, at: usize, kept: &mut Kept) -> Checked<()> {
        if self.get(at + local::LENGTH)? as usize <= local::INLINE_SIZE {
            return self.set(at + local::BODY, 0);
        }
        let body = self.get(at + local::BODY)?;
        self.check_body(body, kept)?;
        self.read_local(at)?;
        self.keep_body(body, kept)
    }

    /// A body is well formed, and shares no block with another.
    fn check_body(&self, body: u32, kept: &Kept) -> Checked<()> {
        let known = self.layout().blocks.at(body).map(|_| kept.is_body(body))?;
        if known {
            return Ok(());
        }
        self.visit_body(body, |number| kept.blocks.check_unmarked(number))
    }

    fn keep_body(&self, body: u32, kept: &mut Kept) -> Checked<()> {
        if !kept.is_body(body) {
            let blocks = &mut kept.blocks;
            self.visit_body(body, |number| blocks.mark(number))?;
        }
        kept.refer(body)
    }

    fn rebuild_groups(&self, flushing: bool, kept: &mut Kept) -> Checked<()> {
        for buckets in [
            self.layout().group_buckets,
            self.layout().member_buckets,
            self.layout().pair_buckets,
        ] {
            self.segment().clear(buckets.start(), buckets.size())?;
        }
        let mut groups = Marks::new(self.layout().groups.count);
        for number in 1..=self.highest(Pool::Groups)? {
            let at = self.layout().groups.at(number)?;
            self.set(at + group::HEAD, 0)?;
            self.set(at + group::COUNT, 0)?;
            match self.group_to_keep(at, flushing)? {
                Some(name) => self.link_group(number, self.hash(name.as_bytes()))?,
                None => self.set(at + group::STATE, 0)?,
            }
        }
        let mut memberships = Marks::new(self.layout().memberships.count);
        for number in 1..=self.highest(Pool::Memberships)? {
            let at = self.layout().memberships.at(number)?;
            if self.get(at + membership::STATE)? != LIVE {
                continue;
            }
            match self.keep_membership(number, at, flushing, kept) {
                Ok(group) => {
                    memberships.mark(number)?;
                    // A group is marked by each of its members.
                    let _ = groups.mark(group);
                }
                Err(Damage(_)) => self.set(at + membership::STATE, 0)?,
            }
        }
        // What is marked free by its state, but is in the lists still, is taken out of them.
        for number in 1..=self.highest(Pool::Groups)? {
            let at = self.layout().groups.at(number)?;
            if self.get(at + group::STATE)? == LIVE && !groups.is_marked(number) {
                self.remove_group(number)?;
            }
        }
        self.rebuild_pool(Pool::Groups, &groups)?;
        self.rebuild_pool(Pool::Memberships, &memberships)
    }

    fn group_to_keep(&self, at: usize, flushing: bool) -> Checked<Option<String>> {
        if flushing || self.get(at + group::STATE)? != LIVE {
            return Ok(None);
        }
        let Ok(name) = self.read_name(at + group::NAME_LENGTH, at + group::NAME) else {
            return Ok(None);
        };
        let fine = GroupName::new(name.as_str()).is_ok() && self.find_group(&name)?.is_none();
        Ok(fine.then_some(name))
    }

    /// Links a membership that is well formed; its group.
    fn keep_membership(
        &self,
        number: u32,
        at: usize,
        flushing: bool,
        kept: &mut Kept,
    ) -> Checked<u32> {
        if flushing {
            return Err(Damage("nothing is kept"));
        }
        let group = self.get(at + membership::GROUP)?;
        let group_at = self.layout().groups.at(group)?;
        if self.get(group_at + group::STATE)? != LIVE {
            return Err(Damage("a membership is of no group"));
        }
        let channel = self
            .live_channel(self.get(at + membership::CHANNEL)?)?
            .ok_or(Damage("a membership is of no channel"))?;
        self.keep_local(at + membership::LOCAL, kept)?;
        let local = self.read_local(at + membership::LOCAL)?;
        self.link_membership(number, group, channel, &local)?;
        Ok(group)
    }

    /// Marks what the living have at hand.
    fn keep_held(&self, kept: &mut Kept) -> Checked<()> {
        let mut twice = false;
        let mut clients = self.clients()?;
        // What others only note, and do not get, may be at hand here.
        clients.sort_by_key(|(slot, ..)| *slot != self.store.slot);
        for (slot, ..) in clients {
            let mine = slot == self.store.slot;
            if !mine && !self.store.peers.is_alive(slot) {
                continue;
            }
            for (list, marks) in [
                (client::HELD_NODES, &mut kept.nodes),
                (client::HELD_BLOCKS, &mut kept.blocks),
            ] {
                // What is in use already, or does not exist, was written there by something else.
                self.visit_held(slot, list, |number| {
                    twice |= marks.mark(number).is_err() && mine;
                })?;
            }
        }
        if twice {
            self.drop_hand()?;
        }
        Ok(())
    }

    /// Says that what is marked is in use, and nothing else.
    fn rebuild_pool(&self, pool: Pool, kept: &Marks) -> Checked<()> {
        self.set_used(pool, &kept.0)
    }
}

/// What was found to be in use.
struct Kept {
    /// Places in queues that were looked at.
    seen: Marks,
    nodes: Marks,
    blocks: Marks,
    /// How often each block, if it is the first of a body, is referred to.
    references: Vec<u32>,
}

impl Kept {
    fn new(store: &Store) -> Self {
        let layout = &store.layout;
        Self {
            seen: Marks::new(layout.nodes.count),
            nodes: Marks::new(layout.nodes.count),
            blocks: Marks::new(layout.blocks.count),
            references: vec![0; layout.blocks.count as usize],
        }
    }

    fn is_body(&self, number: u32) -> bool {
        self.count(number).is_some_and(|count| *count > 0)
    }

    fn refer(&mut self, number: u32) -> Checked<()> {
        let count = (number as usize)
            .checked_sub(1)
            .and_then(|index| self.references.get_mut(index))
            .ok_or(Damage("a message has no bytes"))?;
        *count += 1;
        Ok(())
    }

    fn count(&self, number: u32) -> Option<&u32> {
        self.references.get((number as usize).checked_sub(1)?)
    }
}

/// One mark for each record of a table, the first in the lowest bit of the first word.
struct Marks(Vec<u64>);

impl Marks {
    fn new(count: u32) -> Self {
        Self(vec![0; count.div_ceil(64) as usize])
    }

    fn is_marked(&self, number: u32) -> bool {
        place(number).is_some_and(|(word, bit)| {
            let marks = self.0.get(word);
            marks.is_some_and(|marks| marks & bit != 0)
        })
    }

    fn check_unmarked(&self, number: u32) -> Checked<()> {
        if self.is_marked(number) {
            return Err(Damage("two records use a third"));
        }
        Ok(())
    }

    /// Fails if it has a mark already.
    fn mark(&mut self, number: u32) -> Checked<()> {
        self.check_unmarked(number)?;
        let (marks, bit) = place(number)
            .and_then(|(word, bit)| Some((self.0.get_mut(word)?, bit)))
            .ok_or(Damage("a link points out of its table"))?;
        *marks |= bit;
        Ok(())
    }
}

/// The word and the bit of a record's mark.
fn place(number: u32) -> Option<(usize, u64)> {
    let index = number.checked_sub(1)?;
    Some((index as usize / 64, 1 << (index % 64)))
}
