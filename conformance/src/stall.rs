use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::task::AbortHandle;

const TICK: Duration = Duration::from_millis(5);

/// Measures for how long nothing could run: on a machine that stands still for half a second,
/// messages expire that a case meant to receive, and that is not the layer's fault.
pub(crate) struct StallWatch {
    longest_ms: Arc<AtomicU64>,
    ticker: AbortHandle,
}

impl StallWatch {
    pub(crate) fn start(runtime: &Runtime) -> Self {
        let longest_ms = Arc::new(AtomicU64::new(0));
        let ticker = runtime.spawn(tick(Arc::clone(&longest_ms))).abort_handle();
        Self { longest_ms, ticker }
    }

    /// The longest time nothing ran.
    pub(crate) fn longest(&self) -> Duration {
        Duration::from_millis(self.longest_ms.load(Ordering::Relaxed))
    }
}

impl Drop for StallWatch {
    fn drop(&mut self) {
        self.ticker.abort();
    }
}

async fn tick(longest_ms: Arc<AtomicU64>) {
    loop {
        let before = Instant::now();
        tokio::time::sleep(TICK).await;
        let late = before.elapsed().saturating_sub(TICK);
        let late = u64::try_from(late.as_millis()).unwrap_or(u64::MAX);
        longest_ms.fetch_max(late, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stall_is_noticed() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        let watch = StallWatch::start(&runtime);
        let stall = Duration::from_millis(60);
        runtime.block_on(async {
            tokio::time::sleep(TICK).await;
            #[expect(clippy::disallowed_methods, reason = "the stall")]
            std::thread::sleep(stall);
            tokio::time::sleep(TICK).await;
        });
        assert!(watch.longest() >= stall - 2 * TICK, "{:?}", watch.longest());
    }
}
