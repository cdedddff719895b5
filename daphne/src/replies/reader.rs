use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tracing::{debug, error, info, warn};

use crate::shared::Shared;

use super::mailbox::Delivery;

/// After how many messages in a row other tasks get their turn.
const BATCH: u32 = 128;

/// How long to wait after the layer failed: first, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Receives all replies and hands them to their connections, for ever.
pub(crate) async fn read_replies(shared: Arc<Shared>) {
    let channels = [shared.replies.channel().clone()];
    let mut pause = FIRST_PAUSE;
    let mut failing = false;
    let mut in_a_row = 0;
    loop {
        let (channel, message) = match shared.layer.receive(&channels).await {
            Ok(received) => received,
            Err(failure) => {
                failing = true;
                shared.counters.layer_failed();
                error!(
                    error = &failure as &dyn std::error::Error,
                    "cannot receive replies; next attempt in {pause:?}"
                );
                sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
                continue;
            }
        };
        if failing {
            failing = false;
            pause = FIRST_PAUSE;
            info!("replies are received again");
        }
        match shared.replies.deliver(&channel, message) {
            Delivery::Accepted => {}
            Delivery::Stale => {
                shared.counters.reply_discarded();
                debug!(%channel, "discarded a reply: its connection or request is gone");
            }
            Delivery::Overflowed => {
                shared.counters.slow_client();
                warn!(%channel, "a client reads more slowly than it is written to; giving it up");
            }
            Delivery::Lost => shared.counters.reply_discarded(),
        }
        // A receive that finds a message waiting does not yield by itself.
        in_a_row += 1;
        if in_a_row >= BATCH {
            in_a_row = 0;
            tokio::task::yield_now().await;
        }
    }
}
