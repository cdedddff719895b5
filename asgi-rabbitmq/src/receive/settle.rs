//! Waiting until what was taken for callers who have gone is back on its channels.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::Hub;

/// How often it is looked again.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

impl Hub {
    /// Puts back what nobody waits for, and waits until nothing is held for anybody who has gone,
    /// for as long as a broker may take to be there and to answer.
    pub(crate) async fn settle(self: &Arc<Self>) {
        let options = self.site.broker.options();
        let end = Instant::now() + options.connect_timeout + options.response_timeout;
        let kept = self.lock().drain_here();
        for ready in kept {
            self.put_back(ready).await;
        }
        while !self.is_settled() {
            if Instant::now() >= end {
                tracing::warn!("messages taken off the broker could not be put back");
                return;
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    fn is_settled(&self) -> bool {
        let waiting = {
            let mut state = self.lock();
            !state.running || state.at_rest || !state.demand().is_empty()
        };
        waiting && self.putting_back.load(Ordering::Acquire) == 0
    }
}

/// Counts a message as being put back.
pub(super) struct PuttingBack<'h>(&'h AtomicUsize);

impl<'h> PuttingBack<'h> {
    pub(super) fn begin(count: &'h AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::AcqRel);
        Self(count)
    }
}

impl Drop for PuttingBack<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
