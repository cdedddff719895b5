use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;

/// What this process's handles to a layer have seen go wrong; see [`Figures`](crate::Figures).
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
    /// Expired messages that this process was told of: each is told to one process.
    pub expired: u64,
    /// Messages that could not be decoded or decrypted, and were skipped.
    pub poisoned: u64,
    /// Members of groups that missed a message because their channel was full.
    pub group_full: u64,
    /// Times the connection was lost while messages may have been on their way to this process:
    /// up to one batch each time is lost.
    pub interrupted_receives: u64,
    /// Times the broker was found emptied: messages and groups that were there are gone.
    pub data_lost: u64,
}

impl Counters {
    pub(crate) fn expired(&self, messages: u64) {
        self.expired.fetch_add(messages, Ordering::Relaxed);
    }

    pub(crate) fn poisoned(&self) {
        self.poisoned.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn group_full(&self, members: u64) {
        self.group_full.fetch_add(members, Ordering::Relaxed);
    }

    pub(crate) fn interrupted_receive(&self) {
        self.uncertain.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn data_lost(&self) {
        self.data_lost.send_modify(|times| *times += 1);
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
