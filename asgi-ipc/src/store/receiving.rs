//! Taking messages out of channels.

use crate::clock::Time;
use crate::layout::{Pool, block, channel, local, node};
use crate::segment::Checked;

use super::channels::Channel;
use super::names::hash;
use super::queue::{self, Attempt, Front, Queue};
use super::taken::{Part, Quick, Taken};
use super::{Locked, Store};

/// How often a message is tried to be taken without the lock, while others are faster.
const TRIES: usize = 4;

/// The queue of a channel.
pub(super) struct Links<'a> {
    store: &'a Store,
    channel: Channel,
}

impl Queue for Links<'_> {
    fn front(&self) -> Checked<Front> {
        let word = self
            .store
            .segment
            .load_long(self.channel.at + channel::FRONT);
        word.map(Front::of_word)
    }

    fn exchange_front(&self, seen: Front, new: Front) -> Checked<bool> {
        let at = self.channel.at + channel::FRONT;
        self.store
            .segment
            .exchange_long(at, seen.word(), new.word())
    }

    fn set_front(&self, new: Front) -> Checked<()> {
        let at = self.channel.at + channel::FRONT;
        self.store.segment.store_long(at, new.word())
    }

    fn next(&self, node: u32) -> Checked<u32> {
        let at = self.store.layout.nodes.at(node)?;
        self.store.segment.load(at + node::NEXT)
    }

    fn set_next(&self, node: u32, next: u32) -> Checked<()> {
        let at = self.store.layout.nodes.at(node)?;
        self.store.segment.store(at + node::NEXT, next)
    }

    fn tail(&self) -> Checked<u32> {
        self.store.segment.load(self.channel.at + channel::TAIL)
    }

    fn set_tail(&self, node: u32) -> Checked<()> {
        self.store
            .segment
            .store(self.channel.at + channel::TAIL, node)
    }
}

impl Store {
    /// The oldest message of a channel, taken without the lock, if that is possible.
    pub(crate) fn take_quickly(&self, name: &str) -> Quick {
        // What looks damaged may have been changing just then: who has the lock sees better.
        self.try_quickly(name.as_bytes()).unwrap_or(Quick::Unsure)
    }

    fn try_quickly(&self, name: &[u8]) -> Checked<Quick> {
        let Some(channel) = self.find_hashed_channel(name, hash(self.seed, name))? else {
            return Ok(Quick::Unsure);
        };
        let mut hand = self.hand();
        // Now: others of this process may have had what is at hand for long.
        let now = Time::now();
        let queue = self.queue(channel);
        for _ in 0..TRIES {
            let front = queue.front()?;
            // Before this the record may have become that of another channel. If it does later, the
            // front is another one too.
            if !self.is_of(channel, name)? {
                return Ok(Quick::Unsure);
            }
            let Some(node) = front.oldest() else {
                let empty = front.is_empty();
                return Ok(if empty { Quick::Nothing } else { Quick::Unsure });
            };
            let Some(short) = self.short(node)? else {
                return Ok(Quick::Unsure);
            };
            if short.expires <= now || !hand.have_room() {
                return Ok(Quick::Unsure);
            }
            let note = || hand.note(self, node, short.block);
            match queue::take_unlocked(&queue, front, node, note)? {
                Attempt::Taken => {
                    hand.keep(node, short.block);
                    return Ok(Quick::Message(short.taken.read(&self.segment)?));
                }
                Attempt::TooLate => hand.forget_note(self)?,
                Attempt::Last => return Ok(Quick::Unsure),
            }
        }
        Ok(Quick::Unsure)
    }

    pub(super) const fn queue(&self, channel: Channel) -> Links<'_> {
        Links {
            store: self,
            channel,
        }
    }

    /// What is in a place, if that is short enough to be read when it was taken out. Somebody may be
    /// taking it out, and writing to it, just now: it holds if the place is taken afterwards.
    fn short(&self, number: u32) -> Checked<Option<Short>> {
        let segment = &self.segment;
        let at = self.layout.nodes.at(number)?;
        let local = segment.load(at + node::LOCAL + local::LENGTH)? as usize;
        let block = segment.load(at + node::BODY)?;
        let alone = segment.load(at + node::ALONE)? as usize;
        let Ok(block_at) = self.layout.blocks.at(block) else {
            return Ok(None);
        };
        if !(1..=block::DATA_SIZE + 1).contains(&alone) || local > local::INLINE_SIZE {
            return Ok(None);
        }
        let next = segment.load(at + node::NEXT)?;
        Ok(Some(Short {
            block,
            expires: Time(segment.load_long(at + node::EXPIRES)?),
            taken: Taken {
                local: Part::At(at + node::LOCAL + local::INLINE, local),
                body: Part::At(block_at + block::DATA, alone - 1),
                next: self.layout.nodes.at(next).ok(),
            },
        }))
    }
}

