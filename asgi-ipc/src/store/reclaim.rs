//! Giving back what nobody will use any more.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::clock::Time;
use crate::layout::{LIVE, Pool, channel, header, membership};
use crate::segment::Checked;

use super::Locked;
use super::channels::Channel;

/// How often everything may be looked at because memory is full.
const PAUSE: Duration = Duration::from_millis(100);
/// After how many sends something is looked at.
const EVERY: u32 = 8;
/// How long unused channels are remembered at least, so that figures per second can be read.
const MEMORY: Duration = Duration::from_secs(2);

impl Locked<'_> {
    /// Takes a free record, after giving back what can be if there is none.
    pub(super) fn allocate_or_reclaim(&self, pool: Pool) -> Checked<Option<u32>> {
        match self.allocate(pool)? {
            None if self.reclaim()? => self.allocate(pool),
            allocated => Ok(allocated),
        }
    }

    /// Stores a body, after giving back what can be if there is no room.
    pub(super) fn store_body_or_reclaim(&self, bytes: &[u8]) -> Checked<Option<u32>> {
        match self.store_body(bytes)? {
            None if self.reclaim()? => self.store_body(bytes),
            stored => Ok(stored),
        }
    }

    /// Every now and then looks at the next channel and the next membership in turn: what expired
    /// where nobody sends or receives any more is given back by those who send elsewhere.
    pub(super) fn give_back_a_little(&self) -> Checked<()> {
        let sends = self.store.sends.fetch_add(1, Ordering::Relaxed);
        if !sends.is_multiple_of(EVERY) {
            return Ok(());
        }
        if let Some(number) = self.turn(header::CHANNEL_HAND, Pool::Channels)?
            && let Some(channel) = self.live_channel(number)?
        {
            self.look_at_channel(channel)?;
        }
        if let Some(number) = self.turn(header::MEMBERSHIP_HAND, Pool::Memberships)? {
            self.look_at_membership(number)?;
        }
        Ok(())
    }

    /// Looks at everything; false if that was done just now.
    fn reclaim(&self) -> Checked<bool> {
        let last = self.get_time(header::RECLAIMED)?;
        if last <= self.now && self.now.since(last) < PAUSE {
            return Ok(false);
        }
        self.set_long(header::RECLAIMED, self.now.0)?;
        for number in 1..=self.highest(Pool::Memberships)? {
            self.look_at_membership(number)?;
        }
        for channel in self.live_channels()? {
            self.look_at_channel(channel)?;
        }
        Ok(true)
    }

    fn look_at_channel(&self, channel: Channel) -> Checked<()> {
        self.look_for_expired(channel)?;
        let used: Time = self.get_time(channel.at + channel::USED)?;
        let unused = self.now.since(used) >= self.store.memory.max(MEMORY);
        if unused
            && !self.has_messages(channel)?
            && self.get(channel.at + channel::MEMBERS)? == 0
            && !self.is_waited_for(channel)?
        {
            self.remove_channel(channel)?;
        }
        Ok(())
    }

    fn look_at_membership(&self, number: u32) -> Checked<()> {
        let at = self.layout().memberships.at(number)?;
        if self.get(at + membership::STATE)? == LIVE
            && self.get_time(at + membership::UNTIL)? <= self.now
        {
            self.remove_membership(number)?;
        }
        Ok(())
    }

    /// The next record after the one a hand points at; nothing if none was ever used.
    fn turn(&self, hand: usize, pool: Pool) -> Checked<Option<u32>> {
        let highest = self.highest(pool)?;
        if highest == 0 {
            return Ok(None);
        }
        let next = self.get(hand)? % highest + 1;
        self.set(hand, next)?;
        Ok(Some(next))
    }
}
