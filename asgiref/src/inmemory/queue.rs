use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Waker;
use std::time::Duration;

use tokio::time::Instant;

use crate::message::Message;
use crate::name::ChannelName;
use crate::recipient::Recipient;
use crate::statistics::ChannelStatistics;

use super::recipients::Recipients;
use super::shards::lock;
use super::waiter::{Line, Waiter};
use crate::counter::Counter;

/// What `receive` returns.
pub(super) type Received = (ChannelName, Message);

/// When an operation happens and what is over by then.
#[derive(Clone, Copy)]
pub(super) struct Moment {
    pub(super) now: Instant,
    /// Seconds since the layer was made.
    pub(super) second: u64,
    /// How long messages live.
    pub(super) expiry: Duration,
}

impl Moment {
    fn is_over(&self, message: &Pending) -> bool {
        self.now.saturating_duration_since(message.sent) >= self.expiry
    }
}

/// The messages of one channel (of one non-local part, for process-specific channels).
pub(super) struct Queue {
    capacity: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Oldest first; all live equally long, so this is also the order in which they expire.
    messages: VecDeque<Pending>,
    line: Line,
    recipients: Recipients,
    sent: Counter,
    full: Counter,
}

/// A message in a queue. One that nobody received in time is dropped, and its channel's
/// memberships end, once the locks of the operation that found it are released.
pub(super) struct Pending {
    /// The full name the message was sent to.
    channel: ChannelName,
    message: Message,
    sent: Instant,
}

impl Pending {
    pub(super) const fn channel(&self) -> &ChannelName {
        &self.channel
    }

    /// Whether the expiry of this message ends a membership that began at `added`: it does
    /// unless the message was over by then.
    pub(super) fn ends_membership(&self, added: Instant, expiry: Duration) -> bool {
        added.saturating_duration_since(self.sent) < expiry
    }
}

/// What an operation on many queues leaves to be done when its locks are released.
#[derive(Default)]
pub(super) struct Effects {
    pub(super) wakers: Vec<Waker>,
    pub(super) expired: Vec<Pending>,
    /// How many members found their queue full.
    pub(super) dropped: u64,
}

/// The queue is at capacity.
pub(super) struct Full;

/// What a queue has counted.
#[derive(Clone, Copy, Default)]
pub(super) struct Totals {
    pub(super) sent: u64,
    pub(super) full: u64,
}

impl Queue {
    pub(super) fn new(capacity: usize, second: u64) -> Self {
        let mut state = State::default();
        state.sent.add(0, second);
        Self {
            capacity,
            state: Mutex::new(state),
        }
    }

    /// Hands a message to a recipient or appends it. The task to be told of it, if there is one,
    /// is to be woken by the caller.
    pub(super) fn push(
        &self,
        channel: &ChannelName,
        message: Message,
        moment: &Moment,
        expired: &mut Vec<Pending>,
    ) -> Result<Option<Waker>, Full> {
        let mut state = self.lock();
        let message = match state.hand_over(channel, message) {
            Ok(waker) => {
                state.sent.add(1, moment.second);
                return Ok(waker);
            }
            Err(message) => message,
        };
        if state.messages.len() >= self.capacity {
            state.drop_expired(moment, expired);
            if state.messages.len() >= self.capacity {
                state.full.add(1, moment.second);
                return Err(Full);
            }
        }
        state.append(channel, message, moment);
        state.sent.add(1, moment.second);
        Ok(state.line.claim())
    }

    /// Appends one message for each member of a group, given with the time it was added. Left out
    /// are members whose membership ends because a message expired, and, counted, members that
    /// find the queue full.
    pub(super) fn push_to_members<'a>(
        &self,
        members: impl Iterator<Item = (&'a ChannelName, Instant)>,
        message: &Message,
        moment: &Moment,
        effects: &mut Effects,
    ) {
        let mut state = self.lock();
        let known = effects.expired.len();
        state.drop_expired(moment, &mut effects.expired);
        // The last message of a channel to expire ends more memberships than the ones before.
        let newly = &effects.expired[known..];
        let ended: Option<HashMap<_, _>> =
            (!newly.is_empty()).then(|| newly.iter().map(|over| (over.channel(), over)).collect());
        let (mut kept, mut handed_over, mut full) = (0, 0, 0);
        for (channel, added) in members {
            if let Some(ended) = &ended
                && let Some(over) = ended.get(channel)
                && over.ends_membership(added, moment.expiry)
            {
                continue;
            }
            match state.hand_over(channel, message.clone()) {
                Ok(waker) => {
                    effects.wakers.extend(waker);
                    handed_over += 1;
                }
                Err(message) if state.messages.len() < self.capacity => {
                    state.append(channel, message, moment);
                    kept += 1;
                }
                Err(_) => full += 1,
            }
        }
        state.sent.add(kept + handed_over, moment.second);
        state.full.add(full, moment.second);
        effects.dropped += full;
        for _ in 0..kept {
            let Some(waker) = state.line.claim() else {
                break;
            };
            effects.wakers.push(waker);
        }
    }

