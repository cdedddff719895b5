//! Waiting until what was taken for callers who have gone is back on its channels.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::Hub;
use super::state::State;

/// How often it is looked again.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

impl Hub {
    /// Waits until nothing is held that nobody waits for, for as long as a server may take to be
    /// there and to answer.
    pub(crate) async fn settle(&self) {
        let options = self.shards.all.iter().map(|shard| shard.server.options());
        let longest = options.map(|options| options.connect_timeout + options.response_timeout);
        let end = Instant::now() + longest.max().unwrap_or_default();
        while self.return_held() || !self.lock().is_settled() {
            if Instant::now() >= end {
                tracing::warn!("messages taken off a server could not be put back");
                return;
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    /// Has put back what was taken before it was asked for; returns whether there was anything.
    fn return_held(&self) -> bool {
        let any = self.lock().return_held();
        if any {
            self.tell_all();
        }
        any
    }
}

impl State {
    fn is_settled(&self) -> bool {
        (0..self.desks.len()).all(|shard| {
            let desk = &self.desks[shard];
            let is_idle = !desk.running || desk.at_rest || self.waits_for_others(shard);
            is_idle && desk.returns.is_empty() && !desk.putting_back
        })
    }

    /// Whether the blocking read at a server is only for callers that are still there.
    fn waits_for_others(&self, shard: usize) -> bool {
        self.is_reading(shard) && self.is_covered(shard)
    }
}
