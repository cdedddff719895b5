//! Channels: queues of messages, found by name.

use std::time::Duration;

use crate::clock::Time;
use crate::layout::{LIVE, Pool, channel, header, node};
use crate::segment::Checked;

use super::counter::Figures;
use super::hand::Prepared;
use super::queue::{self, Front, Queue as _};
use super::{Locked, Steps, Store};

/// A channel's record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Channel {
    pub(super) number: u32,
    pub(super) at: usize,
}

/// A message that is to be sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outgoing<'a> {
    /// The channel's name up to the `!`.
    pub(crate) name: &'a str,
    /// What comes after that.
    pub(crate) local: &'a str,
    pub(crate) message: &'a [u8],
    pub(crate) capacity: usize,
    pub(crate) expiry: Duration,
}

/// Why a message was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The channel is at capacity.
    Full,
    /// The segment has no room.
    NoRoom,
}

/// What is known of a channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ChannelFigures {
    pub(crate) pending: u64,
    pub(crate) max_age: Duration,
    pub(crate) sent: Figures,
    pub(crate) full: Figures,
}

impl Locked<'_> {
    // ---- Finding

    /// The channel of this name (up to the `!`), if there is one.
    pub(crate) fn find_channel(&self, name: &str) -> Checked<Option<Channel>> {
        let (name, hash) = (name.as_bytes(), self.hash(name.as_bytes()));
        self.store.find_hashed_channel(name, hash)
    }

    /// The channel of this name, made if there is none; nothing if there is no room.
    pub(crate) fn channel(&self, name: &str) -> Checked<Option<Channel>> {
        let hash = self.hash(name.as_bytes());
        if let Some(found) = self.store.find_hashed_channel(name.as_bytes(), hash)? {
            self.touch(found)?;
            return Ok(Some(found));
        }
        let Some(number) = self.allocate_or_reclaim(Pool::Channels)? else {
            return Ok(None);
        };
        let at = self.layout().channels.at(number)?;
        self.clear_channel(Channel { number, at })?;
        self.write_name(
            at + channel::NAME_LENGTH,
            at + channel::NAME,
            name.as_bytes(),
        )?;
        self.set(at + channel::HASH, hash)?;
        self.set_long(at + channel::USED, self.now.0)?;
        self.set(at + channel::STATE, LIVE)?;
        let made = Channel { number, at };
        self.link_channel(made, hash)?;
        Ok(Some(made))
    }

    /// Clears a record that is not in use. How many messages were taken out of it goes on.
    fn clear_channel(&self, channel: Channel) -> Checked<()> {
        let taken = self.store.queue(channel).front()?.taken;
        let after = channel::FRONT + 8;
        self.segment().clear(channel.at, channel::FRONT)?;
        self.segment()
            .clear(channel.at + after, channel::SIZE - after)?;
        self.open_empty(channel, taken)
    }

    /// Makes the queue of a channel an empty one, out of which so many messages were taken.
    pub(super) fn open_empty(&self, channel: Channel, taken: u32) -> Checked<()> {
        self.set(channel.at + channel::TAIL, 0)?;
        self.set(channel.at + channel::PUT, taken)?;
        self.set(channel.at + channel::TAKEN, taken)?;
        self.store.queue(channel).set_front(Front::new(0, taken))
    }

    /// The channel with this number, if it is in use.
    pub(super) fn live_channel(&self, number: u32) -> Checked<Option<Channel>> {
        let at = self.layout().channels.at(number)?;
        let live = self.get(at + channel::STATE)? == LIVE;
        Ok(live.then_some(Channel { number, at }))
    }

    /// All channels.
    pub(super) fn live_channels(&self) -> Checked<Vec<Channel>> {
        let mut channels = Vec::new();
        for number in 1..=self.highest(Pool::Channels)? {
            channels.extend(self.live_channel(number)?);
        }
        Ok(channels)
    }

    pub(crate) fn name_of(&self, channel: Channel) -> Checked<String> {
        let at = channel.at;
        self.read_name(at + channel::NAME_LENGTH, at + channel::NAME)
    }

    pub(super) fn link_channel(&self, channel: Channel, hash: u32) -> Checked<()> {
        let bucket = self.layout().channel_buckets.at(hash);
        self.set(channel.at + channel::NEXT, self.get(bucket)?)?;
        self.set(bucket, channel.number)
    }

    /// Forgets a channel nothing leads to.
    pub(super) fn remove_channel(&self, channel: Channel) -> Checked<()> {
        self.set(channel.at + channel::STATE, 0)?;
        // The sums over all channels must not go back.
        for (from, to) in [(channel::SENT, header::SENT), (channel::FULL, header::FULL)] {
            let total = self.figures(channel.at + from)?.total;
            self.add_to_total(to, total)?;
        }
        let hash = self.get(channel.at + channel::HASH)?;
        let after = self.get(channel.at + channel::NEXT)?;
        let mut link = self.layout().channel_buckets.at(hash);
        let mut steps = Steps::new(self.layout().channels.count);
        loop {
            steps.step()?;
            let number = self.get(link)?;
            if number == channel.number {
                self.set(link, after)?;
                return self.release(Pool::Channels, number);
            }
            link = self.layout().channels.at(number)? + channel::NEXT;
        }
    }

    // ---- Messages

    /// Appends a message, `prepared` if there was enough at hand for it, and wakes a client that
    /// waits for one.
    pub(super) fn send(
        &self,
        outgoing: &Outgoing<'_>,
        prepared: Option<Prepared>,
    ) -> Checked<Result<(), Refused>> {
        self.give_back_a_little()?;
        let Some(channel) = self.channel(outgoing.name)? else {
            self.count(header::FULL, 1)?;
            return Ok(Err(Refused::NoRoom));
        };
        let sent = self.send_to(channel, outgoing, prepared)?;
        match sent {
            Ok(()) => self.wake(channel)?,
            Err(_) => self.count_full(channel)?,
        }
        Ok(sent)
    }

    fn send_to(
        &self,
        channel: Channel,
        outgoing: &Outgoing<'_>,
        prepared: Option<Prepared>,
    ) -> Checked<Result<(), Refused>> {
        if !self.has_capacity(channel, outgoing.capacity)? {
            return Ok(Err(Refused::Full));
        }
        if let Some(prepared) = prepared
            && self.is_at_hand(prepared)
        {
            self.link(channel, prepared.node, prepared.expires)?;
            self.hand_over(prepared)?;
            self.count_sent(channel)?;
            return Ok(Ok(()));
        }
        let Some(body) = self.store_body_or_reclaim(outgoing.message)? else {
            return Ok(Err(Refused::NoRoom));
        };
        let expires = self.now.after(outgoing.expiry);
        if !self.append(channel, outgoing.local.as_bytes(), body, expires)? {
            self.drop_body(body)?;
            return Ok(Err(Refused::NoRoom));
        }
        self.fill_hand()?;
        self.count_sent(channel)?;
        Ok(Ok(()))
    }

    /// Drops what is expired, and says whether there is room for another message.
    pub(super) fn has_capacity(&self, channel: Channel, capacity: usize) -> Checked<bool> {
        self.look_for_expired(channel)?;
        // Should memory have to be given back for the message, this channel is not.
        self.touch(channel)?;
        let put = self.get(channel.at + channel::PUT)?;
        let taken = self.get(channel.at + channel::TAKEN)?;
        if (put.wrapping_sub(taken) as usize) < capacity {
            // Without looking at the front, which another processor may have in its cache.
            return Ok(true);
        }
        self.drop_expired(channel)?;
        let taken = self.store.queue(channel).front()?.taken;
        self.set(channel.at + channel::TAKEN, taken)?;
        Ok((put.wrapping_sub(taken) as usize) < capacity)
    }

    /// Drops what is expired if there can be anything, and notes until when there cannot.
    pub(super) fn look_for_expired(&self, channel: Channel) -> Checked<()> {
        if self.get_time(channel.at + channel::FRESH_UNTIL)? > self.now {
            return Ok(());
        }
        self.drop_expired(channel)?;
        let until = match self.oldest(channel)? {
            Some((_, expires)) => expires.0,
            None => u64::MAX,
        };
        self.set_long(channel.at + channel::FRESH_UNTIL, until)
    }

    /// Notes that the channel is in use.
    fn touch(&self, channel: Channel) -> Checked<()> {
        let at = channel.at + channel::USED;
        if self.get_time(at)? != self.now {
            self.set_long(at, self.now.0)?;
        }
        Ok(())
    }

    /// Puts a body at the end of a queue, which takes over one reference to it; false, and the
    /// reference remains the caller's, if there is no room.
    pub(super) fn append(
        &self,
        channel: Channel,
        local: &[u8],
        body: u32,
        expires: Time,
    ) -> Checked<bool> {
        let Some(number) = self.allocate_or_reclaim(Pool::Nodes)? else {
            return Ok(false);
        };
        let at = self.layout().nodes.at(number)?;
        if !self.write_local(at + node::LOCAL, local)? {
            self.release(Pool::Nodes, number)?;
            return Ok(false);
        }
        self.set(at + node::BODY, body)?;
        self.set(at + node::ALONE, 0)?;
        self.set_long(at + node::SENT, self.now.0)?;
        self.set_long(at + node::EXPIRES, expires.0)?;
        self.set(at + node::NEXT, 0)?;
        self.link(channel, number, expires)?;
        Ok(true)
    }

    /// Puts a place that is written at the end of a queue.
    fn link(&self, channel: Channel, number: u32, expires: Time) -> Checked<()> {
        queue::append(&self.store.queue(channel), number)?;
        self.change(channel.at + channel::PUT, |put| put.wrapping_add(1))?;
        let fresh_until = channel.at + channel::FRESH_UNTIL;
        if expires < self.get_time(fresh_until)? {
            self.set_long(fresh_until, expires.0)?;
        }
        Ok(())
    }

    // ---- Figures

    pub(super) fn count_sent(&self, channel: Channel) -> Checked<()> {
        self.count(channel.at + channel::SENT, 1)
    }

    pub(super) fn count_full(&self, channel: Channel) -> Checked<()> {
        self.count(channel.at + channel::FULL, 1)
    }

    /// The figures of the channel of this name.
    pub(crate) fn channel_figures(&self, name: &str) -> Checked<ChannelFigures> {
        match self.find_channel(name)? {
            Some(channel) => self.figures_of(channel),
            None => Ok(ChannelFigures::default()),
        }
    }

    /// The sums over all channels, and the greatest age.
    pub(crate) fn global_figures(&self) -> Checked<ChannelFigures> {
        let mut all = ChannelFigures {
            sent: self.figures(header::SENT)?,
            full: self.figures(header::FULL)?,
            ..ChannelFigures::default()
        };
        for channel in self.live_channels()? {
            let one = self.figures_of(channel)?;
            all.pending += one.pending;
            all.sent = all.sent.plus(one.sent);
            all.full = all.full.plus(one.full);
            all.max_age = all.max_age.max(one.max_age);
        }
        Ok(all)
    }

    pub(super) fn figures_of(&self, channel: Channel) -> Checked<ChannelFigures> {
        let pending = self.pending(channel)?;
        let oldest = self.oldest(channel)?;
        Ok(ChannelFigures {
            pending: pending.into(),
            max_age: oldest.map_or(Duration::ZERO, |(sent, _)| self.now.since(sent)),
            sent: self.figures(channel.at + channel::SENT)?,
            full: self.figures(channel.at + channel::FULL)?,
        })
    }
}

impl Store {
    /// The channel of this name. Without the lock, one may be missed, and the record found may
    /// be that of another channel from now on.
    pub(super) fn find_hashed_channel(&self, name: &[u8], hash: u32) -> Checked<Option<Channel>> {
        let mut number = self.segment.load(self.layout.channel_buckets.at(hash))?;
        let mut steps = Steps::new(self.layout.channels.count);
        while number != 0 {
            steps.step()?;
            let at = self.layout.channels.at(number)?;
            if self.segment.load(at + channel::HASH)? == hash
                && self.is_named(at + channel::NAME_LENGTH, at + channel::NAME, name)?
            {
                return Ok(Some(Channel { number, at }));
            }
            number = self.segment.load(at + channel::NEXT)?;
        }
        Ok(None)
    }

    /// Whether the record is that of the channel of this name.
    pub(super) fn is_of(&self, channel: Channel, name: &[u8]) -> Checked<bool> {
        let at = channel.at;
        Ok(self.segment.load(at + channel::STATE)? == LIVE
            && self.is_named(at + channel::NAME_LENGTH, at + channel::NAME, name)?)
    }
}
