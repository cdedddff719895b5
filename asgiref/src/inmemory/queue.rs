use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::message::Message;
use crate::name::ChannelName;
use crate::statistics::ChannelStatistics;

use super::waiter::{Waiter, Waiters, Woken};

/// The messages of one channel (of one non-local part, for process-specific channels).
pub(super) struct Queue {
    capacity: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Oldest first. All messages of a layer live equally long, so this is also the order in
    /// which they expire.
    messages: VecDeque<Pending>,
    waiters: Waiters,
    sent: Counter,
    full: Counter,
}

struct Pending {
    /// The full name the message was sent to.
    channel: ChannelName,
    message: Message,
    expires: Instant,
}

/// How much a queue has carried.
#[derive(Clone, Copy, Default)]
pub(super) struct Totals {
    pub(super) sent: u64,
    pub(super) full: u64,
}

impl Queue {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            state: Mutex::default(),
        }
    }

    /// Appends a message and wakes a reader; false if the queue is full. `expired` receives the
    /// channels of messages that had to make room because their time was over.
    pub(super) fn push(
        &self,
        channel: ChannelName,
        message: Message,
        now: Instant,
        expires: Instant,
        second: u64,
        expired: &mut Vec<ChannelName>,
    ) -> bool {
        let mut state = self.lock();
        if !state.has_room(self.capacity, now, expired) {
            state.full.add(1, second);
            return false;
        }
        state.sent.add(1, second);
        state.messages.push_back(Pending {
            channel,
            message,
            expires,
        });
        let woken = state.waiters.take(1);
        drop(state);
        self.notify(woken);
        true
    }

    /// Appends one message for each of `channels` under one lock and wakes as many readers; those
    /// that find the queue full are counted and left out.
    pub(super) fn push_all<'a>(
        &self,
        channels: impl Iterator<Item = &'a ChannelName>,
        message: &Message,
        now: Instant,
        expires: Instant,
        second: u64,
        expired: &mut Vec<ChannelName>,
    ) {
        let mut state = self.lock();
        let mut sent = 0;
        for channel in channels {
            if state.has_room(self.capacity, now, expired) {
                sent += 1;
                state.messages.push_back(Pending {
                    channel: channel.clone(),
                    message: message.clone(),
                    expires,
                });
            } else {
                state.full.add(1, second);
            }
        }
        state.sent.add(sent, second);
        let woken = state.waiters.take(sent as usize);
        drop(state);
        self.notify(woken);
    }

    /// Takes the oldest message that is not expired; `expired` receives the channels of those
    /// that are.
    pub(super) fn pop(
        &self,
        now: Instant,
        expired: &mut Vec<ChannelName>,
    ) -> Option<(ChannelName, Message)> {
        let mut state = self.lock();
        state.drop_expired(now, expired);
        state
            .messages
            .pop_front()
            .map(|pending| (pending.channel, pending.message))
    }

    pub(super) fn register(&self, waiter: Arc<Waiter>) {
        self.lock().waiters.push(waiter);
    }

    pub(super) fn unregister(&self, waiter: &Arc<Waiter>) {
        self.lock().waiters.remove(waiter);
    }

    /// Wakes readers for the messages that are there.
    pub(super) fn wake(&self) {
        let mut state = self.lock();
        let messages = state.messages.len();
        let woken = state.waiters.take(messages);
        drop(state);
        self.notify(woken);
    }

    pub(super) fn clear(&self) {
        // The messages are dropped after the lock is released: theirs may be the last reference.
        let messages = std::mem::take(&mut self.lock().messages);
        drop(messages);
    }

    /// Drops what is expired; says whether the queue is of no use to anyone now.
    pub(super) fn sweep(&self, now: Instant, expired: &mut Vec<ChannelName>) -> bool {
        let mut state = self.lock();
        state.drop_expired(now, expired);
        // Room for a burst is given back.
        if state.messages.capacity() > 4 * state.messages.len() + 32 {
            state.messages.shrink_to_fit();
        }
        state.messages.is_empty() && state.waiters.is_empty()
    }

    pub(super) fn totals(&self) -> Totals {
        let state = self.lock();
        Totals {
            sent: state.sent.total,
            full: state.full.total,
        }
    }

    pub(super) fn statistics(
        &self,
        now: Instant,
        second: u64,
        expiry: Duration,
    ) -> ChannelStatistics {
        let state = self.lock();
        let expired = state
            .messages
            .partition_point(|pending| pending.expires <= now);
        ChannelStatistics {
            messages_count: state.sent.total,
            messages_count_per_second: state.sent.last_second(second),
            messages_pending: (state.messages.len() - expired) as u64,
            messages_max_age: state
                .messages
                .get(expired)
                .map(|oldest| expiry.saturating_sub(oldest.expires - now))
                .unwrap_or_default(),
            channel_full_count: state.full.total,
            channel_full_count_per_second: state.full.last_second(second),
        }
    }

    /// Tells readers of messages. One that another queue told first does not need this queue's
    /// message, so the next in line is told instead.
    fn notify(&self, woken: Woken) {
        let mut unneeded = woken.notify();
        while unneeded > 0 {
            let mut state = self.lock();
            let messages = state.messages.len();
            let woken = state.waiters.take(unneeded.min(messages));
            drop(state);
            unneeded = woken.notify();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn has_room(&mut self, capacity: usize, now: Instant, expired: &mut Vec<ChannelName>) -> bool {
        if self.messages.len() >= capacity {
            self.drop_expired(now, expired);
        }
        self.messages.len() < capacity
    }

    fn drop_expired(&mut self, now: Instant, expired: &mut Vec<ChannelName>) {
        while self
            .messages
            .front()
            .is_some_and(|oldest| oldest.expires <= now)
        {
            expired.extend(self.messages.pop_front().map(|pending| pending.channel));
        }
    }
}

/// A running total and how much of it came in the last full second.
#[derive(Default)]
struct Counter {
    total: u64,
    second: u64,
    this_second: u64,
    previous_second: u64,
}

impl Counter {
    fn add(&mut self, amount: u64, second: u64) {
        if second != self.second {
            self.previous_second = if second == self.second + 1 {
                self.this_second
            } else {
                0
            };
            self.this_second = 0;
            self.second = second;
        }
        self.total += amount;
        self.this_second += amount;
    }

    fn last_second(&self, second: u64) -> u64 {
        match second.checked_sub(self.second) {
            Some(0) => self.previous_second,
            Some(1) => self.this_second,
            _ => 0,
        }
    }
}
