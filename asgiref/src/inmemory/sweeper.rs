use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::yield_now;
use tokio::time::sleep;

use super::queue::Moment;
use super::shards::SHARDS;
use super::shared::Shared;

/// How often the sweeper looks at least and at most, whatever the expiry.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The background task that gives back the memory of what expired although nobody asks for it.
///
/// It runs while the layer holds anything and ends when there is nothing left to watch, so an
/// unused layer has no timer. While it runs it says until when it can be relied on; a task whose
/// runtime is gone, or not driven any more, is replaced by the next call that finds it overdue.
/// Where there is no runtime at all, calls sweep by themselves now and then.
pub(super) struct Sweeper {
    /// Second until which the task can be relied on; 0 if there is none.
    attended_until: AtomicU64,
    /// Number of the task that is in charge.
    generation: AtomicU64,
    /// Second before which a call outside a runtime does not sweep.
    next_inline: AtomicU64,
}

impl Sweeper {
    pub(super) const fn new() -> Self {
        Self {
            attended_until: AtomicU64::new(0),
            generation: AtomicU64::new(0),
            next_inline: AtomicU64::new(0),
        }
    }

    /// Starts the task if none can be relied on.
    ///
    /// To be called after the layer was given something to watch: a task that ends looks once
    /// more after it said so, hence either sees it or is seen to have ended.
    pub(super) fn ensure_running(&self, shared: &Arc<Shared>, moment: &Moment) {
        if moment.second < self.attended_until.load(Ordering::Relaxed) {
            return;
        }
        let pause = pause(moment.expiry, shared.config.membership_expiry());
        let Ok(runtime) = Handle::try_current() else {
            if take(&self.next_inline, moment.second, pause) {
                (0..SHARDS).for_each(|part| {
                    shared.sweep(part);
                });
            }
            return;
        };
        if take(&self.attended_until, moment.second, pause) {
            let charge = Charge {
                shared: Arc::downgrade(shared),
                generation: self.generation.fetch_add(1, Ordering::Relaxed) + 1,
                pause,
            };
            runtime.spawn(charge.run());
        }
    }
}

/// Moves a deadline that has come to well after the next pause; false if somebody else did.
fn take(deadline: &AtomicU64, second: u64, pause: Duration) -> bool {
    let known = deadline.load(Ordering::Relaxed);
    second >= known
        && deadline
            .compare_exchange(
                known,
                overdue(second, pause),
                Ordering::Relaxed,
                Ordering::Relaxed,
            )
            .is_ok()
}

/// The second at which somebody who pauses from `second` on has been away for too long.
const fn overdue(second: u64, pause: Duration) -> u64 {
    second + 2 * pause.as_secs() + 2
}

fn pause(expiry: Duration, group_expiry: Duration) -> Duration {
    (expiry.min(group_expiry) / 2).clamp(SHORTEST_PAUSE, LONGEST_PAUSE)
}

/// A sweeper task's being in charge, until it ends however it ends: with the layer, with its
/// work, or with its runtime.
struct Charge {
    shared: Weak<Shared>,
    generation: u64,
    pause: Duration,
}

impl Charge {
    async fn run(self) {
        loop {
            sleep(self.pause).await;
            let Some(shared) = self.shared.upgrade() else {
                return;
            };
            if !self.is_held(&shared.sweeper) {
                return;
            }
            let until = overdue(shared.moment().second, self.pause);
            shared
                .sweeper
                .attended_until
                .store(until, Ordering::Relaxed);
            let mut any = false;
            for part in 0..SHARDS {
                any |= shared.sweep(part);
                // A layer with very much in it must not hold up the runtime.
                yield_now().await;
            }
            if !any {
                drop(self);
                if !shared.is_empty() {
                    shared.sweeper.ensure_running(&shared, &shared.moment());
                }
                return;
            }
        }
    }

    fn is_held(&self, sweeper: &Sweeper) -> bool {
        sweeper.generation.load(Ordering::Relaxed) == self.generation
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        // A panic (the runtime has no timer) would come again at once with the next task.
        if let Some(shared) = self.shared.upgrade()
            && self.is_held(&shared.sweeper)
            && !std::thread::panicking()
        {
            shared.sweeper.attended_until.store(0, Ordering::Relaxed);
        }
    }
}
