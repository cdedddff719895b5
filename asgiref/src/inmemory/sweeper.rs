use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};

use super::Shared;

/// How often the sweeper looks at least and at most, whatever the expiry.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The background task that gives back the memory of what expired although nobody asks for it.
///
/// It runs while the layer holds messages or memberships and ends when there is nothing left to
/// watch, so an idle layer has no timer.
pub(super) struct Sweeper {
    running: AtomicBool,
}

impl Sweeper {
    pub(super) const fn new() -> Self {
        Self {
            running: AtomicBool::new(false),
        }
    }

    /// Starts the task if it does not run and there is a runtime to run it on.
    pub(super) fn ensure_running(&self, shared: &Arc<Shared>) {
        if self.running.load(Ordering::Relaxed) {
            return;
        }
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        if !self.running.swap(true, Ordering::Relaxed) {
            runtime.spawn(run(Running(Arc::downgrade(shared))));
        }
    }
}

/// Marks the task as ended however it ends: with the layer, with its work, or with its runtime.
struct Running(Weak<Shared>);

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(shared) = self.0.upgrade() {
            shared.sweeper.running.store(false, Ordering::Relaxed);
        }
    }
}

async fn run(running: Running) {
    loop {
        let Some(pause) = running.0.upgrade().map(|shared| shared.sweep_pause()) else {
            return;
        };
        sleep(pause).await;
        let Some(shared) = running.0.upgrade() else {
            return;
        };
        if !shared.sweep(Instant::now()) {
            return;
        }
    }
}

impl Shared {
    fn sweep_pause(&self) -> Duration {
        let shortest = self
            .config
            .message_expiry()
            .min(self.config.membership_expiry());
        (shortest / 2).clamp(SHORTEST_PAUSE, LONGEST_PAUSE)
    }

    /// Drops expired messages and memberships, and queues of no use to anyone; says whether
    /// there is anything left to watch.
    fn sweep(&self, now: Instant) -> bool {
        let mut expired = Vec::new();
        let mut any = self.queues.retain(|_, queue| {
            let idle = queue.sweep(now, &mut expired);
            // A second reference is a group's, or that of a call under way.
            let forget = idle && Arc::strong_count(queue) == 1;
            if forget {
                let totals = queue.totals();
                let mut retired = self.retired.lock().unwrap_or_else(PoisonError::into_inner);
                retired.sent += totals.sent;
                retired.full += totals.full;
            }
            !forget
        });
        self.groups.evict(&expired, now);
        any |= self.groups.sweep(now);
        any
    }
}
