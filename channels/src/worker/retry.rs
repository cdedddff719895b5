//! Messages that are to be consumed later.

use std::time::Duration;

use asgiref::{ChannelLayerExt as _, ChannelName, Message};
use rand::Rng as _;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::worker::Shared;

use std::sync::Arc;

/// How many messages may wait in a worker's memory before they are put back without a wait.
const MAX_WAITING: usize = 1_000;

/// The longest wait, in first waits.
const MAX_FACTOR: u32 = 100;

/// A message that goes back to its channel.
pub(super) struct Later {
    pub(super) channel: ChannelName,
    pub(super) message: Message,
    /// How often it has been put off, this time included.
    pub(super) attempt: u64,
}

/// Messages that wait until they are put back.
pub(super) struct Waiting {
    tasks: TaskTracker,
    room: Arc<Semaphore>,
    stop: CancellationToken,
}

impl Waiting {
    /// `stop` ends all waits.
    pub(super) fn new(stop: CancellationToken) -> Self {
        Self {
            tasks: TaskTracker::new(),
            room: Arc::new(Semaphore::new(MAX_WAITING)),
            stop,
        }
    }

    /// Puts a message back after its wait.
    pub(super) async fn add(&self, shared: &Arc<Shared>, later: Later) {
        let delay = delay(shared.settings.retry_delay, later.attempt);
        let place = Arc::clone(&self.room).try_acquire_owned();
        let (false, Ok(place)) = (delay.is_zero(), place) else {
            return put_back(shared, later).await;
        };
        let (shared, stop) = (Arc::clone(shared), self.stop.clone());
        self.tasks.spawn(async move {
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                () = stop.cancelled() => {}
            }
            put_back(&shared, later).await;
            drop(place);
        });
    }

    /// Waits until all messages are back on their channels; only after the waits were ended.
    pub(super) async fn finished(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// Puts a message that was put off back at the end of its channel.
pub(super) async fn put_back(shared: &Shared, later: Later) {
    let limit = shared.settings.send_timeout;
    let Later {
        channel, message, ..
    } = later;
    let layer = &*shared.origin.layer;
    match layer.send_within(&channel, message, limit).await {
        Ok(()) => shared.counters.retries.add(1),
        Err(error) => {
            shared.counters.dead.add(1);
            tracing::error!(
                channel = channel.as_str(),
                error = &error as &dyn std::error::Error,
                "a message that was to be consumed later was dropped",
            );
        }
    }
}

fn delay(first: Duration, attempt: u64) -> Duration {
    let doublings = u32::try_from(attempt.saturating_sub(1)).unwrap_or(u32::MAX);
    let factor = 2_u32.saturating_pow(doublings).min(MAX_FACTOR);
    let share = rand::rng().random_range(0.5..=1.0);
    first.saturating_mul(factor).mul_f64(share)
}