/// A message of one block, with a local part that is in its place.
struct Short {
    taken: Taken,
    block: u32,
    expires: Time,
}

impl Locked<'_> {
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

    fn take(&self, channel: Channel) -> Checked<Option<Taken>> {
        let queue = self.store.queue(channel);
        loop {
            self.drop_expired(channel)?;
            let front = queue.front()?;
            let Some(node) = front.oldest() else {
                return Ok(None);
            };
            let short = self.store.short(node)?;
            let expires = self.layout().nodes.at(node)? + node::EXPIRES;
            // It need not be the one that was found fresh.
            if self.get_time(expires)? <= self.now {
                continue;
            }
            if !queue::take(&queue, front, node)? {
                continue;
            }
            return match short {
                Some(short) if self.hand().have_room() => {
                    self.get_hold(node, short.block)?;
                    Ok(Some(short.taken))
                }
                _ => self.read_and_free(node).map(Some),
            };
        }
    }

    fn read_and_free(&self, number: u32) -> Checked<Taken> {
        let at = self.layout().nodes.at(number)?;
        let taken = Taken {
            local: Part::Read(self.read_local(at + node::LOCAL)?),
            body: Part::Read(self.read_body(self.get(at + node::BODY)?)?),
            next: None,
        };
        self.free(number)?;
        Ok(taken)
    }

    /// Gives back a place that was taken out, and what it holds.
    fn free(&self, number: u32) -> Checked<()> {
        let at = self.layout().nodes.at(number)?;
        self.free_local(at + node::LOCAL)?;
        self.drop_body(self.get(at + node::BODY)?)?;
        self.release(Pool::Nodes, number)
    }

    /// How many messages wait.
    pub(crate) fn pending(&self, channel: Channel) -> Checked<u32> {
        self.drop_expired(channel)?;
        self.length(channel)
    }

    /// How many messages there are, with those that are expired.
    pub(super) fn length(&self, channel: Channel) -> Checked<u32> {
        let taken = self.store.queue(channel).front()?.taken;
        let put = self.get(channel.at + channel::PUT)?;
        Ok(put.wrapping_sub(taken).min(self.layout().nodes.count))
    }

    /// Whether a message waits.
    pub(crate) fn has_messages(&self, channel: Channel) -> Checked<bool> {
        Ok(!self.store.queue(channel).front()?.is_empty())
    }

    /// When the oldest message was sent, and when it is over.
    pub(super) fn oldest(&self, channel: Channel) -> Checked<Option<(Time, Time)>> {
        let queue = self.store.queue(channel);
        loop {
            let front = queue.front()?;
            let Some(node) = front.oldest() else {
                return Ok(None);
            };
            let at = self.layout().nodes.at(node)?;
            let sent = self.get_time(at + node::SENT)?;
            let expires = self.get_time(at + node::EXPIRES)?;
            // Whoever takes it meanwhile may write another message there.
            if queue.front()? == front {
                return Ok(Some((sent, expires)));
            }
        }
    }

    /// Takes out what is expired. The memberships end that began before a message expired: nobody
    /// reads the channel it was for.
    pub(super) fn drop_expired(&self, channel: Channel) -> Checked<()> {
        let queue = self.store.queue(channel);
        loop {
            let front = queue.front()?;
            let Some(node) = front.oldest() else {
                return queue::check_empty(&queue, front);
            };
            let at = self.layout().nodes.at(node)?;
            let expires = self.get_time(at + node::EXPIRES)?;
            if expires > self.now {
                return Ok(());
            }
            if !queue::take(&queue, front, node)? {
                continue;
            }
            if self.get(channel.at + channel::MEMBERS)? != 0 {
                let local = self.read_local(at + node::LOCAL)?;
                self.end_memberships(channel, &local, expires)?;
            }
            self.free(node)?;
        }
    }
}
