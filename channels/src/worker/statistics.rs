use std::sync::atomic::{AtomicU64, Ordering};

use asgiref::metrics;

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

/// A figure of this worker, which counts into that of all workers of the process too.
#[derive(Debug)]
pub(super) struct Counter {
    value: AtomicU64,
    metric: metrics::Counter,
}

impl Counter {
    const fn new(metric: metrics::Counter) -> Self {
        Self {
            value: AtomicU64::new(0),
            metric,
        }
    }

    pub(super) fn add(&self, count: u64) {
        self.value.fetch_add(count, Ordering::Relaxed);
        self.metric.add(count);
    }

    pub(super) fn value(&self) -> u64 {
        self.value.load(Ordering::Relaxed)
    }
}

#[derive(Debug)]
pub(super) struct Counters {
    pub(super) messages: Counter,
    /// Messages that are dealt with; the difference to `messages` is being worked on.
    finished: AtomicU64,
    pub(super) errors: Counter,
    pub(super) unroutable: Counter,
    pub(super) retries: Counter,
    pub(super) dead: Counter,
    pub(super) dropped_sends: Counter,
    pub(super) layer_errors: Counter,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            messages: Counter::new(metrics::WORKER_MESSAGES),
            finished: AtomicU64::new(0),
            errors: Counter::new(metrics::WORKER_ERRORS),
            unroutable: Counter::new(metrics::WORKER_UNROUTABLE),
            retries: Counter::new(metrics::WORKER_RETRIES),
            dead: Counter::new(metrics::WORKER_DEAD),
            dropped_sends: Counter::new(metrics::WORKER_DROPPED_SENDS),
            layer_errors: Counter::new(metrics::WORKER_LAYER_ERRORS),
        }
    }
}

impl Counters {
    /// A message is being worked on.
    pub(super) fn begin(&self) {
        self.messages.add(1);
        metrics::WORKER_BUSY.raise();
    }

    /// It is dealt with.
    pub(super) fn finish(&self) {
        self.finished.fetch_add(1, Ordering::Relaxed);
        metrics::WORKER_BUSY.lower();
    }

    pub(super) fn snapshot(&self) -> WorkerStatistics {
        // Read first, so that it is never ahead of `messages`.
        let finished = self.finished.load(Ordering::Relaxed);
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