    /// Offers each message to `recipient` from now on; gives a number to [`detach`](Self::detach)
    /// it by.
    pub(super) fn attach(&self, recipient: Arc<dyn Recipient>) -> u64 {
        self.lock().recipients.add(recipient)
    }

    pub(super) fn detach(&self, number: u64) {
        let recipient = self.lock().recipients.remove(number);
        drop(recipient);
    }

    /// Takes the oldest message that is not expired.
    pub(super) fn pop(&self, moment: &Moment, expired: &mut Vec<Pending>) -> Option<Received> {
        self.lock().pop(moment, expired)
    }

    /// The same, or else the ticket of the place the caller now has in the line.
    pub(super) fn pop_or_join(
        &self,
        moment: &Moment,
        expired: &mut Vec<Pending>,
        waiter: &Arc<Waiter>,
        number: usize,
    ) -> Result<Received, u64> {
        let mut state = self.lock();
        state
            .pop(moment, expired)
            .ok_or_else(|| state.line.join(waiter, number))
    }

    pub(super) fn leave(&self, ticket: u64) {
        self.lock().line.leave(ticket);
    }

    /// Tells another reader of a message because the one that was told does not take it.
    pub(super) fn pass_on(&self) {
        let mut state = self.lock();
        let waker = if state.messages.is_empty() {
            None
        } else {
            state.line.claim()
        };
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Takes out what is expired.
    pub(super) fn drop_expired(&self, moment: &Moment, expired: &mut Vec<Pending>) {
        self.lock().drop_expired(moment, expired);
    }

    /// Takes out what is expired and gives back room; says whether the queue is of no use to
    /// anyone now: nothing in it, nobody waiting or attached, and not used for as long as a message lives.
    pub(super) fn sweep(&self, moment: &Moment, expired: &mut Vec<Pending>) -> bool {
        let mut state = self.lock();
        state.drop_expired(moment, expired);
        if state.messages.capacity() > 4 * state.messages.len() + 32 {
            let room = 2 * state.messages.len();
            state.messages.shrink_to(room);
        }
        state.line.shrink();
        let used = state.sent.second().max(state.full.second());
        // Two seconds at least, so that the figures per second have been read.
        let unused = moment.second.saturating_sub(used) >= moment.expiry.as_secs().max(2);
        unused && state.messages.is_empty() && state.line.is_empty() && state.recipients.is_empty()
    }

    /// Takes out everything, to be dropped when all locks are released, and forgets the figures.
    /// Readers stay in line.
    pub(super) fn reset(&self) -> VecDeque<Pending> {
        let mut state = self.lock();
        state.sent = Counter::default();
        state.full = Counter::default();
        std::mem::take(&mut state.messages)
    }

    pub(super) fn totals(&self) -> Totals {
        let state = self.lock();
        Totals {
            sent: state.sent.total(),
            full: state.full.total(),
        }
    }

    pub(super) fn statistics(&self, moment: &Moment) -> ChannelStatistics {
        let state = self.lock();
        let expired = state
            .messages
            .partition_point(|message| moment.is_over(message));
        ChannelStatistics {
            messages_count: state.sent.total(),
            messages_count_per_second: state.sent.last_second(moment.second),
            messages_pending: (state.messages.len() - expired) as u64,
            messages_max_age: state
                .messages
                .get(expired)
                .map(|oldest| moment.now.saturating_duration_since(oldest.sent))
                .unwrap_or_default(),
            channel_full_count: state.full.total(),
            channel_full_count_per_second: state.full.last_second(moment.second),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl State {
    /// Offers a message to the recipients, unless others wait before it.
    fn hand_over(
        &mut self,
        channel: &ChannelName,
        message: Message,
    ) -> Result<Option<Waker>, Message> {
        if self.messages.is_empty() {
            self.recipients.offer(channel, message)
        } else {
            Err(message)
        }
    }

    fn append(&mut self, channel: &ChannelName, message: Message, moment: &Moment) {
        // Two senders may come here in another order than they looked at the clock.
        let sent = match self.messages.back() {
            Some(last) => last.sent.max(moment.now),
            None => moment.now,
        };
        self.messages.push_back(Pending {
            channel: channel.clone(),
            message,
            sent,
        });
    }

    fn pop(&mut self, moment: &Moment, expired: &mut Vec<Pending>) -> Option<Received> {
        self.drop_expired(moment, expired);
        self.messages
            .pop_front()
            .map(|message| (message.channel, message.message))
    }

    fn drop_expired(&mut self, moment: &Moment, expired: &mut Vec<Pending>) {
        while self
            .messages
            .front()
            .is_some_and(|oldest| moment.is_over(oldest))
        {
            expired.extend(self.messages.pop_front());
        }
    }
}
