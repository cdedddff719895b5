use std::sync::atomic::{AtomicU64, Ordering};

/// What a worker has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkerStatistics {
    /// Messages taken off channels.
    pub messages: u64,
    /// Consumers running now.
    pub busy: u64,
    /// Consumers that failed, panicked or ran out of time, and messages they could not take.
    pub errors: u64,
    /// Messages no route was found for.
    pub unroutable: u64,
    /// Messages put back because a consumer asked for it.
    pub retries: u64,
    /// Messages dropped after too many attempts, or because they could not be put back.
    pub dead: u64,
    /// Messages of consumers that could not be sent.
    pub dropped_sends: u64,
    /// Failed attempts to receive from the channel layer.
    pub layer_errors: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub(super) fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) messages: Counter,
    /// Messages that are dealt with; the difference to `messages` is being worked on.
    pub(super) finished: Counter,
    pub(super) errors: Counter,
    pub(super) unroutable: Counter,
    pub(super) retries: Counter,
    pub(super) dead: Counter,
    pub(super) dropped_sends: Counter,
    pub(super) layer_errors: Counter,
}

impl Counters {
    pub(super) fn snapshot(&self) -> WorkerStatistics {
        // Read first, so that it is never ahead of `messages`.
        let finished = self.finished.value();
        let messages = self.messages.value();
        WorkerStatistics {
            messages,
            busy: messages.saturating_sub(finished),
            errors: self.errors.value(),
            unroutable: self.unroutable.value(),
            retries: self.retries.value(),
            dead: self.dead.value(),
            dropped_sends: self.dropped_sends.value(),
            layer_errors: self.layer_errors.value(),
        }
    }
}
