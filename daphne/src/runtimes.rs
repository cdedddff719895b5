use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::runtime::Handle;

/// The runtimes that connections are spread over, if it is not the server's own.
#[derive(Debug)]
pub(crate) struct Runtimes {
    handles: Vec<Handle>,
    next: AtomicUsize,
}

impl Runtimes {
    pub(crate) const fn new(handles: Vec<Handle>) -> Self {
        Self {
            handles,
            next: AtomicUsize::new(0),
        }
    }

    /// Whose turn it is.
    pub(crate) fn next(&self) -> Option<&Handle> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        self.handles.get(turn.checked_rem(self.handles.len())?)
    }
}
