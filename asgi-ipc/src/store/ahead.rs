//! How many messages a client has taken ahead from a channel.
//!
//! They count as if they were in the channel still, for its capacity and its figures. Their number
//! is kept by the client that has them, without the lock.

use crate::clock::Time;
use crate::layout::channel;
use crate::segment::Checked;

use super::channels::Channel;
use super::taken::{Popped, Taken};
use super::{Locked, Store};

/// How many messages are taken at a time at most, the one that is delivered at once included: what
/// a process that is killed may lose.
pub(crate) const MOST: usize = 32;
/// How many bytes of messages at a time. One message is taken whatever its size.
const MOST_BYTES: usize = 64 << 10;

/// A channel that messages were taken from, as long as nothing is flushed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source {
    at: usize,
    flushes: u32,
}

impl Locked<'_> {
    /// Takes messages out of a channel, no more than `most`, for this client to keep.
    pub(crate) fn pop_several(
        &self,
        name: &str,
        most: usize,
    ) -> Checked<Option<(Source, Vec<Taken>)>> {
        let Some(channel) = self.find_channel(name)? else {
            return Ok(None);
        };
        let reader = self.get(channel.at + channel::AHEAD_OF)?;
        let most = if reader == 0 || reader == self.store.slot {
            most
        } else {
            1
        };
        self.make_room()?;
        let mut several = Vec::new();
        let mut bytes = 0;
        while several.len() < most && bytes < MOST_BYTES {
            let taken = match self.take(channel) {
                Ok(Some(taken)) => taken,
                // Those taken before are not to be lost; the next to come here finds it again.
                Err(_) if !several.is_empty() => break,
                Ok(None) => break,
                Err(damage) => return Err(damage),
            };
            bytes += taken.body_length();
            several.push(taken);
        }
        let source = Source {
            at: channel.at,
            flushes: self.flushes()?,
        };
        if let [_, next, ..] = &several[..] {
            self.set_long(channel.at + channel::AHEAD_SENT, next.sent.0)?;
            let until = several.iter().map(|taken| taken.expires.0).max();
            self.set_long(channel.at + channel::AHEAD_UNTIL, until.unwrap_or_default())?;
            self.set(channel.at + channel::AHEAD, several.len() as u32 - 1)?;
            self.set(channel.at + channel::AHEAD_OF, self.store.slot)?;
        }
        Ok(Some((source, several)))
    }

    /// How many messages of a channel were taken ahead, and when the oldest of them was sent.
    pub(super) fn taken_ahead(&self, channel: Channel) -> Checked<(u32, Time)> {
        let at = channel.at;
        if self.get(at + channel::AHEAD_OF)? == 0
            || self.get_time(at + channel::AHEAD_UNTIL)? <= self.now
        {
            return Ok((0, self.now));
        }
        let count = self.get(at + channel::AHEAD)?.min(MOST as u32);
        Ok((count, self.get_time(at + channel::AHEAD_SENT)?))
    }

    /// Forgets what a client has taken ahead that is gone.
    pub(super) fn forget_ahead(&self, channel: Channel, slot: u32) -> Checked<()> {
        if self.get(channel.at + channel::AHEAD_OF)? == slot {
            self.set(channel.at + channel::AHEAD_OF, 0)?;
        }
        Ok(())
    }
}

impl Store {
    /// Whether what was taken from there may still be delivered.
    pub(crate) fn is_current(&self, source: Source) -> bool {
        self.flushes()
            .is_ok_and(|flushes| flushes == source.flushes)
    }

    /// Notes how many messages are left, and when the next of them was sent.
    pub(crate) fn note_ahead(&self, source: Source, next: Option<&Popped>, left: usize) {
        // Places in the segment that were used before.
        if let Some(next) = next {
            let _ = self
                .segment
                .store_long(source.at + channel::AHEAD_SENT, next.sent.0);
        }
        let _ = self.segment.store(source.at + channel::AHEAD, left as u32);
    }
}
