//! The clients of a segment: which of them wait for what, and who is woken.

use crate::layout::{MAX_CLIENTS, channel, client};
use crate::segment::Checked;

use super::Locked;
use super::channels::Channel;

/// How many words of eight bytes the bits of all clients take.
const LONG_WORDS: u32 = MAX_CLIENTS / 64;

/// How long a client may take to look, in milliseconds, before it is woken again.
const OVERDUE: u32 = 10;

/// What a client that was woken is to look at.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// These channels.
    Of(Vec<String>),
    /// Everything it waits for.
    All,
}

impl Locked<'_> {
    /// Takes the client's record into use.
    pub(super) fn join(&self) -> Checked<()> {
        let at = self.layout().clients.at(self.store.slot)?;
        // Whoever had the place before may have died.
        let left_something = self.forget_client(self.store.slot)?;
        let started = std::time::SystemTime::now()
            .duration_since(std::time::SystemTime::UNIX_EPOCH)
            .map_or(0, |now| now.as_millis() as u64);
        self.set_long(at + client::STARTED, started)?;
        self.set(at + client::PID, std::process::id())?;
        if left_something {
            self.rebuild()?;
        }
        self.bury_the_dead()?;
        self.wake_forgotten()?;
        self.wake_again()
    }

    /// Gives the client's record back.
    pub(super) fn leave(&self) -> Checked<()> {
        self.empty_hand()?;
        self.forget_client(self.store.slot)?;
        self.wake_forgotten()
    }

    /// The clients there are: place, process number, and since when, in milliseconds since 1970.
    pub(super) fn clients(&self) -> Checked<Vec<(u32, u32, u64)>> {
        let mut clients = Vec::new();
        for slot in 1..=MAX_CLIENTS {
            let at = self.layout().clients.at(slot)?;
            let pid = self.get(at + client::PID)?;
            if pid != 0 {
                clients.push((slot, pid, self.get_long(at + client::STARTED)?));
            }
        }
        Ok(clients)
    }

    /// Takes clients out that ended without a word, and gives back what they had at hand.
    pub(crate) fn bury_the_dead(&self) -> Checked<()> {
        if self.forget_the_dead()? {
            self.rebuild()?;
        }
        Ok(())
    }

    /// Takes clients out that ended without a word; whether they had anything at hand.
    pub(super) fn forget_the_dead(&self) -> Checked<bool> {
        let mut left_something = false;
        for (slot, ..) in self.clients()? {
            if slot != self.store.slot && !self.store.peers.is_alive(slot) {
                left_something |= self.forget_client(slot)?;
            }
        }
        Ok(left_something)
    }

    /// Wakes clients for messages that wait although clients wait for them: whoever was woken for
    /// them died, or does something else.
    pub(crate) fn wake_forgotten(&self) -> Checked<()> {
        for channel in self.live_channels()? {
            for _ in 0..self.length(channel)?.min(MAX_CLIENTS) {
                if !self.wake_next(channel)? {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Wakes those once more who were woken and have not looked: the one that was to write to the
    /// pipe may have died.
    pub(crate) fn wake_again(&self) -> Checked<()> {
        for (slot, ..) in self.clients()? {
            let at = self.layout().clients.at(slot)? + client::SIGNALLED;
            if slot == self.store.slot {
                self.news.set(true);
            } else if self.is_overdue(at)? {
                self.wake_later(slot);
            }
        }
        Ok(())
    }

    // ---- Waiting

    /// Says whether this client waits for messages of a channel.
    pub(crate) fn set_waiting(&self, channel: Channel, waits: bool) -> Checked<()> {
        self.set_bit(channel, self.store.slot, waits)
    }

    /// What this client was woken for.
    pub(crate) fn take_news(&self) -> Checked<News> {
        let at = self.layout().clients.at(self.store.slot)?;
        let count = self.get(at + client::NEWS)?;
        let mut names = Vec::new();
        for entry in 0..count.min(client::NEWS_MAX) {
            let number = self.get(at + client::NEWS_LIST + 4 * entry as usize)?;
            if let Some(channel) = self.live_channel(number)? {
                names.push(self.name_of(channel)?);
            }
        }
        self.set(at + client::NEWS, 0)?;
        self.set(at + client::SIGNALLED, 0)?;
        // A channel that is gone may have been made anew under another number.
        if names.len() == count as usize {
            Ok(News::Of(names))
        } else {
            Ok(News::All)
        }
    }

    /// Wakes a client that waits for messages of the channel, if one does and there is a message.
    pub(crate) fn pass_on(&self, channel: Channel) -> Checked<()> {
        if self.has_messages(channel)? {
            self.wake(channel)?;
        }
        Ok(())
    }

    /// Wakes a client that waits for messages of the channel, if one does.
    pub(super) fn wake(&self, channel: Channel) -> Checked<()> {
        self.wake_next(channel).map(|_| ())
    }

    /// Whether anybody waits for messages of the channel.
    pub(super) fn is_waited_for(&self, channel: Channel) -> Checked<bool> {
        for word in 0..LONG_WORDS as usize {
            if self.get_long(channel.at + channel::WAITING + 8 * word)? != 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Wakes the next client in turn.
    fn wake_next(&self, channel: Channel) -> Checked<bool> {
        if !self.is_waited_for(channel)? {
            self.wake_last_again(channel)?;
            return Ok(false);
        }
        let last = self.get(channel.at + channel::WOKEN)? % MAX_CLIENTS;
        for turn in 1..=MAX_CLIENTS {
            let slot = (last + turn - 1) % MAX_CLIENTS + 1;
            if self.bit(channel, slot)? {
                self.set_bit(channel, slot, false)?;
                self.set(channel.at + channel::WOKEN, slot)?;
                self.notify(slot, channel)?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Wakes the client that was woken last once more if it has not looked.
    fn wake_last_again(&self, channel: Channel) -> Checked<()> {
        let last = self.get(channel.at + channel::WOKEN)?;
        if last == self.store.slot {
            return Ok(());
        }
        let Ok(at) = self.layout().clients.at(last) else {
            return Ok(());
        };
        let signalled = at + client::SIGNALLED;
        if self.is_overdue(signalled)? {
            self.set(signalled, self.milliseconds())?;
            self.wake_later(last);
        }
        Ok(())
    }

    fn notify(&self, slot: u32, channel: Channel) -> Checked<()> {
        let at = self.layout().clients.at(slot)?;
        let count = self.get(at + client::NEWS)?;
        if count < client::NEWS_MAX {
            self.set(at + client::NEWS_LIST + 4 * count as usize, channel.number)?;
        }
        self.set(at + client::NEWS, count.saturating_add(1))?;
        let signalled = at + client::SIGNALLED;
        if slot == self.store.slot {
            self.news.set(true);
        } else if self.get(signalled)? == 0 || self.is_overdue(signalled)? {
            self.set(signalled, self.milliseconds())?;
            self.wake_later(slot);
        }
        Ok(())
    }

    /// Whether a client was woken a while ago and has not looked. Its byte in the pipe is written
    /// without the lock, so who wanted to write it may have died.
    fn is_overdue(&self, signalled: usize) -> Checked<bool> {
        let since = self.get(signalled)?;
        Ok(since != 0 && self.milliseconds().wrapping_sub(since) > OVERDUE)
    }

    /// A time that is never zero, for `SIGNALLED`.
    fn milliseconds(&self) -> u32 {
        ((self.now.0 / 1_000_000) as u32).max(1)
    }

    /// Takes a client's record, and its bits in all channels, back; whether it had anything at
    /// hand. Until that was given back by a repair the store is marked as in need of one.
    fn forget_client(&self, slot: u32) -> Checked<bool> {
        let at = self.layout().clients.at(slot)?;
        self.set(at + client::PID, 0)?;
        for channel in self.live_channels()? {
            self.set_bit(channel, slot, false)?;
        }
        self.set(at + client::NEWS, 0)?;
        self.set(at + client::SIGNALLED, 0)?;
        self.forget_held(slot)
    }

    // ---- Bits

    fn bit(&self, channel: Channel, slot: u32) -> Checked<bool> {
        let (word, bit) = place(channel, slot);
        Ok(self.get(word)? & bit != 0)
    }

    fn set_bit(&self, channel: Channel, slot: u32, value: bool) -> Checked<()> {
        let (word, bit) = place(channel, slot);
        self.change(word, |bits| if value { bits | bit } else { bits & !bit })
    }
}

fn place(channel: Channel, slot: u32) -> (usize, u32) {
    let index = slot - 1;
    let word = channel.at + channel::WAITING + 4 * (index / 32) as usize;
    (word, 1 << (index % 32))
}
