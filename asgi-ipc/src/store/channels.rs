//! Channels: queues of messages, found by name.

use std::time::Duration;

use crate::clock::Time;
use crate::layout::{LIVE, Pool, block, channel, header, local, node};
use crate::segment::Checked;

use super::ahead::MOST;
use super::counter::Figures;
use super::hand::Prepared;
use super::taken::{Part, Taken};
use super::{Locked, Steps};

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
        self.find_hashed_channel(name.as_bytes(), self.hash(name.as_bytes()))
    }

    /// The channel of this name, made if there is none; nothing if there is no room.
    pub(crate) fn channel(&self, name: &str) -> Checked<Option<Channel>> {
        let hash = self.hash(name.as_bytes());
        if let Some(found) = self.find_hashed_channel(name.as_bytes(), hash)? {
            self.touch(found)?;
            return Ok(Some(found));
        }
        let Some(number) = self.allocate_or_reclaim(Pool::Channels)? else {
            return Ok(None);
        };
        let at = self.layout().channels.at(number)?;
        self.segment().clear(at, channel::SIZE)?;
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

    fn find_hashed_channel(&self, name: &[u8], hash: u32) -> Checked<Option<Channel>> {
        let mut number = self.get(self.layout().channel_buckets.at(hash))?;
        let mut steps = Steps::new(self.layout().channels.count);
        while number != 0 {
            steps.step()?;
            let at = self.layout().channels.at(number)?;
            if self.get(at + channel::HASH)? == hash
                && self.is_named(at + channel::NAME_LENGTH, at + channel::NAME, name)?
            {
                return Ok(Some(Channel { number, at }));
            }
            number = self.get(at + channel::NEXT)?;
        }
        Ok(None)
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
            self.link(channel, prepared.node)?;
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
        self.drop_expired(channel)?;
        // Should memory have to be given back for the message, this channel is not.
        self.touch(channel)?;
        let length = self.get(channel.at + channel::LENGTH)? as usize;
        if length + MOST < capacity {
            // Without looking at what another processor has in its cache.
            return Ok(true);
        }
        let (ahead, _) = self.taken_ahead(channel)?;
        Ok(length + (ahead as usize) < capacity)
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
        self.link(channel, number)?;
        Ok(true)
    }

    /// Puts a place that is written at the end of a queue.
    fn link(&self, channel: Channel, number: u32) -> Checked<()> {
        let link = match self.get(channel.at + channel::TAIL)? {
            0 => channel.at + channel::HEAD,
            tail => self.layout().nodes.at(tail)? + node::NEXT,
        };
        // From here on the message is in the queue.
        self.set(link, number)?;
        self.set(channel.at + channel::TAIL, number)?;
        self.change(channel.at + channel::LENGTH, |length| {
            length.saturating_add(1)
        })
    }

    /// Takes the oldest message out that is not expired.
    pub(crate) fn pop(&self, name: &str) -> Checked<Option<Taken>> {
        match self.find_channel(name)? {
            Some(channel) => {
                self.make_room()?;
                self.take(channel)
            }
            None => Ok(None),
        }
    }

    pub(super) fn take(&self, channel: Channel) -> Checked<Option<Taken>> {
        self.drop_expired(channel)?;
        let head = self.get(channel.at + channel::HEAD)?;
        if head == 0 {
            return Ok(None);
        }
        let at = self.layout().nodes.at(head)?;
        let local = self.local_length(at + node::LOCAL)?;
        let body = self.get(at + node::BODY)?;
        let alone = self.get(at + node::ALONE)? as usize;
        let sent = self.get_time(at + node::SENT)?;
        let expires = self.get_time(at + node::EXPIRES)?;
        if (1..=block::DATA_SIZE + 1).contains(&alone)
            && local <= local::INLINE_SIZE
            && self.hand().have_room()
        {
            let data = self.layout().blocks.at(body)? + block::DATA;
            self.unlink(channel, at)?;
            self.get_hold(head, body)?;
            let next = self.get(at + node::NEXT)?;
            return Ok(Some(Taken {
                local: Part::At(at + node::LOCAL + local::INLINE, local),
                body: Part::At(data, alone - 1),
                sent,
                expires,
                next: self.layout().nodes.at(next).ok(),
            }));
        }
        let taken = Taken {
            local: Part::Read(self.read_local(at + node::LOCAL)?),
            body: Part::Read(self.read_body(body)?),
            sent,
            expires,
            next: None,
        };
        self.remove_head(channel, head, at)?;
        Ok(Some(taken))
    }

    /// How many messages wait.
    pub(crate) fn pending(&self, channel: Channel) -> Checked<u32> {
        self.drop_expired(channel)?;
        self.get(channel.at + channel::LENGTH)
    }

    /// Whether a message waits.
    pub(crate) fn has_messages(&self, channel: Channel) -> Checked<bool> {
        Ok(self.get(channel.at + channel::HEAD)? != 0)
    }

    /// Takes out what is expired. The memberships end that began before a message expired: nobody
    /// reads the channel it was for.
    pub(super) fn drop_expired(&self, channel: Channel) -> Checked<()> {
        loop {
            let head = self.get(channel.at + channel::HEAD)?;
            if head == 0 {
                return Ok(());
            }
            let at = self.layout().nodes.at(head)?;
            let expires = self.get_time(at + node::EXPIRES)?;
            if expires > self.now {
                return Ok(());
            }
            if self.get(channel.at + channel::MEMBERS)? != 0 {
                let local = self.read_local(at + node::LOCAL)?;
                self.end_memberships(channel, &local, expires)?;
            }
            self.remove_head(channel, head, at)?;
        }
    }

    fn remove_head(&self, channel: Channel, head: u32, at: usize) -> Checked<()> {
        self.unlink(channel, at)?;
        self.free_local(at + node::LOCAL)?;
        self.drop_body(self.get(at + node::BODY)?)?;
        self.release(Pool::Nodes, head)
    }

    /// Takes the first place out of a queue.
    fn unlink(&self, channel: Channel, at: usize) -> Checked<()> {
        let next = self.get(at + node::NEXT)?;
        // From here on the message is not in the queue.
        self.set(channel.at + channel::HEAD, next)?;
        if next == 0 {
            self.set(channel.at + channel::TAIL, 0)?;
        }
        self.change(channel.at + channel::LENGTH, |length| {
            length.saturating_sub(1)
        })
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
        self.drop_expired(channel)?;
        let head = self.get(channel.at + channel::HEAD)?;
        let (ahead, mut oldest) = self.taken_ahead(channel)?;
        if ahead == 0 && head != 0 {
            oldest = self.get_time(self.layout().nodes.at(head)? + node::SENT)?;
        }
        let length = self.get(channel.at + channel::LENGTH)?;
        Ok(ChannelFigures {
            pending: u64::from(length) + u64::from(ahead),
            max_age: self.now.since(oldest),
            sent: self.figures(channel.at + channel::SENT)?,
            full: self.figures(channel.at + channel::FULL)?,
        })
    }
}
