use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use asgiref::Counter;
use tokio::time::Instant;

/// How many channels are counted. Of those beyond, the ones that were used least lately start
/// again from zero.
const MAX_CHANNELS: usize = 4096;

/// How many times of sending are remembered for each channel.
const MAX_TIMES: usize = 1024;

/// What this process has sent, and what was refused because a channel was full.
#[derive(Debug)]
pub(crate) struct Tally {
    begin: Instant,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    all: Count,
    channels: HashMap<Box<str>, Channel>,
}

/// Messages accepted and refused.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Count {
    messages: Counter,
    full: Counter,
}

#[derive(Debug, Default)]
struct Channel {
    count: Count,
    /// When the latest messages were sent, the oldest first.
    sent: VecDeque<Instant>,
}

/// The figures of a [`Count`] at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    pub(crate) messages: u64,
    pub(crate) messages_per_second: u64,
    pub(crate) full: u64,
    pub(crate) full_per_second: u64,
}

impl Tally {
    pub(crate) fn new() -> Self {
        Self {
            begin: Instant::now(),
            counts: Mutex::default(),
        }
    }

    /// Counts what was to be sent to the queue of a channel.
    pub(crate) fn count(&self, queue: &str, accepted: usize, refused: usize) {
        let second = self.second();
        let now = Instant::now();
        let mut counts = self.lock();
        counts.all.add(accepted, refused, second);
        if !counts.channels.contains_key(queue) {
            if counts.channels.len() >= MAX_CHANNELS {
                counts.forget_idle();
            }
            counts.channels.insert(queue.into(), Channel::default());
        }
        if let Some(channel) = counts.channels.get_mut(queue) {
            channel.count.add(accepted, refused, second);
            for _ in 0..accepted.min(MAX_TIMES) {
                if channel.sent.len() == MAX_TIMES {
                    channel.sent.pop_front();
                }
                channel.sent.push_back(now);
            }
        }
    }

    pub(crate) fn of_all(&self) -> Figures {
        self.lock().all.figures(self.second())
    }

    pub(crate) fn of(&self, queue: &str) -> Figures {
        let second = self.second();
        let counts = self.lock();
        let channel = counts.channels.get(queue);
        channel.map_or_else(Figures::default, |channel| channel.count.figures(second))
    }

    /// How long the oldest of `pending` messages of a queue may have waited, as far as this
    /// process sent them.
    pub(crate) fn age(&self, queue: &str, pending: usize) -> Duration {
        if pending == 0 {
            return Duration::ZERO;
        }
        let counts = self.lock();
        let Some(channel) = counts.channels.get(queue) else {
            return Duration::ZERO;
        };
        let oldest = channel.sent.len().saturating_sub(pending);
        let oldest = channel.sent.get(oldest);
        oldest.map_or(Duration::ZERO, Instant::elapsed)
    }

    /// The queues that are counted.
    pub(crate) fn queues(&self) -> Vec<Box<str>> {
        self.lock().channels.keys().cloned().collect()
    }

    /// Starts again.
    pub(crate) fn clear(&self) {
        *self.lock() = Counts::default();
    }

    fn second(&self) -> u64 {
        self.begin.elapsed().as_secs()
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    /// Makes room: half of the channels stay, those that something was counted for last.
    fn forget_idle(&mut self) {
        let mut seconds: Vec<u64> = self.channels.values().map(Channel::second).collect();
        seconds.sort_unstable();
        let middle = seconds[seconds.len() / 2];
        self.channels.retain(|_, channel| channel.second() > middle);
    }
}

impl Channel {
    fn second(&self) -> u64 {
        self.count.messages.second().max(self.count.full.second())
    }
}

impl Count {
    fn add(&mut self, accepted: usize, refused: usize, second: u64) {
        if accepted > 0 {
            self.messages.add(accepted as u64, second);
        }
        if refused > 0 {
            self.full.add(refused as u64, second);
        }
    }

    const fn figures(&self, second: u64) -> Figures {
        Figures {
            messages: self.messages.total(),
            messages_per_second: self.messages.last_second(second),
            full: self.full.total(),
            full_per_second: self.full.last_second(second),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_age_is_that_of_the_oldest_that_can_still_wait() {
        let tally = Tally::new();
        for _ in 0..3 {
            tally.count("a", 1, 0);
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert_eq!(tally.age("a", 3), Duration::from_secs(3));
        assert_eq!(tally.age("a", 1), Duration::from_secs(1));
        assert_eq!(tally.age("a", 0), Duration::ZERO);
        assert_eq!(tally.age("b", 1), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn the_number_of_channels_is_limited() {
        let tally = Tally::new();
        for number in 0..2 * MAX_CHANNELS {
            tally.count(&number.to_string(), 1, 1);
        }
        assert!(tally.queues().len() <= MAX_CHANNELS);
        let all = tally.of_all();
        assert_eq!(all.messages, 2 * MAX_CHANNELS as u64);
        assert_eq!(all.full, all.messages);
    }
}
