use std::sync::atomic::{AtomicU64, Ordering};

use asgiref::metrics;
use tokio::sync::watch;

/// The label of what is counted here among other layers.
const BACKEND: &str = "redis";

/// What this process's handles to a layer have seen go wrong; see
/// [`Figures`](crate::Figures).
#[derive(Debug, Default)]
pub(crate) struct Counters {
    expired: AtomicU64,
    poisoned: AtomicU64,
    group_full: AtomicU64,
    uncertain: AtomicU64,
    data_lost: watch::Sender<u64>,
}

/// What this layer has seen go wrong since it was made, in this process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Figures {
    /// Messages that were found expired when their turn came.
    pub expired: u64,
    /// Messages that could not be decoded or decrypted, and were skipped.
    pub poisoned: u64,
    /// Members of groups that missed a message because their channel was full.
    pub group_full: u64,
    /// Times the connection was lost while messages may have been on their way to this process:
    /// up to one batch each time is lost.
    pub interrupted_receives: u64,
    /// Times a server was found emptied: messages and groups that were there are gone.
    pub data_lost: u64,
}

impl Counters {
    pub(crate) fn expired(&self, messages: usize) {
        self.expired.fetch_add(messages as u64, Ordering::Relaxed);
        metrics::LAYER_EXPIRED_MESSAGES.add_of(BACKEND, messages as u64);
    }

    pub(crate) fn poisoned(&self) {
        self.poisoned.fetch_add(1, Ordering::Relaxed);
        metrics::LAYER_POISONED_MESSAGES.add_of(BACKEND, 1);
    }

    pub(crate) fn group_full(&self, members: u64) {
        self.group_full.fetch_add(members, Ordering::Relaxed);
        metrics::LAYER_FULL_MEMBERS.add_of(BACKEND, members);
    }

    pub(crate) fn interrupted_receive(&self) {
        self.uncertain.fetch_add(1, Ordering::Relaxed);
        metrics::LAYER_INTERRUPTED_RECEIVES.add_of(BACKEND, 1);
    }

    pub(crate) fn data_lost(&self) {
        self.data_lost.send_modify(|times| *times += 1);
        metrics::LAYER_DATA_LOSSES.add_of(BACKEND, 1);
    }

    /// A lost connection was replaced.
    pub(crate) fn reconnected() {
        metrics::LAYER_RECONNECTS.add_of(BACKEND, 1);
    }

    pub(crate) fn watch_data_lost(&self) -> watch::Receiver<u64> {
        self.data_lost.subscribe()
    }

    pub(crate) fn figures(&self) -> Figures {
        Figures {
            expired: self.expired.load(Ordering::Relaxed),
            poisoned: self.poisoned.load(Ordering::Relaxed),
            group_full: self.group_full.load(Ordering::Relaxed),
            interrupted_receives: self.uncertain.load(Ordering::Relaxed),
            data_lost: *self.data_lost.borrow(),
        }
    }
}
